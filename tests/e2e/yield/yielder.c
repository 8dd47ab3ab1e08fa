/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's program that yields to its adjunct in every way a test wants, for
 * tests/e2e/yield.sh, and looks at each completion: it comes once, in the order of its
 * priority, with the data that went. Exit status 0, or 1 and a line that says why.
 *
 *	yielder PARTITION DEVICE sizes|order|cancel|full
 *	yielder PARTITION DEVICE long MS QUANTUM_US [alone]
 *	yielder PARTITION DEVICE storm SECONDS SEED [deaths]
 *	yielder PARTITION DEVICE frames COUNT
 *	yielder PARTITION DEVICE overdue|interrupted|failed|vectors     (image hog)
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hog.h"
#include "outrigger.h"
#include "../want.h"

#define QUANTUM_NS 1000000
#define PATIENCE_MS 20000
#define VECTORS_YIELDS 200

static struct otr_service *service;

static void submit(uint32_t id, uint16_t opcode, uint8_t priority, const void *data, uint32_t bytes)
{
	WANT(otr_submit(service, &(struct otr_request){.id = id,
						       .opcode = opcode,
						       .priority = priority,
						       .data = data,
						       .data_bytes = bytes}) == 1);
}

/* The next completion, however many yields it takes. */
static struct otr_completion next(void)
{
	struct otr_completion completion;

	WANT(otr_wait(service, OTR_COMPLETION, otr_deadline_ms(PATIENCE_MS)) > 0);
	WANT(otr_poll(service, &completion) == 1);
	return completion;
}

/* Until it has nothing to do: the quantum is the clock's, and others work here, too. */
static void yield_until_idle(void)
{
	uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS);
	int yielded;

	while ((yielded = otr_yield(service, QUANTUM_NS, NULL)) == OTR_BUSY)
		WANT(otr_now_ns() < patience_ns);
	WANT(yielded == OTR_IDLE);
}

static void no_more(void)
{
	struct otr_completion completion;

	yield_until_idle();
	WANT(otr_poll(service, &completion) == 0);
}

static void run_sizes(void)
{
	uint8_t data[OTR_REQUEST_BYTES + 1];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (uint32_t bytes = 0; bytes <= OTR_REQUEST_BYTES; bytes += bytes < 64 ? 1 : 61) {
		submit(bytes, OTR_ECHO, bytes % OTR_PRIORITIES, data, bytes);
		struct otr_completion completion = next();

		WANT(completion.id == bytes && completion.status == 0);
		WANT(completion.data_bytes == bytes && !memcmp(completion.data, data, bytes));
	}
	WANT(otr_submit(service, &(struct otr_request){.data = data,
						       .data_bytes = sizeof(data)}) == -EMSGSIZE);
	WANT(otr_submit(service, &(struct otr_request){.priority = OTR_PRIORITIES}) == -EINVAL);
	submit(1, 999, 0, NULL, 0);
	WANT(next().status == -EOPNOTSUPP);
	no_more();
}

/* What is most urgent first, and those of one priority as they were asked for. */
static void run_order(void)
{
	uint32_t last[OTR_PRIORITIES] = {0};
	int before = OTR_PRIORITIES;

	for (uint32_t id = 1; id <= OTR_REQUESTS_MAX; id++)
		submit(id, OTR_NOP, (uint8_t)(id * 5 % OTR_PRIORITIES), NULL, 0);
	for (uint32_t i = 0; i < OTR_REQUESTS_MAX; i++) {
		struct otr_completion completion = next();
		int priority = (int)(completion.id * 5 % OTR_PRIORITIES);

		WANT(completion.status == 0 && completion.id > last[priority]);
		WANT(priority <= before);
		last[priority] = completion.id;
		before = priority;
	}
	no_more();
}

