/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level 1 of the event queues, besides what eq_queue.h has inline: opening and
 * recovering both sides, summary bytes and the interrupt (004, FIG. 5 and 6), and
 * events that wait for room. Each handle on its owner's thread.
 */
#include "eq_queue.h"

#include <stdlib.h>

int eq_queue_check(const struct eq_queue *queue)
{
	if (!queue->ring || !queue->marks || !queue->slots || queue->slots > EQ_SLOTS_MAX ||
	    queue->isc >= EQ_ISCS || (uintptr_t)queue->marks % sizeof(eq_marks) ||
	    (uintptr_t)queue->interrupts % sizeof(struct eq_interrupts) ||
	    (uintptr_t)queue->ring % EQ_LINE_BYTES || !eq_queue_size_bytes(queue->capacity))
		return -EINVAL;
	return 0;
}

/* ---- POSTER ---------------------------------------------------------------- */

void eq_poster_hold(struct eq_poster *poster, uint32_t slot, enum eq_event event, uint64_t token)
{
	poster->held[slot] |= 1u << event;
	poster->tokens[slot] = token;
	poster->held_count++;
	poster->held_ever++;
}

/*
 * Marks without an entry are what the predecessor was about to enter when it died.
 * If the consumer takes an entry while this looks, its event may be entered once
 * more: the consumer then looks into a resource for nothing.
 */
static void recover_marks(struct eq_poster *poster)
{
	for (uint32_t slot = 0; slot < poster->queue.slots; slot++) {
		poster->held[slot] = atomic_load_explicit(&poster->queue.marks[slot],
							  memory_order_acquire);
	}
	for (uint32_t at = poster->ring.released; at != poster->ring.position; at++) {
		struct eq_eqe eqe;

		eq_ring_copy_in(&eqe, eq_ring_entry_at(&poster->ring, at), sizeof(eqe));
		uint32_t event = eqe.event_slot >> EQ_SLOT_BITS;
		uint32_t slot = eqe.event_slot & (EQ_SLOTS_MAX - 1);
		if (event < EQ_EVENTS_MAX && slot < poster->queue.slots)
			poster->held[slot] &= ~(1u << event);
	}
	for (uint32_t slot = 0; slot < poster->queue.slots; slot++)
		poster->held_count += (uint32_t)__builtin_popcount(poster->held[slot]);
}

int eq_poster_open(struct eq_poster *poster, const struct eq_queue *queue)
{
	int error = eq_queue_check(queue);

	if (error)
		return error;
	*poster = (struct eq_poster){.queue = *queue};
	poster->held = calloc(queue->slots, sizeof(*poster->held));
	poster->tokens = calloc(queue->slots, sizeof(*poster->tokens));
	if (!poster->held || !poster->tokens)
		error = -ENOMEM;
	if (!error)
		error = eq_ring_open_queue(&poster->ring, queue->ring, queue->capacity);
	if (error) {
		eq_poster_close(poster);
		return error;
	}
	eq_ring_recover_producer(&poster->ring);
	recover_marks(poster);
	/* What lies in the ring may never have been signalled. */
	poster->burst_start = poster->ring.released;
	return 0;
}

void eq_poster_close(struct eq_poster *poster)
{
	free(poster->held);
	free(poster->tokens);
	*poster = (struct eq_poster){0};
}

static bool interrupt(struct eq_poster *poster)
{
	poster->due = false;
	poster->interrupts++;
	return eq_interrupt_post(poster->queue.interrupts, poster->queue.isc);
}

/* FIG. 6, 608: the interrupt delay timer decides. */
static bool interrupt_by_timer(struct eq_poster *poster, uint64_t now_ns)
{
	if (now_ns < poster->timer_ns) {
		poster->due = true;
		return false;
	}
	poster->timer_ns = now_ns + (uint64_t)poster->queue.delay_us * 1000;
	return interrupt(poster);
}

bool eq_poster_signal(struct eq_poster *poster, uint64_t now_ns)
{
	const struct eq_queue *queue = &poster->queue;
	uint32_t start = poster->burst_start;

	if (poster->ring.position == start)
		return false;
	poster->burst_start = poster->ring.position;
	/* FIG. 5. release: partner is eq_consumer_begin(); the entries come first.
	 * Stored even if it is set already: the consumer may be clearing it now. */
	if (queue->asb)
		atomic_store_explicit(queue->asb, 1, memory_order_release);
	if (queue->psb)
		atomic_store_explicit(queue->psb, 1, memory_order_release);
	if (!queue->interrupts)
		return false;
	if (queue->control & EQ_EVERY_ENTRY)
		return interrupt(poster);
	/* FIG. 6, 602: were there entries before these? seq_cst: partner is the fence in
	 * eq_consumer_end(). Entries from before this burst that are not consumed yet have
	 * a consumer with the initiative, and it looks once more after it has consumed
	 * them. Having consumed some of the burst says nothing: it may have gone to sleep
	 * before we put the rest. */
	atomic_thread_fence(memory_order_seq_cst);
	uint32_t consumed = atomic_load_explicit(eq_ring_consumed(&poster->ring),
						 memory_order_relaxed);
	bool was_empty = (int32_t)(consumed - start) >= 0;
	if (was_empty && (queue->control & EQ_IMMEDIATE)) {
		poster->timer_ns = now_ns + (uint64_t)queue->delay_us * 1000;
		return interrupt(poster);
	}
	return queue->delay_us ? interrupt_by_timer(poster, now_ns) : false;
}

static bool has_room(struct eq_poster *poster)
{
	return eq_ring_space(&poster->ring, 1) > 0;
}

static void enter_held(struct eq_poster *poster)
{
	for (uint32_t slot = 0; poster->held_count && slot < poster->queue.slots; slot++) {
		while (poster->held[slot] && has_room(poster)) {
			uint32_t event = (uint32_t)__builtin_ctz(poster->held[slot]);
			const struct eq_eqe eqe = {
				.event_slot = event << EQ_SLOT_BITS | slot,
				.token = {(uint32_t)poster->tokens[slot],
					  (uint32_t)(poster->tokens[slot] >> 32)},
			};
			poster->held[slot] &= ~(1u << event);
			poster->held_count--;
			eq_ring_put(&poster->ring, &eqe, sizeof(eqe));
			poster->posted++;
		}
	}
}

bool eq_poster_tick(struct eq_poster *poster, uint64_t now_ns)
{
	if (poster->held_count && has_room(poster))
		enter_held(poster);
	bool wake = eq_poster_signal(poster, now_ns);
	if (poster->due && now_ns >= poster->timer_ns)
		wake |= interrupt_by_timer(poster, now_ns);
	return wake;
}

uint64_t eq_poster_next_tick(const struct eq_poster *poster)
{
	if (poster->held_count)
		return 0;
	return poster->due ? poster->timer_ns : UINT64_MAX;
}

/* ---- CONSUMER -------------------------------------------------------------- */

int eq_consumer_open(struct eq_consumer *consumer, const struct eq_queue *queue)
{
	int error = eq_queue_check(queue);

	if (error)
		return error;
	*consumer = (struct eq_consumer){
		.marks = queue->marks, .slots = queue->slots, .asb = queue->asb,
	};
	error = eq_ring_open_queue(&consumer->ring, queue->ring, queue->capacity);
	if (!error)
		eq_ring_recover_consumer(&consumer->ring);
	return error;
}
