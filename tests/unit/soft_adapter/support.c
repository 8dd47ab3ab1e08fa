/* SPDX-License-Identifier: BSD-2-Clause */
/* See support.h. */
#include "support.h"

#include <string.h>

void table_make(struct switch_table *table)
{
	const uint64_t macs[] = {MAC_A, MAC_B, MAC_C};

	memset(table, 0, sizeof(*table));
	table->ports_count = 3;
	for (unsigned i = 0; i < 3; i++)
		table->ports[i] = (struct switch_port){
			.link = true,
			.spoof_check = true,
			.all_multicast = true,
			.proto = SWITCH_PROTO_8021Q,
			.addresses_count = 1,
			.addresses = {macs[i]},
		};
}

static void put(uint8_t *out, uint64_t value, unsigned octets)
{
	while (octets-- > 0) {
		out[octets] = (uint8_t)value;
		value >>= 8;
	}
}

size_t frame_make(const struct frame_spec *spec, uint8_t *out)
{
	size_t length = spec->length ? spec->length : 64, at = 12;

	memset(out, 0xa5, 2100);
	put(out, spec->to, 6);
	put(out + 6, spec->from, 6);
	if (spec->tag_proto) {
		put(out + at, spec->tag_proto, 2);
		put(out + at + 2, spec->tci, 2);
		at += 4;
	}
	put(out + at, 0x0800, 2);
	return length;
}

struct switch_decision decide(const struct switch_table *table, unsigned from,
			      struct frame_spec spec)
{
	struct switch_decision decision;
	uint8_t frame[2100];
	size_t length = frame_make(&spec, frame);

	switch_decide(table, from, frame, length, length, &decision);
	return decision;
}
