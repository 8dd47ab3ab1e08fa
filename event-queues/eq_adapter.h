/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adapter's queue pairs, completion queues and event queues (004, paragraphs on
 * the associations; FIG. 4-6): their contexts in adapter storage, which the HOST
 * writes by ALLOCATE, STORE and DEALLOCATE, and the ADAPTER, which reads them and
 * posts events. In Outrigger the host is the shim and the adapter an adjunct.
 *
 * Associations, as the seed allows them and no others:
 *   a queue pair has one or two completion queues (send, receive; may be the same),
 *   and one event queue, for its own non-completion events;
 *   a completion queue has one event queue, for its completions and its own
 *   non-completion events;
 *   several queue pairs share a completion queue; several queue pairs and completion
 *   queues share an event queue; several event queues share a summary byte.
 *
 * Threads: the host's calls from one thread; an adapter's from one thread. The
 * adapter trusts the storage (it is its own hypervisor's). The host trusts nothing in
 * it: it works on contexts of its own, and only publishes them in the storage.
 */
#ifndef EQ_ADAPTER_H
#define EQ_ADAPTER_H

#include "eq_queue.h"

enum eq_resource { EQ_RESOURCE_ADAPTER, EQ_RESOURCE_CQ, EQ_RESOURCE_QP };

/* ---- Storage: HOST and ADAPTER ----------------------------------------------- */

/* An adapter storage that is mapped here. Treat the fields as read-only. A copy of it
 * is as good, until it is closed. */
struct eq_storage {
	struct eq_storage_header *header;
	void *contexts; /* HOST: its own; NULL: ADAPTER */
	uint64_t bytes;
	uint32_t eqs, cqs, qps; /* contexts of each kind */
	struct eq_eq_context *eq; /* HOST: in `contexts`; ADAPTER: in the storage */
	struct eq_cq_context *cq;
	struct eq_qp_context *qp;
	uint64_t queues_offset; /* where event queues and summary bytes may lie */
	uint32_t hint_cq, hint_qp;
};

#define EQ_ADAPTER_EQS_MAX 64u
#define EQ_ADAPTER_CQS_MAX (1u << 22)
#define EQ_ADAPTER_QPS_MAX (1u << 22)

/*
 * Bytes of storage for that many contexts, with room for `eqs` event queues of
 * `capacity` entries. 0: out of range.
 */
uint64_t eq_storage_bytes(uint32_t eqs, uint32_t cqs, uint32_t qps, uint32_t capacity);

/* HOST: makes an empty storage of zeroed memory, aligned to a page. -EINVAL: out of
 * range, or `bytes` are too few; -ENOMEM. */
int eq_storage_format(void *memory, uint64_t bytes, uint32_t eqs, uint32_t cqs, uint32_t qps,
		      struct eq_storage *out);
/* ADAPTER: opens one that was made, by the size that the file has. -EPROTO: it is none. */
int eq_storage_open(void *memory, uint64_t bytes, struct eq_storage *out);
/* Either; the memory stays. Nobody uses a copy of `storage` any more. */
void eq_storage_close(struct eq_storage *storage);

/* Slots that an event queue of this adapter has, and whose they are. */
static inline uint32_t eq_storage_slots(const struct eq_storage *storage)
{
	return 1 + storage->cqs + storage->qps;
}

static inline uint32_t eq_storage_slot(const struct eq_storage *storage, enum eq_resource kind,
				       uint32_t index)
{
	switch (kind) {
	case EQ_RESOURCE_CQ: return 1 + index;
	case EQ_RESOURCE_QP: return 1 + storage->cqs + index;
	default: return EQ_SLOT_SELF;
	}
}

/* The reverse; an event queue's slot is checked by whoever took it from there. */
enum eq_resource eq_storage_resource(const struct eq_storage *storage, uint32_t slot,
				     uint32_t *index);

/* ---- ALLOCATE and DEALLOCATE: HOST -------------------------------------------- */

/* All of these: -ENOENT: the index is not allocated. */

struct eq_eq_spec {
	uint32_t capacity; /* a power of two; more than this many events wait */
	uint32_t isc, control, delay_us;
};
/* The new event queue's index; -ENOSPC: no context or no memory is left; -EINVAL. */
int eq_allocate_eq(struct eq_storage *storage, const struct eq_eq_spec *spec);
int eq_allocate_cq(struct eq_storage *storage);
int eq_allocate_qp(struct eq_storage *storage);

/* -EBUSY: something is still associated with it. The memory of an event queue is used
 * again by the next one: its adapter does not run, or knows that it is gone. */
int eq_deallocate_eq(struct eq_storage *storage, uint32_t eq);
/* An entry of it may still be in its event queue, with its slot and token, and stand for
 * events of whoever has the index next: whoever takes it looks there (eq_forward() does). */
int eq_deallocate_cq(struct eq_storage *storage, uint32_t cq);
int eq_deallocate_qp(struct eq_storage *storage, uint32_t qp);

/* ---- STORE: HOST ---------------------------------------------------------------- */

/*
 * Associations. -EBUSY: it is associated with another already; EQ_NONE takes an
 * association away. -EINVAL: a queue pair needs at least one completion queue.
 */
int eq_store_cq_eq(struct eq_storage *storage, uint32_t cq, uint32_t eq);
int eq_store_qp_eq(struct eq_storage *storage, uint32_t qp, uint32_t eq);
int eq_store_qp_cqs(struct eq_storage *storage, uint32_t qp, uint32_t send_cq, uint32_t receive_cq);

/* What the events of this resource will carry. */
int eq_store_cq_token(struct eq_storage *storage, uint32_t cq, uint64_t token);
int eq_store_qp_token(struct eq_storage *storage, uint32_t qp, uint64_t token);

/*
 * The event queue's summary byte, by its offset in the storage (0: none), which
 * several may share. -EINVAL: the offset is not in the storage's queue memory.
 */
int eq_store_eq_asb(struct eq_storage *storage, uint32_t eq, uint32_t offset);
int eq_store_eq_psb(struct eq_storage *storage, uint32_t eq, uint32_t offset);

/* A summary byte that no one has yet: its offset. The storage has 64. -ENOSPC. */
int eq_allocate_summary(struct eq_storage *storage);
eq_summary *eq_summary_at(const struct eq_storage *storage, uint32_t offset);

/* ---- LOAD: HOST and ADAPTER ------------------------------------------------------ */

/* Where event queue `eq` lies: for eq_poster_open() and eq_consumer_open(). */
int eq_load_eq(const struct eq_storage *storage, uint32_t eq, struct eq_queue *out);

struct eq_cq_view {
	uint32_t eq;
	uint64_t token;
};
int eq_load_cq(const struct eq_storage *storage, uint32_t cq, struct eq_cq_view *out);

struct eq_qp_view {
	uint32_t eq, send_cq, receive_cq;
	uint64_t token;
};
int eq_load_qp(const struct eq_storage *storage, uint32_t qp, struct eq_qp_view *out);

/* ---- ADAPTER: posting ------------------------------------------------------------- */

struct eq_adapter {
	struct eq_storage storage;
	struct eq_adapter_eq {
		struct eq_poster poster;
		uint32_t generation; /* of the context that `poster` was opened for; 0: none */
		bool touched;        /* since the last signal */
	} *eq;
	uint64_t unassociated; /* events of resources that have no event queue; dropped */
};

/* Over a storage that outlives it; goes on where a predecessor died. -ENOMEM. */
int eq_adapter_open(struct eq_adapter *adapter, const struct eq_storage *storage);
void eq_adapter_close(struct eq_adapter *adapter);

/*
 * A work request of `qp` has completed (FIG. 4, 402-410): which completion queue its
 * entry belongs into; EQ_NONE: there is none. Record the entry there, then call
 * eq_adapter_complete() for that queue.
 */
uint32_t eq_adapter_cq_of(const struct eq_adapter *adapter, uint32_t qp, bool receive);

/* A completion was recorded in `cq` (412-414). Call eq_adapter_signal() after the burst. */
void eq_adapter_complete(struct eq_adapter *adapter, uint32_t cq);

/* Something else happened to that resource (416-420). EQ_RESOURCE_ADAPTER: the index is
 * an event queue; call it for each that wants to hear about the adapter. */
void eq_adapter_event(struct eq_adapter *adapter, enum eq_resource kind, uint32_t index,
		      enum eq_event event);

/* After a burst, FIG. 5 and 6. True: an alert; ring the partition's host. */
bool eq_adapter_signal(struct eq_adapter *adapter, uint64_t now_ns);

/* As eq_poster_tick() and eq_poster_next_tick(), for all of the adapter's queues; those
 * that were not posted to yet are opened, with what a predecessor left in them. */
bool eq_adapter_tick(struct eq_adapter *adapter, uint64_t now_ns);
uint64_t eq_adapter_next_tick(const struct eq_adapter *adapter);

#endif
