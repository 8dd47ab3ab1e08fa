/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user port of the ethdev driver (port_vhost.c, vhost_session.c) on a
 * librte_vhost that these tests play (vhost_support.h): its socket, guests that come and
 * go, their kicks and calls. Frames are vhost_frames.c's, successors vhost_successor.c's.
 * One thread; what two of them do to each other is e2e's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fault.h"
#include "vhost_support.h"

TestSuite(vhost_port, .init = vhost_open_all, .fini = vhost_close_all, .timeout = 60);
TestSuite(vhost_open, .init = vhost_begin, .fini = vhost_close_all, .timeout = 60);

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
		runtime.errors = 0;
		cr_expect_lt(port_vhost_open(&env, pool, &port), 0);
		cr_expect_eq(runtime.errors, 1u);
		cr_expect_eq(runtime.watched, 0);
	}
	played.failing = NULL;
	runtime.watch_error = -ENOSPC;
	cr_expect_eq(port_vhost_open(&env, pool, &port), -ENOSPC);
	runtime.watch_error = runtime.watched = 0;
	port = NULL;
	cr_expect_eq(dup(0), first_free, "no descriptor is left");
	close(first_free);
}

Test(vhost_open, a_socket_in_the_way_is_removed_and_nothing_else)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat status;

	strcpy((char *)&address + sizeof(sa_family_t), played.path);
	cr_assert_not(bind(fd, (struct sockaddr *)&address, 110));
	fault_in("unlink", EACCES);
	cr_expect_eq(port_vhost_open(&env, pool, &port), -EACCES);
	cr_expect(fault_end());
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	cr_expect_lt(lstat(played.path, &status), 0);
	port->ops->close(port);
	close(fd);
	/* A file is left alone; librte_vhost finds it in its way. */
	fd = open(played.path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	played.notice_result = -EIO;
	runtime.warnings = 0;
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	cr_expect_eq(runtime.warnings, 1u, "it may answer late");
	cr_expect_not(lstat(played.path, &status));
	close(fd);
	played.unregister_result = -1;
	port->ops->close(port);
	cr_expect_eq(runtime.warnings, 2u);
	port = NULL;
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

static bool kicks_wanted(enum vhost_queue queue)
{
	return !(played.guest[queue].used->flags & VRING_USED_F_NO_NOTIFY);
}

Test(vhost_port, a_guest_is_called_watched_and_let_go)
{
	guest_comes();
	cr_expect_eq(port_bell_rings(played.callfd[0]), 1u,
		     "T08: whatever a predecessor left unsaid");
	cr_expect_eq(port_bell_rings(played.callfd[1]), 1u);
	cr_expect_eq(port->counters.doorbells, 2u);
	cr_expect_eq(runtime.infos, 1u);
	cr_expect_eq(runtime.watched, 1, "kicks are watched before the next sleep");
	cr_expect_eq(port->ops->arm(port, true, false), 0);
	cr_expect_eq(runtime.watched, 3);
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
	cr_expect_eq(port_bell_rings(played.kickfd), 0u, "the kick was read by its duplicate");
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(runtime.infos, 2u);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(runtime.watched, 1);
}

Test(vhost_port, a_guest_without_kicks_is_polled)
{
	played.vring_result = -1;
	guest_comes();
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(runtime.watched, 1);
	played.vring_result = 0;
	close(played.kickfd);
	played.kickfd = -1;
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_RECEIVE, 1);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_eq(runtime.watched, 1);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_port, kicks_that_cannot_be_watched_shut_the_port)
{
	guest_comes();
	runtime.watch_error = -ENOSPC;
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect(port->shut);
	cr_expect_eq(runtime.errors, 1u);
	runtime.watch_error = 0;
	played.callbacks->destroy_device(PLAYED_VID);
	port->ops->arm(port, true, true);
	runtime.watched = 1; /* what could not be watched was let go all the same */
}

Test(vhost_port, T08_who_could_not_ask_for_kicks_is_woken)
{
	guest_comes();
	port_bell_rings(runtime.wake_fd);
	/* It goes to sleep while a message is looked at: the guest is not asked for kicks. */
	played.message_ops->pre_msg_handle(PLAYED_VID, NULL);
	cr_expect_eq(port->ops->arm(port, true, true), 0);
	cr_expect_not(kicks_wanted(VHOST_QUEUE_TRANSMIT));
	cr_expect_eq(port_bell_rings(runtime.wake_fd), 0u);
	played.message_ops->post_msg_handle(PLAYED_VID, NULL);
	cr_expect_neq(port_bell_rings(runtime.wake_fd), 0u);
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

	cr_assert_eq(vhost_session_open(&env, played.path, &ops, NULL, &session), 0);
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
