/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level 1 by the steps of 004, FIG. 4, 5 and 6: an adapter records events, sets summary
 * bytes, and makes an interrupt pending or not. Test names have the figure and its steps.
 */
#include "support.h"

#define CAPACITY 16u
#define MICROSECOND 1000u

static struct rig_adapter io;
static struct eq_queue queue;
static struct eq_consumer consumer;
static uint32_t eq;

/* One event queue; two completion queues and a queue pair with both are on it. */
static void start(uint32_t control, uint32_t delay_us)
{
	const struct eq_eq_spec spec = {.capacity = CAPACITY, .isc = 5, .control = control,
					.delay_us = delay_us};

	rig_adapter_start(&io, 2, 4, 4, CAPACITY);
	eq = (uint32_t)eq_allocate_eq(&io.host, &spec);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert_eq(eq_allocate_cq(&io.host), (int)i);
		cr_assert_eq(eq_store_cq_token(&io.host, i, 0xc000 + i), 0);
		cr_assert_eq(eq_store_cq_eq(&io.host, i, eq), 0);
	}
	cr_assert_eq(eq_allocate_qp(&io.host), 0);
	cr_assert_eq(eq_store_qp_cqs(&io.host, 0, 0, 1), 0);
	cr_assert_eq(eq_store_qp_token(&io.host, 0, 0xdeadbeefcafe), 0);
	cr_assert_eq(eq_store_qp_eq(&io.host, 0, eq), 0);
	cr_assert_eq(eq_load_eq(&io.host, eq, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
}

static void stop(void)
{
	rig_adapter_stop(&io);
}

static uint32_t slot_of(enum eq_resource kind, uint32_t index)
{
	return eq_storage_slot(&io.host, kind, index);
}

static uint32_t pending(void)
{
	return eq_interrupt_pending(queue.interrupts, EQ_ISC_ALL);
}

/* ---- FIG. 4 ------------------------------------------------------------------------ */

Test(fig4, steps_402_to_410_the_completion_queue_of_a_work_request)
{
	start(EQ_IMMEDIATE, 0);
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 0, false), 0, "404, 406");
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 0, true), 1, "408, 410");
	/* One for both. */
	cr_assert_eq(eq_allocate_qp(&io.host), 1);
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 1, false), EQ_NONE, "none yet");
	cr_assert_eq(eq_store_qp_cqs(&io.host, 1, EQ_NONE, 1), 0);
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 1, false), 1);
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 1, true), 1);
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 3, true), EQ_NONE, "not allocated");
	cr_expect_eq(eq_adapter_cq_of(&io.adapter, 99, true), EQ_NONE, "out of range");
	stop();
}

Test(fig4, steps_412_and_414_one_entry_for_a_completion_queue_until_it_is_consumed)
{
	start(EQ_IMMEDIATE, 0);
	for (unsigned i = 0; i < 100; i++) {
		eq_adapter_complete(&io.adapter, 0);
		eq_adapter_complete(&io.adapter, 1);
	}
	cr_expect_eq(marks_set(&queue), 2);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 0), EQ_COMPLETION, 0xc000);
	eq_adapter_complete(&io.adapter, 0);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 1), EQ_COMPLETION, 0xc001);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 0), EQ_COMPLETION, 0xc000);
	expect_none(&consumer);
	cr_expect_eq(marks_set(&queue), 0);
	cr_expect_eq(io.adapter.eq[eq].poster.posted, 3);
	stop();
}

