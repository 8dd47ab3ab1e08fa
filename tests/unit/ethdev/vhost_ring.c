/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's split ring from the device's side (vhost_ring.c): frames in every shape a
 * driver may give them, every shape that is none (T02), and who is told what when (T08).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "guest.h"

#define LOW 14u
#define HIGH 1518u
#define ROOM 1536u
#define INDIRECT VRING_DESC_F_INDIRECT
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE (GUEST_BASE + 0x6000u) /* of indirect descriptors */

static struct vhost_ring ring;
static uint8_t octets[VHOST_BURST][ROOM];
static struct vhost_frame frames[VHOST_BURST];
static unsigned bad, refused;

static void begin(void)
{
	ring = guest_ring(0);
	vhost_ring_begin(&ring, 0);
	for (unsigned i = 0; i < VHOST_BURST; i++)
		frames[i] = (struct vhost_frame){octets[i], 0};
}

static int take(void)
{
	int ready = vhost_ring_ready(&ring, VHOST_BURST);

	return ready < 0 ? ready
			 : vhost_ring_take(&ring, frames, (unsigned)ready, LOW, HIGH, &bad);
}

static struct vring_desc *table(unsigned i)
{
	return (struct vring_desc *)guest_at(TABLE) + i;
}

static void expect_octets(unsigned frame, uint32_t length, uint8_t octet)
{
	cr_assert_eq(frames[frame].length_bytes, length);
	for (uint32_t i = 0; i < length; i++)
		cr_assert_eq(octets[frame][i], octet, "octet %u of frame %u", i, frame);
}

TestSuite(vhost_ring, .init = begin, .timeout = 60);

/* ---- From the guest ---------------------------------------------------------------- */

Test(vhost_ring, T07_an_entry_is_used_when_that_is_said_and_not_before)
{
	for (unsigned round = 0; round < 20000; round++) {
		uint16_t index = (uint16_t)(2 * round); /* and round its end */

		guest_send(&ring, index % GUEST_RING, LOW, 1);
		guest_send(&ring, (index + 1u) % GUEST_RING, HIGH, 2);
		cr_assert_eq(take(), 2);
		cr_assert_eq(bad, 0u);
		cr_assert_eq(ring.used->idx, index);
		cr_assert_eq(vhost_ring_ready(&ring, 1), 0);
		vhost_ring_use(&ring, 1);
		cr_assert_eq(ring.used->idx, (uint16_t)(index + 1));
		vhost_ring_use(&ring, 1);
		vhost_ring_use(&ring, 0);
		cr_assert_eq(ring.used->idx, (uint16_t)(index + 2));
		cr_assert_eq(ring.used->ring[index % GUEST_RING].id, index % GUEST_RING);
		cr_assert_eq(ring.used->ring[(index + 1u) % GUEST_RING].id,
			     (index + 1u) % GUEST_RING);
	}
	expect_octets(0, LOW, 1);
	expect_octets(1, HIGH, 2);
}

Test(vhost_ring, frames_in_pieces)
{
	/* Header and frame apart; the header in two; an empty piece; a frame in three. */
	memset(guest_at(GUEST_BUFFER(1)), 7, 1500);
	guest_describe(&ring, 0, GUEST_BUFFER(0), 5, NEXT, 1);
	guest_describe(&ring, 1, GUEST_BUFFER(0), 7, NEXT, 2);
	guest_describe(&ring, 2, 0, 0, NEXT, 3);
	guest_describe(&ring, 3, GUEST_BUFFER(1), 40, NEXT, 4);
	guest_describe(&ring, 4, GUEST_BUFFER(1), 960, NEXT, 5);
	guest_describe(&ring, 5, GUEST_BUFFER(1), 500, 0, 0);
	guest_offer(&ring, 0);
	cr_assert_eq(take(), 1);
	expect_octets(0, 1500, 7);
	vhost_ring_use(&ring, 1);
	/* The same by way of a table. */
	memcpy(table(0), ring.desc, 6 * sizeof(*ring.desc));
	guest_describe(&ring, 6, TABLE, 6 * sizeof(*ring.desc), INDIRECT, 0);
	guest_offer(&ring, 6);
	cr_assert_eq(take(), 1);
	expect_octets(0, 1500, 7);
	vhost_ring_use(&ring, 1);
	cr_expect_eq(ring.used->ring[1].id, 6u);
}

