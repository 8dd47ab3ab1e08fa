/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine firmware's part of level 2 (004, FIG. 16 from 1608 on, FIG. 17): from
 * the type-1 event queues into the guests' event queues. Any number of forwarders at
 * a time: one of them takes a few entries from a type-1 queue under its claim, then
 * forwards them while others take the next; each reserves the guest's next entry by
 * compare-and-swap, so two never write the same. Forwarders' threads; eq_host_type2()
 * on the host's.
 */
#include "eq_host_internal.h"

/* Entries taken under one claim. */
#define CHUNK 16u

/* ---- Into a guest's event queue ------------------------------------------------ */

enum reserved { RESERVED, NO_ROOM, NONSENSE };

/*
 * 1704: the next entry to be used, advanced so that no other forwarder uses it. Keeps
 * `keep` entries free. The guest writes `consumed`: it is read once a try and checked;
 * who lies loses its own entries.
 */
static enum reserved reserve(struct eq_geqcb *geqcb, uint32_t keep, uint32_t *position)
{
	uint32_t capacity = geqcb->mask + 1;

	/* A guest that changes `consumed` all the time does not hold us up. */
	for (unsigned tries = 0; tries < 64; tries++) {
		/* acquire: partner is eq_ring_release(); the guest has read the entry. */
		uint32_t consumed = atomic_load_explicit(&geqcb->control->consumed,
							 memory_order_acquire);
		/* After it: an honest `consumed` is never ahead of this. */
		uint32_t next = atomic_load_explicit(&geqcb->next, memory_order_acquire);
		uint32_t used = next - consumed;

		if (used > capacity) {
			/* Others may have gone on, and the guest too, between the two. */
			if ((int32_t)used < 0)
				return NONSENSE;
			continue;
		}
		if (capacity - used <= keep)
			return NO_ROOM;
		/* release: whoever goes on from here has seen the same `consumed`. */
		if (atomic_compare_exchange_strong_explicit(&geqcb->next, &next, next + 1,
							    memory_order_acq_rel,
							    memory_order_relaxed)) {
			*position = next;
			return RESERVED;
		}
	}
	return NO_ROOM;
}

/* 1708. Guest memory, which others may write: word by word, no struct. */
static void write_entry(struct eq_geqcb *geqcb, uint32_t position, uint32_t slot,
			enum eq_event event, uint64_t token)
{
	uint8_t *entry = (uint8_t *)(geqcb->control + 1) +
			 (size_t)(position & geqcb->mask) * EQ_EQE_BYTES;
	_Atomic uint32_t *word = (_Atomic uint32_t *)entry;

	atomic_store_explicit(&word[1], (uint32_t)event << EQ_SLOT_BITS | slot,
			      memory_order_relaxed);
	atomic_store_explicit(&word[2], (uint32_t)token, memory_order_relaxed);
	atomic_store_explicit(&word[3], (uint32_t)(token >> 32), memory_order_relaxed);
	/* release: partner is eq_ring_ready(). */
	atomic_store_explicit(&word[0], position + 1, memory_order_release);
}

/* Puts it on the list unless it is there, and has the timer looked at in time. */
static void defer(struct eq_host *host, struct eq_geqcb *geqcb, uint64_t due_ns)
{
	/* acq_rel: partner is the clearing in post_deferred(): if that comes later, it
	 * posts an interrupt for our entry too. */
	if (!atomic_exchange_explicit(&geqcb->deferred, 1, memory_order_acq_rel)) {
		geqcb->next_deferred = atomic_load_explicit(&host->deferred, memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(&host->deferred, &geqcb->next_deferred,
							      geqcb, memory_order_acq_rel,
							      memory_order_relaxed))
			;
	}
	/* After it is on the list: whoever emptied the list before has also set this. */
	uint64_t due = atomic_load_explicit(&host->deferred_due_ns, memory_order_relaxed);
	while (due_ns < due &&
	       !atomic_compare_exchange_weak_explicit(&host->deferred_due_ns, &due, due_ns,
						      memory_order_release, memory_order_relaxed))
		;
}

/* 1714 and 1716. */
static void interrupt_guest(struct eq_host *host, struct eq_section *section,
			    struct eq_geqcb *geqcb)
{
	if (eq_interrupt_post(geqcb->gisa, geqcb->gisc)) {
		count(&section->alerts);
		host->ops.alert(host->data, geqcb->guest->data);
	}
}

