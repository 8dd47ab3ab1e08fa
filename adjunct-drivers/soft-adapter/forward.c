/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Through the switch and out; see forward.h. A burst is switched as a whole,
 * and each receiver gets its share of it in one call, so it is rung once per
 * burst. librte_vhost copies into the receiver's memory, so one buffer can go
 * to many functions and is freed by us afterwards.
 *
 * A frame has been copied out of the driver's memory, once, before anything is
 * read from it (THREATS.md T01); what the driver does to its rings meanwhile is
 * librte_vhost's business.
 */
#include "forward.h"

#include <assert.h>
#include <string.h>

#include <rte_vhost.h>

#include "events.h"
#include "log.h"
#include "net_layout.h"
#include "vhost_port.h"
#include "watchdog.h"

#define SPOOF_EVENT_NS (1000 * NS_PER_MS) /* at most one event in this time */

static_assert(NET_FRAME_MAX + SWITCH_TAG_BYTES <= 2048, "a frame fits one buffer");
static_assert(RTE_PKTMBUF_HEADROOM >= SWITCH_TAG_BYTES, "a tag fits in front of it");

/* What one burst sends to one function. */
struct share {
	unsigned count;
	struct rte_mbuf *frames[DATAPLANE_BURST];
	uint8_t casts[DATAPLANE_BURST];
};

/* 34 KiB that would be too much stack; there is one data thread. */
static struct share shares[VF_MAX];

/* ---- librte_vhost's rings ---------------------------------------------- */

/* After a call that took long: was it because the driver's doorbell is full? */
static void suspect(struct vf *vf, uint16_t queue)
{
	struct rte_vhost_vring ring;

	if (rte_vhost_get_vhost_vring(vf->port.vid, queue, &ring) < 0 ||
	    !watchdog_is_full(ring.callfd))
		return;
	log_warning("vf %u: its driver's doorbell blocks", vf->index);
	vf->reset_wanted = true;
}

unsigned forward_ring_put(struct vf *vf, struct rte_mbuf **frames, unsigned count)
{
	unsigned fired = watchdog_count();
	unsigned taken =
		rte_vhost_enqueue_burst(vf->port.vid, VHOST_QUEUE_RECEIVE, frames, (uint16_t)count);

	if (watchdog_count() != fired)
		suspect(vf, VHOST_QUEUE_RECEIVE);
	return taken;
}

unsigned forward_ring_take(struct adapter *adapter, struct vf *vf, struct rte_mbuf **frames,
			   unsigned count)
{
	unsigned fired = watchdog_count();
	unsigned taken = rte_vhost_dequeue_burst(vf->port.vid, VHOST_QUEUE_TRANSMIT, adapter->pool,
						 frames, (uint16_t)count);

	if (watchdog_count() != fired)
		suspect(vf, VHOST_QUEUE_TRANSMIT);
	vf->session_taken += taken;
	return taken;
}

/* ---- To the receivers -------------------------------------------------- */

static void count_received(struct vf *vf, const struct rte_mbuf *frame, uint8_t cast)
{
	vf->counters.rx_frames++;
	vf->counters.rx_bytes += frame->pkt_len;
	vf->counters.rx_broadcast += cast == SWITCH_BROADCAST;
	vf->counters.rx_multicast += cast == SWITCH_MULTICAST;
}

/* A receiver whose frames are given wrong lengths gets copies, one by one. */
static void deliver_corrupted(struct adapter *adapter, struct vf *vf, struct share *share)
{
	for (unsigned i = 0; i < share->count; i++) {
		struct rte_mbuf *copy =
			rte_pktmbuf_copy(share->frames[i], adapter->pool, 0, UINT32_MAX);
		size_t length;

		if (!copy) {
			vf->counters.rx_missed++;
			continue;
		}
		length = faults_length(&vf->faults, copy->data_len + rte_pktmbuf_tailroom(copy));
		if (length > copy->data_len)
			memset(rte_pktmbuf_mtod_offset(copy, uint8_t *, copy->data_len), 0,
			       length - copy->data_len);
		copy->data_len = (uint16_t)length;
		copy->pkt_len = (uint32_t)length;
		if (forward_ring_put(vf, &copy, 1) == 1)
			count_received(vf, copy, share->casts[i]);
		else
			vf->counters.rx_missed++;
		rte_pktmbuf_free(copy);
	}
}

static void deliver(struct adapter *adapter, struct vf *vf, struct share *share)
{
	unsigned taken;

	if (vf->faults.value[FAULT_CORRUPT_LENGTH]) {
		deliver_corrupted(adapter, vf, share);
		share->count = 0;
		return;
	}
	taken = forward_ring_put(vf, share->frames, share->count);
	for (unsigned i = 0; i < taken; i++)
		count_received(vf, share->frames[i], share->casts[i]);
	/* No room in its ring: lost, as on hardware. */
	vf->counters.rx_missed += share->count - taken;
	share->count = 0;
}

