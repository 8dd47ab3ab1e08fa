/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adapter's host, forwarders and guests do, said once more: plain lists and
 * sets, one thing after another, from the rules of 004 and the decisions in
 * event-queues/README.md. Shares nothing with the library but the names of events.
 * random.c runs both and compares what the guests see.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#define REF_CQS 48u
#define REF_QPS 16u
#define REF_GUESTS 8u
#define REF_SLOTS (1 + REF_CQS + REF_QPS)
#define REF_EVENTS 32u
#define REF_LIST 512u

/* One event on its way; `serial` says which allocation of the resource it was for. */
struct ref_event {
	uint32_t slot, event, serial;
	uint64_t token;
};

/* A first-in first-out list. */
struct ref_list {
	struct ref_event at[REF_LIST];
	uint32_t first, count;
};

/* A queue that keeps one entry for each (slot, event), and a set of those that wait. */
struct ref_queue {
	struct ref_list entries;
	uint32_t capacity;
	bool pending[REF_SLOTS][REF_EVENTS];
	bool held[REF_SLOTS][REF_EVENTS];
	uint32_t held_serial[REF_SLOTS];
	bool signalled;
};

struct ref_resource {
	bool allocated;
	uint32_t serial, guest, slot;
	uint64_t token;
};

struct ref_guest {
	bool exists;
	struct ref_queue queue;
	struct ref_list old; /* in the ring before the last resize */
	bool summary, interrupt, kick;
};

struct reference {
	struct ref_queue type1, type2;
	bool unsignalled1, unsignalled2;
	struct ref_resource cq[REF_CQS], qp[REF_QPS];
	struct ref_guest guest[REF_GUESTS];
	uint32_t serials;
	uint64_t stale, forwarded, overruns;
};

void ref_start(struct reference *ref, uint32_t host_capacity);

/* The adapter. */
void ref_complete(struct reference *ref, uint32_t cq, uint32_t event);
void ref_qp_event(struct reference *ref, uint32_t qp, uint32_t event);
void ref_adapter_event(struct reference *ref, uint32_t event);
void ref_signal(struct reference *ref);
void ref_tick(struct reference *ref);

/* The machine and the host. */
uint32_t ref_forward(struct reference *ref, uint32_t budget);
uint32_t ref_type2(struct reference *ref, uint32_t budget);
uint32_t ref_resume(struct reference *ref, uint32_t guest);
void ref_resize(struct reference *ref, uint32_t guest, uint32_t capacity);

/* Guests and what they have. */
void ref_guest_start(struct reference *ref, uint32_t guest, uint32_t capacity);
void ref_guest_stop(struct reference *ref, uint32_t guest);
void ref_allocate(struct reference *ref, struct ref_resource *resource, uint32_t guest,
		  uint32_t slot, uint64_t token);
void ref_deallocate(struct reference *ref, struct ref_resource *resource);
bool ref_consume(struct reference *ref, uint32_t guest, struct ref_event *out);

#endif
