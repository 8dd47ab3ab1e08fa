/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests (hv-shim/events/guests.c): what a program may ask, what it is refused, and what
 * reaches it; with every allocation and system call failing in turn.
 */
#include "world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE_MS 10000

TestSuite(guests, .init = set_up, .fini = tear_down, .timeout = 30);

/* ---- The program's side ----------------------------------------------------------- */

struct reader {
	struct guest_layout layout;
	uint8_t *storage;
	int alert, kick;
	struct eq_interrupts *interrupts;
	struct eq_consumer consumer; /* of queue 0 */
};

static void open_guest(struct reader *self, const char *parameters)
{
	struct varlink_call call = {0};
	json_int_t queues, entries, version;

	ask(guest_open, &call, parameters);
	cr_assert_eq(call.fd_count, 3u, "%s", call.error);
	cr_assert_eq(json_unpack(call.answer, "{s:I,s:I,s:I!}", "layout_version", &version, "queues",
				 &queues, "entries", &entries), 0);
	cr_assert_eq(version, GUEST_LAYOUT_VERSION);
	cr_assert_eq(guest_layout_compute((uint32_t)queues, (uint32_t)entries, &self->layout), 0);
	self->storage = mmap(NULL, self->layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			     call.fds[0], 0);
	cr_assert_neq((void *)self->storage, MAP_FAILED);
	cr_expect(ftruncate(call.fds[0], 0) && errno == EPERM, "it cannot be cut under the forwarder");
	self->alert = dup(call.fds[1]);
	self->kick = dup(call.fds[2]);
	self->interrupts = (struct eq_interrupts *)(self->storage + self->layout.interrupts);
	const struct eq_queue spec = {
		.ring = self->storage + self->layout.first_queue,
		.capacity = self->layout.entries,
		.marks = (eq_marks *)(self->storage + self->layout.first_queue + self->layout.marks),
		.slots = GUEST_SLOTS,
		.asb = (eq_summary *)(self->storage + self->layout.summaries),
		.interrupts = self->interrupts,
		.isc = GUEST_ISC,
	};
	cr_assert_eq(eq_consumer_open(&self->consumer, &spec), 0);
	call_clear(&call);
}

static void close_guest(struct reader *self)
{
	guest_connection_closed(&shim, (struct varlink_conn *)&conn);
	munmap(self->storage, self->layout.size_bytes);
	close(self->alert);
	close(self->kick);
}

static void associate(const char *parameters, json_int_t queue)
{
	struct varlink_call call = {0};
	json_int_t answered = -1;

	ask(guest_associate, &call, parameters);
	cr_assert_eq(call.errors, 0u, "%s", call.error);
	adjunct_answers(NULL);
	cr_assert_eq(json_unpack(call.answer, "{s:I}", "queue", &answered), 0);
	cr_expect_eq(answered, queue);
	call_clear(&call);
}

/* As a program sleeps: until it is alerted. */
static void sleep_until_alerted(struct reader *self)
{
	struct pollfd alert = {.fd = self->alert, .events = POLLIN};
	uint64_t count;

	if (!eq_interrupt_sleep(self->interrupts, EQ_ISC_ALL))
		return;
	cr_assert_eq(poll(&alert, 1, PATIENCE_MS), 1, "no alert came");
	cr_assert_eq(read(self->alert, &count, sizeof(count)), (ssize_t)sizeof(count));
}

/* Takes events until that one has come: how many there were before it. */
static unsigned expect_event(struct reader *self, uint32_t slot, enum eq_event event)
{
	struct eq_entry entry;

	for (unsigned before = 0;;) {
		eq_interrupt_take(self->interrupts, EQ_ISC_ALL);
		while (eq_consume(&self->consumer, &entry)) {
			if (entry.slot == slot && entry.event == event)
				return before;
			before++;
		}
		sleep_until_alerted(self);
	}
}

/* ---- Opening ------------------------------------------------------------------------ */

