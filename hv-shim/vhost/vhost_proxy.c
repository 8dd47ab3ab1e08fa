/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user session's end towards the guest: the listening socket, one
 * connection, its messages through the state machine. See vhost.h. Event-loop
 * thread.
 */
#include "vhost_proxy.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd_discard.h"
#include "log.h"
#include "unix_socket.h"

/* The guest's messages come after everything else that the loop has to do. */
#define GUEST_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 50)
/* So many descriptors may keep a thread each waiting to close them. */
#define DISCARDS_MAX 32

int vhost_session_new(sd_event *event, const char *label, const char *path,
		      const struct vhost_session_ops *ops, void *data, struct vhost_session **out)
{
	struct vhost_session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	*session = (struct vhost_session){
		.event = event,
		.ops = ops,
		.data = data,
		.label = strdup(label),
		.owner = geteuid(),
		.listener = -1,
		.guest = -1,
		.back_end = -1,
	};
	vhost_state_init(&session->state);
	int error = !session->label                    ? -ENOMEM
		    : strlen(path) >= VHOST_PATH_BYTES ? -ENAMETOOLONG
						       : 0;
	if (error) {
		vhost_session_free(session, false);
		return error;
	}
	strcpy(session->path, path);
	*out = session;
	return 0;
}

/* A socket goes with the descriptors that wait in it, and those are the guest's. */
static void socket_discard(int *fd)
{
	if (*fd >= 0)
		fd_discard(*fd);
	*fd = -1;
}

static void guest_drop(struct vhost_session *session)
{
	session->guest_io = sd_event_source_disable_unref(session->guest_io);
	socket_discard(&session->guest);
	vhost_reader_close(&session->from_guest);
	vhost_state_reset(&session->state);
}

void vhost_session_free(struct vhost_session *session, bool ended)
{
	if (!session)
		return;
	/* The keeper may hold the connections, too. */
	if (ended && session->back_end >= 0)
		shutdown(session->back_end, SHUT_RDWR);
	if (ended && session->guest >= 0)
		shutdown(session->guest, SHUT_RDWR);
	vhost_back_end_drop(session);
	guest_drop(session);
	sd_event_source_disable_unref(session->timer);
	sd_event_source_disable_unref(session->listener_io);
	if (session->listener >= 0) {
		unlink(session->path);
		socket_discard(&session->listener);
	}
	free(session->label);
	free(session);
}

/* ---- The guest's connection -------------------------------------------------------- */

void vhost_guest_end(struct vhost_session *session, const char *why)
{
	if (session->guest < 0)
		return;
	if (why)
		log_warning("%s: its guest is disconnected: %s", session->label, why);
	else
		log_info("%s: its guest left", session->label);
	shutdown(session->guest, SHUT_RDWR);
	guest_drop(session);
	session->passed = false;
	session->due_stage = DUE_NOTHING;
	vhost_back_end_renew(session);
	session->ops->changed(session->data);
}

