/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The partition's side of a net device, as the ethdev driver sees it: one of
 * port_tap.c, port_native.c, port_vhost.c. Frames cross between the partition
 * and DPDK's mbufs here and nowhere else.
 *
 * Every call comes from the serving thread. None blocks.
 */
#ifndef ETHDEV_PORT_H
#define ETHDEV_PORT_H

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "adj.h"
#include "net_layout.h"

#define BURST_FRAMES 32
#define VLAN_TAG_BYTES 4

struct port;

/* What a port remembers for its successor; meaning is the port kind's own. */
struct port_positions {
	uint32_t transmit, receive;
};

struct port_ops {
	/*
	 * Takes up to `most` (at most BURST_FRAMES) frames that leave the
	 * partition. Every frame returned has one segment and a checked length.
	 * Frames; 0: none wait; -ENOBUFS: frames may wait, but no mbufs are left.
	 */
	int (*take)(struct port *port, struct rte_mbuf **frames, unsigned most);
	/*
	 * The device is about to be passed the oldest `count` frames that take returned;
	 * passed follows. A device that does not count what it takes (env->device_counts)
	 * is said now to have them all: should we die before passed says how many it had
	 * room for, nobody could tell, and none is to be sent twice.
	 * 1; 0: not now; -ECANCELED: what they came from is gone, or is to be taken
	 * again: drop them. NULL: at any time.
	 */
	int (*passing)(struct port *port, unsigned count);
	/*
	 * The device has the oldest `count` frames of those that take returned (0: it
	 * has no room): only now is what they came from given back to the partition.
	 * Between takes, all of them are passed or dropped. NULL: take has given it
	 * back already.
	 */
	void (*passed)(struct port *port, unsigned count);
	/*
	 * Gives frames to the partition, oldest first; those accepted (or dropped
	 * and counted) are the port's. Fewer than `count`: the partition has no
	 * room now, the caller keeps the rest.
	 */
	unsigned (*give)(struct port *port, struct rte_mbuf **frames, unsigned count);
	/* Wakes the partition, if it sleeps, for all that was given. NULL: give does. */
	void (*tell)(struct port *port);
	/*
	 * Before sleeping: asks to be woken when the partition sends (`frames`) or
	 * makes room (`room`). 1: there is some already; 0: armed.
	 */
	int (*arm)(struct port *port, bool frames, bool room);
	/* After sleeping. */
	void (*disarm)(struct port *port);
	/* A watched descriptor that may be this port's. */
	void (*interrupt)(struct port *port, int fd);
	void (*save)(const struct port *port, struct port_positions *out);
	int (*restore)(struct port *port, const struct port_positions *positions);
	void (*close)(struct port *port); /* and frees it */
};

struct port_counters {
	uint64_t tx_frames, tx_bytes, tx_dropped;
	uint64_t rx_frames, rx_bytes, rx_dropped;
	uint64_t doorbells;
};

struct port {
	const struct port_ops *ops;
	const struct adj_env *env;
	struct rte_mempool *pool; /* of frames that leave the partition */
	uint16_t frame_max;       /* the MTU's frame, with a VLAN tag */
	uint32_t device_taken;    /* frames the device has of all its drivers, modulo 2^32 */
	bool shut;                /* the partition broke the protocol, or its end is gone */
	unsigned spare_count;     /* buffers of the pool that wait, empty, in the port */
	struct port_counters counters;
};

/* Each opens the port described by env->port. 0 or -errno, logged. */
int port_tap_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out);
int port_native_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out);
int port_vhost_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out);

/* A program opened the native device (env->port has its window), or closed it. */
int port_native_attach(struct port *port);
void port_native_detach(struct port *port);
/* Around one frame that is passed to the device and is none of the transmit ring's, while
 * none of those is held. End: it was taken, and counted in device_taken, or not. */
void port_native_apart_begin(struct port *port);
void port_native_apart_end(struct port *port);

static inline void port_init(struct port *port, const struct port_ops *ops,
			     const struct adj_env *env, struct rte_mempool *pool)
{
	*port = (struct port){
		.ops = ops,
		.env = env,
		.pool = pool,
		.frame_max = (uint16_t)(env->port.mtu + NET_FRAME_MIN + VLAN_TAG_BYTES),
		.device_taken = env->device_taken,
	};
}

static inline bool port_length_ok(const struct port *port, uint32_t length)
{
	return length >= NET_FRAME_MIN && length <= port->frame_max;
}

/*
 * Makes an mbuf that came straight from the pool (one segment, one reference,
 * as the pool keeps them) into a frame of `length` bytes. The fields of the
 * second cache line are left alone: without offload flags nobody reads them.
 */
static inline void port_frame_init(struct rte_mbuf *frame, uint16_t length)
{
	frame->data_off = RTE_PKTMBUF_HEADROOM;
	frame->ol_flags = 0;
	frame->packet_type = 0;
	frame->pkt_len = length;
	frame->data_len = length;
}

#endif
