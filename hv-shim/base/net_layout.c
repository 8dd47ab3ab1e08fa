/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets within a native net device's region; the shim, the adjunct and
 * liboutrigger each compute them from the ring size they were told.
 */
#include "net_layout.h"

#include <errno.h>

#include "eq.h"

#define PAGE_BYTES 4096u

static size_t round_up_page(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

int net_layout_compute(uint32_t ring_entries, struct net_layout *out)
{
	size_t ring_bytes = eq_ring_size_bytes(ring_entries, NET_ENTRY_BYTES);

	if (!ring_bytes)
		return -EINVAL;
	ring_bytes = round_up_page(ring_bytes);
	size_t buffers_bytes = round_up_page((size_t)ring_entries * NET_BUFFER_BYTES);

	*out = (struct net_layout){
		.ring_entries = ring_entries,
		.tx_ring = 0,
		.rx_ring = ring_bytes,
		.tx_buffers = 2 * ring_bytes,
		.rx_buffers = 2 * ring_bytes + buffers_bytes,
		.size_bytes = 2 * ring_bytes + 2 * buffers_bytes,
	};
	return 0;
}
