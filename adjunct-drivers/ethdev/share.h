/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One device behind several ports: that of the partition whose adjunct it is (the host),
 * and those of its clients (000, FIG. 5). A station's frames go by their address: to the
 * end that has it, or to the device; what comes from the device goes the same way. Nobody
 * sends with another's address, and who has no room loses his own frames.
 *
 * Internal to the driver: ethdev.c moves frames, and asks here as soon as there is a
 * client. The serving thread.
 */
#ifndef ETHDEV_SHARE_H
#define ETHDEV_SHARE_H

#include "device.h"
#include "port.h"

struct burst {
	unsigned first, count; /* frames[first .. first + count) are held */
	struct rte_mbuf *frames[BURST_FRAMES];
};

/* One end, and the host's device. */
struct ethdev {
	const struct adj_env *env;
	struct port *port;
	struct burst tx; /* from the partition, for the device */
	struct burst rx; /* from the device, for the partition */
	bool starved;    /* the last take found no packet buffers */
	unsigned untold; /* not 0: it has frames it was not woken for; moved since, either way */
	struct device *device, own_device; /* a client's is the host's */
	struct {
		/* One waits for a frame, one for room in the device: since the last dispatch,
		 * and as it was in that one. */
		struct {
			bool frame, room;
		} asked, wanted;
		bool filters; /* frames of some VLANs only */
	} requests; /* requests.c */
	unsigned drained;     /* while quiescing */
	uint64_t progress_ns; /* while quiescing: last time something moved */

	struct ethdev *host; /* of a client; else NULL */
	struct ethdev *clients[ADJ_CLIENTS_MAX];
	unsigned client_count;
	uint32_t handed; /* frames that the device has of all ends, modulo 2^32 */
};

static inline void burst_advance(struct burst *burst, unsigned done)
{
	burst->first += done;
	burst->count -= done;
}

void burst_free(struct burst *burst);

static inline bool share_is_on(const struct ethdev *end)
{
	return end->host || end->client_count;
}

/* How many frames the device was handed, as device_arm() wants to know. */
static inline uint32_t share_handed(const struct ethdev *host)
{
	return host->client_count ? host->handed : host->port->device_taken;
}

void share_add(struct ethdev *host, struct ethdev *client);
void share_remove(struct ethdev *client);

/* Of what was just taken from the end's partition, frames to groups go to all other ends,
 * as copies; the originals follow with the rest. */
void share_copies(struct ethdev *end);
/* Passes on what is held in end->tx, in its order, while there is room: frames that left. */
unsigned share_flush(struct ethdev *end);
/* Gives out what is in host->rx: nothing is left there. */
void share_receive(struct ethdev *host);

#endif
