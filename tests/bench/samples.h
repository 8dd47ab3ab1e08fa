/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs of tests/bench that time single round trips share: a processor to
 * stay on, samples, and the percentiles of them. One thread.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define SAMPLES_MAX (1u << 21)

struct samples {
	double *values;
	uint32_t count;
};

/* Ends the program: a benchmark without its processor or memory measures nothing. */
__attribute__((noreturn, format(printf, 1, 2)))
static inline void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static inline void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %u: %s", cpu, strerror(errno));
}

static inline void samples_open(struct samples *samples)
{
	samples->count = 0;
	samples->values = malloc(SAMPLES_MAX * sizeof(*samples->values));
	if (!samples->values)
		die("out of memory");
	/* Touched now, not while something is timed. */
	memset(samples->values, 0xff, SAMPLES_MAX * sizeof(*samples->values));
}

static inline void samples_add(struct samples *samples, double value)
{
	if (samples->count < SAMPLES_MAX)
		samples->values[samples->count++] = value;
}

static inline int samples_by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* Sorts them. `part`: 0.5 is the median. */
static inline double samples_percentile(struct samples *samples, double part)
{
	if (!samples->count)
		die("nothing was measured");
	qsort(samples->values, samples->count, sizeof(*samples->values), samples_by_value);
	return samples->values[(uint32_t)(part * (samples->count - 1))];
}

static inline double samples_mean(const struct samples *samples)
{
	double sum = 0;

	for (uint32_t i = 0; i < samples->count; i++)
		sum += samples->values[i];
	if (!samples->count)
		die("nothing was measured");
	return sum / samples->count;
}

static inline void spin_for(uint64_t ns)
{
	for (uint64_t begun_ns = clock_now_ns(); clock_now_ns() - begun_ns < ns;)
		continue;
}

#endif
