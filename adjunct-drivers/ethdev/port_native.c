/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's program linked with liboutrigger: two rings and their buffers
 * in one window (net_layout.h). native_take() is where a frame crosses from the
 * partition to the adjunct, native_give() the way back; both are the hot path:
 * no system call but the doorbell, no lock, mbufs in bulk.
 *
 * The partition may write anything anywhere in the window at any time. Each
 * entry is copied once, the copy is checked and used (T01); its length is
 * checked against a buffer whose place follows from the slot number alone. The
 * frame's octets are copied into the adjunct's own memory, so that what the
 * device sends is what was copied, whatever the partition does meanwhile.
 *
 * A request is an entry of the transmit ring. It is done once, and complete once
 * `consumed` has passed it, whenever the adjunct may die (THREATS.md T07):
 *   take     copies; the ring's index stays, so a successor would take it again
 *   (the driver) passes the frames to the device: done, by one store of the
 *            device's queue, which whoever owns the device counts
 *   passed   stores in the record how far that is, then moves the ring's index
 * See adj_inflight.h for what a successor makes of it. For a device that does not
 * count, the record says before passing that it is done (passing): a death until
 * `passed` loses that burst, if the device has not had it, and passes none twice.
 * A frame for the partition is on the wire until its entry is in the receive ring:
 * put once, in order, or lost with the adjunct.
 */
#include <errno.h>
#include <rte_prefetch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eq.h"
#include "net_copy.h"
#include "port.h"

struct port_native {
	struct port port;
	struct eq_ring transmit; /* we consume */
	struct eq_ring receive;  /* we produce */
	uint8_t *transmit_buffers, *receive_buffers;
	struct adj_inflight *inflight;
	/* The burst that was taken last: its entries, the frames of it that the device
	 * has, and how many entries each frame makes with all before it. */
	unsigned burst_entries, passed;
	uint8_t through[BURST_FRAMES];
	bool attached;    /* a program has the device open; else the rest is void */
};

static inline uint8_t *buffer_at(uint8_t *buffers, const struct eq_ring *ring, uint32_t position)
{
	return buffers + (size_t)(position & ring->mask) * NET_BUFFER_BYTES;
}

static void wake_partition(struct port_native *native, enum adj_direction direction)
{
	native->port.env->wake_partition(native->port.env, direction);
	native->port.counters.doorbells++;
}

/*
 * Small frames by whole cache lines, without a call: the last line may bring
 * along octets behind the frame's end, from its own buffer and into its own
 * mbuf, where no length covers them. Both sides have room for it.
 */
static inline void copy_lines(void *to, const void *from, uint32_t length)
{
	uint8_t *out = to;
	const uint8_t *in = from;

	for (uint32_t done = 0; done < length; done += 64)
		memcpy(out + done, in + done, 64);
}

static inline void frame_copy_in(struct rte_mbuf *frame, const uint8_t *buffer, uint32_t length)
{
	if (length < NET_COPY_STRING)
		copy_lines(rte_pktmbuf_mtod(frame, void *), buffer, length);
	else
		memcpy(rte_pktmbuf_mtod(frame, void *), buffer, length);
}
static_assert(RTE_MBUF_DEFAULT_DATAROOM >= (NET_FRAME_MAX + 63) / 64 * 64, "lines fit an mbuf");
static_assert(NET_BUFFER_BYTES >= (NET_FRAME_MAX + 63) / 64 * 64, "lines fit a buffer");

static inline bool entry_ok(const struct port *port, const struct net_entry *entry)
{
	return port_length_ok(port, entry->length_bytes) && entry->flags == 0;
}

/* That the oldest `count` entries are done with. */
static inline void record_store(struct port_native *native, uint32_t count)
{
	uint64_t position = native->transmit.released + count;

	/* release: after the device's index; the ring's comes after it. Its reader is
	 * a successor, to whom everything this process stored has happened. */
	atomic_store_explicit(&native->inflight->transmit,
			      position << 32 | native->port.device_taken, memory_order_release);
}

