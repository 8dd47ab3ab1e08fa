/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One event queue, level 1 (event-queues/eq_queue.h and eq_interrupt.h), for Spin:
 * an adapter completes work on two completion queues (CQs) and posts to an event
 * queue of three entries, one for each CQ and one for that being taken; a program hears of it by interrupt, clears the summary byte,
 * consumes until empty, looks into the CQs that the entries name, rescans once, and
 * sleeps. Proved: it sees every completion (a lost one shows as an invalid end state),
 * and the queue never holds two entries of one CQ.
 *
 * Stores wait in a buffer of two words per process, as on x86 (memory.inc says why);
 * fences empty it, and so do read-modify-writes but for one.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_FENCE_SIGNAL  the poster looks whether the queue was empty without a fence
 *   PLANT_PART_OF_BURST    ... or takes a burst that was consumed in part for a queue
 *                          that was not empty
 *   PLANT_NO_FENCE_END     the program rescans without a fence
 *   PLANT_NO_RESCAN        ... or not at all
 *   PLANT_LATE_ASB         it clears the summary byte after it has consumed
 *   PLANT_ASB_ONCE         the poster does not set a summary byte that it finds set
 *   PLANT_LATE_MARK        the program clears the mark after it has looked into the CQ
 *   PLANT_TWO_WORDS        going to sleep checks, then sets the alert mask
 */
#ifndef COMPLETIONS
#define COMPLETIONS 4
#endif
#define CQS 2
#define CAPACITY 3

/* Shared words. */
#define CQ 0                  /* CQ + i: completions recorded in it */
#define SEQUENCE (CQ + CQS)   /* SEQUENCE + slot */
#define CONSUMED (SEQUENCE + CAPACITY)
#define ASB (CONSUMED + 1)
#define WORDS (ASB + 1)
#define EMPTY 255
byte memory[WORDS];
byte payload[CAPACITY]; /* written before the sequence, read after it */
bit mark[CQS];          /* only by read-modify-write */
bit cleared[CQS];       /* ... the consumer's */
bit pending, alert;     /* two bits of one word, only by read-modify-write */
bool bell;

#define P 0
#define C 1
/* Store buffers of two words each, the older first: self's are 2 * self and the next. */
byte buffered_word[4] = EMPTY;
byte buffered_value[4];

