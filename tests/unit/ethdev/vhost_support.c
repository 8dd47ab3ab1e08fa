/* SPDX-License-Identifier: BSD-2-Clause */
/* See vhost_support.h. */
#include "vhost_support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../fault.h"
#include "clock.h"

struct adj_env env;
struct port *port;
struct rte_mempool *pool;
struct played_runtime runtime = {.wake_fd = -1};

/* ---- The runtime ----------------------------------------------------------- */

static void count_log(const struct adj_env *e, enum adj_log_level level, const char *format, ...)
{
	(void)e;
	(void)format;
	runtime.errors += level == ADJ_LOG_ERROR;
	runtime.warnings += level == ADJ_LOG_WARNING;
	runtime.infos += level == ADJ_LOG_INFO;
}

static void count_event(const struct adj_env *e, enum adj_event event)
{
	(void)e;
	runtime.protocol_breaks += event == ADJ_EVENT_PARTITION_PROTOCOL;
}

static int watch(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	fault_hold(true);
	cr_assert_geq(fcntl(fd, F_GETFD), 0, "a descriptor that is closed");
	fault_hold(false);
	if (readable && runtime.watch_error)
		return runtime.watch_error;
	if (runtime.wake_fd < 0)
		runtime.wake_fd = fd; /* the session's own is the first */
	runtime.watched += readable || writable ? 1 : -1;
	return 0;
}

/* ---- Tests ------------------------------------------------------------------ */

void vhost_begin(void)
{
	static char path[] = "/tmp/otr-vhost-XXXXXX";

	pool = port_pool_create(511);
	close(mkstemp(path));
	unlink(path);
	played.path = path;
	played.kickfd = eventfd(0, EFD_NONBLOCK);
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		played.callfd[queue] = eventfd(0, EFD_NONBLOCK);
		played.guest[queue] = guest_ring(queue);
	}
	env = (struct adj_env){
		.name = "test",
		.port = {.kind = ADJ_PORT_VHOST_USER, .mtu = MTU, .vhost_path = path},
		.log = count_log,
		.post_event = count_event,
		.now_ns = clock_now_ns,
		.watch = watch,
	};
}

void vhost_open_all(void)
{
	vhost_begin();
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
}

void vhost_close_all(void)
{
	if (port)
		port->ops->close(port);
	cr_expect_eq(runtime.watched, 0);
	port_pool_destroy(pool);
	close(played.kickfd);
	close(played.callfd[0]);
	close(played.callfd[1]);
	unlink(played.path);
}

unsigned frames_make(struct rte_mbuf **frames, unsigned count, uint16_t length)
{
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, frames, count), 0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_not_null(rte_pktmbuf_append(frames[i], length));
	return count;
}

void guest_comes(void)
{
	cr_assert_eq(played.callbacks->new_connection(PLAYED_VID), 0);
	cr_assert_eq(played.callbacks->new_device(PLAYED_VID), 0);
}
