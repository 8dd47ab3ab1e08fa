/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level 2: thousands of guests share one adapter of a partition, and each hears of
 * its own completions as if it owned it (004, FIG. 7-17).
 *
 *	adapter --EQE--> type-1 EQ  --forwarders--> event queue of the guest concerned,
 *	                 and PSB                    its ASB, its GISA -> alert
 *	adapter --EQE--> type-2 EQ  --host program-> the same, for non-completion events
 *	                 and ASB, PSB
 *
 * The adapter (eq_adapter.h) posts to two event queues only, whatever the number of
 * guests. The token in each entry of the type-1 queue is not the guest's: it names the
 * guest event queue associator (GEQA) of the completion queue, by index and
 * generation. From there a forwarder finds the guest event queue control block
 * (GEQCB): where the guest's queue is, its next free entry, its summary byte, its
 * interrupt state area. Nothing of this is known to adapter or guest.
 *
 * Three roles
 *   HOST       one thread: everything but eq_forward() and eq_host_sleep();
 *              it carries out what guests ask for (ALLOCATE, STORE, LOAD,
 *              DEALLOCATE are "intercepted") and hears type-2 events
 *   FORWARDER  up to `forwarders` threads call eq_forward(), at the same time
 *   GUEST      elsewhere: consumes with eq_queue.h, sleeps with eq_interrupt.h
 *
 * Trust: guests write their own storage as they like, adapters their event queues. A
 * forwarder copies what it reads once and checks it; it writes nowhere but into the
 * queue, marks, summary byte and interrupt state area that the guest named in its own
 * storage. Guest storage must not shrink while it is here (a sealed memfd).
 *
 * What the seed leaves open is decided in README.md, "Decisions".
 */
#ifndef EQ_HOST_H
#define EQ_HOST_H

#include "eq_adapter.h"

struct eq_host;         /* one partition */
struct eq_host_adapter; /* an adapter that its guests share */
struct eq_guest;

#define EQ_FORWARDERS_MAX 64u
#define EQ_HOST_ADAPTERS_MAX 64u

/* ---- The partition: HOST -------------------------------------------------------- */

/* What the host program and its platform do. Called on a forwarder's thread, or the
 * host's; must not block and not call back. */
struct eq_host_ops {
	/* A guest must be woken (FIG. 17, 1716). `guest_data` is eq_guest_create()'s. */
	void (*alert)(void *host_data, void *guest_data);
	/* A type-2 interrupt for the host program: it calls eq_host_type2() soon. */
	void (*present)(void *host_data);
};

/* Interruption subclasses of the event queues that the host allocates for its guests
 * (FIG. 11, 1102). */
#define EQ_HOST_ISC_TYPE1 1u
#define EQ_HOST_ISC_TYPE2 2u
/* Which event queues of its adapter's empty storage these become (FIG. 10). */
#define EQ_HOST_EQ_TYPE1 0u
#define EQ_HOST_EQ_TYPE2 1u

/* -EINVAL: `forwarders` is not 1 to EQ_FORWARDERS_MAX; -ENOMEM. */
int eq_host_create(unsigned forwarders, const struct eq_host_ops *ops, void *host_data,
		   struct eq_host **out);
/* Guests and adapters first; forwarders have stopped. */
void eq_host_destroy(struct eq_host *host);

/*
 * An adapter with an empty storage (which outlives it): its event queues for the
 * guests are made with the first guest that allocates one, and have `capacity` entries
 * each. -ENOSPC; -ENOMEM.
 */
int eq_host_add_adapter(struct eq_host *host, const struct eq_storage *storage, uint32_t capacity,
			struct eq_host_adapter **out);
/* -EBUSY: a guest still has something allocated. */
int eq_host_remove_adapter(struct eq_host_adapter *adapter);

/* ---- Guests: HOST --------------------------------------------------------------- */