/* 1710-1716: summary byte, then the interrupt, at once or when the delay is over. */
static void signal_guest(struct eq_host *host, struct eq_section *section, struct eq_geqcb *geqcb,
			 uint64_t now_ns)
{
	eq_summary *asb = atomic_load_explicit(&geqcb->asb, memory_order_relaxed);

	/* release: partner is eq_consumer_begin(). Stored even if it is set: the guest
	 * may be clearing it now. */
	if (asb)
		atomic_store_explicit(asb, 1, memory_order_release);
	if (geqcb->delay_ns) {
		uint64_t timer = atomic_load_explicit(&geqcb->timer_ns, memory_order_relaxed);

		if (now_ns < timer) {
			defer(host, geqcb, timer);
			return;
		}
		atomic_store_explicit(&geqcb->timer_ns, now_ns + geqcb->delay_ns,
				      memory_order_relaxed);
	}
	interrupt_guest(host, section, geqcb);
}

/* True: it was marked already, the queue holds such an entry. */
static bool mark(struct eq_geqcb *geqcb, uint32_t slot, enum eq_event event)
{
	uint32_t bit = 1u << event;

	/* acq_rel: partner is the clearing in eq_consume(). */
	return atomic_fetch_or_explicit(&geqcb->marks[slot], bit, memory_order_acq_rel) & bit;
}

static void unmark(struct eq_geqcb *geqcb, uint32_t slot, enum eq_event event)
{
	atomic_fetch_and_explicit(&geqcb->marks[slot], ~(1u << event), memory_order_acq_rel);
}

/* The queue is full: says so in the entry that was kept for this. */
static void put_overrun(struct eq_host *host, struct eq_section *section, struct eq_geqcb *geqcb,
			uint64_t now_ns)
{
	uint32_t position;

	/* If it is marked, the guest has not seen the last one yet: the same overrun. */
	if (atomic_load_explicit(&geqcb->state, memory_order_acquire) != GEQCB_OPEN ||
	    mark(geqcb, EQ_SLOT_SELF, EQ_EQ_OVERRUN))
		return;
	if (reserve(geqcb, 0, &position) != RESERVED) {
		unmark(geqcb, EQ_SLOT_SELF, EQ_EQ_OVERRUN);
		return;
	}
	atomic_fetch_add_explicit(&geqcb->overruns, 1, memory_order_relaxed);
	write_entry(geqcb, position, EQ_SLOT_SELF, EQ_EQ_OVERRUN, 0);
	signal_guest(host, section, geqcb, now_ns);
}

/* Once. False: there is no room; true: done with, one way or the other. */
static bool try_deliver(struct eq_host *host, struct eq_section *section, struct eq_geqa *geqa,
			struct eq_geqcb *geqcb, enum eq_event event, uint64_t now_ns)
{
	uint32_t position;
	uint32_t state = atomic_load_explicit(&geqcb->state, memory_order_acquire);

	if (state == GEQCB_HOLDING)
		return false;
	if (state != GEQCB_OPEN) {
		count(&section->broken);
		return true;
	}
	/* FIG. 4, 412 holds for the guest's queue as well: one entry says it. */
	if (mark(geqcb, geqa->slot, event)) {
		count(&section->coalesced);
		return true;
	}
	switch (reserve(geqcb, 1, &position)) {
	case RESERVED:
		break;
	case NO_ROOM:
		unmark(geqcb, geqa->slot, event);
		return false;
	case NONSENSE:
		count(&section->broken);
		/* Only from OPEN: a dead one must stay dead, or it would be kept on the
		 * list of delayed interrupts while it is freed. */
		state = GEQCB_OPEN;
		atomic_compare_exchange_strong_explicit(&geqcb->state, &state, GEQCB_BROKEN,
							memory_order_relaxed, memory_order_relaxed);
		return true;
	}
	write_entry(geqcb, position, geqa->slot, event,
		    atomic_load_explicit(&geqa->token, memory_order_relaxed));
	count(&section->forwarded);
	signal_guest(host, section, geqcb, now_ns);
	return true;
}

/* Whether a try could succeed now. */
static bool has_room(const struct eq_geqcb *geqcb)
{
	uint32_t consumed = atomic_load_explicit(&geqcb->control->consumed, memory_order_acquire);
	uint32_t next = atomic_load_explicit(&geqcb->next, memory_order_acquire);

	return next - consumed < geqcb->mask; /* one entry is kept for the overrun */
}

/*
 * Leaves the event with its resource and asks the guest to kick us when it has made
 * room. False: there is room already, and the event is the caller's again.
 */
static bool hold(struct eq_geqa *geqa, struct eq_geqcb *geqcb, enum eq_event event)
{
	uint32_t bit = 1u << event;

	atomic_fetch_or_explicit(&geqa->held, bit, memory_order_acq_rel);
	/* seq_cst, both: partner is eq_guest_resize_eq(), which stores the state, then looks
	 * at `blocked`: either it finds us, or we find the queue open. */
	atomic_exchange_explicit(&geqcb->blocked, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&geqcb->state, memory_order_seq_cst) != GEQCB_OPEN)
		return true; /* whoever resizes it resumes it */
	/* release: whoever is kicked for it finds what is held. */
	atomic_store_explicit(&geqcb->control->producer_armed, 1, memory_order_release);
	/* seq_cst: partner is the fence in eq_ring_must_wake_producer(): either the guest
	 * sees that it must kick, or we see its room. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!has_room(geqcb))
		return true;
	/* Another may have resumed it meanwhile. */
	return !(atomic_fetch_and_explicit(&geqa->held, ~bit, memory_order_acq_rel) & bit);
}

