/* SPDX-License-Identifier: BSD-2-Clause */
/* Processor time used and charged: see usage.h. Event-loop thread. */
#include "usage.h"

#include <string.h>

#include "clock.h"
#include "control/status.h"
#include "processes/cgroup.h"
#include "service_layout.h"
#include "shim.h"

/* More than any clock will ever have counted: sums of it do not overflow. */
#define COUNT_MAX (UINT64_C(1) << 52)

static const struct {
	const char *name;
	size_t offset;
} costs_fields[] = {
	{"yields", offsetof(struct usage_costs, yields)},
	{"expired", offsetof(struct usage_costs, expired)},
	{"donated_ns", offsetof(struct usage_costs, donated_ns)},
	{"requests", offsetof(struct usage_costs, requests)},
	{"used_ns", offsetof(struct usage_costs, used_ns)},
};
#define COSTS_FIELDS (sizeof(costs_fields) / sizeof(costs_fields[0]))

static uint64_t *field(struct usage_costs *costs, size_t i)
{
	return (uint64_t *)((char *)costs + costs_fields[i].offset);
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

/* ---- What is said ---------------------------------------------------------------- */

/* A count that only grows; anything else changes nothing. */
static void take_count(uint64_t *counter, const json_t *value)
{
	json_int_t count = json_integer_value(value);

	if (count > 0 && (uint64_t)count > *counter)
		*counter = at_most((uint64_t)count, COUNT_MAX);
}

/* Another adjunct counts from 0. */
static void fold(struct usage *usage)
{
	for (size_t i = 0; i < COSTS_FIELDS; i++) {
		uint64_t *before = field(&usage->before, i);

		*before = at_most(*before + *field(&usage->now, i), COUNT_MAX);
	}
	usage->now = (struct usage_costs){0};
	memset(usage->latency, 0, sizeof(usage->latency));
	usage->pa_busy = false;
	usage->depth = 0;
}

void usage_take(struct usage *usage, pid_t pid, const json_t *costs)
{
	const json_t *latency = json_object_get(costs, "latency");
	json_int_t depth = json_integer_value(json_object_get(costs, "depth"));

	if (!json_is_object(costs))
		return;
	if (usage->pid != pid)
		fold(usage);
	usage->pid = pid;
	for (size_t i = 0; i < COSTS_FIELDS; i++)
		take_count(field(&usage->now, i), json_object_get(costs, costs_fields[i].name));
	for (size_t i = 0; i < HISTOGRAM_BUCKETS && i < json_array_size(latency); i++)
		take_count(&usage->latency[i], json_array_get(latency, i));
	usage->pa_busy = json_is_true(json_object_get(costs, "pa_busy"));
	usage->depth = depth < 0 ? 0 : (unsigned)at_most((uint64_t)depth, SERVICE_SLOTS);
}

/* ---- What is charged ------------------------------------------------------------- */

void usage_end(struct usage *usage, struct peer **peer)
{
	if (*peer)
		usage->ended_ns += peer_cpu_ns(*peer);
	peer_free(*peer);
	*peer = NULL;
}

static uint64_t clock_of(struct peer *peer)
{
	return peer ? peer_cpu_ns(peer) : 0;
}

static uint64_t charged_ns(const struct device *device)
{
	uint64_t usec;

	if (cgroup_cpu_of_device(device->partition->name, device->spec.name, &usec))
		return usec * NS_PER_US;
	return device->usage.ended_ns + clock_of(device->adjunct) + clock_of(device->standby);
}

json_t *usage_of_device(const struct device *device)
{
	const struct usage *usage = &device->usage;
	const uint64_t charged = charged_ns(device);
	struct usage_costs all = usage->now, before = usage->before;
	json_t *latency = json_array();
	size_t buckets = HISTOGRAM_BUCKETS;

	for (size_t i = 0; i < COSTS_FIELDS; i++)
		*field(&all, i) += *field(&before, i);
	while (buckets && !usage->latency[buckets - 1])
		buckets--;
	for (size_t i = 0; i < buckets; i++)
		json_array_append_new(latency, json_integer((json_int_t)usage->latency[i]));
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:i,s:o}", "cpu",
			 doc_cpus[device->spec.adjunct.cpu], "charged_ns", (json_int_t)charged,
			 "yields", (json_int_t)all.yields, "expired",
			 (json_int_t)at_most(all.expired, all.yields), "donated_ns",
			 (json_int_t)at_most(all.donated_ns, charged), "requests",
			 (json_int_t)all.requests, "used_ns", (json_int_t)at_most(all.used_ns, charged),
			 "pa_busy", usage->pa_busy, "depth", (int)usage->depth, "latency", latency);
}

json_t *usage_of_partition(const struct partition *partition)
{
	uint64_t usec = 0, charged = 0;
	bool groups = cgroup_cpu(partition->name, &usec);

	if (groups)
		charged = usec * NS_PER_US;
	else
		charged = clock_of(partition->keeper);
	for (const struct device *d = partition->devices; d && !groups; d = d->next)
		charged += charged_ns(d);
	json_t *answer = json_pack("{s:s,s:s,s:I}", "partition", partition->name, "by",
				   groups ? "groups" : "clocks", "charged_ns", (json_int_t)charged);

	if (cgroup_cpu_of_programs(partition->name, &usec))
		json_object_set_new(answer, "programs_ns", json_integer((json_int_t)(usec * NS_PER_US)));
	status_put_share(answer, partition);
	return answer;
}