void vhost_guest_update(struct vhost_session *session)
{
	bool read = !session->due_stage && ((session->stage == STAGE_ABSENT && !session->held) ||
					    (session->stage == STAGE_LIVE && !session->passed));

	if (session->guest_io)
		sd_event_source_set_enabled(session->guest_io, read ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* What the last message of the guest's comes to. */
void vhost_guest_answer(struct vhost_session *session)
{
	const struct vhost_message *answer = &session->answer;
	struct vhost_due *due = &session->due;
	const size_t header_bytes = sizeof(answer->header);

	*due = (struct vhost_due){
		.serial = due->serial + 1,
		.skip_bytes = (unsigned)session->from_guest.left_bytes,
	};
	if (session->answer_wanted) {
		assert(header_bytes + answer->header.size_bytes <= sizeof(due->answer));
		memcpy(due->answer, &answer->header, header_bytes);
		memcpy(due->answer + header_bytes, &answer->payload, answer->header.size_bytes);
		due->answer_bytes = (unsigned)header_bytes + answer->header.size_bytes;
	}
	session->answer_wanted = false;
	session->due_stage = DUE_UNTOLD;
	vhost_guest_update(session);
	session->ops->changed(session->data);
}

bool vhost_session_due(struct vhost_session *session, struct vhost_due *due)
{
	if (session->due_stage != DUE_UNTOLD)
		return false;
	session->due_stage = DUE_TOLD;
	*due = session->due;
	return true;
}

/* The guest may have left, or another one be here, since it was told. */
static bool due_is_open(const struct vhost_session *session, const struct vhost_due *due)
{
	return session->due_stage == DUE_TOLD && session->due.serial == due->serial;
}

/* 0 or -errno. */
static int due_do(const struct vhost_session *session)
{
	const struct vhost_due *due = &session->due;
	int error = socket_skip(session->guest, due->skip_bytes);
	ssize_t sent = error || !due->answer_bytes
			       ? due->answer_bytes
			       : send(session->guest, due->answer, due->answer_bytes,
				      MSG_DONTWAIT | MSG_NOSIGNAL);

	return error ? error : sent < 0 ? -errno : sent == due->answer_bytes ? 0 : -EAGAIN;
}

void vhost_session_done(struct vhost_session *session, const struct vhost_due *due,
			const char *problem)
{
	if (!due_is_open(session, due))
		return;
	int error = problem ? due_do(session) : 0;

	session->due_stage = DUE_NOTHING;
	/* Only now: the message itself is gone, and these can be the last that are open. */
	vhost_reader_close(&session->from_guest);
	if (error == -EPIPE || error == -ECONNRESET)
		vhost_guest_end(session, NULL);
	else if (error == -EAGAIN)
		vhost_guest_end(session, "it does not read its answers");
	else if (error)
		vhost_guest_end(session, strerror(-error));
	else
		vhost_guest_update(session);
}

void vhost_session_undecided(struct vhost_session *session, const struct vhost_due *due,
			     bool ended)
{
	int waiting_bytes = -1;

	if (!due_is_open(session, due))
		return;
	if (!ended || ioctl(session->guest, FIONREAD, &waiting_bytes) || !due->skip_bytes)
		waiting_bytes = -1;
	/* A guest that has sent more meanwhile leaves it open. */
	if (waiting_bytes == 0)
		vhost_session_done(session, due, NULL);
	else if (waiting_bytes == (int)due->skip_bytes)
		vhost_session_done(session, due, "it is still there");
	else
		vhost_guest_end(session, ended ? "its partition's keeper ended over its message"
					       : "its partition's keeper does not answer");
}

static void guest_message(struct vhost_session *session)
{
	const struct vhost_message message = session->from_guest.message;
	uint32_t request = message.header.request;
	char why[160];
	const char *problem;
	enum vhost_verdict verdict =
		vhost_state_take(&session->state, &message, &session->answer, &problem);

	if (verdict == VHOST_REFUSED) {
		snprintf(why, sizeof(why), "message %s (%u): %s", vhost_message_name(request),
			 request, problem);
		vhost_guest_end(session, why);
		return;
	}
	/* The state has the descriptors now; others are closed once all is done. */
	if (verdict == VHOST_TAKEN)
		session->from_guest.message.fd_count = 0;
	session->answer_wanted =
		vhost_message_asks(request) || vhost_state_acknowledges(&session->state, &message);
	if (verdict != VHOST_ANSWERED && session->stage == STAGE_LIVE) {
		vhost_back_end_pass(session, &message);
		return;
	}
	if (verdict == VHOST_ASK)
		vhost_state_stopped(&session->state, message.payload.ring.index,
				    session->answer.payload.ring.number);
	vhost_guest_answer(session);
}

static int on_guest_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct vhost_session *session = data;

	(void)source;
	(void)revents;
	int result = vhost_peek(fd, &session->from_guest);
	if (result == 1)
		guest_message(session);
	else if (result == -EPIPE || result == -ECONNRESET)
		vhost_guest_end(session, NULL);
	else if (result == -EPROTO)
		vhost_guest_end(session, "more bytes or descriptors than any message has");
	else if (result < 0)
		vhost_guest_end(session, strerror(-result));
	return 0;
}

int vhost_guest_add(struct vhost_session *session, int fd)
{
	int error = sd_event_add_io(session->event, &session->guest_io, fd, EPOLLIN, on_guest_io,
				    session);

	if (error >= 0)
		error = sd_event_source_set_priority(session->guest_io, GUEST_PRIORITY);
	if (error < 0) {
		session->guest_io = sd_event_source_disable_unref(session->guest_io);
		return error;
	}
	session->guest = fd;
	vhost_guest_update(session);
	return 0;
}

/* ---- The listening socket ------------------------------------------------------------ */

bool vhost_has_left(int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLRDHUP};

	return poll(&end, 1, 0) == 1;
}

/* NULL, or why this connection is not taken. */
static const char *newcomer_problem(struct vhost_session *session, int fd)
{
	struct ucred peer;
	socklen_t peer_bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes))
		return "nobody knows whose it is";
	if (peer.uid && peer.uid != geteuid() && peer.uid != session->owner)
		return "it is not the owner's";
	if (session->guest >= 0 && vhost_has_left(session->guest))
		vhost_guest_end(session, NULL);
	if (session->guest >= 0)
		return "the device has a guest";
	if (fd_discard_pending() > DISCARDS_MAX)
		return "descriptors of earlier guests are still being closed";
	if (vhost_guest_add(session, fd))
		return "out of memory";
	return NULL;
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *data)
{
	struct vhost_session *session = data;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)revents;
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_error("%s: a guest cannot be accepted: %m", session->label);
		return 0;
	}
	const char *problem = newcomer_problem(session, fd);
	if (problem) {
		log_warning("%s: a connection is turned away: %s", session->label, problem);
		shutdown(fd, SHUT_RDWR);
		fd_discard(fd);
		return 0;
	}
	log_info("%s: a guest is connected", session->label);
	session->ops->changed(session->data);
	return 0;
}

int vhost_session_own(struct vhost_session *session, uid_t owner)
{
	session->owner = owner;
	if (session->listener >= 0 && lchown(session->path, owner, (gid_t)-1))
		return -errno;
	return 0;
}

int vhost_listen(struct vhost_session *session)
{
	if (session->listener >= 0)
		return 0;
	session->listener = unix_listen(session->path, 0600);
	int error = session->listener < 0 ? session->listener
					  : vhost_session_own(session, session->owner);
	if (!error)
		error = sd_event_add_io(session->event, &session->listener_io, session->listener,
					EPOLLIN, on_connection, session);
	if (error < 0) {
		if (session->listener >= 0)
			unlink(session->path);
		fd_close(&session->listener);
		return error;
	}
	return 0;
}
