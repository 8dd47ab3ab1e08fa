/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the intruder share: an adjunct whose driver, taken over,
 * tries to get out (tests/e2e/confinement.sh). It reports by log lines; the
 * script judges them. Everything runs on the runtime's serving thread.
 */
#ifndef INTRUDER_H
#define INTRUDER_H

#include "adj.h"

/* Whom it is after: "KEY VALUE" lines of the file in $OTR_INTRUDER_TARGETS. */
struct targets {
	char state_dir[108];
	char vf_socket[108]; /* of the sibling's function */
	int shim_pid, sibling_pid;
	/* Taken along from before the confinement. */
	int root_fd, namespace_fd;
	void *memory; /* what was donated to the intruder itself */
};

/* attempts.c: each deed by its name; `before` the confinement only those that
 * must succeed there, which shows that the attempt is a real one. */
void attempts_run(const struct adj_env *env, const struct targets *targets, bool before,
		  bool listed);
/* The system calls of the deeds that another wall than the list must stop; -1 ends. */
extern const int attempts_syscalls[];

#endif
