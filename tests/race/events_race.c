/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everybody at once on the two-level event queues: two adapters, each on a storage of
 * its own, three forwarders, eight guests as consumers that sleep on their interrupt
 * state area and an eventfd, and the host, which creates and destroys other guests and
 * their completion queues, resizes, changes delays, and answers kicks. Built with
 * ThreadSanitizer for the ordering of data, and without, at full speed, for wake-ups.
 *
 * Work goes in rounds: an adapter completes a random choice of work, each completion a
 * count in plain sight of the guest, then waits until the guests have seen it all. A
 * lost event or wake-up shows as a round that never ends. Writes TAP.
 *
 * events_race [SCALE]: SCALE times as many rounds.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "eq_host.h"

/* No honest wait lasts this long, however busy the machine; sleepers sleep longer. */
#define LOST_AFTER_S 60
#define ROUNDS 3000u
#define ADAPTERS 2u
#define FORWARDERS 3u
#define GUESTS 8u
#define CQS 6u /* of each guest, on each adapter */
#define EPHEMERAL_CQS 4u
#define ADAPTER_CQS (GUESTS * CQS + EPHEMERAL_CQS)
#define RING_BYTES 4096u
#define RINGS 4u
#define GISA 0u
#define MARKS 128u
#define ASB 64u
#define RING(i) (1024u + (i) * RING_BYTES)
#define GUEST_BYTES RING(RINGS * ADAPTERS)
#define GISC 2u

struct guest_queue {
	struct eq_guest_eq_spec spec;
	uint32_t id;
	_Atomic uint32_t ring;      /* which one the host has made the current, and ... */
	_Atomic uint32_t entries[RINGS]; /* ... its capacity */
	_Atomic uint32_t left;      /* rings that the guest has left */
};

struct guest {
	uint8_t *memory;
	struct eq_guest *guest;
	struct guest_queue queue[ADAPTERS]; /* an event queue for each; they share the ASB */
	int bell, kick;
	uint64_t sleeps, kicks, events;
};

struct adapter {
	void *memory;
	struct eq_storage storage;
	struct eq_adapter adapter;
	struct eq_host_adapter *shared;
	uint32_t cq[GUESTS][CQS];
	unsigned index;
	uint64_t completions;
};

static struct guest guests[GUESTS];
static struct adapter adapters[ADAPTERS];
static struct eq_host *host;
static int forwarder_bell, host_bell;
static _Atomic bool finished, forwarders_finished;
static _Atomic uint64_t done[ADAPTERS][GUESTS][CQS], seen[ADAPTERS][GUESTS][CQS];
static _Atomic uint64_t alerts;
static unsigned long scale = 1;

