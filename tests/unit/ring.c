/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring of event-queues/eq.h on one thread: geometry, order, wrap, what a
 * hostile peer writes, and who must wake whom. Both peers at once are in
 * tests/race/ring_race.c; that no wake-up is lost, in tests/model/ring.pml.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "eq.h"

#define CAPACITY 4u
#define ENTRY_BYTES 16u

struct payload {
	uint32_t number, square, inverse;
};

static alignas(EQ_LINE_BYTES) uint8_t memory[sizeof(struct eq_ring_control) + CAPACITY * ENTRY_BYTES];
static struct eq_ring producer, consumer;

/*
 * Both sides as they are after `position` entries have passed: each slot carries
 * the sequence of its last lap.
 */
static void start_at(uint32_t position)
{
	memset(memory, 0, sizeof(memory));
	cr_assert_eq(eq_ring_open(&producer, memory, CAPACITY, ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_open(&consumer, memory, CAPACITY, ENTRY_BYTES), 0);
	producer.position = producer.released = position;
	consumer.position = consumer.released = position;
	*eq_ring_consumed(&producer) = position;
	for (uint32_t back = 1; position && back <= CAPACITY; back++)
		eq_ring_entry_at(&producer, position - back)->sequence = position - back + 1;
}

static void put(uint32_t number)
{
	const struct payload payload = {number, number * number, ~number};

	eq_ring_put(&producer, &payload, sizeof(payload));
}

static void expect(uint32_t number)
{
	struct payload payload = {0};

	cr_assert(eq_ring_take(&consumer, &payload, sizeof(payload)), "entry %u is missing", number);
	cr_assert_eq(payload.number, number);
	cr_assert_eq(payload.square, number * number);
	cr_assert_eq(payload.inverse, ~number);
}

/* ---- Geometry ------------------------------------------------------------ */

struct geometry {
	uint32_t capacity, entry_bytes;
	size_t size_bytes;
};

ParameterizedTestParameters(ring, geometry)
{
	static struct geometry cases[] = {
		{2, 16, 256 + 32},
		{4, 64, 256 + 256},
		{65536, 32, 256 + 65536 * 32},
		{0, 16, 0},
		{1, 16, 0},
		{3, 16, 0},
		{6, 16, 0},
		{65537, 16, 0},
		{131072, 16, 0},
		{UINT32_MAX, 16, 0},
		{0x80000000, 16, 0},
		{4, 0, 0},
		{4, 8, 0},
		{4, 24, 0},
		{4, 128, 0},
		{4, UINT32_MAX, 0},
	};
	return cr_make_param_array(struct geometry, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(struct geometry *c, ring, geometry)
{
	const struct eq_ring untouched = {.mask = 77};
	struct eq_ring ring = untouched;

	cr_expect_eq(eq_ring_size_bytes(c->capacity, c->entry_bytes), c->size_bytes);
	if (c->size_bytes)
		return;
	cr_expect_eq(eq_ring_open(&ring, memory, c->capacity, c->entry_bytes), -EINVAL);
	cr_expect_eq(memcmp(&ring, &untouched, sizeof(ring)), 0, "a refused open wrote the handle");
}

Test(ring, an_event_queue_has_its_control_words_in_one_line)
{
	const uint32_t invalid[] = {0, 1, 3, 6, 65537, 131072, UINT32_MAX, 0x80000000};
	const struct eq_ring untouched = {.mask = 77};
	struct eq_ring ring = untouched;

	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		cr_expect_eq(eq_queue_size_bytes(invalid[i]), 0);
		cr_expect_eq(eq_ring_open_queue(&ring, memory, invalid[i]), -EINVAL);
	}
	cr_expect_eq(eq_ring_open_queue(&ring, memory + 4, 2), -EINVAL);
	cr_expect_eq(memcmp(&ring, &untouched, sizeof(ring)), 0, "a refused open wrote the handle");
	cr_expect_eq(eq_queue_size_bytes(2), 64 + 32);
	cr_expect_eq(eq_queue_size_bytes(65536), 64 + 65536 * 16);

	struct eq_queue_control *control = (struct eq_queue_control *)memory;
	cr_assert_eq(eq_ring_open_queue(&ring, memory, 8), 0);
	cr_expect_eq(eq_ring_consumed(&ring), &control->consumed);
	cr_expect_eq(eq_ring_consumer_armed(&ring), &control->consumer_armed);
	cr_expect_eq(eq_ring_producer_armed(&ring), &control->producer_armed);
	cr_expect_eq((uint8_t *)eq_ring_entry_at(&ring, 8 + 3), memory + 64 + 3 * 16);

	struct eq_ring_control *words = (struct eq_ring_control *)memory;
	cr_assert_eq(eq_ring_open(&ring, memory, CAPACITY, ENTRY_BYTES), 0);
	cr_expect_eq(eq_ring_consumed(&ring), &words->consumed);
	cr_expect_eq(eq_ring_consumer_armed(&ring), &words->consumer_armed);
	cr_expect_eq(eq_ring_producer_armed(&ring), &words->producer_armed);
	cr_expect_eq((uint8_t *)eq_ring_entry_at(&ring, 1), memory + 256 + ENTRY_BYTES);
}

Test(ring, misaligned_memory_is_refused)
{
	struct eq_ring ring;

	for (unsigned offset = 1; offset < EQ_LINE_BYTES; offset++)
		cr_expect_eq(eq_ring_open(&ring, memory + offset, 2, 16), -EINVAL);
}

/* ---- Order, full, empty -------------------------------------------------- */

Test(ring, empty_then_full_then_empty)
{
	struct payload payload;

	start_at(0);
	cr_expect_not(eq_ring_ready(&consumer));
	cr_expect_not(eq_ring_take(&consumer, &payload, sizeof(payload)));
	cr_expect_eq(eq_ring_space(&producer, 1), CAPACITY);
	for (uint32_t i = 0; i < CAPACITY; i++) {
		cr_expect_eq(eq_ring_slot(&producer), i);
		put(i);
	}
	cr_expect_eq(eq_ring_space(&producer, 1), 0);
	for (uint32_t i = 0; i < CAPACITY; i++)
		expect(i);
	cr_expect_not(eq_ring_ready(&consumer), "an entry of the last lap looks new");
	cr_expect_eq(eq_ring_space(&producer, 1), 0, "taken but not released is still in use");
	cr_expect_eq(eq_ring_held(&consumer), CAPACITY);
	eq_ring_release(&consumer, 3);
	cr_expect_eq(eq_ring_held(&consumer), 1);
	cr_expect_eq(eq_ring_space(&producer, 1), 3);
	eq_ring_release(&consumer, 1);
	cr_expect_eq(eq_ring_space(&producer, CAPACITY), CAPACITY);
}

Test(ring, space_is_looked_up_only_when_short)
{
	start_at(0);
	put(0);
	put(1);
	expect(0);
	eq_ring_release(&consumer, 1);
	cr_expect_eq(eq_ring_space(&producer, 2), 2, "2 are known to be free without looking");
	cr_expect_eq(eq_ring_space(&producer, 3), 3, "the release is seen when 3 are wanted");
}

static void pass_many(uint32_t start)
{
	uint32_t sent = 0, taken = 0;

	start_at(start);
	/* Bursts of 1 to CAPACITY in turn, so that every slot sees every phase. */
	for (uint32_t burst = 1; sent < 1000; burst = burst % CAPACITY + 1) {
		cr_assert_geq(eq_ring_space(&producer, burst), (int)burst);
		for (uint32_t i = 0; i < burst; i++)
			put(sent++);
		for (uint32_t i = 0; i < burst; i++)
			expect(taken++);
		cr_assert_not(eq_ring_ready(&consumer));
		eq_ring_release(&consumer, burst);
	}
	cr_expect_eq(producer.position, start + sent);
}

Test(ring, slots_wrap)
{
	pass_many(0);
}

/* Starting shortly before 2^32, so that position, sequence and consumed pass 0. */
Test(ring, positions_wrap)
{
	for (uint32_t before = 1; before <= 3 * CAPACITY; before++)
		pass_many(0 - before);
}

Test(ring, full_across_the_position_wrap)
{
	start_at(UINT32_MAX - 1);
	for (uint32_t i = 0; i < CAPACITY; i++)
		put(i);
	cr_expect_eq(eq_ring_space(&producer, 1), 0);
	expect(0);
	expect(1);
	expect(2);
	eq_ring_release(&consumer, 3); /* consumed is now 1 */
	cr_expect_eq(eq_ring_space(&producer, CAPACITY), 3);
}

/* ---- A hostile peer ------------------------------------------------------ */

Test(ring, impossible_consumed_is_a_protocol_error)
{
	static const uint32_t starts[] = {0, 2, 1000, UINT32_MAX - 1, UINT32_MAX};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		uint32_t start = starts[i];

		for (uint32_t claim = 1; claim <= 8; claim++) {
			start_at(start);
			put(0);
			put(1);
			/* What was never put, ... */
			*eq_ring_consumed(&producer) = start + 2 + claim;
			cr_expect_eq(eq_ring_space(&producer, CAPACITY), -EPROTO);
			/* ... and taking back what was released. */
			*eq_ring_consumed(&producer) = start - claim;
			cr_expect_eq(eq_ring_space(&producer, CAPACITY), -EPROTO);
		}
		start_at(start);
		put(0);
		*eq_ring_consumed(&producer) = start + 0x80000000u;
		cr_expect_eq(eq_ring_space(&producer, CAPACITY), -EPROTO);
		cr_expect_eq(producer.released, start, "a refused index was kept");
	}
}

Test(ring, broken_ring_does_not_sleep_for_space)
{
	start_at(0);
	for (uint32_t i = 0; i < CAPACITY; i++)
		put(i);
	*eq_ring_consumed(&producer) = CAPACITY + 1;
	cr_expect_not(eq_ring_arm_space(&producer));
	cr_expect_eq(eq_ring_space(&producer, 1), -EPROTO);
}

Test(ring, only_the_expected_sequence_is_ready)
{
	start_at(100);
	struct eq_ring_entry *entry = eq_ring_entry_at(&consumer, 100);
	static const uint32_t hostile[] = {0, 1, 100, 102, 105, 101 - CAPACITY, 101 + CAPACITY,
					   UINT32_MAX};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		entry->sequence = hostile[i];
		cr_expect_not(eq_ring_ready(&consumer), "sequence %u", hostile[i]);
	}
	entry->sequence = 101;
	cr_expect(eq_ring_ready(&consumer));
}

