/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the seed leaves open, as event-queues/README.md decides it: stale tokens, a full
 * guest queue and the kick, teardown with events in flight, resize, moderation, and that
 * a guest which never consumes delays nobody.
 */
#include "support.h"

static struct rig rig;
static struct rig_guest guest, other;

/* ---- Stale tokens ---------------------------------------------------------------------- */

Test(stale, an_event_of_a_queue_that_is_gone_is_counted_and_dropped)
{
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 1, NULL);
	complete(&rig, cq);
	cr_assert_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), 0);
	cr_expect_eq(forward_all(&rig), 1);
	cr_expect_eq(stats_of(&rig).stale, 1);
	cr_expect_eq(stats_of(&rig).forwarded, 0);
	expect_none(&guest.consumer);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(stale, the_next_owner_of_the_index_gets_one_event_more)
{
	uint32_t cq, again, slot;

	rig_start(&rig, 1, 1, 1, 16);
	guest_start(&rig, &guest, 8, 3);
	guest_start(&rig, &other, 8, 3);
	cq = guest_cq(&guest, 1, NULL);
	complete(&rig, cq);
	cr_assert_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), 0);
	again = guest_cq(&other, 2, &slot);
	cr_assert_eq(again, cq, "the only one there is");
	/* Swallowed by the mark of the old owner's entry. */
	complete(&rig, again);
	cr_expect_eq(rig.io.adapter.eq[0].poster.posted, 1);
	forward_all(&rig);
	cr_expect_eq(stats_of(&rig).stale, 1);
	expect_none(&guest.consumer);
	expect_entry(&other.consumer, slot, EQ_COMPLETION, 2);
	expect_none(&other.consumer);
	/* From now on it is as any other. */
	complete_and_forward(&rig, again);
	cr_expect_eq(stats_of(&rig).stale, 1);
	expect_entry(&other.consumer, slot, EQ_COMPLETION, 2);
	guest_stop(&guest);
	guest_stop(&other);
	rig_stop(&rig);
}

Test(stale, each_generation_of_an_index_has_a_token_of_its_own)
{
	struct eq_cq_view view;
	uint64_t last = 0;
	uint32_t cq;

	rig_start(&rig, 1, 1, 1, 16);
	guest_start(&rig, &guest, 8, 3);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(eq_guest_allocate_cq(guest.guest, rig.shared, &cq), 0);
		cr_assert_eq(eq_load_cq(&rig.io.host, cq, &view), 0);
		cr_assert_gt(view.token, last);
		last = view.token;
		cr_assert_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), 0);
	}
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(stale, a_reused_slot_of_the_guests_queue_starts_without_marks)
{
	uint32_t cq, slot, slot_again;

	rig_start(&rig, 1, 4, 1, 16);
	guest_start(&rig, &guest, 8, 2);
	cq = guest_cq(&guest, 1, &slot);
	complete_and_forward(&rig, cq); /* an entry that the guest does not consume */
	cr_assert_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), 0);
	cq = guest_cq(&guest, 2, &slot_again);
	cr_assert_eq(slot_again, slot);
	complete_and_forward(&rig, cq);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 2);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- A full queue ------------------------------------------------------------------------- */

/* 8 completion queues of a guest whose queue has 4 entries; all have completed. */
static uint32_t cqs[8], slots[8];

static void fill(void)
{
	rig_start(&rig, 1, 16, 8, 64);
	guest_start(&rig, &guest, 4, 10);
	for (unsigned i = 0; i < 8; i++)
		cqs[i] = guest_cq(&guest, 100 + i, &slots[i]);
	for (unsigned i = 0; i < 8; i++)
		complete_and_forward(&rig, cqs[i]);
}

static struct eq_guest_eq_view guest_view(void)
{
	struct eq_guest_eq_view view;

	cr_assert_eq(eq_guest_load_eq(guest.guest, rig.shared, guest.id, &view), 0);
	return view;
}

