/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host structures of level 2 (004, FIG. 7-9), private to eq_host.c, eq_guest.c,
 * eq_deliver.c and eq_forward.c. The host's thread writes them; forwarders read them at
 * the same time.
 * What a forwarder may still see is freed only after wait_for_forwarders().
 */
#ifndef EQ_HOST_INTERNAL_H
#define EQ_HOST_INTERNAL_H

#include "eq_host.h"

enum geqcb_state {
	GEQCB_OPEN,
	GEQCB_HOLDING, /* it is being resized: events wait */
	GEQCB_BROKEN,  /* the guest wrote what no honest guest writes */
	GEQCB_DEAD,    /* it is being deallocated */
};

/*
 * Guest event queue associator (FIG. 7): of a guest's completion queue, or, so that
 * all events go one way, of its queue pair, or of the event queue itself. It also says
 * where in the guest's memory an event will be written, so that this memory and the
 * control block are on their way to the processor at the same time.
 */
struct eq_geqa {
	_Atomic(struct eq_geqcb *) geqcb; /* 702; NULL: no event queue yet */
	_Atomic uint64_t token;           /* 704: the guest's */
	_Atomic uint32_t generation;      /* odd: allocated */
	_Atomic uint32_t held;            /* events the queue had no room for, a bit each */
	uint32_t slot;                    /* in the guest's event queue */
	eq_marks *mark;                   /* of that slot */
	_Atomic(void *) next_entry;       /* probably; only ever prefetched */
	uint64_t reserved[2];
};
static_assert(sizeof(struct eq_geqa) == EQ_LINE_BYTES, "an adapter's begin with a line each");

/*
 * Guest event queue control block (FIG. 8): what every forwarded event needs, and no
 * more. An adapter's lie close together, a line each: of thousands, chosen at random,
 * it counts on how many pages and in how many sets of the cache they are.
 */
struct eq_geqcb {
	alignas(EQ_LINE_BYTES) struct eq_interrupts *gisa; /* 802 */
	_Atomic(eq_summary *) asb;        /* 806 */
	struct eq_queue_control *control; /* the guest's ring; changes while HOLDING only */
	struct eq_guest_eq *eq;           /* NULL: free */
	uint32_t mask;                    /* capacity - 1 */
	uint32_t gisc;                    /* 804 */
	_Atomic uint32_t next;            /* 808: the entry to be used next */
	_Atomic uint32_t state;
	_Atomic uint64_t delay_ns;
};
static_assert(sizeof(struct eq_geqcb) == EQ_LINE_BYTES, "forwarding needs one line");
#define EQ_GEQCBS_PER_SLAB 64u /* of one allocation: a page */

/* The rest of it: what is needed when there is no room, with a delay, or by the host. */
struct eq_guest_eq {
	struct eq_geqa self;       /* for events of the queue itself and of the adapter */
	eq_marks *marks;
	struct eq_guest *guest;
	_Atomic uint64_t timer_ns;
	_Atomic uint32_t deferred; /* in the host's list of delayed interrupts */
	_Atomic uint32_t blocked;  /* some events are held */
	struct eq_geqcb *next_deferred;
	_Atomic uint64_t overruns;
	/* What the host alone uses. */
	struct eq_geqa **slot;     /* whose each slot is; NULL: free; grows up to spec.slots */
	uint32_t slots, slots_used;
	uint64_t forwarded;        /* up to `counted` */
	uint32_t counted;          /* `next` when it was last looked at */
	uint32_t id;
	struct eq_geqcb *next_of_guest;
	struct eq_guest_eq_spec spec;
	uint64_t asb_offset;
	struct eq_host_adapter *adapter;
	bool used;                 /* by a host before us, who left no word */
};

struct eq_host_adapter {
	/* What forwarders use. */
	_Atomic(eq_summary *) psb;      /* type 1; NULL: no guest has an event queue yet */
	eq_summary *type2_psb;
	alignas(EQ_LINE_BYTES) _Atomic uint32_t claim; /* a forwarder takes from type 1 */
	struct eq_consumer type1;       /* under the claim */
	struct eq_geqa *geqa;           /* cqs, then qps */
	struct eq_storage storage;
	struct eq_host *host;
	/* What the host uses. */
	struct eq_consumer type2;
	uint32_t capacity, index;
	int type1_eq, type2_eq; /* -1: not allocated */
	struct eq_guest **owner; /* of each geqa */
	struct eq_geqcb **slab;  /* of EQ_GEQCBS_PER_SLAB; they stay where they are */
	uint32_t geqcbs, geqcbs_max, geqcb_hint;
};

struct eq_guest {
	struct eq_host *host;
	struct eq_guest *next, **link;
	uint8_t *memory;
	uint64_t bytes;
	struct eq_interrupts *gisa;
	void *data;
	struct eq_geqcb *geqcbs;
	unsigned pins;
};

/* One for each forwarder and one for the host. */
struct eq_section {
	alignas(EQ_LINE_BYTES) _Atomic uint64_t epoch; /* odd: inside eq_forward() */
	/* Written by its thread, read by any. */
	_Atomic uint64_t forwarded, coalesced, stale, invalid, held, broken, alerts, type2;
	unsigned first_adapter;
};

struct eq_host {
	struct eq_host_ops ops;
	void *data;
	unsigned forwarders;
	_Atomic unsigned adapters; /* places of `adapter` that were ever used */
	_Atomic(struct eq_host_adapter *) adapter[EQ_HOST_ADAPTERS_MAX];
	struct eq_guest *guests;
	alignas(EQ_LINE_BYTES) _Atomic(struct eq_geqcb *) deferred;
	_Atomic uint64_t deferred_due_ns;
	struct eq_section section[]; /* forwarders, then the host */
};

/* A counter with one writer: no atomic addition needed. */
static inline void add(_Atomic uint64_t *counter, uint64_t number)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + number,
			      memory_order_relaxed);
}

static inline void count(_Atomic uint64_t *counter)
{
	add(counter, 1);
}

/* By id - storage.eqs, below geqcbs_max. */
static inline struct eq_geqcb *geqcb_at(const struct eq_host_adapter *adapter, uint32_t index)
{
	return &adapter->slab[index / EQ_GEQCBS_PER_SLAB][index % EQ_GEQCBS_PER_SLAB];
}

static inline struct eq_section *host_section(struct eq_host *host)
{
	return &host->section[host->forwarders];
}

/* On return every forwarder has seen what was stored before. Host's thread. */
void wait_for_forwarders(struct eq_host *host);

/* Forwards one event (FIG. 17, 1704-1716). False: it is held with its resource. */
bool eq_deliver(struct eq_host *host, struct eq_section *section, struct eq_geqa *geqa,
		struct eq_geqcb *geqcb, enum eq_event event, uint64_t now_ns);

/* Interrupts whose delay is over. Forwarders' threads. */
void eq_post_deferred(struct eq_host *host, struct eq_section *section, uint64_t now_ns);

/* Delivers what is held for this event queue. Host's thread. */
unsigned eq_geqcb_resume(struct eq_geqcb *geqcb, uint64_t now_ns);

/* Takes a dead control block off the list of delayed interrupts. Host's thread. */
void eq_geqcb_undefer(struct eq_geqcb *geqcb);

#endif
