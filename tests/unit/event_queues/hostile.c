/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile guests and adapters, one lie at a time: each costs the liar its own events,
 * and nobody else anything. All of them at once, at any moment: flipper.c.
 */
#include "support.h"

static struct rig rig;
static struct rig_guest guest, other;
static uint32_t cq, slot, other_cq, other_slot;

static void start(void)
{
	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 4, 8);
	guest_start(&rig, &other, 4, 8);
	cq = guest_cq(&guest, 1, &slot);
	other_cq = guest_cq(&other, 2, &other_slot);
}

static void stop(void)
{
	guest_stop(&guest);
	guest_stop(&other);
	rig_stop(&rig);
}

static void other_is_served(void)
{
	complete_and_forward(&rig, other_cq);
	expect_entry(&other.consumer, other_slot, EQ_COMPLETION, 2);
	expect_none(&other.consumer);
}

static bool is_broken(void)
{
	struct eq_guest_eq_view view;

	cr_assert_eq(eq_guest_load_eq(guest.guest, rig.shared, guest.id, &view), 0);
	return view.broken;
}

/* ---- Guests ------------------------------------------------------------------------------ */

Test(hostile_guest, consumed_more_than_there_was_breaks_its_queue)
{
	static const uint32_t ahead[] = {1, 2, 4, 5, 1000, 0x7fffffff};

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		start();
		*eq_ring_consumed(&guest.consumer.ring) = ahead[i];
		complete_and_forward(&rig, cq);
		cr_expect(is_broken(), "%u ahead", ahead[i]);
		cr_expect_eq(stats_of(&rig).broken, 1);
		expect_none(&guest.consumer);
		other_is_served();
		/* It stays so, whatever the guest does, until it is taken away. */
		*eq_ring_consumed(&guest.consumer.ring) = 0;
		complete_and_forward(&rig, cq);
		cr_expect(is_broken());
		cr_expect_eq(eq_guest_resize_eq(guest.guest, rig.shared, guest.id,
						GUEST_RING + GUEST_RING_BYTES, 8, 0), -EINVAL);
		stop();
	}
}

Test(hostile_guest, consumed_taken_back_holds_its_own_events)
{
	static const uint32_t behind[] = {1, 4, 5, 1000, 0x7ffffff0};

	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		start();
		*eq_ring_consumed(&guest.consumer.ring) = 0 - behind[i];
		for (unsigned j = 0; j < 10; j++)
			complete_and_forward(&rig, cq);
		other_is_served();
		eq_guest_resume(guest.guest, 0);
		stop();
	}
}

Test(hostile_guest, marks_and_entries_of_its_own_are_its_own_affair)
{
	eq_marks *marks;

	start();
	marks = (eq_marks *)(guest.memory + GUEST_MARKS);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned j = 0; j < 8; j++)
			marks[j] = i % 3 ? UINT32_MAX : 0;
		memset(guest.consumer.ring.entries, (int)i, 4 * EQ_EQE_BYTES);
		complete_and_forward(&rig, cq);
		guest.gisa->word = i * 0x9e3779b9u;
		eq_guest_resume(guest.guest, 0);
		other_is_served();
	}
	stop();
}

Test(hostile_guest, kicks_without_end_cost_what_it_has)
{
	start();
	for (unsigned i = 0; i < 100000; i++)
		cr_assert_eq(eq_guest_resume(guest.guest, 0), 0);
	stop();
}

/* ---- Adapters: what they post ------------------------------------------------------------- */

/* Puts an entry into the host's event queue `eq`, as a hostile adapter does. */
static void forge(uint32_t eq, uint32_t event_slot, uint64_t token)
{
	struct eq_poster *poster = &rig.io.adapter.eq[eq].poster;
	const struct eq_eqe eqe = {.event_slot = event_slot,
				   .token = {(uint32_t)token, (uint32_t)(token >> 32)}};

	if (!poster->ring.control)
		eq_adapter_tick(&rig.io.adapter, 0);
	eq_ring_put(&poster->ring, &eqe, sizeof(eqe));
	eq_poster_signal(poster, 0);
}

