/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames through the adapter; see dataplane.h. A burst from one function is
 * switched as a whole, and each receiver gets its share of it in one call, so
 * it is rung once per burst. librte_vhost copies into the receiver's memory,
 * so one buffer can go to many functions and is freed by us afterwards.
 *
 * A frame has been copied out of the driver's memory, once, before anything is
 * read from it (THREATS.md T01); what the driver does to its rings meanwhile is
 * librte_vhost's business.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "dataplane.h"
#include "events.h"
#include "log.h"
#include "net_layout.h"
#include "vhost_port.h"
#include "watchdog.h"

#define BUFFER_BYTES (RTE_PKTMBUF_HEADROOM + 2048)
#define SPOOF_EVENT_NS NS_PER_S /* at most one event in this time */

static_assert(NET_FRAME_MAX + SWITCH_TAG_BYTES <= 2048, "a frame fits one buffer");
static_assert(RTE_PKTMBUF_HEADROOM >= SWITCH_TAG_BYTES, "a tag fits in front of it");

/* What one burst sends to one function. */
struct share {
	unsigned count;
	struct rte_mbuf *frames[DATAPLANE_BURST];
	uint8_t casts[DATAPLANE_BURST];
};

/* A burst on its way: what came, what was made of it, who gets what. */
struct burst {
	unsigned count;
	struct rte_mbuf *frames[2 * DATAPLANE_BURST]; /* altered copies behind the rest */
	uint64_t receivers;
};

/* 34 KiB that would be too much stack; there is one data thread. */
static struct share shares[VF_MAX];

int dataplane_open(struct adapter *adapter)
{
	adapter->pool = rte_pktmbuf_pool_create("frames", DATAPLANE_BUFFERS, 128, 0, BUFFER_BYTES,
						SOCKET_ID_ANY);
	return adapter->pool ? 0 : -ENOMEM;
}

void dataplane_kicked(struct adapter *adapter, unsigned index)
{
	uint64_t bit = UINT64_C(1) << index;
	struct vf *vf = &adapter->vfs[index];

	if (!(adapter->attached & bit) || (adapter->active & bit))
		return;
	adapter->active |= bit;
	vf->quiet_since_ns = clock_now_ns();
	rte_vhost_enable_guest_notification(vf->port.vid, VHOST_QUEUE_TRANSMIT, 0);
}

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

static unsigned ring_put(struct vf *vf, struct rte_mbuf **frames, unsigned count)
{
	unsigned fired = watchdog_count();
	unsigned taken = rte_vhost_enqueue_burst(vf->port.vid, VHOST_QUEUE_RECEIVE, frames,
						 (uint16_t)count);

	if (watchdog_count() != fired)
		suspect(vf, VHOST_QUEUE_RECEIVE);
	return taken;
}

static unsigned ring_take(struct adapter *adapter, struct vf *vf, struct rte_mbuf **frames,
			  unsigned count)
{
	unsigned fired = watchdog_count();
	unsigned taken = rte_vhost_dequeue_burst(vf->port.vid, VHOST_QUEUE_TRANSMIT, adapter->pool,
						 frames, (uint16_t)count);

	if (watchdog_count() != fired)
		suspect(vf, VHOST_QUEUE_TRANSMIT);
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
		if (ring_put(vf, &copy, 1) == 1)
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
	taken = ring_put(vf, share->frames, share->count);
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

static void forward(struct adapter *adapter, struct burst *burst, struct rte_mbuf *frame,
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
	events_post(adapter, EVENT_SPOOF, (int)vf->index, "%llu frames with a foreign source address",
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
		forward(adapter, burst, frame, &decision);
}

/* Switches the burst's frames and frees them. */
static void route(struct adapter *adapter, struct vf *from, struct burst *burst, uint64_t now_ns)
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

/* ---- From the sender --------------------------------------------------- */

/* Fault hooks that look at each sent frame; keeps the survivors in order. */
static void apply_faults(struct vf *vf, struct burst *burst)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < burst->count; i++) {
		if (faults_countdown(&vf->faults, FAULT_DIE)) {
			log_error("vf %u: the die hook ends the adapter", vf->index);
			abort();
		}
		if (faults_countdown(&vf->faults, FAULT_RESET))
			vf->reset_wanted = true;
		if (vf->reset_wanted || faults_drop(&vf->faults)) {
			vf->counters.fault_dropped++;
			rte_pktmbuf_free(burst->frames[i]);
			continue;
		}
		burst->frames[kept++] = burst->frames[i];
	}
	burst->count = kept;
}

