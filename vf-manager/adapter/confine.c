/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What outrigger-vf-adapter gives up. It works on the host's own devices and interfaces,
 * so that it stays in the host's namespaces, and being root may write what root owns: the
 * files of sysfs are its work. Two capabilities are left to it, and a list of system calls
 * by which it can neither start nor trace a process, nor change what anything is mounted
 * on, nor whose program runs. Called by main.c, on the program's one thread.
 */
#include <linux/capability.h>
#include <linux/filter.h>
#include <seccomp.h>

#include "adapter.h"
#include "confine.h"

/* Connections, what messages bring along, and a few files at a time. */
#define DESCRIPTORS_MAX 128
#define PRIVATE_BYTES_MAX (64u << 20)

/* What it may call while it serves, each with its reason. */
static const int allowed[] = {
	/* The shim's socket, with a network namespace now and then; the kernel's messages, that
	 * something came or went, and its log; waiting for them. */
	SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(read),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(restart_syscall),
	/* Attributes of sysfs, and the log on standard error. */
	SCMP_SYS(write), SCMP_SYS(writev),
	/* What there is: sysfs, who has a VFIO group open (/proc), config spaces and names by
	 * libpci and libudev's database. */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(getdents64),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	/* Records of who has what, one writer at a time, on disk before a function changes. */
	SCMP_SYS(mkdir), SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	/* rtnetlink and devlink through libnl, which makes its socket's number of the pid and
	 * the time. */
	SCMP_SYS(socket), SCMP_SYS(bind), SCMP_SYS(getsockname), SCMP_SYS(setsockopt),
	SCMP_SYS(getpid), SCMP_SYS(time), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	/* A VFIO group, to the user it is for. */
	SCMP_SYS(lchown), SCMP_SYS(geteuid),
	/* A step of the kernel's takes a moment to show. */
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	/* malloc; getrandom and sched_getaffinity are its own. */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(getrandom), SCMP_SYS(sched_getaffinity),
	/* Ending: the exit, and what abort() needs on the way. */
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(gettid), SCMP_SYS(tgkill),
};

int confine_process_begin(void)
{
	return confine_serving_begin(DESCRIPTORS_MAX, PRIVATE_BYTES_MAX, 0);
}

/*
 * What is left of root's rights: CAP_NET_ADMIN for VFs' settings and interfaces, CAP_CHOWN
 * to give a VFIO group to its user.
 */
int confine_process_finish(void)
{
	const uint64_t kept = CONFINE_BIT(CAP_NET_ADMIN) | CONFINE_BIT(CAP_CHOWN);
	struct sock_fprog program;
	int error = confine_capabilities(kept, kept);

	if (!error)
		error = confine_seccomp_translate(allowed, sizeof(allowed) / sizeof(allowed[0]), NULL,
						  NULL, &program);
	return error ? error : confine_seccomp_enforce(&program);
}
