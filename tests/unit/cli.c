/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line's parts that need no daemon: units, text of others, the
 * command table and its look-up, the options, and --device. What the commands
 * print is tests/e2e/cli.sh's business. Each test is a process of its own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../../hv-shim/cli/cli.h"
#include "../../hv-shim/cli/output.h"

#define SECOND INT64_C(1000000000)

/* ---- Units ---------------------------------------------------------------- */

Test(units, si_has_three_digits)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{0, "0"}, {7, "7"}, {999, "999"}, {999.5, "1.00 k"}, {1000, "1.00 k"},
		{1234, "1.23 k"}, {12345, "12.3 k"}, {99949, "99.9 k"}, {99951, "100 k"},
		{999499, "999 k"}, {999500, "1.00 M"}, {1e18, "1.00 E"}, {5e21, "5000 E"},
		{0.5, "0.50"}, {-1, "0"}, {0.0 / 0.0, "0"}, {1.0 / 0.0, "0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(unit_si(rows[i].value).text, rows[i].text);
}

Test(units, bytes_and_memory)
{
	cr_expect_str_eq(unit_bytes(0).text, "0 B");
	cr_expect_str_eq(unit_bytes(1500).text, "1.50 kB");
	cr_expect_str_eq(unit_bytes(INT64_MAX).text, "9.22 EB");
	cr_expect_str_eq(unit_memory(32 << 20).text, "32 MiB");
	cr_expect_str_eq(unit_memory(1023).text, "1023 B");
	cr_expect_str_eq(unit_memory(3565158).text, "3.40 MiB");
	cr_expect_str_eq(unit_memory(-1).text, "0 B");
}

Test(units, durations_show_two_units)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{-1, "0 ms"}, {0, "0 ms"}, {87 * SECOND / 1000, "87 ms"}, {SECOND - 1, "999 ms"},
		{SECOND, "1.0 s"}, {59 * SECOND, "59 s"}, {60 * SECOND, "1 min"},
		{61 * SECOND, "1 min 1 s"}, {3600 * SECOND, "1 h"}, {3661 * SECOND, "1 h 1 min"},
		{86400 * SECOND + 59 * SECOND, "1 d"}, {INT64_MAX, "106751 d 23 h"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(unit_duration(rows[i].ns).text, rows[i].text);
}

/* ---- Values and text of others ---------------------------------------------- */

Test(values, of_a_wrong_type_are_absent)
{
	json_t *object = json_pack("{s:i, s:n, s:s, s:s, s:b}", "number", 5, "null", "text", "x",
				   "empty", "", "true", 1);

	cr_expect_str_eq(value_text(object, "text"), "x");
	cr_expect_str_eq(value_text(object, "number"), "-");
	cr_expect_str_eq(value_text(object, "empty"), "-");
	cr_expect_str_eq(value_text(object, "absent"), "-");
	cr_expect_str_eq(value_text(NULL, "text"), "-");
	cr_expect_eq(value_number(object, "number"), 5);
	cr_expect_eq(value_number(object, "text"), 0);
	cr_expect(value_true(object, "true"));
	cr_expect_not(value_true(object, "number"));
	cr_expect(value_is_set(object, "number"));
	cr_expect_not(value_is_set(object, "null"));
	cr_expect_not(value_is_set(object, "empty"));
	json_decref(object);
}

Test(text, of_others_cannot_steer_the_terminal)
{
	char got[100] = {0};
	FILE *stream = fmemopen(got, sizeof(got), "w");

	/* ESC, BEL, carriage return, DEL, and U+009B, a control of eight bits. */
	output_text(stream, "a\033[31m\a\r\177\302\233b\tc \303\251 \n");
	fclose(stream);
	cr_expect_str_eq(got, "a?[31m????b\tc \303\251 \n");
}

/* ---- The table -------------------------------------------------------------- */

Test(table, letters_and_names_are_unambiguous)
{
	for (const struct command *c = command_table; c->noun; c++) {
		unsigned letters[128] = {0};

		cr_expect(c->help && c->run && c->arguments, "%s is incomplete", c->noun);
		cr_expect(c->help[strlen(c->help) - 1] != '.', "%s: help with a full stop",
			  c->noun);
		for (const struct command_option *o = command_global_options; o->id != OPTION_END;
		     o++)
			letters[(unsigned char)o->letter]++;
		for (const struct command_option *o = c->options; o && o->id != OPTION_END; o++) {
			letters[(unsigned char)o->letter]++;
			for (const struct command_option *g = command_global_options;
			     g->id != OPTION_END; g++)
				cr_expect(strcmp(g->name, o->name) != 0, "%s: --%s twice", c->noun,
					  o->name);
		}
		for (int letter = 1; letter < 128; letter++)
			cr_expect(letters[letter] <= 1, "%s %s: -%c twice", c->noun,
				  c->verb ? c->verb : "", letter);
		for (const struct command *d = c + 1; d->noun; d++)
			cr_expect(strcmp(c->noun, d->noun) != 0 ||
				  strcmp(c->verb ? c->verb : "", d->verb ? d->verb : "") != 0);
	}
}

Test(table, finds_commands)
{
	char *device_list[] = {"device", "list", "red"}, *device[] = {"device", "-j"};
	char *status[] = {"status", "list"}, *none[] = {"device", "dance"};
	size_t used = 9;

	cr_expect_eq(command_find(device_list, 3, &used)->run, cmd_device_list);
	cr_expect_eq(used, 2);
	cr_expect_eq(command_find(device, 2, &used)->run, cmd_device_list);
	cr_expect_eq(used, 1);
	cr_expect_eq(command_find(device, 1, &used)->run, cmd_device_list);
	cr_expect_eq(command_find(status, 2, &used)->run, cmd_status);
	cr_expect_eq(used, 1);
	cr_expect_null(command_find(none, 2, &used));
	cr_expect_null(command_find(none, 0, &used));
	cr_expect(command_is_noun("device"));
	cr_expect_not(command_is_noun("status"));
}

