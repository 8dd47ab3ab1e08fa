/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level 2 by the steps of 004, FIG. 10 to 17: what the host does when a guest's
 * ALLOCATE or STORE is intercepted, where an adapter's events go, and what a forwarder
 * does with each. Test names have the figure and its steps.
 */
#include "support.h"

static struct rig rig;
static struct rig_guest guest, second;

static struct eq_queue host_queue(uint32_t eq)
{
	struct eq_queue queue;

	cr_assert_eq(eq_load_eq(&rig.io.host, eq, &queue), 0);
	return queue;
}

#define TYPE1 0u
#define TYPE2 1u

/* ---- FIG. 10 and 11 ------------------------------------------------------------------ */

Test(fig10, steps_1006_to_1014_the_first_guest_has_the_hosts_queues_allocated)
{
	struct eq_queue queue;
	struct eq_storage *storage = &rig.io.host;

	rig_start(&rig, 1, 8, 8, 16);
	cr_expect_eq(eq_load_eq(storage, TYPE1, &queue), -ENOENT, "no guest yet");
	guest_start(&rig, &guest, 8, 4);
	const struct eq_queue type1 = host_queue(TYPE1), type2 = host_queue(TYPE2);
	cr_expect_not_null(type1.psb, "1012");
	cr_expect_not_null(type2.psb, "1014");
	cr_expect_neq(type1.psb, type2.psb);
	/* 1006: only the first. */
	guest_start(&rig, &second, 8, 4);
	cr_expect_eq(host_queue(TYPE1).ring, type1.ring);
	cr_expect_eq(eq_load_eq(storage, 2, &queue), -ENOENT);
	guest_stop(&guest);
	guest_stop(&second);
	rig_stop(&rig);
}

Test(fig10, steps_1000_to_1004_the_control_block_has_gisa_and_subclass)
{
	uint32_t slot;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	complete_and_forward(&rig, guest_cq(&guest, 1, &slot));
	cr_expect_eq(eq_interrupt_pending(guest.gisa, EQ_ISC_ALL), 1u << GUEST_GISC);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig11, steps_1102_and_1104_subclasses_and_an_asb_for_type_2_only)
{
	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cr_expect_eq(host_queue(TYPE1).isc, EQ_HOST_ISC_TYPE1);
	cr_expect_eq(host_queue(TYPE2).isc, EQ_HOST_ISC_TYPE2);
	cr_expect_null(host_queue(TYPE1).asb);
	cr_expect_not_null(host_queue(TYPE2).asb);
	cr_expect_neq(host_queue(TYPE2).asb, host_queue(TYPE2).psb);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig11, step_1106_ids_are_above_every_real_one)
{
	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_start(&rig, &second, 8, 4);
	cr_expect_geq(guest.id, rig.io.host.eqs);
	cr_expect_geq(second.id, rig.io.host.eqs);
	cr_expect_neq(guest.id, second.id);
	guest_stop(&guest);
	guest_stop(&second);
	rig_stop(&rig);
}

/* ---- FIG. 12 and 13 ------------------------------------------------------------------- */

Test(fig12, steps_1200_to_1208_the_adapter_has_the_associators_token_the_guest_its_own)
{
	struct eq_cq_view real, loaded;
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cr_assert_eq(eq_guest_allocate_cq(guest.guest, rig.shared, &cq), 0);
	cr_assert_eq(eq_load_cq(&rig.io.host, cq, &real), 0, "1202");
	cr_expect_eq((uint32_t)real.token, cq, "1204: the associator's index");
	cr_expect_eq(real.token >> 32 & 1, 1, "and a generation");
	cr_assert_eq(eq_guest_store_cq_token(guest.guest, rig.shared, cq, 0x0123456789abcdef), 0);
	uint64_t before = real.token;
	cr_assert_eq(eq_load_cq(&rig.io.host, cq, &real), 0);
	cr_expect_eq(real.token, before, "1208: the adapter's stays");
	cr_assert_eq(eq_guest_load_cq(guest.guest, rig.shared, cq, &loaded), 0);
	cr_expect_eq(loaded.token, 0x0123456789abcdef);
	cr_expect_eq(loaded.eq, EQ_NONE);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig12, steps_1210_and_1212_for_the_adapter_its_event_queue_is_type_1)
{
	struct eq_cq_view real, loaded;
	uint32_t slot, cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 7, &slot);
	cr_assert_eq(eq_load_cq(&rig.io.host, cq, &real), 0);
	cr_expect_eq(real.eq, TYPE1);
	cr_assert_eq(eq_guest_load_cq(guest.guest, rig.shared, cq, &loaded), 0);
	cr_expect_eq(loaded.eq, guest.id, "the guest never sees the adapter's");
	cr_expect_neq(slot, EQ_SLOT_SELF);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig13, steps_1300_and_1302_the_asb_is_pinned_and_set)
{
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4); /* stores GUEST_ASB */
	cr_expect_eq(eq_guest_pins(guest.guest), 2, "the queue and the byte");
	cr_assert_eq(eq_guest_store_eq_asb(guest.guest, rig.shared, guest.id, GUEST_ASB + 1), 0);
	cr_expect_eq(eq_guest_pins(guest.guest), 2, "the byte of before is not");
	cq = guest_cq(&guest, 7, NULL);
	complete_and_forward(&rig, cq);
	cr_expect_eq(guest.asb[0], 0);
	cr_expect_eq(guest.asb[1], 1);
	cr_assert_eq(eq_guest_store_eq_asb(guest.guest, rig.shared, guest.id, UINT64_MAX), 0);
	cr_expect_eq(eq_guest_pins(guest.guest), 1);
	guest.asb[1] = 0;
	expect_entry(&guest.consumer, 1, EQ_COMPLETION, 7);
	complete_and_forward(&rig, cq);
	cr_expect_eq(guest.asb[1], 0, "1710: none is associated");
	expect_entry(&guest.consumer, 1, EQ_COMPLETION, 7);
	cr_assert_eq(eq_guest_deallocate_cq(guest.guest, rig.shared, cq), 0);
	cr_assert_eq(eq_guest_deallocate_eq(guest.guest, rig.shared, guest.id), 0);
	cr_expect_eq(eq_guest_pins(guest.guest), 0);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- FIG. 14 and 15 -------------------------------------------------------------------- */