/* ---- Who wakes whom ------------------------------------------------------ */

Test(ring, consumer_wake_truth_table)
{
	start_at(0);
	/* Not armed: nobody is rung. */
	put(0);
	cr_expect_not(eq_ring_must_wake_consumer(&producer));
	/* Arming finds the entry: no sleep, and no ring. */
	cr_expect_not(eq_ring_arm(&consumer));
	cr_expect_not(eq_ring_must_wake_consumer(&producer));
	expect(0);
	/* Armed and empty: sleep; the next put rings, once. */
	cr_expect(eq_ring_arm(&consumer));
	put(1);
	cr_expect(eq_ring_must_wake_consumer(&producer));
	put(2);
	cr_expect_not(eq_ring_must_wake_consumer(&producer));
	expect(1);
	expect(2);
	/* Disarmed: polling again. */
	cr_expect(eq_ring_arm(&consumer));
	eq_ring_disarm(&consumer);
	put(3);
	cr_expect_not(eq_ring_must_wake_consumer(&producer));
}

Test(ring, producer_wake_truth_table)
{
	start_at(0);
	/* Space: no sleep, and no ring. */
	cr_expect_not(eq_ring_arm_space(&producer));
	for (uint32_t i = 0; i < CAPACITY; i++)
		put(i);
	expect(0);
	cr_expect_not(eq_ring_must_wake_producer(&consumer));
	/* Full, taken but not released: sleep; the release rings, once. */
	cr_expect(eq_ring_arm_space(&producer));
	eq_ring_release(&consumer, 1);
	cr_expect(eq_ring_must_wake_producer(&consumer));
	cr_expect_not(eq_ring_must_wake_producer(&consumer));
	cr_expect_eq(eq_ring_space(&producer, 1), 1);
	put(CAPACITY);
	/* Released between the look and the arming: found by the second look. */
	expect(1);
	cr_expect_eq(eq_ring_space(&producer, 1), 0);
	eq_ring_release(&consumer, 1);
	cr_expect_not(eq_ring_arm_space(&producer));
	cr_expect_not(eq_ring_must_wake_producer(&consumer));
	put(CAPACITY + 1);
	/* Disarmed: there is other work. */
	cr_expect(eq_ring_arm_space(&producer));
	eq_ring_disarm_space(&producer);
	expect(2);
	eq_ring_release(&consumer, 1);
	cr_expect_not(eq_ring_must_wake_producer(&consumer));
}

