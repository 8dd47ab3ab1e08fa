/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `log`: the daemon's last lines, and with -f every later one. Called by main()
 * through the command table, on the program's one thread.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "log.h"
#include "output.h"

static enum paint level_paint(int64_t level)
{
	if (level <= LOG_LEVEL_ERROR)
		return PAINT_BAD;
	if (level <= LOG_LEVEL_WARNING)
		return PAINT_BUSY;
	return level >= LOG_LEVEL_DEBUG ? PAINT_DIM : PAINT_NONE;
}

static const char *level_word(int64_t level)
{
	if (level <= LOG_LEVEL_ERROR)
		return "error";
	if (level <= LOG_LEVEL_WARNING)
		return "warning";
	return level >= LOG_LEVEL_DEBUG ? "debug" : "info";
}

/* Local time with milliseconds; the date only where it is not today's. */
static void show_time(int64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000), now = time(NULL);
	struct tm then, today;
	char text[40];

	if (!localtime_r(&seconds, &then) || !localtime_r(&now, &today))
		return;
	if (then.tm_yday != today.tm_yday || then.tm_year != today.tm_year) {
		strftime(text, sizeof(text), "%F ", &then);
		fputs(text, stdout);
	}
	strftime(text, sizeof(text), "%T", &then);
	printf("%s.%03d", text, (int)(time_us / 1000 % 1000));
}

static void show_line(const json_t *line)
{
	int64_t level = value_number(line, "level");

	fputs(output_paint(stdout, PAINT_DIM), stdout);
	show_time(value_number(line, "time_us"));
	printf("%s %s%-7s%s ", output_paint(stdout, PAINT_NONE),
	       output_paint(stdout, level_paint(level)), level_word(level),
	       output_paint(stdout, PAINT_NONE));
	fputs(output_paint(stdout, level_paint(level)), stdout);
	output_text(stdout, value_text(line, "message"));
	fputs(output_paint(stdout, PAINT_NONE), stdout);
	putchar('\n');
	fflush(stdout);
}

static void take_line(const struct cli *cli, const json_t *line)
{
	json_t *json;

	if (!value_is_set(line, "message"))
		return; /* the last answer */
	if (!cli->json) {
		show_line(line);
		return;
	}
	json = output_json_new();
	output_need(json_object_update(json, (json_t *)line) >= 0);
	output_json(stdout, json, true);
}

int cmd_log(struct cli *cli)
{
	struct varlink_answer answer;
	bool continues;

	if (cli_call_more(cli, "GetLog", json_pack("{s:i, s:b}", "lines", (int)cli->lines, "follow",
						   cli->follow)) != CLI_DONE)
		return CLI_FAILED;
	do {
		/* Following ends with the person, or with the daemon. */
		int error = cli_next(cli, cli->follow ? 0 : CLI_LOOKUP_NS, &answer);

		if (error < 0)
			return cli_fail_transport(cli, error);
		if (answer.error) {
			cli_fail_answer(cli, NULL, &answer);
			varlink_answer_clear(&answer);
			return CLI_FAILED;
		}
		take_line(cli, answer.parameters);
		continues = answer.continues;
		varlink_answer_clear(&answer);
	} while (continues);
	return CLI_DONE;
}
