/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user session's end towards the adjunct's librte_vhost: connecting,
 * telling a new back-end the session's state, passing the guest's messages on,
 * and noticing that it is lost. One request at a time. See vhost.h. Event-loop
 * thread.
 */
#include "vhost_proxy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "unix_socket.h"

#define USEC_PER_MS 1000u
/* A killed adjunct's sockets close a moment before its end is known, and that end
 * is the better explanation: whoever sees it calls vhost_session_back_end_gone(). */
#define LOST_TOLD_MS 100
#define BIT(n) (UINT64_C(1) << (n))

/* ---- Deadlines, and losing it -------------------------------------------------------- */

static int on_timer(sd_event_source *source, uint64_t usec, void *data);
static void replay_next(struct vhost_session *session);

static int timer_set(struct vhost_session *session, uint64_t ms)
{
	int error;

	if (!session->timer)
		return sd_event_add_time_relative(session->event, &session->timer, CLOCK_MONOTONIC,
						  ms * USEC_PER_MS, USEC_PER_MS, on_timer, session);
	error = sd_event_source_set_time_relative(session->timer, ms * USEC_PER_MS);
	return error < 0 ? error : sd_event_source_set_enabled(session->timer, SD_EVENT_ONESHOT);
}

void vhost_back_end_drop(struct vhost_session *session)
{
	if (session->timer)
		sd_event_source_set_enabled(session->timer, SD_EVENT_OFF);
	session->back_end_io = sd_event_source_disable_unref(session->back_end_io);
	fd_close(&session->back_end);
	vhost_reader_close(&session->from_back_end);
	session->stage = STAGE_ABSENT;
	session->asked = 0;
}

static void back_end_close(struct vhost_session *session)
{
	if (session->back_end >= 0) {
		shutdown(session->back_end, SHUT_RDWR); /* the keeper may hold it, too */
		session->ops->changed(session->data);
	}
	vhost_back_end_drop(session);
}

/* The guest goes on without it: what it was waiting for is answered from the record. */
static void guest_goes_on(struct vhost_session *session)
{
	struct vhost_ring_number *ring = &session->answer.payload.ring;

	if (session->passed && session->answer.header.request == VHOST_GET_VRING_BASE) {
		/* It may have used more since the guest asked. */
		if (vhost_state_place(&session->state, session->passed_ring, &ring->number)) {
			vhost_guest_end(session, "a ring's memory is gone");
			return;
		}
		vhost_state_stopped(&session->state, session->passed_ring, ring->number);
	}
	if (session->passed) {
		session->passed = false;
		vhost_guest_answer(session);
	}
	vhost_guest_update(session);
}

__attribute__((format(printf, 2, 3))) static void back_end_lose(struct vhost_session *session,
								const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(session->problem, sizeof(session->problem), format, arguments);
	va_end(arguments);
	back_end_close(session);
	session->held = true; /* it may still be at work in the guest's memory */
	vhost_guest_update(session);
	if (timer_set(session, LOST_TOLD_MS) < 0)
		log_error("%s: out of memory; that its adjunct %s goes untold", session->label,
			  session->problem);
}

static void tell_ready(struct vhost_session *session, const char *problem)
{
	if (!session->ready_owed)
		return;
	session->ready_owed = false;
	session->ops->ready(session->data, problem);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct vhost_session *session = data;
	char problem[sizeof(session->problem)];

	(void)source;
	(void)usec;
	if (!session->problem[0] && !session->asked) {
		replay_next(session); /* of a restored session: nothing */
		return 0;
	}
	if (!session->problem[0]) {
		back_end_lose(session, "did not answer %s within %d s",
			      vhost_message_name(session->asked), VHOST_ANSWER_MS / 1000);
		return 0;
	}
	strcpy(problem, session->problem);
	session->problem[0] = '\0';
	if (session->ready_owed)
		tell_ready(session, problem);
	else
		session->ops->lost(session->data, problem);
	return 0;
}

void vhost_session_back_end_leave(struct vhost_session *session)
{
	session->ready_owed = false;
	session->problem[0] = '\0';
	session->held |= session->stage != STAGE_ABSENT;
	back_end_close(session);
	vhost_guest_update(session);
}

