/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The partition's side of a native device (liboutrigger's net.c) while another
 * process rewrites the window. What it hands out lies in the slot that was due,
 * has the length that was checked and counted, and can be read to its end. The
 * handle is made here, without a shim, and mended after each refusal, which a
 * program cannot do: it would have to open the device anew.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "flipper.h"
#include "otr_internal.h"

#define BURST 32u

static struct flipped flipped;
static struct otr_net net;

static void start(void)
{
	flipper_start(&flipped, false);
	net = (struct otr_net){
		.device = "flipped",
		.mtu = FLIPPED_MTU,
		.frame_max = FLIPPED_FRAME_MAX,
		.window = flipped.window,
		.layout = flipped.layout,
		.cell = (struct service_cell *)(flipped.window + flipped.layout.cell),
		.bells = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)},
		.tx_buffers = flipped.window + flipped.layout.tx_buffers,
		.rx_buffers = flipped.window + flipped.layout.rx_buffers,
		.epoll_fd = -1,
	};
	cr_assert_eq(eq_ring_open(&net.tx, flipped.window + flipped.layout.tx_ring, FLIPPED_ENTRIES,
				  NET_ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_open(&net.rx, flipped.window + flipped.layout.rx_ring, FLIPPED_ENTRIES,
				  NET_ENTRY_BYTES), 0);
}

static void stop(void)
{
	close(net.bells[0]);
	close(net.bells[1]);
	flipper_stop(&flipped);
}

TestSuite(flipped_partition, .init = start, .fini = stop);

/* The handle as if nothing had happened; the entry that broke it counts as held. */
static void mend(uint64_t *refused)
{
	cr_assert_eq(net.error, -EPROTO);
	net.error = 0;
	++*refused;
}

static unsigned receive_some(uint64_t *refused)
{
	struct otr_frame frames[BURST];
	struct otr_net_stats was = net.stats;
	uint32_t slot = net.rx.position & net.rx.mask, held = eq_ring_held(&net.rx);
	uint64_t bytes = 0;
	int count = otr_net_receive(&net, frames, BURST);

	cr_assert(count >= 0 || count == -EPROTO);
	for (int i = 0; i < count; i++, slot = (slot + 1) & net.rx.mask) {
		uint32_t length = frames[i].length_bytes;

		cr_assert(length >= NET_FRAME_MIN && length <= NET_FRAME_MAX, "%u octets", length);
		cr_assert_eq(frames[i].data, net.rx_buffers + (size_t)slot * NET_BUFFER_BYTES);
		cr_assert(flipper_tagged(frames[i].data, length, flipper_tag(slot)));
		bytes += length;
	}
	cr_assert_eq(net.stats.rx_bytes - was.rx_bytes, bytes, "another length was counted");
	if (net.error)
		mend(refused);
	unsigned read = eq_ring_held(&net.rx) - held;
	cr_assert_eq(otr_net_release(&net, eq_ring_held(&net.rx)), 0);
	return read;
}

static uint64_t send_some(uint64_t *random, uint64_t *broken)
{
	static uint8_t octets[FLIPPED_FRAME_MAX];
	struct otr_frame frames[BURST];
	unsigned count = (unsigned)(flipper_random(random) % BURST) + 1;

	memset(octets, VICTIM_OCTET, sizeof(octets));
	for (unsigned i = 0; i < count; i++)
		frames[i] = (struct otr_frame){
			octets, NET_FRAME_MIN + (uint32_t)(flipper_random(random) %
							   (FLIPPED_FRAME_MAX - NET_FRAME_MIN + 1))};
	int sent = otr_net_send(&net, frames, count);
	cr_assert(sent == -EPROTO || (sent >= 0 && sent <= (int)count));
	if (net.error)
		mend(broken);
	return sent > 0 ? (uint64_t)sent : 0;
}

Test(flipped_partition, T01_hands_out_the_entry_it_checked)
{
	uint64_t read = 0, goal = flipper_goal(), random = 1, rounds = 0, sent = 0;
	uint64_t refused = 0, broken = 0;
	struct patience patience = {0};

	while (read < goal) {
		unsigned count = receive_some(&refused);

		if (count)
			patience_renew(&patience);
		else
			patience_wait(&patience, read);
		read += count;
		if (++rounds % 8 == 0)
			sent += send_some(&random, &broken);
	}
	cr_expect_eq(net.stats.rx_frames + refused, read);
	cr_expect_gt(net.stats.rx_frames, goal / 20);
	cr_expect_gt(refused, goal / 20);
	cr_expect_gt(sent, 0);
	fprintf(stderr, "partition: %llu entries read, %llu of them refused, while %llu were rewritten; "
			"%llu sent, an impossible index %llu times\n",
		(unsigned long long)read, (unsigned long long)refused,
		(unsigned long long)flipped.counts->entries, (unsigned long long)sent,
		(unsigned long long)broken);
}
