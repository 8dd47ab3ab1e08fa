/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ways in which a peer of an eq_ring (event-queues/eq.h) can miss its
 * wake-up, for Spin. A producer puts ENTRIES entries through a ring of CAPACITY
 * slots to a consumer; whoever has nothing to do arms, looks once more, and
 * sleeps on an eventfd. Proved: every entry arrives, in order, no slot is
 * overwritten early, and both processes come to their end (a lost wake-up shows
 * as an invalid end state).
 *
 * Spin executes in sequential consistency, where the fences would not matter.
 * So every store goes through a store buffer of one word per process, which the
 * machine empties when it likes (flusher) and a fence empties at once, as
 * x86-TSO does; with one word, older stores of the process reach memory before
 * newer ones. Read-modify-writes and the kernel (eventfd) empty it, too: but
 * not before the relaxed read of `armed` that decides whether to come there.
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

/* Shared words, by number, so that a store buffer can name one. */
#define CONSUMED 0
#define CONSUMER_ARMED 1
#define PRODUCER_ARMED 2
#define SLOT 3 /* SLOT + i: sequence of slot i; its payload is payload[i] */
#define WORDS (SLOT + CAPACITY)
#define EMPTY 255

byte memory[WORDS];
byte payload[CAPACITY]; /* written before the sequence, read after it */

/* One-entry store buffers: word and value. 0 the producer's, 1 the consumer's. */
#define P 0
#define C 1
byte buffered_word[2] = EMPTY;
byte buffered_value[2];

/* eventfds: rung or not (a counter that a read sets to 0). */
bool consumer_bell, producer_bell;

/* Makes the pending store visible. */
inline drain(self)
{
	if
	:: buffered_word[self] != EMPTY ->
		memory[buffered_word[self]] = buffered_value[self];
		buffered_word[self] = EMPTY
	:: else
	fi
}

/* A relaxed or release store: the older one first, then this one waits. */
inline store(self, word, value)
{
	atomic {
		drain(self);
		buffered_word[self] = word;
		buffered_value[self] = value
	}
}

/* A load sees the process's own pending store first. */
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

/* atomic_exchange(word, 0), which is fenced on every machine that has TSO. */
inline exchange_zero(self, word, into)
{
	atomic {
		drain(self);
		into = memory[word];
		memory[word] = 0
	}
}

/* System calls: write() rings, read() clears and returns only when rung. */
inline ring(self, bell)
{
	atomic { drain(self); bell = true }
}

inline sleep(self, bell)
{
	atomic { drain(self) }
	atomic { bell -> bell = false }
}

/* The machine empties store buffers whenever it likes; it never stops doing so. */
active proctype flusher()
{
end:	do
	:: atomic { buffered_word[P] != EMPTY -> drain(P) }
	:: atomic { buffered_word[C] != EMPTY -> drain(C) }
	od
}

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
