/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ways in which a peer of an eq_ring (event-queues/eq.h) can miss its
 * wake-up, for Spin. A producer puts ENTRIES entries through a ring of CAPACITY
 * slots to a consumer; whoever has nothing to do arms, looks once more, and
 * sleeps on an eventfd. Proved: every entry arrives, in order, no slot is
 * overwritten early, and both processes come to their end (a lost wake-up shows
 * as an invalid end state).
 *
 * Fences matter here as they do on x86: see memory.inc. The doorbell is the pair
 * of a ring's `armed` word and the sleeper's eventfd, and is part of the model:
 * the first four plants, and the two after them, break it.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_FENCE_PUT       no fence between put and reading consumer_armed
 *   PLANT_NO_FENCE_ARM       no fence between arming and looking again
 *   PLANT_NO_FENCE_RELEASE   no fence between release and reading producer_armed
 *   PLANT_NO_FENCE_ARM_SPACE no fence between arming for space and looking again
 *   PLANT_NO_RECHECK         the consumer sleeps without looking again
 *   PLANT_NO_RECHECK_SPACE   the producer sleeps without looking again
 *   PLANT_EARLY_RELEASE      the slot is released before it is read
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef ENTRIES
#define ENTRIES 5
#endif

#include "memory.inc"

/* eq_ring_put() */
inline put()
{
	atomic {
		drain(P); /* the payload's store is older than the sequence's */
		payload[position % CAPACITY] = position
	}
	position++;
	store(P, SLOT + (position - 1) % CAPACITY, position)
}

/* eq_ring_must_wake_consumer(), and ringing */
inline wake_consumer()
{
#ifndef PLANT_NO_FENCE_PUT
	fence(P);
#endif
	load(P, CONSUMER_ARMED, armed);
	if
	:: armed ->
		exchange_zero(P, CONSUMER_ARMED, armed);
		if
		:: armed -> ring(P, consumer_bell)
		:: else
		fi
	:: else
	fi
}

/*
 * Puts bursts of any length and rings at most once after each; looks at what was
 * consumed only when its last figure says that the ring is full.
 */
active proctype producer()
{
	byte position = 0, consumed = 0, armed;
	bool burst = false;

	do
	:: position < ENTRIES && position - consumed < CAPACITY ->
		put();
		burst = true
	:: burst ->
		wake_consumer();
		burst = false
	:: position < ENTRIES && position - consumed == CAPACITY && !burst ->
		load(P, CONSUMED, consumed);
		assert(consumed <= position);
		if
		:: position - consumed == CAPACITY ->
			/* eq_ring_arm_space() */
			store(P, PRODUCER_ARMED, 1);
#ifndef PLANT_NO_FENCE_ARM_SPACE
			fence(P);
#endif
#ifndef PLANT_NO_RECHECK_SPACE
			load(P, CONSUMED, consumed);
#endif
			if
			:: position - consumed == CAPACITY -> sleep(P, producer_bell)
			:: else -> store(P, PRODUCER_ARMED, 0)
			fi
		:: else
		fi
	:: position == ENTRIES && !burst -> break
	od
}

/* eq_ring_release() of all that is held, eq_ring_must_wake_producer(), and ringing */
inline release()
{
	released = position;
	store(C, CONSUMED, released);
#ifndef PLANT_NO_FENCE_RELEASE
	fence(C);
#endif
	load(C, PRODUCER_ARMED, armed);
	if
	:: armed ->
		exchange_zero(C, PRODUCER_ARMED, armed);
		if
		:: armed -> ring(C, producer_bell)
		:: else
		fi
	:: else
	fi
}

/* Takes bursts of any length, and releases each as a whole. */
active proctype consumer()
{
	byte position = 0, released = 0, sequence, armed, value;

	do
	:: position == ENTRIES ->
		release();
		break
	:: position < ENTRIES ->
		/* eq_ring_ready() */
		load(C, SLOT + position % CAPACITY, sequence);
		if
		:: sequence == position + 1 ->
#ifdef PLANT_EARLY_RELEASE
			store(C, CONSUMED, position + 1);
#endif
			/* eq_ring_take() */
			value = payload[position % CAPACITY];
			assert(value == position);
			position++;
			if
			:: release()
			:: true /* goes on with the burst */
			fi
		:: sequence != position + 1 && position != released ->
			release()
		:: else ->
			/* eq_ring_arm() */
			store(C, CONSUMER_ARMED, 1);
#ifndef PLANT_NO_FENCE_ARM
			fence(C);
#endif
#ifndef PLANT_NO_RECHECK
			load(C, SLOT + position % CAPACITY, sequence);
#endif
			if
			:: sequence != position + 1 -> sleep(C, consumer_bell)
			:: else -> store(C, CONSUMER_ARMED, 0)
			fi
		fi
	od
}
