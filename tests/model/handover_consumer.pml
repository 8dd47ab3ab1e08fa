/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct dies as the CONSUMER of a ring, and its successor goes on
 * (port_native.c: what leaves the partition; adj_inflight.h), for Spin. The
 * partition's producer lives, fills the ring, and sleeps for space on its
 * doorbell. The consumer takes bursts, hands them to the device in one store
 * each, records how far that is, gives the slots back, and rings. It is killed
 * DEATHS times, between any two of these, also between taking the arming back
 * and ringing, and while it takes over. Its successor knows the ring, the record
 * and what the device counts; the doorbells outlive both. Entry BAD is a wrong
 * one, given back with its burst and never sent: its successor passes it over.
 *
 * Proved: every entry is sent, in order, none twice; nobody sleeps for ever.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_RING            the successor rings only a producer that is armed
 *   PLANT_NO_LOOK            it sleeps before it has looked at the ring
 *   PLANT_CONSUMED_ONLY      it goes on at what was given back, and asks nobody else
 *   PLANT_UNCOUNTED          it goes on at the record, and does not ask the device
 *   PLANT_RELEASE_FIRST      slots are given back before the device has the frames
 *   PLANT_WRONG_ONES_COUNTED  it takes every entry for one that the device has had
 */
#define CAPACITY 3
#define ENTRIES 4
#define DEATHS 2
#define BAD 1

#include "memory.inc"

bool killed; /* the consumer is to die */
byte deaths;
byte sent;  /* the entry that the device is to get next; BAD is passed over */
byte counted; /* frames the device has had, as whoever owns it counts */

/* The in-flight record: one word, so both change at once. Nobody reads it but a
 * successor, to whom all that its predecessor stored has happened. */
byte record_position, record_counted;

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

/* entries_done(): the record first, then the ring's index, then the doorbell. */
inline entries_done(count)
{
	atomic { record_position = released + count; record_counted = counted }
	released = released + count;
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

/* native_take(): wrong entries stay in the burst; alone they are given back at once. */
inline take()
{
	burst = 0;
	do
	:: position < ENTRIES && position - released < CAPACITY ->
		load(C, SLOT + position % CAPACITY, sequence);
		if
		:: sequence == position + 1 ->
			value = payload[position % CAPACITY];
			assert(value == position);
			position++;
			first = (burst -> first : value);
			burst = burst + (value != BAD)
		:: sequence != position + 1 -> break
		:: position != released -> break /* a burst of any length */
		fi
	:: else -> break
	od;
	if
	:: !burst && position != released -> entries_done(position - released)
	:: else
	fi
}

/* rte_eth_tx_burst() of `count` frames: one store of the device's index. */
inline device_takes(count)
{
	atomic {
		done = 0;
		do
		:: done < count ->
			first = (first == BAD -> first + 1 : first);
			sent = (sent == BAD -> sent + 1 : sent);
			assert(first == sent); /* in order, none twice, none left out */
			sent++;
			first++;
			counted++;
			done++
		:: else -> break
		od;
		done = 0
	}
}

/* native_passed(): up to the last frame's entry; the burst's last takes all the rest along. */
inline passed(count)
{
	given = (burst == count -> position : first) - released;
	entries_done(given)
}

/* The device takes the burst in one go or in several. */
inline send_on()
{
	do
	:: burst ->
		some = 1;
		do
		:: some < burst -> some++
		:: break
		od;
#ifdef PLANT_RELEASE_FIRST
		passed(some);
		device_takes(some);
#else
		device_takes(some);
		passed(some);
#endif
		burst = burst - some
	:: else -> break
	od
}

/* transmit_recover() and port_native_open() */
inline take_over()
{
	burst = 0;
#ifdef PLANT_CONSUMED_ONLY
	load(C, CONSUMED, position);
#else
	position = record_position;
#endif
	released = position;
	store(C, CONSUMED, position);
#if !defined(PLANT_CONSUMED_ONLY) && !defined(PLANT_UNCOUNTED)
	/* The frames passed came from the right ones of the entries that follow. */
	some = counted - record_counted;
	do
	:: some ->
		load(C, SLOT + position % CAPACITY, sequence);
		assert(sequence == position + 1); /* they were not given back */
#ifdef PLANT_WRONG_ONES_COUNTED
		some--;
#else
		some = some - (payload[position % CAPACITY] != BAD);
#endif
		position++
	:: else -> break
	od;
#endif
	entries_done(position - released);
#ifdef PLANT_NO_RING
	skip
#else
	ring(C, producer_bell)
#endif
}

/* The dead process's stores reach memory: the kernel sees to it before it is gone. */
inline die()
{
	atomic { drain(C); killed = false }
}

active proctype consumer()
{
	byte position, released, first, burst, some, done, given;
	byte sequence, armed, value;
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
		:: released == ENTRIES -> break
		:: else ->
			take();
			if
			:: burst -> send_on()
			:: else ->
				load(C, SLOT + position % CAPACITY, sequence);
				if
				:: released < ENTRIES && sequence != position + 1 ->
					store(C, CONSUMER_ARMED, 1);
					fence(C);
					load(C, SLOT + position % CAPACITY, sequence);
					if
					:: sequence != position + 1 -> sleep(C, consumer_bell)
					:: else -> store(C, CONSUMER_ARMED, 0)
					fi
				:: else
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
