/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries a list of system calls from inside: each number that is not on it, by each of the
 * machine's tables, must be refused. One thread.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stddef.h>

struct sweep {
	int refusal; /* the errno that the list answers with */
	const int *listed;
	size_t listed_count;
	__attribute__((format(printf, 1, 2))) void (*say)(const char *format, ...);
};

/* Says what was not refused, and for each table how many were tried and refused. */
void sweep_run(const struct sweep *sweep);

#endif
