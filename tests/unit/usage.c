/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What processor time is charged and shown (hv-shim/usage.c, base/histogram.h): adjuncts
 * say what they like, control groups and clocks are this test's.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "../../hv-shim/shim.h"
#include "../../hv-shim/control/status.h"
#include "../../hv-shim/processes/cgroup.h"
#include "../../hv-shim/usage.h"
#include "clock.h"
#include "service_layout.h"

#define MS ((int64_t)NS_PER_MS)

static struct partition partition = {.name = "red"};
static struct device device = {.partition = &partition, .spec = {.name = "net0"}};
static bool groups;
static uint64_t group_usec, clock_ns;
static unsigned freed;

/* ---- The rest of the shim ---------------------------------------------------- */

bool cgroup_cpu(const char *name, uint64_t *usec)
{
	*usec = group_usec;
	return groups && !strcmp(name, "red");
}

bool cgroup_cpu_of_programs(const char *name, uint64_t *usec)
{
	return cgroup_cpu(name, usec);
}

bool cgroup_cpu_of_device(const char *name, const char *of, uint64_t *usec)
{
	return cgroup_cpu(name, usec) && !strcmp(of, "net0");
}

uint64_t peer_cpu_ns(struct peer *peer)
{
	(void)peer;
	return clock_ns;
}

void peer_free(struct peer *peer)
{
	freed += peer != NULL;
}

void status_put_share(json_t *object, const struct partition *p)
{
	(void)object;
	(void)p;
}

/* ---- Helpers ----------------------------------------------------------------- */

static char one_peer;

static void says(pid_t pid, const char *costs)
{
	json_t *said = json_loads(costs, 0, NULL);

	cr_assert_not_null(said, "%s", costs);
	usage_take(&device.usage, pid, said);
	json_decref(said);
}

static int64_t shown(const char *name)
{
	json_t *usage = usage_of_device(&device);
	const json_t *value = json_object_get(usage, name);
	int64_t number = json_is_true(value) ? 1 : json_integer_value(value);

	json_decref(usage);
	return number;
}

static int64_t charged_to_partition(const char *by)
{
	json_t *usage = usage_of_partition(&partition);
	int64_t charged = json_integer_value(json_object_get(usage, "charged_ns"));

	cr_expect_str_eq(json_string_value(json_object_get(usage, "by")), by);
	cr_expect_eq(json_object_get(usage, "programs_ns") != NULL, groups);
	json_decref(usage);
	return charged;
}

static void begin(void)
{
	partition.devices = &device;
	groups = true;
	group_usec = 1000 * 1000;
}

TestSuite(usage, .init = begin, .timeout = 30);

/* ---- What is said ------------------------------------------------------------ */

Test(usage, what_an_adjunct_says_is_shown)
{
	says(7, "{\"yields\":5,\"expired\":2,\"donated_ns\":300,\"requests\":4,\"used_ns\":200,"
		"\"pa_busy\":true,\"depth\":3,\"latency\":[0,1,2]}");
	cr_expect_eq(shown("yields"), 5);
	cr_expect_eq(shown("expired"), 2);
	cr_expect_eq(shown("donated_ns"), 300);
	cr_expect_eq(shown("requests"), 4);
	cr_expect_eq(shown("used_ns"), 200);
	cr_expect_eq(shown("pa_busy"), 1);
	cr_expect_eq(shown("depth"), 3);
	cr_expect_eq(device.usage.latency[2], 2u);
}

Test(usage, T01_what_makes_no_sense_is_left_out)
{
	says(7, "{\"yields\":5,\"expired\":2,\"donated_ns\":300,\"latency\":[3]}");
	says(7, "{\"yields\":-5,\"expired\":\"2\",\"donated_ns\":[],\"requests\":null,\"depth\":-1,"
		"\"pa_busy\":\"yes\",\"latency\":{\"a\":1}}");
	says(7, "{\"yields\":4,\"latency\":[2,-1,\"x\"]}");
	says(7, "[]");
	cr_expect_eq(shown("yields"), 5, "counts do not go back");
	cr_expect_eq(shown("expired"), 2);
	cr_expect_eq(shown("requests"), 0);
	cr_expect_eq(shown("depth"), 0);
	cr_expect_eq(shown("pa_busy"), 0);
	cr_expect_eq(device.usage.latency[0], 3u);
	cr_expect_eq(device.usage.latency[1], 0u);
	/* More of it than the kernel counted, than yields, than there are slots, than fits. */
	says(7, "{\"expired\":9,\"donated_ns\":9223372036854775807,\"used_ns\":9223372036854775807,"
		"\"depth\":9223372036854775807}");
	cr_expect_eq(shown("expired"), 5);
	cr_expect_eq(shown("donated_ns"), 1000 * MS);
	cr_expect_eq(shown("used_ns"), 1000 * MS);
	cr_expect_eq(shown("depth"), SERVICE_SLOTS);
}

