/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `ethdev` image once more, for tests/e2e/edges.sh: its serving loop, driver,
 * ports and rings are compiled with a call at each coverage edge, and at the edge
 * and visit that the killer has chosen the process ends, there and then. Only
 * this program has any of it; the driver is the same source.
 *
 * Death is an illegal instruction: a confined adjunct may send no signal, not even
 * to itself. To everybody else it is the same as SIGKILL: the kernel ends all
 * threads, and not one instruction of theirs follows.
 *
 * An adjunct counts as serving from its first dispatch on, so that standbys and
 * adjuncts that are being started live. Serving thread, but for edges that
 * librte_vhost's thread comes by.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"
#include "ethdev/ethdev.h"

void __sanitizer_cov_trace_pc_guard_init(uint32_t *first, uint32_t *end);
void __sanitizer_cov_trace_pc_guard(uint32_t *guard);

static struct edges_control *control;
static uint32_t edges;
static bool is_victim;
static _Atomic bool serving;

void __sanitizer_cov_trace_pc_guard_init(uint32_t *first, uint32_t *end)
{
	if (first != end && !*first)
		while (first != end)
			*first++ = ++edges;
}

static _Noreturn void die(void)
{
	atomic_fetch_add_explicit(&control->deaths, 1, memory_order_release);
	__builtin_trap();
}

void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
	uint32_t edge = *guard;

	/* relaxed: the killer waits for what comes of it, not for an order. */
	if (!atomic_load_explicit(&serving, memory_order_relaxed) || edge >= EDGES_MAX)
		return;
	atomic_store_explicit(&control->seen[edge], 1, memory_order_relaxed);
	if (atomic_load_explicit(&control->now, memory_order_relaxed) &&
	    atomic_exchange_explicit(&control->now, 0, memory_order_relaxed))
		die();
	if (atomic_load_explicit(&control->armed, memory_order_relaxed) != edge)
		return;
	if (atomic_fetch_sub_explicit(&control->visits, 1, memory_order_relaxed))
		return;
	atomic_store_explicit(&control->armed, 0, memory_order_relaxed);
	die();
}

static int watched_init(const struct adj_env *env, void **state)
{
	is_victim = control && !strcmp(env->name, control->victim);
	return ethdev_ops.init(env, state);
}

static int watched_dispatch(void *state, unsigned budget)
{
	if (is_victim && !serving) {
		serving = true;
		atomic_fetch_add_explicit(&control->services, 1, memory_order_release);
	}
	return ethdev_ops.dispatch(state, budget);
}

int main(int argc, char **argv)
{
	const char *path = getenv(EDGES_VARIABLE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct adj_ops ops = ethdev_ops;

	if (fd >= 0) {
		void *memory = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		close(fd);
		if (memory == MAP_FAILED)
			return 2;
		control = memory;
		atomic_store(&control->edges, edges);
	}
	ops.init = watched_init;
	ops.dispatch = watched_dispatch;
	return adj_main(&ops, argc, argv);
}
