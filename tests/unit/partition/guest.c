/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liboutrigger's guests: one wait for many devices, and what the library refuses to map
 * or to believe. The T numbers are those of the project's list of threats: T04 surplus
 * descriptors, T05 a storage whose size a peer can change, T06 a claimed size that is
 * not so.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fake_shim.h"

#define ENTRIES 8
#define QUEUES 4

static struct fake_shim shim;
static struct otr *otr;
static struct otr_net *net;
static struct otr_guest *guest;
static int user;

static void start(void)
{
	fake_start(&shim, ENTRIES);
	fake_guest_start(&shim, QUEUES);
}

static void stop(void)
{
	otr_guest_close(guest);
	guest = NULL;
	fake_guest_stop(&shim);
	fake_stop(&shim);
}

/* net0 in a guest that never polls. */
static void start_with_net(void)
{
	start();
	net = fake_open(&shim, &otr);
	cr_assert_eq(otr_guest_open(otr, QUEUES, &guest), 0, "%s", otr_last_error());
	cr_assert_eq(otr_guest_add(guest, net, OTR_RX, &user), 0, "%s", otr_last_error());
	otr_guest_set_polling(guest, 0);
}

static void stop_with_net(void)
{
	otr_guest_close(guest);
	guest = NULL;
	otr_net_close(net);
	otr_detach(otr);
	stop();
}

TestSuite(guest_open, .init = start, .fini = stop);
TestSuite(guest, .init = start_with_net, .fini = stop_with_net);

static void expect_refused(int expected, const char *words)
{
	cr_assert_eq(otr_attach(shim.path, &otr), 0);
	cr_expect_eq(otr_guest_open(otr, QUEUES, &guest), expected, "%s", otr_last_error());
	cr_expect_null(guest);
	cr_expect(strstr(otr_last_error(), words), "said '%s'", otr_last_error());
	otr_detach(otr);
}

static void use_storage(size_t size_bytes, int seals)
{
	close(shim.guest.fds[0]);
	shim.guest.fds[0] = fake_window(size_bytes, seals);
}

Test(guest_open, T04_descriptors_too_many)
{
	shim.guest.fd_count = 4;
	expect_refused(-EPROTO, "impossible guest");
}

Test(guest_open, T04_descriptors_too_few)
{
	shim.guest.fd_count = 2;
	expect_refused(-EPROTO, "impossible guest");
}

Test(guest_open, T05_storage_that_can_shrink)
{
	use_storage(shim.guest.layout.size_bytes, F_SEAL_GROW | F_SEAL_SEAL);
	expect_refused(-EPROTO, "sealed");
}

