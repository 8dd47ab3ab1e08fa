/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `device stats`: absolute counters once, or with -w rates again and again,
 * redrawn in place on a terminal. Rates are differences of two answers over
 * the time between them as the daemon saw it. Called by main() through the
 * command table, on the program's one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "cmd_device.h"
#include "output.h"
#include "watch.h"

/* Counters of the adjunct that -w turns into rates. */
enum rate {
	TX_FRAMES,
	TX_BYTES,
	RX_FRAMES,
	RX_BYTES,
	TX_DROPPED,
	RX_DROPPED,
	WAKEUPS,
	DOORBELLS,
	RATES
};
static const char *const rate_names[RATES] = {
	[TX_FRAMES] = "tx_frames",   [TX_BYTES] = "tx_bytes",	  [RX_FRAMES] = "rx_frames",
	[RX_BYTES] = "rx_bytes",     [TX_DROPPED] = "tx_dropped", [RX_DROPPED] = "rx_dropped",
	[WAKEUPS] = "wakeups",	     [DOORBELLS] = "doorbells",
};

static const json_t *counters_of(const json_t *stats)
{
	return json_object_get(stats, "counters");
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Every way to lose a frame that this side counts: dropped, or missed for want of room. */
static int64_t lost(const json_t *counters, bool receive)
{
	const json_t *value;
	const char *name;
	int64_t sum = 0;

	json_object_foreach((json_t *)counters, name, value) {
		bool counts = ends_with(name, "dropped") || ends_with(name, "missed");

		if (counts && (strncmp(name, "rx_", 3) == 0) == receive)
			sum += json_integer_value(value);
	}
	return sum;
}

/* The adjunct's counter; frames lost are the adjunct's and the virtual function's. */
static int64_t counter_of(const json_t *stats, enum rate rate)
{
	bool receive = rate == RX_DROPPED;

	if (rate == TX_DROPPED || rate == RX_DROPPED)
		return lost(counters_of(stats), receive) +
		       lost(json_object_get(stats, "vf"), receive);
	/* A function without an adjunct is counted by its adapter, or not at all. */
	if (!json_object_size(counters_of(stats)))
		return value_number(json_object_get(stats, "vf"), rate_names[rate]);
	return value_number(counters_of(stats), rate_names[rate]);
}

static bool same_device(const json_t *a, const json_t *b)
{
	return strcmp(value_text(a, "partition"), value_text(b, "partition")) == 0 &&
	       strcmp(value_text(a, "device"), value_text(b, "device")) == 0;
}

/* Per second, since the answer before; false: there is none, or the adjunct is a new one. */
static bool rates_of(const json_t *stats, const json_t *before, double rates[RATES])
{
	const json_t *device;
	size_t i;

	json_array_foreach(json_object_get(before, "stats"), i, device) {
		double seconds = (double)(value_number(stats, "time_ns") -
					  value_number(device, "time_ns")) / 1e9;

		if (!same_device(stats, device))
			continue;
		if (seconds <= 0)
			return false;
		for (int rate = 0; rate < RATES; rate++) {
			int64_t difference = counter_of(stats, (enum rate)rate) -
					     counter_of(device, (enum rate)rate);

			if (difference < 0)
				return false;
			rates[rate] = (double)difference / seconds;
		}
		return true;
	}
	return false;
}

/* ---- Once ---------------------------------------------------------------- */

static void show_totals(const json_t *list)
{
	static const struct output_column columns[] = {
		{"DEVICE", 0},		      {"TX FRAMES", SCOLS_FL_RIGHT},
		{"TX BYTES", SCOLS_FL_RIGHT},   {"RX FRAMES", SCOLS_FL_RIGHT},
		{"RX BYTES", SCOLS_FL_RIGHT},   {"TX DROPPED", SCOLS_FL_RIGHT},
		{"RX DROPPED", SCOLS_FL_RIGHT}, {"WAKEUPS", SCOLS_FL_RIGHT},
		{"DOORBELLS", SCOLS_FL_RIGHT},  {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *stats;
	size_t i;

	json_array_foreach((json_t *)list, i, stats) {
		struct libscols_line *row = output_row(table, NULL);

		output_cell(row, 0, PAINT_BOLD, "%s/%s", value_text(stats, "partition"),
			    value_text(stats, "device"));
		for (unsigned rate = 0; rate < RATES; rate++) {
			int64_t value = counter_of(stats, (enum rate)rate);
			bool bytes = rate == TX_BYTES || rate == RX_BYTES;
			bool dropped = rate == TX_DROPPED || rate == RX_DROPPED;

			output_cell(row, rate + 1, dropped && value ? PAINT_BAD : PAINT_NONE, "%s",
				    bytes ? unit_bytes(value).text : unit_si((double)value).text);
		}
	}
	output_table_print(table, "no devices");
}

static void total_cell(struct libscols_line *row, unsigned column, const json_t *counters,
		       const char *name)
{
	const json_t *value = json_object_get(counters, name);

	if (json_is_boolean(value))
		output_cell(row, column, PAINT_NONE, "%s", json_is_true(value) ? "yes" : "no");
	else if (value)
		output_cell(row, column, PAINT_NONE, "%lld", (long long)json_integer_value(value));
	else
		output_cell(row, column, PAINT_DIM, "-");
}

/* One device: every counter there is, exactly. */
static void show_device_totals(const json_t *stats)
{
	static const struct output_column columns[] = {
		{"COUNTER", 0}, {"ADJUNCT", SCOLS_FL_RIGHT}, {"VF", SCOLS_FL_RIGHT}, {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *counters = counters_of(stats), *vf = json_object_get(stats, "vf"), *value;
	json_t *all = json_object();
	const char *name;

	output_need(json_object_update_missing(all, (json_t *)(counters ? counters : all)) >= 0);
	output_need(json_object_update_missing(all, (json_t *)(json_is_object(vf) ? vf : all)) >= 0);
	json_object_foreach(all, name, value) {
		struct libscols_line *row = output_row(table, NULL);

		(void)value;
		output_cell(row, 0, PAINT_NONE, "%s", name);
		total_cell(row, 1, counters, name);
		total_cell(row, 2, vf, name);
	}
	json_decref(all);
	output_table_print(table, "no counters: the device is not running");
}

static int show_once(struct cli *cli, json_t *parameters, const char *subject)
{
	bool one = json_object_get(parameters, "device") != NULL;
	struct varlink_answer answer;
	const json_t *list;

	if (cli_call(cli, subject, "GetStats", parameters, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	list = json_object_get(answer.parameters, "stats");
	if (one)
		show_device_totals(json_array_get(list, 0));
	else
		show_totals(list);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

/* ---- Again and again ------------------------------------------------------ */

static char *rates_table(const json_t *now, const json_t *before)
{
	static const struct output_column columns[] = {
		{"DEVICE", 0},		       {"TX FRAMES/S", SCOLS_FL_RIGHT},
		{"TX MBIT/S", SCOLS_FL_RIGHT}, {"RX FRAMES/S", SCOLS_FL_RIGHT},
		{"RX MBIT/S", SCOLS_FL_RIGHT}, {"DROPPED/S", SCOLS_FL_RIGHT},
		{"WAKEUPS/S", SCOLS_FL_RIGHT}, {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *stats;
	size_t i;

	json_array_foreach(json_object_get(now, "stats"), i, stats) {
		struct libscols_line *row = output_row(table, NULL);
		double rates[RATES], dropped;

		output_cell(row, 0, PAINT_BOLD, "%s/%s", value_text(stats, "partition"),
			    value_text(stats, "device"));
		if (!rates_of(stats, before, rates)) {
			for (unsigned column = 1; column <= 6; column++)
				output_cell(row, column, PAINT_DIM, "-");
			continue;
		}
		dropped = rates[TX_DROPPED] + rates[RX_DROPPED];
		output_cell(row, 1, PAINT_NONE, "%s", unit_si(rates[TX_FRAMES]).text);
		output_cell(row, 2, PAINT_NONE, "%.1f", rates[TX_BYTES] * 8 / 1e6);
		output_cell(row, 3, PAINT_NONE, "%s", unit_si(rates[RX_FRAMES]).text);
		output_cell(row, 4, PAINT_NONE, "%.1f", rates[RX_BYTES] * 8 / 1e6);
		output_cell(row, 5, dropped > 0 ? PAINT_BAD : PAINT_NONE, "%s",
			    unit_si(dropped).text);
		output_cell(row, 6, PAINT_NONE, "%s", unit_si(rates[WAKEUPS]).text);
	}
	return output_table_string(table);
}

/* To each device its rates. */
static void add_rates(json_t *now, const json_t *before)
{
	double rates[RATES];
	json_t *stats;
	size_t i;

	json_array_foreach(json_object_get(now, "stats"), i, stats) {
		json_t *object;

		if (!rates_of(stats, before, rates))
			continue;
		object = json_object();
		for (int rate = 0; rate < RATES; rate++) {
			json_t *value = json_real(rates[rate]);

			output_put(object, rate_names[rate], value);
		}
		output_put(stats, "per_second", object);
	}
}

static const struct watch_view rates_view = {.text = rates_table, .add = add_rates};

int cmd_device_stats(struct cli *cli)
{
	const char *which = cli->argument_count ? cli->arguments[0] : NULL;
	json_t *parameters = which ? device_selector(cli, which, true) : json_object();
	const char *subject = which ? output_subject("device", which) : NULL;

	if (!parameters)
		return CLI_USAGE;
	if (!cli->watch)
		return show_once(cli, parameters, subject);
	return watch(cli, parameters, subject, 0, &rates_view);
}
