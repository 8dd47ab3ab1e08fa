/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `status`: the whole system in one picture; and `version`. Called by main()
 * through the command table, on the program's one thread.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cmd_device.h"
#include "output.h"

#define VF_BOXES_MAX 16

static void show_daemon(const json_t *status)
{
	const char *between = output_symbol(" · ", ", ");

	printf("%s%s%s %soutriggerd %s%s%sup %s%spid %lld%s%s%s",
	       output_paint(stdout, PAINT_GOOD), output_symbol("●", "*"),
	       output_paint(stdout, PAINT_NONE), output_paint(stdout, PAINT_BOLD),
	       value_text(status, "version"), output_paint(stdout, PAINT_NONE), between,
	       unit_duration(value_number(status, "uptime_ns")).text, between,
	       (long long)value_number(status, "pid"),
	       value_true(status, "rootless") ? between : "",
	       value_true(status, "rootless") ? "rootless" : "", between);
	output_text(stdout, value_text(status, "state_dir"));
	putchar('\n');
}

/* "■■□□ 2 of 4": which share of an adapter is given away. */
static void show_vfs(struct libscols_line *row, unsigned column, const json_t *adapter)
{
	int64_t vfs = value_number(adapter, "vfs"), used = value_number(adapter, "vfs_used");
	char boxes[VF_BOXES_MAX * 4 + 1] = "";

	for (int64_t i = 0; i < vfs && vfs <= VF_BOXES_MAX; i++)
		strcat(boxes, i < used ? output_symbol("■", "#") : output_symbol("□", "."));
	output_cell(row, column, PAINT_NONE, "%s%s%lld of %lld", boxes, *boxes ? " " : "",
		    (long long)used, (long long)vfs);
}

