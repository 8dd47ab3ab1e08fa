/* SPDX-License-Identifier: BSD-2-Clause */
/* A program with a native device; see partition.h. */
#include <string.h>
#include <sys/eventfd.h>

#include "device.h"
#include "eq.h"
#include "net_layout.h"
#include "partition.h"

static struct {
	struct net_layout layout;
	uint8_t *window;
	struct adj_inflight *inflight;
	struct eq_ring tx, rx;
} native;

static void native_open(struct adj_port *port)
{
	if (net_layout_compute(RING, &native.layout))
		fail("no layout");
	native.window = share(native.layout.size_bytes);
	native.inflight = share(ADJ_INFLIGHT_BYTES);
	if (eq_ring_open(&native.tx, native.window + native.layout.tx_ring, RING,
			 NET_ENTRY_BYTES) ||
	    eq_ring_open(&native.rx, native.window + native.layout.rx_ring, RING, NET_ENTRY_BYTES))
		fail("no rings");
	port->kind = ADJ_PORT_NATIVE;
	port->window = native.window;
	port->inflight = native.inflight;
	port->ring_entries = RING;
	port->bell_adjunct_fd = eventfd(0, EFD_NONBLOCK);
	port->bell_partition_fd = eventfd(0, EFD_NONBLOCK);
}

static void native_put(uint32_t number, bool good)
{
	struct net_entry entry = {.length_bytes = good ? FRAME_BYTES : 1};
	uint8_t *buffer = native.window + native.layout.tx_buffers +
			  (size_t)eq_ring_slot(&native.tx) * NET_BUFFER_BYTES;

	if (eq_ring_space(&native.tx, 1) <= 0)
		fail("the ring is full");
	memset(buffer, 0, FRAME_BYTES);
	memcpy(buffer + NUMBER_OFFSET, &number, sizeof(number));
	eq_ring_put(&native.tx, &entry, sizeof(entry));
}

static int64_t native_receive(void)
{
	const uint8_t *buffer = native.window + native.layout.rx_buffers +
				(size_t)eq_ring_slot(&native.rx) * NET_BUFFER_BYTES;
	struct net_entry entry;
	uint32_t number;

	if (!eq_ring_take(&native.rx, &entry, sizeof(entry)))
		return -1;
	if (entry.length_bytes != FRAME_BYTES || entry.flags)
		fail("a frame of %u bytes", entry.length_bytes);
	memcpy(&number, buffer + NUMBER_OFFSET, sizeof(number));
	eq_ring_release(&native.rx, 1);
	return number;
}

static bool native_all_back(void)
{
	return atomic_load(eq_ring_consumed(&native.tx)) == native.tx.position;
}

static uint32_t native_recorded(void)
{
	return (uint32_t)atomic_load(&native.inflight->transmit);
}

const struct kind native_kind = {native_open, native_put, native_receive, native_all_back,
				 native_recorded};
