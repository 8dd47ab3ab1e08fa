/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Further addresses for a function of an 82576 or I350 (igb), which DPDK's driver does not
 * offer: igbvf.c says how. Internal to the driver; device_queues.c asks. The serving thread.
 */
#ifndef ETHDEV_IGBVF_H
#define ETHDEV_IGBVF_H

#include <stdint.h>

#include <rte_ether.h>

/* The port has these besides its own, and no others. 0; -ENOTSUP: it is none of those, and
 * nothing was done; -EACCES: the physical function does not allow it; -EIO: it did not
 * answer. After an error it has some of them. */
int igbvf_set_others(uint16_t port_id, const struct rte_ether_addr *addresses, unsigned count);

#endif