Test(hostile_adapter, entries_with_bad_tokens_slots_and_events)
{
	start();
	const uint32_t good = 1 + cq; /* the slot of a completion queue in type 1 */
	const struct {
		uint32_t event_slot;
		uint64_t token;
	} entries[] = {
		{good, UINT32_MAX},                            /* no such index */
		{good, 8},                                     /* a queue pair's */
		{good, 1ull << 32 | other_cq},                 /* another's token */
		{0, 1ull << 32 | cq},                          /* the adapter itself */
		{9, 1ull << 32 | 8},                           /* a queue pair */
		{EQ_SLOTS_MAX - 1, 1ull << 32 | cq},           /* no slot */
		{(uint32_t)EQ_EVENTS_MAX << 24 | good, cq},    /* no event */
		{UINT32_MAX, UINT64_MAX},
	};
	const unsigned count = sizeof(entries) / sizeof(entries[0]);

	for (unsigned i = 0; i < count; i++)
		forge(0, entries[i].event_slot, entries[i].token);
	forward_all(&rig);
	cr_expect_eq(stats_of(&rig).invalid, count, "%lu", (unsigned long)stats_of(&rig).invalid);
	cr_expect_eq(stats_of(&rig).forwarded, 0);
	/* An old or never given generation: stale, and one event for who is there. */
	forge(0, good, 77ull << 32 | cq);
	forge(0, 1 + 5, 5); /* nobody's */
	forward_all(&rig);
	cr_expect_eq(stats_of(&rig).stale, 2);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	expect_none(&guest.consumer);
	expect_none(&other.consumer);
	other_is_served();
	stop();
}

Test(hostile_adapter, type_2_entries_that_are_none)
{
	start();
	uint32_t qp = guest_qp(&guest, cq, 3, NULL);
	uint64_t invalid = 0;

	forge(1, (uint32_t)EQ_QP_ERROR << 24 | (1 + cq), cq);          /* a CQ's */
	forge(1, (uint32_t)EQ_QP_ERROR << 24 | (1 + 8 + qp), 8 + 7);   /* another's token */
	forge(1, (uint32_t)EQ_QP_ERROR << 24 | (1 + 8 + qp), UINT64_MAX);
	forge(1, UINT32_MAX, 0);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, NULL), 3);
	invalid = stats_of(&rig).invalid;
	cr_expect_eq(invalid, 4, "%lu", (unsigned long)invalid);
	expect_none(&guest.consumer);
	other_is_served();
	stop();
}

Test(hostile_adapter, a_summary_byte_for_nothing_does_not_hold_a_forwarder)
{
	struct eq_queue type1, type2;

	start();
	cr_assert_eq(eq_load_eq(&rig.io.host, 0, &type1), 0);
	cr_assert_eq(eq_load_eq(&rig.io.host, 1, &type2), 0);
	for (unsigned i = 0; i < 1000; i++) {
		*type1.psb = 1;
		*type2.asb = 1;
		type1.interrupts->word = UINT32_MAX;
		cr_assert_eq(eq_forward(rig.host, 0, 64, 0), 0);
		cr_assert_eq(eq_host_type2(rig.host, 64, 0, NULL), 0);
	}
	other_is_served();
	stop();
}

/* ---- Adapters: the contexts in the storage -------------------------------------------------- */

Test(hostile_adapter, contexts_it_rewrites_are_not_what_the_host_goes_by)
{
	struct eq_storage *view;
	struct rig_guest third;
	uint32_t another, qp;

	start();
	view = &rig.io.adapter.storage;
	/* Everything is free, and every ring is somewhere else. */
	memset((void *)view->cq, 0, 8 * sizeof(*view->cq));
	memset((void *)view->qp, 0, 8 * sizeof(*view->qp));
	memset((void *)view->eq, 0xff, 2 * sizeof(*view->eq));
	rig.io.host.header->cqs = UINT32_MAX;
	cr_assert_eq(eq_guest_allocate_cq(guest.guest, rig.shared, &another), 0);
	cr_expect_neq(another, cq);
	cr_expect_neq(another, other_cq);
	cr_assert_eq(eq_guest_allocate_qp(guest.guest, rig.shared, &qp), 0);
	cr_assert_eq(eq_guest_store_qp_cqs(guest.guest, rig.shared, qp, cq, another), 0);
	cr_expect_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), -EBUSY);
	guest_start(&rig, &third, 4, 4);
	guest_stop(&third);
	guest_stop(&guest);
	/* All of its own went with the guest. */
	for (uint32_t i = 0; i < 7; i++)
		cr_expect_eq(eq_guest_allocate_cq(other.guest, rig.shared, &another), 0);
	cr_expect_eq(eq_guest_allocate_cq(other.guest, rig.shared, &another), -ENOSPC);
	guest_stop(&other);
	cr_expect_eq(eq_host_remove_adapter(rig.shared), 0);
	eq_adapter_close(&rig.io.adapter);
	eq_host_destroy(rig.host);
	eq_storage_close(&rig.io.host);
	unmap_guarded(rig.io.memory, rig.io.bytes);
}