/* A doorbell that is rung after the waiter left costs one idle pass, no more. */
Test(ring, a_stale_ring_is_harmless)
{
	struct payload payload;

	start_at(0);
	cr_expect(eq_ring_arm(&consumer));
	put(0);
	cr_expect(eq_ring_must_wake_consumer(&producer));
	expect(0); /* polled before the doorbell was read */
	cr_expect_not(eq_ring_take(&consumer, &payload, sizeof(payload)));
	cr_expect(eq_ring_arm(&consumer), "and it sleeps again");
}

/* ---- Successors ------------------------------------------------------------ */

Test(ring, a_successor_of_the_producer_goes_on_where_it_is_told)
{
	start_at(UINT32_MAX - 2);
	for (uint32_t i = 0; i < CAPACITY; i++)
		put(i);
	expect(0);
	eq_ring_release(&consumer, 1);
	struct eq_ring successor;
	const uint32_t position = producer.position;

	cr_assert_eq(eq_ring_open(&successor, producer.control, CAPACITY, ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_resume_producer(&successor, position), 0);
	cr_expect_eq(eq_ring_space(&successor, CAPACITY), 1);
	/* What does not fit what was consumed is refused, and changes nothing. */
	cr_expect_eq(eq_ring_resume_producer(&successor, UINT32_MAX - 2), -EPROTO);
	cr_expect_eq(eq_ring_resume_producer(&successor, position + CAPACITY), -EPROTO);
	cr_expect_eq(successor.position, position);
}

Test(ring, a_successor_of_a_dead_producer_reads_its_position_off_the_ring)
{
	struct eq_ring successor;

	for (uint32_t held = 0; held <= CAPACITY; held++) {
		start_at(UINT32_MAX - 2);
		for (uint32_t i = 0; i < held; i++)
			put(i);
		/* The next one was being written: its sequence is not there yet. */
		if (held < CAPACITY)
			memset(eq_ring_entry_at(&producer, producer.position)->payload, 0xff, 4);
		cr_assert_eq(eq_ring_open(&successor, producer.control, CAPACITY, ENTRY_BYTES), 0);
		eq_ring_recover_producer(&successor);
		cr_expect_eq(successor.position, producer.position, "%u entries wait", held);
		cr_expect_eq(eq_ring_space(&successor, CAPACITY), (int)(CAPACITY - held));
	}
}

Test(ring, a_successor_of_a_dead_consumer_takes_again_what_was_not_released)
{
	start_at(UINT32_MAX - 2);
	for (uint32_t i = 0; i < 4; i++)
		put(i);
	expect(0);
	expect(1);
	eq_ring_release(&consumer, 1);
	eq_ring_recover_consumer(&consumer);
	cr_expect_eq(eq_ring_held(&consumer), 0);
	expect(1);
	expect(2);
	eq_ring_resume_consumer(&consumer, producer.position - 1);
	expect(3);
}
