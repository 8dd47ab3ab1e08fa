/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program `outrigger`: a client of outriggerd (org.outrigger.Shim). It
 * parses the command line, runs one row of the command table, and turns what
 * happened into the exit status: 0 done or nothing to do, 1 failed, 2 usage,
 * 10 changes (with --detailed-exitcode). One thread.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "output.h"

/* What standard output did not take must not go unnoticed; a reader who left may. */
static int finish(const struct cli *cli, int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	if (errno == EPIPE)
		return status;
	return cli_fail(cli, "standard output: %s", strerror(errno));
}

static int run(struct cli *cli)
{
	if (cli->version)
		return cmd_version(cli);
	if (cli->help && cli->noun_alone)
		help_noun(cli->command->noun);
	else if (cli->help && cli->command)
		help_command(cli->command);
	else if (cli->help || !cli->command)
		help_overview();
	else
		return cli->command->run(cli);
	return cli->help ? CLI_DONE : CLI_USAGE;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	int status;

	setlocale(LC_ALL, "");
	/* A parent may have had it ignored; a reader that leaves ends us quietly. */
	signal(SIGPIPE, SIG_DFL);
	output_open(true);
	status = cli_parse(&cli, argc, argv);
	if (cli.no_color)
		output_open(false);
	if (status == CLI_DONE)
		status = run(&cli);
	status = finish(&cli, status);
	cli_close(&cli);
	return status;
}