void vhost_session_back_end_gone(struct vhost_session *session)
{
	vhost_session_back_end_leave(session);
	session->held = false;
	guest_goes_on(session);
}

/* ---- Asking --------------------------------------------------------------------------- */

static void ask(struct vhost_session *session, const struct vhost_message *message)
{
	int error = vhost_write(session->back_end, message);

	if (!error) {
		session->asked = message->header.request;
		error = timer_set(session, VHOST_ANSWER_MS);
	}
	if (error < 0)
		back_end_lose(session, "cannot be told %s: %s",
			      vhost_message_name(message->header.request), strerror(-error));
}

static void ask_plain(struct vhost_session *session, uint32_t request)
{
	const struct vhost_message message = {.header = {request, VHOST_VERSION, 0}};

	ask(session, &message);
}

void vhost_back_end_pass(struct vhost_session *session, const struct vhost_message *message)
{
	struct vhost_message copy = *message;
	uint32_t request = message->header.request;

	copy.header.flags = VHOST_VERSION | (vhost_message_asks(request) ? 0 : VHOST_NEED_REPLY);
	if (request == VHOST_SET_PROTOCOL_FEATURES)
		copy.payload.number |= BIT(VHOST_PROTOCOL_REPLY_ACK); /* which is between us two */
	session->passed = true;
	session->passed_ring = message->payload.ring.index; /* if the request has one */
	ask(session, &copy);
	vhost_guest_update(session);
}

static void replay_next(struct vhost_session *session)
{
	struct vhost_message message;
	const char *problem;
	int error;

	if (vhost_state_replay(&session->state, &session->cursor, &message, &problem)) {
		session->told = true;
		ask(session, &message);
		return;
	}
	if (problem) {
		vhost_guest_end(session, problem);
		return;
	}
	error = vhost_listen(session);
	if (error) {
		back_end_lose(session, "is there, but %s cannot be listened at: %s", session->path,
			      strerror(-error));
		return;
	}
	session->stage = STAGE_LIVE;
	if (session->guest >= 0 && session->told)
		log_info("%s: its guest goes on with this adjunct, told in %.1f ms", session->label,
			 (double)(clock_now_ns() - session->connected_ns) / NS_PER_MS);
	session->told = false;
	vhost_guest_update(session);
	session->ops->changed(session->data);
	tell_ready(session, NULL);
}

/* The session's protocol features, and acknowledgements, of which this cannot have one. */
static void replay_begin(struct vhost_session *session, uint64_t offered)
{
	struct vhost_message message = {
		.header = {VHOST_SET_PROTOCOL_FEATURES, VHOST_VERSION, sizeof(uint64_t)},
	};
	const char *problem =
		vhost_state_offer(&session->state, session->back_end_features, offered);

	if (problem && session->guest >= 0) {
		vhost_guest_end(session, problem); /* and from the start, for the next one */
		return;
	}
	message.payload.number = session->state.protocol | BIT(VHOST_PROTOCOL_REPLY_ACK);
	int error = problem ? 0 : vhost_state_make_inflight(&session->state);

	if (!problem && !error)
		error = vhost_write(session->back_end, &message);

	if (problem || error) {
		back_end_lose(session, "is of no use: %s", problem ? problem : strerror(-error));
		return;
	}
	session->stage = STAGE_REPLAY;
	session->cursor = 0;
	replay_next(session);
}

/* ---- Answers -------------------------------------------------------------------------- */

static void live_answer(struct vhost_session *session, const struct vhost_message *message)
{
	char why[80];

	session->passed = false;
	if (message->header.request == VHOST_GET_VRING_BASE) {
		vhost_state_stopped(&session->state, session->passed_ring,
				    message->payload.ring.number);
		session->answer.payload.ring.number =
			session->state.rings[session->passed_ring].base.number;
	} else if (message->payload.number) {
		snprintf(why, sizeof(why), "its adjunct refuses %s",
			 vhost_message_name(message->header.request));
		vhost_guest_end(session, why);
		return;
	}
	vhost_guest_answer(session);
}