/* ---- Through the switch ------------------------------------------------ */

static void share_out(struct burst *burst, struct rte_mbuf *frame, uint64_t ports,
		      enum switch_cast cast)
{
	burst->receivers |= ports;
	for (; ports; ports &= ports - 1) {
		struct share *share = &shares[__builtin_ctzll(ports)];

		share->casts[share->count] = (uint8_t)cast;
		share->frames[share->count++] = frame;
	}
}

/* Inserts or removes the tag. The caller has checked that it fits. */
static void alter(struct rte_mbuf *frame, const struct switch_decision *decision)
{
	if (decision->insert) {
		switch_tag_insert((uint8_t *)rte_pktmbuf_prepend(frame, SWITCH_TAG_BYTES),
				  decision->proto, decision->tci);
		return;
	}
	switch_tag_remove(rte_pktmbuf_mtod(frame, uint8_t *));
	rte_pktmbuf_adj(frame, SWITCH_TAG_BYTES);
}

static void forward_frame(struct adapter *adapter, struct burst *burst, struct rte_mbuf *frame,
			  const struct switch_decision *decision)
{
	uint64_t altered = decision->altered & adapter->attached;
	uint64_t plain = decision->ports & ~decision->altered & adapter->attached;

	if (altered && plain) {
		/* A broadcast that some want with and some without the tag. */
		struct rte_mbuf *copy = rte_pktmbuf_copy(frame, adapter->pool, 0, UINT32_MAX);

		if (copy) {
			alter(copy, decision);
			burst->frames[burst->count++] = copy;
			share_out(burst, copy, altered, decision->cast);
		}
		for (; !copy && altered; altered &= altered - 1)
			adapter->vfs[__builtin_ctzll(altered)].counters.rx_missed++;
	} else if (altered) {
		alter(frame, decision);
		share_out(burst, frame, altered, decision->cast);
	}
	share_out(burst, frame, plain, decision->cast);
}

static void spoofed(struct adapter *adapter, struct vf *vf, uint64_t now_ns)
{
	vf->counters.tx_spoof_dropped++;
	vf->spoof_untold++;
	if (vf->spoof_told_ns && now_ns - vf->spoof_told_ns < SPOOF_EVENT_NS)
		return;
	events_post(adapter, EVENT_SPOOF, (int)vf->index,
		    "%llu frames with a foreign source address",
		    (unsigned long long)vf->spoof_untold);
	vf->spoof_told_ns = now_ns;
	vf->spoof_untold = 0;
}

static void route_frame(struct adapter *adapter, struct vf *from, struct burst *burst,
			struct rte_mbuf *frame, uint64_t now_ns)
{
	struct switch_decision decision;

	/* In one piece, or it is longer than a buffer and so than any frame; the
	 * offload flags, if any, were not negotiated. */
	if (frame->nb_segs != 1) {
		from->counters.tx_malformed_dropped++;
		return;
	}
	frame->ol_flags = 0;
	switch_decide(&adapter->table, from->index, rte_pktmbuf_mtod(frame, const uint8_t *),
		      frame->data_len, frame->pkt_len, &decision);
	switch (decision.verdict) {
	case SWITCH_MALFORMED:
		from->counters.tx_malformed_dropped++;
		return;
	case SWITCH_LINK_DOWN:
		from->counters.tx_link_dropped++;
		return;
	case SWITCH_BAD_VLAN:
		from->counters.tx_vlan_dropped++;
		return;
	case SWITCH_SPOOFED:
		spoofed(adapter, from, now_ns);
		return;
	case SWITCH_UPLINK:
		from->counters.tx_uplink++;
		break;
	case SWITCH_FORWARD:
		break;
	}
	from->counters.tx_frames++;
	from->counters.tx_bytes += frame->pkt_len;
	if (decision.verdict == SWITCH_FORWARD)
		forward_frame(adapter, burst, frame, &decision);
}

void forward_burst(struct adapter *adapter, struct vf *from, struct burst *burst, uint64_t now_ns)
{
	unsigned count = burst->count;

	burst->receivers = 0;
	for (unsigned i = 0; i < count; i++)
		route_frame(adapter, from, burst, burst->frames[i], now_ns);
	watchdog_touch(now_ns);
	for (uint64_t left = burst->receivers; left; left &= left - 1) {
		unsigned index = (unsigned)__builtin_ctzll(left);

		deliver(adapter, &adapter->vfs[index], &shares[index]);
		/* Other than a sender's, which is in the middle of its burst. */
		if (adapter->vfs[index].reset_wanted && index != from->index)
			adapter_reset(adapter, index);
	}
	rte_pktmbuf_free_bulk(burst->frames, burst->count);
	burst->count = 0;
}
