/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native port of the ethdev driver (port_native.c) against a partition that
 * writes what it likes. The port runs on bare functions of adj_env; mbufs come
 * from DPDK brought up without huge pages. The partition is this test, and in
 * one of them a thread that never stops changing things.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../fault.h"
#include "../port_support.h"
#include "clock.h"
#include "eq.h"

#define RING 64u
#define MTU 1500
#define FRAME_MAX (MTU + 18)

static struct net_layout layout;
static uint8_t *window;
static struct eq_ring tx, rx; /* the partition's sides */
static struct adj_env env;
static struct adj_inflight inflight;
static struct rte_mempool *pool;
static struct port *port;

static int watch_no_more(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	(void)fd;
	(void)readable;
	(void)writable;
	return -ENOSPC;
}

static void open_all(void)
{
	pool = port_pool_create(511);
	cr_assert_eq(net_layout_compute(RING, &layout), 0);
	window = aligned_alloc(4096, layout.size_bytes);
	memset(window, 0, layout.size_bytes);
	cr_assert_eq(eq_ring_open(&tx, window + layout.tx_ring, RING, NET_ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_open(&rx, window + layout.rx_ring, RING, NET_ENTRY_BYTES), 0);
	env = port_env(window, RING, MTU, &inflight);
	env.device_counts = true;
	env.device_taken = UINT32_MAX - 20; /* so that it wraps round */
	cr_assert_eq(port_native_open(&env, pool, &port), 0);
	/* As after any predecessor: the partition looks, though nothing is there. */
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 1);
}

static void close_all(void)
{
	port->ops->close(port);
	port_env_close(&env);
	free(window);
	port_pool_destroy(pool);
}

TestSuite(native, .init = open_all, .fini = close_all, .timeout = 60);

static uint8_t *tx_buffer(void)
{
	return window + layout.tx_buffers + (size_t)eq_ring_slot(&tx) * NET_BUFFER_BYTES;
}

static void put(uint16_t length, uint16_t flags, uint8_t octet)
{
	const struct net_entry entry = {.length_bytes = length, .flags = flags};

	memset(tx_buffer(), octet, NET_BUFFER_BYTES);
	eq_ring_put(&tx, &entry, sizeof(entry));
}

/* The device has the frames. */
static void pass(struct rte_mbuf **frames, unsigned count)
{
	port->device_taken += count;
	port->ops->passed(port, count);
	rte_pktmbuf_free_bulk(frames, count);
}

Test(native, takes_what_is_right_and_counts_what_is_not)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	put(NET_FRAME_MIN, 0, 1);
	put(0, 0, 2);
	put(NET_FRAME_MIN - 1, 0, 3);
	put(FRAME_MAX, 0, 4);
	put(FRAME_MAX + 1, 0, 5);
	put(0xffff, 0, 6);
	put(100, 1, 7);
	put(100, 0x8000, 8);
	put(100, 0, 9);
	static const struct {
		uint16_t length;
		uint8_t octet;
	} good[] = {{NET_FRAME_MIN, 1}, {FRAME_MAX, 4}, {100, 9}};

	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(frames[i]->pkt_len, good[i].length);
		cr_expect_eq(frames[i]->data_len, good[i].length);
		cr_expect_eq(frames[i]->nb_segs, 1);
		for (unsigned j = 0; j < good[i].length; j++)
			cr_assert_eq(rte_pktmbuf_mtod(frames[i], uint8_t *)[j], good[i].octet);
	}
	/* Passed one by one, each with the wrong ones before it. */
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned held[] = {8, 5, 0};

		pass(frames + i, 1);
		cr_expect_eq(eq_ring_space(&tx, RING), (int)(RING - held[i]));
	}
	cr_expect_eq(port->counters.tx_dropped, 6);
	cr_expect_eq(port->counters.tx_frames, 3);
	cr_expect_eq(port->counters.tx_bytes, NET_FRAME_MIN + FRAME_MAX + 100);
	cr_expect_eq(eq_ring_space(&tx, RING), RING, "every slot came back");
}

Test(native, only_wrong_entries_still_free_their_slots)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	for (unsigned round = 0; round < 10 * RING; round++) {
		cr_assert_gt(eq_ring_space(&tx, 1), 0);
		put(0, 0, 0);
		cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	}
	cr_expect_eq(port->counters.tx_dropped, 10 * RING);
}

