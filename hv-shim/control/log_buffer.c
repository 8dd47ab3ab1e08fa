/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's last log lines, for `outrigger log`, and those who follow them.
 * Everything the shim logs passes through here. Event-loop thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "log.h"
#include "../shim.h"

#define LINES_KEPT 1000u
#define LINES_DEFAULT 100
#define LINE_BYTES 512

struct line {
	uint64_t time_us;
	enum log_level level;
	char text[LINE_BYTES];
};

struct follower {
	struct follower *next;
	struct log_buffer *log;
	struct varlink_call *call;
};

struct log_buffer {
	struct line lines[LINES_KEPT];
	uint64_t count; /* ever written; the newest is at (count - 1) % LINES_KEPT */
	struct follower *followers;
	bool telling; /* a line that sending a line causes is kept, not sent */
};

static json_t *line_to_json(const struct line *line)
{
	return json_pack("{s:I,s:i,s:s}", "time_us", (json_int_t)line->time_us, "level",
			 (int)line->level, "message", line->text);
}

static void on_line(enum log_level level, const char *text, void *data)
{
	struct log_buffer *log = data;
	struct line *line = &log->lines[log->count++ % LINES_KEPT];
	struct timeval now;

	gettimeofday(&now, NULL);
	line->time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec;
	line->level = level;
	snprintf(line->text, sizeof(line->text), "%s", text);
	/* What comes from elsewhere may not be UTF-8, which JSON must be. */
	for (char *c = line->text; *c; c++)
		if ((unsigned char)*c >= 0x80 || (unsigned char)*c < 0x20)
			*c = '?';
	if (log->telling)
		return;
	log->telling = true;
	for (struct follower *follower = log->followers; follower; follower = follower->next)
		varlink_reply_more(follower->call, line_to_json(line));
	log->telling = false;
}

struct log_buffer *log_buffer_new(void)
{
	struct log_buffer *log = calloc(1, sizeof(*log));

	if (log)
		log_set_sink(on_line, log);
	return log;
}

void log_buffer_free(struct log_buffer *log)
{
	if (!log)
		return;
	log_set_sink(NULL, NULL);
	while (log->followers) {
		struct follower *follower = log->followers;
		log->followers = follower->next;
		free(follower);
	}
	free(log);
}

static void on_follower_gone(void *data)
{
	struct follower *follower = data;
	struct follower **at = &follower->log->followers;

	while (*at != follower)
		at = &(*at)->next;
	*at = follower->next;
	free(follower);
}

void log_buffer_serve(struct log_buffer *log, struct varlink_call *call, json_t *parameters)
{
	uint64_t kept = log->count < LINES_KEPT ? log->count : LINES_KEPT;
	json_int_t lines = LINES_DEFAULT;
	int follow = false;

	if (!varlink_call_unpack(call, parameters, "{s?I,s?b}", "lines", &lines, "follow", &follow))
		return;
	if (lines < 0 || lines > LINES_KEPT) {
		varlink_error_parameter(call, "lines");
		return;
	}
	if ((uint64_t)lines < kept)
		kept = (uint64_t)lines;
	for (uint64_t i = log->count - kept, end = log->count; i < end; i++)
		if (varlink_reply_more(call, line_to_json(&log->lines[i % LINES_KEPT])))
			break;
	if (!follow) {
		varlink_reply(call, NULL);
		return;
	}
	struct follower *follower = calloc(1, sizeof(*follower));
	if (!follower) {
		varlink_errorf(call, "org.outrigger.Shim.Failed", "out of memory");
		return;
	}
	*follower = (struct follower){.next = log->followers, .log = log, .call = call};
	log->followers = follower;
	varlink_call_on_cancel(call, on_follower_gone, follower);
}
