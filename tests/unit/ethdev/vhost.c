/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user port of the ethdev driver (port_vhost.c, vhost_session.c) on a
 * librte_vhost that these tests play (played_vhost.h), and on a guest's rings (guest.h).
 * One thread; what two of them do to each other is e2e's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fault.h"
#include "clock.h"
#include "played_vhost.h"

#define MTU 1500
#define FRAME_MAX (MTU + 18)

static char path[] = "/tmp/otr-vhost-XXXXXX";
static struct adj_env env;
static struct port *port;
static struct rte_mempool *pool;
static unsigned errors, warnings, infos, protocol_breaks;
static int watch_error, watched; /* descriptors, now */
static int wake_fd = -1;

/* ---- The runtime ----------------------------------------------------------- */

static void count_log(const struct adj_env *e, enum adj_log_level level, const char *format, ...)
{
	(void)e;
	(void)format;
	errors += level == ADJ_LOG_ERROR;
	warnings += level == ADJ_LOG_WARNING;
	infos += level == ADJ_LOG_INFO;
}

static void count_event(const struct adj_env *e, enum adj_event event)
{
	(void)e;
	protocol_breaks += event == ADJ_EVENT_PARTITION_PROTOCOL;
}

static int watch(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	fault_hold(true);
	cr_assert_geq(fcntl(fd, F_GETFD), 0, "a descriptor that is closed");
	fault_hold(false);
	if (readable && watch_error)
		return watch_error;
	if (wake_fd < 0)
		wake_fd = fd; /* the session's own is the first */
	watched += readable || writable ? 1 : -1;
	return 0;
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
	close(played.kickfd);
	close(played.callfd[0]);
	close(played.callfd[1]);
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
		played.failing = calls_that_fail[i];
		errors = 0;
		cr_expect_lt(port_vhost_open(&env, pool, &port), 0);
		cr_expect_eq(errors, 1u);
		cr_expect_eq(watched, 0);
	}
	played.failing = NULL;
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
	played.notice_result = -EIO;
	warnings = 0;
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	cr_expect_eq(warnings, 1u, "it may answer late");
	cr_expect_not(lstat(path, &status));
	close(fd);
	played.unregister_result = -1;
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

static unsigned rings_of(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (unsigned)count : 0;
}

static void guest_comes(void)
{
	cr_assert_eq(played.callbacks->new_connection(PLAYED_VID), 0);
	cr_assert_eq(played.callbacks->new_device(PLAYED_VID), 0);
}

static bool kicks_wanted(enum vhost_queue queue)
{
	return !(played.guest[queue].used->flags & VRING_USED_F_NO_NOTIFY);
}

Test(vhost_port, a_guest_is_called_watched_and_let_go)
{
	guest_comes();
	cr_expect_eq(rings_of(played.callfd[0]), 1u, "T08: whatever a predecessor left unsaid");
	cr_expect_eq(rings_of(played.callfd[1]), 1u);
	cr_expect_eq(port->counters.doorbells, 2u);
	cr_expect_eq(infos, 1u);
	cr_expect_eq(watched, 1, "kicks are watched before the next sleep");
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	cr_expect_eq(watched, 3);
	cr_expect(kicks_wanted(VHOST_QUEUE_TRANSMIT) && !kicks_wanted(VHOST_QUEUE_RECEIVE));
	cr_expect_eq(port->ops->arm(port, false, true), 0);
	cr_expect(!kicks_wanted(VHOST_QUEUE_TRANSMIT) && kicks_wanted(VHOST_QUEUE_RECEIVE));
	port->ops->disarm(port);
	cr_expect(!kicks_wanted(VHOST_QUEUE_TRANSMIT) && !kicks_wanted(VHOST_QUEUE_RECEIVE));
	/* A kick is read empty, and so is what else is watched. */
	for (int fd = 3; fd < 64; fd++)
		port->ops->interrupt(port, fd);
	port->ops->interrupt(port, -2);
	/* The guest replaces its kicks; of queues there are two. */
	close(played.kickfd);
	played.kickfd = eventfd(1, EFD_NONBLOCK);
	cr_expect_eq(played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1), 0);
	cr_expect_eq(played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUES, 1), 0);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	for (int fd = 3; fd < 64; fd++)
		port->ops->interrupt(port, fd);
	cr_expect_eq(rings_of(played.kickfd), 0u, "the kick was read by its duplicate");
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(infos, 2u);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
}

Test(vhost_port, a_guest_without_kicks_is_polled)
{
	played.vring_result = -1;
	guest_comes();
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
	played.vring_result = 0;
	close(played.kickfd);
	played.kickfd = -1;
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_RECEIVE, 1);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(watched, 1);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, kicks_that_cannot_be_watched_shut_the_port)
{
	guest_comes();
	watch_error = -ENOSPC;
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect(port->shut);
	cr_expect_eq(errors, 1u);
	watch_error = 0;
	played.callbacks->destroy_device(PLAYED_VID);
	port->ops->arm(port, true, true);
	watched = 1; /* what could not be watched was let go all the same */
}

