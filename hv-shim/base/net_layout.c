/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets within a native net device's region; the shim, the adjunct and
 * liboutrigger each compute them from the ring size they were told.
 */
#include "net_layout.h"

#include <errno.h>

#include "eq.h"
#include "service_layout.h"

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

	size_t service = 2 * ring_bytes + 2 * buffers_bytes;
	size_t service_ring_bytes =
		round_up_page(eq_ring_size_bytes(SERVICE_SLOTS, SERVICE_ENTRY_BYTES));
	size_t data_bytes = round_up_page((size_t)SERVICE_SLOTS * SERVICE_BUFFER_BYTES);

	*out = (struct net_layout){
		.ring_entries = ring_entries,
		.tx_ring = 0,
		.rx_ring = ring_bytes,
		.tx_buffers = 2 * ring_bytes,
		.rx_buffers = 2 * ring_bytes + buffers_bytes,
		.cell = service,
		.requests = service + PAGE_BYTES,
		.completions = service + PAGE_BYTES + service_ring_bytes,
		.request_data = service + PAGE_BYTES + 2 * service_ring_bytes,
		.completion_data = service + PAGE_BYTES + 2 * service_ring_bytes + data_bytes,
		.size_bytes = service + PAGE_BYTES + 2 * service_ring_bytes + 2 * data_bytes,
	};
	return 0;
}