static void run_cancel(void)
{
	const uint64_t spin_ns = 20000000;
	struct otr_completion completion;

	submit(1, OTR_SPIN, 7, &spin_ns, sizeof(spin_ns));
	submit(2, OTR_NOP, 0, NULL, 0);
	submit(3, OTR_NOP, 0, NULL, 0);
	/* It has begun when the others are cancelled. */
	WANT(otr_yield(service, QUANTUM_NS, NULL) == OTR_BUSY);
	WANT(otr_cancel(service, 1) == 1 && otr_cancel(service, 3) == 1 &&
	     otr_cancel(service, 99) == 1);
	completion = next();
	WANT(completion.id == 1 && completion.status == 0);
	completion = next();
	WANT(completion.id == 3 && completion.status == -ECANCELED);
	completion = next();
	WANT(completion.id == 2 && completion.status == 0);
	no_more();
}

/* Both rings, full; nothing is lost, and there is room again. */
static void run_full(void)
{
	struct otr_completion completion;
	uint32_t sent = 0, taken = 0;

	for (unsigned round = 0; round < 3; round++) {
		while (otr_submit(service, &(struct otr_request){.id = sent}) == 1)
			sent++;
		yield_until_idle();
	}
	WANT(sent == 2 * OTR_REQUESTS_MAX);
	while (taken < sent) {
		completion = next();
		WANT(completion.id == taken++ && completion.status == 0);
	}
	no_more();
}

/* Another thread goes on while this one has lent its processor (claim 16). */
static atomic_ulong others_work;
static atomic_bool others_end;

static void *work(void *data)
{
	while (!atomic_load(&others_end))
		atomic_fetch_add(&others_work, 1);
	return data;
}

static void run_long(uint64_t spin_ns, uint64_t quantum_ns, bool alone)
{
	unsigned long busy = 0, idle_others = 0;
	uint64_t used_ns, lent_ns = 0;
	pthread_t other;

	WANT(alone || !pthread_create(&other, NULL, work, NULL));
	submit(1, OTR_SPIN, 0, &spin_ns, sizeof(spin_ns));
	submit(2, OTR_NOP, 7, NULL, 0);
	for (;;) {
		unsigned long before = atomic_load(&others_work);
		int yielded = otr_yield(service, quantum_ns, &used_ns);

		WANT(yielded >= 0);
		lent_ns += used_ns;
		idle_others += atomic_load(&others_work) == before;
		WANT((otr_service_busy(service) & OTR_QUANTUM_OVER) == (unsigned)yielded);
		if (yielded == OTR_IDLE)
			break;
		WANT(used_ns >= quantum_ns);
		busy++;
	}
	WANT(next().id == 2);
	struct otr_completion completion = next();

	/* By the clock, its preemptions included. */
	WANT(completion.id == 1 && completion.status == 0 && completion.used_ns >= spin_ns);
	WANT(busy > 0);
	no_more();
	atomic_store(&others_end, true);
	WANT(alone || !pthread_join(other, NULL));
	printf("busy %lu lent_ns %lu others_idle %lu\n", busy, (unsigned long)lent_ns,
	       idle_others);
}

/* ---- A storm of preemptions ------------------------------------------------------ */

static struct {
	uint64_t number;
	uint8_t priority;
	int under_way;
} table[OTR_REQUESTS_MAX];

static struct {
	unsigned long sent, done, reset, busy, late;
	uint64_t number, newest[OTR_PRIORITIES], longest_ns; /* past a quantum's end */
} storm;

static void storm_send(unsigned long long random)
{
	uint64_t words[4] = {0};
	uint32_t id = 0;

	while (id < OTR_REQUESTS_MAX && table[id].under_way)
		id++;
	if (id == OTR_REQUESTS_MAX)
		return;
	bool spins = random % 8 == 0;

	words[0] = spins ? random / 64 % 2000000 : storm.number + 1;
	words[3] = ~words[0];
	struct otr_request request = {
		.id = id,
		.opcode = spins ? OTR_SPIN : OTR_ECHO,
		.priority = (uint8_t)(random / 8 % OTR_PRIORITIES),
		.data = words,
		.data_bytes = spins ? sizeof(words[0]) : sizeof(words),
	};
	int sent = otr_submit(service, &request);

	WANT(sent >= 0);
	if (!sent)
		return;
	table[id].number = spins ? 0 : words[0];
	table[id].priority = request.priority;
	table[id].under_way = 1;
	storm.number += !spins;
	storm.sent++;
}

