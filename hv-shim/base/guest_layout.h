/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory format of a guest's storage, version 2: between the shim, whose
 * forwarder writes events there, and a program linked with liboutrigger (004, FIG. 2
 * and 9: guest event queues, adapter summary bytes, interrupt state area).
 *
 * One sealed memfd made by the shim:
 *
 *   [interrupt state area, summary bytes][queue 0][queue 1]...
 *
 * Each queue belongs to one device: an event queue's ring, with its marks in the line
 * of the control words. Queue i has summary byte i: the first 56 of them share a cache
 * line with the interrupt state, the others 64 a line, so that a guest with many
 * devices looks at few. An event of a guest with few devices changes three lines.
 *
 * Slots of a queue: 0 the device's own events, then GUEST_SLOT_SEND and _RECEIVE for
 * the two completion queues of a native net device.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "eq_layout.h"

#define GUEST_LAYOUT_VERSION 2
#define GUEST_QUEUES_MAX 1024u
#define GUEST_ENTRIES_DEFAULT 16u
#define GUEST_ISC 0u /* the guest's interruption subclass, of all its queues */

enum guest_slot { GUEST_SLOT_SELF, GUEST_SLOT_SEND, GUEST_SLOT_RECEIVE, GUEST_SLOTS };

/* Offsets in bytes from the start of the storage. */
struct guest_layout {
	uint32_t queues, entries;
	size_t interrupts, summaries, first_queue;
	size_t queue_bytes; /* from one queue to the next */
	size_t marks;       /* from the start of a queue */
	size_t size_bytes;  /* of the whole storage, a multiple of 4096 */
};

/* -EINVAL: `queues` is not 1 to GUEST_QUEUES_MAX, or `entries` no power of two from 4
 * to 4,096. */
int guest_layout_compute(uint32_t queues, uint32_t entries, struct guest_layout *out);

#endif
