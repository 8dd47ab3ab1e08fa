/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell completion from the command table: `completion bash|fish` prints a
 * script; what it offers for names it asks `outrigger names` for, which stays
 * silent where no daemon runs. Called through the command table, on the
 * program's one thread.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cmd_vf.h"
#include "output.h"

static void command_words(char *text, size_t bytes, const struct command *command)
{
	snprintf(text, bytes, "%s%s%s", command->noun, command->verb ? " " : "",
		 command->verb ? command->verb : "");
}

/* What both shells call for names; NULL: none. */
static const char *names_of(enum completes completes)
{
	switch (completes) {
	case COMPLETES_PARTITION:
	case COMPLETES_COMMAND: return "partition";
	case COMPLETES_DEVICE: return "device";
	case COMPLETES_ADJUNCT: return "adjunct";
	case COMPLETES_FUNCTION: return "function";
	default: return NULL;
	}
}

static bool first_of_noun(const struct command *command)
{
	return command == command_table || strcmp(command[-1].noun, command->noun) != 0;
}

/* ---- bash ------------------------------------------------------------------ */

static void bash_option_names(const struct command_option *options)
{
	for (; options && options->id != OPTION_END; options++) {
		if (options->letter)
			printf(" -%c", options->letter);
		printf(" --%s", options->name);
	}
}

/* "-f | --file" with an argument: what goes there. */
static void bash_option_arguments(const struct command_option *options)
{
	for (; options && options->id != OPTION_END; options++) {
		if (!options->argument)
			continue;
		fputs("\t\t", stdout);
		if (options->letter)
			printf("-%c | ", options->letter);
		printf("--%s) %s; return ;;\n", options->name,
		       options->completes == COMPLETES_FILE	 ? "_outrigger_offer -f" :
		       options->completes == COMPLETES_DIRECTORY ? "_outrigger_offer -d" :
								   ":");
	}
}

static void bash_command(const struct command *command)
{
	const char *names = names_of(command->completes);
	char words[60];

	command_words(words, sizeof(words), command);
	printf("\t'%s')\n\t\tcase $prev in\n", words);
	bash_option_arguments(command->options);
	fputs("\t\tesac\n\t\toptions=\"$options", stdout);
	bash_option_names(command->options);
	puts("\"");
	if (command->completes == COMPLETES_COMMAND)
		printf("\t\tif ((count == 1)); then _outrigger_offer -c; return; fi\n"
		       "\t\tif ((count > 1)); then _outrigger_offer -f; return; fi\n");
	if (names)
		printf("\t\targuments=$(outrigger \"${place[@]}\" names %s 2>/dev/null)\n", names);
	else if (command->completes == COMPLETES_SHELL)
		puts("\t\targuments='bash fish'");
	puts("\t\t;;");
}

static void bash_verbs(const char *noun)
{
	printf("\t'%s') arguments='", noun);
	for (const struct command *c = command_table; c->noun; c++)
		if (c->verb && strcmp(c->noun, noun) == 0)
			printf("%s ", c->verb);
	puts("' ;;");
}