/* They are done with: the record first, then the ring. */
static inline void entries_done(struct port_native *native, uint32_t count)
{
	struct eq_ring *ring = &native->transmit;

	record_store(native, count);
	eq_ring_release(ring, count);
	if (eq_ring_must_wake_producer(ring))
		wake_partition(native, ADJ_SEND);
}

/* Entries that make the first `frames` of the burst, but for those done with before. */
static inline uint32_t entries_of(const struct port_native *native, unsigned frames)
{
	return native->through[frames - 1u] -
	       (native->burst_entries - eq_ring_held(&native->transmit));
}

static int native_passing(struct port *port, unsigned count)
{
	struct port_native *native = (struct port_native *)port;

	if (!port->env->device_counts)
		record_store(native, entries_of(native, native->passed + count));
	return 1;
}

static void native_passed(struct port *port, unsigned count)
{
	struct port_native *native = (struct port_native *)port;

	native->passed += count;
	if (likely(count))
		entries_done(native, entries_of(native, native->passed));
	else if (!port->env->device_counts)
		record_store(native, 0);
}

static int native_take(struct port *port, struct rte_mbuf **frames, unsigned most)
{
	struct port_native *native = (struct port_native *)port;
	struct eq_ring *ring = &native->transmit;
	uint32_t ready = likely(native->attached) ? eq_ring_ready_count(ring, most) : 0;
	unsigned taken = 0;

	if (!ready || port->shut)
		return 0;
	if (rte_mempool_get_bulk(port->pool, (void **)frames, ready))
		return -ENOBUFS;
	for (uint32_t i = 0; i < ready; i++)
		rte_prefetch0(buffer_at(native->transmit_buffers, ring, ring->position + i));
	for (uint32_t i = 0; i < ready; i++) {
		const uint8_t *buffer = buffer_at(native->transmit_buffers, ring, ring->position);
		struct net_entry entry;

		/* Whether the entry is still there was settled by eq_ring_ready_count();
		 * a partition that takes it back only fools itself. */
		eq_ring_take_ready(ring, &entry, sizeof(entry));
		if (!entry_ok(port, &entry)) {
			port->counters.tx_dropped++;
			continue;
		}
		port_frame_init(frames[taken], entry.length_bytes);
		frame_copy_in(frames[taken], buffer, entry.length_bytes);
		port->counters.tx_bytes += entry.length_bytes;
		native->through[taken++] = (uint8_t)(i + 1);
	}
	port->counters.tx_frames += taken;
	if (taken < ready)
		rte_mempool_put_bulk(port->pool, (void **)(frames + taken), ready - taken);
	native->burst_entries = ready;
	native->passed = 0;
	if (likely(taken))
		native->through[taken - 1] = (uint8_t)ready; /* wrong ones go with the last */
	else
		entries_done(native, ready);
	return (int)taken;
}

static void port_shut(struct port_native *native)
{
	native->port.shut = true;
	native->port.env->log(native->port.env, ADJ_LOG_WARNING,
			      "the partition broke the ring protocol; its port is shut");
	native->port.env->post_event(native->port.env, ADJ_EVENT_PARTITION_PROTOCOL);
}

/* Octets behind the frame's end stay as they are: what an earlier frame left in
 * the mbuf is none of the partition's business. */
static inline void copy_exact(void *to, const void *from, uint32_t length)
{
	uint32_t whole = length & ~63u;

	if (length >= NET_COPY_STRING) {
		net_copy_out(to, from, length);
		return;
	}
	copy_lines(to, from, whole);
	if (length != whole)
		memcpy((uint8_t *)to + whole, (const uint8_t *)from + whole, length - whole);
}

static inline void frame_copy_out(uint8_t *buffer, const struct rte_mbuf *frame)
{
	if (likely(frame->nb_segs == 1)) {
		copy_exact(buffer, rte_pktmbuf_mtod(frame, const uint8_t *), frame->pkt_len);
		return;
	}
	/* Gathers the segments into the buffer. */
	const void *in_one = rte_pktmbuf_read(frame, 0, frame->pkt_len, buffer);

	if (in_one && in_one != buffer)
		memcpy(buffer, in_one, frame->pkt_len);
}

