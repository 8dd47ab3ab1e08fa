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
	enum spawn_isolation isolation;
};

#define SPAWN_NAMESPACES 2

/*
 * Runs it with /dev/null as input, `listen_fd` as descriptor 3, in a process group of its
 * own and without a terminal, signals at their defaults. The pid and a pidfd (the
 * caller's to close) go to the out parameters; so do descriptors of the mount and
 * network namespaces made for it, -1 where there are none: giving up a namespace
 * takes the kernel a while, and falls to whoever holds it last. -errno: of clone, or of what the
 * child could not do; no process is left.
 */
int spawn(const struct program *program, int listen_fd, pid_t *pid, int *pidfd,
	  int namespaces[SPAWN_NAMESPACES]);

/* Field 22 of /proc/PID/stat, which tells a reused pid apart. 0, -ESRCH: there is none;
 * other -errno. */
int spawn_start_time(pid_t pid, uint64_t *start_time);
/* 0: it runs; -ESRCH: it is another process by now, or has ended, its status collected
 * or not; other -errno: it cannot be told. */
int spawn_check_alive(pid_t pid, uint64_t start_time);

#endif
