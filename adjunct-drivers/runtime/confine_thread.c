/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities belong to threads, and the kernel cannot take another thread's
 * away. DPDK starts threads of its own before the adjunct is confined; the
 * linker (-Wl,--wrap=pthread_create) leads their creation here, and each drops
 * every capability before it does anything else. Listed by what uses DPDK:
 * images of drivers, and the embedded adapter.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "confine.h"

struct start {
	void *(*routine)(void *argument);
	void *argument;
};

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*routine)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*routine)(void *argument), void *argument);

static void *run_without_capabilities(void *data)
{
	struct start start = *(struct start *)data;

	free(data);
	/* A thread that keeps them must not run, nor the process without it; the log says why. */
	if (confine_capabilities(CONFINE_NONE, CONFINE_NONE))
		_exit(1);
	return start.routine(start.argument);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*routine)(void *argument), void *argument)
{
	struct start *start = malloc(sizeof(*start));

	if (!start)
		return EAGAIN;
	*start = (struct start){.routine = routine, .argument = argument};
	int error = __real_pthread_create(thread, attributes, run_without_capabilities, start);

	if (error)
		free(start);
	return error;
}
