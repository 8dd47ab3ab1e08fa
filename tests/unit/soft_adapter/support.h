/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the switch's tests share: three ports with known addresses, frames made
 * of a header's fields, and the decision on them. Criterion runs each test in a
 * process of its own.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "soft-adapter/switch.h"

/* Addresses of the ports 0, 1 and 2. */
#define MAC_A UINT64_C(0x020000000001)
#define MAC_B UINT64_C(0x020000000002)
#define MAC_C UINT64_C(0x020000000003)
#define MAC_STRANGER UINT64_C(0x0200000000ff)
#define MAC_GROUP UINT64_C(0x01005e000001)
#define MAC_ALL UINT64_C(0xffffffffffff)

#define PORT_A 0x1
#define PORT_B 0x2
#define PORT_C 0x4

/* Three ports with their defaults: up, spoof check, all multicast, no VLAN. */
void table_make(struct switch_table *table);

struct frame_spec {
	uint64_t to, from;
	uint16_t tag_proto, tci; /* 0: no tag */
	size_t length;           /* 0: 64 */
};
/* Writes a whole frame into `out` (2,100 bytes); its length. */
size_t frame_make(const struct frame_spec *spec, uint8_t *out);
/* What the switch decides on it, sent by port `from`. */
struct switch_decision decide(const struct switch_table *table, unsigned from,
			      struct frame_spec spec);

#endif
