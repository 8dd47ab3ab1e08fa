/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event-queues: the ring that every shared-memory interface of Outrigger uses
 * (net devices of a native partition, service requests, queue pairs).
 *
 * A ring has one PRODUCER and one CONSUMER, in two processes that do not trust
 * each other. Entries carry their own sequence number, so the consumer polls
 * the entry itself; the index of what was consumed travels back lazily, in a
 * line of its own. A side that has nothing to do arms the ring and sleeps on a
 * doorbell (an eventfd, chosen by the caller); the other side rings only when
 * the ring was armed, so a polling peer costs no system call.
 *
 * Rules for callers
 *  - A handle belongs to one thread. The two handles of a ring share nothing
 *    but the memory.
 *  - Sizes come from the control socket, never from the shared memory.
 *  - Nothing here blocks, allocates or calls the kernel.
 *  - What the peer wrote reaches the caller as a copy, made once; check the
 *    copy, then use the copy (THREATS.md T01).
 *
 * Errors: 0 or a count, else -errno. -EPROTO means that the peer wrote an index
 * no honest peer can write; the ring is unusable from then on.
 *
 * The argument that no wake-up is lost stands above eq_ring_arm(); its model
 * is tests/model/ring.pml.
 */
#ifndef EQ_H
#define EQ_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "eq_layout.h"

/* One side's private view of a ring. Treat the fields as read-only. */
struct eq_ring {
	_Atomic uint32_t *control; /* the words of struct eq_ring_control, `spread` apart */
	uint8_t *entries;
	uint32_t mask;     /* capacity - 1; capacity is a power of two */
	uint16_t stride;   /* bytes per entry, sequence word included */
	uint16_t spread;   /* words; an event queue has them all in one line */
	uint32_t position; /* next position to put (PRODUCER) or take (CONSUMER) */
	uint32_t released; /* PRODUCER: last checked copy of `consumed`;
			      CONSUMER: what it published there */
};

/*
 * Bytes of shared memory for a ring of `capacity` entries (a power of two from
 * 2 to 65,536) of `entry_bytes` (16, 32 or 64). 0 if the geometry is invalid.
 */
size_t eq_ring_size_bytes(uint32_t capacity, uint32_t entry_bytes);

/*
 * Opens one side of a ring in `memory`: zeroed by whoever made it, aligned to
 * EQ_LINE_BYTES, at least eq_ring_size_bytes() long and owned by the caller for
 * as long as the handle is used. Both sides start at position 0.
 * -EINVAL: the geometry or the alignment is wrong; the handle is untouched.
 */
int eq_ring_open(struct eq_ring *ring, void *memory, uint32_t capacity, uint32_t entry_bytes);

/* The same for the ring of an event queue: struct eq_queue_control, then its entries. */
size_t eq_queue_size_bytes(uint32_t capacity);
int eq_ring_open_queue(struct eq_ring *ring, void *memory, uint32_t capacity);

/* The control words, each with the side that writes it: see struct eq_ring_control. */
static inline _Atomic uint32_t *eq_ring_consumed(const struct eq_ring *ring)
{
	return ring->control;
}

static inline _Atomic uint32_t *eq_ring_consumer_armed(const struct eq_ring *ring)
{
	return ring->control + ring->spread;
}

static inline _Atomic uint32_t *eq_ring_producer_armed(const struct eq_ring *ring)
{
	return ring->control + 2 * ring->spread;
}

static inline uint32_t eq_ring_capacity(const struct eq_ring *ring)
{
	return ring->mask + 1;
}

static inline struct eq_ring_entry *eq_ring_entry_at(const struct eq_ring *ring, uint32_t position)
{
	return (struct eq_ring_entry *)(ring->entries +
					(size_t)(position & ring->mask) * ring->stride);
}

/* ---- PRODUCER ---------------------------------------------------------- */

/*
 * Entries that can be put now. Reads the consumer's line only when the last
 * known figure is below `want`. -EPROTO: the consumer claims to have consumed
 * what was never put.
 */
static inline int eq_ring_space(struct eq_ring *ring, uint32_t want)
{
	uint32_t used = ring->position - ring->released;

	if (eq_ring_capacity(ring) - used < want) {
		/* acquire: partner is eq_ring_release(); the consumer has finished
		 * reading the slots before we may overwrite them. */
		uint32_t consumed = atomic_load_explicit(eq_ring_consumed(ring),
							 memory_order_acquire);
		if (consumed - ring->released > used)
			return -EPROTO;
		ring->released = consumed;
		used = ring->position - consumed;
	}
	return (int)(eq_ring_capacity(ring) - used);
}

/* Slot that the next eq_ring_put() fills; callers keep a buffer per slot. */
static inline uint32_t eq_ring_slot(const struct eq_ring *ring)
{
	return ring->position & ring->mask;
}