static _Noreturn void fail(const char *what, uint64_t at)
{
	printf("not ok - %s (%lu)\n", what, (unsigned long)at);
	fflush(stdout);
	_exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t pick(uint32_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state % below;
}

static void ring_bell(int bell, uint64_t count)
{
	if (write(bell, &count, sizeof(count)) != sizeof(count))
		fail("write to an eventfd failed", 0);
}

/* False: `wait_ms` are over. */
static bool sleep_on(int bell, int wait_ms)
{
	struct pollfd wait = {.fd = bell, .events = POLLIN};
	uint64_t count;

	if (poll(&wait, 1, wait_ms) != 1)
		return false;
	/* Another that shares it may have been faster. */
	return read(bell, &count, sizeof(count)) == sizeof(count);
}

/* ---- Adapters ------------------------------------------------------------------------- */

static void signal_forwarders(struct adapter *adapter, bool tick)
{
	bool wake = tick ? eq_adapter_tick(&adapter->adapter, now_ns())
			 : eq_adapter_signal(&adapter->adapter, now_ns());
	if (wake)
		ring_bell(forwarder_bell, 1);
}

static void wait_until_seen(struct adapter *adapter)
{
	uint64_t deadline = now_ns() + LOST_AFTER_S * 1000000000ull;

	for (unsigned i = 0; i < GUESTS * CQS; i++) {
		unsigned guest = i / CQS, cq = i % CQS;

		while (seen[adapter->index][guest][cq] != done[adapter->index][guest][cq]) {
			if (now_ns() > deadline)
				fail("an event or a wake-up was lost; completions",
				     adapter->completions);
			signal_forwarders(adapter, true); /* for what found no room in type 1 */
			usleep(20);
		}
	}
}

static void *run_adapter(void *data)
{
	struct adapter *adapter = data;
	uint32_t random = 88172645u + adapter->index;

	for (unsigned round = 0; round < ROUNDS * scale; round++) {
		uint32_t work = 1 + pick(&random, round % 3 ? 4 : 300);

		for (uint32_t i = 0; i < work; i++) {
			uint32_t guest = pick(&random, GUESTS), cq = pick(&random, CQS);

			/* relaxed: the mark that eq_adapter_complete() sets orders it. */
			atomic_fetch_add_explicit(&done[adapter->index][guest][cq], 1,
						  memory_order_relaxed);
			eq_adapter_complete(&adapter->adapter, adapter->cq[guest][cq]);
			/* Guests that come and go have no one waiting for them. */
			eq_adapter_complete(&adapter->adapter, pick(&random, ADAPTER_CQS));
			if (!pick(&random, 50))
				eq_adapter_event(&adapter->adapter, EQ_RESOURCE_ADAPTER, 1,
						 EQ_LINK_UP);
			adapter->completions++;
			if (!pick(&random, 4))
				signal_forwarders(adapter, false);
		}
		signal_forwarders(adapter, false);
		if (!pick(&random, 2))
			wait_until_seen(adapter);
	}
	wait_until_seen(adapter);
	return NULL;
}

/* ---- Forwarders ----------------------------------------------------------------------- */

static void alert(void *host_data, void *guest_data)
{
	struct guest *guest = guest_data;

	(void)host_data;
	atomic_fetch_add_explicit(&alerts, 1, memory_order_relaxed);
	if (guest)
		ring_bell(guest->bell, 1);
}

static void present(void *host_data)
{
	(void)host_data;
	ring_bell(host_bell, 1);
}

static void *run_forwarder(void *data)
{
	unsigned number = (unsigned)(uintptr_t)data;
	uint32_t random = 2463534242u + number;

	while (!forwarders_finished) {
		if (eq_forward(host, number, 1 + pick(&random, 40), now_ns()))
			continue;
		if (!eq_host_sleep(host))
			continue;
		uint64_t due = eq_host_next_due(host), now = now_ns();
		if (due == UINT64_MAX)
			sleep_on(forwarder_bell, 2 * LOST_AFTER_S * 1000);
		else if (due > now)
			usleep((useconds_t)((due - now) / 1000 + 1));
	}
	/* Whoever sleeps beside us is woken as well. */
	ring_bell(forwarder_bell, 1);
	return NULL;
}

/* ---- Guests ---------------------------------------------------------------------------- */

static void open_ring(struct guest *guest, unsigned adapter, uint32_t ring,
		      struct eq_consumer *consumer)
{
	struct guest_queue *queue = &guest->queue[adapter];
	const struct eq_queue where = {
		.ring = guest->memory + RING(adapter * RINGS + ring % RINGS),
		.capacity = queue->entries[ring % RINGS],
		.marks = (eq_marks *)(guest->memory + MARKS + adapter * 128),
		.slots = 1 + CQS,
		.asb = (eq_summary *)(guest->memory + ASB),
	};

	if (eq_consumer_open(consumer, &where))
		fail("a guest cannot open its ring", ring);
}

/* What the entry's token names is looked into after it was taken, not before. */
static void look(unsigned index, unsigned adapter, const struct eq_entry *entry)
{
	if (entry->event != EQ_COMPLETION)
		return;
	if (entry->token >= CQS)
		fail("a guest got another's token", entry->token);
	uint64_t now = atomic_load_explicit(&done[adapter][index][entry->token],
					    memory_order_relaxed);
	atomic_store_explicit(&seen[adapter][index][entry->token], now, memory_order_relaxed);
}

static void drain(struct guest *guest, unsigned adapter, struct eq_consumer *consumer,
		  uint32_t *ring)
{
	unsigned index = (unsigned)(guest - guests);
	struct guest_queue *queue = &guest->queue[adapter];
	struct eq_entry entry;

	for (;;) {
		/* Before the last look into the old ring: then nothing more comes to it. */
		uint32_t current = atomic_load_explicit(&queue->ring, memory_order_acquire);

		do {
			while (eq_consume(consumer, &entry)) {
				look(index, adapter, &entry);
				guest->events++;
			}
		} while (eq_consumer_end(consumer));
		if (current == *ring)
			break;
		*ring = current;
		open_ring(guest, adapter, current, consumer);
		atomic_store_explicit(&queue->left, current, memory_order_release);
	}
	if (eq_consumer_must_wake_poster(consumer)) {
		guest->kicks++;
		ring_bell(guest->kick, 1);
		ring_bell(host_bell, 1);
	}
}

static void *run_guest(void *data)
{
	struct guest *guest = data;
	struct eq_interrupts *gisa = (struct eq_interrupts *)(guest->memory + GISA);
	struct eq_consumer consumers[ADAPTERS];
	uint32_t rings[ADAPTERS] = {0};

	for (unsigned i = 0; i < ADAPTERS; i++)
		open_ring(guest, i, 0, &consumers[i]);
	while (!finished) {
		eq_interrupt_run(gisa, EQ_ISC_ALL);
		eq_interrupt_take(gisa, EQ_ISC_ALL);
		/* One byte for both queues. After a resize there may be none to say so. */
		eq_consumer_begin(&consumers[0]);
		for (unsigned i = 0; i < ADAPTERS; i++)
			drain(guest, i, &consumers[i], &rings[i]);
		if (eq_interrupt_sleep(gisa, EQ_ISC_ALL)) {
			guest->sleeps++;
			sleep_on(guest->bell, 2 * LOST_AFTER_S * 1000);
		}
	}
	return NULL;
}

/* ---- The host ------------------------------------------------------------------------------ */

static void *zeroed(uint64_t bytes)
{
	void *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);

	if (!memory)
		fail("out of memory", bytes);
	return memset(memory, 0, bytes);
}

