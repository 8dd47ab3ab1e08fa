/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both peers of an eq_ring as threads: numbered entries, each with a buffer that
 * belongs to its slot, through tiny and large rings, in bursts of random length,
 * with both sides sleeping on eventfds. Checks that nothing is lost, repeated,
 * reordered or torn, and that nobody sleeps for ever. Built with ThreadSanitizer
 * for the ordering of the data, and without it, at full speed, for wake-ups
 * (which fences protect that ThreadSanitizer does not know). Writes TAP.
 *
 * ring_race [SCALE]: SCALE times as many entries.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eq.h"

/* No honest wait lasts this long, however busy the machine. */
#define LOST_AFTER_MS 20000
#define BUFFER_WORDS 4

struct scenario {
	const char *name;
	uint32_t capacity, entry_bytes;
	uint32_t entries;
	uint32_t burst_max;             /* of either side; 1: one at a time */
	uint32_t put_polls, take_polls; /* looks, at most, before a side arms and sleeps */
};

static const struct scenario scenarios[] = {
	{"2 slots, one at a time, no polling", 2, 16, 30000, 1, 0, 0},
	{"2 slots, bursts, no polling", 2, 16, 30000, 2, 0, 0},
	{"2 slots, the consumer polls", 2, 64, 60000, 2, 0, 300},
	{"2 slots, the producer polls", 2, 64, 60000, 2, 300, 0},
	{"4 slots, both poll a little", 4, 32, 60000, 3, 40, 40},
	{"4 slots, both poll, in step", 4, 16, 200000, 4, 400, 400},
	{"64 slots, bursts of 32, no polling", 64, 16, 300000, 32, 0, 0},
	{"512 slots, bursts of 32", 512, 16, 600000, 32, 50, 50},
	{"65536 slots, bursts of 64", 65536, 32, 600000, 64, 50, 50},
};

struct payload {
	uint32_t number, inverse, words;
};

struct run {
	const struct scenario *scenario;
	uint32_t entries;
	void *memory;
	uint32_t (*buffers)[BUFFER_WORDS]; /* one per slot, plain memory */
	int consumer_bell, producer_bell;
	uint32_t consumer_sleeps, producer_sleeps, consumer_rings, producer_rings;
};

static unsigned long scale = 1;

/* A thread found a fault: nothing can be learnt from what follows. */
static _Noreturn void fail(const struct run *run, const char *what, uint32_t at, uint32_t found)
{
	printf("not ok - %s: %s at %" PRIu32 ", found %" PRIu32 "\n", run->scenario->name, what, at,
	       found);
	fflush(stdout);
	_exit(1);
}

/* xorshift32: bursts differ from run to run of the loop, not of the program. */
static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void ring_bell(const struct run *run, int bell)
{
	const uint64_t one = 1;

	if (write(bell, &one, sizeof(one)) != sizeof(one))
		fail(run, "eventfd write failed, errno", (uint32_t)errno, 0);
}

static void sleep_on(const struct run *run, int bell, const char *lost, uint32_t at)
{
	struct pollfd wait = {.fd = bell, .events = POLLIN};
	uint64_t count;

	if (poll(&wait, 1, LOST_AFTER_MS) != 1)
		fail(run, lost, at, 0);
	if (read(bell, &count, sizeof(count)) != sizeof(count))
		fail(run, "eventfd read failed, errno", (uint32_t)errno, 0);
}

/* Waits until there is room for one entry; returns how many fit. */
static uint32_t wait_for_space(struct run *run, struct eq_ring *ring, uint32_t want,
			       uint32_t *random)
{
	uint32_t polls = run->scenario->put_polls ? next_random(random) % run->scenario->put_polls : 0;

	for (;;) {
		int space = eq_ring_space(ring, want);
		if (space < 0)
			fail(run, "impossible consumed", ring->position, ring->released);
		if (space > 0)
			return (uint32_t)space;
		if (polls) {
			polls--;
		} else if (eq_ring_arm_space(ring)) {
			run->producer_sleeps++;
			sleep_on(run, run->producer_bell, "the producer slept for ever",
				 ring->position);
			eq_ring_disarm_space(ring);
		}
	}
}

