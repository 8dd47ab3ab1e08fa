/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a keeper, an adjunct or the embedded adapter by tests/e2e/peer_faults.sh:
 * one system call is refused for good, with the error it has when the machine is short of
 * something. "WHEN CALL" of $OTR_REFUSE says which, and since when:
 *
 *	start    before main()
 *	serving  as it puts its own list of system calls in force
 *
 * By a filter of the kernel, so that no tracer's timing decides what happens, and every
 * call of that kind is meant, not the Nth, which differs from run to run.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define CALL(name) #name, SYS_##name

EXPORTED long syscall(long number, ...);

static const struct refusal {
	const char *name;
	long number;
	int error;
} refusals[] = {
	{CALL(getsockopt), ENOBUFS}, {CALL(setsockopt), ENOBUFS}, {CALL(getsockname), ENOBUFS},
	{CALL(recvmsg), ENOMEM}, {CALL(sendmsg), ENOBUFS}, {CALL(recvfrom), ENOMEM},
	{CALL(sendto), ENOBUFS}, {CALL(socket), EMFILE}, {CALL(bind), EADDRINUSE},
	{CALL(listen), ENOBUFS}, {CALL(accept4), EMFILE}, {CALL(connect), ECONNREFUSED},
	{CALL(shutdown), ENOTCONN}, {CALL(ppoll), ENOMEM}, {CALL(fcntl), EMFILE},
	{CALL(epoll_create1), EMFILE}, {CALL(epoll_ctl), ENOMEM}, {CALL(eventfd2), EMFILE},
	{CALL(timerfd_create), EMFILE}, {CALL(timerfd_settime), EINVAL}, {CALL(timer_create), EAGAIN},
	{CALL(timer_settime), EINVAL}, {CALL(pipe2), EMFILE}, {CALL(memfd_create), EMFILE},
	{CALL(ftruncate), ENOSPC}, {CALL(openat), EMFILE}, {CALL(read), EIO}, {CALL(write), ENOSPC},
	{CALL(ioctl), EIO}, {CALL(newfstatat), EIO}, {CALL(getdents64), EIO}, {CALL(mkdirat), ENOSPC},
	{CALL(unlinkat), EIO}, {CALL(mmap), ENOMEM}, {CALL(munmap), ENOMEM}, {CALL(mprotect), ENOMEM},
	{CALL(madvise), ENOMEM}, {CALL(unshare), ENOSPC}, {CALL(mount), ENOMEM},
	{CALL(pivot_root), EBUSY}, {CALL(umount2), EBUSY}, {CALL(chdir), EIO}, {CALL(capget), EPERM},
	{CALL(capset), EPERM}, {CALL(prctl), EPERM}, {CALL(prlimit64), EPERM}, {CALL(seccomp), EINVAL},
	{CALL(landlock_create_ruleset), ENOMEM}, {CALL(landlock_restrict_self), EPERM},
	{CALL(clone3), EAGAIN}, {CALL(sched_setaffinity), EINVAL}, {CALL(set_mempolicy), EPERM},
	{CALL(getrandom), EAGAIN},
#ifdef SYS_poll
	{CALL(poll), ENOMEM}, {CALL(epoll_wait), ENOMEM}, {CALL(mkdir), ENOSPC}, {CALL(unlink), EIO},
	{CALL(chmod), EIO},
#endif
};

static long (*real_syscall)(long number, ...);
static char order[48];

/* A library's constructor may come here before ours. */
static void find_real(void)
{
	if (!real_syscall)
		real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (!real_syscall)
		abort();
}

/* Ends the process where the test is wrong: it must not pass for one that was refused
 * something. */
static void refuse(const char *name)
{
	const struct refusal *refusal = refusals;

	while (refusal < refusals + sizeof(refusals) / sizeof(refusals[0]) &&
	       strcmp(refusal->name, name))
		refusal++;
	if (refusal == refusals + sizeof(refusals) / sizeof(refusals[0]))
		abort();
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refusal->number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)refusal->error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	fprintf(stderr, "refused from now on: %s\n", name);
	if (real_syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		abort();
}

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("OTR_REFUSE");

	find_real();
	if (!text)
		abort();
	snprintf(order, sizeof(order), "%s", text);
	unsetenv("LD_PRELOAD");
	unsetenv("OTR_REFUSE");
	if (!strncmp(order, "start ", 6))
		refuse(order + 6);
}

long syscall(long number, ...)
{
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	find_real();
	/* libseccomp asks what the kernel can do with no filter at all. */
	if (number == SYS_seccomp && arguments[0] == SECCOMP_SET_MODE_FILTER && arguments[2] &&
	    !strncmp(order, "serving ", 8)) {
		refuse(order + 8);
		order[0] = '\0';
	}
	return real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
			    arguments[4], arguments[5]);
}
