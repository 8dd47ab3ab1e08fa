/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines of our programs; see log.h. Opened once by main(), used on every
 * thread: a line is formatted on the caller's stack and goes out with one
 * write(), the sink is called under a lock.
 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES 2048

enum style { STYLE_PLAIN, STYLE_COLOUR, STYLE_JOURNAL };

/* Written by log_open() before other threads start. */
static char program_prefix[64];
static enum style style;

static atomic_int level_maximum = LOG_LEVEL_INFO;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*sink_function)(enum log_level level, const char *line, void *data);
static void *sink_data;

/* $JOURNAL_STREAM is "DEVICE:INODE" of the journal's socket (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program, enum log_level maximum)
{
	const char *no_colour = getenv("NO_COLOR");

	snprintf(program_prefix, sizeof(program_prefix), "%s: ", program);
	atomic_store_explicit(&level_maximum, (int)maximum, memory_order_relaxed);
	if (stderr_is_journal())
		style = STYLE_JOURNAL;
	else if (isatty(STDERR_FILENO) && !(no_colour && *no_colour))
		style = STYLE_COLOUR;
	else
		style = STYLE_PLAIN;
}

void log_set_sink(void (*sink)(enum log_level level, const char *line, void *data), void *data)
{
	pthread_mutex_lock(&sink_lock);
	sink_function = sink;
	sink_data = data;
	pthread_mutex_unlock(&sink_lock);
}

static const struct level {
	enum log_level level;
	const char *word, *colour;
} levels[] = {
	{LOG_LEVEL_ERROR, "error", "\033[31m"},
	{LOG_LEVEL_WARNING, "warning", "\033[33m"},
	{LOG_LEVEL_INFO, "info", ""},
	{LOG_LEVEL_DEBUG, "debug", "\033[2m"},
};

int log_level_parse(const char *word, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(levels[i].word, word)) {
			*out = levels[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

static const struct level *level_find(enum log_level level)
{
	size_t i = 0;

	while (i + 1 < sizeof(levels) / sizeof(levels[0]) && levels[i].level < level)
		i++;
	return &levels[i];
}

/* One line to standard error; where that is gone there is nobody to tell. */
static void write_line(enum log_level level, const char *line)
{
	const struct level *known = level_find(level);
	const char *word = known->level <= LOG_LEVEL_WARNING ? known->word : "";
	char prefix[128];
	char out[LINE_BYTES + sizeof(prefix) + 16];

	if (style == STYLE_JOURNAL)
		snprintf(prefix, sizeof(prefix), "<%d>", (int)known->level);
	else
		snprintf(prefix, sizeof(prefix), "%s%s%s%s", program_prefix,
			 style == STYLE_COLOUR ? known->colour : "", word, *word ? ": " : "");
	int length = snprintf(out, sizeof(out), "%s%s%s\n", prefix, line,
			      style == STYLE_COLOUR && *known->colour ? "\033[0m" : "");
	ssize_t done = write(STDERR_FILENO, out, (size_t)length);

	(void)done;
}

void log_linev(enum log_level level, const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	int saved_errno = errno;

	if ((int)level > atomic_load_explicit(&level_maximum, memory_order_relaxed))
		return;
	int length = vsnprintf(line, sizeof(line), format, arguments);

	if (length < 0)
		snprintf(line, sizeof(line), "a log line could not be formatted: %s", format);
	else if ((size_t)length >= sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);
	for (unsigned char *c = (unsigned char *)line; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
	write_line(level, line);
	pthread_mutex_lock(&sink_lock);
	if (sink_function)
		sink_function(level, line, sink_data);
	pthread_mutex_unlock(&sink_lock);
	errno = saved_errno;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_linev(level, format, arguments);
	va_end(arguments);
}
