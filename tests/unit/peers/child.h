/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child as the shim has it: a process that listens at a path and does with each call what
 * the method's name says. What the shim makes of that is processes/peer.c and peer_link.c,
 * which are the real ones. Test thread only.
 *
 *	Fine         an answer
 *	Twice        one more, which nobody asked for
 *	Refuse       an error with a message; RefuseBare: without
 *	Garbage      what is no JSON; Malformed: JSON that is no answer
 *	HangUp       the end of that connection
 *	Silent       nothing
 *	Last, Die    the process ends with status 3, with an answer and without
 *	Events       three answers, the last of which says so
 *
 * Any other name is one of heartbeat.c's: then what the child was started for.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>

#include "../../../hv-shim/processes/peer.h"

struct child {
	char folder[32], path[64];
	struct peer_identity identity;
	struct peer *peer;
	unsigned ends;  /* that the shim was told of */
	char how[200];  /* the last */
};

/* The loop of all; made by the first child. */
extern sd_event *child_event;

/* What the last answer was, and how many have come. */
struct heard {
	unsigned answers, problems;
	char problem[400];
};

/* Runs, and is taken up. `habit`: what it does with calls that say nothing of their own. */
void child_start(struct child *child, const char *habit);
/* Ends it and whatever the shim knows of it. */
void child_end(struct child *child);

/* Asks, without waiting. */
void child_ask(struct child *child, const char *deed, uint64_t timeout_ms, struct heard *heard);
void child_hear(void *data, const char *problem, struct varlink_answer *answer);
/* Runs the loop until `count` answers have come, with or without a problem. */
void child_wait_for(const struct heard *heard, unsigned count);
/* One turn of the loop, which may be a short wait; false: the test has waited long enough. */
bool child_turn(void);
/* Asks, and waits for that answer: its problem, or NULL. */
const char *child_says(struct child *child, const char *deed);

#endif