Test(fig4, steps_416_to_420_one_entry_for_each_resource_and_type)
{
	start(EQ_IMMEDIATE, 0);
	for (unsigned i = 0; i < 3; i++) {
		eq_adapter_event(&io.adapter, EQ_RESOURCE_QP, 0, EQ_QP_ERROR);
		eq_adapter_event(&io.adapter, EQ_RESOURCE_QP, 0, EQ_PROTOCOL_ERROR);
		eq_adapter_event(&io.adapter, EQ_RESOURCE_CQ, 1, EQ_CQ_ERROR);
		eq_adapter_complete(&io.adapter, 1);
		eq_adapter_event(&io.adapter, EQ_RESOURCE_ADAPTER, eq, EQ_LINK_DOWN);
	}
	expect_entry(&consumer, slot_of(EQ_RESOURCE_QP, 0), EQ_QP_ERROR, 0xdeadbeefcafe);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_QP, 0), EQ_PROTOCOL_ERROR, 0xdeadbeefcafe);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 1), EQ_CQ_ERROR, 0xc001);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 1), EQ_COMPLETION, 0xc001);
	expect_entry(&consumer, EQ_SLOT_SELF, EQ_LINK_DOWN, 0);
	expect_none(&consumer);
	eq_adapter_event(&io.adapter, EQ_RESOURCE_QP, 0, EQ_QP_ERROR);
	expect_entry(&consumer, slot_of(EQ_RESOURCE_QP, 0), EQ_QP_ERROR, 0xdeadbeefcafe);
	stop();
}

Test(fig4, events_of_what_has_no_event_queue_are_counted)
{
	start(EQ_IMMEDIATE, 0);
	cr_assert_eq(eq_allocate_cq(&io.host), 2);
	cr_assert_eq(eq_allocate_qp(&io.host), 1);
	eq_adapter_complete(&io.adapter, 2);
	eq_adapter_event(&io.adapter, EQ_RESOURCE_QP, 1, EQ_QP_ERROR);
	eq_adapter_event(&io.adapter, EQ_RESOURCE_ADAPTER, 1, EQ_LINK_UP);
	cr_expect_eq(io.adapter.unassociated, 3);
	expect_none(&consumer);
	stop();
}

Test(fig4, a_queue_with_a_place_for_every_event_never_fills)
{
	start(EQ_IMMEDIATE, 0);
	for (unsigned lap = 0; lap < 1000; lap++) {
		for (uint32_t cq = 0; cq < 2; cq++) {
			for (unsigned event = 0; event < 7; event++)
				eq_adapter_event(&io.adapter, EQ_RESOURCE_CQ, cq, event);
		}
		for (unsigned i = 0; i < 14; i++) {
			struct eq_entry entry;
			cr_assert(eq_consume(&consumer, &entry));
		}
		expect_none(&consumer);
	}
	cr_expect_eq(io.adapter.eq[eq].poster.held_ever, 0);
	stop();
}

Test(fig4, events_without_a_place_wait_and_none_is_lost)
{
	start(EQ_IMMEDIATE, 0);
	for (uint32_t cq = 0; cq < 2; cq++) {
		for (unsigned event = 0; event < 12; event++)
			eq_adapter_event(&io.adapter, EQ_RESOURCE_CQ, cq, event);
	}
	cr_expect_eq(io.adapter.eq[eq].poster.held_ever, 24 - CAPACITY);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), 0, "as soon as there is room");
	eq_adapter_tick(&io.adapter, 0);
	for (unsigned event = 0; event < 12; event++)
		expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 0), event, 0xc000);
	for (unsigned event = 0; event < 4; event++)
		expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 1), event, 0xc001);
	expect_none(&consumer);
	/* What is held is marked: it is not held twice. */
	eq_adapter_event(&io.adapter, EQ_RESOURCE_CQ, 1, 7);
	eq_adapter_tick(&io.adapter, 0);
	for (unsigned event = 4; event < 12; event++)
		expect_entry(&consumer, slot_of(EQ_RESOURCE_CQ, 1), event, 0xc001);
	expect_none(&consumer);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), UINT64_MAX);
	cr_expect_eq(marks_set(&queue), 0);
	stop();
}

/* ---- FIG. 5 ------------------------------------------------------------------------ */

/* Which of the two bytes a signal sets, with or without each of them associated. */
static void summaries(bool with_asb, bool with_psb)
{
	start(EQ_IMMEDIATE, 0);
	int asb = eq_allocate_summary(&io.host);
	cr_assert_gt(asb, 0);
	if (with_asb)
		cr_assert_eq(eq_store_eq_asb(&io.host, eq, (uint32_t)asb), 0);
	int psb = with_asb ? eq_allocate_summary(&io.host) : asb + EQ_LINE_BYTES;
	cr_assert_gt(psb, asb);
	if (with_psb)
		cr_assert_eq(eq_store_eq_psb(&io.host, eq, (uint32_t)psb), 0);
	eq_adapter_complete(&io.adapter, 0);
	cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)asb), 0, "before the signal");
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)asb), with_asb, "502, 504");
	cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)psb), with_psb, "506, 508");
	stop();
}

