/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may send, when, and how much; see dataplane.h. What they send goes on in
 * forward.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "forward.h"
#include "log.h"
#include "vhost_port.h"
#include "watchdog.h"

int dataplane_open(struct adapter *adapter)
{
	adapter->pool = rte_pktmbuf_pool_create("frames", DATAPLANE_BUFFERS, 128, 0,
						FORWARD_BUFFER_BYTES, SOCKET_ID_ANY);
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
	forward_burst(adapter, vf, &burst, now_ns);
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
	burst.count = forward_ring_take(adapter, vf, burst.frames, most);
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
		forward_burst(adapter, vf, &burst, now_ns);
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

void dataplane_drain(struct adapter *adapter, struct vf *vf)
{
	uint64_t now_ns = clock_now_ns();
	struct burst burst = {0};
	unsigned left = VHOST_QUEUE_SIZE_MAX, taken;

	if (vf->port.vid < 0 || vf->faults.value[FAULT_STALL])
		return;
	do {
		watchdog_touch(now_ns);
		taken = forward_ring_take(adapter, vf, burst.frames,
					  left < DATAPLANE_BURST ? left : DATAPLANE_BURST);
		left -= taken;
		burst.count = taken;
		if (vf->faults.any)
			apply_faults(vf, &burst);
		forward_burst(adapter, vf, &burst, now_ns);
	} while (left && taken);
}

/* Drivers that have gone: librte_vhost's thread waits with unmapping their rings. */
static void drain_leaving(struct adapter *adapter)
{
	for (; adapter->leaving; adapter->leaving &= adapter->leaving - 1) {
		struct vf *vf = &adapter->vfs[__builtin_ctzll(adapter->leaving)];

		dataplane_drain(adapter, vf);
		vhost_port_detach(adapter, vf);
	}
}

bool dataplane_pass(struct adapter *adapter, uint64_t now_ns)
{
	uint64_t first = 0;

	if (adapter->leaving)
		drain_leaving(adapter);

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
		else if (polled &&
			 (now_ns - vf->quiet_since_ns < DATAPLANE_SPIN_NS || !arm(adapter, vf)))
			due_ns = 0;
		if (due_ns < next_ns)
			next_ns = due_ns;
	}
	return next_ns;
}