static void must(int error, const char *what)
{
	if (error < 0)
		fail(what, (uint64_t)-error);
}

static void make_guest(struct guest *guest, uint8_t *memory, unsigned adapter_count, uint32_t entries)
{
	guest->memory = memory;
	must(eq_guest_create(host, memory, GUEST_BYTES, GISA, guest->bell >= 0 ? guest : NULL,
			     &guest->guest), "eq_guest_create");
	for (unsigned i = 0; i < adapter_count; i++) {
		struct guest_queue *queue = &guest->queue[i];

		queue->entries[0] = entries;
		queue->spec = (struct eq_guest_eq_spec){
			.ring_offset = RING(i * RINGS), .capacity = entries,
			.marks_offset = MARKS + i * 128, .slots = 1 + CQS, .gisc = GISC,
		};
		must(eq_guest_allocate_eq(guest->guest, adapters[i].shared, &queue->spec,
					  &queue->id), "eq_guest_allocate_eq");
		must(eq_guest_store_eq_asb(guest->guest, adapters[i].shared, queue->id, ASB),
		     "eq_guest_store_eq_asb");
	}
}

static uint32_t add_cq(struct guest *guest, unsigned adapter, uint64_t token)
{
	struct eq_host_adapter *shared = adapters[adapter].shared;
	uint32_t cq, slot;

	must(eq_guest_allocate_cq(guest->guest, shared, &cq), "eq_guest_allocate_cq");
	must(eq_guest_store_cq_token(guest->guest, shared, cq, token), "eq_guest_store_cq_token");
	must(eq_guest_store_cq_eq(guest->guest, shared, cq, guest->queue[adapter].id, &slot),
	     "eq_guest_store_cq_eq");
	return cq;
}

