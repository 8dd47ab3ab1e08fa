/* SPDX-License-Identifier: BSD-2-Clause */
/* See harness.h. */
#include "harness.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../hv-shim/vhost/vhost_proxy.h"
#include "../fault.h"
#include "clock.h"
#include "fd_discard.h"
#include "unix_socket.h"

static char folder[] = "/tmp/vhost-XXXXXX";
char guest_path[64], back_end_path[64];
sd_event *event;
struct vhost_session *session;
int memory, listener;
unsigned ready, lost, changed;
char problem[200];

struct back_end back_end;
bool keeper_away;
bool guest_gives_up;

static void on_ready(void *data, const char *why)
{
	(void)data;
	ready++;
	snprintf(problem, sizeof(problem), "%s", why ? why : "");
}

static void on_lost(void *data, const char *how)
{
	(void)data;
	lost++;
	snprintf(problem, sizeof(problem), "%s", how);
}

static void on_changed(void *data)
{
	(void)data;
	changed++;
}

static const struct vhost_session_ops ops = {on_ready, on_lost, on_changed};

int session_new(void)
{
	fault_hold(false);
	int result = vhost_session_new(event, "one.net0", guest_path, &ops, NULL, &session);

	fault_hold(true);
	return result;
}

void session_make(void)
{
	cr_assert_not(session_new());
	cr_assert_not(vhost_session_own(session, geteuid()));
}

void set_up(void)
{
	cr_assert_not_null(mkdtemp(folder));
	snprintf(guest_path, sizeof(guest_path), "%s/guest", folder);
	snprintf(back_end_path, sizeof(back_end_path), "%s/back-end", folder);
	cr_assert(sd_event_new(&event) >= 0);
	memory = guest_memory();
	listener = unix_listen(back_end_path, 0600);
	cr_assert(listener >= 0);
	back_end.fd = -1;
	session_make();
}

void tear_down(void)
{
	vhost_session_free(session, true);
	cr_expect_neq(access(guest_path, F_OK), 0, "the guest's socket is left");
	sd_event_unref(event);
	vhost_reader_close(&back_end.reader);
	fd_close(&back_end.fd);
	fd_close(&listener);
	fd_close(&memory);
	unlink(back_end_path);
	rmdir(folder);
}

static void back_end_answer(const struct vhost_message *message)
{
	uint32_t request = message->header.request;
	struct vhost_message answer = vhost_reply_number(request, request == back_end.refuses);

	if (request == VHOST_GET_FEATURES || request == VHOST_GET_PROTOCOL_FEATURES)
		answer.payload.number = ~back_end.lacks;
	else if (request == VHOST_GET_VRING_BASE)
		answer.payload.ring = (struct vhost_ring_number){message->payload.ring.index, 42};
	else if (!(message->header.flags & VHOST_NEED_REPLY))
		return;
	vhost_write(back_end.fd, &answer);
}

static void back_end_turn(void)
{
	int fd = accept(listener, NULL, NULL);

	if (fd >= 0) { /* as librte_vhost: every connection is a session of its own */
		vhost_reader_close(&back_end.reader);
		fd_close(&back_end.fd);
		back_end.fd = fd;
		back_end.told_count = 0;
	}
	while (back_end.fd >= 0 && vhost_read(back_end.fd, &back_end.reader) == 1) {
		struct vhost_message *message = &back_end.reader.message;

		cr_assert_lt(back_end.told_count, TOLD_MAX);
		back_end.told[back_end.told_count++] = *message;
		if (!back_end.silent)
			back_end_answer(message);
		vhost_reader_close(&back_end.reader);
	}
}

bool turn(unsigned ms, const unsigned *count, unsigned wanted)
{
	uint64_t end = clock_now_ns() + ms * NS_PER_MS;
	struct vhost_due due;

	do {
		fault_hold(false);
		sd_event_run(event, 500);
		if (session && !keeper_away && vhost_session_due(session, &due))
			vhost_session_done(session, &due, "there is no keeper");
		fault_hold(true);
		back_end_turn();
		if (count && *count >= wanted)
			return true;
	} while (clock_now_ns() < end);
	return !count;
}

void back_end_comes(void)
{
	unsigned before = ready;

	cr_assert_not(vhost_session_back_end(session, back_end_path));
	cr_assert(turn(2000, &ready, before + 1));
	cr_assert_str_eq(problem, "");
}

int guest_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, guest_path);
	cr_assert_not(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
	return fd;
}

bool guest_asks(int guest, struct vhost_message message, struct vhost_message *answer)
{
	uint64_t end = clock_now_ns() + 5 * NS_PER_S;
	struct vhost_reader reader = {0};
	int result = vhost_write(guest, &message);

	for (unsigned i = 0; i < message.fd_count; i++)
		close(message.fds[i]);
	while (!result && clock_now_ns() < end && !(guest_gives_up && session->held)) {
		turn(1, NULL, 0);
		result = vhost_read(guest, &reader);
	}
	*answer = reader.message;
	return result == 1;
}

bool guest_says(int guest, struct vhost_message message)
{
	struct vhost_message answer;

	message.header.flags |= VHOST_NEED_REPLY;
	return guest_asks(guest, message, &answer) && !answer.payload.number &&
	       answer.header.request == message.header.request;
}

int guest_runs(void)
{
	struct vhost_message message;
	int guest = guest_connect();

	for (unsigned i = 0; guest_script(memory, i, &message); i++)
		cr_assert(guest_says(guest, message), "message %u", i);
	return guest;
}

bool has_ended(int fd)
{
	char byte;

	turn(20, NULL, 0);
	ssize_t received = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
	/* ECONNRESET: with bytes of ours that nobody read. */
	return !received || (received < 0 && errno == ECONNRESET);
}

const struct vhost_message *told(uint32_t request, uint32_t ring)
{
	for (unsigned i = 0; i < back_end.told_count; i++)
		if (back_end.told[i].header.request == request &&
		    back_end.told[i].payload.ring.index == ring)
			return &back_end.told[i];
	return NULL;
}