/*
 * A guest with `bytes` of storage at `memory`, mapped here; the guest has mapped it
 * too. Everything it names below is an offset into it. `gisa_offset` is where its
 * interrupt state area is, a word's alignment. -EINVAL: outside; -ENOMEM.
 */
int eq_guest_create(struct eq_host *host, void *memory, uint64_t bytes, uint64_t gisa_offset,
		    void *guest_data, struct eq_guest **out);
/* Deallocates all it has. Events under way to it are dropped; on return no forwarder
 * touches its storage any more, which may be unmapped. */
void eq_guest_destroy(struct eq_guest *guest);

/* Ranges of guest storage that the host relies on: it must stay mapped while not 0
 * (the seed's pinned pages). */
unsigned eq_guest_pins(const struct eq_guest *guest);

/* ---- Intercepted ALLOCATE and DEALLOCATE ------------------------------------------- */

/*
 * In all of these -ENOENT: the index is not this guest's; -EINVAL: out of range of
 * the guest's storage, or misaligned; -ENOSPC; -ENOMEM.
 */
struct eq_guest_eq_spec {
	uint64_t ring_offset;  /* zeroed, eq_queue_size_bytes(capacity) */
	uint32_t capacity;     /* one entry is kept for EQ_EQ_OVERRUN */
	uint64_t marks_offset; /* zeroed, `slots` words */
	uint32_t slots;        /* 1 for the queue itself, 1 for each CQ and QP; at most
				  eq_storage_slots() of the adapter */
	unsigned gisc;         /* the guest's interruption subclass */
	uint32_t delay_us;     /* at most one interrupt in so long; 0: no limit */
};
/*
 * FIG. 10 and 11. The first of all on this adapter also allocates the type-1 and the
 * type-2 event queue. *id is above every event queue id of the adapter itself.
 *
 * If a host before this one has forgotten all, the guest's ring and marks are not
 * zeroed: entries in the ring stay and new ones follow them, marks are cleared, and each
 * completion queue that is associated with it has one EQ_COMPLETION entered, since
 * one may have been lost on the way.
 */
int eq_guest_allocate_eq(struct eq_guest *guest, struct eq_host_adapter *adapter,
			 const struct eq_guest_eq_spec *spec, uint32_t *id);
/* FIG. 12, steps 1200-1204. */
int eq_guest_allocate_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t *cq);
/* FIG. 14. */
int eq_guest_allocate_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t *qp);

/* -EBUSY: completion queues or queue pairs of it are still associated. Events of a
 * deallocated resource that are under way are dropped and counted as stale; entries of
 * it that are in the guest's queue stay there, with its token. */
int eq_guest_deallocate_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id);
int eq_guest_deallocate_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq);
int eq_guest_deallocate_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp);

/*
 * Gives the event queue another ring. On return nothing comes to the old one any
 * more: the guest consumes what is left there, then goes on in the new.
 */
int eq_guest_resize_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		       uint64_t ring_offset, uint32_t capacity, uint64_t now_ns);
int eq_guest_set_delay(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		       uint32_t delay_us);

/* ---- Intercepted STORE and LOAD ------------------------------------------------------ */

/* FIG. 12, 1206-1208: the token the guest's entries will carry; the adapter has the
 * GEQA's. */
int eq_guest_store_cq_token(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
			    uint64_t token);
/* FIG. 12, 1210-1212. -EBUSY: it has another event queue already; -ENOSPC: the event
 * queue has no slot left. Gives the slot. */
int eq_guest_store_cq_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
			 uint32_t id, uint32_t *slot);
/* FIG. 13: pins the byte's page. Several event queues may share it; UINT64_MAX: none. */
int eq_guest_store_eq_asb(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
			  uint64_t asb_offset);
int eq_guest_store_qp_cqs(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			  uint32_t send_cq, uint32_t receive_cq);
int eq_guest_store_qp_token(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			    uint64_t token);
/* FIG. 15: for the adapter it is the type-2 event queue. As eq_guest_store_cq_eq(). */
int eq_guest_store_qp_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			 uint32_t id, uint32_t *slot);