static void storm_take(bool deaths)
{
	struct otr_completion completion;
	int taken;

	while ((taken = otr_poll(service, &completion)) > 0) {
		WANT(completion.id < OTR_REQUESTS_MAX && table[completion.id].under_way);
		table[completion.id].under_way = 0;
		storm.done++;
		if (deaths && completion.status == -ECONNRESET) {
			storm.reset++;
			continue;
		}
		WANT(completion.status == 0);
		if (!table[completion.id].number)
			continue;
		const uint64_t *words = completion.data;

		WANT(completion.data_bytes == 32 && words[0] == table[completion.id].number &&
		     words[3] == ~words[0]);
		/* In order, within a priority. */
		WANT(words[0] > storm.newest[table[completion.id].priority]);
		storm.newest[table[completion.id].priority] = words[0];
	}
	WANT(taken == 0);
}

static void run_storm(unsigned seconds, unsigned seed, bool deaths)
{
	uint64_t end_ns = otr_deadline_ms(seconds * 1000), patience_ns = end_ns + 20000000000;
	unsigned long long random = seed * 2654435761u + 1;

	while (otr_now_ns() < end_ns || storm.done < storm.sent) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		unsigned long long dice = random >> 20;

		WANT(otr_now_ns() < patience_ns);
		if (otr_now_ns() < end_ns)
			for (unsigned i = 0; i < dice % 5; i++)
				storm_send(dice / 8 + i * 12345677);
		/* 20 us to 5 ms, short ones more often. */
		uint64_t quantum_ns = 20000 + dice / 64 % (dice % 16 ? 200000 : 4980000);
		uint64_t used_ns;
		int yielded = otr_yield(service, quantum_ns, &used_ns);

		if (used_ns > quantum_ns && used_ns - quantum_ns > storm.longest_ns)
			storm.longest_ns = used_ns - quantum_ns;
		WANT(yielded >= 0 || (deaths && yielded == -ETIMEDOUT));
		storm.busy += yielded == OTR_BUSY;
		storm.late += yielded < 0;
		storm_take(deaths);
	}
	no_more();
	printf("sent %lu done %lu reset %lu busy %lu late %lu longest_us %lu\n", storm.sent,
	       storm.done, storm.reset, storm.busy, storm.late,
	       (unsigned long)(storm.longest_ns / 1000));
	WANT(storm.busy > 0);
}

/* Frames of the same device move while it is dispatched, too. */
static void run_frames(unsigned long count)
{
	struct otr_net *net = otr_service_net(service);
	unsigned long sent = 0, received = 0;
	uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS);
	uint8_t bytes[64] = {2, 0, 0, 0, 0, 1};
	struct otr_frame frame = {bytes, sizeof(bytes)};

	while (received < count) {
		WANT(otr_now_ns() < patience_ns);
		memcpy(bytes + 16, &sent, sizeof(sent));
		while (sent < count && otr_net_send(net, &frame, 1) == 1) {
			sent++;
			memcpy(bytes + 16, &sent, sizeof(sent));
		}
		WANT(otr_yield(service, QUANTUM_NS, NULL) >= 0);
		for (struct otr_frame got; otr_net_receive(net, &got, 1) == 1; received++) {
			WANT(got.length_bytes == sizeof(bytes) &&
			     !memcmp((uint8_t *)got.data + 16, &received, sizeof(received)));
			WANT(!otr_net_release(net, 1));
		}
	}
}

