/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `partition list|show|create|destroy`. Called by main() through the command
 * table, on the program's one thread.
 */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "cmd_device.h"
#include "output.h"
#include "yaml_tree.h"

static const char *name_of(const struct cli *cli)
{
	return cli->arguments[0];
}

static void list_partition(struct libscols_table *table, const json_t *partition)
{
	struct libscols_line *row = output_row(table, NULL);
	const char *state = value_text(partition, "state");
	char *devices = device_names(json_object_get(partition, "devices"));

	output_cell(row, 0, PAINT_BOLD, "%s", value_text(partition, "name"));
	output_cell(row, 1, output_state_paint(state), "%s", state);
	output_cell(row, 2, PAINT_NONE, "%s", value_text(partition, "owner"));
	output_cell(row, 3, PAINT_NONE, "%s", value_true(partition, "namespace") ? "yes" : "no");
	output_cell(row, 4, PAINT_NONE, "%s", devices);
	free(devices);
}

/* An adjunct is a partition, too, but for whoever uses it a part of its own (000, FIG. 3). */
static void list_adjunct(struct libscols_table *table, const json_t *adjunct)
{
	struct libscols_line *row = output_row(table, NULL);
	const char *state = value_text(adjunct, "state");

	output_cell(row, 0, PAINT_NONE, "%s", value_text(adjunct, "name"));
	output_cell(row, 1, output_state_paint(state), "%s", state);
	output_cell(row, 2, PAINT_DIM, "adjunct, %s", value_text(adjunct, "scope"));
	output_cell(row, 3, PAINT_DIM, "-");
	output_cell(row, 4, PAINT_DIM, "drives %s", value_text(adjunct, "drives"));
}

/* The adjuncts beside the partitions in `answer`. */
static int add_adjuncts(struct cli *cli, struct varlink_answer *answer)
{
	struct varlink_answer adjuncts;

	if (cli_call(cli, NULL, "ListAdjuncts", NULL, CLI_LOOKUP_NS, &adjuncts) != CLI_DONE)
		return CLI_FAILED;
	output_put(answer->parameters, "adjuncts",
		   json_incref(json_object_get(adjuncts.parameters, "adjuncts")));
	varlink_answer_clear(&adjuncts);
	return CLI_DONE;
}