/* A guest that lives for a moment, while its completion queues are posted to. */
static void pass_through(uint32_t *random)
{
	struct guest passing = {.bell = -1};
	uint32_t cqs[ADAPTERS][2];

	make_guest(&passing, zeroed(GUEST_BYTES), ADAPTERS, 4);
	for (unsigned i = 0; i < ADAPTERS; i++) {
		for (unsigned j = 0; j < 2; j++)
			cqs[i][j] = add_cq(&passing, i, j);
	}
	if (pick(random, 2))
		usleep(pick(random, 300));
	if (pick(random, 2))
		must(eq_guest_deallocate_cq(passing.guest, adapters[0].shared, cqs[0][1]),
		     "eq_guest_deallocate_cq");
	eq_guest_destroy(passing.guest);
	free(passing.memory);
}

static void resize(struct guest *guest, unsigned adapter, uint32_t *random)
{
	struct guest_queue *queue = &guest->queue[adapter];
	uint32_t ring = queue->ring + 1, entries = 2u << pick(random, 4);
	uint64_t offset = RING(adapter * RINGS + ring % RINGS);

	/* The guest is to have left the one before; then this one is nobody's. */
	if (atomic_load_explicit(&queue->left, memory_order_acquire) != queue->ring)
		return;
	memset(guest->memory + offset, 0, RING_BYTES);
	queue->entries[ring % RINGS] = entries;
	must(eq_guest_resize_eq(guest->guest, adapters[adapter].shared, queue->id, offset, entries,
				now_ns()), "eq_guest_resize_eq");
	atomic_store_explicit(&queue->ring, ring, memory_order_release);
	eq_interrupt_post((struct eq_interrupts *)(guest->memory + GISA), 0);
	ring_bell(guest->bell, 1);
}

static void answer_kicks(void)
{
	uint64_t count;

	for (unsigned i = 0; i < GUESTS; i++) {
		if (read(guests[i].kick, &count, sizeof(count)) == sizeof(count))
			eq_guest_resume(guests[i].guest, now_ns());
	}
	eq_host_type2(host, 64, now_ns(), NULL);
}

static uint64_t resizes, passed;

static void *run_host(void *data)
{
	uint32_t random = 1234567u;

	(void)data;
	while (!finished) {
		unsigned guest = pick(&random, GUESTS), adapter = pick(&random, ADAPTERS);

		sleep_on(host_bell, 1);
		answer_kicks();
		switch (pick(&random, 8)) {
		case 0:
		case 1:
			pass_through(&random);
			passed++;
			break;
		case 2:
		case 3:
			resize(&guests[guest], adapter, &random);
			resizes++;
			break;
		case 4:
			must(eq_guest_set_delay(guests[guest].guest, adapters[adapter].shared,
						guests[guest].queue[adapter].id,
						pick(&random, 2) * pick(&random, 500)),
			     "eq_guest_set_delay");
		}
	}
	return NULL;
}

/* ---- The whole -------------------------------------------------------------------------------- */

static int bell(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		fail("eventfd", 0);
	return fd;
}

