/* SPDX-License-Identifier: BSD-2-Clause */
/* A child that does what it is told; see child.h. */
#include "child.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "unix_socket.h"

#define PATIENCE_NS (60 * NS_PER_S)
#define CONNECTIONS 8

sd_event *child_event;

/* ---- The child ------------------------------------------------------------------- */

static struct {
	int fd;
	char text[4096];
	size_t bytes;
} connections[CONNECTIONS];

/* With the NUL that ends it. Nobody may be there any more. */
static void say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text) + 1, MSG_NOSIGNAL);
}

static void act(int *fd, const char *deed)
{
	if (!strcmp(deed, "Fine") || !strcmp(deed, "Twice") || !strcmp(deed, "Last"))
		say(*fd, "{\"parameters\":{}}");
	if (!strcmp(deed, "Twice"))
		say(*fd, "{}");
	if (!strcmp(deed, "Last") || !strcmp(deed, "Die"))
		_exit(3);
	if (!strcmp(deed, "Refuse"))
		say(*fd, "{\"error\":\"a.b.Failed\",\"parameters\":{\"message\":\"not today\"}}");
	if (!strcmp(deed, "RefuseBare"))
		say(*fd, "{\"error\":\"a.b.Failed\"}");
	if (!strcmp(deed, "Garbage"))
		say(*fd, "{]");
	if (!strcmp(deed, "Malformed"))
		say(*fd, "{\"parameters\":3}");
	if (!strcmp(deed, "HangUp"))
		fd_close(fd);
	if (!strcmp(deed, "Events")) {
		say(*fd, "{\"continues\":true}");
		say(*fd, "{\"continues\":true}");
		say(*fd, "{}");
	}
}

/* "{"method":"org.test.Fine"...": what stands after the last dot. */
static void obey(int *fd, const char *text, const char *habit)
{
	static const char *const methods[] = {"GetInfo", "List", "GetStatus"};
	json_t *call = json_loads(text, 0, NULL);
	const char *method = json_string_value(json_object_get(call, "method"));
	const char *deed = method ? strrchr(method, '.') + 1 : "Die";

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(deed, methods[i]))
			deed = habit;
	act(fd, deed);
	json_decref(call);
}

static void serve(unsigned i, const char *habit)
{
	ssize_t got = read(connections[i].fd, connections[i].text + connections[i].bytes,
			   sizeof(connections[i].text) - connections[i].bytes);
	char *end;

	if (got <= 0) {
		fd_close(&connections[i].fd);
		return;
	}
	connections[i].bytes += (size_t)got;
	while (connections[i].fd >= 0 &&
	       (end = memchr(connections[i].text, '\0', connections[i].bytes))) {
		size_t length = (size_t)(end - connections[i].text) + 1;

		obey(&connections[i].fd, connections[i].text, habit);
		connections[i].bytes -= length;
		memmove(connections[i].text, connections[i].text + length, connections[i].bytes);
	}
}

static void live(int listen_fd, const char *habit)
{
	struct pollfd polled[CONNECTIONS + 1];

	for (unsigned i = 0; i < CONNECTIONS; i++)
		connections[i].fd = -1;
	for (;;) {
		polled[CONNECTIONS] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
		for (unsigned i = 0; i < CONNECTIONS; i++)
			polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
		if (poll(polled, CONNECTIONS + 1, -1) < 0)
			_exit(1);
		for (unsigned i = 0; i < CONNECTIONS; i++)
			if (polled[i].revents)
				serve(i, habit);
		for (unsigned i = 0; polled[CONNECTIONS].revents && i < CONNECTIONS; i++)
			if (connections[i].fd < 0) {
				connections[i].fd = accept(listen_fd, NULL, NULL);
				connections[i].bytes = 0;
				break;
			}
	}
}

/* ---- The shim's side ---------------------------------------------------------------- */

static void on_end(void *data, const char *how)
{
	struct child *child = data;

	child->ends++;
	snprintf(child->how, sizeof(child->how), "%s", how);
}

void child_start(struct child *child, const char *habit)
{
	*child = (struct child){.folder = "/tmp/otr-peers.XXXXXX"};
	cr_assert(mkdtemp(child->folder));
	snprintf(child->path, sizeof(child->path), "%s/child.sock", child->folder);
	int listen_fd = unix_listen(child->path, 0600);

	cr_assert_geq(listen_fd, 0, "%d", listen_fd);
	child->identity.pid = fork();
	if (!child->identity.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(listen_fd, habit);
	}
	close(listen_fd);
	if (!child_event)
		cr_assert_geq(sd_event_new(&child_event), 0);
	cr_assert_eq(peer_identity_of(&child->identity), 0);
	cr_assert_eq(peer_adopt(child_event, child->identity, child->path, on_end, child,
				&child->peer), 0);
}

void child_end(struct child *child)
{
	kill(child->identity.pid, SIGKILL);
	peer_free(child->peer);
	waitpid(child->identity.pid, NULL, 0);
	unlink(child->path);
	rmdir(child->folder);
}

void child_hear(void *data, const char *problem, struct varlink_answer *answer)
{
	struct heard *heard = data;

	cr_assert(problem || answer);
	heard->answers++;
	heard->problems += problem != NULL;
	snprintf(heard->problem, sizeof(heard->problem), "%s", problem ? problem : "");
}

void child_ask(struct child *child, const char *deed, uint64_t timeout_ms, struct heard *heard)
{
	char method[64];

	snprintf(method, sizeof(method), "org.test.%s", deed);
	peer_call(child->peer, method, json_object(), NULL, 0, timeout_ms, child_hear, heard);
}

bool child_turn(void)
{
	static uint64_t deadline_ns;

	if (!deadline_ns)
		deadline_ns = clock_now_ns() + PATIENCE_NS;
	cr_assert_geq(sd_event_run(child_event, 50 * 1000), 0);
	return clock_now_ns() < deadline_ns;
}

void child_wait_for(const struct heard *heard, unsigned count)
{
	while (heard->answers < count)
		cr_assert(child_turn(), "no answer");
	cr_assert_eq(heard->answers, count);
}

const char *child_says(struct child *child, const char *deed)
{
	static struct heard heard;

	heard = (struct heard){0};
	child_ask(child, deed, 0, &heard);
	child_wait_for(&heard, 1);
	return heard.problems ? heard.problem : NULL;
}
