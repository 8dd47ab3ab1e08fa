/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that serves nothing and dies at a chosen step of its start (000, FIG.
 * 6 and 7), for tests/e2e/adjunct_steps.sh: an image like any other, on the
 * runtime that all share. The step's name is in the file $OTR_CRASH_AT. Steps of
 * the runtime's own are met where it calls something outside of itself: the
 * linker puts our __wrap_ functions there.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idle.h"
#include "varlink.h"

int __real_descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes);
int __wrap_descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes);
int __real_adjunct_confine_finish(const struct adj_ops *ops, bool donated);
int __wrap_adjunct_confine_finish(const struct adj_ops *ops, bool donated);
void __real_varlink_call_on_cancel(struct varlink_call *call, void (*cancel)(void *data), void *data);
void __wrap_varlink_call_on_cancel(struct varlink_call *call, void (*cancel)(void *data), void *data);

static char crash_at[32];

static void step(const char *name)
{
	if (!strcmp(crash_at, name))
		_exit(66); /* the first process of its namespace cannot abort() */
}

/* It has been sent its memory (745). */
int __wrap_descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes)
{
	step("memory-assigned");
	return __real_descriptor_check_memory(env, what, fd, bytes);
}

int __wrap_adjunct_confine_finish(const struct adj_ops *ops, bool donated)
{
	step("initialised");
	return __real_adjunct_confine_finish(ops, donated);
}

/* The first to ask for that is the shim, which wants to hear events (775, 780). */
void __wrap_varlink_call_on_cancel(struct varlink_call *call, void (*cancel)(void *data), void *data)
{
	step("service-interface");
	__real_varlink_call_on_cancel(call, cancel, data);
}

static int init(const struct adj_env *env, void **state)
{
	step("loaded");
	*state = (void *)env;
	memset(env->memory, 0xa5, env->memory_bytes); /* so that it must be zeroed */
	return 0;
}

static int dispatch(void *state, unsigned budget)
{
	(void)state;
	(void)budget;
	step("dispatched");
	return 0;
}

static int attach(void *state)
{
	(void)state;
	step("attached");
	return 0;
}

static int quiesce(void *state)
{
	(void)state;
	step("quiesced");
	return 0;
}

static void stats(void *state, struct adj_stats *out)
{
	(void)state;
	step("answered"); /* it serves, and is asked how it is */
	*out = (struct adj_stats){0};
}

int main(int argc, char **argv)
{
	struct adj_ops ops = idle_ops;
	const char *path = getenv("OTR_CRASH_AT");
	FILE *file = path ? fopen(path, "re") : NULL;

	ops.name = "crasher";
	ops.init = init;
	ops.dispatch = dispatch;
	ops.attach = attach;
	ops.quiesce = quiesce;
	ops.stats = stats;
	if (!file || (fscanf(file, "%31s", crash_at) != 1 && !feof(file))) {
		fprintf(stderr, "crasher: no OTR_CRASH_AT\n");
		return 2;
	}
	fclose(file);
	step("created");
	return adj_main(&ops, argc, argv);
}