Test(guest_open, T06_storage_shorter_than_it_says)
{
	use_storage(4096, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	shim.guest.queues = 1024;
	expect_refused(-EPROTO, "of its size");
}

Test(guest_open, T06_no_memfd)
{
	close(shim.guest.fds[0]);
	shim.guest.fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect_refused(-EPROTO, "sealed");
}

Test(guest_open, geometry_that_cannot_be)
{
	static const struct {
		int version, queues, entries;
	} answers[] = {
		{GUEST_LAYOUT_VERSION + 1, QUEUES, 16}, {GUEST_LAYOUT_VERSION, QUEUES - 1, 16},
		{GUEST_LAYOUT_VERSION, 1025, 16},       {GUEST_LAYOUT_VERSION, -1, 16},
		{GUEST_LAYOUT_VERSION, QUEUES, 15},     {GUEST_LAYOUT_VERSION, QUEUES, 2},
		{GUEST_LAYOUT_VERSION, QUEUES, 8192},   {GUEST_LAYOUT_VERSION, QUEUES, -16},
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		shim.guest.layout_version = answers[i].version;
		shim.guest.queues = answers[i].queues;
		shim.guest.entries = answers[i].entries;
		expect_refused(-EPROTO, "impossible guest");
	}
}

Test(guest_open, sizes_that_are_none)
{
	cr_assert_eq(otr_attach(shim.path, &otr), 0);
	cr_expect_eq(otr_guest_open(otr, 0, &guest), -EINVAL);
	cr_expect_eq(otr_guest_open(otr, 1025, &guest), -EINVAL);
	otr_detach(otr);
}

Test(guest_open, queues_that_cannot_be)
{
	net = fake_open(&shim, &otr);
	cr_assert_eq(otr_guest_open(otr, QUEUES, &guest), 0, "%s", otr_last_error());
	shim.guest.queue = QUEUES;
	cr_expect_eq(otr_guest_add(guest, net, OTR_RX, NULL), -EPROTO);
	shim.guest.queue = -1;
	cr_expect_eq(otr_guest_add(guest, net, OTR_RX, NULL), -EPROTO);
	cr_expect_eq(otr_guest_add(guest, net, 0, NULL), -EINVAL);
	cr_expect_eq(otr_guest_add(guest, net, OTR_EVENT, NULL), -EINVAL);
	cr_expect_eq(otr_guest_remove(guest, net), -ENOENT);
	otr_net_close(net);
	otr_detach(otr);
}

/* ---- Waiting ------------------------------------------------------------- */

static int wait_ms(struct otr_guest_event *events, unsigned ms)
{
	return otr_guest_wait(guest, events, 4, otr_deadline_ms(ms));
}

/* The adjunct has delivered a frame: an event, if the guest waits for it. */
static void deliver(void)
{
	fake_deliver(&shim, 60, 1);
	if (eq_ring_must_wake_consumer(&shim.rx))
		fake_forward(&shim, GUEST_SLOT_RECEIVE, EQ_COMPLETION);
}

static void receive_one(void)
{
	struct otr_frame frame;

	cr_assert_eq(otr_net_receive(net, &frame, 1), 1);
	cr_assert_eq(otr_net_release(net, 1), 0);
}

Test(guest, nothing_comes_and_the_deadline_passes)
{
	struct otr_guest_event events[4];

	cr_expect_eq(wait_ms(events, 20), 0);
	cr_expect_eq(otr_guest_wait(guest, events, 4, 0), 0, "a deadline that has passed");
}

Test(guest, a_frame_is_reported_until_it_is_received)
{
	struct otr_guest_event events[4];

	cr_assert_eq(wait_ms(events, 0), 0);
	deliver();
	for (unsigned times = 0; times < 3; times++) {
		cr_assert_eq(wait_ms(events, PATIENCE_MS), 1);
		cr_expect_eq(events[0].what, OTR_RX);
		cr_expect_eq(events[0].net, net);
		cr_expect_eq(events[0].user, &user);
		cr_expect_str_eq(events[0].event, "");
	}
	receive_one();
	cr_expect_eq(wait_ms(events, 0), 0);
	deliver();
	cr_expect_eq(wait_ms(events, PATIENCE_MS), 1, "armed again");
}

static void *deliver_later(void *data)
{
	const struct timespec pause = {.tv_nsec = 50000000};

	(void)data;
	nanosleep(&pause, NULL);
	deliver();
	return NULL;
}

Test(guest, sleeps_until_it_is_rung)
{
	struct otr_guest_event events[4];
	struct otr_guest_stats stats;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, deliver_later, NULL), 0);
	cr_expect_eq(wait_ms(events, PATIENCE_MS), 1);
	pthread_join(thread, NULL);
	otr_guest_stats(guest, &stats);
	cr_expect_geq(stats.sleeps, 1);
	cr_expect_eq(stats.events, 1);
}

Test(guest, polls_without_sleeping_or_being_rung)
{
	struct otr_guest_event events[4];
	struct otr_guest_stats stats;

	otr_guest_set_polling(guest, OTR_FOREVER);
	for (unsigned times = 0; times < 100; times++) {
		cr_assert_eq(wait_ms(events, 0), 0);
		fake_deliver(&shim, 60, 1);
		cr_expect(eq_ring_must_wake_consumer(&shim.rx), "it waits for an event");
		cr_expect_not(fake_forward(&shim, GUEST_SLOT_RECEIVE, EQ_COMPLETION),
			      "who polls is not rung");
		cr_assert_eq(wait_ms(events, PATIENCE_MS), 1);
		receive_one();
	}
	otr_guest_stats(guest, &stats);
	cr_expect_eq(stats.sleeps, 0);
	cr_expect_eq(stats.wakes, 0);
	cr_expect_eq(stats.events, 100);
}