void completion_bash(void)
{
	const char *separator = "";

	fputs("# bash completion for outrigger; made by `outrigger completion bash`.\n"
	      "_outrigger_offer()\n"
	      "{\n"
	      "\tcompopt -o filenames 2>/dev/null\n"
	      "\tmapfile -t COMPREPLY < <(compgen \"$@\" -- \"$cur\")\n"
	      "}\n\n"
	      "_outrigger()\n"
	      "{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command= options= arguments= place=() count=0 i word\n\n"
	      "\tCOMPREPLY=()\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tword=${COMP_WORDS[i]}\n"
	      "\t\tcase $word in\n"
	      "\t\t-s | --socket | --state-dir)\n"
	      "\t\t\tplace+=(\"$word\" \"${COMP_WORDS[i+1]}\")\n"
	      "\t\t\t((i++)) ;;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*)\n"
	      "\t\t\tcase $command in\n"
	      "\t\t\t'') command=$word ;;\n"
	      "\t\t\t", stdout);
	for (const struct command *c = command_table; c->noun; c++) {
		if (!c->verb || !first_of_noun(c))
			continue;
		printf("%s%s", separator, c->noun);
		separator = " | ";
	}
	puts(") command=\"$command $word\" ;;\n"
	     "\t\t\t*) ((count++)) ;;\n"
	     "\t\t\tesac ;;\n"
	     "\t\tesac\n"
	     "\tdone");
	fputs("\toptions='", stdout);
	bash_option_names(command_global_options);
	puts("'\n\tcase $prev in");
	bash_option_arguments(command_global_options);
	puts("\tesac\n\tcase $command in");
	fputs("\t'') arguments='", stdout);
	for (const struct command *c = command_table; c->noun; c++)
		if (!c->hidden && first_of_noun(c))
			printf("%s ", c->noun);
	puts("' ;;");
	for (const struct command *c = command_table; c->noun; c++) {
		if (c->hidden)
			continue;
		if (c->verb && first_of_noun(c))
			bash_verbs(c->noun);
		bash_command(c);
	}
	puts("\tesac\n"
	     "\tcase $cur in\n"
	     "\t-*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\") ;;\n"
	     "\t*) mapfile -t COMPREPLY < <(compgen -W \"$arguments\" -- \"$cur\") ;;\n"
	     "\tesac\n"
	     "}\n"
	     "complete -F _outrigger outrigger");
}

/* ---- fish ------------------------------------------------------------------ */

static void fish_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		printf("%s%c", *text == '\'' || *text == '\\' ? "\\" : "", *text);
	putchar('\'');
}

static void fish_options(const char *condition, const struct command_option *options)
{
	for (; options && options->id != OPTION_END; options++) {
		printf("complete -c outrigger%s -l %s", condition, options->name);
		if (options->letter)
			printf(" -s %c", options->letter);
		if (options->argument)
			fputs(options->completes == COMPLETES_FILE	  ? " -r -F" :
			      options->completes == COMPLETES_DIRECTORY ?
				      " -x -a '(__fish_complete_directories)'" :
				      " -x",
			      stdout);
		fputs(" -d ", stdout);
		fish_quoted(options->help);
		putchar('\n');
	}
}

static void fish_command(const struct command *command)
{
	const char *names = names_of(command->completes);
	char words[60], condition[100];

	command_words(words, sizeof(words), command);
	printf("complete -c outrigger -n '__outrigger_at %s' -a %s -d ",
	       command->verb ? command->noun : "", command->verb ? command->verb : command->noun);
	fish_quoted(command->help);
	putchar('\n');
	snprintf(condition, sizeof(condition), " -n '__outrigger_in %s'", words);
	fish_options(condition, command->options);
	if (names)
		printf("complete -c outrigger -n '__outrigger_%s %s' -a "
		       "'(outrigger names %s 2>/dev/null)'\n",
		       command->completes == COMPLETES_COMMAND ? "at" : "in", words, names);
	if (command->completes == COMPLETES_COMMAND)
		printf("complete -c outrigger -n '__outrigger_after %s' -a "
		       "'(__fish_complete_subcommand --fcs-skip=3)'\n", words);
	if (command->completes == COMPLETES_SHELL)
		printf("complete -c outrigger -n '__outrigger_at %s' -a 'bash fish'\n", words);
}

