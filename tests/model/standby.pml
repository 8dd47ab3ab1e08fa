/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which process has a partition's port, for Spin: an adjunct dies or is replaced,
 * a standby of it takes over, and the shim itself is killed at any point of that
 * and starts again from what it last saved (hv-shim/recover.c, standby.c,
 * state.c, orphans.c, device.c). A device has two slots, names of control
 * sockets: one the adjunct's, the other the standby's, by turns.
 *
 * Proved: never have two processes the port at once, and once nobody dies any
 * more one has it. KILLS deaths of adjuncts and standbys, RESTARTS on request and
 * SHIM_KILLS of the shim happen at any time, or do not. That the shim gives up
 * on a device whose adjunct dies too often is left out: fewer die here.
 *
 * What is said to a process waits in its socket and is done in order, also after
 * the shim that said it is gone; a process that takes a slot has a new socket.
 * The kernel ends a dead process's hold on the port, and tells the shim that
 * watches it; a shim that starts sees in /proc whether a saved process is alive.
 *
 * Planted bugs, each of which must be found (run.sh):
 *   PLANT_NO_WAIT           the successor starts before the old adjunct has ended
 *   PLANT_ORPHANS_LEFT      a new shim leaves those alone that were not saved
 *   PLANT_ORPHANS_UNAWAITED it tells them to end and does not wait until they have
 *   PLANT_ADOPT_UNASKED     it takes a saved process for one that serves
 *   PLANT_EXIT_UNSEEN       the death of a promoted standby is the standby's affair
 *   PLANT_NO_RECOVERY       a new shim that finds no adjunct waits for one
 */
#define KILLS 2
#define RESTARTS 1
#define SHIM_KILLS 2
#define NOBODY 2 /* no slot */

mtype = { NONE, WAITS, SERVES }; /* a slot's process: without the port, with it */
mtype = { START, STOP };

mtype process[2] = NONE;
byte identity[2]; /* of the process that has, or last had, the slot */
chan said[2] = [3] of { mtype };

byte holders;     /* processes that have the port */
bool shim_killed;
bool asked;       /* for a restart */

/* What outlives the shim: the saved adjunct. */
byte saved_slot = NOBODY, saved_identity;

inline end_process(s)
{
	atomic {
		if
		:: process[s] == SERVES -> holders--
		:: else
		fi;
		process[s] = NONE
	}
}

proctype life(byte s)
{
end:	do
	:: atomic { process[s] != NONE && said[s]?[START] ->
		said[s]?START;
		if
		:: process[s] == WAITS ->
			process[s] = SERVES;
			holders++;
			assert(holders == 1)
		:: else /* refused: it has started */
		fi }
	:: atomic { process[s] != NONE && said[s]?[STOP] ->
		said[s]?STOP;
		end_process(s) }
	od
}

/* Everybody dies, and a restart is asked for, at any time or never. */
active proctype fate()
{
	byte kills = 0, shim_kills = 0, restarts = 0;

	do
	:: atomic { kills < KILLS && process[0] != NONE -> kills++; end_process(0) }
	:: atomic { kills < KILLS && process[1] != NONE -> kills++; end_process(1) }
	:: atomic { shim_kills < SHIM_KILLS && !shim_killed -> shim_kills++; shim_killed = true }
	:: atomic { restarts < RESTARTS && !asked -> restarts++; asked = true }
	:: break
	od
}

/* A socket of its own, and a process that listens at it: peer_spawn(). */
inline spawn(s)
{
	atomic {
		assert(process[s] == NONE); /* or another one's socket would be lost */
		do
		:: said[s]?_
		:: empty(said[s]) -> break
		od;
		identity[s]++;
		process[s] = WAITS
	}
}

/* state_save(): when the loop has nothing else to do, or at any time before. */
inline save()
{
	atomic {
		saved_slot = (current == NOBODY -> NOBODY : slot);
		saved_identity = identity[slot]
	}
}

inline maybe_save()
{
	if
	:: save()
	:: skip
	fi
}

inline is_saved(s)
{
	known = (saved_slot == s && saved_identity == identity[s])
}

/* orphans_end() for one socket. */
inline end_orphan(s)
{
	is_saved(s);
	if
	:: !known && process[s] != NONE ->
#ifndef PLANT_ORPHANS_LEFT
		said[s]!STOP;
#ifndef PLANT_ORPHANS_UNAWAITED
		process[s] == NONE
#else
		skip
#endif
#else
		skip
#endif
	:: else
	fi
}

/* Quiesce and end what is there; then the standby, or a new process, and Start. */
inline recover()
{
	if
	:: current != NOBODY && process[slot] != NONE ->
		said[slot]!STOP;
#ifndef PLANT_NO_WAIT
		process[slot] == NONE
#else
		skip
#endif
	:: else
	fi;
	current = NOBODY;
	maybe_save();
	if
	:: standby -> /* standby_promote(), even if it has just died */
		slot = 1 - slot;
		standby = false;
		promoted = true
	:: else ->
		spawn(slot);
		promoted = false
	fi;
	current = slot;
	maybe_save();
	said[slot]!START;
#ifdef PLANT_EXIT_UNSEEN
	(process[slot] == SERVES || (process[slot] == NONE && !promoted));
#else
	(process[slot] != WAITS);
#endif
	maybe_save()
}

active proctype shim()
{
	byte slot, current;
	bool standby, promoted, known;

boot:
	{
		slot = 0; current = NOBODY; standby = false; known = false;
		end_orphan(0);
		end_orphan(1);
		if
		:: saved_slot != NOBODY ->
			slot = saved_slot;
			is_saved(slot);
#ifdef PLANT_ADOPT_UNASKED
			current = (known && process[slot] != NONE -> slot : NOBODY)
#else
			/* Not serving: it is ended, like any other that recovery replaces. */
			current = (known && process[slot] != NONE -> slot : NOBODY);
			if
			:: current != NOBODY && process[slot] == WAITS ->
				said[slot]!STOP;
				process[slot] == NONE;
				current = NOBODY
			:: else
			fi
#endif
		:: else
		fi;
#ifndef PLANT_NO_RECOVERY
		if
		:: current == NOBODY -> recover()
		:: else
		fi;
#endif
end_serving:
		do
		:: current != NOBODY && process[slot] == NONE -> recover()
		:: asked && process[slot] == SERVES -> asked = false; recover()
		:: current != NOBODY && process[slot] == SERVES && !standby &&
		   process[1 - slot] == NONE ->
			spawn(1 - slot);
			standby = true
		:: standby && process[1 - slot] == NONE -> standby = false
		:: current != NOBODY && !(saved_slot == slot && saved_identity == identity[slot]) ->
			save()
		od
	} unless { shim_killed };
	shim_killed = false;
	goto boot
}

init { run life(0); run life(1) }

/* When nothing can go on, one process serves. */
active proctype witness()
{
	timeout;
	assert(holders == 1)
}
