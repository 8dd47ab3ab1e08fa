/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line into struct cli, by getopt_long, in two passes: the options
 * before the command's words, then all options, global and the command's own,
 * after them. Called once, by main().
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define OPTIONS_MAX 32
/* getopt_long's value for a long option: no letter can have it. */
#define LONG_BASE 256

struct grammar {
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 2];
	const struct command_option *all[OPTIONS_MAX];
	unsigned count;
};

static void grammar_add(struct grammar *grammar, const struct command_option *options)
{
	for (; options && options->id != OPTION_END; options++) {
		size_t end = strlen(grammar->shorts);
		unsigned index = grammar->count++;

		assert(index < OPTIONS_MAX);
		grammar->all[index] = options;
		grammar->longs[index] = (struct option){
			.name = options->name,
			.has_arg = options->argument ? required_argument : no_argument,
			.val = LONG_BASE + (int)index,
		};
		if (!options->letter)
			continue;
		grammar->shorts[end++] = options->letter;
		if (options->argument)
			grammar->shorts[end++] = ':';
		grammar->shorts[end] = '\0';
	}
}

static const struct command_option *grammar_find(const struct grammar *grammar, int value)
{
	if (value >= LONG_BASE)
		return grammar->all[value - LONG_BASE];
	for (unsigned i = 0; i < grammar->count; i++)
		if (grammar->all[i]->letter == value)
			return grammar->all[i];
	return NULL;
}

static int parse_lines(struct cli *cli, const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 0 || value > 1000)
		return cli_usage(cli, "--lines %s: a number from 0 to 1000 is expected", text);
	cli->lines = (unsigned)value;
	return CLI_DONE;
}

static int parse_count(struct cli *cli, const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 1 || value > 1000000)
		return cli_usage(cli, "--count %s: a number from 1 to 1000000 is expected", text);
	cli->count = (unsigned)value;
	return CLI_DONE;
}

static int parse_interval(struct cli *cli, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < 0.1 || value > 60)
		return cli_usage(cli, "--interval %s: seconds from 0.1 to 60 are expected", text);
	cli->interval_ms = (unsigned)lround(value * 1000);
	return CLI_DONE;
}

static int apply(struct cli *cli, enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_JSON: cli->json = true; break;
	case OPTION_SOCKET: cli->socket = value; break;
	case OPTION_STATE_DIR: cli->state_dir = value; break;
	case OPTION_QUIET: cli->quiet = true; break;
	case OPTION_NO_COLOR: cli->no_color = true; break;
	case OPTION_HELP: cli->help = true; break;
	case OPTION_VERSION: cli->version = true; break;
	case OPTION_FILE: cli->file = value; break;
	case OPTION_DRY_RUN: cli->dry_run = true; break;
	case OPTION_PRUNE: cli->prune = true; break;
	case OPTION_DETAILED_EXITCODE: cli->detailed_exitcode = true; break;
	case OPTION_WATCH: cli->watch = true; break;
	case OPTION_ALL: cli->all = true; break;
	case OPTION_FOLLOW: cli->follow = true; break;
	case OPTION_FORMAT: cli->format = value; break;
	case OPTION_ROOT: cli->root = value; break;
	case OPTION_ALLOW_DISRUPTIVE: cli->allow_disruptive = true; break;
	case OPTION_DRIVER: cli->driver = value; break;
	case OPTION_OWNER: cli->owner = value; break;
	case OPTION_OUTPUT: cli->output = value; break;
	case OPTION_LINES: return parse_lines(cli, value);
	case OPTION_INTERVAL: return parse_interval(cli, value);
	case OPTION_COUNT: return parse_count(cli, value);
	case OPTION_DEVICE:
		if (cli->device_count == CLI_DEVICES_MAX)
			return cli_usage(cli, "more than %d devices", CLI_DEVICES_MAX);
		cli->devices[cli->device_count++] = value;
		break;
	case OPTION_END: break;
	}
	return CLI_DONE;
}

/* One pass; argv[0] is skipped. *rest: index of the first word that is no option. */
static int pass(struct cli *cli, const struct command_option *own, bool stop_at_word, int argc,
		char **argv, int *rest)
{
	struct grammar grammar = {.shorts = ""};
	int value, status;

	if (stop_at_word)
		strcpy(grammar.shorts, "+");
	/* Own options first: their letters win (`log -f`). */
	grammar_add(&grammar, own);
	grammar_add(&grammar, command_global_options);
	optind = 0; /* glibc: begin anew */
	while ((value = getopt_long(argc, argv, grammar.shorts, grammar.longs, NULL)) != -1) {
		const struct command_option *option = grammar_find(&grammar, value);

		/* getopt_long has said what is wrong. */
		if (!option)
			return cli_usage(cli, NULL);
		status = apply(cli, option->id, optarg);
		if (status != CLI_DONE)
			return status;
	}
	*rest = optind;
	return CLI_DONE;
}

static int check_arguments(const struct cli *cli)
{
	const struct command *command = cli->command;

	/* The first word of what the help shows: "NAME...", less the dots. */
	if (cli->argument_count < command->arguments_min)
		return cli_usage(cli, "%.*s is missing", (int)strcspn(command->arguments, " ."),
				 command->arguments);
	if (cli->argument_count > command->arguments_max)
		return cli_usage(cli, "unexpected argument \"%s\"",
				 cli->arguments[command->arguments_max]);
	return CLI_DONE;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
	int rest, status = pass(cli, NULL, true, argc, argv, &rest);
	size_t used = 0;

	cli->interval_ms = 1000;
	cli->lines = 100;
	if (status != CLI_DONE || rest == argc)
		return status;
	argv += rest;
	argc -= rest;
	cli->command = command_find(argv, (size_t)argc, &used);
	if (!cli->command && command_is_noun(argv[0])) {
		/* For the hint: the noun's own help. */
		cli->command = command_find(argv, 1, &used);
		cli->noun_alone = true;
		return cli_usage(cli, "there is no command \"%s %s\"", argv[0], argv[1]);
	}
	if (!cli->command)
		return cli_usage(cli, "there is no command \"%s\"", argv[0]);
	cli->noun_alone = cli->command->verb && used == 1;
	/* The last word of the command stands in for the program's name. */
	argv += used - 1;
	argc -= (int)used - 1;
	argv[0] = program_invocation_short_name;
	status = pass(cli, cli->command->options, cli->command->program_follows, argc, argv, &rest);
	if (status != CLI_DONE || cli->help || cli->version)
		return status;
	cli->argument_count = (unsigned)(argc - rest);
	cli->arguments = argv + rest;
	return check_arguments(cli);
}
