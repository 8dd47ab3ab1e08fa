/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One event queue (EQ), level 1 (004, FIG. 4 steps 412-420, FIG. 5, FIG. 6): a ring
 * of entries (EQEs), a mark for every resource and event that the ring holds an
 * entry for, summary bytes, and an interrupt.
 *
 *	POSTER                                   CONSUMER
 *	eq_poster_add(CQ 7 completed)            eq_consumer_begin(): clears the ASB
 *	eq_poster_add(CQ 9 completed)            while (eq_consume(&entry))
 *	eq_poster_signal() -> wake the                 ... look into that CQ until empty
 *	                      consumer if true   eq_consumer_end() -> true: once more
 *
 * Each is one thread; they are two processes that do not trust each other. An entry
 * says "look there": many completions of one CQ make one entry, until the consumer
 * takes it. So a queue with a place for every (resource, event) pair, and one more
 * for the entry being taken, never fills; if it is smaller, events wait at the poster
 * (eq_poster_tick) and none is lost.
 *
 * The consumer of a guest's event queue is this one too: it cannot tell whether an
 * adapter or the forwarder of level 2 (eq_host.h) posts.
 *
 * Memory orders: every pair is named where it stands. Models: tests/model/queue.pml.
 */
#ifndef EQ_QUEUE_H
#define EQ_QUEUE_H

#include "eq.h"
#include "eq_interrupt.h"

/* Where an event queue lies and how it signals. All memory is the caller's, zeroed
 * when the queue is made, and outlives both sides. */
struct eq_queue {
	void *ring;        /* eq_queue_size_bytes(capacity), a line's alignment */
	uint32_t capacity; /* entries, a power of two from 2 to 65,536 */
	eq_marks *marks;   /* one word for each slot */
	uint32_t slots;
	eq_summary *asb, *psb;            /* NULL: none */
	struct eq_interrupts *interrupts; /* NULL: the queue is only ever polled */
	unsigned isc;                     /* subclass of its interrupt, 0 to 7 */
	uint32_t control;                 /* enum eq_control */
	uint32_t delay_us;                /* interrupt delay timer, 0: none */
};

/* -EINVAL: geometry, alignment, slots or ISC are out of range. */
int eq_queue_check(const struct eq_queue *queue);

/* An event as a consumer sees it. */
struct eq_entry {
	enum eq_event event;
	uint32_t slot;  /* of the resource in this queue */
	uint64_t token; /* what the resource's owner stored for it */
};

/* ---- POSTER ---------------------------------------------------------------- */

struct eq_poster {
	struct eq_ring ring;
	struct eq_queue queue;
	uint32_t burst_start; /* ring position at the last signal */
	uint32_t held_count;  /* bits set in `held` */
	uint32_t *held;       /* slots words: events the ring had no room for */
	uint64_t *tokens;     /* of those; eq_poster_set_token() */
	uint64_t timer_ns;    /* the interrupt delay timer has run out from then on */
	bool due;             /* an interrupt waits for the timer */
	uint64_t posted, interrupts, held_ever;
};

/*
 * -EINVAL as eq_queue_check(); -ENOMEM. A queue that was posted to before goes on
 * where the predecessor died, whatever it was doing: events it had marked and not
 * entered are entered, and one interrupt more is posted by the next signal.
 */
int eq_poster_open(struct eq_poster *poster, const struct eq_queue *queue);
void eq_poster_close(struct eq_poster *poster);

/* After opening, for every resource: the token for events that the predecessor had
 * marked and not entered. */
static inline void eq_poster_set_token(struct eq_poster *poster, uint32_t slot, uint64_t token)
{
	poster->tokens[slot] = token;
}

/* An event that the ring has no room for: entered by eq_poster_tick(). */
void eq_poster_hold(struct eq_poster *poster, uint32_t slot, enum eq_event event, uint64_t token);

/*
 * Records `event` of the resource in `slot` unless the queue holds it already
 * (FIG. 4, 412-414 and 418-420). Call eq_poster_signal() after the burst. What the
 * event is about (the CQE) has been written before.
 */
static inline void eq_poster_add(struct eq_poster *poster, uint32_t slot, enum eq_event event,
				 uint64_t token)
{
	uint32_t bit = 1u << event;
	/* acq_rel: partner is the clearing in eq_consume(). If that comes later, the
	 * consumer sees all that was written before this, and no entry is needed. */
	if (atomic_fetch_or_explicit(&poster->queue.marks[slot], bit, memory_order_acq_rel) & bit)
		return;
	if (eq_ring_space(&poster->ring, 1) <= 0) {
		eq_poster_hold(poster, slot, event, token);
		return;
	}
	const struct eq_eqe eqe = {
		.event_slot = (uint32_t)event << EQ_SLOT_BITS | slot,
		.token = {(uint32_t)token, (uint32_t)(token >> 32)},
	};
	eq_ring_put(&poster->ring, &eqe, sizeof(eqe));
	poster->posted++;
}

