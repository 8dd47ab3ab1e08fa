/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter's side of level 1: which completion queue a completion belongs into,
 * which event queue hears of it, and what happens when the host allocates event
 * queues while the adapter works (004, FIG. 4-6). The adapter's one thread.
 */
#include "eq_adapter.h"

#include <stdlib.h>

int eq_adapter_open(struct eq_adapter *adapter, const struct eq_storage *storage)
{
	*adapter = (struct eq_adapter){.storage = *storage};
	adapter->eq = calloc(storage->eqs, sizeof(*adapter->eq));
	return adapter->eq ? 0 : -ENOMEM;
}

void eq_adapter_close(struct eq_adapter *adapter)
{
	for (uint32_t i = 0; adapter->eq && i < adapter->storage.eqs; i++)
		eq_poster_close(&adapter->eq[i].poster);
	free(adapter->eq);
	*adapter = (struct eq_adapter){0};
}

/* What events that a predecessor marked and did not enter will carry. */
static void set_tokens(const struct eq_storage *storage, uint32_t eq, struct eq_poster *poster)
{
	struct eq_cq_view cq;
	struct eq_qp_view qp;

	for (uint32_t i = 0; i < storage->cqs; i++) {
		if (eq_load_cq(storage, i, &cq) == 0 && cq.eq == eq)
			eq_poster_set_token(poster, eq_storage_slot(storage, EQ_RESOURCE_CQ, i),
					    cq.token);
	}
	for (uint32_t i = 0; i < storage->qps; i++) {
		if (eq_load_qp(storage, i, &qp) == 0 && qp.eq == eq)
			eq_poster_set_token(poster, eq_storage_slot(storage, EQ_RESOURCE_QP, i),
					    qp.token);
	}
}

static struct eq_poster *open_poster(struct eq_adapter *adapter, uint32_t eq)
{
	struct eq_adapter_eq *entry = &adapter->eq[eq];
	uint32_t generation = adapter->storage.eq[eq].generation;
	struct eq_queue queue;

	eq_poster_close(&entry->poster);
	entry->generation = 0;
	if (eq_load_eq(&adapter->storage, eq, &queue) || eq_poster_open(&entry->poster, &queue))
		return NULL;
	set_tokens(&adapter->storage, eq, &entry->poster);
	entry->generation = generation;
	entry->touched = true; /* what a predecessor left may not be signalled */
	return &entry->poster;
}

/* NULL: that event queue is not there. */
static inline struct eq_poster *poster_of(struct eq_adapter *adapter, uint32_t eq)
{
	if (eq >= adapter->storage.eqs)
		return NULL;
	const struct eq_eq_context *context = &adapter->storage.eq[eq];
	struct eq_adapter_eq *entry = &adapter->eq[eq];

	/* acquire: the context was written before it became valid. */
	if (!atomic_load_explicit(&context->valid, memory_order_acquire))
		return NULL;
	if (entry->generation == context->generation)
		return &entry->poster;
	return open_poster(adapter, eq);
}

static void post(struct eq_adapter *adapter, uint32_t eq, uint32_t slot, enum eq_event event,
		 uint64_t token)
{
	struct eq_poster *poster = poster_of(adapter, eq);

	if (!poster) {
		adapter->unassociated++;
		return;
	}
	eq_poster_add(poster, slot, event, token);
	adapter->eq[eq].touched = true;
}

uint32_t eq_adapter_cq_of(const struct eq_adapter *adapter, uint32_t qp, bool receive)
{
	struct eq_qp_view view;

	if (eq_load_qp(&adapter->storage, qp, &view))
		return EQ_NONE;
	if (receive)
		return view.receive_cq != EQ_NONE ? view.receive_cq : view.send_cq;
	return view.send_cq != EQ_NONE ? view.send_cq : view.receive_cq;
}

void eq_adapter_complete(struct eq_adapter *adapter, uint32_t cq)
{
	struct eq_cq_view view;

	if (eq_load_cq(&adapter->storage, cq, &view) == 0)
		post(adapter, view.eq, 1 + cq, EQ_COMPLETION, view.token);
}

void eq_adapter_event(struct eq_adapter *adapter, enum eq_resource kind, uint32_t index,
		      enum eq_event event)
{
	const struct eq_storage *storage = &adapter->storage;
	uint32_t slot = eq_storage_slot(storage, kind, index);
	struct eq_cq_view cq;
	struct eq_qp_view qp;

	if (kind == EQ_RESOURCE_ADAPTER)
		post(adapter, index, slot, event, 0);
	else if (kind == EQ_RESOURCE_CQ && eq_load_cq(storage, index, &cq) == 0)
		post(adapter, cq.eq, slot, event, cq.token);
	else if (kind == EQ_RESOURCE_QP && eq_load_qp(storage, index, &qp) == 0)
		post(adapter, qp.eq, slot, event, qp.token);
}

/*
 * STORE may have come after the queue was opened, and a queue whose PSB we did not
 * know of would never be looked at. Whoever is associated with the queue later than
 * the byte was stored is seen later too: eq_load_cq() has acquired it.
 */
static void load_summaries(const struct eq_storage *storage, uint32_t eq, struct eq_queue *queue)
{
	const struct eq_eq_context *context = &storage->eq[eq];

	queue->asb = eq_summary_at(storage, atomic_load_explicit(&context->asb_offset,
								 memory_order_acquire));
	queue->psb = eq_summary_at(storage, atomic_load_explicit(&context->psb_offset,
								 memory_order_acquire));
}

bool eq_adapter_signal(struct eq_adapter *adapter, uint64_t now_ns)
{
	bool wake = false;

	for (uint32_t i = 0; i < adapter->storage.eqs; i++) {
		struct eq_adapter_eq *entry = &adapter->eq[i];

		if (!entry->touched)
			continue;
		entry->touched = false;
		load_summaries(&adapter->storage, i, &entry->poster.queue);
		wake |= eq_poster_signal(&entry->poster, now_ns);
	}
	return wake;
}

bool eq_adapter_tick(struct eq_adapter *adapter, uint64_t now_ns)
{
	bool wake = false;

	for (uint32_t i = 0; i < adapter->storage.eqs; i++) {
		struct eq_poster *poster = poster_of(adapter, i);

		if (!poster)
			continue;
		load_summaries(&adapter->storage, i, &poster->queue);
		wake |= eq_poster_tick(poster, now_ns);
	}
	return wake;
}

uint64_t eq_adapter_next_tick(const struct eq_adapter *adapter)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < adapter->storage.eqs; i++) {
		const struct eq_eq_context *context = &adapter->storage.eq[i];

		if (!atomic_load_explicit(&context->valid, memory_order_acquire))
			continue;
		/* Not opened yet: a predecessor may have left something in it. */
		if (adapter->eq[i].generation != context->generation)
			return 0;
		uint64_t at = eq_poster_next_tick(&adapter->eq[i].poster);
		if (at < next)
			next = at;
	}
	return next;
}
