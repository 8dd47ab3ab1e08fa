/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Geometry of a ring and opening one side of it. Everything that runs per
 * entry is inline in eq.h. Called by whoever maps a ring, on any thread.
 */
#include "eq.h"

#define CAPACITY_MIN 2u
#define CAPACITY_MAX 65536u

size_t eq_ring_size_bytes(uint32_t capacity, uint32_t entry_bytes)
{
	if (capacity < CAPACITY_MIN || capacity > CAPACITY_MAX || (capacity & (capacity - 1)))
		return 0;
	if (entry_bytes != 16 && entry_bytes != 32 && entry_bytes != 64)
		return 0;
	return sizeof(struct eq_ring_control) + (size_t)capacity * entry_bytes;
}

int eq_ring_open(struct eq_ring *ring, void *memory, uint32_t capacity, uint32_t entry_bytes)
{
	if (!eq_ring_size_bytes(capacity, entry_bytes) || (uintptr_t)memory % EQ_LINE_BYTES)
		return -EINVAL;
	*ring = (struct eq_ring){
		.control = memory,
		.entries = (uint8_t *)memory + sizeof(struct eq_ring_control),
		.mask = capacity - 1,
		.stride = entry_bytes,
	};
	return 0;
}