static void delay_put(struct adapter *adapter, struct vf *vf, struct burst *burst, uint64_t now_ns)
{
	uint64_t due_ns = now_ns + vf->faults.value[FAULT_DELAY] * NS_PER_US;

	for (unsigned i = 0; i < burst->count; i++) {
		unsigned at = (vf->delayed_first + vf->delayed_count++) % ADAPTER_DELAYED_MAX;

		vf->delayed[at] = (struct delayed){.frame = burst->frames[i], .due_ns = due_ns};
	}
	adapter->delayed_total += burst->count;
	adapter->delaying |= UINT64_C(1) << vf->index;
	burst->count = 0;
}

static bool delay_release(struct adapter *adapter, struct vf *vf, uint64_t now_ns)
{
	struct burst burst = {0};

	while (vf->delayed_count && burst.count < DATAPLANE_BURST) {
		struct delayed *delayed = &vf->delayed[vf->delayed_first];

		/* The hook was removed: out with them, before newer frames. */
		if (vf->faults.value[FAULT_DELAY] && delayed->due_ns > now_ns)
			break;
		burst.frames[burst.count++] = delayed->frame;
		vf->delayed_first = (vf->delayed_first + 1) % ADAPTER_DELAYED_MAX;
		vf->delayed_count--;
		adapter->delayed_total--;
	}
	if (!vf->delayed_count)
		adapter->delaying &= ~(UINT64_C(1) << vf->index);
	if (!burst.count)
		return false;
	route(adapter, vf, &burst, now_ns);
	return true;
}

void dataplane_forget(struct adapter *adapter, struct vf *vf)
{
	for (; vf->delayed_count; vf->delayed_count--) {
		rte_pktmbuf_free(vf->delayed[vf->delayed_first].frame);
		vf->delayed_first = (vf->delayed_first + 1) % ADAPTER_DELAYED_MAX;
		adapter->delayed_total--;
	}
	adapter->delaying &= ~(UINT64_C(1) << vf->index);
}

/* Room for frames behind those held back, at most `most`. */
static unsigned delay_room(const struct adapter *adapter, const struct vf *vf, unsigned most)
{
	unsigned room = ADAPTER_DELAYED_MAX - vf->delayed_count;

	if (room > DATAPLANE_DELAYED_MAX - adapter->delayed_total)
		room = DATAPLANE_DELAYED_MAX - adapter->delayed_total;
	return room < most ? room : most;
}

/* How many frames the function may send now; if none, ready_ns says when. */
static unsigned allowance(struct adapter *adapter, struct vf *vf, uint64_t now_ns)
{
	unsigned most = rate_frames(&vf->limit, now_ns, DATAPLANE_BURST);

	if (!most) {
		vf->ready_ns = rate_ready_ns(&vf->limit);
		return 0;
	}
	if (vf->faults.value[FAULT_STALL]) {
		vf->ready_ns = UINT64_MAX;
		return 0;
	}
	if (vf->faults.value[FAULT_DELAY]) {
		most = delay_room(adapter, vf, most);
		/* Full by its own frames, or by those of others: look again later. */
		if (!most)
			vf->ready_ns = vf->delayed_count ? vf->delayed[vf->delayed_first].due_ns
							 : now_ns + NS_PER_MS;
	}
	return most;
}

