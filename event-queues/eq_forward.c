/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine firmware's part of level 2 (004, FIG. 16 from 1608 on): out of the
 * adapters' event queues. Any number of forwarders at a time: one of them takes a few
 * entries from a type-1 queue under its claim, then forwards them (eq_deliver.c) while
 * others take the next. eq_forward() on forwarders' threads, eq_host_type2() on the
 * host's.
 */
#include "eq_host_internal.h"

/* Entries taken under one claim. */
#define CHUNK 16u

/* ---- From the type-1 event queues ------------------------------------------------ */

/* An entry on its way: looked up in steps, so that the memory of several guests is on
 * its way to the processor at the same time. */
struct passage {
	struct eq_entry entry;
	struct eq_geqa *geqa;
	struct eq_geqcb *geqcb; /* NULL: goes nowhere */
};

/*
 * What delivering to this guest will touch, all at once, not one found through the other:
 * with as many guests as fit in no cache, or with a guest on another processor, that is
 * what an event costs.
 */
static void fetch(const struct eq_geqa *geqa, const struct eq_geqcb *geqcb)
{
	__builtin_prefetch(geqcb, 1);
	__builtin_prefetch(geqa->mark, 1);
	__builtin_prefetch(atomic_load_explicit(&geqa->next_entry, memory_order_relaxed), 1);
}

/* 1700: the token in the entry is the associator's index and generation. */
static void look_up(struct eq_section *section, struct passage *passage)
{
	uint32_t generation = (uint32_t)(passage->entry.token >> 32);
	/* acquire: partner is the host, which fills the associator before. */
	uint32_t now = atomic_load_explicit(&passage->geqa->generation, memory_order_acquire);

	passage->geqcb = NULL;
	if (now != generation)
		count(&section->stale);
	/* If the index has a new owner it gets the event: its own may have been
	 * swallowed by the mark that this entry stood for. */
	if (now & 1)
		passage->geqcb = atomic_load_explicit(&passage->geqa->geqcb, memory_order_acquire);
	else if (now == generation)
		count(&section->stale);
	if (passage->geqcb)
		fetch(passage->geqa, passage->geqcb);
}

/*
 * Whose the entry is that will be taken next; NULL: nobody's. Only to fetch what it will
 * need while we are busy with other things: eq_consume() takes it, and it is checked
 * again. The claim is ours.
 */
static const struct eq_geqa *expect(const struct eq_host_adapter *adapter)
{
	const struct eq_ring *ring = &adapter->type1.ring;
	struct eq_eqe eqe;

	eq_ring_copy_in(&eqe, eq_ring_entry_at(ring, ring->position), sizeof(eqe));
	return eqe.token[0] < adapter->storage.cqs ? &adapter->geqa[eqe.token[0]] : NULL;
}

/* The first entry of a chunk: nothing is known of it yet, and it may be the only one. */
static void expect_first(const struct eq_host_adapter *adapter)
{
	const struct eq_geqa *geqa = expect(adapter);
	/* acquire: partner is the host, which fills the associator before. */
	const struct eq_geqcb *geqcb =
		geqa ? atomic_load_explicit(&geqa->geqcb, memory_order_acquire) : NULL;

	if (geqcb)
		fetch(geqa, geqcb);
}

/*
 * Takes up to `most` entries; the claim is ours. Only completion queues have the
 * type-1 queue: an entry of another resource, or whose token is not that of its slot,
 * is none that an honest adapter writes. Those count as well: an adapter that writes
 * nothing else does not keep us here.
 */
static unsigned take(struct eq_host_adapter *adapter, struct eq_section *section,
		     struct passage *passages, unsigned most)
{
	uint32_t invalid_before = adapter->type1.invalid;
	unsigned taken = 0;

	for (unsigned i = 0; i < most && eq_consume(&adapter->type1, &passages[taken].entry); i++) {
		const struct eq_entry *entry = &passages[taken].entry;
		uint32_t index = (uint32_t)entry->token;

		if (index >= adapter->storage.cqs ||
		    entry->slot != eq_storage_slot(&adapter->storage, EQ_RESOURCE_CQ, index)) {
			count(&section->invalid);
			continue;
		}
		passages[taken].geqa = &adapter->geqa[index];
		taken++;
		__builtin_prefetch(expect(adapter), 1); /* NULL does no harm */
	}
	add(&section->invalid, adapter->type1.invalid - invalid_before);
	return taken;
}

/*
 * One chunk of one adapter. 0: its type-1 queue is empty, or another forwarder is at
 * it, who then looks again after it has let go (1608: the PSB tells where to look).
 */
