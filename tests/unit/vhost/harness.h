/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session, a guest and a back-end that a test plays by turns, for session.c and
 * faults.c. While the session's own code runs, faults (../fault.h) happen; while
 * the test's runs they do not. Each test is a process of its own.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <systemd/sd-event.h>

#include "../../../hv-shim/vhost/vhost.h"
#include "support.h"

#define TOLD_MAX 64

extern char guest_path[64], back_end_path[64];
extern sd_event *event;
extern struct vhost_session *session;
extern int memory, listener;
extern unsigned ready, lost, changed;
extern char problem[200];

/* The back-end's end. */
struct back_end {
	int fd;
	struct vhost_reader reader;
	struct vhost_message told[TOLD_MAX]; /* without descriptors */
	unsigned told_count;
	uint32_t refuses; /* a request; 0: none */
	bool silent;
	uint64_t lacks; /* of features and of protocol features */
};
extern struct back_end back_end;
extern bool keeper_away; /* nothing is settled */
/* A guest whose session has lost its back-end, and which is not read, waits no more. */
extern bool guest_gives_up;

void set_up(void);
void tear_down(void);
int session_new(void); /* what vhost_session_new() says */
void session_make(void);
/* Both sides, until `*count` is at least `wanted` (NULL: for as long as it takes). */
bool turn(unsigned ms, const unsigned *count, unsigned wanted);
void back_end_comes(void);
int guest_connect(void);
/* The guest's message and its answer; false: none came, or the connection ended. */
bool guest_asks(int guest, struct vhost_message message, struct vhost_message *answer);
bool guest_says(int guest, struct vhost_message message);
int guest_runs(void);
bool has_ended(int fd);
const struct vhost_message *told(uint32_t request, uint32_t ring);

#endif
