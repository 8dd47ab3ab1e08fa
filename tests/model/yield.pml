/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A processor lent to an adjunct and handed back, for Spin: the dispatch cell of
 * hv-shim/base/service_layout.h, as hv-shim/partition/yield.c (`partition`) and the two
 * threads of adjunct-drivers/runtime/donated.c (`dispatch`, `control`) use it. The
 * partition yields, and once more for each PA_BUSY; a quantum may end between any two
 * steps of the dispatch thread; the driver's device interrupts; the control thread holds
 * the dispatch thread to touch the driver.
 *
 * Proved: every yield comes back (a lost dispatch or wake-up leaves the partition where
 * it is); what is handed back is the dispatch that the partition made, once; the driver
 * is never run without one but to be left, and never while the control thread has it; an
 * interrupt has been served in the end, whoever of the two threads noticed.
 *
 * Each run has some of what may happen, not all of it at once (`scenario`).
 *
 * Sequentially consistent stores reach memory at once. A relaxed one waits in a store
 * buffer of one word, as on x86-TSO; which the planted bugs make of the others, too.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_RELAXED_DISPATCH  the partition's dispatch may come after its look at `hot`
 *   PLANT_RELAXED_HANDBACK  `handback` after the look at `waiting`
 *   PLANT_RELAXED_RUNNING   `running` = 0 after the look at what is ready
 *   PLANT_LATE_SEEN         the adjunct sleeps on a `dispatch` that it has not compared
 *   PLANT_HOT_STAYS         preempted, it still says that it need not be woken
 *   PLANT_STALE_NUMBER      it hands back the number it had before it was preempted
 *   PLANT_ANY_NUMBER        the partition takes whatever was handed back for its own
 *   PLANT_NO_DISPATCHED     what the quantum's end has handed back is handed back again
 *   PLANT_HELD_ONCE         it does not look again whether it is held
 *   PLANT_ONE_WAKE          who holds it wakes it only once
 *   PLANT_NO_ASK            back without a look at what has become ready
 *   PLANT_TOLD_LAST         dispatched, it forgets first that it has told, then what
 */
#ifndef YIELDS
#define YIELDS 2
#endif

#define DISPATCH 0
#define HOT 1
#define WAITING 2
#define HANDBACK 3
#define RUNNING 4
#define WORDS 5
#define EMPTY 255
#define NOTHING 99 /* no dispatch was handed back yet */

/* Whose store buffers. */
#define P 0
#define D 1
#define C 2

byte memory[WORDS]; /* HANDBACK: NOTHING at first */
byte buffered_word[3] = EMPTY;
byte buffered_value[3];
bool asleep[WORDS]; /* somebody, on that word's futex */

/* Of the adjunct's process, between its two threads. */
bool ready, pending, hold, held, held_sleeps, hold_sleeps;
bool told;	       /* PA_BUSY, in the cell */
bool bell;	       /* and rung for */
bool in_driver, has_driver; /* the dispatch thread is; the control thread has it */
byte expiries, interrupts, holds, timeouts; /* that are still to come */
byte made; /* dispatches by the partition */
bool go, partition_rests, overdue;
bool over; /* and all is well: whoever waits may */

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
	atomic {
		drain(self);
		memory[word] = value
	}
}

