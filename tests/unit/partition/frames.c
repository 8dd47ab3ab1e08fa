/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liboutrigger: frames in both directions, waiting, and events, with the test in
 * the adjunct's place: honest first, then hostile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_shim.h"

#define ENTRIES 8

static struct fake_shim shim;
static struct otr *otr;
static struct otr_net *net;

static void start(void)
{
	fake_start(&shim, ENTRIES);
	net = fake_open(&shim, &otr);
	otr_net_set_polling(net, 0);
}

static void stop(void)
{
	otr_net_close(net);
	otr_detach(otr);
	fake_stop(&shim);
}

TestSuite(frames, .init = start, .fini = stop);
TestSuite(waiting, .init = start, .fini = stop);
TestSuite(events, .init = start, .fini = stop);

static uint64_t bell_count(int bell)
{
	uint64_t count = 0;

	return read(shim.fds[1 + bell], &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static const uint8_t *tx_buffer(uint32_t slot)
{
	return shim.window + shim.layout.tx_buffers + (size_t)slot * NET_BUFFER_BYTES;
}

/* ---- Transmit ------------------------------------------------------------ */

Test(frames, sent_frames_arrive)
{
	uint8_t bytes[1518];
	struct net_entry entry;

	for (unsigned lap = 0; lap < 3 * ENTRIES; lap++) {
		uint32_t length_bytes = 14 + lap * 53 % 1505;
		memset(bytes, (int)lap, sizeof(bytes));
		cr_assert_eq(otr_net_send(net, &(struct otr_frame){bytes, length_bytes}, 1), 1);
		cr_assert(eq_ring_take(&shim.tx, &entry, sizeof(entry)));
		cr_expect_eq(entry.length_bytes, length_bytes);
		cr_expect_eq(entry.flags, 0);
		cr_expect_eq(entry.reserved[0] | entry.reserved[1], 0);
		cr_expect_eq(memcmp(tx_buffer(lap % ENTRIES), bytes, length_bytes), 0);
		eq_ring_release(&shim.tx, 1);
	}
	struct otr_net_stats stats;
	otr_net_stats(net, &stats);
	cr_expect_eq(stats.tx_frames, 3 * ENTRIES);
	cr_expect_eq(stats.doorbells, 0, "nobody slept");
}

Test(frames, burst_larger_than_the_ring)
{
	uint8_t bytes[64] = {0};
	struct otr_frame frames[3 * ENTRIES];

	for (unsigned i = 0; i < 3 * ENTRIES; i++)
		frames[i] = (struct otr_frame){bytes, 64};
	cr_expect_eq(otr_net_send(net, frames, 3 * ENTRIES), ENTRIES);
	cr_expect_eq(otr_net_send(net, frames, 1), 0);
	cr_expect_eq(fake_drain(&shim), ENTRIES);
	cr_expect_eq(otr_net_send(net, frames, 3), 3);
}

Test(frames, lengths_out_of_range_send_nothing)
{
	static const uint32_t lengths[] = {0, 1, 13, 1519, 2034, 2112, 65536, 65536 + 64, UINT32_MAX};
	uint8_t bytes[64] = {0};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct otr_frame frames[2] = {{bytes, 64}, {bytes, lengths[i]}}, reserved[2];
		cr_expect_eq(otr_net_send(net, frames, 2), -EMSGSIZE);
		cr_expect_eq(otr_net_reserve(net, reserved, 2), 2);
		reserved[0].length_bytes = 64;
		reserved[1].length_bytes = lengths[i];
		cr_expect_eq(otr_net_commit(net, reserved, 2), -EMSGSIZE);
	}
	cr_expect_eq(fake_drain(&shim), 0);
}

Test(frames, reserve_and_commit)
{
	struct otr_frame frames[ENTRIES + 1];
	struct net_entry entry;

	cr_expect_eq(otr_net_reserve(net, frames, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(frames[i].length_bytes, 1518);
		memset(frames[i].data, 'a' + (int)i, 60);
		frames[i].length_bytes = 60;
	}
	cr_expect_not(eq_ring_ready(&shim.tx), "reserved is not sent");
	cr_expect_eq(otr_net_commit(net, frames, 4), -EINVAL);
	cr_expect_eq(otr_net_commit(net, frames, 2), 2);
	cr_expect_eq(otr_net_commit(net, frames + 2, 1), -EINVAL, "commit ends the reservation");
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert(eq_ring_take(&shim.tx, &entry, sizeof(entry)));
		cr_expect_eq(tx_buffer(i)[59], 'a' + i);
	}
	cr_expect_not(eq_ring_ready(&shim.tx));
	cr_expect_eq(otr_net_reserve(net, frames, ENTRIES + 1), ENTRIES - 2);
	cr_expect_eq(otr_net_send(net, &(struct otr_frame){(uint8_t[14]){0}, 14}, 1), 1);
	cr_expect_eq(otr_net_commit(net, frames, 1), -EINVAL, "send ends the reservation");
}

Test(frames, adjunct_is_rung_once_a_burst_and_only_if_it_sleeps)
{
	uint8_t bytes[64] = {0};
	struct otr_frame frames[4] = {{bytes, 64}, {bytes, 64}, {bytes, 64}, {bytes, 64}};

	cr_assert(eq_ring_arm(&shim.tx));
	cr_expect_eq(otr_net_send(net, frames, 4), 4);
	cr_expect_eq(bell_count(NET_BELL_ADJUNCT), 1);
	cr_expect_eq(otr_net_send(net, frames, 4), 4);
	cr_expect_eq(bell_count(NET_BELL_ADJUNCT), 0);
}

Test(frames, adjunct_that_consumes_what_was_never_sent)
{
	uint8_t bytes[64] = {0};
	struct otr_frame frame = {bytes, 64};

	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(otr_net_send(net, &frame, 1), 1);
	*eq_ring_consumed(&shim.tx) = ENTRIES + 1;
	cr_expect_eq(otr_net_send(net, &frame, 1), -EPROTO);
	*eq_ring_consumed(&shim.tx) = ENTRIES;
	cr_expect_eq(otr_net_send(net, &frame, 1), -EPROTO, "broken stays broken");
	cr_expect_eq(otr_net_reserve(net, &frame, 1), -EPROTO);
	cr_expect_eq(otr_net_receive(net, &frame, 1), -EPROTO);
	cr_expect_eq(otr_net_wait(net, OTR_RX | OTR_TX, OTR_FOREVER), -EPROTO);
}

/* ---- Receive ------------------------------------------------------------- */

Test(frames, received_frames_stay_until_released)
{
	struct otr_frame frames[2 * ENTRIES];

	for (uint8_t i = 0; i < ENTRIES; i++)
		fake_deliver(&shim, 60u + i, i);
	cr_expect_eq(otr_net_receive(net, frames, 3), 3);
	cr_expect_eq(otr_net_receive(net, frames + 3, 2 * ENTRIES), ENTRIES - 3);
	cr_expect_eq(otr_net_receive(net, frames, 1), 0);
	for (uint8_t i = 0; i < ENTRIES; i++) {
		cr_expect_eq(frames[i].length_bytes, 60u + i);
		cr_expect_eq(((uint8_t *)frames[i].data)[59], i);
	}
	cr_expect_eq(eq_ring_space(&shim.rx, 1), 0, "nothing was released");
	cr_expect_eq(otr_net_release(net, ENTRIES + 1), -EINVAL);
	cr_expect_eq(otr_net_release(net, 2), 0);
	cr_expect_eq(eq_ring_space(&shim.rx, 1), 2);
	cr_expect_eq(otr_net_release(net, 0), 0);
	cr_expect_eq(otr_net_release(net, ENTRIES - 2), 0);
}

Test(frames, hostile_lengths_and_flags)
{
	static const struct net_entry hostile[] = {
		{.length_bytes = 0},
		{.length_bytes = 13},
		{.length_bytes = NET_FRAME_MAX + 1},
		{.length_bytes = NET_BUFFER_BYTES + 1},
		{.length_bytes = UINT16_MAX},
		{.length_bytes = 64, .flags = 1},
		{.length_bytes = 64, .reserved = {1, 0}},
		{.length_bytes = 64, .reserved = {0, 1}},
	};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct otr_frame frames[4];
		struct otr_net_stats stats;

		fake_deliver(&shim, 64, 1);
		eq_ring_put(&shim.rx, &hostile[i], sizeof(hostile[i]));
		fake_deliver(&shim, 64, 2);
		cr_expect_eq(otr_net_receive(net, frames, 4), 1, "the good one before it");
		otr_net_stats(net, &stats);
		cr_expect_eq(stats.rx_frames, 1);
		cr_expect_eq(stats.rx_bytes, 64);
		cr_expect_eq(otr_net_receive(net, frames, 4), -EPROTO, "case %zu", i);
		cr_expect_eq(otr_net_receive(net, frames, 4), -EPROTO);
		stop();
		start();
	}
}

