/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that was taken over, as an adjunct image: `ethdev`, but each frame it hands
 * to its function lies, by its descriptor, where it was never given memory. Addresses
 * go through low memory, which is the kernel's and everybody's, one page further each
 * time. The linker (-Wl,--wrap=NAME) leads the opening of its port here; confined as
 * any adjunct. Started by the shim for tests/rig/guest/stray_vf.sh.
 */
#include <rte_mbuf.h>

#include "../../adjunct-drivers/ethdev/port.h"

#define STRAY_FIRST UINT64_C(0x1000000)
#define STRAY_END UINT64_C(0x40000000)
#define STRAY_STEP UINT64_C(0x1000)

static const struct port_ops *tap_ops;
static struct port_ops stray_ops;

static int stray_take(struct port *port, struct rte_mbuf **frames, unsigned most)
{
	static rte_iova_t stray = STRAY_FIRST;
	int taken = tap_ops->take(port, frames, most);

	for (int i = 0; i < taken; i++) {
		rte_mbuf_iova_set(frames[i], stray);
		stray = stray + STRAY_STEP < STRAY_END ? stray + STRAY_STEP : STRAY_FIRST;
	}
	return taken;
}

int __real_port_tap_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out);
int __wrap_port_tap_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out);

int __wrap_port_tap_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out)
{
	int result = __real_port_tap_open(env, pool, out);

	if (result)
		return result;
	tap_ops = (*out)->ops;
	stray_ops = *tap_ops;
	stray_ops.take = stray_take;
	(*out)->ops = &stray_ops;
	return 0;
}
