/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct dies as the CONSUMER of a ring, and its successor goes on
 * (port_native.c: what leaves the partition), for Spin. The partition's producer
 * lives, fills the ring, and sleeps for space on its doorbell. The consumer is
 * killed DEATHS times, between any two of its accesses to memory, also between
 * taking the arming back and ringing, or between passing frames to the device,
 * recording that, and releasing their entries. Its successor knows the record and
 * how many frames the device has (adj_inflight.h); the doorbells outlive both.
 *
 * Proved: nobody sleeps for ever; and every entry goes out once and in order.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_RING        the successor does not ring
 *   PLANT_RING_IF_ARMED  it rings only a producer that is armed
 *   PLANT_NO_LOOK        it sleeps before it has looked at the ring
 *   PLANT_RESUME_AT_0    it starts where a first consumer does
 *   PLANT_RELEASE_FIRST  what was taken is released before the device has it
 *   PLANT_NO_COUNT       the successor does not ask what the device has
 *   PLANT_NO_RECORD      it takes the ring's own index for the record's position
 */
#define CAPACITY 2
#define ENTRIES 5
#define DEATHS 2

#include "memory.inc"

bool killed;     /* the consumer is to die */
byte deaths;
byte sent;       /* frames the device has: of entries 0 .. sent - 1 */
/* The record, one word: before `position`, all is done, and the device had `taken`. */
byte record_position, record_taken;

/* Whoever kills, does so at any time, or never. */
active proctype killer()
{
	do
	:: atomic { deaths < DEATHS && !killed -> deaths++; killed = true }
	:: break
	od
}

/* As in ring.pml, without plants. */
active proctype producer()
{
	byte position = 0, consumed = 0, armed;
	bool burst = false;

	do
	:: position < ENTRIES && position - consumed < CAPACITY ->
		atomic {
			drain(P);
			payload[position % CAPACITY] = position
		}
		position++;
		store(P, SLOT + (position - 1) % CAPACITY, position);
		burst = true
	:: burst ->
		fence(P);
		load(P, CONSUMER_ARMED, armed);
		if
		:: armed ->
			exchange_zero(P, CONSUMER_ARMED, armed);
			if
			:: armed -> ring(P, consumer_bell)
			:: else
			fi
		:: else
		fi;
		burst = false
	:: position < ENTRIES && position - consumed == CAPACITY && !burst ->
		load(P, CONSUMED, consumed);
		/* What eq_ring_space() calls a protocol error. */
		assert(consumed <= position && position - consumed <= CAPACITY);
		if
		:: position - consumed == CAPACITY ->
			store(P, PRODUCER_ARMED, 1);
			fence(P);
			load(P, CONSUMED, consumed);
			if
			:: position - consumed == CAPACITY -> sleep(P, producer_bell)
			:: else -> store(P, PRODUCER_ARMED, 0)
			fi
		:: else
		fi
	:: position == ENTRIES && !burst -> break
	od
}

/* entries_done(): the record is in memory of its own, read after our death only. */
inline release()
{
#ifndef PLANT_RELEASE_FIRST
	atomic { record_position = first; record_taken = sent };
	released = first;
#else
	atomic { record_position = position; record_taken = sent };
	released = position;
#endif
	store(C, CONSUMED, released);
	fence(C);
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

/* Entry `first` and those behind it, up to `position`, or fewer: by one store. */
inline send_on()
{
	atomic {
		assert(first == sent); /* in order, none twice, none left out */
		if
		:: first = position
		:: first + 1 < position -> first++
		fi;
		sent = first
	}
}

inline hand_over()
{
#ifdef PLANT_RELEASE_FIRST
	release();
	send_on();
	if
	:: first < position -> send_on()
	:: else
	fi;
	if
	:: first < position -> send_on()
	:: else
	fi
#else
	send_on();
	release()
#endif
}

/* transmit_recover() and port_native_open() */
inline take_over()
{
#if defined(PLANT_RESUME_AT_0)
	position = 0;
#elif defined(PLANT_NO_COUNT)
	position = record_position;
#elif defined(PLANT_NO_RECORD)
	load(C, CONSUMED, position);
	position = position + sent - record_taken;
#else
	position = record_position + sent - record_taken;
#endif
	atomic { record_position = position; record_taken = sent };
	released = position;
	first = position;
	store(C, CONSUMED, position);
#if defined(PLANT_RING_IF_ARMED)
	fence(C);
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
#elif !defined(PLANT_NO_RING)
	ring(C, producer_bell)
#else
	skip
#endif
}

/* The dead process's stores reach memory: the kernel sees to it before it is gone. */
inline die()
{
	atomic {
		drain(C);
		killed = false
	}
}

active proctype consumer()
{
	byte position, released, first, sequence, armed, value;
	bool successor = false;

life:
	{
		if
		:: successor -> take_over()
		:: else -> skip
		fi;
#ifdef PLANT_NO_LOOK
		if
		:: successor -> store(C, CONSUMER_ARMED, 1); sleep(C, consumer_bell)
		:: else -> skip
		fi;
#endif
		do
		:: position == ENTRIES && released == position -> break
		:: position < ENTRIES || released < position ->
			load(C, SLOT + position % CAPACITY, sequence);
			if
			:: sequence == position + 1 && position - released < CAPACITY ->
				/* eq_ring_take_ready() */
				value = payload[position % CAPACITY];
				assert(value == position);
				position++;
				if
				:: true /* goes on with the burst */
				:: true -> hand_over()
				fi
			:: (sequence != position + 1 || position - released == CAPACITY) &&
			   position != released ->
				hand_over()
			:: else ->
				store(C, CONSUMER_ARMED, 1);
				fence(C);
				load(C, SLOT + position % CAPACITY, sequence);
				if
				:: sequence != position + 1 -> sleep(C, consumer_bell)
				:: else -> store(C, CONSUMER_ARMED, 0)
				fi
			fi
		od
	} unless { killed };
	if
	:: killed ->
		die();
		successor = true;
		goto life
	:: else
	fi;
	assert(sent == ENTRIES)
}