static void expect_served(bool served, const char *what)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	uint16_t before = transmit->used->idx;

	guest_send(transmit, 0, 60, 1);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), served, "%s", what);
	if (served) {
		cr_assert_eq(port->ops->passing(port, 1), 1);
		port->device_taken++;
		port->ops->passed(port, 1);
		rte_pktmbuf_free(frames[0]);
	}
	cr_expect_eq(transmit->used->idx, (uint16_t)(before + served), "%s", what);
	if (!served)
		transmit->avail->idx--;
}

Test(vhost_port, rings_that_cannot_be_are_not_served)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT], well = *transmit;
	static const char *const calls_that_fail[] = {"get_mem_table", "get_negotiated_features"};

	guest_comes();
	expect_served(true, "well");
	for (unsigned i = 0; i < 2; i++) {
		played.failing = calls_that_fail[i];
		played_message();
		expect_served(false, played.failing);
	}
	played.failing = NULL;
	played.ring_entries = 0;
	played_message();
	expect_served(false, "no entries");
	played.ring_entries = GUEST_RING - 1;
	played_message();
	expect_served(false, "not a power of two");
	played.ring_entries = GUEST_RING;
	for (unsigned i = 0; i < 6; i++) {
		void *const wrong[] = {NULL, NULL, NULL, (char *)well.desc + 8,
				       (char *)well.avail + 1, (char *)well.used + 2};

		transmit->desc = i % 3 == 0 ? wrong[i] : well.desc;
		transmit->avail = i % 3 == 1 ? wrong[i] : well.avail;
		transmit->used = i % 3 == 2 ? wrong[i] : well.used;
		played_message();
		*transmit = well;
		expect_served(false, "a place that is none");
	}
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 0);
	expect_served(false, "not enabled");
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1);
	played_message();
	expect_served(true, "well again");
	played.callbacks->destroy_device(PLAYED_VID);
	played_message();
	expect_served(false, "nobody is here");
	played.failing = "get_vring_base";
	guest_comes();
	played.failing = NULL;
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, impossible_words_end_the_service_until_the_rings_begin_anew)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	struct rte_mbuf *frames[BURST_FRAMES];

	guest_comes();
	transmit->avail->idx = 5000;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect_eq(protocol_breaks, 1u);
	transmit->avail->idx = 0;
	expect_served(false, "broken");
	played.callbacks->destroy_device(PLAYED_VID);
	guest_comes();
	guest_offer(transmit, GUEST_RING);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 0);
	cr_expect_eq(protocol_breaks, 2u);
	played.callbacks->destroy_device(PLAYED_VID);
	transmit->avail->idx = 0;
	guest_comes();
	expect_served(true, "another one");
	played.guest[VHOST_QUEUE_RECEIVE].avail->idx = 5000;
	frames_make(frames, 1, 60);
	cr_expect_eq(port->ops->give(port, frames, 1), 0u);
	cr_expect_eq(protocol_breaks, 3u);
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, frames_of_a_wrong_length_are_dropped_both_ways)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];
	struct vhost_ring *receive = &played.guest[VHOST_QUEUE_RECEIVE];
	struct rte_mbuf *frames[BURST_FRAMES], *second;

	guest_comes();
	guest_send(transmit, 0, FRAME_MAX + 1, 1);
	guest_send(transmit, 1, 60, 2);
	guest_send(transmit, 2, 61, 3);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 2);
	cr_expect_eq(transmit->used->idx, 1u, "the wrong one is done with");
	cr_expect_eq(port->counters.tx_dropped, 1u);
	cr_expect_eq(port->counters.tx_frames, 2u);
	cr_expect_eq(port->counters.tx_bytes, 121u);
	cr_expect_eq(*rte_pktmbuf_mtod(frames[1], uint8_t *), 3);
	rte_pktmbuf_free_bulk(frames, 2);

	for (unsigned slot = 0; slot < 4; slot++)
		guest_room(receive, slot, slot == 1 ? 20 : 2048);
	frames_make(frames, 2, FRAME_MAX + 1);
	frames_make(frames + 2, 6, 60);
	frames_make(&second, 1, 60);
	cr_assert_not(rte_pktmbuf_chain(frames[3], second));
	cr_expect_eq(port->ops->give(port, frames, 8), 6u, "two dropped, one refused, three given");
	rte_pktmbuf_free_bulk(frames + 6, 2);
	cr_expect_eq(port->counters.rx_dropped, 3u);
	cr_expect_eq(port->counters.rx_frames, 3u);
	cr_expect_eq(port->counters.rx_bytes, 180u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, FRAME_MAX + 1)), 2u);
	cr_expect_eq(port->ops->give(port, frames, frames_make(frames, 2, 60)), 0u, "no room");
	rte_pktmbuf_free_bulk(frames, 2);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, a_frame_that_cannot_be_one_piece_is_dropped_alone)
{
	struct rte_mbuf *frames[BURST_FRAMES], *rest;

	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_room(&played.guest[VHOST_QUEUE_RECEIVE], slot, 2048);
	frames_make(frames, 3, 60);
	/* Its first piece lies at the end of its buffer. */
	cr_assert_not_null(rte_pktmbuf_append(frames[1], 1900));
	cr_assert_not_null(rte_pktmbuf_adj(frames[1], 1900));
	frames_make(&rest, 1, 500);
	cr_assert_not(rte_pktmbuf_chain(frames[1], rest));
	cr_expect_eq(port->ops->give(port, frames, 3), 1u, "those before it");
	cr_expect_eq(port->ops->give(port, frames + 1, 2), 2u, "one dropped, one given");
	cr_expect_eq(port->counters.rx_dropped, 1u);
	cr_expect_eq(port->counters.rx_frames, 2u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, a_driver_of_before_version_1_has_a_shorter_header)
{
	struct rte_mbuf *frames[BURST_FRAMES];

	played.features = 0;
	guest_comes();
	guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], 0, 60, 7);
	cr_assert_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	cr_expect_eq(frames[0]->pkt_len, 62u, "what follows its ten octets is the frame");
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, T02_more_memory_than_there_can_be_is_left_out)
{
	played.more_regions = VHOST_REGIONS_MAX;
	guest_comes();
	expect_served(true, "what was there first is reached");
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, without_mbufs_nothing_is_taken)
{
	struct rte_mbuf *all[511], *frames[BURST_FRAMES];
	unsigned count = 0;

	guest_comes();
	guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], 0, 60, 1);
	while (!rte_mempool_get(pool, (void **)&all[count]))
		count++;
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), -ENOBUFS);
	rte_mempool_put_bulk(pool, (void **)all, count);
	cr_expect_eq(port->ops->take(port, frames, BURST_FRAMES), 1);
	rte_pktmbuf_free(frames[0]);
	played.callbacks->destroy_device(PLAYED_VID);
}

