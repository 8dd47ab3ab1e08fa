/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's list of system calls. What it starts inherits the list, for good: so it
 * holds what the daemon calls, and what a child calls until it puts its own, shorter list
 * in force (runtime/confine.c, keeper/confine.c, soft-adapter/confine.c,
 * vf-manager/adapter/confine.c), each line with its reason. All else answers ENOSYS, as in
 * a kernel without it: a library that knows another way takes it.
 *
 * A list for the daemon alone would need a second process that starts the children, with
 * every right that the daemon has now. What this one takes from the whole tree is named
 * in SECURITY.md, and tried by tests/e2e/privileges.sh. Called by main.c once, on the only
 * thread, before the saved state is read.
 */
#include <seccomp.h>

#include "confine.h"
#include "privileges.h"

static const int allowed[] = {
	/* ---- The daemon ---- */
	/* Its sockets, and what is said on them; descriptors that come along. */
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept4),
	SCMP_SYS(connect), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(fcntl),
	/* Its loop: signals, timers, ends of processes; doorbells of the forwarder. */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(signalfd4),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(eventfd2), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall),
	/* Children, and programs that have a device open: ended, collected, watched. */
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(waitid), SCMP_SYS(wait4), SCMP_SYS(kill),
	SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal),
	/* The saved state, sockets' files and owners, control groups, /proc and /sys. */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(lseek), SCMP_SYS(getdents64), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
	SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(lchown), SCMP_SYS(fchownat),
	/* Donated memory and event queues: made, sealed, mapped; malloc. */
	SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(mmap),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
	/* Who it is, whose a partition is to be: getpwnam(), which asks other processes. */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(getpeername),
	SCMP_SYS(getrandom), SCMP_SYS(uname),
	/* The forwarder's thread: its locks and its end; ending, and what abort() needs. */
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(tgkill),
	SCMP_SYS(exit), SCMP_SYS(exit_group),

	/* ---- A child, until its own list ---- */
	/* From the clone to its program: its descriptors, its group or session (spawn.c). */
	SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(close_range), SCMP_SYS(setpgid), SCMP_SYS(setsid),
	SCMP_SYS(execve),
	/* The loader and libc, as any program starts. */
	SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address), SCMP_SYS(prlimit64), SCMP_SYS(getcwd),
	SCMP_SYS(umask), SCMP_SYS(sigaltstack),
	/* An image may be a script that prepares something first. */
	SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(getppid),
	/* Its walls (base/confine.c), and the keeper's namespaces. */
	SCMP_SYS(prctl), SCMP_SYS(capget), SCMP_SYS(capset), SCMP_SYS(unshare), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chdir), SCMP_SYS(fchdir),
	SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_restrict_self), SCMP_SYS(seccomp),
	/* TAP interfaces and rtnetlink, in keepers; functions by VFIO, and their registers. */
	SCMP_SYS(ioctl), SCMP_SYS(getsockname), SCMP_SYS(accept), SCMP_SYS(pwrite64),
	/* Records of who has which virtual function (vf-manager/adapter), on disk before the
	 * function changes. */
	SCMP_SYS(fsync),
	/* DPDK comes up: its processors, its memory and on which node it lies, its hooks to
	 * end by, its interrupt thread, the watchdog of the soft adapter. */
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(setpriority),
	SCMP_SYS(sysinfo), SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(mbind),
	SCMP_SYS(mlock), SCMP_SYS(statfs), SCMP_SYS(flock), SCMP_SYS(pipe2), SCMP_SYS(epoll_create),
	SCMP_SYS(timer_create), SCMP_SYS(timer_settime), SCMP_SYS(timer_delete),
};

int privileges_enforce_list(void)
{
	return confine_seccomp_tree(allowed, sizeof(allowed) / sizeof(allowed[0]));
}
