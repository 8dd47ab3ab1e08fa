/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was donated: taken, and gathered into huge pages. Called by start.c, and by
 * drivers before they fill much of it, on the serving thread.
 *
 * Unless the donated memory is of huge pages already, the kernel makes such pages of
 * what was touched, if it knows how (Linux 6.1) and may: fewer to fill, to map, and far
 * fewer for it to give back when this process dies, which its successor must wait for.
 * Where it does not work out, small pages serve as well.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20) /* of x86-64, and of others with 4 KiB pages */
#define PAGE_BYTES 4096u
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* linux/mman.h of 5.14 */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* linux/mman.h of 6.1 */
#endif

static int memory_map(struct runtime *rt, int memory_fd)
{
	if (rt->ops->uses_dpdk) {
		if (!eal_start) {
			rt->env.log(&rt->env, ADJ_LOG_ERROR, "image was linked without eal.c");
			return -ENOSYS;
		}
		return eal_start(&rt->env, memory_fd);
	}
	rt->env.memory =
		mmap(NULL, rt->env.memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (rt->env.memory == MAP_FAILED) {
		rt->env.memory = NULL;
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot map the donated memory: %s",
			    strerror(errno));
		return -errno;
	}
	return 0;
}

int memory_take(struct runtime *rt, int memory_fd)
{
	struct stat status;

	/* Of hugetlbfs a file's blocks are its pages. */
	rt->memory_huge = !fstat(memory_fd, &status) && status.st_blksize >= (long)HUGE_PAGE_BYTES;
	return memory_map(rt, memory_fd);
}

/* A huge page at a time: what was not touched is left as it is. */
void memory_gather(struct runtime *rt)
{
	uintptr_t begin = (uintptr_t)rt->env.memory, end = begin + rt->env.memory_bytes;

	if (rt->memory_huge || begin % HUGE_PAGE_BYTES)
		return;
	for (uintptr_t at = begin; at + HUGE_PAGE_BYTES <= end; at += HUGE_PAGE_BYTES)
		(void)madvise((void *)at, HUGE_PAGE_BYTES, MADV_COLLAPSE);
}

/* Whole huge pages, each touched once, in one call: a quarter of the time that touching
 * every small page takes, and a quarter of what a call for each of them takes. */
static void gather(void *begin, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += HUGE_PAGE_BYTES)
		(void)*((const volatile char *)begin + at);
	(void)madvise(begin, bytes, MADV_COLLAPSE);
}

void memory_gather_part(const struct adj_env *env, const void *part, size_t bytes)
{
	uintptr_t memory = (uintptr_t)env->memory;
	size_t begin = (uintptr_t)part - memory, end = begin + bytes;
	size_t last = env->memory_bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;

	begin -= begin % HUGE_PAGE_BYTES;
	end = (end + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
	if (end > last)
		end = last;
	if (env->runtime->memory_huge || memory % HUGE_PAGE_BYTES || begin >= end)
		return;
	gather((void *)(memory + begin), end - begin);
}

/* Addresses at a multiple of a huge page; what is over on both sides goes back. */
static uint8_t *reserve(size_t bytes)
{
	uint8_t *area = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)area % HUGE_PAGE_BYTES;
	uint8_t *end = area + bytes + HUGE_PAGE_BYTES;

	if (before)
		munmap(area, before);
	area += before;
	bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	if (area + bytes < end)
		munmap(area + bytes, (size_t)(end - area) - bytes);
	return area;
}

int memory_map_shared(int fd, size_t bytes, enum memory_pages pages, void **out)
{
	uint8_t *area = reserve(bytes);

	if (!area)
		return -errno;
	if (mmap(area, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int error = -errno;

		munmap(area, bytes);
		return error;
	}
	if (pages == PAGES_HUGE && bytes >= HUGE_PAGE_BYTES)
		gather(area, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES);
	if (pages != PAGES_LATER) /* Linux 5.14; else at the first touch, too */
		(void)madvise(area, bytes, MADV_POPULATE_WRITE);
	*out = area;
	return 0;
}
