/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A shim that answers from a file: `fake_shim SOCKET ANSWERS`, for the tests of
 * the command line, which must not depend on what a daemon happens to do. Each
 * request is written to standard output, so that a test can see what was asked.
 *
 * ANSWERS is a JSON object. "METHOD WORD" is looked up first, WORD being the
 * name the request is about or, for Apply, the document's first comment; then
 * "METHOD". What is found is an object:
 *   answers     a list: one answer each, all but the last with `continues`
 *   error       instead of a last answer: its name; parameters beside it
 *   turns       true: each request has the next of `answers`, and that alone
 *   delay_ms    before each answer
 *   hang_up     close the connection instead of the last answer
 *   silent      never answer
 *   namespaces  "net" or "user": descriptors of fresh namespaces go along
 * One thread; one connection after the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "text/org.outrigger.Shim.varlink.h"
#include "unix_socket.h"
#include "varlink.h"

static json_t *answers;
static bool hang_up;

static void fail(const char *what)
{
	fprintf(stderr, "fake_shim: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

/* A process that only holds namespaces; it goes when we do. */
static pid_t hold_namespaces(bool user)
{
	char map[64], ready;
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		uid_t uid = getuid();
		gid_t gid = getgid();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare((user ? CLONE_NEWUSER : 0) | CLONE_NEWNET) < 0)
			fail("unshare");
		if (user) {
			snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
			write_file("/proc/self/uid_map", map);
			write_file("/proc/self/setgroups", "deny");
			snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
			write_file("/proc/self/gid_map", map);
		}
		if (write(pipes[1], "r", 1) != 1)
			fail("pipe");
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (read(pipes[0], &ready, 1) != 1)
		fail("namespaces");
	close(pipes[0]);
	return pid;
}

static unsigned open_namespaces(bool user, int fds[2])
{
	pid_t pid = hold_namespaces(user);
	unsigned count = 0;
	char path[64];

	for (int i = user ? 0 : 1; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, i == 0 ? "user" : "net");
		fds[count] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[count++] < 0)
			fail(path);
	}
	return count;
}

/* What the request is about: a name, "red/net0", or "# word" of a document. */
static void word_of(const json_t *parameters, char *word, size_t bytes)
{
	const char *keys[] = {"name", "partition"};
	const char *document = json_string_value(json_object_get(parameters, "document"));
	const char *device = json_string_value(json_object_get(parameters, "device"));

	*word = '\0';
	if (document && strncmp(document, "# ", 2) == 0)
		snprintf(word, bytes, "%.*s", (int)strcspn(document + 2, "\n"), document + 2);
	for (size_t i = 0; i < 2 && !*word; i++) {
		const char *text = json_string_value(json_object_get(parameters, keys[i]));

		if (text)
			snprintf(word, bytes, "%s%s%s", text, device ? "/" : "",
				 device ? device : "");
	}
}

static const json_t *find_answer(const char *method, const json_t *parameters)
{
	char word[200], key[300];
	const json_t *found;

	word_of(parameters, word, sizeof(word));
	snprintf(key, sizeof(key), "%s %s", method, word);
	found = json_object_get(answers, key);
	return found ? found : json_object_get(answers, method);
}

static void wait_ms(const json_t *reply)
{
	usleep((useconds_t)json_integer_value(json_object_get(reply, "delay_ms")) * 1000);
}

static void last_answer(struct varlink_call *call, const json_t *reply, json_t *parameters)
{
	const char *namespaces = json_string_value(json_object_get(reply, "namespaces"));
	const char *error = json_string_value(json_object_get(reply, "error"));
	char name[120];
	int fds[2];
	unsigned count = namespaces ? open_namespaces(strcmp(namespaces, "user") == 0, fds) : 0;

	if (json_is_true(json_object_get(reply, "silent")))
		return;
	if (json_is_true(json_object_get(reply, "hang_up"))) {
		hang_up = true;
	} else if (error) {
		snprintf(name, sizeof(name), "org.outrigger.Shim.%s", error);
		varlink_error(call, name,
			      json_deep_copy(json_object_get(reply, "parameters")));
	} else {
		varlink_reply_fds(call, json_incref(parameters), fds, count);
	}
	while (count > 0)
		close(fds[--count]);
}

