/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes from an adjunct what serving does not need. The shim started it inside
 * namespaces of its own (hv-shim/processes/spawn.c); the rest happens here, in steps,
 * because DPDK's initialisation needs files that serving does not:
 *
 *   adjunct_confine_begin()   first thing in the process: limits, no new
 *                             privileges, not traceable. What stays until the
 *                             last step: reading /sys and /proc (the EAL counts
 *                             processors), connecting to the device's socket,
 *                             making the partition's.
 *   adjunct_confine_prepare() what takes time and hinders nothing: the bounding
 *                             set, and the translation of the list below. A
 *                             standby does it while nobody waits for it; else it
 *                             is part of the last step.
 *   adjunct_confine_files()   the empty root, early, where all that is left to open by name
 *                             lies in one folder, which stays until the last step. To
 *                             give up mounts the kernel waits for every processor.
 *   adjunct_confine_finish()  once the driver is up, before the shim hears so: an
 *                             empty root, no capabilities, the list below.
 *
 * A driver that opens nothing by name takes the last step before it is told its
 * port. Threads that DPDK starts in between hold no capabilities from their first
 * instruction (confine_thread.c): only the serving thread can take the last step.
 * Anything that cannot be taken away fails the start.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"
#include "runtime.h"

/* Sockets, eventfds, windows, what librte_vhost maps of a guest: some dozens. */
#define DESCRIPTORS_MAX 128
/* Private memory besides what was donated: under 4 MiB are used, and threads'
 * stacks of 8 MiB each count whole. */
#define PRIVATE_BYTES_MAX (64u << 20)

/* What an adjunct may call while it serves, each with its reason. */
static const int allowed[] = {
	/* Frames and doorbells: TAP, eventfds; the log on standard error. */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev),
	/* The control socket, and librte_vhost's with the guest. */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
	SCMP_SYS(getsockopt), SCMP_SYS(shutdown), SCMP_SYS(close),
	/* Sleeping, and timers of it; which of them glibc takes depends on the machine. */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), /* the EAL, at each change of its set */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(restart_syscall),
	SCMP_SYS(timerfd_settime), /* alarms of the EAL */
	/* Locks between the serving thread and DPDK's. */
	SCMP_SYS(futex),
	/* Descriptors that come along: checked (type, size, seals), then mapped. */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fcntl), SCMP_SYS(munmap),
	/* The heaps of malloc; sched_getaffinity tells it how many there may be. */
	SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(sched_getaffinity),
	/* On which NUMA node a guest's ring lies: librte_vhost wants to know. */
	SCMP_SYS(get_mempolicy),
	/* Ending: signals that were blocked, the exit itself, what abort() needs on the way. */
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill),
	/* From here on of an adjunct that its partition dispatches: to its processor, back,
	 * and the quantum's end. */
	SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_yield), SCMP_SYS(timer_settime),
};
#define ALLOWED_DONATED 3

int adjunct_confine_begin(void)
{
	/* How much it may lock is known with its memory (start.c). */
	return confine_serving_begin(DESCRIPTORS_MAX, PRIVATE_BYTES_MAX, RLIM_INFINITY);
}

/* True in the namespaces the shim made; a test may start us without them. */
static bool namespaces_are_ours(void)
{
	return getpid() == 1;
}

/* The list, translated; no filter: not yet, or in force. */
static struct sock_fprog program;

int adjunct_confine_prepare(const struct adj_ops *ops, bool donated)
{
	const size_t count = sizeof(allowed) / sizeof(allowed[0]) - (donated ? 0 : ALLOWED_DONATED);
	int error = program.filter ? 0 : confine_bounding_set(CONFINE_NONE);

	if (!error && !program.filter)
		error = confine_seccomp_translate(allowed, count, ops->syscalls, ops->ioctls,
						  &program);
	return error;
}

static bool files_confined;

int adjunct_confine_files(const char *folder)
{
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 ? -errno : 0;

	if (!error && namespaces_are_ours())
		error = confine_empty_root(NULL);
	if (!error && fchdir(fd))
		error = -errno;
	if (error)
		log_error("cannot be confined to %s: %s", folder, strerror(-error));
	if (fd >= 0)
		close(fd);
	files_confined = !error;
	return error;
}

int adjunct_confine_finish(const struct adj_ops *ops, bool donated)
{
	static bool finished;

	if (finished)
		return 0;
	int error = adjunct_confine_prepare(ops, donated);

	if (!error && files_confined && chdir("/"))
		error = -errno;
	if (!error)
		error = confine_serving_reach(namespaces_are_ours() && !files_confined, NULL, CONFINE_NONE);
	if (!error)
		error = confine_seccomp_enforce(&program);
	finished = !error;
	return error;
}
