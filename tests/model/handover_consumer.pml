/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct dies as the CONSUMER of a ring, and its successor goes on
 * (port_native.c: what leaves the partition), for Spin. The partition's producer
 * lives, fills the ring, and sleeps for space on its doorbell. The consumer is
 * killed DEATHS times, between any two of its accesses to memory, also between
 * taking the arming back and ringing. Its successor knows what is in the ring
 * and nothing else; the doorbells outlive both.
 *
 * Proved: nobody sleeps for ever; the entries go out in order and none twice; and
 * none is lost but what the dead had released and still held, one burst at most.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_RING        the successor does not ring
 *   PLANT_RING_IF_ARMED  it rings only a producer that is armed
 *   PLANT_NO_LOOK        it sleeps before it has looked at the ring
 *   PLANT_RESUME_AT_0    it starts where a first consumer does
 *   PLANT_SEND_FIRST     what was taken is sent on before it is released
 */
#define CAPACITY 2
#define ENTRIES 5
#define DEATHS 2

#include "memory.inc"

bool killed;     /* the consumer is to die */
byte deaths;
byte sent;       /* entries 0 .. sent - 1 have gone out, or are lost */
byte lost;

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

/* native_take() releases all that it took; then the device is given it. */
inline release()
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

/* Entry `first` and those behind it, up to `position`. */
inline send_on()
{
	do
	:: first < position ->
		atomic {
			assert(first == sent); /* in order, none twice, none left out */
			sent++;
			first++
		}
	:: else -> break
	od
}

inline hand_over()
{
#ifdef PLANT_SEND_FIRST
	send_on();
	release()
#else
	release();
	send_on()
#endif
}

/* eq_ring_recover_consumer() and port_native_open() */
inline take_over()
{
#ifdef PLANT_RESUME_AT_0
	position = 0;
#else
	load(C, CONSUMED, position);
#endif
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
		lost = lost + (memory[CONSUMED] > sent -> memory[CONSUMED] - sent : 0);
		/* One burst for each of the dead. */
		assert(lost <= deaths * CAPACITY);
		sent = (memory[CONSUMED] > sent -> memory[CONSUMED] : sent);
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