/*
 * Puts one entry of `payload_bytes` (at most the entry size less 4; pass a
 * constant). The caller has checked eq_ring_space().
 */
static inline void eq_ring_put(struct eq_ring *ring, const void *payload, size_t payload_bytes)
{
	struct eq_ring_entry *entry = eq_ring_entry_at(ring, ring->position);

	memcpy(entry->payload, payload, payload_bytes);
	/* release: partner is eq_ring_ready(); payload and buffer come first. */
	atomic_store_explicit(&entry->sequence, ++ring->position, memory_order_release);
}

/*
 * Called once after a burst of puts: true if the consumer sleeps, and the
 * caller must ring its doorbell. See eq_ring_arm().
 */
static inline bool eq_ring_must_wake_consumer(struct eq_ring *ring)
{
	/* seq_cst: partner is the fence in eq_ring_arm(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(eq_ring_consumer_armed(ring), memory_order_relaxed))
		return false;
	/* relaxed: only decides which of us rings; it orders nothing. */
	return atomic_exchange_explicit(eq_ring_consumer_armed(ring), 0, memory_order_relaxed);
}

/*
 * Before sleeping for space: true if there is still none and the caller may
 * sleep on its space doorbell; false if there is (the ring is not armed).
 * Same argument as eq_ring_arm(), with the roles exchanged. -EPROTO as in
 * eq_ring_space() is reported as "do not sleep"; the next eq_ring_space() says
 * it again.
 */