/* T01: the copy that was checked is the one that is used. */
static atomic_bool flipping;

static void *flip(void *data)
{
	struct eq_ring_entry *entry = data;
	_Atomic uint16_t *length = (_Atomic uint16_t *)entry->payload;

	while (flipping) {
		atomic_store_explicit(length, 64, memory_order_relaxed);
		atomic_store_explicit(length, UINT16_MAX, memory_order_relaxed);
	}
	return NULL;
}

Test(frames, T01_length_that_changes_while_it_is_read)
{
	pthread_t thread;
	unsigned good = 0, refused = 0;

	for (unsigned round = 0; round < 200; round++) {
		struct otr_frame frame;

		flipping = true;
		cr_assert_eq(pthread_create(&thread, NULL, flip, eq_ring_entry_at(&shim.rx, 0)), 0);
		fake_deliver(&shim, 64, 1);
		int count = otr_net_receive(net, &frame, 1);
		flipping = false;
		pthread_join(thread, NULL);
		if (count == 1) {
			good++;
			cr_assert_eq(frame.length_bytes, 64);
		} else {
			refused++;
			cr_assert_eq(count, -EPROTO);
		}
		stop();
		start();
	}
	cr_expect_eq(good + refused, 200);
}

Test(frames, slot_announced_twice_is_not_handed_out_twice)
{
	struct otr_frame frames[2 * ENTRIES];

	for (uint8_t i = 0; i < ENTRIES; i++)
		fake_deliver(&shim, 64, i);
	cr_expect_eq(otr_net_receive(net, frames, ENTRIES), ENTRIES);
	/* The adjunct does not wait for the release. */
	shim.rx.released = shim.rx.position;
	fake_deliver(&shim, 64, 99);
	cr_expect_eq(otr_net_receive(net, frames, ENTRIES), 0);
}

