/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user session: virtual machines and DPDK programs with virtio-user. The
 * shim is between their socket and ours; the rings are theirs. vhost_ring.c moves
 * frames to and from these, vhost_session.c knows where they are; here are bursts,
 * lengths, and what is owed to whom when an adjunct dies. While nobody is connected
 * the port has nothing and takes nothing.
 *
 * A request is an entry of the transmit ring: a descriptor, with those chained to it,
 * that the guest made available. It is done once, and complete once the used index
 * has passed it, whenever the adjunct may die (THREATS.md T07), as in port_native.c:
 *   take     copies; the used index stays, so a successor would take it again
 *   (the driver) passes the frames to the device: done, by one store of the
 *            device's queue, which whoever owns the device counts
 *   passed   stores in the record how far that is, then uses the entries
 * A burst has no wrong entries among its frames: these come alone. So a successor goes
 * on as many entries behind the record (adj_inflight.h) as the device has taken frames
 * since. Frames for the guest are on the wire until the used index has passed their
 * buffers: put once, in order, or lost with the adjunct.
 *
 * A ring that stops, stops between passing and the next passing(): what was taken and
 * not passed is the guest's again, and is dropped here.
 */
#include <errno.h>
#include <stdlib.h>

#include "port.h"
#include "vhost_session.h"

static_assert(VHOST_BURST == BURST_FRAMES, "a burst is a burst");
static_assert(RTE_MBUF_DEFAULT_DATAROOM >= (NET_FRAME_MAX + 63) / 64 * 64, "lines fit an mbuf");

struct port_vhost {
	struct port port;
	struct vhost_session *session;
	struct adj_inflight *record;
	struct adj_inflight own_record; /* where the shim keeps none for this guest */
	struct vhost_ring *passing; /* between passing and passed */
	unsigned taken_of; /* vhost_rings.began when the burst was taken */
	unsigned broken;   /* and of rings with impossible words: not served any more */
};

/* ---- The record (vhost thread, the serving thread being out; or serving thread) --- */

static void record_store(struct port_vhost *vhost, uint16_t position)
{
	/* release: after the device's index; the used index comes after it. Its reader is
	 * a successor, to whom everything this process stored has happened. */
	atomic_store_explicit(&vhost->record->transmit,
			      (uint64_t)position << 32 | vhost->port.device_taken,
			      memory_order_release);
}

/* The oldest `count` entries are done with: the record first, then the ring. */
static inline void entries_done(struct port_vhost *vhost, struct vhost_ring *ring, unsigned count)
{
	record_store(vhost, (uint16_t)(ring->done + count));
	vhost_ring_use(ring, count);
}

/*
 * The ring has begun at its used index. If it is the one of the record, some entries
 * more are done with: a burst at most that was recorded and not used, and one that was
 * passed and not recorded. Said twice it comes to the same, so a death here is none.
 */
static bool transmit_recover(struct port_vhost *vhost, struct vhost_ring *ring)
{
	/* acquire: partner is record_store() in a process that has ended. */
	uint64_t word = atomic_load_explicit(&vhost->record->transmit, memory_order_acquire);
	unsigned recorded = (uint16_t)((uint16_t)(word >> 32) - ring->done);
	uint32_t passed = vhost->port.device_taken - (uint32_t)word;

	/* More: it began anew while nobody served it. */
	if (recorded > BURST_FRAMES || !vhost_ring_skip(ring, recorded))
		return false;
	/* More: the device's owner began to count anew. */
	if (!vhost->port.env->device_counts || passed > BURST_FRAMES)
		passed = 0;
	record_store(vhost, (uint16_t)(ring->done + passed));
	return vhost_ring_skip(ring, passed);
}

static void rings_began(void *data, struct vhost_rings *rings)
{
	struct port_vhost *vhost = data;
	struct vhost_ring *ring = &rings->ring[VHOST_QUEUE_TRANSMIT];

	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		rings->ring[queue].calls = &vhost->port.counters.doorbells;
	vhost->own_record = (struct adj_inflight){0};
	vhost->record = rings->inflight ? rings->inflight : &vhost->own_record;
	if (atomic_load_explicit(&vhost->record->version, memory_order_relaxed) ==
		    ADJ_INFLIGHT_VERSION &&
	    ring->served && !transmit_recover(vhost, ring))
		vhost->port.env->log(vhost->port.env, ADJ_LOG_INFO,
				     "the guest's ring is not the one that was recorded");
	record_store(vhost, ring->done);
	atomic_store_explicit(&vhost->record->version, ADJ_INFLIGHT_VERSION, memory_order_release);
	/* A predecessor may have died between using a buffer and saying so: it is said now
	 * (T08). A new guest is told in vain. */
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		if (rings->ring[queue].served)
			vhost_ring_call(&rings->ring[queue]);
}