Test(vhost_ring, a_frame_across_two_regions)
{
	uint64_t at = GUEST_BASE + GUEST_REGION_BYTES - 100;

	for (unsigned i = 0; i < 1000; i++)
		*(uint8_t *)guest_at(at + i) = 9;
	guest_describe(&ring, 0, at, 1000, 0, 0);
	guest_offer(&ring, 0);
	/* One that ends with its region, which no line may be read beyond. */
	guest_describe(&ring, 1, GUEST_END - 80, 80, 0, 0);
	memset(guest_at(GUEST_END - 80), 3, 80);
	guest_offer(&ring, 1);
	cr_assert_eq(take(), 2);
	expect_octets(0, 1000 - GUEST_HEADER_BYTES, 9);
	expect_octets(1, 80 - GUEST_HEADER_BYTES, 3);
}

/* Each is one entry that is no frame; what the table of them says is put first. */
static const struct {
	const char *what;
	struct vring_desc desc[3], table[3];
} shapes[] = {
	{"too short", {{GUEST_BUFFER(0), GUEST_HEADER_BYTES + LOW - 1, 0, 0}}, {{0}}},
	{"a header alone", {{GUEST_BUFFER(0), GUEST_HEADER_BYTES, 0, 0}}, {{0}}},
	{"half a header", {{GUEST_BUFFER(0), 5, 0, 0}}, {{0}}},
	{"nothing", {{GUEST_BUFFER(0), 0, 0, 0}}, {{0}}},
	{"too long", {{GUEST_BUFFER(0), GUEST_HEADER_BYTES + HIGH + 1, 0, 0}}, {{0}}},
	{"far too long", {{GUEST_BUFFER(0), UINT32_MAX, 0, 0}}, {{0}}},
	{"too long in pieces",
	 {{GUEST_BUFFER(0), 1000, NEXT, 1}, {GUEST_BUFFER(0), 1000, 0, 0}}, {{0}}},
	{"a buffer to be written", {{GUEST_BUFFER(0), 100, WRITE, 0}}, {{0}}},
	{"which ends in one", {{GUEST_BUFFER(0), 100, NEXT, 1}, {GUEST_BUFFER(0), 9, WRITE, 0}}, {{0}}},
	{"a loop of itself", {{GUEST_BUFFER(0), 1, NEXT, 0}}, {{0}}},
	{"a loop of two", {{GUEST_BUFFER(0), 1, NEXT, 1}, {GUEST_BUFFER(0), 1, NEXT, 0}}, {{0}}},
	{"an empty loop", {{GUEST_BUFFER(0), 0, NEXT, 1}, {GUEST_BUFFER(0), 0, NEXT, 0}}, {{0}}},
	{"a next that is none", {{GUEST_BUFFER(0), 100, NEXT, GUEST_RING}}, {{0}}},
	{"before the memory", {{GUEST_BASE - 1, 100, 0, 0}}, {{0}}},
	{"behind the memory", {{GUEST_END, 100, 0, 0}}, {{0}}},
	{"beyond its end", {{GUEST_END - 99, 100, 0, 0}}, {{0}}},
	{"beyond the end of addresses", {{UINT64_MAX - 50, 100, 0, 0}}, {{0}}},
	{"a second piece outside", {{GUEST_BUFFER(0), 100, NEXT, 1}, {0, 100, 0, 0}}, {{0}}},
	{"a table of no length", {{TABLE, 0, INDIRECT, 0}}, {{0}}},
	{"a table of half a descriptor", {{TABLE, 24, INDIRECT, 0}}, {{GUEST_BUFFER(0), 100, 0, 0}}},
	{"a table that is too long",
	 {{TABLE, 16 * (GUEST_RING + 1), INDIRECT, 0}}, {{GUEST_BUFFER(0), 100, 0, 0}}},
	{"a table and a next", {{TABLE, 16, INDIRECT | NEXT, 1}}, {{GUEST_BUFFER(0), 100, 0, 0}}},
	{"a table outside", {{GUEST_END, 16, INDIRECT, 0}}, {{0}}},
	{"a table beyond the end", {{GUEST_END - 16, 32, INDIRECT, 0}}, {{0}}},
	{"a table that is not aligned",
	 {{TABLE + 4, 16, INDIRECT, 0}}, {{GUEST_BUFFER(0), 100, 0, 0}}},
	{"a table in a table",
	 {{TABLE, 16, INDIRECT, 0}}, {{TABLE, 16, INDIRECT, 0}}},
	{"a table later on",
	 {{GUEST_BUFFER(0), 100, NEXT, 1}, {TABLE, 16, INDIRECT, 0}},
	 {{GUEST_BUFFER(0), 100, 0, 0}}},
	{"a table with a loop", {{TABLE, 16, INDIRECT, 0}}, {{GUEST_BUFFER(0), 100, NEXT, 0}}},
	{"a next outside the table",
	 {{TABLE, 32, INDIRECT, 0}}, {{GUEST_BUFFER(0), 50, NEXT, 2}, {0}, {GUEST_BUFFER(0), 50, 0, 0}}},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void put_shape(unsigned i)
{
	memcpy(ring.desc, shapes[i].desc, sizeof(shapes[i].desc));
	memcpy(table(0), shapes[i].table, sizeof(shapes[i].table));
	guest_offer(&ring, 0);
}

Test(vhost_ring, T02_what_is_no_frame_is_refused)
{
	for (unsigned i = 0; i < SHAPES; i++) {
		put_shape(i);
		cr_expect_eq(take(), 0, "%s", shapes[i].what);
		cr_expect_eq(bad, 1u, "%s", shapes[i].what);
		vhost_ring_use(&ring, 1);
	}
	guest_send(&ring, 3, 60, 1);
	cr_expect_eq(take(), 1, "the ring goes on");
}

Test(vhost_ring, wrong_entries_come_alone)
{
	put_shape(0);
	guest_offer(&ring, 0);
	guest_send(&ring, 3, 60, 1);
	guest_send(&ring, 4, 60, 2);
	guest_offer(&ring, 0);
	guest_send(&ring, 5, 60, 3);
	cr_assert_eq(take(), 2);
	cr_expect_eq(bad, 2u);
	expect_octets(1, 60, 2);
	vhost_ring_use(&ring, 2);
	vhost_ring_use(&ring, 2);
	cr_expect_eq(ring.used->ring[2].id, 3u);
	cr_assert_eq(take(), 1);
	cr_expect_eq(bad, 1u);
	expect_octets(0, 60, 3);
}

Test(vhost_ring, T02_indexes_and_heads_that_cannot_be)
{
	ring.avail->idx = GUEST_RING + 1;
	cr_expect_eq(vhost_ring_ready(&ring, 1), -EPROTO);
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), -EPROTO);
	ring.avail->idx = 0xffff;
	cr_expect_eq(vhost_ring_ready(&ring, 1), -EPROTO);
	ring.avail->idx = 0;
	guest_offer(&ring, GUEST_RING);
	cr_expect_eq(take(), -EPROTO);
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), -EPROTO);
	cr_expect_not(vhost_ring_skip(&ring, 1));
	cr_expect_eq(ring.used->idx, 0u);
}