static unsigned frames_make(struct rte_mbuf **frames, unsigned count, uint16_t length)
{
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, frames, count), 0);
	for (unsigned i = 0; i < count; i++)
		memset(rte_pktmbuf_append(frames[i], length), (int)i, length);
	return count;
}

Test(native, gives_until_the_partition_is_full_and_goes_on_after)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct net_entry entry;

	for (unsigned i = 0; i < RING / BURST_FRAMES; i++)
		cr_assert_eq(port->ops->give(port, frames, frames_make(frames, BURST_FRAMES, 60)),
			     BURST_FRAMES);
	frames_make(frames, BURST_FRAMES, 61);
	cr_assert_eq(port->ops->give(port, frames, BURST_FRAMES), 0);
	cr_assert_eq(port->ops->arm(port, true, true), 0);
	cr_assert(eq_ring_take(&rx, &entry, sizeof(entry)));
	cr_expect_eq(entry.length_bytes, 60);
	eq_ring_release(&rx, 1);
	cr_expect(eq_ring_must_wake_producer(&rx), "a full ring's producer wants to be woken");
	cr_assert_eq(port->ops->give(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free_bulk(frames + 1, BURST_FRAMES - 1);
	cr_expect_eq(port->counters.rx_dropped, 0);
}

Test(native, frames_too_long_for_the_partition_take_no_slot)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct net_entry entry;

	frames_make(frames, 3, FRAME_MAX + 1);
	rte_pktmbuf_trim(frames[1], 1);
	cr_assert_eq(port->ops->give(port, frames, 3), 3);
	cr_expect_eq(port->counters.rx_dropped, 2);
	cr_assert(eq_ring_take(&rx, &entry, sizeof(entry)));
	cr_expect_eq(entry.length_bytes, FRAME_MAX);
	cr_expect_not(eq_ring_ready(&rx));
}

Test(native, octets_behind_a_frame_stay_inside)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	frames_make(frames, 1, 200);
	memset(rte_pktmbuf_mtod(frames[0], void *), 0x5a, 200);
	rte_pktmbuf_trim(frames[0], 200 - 70);
	cr_assert_eq(port->ops->give(port, frames, 1), 1);
	for (unsigned i = 0; i < NET_BUFFER_BYTES; i++)
		cr_assert_eq(window[layout.rx_buffers + i], i < 70 ? 0x5a : 0);
}

Test(native, a_partition_that_claims_too_much_is_shut)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	atomic_store(eq_ring_consumed(&rx), 0x80000000u);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(port->ops->give(port, frames, frames_make(frames, BURST_FRAMES, 60)),
			     BURST_FRAMES);
	cr_expect(port->shut);
	cr_expect_eq(protocol_events, 1, "said once");
	put(100, 0, 1);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
}

Test(native, the_doorbell_rings_for_a_sleeper_only)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	port->ops->give(port, frames, frames_make(frames, 4, 60));
	port->ops->tell(port);
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 0);
	for (unsigned i = 0; i < 4; i++) {
		struct net_entry entry;

		cr_assert(eq_ring_take(&rx, &entry, sizeof(entry)));
	}
	eq_ring_release(&rx, 4);
	cr_assert(eq_ring_arm(&rx));
	port->ops->give(port, frames, frames_make(frames, 4, 60));
	port->ops->give(port, frames, frames_make(frames, 4, 60));
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 0);
	port->ops->tell(port);
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 1, "once for both");
	port->ops->tell(port);
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 0);
	cr_expect_eq(port->counters.doorbells, 2, "one of them when it opened");
}

Test(native, a_successor_takes_the_next_frame)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port_positions positions;
	struct port *successor;

	for (unsigned i = 0; i < 10; i++)
		put(100, 0, (uint8_t)i);
	cr_assert_eq(port->ops->take(port, frames, 7), 7);
	pass(frames, 7);
	cr_assert_eq(port->ops->give(port, frames, frames_make(frames, 5, 60)), 5);
	port->ops->save(port, &positions);
	env.device_taken += 7;
	cr_assert_eq(port_native_open(&env, pool, &successor), 0);
	cr_assert_eq(successor->ops->restore(successor, &positions), 0);
	cr_assert_eq(successor->ops->take(successor, frames, BURST_FRAMES), 3);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[0], uint8_t *), 7);
	rte_pktmbuf_free_bulk(frames, 3);
	cr_assert_eq(successor->ops->give(successor, frames, frames_make(frames, 1, 61)), 1);
	cr_expect_eq(eq_ring_ready_count(&rx, RING), 6);
	successor->ops->close(successor);
}

