/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Geometry of a ring and opening one side of it. Everything that runs per
 * entry is inline in eq.h. Called by whoever maps a ring, on any thread.
 */
#include "eq.h"

#define CAPACITY_MIN 2u
#define CAPACITY_MAX 65536u

static bool capacity_valid(uint32_t capacity)
{
	return capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX && !(capacity & (capacity - 1));
}

size_t eq_ring_size_bytes(uint32_t capacity, uint32_t entry_bytes)
{
	if (!capacity_valid(capacity) ||
	    (entry_bytes != 16 && entry_bytes != 32 && entry_bytes != 64))
		return 0;
	return sizeof(struct eq_ring_control) + (size_t)capacity * entry_bytes;
}

size_t eq_queue_size_bytes(uint32_t capacity)
{
	if (!capacity_valid(capacity))
		return 0;
	return sizeof(struct eq_queue_control) + (size_t)capacity * EQ_EQE_BYTES;
}

/* `bytes`: of the whole ring, 0 if its geometry is invalid. */
static int open_ring(struct eq_ring *ring, void *memory, size_t bytes, struct eq_ring geometry)
{
	if (!bytes || (uintptr_t)memory % EQ_LINE_BYTES)
		return -EINVAL;
	*ring = geometry;
	ring->control = memory;
	ring->entries = (uint8_t *)memory + bytes - ((size_t)geometry.mask + 1) * geometry.stride;
	return 0;
}

int eq_ring_open(struct eq_ring *ring, void *memory, uint32_t capacity, uint32_t entry_bytes)
{
	return open_ring(ring, memory, eq_ring_size_bytes(capacity, entry_bytes),
			 (struct eq_ring){.mask = capacity - 1, .stride = (uint16_t)entry_bytes,
					  .spread = EQ_LINE_BYTES / sizeof(uint32_t)});
}

int eq_ring_open_queue(struct eq_ring *ring, void *memory, uint32_t capacity)
{
	return open_ring(ring, memory, eq_queue_size_bytes(capacity),
			 (struct eq_ring){.mask = capacity - 1, .stride = EQ_EQE_BYTES, .spread = 1});
}