Test(full, the_overrun_is_in_the_entry_kept_for_it_and_nothing_is_lost)
{
	fill();
	cr_expect_eq(guest_view().depth, 4);
	cr_expect_eq(guest_view().overruns, 1);
	cr_expect_eq(guest_view().held, 5);
	cr_expect_eq(stats_of(&rig).held, 5);
	for (unsigned i = 0; i < 3; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_entry(&guest.consumer, EQ_SLOT_SELF, EQ_EQ_OVERRUN, 0);
	expect_none(&guest.consumer);
	/* The kick: once, then the host resumes; three more, and it is full again. */
	cr_expect(eq_consumer_must_wake_poster(&guest.consumer));
	cr_expect_not(eq_consumer_must_wake_poster(&guest.consumer));
	cr_expect_eq(eq_guest_resume(guest.guest, 0), 3);
	cr_expect_eq(guest_view().overruns, 2);
	for (unsigned i = 3; i < 6; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_entry(&guest.consumer, EQ_SLOT_SELF, EQ_EQ_OVERRUN, 0);
	cr_expect(eq_consumer_must_wake_poster(&guest.consumer));
	cr_expect_eq(eq_guest_resume(guest.guest, 0), 2);
	for (unsigned i = 6; i < 8; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_none(&guest.consumer);
	cr_expect_not(eq_consumer_must_wake_poster(&guest.consumer));
	cr_expect_eq(eq_guest_resume(guest.guest, 0), 0);
	cr_expect_eq(guest_view().held, 0);
	cr_expect_eq(guest_view().forwarded, 10);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(full, a_kick_for_nothing_changes_nothing)
{
	fill();
	for (unsigned i = 0; i < 10; i++)
		cr_expect_eq(eq_guest_resume(guest.guest, 0), 0);
	cr_expect_eq(guest_view().held, 5);
	cr_expect_eq(guest_view().overruns, 1);
	expect_entry(&guest.consumer, slots[0], EQ_COMPLETION, 100);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(full, an_event_of_a_held_resource_is_not_held_twice)
{
	struct eq_entry entry;
	unsigned seen[8] = {0};

	fill();
	for (unsigned i = 0; i < 8; i++)
		complete_and_forward(&rig, cqs[i]);
	for (unsigned rounds = 0; rounds < 20; rounds++) {
		while (eq_consume(&guest.consumer, &entry)) {
			if (entry.event == EQ_COMPLETION)
				seen[entry.token - 100]++;
		}
		if (!eq_consumer_must_wake_poster(&guest.consumer))
			break;
		eq_guest_resume(guest.guest, 0);
	}
	for (unsigned i = 0; i < 8; i++)
		cr_expect_eq(seen[i], 1, "%u: %u", i, seen[i]);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(full, a_guest_that_never_consumes_delays_nobody)
{
	fill();
	guest_start(&rig, &other, 8, 4);
	uint32_t slot, cq = guest_cq(&other, 7, &slot);

	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned j = 0; j < 8; j++)
			complete(&rig, cqs[j]);
		complete(&rig, cq);
		/* One call with a budget for just these: theirs take no more than ours. */
		cr_assert_eq(eq_forward(rig.host, 0, 9, 0), 9);
		expect_entry(&other.consumer, slot, EQ_COMPLETION, 7);
	}
	cr_expect_eq(guest_view().depth, 4);
	guest_stop(&guest);
	guest_stop(&other);
	rig_stop(&rig);
}

/* ---- Teardown ------------------------------------------------------------------------------- */

Test(teardown, a_guest_goes_with_events_at_every_stage)
{
	for (unsigned stage = 0; stage < 5; stage++) {
		fill(); /* some in its queue, some held */
		guest_start(&rig, &other, 8, 4);
		uint32_t slot, cq = guest_cq(&other, 7, &slot);
		uint32_t qp = guest_qp(&guest, cqs[0], 9, NULL);

		if (stage >= 1)
			complete(&rig, cqs[0]); /* in type 1 */
		if (stage >= 2)
			eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_QP, qp, EQ_QP_ERROR);
		if (stage >= 3) /* a delayed interrupt waits */
			eq_guest_set_delay(guest.guest, rig.shared, guest.id, 1000);
		if (stage >= 4)
			cr_assert(eq_consumer_begin(&guest.consumer));
		eq_adapter_signal(&rig.io.adapter, 0);
		guest_stop(&guest); /* its storage is unmapped */
		forward_all(&rig);
		eq_host_type2(rig.host, 64, 0, NULL);
		eq_forward(rig.host, 0, 64, UINT64_MAX);
		cr_expect_eq(stats_of(&rig).stale, (stage >= 1) + (stage >= 2));
		complete_and_forward(&rig, cq);
		expect_entry(&other.consumer, slot, EQ_COMPLETION, 7);
		guest_stop(&other);
		rig_stop(&rig);
	}
}

Test(teardown, a_delayed_interrupt_of_an_event_queue_that_is_gone)
{
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_start(&rig, &other, 8, 4);
	uint32_t other_cq = guest_cq(&other, 2, NULL);
	cq = guest_cq(&guest, 1, NULL);
	eq_guest_set_delay(guest.guest, rig.shared, guest.id, 1000);
	eq_guest_set_delay(other.guest, rig.shared, other.id, 1000);
	for (unsigned i = 0; i < 2; i++) { /* the second is deferred */
		complete_and_forward(&rig, cq);
		complete_and_forward(&rig, other_cq);
		expect_entry(&guest.consumer, 1, EQ_COMPLETION, 1);
		expect_entry(&other.consumer, 1, EQ_COMPLETION, 2);
	}
	cr_expect_eq(eq_host_next_due(rig.host), 1000000);
	eq_interrupt_take(other.gisa, EQ_ISC_ALL);
	guest_stop(&guest);
	eq_forward(rig.host, 0, 64, 1000000);
	cr_expect_eq(eq_interrupt_pending(other.gisa, EQ_ISC_ALL), 1u << GUEST_GISC,
		     "the other's is not lost");
	guest_stop(&other);
	rig_stop(&rig);
}

/* ---- Resize ---------------------------------------------------------------------------------- */

Test(resize, the_old_ring_first_then_the_new_one)
{
	rig_start(&rig, 1, 16, 8, 64);
	guest_start(&rig, &guest, 4, 10);
	for (unsigned i = 0; i < 8; i++)
		cqs[i] = guest_cq(&guest, 100 + i, &slots[i]);
	for (unsigned i = 0; i < 3; i++)
		complete_and_forward(&rig, cqs[i]);
	cr_assert_eq(eq_guest_resize_eq(guest.guest, rig.shared, guest.id,
					GUEST_RING + GUEST_RING_BYTES, 16, 0), 0);
	for (unsigned i = 3; i < 8; i++)
		complete_and_forward(&rig, cqs[i]);
	/* What waits in the old ring is marked still: not entered in the new one. */
	complete_and_forward(&rig, cqs[0]);
	for (unsigned i = 0; i < 3; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_none(&guest.consumer);
	guest_open_ring(&guest, GUEST_RING + GUEST_RING_BYTES, 16);
	for (unsigned i = 3; i < 8; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_none(&guest.consumer);
	cr_expect_eq(guest_view().spec.capacity, 16);
	cr_expect_eq(guest_view().forwarded, 8);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(resize, what_was_held_goes_into_the_new_ring)
{
	fill();
	cr_assert_eq(eq_guest_resize_eq(guest.guest, rig.shared, guest.id,
					GUEST_RING + GUEST_RING_BYTES, 16, 0), 0);
	cr_expect_eq(guest_view().held, 0);
	for (unsigned i = 0; i < 3; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_entry(&guest.consumer, EQ_SLOT_SELF, EQ_EQ_OVERRUN, 0);
	guest_open_ring(&guest, GUEST_RING + GUEST_RING_BYTES, 16);
	for (unsigned i = 3; i < 8; i++)
		expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
	expect_none(&guest.consumer);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- Moderation ------------------------------------------------------------------------------- */

Test(moderation, a_guest_is_interrupted_at_most_once_in_its_delay)
{
	const uint64_t delay_ns = 100000;
	unsigned interrupts = 0;
	uint64_t now = 5000;
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_start(&rig, &other, 8, 4);
	cq = guest_cq(&guest, 1, NULL);
	uint32_t free_cq = guest_cq(&other, 2, NULL);
	cr_assert_eq(eq_guest_set_delay(guest.guest, rig.shared, guest.id, 100), 0);
	for (unsigned i = 0; i < 1000; i++, now += 1000) {
		complete(&rig, cq);
		complete(&rig, free_cq);
		eq_forward(rig.host, 0, 64, now);
		/* The entry is there at once, and its summary byte; only the interrupt waits. */
		cr_assert(eq_consumer_begin(&guest.consumer));
		expect_entry(&guest.consumer, 1, EQ_COMPLETION, 1);
		expect_entry(&other.consumer, 1, EQ_COMPLETION, 2);
		interrupts += eq_interrupt_take(guest.gisa, EQ_ISC_ALL) != 0;
		cr_assert(eq_interrupt_take(other.gisa, EQ_ISC_ALL), "the other has no delay");
	}
	cr_expect_eq(interrupts, 1000 * 1000 / delay_ns);
	/* The last one is not forgotten. */
	cr_expect_leq(eq_host_next_due(rig.host), now + delay_ns);
	eq_forward(rig.host, 0, 64, eq_host_next_due(rig.host));
	cr_expect(eq_interrupt_take(guest.gisa, EQ_ISC_ALL));
	cr_expect_eq(eq_host_next_due(rig.host), UINT64_MAX);
	guest_stop(&guest);
	guest_stop(&other);
	rig_stop(&rig);
}
