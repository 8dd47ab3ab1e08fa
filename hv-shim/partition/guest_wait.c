/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's waiting: takes events out of its queues, looks into the devices they are of,
 * and sleeps. Runs on the thread that owns the guest.
 *
 * A device's rings are armed while the guest waits for it; who posts an event takes the
 * arming back. So a device is looked into only after an event, and from then on until it
 * is found empty and armed again: it is on the `awake` list meanwhile. What the program
 * itself does with the device, and its adjunct meanwhile, wakes it up, too.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "otr_guest.h"

#define POLLING_START_NS (1 * NS_PER_US)
#define POLLS_PER_CLOCK_READ 32
/* Without a shim. */
#define LOOK_AGAIN_NS (1 * NS_PER_MS)

static const char *const event_names[EQ_EVENTS_MAX] = {
	[EQ_LINK_DOWN] = "link-down",
	[EQ_LINK_UP] = "link-up",
	[EQ_DEVICE_RESET] = "device-reset",
	[EQ_DEVICE_FAILED] = "device-failed",
	[EQ_PROTOCOL_ERROR] = "partition-protocol",
	[EQ_QP_ERROR] = "queue-pair-error",
	[EQ_CQ_ERROR] = "completion-queue-error",
	[EQ_DEVICE_LOST] = "device-lost",
	[EQ_DEVICE_BACK] = "device-back",
	[EQ_DMA_FAULT] = "dma-fault",
};

/* ---- The awake -------------------------------------------------------------------- */

void otr_guest_wake_member(struct otr_guest *guest, unsigned index)
{
	struct member *member = &guest->members[index];

	if (member->awake)
		return;
	member->awake = true;
	guest->awake[guest->awake_count++] = index;
}

void otr_guest_wake(struct otr_net *net)
{
	otr_guest_wake_member(net->guest, net->guest_member);
}

void otr_guest_drop(struct otr_guest *guest, unsigned place)
{
	guest->members[guest->awake[place]].awake = false;
	guest->awake[place] = guest->awake[--guest->awake_count];
}

void otr_guest_wake_all(struct otr_guest *guest)
{
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net)
			otr_guest_wake_member(guest, i);
	}
}

/* ---- Event queues ------------------------------------------------------------------ */

