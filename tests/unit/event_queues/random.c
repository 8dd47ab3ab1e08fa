/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library against the reference (reference.h): the same random operations on both,
 * from a fixed seed, one adapter, up to eight guests that come and go with their queues.
 * Each event that a guest consumes must be the one the reference says, in its order, with
 * its token; summary bytes, interrupts, kicks, counts of what was moved, stale and
 * overrun as well. And without the reference: at the end no completion queue is owed
 * an event.
 *
 * EVENT_OPERATIONS=N: so many operations (10,000,000; under AddressSanitizer a tenth).
 */
#include <stdlib.h>

#include "reference.h"
#include "support.h"

#define HOST_CAPACITY 32u /* less than there can be events */
#define SLOTS 16u         /* of a guest: fewer than it may ask for */

static struct rig rig;
static struct reference ref;
static uint64_t random_state = 0x2545f4914f6cdd1du;
static uint64_t operation, consumed_events, resizes, starts;
static uint64_t next_token = 1;

static struct member {
	struct rig_guest guest;
	struct eq_consumer next; /* of the ring it was resized to */
	bool resized;
	uint32_t area;
} members[REF_GUESTS];
static uint32_t qp_cq[REF_QPS];
static bool owed[REF_CQS];

static uint32_t pick(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % below;
}

#define SAME(library, reference) same((library), (reference), #library)

static void same(uint64_t library, uint64_t reference, const char *what)
{
	/* An assertion that passes is a message to Criterion: too slow for millions. */
	if (library != reference)
		cr_assert_fail("operation %lu: %s is %lu, the reference says %lu",
			       (unsigned long)operation, what, (unsigned long)library,
			       (unsigned long)reference);
}

/* ---- Guests ----------------------------------------------------------------------------- */

static void start_member(uint32_t i)
{
	uint32_t capacity = 2u << pick(5);

	guest_start(&rig, &members[i].guest, capacity, SLOTS);
	members[i].resized = false;
	members[i].area = 0;
	ref_guest_start(&ref, i, capacity);
	starts++;
}

static void stop_member(uint32_t i)
{
	for (uint32_t cq = 0; cq < REF_CQS; cq++)
		owed[cq] &= !(ref.cq[cq].allocated && ref.cq[cq].guest == i);
	guest_stop(&members[i].guest);
	ref_guest_stop(&ref, i);
}

static void add_cq(uint32_t i)
{
	struct rig_guest *guest = &members[i].guest;
	uint32_t cq, slot;
	int error = eq_guest_allocate_cq(guest->guest, rig.shared, &cq);

	if (error == -ENOSPC)
		return;
	cr_assert_eq(error, 0);
	cr_assert_not(ref.cq[cq].allocated, "given twice");
	cr_assert_eq(eq_guest_store_cq_token(guest->guest, rig.shared, cq, next_token), 0);
	error = eq_guest_store_cq_eq(guest->guest, rig.shared, cq, guest->id, &slot);
	if (error == -ENOSPC) {
		cr_assert_eq(eq_guest_deallocate_cq(guest->guest, rig.shared, cq), 0);
		return;
	}
	cr_assert_eq(error, 0);
	cr_assert(slot && slot < SLOTS);
	ref_allocate(&ref, &ref.cq[cq], i, slot, next_token++);
	owed[cq] = false;
}

static void add_qp(uint32_t i)
{
	struct rig_guest *guest = &members[i].guest;
	uint32_t cq = pick(REF_CQS), qp, slot;

	if (!ref.cq[cq].allocated || ref.cq[cq].guest != i)
		return;
	int error = eq_guest_allocate_qp(guest->guest, rig.shared, &qp);
	if (error == -ENOSPC)
		return;
	cr_assert_eq(error, 0);
	cr_assert_not(ref.qp[qp].allocated, "given twice");
	cr_assert_eq(eq_guest_store_qp_cqs(guest->guest, rig.shared, qp, cq, EQ_NONE), 0);
	cr_assert_eq(eq_guest_store_qp_token(guest->guest, rig.shared, qp, next_token), 0);
	error = eq_guest_store_qp_eq(guest->guest, rig.shared, qp, guest->id, &slot);
	if (error == -ENOSPC) {
		cr_assert_eq(eq_guest_deallocate_qp(guest->guest, rig.shared, qp), 0);
		return;
	}
	cr_assert_eq(error, 0);
	ref_allocate(&ref, &ref.qp[qp], i, slot, next_token++);
	qp_cq[qp] = cq;
}

