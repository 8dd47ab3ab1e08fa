/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user session: virtual machines and DPDK programs with virtio-user. The
 * shim is between their socket and ours; the rings are theirs.
 * librte_vhost knows the rings; here are bursts, lengths and sleeping. While
 * nobody is connected the port has nothing and takes nothing.
 *
 * A request is a descriptor (with those chained to it) that the guest made
 * available. Each is used once and in that order, whenever the adjunct may die: the
 * library publishes a burst's by one store, of the used index, which is in the
 * guest's memory and is where the session is taken up again (hv-shim/vhost/vhost_state.c,
 * vhost_state_place()). It does so before the device has the frames: of those in
 * hand, one burst, a death loses what was not passed on yet.
 */
#include <errno.h>
#include <rte_vhost.h>
#include <stdlib.h>

#include "port.h"
#include "vhost_session.h"

struct port_vhost {
	struct port port;
	struct vhost_session *session;
};

static int vhost_take(struct port *port, struct rte_mbuf **frames, unsigned most)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	int vid = vhost_session_enter(vhost->session);
	unsigned taken, kept = 0;

	if (vid < 0)
		return 0;
	taken = rte_vhost_dequeue_burst(vid, VHOST_QUEUE_TRANSMIT, port->pool, frames,
					(uint16_t)most);
	vhost_session_leave(vhost->session);
	for (unsigned i = 0; i < taken; i++) {
		struct rte_mbuf *frame = frames[i];

		if (unlikely(frame->nb_segs != 1 || !port_length_ok(port, frame->pkt_len))) {
			port->counters.tx_dropped++;
			rte_pktmbuf_free(frame);
			continue;
		}
		port->counters.tx_bytes += frame->pkt_len;
		frames[kept++] = frame;
	}
	port->counters.tx_frames += kept;
	return (int)kept;
}

static unsigned vhost_give(struct port *port, struct rte_mbuf **frames, unsigned count)
{
	struct port_vhost *vhost = (struct port_vhost *)port;
	struct rte_mbuf *refused[BURST_FRAMES];
	unsigned refused_count = 0, given = 0;
	uint64_t bytes = 0;
	int vid;

	/* A frame the partition's MTU does not allow would take a buffer in vain. */
	while (count && unlikely(!port_length_ok(port, frames[0]->pkt_len))) {
		refused[refused_count++] = *frames++;
		count--;
	}
	port->counters.rx_dropped += refused_count;
	vid = count ? vhost_session_enter(vhost->session) : -1;
	if (vid >= 0) {
		given = rte_vhost_enqueue_burst(vid, VHOST_QUEUE_RECEIVE, frames, (uint16_t)count);
		vhost_session_leave(vhost->session);
	}
	for (unsigned i = 0; i < given; i++)
		bytes += frames[i]->pkt_len;
	port->counters.rx_frames += given;
	port->counters.rx_bytes += bytes;
	if (given)
		rte_pktmbuf_free_bulk(frames, given);
	if (refused_count)
		rte_pktmbuf_free_bulk(refused, refused_count);
	return refused_count + given;
}

static void guest_notifications(struct port_vhost *vhost, bool transmit, bool receive)
{
	int vid = vhost_session_enter(vhost->session);

	if (vid < 0)
		return;
	(void)rte_vhost_enable_guest_notification(vid, VHOST_QUEUE_TRANSMIT, transmit);
	(void)rte_vhost_enable_guest_notification(vid, VHOST_QUEUE_RECEIVE, receive);
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
	guest_notifications(vhost, frames, room);
	/* seq_cst: partner is the barrier of the guest's driver between making
	 * something available and reading our flag. The driver looks again now. */
	atomic_thread_fence(memory_order_seq_cst);
	return 0;
}

static void vhost_disarm(struct port *port)
{
	guest_notifications((struct port_vhost *)port, false, false);
}

static void vhost_interrupt(struct port *port, int fd)
{
	vhost_session_interrupt(((struct port_vhost *)port)->session, fd);
	port->counters.doorbells = vhost_session_doorbells(((struct port_vhost *)port)->session);
}

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
	result = vhost_session_open(env, env->port.vhost_path, &vhost->session);
	if (result) {
		free(vhost);
		return result;
	}
	*out = &vhost->port;
	return 0;
}
