/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TAP interface in the partition's network namespace: one read() or write()
 * per frame. The descriptor is non-blocking; when it has nothing, or no room,
 * the driver sleeps on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port.h"

struct port_tap {
	struct port port;
	int fd;
	bool watch_frames, watch_room; /* as the runtime knows it */
	/* Mbufs waiting for a frame, so that an empty read costs no allocation;
	 * port.spare_count of them. */
	struct rte_mbuf *spare[BURST_FRAMES];
};

static void port_shut(struct port_tap *tap)
{
	int error = errno;

	tap->port.shut = true;
	tap->port.env->watch(tap->port.env, tap->fd, false, false);
	tap->port.env->log(tap->port.env, ADJ_LOG_ERROR, "the TAP interface is gone: %s",
			   strerror(error));
	tap->port.env->post_event(tap->port.env, ADJ_EVENT_PARTITION_PROTOCOL);
}

static int tap_take(struct port *port, struct rte_mbuf **frames, unsigned most)
{
	struct port_tap *tap = (struct port_tap *)port;
	unsigned taken = 0;

	if (port->shut)
		return 0;
	if (port->spare_count < most) {
		unsigned missing = most - port->spare_count;

		if (rte_mempool_get_bulk(port->pool, (void **)tap->spare + port->spare_count,
					 missing))
			return -ENOBUFS;
		port->spare_count += missing;
	}
	for (unsigned reads = 0; reads < most; reads++) {
		struct rte_mbuf *frame = tap->spare[port->spare_count - 1];

		port_frame_init(frame, 0);
		/* One octet more than fits, so that a longer frame is noticed. */
		ssize_t length =
			read(tap->fd, rte_pktmbuf_mtod(frame, void *), (size_t)port->frame_max + 1);

		if (length < 0) {
			if (errno != EAGAIN && errno != EINTR)
				port_shut(tap);
			break;
		}
		if (!port_length_ok(port, (uint32_t)length)) {
			port->counters.tx_dropped++;
			continue;
		}
		frame->pkt_len = (uint32_t)length;
		frame->data_len = (uint16_t)length;
		frames[taken++] = frame;
		port->spare_count--;
		port->counters.tx_bytes += (uint64_t)length;
	}
	port->counters.tx_frames += taken;
	return (int)taken;
}

/* 1 done (sent or dropped), 0 no room now. */
static int frame_write(struct port_tap *tap, struct rte_mbuf *frame)
{
	struct port *port = &tap->port;
	uint8_t gathered[NET_FRAME_MAX];

	if (port->shut || !port_length_ok(port, frame->pkt_len)) {
		port->counters.rx_dropped++;
		return 1;
	}
	const void *octets = rte_pktmbuf_read(frame, 0, frame->pkt_len, gathered);

	if (octets && write(tap->fd, octets, frame->pkt_len) >= 0) {
		port->counters.rx_frames++;
		port->counters.rx_bytes += frame->pkt_len;
		return 1;
	}
	if (octets && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* EIO: the interface is down; like a cable pulled out. */
	port->counters.rx_dropped++;
	if (octets && errno != EIO && errno != ENOBUFS && errno != ENOMEM && errno != EINVAL)
		port_shut(tap);
	return 1;
}

static unsigned tap_give(struct port *port, struct rte_mbuf **frames, unsigned count)
{
	unsigned given = 0;

	while (given < count && frame_write((struct port_tap *)port, frames[given]))
		given++;
	if (given)
		rte_pktmbuf_free_bulk(frames, given);
	return given;
}

/*
 * A TAP descriptor is level-triggered, so there is nothing to look at again:
 * the sleep ends at once if something came. What is not wanted now is not
 * watched, or the sleep would never begin.
 */
static int tap_arm(struct port *port, bool frames, bool room)
{
	struct port_tap *tap = (struct port_tap *)port;

	if (port->shut || (frames == tap->watch_frames && room == tap->watch_room))
		return 0;
	if (port->env->watch(port->env, tap->fd, frames, room))
		return 1; /* still watched as before; try again */
	tap->watch_frames = frames;
	tap->watch_room = room;
	return 0;
}

static void tap_disarm(struct port *port)
{
	(void)port;
}

static void tap_interrupt(struct port *port, int fd)
{
	(void)port;
	(void)fd;
}

static void tap_save(const struct port *port, struct port_positions *out)
{
	(void)port;
	*out = (struct port_positions){0};
}

static int tap_restore(struct port *port, const struct port_positions *positions)
{
	(void)port;
	(void)positions;
	return 0;
}

static void tap_close(struct port *port)
{
	struct port_tap *tap = (struct port_tap *)port;

	port->env->watch(port->env, tap->fd, false, false);
	if (port->spare_count)
		rte_mempool_put_bulk(port->pool, (void **)tap->spare, port->spare_count);
	free(tap);
}

static const struct port_ops tap_ops = {
	.take = tap_take,
	.give = tap_give,
	.arm = tap_arm,
	.disarm = tap_disarm,
	.interrupt = tap_interrupt,
	.save = tap_save,
	.restore = tap_restore,
	.close = tap_close,
};

int port_tap_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out)
{
	struct port_tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return -ENOMEM;
	port_init(&tap->port, &tap_ops, env, pool);
	tap->fd = env->port.tap_fd;
	*out = &tap->port;
	return 0;
}
