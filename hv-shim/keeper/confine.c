/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper gives up, all of it before it accepts its first connection:
 * by then it is in the partition's namespace (namespace.c), and all that is left
 * to do is to make TAP interfaces there and to keep descriptors. Called by main.c.
 */
#include <jansson.h>
#include <linux/capability.h>
#include <seccomp.h>

#include "confine.h"
#include "keeper.h"

/* What it keeps, its sockets, and what a message brings along. */
#define DESCRIPTORS_MAX (KEEPER_FDS_MAX + 128)
/* Under 2 MiB are used; a message may be large. */
#define PRIVATE_BYTES_MAX (64u << 20)

/* What a keeper may call while it serves, each with its reason. */
static const int allowed[] = {
	/* The shim's socket; what it sends along is duplicated and kept. */
	SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(fcntl),
	SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(restart_syscall),
	/* The log on standard error. */
	SCMP_SYS(write), SCMP_SYS(writev),
	/* TAP interfaces: the device file, and rtnetlink through libnl, which makes its
	 * socket's number of the pid and the time. */
	SCMP_SYS(ioctl), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(socket), SCMP_SYS(bind), SCMP_SYS(getsockname),
	SCMP_SYS(setsockopt), SCMP_SYS(getpid), SCMP_SYS(time),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	/* malloc; getrandom and sched_getaffinity are its own. */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(getrandom),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	/* Ending: the exit, and what abort() needs on the way. */
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(gettid), SCMP_SYS(tgkill),
};

int keeper_confine(const struct namespace *namespace)
{
	int error = confine_serving_begin(DESCRIPTORS_MAX, PRIVATE_BYTES_MAX, 0);

	/* JSON's hash tables are seeded from a file that is out of reach afterwards. */
	json_object_seed(0);
	/* Without namespaces it makes no TAP either, and says so when asked for one. Interfaces
	 * and addresses, in its own namespace only: it can enter no other. */
	if (!error)
		error = confine_serving_reach(namespace->entered, KEEPER_TUN,
					      CONFINE_BIT(CAP_NET_ADMIN));
	if (!error)
		error = confine_seccomp(allowed, sizeof(allowed) / sizeof(allowed[0]), NULL);
	return error;
}