/* All that was passed is recorded and used: who begins anew needs no record. */
static void rings_ended(void *data, struct vhost_rings *rings)
{
	struct port_vhost *vhost = data;

	(void)rings;
	atomic_store_explicit(&vhost->record->version, 0, memory_order_release);
}

static const struct vhost_session_ops session_ops = {rings_began, rings_ended};

/* ---- Serving --------------------------------------------------------------------- */

/* The ring, and leave is owed; or NULL. */
static inline struct vhost_ring *ring_enter(struct port_vhost *vhost, enum vhost_queue queue,
					    unsigned *began)
{
	struct vhost_rings *rings = vhost_session_enter(vhost->session);

	if (!rings)
		return NULL;
	*began = rings->began;
	if (likely(rings->ring[queue].served && rings->began != vhost->broken))
		return &rings->ring[queue];
	vhost_session_leave(vhost->session);
	return NULL;
}

static void rings_break(struct port_vhost *vhost, unsigned began)
{
	vhost->broken = began;
	vhost->port.env->log(vhost->port.env, ADJ_LOG_WARNING,
			     "the guest broke the ring protocol; it is served no more");
	vhost->port.env->post_event(vhost->port.env, ADJ_EVENT_PARTITION_PROTOCOL);
}

/* Of `count` entries that wait. Frames, or -EPROTO; mbufs beyond these are free again. */
static int frames_take(struct port_vhost *vhost, struct vhost_ring *ring, struct rte_mbuf **frames,
		       unsigned count)
{
	struct port *port = &vhost->port;
	struct vhost_frame taken[BURST_FRAMES];
	unsigned bad, bytes = 0;

	for (unsigned i = 0; i < count; i++)
		taken[i].at = (uint8_t *)frames[i]->buf_addr + RTE_PKTMBUF_HEADROOM;
	int result = vhost_ring_take(ring, taken, count, NET_FRAME_MIN, port->frame_max, &bad);
	unsigned good = result < 0 ? 0 : (unsigned)result;

	for (unsigned i = 0; i < good; i++) {
		port_frame_init(frames[i], (uint16_t)taken[i].length_bytes);
		bytes += taken[i].length_bytes;
	}
	if (unlikely(good < count))
		rte_mempool_put_bulk(port->pool, (void **)frames + good, count - good);
	if (unlikely(result >= 0 && bad))
		entries_done(vhost, ring, bad);
	port->counters.tx_dropped += bad;
	port->counters.tx_frames += good;
	port->counters.tx_bytes += bytes;
	return result;
}

static int vhost_take(struct port *port, struct rte_mbuf **frames, unsigned most)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	unsigned began;
	struct vhost_ring *ring = ring_enter(vhost, VHOST_QUEUE_TRANSMIT, &began);

	if (!ring)
		return 0;
	/* What a burst before had taken and not passed was dropped, or its ring is gone. */
	ring->taken = ring->done;
	vhost->taken_of = began;
	int result = vhost_ring_ready(ring, most);

	if (result > 0)
		result = rte_mempool_get_bulk(port->pool, (void **)frames, (unsigned)result)
				 ? -ENOBUFS
				 : frames_take(vhost, ring, frames, (unsigned)result);
	vhost_session_leave(vhost->session);
	if (likely(result != -EPROTO))
		return result;
	rings_break(vhost, began);
	return 0;
}

/* 1: leave is owed from here until passed. */
static int vhost_passing(struct port *port, unsigned count)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	struct vhost_rings *rings = vhost_session_enter(vhost->session);

	if (unlikely(!rings))
		return vhost_session_over(vhost->session) ? -ECANCELED : 0;
	if (likely(rings->began == vhost->taken_of && rings->ring[VHOST_QUEUE_TRANSMIT].served)) {
		vhost->passing = &rings->ring[VHOST_QUEUE_TRANSMIT];
		if (!port->env->device_counts)
			record_store(vhost, (uint16_t)(vhost->passing->done + count));
		return 1;
	}
	vhost_session_leave(vhost->session);
	return rings->began == vhost->taken_of ? 0 : -ECANCELED;
}

static void vhost_passed(struct port *port, unsigned count)
{
	struct port_vhost *vhost = (struct port_vhost *)port;

	if (likely(count) || !port->env->device_counts)
		entries_done(vhost, vhost->passing, count);
	vhost_session_leave(vhost->session);
}

