/* SPDX-License-Identifier: BSD-2-Clause */
/* See idle.h. */
#include "idle.h"

static int dispatch(void *state, unsigned budget)
{
	(void)state;
	(void)budget;
	return 0;
}

static int arm(void *state, bool on)
{
	(void)state;
	(void)on;
	return 0;
}

static void interrupt(void *state, int fd)
{
	(void)state;
	(void)fd;
}

static int succeed(void *state)
{
	(void)state;
	return 0;
}

static void nothing(void *state)
{
	(void)state;
}

static int save(void *state, void *buffer, size_t size_bytes)
{
	(void)state;
	(void)buffer;
	(void)size_bytes;
	return 0;
}

static int restore(void *state, const void *buffer, size_t size_bytes)
{
	(void)state;
	(void)buffer;
	(void)size_bytes;
	return 0;
}

static void stats(void *state, struct adj_stats *out)
{
	(void)state;
	*out = (struct adj_stats){0};
}

const struct adj_ops idle_ops = {
	.interface_version = ADJ_INTERFACE_VERSION,
	.dispatch = dispatch,
	.arm = arm,
	.interrupt = interrupt,
	.attach = succeed,
	.detach = nothing,
	.quiesce = succeed,
	.save = save,
	.restore = restore,
	.stats = stats,
	.exit = nothing,
};