Test(vhost_ring, T07_entries_that_were_done_before_are_skipped)
{
	guest_send(&ring, 5, 60, 1);
	guest_send(&ring, 6, 60, 2);
	cr_expect_not(vhost_ring_skip(&ring, 3), "there never were as many");
	cr_expect(vhost_ring_skip(&ring, 0));
	cr_expect(vhost_ring_skip(&ring, 1));
	cr_expect_eq(ring.used->idx, 1u);
	cr_expect_eq(ring.used->ring[0].id, 5u);
	cr_assert_eq(take(), 1);
	expect_octets(0, 60, 2);
}

/* ---- To the guest -------------------------------------------------------------------- */

static void frame_make(unsigned i, uint32_t length, uint8_t octet)
{
	memset(octets[i], octet, ROOM);
	frames[i].length_bytes = length;
}

static void expect_header(uint64_t at, uint16_t buffers)
{
	uint8_t header[GUEST_HEADER_BYTES] = {[10] = (uint8_t)buffers};

	cr_expect_arr_eq(guest_at(at), header, GUEST_HEADER_BYTES);
}

Test(vhost_ring, frames_are_put_and_not_an_octet_more)
{
	static const uint32_t lengths[] = {LOW, 63, 64, 65, 128, 200, 255, 256, 257, HIGH};

	for (unsigned i = 0; i < 10; i++) {
		unsigned slot = i % GUEST_RING;
		uint8_t *at = guest_at(GUEST_BUFFER(slot));

		memset(at, 0xaa, 2048);
		guest_room(&ring, slot, 2048);
		frame_make(0, lengths[i], 5);
		cr_assert_eq(vhost_ring_give(&ring, frames, 1, &refused), 1);
		expect_header(GUEST_BUFFER(slot), 1);
		for (uint32_t octet = GUEST_HEADER_BYTES; octet < 2048; octet++)
			cr_assert_eq(at[octet],
				     octet < GUEST_HEADER_BYTES + lengths[i] ? 5 : 0xaa);
		cr_expect_eq(ring.used->idx, i + 1);
		cr_expect_eq(ring.used->ring[slot].id, slot);
		cr_expect_eq(ring.used->ring[slot].len, GUEST_HEADER_BYTES + lengths[i]);
	}
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), 0, "no room");
	cr_expect_eq(refused, 0u);
}

