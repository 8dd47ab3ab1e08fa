/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the helpers of hv-shim/base do when an allocation or a system call fails,
 * each of them in turn: they say so, leave nothing behind and break nothing.
 * Other users, which no test can be, are played by what geteuid() says.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>
#include <yaml.h>

#include "clock.h"
#include "../fault.h"
#include "fd_discard.h"
#include "support.h"
#include "unix_socket.h"
#include "yaml_tree.h"

TestSuite(faults, .init = fault_json, .timeout = 60);

/* ---- Varlink connections ------------------------------------------------- */

Test(faults, a_connection_is_made_or_not)
{
	struct varlink_conn *conn = NULL;
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = varlink_conn_new(ends[0], &conn);

		cr_assert_eq(result, fault_end() ? -ENOMEM : 0, "call %u", n);
	}
	cr_expect_eq(varlink_conn_peer(conn, NULL, NULL), 0);
	varlink_conn_free(conn);
	close(ends[1]);
}

Test(faults, sending_says_what_went_wrong_and_keeps_no_descriptor)
{
	const int fd = marked_fd(1);
	const unsigned before = fd_count_now();

	for (unsigned n = 1; fault_round(n); n++) {
		struct rude_peer peer;

		rude_open(&peer);
		fault_start(n, ENOMEM);
		int result = varlink_request(peer.conn, "org.test.A", json_object(),
					     VARLINK_MORE | VARLINK_ONEWAY, &fd, 1);
		bool failed = fault_end();

		/* Of what is left out for want of memory nothing is sent wrong. */
		cr_expect(failed || !result);
		if (result < 0) {
			cr_expect_eq(result, -ENOMEM);
			cr_expect_eq(varlink_conn_flush(peer.conn), -ENOMEM, "of no further use");
			cr_expect_eq(varlink_conn_events(peer.conn) & POLLOUT, 0);
			cr_expect_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0),
				     -ENOMEM);
		}
		rude_close(&peer);
		cr_assert_eq(fd_count_now(), before, "call %u", n);
	}
	close(fd);
}

Test(faults, too_many_descriptors_are_not_sent)
{
	int fds[VARLINK_FDS_MAX + 1];
	struct rude_peer peer;

	rude_open(&peer);
	for (unsigned i = 0; i <= VARLINK_FDS_MAX; i++)
		fds[i] = peer.fd;
	cr_expect_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, fds, VARLINK_FDS_MAX + 1),
		     -EMSGSIZE);
	rude_close(&peer);
}

Test(faults, an_interrupted_call_is_made_again)
{
	struct varlink_answer answer;
	struct rude_peer peer;
	char text[64];

	rude_open(&peer);
	fault_in("sendmsg", EINTR);
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0), 0);
	cr_expect(fault_end());
	cr_assert(raw_receive(peer.fd, text, sizeof(text)));
	raw_message(peer.fd, "{}", NULL, 0);
	fault_in("recvmsg", EINTR);
	cr_assert_eq(varlink_conn_read(peer.conn), 0);
	cr_expect(fault_end());
	fault_in("ppoll", EINTR);
	cr_assert_eq(varlink_wait(peer.conn, clock_now_ns() + PATIENCE_NS, &answer), 0);
	cr_expect(fault_end());
	varlink_answer_clear(&answer);
	/* Without a deadline, too. */
	raw_message(peer.fd, "{}", NULL, 0);
	cr_assert_eq(varlink_wait(peer.conn, 0, &answer), 0);
	varlink_answer_clear(&answer);
	rude_close(&peer);
}