static bool serve(struct adapter *adapter, struct vf *vf, uint64_t now_ns)
{
	struct burst burst = {0};
	bool moved = vf->delayed_count && delay_release(adapter, vf, now_ns);
	unsigned most;

	if (!(adapter->active >> vf->index & 1))
		return moved;
	vf->ready_ns = 0;
	most = allowance(adapter, vf, now_ns);
	if (!most)
		return moved;
	watchdog_touch(now_ns);
	burst.count = ring_take(adapter, vf, burst.frames, most);
	if (!burst.count)
		return moved;
	for (unsigned i = 0; i < burst.count; i++) {
		rate_spend(&vf->limit, burst.frames[i]->pkt_len);
		rate_spend(&vf->guarantee, burst.frames[i]->pkt_len);
	}
	if (vf->faults.any)
		apply_faults(vf, &burst);
	if (vf->faults.value[FAULT_DELAY])
		delay_put(adapter, vf, &burst, now_ns);
	else
		route(adapter, vf, &burst, now_ns);
	vf->quiet_since_ns = now_ns;
	return true;
}

/* When the oldest frame held back may go; UINT64_MAX: there is none. */
static uint64_t delay_due_ns(const struct vf *vf)
{
	return vf->delayed_count ? vf->delayed[vf->delayed_first].due_ns : UINT64_MAX;
}

static bool serve_set(struct adapter *adapter, uint64_t set, uint64_t now_ns)
{
	bool moved = false;

	for (; set; set &= set - 1) {
		struct vf *vf = &adapter->vfs[__builtin_ctzll(set)];

		if (vf->ready_ns > now_ns && delay_due_ns(vf) > now_ns)
			continue;
		moved |= serve(adapter, vf, now_ns);
		if (vf->reset_wanted) {
			vf->reset_wanted = false;
			adapter_reset(adapter, vf->index);
		}
	}
	return moved;
}

bool dataplane_pass(struct adapter *adapter, uint64_t now_ns)
{
	uint64_t first = 0;

	/* Functions below their guaranteed rate come first, and alone as long as
	 * they have something to send: that is what guarantees it. */
	for (uint64_t set = adapter->guaranteed & adapter->active; set; set &= set - 1) {
		unsigned index = (unsigned)__builtin_ctzll(set);

		if (rate_frames(&adapter->vfs[index].guarantee, now_ns, 1))
			first |= UINT64_C(1) << index;
	}
	if (first && serve_set(adapter, first, now_ns))
		return true;
	return serve_set(adapter, (adapter->active | adapter->delaying) & ~first, now_ns);
}

/*
 * No doorbell is lost: the driver publishes its index, fences, and reads
 * whether we want to be rung; we say that we do, fence, and read its index. One
 * of the two sees the other's store.
 */
static bool arm(struct adapter *adapter, struct vf *vf)
{
	uint64_t bit = UINT64_C(1) << vf->index;

	rte_vhost_enable_guest_notification(vf->port.vid, VHOST_QUEUE_TRANSMIT, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (rte_vhost_rx_queue_count(vf->port.vid, VHOST_QUEUE_TRANSMIT)) {
		rte_vhost_enable_guest_notification(vf->port.vid, VHOST_QUEUE_TRANSMIT, 0);
		return false;
	}
	adapter->active &= ~bit;
	return true;
}

uint64_t dataplane_settle(struct adapter *adapter, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint64_t set = adapter->active | adapter->delaying; set; set &= set - 1) {
		struct vf *vf = &adapter->vfs[__builtin_ctzll(set)];
		bool polled = adapter->active >> vf->index & 1;
		uint64_t due_ns = delay_due_ns(vf);

		if (polled && vf->ready_ns > now_ns)
			due_ns = vf->ready_ns < due_ns ? vf->ready_ns : due_ns;
		else if (polled && (now_ns - vf->quiet_since_ns < DATAPLANE_SPIN_NS ||
				    !arm(adapter, vf)))
			due_ns = 0;
		if (due_ns < next_ns)
			next_ns = due_ns;
	}
	return next_ns;
}
