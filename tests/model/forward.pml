/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level 2 (event-queues/eq_forward.c, eq_deliver.c), for Spin: an adapter posts to a
 * type-1 event queue, two forwarders take turns at it and put what they took into one
 * guest's event queue at the same time, and the guest sleeps on its interrupt state
 * area. Proved: the guest sees every event, no entry is written twice, and forwarders
 * that sleep are woken (a lost wake-up shows as an invalid end state).
 *
 * Marks are left out (queue.pml has them): each event here is of a resource of its
 * own. Stores wait in a buffer of one word per process, as on x86; read-modify-writes
 * and fences empty it.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_LATE_PSB        the summary byte is cleared after the entries were taken
 *   PLANT_NO_LOOK_BACK    who lets go of the claim does not look at the PSB again
 *   PLANT_STORE_UNCLAIM   the claim is let go by a store, not an exchange
 *   PLANT_RESERVE_BY_LOAD the next entry is read and written, not compare-and-swapped
 *   PLANT_EARLY_SIGNAL    the guest is interrupted before the entry is there
 *   PLANT_LATE_INTERRUPT  the forwarder clears the interrupt after it has looked
 *   PLANT_SLEEP_BLIND     the guest sleeps without looking whether one is pending
 */
#ifndef EVENTS
#define EVENTS 2
#endif

/* Shared words; rings have a place for every event, so none is ever full. */
#define TYPE1 0                    /* TYPE1 + i: sequence */
#define PSB (TYPE1 + EVENTS)
#define CLAIM (PSB + 1)
#define NEXT (CLAIM + 1)           /* GEQCB, 808 */
#define GUEST (NEXT + 1)           /* GUEST + i: sequence of the guest's entry i */
#define ASB (GUEST + EVENTS)
#define WORDS (ASB + 1)
#define EMPTY 255
byte memory[WORDS];
byte written[EVENTS];              /* times a guest's entry was written */
bit izone_pending, izone_alert;    /* one word */
bit gisa_pending, gisa_alert;      /* one word */
bool guest_bell, finished;
byte forwarder_bell;               /* one eventfd, two sleepers: a semaphore */
byte taken;                        /* consumer's position in type 1: under the claim */

#define A 0 /* adapter */
#define G 1 /* guest */
#define F 2 /* F + n: forwarder n */
byte buffered_word[4] = EMPTY;
byte buffered_value[4];

inline drain(self)
{
	if
	:: buffered_word[self] != EMPTY ->
		memory[buffered_word[self]] = buffered_value[self];
		buffered_word[self] = EMPTY
	:: else
	fi
}
inline store(self, word, value)
{
	atomic { drain(self); buffered_word[self] = word; buffered_value[self] = value }
}
inline load(self, word, into)
{
	atomic {
		if
		:: buffered_word[self] == (word) -> into = buffered_value[self]
		:: else -> into = memory[word]
		fi
	}
}
inline exchange(self, word, new, into)
{
	atomic { drain(self); into = memory[word]; memory[word] = new }
}

active proctype flusher()
{
end:	do
	:: atomic { buffered_word[A] != EMPTY -> drain(A) }
	:: atomic { buffered_word[G] != EMPTY -> drain(G) }
	:: atomic { buffered_word[F] != EMPTY -> drain(F) }
	:: atomic { buffered_word[F + 1] != EMPTY -> drain(F + 1) }
	od
}

/* FIG. 16, 1606-1612: an entry, the summary byte, the interrupt. */
active proctype adapter()
{
	byte position = 0;

	do
	:: position < EVENTS ->
		position++;
		store(A, TYPE1 + position - 1, position);
		store(A, PSB, 1);
		atomic {
			drain(A);
			izone_pending = 1;
			if
			:: izone_alert -> izone_alert = 0; forwarder_bell++
			:: else
			fi
		}
	:: else -> break
	od
}

/* FIG. 17, 1704-1716. */
inline interrupt_guest(self)
{
	atomic {
		drain(self);
		gisa_pending = 1;
		if
		:: gisa_alert -> gisa_alert = 0; guest_bell = true
		:: else
		fi
	}
}