static void set_up(void)
{
	const struct eq_host_ops ops = {.alert = alert, .present = present};

	forwarder_bell = bell();
	host_bell = bell();
	must(eq_host_create(FORWARDERS, &ops, NULL, &host), "eq_host_create");
	for (unsigned i = 0; i < ADAPTERS; i++) {
		struct adapter *adapter = &adapters[i];
		/* Fewer entries than there are events: the adapter waits for room, too. */
		uint64_t bytes = eq_storage_bytes(2, ADAPTER_CQS, 0, 32);
		struct eq_storage view;

		adapter->index = i;
		adapter->memory = zeroed(bytes);
		must(eq_storage_format(adapter->memory, bytes, 2, ADAPTER_CQS, 0,
				       &adapter->storage), "eq_storage_format");
		must(eq_storage_open(adapter->memory, bytes, &view), "eq_storage_open");
		must(eq_adapter_open(&adapter->adapter, &view), "eq_adapter_open");
		must(eq_host_add_adapter(host, &adapter->storage, 32, &adapter->shared),
		     "eq_host_add_adapter");
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].bell = bell();
		guests[i].kick = bell();
		/* Some have room for all, some for next to nothing. */
		make_guest(&guests[i], zeroed(GUEST_BYTES), ADAPTERS, i % 2 ? 16 : 2);
		for (unsigned j = 0; j < ADAPTERS * CQS; j++)
			adapters[j / CQS].cq[i][j % CQS] = add_cq(&guests[i], j / CQS, j % CQS);
	}
}

static void take_down(void)
{
	eq_host_destroy(host);
	for (unsigned i = 0; i < ADAPTERS; i++) {
		eq_adapter_close(&adapters[i].adapter);
		eq_storage_close(&adapters[i].storage);
		free(adapters[i].memory);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		close(guests[i].bell);
		close(guests[i].kick);
		free(guests[i].memory);
	}
	close(forwarder_bell);
	close(host_bell);
}

static pthread_t start(void *(*run)(void *), void *data)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, data))
		fail("pthread_create", 0);
	return thread;
}

int main(int argc, char **argv)
{
	pthread_t adapter_threads[ADAPTERS], forwarder_threads[FORWARDERS], guest_threads[GUESTS];
	uint64_t sleeps = 0, kicks = 0, events = 0, completions = 0;
	struct eq_host_stats stats;

	if (argc > 2 || (argc == 2 && !(scale = strtoul(argv[1], NULL, 10)))) {
		fprintf(stderr, "usage: events_race [SCALE]\n");
		return 2;
	}
	set_up();
	pthread_t host_thread = start(run_host, NULL);
	for (unsigned i = 0; i < FORWARDERS; i++)
		forwarder_threads[i] = start(run_forwarder, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < GUESTS; i++)
		guest_threads[i] = start(run_guest, &guests[i]);
	for (unsigned i = 0; i < ADAPTERS; i++)
		adapter_threads[i] = start(run_adapter, &adapters[i]);
	for (unsigned i = 0; i < ADAPTERS; i++) {
		pthread_join(adapter_threads[i], NULL);
		completions += adapters[i].completions;
	}
	finished = true;
	for (unsigned i = 0; i < GUESTS; i++) {
		ring_bell(guests[i].bell, 1);
		pthread_join(guest_threads[i], NULL);
		sleeps += guests[i].sleeps;
		kicks += guests[i].kicks;
		events += guests[i].events;
	}
	/* The host may be waiting for forwarders: they stop after it. */
	pthread_join(host_thread, NULL);
	forwarders_finished = true;
	ring_bell(forwarder_bell, 1);
	for (unsigned i = 0; i < FORWARDERS; i++)
		pthread_join(forwarder_threads[i], NULL);
	eq_host_stats(host, &stats);
	if (stats.broken || stats.invalid)
		fail("something honest was taken for hostile", stats.broken + stats.invalid);
	if (!sleeps || !kicks || !stats.held)
		fail("not all of it happened; sleeps", sleeps);
	printf("ok 1 - %lu completions, %lu events; sleeps %lu, alerts %lu, kicks %lu, held %lu, "
	       "stale %lu, resizes %lu, guests %lu\n1..1\n",
	       (unsigned long)completions, (unsigned long)events, (unsigned long)sleeps,
	       (unsigned long)alerts, (unsigned long)kicks, (unsigned long)stats.held,
	       (unsigned long)stats.stale, (unsigned long)resizes, (unsigned long)passed);
	take_down();
	return 0;
}