Test(guests, what_cannot_be_opened)
{
	static const char *const wrong[] = {
		"{}",
		"{\"queues\": 0}",
		"{\"queues\": -1}",
		"{\"queues\": 1025}",
		"{\"queues\": 4294967297}",
		"{\"queues\": 1.0}",
		"{\"queues\": \"1\"}",
		"{\"queues\": 1, \"entries\": 2}",
		"{\"queues\": 1, \"entries\": 5}",
		"{\"queues\": 1, \"entries\": 8192}",
		"{\"queues\": 1, \"entries\": -16}",
		"{\"queues\": 1, \"entries\": 4294967312}",
		"{\"queues\": 1, \"entries\": null}",
		"{\"queues\": 1, \"depth\": 16}",
	};
	unsigned before = descriptors();

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refused(guest_open, wrong[i], "InvalidParameter");
	cr_expect_null(partition.guests);
	cr_expect_eq(descriptors(), before);
}

Test(guests, one_for_each_connection)
{
	struct reader self;

	open_guest(&self, "{\"queues\": 1}");
	refused(guest_open, "{\"queues\": 1}", "Busy");
	guest_connection_closed(&shim, (struct varlink_conn *)&other_conn);
	cr_expect_not_null(partition.guests, "another connection's end");
	close_guest(&self);
	cr_expect_null(partition.guests);
	open_guest(&self, "{\"queues\": 2, \"entries\": 4}");
	close_guest(&self);
}

Test(guests, opening_fails_whole_or_not_at_all)
{
	/* Its host stays with the partition. */
	struct reader self;

	open_guest(&self, "{\"queues\": 1}");
	close_guest(&self);
	unsigned before = descriptors();

	for (unsigned n = 1; fault_round(n); n++) {
		struct varlink_call call = {0};

		fault_start(n, ENOMEM);
		ask(guest_open, &call, "{\"queues\": 3}");
		bool failed = fault_end();
		cr_expect_eq(call.errors, failed, "%u: %s", n, call.error);
		if (failed)
			cr_expect_str_eq(call.error, "NotReady");
		cr_expect_eq(partition.guests != NULL, !failed, "%u", n);
		call_clear(&call);
		guests_free(&partition);
		cr_expect_eq(descriptors(), before, "%u", n);
	}
}

Test(guests, none_without_the_forwarder_or_who_asks)
{
	struct forwarder *forwarder = shim.forwarder;

	shim.forwarder = NULL;
	refused(guest_open, "{\"queues\": 1}", "NotReady");
	shim.forwarder = forwarder;
	fault_in("varlink_conn_peer", ENOTCONN);
	refused(guest_open, "{\"queues\": 1}", "NotReady");
	cr_assert(fault_end());
	cr_expect_null(partition.guests);
}

/* ---- Devices ------------------------------------------------------------------------- */

#define NET0 "{\"device\": \"net0\"}"
#define NET1 "{\"device\": \"net1\"}"

Test(guests, which_devices_are_not_given)
{
	struct reader self;

	refused(guest_associate, NET0, "NotFound"); /* no guest */
	refused(guest_dissociate, NET0, "NotFound");
	open_guest(&self, "{\"queues\": 1}");
	refused(guest_associate, "{\"device\": 0}", "InvalidParameter");
	refused(guest_associate, "{\"device\": \"net2\"}", "NotFound");
	refused(guest_associate, NET0, "NotReady"); /* it has not run yet */
	refused(guest_dissociate, NET0, "NotFound");
	devices_run();
	devices[0].attachment = NULL;
	refused(guest_associate, NET0, "NotFound"); /* nobody has opened it */
	devices[0].attachment = (struct attachment *)&program;
	program++;
	refused(guest_associate, NET0, "NotFound"); /* another program has */
	program--;
	associate(NET0, 0);
	refused(guest_associate, NET0, "Busy"); /* it is given already */
	refused(guest_associate, NET1, "Busy"); /* all queues are in use */
	refused(guest_dissociate, NET1, "NotFound");
	close_guest(&self);
}