Test(vhost_ring, an_old_driver_has_a_short_header)
{
	ring.header_bytes = 10;
	guest_room(&ring, 0, 2048);
	frame_make(0, 60, 5);
	cr_assert_eq(vhost_ring_give(&ring, frames, 1, &refused), 1);
	cr_expect_eq(*(uint8_t *)guest_at(GUEST_BUFFER(0) + 10), 5);
	cr_expect_eq(ring.used->ring[0].len, 70u);
}

Test(vhost_ring, a_frame_for_a_chain)
{
	uint8_t *at = guest_at(GUEST_BUFFER(0));

	guest_describe(&ring, 0, GUEST_BUFFER(0), 3, WRITE | NEXT, 1);
	guest_describe(&ring, 1, GUEST_BUFFER(0) + 3, 9, WRITE | NEXT, 2);
	guest_describe(&ring, 2, GUEST_BUFFER(0) + 12, 100, WRITE | NEXT, 3);
	guest_describe(&ring, 3, GUEST_BUFFER(0) + 112, 1900, WRITE, 0);
	guest_offer(&ring, 0);
	frame_make(0, 1000, 5);
	cr_assert_eq(vhost_ring_give(&ring, frames, 1, &refused), 1);
	expect_header(GUEST_BUFFER(0), 1);
	for (unsigned i = 12; i < 1012; i++)
		cr_assert_eq(at[i], 5);
	cr_expect_eq(at[1012], 0);
	cr_expect_eq(ring.used->ring[0].len, 1012u);
}

Test(vhost_ring, a_frame_for_several_buffers)
{
	ring.mergeable = true;
	for (unsigned slot = 0; slot < 4; slot++)
		guest_room(&ring, slot, 500);
	frame_make(0, 1200, 5);
	frame_make(1, 1200, 6);
	cr_expect_eq(vhost_ring_give(&ring, frames, 2, &refused), 1, "of the second, all or nothing");
	expect_header(GUEST_BUFFER(0), 3);
	cr_expect_eq(ring.used->idx, 3u);
	cr_expect_eq(ring.used->ring[0].len, 500u);
	cr_expect_eq(ring.used->ring[2].len, 212u);
	cr_expect_eq(*(uint8_t *)guest_at(GUEST_BUFFER(2) + 211), 5);
	cr_expect_eq(*(uint8_t *)guest_at(GUEST_BUFFER(2) + 212), 0);
	for (unsigned slot = 4; slot < 6; slot++)
		guest_room(&ring, slot, 500);
	cr_expect_eq(vhost_ring_give(&ring, frames + 1, 1, &refused), 1);
	expect_header(GUEST_BUFFER(3), 3);
	cr_expect_eq(ring.used->idx, 6u);
	cr_expect_eq(*(uint8_t *)guest_at(GUEST_BUFFER(4)), 6);
}