inline drain_one(self)
{
	if
	:: buffered_word[2 * self] != EMPTY ->
		memory[buffered_word[2 * self]] = buffered_value[2 * self];
		buffered_word[2 * self] = buffered_word[2 * self + 1];
		buffered_value[2 * self] = buffered_value[2 * self + 1];
		buffered_word[2 * self + 1] = EMPTY
	:: else
	fi
}
inline drain(self)
{
	drain_one(self);
	drain_one(self)
}
inline store(self, word, value)
{
	atomic {
		if
		:: buffered_word[2 * self + 1] != EMPTY -> drain_one(self)
		:: else
		fi;
		if
		:: buffered_word[2 * self] == EMPTY ->
			buffered_word[2 * self] = word;
			buffered_value[2 * self] = value
		:: else ->
			buffered_word[2 * self + 1] = word;
			buffered_value[2 * self + 1] = value
		fi
	}
}
inline load(self, word, into)
{
	atomic {
		if
		:: buffered_word[2 * self + 1] == (word) -> into = buffered_value[2 * self + 1]
		:: buffered_word[2 * self + 1] != (word) && buffered_word[2 * self] == (word) ->
			into = buffered_value[2 * self]
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
	:: atomic { buffered_word[2 * P] != EMPTY -> drain_one(P) }
	:: atomic { buffered_word[2 * C] != EMPTY -> drain_one(C) }
	od
}

/* The completion queue entry, then eq_poster_add(). */
inline complete(cq)
{
	done[cq]++;
	left--;
	store(P, CQ + cq, done[cq]);
	atomic {
		drain(P);
		marked = mark[cq];
		mark[cq] = 1;
		if
		:: !marked && cleared[cq] -> drain(C) /* see clear_mark() */
		:: else
		fi
	}
	if
	:: !marked ->
		/* One mark a CQ, and room for one more: never full. */
		load(P, CONSUMED, consumed);
		assert(position - consumed < CAPACITY);
		atomic { drain(P); payload[position % CAPACITY] = cq }
		position++;
		store(P, SEQUENCE + (position - 1) % CAPACITY, position)
	:: else
	fi
}

/* eq_poster_signal() of a queue with EQ_IMMEDIATE, and waking. */
inline signal()
{
#ifdef PLANT_ASB_ONCE
	load(P, ASB, consumed);
	if
	:: !consumed -> store(P, ASB, 1)
	:: else
	fi;
#else
	store(P, ASB, 1);
#endif
#ifndef PLANT_NO_FENCE_SIGNAL
	fence(P);
#endif
	load(P, CONSUMED, consumed);
	if
#ifdef PLANT_PART_OF_BURST
	:: consumed == start ->
#else
	:: consumed >= start ->
#endif
		atomic {
			drain(P);
			pending = 1;
			if
			:: alert -> alert = 0; bell = true
			:: else
			fi
		}
	:: else
	fi;
	start = position
}

active proctype poster()
{
	byte position = 0, start = 0, consumed, left = COMPLETIONS;
	byte done[CQS];
	bit marked;

	do
	:: left > 0 ->
		if
		:: complete(0)
		:: complete(1)
		fi
	:: position != start -> signal()
	:: left == 0 && position == start -> break
	od
}

inline look_into(cq)
{
	load(C, CQ + cq, value);
	seen = seen + value - had[cq];
	had[cq] = value
}

/*
 * A read-modify-write that is no more than acquire and release, as on machines weaker
 * than x86: the stores before it are seen by the poster that finds this mark clear,
 * and by nobody else. eq_consumer_end() does not lean on more.
 */
inline clear_mark(cq)
{
	atomic { mark[cq] = 0; cleared[cq] = 1 }
}

/* eq_consume() until it finds none, and what a program does for each. */
inline consume_all()
{
	do
	:: load(C, SEQUENCE + at % CAPACITY, value);
		if
		:: value == at + 1 ->
			cq = payload[at % CAPACITY];
			at++;
#ifdef PLANT_LATE_MARK
			store(C, CONSUMED, at);
			look_into(cq);
			clear_mark(cq)
#else
			clear_mark(cq);
			store(C, CONSUMED, at);
			look_into(cq)
#endif
		:: else -> break
		fi
	od
}

/* eq_consumer_begin() to eq_consumer_end(). */
inline handle()
{
	load(C, ASB, value);
	if
	:: value ->
#ifndef PLANT_LATE_ASB
		atomic { drain(C); memory[ASB] = 0 }
#endif
		again = 1;
		do
		:: again ->
			consume_all();
#ifndef PLANT_NO_FENCE_END
			fence(C);
#endif
#ifdef PLANT_NO_RESCAN
			value = 0;
#else
			load(C, SEQUENCE + at % CAPACITY, value);
#endif
			again = (value == at + 1)
		:: else -> break
		od;
#ifdef PLANT_LATE_ASB
		atomic { drain(C); memory[ASB] = 0 }
#endif
		skip
	:: else
	fi
}

active proctype program()
{
	byte at = 0, seen = 0, value, cq;
	byte had[CQS];
	bit again, was;

	do
	:: seen == COMPLETIONS -> break
	:: else ->
		/* eq_interrupt_take() */
		atomic { drain(C); was = pending; pending = 0 }
		if
		:: was -> handle()
		:: else ->
			/* eq_interrupt_sleep() */
#ifdef PLANT_TWO_WORDS
			atomic { drain(C); was = pending }
			atomic { alert = !was }
#else
			atomic { drain(C); was = pending; alert = !was }
#endif
			if
			:: was
			:: else -> atomic { bell -> bell = false }
			fi
		fi
	od
}