/* T08: died between a store and its doorbell, with the arming taken back already. */
Test(native, a_successor_wakes_a_partition_that_its_predecessor_left_asleep)
{
	const struct net_entry entry = {.length_bytes = 60};
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port *successor;
	struct eq_ring dead;

	cr_assert(eq_ring_arm(&rx));
	cr_assert_eq(eq_ring_open(&dead, window + layout.rx_ring, RING, NET_ENTRY_BYTES), 0);
	eq_ring_put(&dead, &entry, sizeof(entry));
	cr_assert(eq_ring_must_wake_consumer(&dead));
	cr_assert_eq(port_native_open(&env, pool, &successor), 0);
	cr_expect_eq(port_bell_rings(env.port.bell_partition_fd), 1);
	cr_assert_eq(successor->ops->give(successor, frames, frames_make(frames, 1, 61)), 1);
	cr_expect_eq(eq_ring_ready_count(&rx, RING), 2, "behind what the other one put");
	successor->ops->close(successor);
}

/*
 * T07: a predecessor that had taken 12 of 20 entries, the 5th of them wrong, and
 * died: the device has `device` frames of it, of which `recorded` were recorded.
 * The successor's first frame is to be the one in entry `next`.
 */
static void succeed_a_dead_one(unsigned recorded, unsigned device, uint8_t next)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	uint32_t before = env.device_taken;
	struct port *successor;

	for (unsigned i = 0; i < 20; i++)
		put(i == 4 ? 1 : 100, 0, (uint8_t)i);
	for (unsigned left = recorded; left;) {
		unsigned count = (unsigned)port->ops->take(port, frames, left);

		pass(frames, count);
		left -= count;
	}
	int taken = port->ops->take(port, frames, 12);

	cr_assert_gt(taken, 0);
	env.device_taken = before + device;
	cr_assert_eq(port_native_open(&env, pool, &successor), 0);
	rte_pktmbuf_free_bulk(frames, (unsigned)taken);
	taken = successor->ops->take(successor, frames, BURST_FRAMES);
	cr_assert_gt(taken, 0);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[0], uint8_t *), next, "%u of %u recorded: %u",
		     recorded, device, *rte_pktmbuf_mtod(frames[0], uint8_t *));
	rte_pktmbuf_free_bulk(frames, (unsigned)taken);
	cr_expect_gt(port_bell_rings(env.port.bell_partition_fd), 0, "the partition may be asleep");
	successor->ops->close(successor);
}

Test(native, T07_taken_and_not_passed_is_taken_again)
{
	succeed_a_dead_one(0, 0, 0);
}

Test(native, T07_passed_and_not_recorded_is_not_passed_again)
{
	succeed_a_dead_one(0, 3, 3);
}

Test(native, T07_passed_up_to_a_wrong_entry)
{
	succeed_a_dead_one(0, 4, 5);
}

Test(native, T07_passed_and_recorded)
{
	succeed_a_dead_one(4, 4, 5);
}

Test(native, T07_passed_and_recorded_in_part)
{
	succeed_a_dead_one(7, 10, 11);
}

Test(native, T07_a_count_that_cannot_be_is_not_believed)
{
	succeed_a_dead_one(7, 7 + BURST_FRAMES + 1, 8);
}

Test(native, T07_a_device_that_does_not_count)
{
	env.device_counts = false;
	succeed_a_dead_one(7, 0, 8);
}

/* The one more that the device has was a request's frame (requests.c), none of the ring's. */
Test(native, T07_died_passing_a_frame_that_is_none_of_the_rings)
{
	/* One that comes to its end is counted by itself. */
	port_native_apart_begin(port);
	env.device_taken++;
	port->device_taken++;
	port_native_apart_end(port);
	cr_expect_eq(atomic_load(&inflight.apart), 0u);
	port_native_apart_begin(port);
	succeed_a_dead_one(0, 1, 0);
	cr_expect_eq(atomic_load(&inflight.apart), 0u);
}