inline store_relaxed(self, word, value)
{
	atomic {
		drain(self);
		buffered_word[self] = word;
		buffered_value[self] = value
	}
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

/* The kernel's comparison and its queue are one step. */
inline futex_enqueue(self, word, value)
{
	atomic {
		drain(self);
		asleep[word] = memory[word] == value
	}
}

inline futex_wake(self, word)
{
	atomic {
		drain(self);
		asleep[word] = false
	}
}

/* The machine, and a waker who comes for no reason, empty buffers when they like. */
active proctype flusher()
{
end:	do
	:: atomic { buffered_word[P] != EMPTY -> drain(P) }
	:: atomic { buffered_word[D] != EMPTY -> drain(D) }
	od
}

/* ---- The partition --------------------------------------------------------------- */

#ifdef PLANT_ANY_NUMBER
#define mine(got) ((got) != NOTHING)
#else
#define mine(got) ((got) == made)
#endif

inline yield()
{
	made++;
#ifdef PLANT_RELAXED_DISPATCH
	store_relaxed(P, DISPATCH, made);
#else
	store(P, DISPATCH, made);
#endif
	load(P, HOT, got);
	if
	:: got -> skip /* sched_yield() */
	:: else -> futex_wake(P, DISPATCH)
	fi;
	load(P, HANDBACK, got);
	if
	:: mine(got)
	:: else ->
		store_relaxed(P, WAITING, 1); /* the kernel's barrier is behind it */
		do
		:: load(P, HANDBACK, got);
			if
			:: mine(got) -> break
			:: else
			fi;
			futex_enqueue(P, HANDBACK, got);
			if
			:: !asleep[HANDBACK]
			:: atomic {
				timeouts > 0 -> timeouts--;
				asleep[HANDBACK] = false;
				overdue = true
			   };
				break
			fi
		od;
		store_relaxed(P, WAITING, 0)
	fi;
	/* The deadline is the partition's own: what comes after it is of no interest. */
	assert(overdue || got == made);
	overdue = false
}

inline yield_if_told()
{
	if
	:: told -> yield()
	:: else
	fi
}

active proctype partition()
{
	byte got, left = YIELDS;

	go;
	do
	:: atomic { left > 0 -> left-- }; yield()
	:: atomic { bell -> bell = false }; yield_if_told()
	:: atomic { left == 0 && !bell -> partition_rests = true };
end:		atomic { bell -> bell = false; partition_rests = false };
		yield_if_told()
	od
}

/* ---- The dispatch thread ------------------------------------------------------------ */

inline ask()
{
	atomic {
		asks = !pending;
		pending = true
	};
	if
	:: asks -> told = true; bell = true
	:: else
	fi
}

inline begin()
{
#ifdef PLANT_TOLD_LAST
	pending = false;
	told = false;
#else
	told = false;
	pending = false;
#endif
	dispatched = true;
	assert(number == made || overdue || timeouts == 0);
	store(D, RUNNING, 1)
}

inline hand_back()
{
#ifdef PLANT_STALE_NUMBER
	answer = number;
	maybe_expire();
#endif
#ifdef PLANT_RELAXED_RUNNING
	store_relaxed(D, RUNNING, 0);
#else
	store(D, RUNNING, 0);
#endif
	if
#ifndef PLANT_NO_DISPATCHED
	:: !dispatched
#endif
	:: else ->
		dispatched = false;
#ifndef PLANT_NO_ASK
		if
		:: ready -> ask()
		:: else
		fi;
#endif
#ifndef PLANT_STALE_NUMBER
		answer = number;
#endif
		/* Handed back once: what was told before is not told again. */
		assert(answer != handed);
		handed = answer;
#ifdef PLANT_RELAXED_HANDBACK
		store_relaxed(D, HANDBACK, answer);
#else
		store(D, HANDBACK, answer);
#endif
		load(D, WAITING, got);
		if
		:: got -> futex_wake(D, HANDBACK)
		:: else
		fi
	fi
}

/* True in `come`: there is a dispatch, now `number`; else it is held. */
inline wait_at_cell()
{
	do
	:: hold -> come = false; break
	:: else ->
#ifndef PLANT_LATE_SEEN
		load(D, DISPATCH, seen);
#endif
		load(D, DISPATCH, got);
		if
		:: got != number -> number = got; come = true; break
		:: else
		fi;
#ifdef PLANT_LATE_SEEN
		load(D, DISPATCH, seen);
#endif
		futex_enqueue(D, DISPATCH, seen);
		if
		:: !asleep[DISPATCH]
		:: over -> goto finished
		fi
	od
}

/* on_quantum(): a signal handler, so it is the dispatch thread itself. */
inline maybe_expire()
{
	if
	:: atomic { expiries > 0 && dispatched -> expiries-- };
#ifndef PLANT_HOT_STAYS
		store(D, HOT, 0);
#endif
		in_driver_then = in_driver;
		in_driver = false; /* nothing of it moves */
		store(D, RUNNING, 0);
		dispatched = false;
		if
		:: ready -> ask()
		:: else
		fi;
		assert(number != handed);
		handed = number;
		store(D, HANDBACK, number);
		load(D, WAITING, got);
		if
		:: got -> futex_wake(D, HANDBACK)
		:: else
		fi;
		wait_at_cell();
		if
		:: come -> begin()
		:: else
		fi;
		in_driver = in_driver_then
	:: skip
	fi
}

inline stay_away()
{
	do
	:: held = true;
		held_sleeps = false;
		do
		:: hold -> atomic { hold_sleeps = hold }; !hold_sleeps
		:: else -> break
		od;
		held = false;
#ifdef PLANT_HELD_ONCE
		break
#else
		if
		:: hold
		:: else -> break
		fi
#endif
	od
}

inline serve()
{
	do
	:: if
		:: hold -> stay_away()
		:: else
		fi;
		if
		:: !dispatched -> break
		:: else
		fi;
		in_driver = true;
		assert(!has_driver);
		maybe_expire();
		assert(!has_driver);
		if
		:: ready -> ready = false
		:: else -> in_driver = false; break
		fi;
		in_driver = false
	od
}

active proctype dispatch()
{
	byte number = 0, seen, got, answer, handed = NOTHING;
	bool dispatched = false, come, in_driver_then, asks;

	go;
	do
	::	/* wait_for_dispatch() */
		come = false;
		do
		:: come -> break
		:: else ->
			if
			:: hold -> stay_away()
			:: else
			fi;
			if
			:: store(D, HOT, 1); /* wait_hot() */
				load(D, DISPATCH, got);
				if
				:: got != number -> number = got; come = true
				:: else
				fi
			:: skip
			fi;
			if
			:: !come ->
				store_relaxed(D, HOT, 0); /* as above */
				wait_at_cell()
			:: else
			fi
		od;
		begin();
		serve();
		/* The quantum may end between the last look and the way back. */
		maybe_expire();
		hand_back()
	od;
finished: skip
}

/* ---- The control thread -------------------------------------------------------------- */

active proctype control()
{
	byte running;
	bool asks;

	go;
	do
	:: atomic { interrupts > 0 -> interrupts--; ready = true };
		load(C, RUNNING, running);
		if
		:: !running -> ask()
		:: else
		fi
	:: atomic { holds > 0 -> holds--; hold = true };
#ifdef PLANT_ONE_WAKE
		asleep[DISPATCH] = false;
		held;
#else
		do
		:: held -> break
		:: else -> asleep[DISPATCH] = false
		od;
#endif
		has_driver = true;
		assert(!in_driver);
		has_driver = false;
		hold = false;
		hold_sleeps = false
	:: interrupts == 0 && holds == 0 -> break
	od
}

active proctype scenario()
{
	atomic {
		memory[HANDBACK] = NOTHING;
		if
		:: expiries = 2
		:: expiries = 1; interrupts = 1
		:: expiries = 1; timeouts = 1
		:: expiries = 1; holds = 1
		:: holds = 2
		:: interrupts = 1; holds = 1
		:: interrupts = 2
		fi;
		go = true
	}
}

/* Nobody has anything to do any more. */
active proctype monitor()
{
	go && timeout -> assert(partition_rests && !ready && interrupts == 0 && holds == 0);
	over = true
}