bool eq_deliver(struct eq_host *host, struct eq_section *section, struct eq_geqa *geqa,
		struct eq_geqcb *geqcb, enum eq_event event, uint64_t now_ns)
{
	if (try_deliver(host, section, geqa, geqcb, event, now_ns))
		return true;
	/* Nothing is lost: the event stays with its resource until there is room. Once more
	 * round only if the guest made room and another took it; a guest that only makes
	 * believe does not hold us up, and harms itself. */
	count(&section->held);
	put_overrun(host, section, geqcb, now_ns);
	for (unsigned tries = 0; tries < 1024; tries++) {
		if (hold(geqa, geqcb, event))
			return false;
		if (try_deliver(host, section, geqa, geqcb, event, now_ns))
			return true;
	}
	count(&section->broken);
	return true;
}

unsigned eq_geqcb_resume(struct eq_geqcb *geqcb, uint64_t now_ns)
{
	struct eq_host *host = geqcb->adapter->host;
	unsigned resumed = 0;

	if (!atomic_exchange_explicit(&geqcb->blocked, 0, memory_order_seq_cst))
		return 0;
	for (uint32_t slot = 0; slot < geqcb->slots; slot++) {
		struct eq_geqa *geqa = geqcb->slot[slot];
		uint32_t held = geqa ? atomic_exchange_explicit(&geqa->held, 0,
								memory_order_acq_rel) : 0;

		for (; held; held &= held - 1)
			resumed += eq_deliver(host, host_section(host), geqa, geqcb,
					      (enum eq_event)__builtin_ctz(held), now_ns);
	}
	return resumed;
}

/* ---- Delayed interrupts -------------------------------------------------------- */

static void post_deferred(struct eq_host *host, struct eq_section *section, uint64_t now_ns)
{
	/* relaxed: looked at again with the next call. */
	if (now_ns < atomic_load_explicit(&host->deferred_due_ns, memory_order_relaxed))
		return;
	/* An exchange: if another forwarder has put one back and set its time, which this
	 * takes away, then we see that one on the list. acq_rel: partner is defer(). */
	atomic_exchange_explicit(&host->deferred_due_ns, UINT64_MAX, memory_order_acq_rel);
	struct eq_geqcb *list = atomic_exchange_explicit(&host->deferred, NULL,
							 memory_order_acq_rel);
	while (list) {
		struct eq_geqcb *geqcb = list;
		uint64_t timer = atomic_load_explicit(&geqcb->timer_ns, memory_order_relaxed);

		list = geqcb->next_deferred;
		atomic_exchange_explicit(&geqcb->deferred, 0, memory_order_acq_rel);
		if (atomic_load_explicit(&geqcb->state, memory_order_acquire) == GEQCB_DEAD)
			continue;
		if (now_ns < timer) {
			defer(host, geqcb, timer);
			continue;
		}
		atomic_store_explicit(&geqcb->timer_ns, now_ns + geqcb->delay_ns,
				      memory_order_relaxed);
		interrupt_guest(host, section, geqcb);
	}
}

void eq_geqcb_undefer(struct eq_geqcb *geqcb)
{
	struct eq_host *host = geqcb->adapter->host;

	/* As a forwarder would: dead ones drop out, the others go back. */
	struct eq_geqcb *list = atomic_exchange_explicit(&host->deferred, NULL,
							 memory_order_acq_rel);
	while (list) {
		struct eq_geqcb *each = list;

		list = each->next_deferred;
		atomic_exchange_explicit(&each->deferred, 0, memory_order_acq_rel);
		if (each != geqcb)
			defer(host, each, atomic_load_explicit(&each->timer_ns,
							       memory_order_relaxed));
	}
	wait_for_forwarders(host);
}

uint64_t eq_host_next_due(const struct eq_host *host)
{
	return atomic_load_explicit(&host->deferred_due_ns, memory_order_acquire);
}

/* ---- From the type-1 event queues ------------------------------------------------ */

/* An entry on its way: looked up in steps, so that the memory of several guests is on
 * its way to the processor at the same time. */
struct passage {
	struct eq_entry entry;
	struct eq_geqa *geqa;
	struct eq_geqcb *geqcb; /* NULL: goes nowhere */
};

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
		__builtin_prefetch(passage->geqcb);
}