static void remove_cq(uint32_t cq)
{
	bool busy = false;

	if (!ref.cq[cq].allocated)
		return;
	for (uint32_t qp = 0; qp < REF_QPS; qp++)
		busy |= ref.qp[qp].allocated && qp_cq[qp] == cq;
	int error = eq_guest_deallocate_cq(members[ref.cq[cq].guest].guest.guest, rig.shared, cq);
	cr_assert_eq(error, busy ? -EBUSY : 0);
	if (busy)
		return;
	ref_deallocate(&ref, &ref.cq[cq]);
	owed[cq] = false;
}

static void remove_qp(uint32_t qp)
{
	if (!ref.qp[qp].allocated)
		return;
	cr_assert_eq(eq_guest_deallocate_qp(members[ref.qp[qp].guest].guest.guest, rig.shared, qp),
		     0);
	ref_deallocate(&ref, &ref.qp[qp]);
}

/* One event of both, or none; after the old ring comes the new one. */
static bool consume_one(uint32_t i)
{
	struct member *member = &members[i];
	struct eq_entry entry = {0};
	struct ref_event expected = {0};
	bool there = eq_consume(&member->guest.consumer, &entry);

	if (!there && member->resized) {
		member->guest.consumer = member->next;
		member->resized = false;
		there = eq_consume(&member->guest.consumer, &entry);
	}
	SAME(there, ref_consume(&ref, i, &expected));
	if (!there)
		return false;
	SAME(entry.slot, expected.slot);
	SAME(entry.event, expected.event);
	SAME(entry.token, expected.token);
	for (uint32_t cq = 0; cq < REF_CQS; cq++) {
		if (entry.event == EQ_COMPLETION && ref.cq[cq].allocated &&
		    ref.cq[cq].token == entry.token)
			owed[cq] = false;
	}
	consumed_events++;
	return true;
}

static void consume(uint32_t i, uint32_t most)
{
	struct member *member = &members[i];
	struct ref_guest *guest = &ref.guest[i];

	SAME(eq_interrupt_take(member->guest.gisa, EQ_ISC_ALL) != 0, guest->interrupt);
	SAME(eq_consumer_begin(&member->guest.consumer), guest->summary);
	guest->interrupt = guest->summary = false;
	while (most && consume_one(i))
		most--;
	if (most) {
		/* Drained: a kick if one was asked for. */
		SAME(eq_consumer_must_wake_poster(&member->guest.consumer), guest->kick);
		if (guest->kick) {
			guest->kick = false;
			SAME(eq_guest_resume(member->guest.guest, 0), ref_resume(&ref, i));
		}
	}
}

static void resize(uint32_t i)
{
	struct member *member = &members[i];
	uint32_t capacity = 2u << pick(5);

	/* A guest does not ask again before it has left the ring of before. */
	while (member->resized)
		consume_one(i);
	member->area = (member->area + 1) % GUEST_RINGS;
	uint64_t offset = GUEST_RING + member->area * GUEST_RING_BYTES;
	memset(member->guest.memory + offset, 0, GUEST_RING_BYTES);
	const struct eq_consumer old = member->guest.consumer;
	guest_open_ring(&member->guest, offset, capacity);
	member->next = member->guest.consumer;
	member->guest.consumer = old;
	member->resized = true;
	cr_assert_eq(eq_guest_resize_eq(member->guest.guest, rig.shared, member->guest.id, offset,
					capacity, 0), 0);
	ref_resize(&ref, i, capacity);
	resizes++;
}

/* ---- Operations --------------------------------------------------------------------------- */

static void post_one(void)
{
	static const enum eq_event qp_events[] = {EQ_QP_ERROR, EQ_PROTOCOL_ERROR};
	static const enum eq_event adapter_events[] = {EQ_LINK_DOWN, EQ_LINK_UP, EQ_DEVICE_RESET};
	uint32_t what = pick(100), cq = pick(REF_CQS), qp = pick(REF_QPS);

	if (what < 80) {
		eq_adapter_complete(&rig.io.adapter, cq);
		ref_complete(&ref, cq, EQ_COMPLETION);
		owed[cq] |= ref.cq[cq].allocated;
	} else if (what < 87) {
		eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_CQ, cq, EQ_CQ_ERROR);
		ref_complete(&ref, cq, EQ_CQ_ERROR);
	} else if (what < 99) {
		eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_QP, qp, qp_events[what % 2]);
		ref_qp_event(&ref, qp, qp_events[what % 2]);
	} else {
		enum eq_event event = adapter_events[pick(3)];
		eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_ADAPTER, 1, event);
		ref_adapter_event(&ref, event);
	}
}

