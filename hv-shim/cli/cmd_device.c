/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `device list|show`, and how other commands show devices. Called by main()
 * through the command table, on the program's one thread.
 */
#include "cmd_device.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"

char *device_names(const json_t *devices)
{
	return output_join(devices, "name");
}

char *device_reach(const json_t *device)
{
	const char *kind = value_text(device, "kind");
	char *addresses, *text;
	int length;

	if (strcmp(kind, "tap") != 0 && strcmp(kind, "netdev") != 0) {
		text = strdup(value_is_set(device, "path") ? value_text(device, "path") :
			      strcmp(kind, "native") == 0  ? "shared rings" : "-");
		output_need(text);
		return text;
	}
	addresses = output_join(json_object_get(device, "addresses"), NULL);
	/* The interface is usually called as the device is: no need to say so. */
	if (strcmp(value_text(device, "ifname"), value_text(device, "name")) == 0)
		length = asprintf(&text, "%s", addresses);
	else
		length = asprintf(&text, "%s on %s", addresses, value_text(device, "ifname"));
	free(addresses);
	output_need(length >= 0);
	return text;
}

char *device_vf(const json_t *device)
{
	char *text;
	int length;

	if (value_is_set(device, "vf"))
		length = asprintf(&text, "%s vf %lld", value_text(device, "adapter"),
				  (long long)value_number(device, "vf"));
	else
		length = asprintf(&text, "%s", value_text(device, "adapter"));
	output_need(length >= 0);
	return text;
}

void device_table(const json_t *devices, bool partition)
{
	const struct output_column columns[] = {
		{"DEVICE", 0}, {"KIND", 0}, {"STATE", 0}, {"LINK", 0},
		{"MAC", output_is_wide() ? 0 : SCOLS_FL_HIDDEN}, {"REACHED BY", SCOLS_FL_WRAP},
		{"VF", 0}, {"ADJUNCT", 0}, {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	const json_t *device;
	size_t i;

	json_array_foreach((json_t *)devices, i, device) {
		struct libscols_line *row = output_row(table, NULL);
		const char *state = value_text(device, "state"), *link = value_text(device, "link");
		char *reach = device_reach(device), *vf = device_vf(device);

		output_cell(row, 0, PAINT_BOLD, "%s%s%s",
			    partition ? value_text(device, "partition") : "", partition ? "/" : "",
			    value_text(device, "name"));
		output_cell(row, 1, PAINT_NONE, "%s", value_text(device, "kind"));
		output_cell(row, 2, output_state_paint(state), "%s", state);
		output_cell(row, 3, output_state_paint(link), "%s", link);
		output_cell(row, 4, PAINT_DIM, "%s", value_text(device, "mac"));
		output_cell(row, 5, PAINT_NONE, "%s", reach);
		output_cell(row, 6, PAINT_NONE, "%s", vf);
		output_cell(row, 7, PAINT_NONE, "%s",
			    value_is_set(device, "adjunct") ? value_text(device, "adjunct") :
			    value_is_set(device, "shared")  ? value_text(device, "shared") :
							      "none");
		free(reach);
		free(vf);
	}
	output_table_print(table, "no devices");
	json_array_foreach((json_t *)devices, i, device)
		output_trouble(device, value_text(device, "partition"), value_text(device, "name"));
}

json_t *device_selector(const struct cli *cli, const char *text, bool whole)
{
	const char *slash = strchr(text, '/');
	json_t *json;

	if ((!slash && !whole) || slash == text ||
	    (slash && (!slash[1] || strchr(slash + 1, '/')))) {
		cli_usage(cli, "\"%s\" is not of the form PARTITION/DEVICE%s", text,
			  whole ? " or PARTITION" : "");
		return NULL;
	}
	json = slash ? json_pack("{s:s%, s:s}", "partition", text, (size_t)(slash - text), "device",
				 slash + 1) :
		       json_pack("{s:s}", "partition", text);
	if (!json)
		cli_usage(cli, "the name is not UTF-8 text");
	return json;
}

int cmd_device_list(struct cli *cli)
{
	const char *partition = cli->argument_count ? cli->arguments[0] : NULL;
	struct varlink_answer answer;

	if (cli_call(cli, partition ? output_subject("partition", partition) : NULL, "ListDevices",
		     json_pack("{s:s*}", "partition", partition), CLI_LOOKUP_NS,
		     &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	device_table(json_object_get(answer.parameters, "devices"), true);
	varlink_answer_clear(&answer);
	return CLI_DONE;
}

static void show_device(const json_t *device)
{
	struct libscols_table *facts = output_facts();
	const char *state = value_text(device, "state"), *link = value_text(device, "link");
	char *reach = device_reach(device), *vf = device_vf(device);

	output_fact(facts, "device", PAINT_BOLD, "%s/%s", value_text(device, "partition"),
		    value_text(device, "name"));
	output_fact(facts, "kind", PAINT_NONE, "%s", value_text(device, "kind"));
	output_fact(facts, "state", output_state_paint(state), "%s", state);
	output_fact(facts, "link", output_state_paint(link), "%s", link);
	output_fact(facts, "mac", PAINT_NONE, "%s", value_text(device, "mac"));
	output_fact(facts, "mtu", PAINT_NONE, "%lld", (long long)value_number(device, "mtu"));
	output_fact(facts, "reached by", PAINT_NONE, "%s", reach);
	if (value_is_set(device, "shared"))
		output_fact(facts, "driven by", PAINT_NONE, "the global adjunct of %s",
			    value_text(device, "shared"));
	else
		output_fact(facts, "driven by", PAINT_NONE, "%s",
			    value_is_set(device, "adjunct") ? value_text(device, "adjunct") :
							      "the partition itself (adjunct: none)");
	output_fact(facts, "vf", PAINT_NONE, "%s", vf);
	if (value_is_set(device, "function"))
		output_fact(facts, "function", PAINT_NONE, "%s", value_text(device, "function"));
	output_table_print(facts, "");
	output_trouble(device, value_text(device, "partition"), value_text(device, "name"));
	free(reach);
	free(vf);
}

int cmd_device_show(struct cli *cli)
{
	json_t *parameters = device_selector(cli, cli->arguments[0], false);
	struct varlink_answer answer;

	if (!parameters)
		return CLI_USAGE;
	if (cli_call(cli, output_subject("device", cli->arguments[0]), "GetDevice", parameters,
		     CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	if (cli->json)
		return output_answer(&answer);
	show_device(json_object_get(answer.parameters, "device"));
	varlink_answer_clear(&answer);
	return CLI_DONE;
}
