/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into the daemon by main.c: malloc, calloc and realloc that fail when
 * they are told to (failing_malloc.h), and else are glibc's. The libraries' calls
 * come here too: jansson's, libyaml's, sd-event's. Any thread.
 */
#include "failing_malloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
EXPORTED void *malloc(size_t size);
EXPORTED void *calloc(size_t count, size_t size);
EXPORTED void *realloc(void *old, size_t size);

static struct failing_malloc *orders;

/* Not for the processes that the daemon starts. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv(FAILING_MALLOC_FILE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	unsetenv("LD_PRELOAD");
	unsetenv(FAILING_MALLOC_FILE);
	if (fd < 0)
		return;
	void *page = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		orders = page;
}

static int fails(void)
{
	unsigned at = orders ? atomic_load(&orders->at) : 0;

	if (!at)
		return 0;
	unsigned count = atomic_fetch_add(&orders->count, 1) + 1;
	if (count != at && !(count > at && atomic_load(&orders->forever)))
		return 0;
	atomic_fetch_add(&orders->failed, 1);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