static void signal_adapter(void)
{
	eq_adapter_signal(&rig.io.adapter, 0);
	ref_signal(&ref);
}

static void tick_adapter(void)
{
	eq_adapter_tick(&rig.io.adapter, 0);
	ref_tick(&ref);
}

static void change_one(uint32_t i)
{
	switch (pick(8)) {
	case 0:
	case 1:
	case 2: add_cq(i); break;
	case 3: add_qp(i); break;
	case 4:
	case 5: remove_cq(pick(REF_CQS)); break;
	case 6: remove_qp(pick(REF_QPS)); break;
	default: resize(i);
	}
}

static void operate(void)
{
	uint32_t what = pick(2000), i = pick(REF_GUESTS), budget = 1 + pick(48);
	bool exists = ref.guest[i].exists;

	if (what < 1000)
		post_one();
	else if (what < 1200)
		signal_adapter();
	else if (what < 1240)
		tick_adapter();
	else if (what < 1480)
		SAME(eq_forward(rig.host, pick(2), budget, 0), ref_forward(&ref, budget));
	else if (what < 1540)
		SAME(eq_host_type2(rig.host, budget, 0, NULL), ref_type2(&ref, budget));
	else if (what < 1900 && exists)
		consume(i, pick(4) ? UINT32_MAX : pick(6));
	else if (what < 1998 && exists)
		change_one(i);
	else if (what >= 1998 && exists)
		stop_member(i);
	else if (!exists)
		start_member(i);
}

static void settle(void)
{
	bool moved = true;

	for (unsigned rounds = 0; moved; rounds++) {
		cr_assert_lt(rounds, 1000, "it never settles");
		tick_adapter();
		uint32_t forwarded = ref_forward(&ref, 1000), type2 = ref_type2(&ref, 1000);
		SAME(eq_forward(rig.host, 0, 1000, 0), forwarded);
		SAME(eq_host_type2(rig.host, 1000, 0, NULL), type2);
		moved = forwarded || type2;
		for (uint32_t i = 0; i < REF_GUESTS; i++) {
			uint64_t before = consumed_events;
			if (ref.guest[i].exists)
				consume(i, UINT32_MAX);
			moved |= consumed_events != before;
		}
	}
}

Test(random, the_library_and_the_reference_agree, .timeout = 250)
{
#ifdef __SANITIZE_ADDRESS__
	uint64_t operations = 1000000;
#else
	uint64_t operations = 10000000;
#endif
	const char *wanted = getenv("EVENT_OPERATIONS");

	if (wanted)
		operations = strtoull(wanted, NULL, 10);
	rig_start(&rig, 2, REF_CQS, REF_QPS, HOST_CAPACITY);
	ref_start(&ref, HOST_CAPACITY);
	/* The host's queues come with the first guest; the adapter finds them then. */
	start_member(0);
	tick_adapter();
	for (operation = 0; operation < operations; operation++)
		operate();
	settle();
	for (uint32_t cq = 0; cq < REF_CQS; cq++)
		cr_assert_not(owed[cq], "completion queue %u is owed an event", cq);
	struct eq_host_stats stats = stats_of(&rig);
	SAME(stats.stale, ref.stale);
	SAME(stats.forwarded, ref.forwarded);
	SAME(stats.invalid, 0);
	SAME(stats.broken, 0);
	cr_log_info("%lu operations: %lu events consumed, %lu stale, %lu overruns, %lu resizes, "
		    "%lu guests", (unsigned long)operations, (unsigned long)consumed_events,
		    (unsigned long)ref.stale, (unsigned long)ref.overruns, (unsigned long)resizes,
		    (unsigned long)starts);
	/* All of it happened. */
	cr_assert(!operations || (ref.stale && ref.overruns && resizes && starts > 1));
	for (uint32_t i = 0; i < REF_GUESTS; i++) {
		if (ref.guest[i].exists)
			stop_member(i);
	}
	rig_stop(&rig);
}
