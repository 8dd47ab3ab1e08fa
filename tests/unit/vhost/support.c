/* SPDX-License-Identifier: BSD-2-Clause */
/* See support.h. */
#include "support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fd_discard.h"

unsigned open_fds(void)
{
	unsigned count = 0;

	for (unsigned ms = 0; fd_discard_pending() && ms < 2000; ms++)
		usleep(1000);
	DIR *directory = opendir("/proc/self/fd");

	cr_assert_not_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int guest_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && !ftruncate(fd, GUEST_BYTES));
	return fd;
}

uint64_t guest_ring(unsigned ring)
{
	return GUEST_USER + ring * 0x4000u;
}

void guest_used(int memory, unsigned ring, uint16_t index)
{
	/* Past the descriptors and the available ring, as in message_address(). */
	off_t at = (off_t)(ring * 0x4000u + 0x2000u + 2);

	cr_assert_eq(pwrite(memory, &index, sizeof(index), at), (ssize_t)sizeof(index));
}

struct vhost_message message_plain(uint32_t request)
{
	return (struct vhost_message){.header = {request, VHOST_VERSION, 0}};
}

struct vhost_message message_number(uint32_t request, uint64_t number)
{
	struct vhost_message message = {.header = {request, VHOST_VERSION, 8}};

	message.payload.number = number;
	return message;
}

struct vhost_message message_ring(uint32_t request, uint32_t index, uint32_t number)
{
	struct vhost_message message = {.header = {request, VHOST_VERSION, 8}};

	message.payload.ring = (struct vhost_ring_number){index, number};
	return message;
}

struct vhost_message message_address(uint32_t index)
{
	struct vhost_message message = {.header = {VHOST_SET_VRING_ADDR, VHOST_VERSION, 40}};

	message.payload.address = (struct vhost_ring_address){
		.index = index,
		.descriptors = guest_ring(index),
		.available = guest_ring(index) + 0x1000,
		.used = guest_ring(index) + 0x2000,
	};
	return message;
}

struct vhost_message message_doorbell(uint32_t request, uint32_t index)
{
	struct vhost_message message = message_number(request, index);

	message.fds[message.fd_count++] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return message;
}

struct vhost_message message_memory(int memory)
{
	struct vhost_message message = {.header = {VHOST_SET_MEM_TABLE, VHOST_VERSION, 40}};

	message.payload.memory.region_count = 1;
	message.payload.memory.regions[0] = (struct vhost_region){
		.guest_address = 0,
		.size_bytes = GUEST_BYTES,
		.user_address = GUEST_USER,
	};
	message.fds[message.fd_count++] = fcntl(memory, F_DUPFD_CLOEXEC, 0);
	return message;
}

bool guest_script(int memory, unsigned i, struct vhost_message *out)
{
	unsigned ring = i >= 10;

	switch (i < 10 ? i : i - 5) {
	case 0:
		*out = message_number(VHOST_SET_PROTOCOL_FEATURES, GUEST_PROTOCOL);
		break;
	case 1:
		*out = message_plain(VHOST_SET_OWNER);
		break;
	case 2:
		*out = message_number(VHOST_SET_FEATURES, GUEST_FEATURES);
		break;
	case 3:
		*out = message_number(VHOST_NET_SET_MTU, 1500);
		break;
	case 4:
		*out = message_memory(memory);
		break;
	case 5:
		*out = message_ring(VHOST_SET_VRING_NUM, ring, GUEST_RING_ENTRIES);
		break;
	case 6:
		*out = message_ring(VHOST_SET_VRING_BASE, ring, 0);
		break;
	case 7:
		*out = message_address(ring);
		break;
	case 8:
		*out = message_doorbell(VHOST_SET_VRING_CALL, ring);
		break;
	case 9:
		*out = message_doorbell(VHOST_SET_VRING_KICK, ring);
		break;
	case 10:
	case 11:
		*out = message_ring(VHOST_SET_VRING_ENABLE, i - 15, 1);
		break;
	case 12:
		*out = message_number(VHOST_SET_STATUS, 15);
		break;
	default:
		return false;
	}
	return true;
}
