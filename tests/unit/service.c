/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service interface of the adjunct runtime (runtime/service.c) on a clock and a driver
 * of the test's own: how often a partition is woken, and what becomes of requests that
 * cannot be served yet. The partition is this test.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net_layout.h"
#include "runtime/runtime.h"

#define RING 16u

static struct net_layout layout;
static struct runtime rt;
static struct eq_ring requests, completions; /* the partition's sides */
static _Alignas(64) uint8_t record[ADJ_INFLIGHT_BYTES];
static uint8_t within[ADJ_INFLIGHT_BYTES]; /* the record while a request was served last */
static unsigned wakes[ADJ_DIRECTIONS], rings, tries;
static uint32_t found; /* completions that the last wake was for */
static uint64_t now_ns, takes_ns;
static bool ready;

static uint64_t clock_of_the_test(void)
{
	return now_ns;
}

static void count_wake(const struct adj_env *env, enum adj_direction direction)
{
	(void)env;
	wakes[direction]++;
	found = eq_ring_ready_count(&completions, SERVICE_SLOTS);
}

static void log_nothing(const struct adj_env *env, enum adj_log_level level, const char *format, ...)
{
	(void)env;
	(void)level;
	(void)format;
}

static void post_nothing(const struct adj_env *env, enum adj_event event)
{
	(void)env;
	(void)event;
}

void runtime_ring_partition(const struct runtime *runtime)
{
	(void)runtime;
	rings++;
}

/* 20: done at once; 21 and 22: once `ready`, and 21 may be served again. */
static int driver_request(void *state, const struct adj_request *request,
			  struct adj_response *response)
{
	(void)state;
	now_ns += takes_ns;
	tries++;
	memcpy(within, record, sizeof(within));
	if (request->opcode > 20 && !ready)
		return -EINPROGRESS;
	memcpy(response->data, request->data, request->data_bytes);
	response->data_bytes = request->data_bytes;
	return 0;
}

static bool driver_repeatable(uint16_t opcode)
{
	return opcode == 21;
}

static const struct adj_ops ops = {.request = driver_request, .repeatable = driver_repeatable};

static void begin(void *window, bool recover)
{
	rt = (struct runtime){.ops = &ops};
	rt.env = (struct adj_env){.log = log_nothing, .post_event = post_nothing,
				  .wake_partition = count_wake, .now_ns = clock_of_the_test};
	rt.env.port = (struct adj_port){.window = window, .ring_entries = RING,
					.inflight = (struct adj_inflight *)record};
	cr_assert_eq(service_open(&rt, recover), 0);
}

static void set_up(void)
{
	cr_assert_eq(net_layout_compute(RING, &layout), 0);
	uint8_t *window = aligned_alloc(4096, layout.size_bytes);

	memset(window, 0, layout.size_bytes);
	memset(record, 0, sizeof(record));
	wakes[ADJ_SEND] = wakes[ADJ_RECEIVE] = rings = tries = 0;
	takes_ns = 0;
	ready = false;
	cr_assert_eq(eq_ring_open(&requests, window + layout.requests, SERVICE_SLOTS,
				  SERVICE_ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_open(&completions, window + layout.completions, SERVICE_SLOTS,
				  SERVICE_ENTRY_BYTES), 0);
	begin(window, false);
}

static void tear_down(void)
{
	free(rt.env.port.window);
}

TestSuite(service, .init = set_up, .fini = tear_down, .timeout = 20);

static void ask(uint32_t id, uint16_t opcode, uint8_t priority)
{
	const struct service_request request = {.id = id, .opcode = opcode, .priority = priority};

	cr_assert(eq_ring_space(&requests, 1) > 0);
	eq_ring_put(&requests, &request, sizeof(request));
}

/* The next completion's status; it is of that id. */
static int done(uint32_t id)
{
	struct service_completion completion;

	cr_assert(eq_ring_take(&completions, &completion, sizeof(completion)), "of %u", id);
	cr_expect_eq(completion.id, id, "%u instead of %u", completion.id, id);
	eq_ring_release(&completions, 1);
	return completion.status;
}

static void none_done_and_all_slots_back(void)
{
	cr_expect_not(eq_ring_ready(&completions));
	cr_expect_eq(eq_ring_space(&requests, SERVICE_SLOTS), (int)SERVICE_SLOTS);
}

static void none_done(void)
{
	cr_expect_not(eq_ring_ready(&completions));
}

Test(service, a_burst_is_one_wake)
{
	cr_assert(eq_ring_arm(&completions));
	for (uint32_t id = 0; id < SERVICE_SLOTS; id++)
		ask(id, 20, 0);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), SERVICE_SLOTS);
	cr_expect_eq(wakes[ADJ_RECEIVE], 1);
	cr_expect_eq(found, SERVICE_SLOTS, "woken for %u", found);
	for (uint32_t id = 0; id < SERVICE_SLOTS; id++)
		cr_expect_eq(done(id), 0);
	/* Nobody asked to be woken, and nobody is. */
	ask(1, 20, 0);
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(wakes[ADJ_RECEIVE], 1);
	cr_expect_eq(wakes[ADJ_SEND], 0);
}

