/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct dies as the PRODUCER of a ring, and its successor goes on
 * (port_native.c: what comes to the partition), for Spin. The partition's
 * consumer lives, and sleeps on its doorbell when the ring is empty. The
 * producer is killed DEATHS times, between any two of its accesses to memory,
 * also in the middle of an entry and between taking the arming back and ringing.
 * Its successor knows what is in the ring and nothing else.
 *
 * Proved: nobody sleeps for ever; every entry whose sequence was stored arrives,
 * once and in order. What the dead held and had not yet put is lost with it, as
 * on any link that goes down.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_RING        the successor does not ring
 *   PLANT_RING_IF_ARMED  it rings only a consumer that is armed
 *   PLANT_NO_LOOK        it sleeps for space before it has looked for some
 *   PLANT_RESUME_AT_CONSUMED  it goes on at what was consumed, over what waits
 *   PLANT_RESUME_ONE_LATE     it counts the entry that was being written
 *   PLANT_SEQUENCE_FIRST      an entry's sequence is stored before its payload
 */
#define CAPACITY 2
#define ENTRIES 4
#define DEATHS 2

#include "memory.inc"

bool killed; /* the producer is to die */
byte deaths;
byte source;    /* the next frame that comes from the device */
byte published; /* entries whose sequence was stored */
byte received;
bool finished;  /* there will be no more */

active proctype killer()
{
	do
	:: atomic { deaths < DEATHS && !killed -> deaths++; killed = true }
	:: break
	od
}

/* eq_ring_put() of what `value` says. */
inline put()
{
	atomic { value = source; source++ } /* from the device: nobody else gets it */
#ifdef PLANT_SEQUENCE_FIRST
	atomic { store(P, SLOT + position % CAPACITY, position + 1); published++ }
	atomic { drain(P); payload[position % CAPACITY] = value }
#else
	atomic { drain(P); payload[position % CAPACITY] = value }
	atomic { store(P, SLOT + position % CAPACITY, position + 1); published++ }
#endif
	position++
}

inline wake_consumer()
{
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
	fi
}

/* eq_ring_recover_producer() and port_native_open() */
inline take_over()
{
	load(P, CONSUMED, consumed);
	position = consumed;
#ifndef PLANT_RESUME_AT_CONSUMED
	do
	:: position - consumed < CAPACITY ->
		load(P, SLOT + position % CAPACITY, sequence);
		if
		:: sequence == position + 1 -> position++
		:: else -> break
		fi
	:: else -> break
	od;
#endif
#ifdef PLANT_RESUME_ONE_LATE
	position = (position - consumed < CAPACITY -> position + 1 : position);
#endif
#if defined(PLANT_RING_IF_ARMED)
	wake_consumer()
#elif !defined(PLANT_NO_RING)
	ring(P, consumer_bell)
#else
	skip
#endif
}

inline die()
{
	atomic { drain(P); killed = false }
}

inline sleep_for_space()
{
	store(P, PRODUCER_ARMED, 1);
	fence(P);
	load(P, CONSUMED, consumed);
	if
	:: position - consumed == CAPACITY -> sleep(P, producer_bell)
	:: else -> store(P, PRODUCER_ARMED, 0)
	fi
}

active proctype producer()
{
	byte position, consumed, sequence, armed, value;
	bool burst, successor = false;

life:
	{
		burst = false;
		if
		:: successor -> take_over()
		:: else -> skip
		fi;
#ifdef PLANT_NO_LOOK
		if
		:: successor -> store(P, PRODUCER_ARMED, 1); sleep(P, producer_bell)
		:: else -> skip
		fi;
#endif
		do
		:: source < ENTRIES && position - consumed < CAPACITY ->
			put();
			burst = true
		:: burst ->
			wake_consumer();
			burst = false
		:: source < ENTRIES && position - consumed == CAPACITY && !burst ->
			load(P, CONSUMED, consumed);
			if
			:: position - consumed == CAPACITY -> sleep_for_space()
			:: else
			fi
		:: source == ENTRIES && !burst -> break
		od;
		finished = true
	} unless { killed && !finished };
	if
	:: killed && !finished ->
		die();
		successor = true;
		goto life
	:: else
	fi
}

/* When nothing can go on: the consumer must have it all. Only then may it end. */
active proctype witness()
{
	timeout;
	assert(finished && received == published);
	consumer_bell = true
}

inline give_back()
{
	released = position;
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

/* As in ring.pml, without plants; takes bursts of any length. */
active proctype consumer()
{
	byte position = 0, released = 0, next = 0, sequence, armed, value;

	do
	:: finished && received == published && released == position -> break
	:: else ->
		load(C, SLOT + position % CAPACITY, sequence);
		if
		:: sequence == position + 1 ->
			value = payload[position % CAPACITY];
			assert(value >= next); /* in order, none twice */
			next = value + 1;
			received++;
			position++;
			if
			:: true /* goes on with the burst */
			:: true -> give_back()
			fi
		:: sequence != position + 1 && position != released -> give_back()
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
}
