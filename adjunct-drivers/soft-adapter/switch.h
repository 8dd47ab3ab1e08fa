/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter's switch: which functions receive a frame that one of them sent,
 * and with which VLAN tag. A pure decision on a header and a table; no packet
 * buffers, no clock, no memory of earlier frames (the switch does not learn:
 * like an SR-IOV adapter it knows the addresses of its functions and sends
 * everything else to the wire).
 *
 * Called by dataplane.c for every frame, and by tests/unit and tests/fuzz.
 * Thread: any; nothing here is shared or kept.
 *
 * A frame's VLAN is its outermost tag (protocol and identifier). A function is
 * either in one VLAN and never sees a tag (`vlan` set: the switch adds the tag
 * to what it sends and removes it from what it gets; VST), or handles tags
 * itself (`vlan` 0; VGT) and may be limited to the VLANs of its filter.
 */
#ifndef SWITCH_H
#define SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWITCH_PORTS_MAX 64
#define SWITCH_ADDRESSES_MAX 17 /* the function's own and 16 more */
#define SWITCH_VLANS 4096
#define SWITCH_TAG_BYTES 4
#define SWITCH_HEADER_BYTES 18 /* an Ethernet header with one tag */

#define SWITCH_PROTO_8021Q 0x8100
#define SWITCH_PROTO_8021AD 0x88a8

struct switch_port {
	bool link;
	bool spoof_check;
	bool promiscuous; /* the caller has checked that it is trusted */
	bool all_multicast;
	bool vlan_filtered; /* VGT: only the VLANs in vlan_filter */
	uint8_t qos;        /* VST: priority, 0 to 7 */
	uint16_t vlan;      /* VST: 1 to 4094; 0: VGT */
	uint16_t proto;     /* VST: SWITCH_PROTO_* */
	unsigned addresses_count;
	uint64_t addresses[SWITCH_ADDRESSES_MAX]; /* switch_address(); multicast ones too */
	uint64_t vlan_filter[SWITCH_VLANS / 64];
};

struct switch_table {
	unsigned ports_count;
	struct switch_port ports[SWITCH_PORTS_MAX];
};

enum switch_verdict {
	SWITCH_FORWARD,
	SWITCH_UPLINK,    /* no function takes it: it leaves by the physical port */
	SWITCH_MALFORMED, /* shorter than its header, longer than NET_FRAME_MAX (tag included) */
	SWITCH_LINK_DOWN,
	SWITCH_SPOOFED,  /* the source is not an address of the sender */
	SWITCH_BAD_VLAN, /* a tag that the sender may not use */
};

enum switch_cast { SWITCH_UNICAST, SWITCH_MULTICAST, SWITCH_BROADCAST };

/*
 * `ports` receive the frame. Those in `altered` (a subset) receive it with the
 * tag inserted (`insert`) or else removed; the others as it was sent.
 */
struct switch_decision {
	enum switch_verdict verdict;
	enum switch_cast cast;
	uint64_t ports;
	uint64_t altered;
	bool insert;
	uint16_t proto, tci; /* of the tag to insert */
};

/* The six octets of an address as a number, first octet highest. */
uint64_t switch_address(const uint8_t octets[6]);
static inline bool switch_address_is_group(uint64_t address)
{
	return address >> 40 & 1;
}

/*
 * Decides on a frame of `length_bytes` that port `from` (below ports_count)
 * sent; `header` holds its first `header_bytes`, at least the smaller of its
 * length and SWITCH_HEADER_BYTES.
 */
void switch_decide(const struct switch_table *table, unsigned from, const uint8_t *header,
		   size_t header_bytes, size_t length_bytes, struct switch_decision *out);

/* Writes a tag at `frame`, whose own octets start SWITCH_TAG_BYTES after it. */
void switch_tag_insert(uint8_t *frame, uint16_t proto, uint16_t tci);
/* Removes the tag: afterwards the frame starts SWITCH_TAG_BYTES after `frame`. */
void switch_tag_remove(uint8_t *frame);

#endif
