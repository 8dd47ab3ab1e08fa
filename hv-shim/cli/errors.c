/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How failures are told: one line for the person on standard error, with the
 * object, the cause and the next step; with --json the same as one JSON object
 * on standard error, so that standard output holds results only. Called by all
 * files of the program, on its one thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"

static void tell(const struct cli *cli, const char *name, const char *hint, const char *message)
{
	if (cli->silent)
		return;
	if (cli->json) {
		json_t *json = output_json_new(), *error;

		error = json_pack("{s:s, s:s, s:s*}", "name", name, "message", message, "hint",
				  hint);
		/* json_pack refuses text that is not UTF-8: a file name may be such. */
		if (!error)
			error = json_pack("{s:s, s:s}", "name", name, "message",
					  "the message is not UTF-8 text");
		output_put(json, "error", error);
		output_json(stderr, json, true);
		return;
	}
	fprintf(stderr, "%soutrigger:%s ", output_paint(stderr, PAINT_BAD),
		output_paint(stderr, PAINT_NONE));
	output_text(stderr, message);
	fputc('\n', stderr);
	if (hint)
		fprintf(stderr, "  %s\n", hint);
}

__attribute__((format(printf, 4, 0)))
static void tellv(const struct cli *cli, const char *name, const char *hint, const char *format,
		  va_list arguments)
{
	char *message;

	output_need(vasprintf(&message, format, arguments) >= 0);
	tell(cli, name, hint, message);
	free(message);
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tellv(cli, "Failed", NULL, format, arguments);
	va_end(arguments);
	return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
	const struct command *command = cli->command;
	const char *verb = command && !cli->noun_alone ? command->verb : NULL;
	va_list arguments;
	char hint[120];

	snprintf(hint, sizeof(hint), "`outrigger %s%s%s%s--help` shows what there is",
		 command ? command->noun : "", command ? " " : "", verb ? verb : "",
		 verb ? " " : "");
	if (!format) { /* getopt_long has told what */
		fprintf(stderr, "  %s\n", hint);
		return CLI_USAGE;
	}
	va_start(arguments, format);
	tellv(cli, "Usage", hint, format, arguments);
	va_end(arguments);
	return CLI_USAGE;
}

const char *cli_error_name(const char *error)
{
	const char *dot = strrchr(error, '.');

	return dot ? dot + 1 : error;
}

static const char *not_found_hint(const struct cli *cli)
{
	const char *noun = cli->command ? cli->command->noun : "";

	if (strcmp(noun, "adjunct") == 0)
		return "`outrigger adjunct list` shows what there is";
	if (strcmp(noun, "device") == 0)
		return "`outrigger device list` shows what there is";
	return "`outrigger partition list` shows what there is";
}

static const char *hint_of(const struct cli *cli, const char *name)
{
	static const struct {
		const char *name, *hint;
	} hints[] = {
		{"Exists", "`outrigger partition destroy` removes it; `outrigger up` changes it"},
		{"Busy",
		 "`outrigger status` shows what is going on; try again when it has settled"},
		{"Failed", "`outrigger log` may say more"},
		{"NoNamespace", "a partition has one as soon as it has a device of kind tap"},
		{"PermissionDenied", "outriggerd answers its own user, and root"},
		{"MethodNotFound", "`outrigger version` shows whether daemon and program differ"},
		{"InvalidParameter", "`outrigger version` shows whether daemon and program differ"},
	};

	if (strcmp(name, "NotFound") == 0)
		return not_found_hint(cli);
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strcmp(hints[i].name, name) == 0)
			return hints[i].hint;
	return NULL;
}

int cli_fail_answer(const struct cli *cli, const char *subject, const struct varlink_answer *answer)
{
	const char *name = cli_error_name(answer->error);
	const char *said = json_string_value(json_object_get(answer->parameters, "message"));
	const char *object = subject ? strrchr(subject, ' ') : NULL;
	const char *parameter = json_string_value(json_object_get(answer->parameters, "parameter"));
	char *message;
	int length;

	object = object ? object + 1 : subject;
	if (!said && parameter)
		length = asprintf(&message, "outriggerd does not accept \"%s\"", parameter);
	else if (!said)
		length = asprintf(&message, "outriggerd answered %s", answer->error);
	else if (subject && !strstr(said, object))
		length = asprintf(&message, "%s: %s", subject, said);
	else
		length = asprintf(&message, "%s", said);
	output_need(length >= 0);
	tell(cli, name, hint_of(cli, name), message);
	free(message);
	return CLI_FAILED;
}

int cli_fail_transport(const struct cli *cli, int error)
{
	const char *hint = "`systemctl status outriggerd`, or its terminal, may say why";

	switch (error) {
	case -ECONNRESET:
	case -EPIPE:
		tell(cli, "ConnectionLost", hint,
		     "outriggerd closed the connection: it stopped, or refused this user");
		break;
	case -ETIMEDOUT:
		tell(cli, "TimedOut",
		     "`outrigger log` or `outrigger status` may say what it waits for",
		     "outriggerd did not answer in time");
		break;
	case -EPROTO:
		tell(cli, "Protocol", "`outrigger version` shows whether daemon and program differ",
		     "outriggerd's answer is malformed");
		break;
	default:
		cli_fail(cli, "talking to outriggerd: %s", strerror(-error));
	}
	return CLI_FAILED;
}
