/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who follows one that died: an adapter between any two of its stores, a consumer, and
 * a host that forgot all. No event stays behind.
 */
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define CAPACITY 8u
#define PAGE_BYTES 4096u

static alignas(EQ_LINE_BYTES) uint8_t ring[sizeof(struct eq_queue_control) +
					   CAPACITY * EQ_EQE_BYTES];
static eq_marks marks[4];
static eq_summary asb;
static struct eq_interrupts interrupts;
static const struct eq_queue queue = {
	.ring = ring, .capacity = CAPACITY, .marks = marks, .slots = 4, .asb = &asb,
	.interrupts = &interrupts, .isc = 0, .control = EQ_IMMEDIATE,
};

/* ---- A poster ---------------------------------------------------------------------------- */

/* The stores of eq_poster_add() and eq_poster_signal(), up to the `stores`-th. */
static void post_and_die(uint32_t position, uint32_t slot, unsigned stores)
{
	struct eq_ring view;
	const struct eq_eqe eqe = {.event_slot = slot, .token = {70 + slot, 0}};

	cr_assert_eq(eq_ring_open_queue(&view, ring, CAPACITY), 0);
	struct eq_ring_entry *entry = eq_ring_entry_at(&view, position);
	if (stores > 0)
		atomic_fetch_or(&marks[slot], 1u << EQ_COMPLETION);
	if (stores > 1)
		memcpy(entry->payload, &eqe, sizeof(eqe));
	if (stores > 2)
		entry->sequence = position + 1;
	if (stores > 3)
		asb = 1;
	if (stores > 4)
		eq_interrupt_post(&interrupts, 0);
}

