/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process of ours gives up, one call for each wall. Each program has its own
 * numbers and lists, and the shim its own order: the shim in hv-shim/processes/
 * (privileges.c, syscalls.c), the keeper in hv-shim/keeper/confine.c, the embedded adapter
 * in adjunct-drivers/soft-adapter/confine.c, adjuncts in adjunct-drivers/runtime/confine.c.
 *
 * Each returns 0, or -errno after logging what could not be taken away: a caller
 * that goes on after that is not confined. A library of its own (`confine`), so
 * that programs without walls do not need libseccomp.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* No capability at all, for confine_capabilities(). */
#define CONFINE_NONE UINT64_C(0)
#define CONFINE_BIT(capability) (UINT64_C(1) << (capability))

/* Both limits of the resource become `value`, or less where it is less already. */
int confine_limit(int resource, rlim_t value);
/* No core file, no new privileges by executing something. For every later child. */
int confine_begin(void);
/* Siblings of the same user may then neither trace us nor read our memory, and
 * what /proc has of us belongs to root: whoever maps a user namespace does it first. */
int confine_untraceable(void);
/*
 * An empty, read-only file system for a root, and nothing behind it but the
 * character device `device` (NULL: none; not there if it does not exist). In a
 * mount namespace of our own only.
 */
int confine_empty_root(const char *device);
/* Landlock, where the kernel has it: no file but `device` (NULL: none) may be opened. */
int confine_files(const char *device);
/*
 * The calling thread's sets of capabilities, as bits: what can be had at most
 * (permitted and bounding), and what is in force now. Bits it does not have
 * already stay off. Without CAP_SETPCAP the bounding set stays as it is, which
 * confine_begin() has made meaningless.
 */
int confine_capabilities(uint64_t permitted, uint64_t effective);
/* Only the bounding set, which is most of the work: what is not in `keep` leaves it. */
int confine_bounding_set(uint64_t keep);
/*
 * The above in the order that every process that serves takes it: first thing (it may
 * lock `locked_bytes_max` of memory: what a device reaches by itself is), and once
 * all it needs by name is open. Of files and capabilities it keeps `device` (NULL: none)
 * and `capabilities`; the root is emptied in `own_namespaces` only. Then its list.
 */
int confine_serving_begin(rlim_t descriptors_max, rlim_t private_bytes_max,
			  rlim_t locked_bytes_max);
int confine_serving_reach(bool own_namespaces, const char *device, uint64_t capabilities);
/*
 * In every thread, for good: only these system calls, and mappings that are
 * neither executable nor anonymous and shared; all else answers EPERM. `more`
 * (NULL: nothing) ends with -1.
 */
int confine_seccomp(const int *allowed, size_t count, const int *more);
/*
 * For a process that starts others, which inherit it: only these system calls, with any
 * mapping, for a program has code; all else answers ENOSYS, so that libraries whose
 * programs come later take another way.
 */
int confine_seccomp_tree(const int *allowed, size_t count);
/*
 * The same in two steps, for who has no time later: the list is translated, which
 * takes most of the time, and put into force. *out is the caller's until enforced.
 * Of ioctl() it has the requests in `ioctls` (NULL: none), which ends with 0.
 */
struct sock_fprog;
int confine_seccomp_translate(const int *allowed, size_t count, const int *more,
			      const unsigned *ioctls, struct sock_fprog *out);
int confine_seccomp_enforce(struct sock_fprog *program);

#endif
