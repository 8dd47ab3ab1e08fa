/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition for the tests of event-queues/: one adapter's storage as the host and as
 * the adapter see it, the adapter, the host program of level 2, and guests whose storage
 * lies between pages that nobody may touch. Everything on the test's thread unless a
 * test starts others. Every call asserts that it succeeds.
 */
#ifndef EVENTS_SUPPORT_H
#define EVENTS_SUPPORT_H

#include <criterion/criterion.h>

#include "eq_host.h"

/* ---- Level 1 -------------------------------------------------------------------- */

struct rig_adapter {
	void *memory;
	uint64_t bytes;
	struct eq_storage host;    /* the host's view */
	struct eq_adapter adapter; /* has the adapter's */
};

void rig_adapter_start(struct rig_adapter *rig, uint32_t eqs, uint32_t cqs, uint32_t qps,
		       uint32_t capacity);
void rig_adapter_stop(struct rig_adapter *rig);
/* The adapter dies and another takes over. */
void rig_adapter_restart(struct rig_adapter *rig);

/* Consumes one entry that must be this one; or there must be none. */
void expect_entry(struct eq_consumer *consumer, uint32_t slot, enum eq_event event, uint64_t token);
void expect_none(struct eq_consumer *consumer);

/* Marks that are set in the event queue. */
uint32_t marks_set(const struct eq_queue *queue);

/* ---- Level 2 -------------------------------------------------------------------- */

/* Places in a guest's storage. */
#define GUEST_GISA 0u
#define GUEST_ASB 64u
#define GUEST_MARKS 128u
#define GUEST_SLOTS_MAX 1024u
#define GUEST_RING (GUEST_MARKS + GUEST_SLOTS_MAX * 4)
#define GUEST_RING_BYTES 16384u /* room for a ring of 512 */
#define GUEST_RINGS 3u
#define GUEST_BYTES (GUEST_RING + GUEST_RINGS * GUEST_RING_BYTES)
#define GUEST_GISC 3u

struct rig {
	struct rig_adapter io;
	struct eq_host *host;
	struct eq_host_adapter *shared;
	unsigned presents;
};

struct rig_guest {
	struct rig *rig;
	uint8_t *memory;
	struct eq_guest *guest;
	struct eq_interrupts *gisa;
	eq_summary *asb;
	struct eq_guest_eq_spec spec;
	uint32_t id;
	struct eq_consumer consumer;
	_Atomic unsigned alerts;
};

/* An adapter whose type-1 and type-2 event queues have `capacity` entries. */
void rig_start(struct rig *rig, unsigned forwarders, uint32_t cqs, uint32_t qps, uint32_t capacity);
void rig_stop(struct rig *rig);

/* A guest with one event queue with an ASB and room for `slots` resources. */
void guest_start(struct rig *rig, struct rig_guest *guest, uint32_t capacity, uint32_t slots);
void guest_stop(struct rig_guest *guest);
/* Its own view of a ring of its storage. */
void guest_open_ring(struct rig_guest *guest, uint64_t ring_offset, uint32_t capacity);

/* A completion queue, associated; and its slot. */
uint32_t guest_cq(struct rig_guest *guest, uint64_t token, uint32_t *slot);
uint32_t guest_qp(struct rig_guest *guest, uint32_t cq, uint64_t token, uint32_t *slot);

/* The adapter completes `cq`, signals; then all is forwarded. */
void complete(struct rig *rig, uint32_t cq);
void complete_and_forward(struct rig *rig, uint32_t cq);
unsigned forward_all(struct rig *rig);
struct eq_host_stats stats_of(const struct rig *rig);

/* Guard pages on both sides; `bytes` are rounded up to pages, and end at the upper one. */
void *map_guarded(uint64_t bytes);
void unmap_guarded(void *memory, uint64_t bytes);

#endif
