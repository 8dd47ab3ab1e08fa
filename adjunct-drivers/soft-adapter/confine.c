/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes from the embedded adapter what switching frames does not need; see
 * adapter.h. Like an adjunct it starts in namespaces of its own (hv-shim/processes/spawn.c)
 * and gives up the rest in two steps, because the EAL counts processors in /sys
 * and the functions' sockets have to be made. Threads of DPDK have no capability
 * from their first instruction (runtime/confine_thread.c). Data thread.
 */
#include <seccomp.h>
#include <unistd.h>

#include "adapter.h"
#include "confine.h"

/* 64 functions with two doorbells a ring, a connection, the regions of a driver's
 * memory, and a copy of some of them. */
#define DESCRIPTORS_MAX 4096
/* The EAL's memory (36 MiB with 64 functions), the frames held back by faults are
 * in it; threads' stacks of 8 MiB each count whole. */
#define PRIVATE_BYTES_MAX (256u << 20)

/* What it may call while it serves, each with its reason. */
static const int allowed[] = {
	/* Doorbells; signals, by signalfd; the log on standard error. */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev),
	/* The control socket, and librte_vhost's with the drivers. */
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom),
	SCMP_SYS(getsockopt), SCMP_SYS(shutdown), SCMP_SYS(close),
	/* Which function a driver connected to, and how long it may keep us waiting. */
	SCMP_SYS(getsockname), SCMP_SYS(setsockopt),
	/* Sleeping; which of them glibc takes depends on the machine. */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(restart_syscall),
	/* The watchdog of blocked writes. */
	SCMP_SYS(timer_settime), SCMP_SYS(timer_delete),
	/* The lock between the data thread and librte_vhost's. */
	SCMP_SYS(futex), SCMP_SYS(sched_yield),
	/* Descriptors that come along: checked (type, size, seals), then mapped. */
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fcntl), SCMP_SYS(munmap),
	/* The heaps of malloc; sched_getaffinity tells it how many there may be. */
	SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(sched_getaffinity),
	/* On which NUMA node a driver's ring lies: librte_vhost wants to know. */
	SCMP_SYS(get_mempolicy),
	/* Ending: signals that were blocked, the exit itself, what abort() needs on the way. */
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill),
};

int adapter_confine_begin(void)
{
	return confine_serving_begin(DESCRIPTORS_MAX, PRIVATE_BYTES_MAX, 0);
}

int adapter_confine_finish(void)
{
	/* The shim's child is the first process of its namespaces; a test's is not. */
	int error = confine_serving_reach(getpid() == 1, NULL, CONFINE_NONE);

	if (!error)
		error = confine_seccomp(allowed, sizeof(allowed) / sizeof(allowed[0]), NULL);
	return error;
}