Test(fig14, step_1400_a_queue_pair_is_allocated_for_the_guest)
{
	struct eq_qp_view real, loaded;
	uint32_t qp;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cr_assert_eq(eq_guest_allocate_qp(guest.guest, rig.shared, &qp), 0);
	cr_assert_eq(eq_load_qp(&rig.io.host, qp, &real), 0);
	cr_assert_eq(eq_guest_store_qp_token(guest.guest, rig.shared, qp, 0x55), 0);
	cr_assert_eq(eq_guest_load_qp(guest.guest, rig.shared, qp, &loaded), 0);
	cr_expect_eq(loaded.token, 0x55);
	cr_expect_neq(real.token, 0x55);
	cr_expect_eq(loaded.eq, EQ_NONE);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig15, for_the_adapter_a_queue_pairs_event_queue_is_type_2)
{
	struct eq_qp_view real, loaded;
	uint32_t cq, qp;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 7, NULL);
	qp = guest_qp(&guest, cq, 8, NULL);
	cr_assert_eq(eq_load_qp(&rig.io.host, qp, &real), 0);
	cr_expect_eq(real.eq, TYPE2);
	cr_expect_eq(real.send_cq, cq);
	cr_assert_eq(eq_guest_load_qp(guest.guest, rig.shared, qp, &loaded), 0);
	cr_expect_eq(loaded.eq, guest.id);
	cr_expect_eq(loaded.send_cq, cq);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- FIG. 16 ---------------------------------------------------------------------------- */

Test(fig16, steps_1600_to_1612_a_completion_goes_to_type_1)
{
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 7, NULL);
	const struct eq_queue type1 = host_queue(TYPE1), type2 = host_queue(TYPE2);
	struct eq_interrupts *izone = type1.interrupts;

	complete(&rig, cq);
	cr_expect_eq(marks_set(&type1), 1, "1606");
	cr_expect_eq(*type1.psb, 1, "1608");
	cr_expect_eq(eq_interrupt_pending(izone, EQ_ISC_ALL), 1u << EQ_HOST_ISC_TYPE1, "1610, 1612");
	cr_expect_eq(marks_set(&type2), 0);
	cr_expect_eq(*type2.psb, 0);
	/* 1604: once while it is there. */
	complete(&rig, cq);
	cr_expect_eq(rig.io.adapter.eq[TYPE1].poster.posted, 1);
	cr_expect_eq(forward_all(&rig), 1);
	cr_expect_eq(*type1.psb, 0);
	cr_expect_eq(eq_interrupt_pending(izone, EQ_ISC_ALL), 0);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig16, steps_1616_to_1624_a_queue_pairs_event_goes_to_type_2)
{
	uint32_t qp, slot;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	qp = guest_qp(&guest, guest_cq(&guest, 7, NULL), 8, &slot);
	const struct eq_queue type1 = host_queue(TYPE1), type2 = host_queue(TYPE2);

	for (unsigned i = 0; i < 3; i++)
		eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_QP, qp, EQ_QP_ERROR);
	eq_adapter_signal(&rig.io.adapter, 0);
	cr_expect_eq(marks_set(&type2), 1, "1616, 1618");
	cr_expect_eq(*type2.asb, 1, "1620");
	cr_expect_eq(*type2.psb, 1, "1622");
	cr_expect_eq(eq_interrupt_pending(type2.interrupts, EQ_ISC_ALL), 1u << EQ_HOST_ISC_TYPE2,
		     "1624");
	cr_expect_eq(marks_set(&type1), 0);
	/* The machine presents the interrupt, the host program takes it from there. */
	cr_expect_eq(eq_forward(rig.host, 0, 64, 0), 0);
	cr_expect_eq(rig.presents, 1);
	cr_expect_eq(*type2.psb, 0);
	expect_none(&guest.consumer);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, NULL), 1);
	cr_expect_eq(*type2.asb, 0);
	expect_entry(&guest.consumer, slot, EQ_QP_ERROR, 8);
	expect_none(&guest.consumer);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, NULL), 0);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig16, a_completion_queues_own_event_goes_with_its_completions)
{
	uint32_t cq, slot;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 7, &slot);
	eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_CQ, cq, EQ_CQ_ERROR);
	eq_adapter_signal(&rig.io.adapter, 0);
	const struct eq_queue type1 = host_queue(TYPE1), type2 = host_queue(TYPE2);
	cr_expect_eq(marks_set(&type1), 1);
	cr_expect_eq(marks_set(&type2), 0);
	forward_all(&rig);
	expect_entry(&guest.consumer, slot, EQ_CQ_ERROR, 7);
	guest_stop(&guest);
	rig_stop(&rig);
}