int cmd_partition_list(struct cli *cli)
{
	static const struct output_column columns[] = {
		{"NAME", 0},      {"STATE", 0},   {"OWNER", 0},
		{"NAMESPACE", 0}, {"DEVICES", 0}, {NULL, 0},
	};
	struct varlink_answer answer;
	struct libscols_table *table;
	const json_t *each;
	size_t i;

	if (cli_call(cli, NULL, "ListPartitions", NULL, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->all && add_adjuncts(cli, &answer) != CLI_DONE) {
		varlink_answer_clear(&answer);
		return CLI_FAILED;
	}
	if (cli->json)
		return output_answer(&answer);
	table = output_table(columns);
	json_array_foreach(json_object_get(answer.parameters, "partitions"), i, each)
		list_partition(table, each);
	json_array_foreach(json_object_get(answer.parameters, "adjuncts"), i, each)
		list_adjunct(table, each);
	output_table_print(table, "no partitions: `outrigger up -f FILE` makes some");
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

static void show_processors(struct libscols_table *facts, const json_t *partition)
{
	bool kept = value_true(partition, "cpus_enforced");

	if (json_object_get(partition, "charged_cpu_us"))
		output_fact(facts, "charged", PAINT_NONE, "%s of processor time",
			    unit_duration(value_number(partition, "charged_cpu_us") * NS_PER_US).text);
	if (json_object_get(partition, "cpus_milli"))
		output_fact(facts, "share", kept ? PAINT_NONE : PAINT_BAD, "%g%% of a processor%s",
			    (double)value_number(partition, "cpus_milli") / 10,
			    kept ? "" : ", which the kernel does not keep: see outrigger log");
	if (value_number(partition, "throttled_us") > 0)
		output_fact(facts, "held up", PAINT_NONE, "%s, for more time than that",
			    unit_duration(value_number(partition, "throttled_us") * NS_PER_US).text);
}

int cmd_partition_show(struct cli *cli)
{
	struct varlink_answer answer;
	struct libscols_table *facts;
	const json_t *partition;
	const char *state;

	if (cli_call(cli, output_subject("partition", name_of(cli)), "GetPartition",
		     json_pack("{s:s}", "name", name_of(cli)), CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	partition = json_object_get(answer.parameters, "partition");
	state = value_text(partition, "state");
	facts = output_facts();
	output_fact(facts, "partition", PAINT_BOLD, "%s", value_text(partition, "name"));
	output_fact(facts, "state", output_state_paint(state), "%s", state);
	output_fact(facts, "owner", PAINT_NONE, "%s", value_text(partition, "owner"));
	output_fact(facts, "socket", PAINT_NONE, "%s", value_text(partition, "socket"));
	if (value_true(partition, "namespace"))
		output_fact(facts, "namespace", PAINT_NONE, "yes: outrigger exec %s",
			    value_text(partition, "name"));
	if (value_number(partition, "keeper_pid") > 0)
		output_fact(facts, "keeper", PAINT_NONE, "pid %lld",
			    (long long)value_number(partition, "keeper_pid"));
	if (json_object_get(partition, "charged_bytes"))
		output_fact(facts, "charged", PAINT_NONE, "%s of memory",
			    unit_memory(value_number(partition, "charged_bytes")).text);
	if (json_object_get(partition, "memory_bytes"))
		output_fact(facts, "limit", PAINT_NONE, "%s of memory%s",
			    unit_memory(value_number(partition, "memory_bytes")).text,
			    value_true(partition, "memory_enforced") ? "" : ", which the kernel does not keep");
	if (value_number(partition, "memory_kills") > 0)
		output_fact(facts, "killed", PAINT_BAD, "%lld times, for more memory than that",
			    (long long)value_number(partition, "memory_kills"));
	show_processors(facts, partition);
	output_table_print(facts, "");
	putchar('\n');
	device_table(json_object_get(partition, "devices"), false);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

/* The partition in --file, an object. NULL: told why. */
static json_t *load_file(const struct cli *cli)
{
	struct yaml_tree *tree = NULL;
	struct yaml_error error = {0};
	struct source source;
	json_t *partition = NULL;
	int result;

	if (source_read(cli, cli->file, &source) != CLI_DONE)
		return NULL;
	result = yaml_tree_load(source.text, source.bytes, &tree, &error);
	if (result == -ENOMEM)
		output_no_memory();
	if (result < 0)
		source_refused(cli, &source, error.line, error.message);
	else if (!json_is_object(yaml_tree_root(tree)))
		source_refused(cli, &source, 1, "one partition is expected: keys and values");
	else if (json_object_get(yaml_tree_root(tree), "partitions"))
		source_refused(cli, &source, 1,
			       "this is a whole document: `outrigger up -f` takes those; here one "
			       "partition is expected");
	else
		partition = json_deep_copy(yaml_tree_root(tree));
	yaml_tree_free(tree);
	source_free(&source);
	return partition;
}

static int add_devices(const struct cli *cli, json_t *partition)
{
	json_t *devices = json_object_get(partition, "devices"), *device;
	char reason[200];

	if (!devices) {
		devices = json_array();
		output_put(partition, "devices", devices);
	}
	for (unsigned i = 0; i < cli->device_count; i++) {
		if (partition_spec_parse(cli->devices[i], &device, reason, sizeof(reason)) < 0)
			return cli_usage(cli, "--device %s: %s", cli->devices[i], reason);
		if (json_array_append_new(devices, device) < 0)
			return cli_fail(cli, "%s: \"devices\" is not a list", cli->file);
	}
	return CLI_DONE;
}

static int check_name(const struct cli *cli, json_t *partition)
{
	const json_t *name = json_object_get(partition, "name");

	if (json_is_string(name) && strcmp(json_string_value(name), name_of(cli)) != 0)
		return cli_fail(cli, "%s names the partition \"%s\", the command line \"%s\"",
				cli->file, json_string_value(name), name_of(cli));
	if (json_object_set_new(partition, "name", json_string(name_of(cli))) < 0)
		return cli_usage(cli, "the name is not UTF-8 text");
	return CLI_DONE;
}

int cmd_partition_create(struct cli *cli)
{
	struct varlink_answer answer;
	json_t *partition;
	int status;

	if (!cli->file && cli->device_count == 0)
		return cli_usage(cli,
				 "--file or --device is missing: what is partition %s made of?",
				 name_of(cli));
	partition = cli->file ? load_file(cli) : json_object();
	if (!partition)
		return CLI_FAILED;
	status = add_devices(cli, partition);
	if (status == CLI_DONE)
		status = check_name(cli, partition);
	if (status != CLI_DONE) {
		json_decref(partition);
		return status;
	}
	if (cli_call(cli, output_subject("partition", name_of(cli)), "CreatePartition",
		     json_pack("{s:o}", "partition", partition), CLI_WORK_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	varlink_answer_clear(&answer);
	if (cli->json)
		output_names("created", &cli->arguments[0], 1);
	else if (!cli->quiet)
		printf("%s+%s partition %s\n", output_paint(stdout, PAINT_GOOD),
		       output_paint(stdout, PAINT_NONE), name_of(cli));
	return CLI_DONE;
}

/* One that cannot go does not keep the others; without the daemon none can. */
int cmd_partition_destroy(struct cli *cli)
{
	unsigned done = 0;

	for (unsigned i = 0; i < cli->argument_count; i++) {
		char *name = cli->arguments[i];
		struct varlink_answer answer;

		if (cli_call(cli, output_subject("partition", name), "DestroyPartition",
			     json_pack("{s:s}", "name", name), CLI_WORK_NS, &answer) != CLI_DONE) {
			if (!cli->conn)
				break;
			continue;
		}
		varlink_answer_clear(&answer);
		if (!cli->json && !cli->quiet)
			printf("%s-%s partition %s\n", output_paint(stdout, PAINT_BAD),
			       output_paint(stdout, PAINT_NONE), name);
		/* Those that went come first, for the list. */
		cli->arguments[i] = cli->arguments[done];
		cli->arguments[done++] = name;
	}
	if (cli->json)
		output_names("destroyed", cli->arguments, done);
	return done == cli->argument_count ? CLI_DONE : CLI_FAILED;
}