static unsigned native_give(struct port *port, struct rte_mbuf **frames, unsigned count)
{
	struct port_native *native = (struct port_native *)port;
	struct eq_ring *ring = &native->receive;
	struct net_entry entries[BURST_FRAMES];
	bool open = likely(native->attached) && !port->shut;
	int space = open ? eq_ring_space(ring, count) : 0;
	unsigned accepted, used = 0;

	if (space < 0)
		port_shut(native);
	if (!open || space < 0) {
		port->counters.rx_dropped += count;
		rte_pktmbuf_free_bulk(frames, count);
		return count;
	}
	accepted = RTE_MIN(count, (unsigned)space);
	for (unsigned i = 0; i < accepted; i++)
		__builtin_prefetch(buffer_at(native->receive_buffers, ring, ring->position + i), 1);
	for (unsigned i = 0; i < accepted; i++) {
		const struct rte_mbuf *frame = frames[i];

		if (!port_length_ok(port, frame->pkt_len)) {
			port->counters.rx_dropped++;
			continue;
		}
		frame_copy_out(buffer_at(native->receive_buffers, ring, ring->position + used),
			       frame);
		entries[used++] = (struct net_entry){.length_bytes = (uint16_t)frame->pkt_len};
		port->counters.rx_bytes += frame->pkt_len;
	}
	/* Entries together: four of them share a line the partition polls. */
	for (unsigned i = 0; i < used; i++)
		eq_ring_put(ring, &entries[i], sizeof(entries[i]));
	port->counters.rx_frames += used;
	if (accepted)
		rte_pktmbuf_free_bulk(frames, accepted);
	return accepted;
}

static void native_tell(struct port *port)
{
	struct port_native *native = (struct port_native *)port;

	if (native->attached && eq_ring_must_wake_consumer(&native->receive))
		wake_partition(native, ADJ_RECEIVE);
}

static void native_disarm(struct port *port)
{
	struct port_native *native = (struct port_native *)port;

	if (!native->attached)
		return;
	eq_ring_disarm(&native->transmit);
	eq_ring_disarm_space(&native->receive);
}

static int native_arm(struct port *port, bool frames, bool room)
{
	struct port_native *native = (struct port_native *)port;

	if (port->shut || !native->attached)
		return 0;
	if ((frames && !eq_ring_arm(&native->transmit)) ||
	    (room && !eq_ring_arm_space(&native->receive))) {
		native_disarm(port);
		return 1;
	}
	return 0;
}

static void native_interrupt(struct port *port, int fd)
{
	uint64_t rings;

	/* Read empty; what it announced is found by looking at the rings. */
	if (fd == port->env->port.bell_adjunct_fd)
		(void)!read(fd, &rings, sizeof(rings));
}

static void native_save(const struct port *port, struct port_positions *out)
{
	const struct port_native *native = (const struct port_native *)port;

	*out = (struct port_positions){
		.transmit = native->transmit.released,
		.receive = native->receive.position,
	};
}

static int native_restore(struct port *port, const struct port_positions *positions)
{
	struct port_native *native = (struct port_native *)port;

	if (!native->attached)
		return 0;
	/* Where the transmit ring goes on, the in-flight record has told. */
	if (eq_ring_resume_producer(&native->receive, positions->receive))
		port_shut(native);
	return 0;
}

/*
 * Where the transmit ring goes on (adj_inflight.h). Stored at once as what this
 * adjunct starts from: said twice it comes to the same, so a death here is none.
 * The record was a predecessor's to write: it is copied, and believed no further
 * than that a burst at most was passed on and not recorded.
 */
