/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a daemon under ptrace, on a thread of its own, and lets something happen
 * at one of its system calls: the daemon is killed before the call is made, or
 * the call fails. Used by main.c, which starts one daemon at a time.
 *
 * What counts as the daemon's own: the calls of its main thread, and those that a
 * child makes on the daemon's memory before it executes its image (spawn.c).
 */
#ifndef TRACER_H
#define TRACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum fault {
	FAULT_NONE,    /* only counts */
	FAULT_KILL,    /* SIGKILL before the call */
	FAULT_ONCE,    /* the call fails, once, with an error that fits it */
	FAULT_FOREVER, /* so does every later one of the same number, until tracer_disarm() */
};
extern const char *const fault_names[];

/*
 * Starts argv[0] with `environment`, output appended to `log`. With `from_call`
 * the fault is armed at once, and counting starts at the first call of that
 * number; -1: tracer_arm() does. The process, or -errno.
 */
pid_t tracer_start(char *const *argv, char *const *environment, const char *log, enum fault fault,
		   unsigned at, long from_call);
/* From now on: at the `at`th call, counted from 1. */
void tracer_arm(enum fault fault, unsigned at);
void tracer_disarm(void);

struct tracer_report {
	unsigned calls; /* since it was armed */
	bool fired;
	long number; /* of the call it happened at */
	int error;   /* which the call failed with */
	bool ended;  /* the daemon has, and its status is: */
	int status;
};
struct tracer_report tracer_report(void);
/* Until it has ended: true, its thread is gone; false: not by then. */
bool tracer_join(uint64_t deadline_ns);

/* ---- errors.c ------------------------------------------------------------------ */

/* What a call may fail with, as a positive errno; 0: it is let alone. */
int call_error(long number, bool forever);
const char *call_name(long number); /* of those known there; else "" */

#endif
