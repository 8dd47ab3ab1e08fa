/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts the shim's children. Adjuncts and adapters start inside namespaces of
 * their own, so that not even their first instruction runs beside the host's
 * processes or networks; a keeper makes its own, which others are to enter. What
 * else is taken from them they give up themselves (base/confine.h). Any thread;
 * nothing is kept.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum spawn_isolation {
	SPAWN_PLAIN,
	/* User (unless root), mount, network, IPC, UTS and PID namespaces, new. */
	SPAWN_ISOLATED,
};

/* What is run: `executable NAME` (a path; or, where that does not lead to it, the file
 * of that name in the working folder). */
struct program {
	const char *executable, *name;
	const char *partition; /* whose control group it is in; NULL: ours */
	const char *device;    /* of that, in its adjuncts' group; NULL: none */
	enum spawn_isolation isolation;
};

/*
 * Descriptors that come of an isolated child, each -1 where there is none:
 *
 *   its mount and network namespaces: giving one up takes the kernel a while, and falls
 *   to whoever holds it last.
 *   its death: has POLLHUP once no thread of it will run another instruction. A pidfd
 *   has POLLIN only when the kernel has taken back its memory and files as well. (It is
 *   the listener of a seccomp filter which lets everything pass, and which every thread
 *   has for good; Linux 6.11 gives up a filter as a thread begins to end, earlier ones
 *   once its status was collected.)
 */
enum spawn_kept { SPAWN_MOUNTS, SPAWN_NETWORK, SPAWN_DEATH, SPAWN_KEPT };

/*
 * Runs it with /dev/null as input, `listen_fd` as descriptor 3, in a process group of its
 * own and without a terminal, signals at their defaults. The pid, a pidfd and what is kept
 * of it (the caller's to close) go to the out parameters. -errno: of clone, or of what the
 * child could not do; no process is left.
 */
int spawn(const struct program *program, int listen_fd, pid_t *pid, int *pidfd,
	  int kept[SPAWN_KEPT]);

/* Field 22 of /proc/PID/stat, which tells a reused pid apart. 0, -ESRCH: there is none;
 * other -errno. */
int spawn_start_time(pid_t pid, uint64_t *start_time);
/* 0: it runs; -ESRCH: it is another process by now, or has ended, its status collected
 * or not; other -errno: it cannot be told. */
int spawn_check_alive(pid_t pid, uint64_t start_time);

#endif