static inline bool eq_ring_arm_space(struct eq_ring *ring)
{
	atomic_store_explicit(eq_ring_producer_armed(ring), 1, memory_order_relaxed);
	/* seq_cst: partner is the fence in eq_ring_must_wake_producer(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (eq_ring_space(ring, 1) == 0)
		return true;
	atomic_store_explicit(eq_ring_producer_armed(ring), 0, memory_order_relaxed);
	return false;
}

/* After waking, or when there is other work: the consumer need not ring any more. */
static inline void eq_ring_disarm_space(struct eq_ring *ring)
{
	/* relaxed: a late ring is harmless. */
	atomic_store_explicit(eq_ring_producer_armed(ring), 0, memory_order_relaxed);
}

/*
 * Instead of starting at 0: goes on at `position`, which the producer's
 * predecessor in this role had reached. Before anything else is done with the
 * handle. -EPROTO: the consumer's line does not fit that position.
 */
static inline int eq_ring_resume_producer(struct eq_ring *ring, uint32_t position)
{
	/* acquire: as in eq_ring_space(). */
	uint32_t consumed = atomic_load_explicit(eq_ring_consumed(ring), memory_order_acquire);

	if (position - consumed > eq_ring_capacity(ring))
		return -EPROTO;
	ring->position = position;
	ring->released = consumed;
	return 0;
}

/*
 * As eq_ring_resume_producer(), when the predecessor died and left no word: its
 * position is read off the ring, from what was consumed to the last valid entry.
 * What it was writing when it died does not count: the sequence comes last. It
 * may have died before it rang for what it had put: the caller rings, whether or
 * not the ring is armed. The model is tests/model/handover_producer.pml.
 */
static inline void eq_ring_recover_producer(struct eq_ring *ring)
{
	/* acquire: as in eq_ring_space(). Read once: any value gives a position that fits it. */
	uint32_t consumed = atomic_load_explicit(eq_ring_consumed(ring), memory_order_acquire);
	uint32_t position = consumed;

	while (position - consumed < eq_ring_capacity(ring) &&
	       atomic_load_explicit(&eq_ring_entry_at(ring, position)->sequence,
				    memory_order_acquire) == position + 1)
		position++;
	ring->position = position;
	ring->released = consumed;
}

/* ---- CONSUMER ---------------------------------------------------------- */

/*
 * The only reading of an entry. A plain memcpy() promises nothing: the compiler
 * may see through it and fetch from the shared memory again where the copy is
 * used, which is after the check. Behind the barrier it must take the copy.
 */
static inline void eq_ring_copy_in(void *payload, const struct eq_ring_entry *entry,
				   size_t payload_bytes)
{
	memcpy(payload, entry->payload, payload_bytes);
	__asm__ volatile("" : : "r"(payload) : "memory");
}

/* True if an entry waits. */
static inline bool eq_ring_ready(const struct eq_ring *ring)
{
	const struct eq_ring_entry *entry = eq_ring_entry_at(ring, ring->position);

	/* acquire: partner is the release in eq_ring_put(). */
	return atomic_load_explicit(&entry->sequence, memory_order_acquire) == ring->position + 1;
}

/* Has the next entry on its way to this processor; reads nothing of it. */
static inline void eq_ring_fetch(const struct eq_ring *ring)
{
	__builtin_prefetch(eq_ring_entry_at(ring, ring->position));
}

/*
 * Takes one entry: copies `payload_bytes` of it out, once, and returns true;
 * false if none waits. The slot stays the caller's until eq_ring_release().
 */
static inline bool eq_ring_take(struct eq_ring *ring, void *payload, size_t payload_bytes)
{
	if (!eq_ring_ready(ring))
		return false;
	eq_ring_copy_in(payload, eq_ring_entry_at(ring, ring->position), payload_bytes);
	ring->position++;
	return true;
}

/*
 * Entries that wait in a row, counted up to `most`. The burst form of
 * eq_ring_ready(): so many eq_ring_take_ready() may follow.
 */
static inline uint32_t eq_ring_ready_count(const struct eq_ring *ring, uint32_t most)
{
	uint32_t count = 0;

	while (count < most) {
		const struct eq_ring_entry *entry = eq_ring_entry_at(ring, ring->position + count);

		/* acquire: partner is the release in eq_ring_put(). */
		if (atomic_load_explicit(&entry->sequence, memory_order_acquire) !=
		    ring->position + count + 1)
			break;
		count++;
	}
	return count;
}

/* eq_ring_take() of an entry that eq_ring_ready_count() has counted. */
static inline void eq_ring_take_ready(struct eq_ring *ring, void *payload, size_t payload_bytes)
{
	eq_ring_copy_in(payload, eq_ring_entry_at(ring, ring->position), payload_bytes);
	ring->position++;
}

/*
 * Instead of starting at 0: goes on at `position`, which the consumer's
 * predecessor in this role had reached and released. Before anything else is
 * done with the handle.
 */
static inline void eq_ring_resume_consumer(struct eq_ring *ring, uint32_t position)
{
	ring->position = position;
	ring->released = position;
	/* release: as in eq_ring_release(). */
	atomic_store_explicit(eq_ring_consumed(ring), position, memory_order_release);
}

/*
 * As eq_ring_resume_consumer(), when the predecessor died: goes on at what it
 * released last. What it had taken and not released is taken again. It may have
 * died before it rang for what it had released: the caller rings. The model is
 * tests/model/handover_consumer.pml.
 */
static inline void eq_ring_recover_consumer(struct eq_ring *ring)
{
	/* relaxed: only we write it, and our predecessor, who is gone. */
	eq_ring_resume_consumer(ring, atomic_load_explicit(eq_ring_consumed(ring),
							   memory_order_relaxed));
}

/* Entries taken and not yet released. */
static inline uint32_t eq_ring_held(const struct eq_ring *ring)
{
	return ring->position - ring->released;
}

/* Gives the oldest `count` taken slots back to the producer. */
static inline void eq_ring_release(struct eq_ring *ring, uint32_t count)
{
	ring->released += count;
	/* release: partner is eq_ring_space(); our reads of the slots come first. */
	atomic_store_explicit(eq_ring_consumed(ring), ring->released, memory_order_release);
}

/* After a release: true if the producer sleeps for space and must be rung. */
static inline bool eq_ring_must_wake_producer(struct eq_ring *ring)
{
	/* seq_cst: partner is the fence in eq_ring_arm_space(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(eq_ring_producer_armed(ring), memory_order_relaxed))
		return false;
	return atomic_exchange_explicit(eq_ring_producer_armed(ring), 0, memory_order_relaxed);
}

/*
 * Before sleeping: true if the ring is armed and empty, and the caller may
 * sleep on its doorbell; false if an entry has come (the ring is not armed).
 *
 * No wake-up is lost: the consumer stores `armed`, fences, then reads the
 * sequence; the producer stores the sequence, fences, then reads `armed`. The
 * two fences are totally ordered, so at least one side sees the other's store:
 * either the consumer finds the entry and stays awake, or the producer finds
 * the ring armed and rings. Both may happen; the doorbell then holds one stale
 * ring, which costs one idle pass and no more.
 */
static inline bool eq_ring_arm(struct eq_ring *ring)
{
	atomic_store_explicit(eq_ring_consumer_armed(ring), 1, memory_order_relaxed);
	/* seq_cst: partner is the fence in eq_ring_must_wake_consumer(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!eq_ring_ready(ring))
		return true;
	atomic_store_explicit(eq_ring_consumer_armed(ring), 0, memory_order_relaxed);
	return false;
}

/* After waking, or when polling again: the producer need not ring any more. */
static inline void eq_ring_disarm(struct eq_ring *ring)
{
	/* relaxed: a late ring is harmless. */
	atomic_store_explicit(eq_ring_consumer_armed(ring), 0, memory_order_relaxed);
}

#endif
