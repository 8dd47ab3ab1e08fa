/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds the one device this adjunct owns, follows its link, and:
 *   RESET event (the physical function reset us)   reset, configure, start
 *   link up again, or nothing sent, by a function  the same: what the physical
 *   whose driver tells neither                     function did meanwhile is not known
 *   REMOVED event, or the link of a software port down (its peer has gone)
 *                                                  failed: the shim sends another
 *                                                  adjunct, which may open it anew
 */
#include <errno.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_log.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"

/* DPDK's interrupt thread. */
static int on_event(uint16_t port_id, enum rte_eth_event_type type, void *argument, void *result)
{
	struct device *device = argument;
	const uint64_t one = 1;
	unsigned bit = type == RTE_ETH_EVENT_INTR_LSC     ? DEVICE_LINK
		       : type == RTE_ETH_EVENT_INTR_RESET ? DEVICE_RESET
							  : DEVICE_REMOVED;

	(void)port_id;
	(void)result;
	/* release: partner is the exchange in device_attend(). */
	atomic_fetch_or_explicit(&device->pending, bit, memory_order_release);
	(void)!write(device->wake_fd, &one, sizeof(one)); /* EAGAIN: it is ringing already */
	return 0;
}

static const enum rte_eth_event_type events[] = {
	RTE_ETH_EVENT_INTR_LSC,
	RTE_ETH_EVENT_INTR_RESET,
	RTE_ETH_EVENT_INTR_RMV,
};
#define EVENTS (sizeof(events) / sizeof(events[0]))

static int probe(struct device *device)
{
	const struct adj_env *env = device->env;
	struct rte_eth_dev_info info;
	/* This process was given one device, so there is one port. The EAL has probed it
	 * already if it is a PCI device and was there when the EAL started. */
	bool probed = rte_eth_find_next(0) < RTE_MAX_ETHPORTS;
	int result = probed ? 0 : rte_dev_probe(env->device);

	if (result)
		return result;
	device->port_id = (uint16_t)rte_eth_find_next(0);
	if (device->port_id >= RTE_MAX_ETHPORTS)
		return -ENODEV;
	device->probed = true;
	result = rte_eth_dev_info_get(device->port_id, &info);
	if (result)
		return result;
	device->link_is_peer = !strcmp(rte_bus_name(rte_dev_bus(info.device)), "vdev");
	return 0;
}

static void stop(struct device *device)
{
	if (device->rx_fd >= 0)
		device->env->watch(device->env, device->rx_fd, false, false);
	device->rx_fd = -1;
	if (device->present)
		(void)rte_eth_dev_stop(device->port_id); /* a dead one cannot be asked */
	device->present = false;
}

static void remove_port(struct device *device)
{
	struct rte_eth_dev_info info;

	stop(device);
	if (!device->probed)
		return;
	device->probed = false;
	/* VFIO would ask by name what it belongs to; it ends with the process. */
	int result = device->link_is_peer ? rte_eth_dev_info_get(device->port_id, &info)
					  : rte_eth_dev_close(device->port_id);

	if (!result && device->link_is_peer)
		result = rte_dev_remove(info.device);
	if (result)
		device->env->log(device->env, ADJ_LOG_WARNING, "%s could not be let go",
				 device->env->device);
}

/* ---- Losing it and bringing it back ------------------------------------- */

static int restored(struct device *device)
{
	rte_log_set_global_level(RTE_LOG_DEBUG);
	device->env->log(device->env, ADJ_LOG_INFO, "%s was started anew", device->env->device);
	device->env->post_event(device->env, ADJ_EVENT_DEVICE_RESET);
	device->link_came_up = false;
	device_link_follow(device);
	return 0;
}

static int reset(struct device *device)
{
	stop(device);
	int result = rte_eth_dev_reset(device->port_id);

	/* Some drivers for virtual functions have no such call: a start resets those. */
	if (!result || result == -ENOTSUP)
		result = device_configure(device);
	if (!result)
		return restored(device);
	device->env->log(device->env, ADJ_LOG_ERROR, "%s cannot be reset: %s", device->env->device,
			 rte_strerror(-result));
	return result;
}

int device_attend(struct device *device)
{
	/* acquire: partner is on_event(). */
	unsigned pending = atomic_exchange_explicit(&device->pending, 0, memory_order_acquire);

	if (pending & DEVICE_RESET)
		return reset(device);
	if (pending)
		device_link_follow(device);
	/* A confined process cannot open another device: the shim replaces it. */
	if (pending & DEVICE_REMOVED || (device->link_is_peer && !device->link_up)) {
		device->env->log(device->env, ADJ_LOG_ERROR, "%s is gone", device->env->device);
		/* What DPDK's drivers say about a port that is gone is no news. */
		rte_log_set_global_level(RTE_LOG_CRIT);
		stop(device);
		return -ENODEV;
	}
	return 0;
}

/* ---- Sleeping ----------------------------------------------------------- */

int device_arm(struct device *device, uint32_t handed)
{
	if (!device->rx_interrupts) {
		device_poll(device, handed);
		return -ENOTSUP;
	}
	return rte_eth_dev_rx_intr_enable(device->port_id, 0) ? -ENOTSUP : 0;
}

void device_disarm(struct device *device)
{
	if (device->present && device->rx_interrupts)
		(void)rte_eth_dev_rx_intr_disable(device->port_id, 0);
}

void device_interrupt(struct device *device, int fd)
{
	uint64_t count;

	if (fd == device->wake_fd || fd == device->rx_fd)
		(void)!read(fd, &count, sizeof(count)); /* emptied; the rest is looked up */
}

/* ---- Opening and closing ------------------------------------------------ */

int device_prepare(struct device *device, const struct adj_env *env)
{
	*device = (struct device){.env = env, .rx_fd = -1, .wake_fd = -1};
	return device_make_pools(device);
}

int device_open(struct device *device)
{
	const struct adj_env *env = device->env;

	memcpy(device->address.addr_bytes, env->port.mac, sizeof(env->port.mac));
	device->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (device->wake_fd < 0) {
		int error = -errno;

		device_close(device);
		return error;
	}
	int result = env->watch(env, device->wake_fd, true, false);

	for (size_t i = 0; !result && i < EVENTS; i++)
		result = rte_eth_dev_callback_register(RTE_ETH_ALL, events[i], on_event, device);
	if (!result) {
		result = probe(device);
		if (result)
			env->log(env, ADJ_LOG_ERROR, "%s cannot be opened: %s", env->device,
				 rte_strerror(-result));
	}
	if (!result)
		result = device_configure(device);
	if (result)
		device_close(device);
	else
		device_link_follow(device);
	return result;
}

void device_close(struct device *device)
{
	const struct adj_env *env = device->env;

	remove_port(device);
	for (size_t i = 0; i < EVENTS; i++)
		(void)rte_eth_dev_callback_unregister(RTE_ETH_ALL, events[i], on_event, device);
	rte_mempool_free(device->tx_pool);
	rte_mempool_free(device->rx_pool);
	if (device->frames)
		(void)rte_memzone_free(device->frames);
	if (device->wake_fd >= 0) {
		env->watch(env, device->wake_fd, false, false);
		close(device->wake_fd);
	}
	*device = (struct device){.env = env, .rx_fd = -1, .wake_fd = -1};
}
