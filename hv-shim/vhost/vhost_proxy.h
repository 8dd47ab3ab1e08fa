/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session's inside: what vhost_proxy.c (the guest's end), vhost_back_end.c and
 * vhost_saved.c share. Nobody else includes it. Event-loop thread.
 */
#ifndef VHOST_PROXY_H
#define VHOST_PROXY_H

#include <systemd/sd-event.h>

#include "vhost.h"
#include "vhost_state.h"

#define VHOST_PATH_BYTES 108

/* What the back-end is being told or asked. */
enum vhost_stage { STAGE_ABSENT, STAGE_FEATURES, STAGE_PROTOCOL, STAGE_REPLAY, STAGE_LIVE };

struct vhost_session {
	sd_event *event;
	const struct vhost_session_ops *ops;
	void *data;
	char *label;
	char path[VHOST_PATH_BYTES];
	uid_t owner;
	struct vhost_state state;

	int listener, guest, back_end; /* -1: none */
	sd_event_source *listener_io, *guest_io, *back_end_io;
	struct vhost_reader from_guest, from_back_end;

	enum vhost_stage stage;
	char back_end_path[VHOST_PATH_BYTES];
	uint64_t back_end_features;
	uint64_t connected_ns;
	unsigned cursor; /* of vhost_state_replay() */
	bool told;       /* anything by it */
	uint32_t asked;  /* the request whose answer is awaited; 0: none */
	bool ready_owed;
	bool held; /* without a back-end: the last one may not have ended yet */
	/* A guest's message that the back-end has been told: its ring, and what the
	 * guest then gets, if it gets anything. */
	bool passed, answer_wanted;
	uint32_t passed_ring;
	struct vhost_message answer;
	/* What that comes to, from then on. */
	enum { DUE_NOTHING, DUE_UNTOLD, DUE_TOLD } due_stage;
	struct vhost_due due;

	/* The back-end's deadline; or, once it is lost, the time until that is told. */
	sd_event_source *timer;
	char problem[160]; /* how it was lost; empty: it was not */
};

/* vhost_proxy.c */
/* The other end of a connection is closed. */
bool vhost_has_left(int fd);
void vhost_guest_end(struct vhost_session *session, const char *why);
int vhost_guest_add(struct vhost_session *session, int fd);
/* Reads the guest whenever that is possible; call when the stage has changed. */
void vhost_guest_update(struct vhost_session *session);
void vhost_guest_answer(struct vhost_session *session);
/* Listens, if it does not yet. 0 or -errno. */
int vhost_listen(struct vhost_session *session);

/* vhost_back_end.c */
void vhost_back_end_pass(struct vhost_session *session, const struct vhost_message *message);
/* Connects anew, so that the back-end forgets the guest that has left. */
void vhost_back_end_renew(struct vhost_session *session);
/* Closes our end of the connection, and only that. */
void vhost_back_end_drop(struct vhost_session *session);
int vhost_back_end_add(struct vhost_session *session, int fd);

#endif