/* ---- Waiting ------------------------------------------------------------- */

Test(waiting, deadline_passes)
{
	uint64_t start_ns = otr_now_ns();

	cr_expect_eq(otr_net_wait(net, OTR_RX, 0), 0, "a deadline long past");
	cr_expect_eq(otr_net_wait(net, OTR_RX, otr_deadline_ms(20)), 0);
	cr_expect_geq(otr_now_ns() - start_ns, UINT64_C(20000000));
}

Test(waiting, says_what_is_ready)
{
	struct otr_frame frame;

	cr_expect_eq(otr_net_wait(net, OTR_RX | OTR_TX, OTR_FOREVER), OTR_TX);
	fake_deliver(&shim, 64, 1);
	cr_expect_eq(otr_net_wait(net, OTR_RX | OTR_TX, OTR_FOREVER), OTR_RX | OTR_TX);
	cr_expect_eq(otr_net_wait(net, OTR_RX, OTR_FOREVER), OTR_RX);
	cr_expect_eq(otr_net_receive(net, &frame, 1), 1);
}

struct later {
	pthread_t thread;
	void (*act)(void);
};

static void *act_when_asleep(void *data)
{
	const struct later *later = data;
	uint64_t deadline_ns = otr_deadline_ms(PATIENCE_MS);

	/* Armed: the waiter is about to sleep, or sleeps. */
	while (!*eq_ring_consumer_armed(&shim.rx) && !*eq_ring_producer_armed(&shim.tx) &&
	       otr_now_ns() < deadline_ns)
		usleep(100);
	usleep(2000);
	later->act();
	return NULL;
}

static void deliver_and_ring(void)
{
	fake_deliver(&shim, 64, 7);
	if (!fake_ring_receiver(&shim))
		abort();
}

static void drain_and_ring(void)
{
	fake_drain(&shim);
}

