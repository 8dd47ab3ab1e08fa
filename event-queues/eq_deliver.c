/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into a guest's event queue (004, FIG. 17): several forwarders and the host at once.
 * Each reserves the guest's next entry by compare-and-swap, so two never write the
 * same. Here is also what happens when there is no room, and when an interrupt has to
 * wait for the guest's delay.
 */
#include "eq_host_internal.h"

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

static uint8_t *entry_at(const struct eq_geqcb *geqcb, uint32_t position)
{
	return (uint8_t *)(geqcb->control + 1) + (size_t)(position & geqcb->mask) * EQ_EQE_BYTES;
}

/* 1708. Guest memory, which others may write: word by word, no struct. */
static void write_entry(struct eq_geqa *geqa, struct eq_geqcb *geqcb, uint32_t position,
			enum eq_event event, uint64_t token)
{
	_Atomic uint32_t *word = (_Atomic uint32_t *)entry_at(geqcb, position);

	atomic_store_explicit(&word[1], (uint32_t)event << EQ_SLOT_BITS | geqa->slot,
			      memory_order_relaxed);
	atomic_store_explicit(&word[2], (uint32_t)token, memory_order_relaxed);
	atomic_store_explicit(&word[3], (uint32_t)(token >> 32), memory_order_relaxed);
	/* release: partner is eq_ring_ready(). */
	atomic_store_explicit(&word[0], position + 1, memory_order_release);
	/* relaxed: for look_up() to prefetch. */
	atomic_store_explicit(&geqa->next_entry, entry_at(geqcb, position + 1),
			      memory_order_relaxed);
}

/* Puts it on the list unless it is there, and has the timer looked at in time. */
static void defer(struct eq_host *host, struct eq_geqcb *geqcb, uint64_t due_ns)
{
	/* acq_rel: partner is the clearing in eq_post_deferred(): if that comes later, it
	 * posts an interrupt for our entry too. */
	if (!atomic_exchange_explicit(&geqcb->eq->deferred, 1, memory_order_acq_rel)) {
		geqcb->eq->next_deferred = atomic_load_explicit(&host->deferred, memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(&host->deferred, &geqcb->eq->next_deferred,
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
		host->ops.alert(host->data, geqcb->eq->guest->data);
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
		uint64_t timer = atomic_load_explicit(&geqcb->eq->timer_ns, memory_order_relaxed);

		if (now_ns < timer) {
			defer(host, geqcb, timer);
			return;
		}
		atomic_store_explicit(&geqcb->eq->timer_ns, now_ns + geqcb->delay_ns,
				      memory_order_relaxed);
	}
	interrupt_guest(host, section, geqcb);
}

/* True: it was marked already, the queue holds such an entry. */
static bool mark(struct eq_geqa *geqa, enum eq_event event)
{
	uint32_t bit = 1u << event;

	/* acq_rel: partner is the clearing in eq_consume(). */
	return atomic_fetch_or_explicit(geqa->mark, bit, memory_order_acq_rel) & bit;
}

static void unmark(struct eq_geqa *geqa, enum eq_event event)
{
	atomic_fetch_and_explicit(geqa->mark, ~(1u << event), memory_order_acq_rel);
}

/* The queue is full: says so in the entry that was kept for this. */
static void put_overrun(struct eq_host *host, struct eq_section *section, struct eq_geqcb *geqcb,
			uint64_t now_ns)
{
	uint32_t position;

	/* If it is marked, the guest has not seen the last one yet: the same overrun. */
	if (atomic_load_explicit(&geqcb->state, memory_order_acquire) != GEQCB_OPEN ||
	    mark(&geqcb->eq->self, EQ_EQ_OVERRUN))
		return;
	if (reserve(geqcb, 0, &position) != RESERVED) {
		unmark(&geqcb->eq->self, EQ_EQ_OVERRUN);
		return;
	}
	atomic_fetch_add_explicit(&geqcb->eq->overruns, 1, memory_order_relaxed);
	write_entry(&geqcb->eq->self, geqcb, position, EQ_EQ_OVERRUN, 0);
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
	if (mark(geqa, event)) {
		count(&section->coalesced);
		return true;
	}
	switch (reserve(geqcb, 1, &position)) {
	case RESERVED:
		break;
	case NO_ROOM:
		unmark(geqa, event);
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
	write_entry(geqa, geqcb, position, event,
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
	atomic_exchange_explicit(&geqcb->eq->blocked, 1, memory_order_seq_cst);
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
	struct eq_host *host = geqcb->eq->adapter->host;
	unsigned resumed = 0;

	if (!atomic_exchange_explicit(&geqcb->eq->blocked, 0, memory_order_seq_cst))
		return 0;
	for (uint32_t slot = 0; slot < geqcb->eq->slots; slot++) {
		struct eq_geqa *geqa = geqcb->eq->slot[slot];
		uint32_t held = geqa ? atomic_exchange_explicit(&geqa->held, 0,
								memory_order_acq_rel) : 0;

		for (; held; held &= held - 1)
			resumed += eq_deliver(host, host_section(host), geqa, geqcb,
					      (enum eq_event)__builtin_ctz(held), now_ns);
	}
	return resumed;
}

/* ---- Delayed interrupts -------------------------------------------------------- */

void eq_post_deferred(struct eq_host *host, struct eq_section *section, uint64_t now_ns)
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
		uint64_t timer = atomic_load_explicit(&geqcb->eq->timer_ns, memory_order_relaxed);

		list = geqcb->eq->next_deferred;
		atomic_exchange_explicit(&geqcb->eq->deferred, 0, memory_order_acq_rel);
		if (atomic_load_explicit(&geqcb->state, memory_order_acquire) == GEQCB_DEAD)
			continue;
		if (now_ns < timer) {
			defer(host, geqcb, timer);
			continue;
		}
		atomic_store_explicit(&geqcb->eq->timer_ns, now_ns + geqcb->delay_ns,
				      memory_order_relaxed);
		interrupt_guest(host, section, geqcb);
	}
}

void eq_geqcb_undefer(struct eq_geqcb *geqcb)
{
	struct eq_host *host = geqcb->eq->adapter->host;

	/* As a forwarder would: dead ones drop out, the others go back. */
	struct eq_geqcb *list = atomic_exchange_explicit(&host->deferred, NULL,
							 memory_order_acq_rel);
	while (list) {
		struct eq_geqcb *each = list;

		list = each->eq->next_deferred;
		atomic_exchange_explicit(&each->eq->deferred, 0, memory_order_acq_rel);
		if (each != geqcb)
			defer(host, each, atomic_load_explicit(&each->eq->timer_ns,
							       memory_order_relaxed));
	}
	wait_for_forwarders(host);
}

uint64_t eq_host_next_due(const struct eq_host *host)
{
	return atomic_load_explicit(&host->deferred_due_ns, memory_order_acquire);
}
