/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user port of the ethdev driver (port_vhost.c, vhost_session.c) on a
 * librte_vhost that this test plays: it calls the port back as that library does,
 * and fails where it is told to. The library itself, with real guests, is run by
 * tests/e2e. One thread; what two of them do to each other is e2e's, too.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fault.h"
#include "clock.h"
#include "ethdev/port.h"
#include "ethdev/vhost_session.h"
#include "runtime/vhost_notice.h"

#define MTU 1500
#define FRAME_MAX (MTU + 18)
#define VID 3

static char path[] = "/tmp/otr-vhost-XXXXXX";
static struct adj_env env;
static struct port *port;
static struct rte_mempool *pool;
static unsigned errors, warnings, infos;
static int watch_error, watched; /* descriptors, now */

/* ---- The runtime ----------------------------------------------------------- */

static void count_log(const struct adj_env *e, enum adj_log_level level, const char *format, ...)
{
	(void)e;
	(void)format;
	errors += level == ADJ_LOG_ERROR;
	warnings += level == ADJ_LOG_WARNING;
	infos += level == ADJ_LOG_INFO;
}

static int watch(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	fault_hold(true);
	cr_assert_geq(fcntl(fd, F_GETFD), 0, "a descriptor that is closed");
	fault_hold(false);
	if (readable && watch_error)
		return watch_error;
	watched += readable || writable ? 1 : -1;
	return 0;
}

/* ---- librte_vhost ------------------------------------------------------------ */

static const struct rte_vhost_device_ops *callbacks;
static int kickfd, notice_result, unregister_result, vring_result;
static unsigned calls, guest_notifications;
static const char *failing; /* the call that does */
static struct rte_mbuf *from_guest[BURST_FRAMES];
static unsigned from_guest_count, room;

int vhost_notice(const char *at)
{
	cr_assert_str_eq(at, path);
	return notice_result;
}

#define STAND_IN(name, parameters) int __wrap_##name parameters; int __wrap_##name parameters
static int fails(const char *name)
{
	return failing && !strcmp(failing, name) ? -1 : 0;
}

STAND_IN(rte_vhost_driver_register, (const char *at, uint64_t flags))
{
	(void)flags;
	cr_assert_str_eq(at, path);
	return fails("register");
}

STAND_IN(rte_vhost_driver_disable_features, (const char *at, uint64_t features))
{
	(void)at;
	(void)features;
	return fails("disable_features");
}

STAND_IN(rte_vhost_driver_callback_register,
	 (const char *at, const struct rte_vhost_device_ops *const ops))
{
	(void)at;
	callbacks = ops;
	return fails("callback_register");
}

STAND_IN(rte_vhost_driver_start, (const char *at))
{
	(void)at;
	return fails("start");
}

STAND_IN(rte_vhost_driver_unregister, (const char *at))
{
	(void)at;
	return unregister_result;
}

STAND_IN(rte_vhost_get_vhost_vring, (int vid, uint16_t queue, struct rte_vhost_vring *vring))
{
	(void)queue;
	cr_assert_eq(vid, VID);
	*vring = (struct rte_vhost_vring){.kickfd = kickfd};
	return vring_result;
}

STAND_IN(rte_vhost_enable_guest_notification, (int vid, uint16_t queue, int enable))
{
	cr_assert_eq(vid, VID);
	guest_notifications = (guest_notifications & ~(1u << queue)) | (unsigned)enable << queue;
	return 0;
}

STAND_IN(rte_vhost_vring_call, (int vid, uint16_t queue))
{
	(void)queue;
	cr_assert_eq(vid, VID);
	calls++;
	return 0;
}

uint16_t __wrap_rte_vhost_dequeue_burst(int vid, uint16_t queue, struct rte_mempool *from,
					struct rte_mbuf **frames, uint16_t most);
uint16_t __wrap_rte_vhost_dequeue_burst(int vid, uint16_t queue, struct rte_mempool *from,
					struct rte_mbuf **frames, uint16_t most)
{
	unsigned count = RTE_MIN(from_guest_count, most);

	cr_assert(vid == VID && queue == VHOST_QUEUE_TRANSMIT && from == pool);
	memcpy(frames, from_guest, count * sizeof(*frames));
	from_guest_count = 0;
	return (uint16_t)count;
}

uint16_t __wrap_rte_vhost_enqueue_burst(int vid, uint16_t queue, struct rte_mbuf **frames,
					uint16_t count);