static void *produce(void *data)
{
	struct run *run = data;
	struct eq_ring ring;
	uint32_t random = 2463534242u, number = 0;

	if (eq_ring_open(&ring, run->memory, run->scenario->capacity, run->scenario->entry_bytes))
		fail(run, "the producer cannot open the ring", 0, 0);
	while (number < run->entries) {
		uint32_t burst = next_random(&random) % run->scenario->burst_max + 1;
		uint32_t space = wait_for_space(run, &ring, burst, &random);
		for (uint32_t i = 0; i < burst && i < space && number < run->entries; i++) {
			uint32_t words = number % BUFFER_WORDS + 1;
			uint32_t *buffer = run->buffers[eq_ring_slot(&ring)];
			for (uint32_t word = 0; word < words; word++)
				buffer[word] = number * 31 + word;
			const struct payload payload = {number, ~number, words};
			eq_ring_put(&ring, &payload, sizeof(payload));
			number++;
		}
		if (eq_ring_must_wake_consumer(&ring)) {
			run->consumer_rings++;
			ring_bell(run, run->consumer_bell);
		}
	}
	return NULL;
}

static void check_entry(const struct run *run, const struct payload *payload, uint32_t slot,
			uint32_t expected)
{
	const uint32_t *buffer = run->buffers[slot];

	if (payload->number != expected)
		fail(run, "lost, repeated or reordered", expected, payload->number);
	if (payload->inverse != ~expected || payload->words != expected % BUFFER_WORDS + 1)
		fail(run, "torn entry", expected, payload->inverse);
	for (uint32_t word = 0; word < payload->words; word++) {
		if (buffer[word] != expected * 31 + word)
			fail(run, "torn buffer", expected, buffer[word]);
	}
}

static void release_held(struct run *run, struct eq_ring *ring)
{
	if (!eq_ring_held(ring))
		return;
	eq_ring_release(ring, eq_ring_held(ring));
	if (eq_ring_must_wake_producer(ring)) {
		run->producer_rings++;
		ring_bell(run, run->producer_bell);
	}
}

static void *consume(void *data)
{
	struct run *run = data;
	struct eq_ring ring;
	uint32_t random = 88172645u, number = 0, polls = 0;

	if (eq_ring_open(&ring, run->memory, run->scenario->capacity, run->scenario->entry_bytes))
		fail(run, "the consumer cannot open the ring", 0, 0);
	while (number < run->entries) {
		struct payload payload;
		uint32_t slot = ring.position & ring.mask;
		if (eq_ring_take(&ring, &payload, sizeof(payload))) {
			check_entry(run, &payload, slot, number++);
			if (next_random(&random) % run->scenario->burst_max == 0)
				release_held(run, &ring);
			polls = run->scenario->take_polls
					? next_random(&random) % run->scenario->take_polls : 0;
			continue;
		}
		release_held(run, &ring);
		if (polls) {
			polls--;
		} else if (eq_ring_arm(&ring)) {
			run->consumer_sleeps++;
			sleep_on(run, run->consumer_bell, "the consumer slept for ever", number);
			eq_ring_disarm(&ring);
		}
	}
	release_held(run, &ring);
	if (eq_ring_ready(&ring))
		fail(run, "an entry too many", number, 0);
	return NULL;
}

static void *allocate(size_t size_bytes)
{
	void *memory = aligned_alloc(EQ_LINE_BYTES, (size_bytes + EQ_LINE_BYTES - 1) /
							    EQ_LINE_BYTES * EQ_LINE_BYTES);
	if (!memory) {
		perror("ring_race");
		exit(1);
	}
	return memset(memory, 0, size_bytes);
}

static void run_scenario(const struct scenario *scenario, unsigned number)
{
	struct run run = {
		.scenario = scenario,
		.entries = (uint32_t)(scenario->entries * scale),
		.memory = allocate(eq_ring_size_bytes(scenario->capacity, scenario->entry_bytes)),
		.buffers = allocate(scenario->capacity * sizeof(run.buffers[0])),
		.consumer_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.producer_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};
	pthread_t producer, consumer;

	if (run.consumer_bell < 0 || run.producer_bell < 0 ||
	    pthread_create(&producer, NULL, produce, &run) ||
	    pthread_create(&consumer, NULL, consume, &run)) {
		perror("ring_race: cannot start");
		exit(1);
	}
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	printf("ok %u - %s: %" PRIu32 " entries; sleeps %" PRIu32 " + %" PRIu32 ", rings %" PRIu32
	       " + %" PRIu32 "\n",
	       number, scenario->name, run.entries, run.consumer_sleeps, run.producer_sleeps,
	       run.consumer_rings, run.producer_rings);
	fflush(stdout);
	close(run.consumer_bell);
	close(run.producer_bell);
	free(run.buffers);
	free(run.memory);
}

int main(int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && !(scale = strtoul(argv[1], NULL, 10)))) {
		fprintf(stderr, "usage: ring_race [SCALE]\n");
		return 2;
	}
	for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		run_scenario(&scenarios[i], i + 1);
	printf("1..%zu\n", sizeof(scenarios) / sizeof(scenarios[0]));
	return 0;
}