/* ---- T07: who goes on where -------------------------------------------------------- */

/* The port's process has died: another begins, with what the device has counted. */
static void successor(uint32_t device_taken, bool counts)
{
	uint16_t used = played.guest[VHOST_QUEUE_TRANSMIT].used->idx;
	struct adj_inflight kept = *played_record();

	played.callbacks->destroy_device(PLAYED_VID); /* which a death leaves out */
	*played_record() = kept;
	played.base[VHOST_QUEUE_TRANSMIT] = used;
	port->ops->close(port);
	env.device_taken = device_taken;
	env.device_counts = counts;
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	guest_comes();
}

static unsigned take_and_drop(void)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	int taken = port->ops->take(port, frames, BURST_FRAMES);

	cr_assert_geq(taken, 0);
	if (taken)
		rte_pktmbuf_free_bulk(frames, (unsigned)taken);
	return (unsigned)taken;
}

Test(vhost_port, T07_a_successor_goes_on_at_the_next_frame)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	port->device_taken = UINT32_MAX - 1; /* round its end */
	guest_comes();
	for (unsigned slot = 0; slot < 6; slot++)
		guest_send(transmit, slot, 60, 1);
	cr_assert_eq(take_and_drop(), 6u);
	cr_assert_eq(port->ops->passing(port, 6), 1);
	port->device_taken += 2;
	port->ops->passed(port, 2);
	cr_expect_eq(transmit->used->idx, 2u);
	/* Three more were passed, and that was not recorded. */
	successor(3, true);
	cr_expect_eq(transmit->used->idx, 5u);
	cr_expect_eq(transmit->used->ring[4].id, 4u);
	cr_expect_eq(take_and_drop(), 1u);
	/* It recorded the last one, and died before it used the entry. */
	atomic_store(&played_record()->transmit, 6ull << 32 | 4);
	successor(4, true);
	cr_expect_eq(transmit->used->idx, 6u);
	cr_expect_eq(take_and_drop(), 0u);
	/* A device that does not count: at the record. */
	guest_send(transmit, 6, 60, 1);
	successor(0, false);
	cr_expect_eq(take_and_drop(), 1u);
	cr_expect_eq(transmit->used->idx, 6u);
	/* What was being passed may have been sent: it is not passed again. */
	cr_assert_eq(port->ops->passing(port, 1), 1);
	struct adj_inflight dying = *played_record();

	port->ops->passed(port, 0);
	cr_expect_eq(atomic_load(&played_record()->transmit) >> 32, 6u, "it had no room");
	*played_record() = dying;
	successor(0, false);
	cr_expect_eq(transmit->used->idx, 7u);
	cr_expect_eq(take_and_drop(), 0u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, T07_a_record_of_another_ring_is_not_believed)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_send(transmit, slot, 60, 1);
	/* Far ahead; far behind; more passed than a burst; more than there were. */
	static const struct {
		uint32_t position, taken, device;
	} rows[] = {{33, 0, 0}, {65535, 0, 0}, {0, 0, 33}, {0, 5, 4}, {0, 0, 5}, {5, 0, 0}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		atomic_store(&played_record()->version, ADJ_INFLIGHT_VERSION);
		atomic_store(&played_record()->transmit,
			     (uint64_t)rows[i].position << 32 | rows[i].taken);
		transmit->used->idx = 0;
		successor(rows[i].device, true);
		cr_expect_eq(transmit->used->idx, 0u, "row %u", i);
		cr_expect_eq(take_and_drop(), 4u, "row %u", i);
		cr_expect_eq(atomic_load(&played_record()->transmit), rows[i].device, "row %u", i);
	}
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(atomic_load(&played_record()->version), 0u, "an orderly end needs none");
}

