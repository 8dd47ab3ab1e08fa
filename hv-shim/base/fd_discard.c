/* SPDX-License-Identifier: BSD-2-Clause */
/* Closing strangers' descriptors; see fd_discard.h. */
#include "fd_discard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic unsigned pending;

bool fd_is_memory(int fd)
{
	int saved = errno;
	/* Only these have seals; the kernel answers without asking a file system. */
	bool result = fcntl(fd, F_GET_SEALS) >= 0;

	errno = saved;
	return result;
}

bool fd_is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]"; /* a path would begin with a slash */
	char link[64], target[sizeof(name)];
	int saved = errno;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, target, sizeof(target));

	errno = saved;
	return length == (ssize_t)sizeof(name) - 1 && !memcmp(target, name, sizeof(name) - 1);
}

static void *close_it(void *data)
{
	close((int)(intptr_t)data);
	/* relaxed: a count. */
	atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
	return NULL;
}

unsigned fd_discard_pending(void)
{
	return atomic_load_explicit(&pending, memory_order_relaxed);
}

/* False: there cannot be another thread. */
static bool close_apart(int fd)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	if (pthread_attr_init(&attributes))
		return false;
	sigfillset(&all); /* signals are for the program's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed);
	bool created = !pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) &&
		       !pthread_create(&thread, &attributes, close_it, (void *)(intptr_t)fd);
	if (!created)
		atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return created;
}

void fd_discard(int fd)
{
	int saved = errno;

	if (fd_is_memory(fd) || fd_is_eventfd(fd) || !close_apart(fd))
		close(fd);
	errno = saved;
}
