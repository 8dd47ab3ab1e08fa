/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct without a processor of its own is replaced by one that has one, for Spin, as
 * hv-shim/partition/yield.c (`partition`), adjunct-drivers/runtime/donated.c and
 * service.c (`successor`) do it: the partition queues a request and calls the adjunct,
 * by a yield or by its doorbell, whichever the dispatch cell says just then. The
 * predecessor is gone, and may have handed back the last dispatch or not.
 *
 * Proved: no yield waits for ever, and the request is served. Store buffers are those of
 * yield.pml.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_LOOK           the partition does not look again whose processor it is
 *   PLANT_EARLY_LOOK        it looks before it has dispatched
 *   PLANT_RELAXED_DONATED   the successor's word may come after its look at `dispatch`
 *   PLANT_NOT_HANDED_BACK   it leaves the dispatch it finds
 *   PLANT_NO_RING           who does not yield after all does not ring
 */
#ifndef YIELDS
#define YIELDS 2
#endif

#define DISPATCH 0
#define DONATED 1
#define HANDBACK 2
#define ARMED 3
#define REQUEST 4
#define WORDS 5
#define EMPTY 255
#define P 0
#define S 1

byte memory[WORDS];
byte buffered_word[2] = EMPTY;
byte buffered_value[2];
bool partition_sleeps; /* on HANDBACK's futex */
bool doorbell;
byte served;
bool done, come;

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
	atomic { drain(self); memory[word] = value }
}

inline store_relaxed(self, word, value)
{
	atomic { drain(self); buffered_word[self] = word; buffered_value[self] = value }
}

inline fence(self)
{
	atomic { drain(self) }
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

active proctype flusher()
{
end:	do
	:: atomic { buffered_word[P] != EMPTY -> drain(P) }
	:: atomic { buffered_word[S] != EMPTY -> drain(S) }
	od
}

inline ring_if_armed()
{
	fence(P); /* eq_ring_must_wake_consumer() */
	load(P, ARMED, got);
	if
	:: got -> store(P, ARMED, 0); doorbell = true
	:: else
	fi
}

active proctype partition()
{
	byte got, number = 0;

	do
	:: number < YIELDS ->
		number++;
		store_relaxed(P, REQUEST, number);
		load(P, DONATED, got);
		if
		:: got ->
#ifdef PLANT_EARLY_LOOK
			load(P, DONATED, got);
			store(P, DISPATCH, number);
#else
			store(P, DISPATCH, number);
			load(P, DONATED, got);
#endif
#ifdef PLANT_NO_LOOK
			got = 1;
#endif
			if
			:: !got ->
#ifndef PLANT_NO_RING
				ring_if_armed()
#endif
				skip
			:: else ->
				do
				:: load(P, HANDBACK, got);
					if
					:: got == number -> break
					:: else
					fi;
					atomic {
						drain(P);
						partition_sleeps = memory[HANDBACK] == got
					};
					!partition_sleeps
				od
			fi
		:: else -> ring_if_armed()
		fi
	:: else -> break
	od;
	fence(P);
	done = true
}

active proctype successor()
{
	byte got, number;

	atomic { memory[DONATED] = 1; come = true };
#ifdef PLANT_RELAXED_DONATED
	store_relaxed(S, DONATED, 0);
#else
	store(S, DONATED, 0);
#endif
	load(S, DISPATCH, number);
#ifndef PLANT_NOT_HANDED_BACK
	store(S, HANDBACK, number);
	atomic { drain(S); partition_sleeps = false };
#endif
	do
	:: load(S, REQUEST, got);
		served = got;
		/* eq_ring_arm() */
		store_relaxed(S, ARMED, 1);
		fence(S);
		load(S, REQUEST, got);
		if
		:: got == served ->
end:			atomic { doorbell -> doorbell = false }
		:: else
		fi;
		store(S, ARMED, 0)
	od
}

active proctype monitor()
{
	timeout -> assert(done && served == YIELDS)
}
