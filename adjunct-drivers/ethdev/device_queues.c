/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packet buffers sized to the donated memory, and a probed port made ready: one
 * queue each way, interrupts where the device has them, MTU, address. Called by
 * device.c at start and again whenever the device lost its state.
 */
#include <errno.h>
#include <rte_mbuf.h>
#include <string.h>

#include "device.h"
#include "igbvf.h"
#include "port.h"

/* What arrives while an adjunct waits for its turn on a shared processor waits in
 * the receive ring: with 256 descriptors a TCP stream loses a frame in twelve. */
#define RX_DESCRIPTORS_MAX 1024u
#define RX_DESCRIPTORS_MIN 128u
#define TX_DESCRIPTORS 256u
#define POOL_CACHE_FRAMES 128u
/* What a pool has besides those in its ring's descriptors: its cache, which is let grow
 * by half, and the bursts in hand. More would be more memory to fill at a start, and to
 * give back at an end. */
#define POOL_RESERVE_FRAMES (POOL_CACHE_FRAMES * 3 / 2 + 4 * BURST_FRAMES)
#define TX_POOL_FRAMES (TX_DESCRIPTORS + POOL_RESERVE_FRAMES)
#define FRAME_BYTES (sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE)
#define POOL_FLAGS RTE_MEMPOOL_F_NO_IOVA_CONTIG
/* What DPDK itself takes of the donated memory: queues, rings, port data. */
#define DPDK_OWN_BYTES (3u << 20)
/* One mbuf with its pool header, as rte_mempool spreads them. */
#define MBUF_BYTES (FRAME_BYTES + 2 * RTE_CACHE_LINE_SIZE)

/*
 * rte_pktmbuf_pool_create(), but for the placement of the frames. Left to itself
 * a mempool on 4 KiB pages puts no object across two of them: one frame a page,
 * so half of the donated memory is lost, and every mbuf's header falls into the
 * same few sets of the first-level cache. Without that rule (its reason is a
 * device that needs physical addresses; the EAL was told to use virtual ones)
 * frames lie back to back. One thread takes and returns them.
 */
static int pool_fill(struct rte_mempool *pool, const struct rte_memzone *zone, size_t offset,
		     size_t bytes)
{
	struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size =
							   RTE_MBUF_DEFAULT_BUF_SIZE};
	int result = rte_mempool_set_ops_byname(pool, "ring_sp_sc", NULL);

	if (result)
		return result;
	rte_pktmbuf_pool_init(pool, &private);
	result = rte_mempool_populate_iova(pool, (char *)zone->addr + offset, zone->iova + offset, bytes,
					   NULL, NULL);
	if (result < 0)
		return result;
	if ((unsigned)result < pool->size)
		return -ENOMEM;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return 0;
}

static struct rte_mempool *pool_make(const char *name, unsigned frames,
				     const struct rte_memzone *zone, size_t offset, size_t bytes)
{
	struct rte_mempool *pool = rte_mempool_create_empty(
		name, frames, FRAME_BYTES, POOL_CACHE_FRAMES, sizeof(struct rte_pktmbuf_pool_private),
		SOCKET_ID_ANY, POOL_FLAGS);
	int result = pool ? pool_fill(pool, zone, offset, bytes) : -rte_errno;

	if (!result)
		return pool;
	rte_mempool_free(pool);
	rte_errno = -result;
	return NULL;
}

/* Of one piece, which is touched at once. */
static int make_pools(struct device *device, unsigned tx_frames, unsigned rx_frames)
{
	size_t frame_bytes = rte_mempool_calc_obj_size(FRAME_BYTES, POOL_FLAGS, NULL);
	size_t tx_bytes = tx_frames * frame_bytes, rx_bytes = rx_frames * frame_bytes;

	device->frames = rte_memzone_reserve_aligned("frames", tx_bytes + rx_bytes, SOCKET_ID_ANY, 0,
						     RTE_CACHE_LINE_SIZE);
	if (!device->frames)
		return -rte_errno;
	device->env->gather(device->env, device->frames->addr, device->frames->len);
	device->tx_pool = pool_make("tx", tx_frames, device->frames, 0, tx_bytes);
	if (device->tx_pool)
		device->rx_pool = pool_make("rx", rx_frames, device->frames, tx_bytes, rx_bytes);
	return device->rx_pool ? 0 : -rte_errno;
}

/* Of both pools. */
static size_t frames_for(unsigned rx_descriptors)
{
	return TX_POOL_FRAMES + rx_descriptors + POOL_RESERVE_FRAMES;
}

