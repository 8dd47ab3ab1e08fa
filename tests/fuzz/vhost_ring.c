/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: a guest's split ring from the device's side (ethdev/vhost_ring.c). An
 * input is a ring's descriptors, a table of indirect ones, and which of them are made
 * available, with addresses in, at the edge of and outside the guest's two regions; the
 * same ring is then read as a transmit and as a receive ring. Demanded: nothing outside
 * the regions is touched (AddressSanitizer), no frame is longer than allowed and none
 * leaves the room it was given, every entry is used once and in order.
 */
#include <errno.h>
#include <string.h>

#include "../unit/ethdev/guest.h"
#include "fuzz.h"

#define LOW 14u
#define HIGH 1518u
#define ROOM 1536u
#define MARK 0xee
#define TABLE_AT (GUEST_BASE + 0x6000u)
#define TABLE_ENTRIES 12u

struct input {
	const uint8_t *at;
	size_t left;
};

static uint32_t take(struct input *input, unsigned bytes)
{
	uint32_t value = 0;

	for (; bytes; bytes--) {
		value = value << 8 | (input->left ? *input->at : 0);
		input->at += input->left > 0;
		input->left -= input->left > 0;
	}
	return value;
}

static struct vring_desc take_descriptor(struct input *input)
{
	uint32_t how = take(input, 1), offset = take(input, 3), bytes = take(input, 2);
	static const uint64_t bases[] = {
		GUEST_BASE,			 GUEST_BASE + GUEST_REGION_BYTES - 256,
		GUEST_END - 256,		 GUEST_BASE - 128,
		TABLE_AT,			 UINT64_MAX - 256,
		GUEST_BASE + GUEST_REGION_BYTES, 0,
	};
	struct vring_desc desc = {
		.addr = bases[how & 7] + (how & 8 ? offset : offset & 255),
		.len = how & 16 ? bytes << 16 | bytes : bytes & 2047,
		.flags = (uint16_t)(how >> 5),
		.next = (uint16_t)(offset >> 16 & 15),
	};

	if (desc.flags & VRING_DESC_F_INDIRECT && !(how & 16))
		desc.len = desc.len % (TABLE_ENTRIES + 1) * (uint32_t)sizeof(desc);
	return desc;
}

static void transmit(struct vhost_ring *ring)
{
	static uint8_t octets[VHOST_BURST][ROOM];
	struct vhost_frame frames[VHOST_BURST];
	uint16_t index = ring->avail->idx;
	unsigned bad;

	for (;;) {
		int ready = vhost_ring_ready(ring, VHOST_BURST);
		uint16_t done = ring->used->idx;

		FUZZ_DEMAND(ready >= 0 || ready == -EPROTO);
		if (ready <= 0)
			break;
		for (unsigned i = 0; i < VHOST_BURST; i++)
			frames[i] = (struct vhost_frame){octets[i], 0};
		memset(octets, MARK, sizeof(octets));
		int taken = vhost_ring_take(ring, frames, (unsigned)ready, LOW, HIGH, &bad);

		if (taken == -EPROTO)
			return;
		FUZZ_DEMAND(taken >= 0 && bad + (unsigned)taken && bad + (unsigned)taken <= (unsigned)ready);
		for (int i = 0; i < taken; i++) {
			FUZZ_DEMAND(frames[i].length_bytes >= LOW && frames[i].length_bytes <= HIGH);
			/* Of refused entries there may be octets, where the first frame goes. */
			for (uint32_t at = (frames[i].length_bytes + 63) & ~63u; at < ROOM; at++)
				FUZZ_DEMAND(octets[i][at] == MARK || (!i && bad));
		}
		FUZZ_DEMAND(ring->used->idx == done);
		vhost_ring_use(ring, bad);
		vhost_ring_use(ring, (unsigned)taken);
		FUZZ_DEMAND(ring->used->idx == (uint16_t)(done + bad + (unsigned)taken));
	}
	FUZZ_DEMAND(ring->done == index || vhost_ring_ready(ring, 1) == -EPROTO);
}

static void receive(struct vhost_ring *ring, struct input *input)
{
	static uint8_t octets[HIGH];
	struct vhost_frame frames[4];
	unsigned refused;

	for (unsigned i = 0; i < 4; i++)
		frames[i] = (struct vhost_frame){octets, LOW + take(input, 2) % (HIGH - LOW + 1)};
	int given = vhost_ring_give(ring, frames, 4, &refused);

	FUZZ_DEMAND(given == -EPROTO || (given >= 0 && given <= 4));
	FUZZ_DEMAND(given < 0 || refused <= (unsigned)given);
	FUZZ_DEMAND(ring->used->idx == ring->done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct vhost_ring ring = guest_ring(0);
	struct vring_desc *table = guest_at(TABLE_AT);
	uint32_t how = take(&input, 1), offered = take(&input, 1);

	ring.mergeable = how & 1;
	ring.event_index = how & 2;
	ring.header_bytes = how & 4 ? 10 : GUEST_HEADER_BYTES;
	for (unsigned i = 0; i < GUEST_RING; i++)
		ring.desc[i] = take_descriptor(&input);
	for (unsigned i = 0; i < TABLE_ENTRIES; i++)
		table[i] = take_descriptor(&input);
	for (unsigned i = 0; i < offered % (GUEST_RING + 2); i++)
		guest_offer(&ring, how & 8 ? take(&input, 1) % (GUEST_RING + 1) : i % GUEST_RING);
	vhost_ring_begin(&ring, 0);
	transmit(&ring);
	vhost_ring_begin(&ring, 0);
	ring.used->idx = 0;
	receive(&ring, &input);
	return 0;
}
