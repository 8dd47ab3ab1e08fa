/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `echo` image: a driver whose device is nothing. Each frame that the
 * partition sends over its native window comes back to it. It measures and tests
 * what all adjuncts share (life, restart, rings), without DPDK and without an
 * adapter, and is the smallest example of a driver. Serving thread.
 *
 * A burst goes through the donated memory, as it does on its way to a device: each
 * entry is copied once and the copy checked (T01), the octets are copied in, the
 * partition's slots are given back, and only then is anything sent. So what a
 * dying adjunct has in hand is lost, as on a wire, and nothing comes back twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adj.h"
#include "eq.h"
#include "net_copy.h"
#include "net_layout.h"
#include "service_layout.h"

#define BURST_FRAMES 32
/* Of partitions that share the adjunct, none is kept waiting for longer. */
#define SHARED_SPIN_NS_MAX 1000000u
#define ETHERNET_BYTES 18 /* header and one VLAN tag, which an MTU does not count */

struct echo {
	const struct adj_env *env;
	struct eq_ring transmit; /* we consume */
	struct eq_ring receive;  /* we produce */
	uint8_t *transmit_buffers, *receive_buffers;
	bool attached; /* a program has the device open; else the four above are void */
	bool shut;     /* it broke the ring protocol */
	bool full;     /* the last dispatch stopped for want of room in `receive` */
	struct adj_stats stats;
};

/* What save() writes. */
#define SAVED_VERSION 1
struct saved {
	uint32_t version, transmit, receive, reserved;
	uint64_t frames, bytes, dropped;
};

/* ---- The window -------------------------------------------------------------- */

static inline uint8_t *buffer_at(uint8_t *buffers, const struct eq_ring *ring, uint32_t position)
{
	return buffers + (size_t)(position & ring->mask) * NET_BUFFER_BYTES;
}

static void wake_partition(struct echo *echo, enum adj_direction direction)
{
	echo->env->wake_partition(echo->env, direction);
	echo->stats.doorbells++;
}

static void shut(struct echo *echo)
{
	echo->shut = true;
	echo->env->log(echo->env, ADJ_LOG_WARNING,
		       "the partition broke the ring protocol; its port is shut");
	echo->env->post_event(echo->env, ADJ_EVENT_PARTITION_PROTOCOL);
}

static int echo_attach(void *state)
{
	struct echo *echo = state;
	const struct adj_port *port = &echo->env->port;
	uint8_t *window = port->window;
	struct net_layout layout;
	int result = net_layout_compute(port->ring_entries, &layout);

	if (!result)
		result = eq_ring_open(&echo->transmit, window + layout.tx_ring, layout.ring_entries,
				      NET_ENTRY_BYTES);
	if (!result)
		result = eq_ring_open(&echo->receive, window + layout.rx_ring, layout.ring_entries,
				      NET_ENTRY_BYTES);
	if (!result)
		result = echo->env->watch(echo->env, port->bell_adjunct_fd, true, false);
	if (result) {
		echo->env->log(echo->env, ADJ_LOG_ERROR, "cannot open the native port: %s",
			       strerror(-result));
		return result;
	}
	echo->transmit_buffers = window + layout.tx_buffers;
	echo->receive_buffers = window + layout.rx_buffers;
	echo->attached = true;
	echo->shut = echo->full = false;
	return 0;
}

static void echo_detach(void *state)
{
	struct echo *echo = state;

	if (echo->attached)
		echo->env->watch(echo->env, echo->env->port.bell_adjunct_fd, false, false);
	echo->attached = false;
}

/* ---- Serving ------------------------------------------------------------------- */

static inline uint8_t *frame_at(const struct echo *echo, uint32_t index)
{
	return (uint8_t *)echo->env->memory + (size_t)index * NET_BUFFER_BYTES;
}