Test(guest, events_of_the_device_come_by_name)
{
	struct otr_guest_event events[4];

	cr_assert_eq(wait_ms(events, 0), 0);
	fake_forward(&shim, GUEST_SLOT_SELF, EQ_LINK_DOWN);
	fake_forward(&shim, GUEST_SLOT_SELF, EQ_DEVICE_RESET);
	cr_assert_eq(wait_ms(events, PATIENCE_MS), 2);
	cr_expect_eq(events[0].what, OTR_EVENT);
	cr_expect_str_eq(events[0].event, "link-down");
	cr_expect_str_eq(events[1].event, "device-reset");
	cr_expect_eq(wait_ms(events, 0), 0);
	/* One that a later shim knows, and what a full queue says of itself. */
	fake_forward(&shim, GUEST_SLOT_SELF, (enum eq_event)30);
	fake_forward(&shim, GUEST_SLOT_SELF, EQ_EQ_OVERRUN);
	cr_assert_eq(wait_ms(events, PATIENCE_MS), 1);
	cr_expect_str_eq(events[0].event, "unknown");
}

Test(guest, a_loop_of_ones_own)
{
	struct otr_guest_event events[4];

	cr_expect_eq(otr_guest_arm(guest), 1, "the net has not been looked at");
	cr_assert_eq(wait_ms(events, 0), 0);
	cr_expect_eq(otr_guest_arm(guest), 0);
	fake_deliver(&shim, 60, 1);
	cr_assert(eq_ring_must_wake_consumer(&shim.rx));
	cr_expect(fake_forward(&shim, GUEST_SLOT_RECEIVE, EQ_COMPLETION), "it is asleep");
	cr_expect_eq(otr_guest_arm(guest), 1, "something is there");
	cr_expect_eq(wait_ms(events, 0), 1);
}

Test(guest, removed_nets_are_not_reported)
{
	struct otr_guest_event events[4];

	cr_assert_eq(wait_ms(events, 0), 0);
	cr_expect_eq(otr_guest_remove(guest, net), 0);
	fake_forward(&shim, GUEST_SLOT_RECEIVE, EQ_COMPLETION);
	cr_expect_eq(wait_ms(events, 20), 0);
	cr_expect_eq(otr_guest_remove(guest, net), -ENOENT);
}

Test(guest, a_shim_that_is_gone_and_back)
{
	struct otr_guest_event events[4];
	struct otr_guest_stats stats;

	cr_assert_eq(wait_ms(events, 0), 0);
	fake_command(&shim, 'x');
	fake_deliver(&shim, 60, 1); /* and nobody who could forward */
	cr_expect_eq(wait_ms(events, PATIENCE_MS), 1, "found by looking");
	receive_one();
	fake_command(&shim, 'b');
	uint64_t deadline_ns = otr_deadline_ms(PATIENCE_MS);
	do {
		cr_assert_eq(wait_ms(events, 20), 0);
		otr_guest_stats(guest, &stats);
	} while (!stats.shims && otr_now_ns() < deadline_ns);
	cr_expect_eq(stats.shims, 1, "made anew");
	deliver();
	cr_expect_eq(wait_ms(events, PATIENCE_MS), 1, "told by event again");
}

/* ---- Who is in it ---------------------------------------------------------- */

Test(guest, a_net_that_is_added_again_is_watched_for_something_else)
{
	struct otr_guest_event events[4];
	int other_user;

	cr_assert_eq(wait_ms(events, 0), 0);
	cr_expect_eq(otr_guest_add(guest, net, OTR_TX, &other_user), 0, "%s", otr_last_error());
	cr_assert_eq(wait_ms(events, PATIENCE_MS), 1, "there is room to send");
	cr_expect_eq(events[0].what, OTR_TX);
	cr_expect_eq(events[0].user, &other_user);
}

