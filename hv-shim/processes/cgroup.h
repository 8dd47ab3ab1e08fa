/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accounting by control group (cgroups version 2): each partition has a group. So the
 * pages and the processor time of its drivers are charged to the partition that donated
 * them (000, FIG. 6 and 23; design decisions 1 and 2).
 *
 *	BASE/shim			the daemon itself, where systemd delegated BASE to
 *					it and put it there
 *	BASE/p.NAME			partition NAME: its share of processors, of which
 *					all that follow are one taker to the scheduler
 *	BASE/p.NAME/adjuncts		its limit of memory; its keeper
 *	BASE/p.NAME/adjuncts/DEVICE	adjuncts of that device, one after the other
 *	BASE/p.NAME/programs		its programs
 *
 * BASE is what systemd delegated (Delegate=yes and DelegateSubgroup=shim in the unit,
 * which systemd knows from version 254 on), else, for root, a group of its own at the
 * top. Where there is no hierarchy of version 2, or no right to it, there are no groups,
 * and cgroup_why_not() says so; processor time is then counted by the processes' own
 * clocks (charge.h), and no limit is kept.
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

/* The folder of the group that a device's adjuncts are in, or (NULL) the partition's own
 * processes, to be cloned into; made with its first process. -errno; -ENOENT: there is no
 * accounting. */
int cgroup_open_group(const char *partition, const char *device);
/* Moves a process there, which takes milliseconds. Failures are logged: a process outside
 * its group works all the same. */
void cgroup_add(const char *partition, const char *device, pid_t pid);
/*
 * The same for a program of the partition's, which is `uid`'s: what it has started before
 * stays where it is. -errno, of which -ENOENT: there are no groups; -ESRCH: there is no
 * such process of that user.
 */
int cgroup_add_program(const char *partition, pid_t pid, uid_t uid);
/*
 * The groups, which are made if they are not there, are charged so much at most; 0: no
 * limit. Beyond its memory the kernel ends the process in the group that has most; beyond
 * its share, in thousandths of a processor, all of them wait until the next tenth of a
 * second begins. A limit that the kernel cannot keep is logged.
 */
void cgroup_limit(const char *partition, int64_t memory_bytes, int64_t cpus_milli);
/* Once its last process is gone, or has been killed: then it is tried for half a minute.
 * Programs that live on keep their group, without a share. */
void cgroup_remove(sd_event *event, const char *partition);

/* What the kernel charges to the partition's adjuncts. false: nothing is known. */
bool cgroup_memory(const char *partition, uint64_t *bytes);
/* The limit in force, and how many processes it has ended. false: there is none. */
bool cgroup_memory_limit(const char *partition, uint64_t *bytes);
bool cgroup_memory_kills(const char *partition, uint64_t *count);
/* Processor time since the group was made: of everything in it; of the programs; of the
 * adjuncts that a device has had. */
bool cgroup_cpu(const char *partition, uint64_t *usec);
bool cgroup_cpu_of_programs(const char *partition, uint64_t *usec);
bool cgroup_cpu_of_device(const char *partition, const char *device, uint64_t *usec);
/* A share is in force; and how long somebody had to wait for it, summed up. */
bool cgroup_cpu_limit(const char *partition);
bool cgroup_cpu_throttled(const char *partition, uint64_t *usec);

#endif
