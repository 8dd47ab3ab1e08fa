/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `events show` and `events top`: partitions' event queues and guests, once and with what
 * has happened to devices, or as rates again and again. Rates are differences of two answers over the time between them as
 * the daemon saw it. Called by main() through the command table, on the program's one
 * thread.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "clock.h"
#include "output.h"

/* Counters of a partition, in the order of their columns. */
static const struct {
	const char *name;
	bool bad; /* anything but 0 is worth a look */
} counters[] = {
	{"forwarded", false}, {"coalesced", false}, {"interrupts", false}, {"device_events", false},
	{"held", true},	      {"stale", false},	    {"invalid", true},	   {"broken", true},
};
#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

static const struct output_column partition_columns[] = {
	{"PARTITION", 0},
	{"GUESTS", SCOLS_FL_RIGHT},
	{"FORWARDED", SCOLS_FL_RIGHT},
	{"COALESCED", SCOLS_FL_RIGHT},
	{"INTERRUPTS", SCOLS_FL_RIGHT},
	{"DEVICE EVENTS", SCOLS_FL_RIGHT},
	{"HELD", SCOLS_FL_RIGHT},
	{"STALE", SCOLS_FL_RIGHT},
	{"INVALID", SCOLS_FL_RIGHT},
	{"BROKEN", SCOLS_FL_RIGHT},
	{NULL, 0},
};

static const struct output_column queue_columns[] = {
	{"PARTITION", 0},
	{"GUEST", SCOLS_FL_RIGHT},
	{"DEVICE", 0},
	{"DEPTH", SCOLS_FL_RIGHT},
	{"FORWARDED", SCOLS_FL_RIGHT},
	{"OVERRUNS", SCOLS_FL_RIGHT},
	{"HELD", SCOLS_FL_RIGHT},
	{"STATE", 0},
	{NULL, 0},
};

static const struct output_column happened_columns[] = {
	{"DEVICE", 0},
	{"EVENT", 0},
	{"TIMES", SCOLS_FL_RIGHT},
	{"LAST", SCOLS_FL_RIGHT},
	{"MESSAGE", 0},
	{NULL, 0},
};

/* The same partition, guest (by its place and program) and device in an earlier answer. */
static const json_t *partition_before(const json_t *before, const json_t *partition)
{
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(before, "partitions"), i, other)
		if (!strcmp(value_text(other, "partition"), value_text(partition, "partition")))
			return other;
	return NULL;
}

static const json_t *queue_before(const json_t *partition, const json_t *guest, const json_t *queue)
{
	const json_t *other, *each;
	size_t i, j;

	json_array_foreach(json_object_get(partition, "guests"), i, other) {
		if (value_number(other, "pid") != value_number(guest, "pid"))
			continue;
		json_array_foreach(json_object_get(other, "queues"), j, each)
			if (!strcmp(value_text(each, "device"), value_text(queue, "device")))
				return each;
	}
	return NULL;
}

/* A counter, or with `before` how fast it grows; "-" where there is nothing to compare. */
static void counter_cell(struct libscols_line *row, unsigned column, const json_t *now,
			 const json_t *before, double seconds, const char *name, bool bad)
{
	double value = (double)value_number(now, name);

	if (seconds > 0 && !before) {
		output_cell(row, column, PAINT_DIM, "-");
		return;
	}
	if (seconds > 0)
		value = (value - (double)value_number(before, name)) / seconds;
	output_cell(row, column, bad && value > 0 ? PAINT_BAD : PAINT_NONE, "%s", unit_si(value).text);
}

static void add_queues(struct libscols_table *table, const json_t *partition,
		       const json_t *old_partition, double seconds)
{
	const json_t *guest, *queue;
	size_t i, j;

	json_array_foreach(json_object_get(partition, "guests"), i, guest) {
		json_array_foreach(json_object_get(guest, "queues"), j, queue) {
			const json_t *old = queue_before(old_partition, guest, queue);
			bool broken = json_is_true(json_object_get(queue, "broken"));
			struct libscols_line *row = output_row(table, NULL);

			output_cell(row, 0, PAINT_BOLD, "%s", value_text(partition, "partition"));
			output_cell(row, 1, PAINT_NONE, "%lld", (long long)value_number(guest, "pid"));
			output_cell(row, 2, PAINT_NONE, "%s", value_text(queue, "device"));
			output_cell(row, 3, PAINT_NONE, "%lld of %lld",
				    (long long)value_number(queue, "depth"),
				    (long long)value_number(queue, "entries"));
			counter_cell(row, 4, queue, old, seconds, "forwarded", false);
			counter_cell(row, 5, queue, old, seconds, "overruns", true);
			output_cell(row, 6, value_number(queue, "held") ? PAINT_BAD : PAINT_NONE, "%lld",
				    (long long)value_number(queue, "held"));
			output_cell(row, 7, broken ? PAINT_BAD : PAINT_NONE, "%s",
				    broken ? "broken" : "open");
		}
	}
}

