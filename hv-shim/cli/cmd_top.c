/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `top`: who uses the processors, partitions and then their adjuncts; on a terminal what
 * was used between two answers of the daemon, elsewhere all of it. Called by main()
 * through the command table, on the program's one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "cmd_device.h"
#include "histogram.h"
#include "output.h"
#include "watch.h"

#define PERCENTILES 3
static const unsigned percentiles[PERCENTILES] = {500, 990, 999};
static const char *const percentile_names[PERCENTILES] = {"p50_ns", "p99_ns", "p99.9_ns"};

/* ---- Two answers ------------------------------------------------------------- */

/* What was said of the same thing before; NULL: nothing. `device` may be NULL. */
static const json_t *find(const json_t *answer, const char *list, const json_t *thing,
			  const char *device)
{
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(answer, list), i, other)
		if (!strcmp(value_text(other, "partition"), value_text(thing, "partition")) &&
		    (!device || !strcmp(value_text(other, device), value_text(thing, device))))
			return other;
	return NULL;
}

/* How much a count has grown; all of it, where there is nothing to compare with or
 * another counts. */
static int64_t grown(const json_t *now, const json_t *before, const char *name)
{
	int64_t value = value_number(now, name), old = value_number(before, name);

	return old > value ? value : value - old;
}

static int64_t count_at(const json_t *list, size_t i)
{
	return json_integer_value(json_array_get(list, i));
}

/* Percentiles of what came meanwhile; 0: nothing did. */
static void latencies(const json_t *usage, const json_t *old, uint64_t out_ns[PERCENTILES])
{
	const json_t *now = json_object_get(usage, "latency"), *before = json_object_get(old, "latency");
	uint64_t counts[HISTOGRAM_BUCKETS] = {0};
	bool same = true;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		same &= count_at(now, i) >= count_at(before, i);
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		int64_t count = count_at(now, i) - (same ? count_at(before, i) : 0);

		counts[i] = count > 0 ? (uint64_t)count : 0;
	}
	for (unsigned i = 0; i < PERCENTILES; i++)
		out_ns[i] = histogram_percentile_ns(counts, percentiles[i]);
}

/* ---- Cells ------------------------------------------------------------------- */

static void time_cell(struct libscols_line *row, unsigned column, int64_t ns, double seconds)
{
	if (seconds > 0)
		output_cell(row, column, PAINT_NONE, "%.1f%%", (double)ns / seconds / 1e7);
	else if (ns < (int64_t)(10 * NS_PER_S))
		output_cell(row, column, PAINT_NONE, "%.3f s", (double)ns / 1e9);
	else
		output_cell(row, column, PAINT_NONE, "%s", unit_duration(ns).text);
}

static void count_cell(struct libscols_line *row, unsigned column, int64_t count, double seconds)
{
	output_cell(row, column, PAINT_NONE, "%s",
		    unit_si(seconds > 0 ? (double)count / seconds : (double)count).text);
}

static void latency_cell(struct libscols_line *row, unsigned column, uint64_t ns)
{
	if (!ns)
		output_cell(row, column, PAINT_DIM, "-");
	else if (ns < NS_PER_MS)
		output_cell(row, column, PAINT_NONE, "%.1f us", (double)ns / 1e3);
	else
		output_cell(row, column, PAINT_NONE, "%.1f ms", (double)ns / 1e6);
}

/* ---- Tables ------------------------------------------------------------------ */

static void add_partition(struct libscols_table *table, const json_t *partition,
			  const json_t *before, double seconds)
{
	struct libscols_line *row = output_row(table, NULL);
	bool kept = value_true(partition, "cpus_enforced");

	output_cell(row, 0, PAINT_BOLD, "%s", value_text(partition, "partition"));
	if (value_is_set(partition, "cpus_milli"))
		output_cell(row, 1, kept ? PAINT_NONE : PAINT_BAD, "%g%%%s",
			    (double)value_number(partition, "cpus_milli") / 10, kept ? "" : ", not kept");
	else
		output_cell(row, 1, PAINT_DIM, "-");
	time_cell(row, 2, grown(partition, before, "charged_ns"), seconds);
	if (value_is_set(partition, "programs_ns"))
		time_cell(row, 3, grown(partition, before, "programs_ns"), seconds);
	else
		output_cell(row, 3, PAINT_DIM, "-");
	if (value_is_set(partition, "throttled_us"))
		time_cell(row, 4, grown(partition, before, "throttled_us") * NS_PER_US, seconds);
	else
		output_cell(row, 4, PAINT_DIM, "-");
}