/* A program would lose its device with its connection. */
Test(faults, what_the_kernel_has_no_memory_to_send_is_sent_again)
{
	struct rude_peer peer;
	char text[64];

	rude_open(&peer);
	for (unsigned round = 0; round < 2; round++) {
		fault_in("sendmsg", ENOBUFS);
		cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0), 0);
		cr_expect(fault_end());
		for (unsigned again = 0; again < 2; again++) {
			fault_in("sendmsg", ENOMEM);
			cr_assert_eq(varlink_conn_flush(peer.conn), 0);
			cr_expect(fault_end());
		}
		cr_expect(varlink_conn_events(peer.conn) & POLLOUT);
		cr_assert_eq(varlink_conn_flush(peer.conn), 1);
		cr_assert(raw_receive(peer.fd, text, sizeof(text)));
	}
	/* But not for ever. */
	fault_in("sendmsg", ENOBUFS);
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0), 0);
	cr_expect(fault_end());
	for (unsigned again = 0; again < 3; again++) {
		fault_in("sendmsg", ENOBUFS);
		cr_assert_eq(varlink_conn_flush(peer.conn), again < 2 ? 0 : -ENOBUFS);
		cr_expect(fault_end());
	}
	cr_expect_eq(varlink_conn_flush(peer.conn), -ENOBUFS);
	rude_close(&peer);
}

Test(faults, reading_fails_once_and_for_all)
{
	static const char *const calls[] = {"realloc", "recvmsg"};

	for (unsigned i = 0; i < 2; i++) {
		struct varlink_message message;
		struct rude_peer peer;

		rude_open(&peer);
		raw_message(peer.fd, "{}", NULL, 0);
		fault_in(calls[i], ENOMEM);
		cr_expect_eq(varlink_conn_read(peer.conn), -ENOMEM);
		cr_expect(fault_end());
		cr_expect_eq(varlink_conn_read(peer.conn), -ENOMEM);
		cr_expect_eq(varlink_conn_next(peer.conn, &message), -ENOMEM);
		cr_expect_eq(varlink_conn_events(peer.conn), 0);
		rude_close(&peer);
	}
}

/* Credentials come as a control message, too, if the socket is told to ask for them. */
Test(faults, control_messages_that_are_no_descriptors_pass)
{
	struct varlink_message message;
	struct rude_peer peer;
	int on = 1;

	rude_open(&peer);
	cr_assert_eq(setsockopt(varlink_conn_fd(peer.conn), SOL_SOCKET, SO_PASSCRED, &on,
				sizeof(on)),
		     0);
	raw_message(peer.fd, "{}", NULL, 0);
	must_next(peer.conn, &message);
	cr_expect_eq(message.fd_count, 0);
	varlink_message_clear(&message);
	rude_close(&peer);
}

Test(faults, a_call_that_fails_leaves_no_answer)
{
	for (unsigned n = 1; fault_round(n); n++) {
		struct varlink_answer answer = {0};
		struct rude_peer peer;

		rude_open(&peer);
		raw_message(peer.fd, "{\"error\":\"org.test.E\"}", NULL, 0);
		fault_start(n, EIO);
		int result = varlink_call_method(peer.conn, "org.test.A", NULL, NULL, 0,
						 clock_now_ns() + PATIENCE_NS, &answer);
		bool failed = fault_end();

		cr_expect(failed || !result, "%d", result);
		if (!result) {
			cr_assert_not_null(answer.error);
			cr_expect_str_eq(answer.error, "org.test.E");
			varlink_answer_clear(&answer);
		}
		rude_close(&peer);
	}
}

/* ---- Varlink servers ------------------------------------------------------ */

static void handle_fail(struct varlink_call *call, json_t *parameters, void *context)
{
	const char *text = json_string_value(json_object_get(parameters, "text"));

	(void)context;
	if (varlink_call_wants_more(call))
		varlink_reply_more(call, NULL);
	if (text)
		varlink_errorf(call, "org.test.Failed", "%s", text);
	else /* a character that no locale of ours can write */
		varlink_errorf(call, "org.test.Failed", "%ls", (const wchar_t[]){0xd800, 0});
}

/* It will not be told that the connection ended. */
static void handle_keep(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)call;
	(void)parameters;
	(void)context;
}