/* It may have been passed or not: nobody can tell, and it is not passed again. */
Test(native, T07_being_passed_to_a_device_that_does_not_count)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port *successors[2];

	env.device_counts = false;
	for (unsigned i = 0; i < 20; i++)
		put(i == 4 ? 1 : 100, 0, (uint8_t)i);
	cr_assert_eq(port->ops->take(port, frames, 12), 11);
	cr_assert_eq(port->ops->passing(port, 11), 1);
	cr_assert_eq(port_native_open(&env, pool, &successors[0]), 0);
	/* Of what the device had no room for the record says so, before it is tried again. */
	port->ops->passed(port, 0);
	cr_assert_eq(port->ops->passing(port, 11), 1);
	port->ops->passed(port, 5);
	cr_assert_eq(port_native_open(&env, pool, &successors[1]), 0);
	rte_pktmbuf_free_bulk(frames, 11);
	static const uint8_t next[] = {12, 6};
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(successors[i]->ops->take(successors[i], frames, 1), 1);
		cr_expect_eq(*rte_pktmbuf_mtod(frames[0], uint8_t *), next[i]);
		rte_pktmbuf_free(frames[0]);
		successors[i]->ops->close(successors[i]);
	}
}

Test(native, T07_what_is_said_twice_comes_to_the_same)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port *successors[3];

	for (unsigned i = 0; i < 20; i++)
		put(100, 0, (uint8_t)i);
	cr_assert_eq(port->ops->take(port, frames, 5), 5);
	rte_pktmbuf_free_bulk(frames, 5);
	env.device_taken += 5;
	/* Each dies before it does anything, so the next is told the same. */
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(port_native_open(&env, pool, &successors[i]), 0);
	cr_assert_eq(successors[2]->ops->take(successors[2], frames, 1), 1);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[0], uint8_t *), 5);
	rte_pktmbuf_free(frames[0]);
	for (unsigned i = 0; i < 3; i++)
		successors[i]->ops->close(successors[i]);
}

/* The partition takes back what had been passed on: it only fools itself. */
Test(native, T07_entries_that_are_gone_are_not_waited_for)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port *successor;

	env.device_taken += 3;
	cr_assert_eq(port_native_open(&env, pool, &successor), 0);
	put(100, 0, 1);
	cr_assert_eq(successor->ops->take(successor, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
	successor->ops->close(successor);
}

/* A partition that moves the ring's index back gets nothing twice by it. */
Test(native, T07_the_partition_cannot_write_the_record)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port *successor;

	for (unsigned i = 0; i < 20; i++)
		put(100, 0, (uint8_t)i);
	cr_assert_eq(port->ops->take(port, frames, 12), 12);
	pass(frames, 12);
	env.device_taken += 12;
	atomic_store(eq_ring_consumed(&tx), 3);
	cr_assert_eq(port_native_open(&env, pool, &successor), 0);
	cr_assert_eq(successor->ops->take(successor, frames, 1), 1);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[0], uint8_t *), 12);
	rte_pktmbuf_free(frames[0]);
	successor->ops->close(successor);
}

/* ---- Where something is missing ------------------------------------------------- */

Test(native, without_packet_buffers_the_entries_stay)
{
	struct rte_mbuf *frames[BURST_FRAMES], *all[511];
	unsigned count = 0;

	put(100, 0, 1);
	while (!rte_mempool_get(pool, (void **)&all[count]))
		count++;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), -ENOBUFS);
	rte_mempool_put_bulk(pool, (void **)all, count);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
}

/* Received in two buffers, or in one with nothing in the other. */
Test(native, frames_of_several_segments_are_gathered)
{
	struct rte_mbuf *frames[BURST_FRAMES], *second;
	const uint16_t lengths[] = {100, 0};

	for (unsigned i = 0; i < 2; i++) {
		frames_make(frames, 1, 200);
		frames_make(&second, 1, lengths[i]);
		memset(rte_pktmbuf_mtod(frames[0], void *), 0x11, 200);
		memset(rte_pktmbuf_mtod(second, void *), 0x22, lengths[i]);
		cr_assert_not(rte_pktmbuf_chain(frames[0], second));
		const uint8_t *at = window + layout.rx_buffers + (size_t)i * NET_BUFFER_BYTES;

		cr_assert_eq(port->ops->give(port, frames, 1), 1);
		for (unsigned j = 0; j < 200u + lengths[i]; j++)
			cr_assert_eq(at[j], j < 200 ? 0x11 : 0x22, "octet %u", j);
	}
}