static unsigned forward_chunk(struct eq_host *host, struct eq_section *section,
			      struct eq_host_adapter *adapter, eq_summary *psb, unsigned most,
			      uint64_t now_ns)
{
	struct passage passages[CHUNK];
	bool alone = host->forwarders == 1; /* nobody to claim it from */

	/* acquire: partner is the release below; the consumer's state is whole. */
	if (!alone && atomic_exchange_explicit(&adapter->claim, 1, memory_order_acq_rel))
		return 0;
	expect_first(adapter);
	/* Cleared before anything is consumed: what comes later sets it again. */
	atomic_exchange_explicit(psb, 0, memory_order_acq_rel);
	unsigned taken = take(adapter, section, passages, most);
	if (eq_consumer_end(&adapter->type1))
		atomic_store_explicit(psb, 1, memory_order_release);
	/* An exchange, not a store: it must come after the claim of whoever was turned
	 * away, so that our next look at the PSB sees what that one saw. */
	if (!alone)
		atomic_exchange_explicit(&adapter->claim, 0, memory_order_acq_rel);

	for (unsigned i = 0; i < taken; i++)
		look_up(section, &passages[i]);
	for (unsigned i = 0; i < taken; i++) {
		if (passages[i].geqcb)
			eq_deliver(host, section, passages[i].geqa, passages[i].geqcb,
				   passages[i].entry.event, now_ns);
	}
	return taken;
}

static unsigned forward_adapter(struct eq_host *host, struct eq_section *section,
				struct eq_host_adapter *adapter, unsigned budget, uint64_t now_ns)
{
	struct eq_interrupts *izone = &adapter->storage.header->izone;
	const uint32_t iscs = 1u << EQ_HOST_ISC_TYPE1 | 1u << EQ_HOST_ISC_TYPE2;
	unsigned moved = 0, looks = 0;
	/* acquire: partner is the host, which opens the type-1 queue before. */
	eq_summary *psb = atomic_load_explicit(&adapter->psb, memory_order_acquire);

	if (!psb)
		return 0;
	/* The interrupt first, then the summary: whoever posts does it the other way round. */
	if (eq_interrupt_pending(izone, iscs) &&
	    eq_interrupt_take(izone, iscs) & 1u << EQ_HOST_ISC_TYPE2) {
		/* 1622: that was it. Which queue it is says the ASB, to the host. */
		atomic_store_explicit(adapter->type2_psb, 0, memory_order_relaxed);
		host->ops.present(host->data);
	}
	/* An adapter that sets its PSB for nothing is looked at as often as one with as
	 * many events; eq_host_sleep() finds what it still says then. */
	while (moved + looks < budget && atomic_load_explicit(psb, memory_order_acquire)) {
		unsigned left = budget - moved - looks;
		unsigned chunk = forward_chunk(host, section, adapter, psb,
					       left < CHUNK ? left : CHUNK, now_ns);

		if (!chunk && atomic_load_explicit(&adapter->claim, memory_order_relaxed))
			break; /* another forwarder is at it */
		looks += !chunk;
		moved += chunk;
	}
	return moved;
}