/* Waits while another thread acts. */
static int wait_while(void (*act)(void), unsigned what)
{
	struct later later = {.act = act};

	cr_assert_eq(pthread_create(&later.thread, NULL, act_when_asleep, &later), 0);
	int ready = otr_net_wait(net, what, otr_deadline_ms(PATIENCE_MS));
	pthread_join(later.thread, NULL);
	return ready;
}

Test(waiting, woken_by_a_frame)
{
	struct otr_net_stats stats;

	cr_expect_eq(wait_while(deliver_and_ring, OTR_RX), OTR_RX);
	otr_net_stats(net, &stats);
	cr_expect_eq(stats.sleeps, 1);
	cr_expect_eq(*eq_ring_consumer_armed(&shim.rx), 0);
	cr_expect_eq(bell_count(NET_BELL_PARTITION), 0, "the bell was cleared");
}

Test(waiting, woken_by_space)
{
	uint8_t bytes[64] = {0};
	struct otr_frame frame = {bytes, 64};

	for (unsigned i = 0; i < ENTRIES; i++)
		cr_assert_eq(otr_net_send(net, &frame, 1), 1);
	cr_expect_eq(otr_net_wait(net, OTR_TX, otr_deadline_ms(1)), 0, "full");
	cr_expect_eq(wait_while(drain_and_ring, OTR_TX), OTR_TX);
	cr_expect_eq(*eq_ring_producer_armed(&shim.tx), 0);
}

Test(waiting, stale_bell_costs_one_pass)
{
	const uint64_t one = 1;

	cr_assert_eq(write(shim.fds[1 + NET_BELL_PARTITION], &one, sizeof(one)), sizeof(one));
	cr_expect_eq(otr_net_wait(net, OTR_RX, otr_deadline_ms(20)), 0);
	struct otr_net_stats stats;
	otr_net_stats(net, &stats);
	cr_expect_eq(stats.sleeps, 2, "woken once for nothing, then asleep until the deadline");
}

Test(waiting, full_adjunct_bell_does_not_block_us)
{
	const uint64_t full = UINT64_MAX - 1;
	uint8_t bytes[64] = {0};

	cr_assert_eq(write(shim.fds[1 + NET_BELL_ADJUNCT], &full, sizeof(full)), sizeof(full));
	cr_assert(eq_ring_arm(&shim.tx));
	cr_expect_eq(otr_net_send(net, &(struct otr_frame){bytes, 64}, 1), 1);
}

static void interrupt(int signal_number)
{
	(void)signal_number;
}

Test(waiting, signal_interrupts)
{
	struct sigaction action = {.sa_handler = interrupt};

	sigaction(SIGALRM, &action, NULL);
	/* Repeats: one that arrives before the sleep would be of no effect. */
	ualarm(5000, 5000);
	int ready = otr_net_wait(net, OTR_RX, otr_deadline_ms(PATIENCE_MS));
	ualarm(0, 0);
	cr_expect_eq(ready, -EINTR);
	cr_expect_eq(*eq_ring_consumer_armed(&shim.rx), 0);
}

Test(waiting, own_event_loop)
{
	struct pollfd wait = {.fd = otr_net_fd(net), .events = POLLIN};
	struct otr_frame frame;

	cr_expect_eq(otr_net_arm(net, OTR_RX), 0);
	cr_expect_eq(poll(&wait, 1, 0), 0);
	fake_deliver(&shim, 64, 1);
	cr_expect(fake_ring_receiver(&shim));
	cr_expect_eq(poll(&wait, 1, PATIENCE_MS), 1);
	cr_expect_eq(otr_net_disarm(net, OTR_RX), OTR_RX);
	cr_expect_eq(poll(&wait, 1, 0), 0, "disarming quiets the descriptor");
	cr_expect_eq(otr_net_arm(net, OTR_RX), OTR_RX, "not armed while something is ready");
	cr_expect_eq(*eq_ring_consumer_armed(&shim.rx), 0);
	cr_expect_eq(otr_net_receive(net, &frame, 1), 1);
	cr_expect_eq(otr_net_disarm(net, OTR_RX), 0);
}

/* ---- Events -------------------------------------------------------------- */