Test(fig5, steps_502_to_508_each_byte_that_is_associated_is_set)
{
	summaries(false, false);
	summaries(true, false);
	summaries(false, true);
	summaries(true, true);
}

Test(fig5, the_consumer_clears_the_byte_before_it_consumes)
{
	start(EQ_IMMEDIATE, 0);
	int asb = eq_allocate_summary(&io.host);
	cr_assert_eq(eq_store_eq_asb(&io.host, eq, (uint32_t)asb), 0);
	cr_assert_eq(eq_load_eq(&io.host, eq, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
	cr_expect_not(eq_consumer_begin(&consumer), "nothing has come");
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect(eq_consumer_begin(&consumer));
	cr_expect_eq(*queue.asb, 0);
	/* What comes while it consumes sets the byte again. */
	eq_adapter_complete(&io.adapter, 1);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(*queue.asb, 1);
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	expect_entry(&consumer, 2, EQ_COMPLETION, 0xc001);
	cr_expect_not(eq_consumer_end(&consumer));
	cr_expect(eq_consumer_begin(&consumer), "once for nothing");
	expect_none(&consumer);
	stop();
}

Test(fig5, a_byte_that_is_stored_after_the_adapter_opened_the_queue_is_set_too)
{
	start(EQ_IMMEDIATE, 0);
	eq_adapter_tick(&io.adapter, 0); /* opens it */
	int psb = eq_allocate_summary(&io.host);
	cr_assert_eq(eq_store_eq_psb(&io.host, eq, (uint32_t)psb), 0);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)psb), 1);
	stop();
}

/* ---- FIG. 6 ------------------------------------------------------------------------ */

Test(fig6, steps_602_604_610_immediate_on_the_edge_from_empty)
{
	start(EQ_IMMEDIATE, 0);
	eq_adapter_complete(&io.adapter, 0);
	cr_expect_eq(pending(), 0, "not before the signal");
	cr_expect_not(eq_adapter_signal(&io.adapter, 0), "nobody asked for an alert");
	cr_expect_eq(pending(), 1u << 5, "610: on its subclass");
	cr_expect_not(eq_adapter_signal(&io.adapter, 0));
	cr_expect_eq(io.adapter.eq[eq].poster.interrupts, 1, "one for a burst");
	stop();
}

Test(fig6, step_602_suppressed_while_the_consumer_has_the_initiative)
{
	start(EQ_IMMEDIATE, 0);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(eq_interrupt_take(queue.interrupts, EQ_ISC_ALL), 1u << 5);
	eq_adapter_complete(&io.adapter, 1);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(pending(), 0, "612: there was an entry already");
	/* Whoever has the initiative finds both. */
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	expect_entry(&consumer, 2, EQ_COMPLETION, 0xc001);
	cr_expect_not(eq_consumer_end(&consumer));
	/* Empty again: the next one interrupts. */
	eq_adapter_complete(&io.adapter, 1);
	eq_adapter_signal(&io.adapter, 0);
	cr_expect_eq(pending(), 1u << 5);
	stop();
}

Test(fig6, step_602_what_comes_before_the_rescan_is_found_by_it)
{
	start(EQ_IMMEDIATE, 0);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 0);
	eq_interrupt_take(queue.interrupts, EQ_ISC_ALL);
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	eq_adapter_complete(&io.adapter, 1); /* not signalled yet */
	cr_expect(eq_consumer_end(&consumer), "once more");
	stop();
}

Test(fig6, step_602_a_burst_that_was_consumed_in_part_still_interrupts)
{
	start(EQ_IMMEDIATE, 0);
	eq_adapter_complete(&io.adapter, 0);
	/* A polling consumer takes the first entry and goes to sleep. */
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	cr_expect_not(eq_consumer_end(&consumer));
	cr_expect(eq_interrupt_sleep(queue.interrupts, EQ_ISC_ALL));
	eq_adapter_complete(&io.adapter, 1);
	cr_expect(eq_adapter_signal(&io.adapter, 0), "it must be woken for the second");
	cr_expect_eq(pending(), 1u << 5);
	stop();
}

