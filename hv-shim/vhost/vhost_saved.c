/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user session as descriptors, for the partition's keeper: a sealed memfd
 * with the state, the guest's connection, the back-end's if the session is with
 * it, and the state's own. See vhost.h. Event-loop thread.
 *
 * Only the shim writes what it reads here, so it is its own format, of one
 * version: a shim that does not know it lets the guest connect anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unix_socket.h"
#include "vhost_proxy.h"

#define SAVED_MAGIC 0x6f747676u
#define SAVED_VERSION 2u
#define SAVED_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

struct saved {
	uint32_t magic, version, size_bytes;
	bool live;                /* the back-end's connection is among the descriptors */
	struct vhost_state state; /* its descriptors are 0 where there is one, else -1 */
};

static_assert(2 + 1 + VHOST_STATE_FDS <= VHOST_SAVE_FDS, "one call to the keeper carries it");

int vhost_session_save(const struct vhost_session *session, int fds[VHOST_SAVE_FDS])
{
	struct saved saved = {
		.magic = SAVED_MAGIC,
		.version = SAVED_VERSION,
		.size_bytes = sizeof(saved),
		.live = session->stage == STAGE_LIVE,
		.state = session->state,
	};
	int count = 0;

	if (session->guest < 0)
		return 0;
	/* A message that the back-end has yet to answer would be lost. */
	if (session->passed || (session->stage != STAGE_LIVE && session->stage != STAGE_ABSENT))
		return -EAGAIN;
	int file = memfd_create("outrigger:vhost", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file < 0)
		return -errno;
	fds[count++] = file;
	static_assert(VHOST_SAVE_GUEST_FD == 1, "the second");
	fds[count++] = session->guest;
	if (saved.live)
		fds[count++] = session->back_end;
	for (unsigned i = 0; i < VHOST_STATE_FDS; i++) {
		int *fd = vhost_state_fd(&saved.state, i);

		if (*fd < 0)
			continue;
		fds[count++] = *fd;
		*fd = 0;
	}
	errno = 0;
	if (write(file, &saved, sizeof(saved)) != (ssize_t)sizeof(saved) ||
	    fcntl(file, F_ADD_SEALS, SAVED_SEALS)) {
		int error = errno ? -errno : -ENOSPC;

		close(file);
		return error;
	}
	return count;
}

static int saved_read(int file, struct saved *saved)
{
	if ((fcntl(file, F_GET_SEALS) & SAVED_SEALS) != SAVED_SEALS ||
	    pread(file, saved, sizeof(*saved), 0) != (ssize_t)sizeof(*saved) ||
	    saved->magic != SAVED_MAGIC || saved->version != SAVED_VERSION ||
	    saved->size_bytes != sizeof(*saved))
		return -EINVAL;
	return 0;
}

static bool message_waits(int guest)
{
	char byte;

	return recv(guest, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static int take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

int vhost_session_restore(struct vhost_session *session, int *fds, unsigned count)
{
	struct saved saved;
	unsigned wanted = 2, next = 1;

	if (session->guest >= 0 || session->back_end >= 0 || count < 2 ||
	    saved_read(fds[0], &saved))
		return -EINVAL;
	wanted += saved.live;
	for (unsigned i = 0; i < VHOST_STATE_FDS; i++)
		wanted += *vhost_state_fd(&saved.state, i) >= 0;
	if (count != wanted)
		return -EINVAL;
	int error = vhost_guest_add(session, fds[next]);
	if (error)
		return error;
	fds[next++] = -1;
	session->state = saved.state;
	/* An adjunct that has ended meanwhile left its end of the connection closed. One
	 * that may have been told of the message that waits there is told all anew. */
	if (saved.live && !message_waits(session->guest) && !vhost_has_left(fds[next]) &&
	    !vhost_back_end_add(session, fds[next])) {
		fds[next] = -1;
		session->stage = STAGE_LIVE;
	} else if (saved.live) {
		shutdown(fds[next], SHUT_RDWR); /* the keeper holds it, too */
		session->held = true;           /* until there is a back-end, or none */
	}
	next += saved.live;
	for (unsigned i = 0; i < VHOST_STATE_FDS; i++) {
		int *fd = vhost_state_fd(&session->state, i);

		if (*fd >= 0)
			*fd = take(&fds[next++]);
	}
	vhost_guest_update(session);
	return 0;
}
