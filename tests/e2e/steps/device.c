/* SPDX-License-Identifier: BSD-2-Clause */
/* See device.h. Runs in the adjunct's process, on its serving thread. */
#include "device.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ethdev/device.h"

#define POOL_FRAMES 255u

struct shared_device *shared_device;
static struct rte_mempool *pool;

/* A full queue takes a part of a burst: never the same part in a row. */
static uint16_t tx_burst(void *queue, struct rte_mbuf **frames, uint16_t count)
{
	struct shared_device *device = queue;
	uint32_t passed = atomic_load_explicit(&device->passed, memory_order_relaxed);
	uint16_t room = (uint16_t)(1 + passed % 5), sent = count < room ? count : room;

	for (uint16_t i = 0; i < sent; i++)
		memcpy(&device->log[(passed + i) % LOG_MAX],
		       rte_pktmbuf_mtod_offset(frames[i], void *, NUMBER_OFFSET), 4);
	/* The one store that passes them. */
	atomic_store_explicit(&device->passed, passed + sent, memory_order_release);
	rte_pktmbuf_free_bulk(frames, sent);
	return sent;
}

static uint16_t rx_burst(void *queue, struct rte_mbuf **frames, uint16_t most)
{
	struct shared_device *device = queue;
	uint32_t made = atomic_load_explicit(&device->made, memory_order_relaxed);
	uint16_t count = 0;

	while (count < most && count < 3 && made != atomic_load(&device->to_make)) {
		struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);

		if (!frame)
			break;
		memset(rte_pktmbuf_append(frame, FRAME_BYTES), 0, FRAME_BYTES);
		memcpy(rte_pktmbuf_mtod_offset(frame, void *, NUMBER_OFFSET), &made, 4);
		frames[count++] = frame;
		atomic_store_explicit(&device->made, ++made, memory_order_relaxed);
	}
	return count;
}

void shared_device_open(void)
{
	static void *queues[1];
	void *memory = mmap(NULL, sizeof(*shared_device), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	pool = rte_pktmbuf_pool_create("frames", POOL_FRAMES, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (memory == MAP_FAILED || !pool)
		abort();
	shared_device = memory;
	queues[0] = memory;
	rte_eth_fp_ops[0].tx_pkt_burst = tx_burst;
	rte_eth_fp_ops[0].rx_pkt_burst = rx_burst;
	rte_eth_fp_ops[0].txq.data = queues;
	rte_eth_fp_ops[0].rxq.data = queues;
}

/* ---- ethdev/device.h --------------------------------------------------------------- */

int device_prepare(struct device *device, const struct adj_env *env)
{
	*device = (struct device){.env = env, .rx_fd = -1, .wake_fd = -1};
	device->tx_pool = device->rx_pool = pool;
	return 0;
}

int device_open(struct device *device)
{
	device->present = true;
	return 0;
}

void device_close(struct device *device)
{
	device->present = false;
}

int device_attend(struct device *device)
{
	return device->present ? 0 : -ENODEV;
}

int device_arm(struct device *device, uint32_t handed)
{
	(void)handed;
	return device->present ? 0 : -ENOTSUP;
}

void device_disarm(struct device *device)
{
	(void)device;
}

void device_interrupt(struct device *device, int fd)
{
	(void)device;
	(void)fd;
}

bool device_link_up(struct device *device)
{
	return device->present;
}

/* Nobody asks for anything. */
int device_set_address(struct device *device, const struct rte_ether_addr *address)
{
	(void)device;
	(void)address;
	return 0;
}

int device_set_vlan(struct device *device, uint16_t id, bool on, bool filter)
{
	(void)device;
	(void)id;
	(void)on;
	(void)filter;
	return -ENOTSUP;
}

/* Nobody shares it. */
void device_add_address(struct device *device, const uint8_t mac[6])
{
	(void)device;
	(void)mac;
}

void device_remove_address(struct device *device, const uint8_t mac[6])
{
	(void)device;
	(void)mac;
}
