/* SPDX-License-Identifier: BSD-2-Clause */
/* The native net window: areas in order, apart, on pages; sizes refused. */
#include "net_layout.h"
#include "service_layout.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(net_layout, areas_do_not_touch)
{
	for (uint32_t entries = 2; entries <= 65536; entries *= 2) {
		struct net_layout l;

		cr_assert_eq(net_layout_compute(entries, &l), 0);
		cr_assert_eq(l.ring_entries, entries);
		cr_assert_eq(l.tx_ring, 0);
		cr_assert_geq(l.rx_ring - l.tx_ring, (size_t)entries * NET_ENTRY_BYTES);
		cr_assert_geq(l.tx_buffers - l.rx_ring, (size_t)entries * NET_ENTRY_BYTES);
		cr_assert_geq(l.rx_buffers - l.tx_buffers, (size_t)entries * NET_BUFFER_BYTES);
		cr_assert_geq(l.cell - l.rx_buffers, (size_t)entries * NET_BUFFER_BYTES);
		cr_assert_geq(l.requests - l.cell, sizeof(struct service_cell));
		cr_assert_geq(l.completions - l.requests, SERVICE_SLOTS * SERVICE_ENTRY_BYTES);
		cr_assert_geq(l.request_data - l.completions, SERVICE_SLOTS * SERVICE_ENTRY_BYTES);
		cr_assert_geq(l.completion_data - l.request_data,
			      SERVICE_SLOTS * SERVICE_BUFFER_BYTES);
		cr_assert_geq(l.size_bytes - l.completion_data,
			      SERVICE_SLOTS * SERVICE_BUFFER_BYTES);
		cr_assert_eq((l.rx_ring | l.tx_buffers | l.rx_buffers | l.cell | l.requests |
			      l.completions | l.request_data | l.completion_data | l.size_bytes) %
				     4096, 0);
	}
}

Test(net_layout, refused_sizes)
{
	static const uint32_t bad[] = {0, 1, 3, 511, 65537, 131072, 1u << 31, UINT32_MAX};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct net_layout l;

		cr_assert_eq(net_layout_compute(bad[i], &l), -EINVAL, "%u", bad[i]);
	}
}