Test(service, what_is_done_is_not_kept_for_long)
{
	takes_ns = 60000;
	cr_assert(eq_ring_arm(&completions));
	for (uint32_t id = 0; id < 8; id++)
		ask(id, 20, 0);
	/* The first is told of while others wait. */
	int served = service_dispatch(&rt, SERVICE_SLOTS);

	cr_expect(served > 1 && served < 8, "%d", served);
	cr_expect_eq((int)found, served);
	cr_expect_eq(wakes[ADJ_RECEIVE], 1);
	while (served < 8)
		served += service_dispatch(&rt, SERVICE_SLOTS);
}

Test(service, what_cannot_be_served_yet_waits)
{
	ask(1, 21, 7);
	ask(2, 21, 7);
	ask(3, 20, 0);
	/* The others do not wait for it, and it is no work. */
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 1);
	cr_expect_eq(done(3), 0);
	cr_expect_eq(tries, 3);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 0);
	cr_expect_eq(tries, 5, "each is tried once in a dispatch, not %u times", tries);
	none_done();
	cr_expect_eq(service_arm(&rt, true), 0, "who serves it may sleep meanwhile");
	service_arm(&rt, false);
	ready = true;
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 2);
	cr_expect_eq(done(1), 0);
	cr_expect_eq(done(2), 0);
	none_done_and_all_slots_back();
}

Test(service, what_waits_can_be_cancelled)
{
	ask(1, 21, 3);
	ask(2, 21, 3);
	service_dispatch(&rt, SERVICE_SLOTS);
	ask(2, SERVICE_CANCEL, 0);
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(done(2), -ECANCELED);
	ready = true;
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(done(1), 0);
	none_done();
}

Test(service, what_waits_is_a_successors)
{
	ask(1, 21, 0);
	ask(2, 20, 0);
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(done(2), 0);
	begin(rt.env.port.window, true);
	cr_expect_eq(rings, 1);
	ready = true;
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 1);
	cr_expect_eq(done(1), 0, "it had not begun");
	none_done();
}

/* How far the dead one had come with the request at that place of the ring. */
static void recorded(uint32_t position, enum adj_request_step step, uint32_t completion)
{
	struct adj_inflight_page *page = (struct adj_inflight_page *)record;

	atomic_store(&page->requests[position].step, (uint64_t)position << 32 | step);
	atomic_store(&page->requests[position].completion, completion);
}

Test(service, T08_what_a_dead_one_had_begun_is_not_done_twice)
{
	struct eq_ring dead;

	for (uint32_t id = 1; id <= 5; id++)
		ask(id, 20, 0);
	cr_assert_eq(eq_ring_open(&dead, (uint8_t *)rt.env.port.window + layout.completions,
				  SERVICE_SLOTS, SERVICE_ENTRY_BYTES), 0);
	eq_ring_put(&dead, &(struct service_completion){.id = 1}, sizeof(struct service_completion));
	recorded(0, ADJ_REQUEST_COMPLETING, 0);
	recorded(1, ADJ_REQUEST_COMPLETING, 1); /* its entry is not in the ring */
	recorded(2, ADJ_REQUEST_BEGUN, 0);
	recorded(3, ADJ_REQUEST_QUEUED, 0);
	begin(rt.env.port.window, true);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 4);
	cr_expect_eq(tries, 2);
	cr_expect_eq(done(1), 0);
	cr_expect_eq(done(2), -ECONNRESET);
	cr_expect_eq(done(3), -ECONNRESET);
	cr_expect_eq(done(4), 0);
	cr_expect_eq(done(5), 0);
	none_done_and_all_slots_back();
}

