/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of attachment.c and device_vhost.c: the rest of the shim, the keeper, the
 * adjunct and librte_vhost's session are this test, which answers their calls when it
 * likes: late, with a problem, or after everything else has gone. Each test is one
 * process; world.c has one of everything.
 */
#ifndef SESSIONS_WORLD_H
#define SESSIONS_WORLD_H

#include "../fault.h"
#include "../../../hv-shim/events/events.h"
#include "../../../hv-shim/shim.h"
#include "../../../hv-shim/processes/spawn.h"
#include "../../../hv-shim/vhost/vhost.h"

extern struct shim shim;
extern struct partition partition;
extern struct device device;
extern char keeper, adjunct, conn, other_conn; /* only their addresses are used */
extern pid_t program; /* a child that does nothing, and can be killed */

/* What the keeper or the adjunct was asked and has not answered; the oldest first. */
struct question {
	char method[64];
	peer_answer_fn callback;
	void *data;
	unsigned fd_count;
};
extern struct question questions[8];
extern unsigned question_count, saved, steps, recovered;
extern char step_problem[SHIM_MESSAGE_BYTES];
extern bool path_too_long;
extern uint64_t start_time;
extern int start_problem;
/* The oldest question, which must be of that method, is answered. */
void answer_with(const char *method, const char *said, struct varlink_answer *answer);
void answered(const char *method, const char *said);
extern unsigned standbys, events_dropped, joined; /* joined: programs, to their partition */

/* The program's call: how it was answered. */
struct varlink_call {
	unsigned errors, replies, fd_count;
	void (*cancel)(void *data);
	void *cancel_data;
};
extern int peer_error;
extern pid_t said_pid;

/* The guest's session: what its functions return, and how often they were called. */
extern struct vhost_session the_session;
extern const struct vhost_session_ops *session_ops;
extern void *session_data;
extern int save_result, restore_result, own_result, back_end_result, session_result;
extern unsigned gone, left, freed;
extern bool due_waits;
extern unsigned done_here, done_there, undecided_ended, undecided;
extern bool keeper_has_ended;

void set_up(void);
void tear_down(void);

#endif
