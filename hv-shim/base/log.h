/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines of our programs: to standard error, with sd-daemon's "<N>" prefix
 * when standard error is the journal ($JOURNAL_STREAM names it), coloured when
 * it is a terminal and NO_COLOR is unset, and to one sink the program may add
 * (the shim keeps its last lines for `outrigger log`). Programs only: libraries
 * log through a callback in their context. Any thread may log. Control
 * characters are shown as '?', so that what a peer sent cannot forge a line.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>

/* syslog's numbers, the ones used here. */
enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* `program` is shown before each line on a terminal or pipe; lines above `maximum` are dropped. */
void log_open(const char *program, enum log_level maximum);
/* The sink gets each line without prefix, one at a time, and must not log itself; NULL: none. */
void log_set_sink(void (*sink)(enum log_level level, const char *line, void *data), void *data);
/* "error", "warning", "info", "debug" to a level: 0 or -EINVAL. */
int log_level_parse(const char *word, enum log_level *out);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_linev(enum log_level level, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