Test(usage, a_successor_goes_on_counting)
{
	says(7, "{\"yields\":5,\"requests\":4,\"pa_busy\":true,\"depth\":3,\"latency\":[9]}");
	says(8, "{\"yields\":2,\"requests\":1}");
	cr_expect_eq(shown("yields"), 7);
	cr_expect_eq(shown("requests"), 5);
	cr_expect_eq(shown("pa_busy"), 0, "that was the other one");
	cr_expect_eq(shown("depth"), 0);
	cr_expect_eq(device.usage.latency[0], 0u, "percentiles are of this one");
	for (pid_t pid = 9; pid < 4200; pid++)
		says(pid, "{\"yields\":9223372036854775807}");
	cr_expect_gt(shown("yields"), 0, "however many there were: no overflow");
}

/* ---- What is charged --------------------------------------------------------- */

Test(usage, by_the_control_groups)
{
	clock_ns = 77;
	cr_expect_eq(shown("charged_ns"), 1000 * MS);
	cr_expect_eq(charged_to_partition("groups"), 1000 * MS);
}

Test(usage, by_clocks_where_there_are_no_groups)
{
	struct peer *ends = (struct peer *)&one_peer;

	groups = false;
	clock_ns = 10;
	device.adjunct = device.standby = partition.keeper = (struct peer *)&one_peer;
	cr_expect_eq(shown("charged_ns"), 20);
	cr_expect_eq(charged_to_partition("clocks"), 30);
	usage_end(&device.usage, &ends);
	cr_expect_null(ends);
	cr_expect_eq(freed, 1u);
	usage_end(&device.usage, &ends);
	cr_expect_eq(shown("charged_ns"), 30, "what it used remains");
	device.adjunct = device.standby = NULL;
	says(7, "{\"donated_ns\":50}");
	cr_expect_eq(shown("donated_ns"), 10, "never more than the kernel counted");
}

/* What one shim was told, the next one knows; of the adjunct that lives on, once. */
Test(usage, outlives_the_shim)
{
	cr_expect_not(usage_is_worth_saving(&device.usage));
	says(7, "{\"yields\":5,\"donated_ns\":300}");
	says(8, "{\"yields\":2,\"donated_ns\":100,\"used_ns\":40}");
	cr_expect(usage_is_worth_saving(&device.usage));
	device.usage.ended_ns = 70;
	json_t *saved = usage_to_json(&device.usage);

	cr_assert_not_null(saved);
	device.usage = (struct usage){0};
	usage_from_json(&device.usage, saved);
	json_decref(saved);
	cr_expect_eq(device.usage.ended_ns, 70u);
	says(8, "{\"yields\":3,\"donated_ns\":150,\"used_ns\":40}");
	cr_expect_eq(shown("yields"), 8);
	cr_expect_eq(shown("donated_ns"), 450);
	cr_expect_eq(shown("used_ns"), 40);
	says(9, "{\"yields\":1}");
	cr_expect_eq(shown("yields"), 9);
	usage_from_json(&device.usage, NULL);
	cr_expect_eq(shown("yields"), 0, "a state without it");
}

/* ---- The histogram ----------------------------------------------------------- */

Test(usage, each_time_has_a_bucket_with_a_limit_above_it)
{
	uint64_t ns = 1, state = 88172645463325252u;

	for (unsigned i = 0; i < 1000000; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		ns = state >> (state % 64);
		unsigned bucket = histogram_bucket(ns);

		cr_assert_lt(bucket, HISTOGRAM_BUCKETS, "%lu", ns);
		if (bucket + 1 < HISTOGRAM_BUCKETS)
			cr_assert_gt(histogram_limit_ns(bucket), ns);
		if (bucket && bucket + 1 < HISTOGRAM_BUCKETS) {
			cr_assert_leq(histogram_limit_ns(bucket), ns + ns / 4 + 1, "%lu", ns);
			cr_assert_leq(histogram_limit_ns(bucket - 1), ns, "%lu", ns);
		}
	}
}

Test(usage, percentiles)
{
	uint64_t counts[HISTOGRAM_BUCKETS] = {0};

	cr_expect_eq(histogram_percentile_ns(counts, 500), 0u, "of nothing");
	counts[histogram_bucket(1000)] = 990;
	counts[histogram_bucket(1000000)] = 9;
	counts[histogram_bucket(UINT64_MAX)] = 1;
	cr_expect_eq(histogram_percentile_ns(counts, 500), histogram_limit_ns(histogram_bucket(1000)));
	cr_expect_eq(histogram_percentile_ns(counts, 990), histogram_limit_ns(histogram_bucket(1000)));
	cr_expect_eq(histogram_percentile_ns(counts, 999),
		     histogram_limit_ns(histogram_bucket(1000000)));
	cr_expect_eq(histogram_percentile_ns(counts, 1000),
		     histogram_limit_ns(HISTOGRAM_BUCKETS - 1));
}