Test(events, of_this_device_only)
{
	struct otr_event event;

	cr_expect_eq(otr_net_event(net, &event), 0);
	/* Monitor was sent without waiting; one more answer proves it is in. */
	struct otr_device device;
	cr_assert_eq(otr_devices(otr, &device, 1), 1);
	fake_command(&shim, 'o');
	fake_command(&shim, 'e');
	cr_expect_eq(otr_net_wait(net, OTR_EVENT, otr_deadline_ms(PATIENCE_MS)), OTR_EVENT);
	cr_expect_eq(otr_net_event(net, &event), 1);
	cr_expect_str_eq(event.event, "link-down");
	cr_expect_str_eq(event.message, "cable pulled");
	cr_expect_eq(otr_net_event(net, &event), 0);
}

Test(events, the_newest_are_kept)
{
	struct otr_event event;
	struct otr_device device;
	int count = 0;

	cr_assert_eq(otr_devices(otr, &device, 1), 1);
	for (unsigned i = 0; i < 100; i++) {
		fake_command(&shim, 'e');
		/* Sleeps for frames while events come: they are kept, within bounds. */
		otr_net_wait(net, OTR_RX, otr_deadline_ms(1));
	}
	while (otr_net_event(net, &event) == 1)
		count++;
	cr_expect_eq(count, 16);
}

Test(events, shim_lost_is_said_once_and_frames_flow)
{
	struct otr_event event;
	struct otr_frame frame;

	fake_command(&shim, 'x');
	cr_expect_eq(otr_net_wait(net, OTR_EVENT, otr_deadline_ms(PATIENCE_MS)), OTR_EVENT);
	cr_expect_eq(otr_net_event(net, &event), 1);
	cr_expect_str_eq(event.event, "shim-lost");
	cr_expect_eq(otr_net_event(net, &event), 0);
	cr_expect_eq(otr_net_wait(net, OTR_EVENT, otr_deadline_ms(1)), 0);
	fake_deliver(&shim, 64, 1);
	cr_expect_eq(otr_net_receive(net, &frame, 1), 1);
	cr_expect_eq(otr_net_send(net, &frame, 1), 1);
	cr_expect_eq(wait_while(deliver_and_ring, OTR_RX), OTR_RX);
}

static void expect_event(const char *wanted)
{
	struct otr_event event;

	if (!otr_net_event(net, &event)) {
		cr_assert_eq(otr_net_wait(net, OTR_EVENT, otr_deadline_ms(PATIENCE_MS)), OTR_EVENT);
		cr_assert_eq(otr_net_event(net, &event), 1);
	}
	cr_expect_str_eq(event.event, wanted);
}

Test(events, the_shim_comes_back_and_events_with_it)
{
	struct otr_device device;

	for (unsigned round = 0; round < 2; round++) {
		fake_command(&shim, 'x');
		expect_event("shim-lost");
		cr_expect_lt(otr_devices(otr, &device, 1), 0);
		cr_expect_eq(otr_net_wait(net, OTR_EVENT, otr_deadline_ms(200)), 0);
		fake_command(&shim, 'b');
		expect_event("shim-back");
		expect_event("link-down");
		cr_expect_eq(otr_devices(otr, &device, 1), 1);
		/* Asked for behind ResumeNet, on the same connection. */
		fake_command(&shim, 'e');
		expect_event("link-down");
	}
}

Test(events, a_program_with_its_own_loop_is_woken_for_it)
{
	struct pollfd loop = {.fd = otr_net_fd(net), .events = POLLIN};
	struct otr_event event = {0};

	fake_command(&shim, 'x');
	expect_event("shim-lost");
	fake_command(&shim, 'b');
	while (strcmp(event.event, "shim-back")) {
		cr_assert_eq(otr_net_arm(net, OTR_RX | OTR_EVENT), 0);
		cr_assert_eq(poll(&loop, 1, PATIENCE_MS), 1);
		if (otr_net_disarm(net, OTR_RX | OTR_EVENT))
			cr_assert_eq(otr_net_event(net, &event), 1);
	}
}

Test(events, a_device_that_was_taken_away_meanwhile)
{
	struct otr_frame frame;

	fake_command(&shim, 'x');
	expect_event("shim-lost");
	fake_command(&shim, 'c');
	cr_expect_eq(otr_net_wait(net, OTR_RX, otr_deadline_ms(PATIENCE_MS)), -ENODEV);
	expect_event("device-closed");
	cr_expect_eq(otr_net_receive(net, &frame, 1), -ENODEV);
}