static void transmit_recover(struct port_native *native)
{
	const struct adj_env *env = native->port.env;
	struct adj_inflight *inflight = native->inflight;
	/* acquire: partner is entries_done() in a process that has ended. */
	uint64_t word = atomic_load_explicit(&inflight->transmit, memory_order_acquire);
	uint32_t position = (uint32_t)(word >> 32);
	uint32_t passed = env->device_taken - (uint32_t)word;
	struct net_entry entry;

	/* A new window has no record; its ring's index is 0. */
	bool recorded = atomic_load_explicit(&inflight->version, memory_order_relaxed) ==
			ADJ_INFLIGHT_VERSION;

	if (!env->device_counts || !recorded ||
	    atomic_load_explicit(&inflight->apart, memory_order_relaxed))
		passed = 0;
	if (passed > BURST_FRAMES) {
		env->log(env, ADJ_LOG_WARNING, "the device took %d frames more than were recorded",
			 (int32_t)passed);
		passed = 0;
	}
	if (recorded)
		eq_ring_resume_consumer(&native->transmit, position);
	else
		eq_ring_recover_consumer(&native->transmit);
	/* The frames passed came from the right ones of the entries that follow. */
	for (unsigned i = 0; i < BURST_FRAMES && passed; i++)
		if (eq_ring_take(&native->transmit, &entry, sizeof(entry)))
			passed -= entry_ok(&native->port, &entry);
	entries_done(native, eq_ring_held(&native->transmit));
	atomic_store_explicit(&inflight->apart, 0, memory_order_release);
	atomic_store_explicit(&inflight->version, ADJ_INFLIGHT_VERSION, memory_order_release);
}

void port_native_apart_begin(struct port *port)
{
	struct port_native *native = (struct port_native *)port;

	/* seq_cst: before the device's index moves. */
	atomic_store(&native->inflight->apart, 1);
}

void port_native_apart_end(struct port *port)
{
	struct port_native *native = (struct port_native *)port;

	entries_done(native, 0);
	atomic_store_explicit(&native->inflight->apart, 0, memory_order_release);
}

int port_native_attach(struct port *port)
{
	struct port_native *native = (struct port_native *)port;
	const struct adj_port *end = &port->env->port;
	uint8_t *window = end->window;
	struct net_layout layout;
	int result = net_layout_compute(end->ring_entries, &layout);

	if (!result)
		result = eq_ring_open(&native->transmit, window + layout.tx_ring,
				      layout.ring_entries, NET_ENTRY_BYTES);
	if (!result)
		result = eq_ring_open(&native->receive, window + layout.rx_ring,
				      layout.ring_entries, NET_ENTRY_BYTES);
	if (!result)
		result = port->env->watch(port->env, end->bell_adjunct_fd, true, false);
	if (result) {
		port->env->log(port->env, ADJ_LOG_ERROR, "cannot open the native port: %s",
			       strerror(-result));
		return result;
	}
	native->transmit_buffers = window + layout.tx_buffers;
	native->receive_buffers = window + layout.rx_buffers;
	native->inflight = end->inflight;
	transmit_recover(native);
	native->attached = true;
	port->shut = false;
	return 0;
}

void port_native_detach(struct port *port)
{
	struct port_native *native = (struct port_native *)port;

	if (native->attached)
		port->env->watch(port->env, port->env->port.bell_adjunct_fd, false, false);
	native->attached = false;
	port->shut = false;
}

static void native_close(struct port *port)
{
	port_native_detach(port);
	free(port);
}

static const struct port_ops native_ops = {
	.take = native_take,
	.passing = native_passing,
	.passed = native_passed,
	.give = native_give,
	.tell = native_tell,
	.arm = native_arm,
	.disarm = native_disarm,
	.interrupt = native_interrupt,
	.save = native_save,
	.restore = native_restore,
	.close = native_close,
};

int port_native_open(const struct adj_env *env, struct rte_mempool *pool, struct port **out)
{
	struct port_native *native = aligned_alloc(64, RTE_ALIGN(sizeof(*native), 64));

	if (!native)
		return -ENOMEM;
	*native = (struct port_native){0};
	port_init(&native->port, &native_ops, env, pool);
	int result = env->port.window ? port_native_attach(&native->port) : 0;

	/* A program was there before us: its rings go on where our predecessor
	 * died, or, once restored, where it stopped. */
	if (!result && native->attached) {
		eq_ring_recover_producer(&native->receive);
		/* It may have died between a store and the doorbell for it, even with the
		 * arming already taken back: whoever sleeps looks again (T08). */
		wake_partition(native, ADJ_RECEIVE);
	}
	if (result) {
		free(native);
		return result;
	}
	*out = &native->port;
	return 0;
}
