/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement of an adjunct's process, internal to the runtime; the order of
 * the steps and their reasons are in confine.c. Serving thread.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/* Each 0 or -errno, logged. */
int confine_begin(void);
/* `extra_syscalls`: what the driver needs besides the runtime's list; -1 ends. NULL: nothing. */
int confine_finish(const int *extra_syscalls);

/* confine_seccomp.c: for every thread of the process, for good. */
int confine_seccomp(const int *extra_syscalls);

/* Of the calling thread, all sets. Used by each thread that DPDK starts. */
int confine_drop_capabilities(void);

#endif
