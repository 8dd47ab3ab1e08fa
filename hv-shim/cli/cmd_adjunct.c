/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `adjunct list|show|restart`. Called by main() through the command table, on the
 * program's one thread.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "output.h"

/* Whoever has restarted an adjunct is told of its first frame, if it comes in time. */
#define FIRST_FRAME_NS 1000000000
#define FIRST_FRAME_TRIES 20

int cmd_adjunct_list(struct cli *cli)
{
	static const struct output_column columns[] = {
		{"NAME", 0},   {"STATE", 0},		   {"IMAGE", 0},
		{"DRIVES", 0}, {"SCOPE", 0},		   {"CPU", 0},
		{"MEMORY", SCOLS_FL_RIGHT}, {"UP", 0}, {"PID", SCOLS_FL_RIGHT}, {NULL, 0},
	};
	struct varlink_answer answer;
	struct libscols_table *table;
	json_t *adjuncts, *adjunct;
	size_t i;

	if (cli_call(cli, NULL, "ListAdjuncts", NULL, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	table = output_table(columns);
	adjuncts = json_object_get(answer.parameters, "adjuncts");
	json_array_foreach(adjuncts, i, adjunct) {
		struct libscols_line *row = output_row(table, NULL);
		const char *state = value_text(adjunct, "state");

		output_cell(row, 0, PAINT_BOLD, "%s", value_text(adjunct, "name"));
		output_cell(row, 1, output_state_paint(state), "%s", state);
		output_cell(row, 2, PAINT_NONE, "%s", value_text(adjunct, "image"));
		output_cell(row, 3, PAINT_NONE, "%s", value_text(adjunct, "drives"));
		output_cell(row, 4, PAINT_NONE, "%s", value_text(adjunct, "scope"));
		output_cell(row, 5, PAINT_NONE, "%s", value_text(adjunct, "cpu"));
		output_cell(row, 6, PAINT_NONE, "%s",
			    unit_memory(value_number(adjunct, "memory_bytes")).text);
		output_cell(row, 7, PAINT_NONE, "%s",
			    value_is_set(adjunct, "uptime_ns") ?
				    unit_duration(value_number(adjunct, "uptime_ns")).text : "-");
		if (value_number(adjunct, "pid") > 0)
			output_cell(row, 8, PAINT_DIM, "%lld",
				    (long long)value_number(adjunct, "pid"));
		else
			output_cell(row, 8, PAINT_DIM, "-");
	}
	output_table_print(table, "no adjuncts: a device of a partition starts one");
	json_array_foreach(adjuncts, i, adjunct)
		output_trouble(adjunct, NULL, value_text(adjunct, "name"));
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

static void show_adjunct(const json_t *adjunct)
{
	struct libscols_table *facts = output_facts();
	const char *state = value_text(adjunct, "state");

	output_fact(facts, "adjunct", PAINT_BOLD, "%s", value_text(adjunct, "name"));
	output_fact(facts, "state", output_state_paint(state), "%s", state);
	output_fact(facts, "serves", PAINT_NONE, "%s/%s", value_text(adjunct, "partition"),
		    value_text(adjunct, "device"));
	output_fact(facts, "drives", PAINT_NONE, "%s", value_text(adjunct, "drives"));
	output_fact(facts, "image", PAINT_NONE, "%s", value_text(adjunct, "image"));
	output_fact(facts, "scope", PAINT_NONE, "%s", value_text(adjunct, "scope"));
	if (value_is_set(adjunct, "clients")) {
		char *clients = output_join(json_object_get(adjunct, "clients"), NULL);

		output_fact(facts, "clients", PAINT_NONE, "%s", clients);
		free(clients);
	}
	output_fact(facts, "cpu", PAINT_NONE, "%s", value_text(adjunct, "cpu"));
	output_fact(facts, "donated memory", PAINT_NONE, "%s",
		    unit_memory(value_number(adjunct, "memory_bytes")).text);
	if (value_number(adjunct, "huge_bytes") > 0)
		output_fact(facts, "in huge pages", PAINT_NONE, "%s",
			    unit_memory(value_number(adjunct, "huge_bytes")).text);
	if (value_is_set(adjunct, "private_bytes"))
		output_fact(facts, "private memory", PAINT_NONE, "%s",
			    unit_memory(value_number(adjunct, "private_bytes")).text);
	if (value_number(adjunct, "pid") > 0)
		output_fact(facts, "pid", PAINT_NONE, "%lld",
			    (long long)value_number(adjunct, "pid"));
	if (value_is_set(adjunct, "uptime_ns"))
		output_fact(facts, "up", PAINT_NONE, "%s",
			    unit_duration(value_number(adjunct, "uptime_ns")).text);
	if (value_is_set(adjunct, "busy_ns"))
		output_fact(facts, "PA_BUSY", PAINT_BUSY, "for %s: its partition does not yield",
			    unit_duration(value_number(adjunct, "busy_ns")).text);
	if (value_is_set(adjunct, "start_ns"))
		output_fact(facts, "started in", PAINT_NONE, "%s",
			    unit_duration(value_number(adjunct, "start_ns")).text);
	output_table_print(facts, "");
	output_trouble(adjunct, NULL, value_text(adjunct, "name"));
}

int cmd_adjunct_show(struct cli *cli)
{
	const char *name = cli->arguments[0];
	struct varlink_answer answer;

	if (cli_call(cli, output_subject("adjunct", name), "GetAdjunct",
		     json_pack("{s:s}", "name", name), CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	show_adjunct(json_object_get(answer.parameters, "adjunct"));
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

/* Asks its device's counters, with which the first frame becomes known; 0: none came yet. */
static int64_t first_frame_ns(struct cli *cli, const char *name)
{
	struct varlink_answer answer;
	const char *dot = strchr(name, '.');
	int64_t result = 0;

	if (!dot || cli_call(cli, NULL, "GetStats",
			     json_pack("{s:s%,s:s}", "partition", name, (size_t)(dot - name),
				       "device", dot + 1), CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return 0;
	varlink_answer_clear(&answer);
	if (cli_call(cli, NULL, "GetAdjunct", json_pack("{s:s}", "name", name), CLI_LOOKUP_NS,
		     &answer) != CLI_DONE)
		return 0;
	result = value_number(json_object_get(answer.parameters, "adjunct"), "first_frame_ns");
	varlink_answer_clear(&answer);
	return result;
}

/* After a restart that took so long; its parts are those of a function by VFIO. */
static void print_gap(struct cli *cli, const char *name, const json_t *gap)
{
	const struct timespec pause = {.tv_nsec = FIRST_FRAME_NS / FIRST_FRAME_TRIES};
	int64_t gap_ns = value_number(gap, "gap_ns"), leave_ns = value_number(gap, "leave_ns"),
		reset_ns = value_number(gap, "reset_ns"), frame_ns = 0;

	printf("adjunct %s restarted; nobody served for %s\n", name, unit_duration(gap_ns).text);
	if (!reset_ns)
		return;
	printf("  the old one was gone after %s\n", unit_duration(leave_ns).text);
	printf("  reset   %s\n", unit_duration(reset_ns).text);
	printf("  attach  %s\n", unit_duration(gap_ns - leave_ns - reset_ns).text);
	for (unsigned i = 0; i < FIRST_FRAME_TRIES && !frame_ns; i++) {
		nanosleep(&pause, NULL);
		frame_ns = first_frame_ns(cli, name);
	}
	if (frame_ns)
		printf("  first frame %s after that\n", unit_duration(frame_ns).text);
	else
		printf("  no frame came for %s\n", unit_duration(FIRST_FRAME_NS).text);
}

int cmd_adjunct_restart(struct cli *cli)
{
	const char *name = cli->arguments[0];
	struct varlink_answer answer;

	if (cli_call(cli, output_subject("adjunct", name), "RestartAdjunct",
		     json_pack("{s:s}", "name", name), CLI_WORK_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	if (!cli->quiet)
		print_gap(cli, name, answer.parameters);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}