static void fetch_ahead(const struct passage *passage)
{
	struct eq_geqcb *geqcb = passage->geqcb;

	/* acquire: the ring changes only while it is not OPEN. */
	if (!geqcb || atomic_load_explicit(&geqcb->state, memory_order_acquire) != GEQCB_OPEN)
		return;
	uint32_t next = atomic_load_explicit(&geqcb->next, memory_order_relaxed);
	__builtin_prefetch((uint8_t *)(geqcb->control + 1) +
				   (size_t)(next & geqcb->mask) * EQ_EQE_BYTES, 1);
	__builtin_prefetch(geqcb->control);
	__builtin_prefetch(&geqcb->marks[passage->geqa->slot], 1);
	__builtin_prefetch(geqcb->gisa, 1);
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
	uint64_t invalid_before = adapter->type1.invalid;
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
		__builtin_prefetch(passages[taken].geqa);
		taken++;
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

	/* acquire: partner is the release below; the consumer's state is whole. */
	if (atomic_exchange_explicit(&adapter->claim, 1, memory_order_acq_rel))
		return 0;
	/* Cleared before anything is consumed: what comes later sets it again. */
	atomic_exchange_explicit(psb, 0, memory_order_acq_rel);
	unsigned taken = take(adapter, section, passages, most);
	if (eq_consumer_end(&adapter->type1))
		atomic_store_explicit(psb, 1, memory_order_release);
	/* An exchange, not a store: it must come after the claim of whoever was turned
	 * away, so that our next look at the PSB sees what that one saw. */
	atomic_exchange_explicit(&adapter->claim, 0, memory_order_acq_rel);

	for (unsigned i = 0; i < taken; i++)
		look_up(section, &passages[i]);
	for (unsigned i = 0; i < taken; i++)
		fetch_ahead(&passages[i]);
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
	    eq_interrupt_take(izone, iscs) & 1u << EQ_HOST_ISC_TYPE2)
		host->ops.present(host->data);
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

	/* From here on the host does not free what we may see. seq_cst: partner is
	 * wait_for_forwarders(). */
	atomic_fetch_add_explicit(&section->epoch, 1, memory_order_seq_cst);
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
	post_deferred(host, section, now_ns);
	atomic_fetch_add_explicit(&section->epoch, 1, memory_order_release);
	return moved;
}

bool eq_host_sleep(struct eq_host *host)
{
	const uint32_t iscs = 1u << EQ_HOST_ISC_TYPE1 | 1u << EQ_HOST_ISC_TYPE2;

	for (unsigned i = 0; i < EQ_HOST_ADAPTERS_MAX; i++) {
		struct eq_host_adapter *adapter = atomic_load_explicit(&host->adapter[i],
								       memory_order_acquire);

		eq_summary *psb = adapter ? atomic_load_explicit(&adapter->psb, memory_order_acquire)
					  : NULL;

		if (!psb)
			continue;
		if (!eq_interrupt_sleep(&adapter->storage.header->izone, iscs))
			return false;
		/* Left over from a budget, and nobody is at it. */
		if (atomic_load_explicit(psb, memory_order_acquire) &&
		    !atomic_load_explicit(&adapter->claim, memory_order_acquire))
			return false;
	}
	return true;
}

/* ---- Type 2 ------------------------------------------------------------------------ */

/* An event of the adapter itself concerns every guest on it. */
void eq_host_raise(struct eq_host_adapter *adapter, enum eq_event event, uint64_t now_ns)
{
	for (uint32_t i = 0; i < adapter->geqcbs_max; i++) {
		struct eq_geqcb *geqcb = adapter->geqcb[i];

		if (geqcb)
			eq_deliver(adapter->host, host_section(adapter->host), &geqcb->self, geqcb,
				   event, now_ns);
	}
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
		eq_host_raise(adapter, entry->event, now_ns);
		return;
	}
	uint32_t index = (uint32_t)entry->token;
	if (event.kind != EQ_RESOURCE_QP || index != adapter->storage.cqs + event.index) {
		count(&section->invalid);
		return;
	}
	struct passage passage = {.entry = *entry, .geqa = &adapter->geqa[index]};
	look_up(section, &passage);
	event.guest = passage.geqcb ? passage.geqcb->guest : NULL;
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
	uint64_t invalid_before = adapter->type2.invalid;
	unsigned moved = 0, looks = 0;
	struct eq_entry entry;

	do {
		while (moved + looks < budget && eq_consume(&adapter->type2, &entry)) {
			deliver_type2(adapter, &entry, now_ns, seen);
			moved++;
		}
		if (moved + looks >= budget) {
			/* What is left is for the next call. */
			atomic_store_explicit(adapter->type2.asb, 1, memory_order_release);
			break;
		}
		looks++;
	} while (eq_consumer_end(&adapter->type2));
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
