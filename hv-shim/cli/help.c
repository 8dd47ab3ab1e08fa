/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Help from the command table: the overview, one noun, one command, and the
 * same lists as parts of the man page (`help --format=man`) and as Markdown.
 * Called by main() and by `help`, on the program's one thread.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "output.h"
#include "text/outrigger.1.in.h"

#define HELP_COLUMN 32
#define HELP_WIDTH 84

/* "partition create NAME", with what its options need in the overview. */
static int usage_words(char *text, size_t bytes, const struct command *command)
{
	return snprintf(text, bytes, "%s%s%s%s%s", command->noun, command->verb ? " " : "",
			command->verb ? command->verb : "", *command->arguments ? " " : "",
			command->arguments);
}

/* A paragraph, broken at blanks; every line but the first is indented. */
static void paragraph(const char *text, int indent)
{
	const size_t width = HELP_WIDTH - (size_t)indent;

	for (bool first = true; *text; first = false) {
		size_t length = strlen(text);

		if (length > width) {
			length = width;
			while (length > 1 && text[length] != ' ')
				length--;
		}
		printf("%*s%.*s\n", first ? 0 : indent, "", (int)length, text);
		text += length;
		text += strspn(text, " ");
	}
}

static void two_columns(const char *left, const char *right)
{
	if (strlen(left) + 1 < HELP_COLUMN)
		printf("  %-*s", HELP_COLUMN, left);
	else
		printf("  %s\n  %-*s", left, HELP_COLUMN, "");
	paragraph(right, HELP_COLUMN + 2);
}

/* "-f, --file FILE" */
static void option_words(char *text, size_t bytes, const struct command_option *option)
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	snprintf(text, bytes, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
		 option->argument ? option->argument : "");
}

static void heading(const char *text)
{
	printf("%s%s%s\n", output_paint(stdout, PAINT_BOLD), text,
	       output_paint(stdout, PAINT_NONE));
}

static void list_options(const char *title, const struct command_option *options)
{
	char words[100];

	if (!options)
		return;
	putchar('\n');
	heading(title);
	for (; options->id != OPTION_END; options++) {
		option_words(words, sizeof(words), options);
		two_columns(words, options->help);
	}
}

static void list_commands(const char *noun)
{
	const char *group = "";
	char words[100];

	for (const struct command *c = command_table; c->noun; c++) {
		if (c->hidden || (noun && strcmp(noun, c->noun) != 0))
			continue;
		if (strcmp(group, c->group) != 0) {
			group = c->group;
			putchar('\n');
			heading(group);
		}
		usage_words(words, sizeof(words), c);
		two_columns(words, c->help);
	}
}

void help_overview(void)
{
	puts("outrigger: virtual functions for partitions, each through a driver of its own\n");
	heading("Usage");
	puts("  outrigger [OPTION...] COMMAND [ARGUMENT...]");
	list_commands(NULL);
	list_options("Options, with every command", command_global_options);
	puts("\n`outrigger COMMAND --help` tells more; so does `man outrigger`.");
}

void help_noun(const char *noun)
{
	heading("Usage");
	printf("  outrigger %s VERB [OPTION...] [ARGUMENT...]\n", noun);
	list_commands(noun);
	list_options("Options, with every command", command_global_options);
}

void help_command(const struct command *command)
{
	char words[100];

	usage_words(words, sizeof(words), command);
	heading("Usage");
	printf("  outrigger %s%s\n\n", words, command->options ? " [OPTION...]" : "");
	printf("%c%s.\n", toupper((unsigned char)*command->help), command->help + 1);
	if (command->more) {
		putchar('\n');
		paragraph(command->more, 0);
	}
	list_options("Options", command->options);
	list_options("Options, with every command", command_global_options);
}

/* ---- For the man page ------------------------------------------------------ */

/* roff's escapes, lines of a decent length, and none that begins with a control. */
static void roff(const char *text)
{
	unsigned column = 0;

	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++, column++) {
		bool control_next = text[1] == '.' || text[1] == '\'';

		if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == ' ' && (column > 60 || text[-1] == '.') && !control_next)
			putchar('\n');
		else
			putchar(*text);
		if (*text == ' ' && column > 60)
			column = 0;
	}
}

static void roff_sentence(const char *text)
{
	putchar(toupper((unsigned char)*text));
	roff(text + 1);
	puts(".");
}