Test(guest_open, no_more_nets_than_it_was_opened_for_and_a_queue_for_each)
{
	struct otr *other;
	struct otr_net *second;

	net = fake_open(&shim, &otr);
	second = fake_open(&shim, &other);
	cr_assert_eq(otr_guest_open(otr, 2, &guest), 0, "%s", otr_last_error());
	cr_assert_eq(otr_guest_add(guest, net, OTR_RX, NULL), 0);
	cr_expect_eq(otr_guest_add(guest, second, OTR_RX, NULL), -EPROTO, "the queue is the first's");
	cr_expect(strstr(otr_last_error(), "impossible queue"));
	otr_guest_close(guest);
	cr_assert_eq(otr_guest_open(otr, 1, &guest), 0, "%s", otr_last_error());
	cr_assert_eq(otr_guest_add(guest, net, OTR_RX, NULL), 0);
	cr_expect_eq(otr_guest_add(guest, second, OTR_RX, NULL), -EBUSY);
	cr_expect_eq(otr_guest_remove(guest, NULL), -ENOENT);
	cr_expect_eq(otr_guest_remove(guest, second), -ENOENT);
	otr_guest_close(guest);
	guest = NULL;
	otr_net_close(net);
	otr_net_close(second);
	otr_detach(otr);
	otr_detach(other);
}

Test(guest, is_told_in_parts_where_there_is_room_for_few)
{
	struct otr_guest_event events[1];

	cr_assert_eq(otr_guest_wait(guest, events, 1, otr_deadline_ms(0)), 0);
	fake_forward(&shim, GUEST_SLOT_SELF, EQ_LINK_DOWN);
	fake_forward(&shim, GUEST_SLOT_SELF, EQ_LINK_UP);
	cr_assert_eq(otr_guest_wait(guest, events, 1, otr_deadline_ms(PATIENCE_MS)), 1);
	cr_expect_str_eq(events[0].event, "link-down");
	cr_assert_eq(otr_guest_wait(guest, events, 1, otr_deadline_ms(PATIENCE_MS)), 1);
	cr_expect_str_eq(events[0].event, "link-up");
}

Test(guest, without_a_shim_it_looks_by_itself)
{
	struct otr_guest_event events[4];

	cr_assert_eq(wait_ms(events, 0), 0);
	fake_command(&shim, 'x');
	for (uint64_t deadline_ns = otr_deadline_ms(PATIENCE_MS);
	     !otr_guest_arm(guest) && otr_now_ns() < deadline_ns;)
		cr_assert_eq(wait_ms(events, 1), 0);
	cr_expect_eq(otr_guest_arm(guest), 1, "nobody would wake it");
	/* Who leaves, and who comes, does not need the shim. */
	cr_expect_eq(otr_guest_remove(guest, net), 0);
	cr_expect_eq(otr_guest_add(guest, net, OTR_RX, &user), 0, "%s", otr_last_error());
	fake_deliver(&shim, 60, 1);
	cr_expect_eq(wait_ms(events, PATIENCE_MS), 1);
}

Test(guest, a_wait_without_end_ends_with_the_event)
{
	struct otr_guest_event events[4];
	struct otr_guest_stats stats;
	pthread_t thread;

	for (unsigned polling = 0; polling < 2; polling++) {
		otr_guest_set_polling(guest, polling ? 200000 : 0);
		cr_assert_eq(pthread_create(&thread, NULL, deliver_later, NULL), 0);
		cr_expect_eq(otr_guest_wait(guest, events, 4, OTR_FOREVER), 1);
		pthread_join(thread, NULL);
		receive_one();
	}
	otr_guest_stats(guest, &stats);
	cr_expect_geq(stats.sleeps, 2, "who polls in vain sleeps, too");
}

/* What a forwarder that has lost its mind writes: the guest's program lives. */
Test(guest, T01_garbage_in_the_storage)
{
	struct otr_guest_event events[4];
	uint32_t state = 12345;

	cr_assert_eq(wait_ms(events, 0), 0);
	for (unsigned round = 0; round < 2000; round++) {
		for (size_t i = 0; i < shim.guest.layout.size_bytes; i += 4) {
			state = state * 1664525 + 1013904223;
			if (state % 8 == 0)
				memcpy(shim.guest.storage + i, &state, 4);
		}
		cr_assert_geq(wait_ms(events, 0), 0);
	}
}