int device_make_pools(struct device *device)
{
	const struct adj_env *env = device->env;
	size_t usable = env->memory_bytes > DPDK_OWN_BYTES ? env->memory_bytes - DPDK_OWN_BYTES : 0;
	unsigned descriptors = RX_DESCRIPTORS_MAX;

	while (descriptors >= RX_DESCRIPTORS_MIN && frames_for(descriptors) * MBUF_BYTES > usable)
		descriptors /= 2;
	if (descriptors < RX_DESCRIPTORS_MIN) {
		env->log(env, ADJ_LOG_ERROR,
			 "%zu bytes of donated memory are too few; %zu would do", env->memory_bytes,
			 DPDK_OWN_BYTES + frames_for(RX_DESCRIPTORS_MIN) * MBUF_BYTES);
		return -ENOMEM;
	}
	int result = make_pools(device, TX_POOL_FRAMES, descriptors + POOL_RESERVE_FRAMES);

	if (result)
		env->log(env, ADJ_LOG_ERROR, "no room for %zu packet buffers: %s",
			 frames_for(descriptors), rte_strerror(-result));
	return result;
}

static int fail(const struct device *device, const char *what, int error)
{
	device->env->log(device->env, ADJ_LOG_ERROR, "%s: %s: %s", device->env->device, what,
			 rte_strerror(-error));
	return error;
}

static int configure_port(struct device *device, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {
		.rxmode.mtu = device->env->port.mtu,
		/* Every frame of tx_pool has one reference, so this is safe. */
		.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE,
		.intr_conf.rxq = 1,
		.intr_conf.lsc = !!(*info->dev_flags & RTE_ETH_DEV_INTR_LSC),
		.intr_conf.rmv = !!(*info->dev_flags & RTE_ETH_DEV_INTR_RMV),
	};
	int result = rte_eth_dev_configure(device->port_id, 1, 1, &conf);

	if (result) {
		/* Some drivers refuse what they do not have; polling always works. */
		conf.intr_conf.rxq = 0;
		result = rte_eth_dev_configure(device->port_id, 1, 1, &conf);
	}
	device->rx_interrupts = conf.intr_conf.rxq;
	device->link_interrupts = conf.intr_conf.lsc;
	return result;
}

static int set_up_queues(struct device *device)
{
	uint16_t rx_descriptors = RX_DESCRIPTORS_MAX, tx_descriptors = TX_DESCRIPTORS;

	while (rx_descriptors + POOL_RESERVE_FRAMES > device->rx_pool->size)
		rx_descriptors /= 2;
	int result =
		rte_eth_dev_adjust_nb_rx_tx_desc(device->port_id, &rx_descriptors, &tx_descriptors);

	device->tx_descriptors = tx_descriptors;
	if (!result)
		result = rte_eth_rx_queue_setup(device->port_id, 0, rx_descriptors, SOCKET_ID_ANY,
						NULL, device->rx_pool);
	if (!result)
		result = rte_eth_tx_queue_setup(device->port_id, 0, tx_descriptors, SOCKET_ID_ANY,
						NULL);
	return result;
}

/* The partition's address must reach it: by the filter, else without one. */
static void set_address(struct device *device)
{
	const struct adj_env *env = device->env;
	struct rte_ether_addr has;

	if (!rte_eth_macaddr_get(device->port_id, &has) &&
	    rte_is_same_ether_addr(&has, &device->address))
		return;
	if (!rte_eth_dev_default_mac_addr_set(device->port_id, &device->address))
		return;
	if (rte_eth_promiscuous_enable(device->port_id))
		env->log(env, ADJ_LOG_WARNING,
			 "%s takes neither the partition's address nor promiscuous mode",
			 env->device);
}

/* Another address by the filter, else without one; the embedded adapter is told of it by
 * the shim. */
static void let_in(struct device *device, struct rte_ether_addr *address)
{
	struct rte_eth_dev_info info;
	/* Asked first whether there is room: DPDK logs an error where there is none. */
	bool room = !rte_eth_dev_info_get(device->port_id, &info) &&
		    info.max_mac_addrs > device->other_count;

	if (!(room && !rte_eth_dev_mac_addr_add(device->port_id, address, 0)) &&
	    rte_eth_promiscuous_enable(device->port_id))
		device->env->log(device->env, ADJ_LOG_DEBUG,
				 "%s takes neither another address nor promiscuous mode: who owns it has "
				 "to know the addresses of those who share it", device->env->device);
}