/* So many into the donated memory; how many were as they must be. */
static uint32_t take(struct echo *echo, uint32_t ready, struct net_entry *frames)
{
	struct eq_ring *ring = &echo->transmit;
	uint32_t good = 0;

	for (uint32_t i = 0; i < ready; i++) {
		const uint8_t *in = buffer_at(echo->transmit_buffers, ring, ring->position);
		struct net_entry entry;

		eq_ring_take_ready(ring, &entry, sizeof(entry));
		if (entry.length_bytes < NET_FRAME_MIN || entry.flags ||
		    entry.length_bytes > echo->env->port.mtu + ETHERNET_BYTES)
			continue;
		memcpy(frame_at(echo, good), in, entry.length_bytes);
		frames[good++] = (struct net_entry){.length_bytes = entry.length_bytes};
	}
	eq_ring_release(ring, ready);
	if (eq_ring_must_wake_producer(ring))
		wake_partition(echo, ADJ_SEND);
	echo->stats.tx_frames += good;
	echo->stats.tx_dropped += ready - good;
	return good;
}

static void give(struct echo *echo, uint32_t count, const struct net_entry *frames)
{
	struct eq_ring *ring = &echo->receive;

	for (uint32_t i = 0; i < count; i++) {
		net_copy_out(buffer_at(echo->receive_buffers, ring, ring->position),
			     frame_at(echo, i), frames[i].length_bytes);
		eq_ring_put(ring, &frames[i], sizeof(frames[i]));
		echo->stats.tx_bytes += frames[i].length_bytes;
	}
	if (count && eq_ring_must_wake_consumer(ring))
		wake_partition(echo, ADJ_RECEIVE);
}

static int echo_dispatch(void *state, unsigned budget)
{
	struct echo *echo = state;

	if (!echo->attached || echo->shut)
		return 0;
	struct net_entry frames[BURST_FRAMES];
	uint32_t ready = eq_ring_ready_count(&echo->transmit,
					     budget < BURST_FRAMES ? budget : BURST_FRAMES);
	int space = ready ? eq_ring_space(&echo->receive, ready) : 0;

	if (space < 0) {
		shut(echo);
		return 0;
	}
	echo->full = ready > (uint32_t)space;
	if (echo->full)
		ready = (uint32_t)space;
	if (!ready)
		return 0;
	give(echo, take(echo, ready, frames), frames);
	return (int)ready;
}

/* The requests to measure with: data that comes back, and work of a known length. */
static int echo_request(void *state, const struct adj_request *request,
			struct adj_response *response)
{
	const struct echo *echo = state;
	uint64_t spin_ns, begun_ns;