static void handle_octets(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)parameters;
	(void)context;
	varlink_errorf(call, "org.test.Failed", "%s", "\xff");
}

static const struct varlink_interface interface = {
	.name = "org.test",
	.description = "interface org.test\n",
	.methods = (const struct varlink_method[]){{.name = "Fail", .handle = handle_fail},
						   {.name = "Octets", .handle = handle_octets},
						   {.name = "Keep", .handle = handle_keep},
						   {NULL}},
};
static const struct varlink_service service = {
	.vendor = "test",
	.product = "test",
	.version = "1",
	.url = "test",
	.interfaces = (const struct varlink_interface *const[]){&interface, NULL},
};

/* One request; what comes back in `text`, empty if the connection ends. Whether a call failed. */
static bool serve(const char *request, unsigned n, char *text, size_t text_bytes)
{
	struct varlink_server *server = NULL;
	struct rude_peer peer;

	*text = '\0';
	rude_open(&peer);
	raw_message(peer.fd, request, NULL, 0);
	if (n)
		fault_start(n, ENOMEM);
	if (!varlink_server_new(&service, peer.conn, &server) &&
	    varlink_conn_read(peer.conn) >= 0)
		varlink_server_process(server);
	bool failed = fault_end();

	varlink_server_free(server);
	shutdown(varlink_conn_fd(peer.conn), SHUT_WR);
	if (!raw_receive(peer.fd, text, text_bytes))
		*text = '\0';
	rude_close(&peer);
	return failed;
}

/* What jansson writes when it lacks memory may be cut; it is ours that must stand. */
Test(faults, a_server_survives_whatever_fails)
{
	static const char *const requests[] = {
		"{\"method\":\"org.test.Fail\",\"parameters\":{\"text\":\"\"},\"more\":true}",
		"{\"method\":\"org.test.Fail\",\"parameters\":{\"text\":\"no\"}}",
		"{\"method\":\"org.test.Nothing\"}",
	};
	char text[512];

	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		for (unsigned n = 1; fault_round(n); n++) {
			if (serve(requests[i], n, text, sizeof(text)))
				continue;
			json_t *answer = json_loads(text, 0, NULL);

			cr_expect(json_is_object(answer), "nothing failed: %s", text);
			json_decref(answer);
		}
}

Test(faults, an_error_text_that_cannot_be_written_leaves_its_name)
{
	char text[512];

	serve("{\"method\":\"org.test.Fail\"}", 0, text, sizeof(text));
	cr_expect_str_eq(text, "{\"error\":\"org.test.Failed\",\"parameters\":{\"message\":\"\"}}");
	serve("{\"method\":\"org.test.Octets\"}", 0, text, sizeof(text));
	cr_expect_str_eq(text, "{\"error\":\"org.test.Failed\","
			       "\"parameters\":{\"message\":\"message is not UTF-8\"}}");
	serve("{\"method\":\"org.test.Fail\",\"more\":1}", 0, text, sizeof(text));
	cr_expect_str_eq(text, "", "`more` is true or false");
	serve("{\"method\":\"org.test.Keep\"}", 0, text, sizeof(text));
	cr_expect_str_eq(text, "");
}

/* ---- Sockets in the file system -------------------------------------------- */

static char folder[] = "/tmp/otr-faults-XXXXXX", path[sizeof(folder) + 8];

static void folder_make(void)
{
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
}

static void folder_remove(void)
{
	unlink(path);
	cr_expect_eq(rmdir(folder), 0);
}