static void add_adjunct(struct libscols_table *table, const json_t *stats, const json_t *before,
			double seconds)
{
	const json_t *usage = json_object_get(stats, "usage"), *old = json_object_get(before, "usage");
	struct libscols_line *row = output_row(table, NULL);
	bool busy = value_true(usage, "pa_busy");
	uint64_t ns[PERCENTILES];

	latencies(usage, old, ns);
	output_cell(row, 0, PAINT_BOLD, "%s.%s", value_text(stats, "partition"),
		    value_text(stats, "device"));
	output_cell(row, 1, PAINT_NONE, "%s", value_text(usage, "cpu"));
	time_cell(row, 2, grown(usage, old, "charged_ns"), seconds);
	time_cell(row, 3, grown(usage, old, "donated_ns"), seconds);
	count_cell(row, 4, grown(usage, old, "yields"), seconds);
	count_cell(row, 5, grown(usage, old, "expired"), seconds);
	output_cell(row, 6, busy ? PAINT_BUSY : PAINT_NONE, "%s", busy ? "yes" : "no");
	count_cell(row, 7, grown(usage, old, "requests"), seconds);
	output_cell(row, 8, PAINT_NONE, "%lld", (long long)value_number(usage, "depth"));
	for (unsigned i = 0; i < PERCENTILES; i++)
		latency_cell(row, 9 + i, ns[i]);
}

static char *tables(const json_t *now, const json_t *before)
{
	static const struct output_column partition_columns[] = {
		{"PARTITION", 0},	       {"SHARE", SCOLS_FL_RIGHT},   {"TIME", SCOLS_FL_RIGHT},
		{"PROGRAMS", SCOLS_FL_RIGHT}, {"HELD UP", SCOLS_FL_RIGHT}, {NULL, 0},
	};
	static const struct output_column adjunct_columns[] = {
		{"ADJUNCT", 0},		       {"CPU", 0},		    {"TIME", SCOLS_FL_RIGHT},
		{"DONATED", SCOLS_FL_RIGHT},   {"YIELDS", SCOLS_FL_RIGHT},  {"EXPIRED", SCOLS_FL_RIGHT},
		{"PA_BUSY", 0},		       {"REQUESTS", SCOLS_FL_RIGHT}, {"QUEUED", SCOLS_FL_RIGHT},
		{"P50", SCOLS_FL_RIGHT},       {"P99", SCOLS_FL_RIGHT},	    {"P99.9", SCOLS_FL_RIGHT},
		{NULL, 0},
	};
	struct libscols_table *partitions = output_table(partition_columns);
	struct libscols_table *adjuncts = output_table(adjunct_columns);
	double seconds = before ? (double)(value_number(now, "time_ns") -
					   value_number(before, "time_ns")) / 1e9 : 0;
	const json_t *each;
	char *text = NULL;
	size_t i;

	json_array_foreach(json_object_get(now, "partitions"), i, each)
		add_partition(partitions, each, find(before, "partitions", each, NULL), seconds);
	json_array_foreach(json_object_get(now, "stats"), i, each)
		if (json_object_get(each, "usage"))
			add_adjunct(adjuncts, each, find(before, "stats", each, "device"), seconds);
	char *first = output_table_string(partitions), *second = output_table_string(adjuncts);
	output_need(asprintf(&text, "%s%s%s", first, *second ? "\n\n" : "", second) >= 0);
	free(first);
	free(second);
	return text;
}

/* To each adjunct its percentiles; since the answer before, if there is one. */
static void add_latencies(json_t *now, const json_t *before)
{
	uint64_t ns[PERCENTILES];
	json_t *each;
	size_t i;

	json_array_foreach(json_object_get(now, "stats"), i, each) {
		json_t *usage = json_object_get(each, "usage");

		if (!usage)
			continue;
		latencies(usage, json_object_get(find(before, "stats", each, "device"), "usage"), ns);
		for (unsigned p = 0; p < PERCENTILES; p++)
			output_put(usage, percentile_names[p], json_integer((json_int_t)ns[p]));
	}
}

static int show_once(struct cli *cli, json_t *parameters, const char *subject)
{
	struct varlink_answer answer;

	if (cli_call(cli, subject, "GetStats", parameters, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json) {
		add_latencies(answer.parameters, NULL);
		return output_answer(&answer);
	}
	char *text = tables(answer.parameters, NULL);

	puts(*text ? text : "no partitions: `outrigger up -f FILE` makes some");
	free(text);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

int cmd_top(struct cli *cli)
{
	static const struct watch_view view = {.text = tables, .add = add_latencies};
	const char *name = cli->argument_count ? cli->arguments[0] : NULL;
	const char *subject = name ? output_subject("partition", name) : NULL;
	json_t *parameters = json_object();

	if (name)
		output_put(parameters, "partition", json_string(name));
	if (!cli->count && (cli->json || !output_is_terminal(stdout)))
		return show_once(cli, parameters, subject);
	return watch(cli, parameters, subject, cli->count, &view);
}
