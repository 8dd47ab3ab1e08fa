/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TAP port of the ethdev driver (port_tap.c): frames of every length both ways, and
 * what becomes of them when the interface is down, has no room, or is gone. The other end
 * of the descriptor is this test, a socket that keeps frames apart as a TAP interface does.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <rte_mbuf.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fault.h"
#include "../port_support.h"

#define MTU 1500
#define FRAME_MAX (MTU + 18)

static struct adj_env env;
static struct rte_mempool *pool;
static struct port *port;
static int partition; /* its end */
static int watch_error;
static unsigned watches;

static int watch(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	cr_assert_eq(fd, e->port.tap_fd);
	watches++;
	return watch_error;
}

static void open_all(void)
{
	int ends[2];

	pool = port_pool_create(127);
	cr_assert_not(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
	partition = ends[0];
	env = port_env(NULL, 0, MTU, NULL);
	env.port.kind = ADJ_PORT_TAP;
	env.port.tap_fd = ends[1];
	env.watch = watch;
	cr_assert_eq(port_tap_open(&env, pool, &port), 0);
}

static void close_all(void)
{
	port->ops->close(port);
	close(partition);
	close(env.port.tap_fd);
	port_env_close(&env);
	port_pool_destroy(pool);
}

TestSuite(tap_port, .init = open_all, .fini = close_all, .timeout = 60);

static void send_frame(size_t length, uint8_t octet)
{
	uint8_t frame[FRAME_MAX + 100];

	memset(frame, octet, sizeof(frame));
	cr_assert_eq(write(partition, frame, length), (ssize_t)length);
}

static struct rte_mbuf *frame_make(uint16_t length, uint8_t octet)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);

	cr_assert_not_null(frame);
	memset(rte_pktmbuf_append(frame, length), octet, length);
	return frame;
}

static unsigned give(struct rte_mbuf *frame)
{
	unsigned given = port->ops->give(port, &frame, 1);

	if (!given)
		rte_pktmbuf_free(frame);
	return given;
}

Test(tap_port, frames_of_a_length_that_is_none_are_dropped_alone)
{
	static const size_t lengths[] = {13, 14, FRAME_MAX, FRAME_MAX + 1, FRAME_MAX + 50, 60};
	struct rte_mbuf *frames[BURST_FRAMES];
	uint8_t octets[FRAME_MAX + 100];

	for (unsigned i = 0; i < 6; i++)
		send_frame(lengths[i], (uint8_t)i);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 3);
	cr_expect_eq(port->counters.tx_dropped, 3u);
	cr_expect_eq(port->counters.tx_bytes, 14u + FRAME_MAX + 60u);
	cr_expect(frames[0]->pkt_len == 14 && frames[1]->pkt_len == FRAME_MAX && frames[2]->pkt_len == 60);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[2], uint8_t *), 5);
	rte_pktmbuf_free_bulk(frames, 3);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	/* And what the device passes. */
	cr_expect_eq(give(frame_make(13, 1)), 1u);
	cr_expect_eq(give(frame_make(FRAME_MAX + 1, 1)), 1u);
	cr_expect_eq(port->counters.rx_dropped, 2u);
	/* In two pieces, which the partition does not see. */
	struct rte_mbuf *frame = frame_make(100, 7);
	cr_assert_not(rte_pktmbuf_chain(frame, frame_make(200, 7)));
	cr_expect_eq(give(frame), 1u);
	cr_expect_eq(read(partition, octets, sizeof(octets)), 300);
	cr_expect(octets[0] == 7 && octets[299] == 7);
	cr_expect_eq(port->counters.rx_bytes, 300u);
	cr_expect_eq(port->ops->give(port, NULL, 0), 0u);
}

Test(tap_port, what_the_interface_says_to_a_frame)
{
	static const struct {
		int error;
		unsigned given, dropped;
		bool shut;
	} rows[] = {
		{EAGAIN, 0, 0, false}, {EINTR, 0, 0, false},  {EIO, 1, 1, false},
		{ENOBUFS, 1, 1, false}, {ENOMEM, 1, 1, false}, {EINVAL, 1, 1, false},
		{EBADFD, 1, 1, true}, /* the last: there is no way back */
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = port->counters.rx_dropped;
		struct rte_mbuf *frame = frame_make(60, 1);

		fault_in("write", rows[i].error);
		unsigned given = give(frame);
		cr_assert(fault_end());
		cr_expect_eq(given, rows[i].given, "%s", strerror(rows[i].error));
		cr_expect_eq(port->counters.rx_dropped, before + rows[i].dropped, "%s",
			     strerror(rows[i].error));
		cr_expect_eq(port->shut, rows[i].shut, "%s", strerror(rows[i].error));
	}
	cr_expect_eq(protocol_events, 1u);
	cr_expect_eq(give(frame_make(60, 1)), 1u, "dropped, the device must not wait for ever");
	struct rte_mbuf *frames[BURST_FRAMES];
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	unsigned before = watches;
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watches, before, "nothing is waited for any more");
}

Test(tap_port, an_interface_that_is_gone_shuts_the_port)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	int ends[2];

	/* An end that cannot be read. */
	cr_assert_not(pipe(ends));
	cr_assert_eq(dup2(ends[1], env.port.tap_fd), env.port.tap_fd);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect(port->shut);
	cr_expect_eq(protocol_events, 1u);
	close(ends[0]);
	close(ends[1]);
}

Test(tap_port, without_mbufs_nothing_is_taken)
{
	struct rte_mbuf *all[127], *frames[BURST_FRAMES];
	unsigned count = 0;

	send_frame(60, 1);
	while (count < 127 && !rte_mempool_get(pool, (void **)&all[count]))
		count++;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), -ENOBUFS);
	rte_mempool_put_bulk(pool, (void **)all, count);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
}

Test(tap_port, what_is_watched_is_what_was_asked_for)
{
	struct port_positions positions;

	watch_error = -ENOSPC;
	cr_expect_eq(port->ops->arm(port, true, false), 1, "try again");
	watch_error = 0;
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	unsigned before = watches;
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	cr_expect_eq(watches, before, "it is watched already");
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watches, before + 1);
	port->ops->disarm(port);
	port->ops->interrupt(port, env.port.tap_fd);
	/* Nothing of it is a successor's. */
	port->ops->save(port, &positions);
	cr_expect(!positions.transmit && !positions.receive);
	cr_expect_eq(port->ops->restore(port, &positions), 0);
	struct port *second;
	fault_in("calloc", ENOMEM);
	cr_expect_eq(port_tap_open(&env, pool, &second), -ENOMEM);
	cr_assert(fault_end());
}