static void answer(const char *method, struct varlink_call *call, json_t *parameters)
{
	const json_t *reply = find_answer(method, parameters), *list;
	json_t *request = json_pack("{s:s, s:O, s:b}", "method", method, "parameters", parameters,
				    "more", varlink_call_wants_more(call));
	size_t count;

	json_dumpf(request, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(request);
	if (!reply) {
		varlink_errorf(call, "org.outrigger.Shim.NotFound", "%s: nothing of the kind",
			       method);
		return;
	}
	list = json_object_get(reply, "answers");
	count = json_array_size(list);
	if (json_is_true(json_object_get(reply, "turns"))) {
		json_t *turn = json_object_get(reply, "turn");
		size_t at = (size_t)json_integer_value(turn);

		json_integer_set(turn, (json_int_t)(at + 1 < count ? at + 1 : at));
		last_answer(call, reply, json_array_get(list, at));
		return;
	}
	for (size_t i = 0; i + 1 < count && varlink_call_wants_more(call); i++) {
		wait_ms(reply);
		varlink_reply_more(call, json_incref(json_array_get(list, i)));
	}
	wait_ms(reply);
	last_answer(call, reply, count ? json_array_get(list, count - 1) : NULL);
}

#define METHODS(DO) \
	DO(Apply) DO(Down) DO(GetStatus) DO(ListPartitions) DO(GetPartition) DO(CreatePartition) \
	DO(DestroyPartition) DO(OpenNamespace) DO(ListAdjuncts) DO(GetAdjunct) DO(ListDevices) \
	DO(GetDevice) DO(GetStats) DO(GetLog) DO(GetEvents) DO(RestartAdjunct)

#define HANDLER(m) \
	static void handle_##m(struct varlink_call *call, json_t *parameters, void *context) \
	{ \
		(void)context; \
		answer(#m, call, parameters); \
	}
METHODS(HANDLER)

#define ROW(m) {.name = #m, .handle = handle_##m},
static const struct varlink_method methods[] = {METHODS(ROW){.name = NULL}};
static const struct varlink_interface shim = {
	.name = "org.outrigger.Shim",
	.description = text_org_outrigger_Shim_varlink,
	.methods = methods,
};
static const struct varlink_interface *const interfaces[] = {&shim, NULL};
static const struct varlink_service service = {
	.vendor = "Outrigger",
	.product = "fake_shim",
	.version = "0",
	.url = "",
	.interfaces = interfaces,
};

static void serve(int fd)
{
	struct varlink_server *server;
	struct varlink_conn *conn;

	if (varlink_conn_new(fd, &conn) < 0 || varlink_server_new(&service, conn, &server) < 0)
		fail("a connection");
	hang_up = false;
	while (!hang_up) {
		struct pollfd wait = {.fd = fd, .events = varlink_conn_events(conn)};

		if (poll(&wait, 1, 60000) <= 0)
			break;
		if ((wait.revents & POLLOUT) && varlink_conn_flush(conn) < 0)
			break;
		if ((wait.revents & ~POLLOUT) && varlink_conn_read(conn) < 0)
			break;
		if (varlink_server_process(server) < 0)
			break;
	}
	varlink_server_free(server);
	varlink_conn_free(conn);
}

int main(int argc, char **argv)
{
	json_error_t error;
	int listener;

	if (argc != 3) {
		fprintf(stderr, "usage: fake_shim SOCKET ANSWERS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	answers = json_load_file(argv[2], JSON_REJECT_DUPLICATES, &error);
	if (!answers) {
		fprintf(stderr, "fake_shim: %s:%d: %s\n", argv[2], error.line, error.text);
		return 1;
	}
	listener = unix_listen(argv[1], 0600);
	if (listener < 0) {
		errno = -listener;
		fail(argv[1]);
	}
	for (;;) {
		struct pollfd wait = {.fd = listener, .events = POLLIN};
		int fd;

		if (poll(&wait, 1, -1) < 0)
			fail("poll");
		fd = unix_accept_same_user(listener);
		if (fd >= 0)
			serve(fd);
	}
}
