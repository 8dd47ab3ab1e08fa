/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What unit tests of the native port (adjunct-drivers/ethdev/port_native.c) stand on:
 * DPDK without huge pages, and an adjunct's environment of bare functions. Test thread.
 */
#ifndef PORT_SUPPORT_H
#define PORT_SUPPORT_H

#include "ethdev/port.h"

struct rte_mempool;

/* Events of the kind ADJ_EVENT_PARTITION_PROTOCOL so far. */
extern unsigned protocol_events;

/* Starts DPDK, once in a process, and makes `frames` mbufs. */
struct rte_mempool *port_pool_create(unsigned frames);
/* Every mbuf must be back where it came from. */
void port_pool_destroy(struct rte_mempool *pool);

/* A native port on a window of `entries`, with bells of its own. */
struct adj_env port_env(void *window, uint32_t entries, uint32_t mtu, struct adj_inflight *inflight);
void port_env_close(struct adj_env *env);
/* Rings of a bell since the last call. */
unsigned port_bell_rings(int bell);

#endif
