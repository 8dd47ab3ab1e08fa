/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front-end's memory table: checked against the files it names, and read from
 * through one function. See vhost_state.h. Event-loop thread.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd_discard.h"
#include "vhost_state.h"

static bool overlap(uint64_t a, uint64_t b, uint64_t a_bytes, uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static const char *region_problem(const struct vhost_region *region, int fd)
{
	struct stat status;
	uint64_t end;

	/* First: a file that another process serves (FUSE) could keep us waiting in
	 * fstat() or pread() for as long as that likes. */
	if (!fd_is_memory(fd))
		return "a region that is neither a memfd nor in tmpfs or huge pages";
	if (fstat(fd, &status))
		return "a region of unknown size";
	if (!region->size_bytes ||
	    __builtin_add_overflow(region->offset_bytes, region->size_bytes, &end) ||
	    end > (uint64_t)status.st_size)
		return "a region outside its file";
	if (__builtin_add_overflow(region->guest_address, region->size_bytes, &end) ||
	    __builtin_add_overflow(region->user_address, region->size_bytes, &end))
		return "a region beyond the end of the address space";
	return NULL;
}

const char *vhost_memory_problem(const struct vhost_memory *memory, const int *fds)
{
	for (size_t i = 0; i < memory->region_count; i++) {
		const struct vhost_region *a = &memory->regions[i];
		const char *problem = region_problem(a, fds[i]);

		if (problem)
			return problem;
		for (size_t j = 0; j < i; j++) {
			const struct vhost_region *b = &memory->regions[j];

			if (overlap(a->guest_address, b->guest_address, a->size_bytes,
				    b->size_bytes) ||
			    overlap(a->user_address, b->user_address, a->size_bytes, b->size_bytes))
				return "regions that overlap";
		}
	}
	return NULL;
}

/* The region that holds all of it; -1: none. The table was checked: no sum overflows. */
static int region_of(const struct vhost_memory *memory, uint64_t user_address, uint64_t bytes)
{
	for (size_t i = 0; i < memory->region_count; i++) {
		const struct vhost_region *region = &memory->regions[i];
		uint64_t offset = user_address - region->user_address;

		if (user_address >= region->user_address && bytes <= region->size_bytes &&
		    offset <= region->size_bytes - bytes)
			return (int)i;
	}
	return -1;
}

bool vhost_memory_has(const struct vhost_memory *memory, uint64_t user_address, uint64_t bytes)
{
	return region_of(memory, user_address, bytes) >= 0;
}

int vhost_memory_copy_in(const struct vhost_memory *memory, const int *fds, uint64_t user_address,
			 void *out, size_t bytes)
{
	int i = region_of(memory, user_address, bytes);
	ssize_t copied;

	if (i < 0)
		return -EFAULT;
	const struct vhost_region *region = &memory->regions[i];
	uint64_t at = region->offset_bytes + (user_address - region->user_address);

	do {
		copied = pread(fds[i], out, bytes, (off_t)at);
	} while (copied < 0 && errno == EINTR);
	return copied == (ssize_t)bytes ? 0 : -EFAULT;
}
