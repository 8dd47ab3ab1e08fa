/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts without an interrupt controller: the interruption zone of a partition
 * and the guest interrupt state area (GISA) of a guest (004, FIG. 6 step 610,
 * FIG. 9, FIG. 17 steps 1714-1716). Whoever posts events makes an interrupt pending
 * on one of eight interruption subclasses (ISC); the program that owns the area
 * takes it when it looks, or has itself woken.
 *
 * No wake-up is lost, because there is one word: posting sets the pending bit and
 * reads the alert mask in one atomic operation, going to sleep checks the pending
 * bits and sets the alert mask in one, and all atomic operations on one word have
 * one order. If the post comes first the sleeper finds the bit and stays awake; if
 * the sleeper comes first the post finds the mask and wakes it.
 *
 * Threads: any number of posters, one owner. The other side may be hostile: it can
 * make the owner look for nothing, or keep its own events from itself.
 * Nothing here blocks or calls the kernel.
 */
#ifndef EQ_INTERRUPT_H
#define EQ_INTERRUPT_H

#include <stdbool.h>

#include "eq_layout.h"

/* All eight subclasses. */
#define EQ_ISC_ALL ((1u << EQ_ISCS) - 1)

/* ---- POSTER ---------------------------------------------------------------- */

/*
 * Makes an interrupt pending on `isc` (0 to 7). True: the owner is not running, or
 * has that subclass disabled, and asked for an alert: the caller wakes it, once (it
 * rings its eventfd). False: a running owner will find it, or did not ask.
 */
static inline bool eq_interrupt_post(struct eq_interrupts *interrupts, unsigned isc)
{
	uint32_t bit = 1u << isc;
	/* acq_rel: partner is eq_interrupt_take(); what was posted comes first. */
	uint32_t old = atomic_fetch_or_explicit(&interrupts->word, bit << EQ_PENDING_SHIFT,
						memory_order_acq_rel);

	if (!(old & bit << EQ_ALERT_SHIFT) ||
	    ((old & EQ_RUNNING) && (old & bit << EQ_ENABLED_SHIFT)))
		return false;
	/* Several posters may have seen the mask: the one that clears it wakes.
	 * relaxed: it decides only who. */
	old = atomic_fetch_and_explicit(&interrupts->word, ~(bit << EQ_ALERT_SHIFT),
					memory_order_relaxed);
	return old & bit << EQ_ALERT_SHIFT;
}

/* ---- OWNER: `iscs` is a mask of subclasses, bit i for subclass i -------------- */

/* Which of them are pending; they stay so. */
static inline uint32_t eq_interrupt_pending(struct eq_interrupts *interrupts, uint32_t iscs)
{
	/* acquire: partner is eq_interrupt_post(). */
	return atomic_load_explicit(&interrupts->word, memory_order_acquire) >> EQ_PENDING_SHIFT &
	       iscs;
}

/* Takes them: which were pending. Then look at the summary bytes. */
static inline uint32_t eq_interrupt_take(struct eq_interrupts *interrupts, uint32_t iscs)
{
	/* acq_rel: partner is eq_interrupt_post(): a post before this is seen whole,
	 * one after it sets the bit again. */
	uint32_t old = atomic_fetch_and_explicit(&interrupts->word, ~(iscs << EQ_PENDING_SHIFT),
						 memory_order_acq_rel);
	return old >> EQ_PENDING_SHIFT & iscs;
}

/* The owner runs and looks at these subclasses by itself: no alerts for them. */
static inline void eq_interrupt_run(struct eq_interrupts *interrupts, uint32_t iscs)
{
	/* Two steps are enough: whatever comes between them, the owner is awake. relaxed:
	 * they order nothing but this word. */
	atomic_fetch_and_explicit(&interrupts->word,
				  ~(iscs << EQ_ALERT_SHIFT | EQ_ISC_ALL << EQ_ENABLED_SHIFT),
				  memory_order_relaxed);
	atomic_fetch_or_explicit(&interrupts->word, iscs << EQ_ENABLED_SHIFT | EQ_RUNNING,
				 memory_order_relaxed);
}

/*
 * Before sleeping: true if none of them is pending; the owner counts as not running
 * from then on, and the next post on one of them wakes it. False: one is pending
 * and nothing has changed; or the other side changes the word all the time.
 */
static inline bool eq_interrupt_sleep(struct eq_interrupts *interrupts, uint32_t iscs)
{
	uint32_t old = atomic_load_explicit(&interrupts->word, memory_order_acquire);

	/* Posters set each bit once: an honest word stands still before this ends. */
	for (unsigned tries = 0; tries < 64; tries++) {
		if (old & iscs << EQ_PENDING_SHIFT)
			return false;
		uint32_t new = (old & ~EQ_RUNNING) | iscs << EQ_ALERT_SHIFT;
		/* acquire: as eq_interrupt_pending(), in case a bit is found. */
		if (atomic_compare_exchange_weak_explicit(&interrupts->word, &old, new,
							  memory_order_acq_rel,
							  memory_order_acquire))
			return true;
	}
	return false;
}

#endif