/* Upper-case words are what the person fills in: italic; all else is literal: bold. */
static void roff_usage(const char *text)
{
	bool italic = false, bold = false;

	for (; *text; text++) {
		bool upper = *text >= 'A' && *text <= 'Z', lower = *text >= 'a' && *text <= 'z';
		bool sign = *text == '-' || *text == '=';

		if (upper && !italic)
			fputs("\\fI", stdout);
		else if ((lower || sign) && !bold)
			fputs("\\fB", stdout);
		else if (!upper && !lower && !sign && (italic || bold))
			fputs("\\fR", stdout);
		italic = upper;
		bold = lower || sign;
		if (*text == '.')
			fputs("\\&.", stdout);
		else
			printf("%s%c", *text == '-' ? "\\" : "", *text);
	}
	if (italic || bold)
		fputs("\\fR", stdout);
}

static void man_options(const struct command_option *options)
{
	for (; options && options->id != OPTION_END; options++) {
		puts(".TP");
		if (options->letter)
			printf("\\fB\\-%c\\fR, ", options->letter);
		fputs("\\fB\\-\\-", stdout);
		roff(options->name);
		fputs("\\fR", stdout);
		if (options->argument) {
			fputs(" ", stdout);
			roff_usage(options->argument);
		}
		putchar('\n');
		roff_sentence(options->help);
	}
}

static void man_lists(void)
{
	const char *group = "";
	char words[100];

	puts(".SH COMMANDS");
	for (const struct command *c = command_table; c->noun; c++) {
		if (c->hidden)
			continue;
		if (strcmp(group, c->group) != 0) {
			group = c->group;
			printf(".SS %s\n", group);
		}
		usage_words(words, sizeof(words), c);
		fputs(".TP\n", stdout);
		roff_usage(words);
		fputs(c->options ? " [\\fIOPTION\\fR...]\n" : "\n", stdout);
		roff_sentence(c->help);
		if (c->more) {
			roff(c->more);
			putchar('\n');
		}
		if (c->options) {
			puts(".RS");
			man_options(c->options);
			puts(".RE");
		}
	}
	puts(".SH OPTIONS\nThese go with every command, before or after its words.");
	man_options(command_global_options);
}

/* The template, with the lists where it says so. */
void help_man(void)
{
	static const char mark[] = "@COMMANDS_AND_OPTIONS@\n";
	const char *after = strstr(text_outrigger_1_in, mark);

	assert(after);
	printf(".TH OUTRIGGER 1 \"2026-11-20\" \"Outrigger %s\" \"Outrigger\"\n", OTR_VERSION);
	fwrite(text_outrigger_1_in, 1, (size_t)(after - text_outrigger_1_in), stdout);
	man_lists();
	fputs(after + strlen(mark), stdout);
}

void help_markdown(void)
{
	char words[100];

	puts("| command | what it does |\n|---|---|");
	for (const struct command *c = command_table; c->noun; c++) {
		if (c->hidden)
			continue;
		usage_words(words, sizeof(words), c);
		fputs("| `outrigger ", stdout);
		for (const char *w = words; *w; w++)
			printf("%s%c", *w == '|' ? "\\" : "", *w);
		printf("` | %s |\n", c->help);
	}
}

int cmd_help(struct cli *cli)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} formats[] = {
		{"text", help_overview}, {"bash", completion_bash},	  {"fish", completion_fish},
		{"man", help_man},	 {"markdown", help_markdown},
	};
	const struct command *command;
	size_t used;

	for (size_t i = 0; cli->format && i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, cli->format) == 0) {
			formats[i].print();
			return CLI_DONE;
		}
	}
	if (cli->format)
		return cli_usage(cli, "--format %s: text, bash, fish, man or markdown",
				 cli->format);
	if (cli->argument_count == 0) {
		help_overview();
		return CLI_DONE;
	}
	command = command_find(cli->arguments, cli->argument_count, &used);
	if (cli->argument_count == 1 && command_is_noun(cli->arguments[0]))
		help_noun(cli->arguments[0]);
	else if (command && used == cli->argument_count)
		help_command(command);
	else
		return cli_usage(cli, "there is no command \"%s%s%s\"", cli->arguments[0],
				 cli->argument_count > 1 ? " " : "",
				 cli->argument_count > 1 ? cli->arguments[1] : "");
	return CLI_DONE;
}
