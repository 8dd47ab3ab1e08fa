/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `exec NAME -- PROGRAM`: joins the partition's namespaces and becomes the
 * program. setns() into a user namespace wants a single thread, which this
 * program has. Called by main() through the command table.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"

/* Joining one's own user namespace again is an error to the kernel. */
static bool is_own_user_namespace(int fd)
{
	struct stat theirs, own;

	return fstat(fd, &theirs) == 0 && stat("/proc/self/ns/user", &own) == 0 &&
	       theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

/* The user namespace first: it brings the right to join the network namespace. */
static int join(const struct cli *cli, const struct varlink_answer *answer)
{
	const char *name = cli->arguments[0];
	bool user = value_true(answer->parameters, "user");
	unsigned net = user ? 1 : 0;

	if (answer->fd_count <= net)
		return cli_fail(cli, "partition %s: outriggerd sent no namespace", name);
	if (user && !is_own_user_namespace(answer->fds[0]) &&
	    setns(answer->fds[0], CLONE_NEWUSER) < 0)
		return cli_fail(cli, "partition %s: cannot enter its user namespace: %s", name,
				strerror(errno));
	if (setns(answer->fds[net], CLONE_NEWNET) < 0)
		return cli_fail(cli, "partition %s: cannot enter its network namespace: %s%s", name,
				strerror(errno),
				errno == EPERM && geteuid() != 0 ? ": try again with sudo" : "");
	return CLI_DONE;
}

/* Does not come back unless it fails. */
static int become(const struct cli *cli)
{
	char **words = cli->arguments + 1;
	char *shell[] = {getenv("SHELL"), NULL};
	int error;

	if (*words && strcmp(*words, "--") == 0)
		words++;
	if (!*words) {
		if (!shell[0] || !*shell[0])
			shell[0] = (char *)"/bin/sh";
		words = shell;
	}
	if (setenv("OUTRIGGER_PARTITION", cli->arguments[0], 1) < 0)
		return cli_fail(cli, "%s", strerror(errno));
	fflush(NULL);
	execvp(words[0], words);
	error = errno;
	cli_fail(cli, "%s: %s", words[0],
		 error == ENOENT && !strchr(words[0], '/') ? "not found in PATH" : strerror(error));
	return error == ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN;
}

int cmd_exec(struct cli *cli)
{
	struct varlink_answer answer;
	int status;

	if (cli_call(cli, output_subject("partition", cli->arguments[0]), "OpenNamespace",
		     json_pack("{s:s,s:b}", "name", cli->arguments[0], "join", 1), CLI_LOOKUP_NS,
		     &answer) != CLI_DONE)
		return CLI_FAILED;
	status = join(cli, &answer);
	/* Nothing of ours is open in the program: all descriptors are close-on-exec. */
	varlink_answer_clear(&answer);
	return status == CLI_DONE ? become(cli) : status;
}
