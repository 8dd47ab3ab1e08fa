/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the program `outrigger` share: the parsed command line, the
 * way to the daemon, and how errors are told. One thread. Functions that can
 * fail report the failure to the person themselves and answer with an exit
 * status, so that a command is a straight line of calls.
 */
#ifndef CLI_H
#define CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command_table.h"
#include "varlink.h"

enum cli_exit {
	CLI_DONE = 0, /* or nothing to do */
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CHANGES = 10, /* with --detailed-exitcode */
	CLI_CANNOT_RUN = 126,
	CLI_NOT_FOUND = 127,
};

/* Version of everything printed with --json. */
#define CLI_JSON_VERSION 1
#define CLI_DEVICES_MAX 64
/* A call that only looks something up, and one that waits for work to settle. */
#define CLI_LOOKUP_NS (UINT64_C(15) * 1000000000)
#define CLI_WORK_NS (UINT64_C(120) * 1000000000)

struct cli {
	const struct command *command;
	bool noun_alone;         /* "device", which means "device list" */
	unsigned argument_count; /* what follows the command's words and options */
	char **arguments;

	/* Options; texts point into argv. */
	bool json, quiet, no_color, help, version;
	bool dry_run, prune, detailed_exitcode, watch, all, follow, allow_disruptive;
	const char *socket, *state_dir, *file, *format, *root, *driver, *owner, *output;
	const char *devices[CLI_DEVICES_MAX];
	unsigned device_count;
	unsigned lines, interval_ms, count;

	bool silent;               /* failures are not told */
	char *socket_path;         /* once connected, or tried */
	struct varlink_conn *conn; /* NULL until the first call */
};

/* ---- options.c: the command line into struct cli ------------------------ */

/* CLI_DONE, or CLI_USAGE: the reason is on standard error. */
int cli_parse(struct cli *cli, int argc, char **argv);

/* ---- connect.c: the daemon ---------------------------------------------- */

/*
 * Calls a method of org.outrigger.Shim: one answer, within `wait_ns`.
 * `parameters` (stolen) may be NULL. CLI_DONE and *answer filled; otherwise the
 * failure has been told, and cli->conn is NULL if it was the connection's.
 * `subject` is what the call is about ("partition red"), for messages, or NULL.
 */
int cli_call(struct cli *cli, const char *subject, const char *method, json_t *parameters,
	     uint64_t wait_ns, struct varlink_answer *answer);
/* Begins a call with many answers; cli_next() fetches them. */
int cli_call_more(struct cli *cli, const char *method, json_t *parameters);
/*
 * Next answer within `wait_ns` (0: for ever), as varlink_wait(): 0 or -errno.
 * Error answers are the caller's to look at.
 */
int cli_next(struct cli *cli, uint64_t wait_ns, struct varlink_answer *answer);
void cli_close(struct cli *cli);

/* ---- errors.c ------------------------------------------------------------ */

/* One line on standard error, "outrigger: ..."; as JSON with --json. CLI_FAILED. */
int cli_fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and where to read on. CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The daemon's refusal, with a next step. CLI_FAILED. */
int cli_fail_answer(const struct cli *cli, const char *subject,
		    const struct varlink_answer *answer);
/* cli_next() or the connection failed with `error` (-errno). CLI_FAILED. */
int cli_fail_transport(const struct cli *cli, int error);
/* Name of an error without its interface: "NotFound". */
const char *cli_error_name(const char *error);

/* ---- source.c ---------------------------------------------------------- */

/* A file's, or standard input's, whole text. */
struct source {
	char *text;
	size_t bytes;
	const char *name; /* for messages: the path, or "standard input" */
};
int source_read(const struct cli *cli, const char *path, struct source *out);
void source_free(struct source *source);
/* FILE:LINE: message, the line itself, and a mark below it. CLI_FAILED. */
int source_refused(const struct cli *cli, const struct source *source, unsigned line,
		     const char *message);

/* ---- partition_spec.c ---------------------------------------------------- */

/*
 * "name=net0,kind=tap,adapter=soft0" into a device as the document has it.
 * 0, or -EINVAL with a sentence in `reason`.
 */
int partition_spec_parse(const char *spec, json_t **device, char *reason, size_t reason_bytes);

/* ---- The commands: cmd_*.c, help.c, completion.c -------------------------- */

int cmd_up(struct cli *cli);
int cmd_down(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_top(struct cli *cli);
int cmd_version(struct cli *cli);
int cmd_log(struct cli *cli);
int cmd_partition_list(struct cli *cli);
int cmd_partition_show(struct cli *cli);
int cmd_partition_create(struct cli *cli);
int cmd_partition_destroy(struct cli *cli);
int cmd_exec(struct cli *cli);
int cmd_device_list(struct cli *cli);
int cmd_device_show(struct cli *cli);
int cmd_device_stats(struct cli *cli);
int cmd_events_show(struct cli *cli);
int cmd_events_top(struct cli *cli);
int cmd_vf_list(struct cli *cli);
int cmd_vf_show(struct cli *cli);
int cmd_vf_apply(struct cli *cli);
int cmd_vf_bind(struct cli *cli);
int cmd_vf_release(struct cli *cli);
int cmd_vf_doctor(struct cli *cli);
int cmd_vf_export(struct cli *cli);
int cmd_vf_watch(struct cli *cli);
int cmd_adjunct_list(struct cli *cli);
int cmd_adjunct_show(struct cli *cli);
int cmd_adjunct_restart(struct cli *cli);
int cmd_completion(struct cli *cli);
int cmd_help(struct cli *cli);
int cmd_names(struct cli *cli);

void help_overview(void);
void help_noun(const char *noun);
void help_command(const struct command *command);
void help_man(void);
void help_markdown(void);
void completion_bash(void);
void completion_fish(void);

#endif