static struct eq_type2_event last_seen;

static void see(void *host_data, struct eq_host_adapter *adapter,
		const struct eq_type2_event *event)
{
	cr_assert_eq(host_data, &rig);
	cr_assert_eq(adapter, rig.shared);
	last_seen = *event;
}

Test(fig16, an_adapters_own_event_goes_to_every_guest)
{
	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_start(&rig, &second, 8, 4);
	uint32_t qp = guest_qp(&second, guest_cq(&second, 1, NULL), 2, NULL);
	eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_ADAPTER, TYPE2, EQ_LINK_DOWN);
	eq_adapter_signal(&rig.io.adapter, 0);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, see), 1);
	cr_expect_eq(last_seen.event, EQ_LINK_DOWN);
	cr_expect_eq(last_seen.kind, EQ_RESOURCE_ADAPTER);
	cr_expect_null(last_seen.guest);
	expect_entry(&guest.consumer, EQ_SLOT_SELF, EQ_LINK_DOWN, 0);
	expect_entry(&second.consumer, EQ_SLOT_SELF, EQ_LINK_DOWN, 0);
	/* And one of a queue pair names its guest. */
	eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_QP, qp, EQ_QP_ERROR);
	eq_adapter_signal(&rig.io.adapter, 0);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, see), 1);
	cr_expect_eq(last_seen.kind, EQ_RESOURCE_QP);
	cr_expect_eq(last_seen.index, qp);
	cr_expect_eq(last_seen.guest, second.guest);
	expect_none(&guest.consumer);
	guest_stop(&guest);
	guest_stop(&second);
	rig_stop(&rig);
}

Test(fig16, type_2_events_beyond_the_budget_wait_for_the_next_call)
{
	uint32_t qps[6];

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 16, 8);
	uint32_t cq = guest_cq(&guest, 7, NULL);
	for (unsigned i = 0; i < 6; i++) {
		qps[i] = guest_qp(&guest, cq, i, NULL);
		eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_QP, qps[i], EQ_QP_ERROR);
	}
	eq_adapter_signal(&rig.io.adapter, 0);
	cr_expect_eq(eq_host_type2(rig.host, 4, 0, NULL), 4);
	cr_expect_eq(eq_host_type2(rig.host, 4, 0, NULL), 2);
	cr_expect_eq(eq_host_type2(rig.host, 4, 0, NULL), 0);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- FIG. 17 ------------------------------------------------------------------------------ */

Test(fig17, steps_1700_to_1708_the_entry_goes_to_its_guest_with_its_token)
{
	uint32_t slot, second_slot, cq, second_cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_start(&rig, &second, 8, 4);
	cq = guest_cq(&guest, 0x1111222233334444, &slot);
	second_cq = guest_cq(&second, 0x1111222233334444, &second_slot);
	complete(&rig, second_cq);
	complete(&rig, cq);
	cr_expect_eq(forward_all(&rig), 2);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 0x1111222233334444);
	expect_entry(&second.consumer, second_slot, EQ_COMPLETION, 0x1111222233334444);
	expect_none(&guest.consumer);
	expect_none(&second.consumer);
	/* 1208: the token that is there when it is forwarded. */
	complete(&rig, cq);
	cr_assert_eq(eq_guest_store_cq_token(guest.guest, rig.shared, cq, 9), 0);
	forward_all(&rig);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 9);
	guest_stop(&guest);
	guest_stop(&second);
	rig_stop(&rig);
}

