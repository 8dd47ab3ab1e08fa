/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the Nth of a program's allocations and system calls fail, for unit tests:
 * a program that lists tests/unit/fault.c links with FAULT_LDFLAGS (module.mk),
 * which lead the calls of our own objects there; those of libraries go where
 * they always go, but for jansson's allocations once fault_json() was called.
 *
 *	for (unsigned n = 1; fault_round(n); n++) {
 *		fault_start(n, ENOMEM);
 *		int result = what_is_tested();
 *		cr_expect_eq(result, fault_end() ? -ENOMEM : 0);
 *	}
 *
 * goes on until one round had no more than n - 1 of those calls. Test thread only.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>
#include <sys/types.h>

/* False: the round before had nothing fail. */
bool fault_round(unsigned n);
/* Of the calls from now on, the one of that number fails with `error`. */
void fault_start(unsigned n, int error);
/* The first `name` from now on fails, the n-th, and no other. */
void fault_in(const char *name, int error);
void fault_in_nth(const char *name, unsigned n, int error);
/* Nothing fails while it is held: the test's own calls between two of what is tested. */
void fault_hold(bool held);
/* For stand-ins elsewhere: true, and errno is set, if this call is the one to fail; and
 * the same for calls that fault_start() does not count, which fail by their name alone. */
bool fault_due(const char *name);
bool fault_named(const char *name);
/* Nothing fails any more: whether something had. */
bool fault_end(void);

/* The calls of this thread, a peer's, never fail and are not counted. */
void fault_not_here(void);
/* Until that is over, threads made from now on wait before they begin. */
void fault_threads_wait(bool wait);

void fault_json(void);
/* What geteuid() says from now on, and whose SO_PEERCRED says a connection is; -1: the
 * truth. */
void fault_euid(uid_t uid);
void fault_peer(uid_t uid);

#endif
