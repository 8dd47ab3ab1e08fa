/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user session keeper: a device's socket towards its guest (a virtual
 * machine, a DPDK program), and a connection to the adjunct's librte_vhost
 * behind it. The guest's connection outlives the adjunct: the session's state is
 * kept here and told to the next one, so the guest neither reconnects nor sees
 * its link go (DESIGN.md, decision 5). Packet data never passes: the adjunct has
 * the guest's memory and doorbells themselves.
 *
 *   guest  --vhost-user-->  shim (this)  --vhost-user-->  adjunct
 *
 * The guest's questions are answered here; what changes the state is checked,
 * recorded, and passed on while there is a back-end. Each message to the back-end
 * is acknowledged, one at a time, within VHOST_ANSWER_MS; meanwhile the guest is
 * not read. Once a back-end has ended, everything is answered from the record. A guest
 * that breaks a rule (vhost_state.c) loses its connection, with a line in the log.
 *
 * Each guest has an in-flight record (adj_inflight.h), a page of the shim's own that
 * is told to each back-end first of all and never to the guest: how far adjuncts had
 * come with its transmit ring, whenever one of them died.
 *
 * A message stays on the guest's socket until it has had its effect. Then three
 * things are due: the session's new state is stored, the message is taken off the
 * socket, the answer is sent. The keeper does all three in one go, so that they
 * happen or do not, whenever the shim is killed: a message that is still there is
 * new to the next shim, whatever this one had begun (every message may be told to
 * a back-end twice), and no guest gets two answers or waits for one in vain.
 *
 * The shim never reads, writes or maps what a guest sent, but for one read of two
 * bytes (vhost_memory_copy_in()): it rings nobody's doorbell. A new adjunct looks
 * at both rings when its session begins, and calls the guest once for each, so
 * that a notification its predecessor died over is made up for (T08;
 * adjunct-drivers/ethdev/vhost_session.c).
 *
 * Thread: the event loop's. Callbacks run from the loop, as the last thing this
 * file does there: they may free the session.
 */
#ifndef VHOST_H
#define VHOST_H

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define VHOST_ANSWER_MS 3000 /* librte_vhost's thread may sleep for one of them */
#define VHOST_SAVE_FDS 16    /* what one call to the keeper can carry */
#define VHOST_SAVE_GUEST_FD 1 /* which of them is the guest's connection */
#define VHOST_ANSWER_BYTES_MAX 20

struct vhost_session;

struct vhost_session_ops {
	/* vhost_session_back_end() is done: NULL, or why not. Once for each call. */
	void (*ready)(void *data, const char *problem);
	/* The back-end closed, broke the protocol or is silent; "closed its session". */
	void (*lost)(void *data, const char *how);
	/* vhost_session_save() has something new to say, or vhost_session_due() has. */
	void (*changed)(void *data);
};

/* What a guest's message has come to; see above. */
struct vhost_due {
	unsigned serial;
	unsigned skip_bytes;   /* to be taken off the guest's socket: socket_skip() */
	unsigned answer_bytes; /* 0: none */
	unsigned char answer[VHOST_ANSWER_BYTES_MAX];
};

/* `label` for the log. `path` is the guest's socket; it appears with the first
 * back-end. -ENOMEM, -ENAMETOOLONG. */
int vhost_session_new(sd_event *event, const char *label, const char *path,
		      const struct vhost_session_ops *ops, void *data, struct vhost_session **out);
/* Frees it and removes its socket. `ended`: the guest's connection ends, whoever
 * else holds it; else it lives on with whom it was saved. NULL is fine. */
void vhost_session_free(struct vhost_session *session, bool ended);

/* Whose the guest's socket is, now and later. 0 or -errno. */
int vhost_session_own(struct vhost_session *session, uid_t owner);

/*
 * There is an adjunct, listening at `path`: connects and tells it the session.
 * One whose session was restored with its connection needs telling nothing.
 * ->ready follows; -errno: it will not.
 */
int vhost_session_back_end(struct vhost_session *session, const char *path);
/*
 * The adjunct is about to be stopped: its connection is closed. It may still be
 * at work in the guest's memory, so the guest is not answered until it is gone
 * (a guest that is told that its rings have stopped uses their memory again).
 * The same holds from a back-end's loss on. No callback follows.
 */
void vhost_session_back_end_leave(struct vhost_session *session);
/* The adjunct's process has ended: the guest is served from the record. */
void vhost_session_back_end_gone(struct vhost_session *session);

/*
 * For the shim's own restart. Fills `fds` with what must be kept: descriptors of
 * the session's, and first one that describes them, which the caller closes.
 * Their number; 0: nobody is connected; -EAGAIN: not now, `changed` follows; -errno.
 */
int vhost_session_save(const struct vhost_session *session, int fds[VHOST_SAVE_FDS]);
/*
 * True, once for each message: *due is to be done together with storing what
 * vhost_session_save() has just said, and then vhost_session_done() to be called.
 * Nothing is read from the guest in between.
 */
bool vhost_session_due(struct vhost_session *session, struct vhost_due *due);
/* `problem`: the keeper refused, and did nothing; then it is done here, and a shim
 * that is killed now loses it. NULL: the keeper did it. */
void vhost_session_done(struct vhost_session *session, const struct vhost_due *due,
			const char *problem);
/*
 * No answer of the keeper's. If it has `ended` it is found out what it did; one
 * that may do it at any later time is not waited for: the guest is disconnected.
 */
void vhost_session_undecided(struct vhost_session *session, const struct vhost_due *due,
			     bool ended);
/* Takes up what an earlier shim saved: those descriptors it wants are set to -1.
 * -EINVAL: it was not saved by this version. */
int vhost_session_restore(struct vhost_session *session, int *fds, unsigned count);

#endif