uint16_t __wrap_rte_vhost_enqueue_burst(int vid, uint16_t queue, struct rte_mbuf **frames,
					uint16_t count)
{
	unsigned taken = RTE_MIN(count, room);

	cr_assert(vid == VID && queue == VHOST_QUEUE_RECEIVE);
	for (unsigned i = 0; i < count; i++)
		cr_assert_leq(frames[i]->pkt_len, 65535u);
	room -= taken;
	return (uint16_t)taken;
}

/* ---- Tests ---------------------------------------------------------------------- */

static void eal_begin(void)
{
	char *arguments[] = {(char[]){"test"},	     (char[]){"--no-huge"},
			     (char[]){"--no-shconf"}, (char[]){"--no-telemetry"},
			     (char[]){"--no-pci"},    (char[]){"-m"},
			     (char[]){"16"},	      (char[]){"--log-level=error"},
			     NULL};

	cr_assert_geq(rte_eal_init(8, arguments), 0);
	pool = rte_pktmbuf_pool_create("test", 511, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	cr_assert_not_null(pool);
	close(mkstemp(path));
	unlink(path);
	kickfd = eventfd(0, EFD_NONBLOCK);
	env = (struct adj_env){
		.name = "test",
		.port = {.kind = ADJ_PORT_VHOST_USER, .mtu = MTU, .vhost_path = path},
		.log = count_log,
		.now_ns = clock_now_ns,
		.watch = watch,
	};
}

static void open_all(void)
{
	eal_begin();
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
}

static void close_all(void)
{
	if (port)
		port->ops->close(port);
	cr_expect_eq(watched, 0);
	cr_expect_eq(rte_mempool_in_use_count(pool), 0);
	close(kickfd);
	unlink(path);
}

TestSuite(vhost_port, .init = open_all, .fini = close_all, .timeout = 60);
TestSuite(vhost_open, .init = eal_begin, .fini = close_all, .timeout = 60);

Test(vhost_open, opens_or_says_why)
{
	static const char *const calls_that_fail[] = {"register", "disable_features",
						      "callback_register", "start"};
	const int first_free = dup(0);

	close(first_free);
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, EMFILE);
		int result = port_vhost_open(&env, pool, &port);

		/* There is no socket to look at, so that may fail. */
		if (!fault_end() || !result) {
			cr_assert_eq(result, 0);
			port->ops->close(port);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		failing = calls_that_fail[i];
		errors = 0;
		cr_expect_lt(port_vhost_open(&env, pool, &port), 0);
		cr_expect_eq(errors, 1u);
		cr_expect_eq(watched, 0);
	}
	failing = NULL;
	watch_error = -ENOSPC;
	cr_expect_eq(port_vhost_open(&env, pool, &port), -ENOSPC);
	watch_error = watched = 0;
	port = NULL;
	cr_expect_eq(dup(0), first_free, "no descriptor is left");
	close(first_free);
}

Test(vhost_open, a_socket_in_the_way_is_removed_and_nothing_else)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat status;

	strcpy((char *)&address + sizeof(sa_family_t), path);
	cr_assert_not(bind(fd, (struct sockaddr *)&address, 110));
	fault_in("unlink", EACCES);
	cr_expect_eq(port_vhost_open(&env, pool, &port), -EACCES);
	cr_expect(fault_end());
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	cr_expect_lt(lstat(path, &status), 0);
	port->ops->close(port);
	close(fd);
	/* A file is left alone; librte_vhost finds it in its way. */
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	notice_result = -EIO;
	warnings = 0;
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	cr_expect_eq(warnings, 1u, "it may answer late");
	cr_expect_not(lstat(path, &status));
	close(fd);
	unregister_result = -1;
	port->ops->close(port);
	cr_expect_eq(warnings, 2u);
	port = NULL;
}

static unsigned frames_make(struct rte_mbuf **frames, unsigned count, uint16_t length)
{
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, frames, count), 0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_not_null(rte_pktmbuf_append(frames[i], length));
	return count;
}

Test(vhost_port, without_a_guest_nothing_is_taken)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct port_positions positions;

	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, 60)), 0u);
	rte_pktmbuf_free_bulk(frames, 2);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	port->ops->disarm(port);
	port->ops->save(port, &positions);
	cr_expect_eq(port->ops->restore(port, &positions), 0);
}

