/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's event queue that is full (event-queues/eq_deliver.c: eq_deliver(),
 * eq_geqcb_resume(); eq_queue.h: eq_consumer_must_wake_poster()), for Spin. A forwarder
 * brings EVENTS events of as many resources to a queue with one place; what finds no
 * room is held with its resource, the queue is armed, and the guest kicks the host
 * when it has made room; the host then forwards what was held. Proved: the guest gets
 * every event (one that stays behind shows as an invalid end state).
 *
 * Forwarder and host are two threads. Stores wait in a buffer of one word per process,
 * as on x86; read-modify-writes and fences empty it.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_FENCE_ARM   no fence between arming and looking for room
 *   PLANT_NO_LOOK        the forwarder does not look for room again
 *   PLANT_HOLD_UNARMED   it holds the event a second time without arming again
 *   PLANT_NO_FENCE_KICK  the guest looks whether it must kick without a fence
 *   PLANT_LATE_HELD      the event is held after the queue was armed
 *   PLANT_LATE_BLOCKED   the host says "nothing is held" after it has looked
 */
#ifndef EVENTS
#define EVENTS 3
#endif

/* Shared words. */
#define CONSUMED 0
#define ARMED 1
#define SEQUENCE 2 /* of the one place */
#define WORDS 3
#define EMPTY 255
byte memory[WORDS];
byte next;           /* GEQCB, 808: by compare-and-swap */
bit held[EVENTS];    /* by read-modify-write */
bit blocked;         /* by read-modify-write */
byte kicks;          /* the guest's eventfd to the host */
bool guest_bell;     /* stands for the whole of GISA and alert: forward.pml */
bool finished;

#define G 0 /* guest */
#define F 1 /* forwarder */
#define H 2 /* host */
byte buffered_word[3] = EMPTY;
byte buffered_value[3];

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
inline fence(self)
{
	atomic { drain(self) }
}

active proctype flusher()
{
end:	do
	:: atomic { buffered_word[G] != EMPTY -> drain(G) }
	:: atomic { buffered_word[F] != EMPTY -> drain(F) }
	:: atomic { buffered_word[H] != EMPTY -> drain(H) }
	od
}

/* try_deliver(): reserve, write, wake. */
inline try(self)
{
	do
	:: load(self, CONSUMED, value);
		position = next;
		if
		:: position != value -> delivered = 0; break
		:: else
		fi;
		atomic {
			drain(self);
			if
			:: next == position -> next++; delivered = 1
			:: else -> delivered = 0
			fi
		}
		if
		:: delivered ->
			store(self, SEQUENCE, position + 1);
			atomic { drain(self); guest_bell = true }
			break
		:: else
		fi
	od
}

/* eq_deliver(): holds until it is delivered or there is no room. */
inline deliver(self, event)
{
	try(self);
	do
	:: delivered -> break
	:: else ->
#ifndef PLANT_LATE_HELD
		atomic { drain(self); held[event] = 1 }
		atomic { drain(self); blocked = 1 }
#endif
		store(self, ARMED, 1);
#ifndef PLANT_NO_FENCE_ARM
		fence(self);
#endif
#ifdef PLANT_NO_LOOK
		break;
#endif
		load(self, CONSUMED, value);
		position = next;
#ifdef PLANT_LATE_HELD
		atomic { drain(self); held[event] = 1; blocked = 1 }
#endif
		if
		:: position != value -> break /* no room */
		:: else
		fi;
		atomic { drain(self); was = held[event]; held[event] = 0 }
		if
		:: was -> try(self)
		:: else -> break /* another has resumed it */
		fi;
#ifdef PLANT_HOLD_UNARMED
		if
		:: !delivered -> atomic { drain(self); held[event] = 1 } break
		:: else
		fi
#endif
	od
}

active proctype forwarder()
{
	byte event = 0, value, position;
	bit was, delivered;

	do
	:: event < EVENTS -> deliver(F, event); event++
	:: else -> break
	od
}

/* eq_geqcb_resume() on every kick. */
active proctype host()
{
	byte event, value, position;
	bit was, delivered, any;

	do
	:: atomic { kicks > 0 -> kicks-- }
#ifdef PLANT_LATE_BLOCKED
		any = blocked;
#else
		atomic { any = blocked; blocked = 0 }
#endif
		event = 0;
		do
		:: any && event < EVENTS ->
			atomic { was = held[event]; held[event] = 0 }
			if
			:: was -> deliver(H, event)
			:: else
			fi;
			event++
		:: else -> break
		od;
#ifdef PLANT_LATE_BLOCKED
		blocked = 0
#endif
	:: finished -> break
	od
}

active proctype guest()
{
	byte at = 0, value;
	bit armed;

	do
	:: at == EVENTS -> break
	:: else ->
		load(G, SEQUENCE, value);
		if
		:: value == at + 1 ->
			at++;
			store(G, CONSUMED, at)
		:: else ->
			/* eq_consumer_must_wake_poster() after the drain */
#ifndef PLANT_NO_FENCE_KICK
			fence(G);
#endif
			load(G, ARMED, armed);
			if
			:: armed ->
				atomic { drain(G); armed = memory[ARMED]; memory[ARMED] = 0; kicks = kicks + armed }
			:: else
			fi;
			atomic { guest_bell -> guest_bell = false }
		fi
	od;
	finished = true
}
