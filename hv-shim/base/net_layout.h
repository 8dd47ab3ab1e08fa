/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory format of a native net device, version 3: the window between
 * a program linked with liboutrigger and its adjunct (000, FIG. 7, step 775:
 * the virtual input/output request queuing interface).
 *
 * One sealed memfd made by the shim, mapped by the partition and the adjunct:
 *
 *   [transmit ring][receive ring][transmit buffers][receive buffers][service interface]
 *
 * Both rings are eq_rings (event-queues/eq.h) of the same capacity with 16-byte
 * entries. Slot i of a ring owns buffer i of its area, for ever: no offset is
 * ever read from shared memory, and a length is the only thing to check.
 *   transmit ring: PRODUCER partition, CONSUMER adjunct
 *   receive ring:  PRODUCER adjunct,   CONSUMER partition
 * A frame starts with its Ethernet header and has no FCS. The service interface is
 * service_layout.h's.
 *
 * Doorbells are eventfds, made by the shim, handed out beside the memfd in
 * this order: NET_BELL_ADJUNCT wakes the adjunct (frames to transmit, or space
 * on the receive ring), NET_BELL_PARTITION wakes the partition (frames
 * received, or space on the transmit ring).
 */
#ifndef NET_LAYOUT_H
#define NET_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define NET_LAYOUT_VERSION 3

enum net_bell { NET_BELL_ADJUNCT, NET_BELL_PARTITION, NET_BELLS };

/* Payload of a ring entry: what follows the sequence word. */
struct net_entry {
	uint16_t length_bytes; /* of the frame, NET_FRAME_MIN to NET_FRAME_MAX */
	uint16_t flags;        /* 0 in version 1; anything else is refused */
	uint32_t reserved[2];  /* 0 */
};
static_assert(sizeof(struct net_entry) == 12, "12 bytes follow the sequence word");
static_assert(offsetof(struct net_entry, reserved) == 4, "layout");

#define NET_ENTRY_BYTES 16
#define NET_FRAME_MIN 14   /* an Ethernet header */
#define NET_FRAME_MAX 2034 /* MTU 2016 + header + one VLAN tag */
/* 33 lines: an odd number, so that the first lines of neighbouring buffers
 * fall into different cache sets. */
#define NET_BUFFER_BYTES 2112
#define NET_RING_ENTRIES_DEFAULT 512
static_assert(NET_FRAME_MAX <= NET_BUFFER_BYTES, "a frame fits its buffer");
static_assert(NET_BUFFER_BYTES % 64 == 0 && (NET_BUFFER_BYTES / 64) % 2 == 1, "odd line count");

/* Offsets in bytes from the start of the region. */
struct net_layout {
	uint32_t ring_entries;
	size_t tx_ring, rx_ring, tx_buffers, rx_buffers;
	size_t cell, requests, completions, request_data, completion_data;
	size_t size_bytes; /* of the whole region, a multiple of 4096 */
};

/* -EINVAL: `ring_entries` is not a power of two from 2 to 65,536. */
int net_layout_compute(uint32_t ring_entries, struct net_layout *out);

#endif