Test(fig17, step_1704_each_entry_is_used_once_and_in_order)
{
	uint32_t cqs[3], slots[3];

	rig_start(&rig, 2, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	for (unsigned i = 0; i < 3; i++)
		cqs[i] = guest_cq(&guest, 100 + i, &slots[i]);
	for (unsigned lap = 0; lap < 100; lap++) {
		for (unsigned i = 0; i < 3; i++) {
			complete(&rig, cqs[i]);
			eq_forward(rig.host, (lap + i) % 2, 1, 0);
		}
		for (unsigned i = 0; i < 3; i++)
			expect_entry(&guest.consumer, slots[i], EQ_COMPLETION, 100 + i);
		expect_none(&guest.consumer);
	}
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig17, the_mark_rule_of_412_holds_for_the_guests_queue)
{
	uint32_t cq, slot;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 1, &slot);
	for (unsigned i = 0; i < 10; i++)
		complete_and_forward(&rig, cq);
	cr_expect_eq(stats_of(&rig).forwarded, 1);
	cr_expect_eq(stats_of(&rig).coalesced, 9);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	expect_none(&guest.consumer);
	complete_and_forward(&rig, cq);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig17, steps_1710_and_1712_the_guests_summary_byte)
{
	uint32_t cq = 0;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 1, NULL);
	cr_expect_not(eq_consumer_begin(&guest.consumer));
	complete_and_forward(&rig, cq);
	cr_expect_eq(*guest.asb, 1);
	cr_expect(eq_consumer_begin(&guest.consumer));
	expect_entry(&guest.consumer, 1, EQ_COMPLETION, 1);
	cr_expect_not(eq_consumer_end(&guest.consumer));
	cr_expect_not(eq_consumer_begin(&guest.consumer));
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig17, steps_1714_and_1716_interrupt_and_alert)
{
	uint32_t cq;
	struct eq_interrupts *gisa;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 1, NULL);
	gisa = guest.gisa;
	/* It runs and is enabled: the bit, no alert. */
	eq_interrupt_run(gisa, 1u << GUEST_GISC);
	complete_and_forward(&rig, cq);
	cr_expect_eq(eq_interrupt_take(gisa, EQ_ISC_ALL), 1u << GUEST_GISC, "1714");
	cr_expect_eq(guest.alerts, 0);
	expect_entry(&guest.consumer, 1, EQ_COMPLETION, 1);
	/* It sleeps: one alert. */
	cr_assert(eq_interrupt_sleep(gisa, 1u << GUEST_GISC));
	complete_and_forward(&rig, cq);
	cr_expect_eq(guest.alerts, 1, "1716");
	uint32_t other_cq = guest_cq(&guest, 2, NULL);
	complete_and_forward(&rig, other_cq);
	cr_expect_eq(guest.alerts, 1, "the mask is off: it is being woken");
	cr_expect_eq(stats_of(&rig).alerts, 1);
	/* It is stopped and did not ask: pending until it looks. */
	eq_interrupt_take(gisa, EQ_ISC_ALL);
	expect_entry(&guest.consumer, 1, EQ_COMPLETION, 1);
	*(volatile uint32_t *)&gisa->word = 0;
	complete_and_forward(&rig, cq);
	cr_expect_eq(guest.alerts, 1);
	cr_expect_eq(eq_interrupt_pending(gisa, EQ_ISC_ALL), 1u << GUEST_GISC);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(fig17, before_forwarders_sleep_they_find_what_is_there_and_then_are_alerted)
{
	uint32_t cq;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	cq = guest_cq(&guest, 1, NULL);
	complete(&rig, cq);
	cr_expect_not(eq_host_sleep(rig.host));
	cr_expect_eq(forward_all(&rig), 1);
	cr_expect(eq_host_sleep(rig.host));
	eq_adapter_complete(&rig.io.adapter, cq);
	cr_expect(eq_adapter_signal(&rig.io.adapter, 0), "ring whoever sleeps");
	eq_adapter_complete(&rig.io.adapter, guest_cq(&guest, 2, NULL));
	cr_expect_not(eq_adapter_signal(&rig.io.adapter, 0), "once");
	/* A budget that ends too early leaves something to find. */
	cr_expect_eq(eq_forward(rig.host, 0, 1, 0), 1);
	cr_expect_not(eq_host_sleep(rig.host));
	cr_expect_eq(forward_all(&rig), 1);
	cr_expect(eq_host_sleep(rig.host));
	guest_stop(&guest);
	rig_stop(&rig);
}