static void show_adapters(const json_t *adapters)
{
	static const struct output_column columns[] = {
		{"ADAPTER", 0}, {"STATE", 0}, {"LINK", 0}, {"KIND", 0},
		{"VFS IN USE", 0}, {"FIRMWARE", 0}, {"MODEL", SCOLS_FL_TRUNC}, {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *adapter;
	size_t i;

	json_array_foreach((json_t *)adapters, i, adapter) {
		struct libscols_line *row = output_row(table, NULL);
		const char *state = value_text(adapter, "state"),
			   *link = value_text(adapter, "link");

		output_cell(row, 0, PAINT_BOLD, "%s", value_text(adapter, "name"));
		output_cell(row, 1, output_state_paint(state), "%s", state);
		output_cell(row, 2, output_state_paint(link), "%s", link);
		output_cell(row, 3, PAINT_NONE, "%s", value_text(adapter, "kind"));
		show_vfs(row, 4, adapter);
		output_cell(row, 5, PAINT_NONE, "%s", value_text(adapter, "firmware_version"));
		output_cell(row, 6, PAINT_DIM, "%s", value_text(adapter, "model"));
	}
	output_table_print(table, "no adapters");
}

static const json_t *adjunct_of(const json_t *adjuncts, const json_t *device)
{
	const json_t *adjunct;
	size_t i;

	json_array_foreach((json_t *)adjuncts, i, adjunct) {
		const char *owner = value_text(adjunct, "partition");

		if (strcmp(owner, value_text(device, "partition")) == 0 &&
		    strcmp(value_text(adjunct, "device"), value_text(device, "name")) == 0)
			return adjunct;
	}
	return NULL;
}

enum {
	COLUMN_NAME,
	COLUMN_STATE,
	COLUMN_REACH,
	COLUMN_ARROW,
	COLUMN_ADJUNCT,
	COLUMN_ARROW_2,
	COLUMN_VF
};

/* From the partition's side to the adapter's: how it is reached, who drives it, on what. */
static void show_device(struct libscols_line *row, const json_t *device, const json_t *adjunct)
{
	const char *arrow = output_symbol("→", "->"), *state = value_text(device, "state");
	char *reach = device_reach(device), *vf = device_vf(device);

	output_cell(row, COLUMN_NAME, PAINT_NONE, "%s", value_text(device, "name"));
	output_cell(row, COLUMN_STATE, output_state_paint(state), "%s", state);
	output_cell(row, COLUMN_REACH, PAINT_NONE, "%s", reach);
	output_cell(row, COLUMN_ARROW, PAINT_DIM, "%s", arrow);
	if (!adjunct)
		output_cell(row, COLUMN_ADJUNCT, PAINT_DIM, "%s",
			    value_is_set(device, "adjunct") ? value_text(device, "adjunct") :
			    value_is_set(device, "shared")  ? value_text(device, "shared") :
							      "none");
	else if (value_is_set(adjunct, "busy_ns"))
		/* It waits for its partition's processor, and does not get it. */
		output_cell(row, COLUMN_ADJUNCT, PAINT_BUSY, "%s, PA_BUSY for %s",
			    value_text(adjunct, "image"),
			    unit_duration(value_number(adjunct, "busy_ns")).text);
	else if (value_is_set(adjunct, "uptime_ns") && output_is_wide())
		output_cell(row, COLUMN_ADJUNCT, PAINT_NONE, "%s, up %s",
			    value_text(adjunct, "image"),
			    unit_duration(value_number(adjunct, "uptime_ns")).text);
	else
		output_cell(row, COLUMN_ADJUNCT, PAINT_NONE, "%s", value_text(adjunct, "image"));
	output_cell(row, COLUMN_ARROW_2, PAINT_DIM, "%s", arrow);
	output_cell(row, COLUMN_VF, PAINT_NONE, "%s%s", vf,
		    strcmp(value_text(device, "link"), "down") == 0 ? ", link down" : "");
	free(reach);
	free(vf);
}

static void show_partitions(const json_t *partitions, const json_t *adjuncts)
{
	static const struct output_column columns[] = {
		[COLUMN_NAME] = {"PARTITION", SCOLS_FL_TREE},
		[COLUMN_STATE] = {"STATE", 0},
		[COLUMN_REACH] = {"REACHED BY", SCOLS_FL_WRAP},
		[COLUMN_ARROW] = {"", 0},
		[COLUMN_ADJUNCT] = {"ADJUNCT", 0},
		[COLUMN_ARROW_2] = {"", 0},
		[COLUMN_VF] = {"VF", 0},
		{NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *partition, *device;
	size_t i, j;

	json_array_foreach((json_t *)partitions, i, partition) {
		struct libscols_line *row = output_row(table, NULL);
		const char *state = value_text(partition, "state");

		output_cell(row, COLUMN_NAME, PAINT_BOLD, "%s", value_text(partition, "name"));
		output_cell(row, COLUMN_STATE, output_state_paint(state), "%s", state);
		if (value_is_set(partition, "owner"))
			output_cell(row, COLUMN_REACH, PAINT_DIM, "owner %s",
				    value_text(partition, "owner"));
		json_array_foreach(json_object_get(partition, "devices"), j, device)
			show_device(output_row(table, row), device, adjunct_of(adjuncts, device));
	}
	output_table_print(table, "no partitions: `outrigger up -f FILE` makes some");
}

/* Limits that the document sets and the kernel does not keep. */
static void show_limits(const json_t *status, const json_t *partition)
{
	bool cpus = value_is_set(partition, "cpus_milli") && !value_true(partition, "cpus_enforced");
	bool memory = value_is_set(partition, "memory_bytes") &&
		      !value_true(partition, "memory_enforced");
	const char *why = value_is_set(status, "no_groups") ? value_text(status, "no_groups")
							    : "the kernel has no controller for it here";
	char *message;

	if (!cpus && !memory)
		return;
	output_need(asprintf(&message, "its limit of %s%s%s is not kept: %s",
			     cpus ? "processors" : "", cpus && memory ? " and " : "",
			     memory ? "memory" : "", why) >= 0);
	json_t *trouble = json_pack("{s:s}", "message", message);
	output_need(trouble != NULL);
	output_trouble(trouble, NULL, value_text(partition, "name"));
	json_decref(trouble);
	free(message);
}

/* What is wrong, with whom, last: where the eye ends. */
static void show_troubles(const json_t *status)
{
	const json_t *object, *device;
	size_t i, j;

	json_array_foreach(json_object_get(status, "adapters"), i, object)
		output_trouble(object, NULL, value_text(object, "name"));
	json_array_foreach(json_object_get(status, "partitions"), i, object) {
		show_limits(status, object);
		json_array_foreach(json_object_get(object, "devices"), j, device)
			output_trouble(device, value_text(object, "name"),
				       value_text(device, "name"));
	}
}

int cmd_status(struct cli *cli)
{
	struct varlink_answer answer;
	const json_t *partitions, *adapters;

	if (cli_call(cli, NULL, "GetStatus", NULL, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	partitions = json_object_get(answer.parameters, "partitions");
	adapters = json_object_get(answer.parameters, "adapters");
	show_daemon(answer.parameters);
	putchar('\n');
	show_partitions(partitions, json_object_get(answer.parameters, "adjuncts"));
	if (json_array_size(partitions) || json_array_size(adapters)) {
		putchar('\n');
		show_adapters(adapters);
	}
	show_troubles(answer.parameters);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

/* This program's version always; the daemon's where one runs: its absence is no error. */
int cmd_version(struct cli *cli)
{
	struct varlink_answer answer = {0};
	const char *daemon = NULL;
	json_t *json;

	cli->silent = true;
	if (cli_call(cli, NULL, "GetStatus", NULL, CLI_LOOKUP_NS, &answer) == CLI_DONE)
		daemon = json_string_value(json_object_get(answer.parameters, "version"));
	if (cli->json) {
		json = output_json_new();
		output_put(json, "outrigger", json_string(OTR_VERSION));
		output_put(json, "outriggerd", daemon ? json_string(daemon) : json_null());
		output_json(stdout, json, false);
	} else {
		printf("outrigger %s\n", OTR_VERSION);
		if (daemon)
			printf("outriggerd %s, running\n", daemon);
		else
			puts("outriggerd does not run here");
	}
	varlink_answer_clear(&answer);
	return CLI_DONE;
}
