/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls an adjunct may make while it serves, each with its reason.
 * Everything else answers EPERM, in every thread. Called by confine.c.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

#include "confine.h"
#include "log.h"

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
};

/*
 * Memory is never executable. Nor is it anonymous and shared: the kernel counts
 * that for no process, so RLIMIT_DATA (confine.c) would not hold it.
 */
static int allow_mappings(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	/* MAP_SHARED_VALIDATE has the bit of MAP_SHARED too. */
	const struct scmp_arg_cmp file = SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0);
	const struct scmp_arg_cmp private =
		SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_SHARED, MAP_ANONYMOUS);
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);

	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec, file);
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec,
					  private);
	return result;
}

int confine_seccomp(const int *extra_syscalls)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	/* Calls by the tables of other machines (i386, x32) are none of ours. */
	if (!result)
		result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!result)
		result = allow_mappings(filter);
	for (const int *number = extra_syscalls; number && *number >= 0 && !result; number++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, *number, 0);
	if (!result)
		result = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	if (result)
		log_error("cannot be confined: seccomp: %s", strerror(-result));
	return result;
}
