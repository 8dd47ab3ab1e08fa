/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-bench-spin: how far apart two CPUs are right now. Two threads, each
 * pinned to one CPU, answer each other through two flag lines, both spinning;
 * prints the median round trip in nanoseconds.
 *
 *   outrigger-bench-spin CPU CPU
 *
 * On a virtual machine the host moves the virtual CPUs about, and every figure
 * that crosses CPUs moves with them: tests/bench/run.sh runs this before and
 * after each such run and throws the run away if the two differ too much.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define ROUNDS_PER_SAMPLE 500u
#define SAMPLES 201u
/* A starved vCPU must not hang the benchmark. */
#define DEADLINE_NS (5 * NS_PER_S)
#define POLLS_PER_CLOCK 4096u

struct line {
	alignas(64) _Atomic uint32_t flag;
	char rest[60];
};

static struct line ping, pong;
static atomic_bool stop;

static int pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* Answers every ping until told to stop. */
static void *answer(void *data)
{
	(void)data;
	for (uint32_t seen = 0; !atomic_load_explicit(&stop, memory_order_relaxed);) {
		/* acquire/release: partners are the ping's store and its load of pong. */
		uint32_t now = atomic_load_explicit(&ping.flag, memory_order_acquire);

		if (now != seen) {
			seen = now;
			atomic_store_explicit(&pong.flag, now, memory_order_release);
		}
	}
	return NULL;
}

/* Starts on its own CPU: behind the first thread it might never get to move. */
static int start_answer(unsigned cpu, pthread_t *thread)
{
	pthread_attr_t attributes;
	cpu_set_t set;
	int error = pthread_attr_init(&attributes);

	if (error)
		return -error;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	error = pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	if (!error)
		error = pthread_create(thread, &attributes, answer, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

/* One round trip; false when the deadline has passed. */
static bool round_trip(uint32_t number, uint64_t deadline_ns)
{
	atomic_store_explicit(&ping.flag, number, memory_order_release);
	for (uint32_t polls = 1; atomic_load_explicit(&pong.flag, memory_order_acquire) != number;
	     polls++)
		if (polls % POLLS_PER_CLOCK == 0 && clock_now_ns() > deadline_ns)
			return false;
	return true;
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static int parse_cpu(const char *text, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value >= CPU_SETSIZE)
		return -EINVAL;
	*out = (unsigned)value;
	return 0;
}

static int measure(double *median_ns)
{
	static double samples[SAMPLES];
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;
	uint32_t number = 0;

	/* The first sample also waits for the other thread to start: not counted. */
	for (unsigned i = 0; i <= SAMPLES; i++) {
		uint64_t start_ns = clock_now_ns();

		for (unsigned round = 0; round < ROUNDS_PER_SAMPLE; round++)
			if (!round_trip(++number, deadline_ns))
				return -ETIMEDOUT;
		if (i)
			samples[i - 1] = (double)(clock_now_ns() - start_ns) / ROUNDS_PER_SAMPLE;
	}
	qsort(samples, SAMPLES, sizeof(*samples), by_value);
	*median_ns = samples[SAMPLES / 2];
	return 0;
}

int main(int argc, char **argv)
{
	unsigned here, there;
	pthread_t thread;
	double median_ns = 0;

	if (argc != 3 || parse_cpu(argv[1], &here) || parse_cpu(argv[2], &there) || here == there) {
		fprintf(stderr, "usage: %s CPU CPU (two different ones)\n", argv[0]);
		return 2;
	}
	int ret = pin(here);
	if (ret) {
		fprintf(stderr, "%s: CPU %u: %s\n", argv[0], here, strerror(-ret));
		return 1;
	}
	ret = start_answer(there, &thread);
	if (ret) {
		fprintf(stderr, "%s: CPU %u: %s\n", argv[0], there, strerror(-ret));
		return 1;
	}
	ret = measure(&median_ns);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	if (ret) {
		fprintf(stderr, "%s: no answer from CPU %u in time\n", argv[0], there);
		return 1;
	}
	printf("%.1f\n", median_ns);
	return 0;
}
