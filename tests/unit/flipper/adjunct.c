/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adjunct's side of a native device (port_native.c) while another process
 * rewrites the window. The values of an entry are used in four places: what was
 * checked, the frame's length, how many octets were copied, the counters. They must
 * be one and the same value, and a good one, for every single entry.
 */
#include <criterion/criterion.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../port_support.h"
#include "flipper.h"

#define POOL_FRAMES 511
#define COPIED_MAX ((FLIPPED_FRAME_MAX + 63u) / 64 * 64)
/* port_native.c copies short frames by whole lines. */
#define COPIED_EXACTLY 256

static struct flipped flipped;
static struct adj_env env;
static struct rte_mempool *pool;
static struct port *port;
static struct port_counters before; /* of ports that were replaced */

static void frame_mark(struct rte_mempool *mempool, void *data, void *object, unsigned index)
{
	struct rte_mbuf *frame = object;

	(void)mempool;
	(void)data;
	(void)index;
	memset(frame->buf_addr, VICTIM_OCTET, frame->buf_len);
}

/* Nothing was ever written before a frame's first octet or behind the longest copy. */
static void frame_check(struct rte_mempool *mempool, void *wrong, void *object, unsigned index)
{
	const struct rte_mbuf *frame = object;
	const uint8_t *octets = frame->buf_addr;

	(void)mempool;
	(void)index;
	for (unsigned i = 0; i < frame->buf_len; i++)
		if ((i < RTE_PKTMBUF_HEADROOM || i >= RTE_PKTMBUF_HEADROOM + COPIED_MAX) &&
		    octets[i] != VICTIM_OCTET)
			++*(unsigned *)wrong;
}

/* As the adjunct's: the partition cannot write it. */
static struct adj_inflight inflight;

static void start(void)
{
	flipper_start(&flipped, true);
	pool = port_pool_create(POOL_FRAMES);
	rte_mempool_obj_iter(pool, frame_mark, NULL);
	env = port_env(flipped.window, FLIPPED_ENTRIES, FLIPPED_MTU, &inflight);
	cr_assert_eq(port_native_open(&env, pool, &port), 0);
}

static void stop(void)
{
	unsigned wrong = 0;

	port->ops->close(port);
	rte_mempool_obj_iter(pool, frame_check, &wrong);
	cr_expect_eq(wrong, 0, "%u octets outside of frames were written", wrong);
	port_pool_destroy(pool);
	port_env_close(&env);
	flipper_stop(&flipped);
}

TestSuite(flipped_adjunct, .init = start, .fini = stop);

static uint32_t copied_bytes(uint32_t length)
{
	return length < COPIED_EXACTLY ? (length + 63) / 64 * 64 : length;
}

/* A frame as it was taken; gives the mbuf its marks back. Returns its length. */
static uint32_t check_taken(struct rte_mbuf *frame)
{
	uint8_t *octets = rte_pktmbuf_mtod(frame, uint8_t *);
	uint32_t length = frame->pkt_len;

	cr_assert(length >= NET_FRAME_MIN && length <= FLIPPED_FRAME_MAX, "a frame of %u octets",
		  length);
	cr_assert_eq(frame->data_len, length);
	cr_assert(flipper_tagged(octets, length, octets[0] & 0x7e) && octets[0] < 0x80,
		  "%u octets that are not of one buffer", length);
	uint32_t copied = copied_bytes(length);
	cr_assert_eq(octets[copied], VICTIM_OCTET, "more than %u octets were copied", copied);
	cr_assert_neq(octets[copied - 1], VICTIM_OCTET, "fewer than %u octets were copied", copied);
	memset(octets, VICTIM_OCTET, copied);
	return length;
}

static unsigned take_some(void)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port_counters was = port->counters;
	uint64_t bytes = 0;
	int count = port->ops->take(port, frames, BURST_FRAMES);

	cr_assert_geq(count, 0);
	for (int i = 0; i < count; i++)
		bytes += check_taken(frames[i]);
	if (count)
		port->ops->passed(port, (unsigned)count);
	rte_pktmbuf_free_bulk(frames, (unsigned)count);
	cr_assert_eq(port->counters.tx_frames - was.tx_frames, (uint64_t)count);
	cr_assert_eq(port->counters.tx_bytes - was.tx_bytes, bytes, "another length was counted");
	return (unsigned)(count + (port->counters.tx_dropped - was.tx_dropped));
}

static void give_some(uint64_t *random)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	unsigned count = (unsigned)(flipper_random(random) % BURST_FRAMES) + 1;

	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, frames, count), 0);
	for (unsigned i = 0; i < count; i++)
		rte_pktmbuf_append(frames[i],
				   (uint16_t)(NET_FRAME_MIN + flipper_random(random) %
						      (FLIPPED_FRAME_MAX - NET_FRAME_MIN + 1)));
	unsigned given = port->ops->give(port, frames, count);
	cr_assert_leq(given, count);
	rte_pktmbuf_free_bulk(frames + given, count - given);
}

/* As the shim does: another port goes on at what lies in the window. */
static void replace(void)
{
	before.tx_frames += port->counters.tx_frames;
	before.tx_dropped += port->counters.tx_dropped;
	port->ops->close(port);
	cr_assert_eq(port_native_open(&env, pool, &port), 0);
}

Test(flipped_adjunct, T01_takes_the_entry_it_checked)
{
	uint64_t read = 0, goal = flipper_goal(), random = 1, rounds = 0, shut = 0;
	struct patience patience = {0};

	while (read < goal) {
		unsigned count = take_some();

		if (count)
			patience_renew(&patience);
		else
			patience_wait(&patience, read);
		read += count;
		if (++rounds % 8 == 0)
			give_some(&random);
		if (rounds % 64 == 0) {
			port->ops->arm(port, true, true);
			port->ops->disarm(port);
		}
		if (port->shut || rounds % 4096 == 0) {
			shut += port->shut;
			replace();
		}
	}
	uint64_t good = before.tx_frames + port->counters.tx_frames;
	uint64_t bad = before.tx_dropped + port->counters.tx_dropped;
	cr_expect_eq(good + bad, read);
	cr_expect_gt(good, goal / 20);
	cr_expect_gt(bad, goal / 20);
	cr_expect_leq(shut, protocol_events);
	fprintf(stderr, "adjunct: %llu entries read, %llu of them refused, while %llu were rewritten; "
			"shut %llu times for an impossible index\n",
		(unsigned long long)read, (unsigned long long)bad,
		(unsigned long long)flipped.counts->entries, (unsigned long long)shut);
}