Test(vhost_ring, T02_buffers_that_are_none_cost_the_frame)
{
	static const struct {
		const char *what;
		struct vring_desc desc[2];
		bool mergeable;
	} rows[] = {
		{"too small", {{GUEST_BUFFER(0), 71, WRITE, 0}}, false},
		{"to be read", {{GUEST_BUFFER(0), 500, 0, 0}}, true},
		{"nothing", {{GUEST_BUFFER(0), 0, WRITE, 0}}, true},
		{"outside", {{GUEST_END, 500, WRITE, 0}}, true},
		{"beyond the end", {{GUEST_END - 50, 500, WRITE, 0}}, true},
		{"a loop", {{GUEST_BUFFER(0), 1, WRITE | NEXT, 0}}, false},
		{"a table of nothing", {{GUEST_BUFFER(0), 0, INDIRECT, 0}}, false},
		{"ends in one to be read",
		 {{GUEST_BUFFER(0), 20, WRITE | NEXT, 1}, {GUEST_BUFFER(0), 500, 0, 0}}, true},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(ring.desc, rows[i].desc, sizeof(rows[i].desc));
		ring.mergeable = rows[i].mergeable;
		guest_offer(&ring, 0);
		guest_room(&ring, 3, 2048);
		frame_make(0, 60, 5);
		frame_make(1, 60, 6);
		cr_expect_eq(vhost_ring_give(&ring, frames, 2, &refused), 2, "%s", rows[i].what);
		cr_expect_eq(refused, 1u, "%s", rows[i].what);
		cr_expect_eq(frames[0].length_bytes, 0u);
		cr_expect_eq(ring.used->idx, 2 * (i + 1));
		cr_expect_eq(ring.used->ring[2 * i % GUEST_RING].len, 0u);
		cr_expect_eq(*(uint8_t *)guest_at(GUEST_BUFFER(3) + 12), 6);
	}
	/* One descriptor after the other, of one octet each. */
	ring.mergeable = true;
	for (unsigned i = 0; i < GUEST_RING; i++)
		guest_room(&ring, i, 1);
	frame_make(0, 60, 5);
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), 0, "more are needed");
	ring.avail->ring[(uint16_t)(ring.taken + 3) % GUEST_RING] = GUEST_RING;
	frames[0].length_bytes = 1000;
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), -EPROTO);
}

Test(vhost_ring, T02_a_frame_in_too_many_pieces_is_refused)
{
	/* Eight times the same chain, of an octet each. */
	ring.mergeable = true;
	for (unsigned i = 0; i < GUEST_RING; i++)
		guest_describe(&ring, i, GUEST_BUFFER(0) + i, 1, WRITE | (i + 1 < GUEST_RING ? NEXT : 0),
			       (uint16_t)(i + 1));
	for (unsigned i = 0; i < GUEST_RING; i++)
		guest_offer(&ring, 0);
	frame_make(0, 60, 5);
	cr_expect_eq(vhost_ring_give(&ring, frames, 1, &refused), 1);
	cr_expect_eq(refused, 1u);
	cr_expect_eq(frames[0].length_bytes, 0u);
	cr_expect_eq(ring.used->idx, GUEST_RING, "all of them go back");
	for (unsigned i = 0; i < GUEST_RING; i++)
		cr_expect_eq(ring.used->ring[i].len, 0u);
}

/* ---- Notifications ------------------------------------------------------------------- */

static unsigned called(void)
{
	uint64_t count = 0;

	return read(ring.call_fd, &count, sizeof(count)) == sizeof(count) ? (unsigned)count : 0;
}

static void one_more(void)
{
	guest_send(&ring, 0, 60, 1);
	cr_assert_eq(take(), 1);
	vhost_ring_use(&ring, 1);
}

Test(vhost_ring, T08_the_guest_is_called_when_it_wants_to_be)
{
	ring.call_fd = eventfd(0, EFD_NONBLOCK);
	one_more();
	cr_expect_eq(called(), 1u);
	ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	one_more();
	cr_expect_eq(called(), 0u);
	vhost_ring_call(&ring);
	cr_expect_eq(called(), 1u, "whatever it says");
	/* By index: it wants to hear of the one after the next. */
	ring.event_index = true;
	vhost_ring_begin(&ring, ring.done);
	ring.avail->ring[GUEST_RING] = (uint16_t)(ring.done + 1);
	one_more();
	cr_expect_eq(called(), 1u, "nobody knows what it has heard of");
	one_more();
	cr_expect_eq(called(), 1u);
	one_more();
	cr_expect_eq(called(), 0u);
	close(ring.call_fd);
	ring.call_fd = -1;
	vhost_ring_call(&ring);
}

Test(vhost_ring, T08_the_guest_is_told_when_to_kick)
{
	uint16_t *wish = (uint16_t *)&ring.used->ring[GUEST_RING];

	vhost_ring_notify(&ring, false);
	cr_expect_eq(ring.used->flags, VRING_USED_F_NO_NOTIFY);
	vhost_ring_notify(&ring, true);
	cr_expect_eq(ring.used->flags, 0);
	ring.event_index = true;
	one_more();
	vhost_ring_notify(&ring, false);
	cr_expect_eq(*wish, 0u);
	vhost_ring_notify(&ring, true);
	cr_expect_eq(*wish, 1u);
}