/*
 * After a burst: sets the summary bytes (FIG. 5) and makes an interrupt pending if
 * it is time (FIG. 6, 16). True: the consumer must be woken. `now_ns` is only looked
 * at when the queue has a delay timer.
 */
bool eq_poster_signal(struct eq_poster *poster, uint64_t now_ns);

/*
 * From time to time: enters held events for which there is room now, and posts the
 * interrupt whose timer has run out. True as eq_poster_signal().
 */
bool eq_poster_tick(struct eq_poster *poster, uint64_t now_ns);

/* When eq_poster_tick() has something to do: a time on the clock of `now_ns`; 0: as
 * soon as there is room in the ring, for which nobody rings: look again after some
 * microseconds; UINT64_MAX: not before the next event. */
uint64_t eq_poster_next_tick(const struct eq_poster *poster);

/* ---- CONSUMER ---------------------------------------------------------------- */

struct eq_consumer {
	struct eq_ring ring;
	eq_marks *marks;
	eq_summary *asb;
	uint32_t slots;
	uint32_t invalid; /* entries no honest poster writes, skipped; wraps */
};
/* Whoever serves thousands of them keeps each, and a word more, in a line. */
static_assert(sizeof(struct eq_consumer) <= EQ_LINE_BYTES - sizeof(void *), "part of a line");

/*
 * -EINVAL as eq_queue_check(). Goes on where a predecessor stopped: what that had not
 * released is taken again. It may have died between taking an event and looking into
 * the resource: whoever follows one looks into all of them, once.
 */
int eq_consumer_open(struct eq_consumer *consumer, const struct eq_queue *queue);

/*
 * Takes over the initiative: clears the summary byte, before anything is consumed,
 * so that what comes later sets it again. False: it was clear, nothing has come.
 * With an ASB that several queues share, one call stands for all of them.
 */
static inline bool eq_consumer_begin(struct eq_consumer *consumer)
{
	if (!consumer->asb)
		return true;
	/* Not by exchange alone: while it is clear, looking costs no atomic. */
	if (!atomic_load_explicit(consumer->asb, memory_order_relaxed))
		return false;
	/* What was written on another processor comes while we clear the byte. */
	__builtin_prefetch(consumer->marks, 1);
	eq_ring_fetch(&consumer->ring);
	/* acq_rel: partner is the store in eq_poster_signal(); the entries are there. */
	return atomic_exchange_explicit(consumer->asb, 0, memory_order_acq_rel);
}

/*
 * Takes the next event; false: there is none. From here on the poster enters the
 * same event anew: look into the resource afterwards, until it is empty.
 */
static inline bool eq_consume(struct eq_consumer *consumer, struct eq_entry *out)
{
	struct eq_eqe eqe;

	/* A hostile poster may write faster than we skip: not for longer than a ring. */
	for (uint32_t tries = 0; tries <= consumer->ring.mask; tries++) {
		if (!eq_ring_take(&consumer->ring, &eqe, sizeof(eqe)))
			return false;
		out->event = (enum eq_event)(eqe.event_slot >> EQ_SLOT_BITS);
		out->slot = eqe.event_slot & (EQ_SLOTS_MAX - 1);
		out->token = (uint64_t)eqe.token[1] << 32 | eqe.token[0];
		bool valid = (unsigned)out->event < EQ_EVENTS_MAX && out->slot < consumer->slots;
		/* First the mark, then the place: if we die between them our successor takes
		 * the entry again. The other way round the mark would stay for ever, and
		 * keep the event from ever being entered again.
		 * acq_rel: partner is the setting in eq_poster_add(). */
		if (valid)
			atomic_fetch_and_explicit(&consumer->marks[out->slot],
						  ~(1u << out->event), memory_order_acq_rel);
		eq_ring_release(&consumer->ring, 1);
		if (valid)
			return true;
		consumer->invalid++;
	}
	return false;
}

/*
 * The queue was found empty: gives the initiative back. True: an entry came
 * meanwhile, consume again (the seed's "rescan once").
 */
static inline bool eq_consumer_end(struct eq_consumer *consumer)
{
	/* seq_cst: partner is the fence in eq_poster_signal(). Either the poster sees
	 * all its entries consumed and interrupts, or we see its new one here. */
	atomic_thread_fence(memory_order_seq_cst);
	return eq_ring_ready(&consumer->ring);
}

/*
 * After a drain: true if the poster waits for room in the queue and must be told: a
 * guest kicks its host, which calls eq_guest_resume(). A poster of level 1 looks by
 * itself and never asks. Costs a fence.
 */
static inline bool eq_consumer_must_wake_poster(struct eq_consumer *consumer)
{
	return eq_ring_must_wake_producer(&consumer->ring);
}

#endif