/* In one piece, and of a length the partition's MTU allows. */
static inline bool frame_ok(const struct port *port, struct rte_mbuf *frame)
{
	return port_length_ok(port, frame->pkt_len) &&
	       (likely(frame->nb_segs == 1) || !rte_pktmbuf_linearize(frame));
}

static unsigned vhost_give(struct port *port, struct rte_mbuf **frames, unsigned count)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	struct vhost_frame list[BURST_FRAMES];
	unsigned wrong = 0, good = 0, refused = 0, began, bytes = 0;
	int given = 0;

	while (wrong < count && unlikely(!frame_ok(port, frames[wrong])))
		wrong++;
	for (; wrong + good < count && frame_ok(port, frames[wrong + good]); good++)
		list[good] = (struct vhost_frame){
			rte_pktmbuf_mtod(frames[wrong + good], void *),
			frames[wrong + good]->pkt_len,
		};
	struct vhost_ring *ring = good ? ring_enter(vhost, VHOST_QUEUE_RECEIVE, &began) : NULL;

	if (ring) {
		given = vhost_ring_give(ring, list, good, &refused);
		vhost_session_leave(vhost->session);
	}
	if (unlikely(given < 0)) {
		rings_break(vhost, began);
		given = 0;
	}
	for (int i = 0; i < given; i++)
		bytes += list[i].length_bytes;
	port->counters.rx_frames += (unsigned)given - refused;
	port->counters.rx_bytes += bytes;
	port->counters.rx_dropped += wrong + refused;
	if (wrong + (unsigned)given)
		rte_pktmbuf_free_bulk(frames, wrong + (unsigned)given);
	return wrong + (unsigned)given;
}

/* ---- Sleeping -------------------------------------------------------------------- */

static void guest_kicks(struct port_vhost *vhost, bool transmit, bool receive)
{
	struct vhost_rings *rings = vhost_session_enter(vhost->session);

	if (!rings)
		return;
	if (rings->ring[VHOST_QUEUE_TRANSMIT].served)
		vhost_ring_notify(&rings->ring[VHOST_QUEUE_TRANSMIT], transmit);
	if (rings->ring[VHOST_QUEUE_RECEIVE].served)
		vhost_ring_notify(&rings->ring[VHOST_QUEUE_RECEIVE], receive);
	vhost_session_leave(vhost->session);
}

static int vhost_arm(struct port *port, bool frames, bool room)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	int result = vhost_session_watch(vhost->session);

	if (result) {
		port->env->log(port->env, ADJ_LOG_ERROR, "cannot watch the guest's kicks");
		port->shut = true;
		return 0;
	}
	guest_kicks(vhost, frames, room);
	/* seq_cst: partner is the barrier of the guest's driver between making
	 * something available and reading our wish. The driver looks again now. */
	atomic_thread_fence(memory_order_seq_cst);
	return 0;
}

static void vhost_disarm(struct port *port)
{
	guest_kicks((struct port_vhost *)port, false, false);
}

static void vhost_interrupt(struct port *port, int fd)
{
	struct port_vhost *vhost = (struct port_vhost *)port;

	vhost_session_interrupt(vhost->session, fd);
}

/* ---- Beginning and end ------------------------------------------------------------ */

/* Where the rings stand, the guest's memory and the record say. */
static void vhost_save(const struct port *port, struct port_positions *out)
{
	(void)port;
	*out = (struct port_positions){0};
}

static int vhost_restore(struct port *port, const struct port_positions *positions)
{
	(void)port;
	(void)positions;
	return 0;
}

static void vhost_close(struct port *port)
{
	struct port_vhost *vhost = (struct port_vhost *)port;

	vhost_session_close(vhost->session);
	free(vhost);
}

static const struct port_ops vhost_ops = {
	.take = vhost_take,
	.passing = vhost_passing,
	.passed = vhost_passed,
	.give = vhost_give,
	.arm = vhost_arm,
	.disarm = vhost_disarm,
	.interrupt = vhost_interrupt,
	.save = vhost_save,
	.restore = vhost_restore,
	.close = vhost_close,
};

int port_vhost_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out)
{
	struct port_vhost *vhost = calloc(1, sizeof(*vhost));
	int result;

	if (!vhost)
		return -ENOMEM;
	port_init(&vhost->port, &vhost_ops, env, pool);
	vhost->record = &vhost->own_record;
	result = vhost_session_open(env, env->port.vhost_path, &session_ops, vhost,
				    &vhost->session);
	if (result) {
		free(vhost);
		return result;
	}
	*out = &vhost->port;
	return 0;
}
