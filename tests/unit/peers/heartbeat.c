/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom the shim's heartbeat ends: who does not answer, and nobody else (heartbeat.c, which is
 * the real one, a hundred times as fast). An adapter, a keeper and an adjunct, each a process
 * that answers as it was told when it was started (child.h).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "../../../hv-shim/events/events.h"
#include "../../../hv-shim/shim.h"
#include "clock.h"
#include "child.h"

static struct child adapter_child, keeper_child, adjunct_child;
static struct device device = {.spec.name = "net0", .state = STATE_RUNNING};
static struct partition partition = {.name = "red", .state = STATE_RUNNING, .devices = &device};
static struct adapter adapter = {.spec.name = "soft0", .state = STATE_RUNNING};
static struct shim shim = {.adapters = &adapter, .partitions = &partition};
static unsigned beats, adapter_watches, device_watches, events_runs;

TestSuite(heartbeat, .timeout = 100);

/* ---- What of the shim it needs --------------------------------------------------------- */

void usage_take(struct usage *usage, pid_t pid, const json_t *costs)
{
	(void)costs;
	cr_assert(usage == &device.usage && pid == adjunct_child.identity.pid);
	beats++;
}

int adapter_watch(struct adapter *which)
{
	adapter_watches++;
	which->unwatched = false;
	return 0;
}

int device_watch(struct device *which)
{
	device_watches++;
	which->unwatched = false;
	return 0;
}

void events_device_running(struct device *which)
{
	cr_assert_eq(which, &device);
	events_runs++;
}

#define FASTER 100

int __real_sd_event_add_time_relative(sd_event *event, sd_event_source **out, clockid_t clock,
				      uint64_t usec, uint64_t accuracy,
				      sd_event_time_handler_t callback, void *data);
int __wrap_sd_event_add_time_relative(sd_event *event, sd_event_source **out, clockid_t clock,
				      uint64_t usec, uint64_t accuracy,
				      sd_event_time_handler_t callback, void *data);
int __real_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec);
int __wrap_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec);

int __wrap_sd_event_add_time_relative(sd_event *event, sd_event_source **out, clockid_t clock,
				      uint64_t usec, uint64_t accuracy,
				      sd_event_time_handler_t callback, void *data)
{
	return __real_sd_event_add_time_relative(event, out, clock, usec / FASTER, accuracy / FASTER,
						 callback, data);
}

int __wrap_sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec)
{
	return __real_sd_event_source_set_time_relative(source, usec / FASTER);
}

/* ---- Three processes ---------------------------------------------------------------------- */

static void begin(const char *of_adapter, const char *of_keeper, const char *of_adjunct)
{
	child_start(&adapter_child, of_adapter);
	child_start(&keeper_child, of_keeper);
	child_start(&adjunct_child, of_adjunct);
	shim.event = child_event;
	partition.shim = adapter.shim = &shim;
	device.partition = &partition;
	adapter.peer = adapter_child.peer;
	partition.keeper = keeper_child.peer;
	device.adjunct = adjunct_child.peer;
	cr_assert_eq(heartbeat_start(&shim), 0);
}

static void end(void)
{
	child_end(&adapter_child);
	child_end(&keeper_child);
	child_end(&adjunct_child);
}

static void until_ended(struct child *child)
{
	while (!child->ends)
		cr_assert(child_turn(), "nobody ends it");
	cr_assert_str_eq(child->how, "was killed by signal 9 (Killed)");
}

Test(heartbeat, nobody_is_ended)
{
	adapter.unwatched = device.unwatched = true;
	partition.cpus_milli = 250;
	begin("Fine", "Fine", "Fine");
	while (beats < 5)
		cr_assert(child_turn());
	cr_assert(!adapter_child.ends && !keeper_child.ends && !adjunct_child.ends);
	cr_assert(!adapter.heartbeats_missed && !partition.heartbeats_missed);
	cr_assert(adapter_watches == 1 && device_watches == 1 && events_runs);
	end();
}

/* One that works is easily replaced: one chance. */
Test(heartbeat, adjunct)
{
	begin("Fine", "Fine", "HangUp");
	until_ended(&adjunct_child);
	cr_assert(!adapter_child.ends && !keeper_child.ends && !beats);
	end();
}

/* The others have two, the second on a new connection; whom it does not concern is let be. */
Test(heartbeat, adapter_and_keeper)
{
	begin("HangUp", "Malformed", "Refuse");
	device.state = STATE_STARTING;
	until_ended(&adapter_child);
	until_ended(&keeper_child);
	cr_assert(adapter.heartbeats_missed >= 2 && partition.heartbeats_missed >= 2);
	cr_assert(!adjunct_child.ends);
	end();
}

/* Its program says that it waits. */
Test(heartbeat, overdue)
{
	begin("Fine", "Fine", "Fine");
	device_overdue(&device, NS_PER_S); /* has a processor of its own */
	device.spec.adjunct.cpu = DOC_CPU_DONATED;
	device_overdue(&device, NS_PER_S - 1);
	partition.cpus_milli = 500;
	device_overdue(&device, NS_PER_S); /* which is half a second of its own */
	device.running_since_ns = clock_now_ns();
	device_overdue(&device, 2 * NS_PER_S); /* another adjunct's then */
	device.running_since_ns = 0;
	device.state = STATE_STARTING;
	device_overdue(&device, 2 * NS_PER_S);
	device.state = STATE_RUNNING;
	while (beats < 2)
		cr_assert(child_turn());
	cr_assert_eq(adjunct_child.ends, 0);
	device_overdue(&device, 2 * NS_PER_S);
	until_ended(&adjunct_child);
	device_overdue(&device, 2 * NS_PER_S); /* has ended */
	end();
}