Test(faults, a_listener_is_made_or_not)
{
	const unsigned before = fd_count_now();

	folder_make();
	for (unsigned n = 1; fault_round(n); n++) {
		/* One that nobody listens at any more is in the way. */
		int stale = unix_listen(path, 0600);

		cr_assert_geq(stale, 0);
		close(stale);
		fault_start(n, EACCES);
		int fd = unix_listen(path, 0600);

		/* Connecting fails for another reason than that nobody listens: taken. */
		cr_expect(fault_end() ? fd == -EACCES || fd == -EADDRINUSE : fd >= 0, "%u: %d", n, fd);
		if (fd >= 0)
			close(fd);
		unlink(path);
		cr_assert_eq(fd_count_now(), before, "call %u", n);
	}
	cr_expect_eq(unix_listen("/socket", 0600), -EINVAL, "not in the root");
	fault_euid(geteuid() + 1);
	cr_expect_eq(unix_listen(path, 0600), -EPERM, "a folder of somebody else");
	fault_euid((uid_t)-1);
	folder_remove();
}

Test(faults, a_connection_of_whom_nothing_is_known_is_refused)
{
	folder_make();
	int listener = unix_listen(path, 0600);

	cr_assert_geq(listener, 0);
	for (unsigned n = 1; fault_round(n); n++) {
		struct varlink_conn *conn = NULL;

		cr_assert_eq(varlink_connect(path, &conn), 0);
		fault_start(n, EIO);
		int fd = unix_accept_same_user(listener);

		cr_expect(fault_end() ? fd == -EIO : fd >= 0);
		/* One that was not accepted waits still. */
		if (n == 1)
			fd = unix_accept_same_user(listener);
		if (fd >= 0)
			close(fd);
		varlink_conn_free(conn);
	}
	struct varlink_conn *conn = NULL;

	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = varlink_connect(path, &conn);

		cr_expect_eq(result, fault_end() ? -ENOMEM : 0);
	}
	close(listener);
	varlink_conn_free(conn);
	folder_remove();
}

Test(faults, another_user_may_not_connect)
{
	static const struct {
		uid_t peer, euid;
		bool accepted;
	} rows[] = {{77, 77, true}, {0, 77, true}, {78, 77, false}, {77, 0, false}};

	folder_make();
	int listener = unix_listen(path, 0600);

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct varlink_conn *conn;

		cr_assert_eq(varlink_connect(path, &conn), 0);
		fault_peer(rows[i].peer);
		fault_euid(rows[i].euid);
		int fd = unix_accept_same_user(listener);

		cr_expect(rows[i].accepted ? fd >= 0 : fd == -EPERM, "row %u: %d", i, fd);
		if (fd >= 0)
			close(fd);
		varlink_conn_free(conn);
	}
	fault_peer((uid_t)-1);
	fault_euid((uid_t)-1);
	close(listener);
	folder_remove();
}

Test(faults, the_state_directory_of_an_ordinary_user)
{
	char out[64];

	unsetenv("OUTRIGGER_STATE_DIR");
	fault_euid(77);
	setenv("XDG_RUNTIME_DIR", "/runtime", 1);
	cr_assert_eq(state_dir_resolve(NULL, out, sizeof(out)), 0);
	cr_expect_str_eq(out, "/runtime/outrigger");
	unsetenv("XDG_RUNTIME_DIR");
	cr_assert_eq(state_dir_resolve(NULL, out, sizeof(out)), 0);
	cr_expect_str_eq(out, "/tmp/outrigger-77");
	fault_in("getcwd", EACCES);
	cr_expect_eq(state_dir_resolve("here", out, sizeof(out)), -EACCES);
	cr_expect(fault_end());
}

/* ---- Descriptors that are let go -------------------------------------------- */

Test(faults, a_descriptor_is_closed_even_if_there_can_be_no_thread)
{
	for (unsigned n = 1; fault_round(n); n++) {
		const uint64_t deadline_ns = clock_now_ns() + PATIENCE_NS;
		int ends[2];

		cr_assert_eq(pipe(ends), 0);
		/* The first call asks what it is. */
		fault_start(n, EAGAIN);
		fd_discard(ends[0]);
		fault_end();
		while (fcntl(ends[0], F_GETFD) >= 0 && clock_now_ns() < deadline_ns)
			;
		cr_expect_lt(fcntl(ends[0], F_GETFD), 0);
		while (fd_discard_pending() && clock_now_ns() < deadline_ns)
			;
		cr_expect_eq(fd_discard_pending(), 0);
		close(ends[1]);
	}
}