/* `before` entries were posted and consumed, `waiting` more are in the queue. */
static void poster_dies(uint32_t before, uint32_t waiting, unsigned stores)
{
	struct eq_poster poster;
	struct eq_consumer consumer;

	memset(ring, 0, sizeof(ring));
	memset((void *)marks, 0, sizeof(marks));
	interrupts.word = 0;
	asb = 0;
	cr_assert_eq(eq_poster_open(&poster, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
	for (uint32_t i = 0; i < before; i++) {
		eq_poster_add(&poster, 3, EQ_COMPLETION, 73);
		expect_entry(&consumer, 3, EQ_COMPLETION, 73);
	}
	for (uint32_t i = 0; i < waiting; i++)
		eq_poster_add(&poster, i, EQ_COMPLETION, 70 + i);
	eq_poster_close(&poster);
	post_and_die(before + waiting, 2, stores);

	cr_assert_eq(eq_poster_open(&poster, &queue), 0);
	for (uint32_t i = 0; i < 4; i++)
		eq_poster_set_token(&poster, i, 70 + i);
	eq_poster_tick(&poster, 0);
	if (stores > 0 || waiting) {
		cr_expect_eq(asb, 1);
		cr_expect(eq_interrupt_pending(&interrupts, 1), "%u stores: not signalled", stores);
	}
	/* What it had seen and not marked, it sees again. */
	eq_poster_add(&poster, 2, EQ_COMPLETION, 72);
	for (uint32_t i = 0; i < waiting; i++)
		expect_entry(&consumer, i, EQ_COMPLETION, 70 + i);
	expect_entry(&consumer, 2, EQ_COMPLETION, 72);
	expect_none(&consumer);
	cr_expect_eq(marks_set(&queue), 0);
	eq_poster_close(&poster);
}

Test(recovery, a_poster_that_died_between_any_two_stores)
{
	for (uint32_t before = 0; before < 20; before++) {
		for (uint32_t waiting = 0; waiting < 3; waiting++) {
			for (unsigned stores = 0; stores <= 5; stores++)
				poster_dies(before, waiting, stores);
		}
	}
}

Test(recovery, an_adapter_that_died_with_events_held)
{
	struct rig_adapter io;
	struct eq_consumer consumer;
	struct eq_queue real;
	const struct eq_eq_spec spec = {.capacity = 4, .control = EQ_IMMEDIATE};

	rig_adapter_start(&io, 1, 8, 0, 4);
	cr_assert_eq(eq_allocate_eq(&io.host, &spec), 0);
	for (int i = 0; i < 8; i++) {
		cr_assert_eq(eq_allocate_cq(&io.host), i);
		eq_store_cq_token(&io.host, (uint32_t)i, 200 + (uint32_t)i);
		eq_store_cq_eq(&io.host, (uint32_t)i, 0);
		eq_adapter_complete(&io.adapter, (uint32_t)i);
	}
	rig_adapter_restart(&io);
	cr_expect_eq(eq_adapter_next_tick(&io.adapter), 0, "it is told to look");
	eq_adapter_tick(&io.adapter, 0);
	cr_assert_eq(eq_load_eq(&io.host, 0, &real), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &real), 0);
	for (uint32_t i = 0; i < 4; i++)
		expect_entry(&consumer, 1 + i, EQ_COMPLETION, 200 + i);
	eq_adapter_tick(&io.adapter, 0);
	for (uint32_t i = 4; i < 8; i++)
		expect_entry(&consumer, 1 + i, EQ_COMPLETION, 200 + i);
	expect_none(&consumer);
	rig_adapter_stop(&io);
}

/* ---- A consumer ------------------------------------------------------------------------------ */

/* The stores of eq_consume(): the mark, then the place. */
Test(recovery, a_consumer_that_died_between_any_two_stores)
{
	for (unsigned stores = 0; stores <= 2; stores++) {
		struct eq_poster poster;
		struct eq_consumer consumer;
		struct eq_entry entry;

		memset(ring, 0, sizeof(ring));
		memset((void *)marks, 0, sizeof(marks));
		cr_assert_eq(eq_poster_open(&poster, &queue), 0);
		eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
		if (stores == 2) {
			cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
			cr_assert(eq_consume(&consumer, &entry));
		} else if (stores == 1) {
			atomic_fetch_and(&marks[1], ~(1u << EQ_COMPLETION));
		}
		cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
		while (eq_consume(&consumer, &entry))
			cr_expect_eq(entry.slot, 1);
		/* No mark is left that would swallow the next one. */
		eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
		expect_entry(&consumer, 1, EQ_COMPLETION, 71);
		expect_none(&consumer);
		eq_poster_close(&poster);
	}
}

/* ---- Death for real: at the first store into a page that cannot be written ---------------- */

/* One page each for ring, marks, ASB and interrupts. */
enum page { RING, MARKS, SUMMARY, INTERRUPTS, PAGES };
static const char *const page_name[] = {"ring", "marks", "summary byte", "interrupts"};
static uint8_t *pages;
static sigjmp_buf death;

static struct eq_queue queue_in_pages(void)
{
	struct eq_queue paged = queue;

	pages = map_guarded(PAGES * PAGE_BYTES);
	paged.ring = pages + RING * PAGE_BYTES;
	paged.marks = (eq_marks *)(pages + MARKS * PAGE_BYTES);
	paged.asb = (eq_summary *)(pages + SUMMARY * PAGE_BYTES);
	paged.interrupts = (struct eq_interrupts *)(pages + INTERRUPTS * PAGE_BYTES);
	return paged;
}

static void protect(enum page page, int protection)
{
	cr_assert_eq(mprotect(pages + page * PAGE_BYTES, PAGE_BYTES, protection), 0);
}

static void die(int signal)
{
	(void)signal;
	siglongjmp(death, 1);
}

/* Does `act`, which must die at a store into that page. */
static void die_at(enum page page, void (*act)(void *side), void *side)
{
	const struct sigaction action = {.sa_handler = die, .sa_flags = SA_NODEFER};

	cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
	protect(page, PROT_READ);
	if (!sigsetjmp(death, 1)) {
		act(side);
		cr_assert_fail("it stores nothing into the page of the %s", page_name[page]);
	}
	protect(page, PROT_READ | PROT_WRITE);
}

static void take_one(void *side)
{
	struct eq_entry entry;

	eq_consume(side, &entry);
}

static void post_one(void *side)
{
	eq_poster_add(side, 1, EQ_COMPLETION, 71);
	eq_poster_signal(side, 0);
}

Test(recovery, a_consumer_that_dies_at_its_store_into_each_page)
{
	for (enum page page = RING; page <= MARKS; page++) {
		struct eq_queue paged = queue_in_pages();
		struct eq_poster poster;
		struct eq_consumer consumer;
		struct eq_entry entry;
		unsigned found = 0;

		cr_assert_eq(eq_poster_open(&poster, &paged), 0);
		cr_assert_eq(eq_consumer_open(&consumer, &paged), 0);
		eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
		die_at(page, take_one, &consumer);
		/* Whatever came meanwhile, and whatever comes then, is heard of. */
		eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
		cr_assert_eq(eq_consumer_open(&consumer, &paged), 0);
		while (eq_consume(&consumer, &entry))
			found++;
		cr_expect_geq(found, 1);
		eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
		expect_entry(&consumer, 1, EQ_COMPLETION, 71);
		eq_poster_close(&poster);
		unmap_guarded(pages, PAGES * PAGE_BYTES);
	}
}

Test(recovery, a_poster_that_dies_at_its_store_into_each_page)
{
	for (enum page page = RING; page < PAGES; page++) {
		struct eq_queue paged = queue_in_pages();
		struct eq_poster poster;
		struct eq_consumer consumer;

		cr_assert_eq(eq_poster_open(&poster, &paged), 0);
		cr_assert_eq(eq_consumer_open(&consumer, &paged), 0);
		die_at(page, post_one, &poster);
		eq_poster_close(&poster);
		cr_assert_eq(eq_poster_open(&poster, &paged), 0);
		eq_poster_set_token(&poster, 1, 71);
		eq_poster_tick(&poster, 0);
		/* At its first store nothing had happened yet: it does it again. */
		if (page == MARKS) {
			eq_poster_add(&poster, 1, EQ_COMPLETION, 71);
			eq_poster_signal(&poster, 0);
		}
		cr_expect_eq(*paged.asb, 1, "%s", page_name[page]);
		cr_expect(eq_interrupt_pending(paged.interrupts, 1), "%s", page_name[page]);
		expect_entry(&consumer, 1, EQ_COMPLETION, 71);
		expect_none(&consumer);
		eq_poster_close(&poster);
		unmap_guarded(pages, PAGES * PAGE_BYTES);
	}
}

/* ---- A host ------------------------------------------------------------------------------------ */

static struct rig rig;
static struct rig_guest guest;

/* Another host over what the guest has; the adapter gets a storage of its own. */
static void host_forgets(void)
{
	struct rig_guest kept = guest;

	eq_guest_destroy(guest.guest);
	rig_stop(&rig);
	rig_start(&rig, 1, 8, 8, 16);
	guest = kept;
	cr_assert_eq(eq_guest_create(rig.host, guest.memory, GUEST_BYTES, GUEST_GISA, &guest,
				     &guest.guest), 0);
	cr_assert_eq(eq_guest_allocate_eq(guest.guest, rig.shared, &guest.spec, &guest.id), 0);
	cr_assert_eq(eq_guest_store_eq_asb(guest.guest, rig.shared, guest.id, GUEST_ASB), 0);
}

Test(recovery, a_host_that_forgot_all_goes_on_after_the_entries_there_are)
{
	uint32_t slot, other_slot;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	uint32_t cq = guest_cq(&guest, 1, &slot), other_cq = guest_cq(&guest, 2, &other_slot);
	for (unsigned i = 0; i < 13; i++) { /* the ring has turned */
		complete_and_forward(&rig, cq);
		expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	}
	complete_and_forward(&rig, cq);
	/* Marked, and the host dies before it has entered it; and one is in type 1. */
	eq_marks *marked = (eq_marks *)(guest.memory + GUEST_MARKS);
	marked[other_slot] = 1u << EQ_COMPLETION;
	marked[EQ_SLOT_SELF] = 1u << EQ_LINK_UP;
	complete(&rig, other_cq);
	host_forgets();
	cq = guest_cq(&guest, 1, &slot);
	other_cq = guest_cq(&guest, 2, &other_slot);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);       /* from before */
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);       /* in case one was lost */
	expect_entry(&guest.consumer, other_slot, EQ_COMPLETION, 2); /* and one was */
	expect_none(&guest.consumer);
	complete_and_forward(&rig, other_cq);
	expect_entry(&guest.consumer, other_slot, EQ_COMPLETION, 2);
	eq_adapter_event(&rig.io.adapter, EQ_RESOURCE_ADAPTER, 1, EQ_LINK_UP);
	eq_adapter_signal(&rig.io.adapter, 0);
	cr_expect_eq(eq_host_type2(rig.host, 64, 0, NULL), 1);
	expect_entry(&guest.consumer, EQ_SLOT_SELF, EQ_LINK_UP, 0);
	struct eq_guest_eq_view view;
	cr_assert_eq(eq_guest_load_eq(guest.guest, rig.shared, guest.id, &view), 0);
	cr_expect_eq(view.forwarded, 4, "its own, not its predecessor's");
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(recovery, a_new_queue_has_no_event_before_the_first)
{
	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &guest, 8, 4);
	guest_cq(&guest, 1, NULL);
	expect_none(&guest.consumer);
	host_forgets(); /* nothing was ever put there */
	guest_cq(&guest, 1, NULL);
	expect_none(&guest.consumer);
	guest_stop(&guest);
	rig_stop(&rig);
}
