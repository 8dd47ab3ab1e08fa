/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarding decision; see switch.h. Sending side first (ingress: may this
 * function send this, and in which VLAN), then for each other function the
 * receiving side (egress: is it in that VLAN, does it want that address).
 *
 * Sources: IEEE 802.1Q-2018, clause 9 (tag format: priority, DEI, identifier;
 * identifier 0 is a priority tag, 4095 is reserved); 802.1ad's service tags.
 */
#include "switch.h"

#include <string.h>

#include "net_layout.h"

#define BROADCAST UINT64_C(0xffffffffffff)
#define VID_MASK 0x0fff
#define VID_RESERVED 4095
#define PRIORITY_SHIFT 13

/* The header, copied out of the frame and decoded. */
struct header {
	uint64_t destination, source;
	bool tagged;
	uint16_t proto, tci; /* if tagged */
};

uint64_t switch_address(const uint8_t octets[6])
{
	uint64_t address = 0;

	for (unsigned i = 0; i < 6; i++)
		address = address << 8 | octets[i];
	return address;
}

static uint16_t read_be16(const uint8_t *octets)
{
	return (uint16_t)(octets[0] << 8 | octets[1]);
}

static bool header_parse(const uint8_t *octets, size_t octets_count, size_t length,
			 struct header *out)
{
	if (length < NET_FRAME_MIN || length > NET_FRAME_MAX || octets_count < NET_FRAME_MIN)
		return false;
	out->destination = switch_address(octets);
	out->source = switch_address(octets + 6);
	out->proto = read_be16(octets + 12);
	out->tagged = out->proto == SWITCH_PROTO_8021Q || out->proto == SWITCH_PROTO_8021AD;
	out->tci = 0;
	if (!out->tagged)
		return true;
	if (length < SWITCH_HEADER_BYTES || octets_count < SWITCH_HEADER_BYTES)
		return false;
	out->tci = read_be16(octets + 14);
	return true;
}

static bool port_has_address(const struct switch_port *port, uint64_t address)
{
	for (unsigned i = 0; i < port->addresses_count; i++)
		if (port->addresses[i] == address)
			return true;
	return false;
}

static bool port_filter_passes(const struct switch_port *port, unsigned vid)
{
	return !port->vlan_filtered || (port->vlan_filter[vid / 64] >> vid % 64 & 1);
}

/*
 * Puts the frame into its VLAN. A function in a port VLAN sends untagged
 * frames; a tag of its own would let it choose another VLAN, so it is refused.
 * The exception is a service VLAN (802.1ad), which exists to carry the
 * customer's 802.1Q tags inside.
 */
static enum switch_verdict ingress(const struct switch_port *port, struct header *header,
				   bool *insert)
{
	unsigned vid = header->tci & VID_MASK;

	if (!port->link)
		return SWITCH_LINK_DOWN;
	if (port->spoof_check &&
	    (switch_address_is_group(header->source) || !port_has_address(port, header->source)))
		return SWITCH_SPOOFED;
	if (port->vlan) {
		if (header->tagged &&
		    (port->proto == SWITCH_PROTO_8021Q || header->proto == SWITCH_PROTO_8021AD))
			return SWITCH_BAD_VLAN;
		*insert = true;
		header->tagged = true;
		header->proto = port->proto;
		header->tci = (uint16_t)(port->qos << PRIORITY_SHIFT | port->vlan);
		return SWITCH_FORWARD;
	}
	if (header->tagged && (vid == VID_RESERVED || (vid && !port_filter_passes(port, vid))))
		return SWITCH_BAD_VLAN;
	return SWITCH_FORWARD;
}

/* Is the port in the frame's VLAN, and does it get the frame without the tag? */
static bool egress_vlan(const struct switch_port *port, const struct header *header, bool *untagged)
{
	unsigned vid = header->tagged ? header->tci & VID_MASK : 0;

	*untagged = !header->tagged || port->vlan;
	if (port->vlan)
		return vid == port->vlan && header->proto == port->proto;
	return vid == 0 || port_filter_passes(port, vid);
}

static bool egress_address(const struct switch_port *port, uint64_t destination,
			   enum switch_cast cast)
{
	if (cast == SWITCH_BROADCAST || port->promiscuous)
		return true;
	if (cast == SWITCH_MULTICAST && port->all_multicast)
		return true;
	return port_has_address(port, destination);
}

static enum switch_cast cast_of(uint64_t destination)
{
	if (destination == BROADCAST)
		return SWITCH_BROADCAST;
	return switch_address_is_group(destination) ? SWITCH_MULTICAST : SWITCH_UNICAST;
}

void switch_decide(const struct switch_table *table, unsigned from, const uint8_t *octets,
		   size_t octets_count, size_t length, struct switch_decision *out)
{
	struct header header;
	bool untagged;

	*out = (struct switch_decision){.verdict = SWITCH_MALFORMED};
	if (!header_parse(octets, octets_count, length, &header))
		return;
	out->cast = cast_of(header.destination);
	out->verdict = ingress(&table->ports[from], &header, &out->insert);
	if (out->verdict == SWITCH_FORWARD && out->insert &&
	    length > NET_FRAME_MAX - SWITCH_TAG_BYTES)
		out->verdict = SWITCH_MALFORMED; /* no room for the tag */
	if (out->verdict != SWITCH_FORWARD)
		return;
	out->proto = header.proto;
	out->tci = header.tci;
	for (unsigned i = 0; i < table->ports_count; i++) {
		const struct switch_port *port = &table->ports[i];

		if (i == from || !port->link ||
		    !egress_address(port, header.destination, out->cast) ||
		    !egress_vlan(port, &header, &untagged))
			continue;
		out->ports |= UINT64_C(1) << i;
		/* As sent, the tag is there unless it is still to be inserted. */
		if (untagged != (out->insert || !header.tagged))
			out->altered |= UINT64_C(1) << i;
	}
	if (!out->ports)
		out->verdict = SWITCH_UPLINK;
}

void switch_tag_insert(uint8_t *frame, uint16_t proto, uint16_t tci)
{
	memmove(frame, frame + SWITCH_TAG_BYTES, 12);
	frame[12] = (uint8_t)(proto >> 8);
	frame[13] = (uint8_t)proto;
	frame[14] = (uint8_t)(tci >> 8);
	frame[15] = (uint8_t)tci;
}

void switch_tag_remove(uint8_t *frame)
{
	memmove(frame + SWITCH_TAG_BYTES, frame, 12);
}