Test(fig6, steps_604_612_not_immediate_and_no_timer_never_interrupts)
{
	start(0, 0);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 0);
	eq_adapter_tick(&io.adapter, UINT64_MAX - 1);
	cr_expect_eq(pending(), 0);
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	stop();
}

Test(fig6, steps_608_610_612_the_delay_timer)
{
	uint64_t now = 1000000;

	start(0, 50);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, now);
	cr_expect_eq(eq_interrupt_take(queue.interrupts, EQ_ISC_ALL), 1u << 5, "608, 610: ready");
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	/* 608, 612: not ready. */
	now += 49 * MICROSECOND;
	for (unsigned i = 0; i < 5; i++) {
		eq_adapter_complete(&io.adapter, i % 2);
		eq_adapter_signal(&io.adapter, now);
	}
	cr_expect_eq(pending(), 0);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), 1000000 + 50 * MICROSECOND);
	eq_adapter_tick(&io.adapter, now);
	cr_expect_eq(pending(), 0);
	/* Ready: one interrupt for all of them. */
	eq_adapter_tick(&io.adapter, 1000000 + 50 * MICROSECOND);
	cr_expect_eq(pending(), 1u << 5);
	cr_expect_eq(io.adapter.eq[eq].poster.interrupts, 2);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), UINT64_MAX);
	stop();
}

Test(fig6, an_immediate_queue_with_a_timer_interrupts_on_the_edge_and_restarts_it)
{
	start(EQ_IMMEDIATE, 50);
	eq_adapter_complete(&io.adapter, 0);
	eq_adapter_signal(&io.adapter, 7);
	cr_expect_eq(eq_interrupt_take(queue.interrupts, EQ_ISC_ALL), 1u << 5);
	eq_adapter_complete(&io.adapter, 1);
	eq_adapter_signal(&io.adapter, 8);
	cr_expect_eq(pending(), 0);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), 7 + 50 * MICROSECOND);
	stop();
}

Test(fig6, step_610_an_alert_wakes_a_sleeping_owner_once)
{
	start(EQ_IMMEDIATE, 0);
	struct eq_interrupts *interrupts = queue.interrupts;

	eq_interrupt_run(interrupts, 1u << 5);
	eq_adapter_complete(&io.adapter, 0);
	cr_expect_not(eq_adapter_signal(&io.adapter, 0), "it runs and is enabled");
	cr_expect_not(eq_interrupt_sleep(interrupts, 1u << 5), "one is pending");
	cr_expect_eq(eq_interrupt_take(interrupts, 1u << 5), 1u << 5);
	expect_entry(&consumer, 1, EQ_COMPLETION, 0xc000);
	cr_expect(eq_interrupt_sleep(interrupts, 1u << 5));
	eq_adapter_complete(&io.adapter, 0);
	cr_expect(eq_adapter_signal(&io.adapter, 0));
	cr_expect_not(eq_interrupt_post(interrupts, 5), "once");
	cr_expect_not(eq_interrupt_post(interrupts, 4), "another subclass, not asked for");
	/* Running, but with that subclass disabled: it asked for the alert. */
	eq_interrupt_take(interrupts, EQ_ISC_ALL);
	cr_expect(eq_interrupt_sleep(interrupts, EQ_ISC_ALL));
	eq_interrupt_run(interrupts, 1u << 4);
	cr_expect(eq_interrupt_post(interrupts, 5));
	cr_expect_not(eq_interrupt_post(interrupts, 4));
	stop();
}

Test(fig6, every_entry_interrupts_where_the_control_says_so)
{
	start(EQ_EVERY_ENTRY, 0);
	for (unsigned i = 0; i < 3; i++) {
		eq_adapter_event(&io.adapter, EQ_RESOURCE_CQ, 0, i);
		eq_adapter_signal(&io.adapter, 0);
		cr_expect_eq(eq_interrupt_take(queue.interrupts, EQ_ISC_ALL), 1u << 5);
	}
	stop();
}
