/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of the vhost-user port (port_vhost.c) both ways, on a librte_vhost that these
 * tests play (vhost_support.h) and a guest's rings (guest.h): which rings are served, what
 * is dropped, where too little is left. One thread.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <rte_mbuf.h>

#include "vhost_support.h"

TestSuite(vhost_frames, .init = vhost_open_all, .fini = vhost_close_all, .timeout = 60);

static void expect_served(bool served, const char *what)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	uint16_t before = transmit->used->idx;

	guest_send(transmit, 0, 60, 1);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), served, "%s", what);
	if (served) {
		cr_assert_eq(port->ops->passing(port, 1), 1);
		port->device_taken++;
		port->ops->passed(port, 1);
		rte_pktmbuf_free(frames[0]);
	}
	cr_expect_eq(transmit->used->idx, (uint16_t)(before + served), "%s", what);
	if (!served)
		transmit->avail->idx--;
}

Test(vhost_frames, rings_that_cannot_be_are_not_served)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT], well = *transmit;
	static const char *const calls_that_fail[] = {"get_mem_table", "get_negotiated_features"};

	guest_comes();
	expect_served(true, "well");
	for (unsigned i = 0; i < 2; i++) {
		played.failing = calls_that_fail[i];
		played_message();
		expect_served(false, played.failing);
	}
	played.failing = NULL;
	played.ring_entries = 0;
	played_message();
	expect_served(false, "no entries");
	played.ring_entries = GUEST_RING - 1;
	played_message();
	expect_served(false, "not a power of two");
	played.ring_entries = GUEST_RING;
	for (unsigned i = 0; i < 6; i++) {
		void *const wrong[] = {NULL, NULL, NULL, (char *)well.desc + 8,
				       (char *)well.avail + 1, (char *)well.used + 2};

		transmit->desc = i % 3 == 0 ? wrong[i] : well.desc;
		transmit->avail = i % 3 == 1 ? wrong[i] : well.avail;
		transmit->used = i % 3 == 2 ? wrong[i] : well.used;
		played_message();
		*transmit = well;
		expect_served(false, "a place that is none");
	}
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 0);
	expect_served(false, "not enabled");
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1);
	played_message();
	expect_served(true, "well again");
	played.callbacks->destroy_device(PLAYED_VID);
	played_message();
	expect_served(false, "nobody is here");
	played.failing = "get_vring_base";
	guest_comes();
	played.failing = NULL;
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, impossible_words_end_the_service_until_the_rings_begin_anew)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	struct rte_mbuf *frames[BURST_FRAMES];

	guest_comes();
	transmit->avail->idx = 5000;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect_eq(runtime.protocol_breaks, 1u);
	transmit->avail->idx = 0;
	expect_served(false, "broken");
	played.callbacks->destroy_device(PLAYED_VID);
	guest_comes();
	guest_offer(transmit, GUEST_RING);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect_eq(runtime.protocol_breaks, 2u);
	played.callbacks->destroy_device(PLAYED_VID);
	transmit->avail->idx = 0;
	guest_comes();
	expect_served(true, "another one");
	played.guest[VHOST_QUEUE_RECEIVE].avail->idx = 5000;
	frames_make(frames, 1, 60);
	cr_expect_eq(port->ops->give(port, frames, 1), 0u);
	cr_expect_eq(runtime.protocol_breaks, 3u);
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, frames_of_a_wrong_length_are_dropped_both_ways)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	struct vhost_ring *receive = &played.guest[VHOST_QUEUE_RECEIVE];
	struct rte_mbuf *frames[BURST_FRAMES], *second;

	guest_comes();
	guest_send(transmit, 0, FRAME_MAX + 1, 1);
	guest_send(transmit, 1, 60, 2);
	guest_send(transmit, 2, 61, 3);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 2);
	cr_expect_eq(transmit->used->idx, 1u, "the wrong one is done with");
	cr_expect_eq(port->counters.tx_dropped, 1u);
	cr_expect_eq(port->counters.tx_frames, 2u);
	cr_expect_eq(port->counters.tx_bytes, 121u);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[1], uint8_t *), 3);
	rte_pktmbuf_free_bulk(frames, 2);

	for (unsigned slot = 0; slot < 4; slot++)
		guest_room(receive, slot, slot == 1 ? 20 : 2048);
	frames_make(frames, 2, FRAME_MAX + 1);
	frames_make(frames + 2, 6, 60);
	frames_make(&second, 1, 60);
	cr_assert_not(rte_pktmbuf_chain(frames[3], second));
	cr_expect_eq(port->ops->give(port, frames, 8), 6u, "two dropped, one refused, three given");
	rte_pktmbuf_free_bulk(frames + 6, 2);
	cr_expect_eq(port->counters.rx_dropped, 3u);
	cr_expect_eq(port->counters.rx_frames, 3u);
	cr_expect_eq(port->counters.rx_bytes, 180u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, FRAME_MAX + 1)), 2u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, 60)), 0u, "no room");
	rte_pktmbuf_free_bulk(frames, 2);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, a_frame_that_cannot_be_one_piece_is_dropped_alone)
{
	struct rte_mbuf *frames[BURST_FRAMES], *rest;

	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_room(&played.guest[VHOST_QUEUE_RECEIVE], slot, 2048);
	frames_make(frames, 3, 60);
	/* Its first piece lies at the end of its buffer. */
	cr_assert_not_null(rte_pktmbuf_append(frames[1], 1900));
	cr_assert_not_null(rte_pktmbuf_adj(frames[1], 1900));
	frames_make(&rest, 1, 500);
	cr_assert_not(rte_pktmbuf_chain(frames[1], rest));
	cr_expect_eq(port->ops->give(port, frames, 3), 1u, "those before it");
	cr_expect_eq(port->ops->give(port, frames + 1, 2), 2u, "one dropped, one given");
	cr_expect_eq(port->counters.rx_dropped, 1u);
	cr_expect_eq(port->counters.rx_frames, 2u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, a_driver_of_before_version_1_has_a_shorter_header)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	played.features = 0;
	guest_comes();
	guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], 0, 60, 7);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	cr_expect_eq(frames[0]->pkt_len, 62u, "what follows its ten octets is the frame");
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, T02_more_memory_than_there_can_be_is_left_out)
{
	played.more_regions = VHOST_REGIONS_MAX;
	guest_comes();
	expect_served(true, "what was there first is reached");
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_frames, without_mbufs_nothing_is_taken)
{
	struct rte_mbuf *all[511], *frames[BURST_FRAMES];
	unsigned count = 0;

	guest_comes();
	guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], 0, 60, 1);
	while (!rte_mempool_get(pool, (void **)&all[count]))
		count++;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), -ENOBUFS);
	rte_mempool_put_bulk(pool, (void **)all, count);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}