/* ---- Options ---------------------------------------------------------------- */

Test(options, before_and_after_the_command)
{
	char *argv[] = {"outrigger",      "-j", "up", "--prune", "-f", "a.yaml", "-n",
			"--state-dir=/x", NULL};
	struct cli cli = {0};

	cr_assert_eq(cli_parse(&cli, 8, argv), CLI_DONE);
	cr_expect_eq(cli.command->run, cmd_up);
	cr_expect(cli.json && cli.prune && cli.dry_run);
	cr_expect_not(cli.detailed_exitcode);
	cr_expect_str_eq(cli.file, "a.yaml");
	cr_expect_str_eq(cli.state_dir, "/x");
	cr_expect_eq(cli.argument_count, 0);
}

Test(options, of_the_program_that_follows_stay_its_own)
{
	char *argv[] = {"outrigger", "exec", "-q", "red", "ping", "-c", "1", "-j", NULL};
	struct cli cli = {0};

	cr_assert_eq(cli_parse(&cli, 8, argv), CLI_DONE);
	cr_expect(cli.quiet);
	cr_expect_not(cli.json);
	cr_expect_eq(cli.argument_count, 5);
	cr_expect_str_eq(cli.arguments[4], "-j");
}

Test(options, may_follow_arguments)
{
	char *argv[] = {"outrigger", "device", "stats", "red/net0", "-w", "-i", "0.25", NULL};
	struct cli cli = {0};

	cr_assert_eq(cli_parse(&cli, 7, argv), CLI_DONE);
	cr_expect(cli.watch);
	cr_expect_eq(cli.interval_ms, 250);
	cr_expect_str_eq(cli.arguments[0], "red/net0");
}

Test(options, more_devices_than_there_is_room_for)
{
	char *argv[2 * CLI_DEVICES_MAX + 8] = {"outrigger", "partition", "create", "red"};
	struct cli cli = {.silent = true};
	int argc = 4;

	for (int i = 0; i <= CLI_DEVICES_MAX; i++) {
		argv[argc++] = "-d";
		argv[argc++] = "name=a";
	}
	cr_expect_eq(cli_parse(&cli, argc, argv), CLI_USAGE);
}

/* What a command has no use for is refused when it is given, not when it is looked at. */
Test(options, numbers)
{
	static const struct {
		const char *option, *value;
		bool fine;
	} rows[] = {
		{"--count", "1", true},     {"--count", "1000000", true}, {"--count", "0", false},
		{"--count", "-1", false},   {"--count", "", false},	  {"--count", "2x", false},
		{"--count", "1000001", false}, {"--count", "x", false},
		{"--interval", "0.1", true},   {"--interval", "60", true}, {"--interval", "60.1", false},
		{"--interval", "nan", false},  {"--interval", "", false},  {"--interval", "1e9", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *argv[] = {"outrigger", "vf", "watch", (char *)(uintptr_t)rows[i].option,
				(char *)(uintptr_t)rows[i].value, NULL};
		struct cli cli = {.silent = true};

		cr_expect_eq(cli_parse(&cli, 5, argv), rows[i].fine ? CLI_DONE : CLI_USAGE, "%s '%s'",
			     rows[i].option, rows[i].value);
	}
}

/* ---- --device ---------------------------------------------------------------- */

static void expect_device(const char *spec, const char *expected)
{
	char reason[200] = "";
	json_t *device = NULL, *wanted = json_loads(expected, 0, NULL);

	cr_assert_not_null(wanted);
	cr_expect_eq(partition_spec_parse(spec, &device, reason, sizeof(reason)), 0, "%s: %s", spec,
		     reason);
	cr_expect(json_equal(device, wanted), "%s", spec);
	json_decref(device);
	json_decref(wanted);
}

Test(device, keys_go_where_they_belong)
{
	expect_device("name=net0,kind=tap", "{\"name\": \"net0\", \"kind\": \"tap\"}");
	expect_device("adapter=soft0,index=3,spoofchk=off,min_tx_rate=5",
		      "{\"vf\": {\"adapter\": \"soft0\", \"index\": 3, \"spoofchk\": false, "
		      "\"min_tx_rate\": 5}}");
	expect_device("cpu=dedicated,memory=64M",
		      "{\"adjunct\": {\"cpu\": \"dedicated\", \"memory\": \"64M\"}}");
	expect_device("adjunct=none", "{\"adjunct\": \"none\"}");
	/* A value may hold what separates keys from values. */
	expect_device("image=a=b", "{\"adjunct\": {\"image\": \"a=b\"}}");
}

Test(device, addresses_make_a_list)
{
	expect_device("address=a", "{\"address\": \"a\"}");
	expect_device("address=a,address=b,address=c", "{\"address\": [\"a\", \"b\", \"c\"]}");
}

Test(device, refused)
{
	static const char *const specs[] = {
		"",
		"name",
		"name=",
		"=net0",
		"name=a,",
		",name=a",
		"vf=x",
		"nothing=1",
		"mtu=1500x",
		"mtu=",
		"index=99999999999999999999",
		"trust=maybe",
		"name=a,name=b",
		"adjunct=none,image=a",
		"image=a,adjunct=none",
		"name=\xff",
	};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		json_t *device = NULL;
		char reason[200] = "";

		cr_expect_eq(partition_spec_parse(specs[i], &device, reason, sizeof(reason)),
			     -EINVAL, "\"%s\"", specs[i]);
		cr_expect_null(device);
		cr_expect(*reason, "\"%s\": no reason", specs[i]);
	}
}