	switch (request->opcode) {
	case SERVICE_ECHO:
		if (request->data_bytes > response->room)
			return -EMSGSIZE;
		memcpy(response->data, request->data, request->data_bytes);
		response->data_bytes = request->data_bytes;
		return 0;
	case SERVICE_SPIN:
		if (request->data_bytes != sizeof(spin_ns))
			return -EINVAL;
		memcpy(&spin_ns, request->data, sizeof(spin_ns));
		if (echo->env->shared && spin_ns > SHARED_SPIN_NS_MAX)
			return -E2BIG;
		begun_ns = echo->env->now_ns();
		while (echo->env->now_ns() - begun_ns < spin_ns)
			continue;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void disarm(struct echo *echo)
{
	eq_ring_disarm(&echo->transmit);
	eq_ring_disarm_space(&echo->receive);
}

static int echo_arm(void *state, bool on)
{
	struct echo *echo = state;

	if (!echo->attached || echo->shut)
		return 0;
	if (!on) {
		disarm(echo);
		return 0;
	}
	/* Frames that wait for room are no news; room is. */
	if (echo->full ? eq_ring_arm_space(&echo->receive) : eq_ring_arm(&echo->transmit))
		return 0;
	disarm(echo);
	return 1;
}

static void echo_interrupt(void *state, int fd)
{
	uint64_t rings;

	(void)state;
	(void)!read(fd, &rings, sizeof(rings)); /* emptied; the rest is found in the rings */
}

static void echo_stats(void *state, struct adj_stats *out)
{
	const struct echo *echo = state;

	*out = echo->stats;
	out->rx_frames = out->tx_frames;
	out->rx_bytes = out->tx_bytes;
	out->link_up = true;
}

/* ---- Beginning and end ------------------------------------------------------------ */

static int echo_prepare(const struct adj_env *env, void **state)
{
	struct echo *echo = aligned_alloc(64, (sizeof(*echo) + 63) / 64 * 64);

	if (!echo)
		return -ENOMEM;
	*echo = (struct echo){.env = env};
	memset(env->memory, 0, BURST_FRAMES * NET_BUFFER_BYTES); /* touched */
	*state = echo;
	return 0;
}

static int echo_init(const struct adj_env *env, void **state)
{
	int result = env->port.kind == ADJ_PORT_NATIVE ? 0 : -ENOTSUP;

	if (!result && !*state)
		result = echo_prepare(env, state);
	struct echo *echo = *state;

	/* A program was there before us: its rings go on where our predecessor died,
	 * or, once restored, where it stopped. */
	if (!result && env->port.window) {
		result = echo_attach(echo);
		if (!result) {
			eq_ring_recover_consumer(&echo->transmit);
			eq_ring_recover_producer(&echo->receive);
		}
	}
	if (result)
		free(echo);
	return result;
}

/* Whoever shares a device that is nothing has one of its own. The donated memory is the
 * ends' in turn: there is nothing in it between two dispatches. */
static int echo_client(void *state, const struct adj_env *env, void **client)
{
	(void)state;
	*client = NULL;
	return echo_init(env, client);
}

static int echo_quiesce(void *state)
{
	(void)state; /* nothing is ever held */
	return 0;
}

static int echo_save(void *state, void *buffer, size_t size_bytes)
{
	const struct echo *echo = state;
	const struct saved saved = {
		.version = SAVED_VERSION,
		.transmit = echo->transmit.position,
		.receive = echo->receive.position,
		.frames = echo->stats.tx_frames,
		.bytes = echo->stats.tx_bytes,
		.dropped = echo->stats.tx_dropped,
	};

	if (size_bytes < sizeof(saved))
		return -ENOSPC;
	memcpy(buffer, &saved, sizeof(saved));
	return (int)sizeof(saved);
}

static int echo_restore(void *state, const void *buffer, size_t size_bytes)
{
	struct echo *echo = state;
	struct saved saved;

	if (size_bytes != sizeof(saved))
		return -EINVAL;
	memcpy(&saved, buffer, sizeof(saved));
	if (saved.version != SAVED_VERSION)
		return -EINVAL;
	echo->stats.tx_frames = saved.frames;
	echo->stats.tx_bytes = saved.bytes;
	echo->stats.tx_dropped = saved.dropped;
	if (!echo->attached)
		return 0;
	eq_ring_resume_consumer(&echo->transmit, saved.transmit);
	if (eq_ring_resume_producer(&echo->receive, saved.receive))
		shut(echo);
	return 0;
}

static void echo_exit(void *state)
{
	echo_detach(state);
	free(state);
}

static const struct adj_ops echo_ops = {
	.name = "echo",
	.interface_version = ADJ_INTERFACE_VERSION,
	.opens_nothing = true,
	.prepare = echo_prepare,
	.init = echo_init,
	.dispatch = echo_dispatch,
	.request = echo_request,
	.arm = echo_arm,
	.interrupt = echo_interrupt,
	.attach = echo_attach,
	.detach = echo_detach,
	.client = echo_client,
	.quiesce = echo_quiesce,
	.save = echo_save,
	.restore = echo_restore,
	.stats = echo_stats,
	.exit = echo_exit,
};

int main(int argc, char **argv)
{
	return adj_main(&echo_ops, argc, argv);
}