/* ---- With the image hog ------------------------------------------------------------- */

/* It never hands back: the shim ends it. What had begun fails, the rest is done. */
static void run_overdue(void)
{
	struct otr_completion completion;
	uint64_t used_ns;
	int yielded;

	submit(1, HOG_FOR_EVER, 7, NULL, 0);
	submit(2, OTR_NOP, 0, NULL, 0);
	/* Its quantum may end before it has begun to be bad. */
	do {
		yielded = otr_yield(service, QUANTUM_NS, &used_ns);
		WANT(used_ns >= QUANTUM_NS);
	} while (yielded == OTR_BUSY);
	WANT(yielded == -ETIMEDOUT);
	completion = next();
	WANT(completion.id == 1 && completion.status == -ECONNRESET);
	completion = next();
	WANT(completion.id == 2 && completion.status == 0);
	no_more();
}

/* Its device fails: another takes over, and the program's window with it. */
static void run_failed(void)
{
	submit(1, HOG_FAIL, 0, NULL, 0);
	submit(2, OTR_NOP, 0, NULL, 0);
	for (uint32_t id = 1; id <= 2; id++)
		WANT(next().id == id);
	no_more();
}

/* A device's interrupt while the adjunct is not dispatched: PA_BUSY, once. */
static void run_interrupted(void)
{
	const uint64_t after_ns = 20000000;
	uint32_t interrupts;

	submit(1, HOG_INTERRUPT, 0, &after_ns, sizeof(after_ns));
	WANT(next().status == 0);
	yield_until_idle();
	WANT(otr_wait(service, OTR_PA_BUSY, otr_deadline_ms(PATIENCE_MS)) == OTR_PA_BUSY);
	WANT(otr_service_busy(service) == OTR_INTERRUPTED);
	yield_until_idle();
	WANT(otr_service_busy(service) == 0);
	submit(2, HOG_INTERRUPTS, 0, NULL, 0);
	struct otr_completion completion = next();

	WANT(completion.data_bytes == sizeof(interrupts));
	memcpy(&interrupts, completion.data, sizeof(interrupts));
	WANT(interrupts == 1);
	no_more();
}

/* It uses vector registers, and looks at them once in so many dispatches. */
static void run_vectors(void)
{
	submit(1, HOG_VECTORS, 0, NULL, 0);
	WANT(next().status == 0);
	for (uint32_t id = 2; id < VECTORS_YIELDS; id++) {
		submit(id, OTR_NOP, 0, NULL, 0);
		yield_until_idle();
		WANT(next().id == id);
	}
	no_more();
}

int main(int argc, char **argv)
{
	struct otr *otr;

	WANT(argc > 3);
	const char *what = argv[3];

	WANT(!otr_attach(argv[1], &otr));
	WANT(!otr_service_open(otr, argv[2], &service));
	puts("open");
	fflush(stdout);
	if (!strcmp(what, "sizes"))
		run_sizes();
	else if (!strcmp(what, "order"))
		run_order();
	else if (!strcmp(what, "cancel"))
		run_cancel();
	else if (!strcmp(what, "full"))
		run_full();
	else if (!strcmp(what, "long") && argc > 5)
		run_long(strtoul(argv[4], NULL, 10) * 1000000, strtoul(argv[5], NULL, 10) * 1000,
			 argc > 6);
	else if (!strcmp(what, "storm") && argc > 5)
		run_storm((unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), argc > 6);
	else if (!strcmp(what, "frames") && argc > 4)
		run_frames(strtoul(argv[4], NULL, 10));
	else if (!strcmp(what, "overdue"))
		run_overdue();
	else if (!strcmp(what, "failed"))
		run_failed();
	else if (!strcmp(what, "interrupted"))
		run_interrupted();
	else if (!strcmp(what, "vectors"))
		run_vectors();
	else
		WANT(!"a known deed");
	otr_service_close(service);
	otr_detach(otr);
	return 0;
}