unsigned eq_forward(struct eq_host *host, unsigned forwarder, unsigned budget, uint64_t now_ns)
{
	struct eq_section *section = &host->section[forwarder];
	unsigned moved = 0;

	/* From here on the host does not free what we may see. The fence, not an order of
	 * the store, keeps what follows behind it; partner is that in wait_for_forwarders().
	 * release: who sees this instead of the last end has seen that, too. */
	uint64_t epoch = atomic_load_explicit(&section->epoch, memory_order_relaxed) + 1;
	atomic_store_explicit(&section->epoch, epoch, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	unsigned adapters = atomic_load_explicit(&host->adapters, memory_order_acquire);
	/* Each time from the next one on: none is always served last. */
	unsigned at = section->first_adapter >= adapters ? 0 : section->first_adapter;
	section->first_adapter = at + 1;
	for (unsigned i = 0; i < adapters && moved < budget; i++) {
		struct eq_host_adapter *adapter = atomic_load_explicit(&host->adapter[at],
								       memory_order_acquire);

		if (adapter)
			moved += forward_adapter(host, section, adapter, budget - moved, now_ns);
		at = at + 1 == adapters ? 0 : at + 1;
	}
	eq_post_deferred(host, section, now_ns);
	atomic_store_explicit(&section->epoch, epoch + 1, memory_order_release);
	return moved;
}

bool eq_host_sleep(struct eq_host *host)
{
	const uint32_t iscs = 1u << EQ_HOST_ISC_TYPE1 | 1u << EQ_HOST_ISC_TYPE2;

	for (unsigned i = 0; i < EQ_HOST_ADAPTERS_MAX; i++) {
		struct eq_host_adapter *adapter = atomic_load_explicit(&host->adapter[i],
								       memory_order_acquire);

		if (!adapter)
			continue;
		/* Also one whose first guest is yet to come: nobody else wakes us for it. */
		if (!eq_interrupt_sleep(&adapter->storage.header->izone, iscs))
			return false;
		eq_summary *psb = atomic_load_explicit(&adapter->psb, memory_order_acquire);
		/* Left over from a budget, and nobody is at it. */
		if (psb && atomic_load_explicit(psb, memory_order_acquire) &&
		    !atomic_load_explicit(&adapter->claim, memory_order_acquire))
			return false;
	}
	return true;
}

/* ---- Type 2 ------------------------------------------------------------------------ */

/* An event of the adapter itself concerns every guest on it. */
static void deliver_to_all(struct eq_host_adapter *adapter, enum eq_event event, uint64_t now_ns)
{
	for (uint32_t i = 0; i < adapter->geqcbs_max; i++) {
		struct eq_geqcb *geqcb = geqcb_at(adapter, i);

		if (geqcb->eq)
			eq_deliver(adapter->host, host_section(adapter->host), &geqcb->eq->self, geqcb,
				   event, now_ns);
	}
}

void eq_host_raise(struct eq_host_adapter *adapter, enum eq_event event, uint64_t now_ns)
{
	count(&host_section(adapter->host)->type2);
	deliver_to_all(adapter, event, now_ns);
}

static void deliver_type2(struct eq_host_adapter *adapter, const struct eq_entry *entry,
			  uint64_t now_ns, eq_type2_fn *seen)
{
	struct eq_host *host = adapter->host;
	struct eq_section *section = host_section(host);
	struct eq_type2_event event = {.event = entry->event};

	event.kind = eq_storage_resource(&adapter->storage, entry->slot, &event.index);
	count(&section->type2);
	if (event.kind == EQ_RESOURCE_ADAPTER) {
		if (seen)
			seen(host->data, adapter, &event);
		deliver_to_all(adapter, entry->event, now_ns);
		return;
	}
	uint32_t index = (uint32_t)entry->token;
	if (event.kind != EQ_RESOURCE_QP || index != adapter->storage.cqs + event.index) {
		count(&section->invalid);
		return;
	}
	struct passage passage = {.entry = *entry, .geqa = &adapter->geqa[index]};
	look_up(section, &passage);
	event.guest = passage.geqcb ? passage.geqcb->eq->guest : NULL;
	if (!passage.geqcb)
		return;
	if (seen)
		seen(host->data, adapter, &event);
	eq_deliver(host, section, passage.geqa, passage.geqcb, entry->event, now_ns);
}

/* Of one adapter; the budget bounds empty looks too, as in forward_adapter(). */
static unsigned take_type2(struct eq_host_adapter *adapter, unsigned budget, uint64_t now_ns,
			   eq_type2_fn *seen)
{
	struct eq_section *section = host_section(adapter->host);
	uint32_t invalid_before = adapter->type2.invalid;
	unsigned moved = 0, looks = 0;
	struct eq_entry entry;

	bool more;
	do {
		while (moved + looks < budget && eq_consume(&adapter->type2, &entry)) {
			deliver_type2(adapter, &entry, now_ns, seen);
			moved++;
		}
		looks++;
		more = eq_consumer_end(&adapter->type2);
	} while (more && moved + looks < budget);
	if (more) /* for the next call */
		atomic_store_explicit(adapter->type2.asb, 1, memory_order_release);
	add(&section->invalid, adapter->type2.invalid - invalid_before);
	return moved;
}

unsigned eq_host_type2(struct eq_host *host, unsigned budget, uint64_t now_ns, eq_type2_fn *seen)
{
	unsigned *at = &host_section(host)->first_adapter;
	unsigned moved = 0;

	/* Each time from the next one on, as in eq_forward(). */
	*at = (*at + 1) % EQ_HOST_ADAPTERS_MAX;
	for (unsigned i = 0; i < EQ_HOST_ADAPTERS_MAX && moved < budget; i++) {
		struct eq_host_adapter *adapter = atomic_load_explicit(
			&host->adapter[(*at + i) % EQ_HOST_ADAPTERS_MAX], memory_order_relaxed);

		if (adapter && adapter->type2_eq >= 0 && eq_consumer_begin(&adapter->type2))
			moved += take_type2(adapter, budget - moved, now_ns, seen);
	}
	return moved;
}