/* ---- A hostile partition ----------------------------------------------------------- */

static void ask_as(struct service_request request)
{
	cr_assert(eq_ring_space(&requests, 1) > 0);
	eq_ring_put(&requests, &request, sizeof(request));
}

/* Refused in their turn, before what is urgent, and by nobody else. */
Test(service, T01_requests_that_cannot_be)
{
	static const struct adj_ops none = {0};

	ask(1, 20, 7);
	ask_as((struct service_request){.id = 2, .opcode = 20, .flags = 1});
	ask_as((struct service_request){.id = 3, .opcode = 20, .priority = SERVICE_PRIORITIES});
	ask_as((struct service_request){.id = 4, .opcode = 20, .priority = 255});
	ask_as((struct service_request){.id = 5, .opcode = 20, .data_bytes = SERVICE_BUFFER_BYTES + 1});
	ask_as((struct service_request){.id = 6, .opcode = 20, .data_bytes = UINT32_MAX});
	ask(7, SERVICE_OPCODE_DRIVER - 1, 7);
	ask(8, SERVICE_NOP, 0);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 8);
	cr_expect_eq(tries, 1, "the driver had the first alone");
	cr_expect_eq(done(1), 0);
	for (uint32_t id = 2; id <= 6; id++)
		cr_expect_eq(done(id), -EINVAL);
	cr_expect_eq(done(7), -EOPNOTSUPP);
	cr_expect_eq(done(8), 0);
	rt.ops = &none;
	ask(9, 20, 0);
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(done(9), -EOPNOTSUPP, "a driver that serves nothing");
	none_done_and_all_slots_back();
}

/* Of each other, and of what was never asked. */
Test(service, T01_cancellations_without_a_request)
{
	ask(1, SERVICE_CANCEL, 0);
	ask(1, SERVICE_CANCEL, 0);
	ask(2, SERVICE_CANCEL, 255);
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(tries, 0);
	none_done_and_all_slots_back();
}

Test(service, T01_a_ring_that_lies_is_not_served)
{
	atomic_store(eq_ring_consumed(&completions), SERVICE_SLOTS + 1000);
	for (uint32_t id = 0; id < SERVICE_SLOTS; id++)
		ask(id, SERVICE_NOP, 0);
	/* What it takes back too much of is noticed when there is no room otherwise. */
	service_dispatch(&rt, SERVICE_SLOTS);
	for (uint32_t left = eq_ring_ready_count(&completions, SERVICE_SLOTS); left; left--) {
		struct service_completion completion;

		cr_assert(eq_ring_take(&completions, &completion, sizeof(completion)));
	}
	cr_assert(eq_ring_space(&requests, 1) > 0);
	ask(1, SERVICE_NOP, 0);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 0);
	cr_expect(rt.service.shut);
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 0);
	cr_expect_eq(service_arm(&rt, true), 0, "nothing will wake it");
}

Test(service, who_waits_for_slots_is_woken)
{
	for (uint32_t id = 0; id < SERVICE_SLOTS; id++)
		ask(id, SERVICE_NOP, 0);
	cr_assert(eq_ring_arm_space(&requests));
	service_dispatch(&rt, SERVICE_SLOTS);
	cr_expect_eq(wakes[ADJ_SEND], 1);
	cr_expect_eq(eq_ring_space(&requests, SERVICE_SLOTS), (int)SERVICE_SLOTS);
}

/* Of a request that an adjunct has died over: its completion's status. */
static int died_over(uint16_t opcode)
{
	ask(1, opcode, 0);
	service_dispatch(&rt, SERVICE_SLOTS);
	none_done();
	memcpy(record, within, sizeof(record));
	begin(rt.env.port.window, true);
	ready = true;
	cr_expect_eq(service_dispatch(&rt, SERVICE_SLOTS), 1);
	int status = done(1);

	none_done();
	return status;
}

Test(service, what_an_adjunct_has_died_over_fails)
{
	cr_expect_eq(died_over(22), -ECONNRESET);
	cr_expect_eq(tries, 1u, "it is not served again");
}

Test(service, what_may_be_served_again_is)
{
	cr_expect_eq(died_over(21), 0);
	cr_expect_eq(tries, 2u);
}
