/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which system calls of the daemon are made to fail, and with what: an error that
 * the call's manual page names and that comes from the machine's state, not from
 * a wrong argument. What is missing here is let alone: calls that cannot fail for
 * such a reason (close, exit), and those that wait for the loop's next event, when
 * they would do so for ever.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "tracer.h"

struct known {
	long number;
	const char *name;
	int error;      /* 0: let alone */
	int forever;    /* another error then; 0: the same; -1: let alone */
};

#define CALL(call, ...) {SYS_##call, #call, __VA_ARGS__}
static const struct known known[] = {
	CALL(accept4, EMFILE, -1), /* nobody is heard for as long as it lasts */
	CALL(bind, ENOSPC),
	CALL(brk, 0), /* malloc's; it goes on to mmap: failing_malloc.c is for those */
#ifdef SYS_chmod
	CALL(chmod, EIO),
#endif
	CALL(clone, EAGAIN),
	CALL(clone3, EAGAIN),
	CALL(close, 0),
	CALL(close_range, ENOMEM),
	CALL(connect, EAGAIN),
#ifdef SYS_dup2
	CALL(dup2, EMFILE),
#endif
	CALL(dup3, EMFILE),
	CALL(epoll_create1, EMFILE),
	CALL(epoll_ctl, ENOMEM),
	CALL(epoll_pwait, EINTR, -1),
#ifdef SYS_epoll_wait
	CALL(epoll_wait, EINTR, -1),
#endif
	CALL(eventfd2, EMFILE),
	CALL(execve, ENOMEM),
	CALL(faccessat, EIO),
	CALL(fchmod, EIO),
	CALL(fchmodat, EIO),
	CALL(fchown, EIO),
	CALL(fchownat, EIO),
	CALL(fcntl, EMFILE),
	CALL(flock, EINTR, ENOLCK),
	CALL(ftruncate, ENOSPC),
	CALL(getdents64, EIO),
	CALL(getpid, 0),
	CALL(getsockopt, ENOBUFS),
#ifdef SYS_lchown
	CALL(lchown, EIO),
#endif
	CALL(listen, ENOBUFS),
	CALL(lseek, 0),
#ifdef SYS_lstat
	CALL(lstat, EIO),
#endif
	CALL(memfd_create, EMFILE),
#ifdef SYS_mkdir
	CALL(mkdir, ENOSPC),
#endif
	CALL(mkdirat, ENOSPC),
	CALL(mmap, ENOMEM),
	CALL(mprotect, 0),
	CALL(munmap, 0),
	CALL(newfstatat, EIO),
	CALL(openat, EMFILE),
	CALL(pidfd_open, EMFILE),
	CALL(pidfd_send_signal, 0), /* fails for no reason but a wrong argument */
#ifdef SYS_poll
	CALL(poll, EINTR, ENOMEM),
#endif
	CALL(ppoll, EINTR, ENOMEM),
	CALL(read, EINTR, EIO),
#ifdef SYS_readlink
	CALL(readlink, EIO),
#endif
	CALL(recvmsg, EINTR, ENOMEM),
#ifdef SYS_rename
	CALL(rename, ENOSPC),
#endif
	CALL(renameat, ENOSPC),
	CALL(renameat2, ENOSPC),
	CALL(rt_sigaction, 0),
	CALL(rt_sigprocmask, 0),
	CALL(sendmsg, ENOBUFS),
	CALL(setsockopt, ENOBUFS),
	CALL(shutdown, 0),
	CALL(signalfd4, EMFILE),
	CALL(socket, EMFILE),
	CALL(timerfd_create, EMFILE),
	CALL(timerfd_settime, ENOMEM),
#ifdef SYS_unlink
	CALL(unlink, 0), /* what stays is removed when its path is used again */
#endif
	CALL(unlinkat, 0),
	CALL(waitid, EINTR, -1),
	CALL(write, EINTR, ENOSPC),
};

static const struct known *find(long number)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].number == number)
			return &known[i];
	return NULL;
}

int call_error(long number, bool forever)
{
	const struct known *call = find(number);

	if (!call)
		return 0;
	if (forever && call->forever)
		return call->forever > 0 ? call->forever : 0;
	return call->error;
}

const char *call_name(long number)
{
	const struct known *call = find(number);

	return call ? call->name : "";
}