static void ring(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: its counter is full, so it has been rung enough. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void take_entry(struct otr_guest *guest, unsigned queue, const struct eq_entry *entry)
{
	int index = guest->member_of[queue];

	guest->stats.events++;
	if (index < 0)
		return; /* of a device that was just removed */
	/* That its adjunct wants time, the device says itself when it is looked at. */
	if (entry->slot == GUEST_SLOT_SELF && entry->event != EQ_EQ_OVERRUN &&
	    entry->event != EQ_PA_BUSY)
		guest->members[index].events |= 1u << entry->event;
	otr_guest_wake_member(guest, (unsigned)index);
}

static void drain(struct otr_guest *guest, unsigned queue)
{
	struct eq_consumer *consumer = &guest->consumers[queue];
	struct eq_entry entry;

	if (!eq_consumer_begin(consumer))
		return;
	do {
		while (eq_consume(consumer, &entry))
			take_entry(guest, queue, &entry);
	} while (eq_consumer_end(consumer));
	if (eq_consumer_must_wake_poster(consumer))
		ring(guest->kick_fd);
}

/* Looks at all summary bytes, eight at a time. */
static void scan(struct otr_guest *guest)
{
	const uint8_t *summaries = guest->storage + guest->layout.summaries;

	if (eq_interrupt_pending(guest->interrupts, ISCS))
		eq_interrupt_take(guest->interrupts, ISCS);
	for (uint32_t first = 0; first < guest->layout.queues; first += 8) {
		/* acquire: partner is the forwarder's store. The bytes are padded to eight. */
		uint64_t eight = __atomic_load_n((const uint64_t *)(const void *)(summaries + first),
						 __ATOMIC_ACQUIRE);

		for (uint32_t queue = first; eight; eight >>= 8, queue++) {
			if ((eight & 0xff) && queue < guest->layout.queues)
				drain(guest, queue);
		}
	}
}

/* ---- Waiting ----------------------------------------------------------------------------- */

static void report(struct member *member, unsigned what, enum eq_event event,
		   struct otr_guest_event *out)
{
	const char *name = (what & OTR_EVENT) ? event_names[event] : "";

	*out = (struct otr_guest_event){.net = member->net, .user = member->user, .what = what};
	strcpy(out->event, name ? name : "unknown");
}

/* What the awake have, each in its turn; who has nothing is armed and goes to sleep. */
static unsigned look_at_awake(struct otr_guest *guest, struct otr_guest_event *events,
			      unsigned events_max)
{
	unsigned count = 0, looked = 0, awake = guest->awake_count;

	while (looked++ < awake && count < events_max && guest->awake_count) {
		if (guest->awake_next >= guest->awake_count)
			guest->awake_next = 0;
		struct member *member = &guest->members[guest->awake[guest->awake_next]];

		if (member->events) {
			enum eq_event event = (enum eq_event)__builtin_ctz(member->events);

			member->events &= member->events - 1;
			report(member, OTR_EVENT, event, &events[count++]);
			guest->awake_next += !member->events;
			looked -= member->events != 0;
			continue;
		}
		int ready = otr_net_arm(member->net, member->what);
		if (ready == 0 && !otr_busy(member->net)) {
			otr_guest_drop(guest, guest->awake_next);
			continue;
		}
		/* What it was lent was too little: it stays, and has its turn again. */
		if (ready == 0) {
			guest->awake_next++;
			continue;
		}
		/* An error: whatever the program does with the net tells it. */
		report(member, ready < 0 ? member->what : (unsigned)ready, 0, &events[count++]);
		guest->awake_next++;
	}
	return count;
}

static unsigned look(struct otr_guest *guest, struct otr_guest_event *events, unsigned events_max)
{
	if (!otr_guest_is_whole(guest)) {
		otr_guest_recover(guest);
		otr_guest_wake_all(guest);
	}
	if (guest->conn)
		scan(guest);
	return look_at_awake(guest, events, events_max);
}

static unsigned poll_for_a_while(struct otr_guest *guest, struct otr_guest_event *events,
				 unsigned events_max, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	uint64_t until_ns = now_ns + (guest->polling_ns < left_ns ? guest->polling_ns : left_ns);

	while (now_ns < until_ns && guest->conn) {
		for (unsigned i = 0; i < POLLS_PER_CLOCK_READ; i++) {
			scan(guest);
			unsigned count = guest->awake_count ? look_at_awake(guest, events, events_max) : 0;
			if (count) {
				guest->polling_ns = 2 * guest->polling_ns < guest->polling_max_ns
							    ? 2 * guest->polling_ns
							    : guest->polling_max_ns;
				return count;
			}
			otr_pause();
		}
		now_ns = clock_now_ns();
	}
	if (guest->polling_max_ns != OTR_FOREVER && guest->polling_ns > POLLING_START_NS)
		guest->polling_ns /= 2;
	return 0;
}

int otr_guest_arm(struct otr_guest *guest)
{
	if (guest->awake_count || !otr_guest_is_whole(guest))
		return 1;
	return !eq_interrupt_sleep(guest->interrupts, ISCS);
}

static void woken(struct otr_guest *guest)
{
	uint64_t count;

	if (!guest->conn)
		return;
	eq_interrupt_run(guest->interrupts, ISCS);
	/* EAGAIN: it was not rung. */
	if (read(guest->alert_fd, &count, sizeof(count)) == sizeof(count))
		guest->stats.wakes++;
	otr_guest_look_at_shim(guest);
}

/* 0, or -errno. */
static int sleep_until(struct otr_guest *guest, uint64_t deadline_ns)
{
	struct pollfd polled = {.fd = guest->epoll_fd, .events = POLLIN};
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

	if (!otr_guest_is_whole(guest) && left_ns > LOOK_AGAIN_NS)
		left_ns = LOOK_AGAIN_NS;
	struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
				   .tv_nsec = (long)(left_ns % NS_PER_S)};
	bool forever = deadline_ns == OTR_FOREVER && otr_guest_is_whole(guest);
	guest->stats.sleeps++;
	if (ppoll(&polled, 1, forever ? NULL : &timeout, NULL) < 0)
		return otr_fail(-errno, "waiting was interrupted: %s", strerror(errno));
	return 0;
}

int otr_guest_wait(struct otr_guest *guest, struct otr_guest_event *events, unsigned events_max,
		   uint64_t deadline_ns)
{
	woken(guest);
	unsigned count = look(guest, events, events_max);
	if (!count)
		count = poll_for_a_while(guest, events, events_max, deadline_ns);
	while (!count) {
		int error = 0;

		if (deadline_ns != OTR_FOREVER && clock_now_ns() >= deadline_ns)
			return 0;
		if (!otr_guest_is_whole(guest) ||
		    (!guest->awake_count && eq_interrupt_sleep(guest->interrupts, ISCS)))
			error = sleep_until(guest, deadline_ns);
		woken(guest);
		count = look(guest, events, events_max);
		if (!count && error)
			return error;
	}
	return (int)count;
}