Test(vhost_port, T07_a_record_waits_for_its_ring)
{
	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], slot, 60, 1);
	played.vring_result = -1;
	successor(0, true);
	cr_expect_eq(take_and_drop(), 0u);
	played.vring_result = 0;
	cr_assert_eq(played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1), 0);
	cr_expect_eq(take_and_drop(), 4u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, T07_what_was_taken_of_a_ring_that_stopped_is_the_guests_again)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	played.has_inflight = false; /* nobody keeps one */
	guest_comes();
	guest_send(transmit, 0, 60, 1);
	guest_send(transmit, 1, 60, 1);
	cr_assert_eq(take_and_drop(), 2u);
	/* While a message is looked at, not now; and the device may have no room. */
	played.message_ops->pre_msg_handle(PLAYED_VID, NULL);
	cr_expect_eq(port->ops->passing(port, 2), 0);
	played.message_ops->post_msg_handle(PLAYED_VID, NULL);
	cr_assert_eq(port->ops->passing(port, 2), 1);
	port->ops->passed(port, 0);
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 0);
	cr_expect_eq(port->ops->passing(port, 2), 0, "it may be enabled again");
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1);
	cr_assert_eq(port->ops->passing(port, 2), 1);
	port->device_taken++;
	port->ops->passed(port, 1);
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(played.base[VHOST_QUEUE_TRANSMIT], 1u, "the guest is told");
	cr_expect_eq(port->ops->passing(port, 2), -ECANCELED);
	guest_comes();
	cr_expect_eq(port->ops->passing(port, 2), -ECANCELED, "these are other rings");
	cr_expect_eq(take_and_drop(), 1u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, T08_who_could_not_ask_for_kicks_is_woken)
{
	guest_comes();
	rings_of(wake_fd);
	/* It goes to sleep while a message is looked at: the guest is not asked for kicks. */
	played.message_ops->pre_msg_handle(PLAYED_VID, NULL);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_not(kicks_wanted(VHOST_QUEUE_TRANSMIT));
	cr_expect_eq(rings_of(wake_fd), 0u);
	played.message_ops->post_msg_handle(PLAYED_VID, NULL);
	cr_expect_neq(rings_of(wake_fd), 0u);
	played.callbacks->destroy_device(PLAYED_VID);
}

/* T09: nothing is unmapped under a burst. The burst ends while the library waits. */
static struct vhost_session *in_burst;
static uint64_t port_calls;

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

static void rings_change(void *data, struct vhost_rings *rings)
{
	(void)data;
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		rings->ring[queue].calls = &port_calls;
}

Test(vhost_open, T09_a_guest_leaves_when_the_burst_is_over)
{
	static const struct vhost_session_ops ops = {rings_change, rings_change};
	struct vhost_session *session;

	cr_assert_eq(vhost_session_open(&env, path, &ops, NULL, &session), 0);
	guest_comes();
	cr_assert_not_null(vhost_session_enter(session));
	in_burst = session;
	/* Nor does memory move. */
	played.message_ops->pre_msg_handle(PLAYED_VID, NULL);
	cr_expect_null(in_burst, "it waited");
	cr_expect_null(vhost_session_enter(session));
	cr_expect_not(vhost_session_over(session));
	played.message_ops->post_msg_handle(PLAYED_VID, NULL);
	cr_assert_not_null(vhost_session_enter(session));
	in_burst = session;
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_null(in_burst, "it waited");
	cr_expect_null(vhost_session_enter(session));
	cr_expect(vhost_session_over(session));
	vhost_session_close(session);
}
