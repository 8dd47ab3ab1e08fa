/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another process that rewrites all that a guest can write (its event queue, marks,
 * summary byte, interrupt state area) and all that an adapter can (its storage with
 * contexts, rings, summary bytes and interruption zone), at random and without end,
 * while two forwarders and the host run. THREATS: T01, what is read twice; T02, indices
 * and lengths; T08, wake-ups. Nothing crashes, nothing is written outside of the
 * victim's own queue, nobody is kept in a loop, and a guest beside them, on an adapter
 * beside that one, gets every one of its events, once.
 *
 * FLIPPED_EVENTS=N: entries of the hostile adapter that are looked at (60,000; under
 * AddressSanitizer a quarter).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define FORWARDERS 2u
#define CAPACITY 16u
#define VICTIM_CQS 8u
#define NEIGHBOUR_CQS 6u
#define VICTIM_SLOTS (1 + 2 * VICTIM_CQS)
#define CANARY 0xa7
#define SILENCE_S 60

static struct rig rig;              /* with the hostile adapter */
static struct rig_adapter honest;   /* and another */
static struct eq_host_adapter *honest_shared;
static struct rig_guest victim, neighbour;
static uint32_t honest_cq[VICTIM_CQS], neighbour_cq[NEIGHBOUR_CQS];
static uint32_t neighbour_id;
static _Atomic bool stop;

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- The other process --------------------------------------------------------------------- */

/* A word that is nearly right, most often. */
static uint32_t lie(uint64_t random, uint32_t truth)
{
	switch (random & 7) {
	case 0: return (uint32_t)(random >> 32);
	case 1: return truth + (uint32_t)(random >> 8 & 15);
	case 2: return truth - (uint32_t)(random >> 8 & 15);
	case 3: return truth ^ 1u << (random >> 8 & 31);
	default: return truth;
	}
}

static void flip_guest(uint64_t *state)
{
	_Atomic uint32_t *gisa = (_Atomic uint32_t *)(victim.memory + GUEST_GISA);
	_Atomic uint32_t *marks = (_Atomic uint32_t *)(victim.memory + GUEST_MARKS);
	struct eq_queue_control *control = (void *)(victim.memory + GUEST_RING);
	_Atomic uint32_t *entries = (_Atomic uint32_t *)(control + 1);
	uint64_t random = random_next(state);

	control->consumed = lie(random, control->consumed + (uint32_t)(random >> 60));
	control->producer_armed = (uint32_t)(random >> 50 & 1);
	marks[random >> 20 & 15] = random & 64 ? 0 : (uint32_t)random_next(state);
	*gisa = random & 128 ? 0 : (uint32_t)random_next(state);
	victim.memory[GUEST_ASB] = (uint8_t)random;
	random = random_next(state);
	entries[random % (CAPACITY * 4)] = lie(random >> 8, (uint32_t)random % 64);
}

/* Offsets of its type-1 and type-2 rings as they were when it was forked. */
static uint64_t ring_offset[2], psb_offset, asb_offset;

static void flip_ring(uint64_t *state, unsigned which)
{
	struct eq_ring ring;
	uint64_t random = random_next(state);

	if (eq_ring_open_queue(&ring, (uint8_t *)rig.io.memory + ring_offset[which], CAPACITY))
		_exit(1);
	uint32_t first = *eq_ring_consumed(&ring);
	for (unsigned i = 0; i < CAPACITY; i++) {
		struct eq_ring_entry *entry = eq_ring_entry_at(&ring, first + i);
		_Atomic uint32_t *word = (_Atomic uint32_t *)entry->payload;
		uint32_t index = (uint32_t)(random_next(state) % 8);

		random = random_next(state);
		word[0] = lie(random, (which ? (uint32_t)EQ_QP_ERROR << 24 | (9 + index)
					     : 1 + index));
		word[1] = lie(random >> 16, which ? 8 + index : index);
		word[2] = lie(random >> 40, (uint32_t)(random >> 56 & 3) * 2 + 1);
		entry->sequence = random >> 60 ? first + i + 1 : (uint32_t)random;
	}
	*((_Atomic uint8_t *)rig.io.memory + (which ? asb_offset : psb_offset)) = 1;
	rig.io.host.header->izone.word = (uint32_t)random_next(state);
}

/* Contexts: valid or not, other event queues, other places. */
static void flip_contexts(uint64_t *state)
{
	uint64_t contexts = rig.io.host.queues_offset - sizeof(struct eq_storage_header);
	_Atomic uint32_t *words = (_Atomic uint32_t *)(rig.io.host.header + 1);

	for (unsigned i = 0; i < 16; i++) {
		uint64_t random = random_next(state);
		words[random % (contexts / 4)] = lie(random >> 32, 1);
	}
}

static _Noreturn void flip_for_ever(void)
{
	uint64_t state = 0x9e3779b97f4a7c15u;

	for (;;) {
		for (unsigned i = 0; i < 8; i++)
			flip_guest(&state);
		flip_ring(&state, 0);
		flip_ring(&state, 1);
		flip_contexts(&state);
	}
}

