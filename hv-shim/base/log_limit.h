/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver or a partition does is worth a log line, per message, frame or
 * call; a hostile one must not fill the log. One limit for each source of lines,
 * used on its thread: the soft adapter's for its drivers, the shim's for the
 * clients of each socket and the programs and adjunct of each device.
 */
#ifndef LOG_LIMIT_H
#define LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "log.h"

#define LOG_LINES_PER_SECOND 20

struct log_limit {
	uint64_t second;
	unsigned lines;
};

/* May one more line be logged now? Tells how many were not, when it can again. */
static inline bool log_limit_pass(struct log_limit *limit, const char *about)
{
	uint64_t now = clock_now_ns() / NS_PER_S;

	if (now != limit->second) {
		if (limit->lines > LOG_LINES_PER_SECOND)
			log_warning("%s: %u more lines", about,
				    limit->lines - LOG_LINES_PER_SECOND);
		limit->second = now;
		limit->lines = 0;
	}
	return ++limit->lines <= LOG_LINES_PER_SECOND;
}

#endif