static bool answer_fits(const struct vhost_session *session, const struct vhost_message *message)
{
	return session->asked && message->header.request == session->asked &&
	       (message->header.flags & (VHOST_VERSION_MASK | VHOST_REPLY)) ==
		       (VHOST_VERSION | VHOST_REPLY) &&
	       message->header.size_bytes == sizeof(uint64_t) && !message->fd_count &&
	       (message->header.request != VHOST_GET_VRING_BASE ||
		message->payload.ring.index == session->passed_ring);
}

static void back_end_answer(struct vhost_session *session, const struct vhost_message *message)
{
	char why[80];

	if (!answer_fits(session, message)) {
		back_end_lose(session, "broke the vhost-user protocol");
		return;
	}
	session->asked = 0;
	sd_event_source_set_enabled(session->timer, SD_EVENT_OFF);
	switch (session->stage) {
	case STAGE_FEATURES:
		session->back_end_features = message->payload.number;
		session->stage = STAGE_PROTOCOL;
		ask_plain(session, VHOST_GET_PROTOCOL_FEATURES);
		break;
	case STAGE_PROTOCOL:
		replay_begin(session, message->payload.number);
		break;
	case STAGE_REPLAY:
		snprintf(why, sizeof(why), "its new adjunct refuses %s",
			 vhost_message_name(message->header.request));
		if (message->payload.number)
			vhost_guest_end(session, why);
		else
			replay_next(session);
		break;
	case STAGE_LIVE:
		live_answer(session, message);
		break;
	case STAGE_ABSENT:
		break; /* nothing is asked then */
	}
}

static int on_back_end_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct vhost_session *session = data;
	struct vhost_message message;

	(void)source;
	(void)revents;
	int result = vhost_read(fd, &session->from_back_end);
	if (result < 0) {
		back_end_lose(session, result == -EPROTO ? "broke the vhost-user protocol"
							 : "closed its vhost-user session");
	} else if (result == 1 && session->from_back_end.message.fd_count) {
		back_end_lose(session, "sent descriptors nobody asked for");
	} else if (result == 1) {
		message = session->from_back_end.message;
		vhost_reader_clear(&session->from_back_end);
		back_end_answer(session, &message);
	}
	return 0;
}

/* ---- Connecting ------------------------------------------------------------------------- */

int vhost_back_end_add(struct vhost_session *session, int fd)
{
	int error = sd_event_add_io(session->event, &session->back_end_io, fd, EPOLLIN,
				    on_back_end_io, session);

	if (error < 0)
		return error;
	session->back_end = fd;
	return 0;
}

static int back_end_connect(struct vhost_session *session)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, session->back_end_path);
	int error =
		fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	if (!error)
		error = vhost_back_end_add(session, fd);
	if (error < 0) {
		fd_close(&fd);
		return error;
	}
	session->stage = STAGE_FEATURES;
	session->connected_ns = clock_now_ns();
	vhost_guest_update(session);
	ask_plain(session, VHOST_GET_FEATURES);
	return 0;
}

void vhost_back_end_renew(struct vhost_session *session)
{
	if (session->stage == STAGE_ABSENT)
		return;
	back_end_close(session);
	int error = back_end_connect(session);
	if (error)
		back_end_lose(session, "cannot be connected to: %s", strerror(-error));
}

int vhost_session_back_end(struct vhost_session *session, const char *path)
{
	int error;

	if (strlen(path) >= VHOST_PATH_BYTES)
		return -ENAMETOOLONG;
	strcpy(session->back_end_path, path);
	session->ready_owed = true;
	session->problem[0] = '\0';
	session->held = false;
	if (session->stage == STAGE_LIVE) {
		/* Restored: the back-end never noticed. A replay of nothing, from the loop. */
		session->cursor = UINT32_MAX;
		session->stage = STAGE_REPLAY;
		error = timer_set(session, 0);
	} else {
		back_end_close(session);
		error = back_end_connect(session);
	}
	if (error < 0)
		session->ready_owed = false;
	return error < 0 ? error : 0;
}
