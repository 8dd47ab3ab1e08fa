/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to the daemon: where its socket is, whether the one who answers there
 * is to be trusted, and calls with a deadline. Called by the commands, on the
 * program's one thread.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "output.h"
#include "unix_socket.h"

#define INTERFACE "org.outrigger.Shim."
#define SYSTEM_SOCKET "/run/outrigger/control.sock"

static int find_socket(struct cli *cli)
{
	char state[PATH_MAX];
	int error, length;

	if (cli->socket) {
		length = asprintf(&cli->socket_path, "%s", cli->socket);
	} else {
		error = state_dir_resolve(cli->state_dir, state, sizeof(state));
		if (error < 0)
			return cli_fail(cli, "the state directory: %s", strerror(-error));
		length = asprintf(&cli->socket_path, "%s/control.sock", state);
	}
	output_need(length >= 0);
	return CLI_DONE;
}

/* Did the person say where, on the command line? */
static bool place_given(const struct cli *cli)
{
	return cli->socket || cli->state_dir;
}

static int fail_connect(const struct cli *cli, int error)
{
	const char *path = cli->socket_path;
	bool systems_runs = !place_given(cli) && access(SYSTEM_SOCKET, F_OK) == 0 &&
			    strcmp(path, SYSTEM_SOCKET) != 0;

	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
	case -ECONNREFUSED:
		return cli_fail(
			cli,
			"outriggerd is not running (%s at %s): start it with "
			"`systemctl start outriggerd`, or `outriggerd%s%s` in another terminal%s",
			error == -ECONNREFUSED ? "nobody listens" : "no socket", path,
			cli->state_dir ? " --state-dir " : "", cli->state_dir ? cli->state_dir : "",
			systems_runs ? "; or become root: root's outriggerd runs" : "");
	case -EACCES:
	case -EPERM:
		return cli_fail(cli,
				"%s: permission denied: outriggerd answers its own user, and root: "
				"try again with sudo", path);
	case -ENAMETOOLONG:
		return cli_fail(cli, "%s: too long for a socket: choose a shorter state directory",
				path);
	default:
		return cli_fail(cli, "%s: cannot connect: %s", path, strerror(-error));
	}
}

/*
 * Someone else may have made the socket, in /tmp say: what comes from there
 * ends up in this terminal, and its descriptors in our programs.
 */
static int check_peer(struct cli *cli)
{
	pid_t pid;
	uid_t uid;
	int error = varlink_conn_peer(cli->conn, &pid, &uid);

	if (error < 0)
		return cli_fail(cli, "%s: %s", cli->socket_path, strerror(-error));
	if (uid == 0 || uid == geteuid() || (geteuid() == 0 && place_given(cli)))
		return CLI_DONE;
	return cli_fail(cli, "%s: belongs to another user (uid %u): not talking to it; "
			     "--socket says where outriggerd is", cli->socket_path, (unsigned)uid);
}

static int connect_once(struct cli *cli)
{
	int error;

	if (cli->conn)
		return CLI_DONE;
	if (find_socket(cli) != CLI_DONE)
		return CLI_FAILED;
	error = varlink_connect(cli->socket_path, &cli->conn);
	if (error < 0)
		return fail_connect(cli, error);
	return check_peer(cli);
}

static int request(struct cli *cli, const char *method, json_t *parameters, unsigned flags)
{
	char *name;
	int error;

	if (connect_once(cli) != CLI_DONE) {
		json_decref(parameters);
		return CLI_FAILED;
	}
	output_need(asprintf(&name, INTERFACE "%s", method) >= 0);
	error = varlink_request(cli->conn, name, parameters, flags, NULL, 0);
	free(name);
	if (error == -EMSGSIZE)
		return cli_fail(cli, "too large: a message to outriggerd has at most %u bytes",
				VARLINK_MESSAGE_MAX);
	return error < 0 ? cli_fail_transport(cli, error) : CLI_DONE;
}

int cli_call_more(struct cli *cli, const char *method, json_t *parameters)
{
	return request(cli, method, parameters, VARLINK_MORE);
}

int cli_next(struct cli *cli, uint64_t wait_ns, struct varlink_answer *answer)
{
	return varlink_wait(cli->conn, wait_ns ? clock_now_ns() + wait_ns : 0, answer);
}

int cli_call(struct cli *cli, const char *subject, const char *method, json_t *parameters,
	     uint64_t wait_ns, struct varlink_answer *answer)
{
	int error;

	if (request(cli, method, parameters, 0) != CLI_DONE)
		return CLI_FAILED;
	error = cli_next(cli, wait_ns, answer);
	if (error < 0) {
		cli_fail_transport(cli, error);
		cli_close(cli);
		return CLI_FAILED;
	}
	if (!answer->error)
		return CLI_DONE;
	cli_fail_answer(cli, subject, answer);
	varlink_answer_clear(answer);
	return CLI_FAILED;
}

void cli_close(struct cli *cli)
{
	varlink_conn_free(cli->conn);
	cli->conn = NULL;
	free(cli->socket_path);
	cli->socket_path = NULL;
}