Test(guests, a_second_guest_gets_the_device_once_the_first_lets_go)
{
	struct varlink_call call = {.conn = &other_conn};
	struct reader self;

	devices_run();
	open_guest(&self, "{\"queues\": 2}");
	associate(NET1, 0);
	ask(guest_open, &call, "{\"queues\": 1}");
	cr_assert_eq(call.replies, 1u);
	call_clear(&call);
	call.conn = &other_conn;
	ask(guest_dissociate, &call, NET1);
	cr_expect_str_eq(call.error, "NotFound");
	call = (struct varlink_call){0};
	ask(guest_dissociate, &call, NET1);
	adjunct_answers(NULL);
	cr_expect_eq(call.replies, 1u);
	cr_expect_null(json_object_get(told.parameters, "send_cq"), "the adjunct is told to stop");
	call_clear(&call);
	call.conn = &other_conn;
	ask(guest_associate, &call, NET1);
	adjunct_answers(NULL);
	cr_expect_eq(call.replies, 1u);
	cr_expect_eq(devices[1].events->guest->conn, (void *)&other_conn);
	call_clear(&call);
	/* The list's second goes first. */
	close_guest(&self);
	cr_expect_not_null(partition.guests);
	guest_connection_closed(&shim, (struct varlink_conn *)&other_conn);
	cr_expect_null(partition.guests);
	cr_expect_null(devices[1].events->guest);
}

Test(guests, what_the_adjunct_says_is_answered_unless_the_caller_has_left)
{
	struct varlink_call call = {0};
	struct reader self;

	devices_run();
	open_guest(&self, "{\"queues\": 1}");
	ask(guest_associate, &call, NET0);
	cr_assert_eq(call.errors + call.replies, 0u, "not before it has said so");
	adjunct_answers("does not answer");
	cr_expect_str_eq(call.error, "NotReady");
	call = (struct varlink_call){0};
	ask(guest_dissociate, &call, NET0);
	cr_assert_not_null(call.cancel);
	call.cancel(call.cancel_data);
	adjunct_answers(NULL);
	cr_expect_eq(call.errors + call.replies, 0u);
	/* Nobody to tell: it is answered at once. */
	devices[0].adjunct = NULL;
	refused(guest_associate, NET0, "NotReady");
	close_guest(&self);
}

Test(guests, a_device_is_given_whole_or_not_at_all)
{
	struct reader self;

	devices_run();
	open_guest(&self, "{\"queues\": 1}");
	for (unsigned n = 1; fault_round(n); n++) {
		struct varlink_call call = {0};

		fault_start(n, ENOMEM);
		ask(guest_associate, &call, NET0);
		bool failed = fault_end();
		if (!call.errors)
			adjunct_answers(NULL);
		cr_expect_eq(call.errors, failed, "%u: %s", n, call.error);
		call_clear(&call);
		/* It may be the guest's although the adjunct was not told. */
		ask(guest_dissociate, &call, NET0);
		if (!call.errors)
			adjunct_answers(NULL);
		call_clear(&call);
		cr_assert_null(devices[0].events->guest, "%u", n);
	}
	associate(NET0, 0);
	close_guest(&self);
}

/* ---- Events ---------------------------------------------------------------------------- */

