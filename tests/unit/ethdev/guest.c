/* SPDX-License-Identifier: BSD-2-Clause */
/* See guest.h. */
#include "guest.h"

#include <stdlib.h>
#include <string.h>

#define RING_BYTES 0x2000u

static uint8_t first[GUEST_REGION_BYTES] __attribute__((aligned(4096)));
static uint8_t second[GUEST_REGION_BYTES] __attribute__((aligned(4096)));
static uint64_t calls;

/* The second one first, so that what is contiguous there is not so here. */
struct vhost_regions guest_regions = {
	.count = 2,
	.region = {{GUEST_BASE + GUEST_REGION_BYTES, GUEST_REGION_BYTES, second},
		   {GUEST_BASE, GUEST_REGION_BYTES, first}},
};

void *guest_at(uint64_t address)
{
	if (address < GUEST_BASE || address >= GUEST_END)
		abort();
	return address < GUEST_BASE + GUEST_REGION_BYTES
		       ? &first[address - GUEST_BASE]
		       : &second[address - GUEST_BASE - GUEST_REGION_BYTES];
}

struct vhost_ring guest_ring(unsigned number)
{
	uint64_t at = GUEST_BASE + number * RING_BYTES;
	struct vhost_ring ring = {
		.memory = &guest_regions,
		.call_fd = -1,
		.header_bytes = GUEST_HEADER_BYTES,
		.calls = &calls,
	};

	vhost_ring_place(&ring, GUEST_RING, guest_at(at), guest_at(at + 0x800),
			 guest_at(at + 0x1000));
	memset(ring.desc, 0, RING_BYTES);
	return ring;
}

void guest_describe(struct vhost_ring *ring, unsigned slot, uint64_t address, uint32_t bytes,
		    uint16_t flags, uint16_t next)
{
	ring->desc[slot] = (struct vring_desc){address, bytes, flags, next};
}

void guest_offer(struct vhost_ring *ring, unsigned slot)
{
	uint16_t index = ring->avail->idx;

	ring->avail->ring[index % ring->size] = (uint16_t)slot;
	ring->avail->idx = (uint16_t)(index + 1);
}

void guest_send(struct vhost_ring *ring, unsigned slot, uint32_t bytes, uint8_t octet)
{
	memset(guest_at(GUEST_BUFFER(slot)), 0xee, GUEST_HEADER_BYTES);
	memset((uint8_t *)guest_at(GUEST_BUFFER(slot)) + GUEST_HEADER_BYTES, octet, bytes);
	guest_describe(ring, slot, GUEST_BUFFER(slot), GUEST_HEADER_BYTES + bytes, 0, 0);
	guest_offer(ring, slot);
}

void guest_room(struct vhost_ring *ring, unsigned slot, uint32_t bytes)
{
	guest_describe(ring, slot, GUEST_BUFFER(slot), bytes, VRING_DESC_F_WRITE, 0);
	guest_offer(ring, slot);
}