/* What has happened to devices, for `show`: a row for each kind of event. */
static char *happened_table(const json_t *answer)
{
	struct libscols_table *table = output_table(happened_columns);
	const json_t *partition, *event;
	size_t i, j;

	json_array_foreach(json_object_get(answer, "partitions"), i, partition) {
		json_array_foreach(json_object_get(partition, "events"), j, event) {
			int64_t ago_ns = value_number(answer, "time_ns") -
					 value_number(event, "time_ns");
			struct libscols_line *row = output_row(table, NULL);

			output_cell(row, 0, PAINT_BOLD, "%s/%s", value_text(partition, "partition"),
				    value_text(event, "device"));
			output_cell(row, 1, PAINT_NONE, "%s", value_text(event, "event"));
			output_cell(row, 2, PAINT_NONE, "%lld",
				    (long long)value_number(event, "count"));
			output_cell(row, 3, PAINT_NONE, "%s ago", unit_duration(ago_ns).text);
			output_cell(row, 4, PAINT_NONE, "%s", value_text(event, "message"));
		}
	}
	return output_table_string(table);
}

/* Two tables, partitions and queues; with `before`, rates per second. */
static char *tables(const json_t *now, const json_t *before)
{
	struct libscols_table *partitions = output_table(partition_columns);
	struct libscols_table *queues = output_table(queue_columns);
	double seconds = before ? (double)(value_number(now, "time_ns") -
					   value_number(before, "time_ns")) / 1e9 : 0;
	const json_t *partition;
	char *text = NULL;
	size_t i;

	json_array_foreach(json_object_get(now, "partitions"), i, partition) {
		const json_t *old = partition_before(before, partition);
		struct libscols_line *row = output_row(partitions, NULL);

		output_cell(row, 0, PAINT_BOLD, "%s", value_text(partition, "partition"));
		output_cell(row, 1, PAINT_NONE, "%zu",
			    json_array_size(json_object_get(partition, "guests")));
		for (unsigned each = 0; each < COUNTERS; each++)
			counter_cell(row, 2 + each, partition, old, seconds, counters[each].name,
				     counters[each].bad);
		add_queues(queues, partition, old, seconds);
	}
	char *first = output_table_string(partitions), *second = output_table_string(queues);
	output_need(asprintf(&text, "%s%s%s", first, *second ? "\n\n" : "", second) >= 0);
	free(first);
	free(second);
	return text;
}

/* The answer, or with a name its one partition. CLI_DONE, or the failure has been told. */
static int ask(struct cli *cli, json_t **out)
{
	const char *name = cli->argument_count ? cli->arguments[0] : NULL;
	struct varlink_answer answer;
	json_t *partition, *kept = json_array();
	size_t i;

	if (cli_call(cli, NULL, "GetEvents", NULL, CLI_LOOKUP_NS, &answer) != CLI_DONE) {
		json_decref(kept);
		return CLI_FAILED;
	}
	json_array_foreach(json_object_get(answer.parameters, "partitions"), i, partition)
		if (!name || !strcmp(name, value_text(partition, "partition")))
			output_add(kept, json_incref(partition));
	bool found = !name || json_array_size(kept);
	*out = json_incref(answer.parameters);
	output_put(*out, "partitions", kept);
	varlink_answer_clear(&answer);
	if (found)
		return CLI_DONE;
	json_decref(*out);
	return cli_fail(cli, "there is no partition '%s'; see outrigger partition list", name);
}

static void print_json(const json_t *answer, bool line)
{
	json_t *json = output_json_new();

	output_need(json_object_update(json, (json_t *)answer) >= 0);
	output_json(stdout, json, line);
}

int cmd_events_show(struct cli *cli)
{
	json_t *answer;

	if (ask(cli, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json) {
		print_json(answer, false);
	} else {
		char *text = tables(answer, NULL), *happened = happened_table(answer);

		puts(*text ? text : "no partitions");
		if (*happened)
			printf("\n%s\n", happened);
		free(text);
		free(happened);
	}
	json_decref(answer);
	return CLI_DONE;
}

int cmd_events_top(struct cli *cli)
{
	const struct timespec pause = {.tv_sec = cli->interval_ms / 1000,
				       .tv_nsec = (long)(cli->interval_ms % 1000) * NS_PER_MS};
	json_t *before = NULL, *answer;
	unsigned drawn = 0;

	for (unsigned turn = 0; !cli->count || turn <= cli->count; turn++) {
		if (turn)
			nanosleep(&pause, NULL);
		if (ask(cli, &answer) != CLI_DONE) {
			json_decref(before);
			return CLI_FAILED;
		}
		if (cli->json && before) {
			print_json(answer, true);
		} else if (!cli->json && before) { /* the first has no rates yet */
			char *text = tables(answer, before);

			drawn = output_redraw(text, drawn);
			free(text);
		}
		json_decref(before);
		before = answer;
	}
	json_decref(before);
	return CLI_DONE;
}
