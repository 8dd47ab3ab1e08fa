/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls an adjunct may make while it serves, each with its reason.
 * Everything else answers EPERM, in every thread. Called by confine.c.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "confine.h"
#include "log.h"

static const int allowed[] = {
	/* Frames and doorbells: TAP, eventfds; the log on standard error. */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(readv),
	/* The control socket, and librte_vhost's with the guest. */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(getsockopt), SCMP_SYS(shutdown), SCMP_SYS(close),
	/* Sleeping, and timers of it. */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), /* the EAL, at each change of its set */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall),
	/* Locks between the serving thread and DPDK's. */
	SCMP_SYS(futex), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
	/* Descriptors that come along: checked (type, size, seals), then mapped. */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fcntl), SCMP_SYS(mmap), SCMP_SYS(munmap),
	SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(lseek),
	/* On which NUMA node a guest's ring lies: librte_vhost wants to know. */
	SCMP_SYS(get_mempolicy),
	/* librte_vhost's own wake-ups: it makes an eventfd or a pipe for a guest. */
	SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(dup), SCMP_SYS(timerfd_settime),
	/* Ending: signals that were blocked, the exit itself, what glibc asks on the way. */
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill),
	SCMP_SYS(getrandom), SCMP_SYS(sched_getaffinity),
};

/* mprotect is for ending threads' stacks, never to make memory executable. */
static int allow_mprotect(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
}

int confine_seccomp(const int *extra_syscalls)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!result)
		result = allow_mprotect(filter);
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