/* True: it is a device that takes all of them at once, or has said why not (on `level`). */
static bool let_all_in(struct device *device, enum adj_log_level level)
{
	int result = igbvf_set_others(device->port_id, device->others, device->other_count);

	if (result && result != -ENOTSUP)
		device->env->log(device->env, level,
				 "%s does not get the %u addresses of those who share it from its physical "
				 "function (%s), so that nobody outside reaches all of them: give the function "
				 "trust (vf: {trust: yes}, or ip link set PF vf N trust on), or fewer clients",
				 device->env->device, device->other_count, strerror(-result));
	return result != -ENOTSUP;
}

static void let_others_in(struct device *device)
{
	if (!device->other_count || let_all_in(device, ADJ_LOG_ERROR))
		return;
	for (unsigned i = 0; i < device->other_count; i++)
		let_in(device, &device->others[i]);
}

void device_add_address(struct device *device, const uint8_t mac[6])
{
	struct rte_ether_addr *address = &device->others[device->other_count++];

	memcpy(address->addr_bytes, mac, sizeof(address->addr_bytes));
	if (device->present && !let_all_in(device, ADJ_LOG_ERROR))
		let_in(device, address);
}

void device_remove_address(struct device *device, const uint8_t mac[6])
{
	unsigned i = 0;

	while (memcmp(device->others[i].addr_bytes, mac, sizeof(device->others[i].addr_bytes)))
		i++;
	struct rte_ether_addr address = device->others[i];
	device->others[i] = device->others[--device->other_count];
	/* Refused now, it is being reset, and gets those who are left as it is started anew. */
	if (device->present && !let_all_in(device, ADJ_LOG_DEBUG))
		(void)rte_eth_dev_mac_addr_remove(device->port_id, &address);
}

int device_set_address(struct device *device, const struct rte_ether_addr *address)
{
	struct rte_ether_addr wanted = *address;
	int result = rte_is_same_ether_addr(&wanted, &device->address)
			     ? 0 : rte_eth_dev_default_mac_addr_set(device->port_id, &wanted);

	if (!result)
		device->address = wanted;
	return result;
}

static int filter_vlans(const struct device *device, bool on)
{
	int offloads = rte_eth_dev_get_vlan_offload(device->port_id);

	if (offloads < 0)
		return offloads;
	return rte_eth_dev_set_vlan_offload(device->port_id,
					    on ? offloads | RTE_ETH_VLAN_FILTER_OFFLOAD
					       : offloads & ~RTE_ETH_VLAN_FILTER_OFFLOAD);
}

int device_set_vlan(struct device *device, uint16_t id, bool on, bool filter)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(device->port_id, &info);

	if (!result && !(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_FILTER))
		return -ENOTSUP;
	if (!result && on)
		result = filter_vlans(device, true);
	if (!result)
		result = rte_eth_dev_vlan_filter(device->port_id, id, on);
	return !result && !filter ? filter_vlans(device, false) : result;
}

static void find_rx_interrupt(struct device *device)
{
	const struct adj_env *env = device->env;

	/* Asked first whether there is one: it says no without logging an error. */
	if (!device->rx_interrupts || rte_eth_dev_rx_intr_enable(device->port_id, 0))
		goto none;
	(void)rte_eth_dev_rx_intr_disable(device->port_id, 0);
	device->rx_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(device->port_id, 0);
	if (device->rx_fd >= 0 && !env->watch(env, device->rx_fd, true, false))
		return;
none:
	device->rx_fd = -1;
	device->rx_interrupts = false;
	env->log(env, ADJ_LOG_DEBUG, "%s has no receive interrupt: it is polled", env->device);
}

int device_configure(struct device *device)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(device->port_id, &info);

	if (result)
		return fail(device, "cannot be asked what it can do", result);
	if (device->env->port.mtu > info.max_mtu)
		return fail(device, "cannot carry the partition's MTU", -EINVAL);
	result = configure_port(device, &info);
	if (result)
		return fail(device, "cannot be configured", result);
	result = set_up_queues(device);
	if (result)
		return fail(device, "cannot set its queues up", result);
	result = rte_eth_dev_start(device->port_id);
	if (result)
		return fail(device, "does not start", result);
	set_address(device);
	let_others_in(device);
	/* Multicast groups are the partition's affair; -ENOTSUP: they pass anyway. */
	(void)rte_eth_allmulticast_enable(device->port_id);
	find_rx_interrupt(device);
	device->present = true;
	return 0;
}