/* ---- The partition ----------------------------------------------------------------------------- */

static void *run_forwarder(void *data)
{
	unsigned number = (unsigned)(uintptr_t)data;

	for (uint64_t now = 0; !stop; now += 1000) {
		if (!eq_forward(rig.host, number, 32, now) && eq_host_sleep(rig.host))
			sched_yield();
	}
	return NULL;
}

/* The victim's queues on both adapters; its memory is what it has become. */
static void start_victim(void)
{
	struct eq_guest_eq_spec spec = {.ring_offset = GUEST_RING, .capacity = CAPACITY,
					.marks_offset = GUEST_MARKS, .slots = VICTIM_SLOTS,
					.gisc = GUEST_GISC, .delay_us = 3};
	uint32_t cq, qp, slot, honest_id;

	if (eq_guest_create(rig.host, victim.memory, GUEST_BYTES, GUEST_GISA, &victim,
			    &victim.guest) ||
	    eq_guest_allocate_eq(victim.guest, rig.shared, &spec, &victim.id) ||
	    eq_guest_store_eq_asb(victim.guest, rig.shared, victim.id, GUEST_ASB) ||
	    eq_guest_allocate_eq(victim.guest, honest_shared, &spec, &honest_id))
		cr_assert_fail("the victim's queues");
	for (uint32_t i = 0; i < VICTIM_CQS; i++) {
		if (eq_guest_allocate_cq(victim.guest, rig.shared, &cq) ||
		    eq_guest_store_cq_eq(victim.guest, rig.shared, cq, victim.id, &slot) ||
		    eq_guest_allocate_qp(victim.guest, rig.shared, &qp) ||
		    eq_guest_store_qp_cqs(victim.guest, rig.shared, qp, cq, cq) ||
		    eq_guest_store_qp_eq(victim.guest, rig.shared, qp, victim.id, &slot) ||
		    eq_guest_allocate_cq(victim.guest, honest_shared, &honest_cq[i]) ||
		    eq_guest_store_cq_eq(victim.guest, honest_shared, honest_cq[i], honest_id,
					 &slot))
			cr_assert_fail("the victim's resource %u", i);
	}
}

static void start_all(void)
{
	uint32_t slot;

	rig_start(&rig, FORWARDERS, VICTIM_CQS, VICTIM_CQS, CAPACITY);
	rig_adapter_start(&honest, 2, VICTIM_CQS + NEIGHBOUR_CQS, VICTIM_CQS, 64);
	cr_assert_eq(eq_host_add_adapter(rig.host, &honest.host, 64, &honest_shared), 0);
	victim.memory = map_guarded(GUEST_BYTES);
	neighbour = (struct rig_guest){.memory = map_guarded(GUEST_BYTES), .rig = &rig};
	neighbour.gisa = (struct eq_interrupts *)(neighbour.memory + GUEST_GISA);
	neighbour.asb = (eq_summary *)(neighbour.memory + GUEST_ASB);
	neighbour.spec = (struct eq_guest_eq_spec){
		.ring_offset = GUEST_RING, .capacity = CAPACITY, .marks_offset = GUEST_MARKS,
		.slots = 1 + NEIGHBOUR_CQS, .gisc = GUEST_GISC};
	cr_assert_eq(eq_guest_create(rig.host, neighbour.memory, GUEST_BYTES, GUEST_GISA,
				     &neighbour, &neighbour.guest), 0);
	cr_assert_eq(eq_guest_allocate_eq(neighbour.guest, honest_shared, &neighbour.spec,
					  &neighbour_id), 0);
	cr_assert_eq(eq_guest_store_eq_asb(neighbour.guest, honest_shared, neighbour_id,
					   GUEST_ASB), 0);
	for (uint32_t i = 0; i < NEIGHBOUR_CQS; i++) {
		cr_assert_eq(eq_guest_allocate_cq(neighbour.guest, honest_shared,
						  &neighbour_cq[i]), 0);
		cr_assert_eq(eq_guest_store_cq_token(neighbour.guest, honest_shared,
						     neighbour_cq[i], i), 0);
		cr_assert_eq(eq_guest_store_cq_eq(neighbour.guest, honest_shared,
						  neighbour_cq[i], neighbour_id, &slot), 0);
	}
	guest_open_ring(&neighbour, GUEST_RING, CAPACITY);
}

/* What lies beyond the one ring that each of them named. */
static void canaries(bool set)
{
	struct rig_guest *all[] = {&victim, &neighbour};
	const uint64_t first = GUEST_RING + GUEST_RING_BYTES;

	for (unsigned i = 0; i < 2; i++) {
		if (set)
			memset(all[i]->memory + first, CANARY, GUEST_BYTES - first);
		for (uint64_t at = first; at < GUEST_BYTES; at++) {
			if (all[i]->memory[at] != CANARY)
				cr_assert_fail("guest %u: written at %lu", i, (unsigned long)at);
		}
	}
}

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