/* The adjunct of net0: posts to the storage it was given, and rings. */
static void adjunct_completes(struct eq_adapter *adapter, const char *queue)
{
	const uint64_t one = 1;

	eq_adapter_complete(adapter, (uint32_t)json_integer_value(json_object_get(told.parameters, queue)));
	if (eq_adapter_signal(adapter, 0))
		cr_assert_eq(write(told.alert_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
}

Test(guests, completions_and_the_devices_own_events_reach_the_program)
{
	struct eq_adapter adapter;
	struct eq_storage storage;
	struct reader self;

	devices_run();
	open_guest(&self, "{\"queues\": 1}");
	associate(NET0, 0);
	size_t bytes = (size_t)json_integer_value(json_object_get(told.parameters, "storage_bytes"));
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, told.storage_fd, 0);
	cr_assert_neq(memory, MAP_FAILED);
	cr_assert_eq(eq_storage_open(memory, bytes, &storage), 0);
	cr_assert_eq(eq_adapter_open(&adapter, &storage), 0);
	sd_event_run(shim.event, 0);
	adjunct_completes(&adapter, "send_cq");
	expect_event(&self, GUEST_SLOT_SEND, EQ_COMPLETION);
	adjunct_completes(&adapter, "receive_cq");
	expect_event(&self, GUEST_SLOT_RECEIVE, EQ_COMPLETION);
	/* Type 2: the adapter's own, by way of the event loop. */
	eq_adapter_event(&adapter, EQ_RESOURCE_ADAPTER, EQ_HOST_EQ_TYPE2, EQ_LINK_DOWN);
	if (eq_adapter_signal(&adapter, 0))
		cr_assert_eq(write(told.alert_fd, &(uint64_t){1}, 8), 8);
	cr_assert_gt(sd_event_run(shim.event, PATIENCE_MS * 1000), 0);
	expect_event(&self, GUEST_SLOT_SELF, EQ_LINK_DOWN);
	eq_adapter_close(&adapter);
	eq_storage_close(&storage);
	munmap(memory, bytes);
	close_guest(&self);
}

/* What the adapter says of a function; the names are its own. */
Test(guests, events_the_shim_raises)
{
	static const struct {
		const char *name;
		enum eq_event event;
	} raised[] = {{"link-down", EQ_LINK_DOWN}, {"link-up", EQ_LINK_UP}, {"reset", EQ_DEVICE_RESET},
		      {"device-failed", EQ_DEVICE_FAILED}};
	struct reader self;

	events_raise(&devices[0], "link-down"); /* before it has run: nobody hears */
	devices_run();
	open_guest(&self, "{\"queues\": 1}");
	associate(NET0, 0);
	for (size_t i = 0; i < sizeof(raised) / sizeof(raised[0]); i++) {
		events_raise(&devices[0], "no such event");
		events_raise(&devices[0], raised[i].name);
		cr_expect_eq(expect_event(&self, GUEST_SLOT_SELF, raised[i].event), 0u);
	}
	close_guest(&self);
}

Test(guests, a_full_queue_goes_on_when_there_is_room)
{
	struct eq_entry entry;
	struct reader self;

	devices_run();
	open_guest(&self, "{\"queues\": 1, \"entries\": 4}");
	associate(NET0, 0);
	/* Three places for events; the one that is kept says that the fourth waits. */
	events_raise(&devices[0], "link-down");
	events_raise(&devices[0], "link-up");
	events_raise(&devices[0], "reset");
	events_raise(&devices[0], "device-failed");
	const enum eq_event wanted[] = {EQ_LINK_DOWN, EQ_LINK_UP, EQ_DEVICE_RESET, EQ_EQ_OVERRUN};
	for (unsigned i = 0; i < 4; i++) {
		cr_assert(eq_consume(&self.consumer, &entry));
		cr_expect_eq(entry.event, wanted[i]);
	}
	cr_expect_not(eq_consume(&self.consumer, &entry));
	cr_assert(eq_consumer_must_wake_poster(&self.consumer));
	cr_assert_eq(write(self.kick, &(uint64_t){1}, 8), 8);
	cr_assert_gt(sd_event_run(shim.event, PATIENCE_MS * 1000), 0);
	cr_assert(eq_consume(&self.consumer, &entry), "nothing came after the kick");
	cr_expect_eq(entry.event, EQ_DEVICE_FAILED);
	/* Rung, and read by nobody but the program itself: no harm. */
	cr_assert_eq(write(self.kick, &(uint64_t){1}, 8), 8);
	cr_assert_gt(sd_event_prepare(shim.event) ?: sd_event_wait(shim.event, PATIENCE_MS * 1000), 0);
	cr_assert_eq(read(self.kick, &(uint64_t){0}, 8), 8);
	cr_expect_gt(sd_event_dispatch(shim.event), 0);
	close_guest(&self);
}

Test(guests, what_there_is_to_see_of_it)
{
	struct varlink_call call = {0};
	json_int_t interrupts, forwarded, depth, pid;
	const char *name, *device;
	struct reader self;

	events_serve(&shim, &call); /* before anything has run */
	cr_expect_eq(call.replies, 1u);
	call_clear(&call);
	devices_run();
	open_guest(&self, "{\"queues\": 2}");
	associate(NET1, 0);
	events_raise(&devices[1], "reset");
	events_serve(&shim, &call);
	cr_assert_eq(json_unpack(call.answer, "{s:[{s:s,s:[{s:I,s:I,s:[{s:s,s:I,s:I}]}]}]}", "partitions",
				 "partition", &name, "guests", "pid", &pid, "interrupts", &interrupts,
				 "queues", "device", &device, "forwarded", &forwarded, "depth", &depth), 0);
	cr_expect_str_eq(name, "red");
	cr_expect_str_eq(device, "net1");
	cr_expect(pid == program && forwarded == 1 && depth == 1);
	call_clear(&call);
	close_guest(&self);
}