Test(vhost_port, a_guest_is_called_watched_and_let_go)
{
	uint64_t count;

	cr_assert_eq(callbacks->new_device(VID), 0);
	cr_expect_eq(calls, 2u, "T08: whatever a predecessor left unsaid");
	cr_expect_eq(infos, 1u);
	cr_expect_eq(watched, 1, "kicks are watched before the next sleep");
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	cr_expect_eq(watched, 3);
	cr_expect_eq(guest_notifications, 1u << VHOST_QUEUE_TRANSMIT);
	cr_expect_eq(port->ops->arm(port, false, true), 0);
	cr_expect_eq(guest_notifications, 1u << VHOST_QUEUE_RECEIVE);
	port->ops->disarm(port);
	cr_expect_eq(guest_notifications, 0u);
	/* A kick is read empty, and so is what else is watched. */
	for (int fd = 3; fd < 64; fd++)
		port->ops->interrupt(port, fd);
	callbacks->guest_notified(VID);
	port->ops->interrupt(port, -2);
	cr_expect_eq(port->counters.doorbells, 1u);
	/* The guest replaces its kicks; of queues there are two. */
	close(kickfd);
	kickfd = eventfd(1, EFD_NONBLOCK);
	cr_expect_eq(callbacks->vring_state_changed(VID, VHOST_QUEUE_TRANSMIT, 1), 0);
	cr_expect_eq(callbacks->vring_state_changed(VID, VHOST_QUEUE_TRANSMIT, 0), 0);
	cr_expect_eq(callbacks->vring_state_changed(VID, VHOST_QUEUES, 1), 0);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	for (int fd = 3; fd < 64; fd++)
		port->ops->interrupt(port, fd);
	cr_expect_lt(read(kickfd, &count, sizeof(count)), 0, "the kick was read by its duplicate");
	callbacks->destroy_device(VID);
	cr_expect_eq(infos, 2u);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
}

Test(vhost_port, a_guest_without_kicks_is_polled)
{
	vring_result = -1;
	cr_assert_eq(callbacks->new_device(VID), 0);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
	vring_result = 0;
	close(kickfd);
	kickfd = -1;
	callbacks->vring_state_changed(VID, VHOST_QUEUE_RECEIVE, 1);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
	callbacks->destroy_device(VID);
}

Test(vhost_port, kicks_that_cannot_be_watched_shut_the_port)
{
	cr_assert_eq(callbacks->new_device(VID), 0);
	watch_error = -ENOSPC;
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect(port->shut);
	cr_expect_eq(errors, 1u);
	watch_error = 0;
	callbacks->destroy_device(VID);
	port->ops->arm(port, true, true);
	watched = 1; /* what could not be watched was let go all the same */
}

Test(vhost_port, frames_of_a_wrong_length_are_dropped_both_ways)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	cr_assert_eq(callbacks->new_device(VID), 0);
	frames_make(from_guest, 4, 60);
	rte_pktmbuf_append(from_guest[1], FRAME_MAX);
	frames_make(from_guest + 4, 1, NET_FRAME_MIN - 1);
	struct rte_mbuf *second = NULL; /* librte_vhost was told to give one segment */

	frames_make(&second, 1, 60);
	cr_assert_not(rte_pktmbuf_chain(from_guest[2], second));
	from_guest_count = 5;
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 2);
	cr_expect_eq(port->counters.tx_dropped, 3u);
	cr_expect_eq(port->counters.tx_frames, 2u);
	cr_expect_eq(port->counters.tx_bytes, 120u);
	rte_pktmbuf_free_bulk(frames, 2);

	room = 3;
	frames_make(frames, 2, FRAME_MAX + 1);
	frames_make(frames + 2, 4, 60);
	cr_expect_eq(port->ops->give(port, frames, 6), 5u, "two dropped, three given");
	rte_pktmbuf_free(frames[5]);
	cr_expect_eq(port->counters.rx_dropped, 2u);
	cr_expect_eq(port->counters.rx_frames, 3u);
	cr_expect_eq(port->counters.rx_bytes, 180u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, FRAME_MAX + 1)), 2u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, 60)), 0u, "no room");
	rte_pktmbuf_free_bulk(frames, 2);
	callbacks->destroy_device(VID);
}

/* T09: nothing is unmapped under a burst. The burst ends while the library waits. */
static struct vhost_session *in_burst;

int __real_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
	if (!in_burst)
		return __real_nanosleep(pause, left);
	vhost_session_leave(in_burst);
	in_burst = NULL;
	return 0;
}

Test(vhost_open, T09_a_guest_leaves_when_the_burst_is_over)
{
	struct vhost_session *session;

	cr_assert_eq(vhost_session_open(&env, path, &session), 0);
	cr_assert_eq(callbacks->new_device(VID), 0);
	cr_assert_eq(vhost_session_enter(session), VID);
	in_burst = session;
	callbacks->destroy_device(VID);
	cr_expect_null(in_burst, "it waited");
	cr_expect_lt(vhost_session_enter(session), 0);
	vhost_session_close(session);
}
