/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct dies as the device's side of a guest's transmit ring, and its successor
 * goes on (port_vhost.c, vhost_ring.c; adj_inflight.h), for Spin. The guest's driver
 * lives, makes ENTRIES available one after the other, of which CAPACITY fit, and
 * sleeps for its interrupt when there is no room. The adjunct takes bursts, hands them
 * to the device in one store each, records how far that is, moves the used index, and
 * interrupts. It is killed DEATHS times, between any two of these, also while it takes
 * over. Its successor knows the used index, from the guest's memory, the record and
 * what the device counts. Entry BAD is no frame: it is used by itself.
 *
 * Unlike the native ring (handover_consumer.pml) the index that the guest sees is what
 * a successor is told, wishes are flags that nobody takes back, and a burst is of
 * frames alone, so that what the device has taken is a number of entries.
 *
 * Proved: every entry is sent, in order, none twice; nobody sleeps for ever.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_CALL        the successor interrupts only a guest that wants it now
 *   PLANT_NO_LOOK        it sleeps before it has looked at the ring
 *   PLANT_NO_FENCE       it reads the guest's wish before its index is seen
 *   PLANT_USED_ONLY      it goes on at the used index, and asks nobody else
 *   PLANT_NOT_RECORDED   it counts what was passed from the used index
 *   PLANT_UNCOUNTED      it goes on at the record, and does not ask the device
 *   PLANT_USE_FIRST      entries are used before the device has the frames
 *   PLANT_RECORD_LAST    and before that is recorded
 *   PLANT_BAD_IN_BURST   an entry that is no frame lies among those of a burst
 */
#define CAPACITY 1 /* of memory.inc's slots: one word is enough, the available index */
#define ROOM 2
#define ENTRIES 3
#define DEATHS 2
#define BAD 1

#include "memory.inc"

#define USED CONSUMED
#define KICKS_WANTED CONSUMER_ARMED /* by the device; nobody else changes it */
#define CALLS_WANTED PRODUCER_ARMED /* by the driver */
#define AVAILABLE SLOT

bool killed; /* the adjunct is to die */
byte deaths;
byte sent;    /* the entry that the device is to get next; BAD is passed over */
byte counted; /* frames the device has had, as whoever owns it counts */

/* The in-flight record: one word, so both change at once. */
byte record_position, record_counted;

/* Whoever kills, does so at any time, or never. */
active proctype killer()
{
	do
	:: atomic { deaths < DEATHS && !killed -> deaths++; killed = true }
	:: break
	od
}

active proctype driver()
{
	byte available = 0, used = 0, wanted;

	do
	:: available < ENTRIES && available - used < ROOM ->
		available++;
		store(P, AVAILABLE, available);
		fence(P);
		load(P, KICKS_WANTED, wanted);
		if
		:: wanted -> ring(P, consumer_bell)
		:: else
		fi
	:: available - used == ROOM || (available == ENTRIES && used < ENTRIES) ->
		load(P, USED, used);
		assert(used <= available && available - used <= ROOM);
		if
		:: available - used == ROOM || (available == ENTRIES && used < ENTRIES) ->
			store(P, CALLS_WANTED, 1);
			fence(P);
			load(P, USED, wanted);
			if
			:: wanted == used -> sleep(P, producer_bell)
			:: else
			fi;
			store(P, CALLS_WANTED, 0)
		:: else
		fi
	:: available == ENTRIES && used == ENTRIES -> break
	od
}

inline record(position_then)
{
	atomic { record_position = position_then; record_counted = counted }
}

/* vhost_ring_use(): the used index, then the guest's wish. */
inline use(count)
{
	used = used + count;
	store(C, USED, used);
#ifndef PLANT_NO_FENCE
	fence(C);
#endif
	load(C, CALLS_WANTED, wanted);
	if
	:: wanted -> ring(C, producer_bell)
	:: else
	fi
}

/* entries_done() */
inline entries_done(count)
{
#ifdef PLANT_RECORD_LAST
	use(count);
	record(used)
#else
	record(used + count);
	use(count)
#endif
}

/* vhost_take(): what is no frame comes alone, and is done with at once. */
inline take()
{
	burst = 0;
	load(C, AVAILABLE, available);
	position = used;
	do
	:: position < available ->
		if
#ifndef PLANT_BAD_IN_BURST
		:: position == BAD && burst -> break
#endif
		:: position == BAD && !burst -> position++; entries_done(1)
		:: else -> position++; burst++
		fi
	:: position > used -> break /* a burst of any length */
	:: position >= available -> break
	od
}

/* rte_eth_tx_burst() of `count` frames: one store of the device's index. */
inline device_takes(count)
{
	atomic {
		done = 0;
		do
		:: done < count ->
			sent = (sent == BAD -> sent + 1 : sent);
			assert(used + done == sent); /* in order, none twice, none left out */
			sent++;
			counted++;
			done++
		:: else -> break
		od;
		done = 0
	}
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
#ifdef PLANT_USE_FIRST
		used = used + some;
		record(used);
		store(C, USED, used);
		used = used - some;
		device_takes(some);
		used = used + some;
#else
		device_takes(some);
		entries_done(some);
#endif
		burst = burst - some
	:: else -> break
	od
}

/* transmit_recover() and rings_began() */
inline take_over()
{
	load(C, USED, used); /* as the shim reads it */
#ifndef PLANT_USED_ONLY
#ifndef PLANT_NOT_RECORDED
	assert(record_position >= used);
	some = record_position - used;
	if
	:: some -> use(some)
	:: else
	fi;
#endif
#ifndef PLANT_UNCOUNTED
	some = counted - record_counted;
	record(used + some);
	if
	:: some -> use(some)
	:: else
	fi;
#endif
#endif
	record(used);
#ifdef PLANT_NO_CALL
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

active proctype adjunct()
{
	byte position, used, available, burst, some, done, wanted;
	bool successor = false;

life:
	{
		if
		:: successor -> take_over()
		:: else -> skip
		fi;
#ifdef PLANT_NO_LOOK
		if
		:: successor -> store(C, KICKS_WANTED, 1); sleep(C, consumer_bell)
		:: else -> skip
		fi;
#endif
		do
		:: used == ENTRIES -> break
		:: else ->
			take();
			if
			:: burst -> send_on()
			:: !burst && used < ENTRIES ->
				store(C, KICKS_WANTED, 1);
				fence(C);
				load(C, AVAILABLE, available);
				if
				:: available == used -> sleep(C, consumer_bell)
				:: else
				fi;
				store(C, KICKS_WANTED, 0)
			:: else
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
