/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the soft adapter's switch. An input is a table of a few ports
 * and a frame, whose header is put into memory of exactly its size, so that
 * every octet read too far is seen. Demanded: only ports there are, with their
 * link up, other than the sender, get anything; a port VLAN leaks neither in
 * nor out; a foreign source does not pass the check; what was altered changes
 * its length by one tag and nothing behind the addresses.
 */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "net_layout.h"
#include "soft-adapter/switch.h"

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned take(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->at++;
}

/* Few different values, so that they meet. */
static uint64_t take_address(struct input *input)
{
	unsigned choice = take(input);

	if (choice == 255)
		return UINT64_C(0xffffffffffff);
	return (choice & 1 ? UINT64_C(0x010000000000) : UINT64_C(0x020000000000)) |
	       (choice >> 1 & 7);
}

static void take_port(struct input *input, struct switch_port *port)
{
	unsigned flags = take(input), vlan = take(input);

	port->link = flags & 1;
	port->spoof_check = flags & 2;
	port->promiscuous = flags & 4;
	port->all_multicast = flags & 8;
	port->vlan_filtered = flags & 16;
	port->proto = flags & 32 ? SWITCH_PROTO_8021AD : SWITCH_PROTO_8021Q;
	port->vlan = vlan & 1 ? vlan >> 1 & 3 : 0;
	port->qos = vlan >> 3 & 7;
	port->addresses_count = 1 + (flags >> 6);
	for (unsigned i = 0; i < port->addresses_count; i++)
		port->addresses[i] = take_address(input);
	port->vlan_filter[0] = take(input);
}

/* The tags in front of the frame's payload, outermost first; how many. */
static unsigned tag_of(const uint8_t *frame, size_t length, uint16_t *proto, uint16_t *tci)
{
	*proto = *tci = 0;
	if (length < SWITCH_HEADER_BYTES)
		return 0;
	*proto = (uint16_t)(frame[12] << 8 | frame[13]);
	*tci = (uint16_t)(frame[14] << 8 | frame[15]);
	return *proto == SWITCH_PROTO_8021Q || *proto == SWITCH_PROTO_8021AD;
}

static void check_receiver(const struct switch_table *table, unsigned from, unsigned to,
			   const uint8_t *frame, size_t length,
			   const struct switch_decision *decision)
{
	const struct switch_port *sender = &table->ports[from], *port = &table->ports[to];
	bool altered = decision->altered >> to & 1;
	uint16_t proto, tci, vlan, vlan_proto;
	unsigned tagged = tag_of(frame, length, &proto, &tci);

	FUZZ_DEMAND(to != from && to < table->ports_count && port->link && sender->link);
	/* The VLAN it travels in, by the sender's side alone. */
	vlan = sender->vlan ? sender->vlan : tagged ? tci & 0xfff : 0;
	vlan_proto = sender->vlan ? sender->proto : proto;
	FUZZ_DEMAND(vlan != 4095);
	if (port->vlan)
		FUZZ_DEMAND(port->vlan == vlan && port->proto == vlan_proto);
	else if (vlan && port->vlan_filtered)
		FUZZ_DEMAND(port->vlan_filter[vlan / 64] >> vlan % 64 & 1);
	if (sender->vlan && tagged)
		FUZZ_DEMAND(sender->proto == SWITCH_PROTO_8021AD && proto == SWITCH_PROTO_8021Q);
	/* A tag is put on exactly when the sender's side has one to put on and the
	 * receiver sees tags; taken off exactly when it has one and does not. */
	if (decision->insert)
		FUZZ_DEMAND(altered == !port->vlan && decision->proto == sender->proto &&
			    (decision->tci & 0xfff) == sender->vlan);
	else
		FUZZ_DEMAND(altered == (port->vlan != 0));
}

static void check_alteration(const uint8_t *frame, size_t length,
			     const struct switch_decision *decision)
{
	uint8_t *copy = malloc(length + SWITCH_TAG_BYTES);

	FUZZ_DEMAND(copy);
	memcpy(copy + SWITCH_TAG_BYTES, frame, length);
	if (decision->insert) {
		switch_tag_insert(copy, decision->proto, decision->tci);
		FUZZ_DEMAND(length + SWITCH_TAG_BYTES <= NET_FRAME_MAX);
		FUZZ_DEMAND(!memcmp(copy, frame, 12));
		FUZZ_DEMAND(!memcmp(copy + 16, frame + 12, length - 12));
		switch_tag_remove(copy);
		FUZZ_DEMAND(!memcmp(copy + SWITCH_TAG_BYTES, frame, length));
	} else {
		switch_tag_remove(copy + SWITCH_TAG_BYTES);
		FUZZ_DEMAND(!memcmp(copy + 2 * SWITCH_TAG_BYTES, frame, 12));
		FUZZ_DEMAND(!memcmp(copy + 2 * SWITCH_TAG_BYTES + 12, frame + 16, length - 16));
	}
	free(copy);
}

static bool owns(const struct switch_port *port, const uint8_t *octets)
{
	for (unsigned i = 0; i < port->addresses_count; i++)
		if (port->addresses[i] == switch_address(octets))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct switch_table table;
	struct input input = {data, size};
	struct switch_decision decision;
	uint8_t *frame;
	unsigned from;

	memset(&table, 0, sizeof(table));
	table.ports_count = 2 + take(&input) % 4;
	from = take(&input) % table.ports_count;
	for (unsigned i = 0; i < table.ports_count; i++)
		take_port(&input, &table.ports[i]);
	frame = malloc(input.left ? input.left : 1);
	FUZZ_DEMAND(frame);
	memcpy(frame, input.at, input.left);
	switch_decide(&table, from, frame,
		      input.left < SWITCH_HEADER_BYTES ? input.left : SWITCH_HEADER_BYTES,
		      input.left, &decision);
	FUZZ_DEMAND((decision.ports != 0) == (decision.verdict == SWITCH_FORWARD));
	FUZZ_DEMAND(!(decision.altered & ~decision.ports));
	if (input.left < NET_FRAME_MIN || input.left > NET_FRAME_MAX)
		FUZZ_DEMAND(decision.verdict == SWITCH_MALFORMED);
	if (decision.verdict == SWITCH_FORWARD && table.ports[from].spoof_check)
		FUZZ_DEMAND(owns(&table.ports[from], frame + 6) && !(frame[6] & 1));
	for (uint64_t left = decision.ports; left; left &= left - 1)
		check_receiver(&table, from, (unsigned)__builtin_ctzll(left), frame, input.left,
			       &decision);
	if (decision.altered)
		check_alteration(frame, input.left, &decision);
	free(frame);
	return 0;
}
