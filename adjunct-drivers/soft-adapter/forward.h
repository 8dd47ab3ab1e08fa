/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second half of a frame's path: from a burst that a function has sent,
 * through the switch, into the receivers' rings. The first half, which decides
 * when who may send, is dataplane.c. Data thread only, lock held.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include <rte_mbuf.h>

#include "dataplane.h"

#define FORWARD_BUFFER_BYTES (RTE_PKTMBUF_HEADROOM + 2048)

/* A burst on its way: what came, what was made of it, who gets any of it. */
struct burst {
	unsigned count;
	struct rte_mbuf *frames[2 * DATAPLANE_BURST]; /* altered copies behind the rest */
	uint64_t receivers;
};

/* Switches up to DATAPLANE_BURST frames that `from` sent, and frees them. */
void forward_burst(struct adapter *adapter, struct vf *from, struct burst *burst, uint64_t now_ns);

/*
 * Into and out of a function's rings: librte_vhost's calls, watched. A driver
 * whose doorbell has blocked them is marked for a reset (vf->reset_wanted).
 */
unsigned forward_ring_put(struct vf *vf, struct rte_mbuf **frames, unsigned count);
unsigned forward_ring_take(struct adapter *adapter, struct vf *vf, struct rte_mbuf **frames,
			   unsigned count);

#endif
