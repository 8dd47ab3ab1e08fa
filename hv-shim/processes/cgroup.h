/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accounting by control group (cgroups version 2): each partition has a group, which its
 * keeper and its adjuncts are in. So the pages and the processor time of its drivers are
 * charged to the partition that donated them (000, FIG. 6; design decisions 1 and 2).
 *
 *	BASE/shim        the daemon itself, where systemd delegated BASE to it and put it there
 *	BASE/p.NAME      partition NAME
 *
 * BASE is what systemd delegated (Delegate=yes and DelegateSubgroup=shim in the unit,
 * which systemd knows from version 254 on), else, for root, a group of its own at the top. Where there is no hierarchy of version 2, or
 * no right to it, there is no accounting, and cgroup_why_not() says so.
 *
 * Event-loop thread.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

/* Once, before any process is started. `state_dir` tells daemons at the top apart. */
void cgroup_open(const char *state_dir, bool rootless);
/* The daemon ends. Groups with partitions stay, with these. */
void cgroup_close(void);
/* NULL if there is accounting; else a sentence. */
const char *cgroup_why_not(void);

/* The folder of the partition's group, to be cloned into; made with its first process.
 * -errno; -ENOENT: there is no accounting. */
int cgroup_open_group(const char *partition);
/* Moves a process there, which takes milliseconds. Failures are logged: a process outside
 * its group works all the same. */
void cgroup_add(const char *partition, pid_t pid);
/*
 * The group, which is made if it is not there, is charged `bytes` of memory at most; 0: no
 * limit. Beyond it the kernel ends the process in the group that has most. A limit that
 * the kernel cannot keep is logged.
 */
void cgroup_limit_memory(const char *partition, int64_t bytes);
/* Once its last process is gone, or has been killed: then it is tried for half a minute. */
void cgroup_remove(sd_event *event, const char *partition);

/* What the kernel charges to the partition. false: nothing is known. */
bool cgroup_memory(const char *partition, uint64_t *bytes);
bool cgroup_cpu(const char *partition, uint64_t *usec);
/* The limit in force, and how many processes it has ended. false: there is none. */
bool cgroup_memory_limit(const char *partition, uint64_t *bytes);
bool cgroup_memory_kills(const char *partition, uint64_t *count);

#endif
