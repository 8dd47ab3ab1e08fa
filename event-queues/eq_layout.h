/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory format of the event-queues folder, version 1.
 *
 * Two processes that do not trust each other map these structures. Fixed-width
 * types only, no pointers; every size and offset is asserted. Geometry
 * (capacity, entry size) is never read from shared memory: each side was told
 * it over its control socket and keeps it in a private handle (struct eq_ring).
 */
#ifndef EQ_LAYOUT_H
#define EQ_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define EQ_LAYOUT_VERSION 1

/* Cache line of every machine this runs on; each word below has its own. */
#define EQ_LINE_BYTES 64

/*
 * Ring control words. Each line has one habitual writer, so that polling one
 * never steals the line another side is writing.
 */
struct eq_ring_control {
	/* CONSUMER writes: entries released so far, free-running. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t consumed;
	/* CONSUMER sets before it sleeps, PRODUCER clears when it wakes it. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t consumer_armed;
	/* PRODUCER sets before it sleeps for space, CONSUMER clears. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t producer_armed;
	alignas(EQ_LINE_BYTES) uint8_t reserved[EQ_LINE_BYTES];
};
static_assert(sizeof(struct eq_ring_control) == 256, "ring control is four lines");
static_assert(offsetof(struct eq_ring_control, consumed) == 0, "layout");
static_assert(offsetof(struct eq_ring_control, consumer_armed) == 64, "layout");
static_assert(offsetof(struct eq_ring_control, producer_armed) == 128, "layout");

/*
 * Entries follow the control block. An entry is 16, 32 or 64 bytes: this
 * sequence word, then the payload. The entry at free-running position p lives
 * in slot p % capacity and is valid when its sequence equals p + 1, so one
 * cache line carries both the request and the news that it is there.
 */
struct eq_ring_entry {
	_Atomic uint32_t sequence;
	uint8_t payload[];
};
static_assert(sizeof(struct eq_ring_entry) == 4, "sequence word leads the entry");

#endif