/* The neighbour has work done, sleeps or not, and gets one event for it. */
static void serve_neighbour(uint32_t number)
{
	uint32_t i = number % NEIGHBOUR_CQS;
	uint64_t since = seconds();
	struct eq_entry entry;

	if (number & 1) {
		/* The interrupt of the last event may come after its entry was taken. */
		neighbour.alerts = 0;
		do
			eq_interrupt_take(neighbour.gisa, EQ_ISC_ALL);
		while (!eq_interrupt_sleep(neighbour.gisa, EQ_ISC_ALL));
	}
	eq_adapter_complete(&honest.adapter, neighbour_cq[i]);
	eq_adapter_complete(&honest.adapter, honest_cq[number % VICTIM_CQS]);
	eq_adapter_signal(&honest.adapter, 0);
	/* T08: by the alert alone. */
	while (number & 1 && !neighbour.alerts) {
		if (seconds() > since + SILENCE_S)
			cr_assert_fail("no alert, event %u", number);
		sched_yield();
	}
	while (!eq_consume(&neighbour.consumer, &entry)) {
		if (seconds() > since + SILENCE_S)
			cr_assert_fail("no event %u", number);
		sched_yield();
	}
	if (entry.event != EQ_COMPLETION || entry.token != i)
		cr_assert_fail("event %u: %u of %lu", number, entry.event,
			       (unsigned long)entry.token);
	if (eq_consume(&neighbour.consumer, &entry))
		cr_assert_fail("event %u came twice", number);
}

static void flip_goal(uint64_t *goal)
{
	const char *wanted = getenv("FLIPPED_EVENTS");

#ifdef __SANITIZE_ADDRESS__
	*goal = 15000;
#else
	*goal = 60000;
#endif
	if (wanted)
		*goal = strtoull(wanted, NULL, 10);
}

Test(T01_T02_T08, memory_of_a_guest_and_of_an_adapter_is_rewritten_while_forwarders_run,
     .timeout = 280)
{
	pthread_t forwarders[FORWARDERS];
	struct eq_host_stats stats = {0};
	uint64_t goal, looked_at = 0, since = seconds();
	struct eq_queue queue;
	uint32_t served = 0;

	flip_goal(&goal);
	start_all();
	start_victim();
	canaries(true);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(eq_load_eq(&rig.io.host, i, &queue), 0);
		ring_offset[i] = (uint64_t)((uint8_t *)queue.ring - (uint8_t *)rig.io.memory);
	}
	asb_offset = (uint64_t)((uint8_t *)queue.asb - (uint8_t *)rig.io.memory);
	psb_offset = rig.io.host.eq[0].psb_offset;
	pid_t flipper = fork();
	cr_assert_geq(flipper, 0);
	if (!flipper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		flip_for_ever();
	}
	for (unsigned i = 0; i < FORWARDERS; i++)
		cr_assert_eq(pthread_create(&forwarders[i], NULL, run_forwarder,
					    (void *)(uintptr_t)i), 0);
	while (looked_at < goal || served < 500) {
		serve_neighbour(served++);
		eq_host_type2(rig.host, 16, 0, NULL);
		eq_guest_resume(victim.guest, 0);
		/* Broken by now: another guest in the same memory. */
		if (served % 16 == 0) {
			eq_guest_destroy(victim.guest);
			start_victim();
		}
		eq_host_stats(rig.host, &stats);
		looked_at = stats.forwarded + stats.coalesced + stats.stale + stats.invalid +
			    stats.broken;
		if (seconds() > since + 4 * SILENCE_S)
			cr_assert_fail("%lu entries only", (unsigned long)looked_at);
	}
	stop = true;
	for (unsigned i = 0; i < FORWARDERS; i++)
		pthread_join(forwarders[i], NULL);
	int status = 0;
	cr_assert_eq(waitpid(flipper, &status, WNOHANG), 0, "the flipper ended by itself");
	kill(flipper, SIGKILL);
	waitpid(flipper, &status, 0);
	canaries(false);
	cr_log_info("%lu entries: %lu forwarded, %lu coalesced, %lu held, %lu stale, %lu invalid, "
		    "%lu broken, %lu of type 2; the neighbour had %u events",
		    (unsigned long)looked_at, (unsigned long)stats.forwarded,
		    (unsigned long)stats.coalesced, (unsigned long)stats.held,
		    (unsigned long)stats.stale, (unsigned long)stats.invalid,
		    (unsigned long)stats.broken, (unsigned long)stats.type2, served);
	cr_assert(stats.invalid && stats.stale && stats.broken && stats.forwarded, "all kinds");
	eq_guest_destroy(victim.guest);
	guest_stop(&neighbour);
	eq_host_destroy(rig.host);
	unmap_guarded(victim.memory, GUEST_BYTES);
	rig_adapter_stop(&honest);
	rig_adapter_stop(&rig.io);
}