inline deliver(self)
{
#ifdef PLANT_RESERVE_BY_LOAD
	load(self, NEXT, position);
	store(self, NEXT, position + 1);
#else
	atomic { drain(self); position = memory[NEXT]; memory[NEXT] = position + 1 }
#endif
#ifdef PLANT_EARLY_SIGNAL
	store(self, ASB, 1);
	interrupt_guest(self);
#endif
	atomic { written[position]++; assert(written[position] == 1) }
	store(self, GUEST + position, position + 1);
#ifndef PLANT_EARLY_SIGNAL
	store(self, ASB, 1);
	interrupt_guest(self);
#endif
	skip
}

/* forward_chunk(), one entry at a time; it is known to be claimed. */
inline take_one(self)
{
#ifndef PLANT_LATE_PSB
	exchange(self, PSB, 0, value);
#endif
	mine = 0;
	if
	:: taken < EVENTS ->
		load(self, TYPE1 + taken, value);
		if
		:: value == taken + 1 -> taken++; mine = 1
		:: else
		fi
	:: else
	fi;
	/* eq_consumer_end(): is there more? */
	atomic { drain(self) }
	if
	:: taken < EVENTS ->
		load(self, TYPE1 + taken, value);
		if
		:: value == taken + 1 -> store(self, PSB, 1)
		:: else
		fi
	:: else
	fi;
#ifdef PLANT_LATE_PSB
	exchange(self, PSB, 0, value);
#endif
#ifdef PLANT_STORE_UNCLAIM
	store(self, CLAIM, 0)
#else
	exchange(self, CLAIM, 0, value)
#endif
}

proctype forwarder(byte self)
{
	byte value, position;
	bit was, mine, busy;

	do
	:: finished -> break
	:: else ->
		/* forward_adapter() */
		busy = 0;
#ifndef PLANT_LATE_INTERRUPT
		atomic { drain(self); izone_pending = 0 }
#endif
		do
		:: load(self, PSB, value);
			if
			:: !value -> break
			:: else
			fi;
			exchange(self, CLAIM, 1, value);
			if
			:: value -> break /* another is at it */
			:: else
			fi;
			take_one(self);
			if
			:: mine -> deliver(self); busy = 1
			:: else
			fi;
#ifdef PLANT_NO_LOOK_BACK
			break
#endif
		od;
#ifdef PLANT_LATE_INTERRUPT
		atomic { drain(self); izone_pending = 0 }
#endif
#ifndef PLANT_NO_LOOK_BACK
		if
		:: busy
		:: else ->
#endif
			/* eq_host_sleep() */
			atomic { drain(self); was = izone_pending; izone_alert = (was -> izone_alert : 1) }
			if
			:: was
			:: else -> atomic { forwarder_bell > 0 -> forwarder_bell-- }
			fi
#ifndef PLANT_NO_LOOK_BACK
		fi
#endif
	od
}

active proctype guest()
{
	byte at = 0, value;
	bit was;

	do
	:: at == EVENTS -> break
	:: else ->
		atomic { drain(G); was = gisa_pending; gisa_pending = 0 }
		if
		:: was ->
			exchange(G, ASB, 0, value);
			do
			:: value && at < EVENTS ->
				load(G, GUEST + at, value);
				if
				:: value == at + 1 -> at++
				:: else -> break
				fi
			:: else -> break
			od
		:: else ->
#ifdef PLANT_SLEEP_BLIND
			atomic { drain(G); was = 0; gisa_alert = 1 }
#else
			atomic { drain(G); was = gisa_pending; gisa_alert = !was }
#endif
			if
			:: was
			:: else -> atomic { guest_bell -> guest_bell = false }
			fi
		fi
	od;
	/* The world ends: forwarders may go home. */
	atomic { finished = true; forwarder_bell = forwarder_bell + 2 }
}

init
{
	atomic { run forwarder(F); run forwarder(F + 1) }
}
