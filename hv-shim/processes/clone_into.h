/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clone(2) into a control group, which the C library does not offer with a stack of
 * one's own. Called by spawn.c. Any thread.
 */
#ifndef CLONE_INTO_H
#define CLONE_INTO_H

#include <stddef.h>
#include <sys/types.h>

/*
 * As clone(2), with CLONE_VM and a function that never returns; the child is in the
 * group that `group_fd` is the folder of from its first instruction. -errno: of
 * clone3(2), or -ENOSYS: a machine this is not written for.
 */
pid_t clone_into(int group_fd, int (*run)(void *data), void *stack, size_t stack_bytes, int flags,
		 void *data, int *pidfd);

#endif
