/* SPDX-License-Identifier: BSD-2-Clause */
/* See port_support.h. */
#include "port_support.h"

#include <criterion/criterion.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

unsigned protocol_events;

static void log_nothing(const struct adj_env *e, enum adj_log_level level, const char *format, ...)
{
	(void)e;
	(void)level;
	(void)format;
}

static void count_event(const struct adj_env *e, enum adj_event event)
{
	(void)e;
	protocol_events += event == ADJ_EVENT_PARTITION_PROTOCOL;
}

static void ring_partition(const struct adj_env *from, enum adj_direction direction)
{
	(void)direction;
	eventfd_write(from->port.bell_partition_fd, 1);
}

static int watch_nothing(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	(void)fd;
	(void)readable;
	(void)writable;
	return 0;
}

struct rte_mempool *port_pool_create(unsigned frames)
{
	char *arguments[] = {(char[]){"test"},
			     (char[]){"--no-huge"},
			     (char[]){"--no-shconf"},
			     (char[]){"--no-telemetry"},
			     (char[]){"--no-pci"},
			     (char[]){"-m"},
			     (char[]){"16"},
			     (char[]){"--log-level=error"},
			     NULL};

	cr_assert_geq(rte_eal_init(8, arguments), 0);
	struct rte_mempool *pool = rte_pktmbuf_pool_create("test", frames, 64, 0,
							   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	cr_assert_not_null(pool);
	return pool;
}

void port_pool_destroy(struct rte_mempool *pool)
{
	cr_expect_eq(rte_mempool_in_use_count(pool), 0, "an mbuf is lost");
	rte_mempool_free(pool);
}

struct adj_env port_env(void *window, uint32_t entries, uint32_t mtu, struct adj_inflight *inflight)
{
	return (struct adj_env){
		.name = "test",
		.port =
			{
				.kind = ADJ_PORT_NATIVE,
				.mtu = mtu,
				.tap_fd = -1,
				.window = window,
				.inflight = inflight,
				.ring_entries = entries,
				.bell_adjunct_fd = eventfd(0, EFD_NONBLOCK),
				.bell_partition_fd = eventfd(0, EFD_NONBLOCK),
			},
		.log = log_nothing,
		.post_event = count_event,
		.wake_partition = ring_partition,
		.watch = watch_nothing,
		.now_ns = clock_now_ns,
	};
}

void port_env_close(struct adj_env *env)
{
	close(env->port.bell_adjunct_fd);
	close(env->port.bell_partition_fd);
}

unsigned port_bell_rings(int bell)
{
	uint64_t count = 0;

	return read(bell, &count, sizeof(count)) == sizeof(count) ? (unsigned)count : 0;
}