/* LOAD gives back what the guest stored, never what the adapter has. */
int eq_guest_load_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
		     struct eq_cq_view *out);
int eq_guest_load_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
		     struct eq_qp_view *out);

struct eq_guest_eq_view {
	struct eq_guest_eq_spec spec;
	uint64_t asb_offset; /* UINT64_MAX: none */
	uint32_t depth;      /* entries the guest has not consumed, as far as it says */
	uint64_t forwarded;  /* entries ever put */
	uint64_t overruns;   /* times it was full */
	uint32_t held;       /* resources whose events wait for room in it */
	bool broken;         /* the guest wrote what no honest guest writes; nothing more comes */
};
int eq_guest_load_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		     struct eq_guest_eq_view *out);

/* ---- Non-completion events: HOST --------------------------------------------------------- */

/* A type-2 event, before it is forwarded to whom it concerns. */
struct eq_type2_event {
	enum eq_event event;
	enum eq_resource kind;
	uint32_t index;
	struct eq_guest *guest; /* of a QP; NULL: all guests of the adapter */
};
typedef void eq_type2_fn(void *host_data, struct eq_host_adapter *adapter,
			 const struct eq_type2_event *event);

/*
 * The host program's own interrupt: takes what the type-2 event queues with their ASB
 * set hold, tells `seen` (may be NULL), and forwards it: an event of a queue pair to
 * the event queue of that queue pair, one of the adapter to every guest's event queue
 * there. At most `budget` of them; returns how many. `now_ns` as in eq_forward().
 */
unsigned eq_host_type2(struct eq_host *host, unsigned budget, uint64_t now_ns, eq_type2_fn *seen);

/* As if the adapter itself had reported it: to every guest's event queue there. */
void eq_host_raise(struct eq_host_adapter *adapter, enum eq_event event, uint64_t now_ns);

/* ---- FORWARDER ------------------------------------------------------------------------------ */

/*
 * FIG. 16 from the interrupt on, and FIG. 17: moves at most about `budget` events from
 * type-1 event queues whose PSB is set to the guests' queues. `forwarder` is the
 * thread's own number, 0 to forwarders - 1. Returns how many; 0: nothing was there.
 * `now_ns` is for guests with a delay only.
 */
unsigned eq_forward(struct eq_host *host, unsigned forwarder, unsigned budget, uint64_t now_ns);

/*
 * Before a forwarder sleeps: true if nothing is pending anywhere; then adapters return
 * "alert" from eq_adapter_signal(), once, and whoever posts must wake it. False: call
 * eq_forward() or eq_host_type2() again.
 */
bool eq_host_sleep(struct eq_host *host);
/* When the next delayed interrupt is due; UINT64_MAX: none waits. Any thread. */
uint64_t eq_host_next_due(const struct eq_host *host);

/*
 * The guest has made room in an event queue that was full (its
 * eq_consumer_must_wake_poster() said so, and it kicked us): forwards what was held
 * back, in the order of slots. Returns how many. Thread: HOST.
 */
unsigned eq_guest_resume(struct eq_guest *guest, uint64_t now_ns);

/* ---- Figures ------------------------------------------------------------------------------------ */

struct eq_host_stats {
	uint64_t forwarded; /* entries put into guests' queues */
	uint64_t coalesced; /* the guest had not consumed the last one yet */
	uint64_t stale;     /* token of a resource that is gone, or of none */
	uint64_t invalid;   /* entries no honest adapter writes */
	uint64_t held;      /* found a full queue */
	uint64_t broken;    /* dropped: the guest's queue is broken */
	uint64_t alerts;
	uint64_t type2;
};
/* Since the host was created. Any thread. */
void eq_host_stats(const struct eq_host *host, struct eq_host_stats *out);

/* Host structures for one guest with one event queue and `cqs` completion queues. */
size_t eq_guest_bytes(unsigned cqs);

#endif
