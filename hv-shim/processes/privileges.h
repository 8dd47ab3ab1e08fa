/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving up what the shim does not need of root's rights, or of its user's. Once,
 * at start, before there is a second thread or a child.
 */
#ifndef PRIVILEGES_H
#define PRIVILEGES_H

#include <stdbool.h>

/*
 * Leaves the capabilities of the table in privileges.c (none if `rootless`), no
 * new privileges, no core file, and as root nobody may trace the process.
 * 0 or -errno, logged.
 */
int privileges_drop(bool rootless);

/*
 * For this process and all that it starts: the system calls of the list in syscalls.c, and
 * no other. Once what only a start needs has been done. 0 or -errno, logged.
 */
int privileges_enforce_list(void);

#endif
