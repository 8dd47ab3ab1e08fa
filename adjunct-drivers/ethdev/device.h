/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter's side of a net device: one DPDK ethdev port with one receive and
 * one transmit queue, whatever is behind it: a virtual function on vfio-pci, or
 * a port to another process. device.c finds it, device_watch.c looks after its link,
 * device_queues.c configures it.
 *
 * The serving thread calls everything; DPDK's interrupt thread only sets bits
 * in `pending` and writes wake_fd.
 */
#ifndef ETHDEV_DEVICE_H
#define ETHDEV_DEVICE_H

#include <rte_ethdev.h>
#include <stdatomic.h>

#include "adj.h"

struct device {
	const struct adj_env *env;
	/* Frames that leave the partition, and frames for it: apart, so that
	 * quiesce can tell when the last one has left. */
	struct rte_mempool *tx_pool, *rx_pool;
	const struct rte_memzone *frames; /* what both are made of */
	uint16_t port_id; /* while probed */
	struct rte_ether_addr address; /* the partition's, of what reaches it */
	bool probed;      /* DPDK has the port */
	bool present;     /* and it is started: bursts may be called */
	bool rx_interrupts;
	int rx_fd; /* eventfd of the receive interrupt, DPDK's; else -1 */
	bool link_interrupts;
	/* The link of a software port is its peer process: when it goes down, the
	 * peer is gone and the port must be opened anew. */
	bool link_is_peer;
	bool link_up;
	bool link_came_up;       /* it was up since the device was started */
	uint64_t link_polled_ns; /* when it was last asked for, if the device does not tell */
	uint16_t tx_descriptors;
	/* Of such a device, too: the frame that its transmit ring is seen not to have sent
	 * yet, as a count of those it was handed, and since when; 0: none. */
	uint32_t unsent;
	uint64_t unsent_ns;
	struct rte_ether_addr others[ADJ_CLIENTS_MAX];
	unsigned other_count;
	int wake_fd;              /* eventfd: something is pending */
	_Atomic unsigned pending; /* enum device_pending bits */
};

enum device_pending { DEVICE_LINK = 1, DEVICE_RESET = 2, DEVICE_REMOVED = 4 };

/* Makes the pools. 0, or -errno, logged: then device_close(). */
int device_prepare(struct device *device, const struct adj_env *env);
/* Probes env->device and starts it. 0; or -errno, logged: it is closed. */
int device_open(struct device *device);
void device_close(struct device *device); /* half-open is fine */

/* What became pending, and attempts to bring a lost device back. 0, or -errno:
 * the device has failed for good. */
int device_attend(struct device *device);

static inline bool device_needs_attention(struct device *device)
{
	/* relaxed: a hint; device_attend() takes the bits with acquire. */
	return !device->present ||
	       atomic_load_explicit(&device->pending, memory_order_relaxed) != 0;
}

/* Before sleeping: 0, or -ENOTSUP if the device cannot interrupt. `handed`: frames it was
 * handed, modulo 2^32. */
int device_arm(struct device *device, uint32_t handed);
void device_disarm(struct device *device);
void device_interrupt(struct device *device, int fd);
/* Asks now; for devices that do not announce their link. */
bool device_link_up(struct device *device);

/* device_watch.c: tells of a link that has changed; and, of a virtual function whose
 * driver announces nothing, looks whether it has to be started anew (DEVICE_RESET). */
void device_link_follow(struct device *device);
void device_poll(struct device *device, uint32_t handed);

/* device_queues.c: a probed port to a started one, by env->port. */
int device_make_pools(struct device *device);
int device_configure(struct device *device);
/* Somebody else behind it has this address, at most ADJ_CLIENTS_MAX of them; has no more. */
void device_add_address(struct device *device, const uint8_t mac[6]);
void device_remove_address(struct device *device, const uint8_t mac[6]);
/* By which frames reach the partition from now on; and whether those of a VLAN do, if the
 * device has a filter for that, which is on afterwards or off (`filter`). 0; -ENOTSUP;
 * -errno of the driver. */
int device_set_address(struct device *device, const struct rte_ether_addr *address);
int device_set_vlan(struct device *device, uint16_t id, bool on, bool filter);

#endif