void completion_fish(void)
{
	puts("# fish completion for outrigger; made by `outrigger completion fish`.\n"
	     "function __outrigger_words\n"
	     "\tset -l skip 0\n"
	     "\tfor word in (commandline -opc)[2..-1]\n"
	     "\t\tif test $skip = 1\n"
	     "\t\t\tset skip 0\n"
	     "\t\t\tcontinue\n"
	     "\t\tend\n"
	     "\t\tswitch $word\n"
	     "\t\t\tcase -s --socket --state-dir\n"
	     "\t\t\t\tset skip 1\n"
	     "\t\t\tcase '-*'\n"
	     "\t\t\tcase '*'\n"
	     "\t\t\t\techo $word\n"
	     "\t\tend\n"
	     "\tend\n"
	     "end\n"
	     "function __outrigger_at # exactly these words so far\n"
	     "\ttest \"$(string join ' ' -- (__outrigger_words))\" = \"$argv\"\n"
	     "end\n"
	     "function __outrigger_in # these words first\n"
	     "\tstring match -q -- \"$argv *\" \"$(string join ' ' -- (__outrigger_words)) \"\n"
	     "end\n"
	     "function __outrigger_after # these words, and at least one more\n"
	     "\t__outrigger_in $argv; and not __outrigger_at $argv\n"
	     "end\n"
	     "complete -c outrigger -f");
	fish_options("", command_global_options);
	for (const struct command *c = command_table; c->noun; c++) {
		if (c->hidden)
			continue;
		if (c->verb && first_of_noun(c))
			printf("complete -c outrigger -n '__outrigger_at' -a %s -d 'list, show'\n",
			       c->noun);
		fish_command(c);
	}
}

int cmd_completion(struct cli *cli)
{
	const char *shell = cli->arguments[0];

	if (strcmp(shell, "bash") == 0)
		completion_bash();
	else if (strcmp(shell, "fish") == 0)
		completion_fish();
	else
		return cli_usage(cli, "no completion for \"%s\": bash or fish", shell);
	return CLI_DONE;
}

/* ---- The names there are ----------------------------------------------------- */

/* In the forms without a colon, at which bash would begin another word. */
static void print_function(const struct vf_function *f)
{
	const struct vf_address *at = &f->address;

	if (f->is_vf && f->pf->ifname[0])
		printf("%s/%u\n", f->pf->ifname, f->index);
	else if (f->ifname[0])
		puts(f->ifname);
	else
		printf("pci_%04x_%02x_%02x_%x\n", at->domain, at->bus, at->slot, at->function);
}

static int print_functions(struct cli *cli)
{
	struct vf_host host;
	int status = vf_open(cli, &host, 0);

	for (unsigned i = 0; i < host.pf_count; i++) {
		print_function(host.pfs[i]);
		for (unsigned v = 0; v < host.pfs[i]->vf_count; v++)
			print_function(&host.pfs[i]->vfs[v]);
	}
	vf_close(&host);
	return status;
}

int cmd_names(struct cli *cli)
{
	static const struct {
		const char *kind, *method, *list;
	} kinds[] = {
		{"partition", "ListPartitions", "partitions"},
		{"device", "ListDevices", "devices"},
		{"adjunct", "ListAdjuncts", "adjuncts"},
	};
	const char *kind = cli->arguments[0];
	struct varlink_answer answer;
	json_t *list, *object;
	size_t row = 0, i;

	while (row < 3 && strcmp(kinds[row].kind, kind) != 0)
		row++;
	if (row == 3 && strcmp(kind, "function") != 0)
		return cli_usage(cli, "\"%s\" is not partition, device, adjunct or function", kind);
	/* A shell asks, in the middle of a line: no message may appear there. */
	cli->silent = true;
	if (row == 3)
		return print_functions(cli);
	if (cli_call(cli, NULL, kinds[row].method, NULL, CLI_LOOKUP_NS, &answer) != CLI_DONE)
		return CLI_FAILED;
	list = json_object_get(answer.parameters, kinds[row].list);
	json_array_foreach(list, i, object)
		printf("%s%s%s\n", row == 1 ? value_text(object, "partition") : "",
		       row == 1 ? "/" : "", value_text(object, "name"));
	varlink_answer_clear(&answer);
	return CLI_DONE;
}