Test(native, arming_finds_what_came_in_between)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	put(100, 0, 1);
	cr_expect_eq(port->ops->arm(port, true, false), 1);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
	cr_expect_eq(port->ops->arm(port, true, true), 1, "there is room");
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	cr_expect_eq(port->ops->arm(port, false, false), 0);
}

Test(native, a_successor_whose_positions_cannot_be_is_shut)
{
	struct port_positions positions;

	port->ops->save(port, &positions);
	positions.receive += RING + 1;
	cr_expect_eq(port->ops->restore(port, &positions), 0);
	cr_expect(port->shut);
	cr_expect_eq(protocol_events, 1u);
	/* Shut, it neither takes nor gives nor waits. */
	struct rte_mbuf *frames[BURST_FRAMES];

	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 1, 60)), 1u);
	cr_expect_eq(port->counters.rx_dropped, 1u);
	port_native_detach(port);
	cr_expect_eq(port->ops->restore(port, &positions), 0, "nothing to go on with");
	port->ops->disarm(port);
	port_native_detach(port);
}

Test(native, a_port_is_opened_or_not)
{
	struct adj_env other = env;
	struct port *second;

	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = port_native_open(&other, pool, &second);

		/* A doorbell that cannot be rung is no reason not to open. */
		if (fault_end() && n == 1)
			cr_assert_eq(result, -ENOMEM);
		else
			cr_assert_eq(result, 0);
		if (!result)
			second->ops->close(second);
	}
	other.port.ring_entries = 3;
	cr_expect_eq(port_native_open(&other, pool, &second), -EINVAL);
	other.port.ring_entries = RING;
	other.port.window = window + 8;
	cr_expect_eq(port_native_open(&other, pool, &second), -EINVAL, "not on a line");
	other.port.window = window;
	other.watch = watch_no_more;
	cr_expect_eq(port_native_open(&other, pool, &second), -ENOSPC);
	/* Without a program it waits for one. */
	other.port.window = NULL;
	cr_assert_eq(port_native_open(&other, pool, &second), 0);
	cr_expect_eq(second->ops->arm(second, true, true), 0);
	second->ops->close(second);
}

/* T01: an entry changes between check and use. */
static _Atomic bool flipping;

static void *flip(void *data)
{
	const uint16_t lengths[] = {0xffff, 64, 0, FRAME_MAX, FRAME_MAX + 1, 1514};

	(void)data;
	for (uint32_t i = 0; atomic_load_explicit(&flipping, memory_order_relaxed); i++) {
		struct eq_ring_entry *entry = eq_ring_entry_at(&tx, i);
		volatile uint16_t *length = (volatile uint16_t *)entry->payload;

		length[0] = lengths[i / RING % 6];
		length[1] = (uint16_t)(i / RING % 7 == 0);
	}
	return NULL;
}

Test(native, a_flipping_partition_gets_no_frame_past_the_check)
{
	uint64_t until_ns = clock_now_ns() + 500 * NS_PER_MS, taken = 0;
	struct rte_mbuf *frames[BURST_FRAMES];
	pthread_t thread;

	flipping = true;
	cr_assert_eq(pthread_create(&thread, NULL, flip, NULL), 0);
	while (clock_now_ns() < until_ns) {
		while (eq_ring_space(&tx, 1) > 0)
			put(64, 0, 0x11);
		int count = port->ops->take(port, frames, BURST_FRAMES);

		cr_assert_geq(count, 0);
		for (int i = 0; i < count; i++) {
			cr_assert_leq(frames[i]->pkt_len, FRAME_MAX);
			cr_assert_geq(frames[i]->pkt_len, NET_FRAME_MIN);
			cr_assert_eq(frames[i]->data_len, frames[i]->pkt_len);
		}
		taken += (uint64_t)count;
		if (count)
			pass(frames, (unsigned)count);
	}
	flipping = false;
	pthread_join(thread, NULL);
	cr_expect_gt(taken, 0);
	cr_expect_gt(port->counters.tx_dropped, 0);
}