Test(faults, a_file_whose_name_is_as_long_is_no_eventfd)
{
	char name[] = "/tmp/otr-file-XXXXXX"; /* as long as "anon_inode:[eventfd]" */
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	cr_assert_eq(strlen(name), strlen("anon_inode:[eventfd]"));
	cr_expect_not(fd_is_eventfd(fd));
	unlink(name);
	close(fd);
}

/* ---- YAML --------------------------------------------------------------------- */

static int parser_error = -1; /* the next call of libyaml fails with that */

int __real_yaml_parser_initialize(yaml_parser_t *parser);
int __wrap_yaml_parser_initialize(yaml_parser_t *parser);
int __wrap_yaml_parser_initialize(yaml_parser_t *parser)
{
	return parser_error == YAML_NO_ERROR ? 0 : __real_yaml_parser_initialize(parser);
}

int __real_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event);
int __wrap_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event);
int __wrap_yaml_parser_parse(yaml_parser_t *parser, yaml_event_t *event)
{
	if (parser_error != YAML_MEMORY_ERROR)
		return __real_yaml_parser_parse(parser, event);
	parser->error = YAML_MEMORY_ERROR;
	return 0;
}

static int load(const char *text, struct yaml_tree **tree)
{
	struct yaml_error error;

	*tree = NULL;
	return yaml_tree_load(text, strlen(text), tree, &error);
}

Test(faults, a_tree_is_loaded_or_not)
{
	static const char text[] = "a: [1, 2.5, x, {b: c, d: []}]\ne: {f: g}\n";
	struct yaml_tree *tree;

	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = load(text, &tree);
		bool failed = fault_end();

		cr_assert_eq(result, failed ? -ENOMEM : 0, "call %u", n);
		yaml_tree_free(tree);
	}
	for (parser_error = YAML_NO_ERROR; parser_error <= YAML_MEMORY_ERROR; parser_error++) {
		cr_expect_eq(load(text, &tree), -ENOMEM);
		cr_expect_null(tree);
	}
}

/* The line table grows more than once, and may not. */
Test(faults, a_tree_of_many_containers_is_loaded_or_not)
{
	char text[512] = "";
	struct yaml_tree *tree;

	for (unsigned i = 0; i < 70; i++)
		strcat(text, "- [1]\n");
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = load(text, &tree);

		cr_assert_eq(result, fault_end() ? -ENOMEM : 0);
		yaml_tree_free(tree);
	}
}

Test(faults, yaml_that_only_looks_like_something_else)
{
	static const char *const refused[] = {".inf",  ".Inf",	".INF", "+.nan", ".NaN",
					      "-.NAN", "a: 1\n...\n@\n",
					      "---\n@x\n"};
	struct yaml_tree *tree;

	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		cr_expect_eq(load(refused[i], &tree), -EINVAL, "%s", refused[i]);
	cr_assert_eq(load("[0x1G, 0o, 0x, '<<']", &tree), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_expect(json_is_string(json_array_get(yaml_tree_root(tree), i)));
	yaml_tree_free(tree);
	cr_assert_eq(load("'<<': 1", &tree), 0);
	cr_expect_eq(json_integer_value(json_object_get(yaml_tree_root(tree), "<<")), 1);
	yaml_tree_free(tree);
	/* A value with nothing in it has no lines. */
	cr_assert_eq(load("1", &tree), 0);
	cr_expect_eq(yaml_tree_line_of_key(tree, yaml_tree_root(tree), "a"), 0);
	yaml_tree_free(tree);
}
