/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of commands: the one place that knows names, arguments, options
 * and their one-line helps. From it come the parsing (options.c), `--help`,
 * the man page's lists (help.c) and the shell completions (completion.c).
 */
#ifndef COMMAND_TABLE_H
#define COMMAND_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct cli;

/* What a shell offers for a word. */
enum completes {
	COMPLETES_NOTHING,
	COMPLETES_FILE,
	COMPLETES_DIRECTORY,
	COMPLETES_PARTITION, /* the names come from the running daemon */
	COMPLETES_DEVICE,
	COMPLETES_ADJUNCT,
	COMPLETES_FUNCTION, /* of this machine's adapters, without a daemon */
	COMPLETES_COMMAND, /* a program, then what that program takes */
	COMPLETES_SHELL,   /* bash, fish */
};

enum option_id {
	OPTION_END,
	OPTION_JSON,
	OPTION_SOCKET,
	OPTION_STATE_DIR,
	OPTION_QUIET,
	OPTION_NO_COLOR,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_FILE,
	OPTION_DRY_RUN,
	OPTION_PRUNE,
	OPTION_DETAILED_EXITCODE,
	OPTION_DEVICE,
	OPTION_WATCH,
	OPTION_ALL,
	OPTION_INTERVAL,
	OPTION_COUNT,
	OPTION_FOLLOW,
	OPTION_LINES,
	OPTION_FORMAT,
	OPTION_ROOT,
	OPTION_ALLOW_DISRUPTIVE,
	OPTION_DRIVER,
	OPTION_OWNER,
	OPTION_OUTPUT,
};

struct command_option {
	enum option_id id; /* an array ends with OPTION_END */
	char letter;       /* 0: none */
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
	enum completes completes; /* its argument */
};

struct command {
	const char *group; /* heading in the help */
	const char *noun;  /* "partition", or the whole of a command of one word */
	const char *verb;  /* "list", or NULL */
	const char *arguments; /* as the help shows them, or "" */
	unsigned arguments_min, arguments_max;
	enum completes completes; /* its arguments */
	const struct command_option *options; /* or NULL */
	const char *help;
	const char *more; /* a paragraph for the man page and the command's own help, or NULL */
	int (*run)(struct cli *cli); /* answers with the exit status */
	bool hidden;
	bool program_follows; /* options end at the first argument */
};

#define ARGUMENTS_ANY 1000000u

extern const struct command command_table[]; /* ended by a NULL noun */
extern const struct command_option command_global_options[];

/*
 * The command that `words` starts with; *used is the number of words that
 * name it. A noun alone means its `list`. NULL: there is none.
 */
const struct command *command_find(char *const *words, size_t count, size_t *used);
/* Is there a command that starts with this word and needs a second one? */
bool command_is_noun(const char *word);

#endif
