/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests: one wait for many native devices, through the event queues of seed 004
 * (event-queues/eq_queue.h; base/guest_layout.h says where they lie). Runs on the
 * thread that owns the guest.
 *
 * A device's rings are armed while the guest waits for it; who posts an event takes the
 * arming back. So a device is looked into only after an event, and from then on until it
 * is found empty and armed again: it is on the `awake` list meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "eq_queue.h"
#include "guest_layout.h"
#include "otr_internal.h"

#define POLLING_MAX_NS (20 * NS_PER_US)
#define POLLING_START_NS (1 * NS_PER_US)
#define POLLS_PER_CLOCK_READ 32
/* Without a shim. */
#define LOOK_AGAIN_NS (1 * NS_PER_MS)
#define RECONNECT_NS (50 * NS_PER_MS)
#define GUEST_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define ISCS (1u << GUEST_ISC)

struct member {
	struct otr_net *net; /* NULL: free */
	void *user;
	unsigned what;
	int queue; /* -1: the shim does not know of it yet */
	bool awake;
	uint32_t events; /* by enum eq_event, not reported yet */
};

struct otr_guest {
	char path[108]; /* of the partition's socket */
	struct varlink_conn *conn; /* NULL: the shim is lost */
	struct guest_layout layout;
	uint8_t *storage;
	int storage_fd, alert_fd, kick_fd, epoll_fd;
	struct eq_interrupts *interrupts;
	struct eq_consumer *consumers; /* of each queue */
	int *member_of;                /* queue to member, -1: none */

	struct member *members;
	unsigned members_max;
	unsigned *awake; /* indexes of members */
	unsigned awake_count, awake_next;

	uint64_t reconnect_ns;
	uint64_t polling_ns, polling_max_ns;
	struct otr_guest_stats stats;
};

static const char *const event_names[EQ_EVENTS_MAX] = {
	[EQ_LINK_DOWN] = "link-down",
	[EQ_LINK_UP] = "link-up",
	[EQ_DEVICE_RESET] = "device-reset",
	[EQ_DEVICE_FAILED] = "device-failed",
	[EQ_PROTOCOL_ERROR] = "partition-protocol",
	[EQ_QP_ERROR] = "queue-pair-error",
	[EQ_CQ_ERROR] = "completion-queue-error",
	[EQ_PA_BUSY] = "adjunct-busy",
};

/* ---- The awake -------------------------------------------------------------------- */

static void wake(struct otr_guest *guest, unsigned index)
{
	struct member *member = &guest->members[index];

	if (member->awake)
		return;
	member->awake = true;
	guest->awake[guest->awake_count++] = index;
}

static void drop_awake(struct otr_guest *guest, unsigned place)
{
	guest->members[guest->awake[place]].awake = false;
	guest->awake[place] = guest->awake[--guest->awake_count];
}

static void wake_all(struct otr_guest *guest)
{
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net)
			wake(guest, i);
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
	if (entry->slot == GUEST_SLOT_SELF && entry->event != EQ_EQ_OVERRUN)
		guest->members[index].events |= 1u << entry->event;
	wake(guest, (unsigned)index);
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

static int open_queue(struct otr_guest *guest, unsigned queue)
{
	uint8_t *at = guest->storage + guest->layout.first_queue + queue * guest->layout.queue_bytes;
	const struct eq_queue spec = {
		.ring = at,
		.capacity = guest->layout.entries,
		.marks = (eq_marks *)(at + guest->layout.marks),
		.slots = GUEST_SLOTS,
		.asb = (eq_summary *)(guest->storage + guest->layout.summaries + queue),
	};

	return eq_consumer_open(&guest->consumers[queue], &spec);
}

/* ---- The shim ------------------------------------------------------------------------- */

static void unmap(struct otr_guest *guest)
{
	int *fds[] = {&guest->storage_fd, &guest->alert_fd, &guest->kick_fd};

	if (guest->storage)
		munmap(guest->storage, guest->layout.size_bytes);
	guest->storage = NULL;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	varlink_conn_free(guest->conn);
	guest->conn = NULL;
	for (unsigned i = 0; i < guest->members_max; i++)
		guest->members[i].queue = -1;
}

/* What the answer says and what came with it, before anything is mapped (T05, T06). */
static int check_answer(struct otr_guest *guest, const struct varlink_answer *answer)
{
	json_int_t version = json_integer_value(json_object_get(answer->parameters, "layout_version"));
	json_int_t queues = json_integer_value(json_object_get(answer->parameters, "queues"));
	json_int_t entries = json_integer_value(json_object_get(answer->parameters, "entries"));
	struct stat status;

	if (version != GUEST_LAYOUT_VERSION || queues < guest->members_max || queues > UINT32_MAX ||
	    entries < 0 || entries > UINT32_MAX ||
	    guest_layout_compute((uint32_t)queues, (uint32_t)entries, &guest->layout) ||
	    answer->fd_count != 3)
		return otr_fail(-EPROTO, "the shim answered with an impossible guest");
	int seals = fcntl(answer->fds[0], F_GET_SEALS);
	if (seals < 0 || (seals & GUEST_SEALS) != GUEST_SEALS || fstat(answer->fds[0], &status) ||
	    status.st_size != (off_t)guest->layout.size_bytes)
		return otr_fail(-EPROTO, "the guest's storage is not a sealed memfd of its size");
	return 0;
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)
		       ? otr_fail(-errno, "cannot watch the guest: %s", strerror(errno)) : 0;
}

static int map(struct otr_guest *guest, struct varlink_answer *answer)
{
	int error = check_answer(guest, answer);

	if (error)
		return error;
	void *storage = mmap(NULL, guest->layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			     answer->fds[0], 0);
	if (storage == MAP_FAILED)
		return otr_fail(-errno, "cannot map the guest's storage: %s", strerror(errno));
	guest->storage = storage;
	guest->storage_fd = answer->fds[0];
	guest->alert_fd = answer->fds[1];
	guest->kick_fd = answer->fds[2];
	answer->fds[0] = answer->fds[1] = answer->fds[2] = -1;
	guest->interrupts = (struct eq_interrupts *)(guest->storage + guest->layout.interrupts);
	for (uint32_t i = 0; i < guest->layout.queues; i++)
		guest->member_of[i] = -1;
	eq_interrupt_run(guest->interrupts, ISCS);
	error = watch(guest->epoll_fd, guest->alert_fd);
	return error ? error : watch(guest->epoll_fd, varlink_conn_fd(guest->conn));
}

static int connect_guest(struct otr_guest *guest)
{
	struct varlink_answer answer;
	int error = otr_connect(guest->path, &guest->conn);

	if (!error)
		error = otr_call(guest->conn, "org.outrigger.Partition.OpenGuest",
				 json_pack("{s:I}", "queues", (json_int_t)guest->members_max), &answer);
	if (!error) {
		error = map(guest, &answer);
		varlink_answer_clear(&answer);
	}
	if (error)
		unmap(guest);
	return error;
}

/* The shim is told of the member's net; -EAGAIN and such: later, perhaps. */
static int associate(struct otr_guest *guest, unsigned index)
{
	struct member *member = &guest->members[index];
	struct varlink_answer answer;
	int error = otr_call(guest->conn, "org.outrigger.Partition.AssociateNet",
			     json_pack("{s:s}", "device", member->net->device), &answer);

	if (error)
		return error;
	json_int_t queue = json_integer_value(json_object_get(answer.parameters, "queue"));
	varlink_answer_clear(&answer);
	if (queue < 0 || queue >= guest->layout.queues || guest->member_of[queue] >= 0)
		return otr_fail(-EPROTO, "the shim answered with an impossible queue");
	error = open_queue(guest, (unsigned)queue);
	if (error)
		return otr_fail(error, "an event queue cannot be opened: %s", strerror(-error));
	member->queue = (int)queue;
	guest->member_of[queue] = (int)index;
	wake(guest, index);
	return 0;
}

/* Tries to have a guest again, and to have all nets in it. */
static void recover(struct otr_guest *guest)
{
	if (clock_now_ns() < guest->reconnect_ns)
		return;
	guest->reconnect_ns = clock_now_ns() + RECONNECT_NS;
	if (!guest->conn) {
		if (connect_guest(guest))
			return;
		guest->stats.shims++;
	}
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net && guest->members[i].queue < 0 && associate(guest, i) &&
		    !guest->conn)
			return;
	}
	wake_all(guest);
}

/* Every net is in the guest, and the guest at the shim. */
static bool is_whole(const struct otr_guest *guest)
{
	if (!guest->conn)
		return false;
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net && guest->members[i].queue < 0)
			return false;
	}
	return true;
}

/* The shim says nothing here unasked: what is readable is the connection's end. */
static void look_at_connection(struct otr_guest *guest)
{
	struct varlink_message message;

	if (!guest->conn)
		return;
	if (varlink_conn_read(guest->conn) < 0 || varlink_conn_next(guest->conn, &message) < 0) {
		unmap(guest);
		guest->reconnect_ns = 0;
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
		if (ready == 0) {
			drop_awake(guest, guest->awake_next);
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
	if (!is_whole(guest)) {
		recover(guest);
		wake_all(guest);
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
	if (guest->awake_count || !is_whole(guest))
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
	look_at_connection(guest);
}

/* 0, or -errno. */
static int sleep_until(struct otr_guest *guest, uint64_t deadline_ns)
{
	struct pollfd polled = {.fd = guest->epoll_fd, .events = POLLIN};
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

	if (!is_whole(guest) && left_ns > LOOK_AGAIN_NS)
		left_ns = LOOK_AGAIN_NS;
	struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
				   .tv_nsec = (long)(left_ns % NS_PER_S)};
	bool forever = deadline_ns == OTR_FOREVER && is_whole(guest);
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
		if (!is_whole(guest) || eq_interrupt_sleep(guest->interrupts, ISCS))
			error = sleep_until(guest, deadline_ns);
		woken(guest);
		count = look(guest, events, events_max);
		if (!count && error)
			return error;
	}
	return (int)count;
}

/* ---- Opening ------------------------------------------------------------------------------- */

int otr_guest_fd(const struct otr_guest *guest)
{
	return guest->epoll_fd;
}

void otr_guest_set_polling(struct otr_guest *guest, uint64_t polling_max_ns)
{
	guest->polling_max_ns = polling_max_ns;
	guest->polling_ns = polling_max_ns;
}

void otr_guest_stats(const struct otr_guest *guest, struct otr_guest_stats *out)
{
	*out = guest->stats;
}

void otr_guest_close(struct otr_guest *guest)
{
	if (!guest)
		return;
	unmap(guest); /* the shim takes the nets back, and rings them by themselves again */
	if (guest->epoll_fd >= 0)
		close(guest->epoll_fd);
	free(guest->members);
	free(guest->awake);
	free(guest->consumers);
	free(guest->member_of);
	free(guest);
}

int otr_guest_open(struct otr *otr, unsigned devices_max, struct otr_guest **out)
{
	if (!devices_max || devices_max > GUEST_QUEUES_MAX)
		return otr_fail(-EINVAL, "a guest has 1 to %u devices, not %u", GUEST_QUEUES_MAX,
				devices_max);
	struct otr_guest *guest = calloc(1, sizeof(*guest));
	if (!guest)
		return otr_fail(-ENOMEM, "out of memory");
	*guest = (struct otr_guest){.storage_fd = -1, .alert_fd = -1, .kick_fd = -1,
				    .members_max = devices_max};
	memcpy(guest->path, otr->path, sizeof(guest->path));
	otr_guest_set_polling(guest, POLLING_MAX_NS);
	guest->members = calloc(devices_max, sizeof(*guest->members));
	guest->awake = calloc(devices_max, sizeof(*guest->awake));
	guest->consumers = aligned_alloc(EQ_LINE_BYTES, GUEST_QUEUES_MAX * sizeof(*guest->consumers));
	guest->member_of = calloc(GUEST_QUEUES_MAX, sizeof(*guest->member_of));
	guest->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int error = 0;
	if (!guest->members || !guest->awake || !guest->consumers || !guest->member_of)
		error = otr_fail(-ENOMEM, "out of memory");
	else if (guest->epoll_fd < 0)
		error = otr_fail(-errno, "cannot make an epoll instance: %s", strerror(errno));
	else
		error = connect_guest(guest);
	if (error) {
		guest->members_max = guest->members ? devices_max : 0;
		otr_guest_close(guest);
		return error;
	}
	*out = guest;
	return 0;
}

static struct member *member_of(struct otr_guest *guest, const struct otr_net *net)
{
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net == net)
			return &guest->members[i];
	}
	return NULL;
}

int otr_guest_add(struct otr_guest *guest, struct otr_net *net, unsigned what, void *user)
{
	struct member *member = member_of(guest, net);

	if (!what || (what & ~(unsigned)(OTR_RX | OTR_TX)))
		return otr_fail(-EINVAL, "a guest watches OTR_RX, OTR_TX or both");
	if (member) {
		member->what = what;
		member->user = user;
		wake(guest, (unsigned)(member - guest->members));
		return 0;
	}
	member = member_of(guest, NULL);
	if (!member)
		return otr_fail(-EBUSY, "the guest has %u devices already", guest->members_max);
	unsigned index = (unsigned)(member - guest->members);
	*member = (struct member){.net = net, .user = user, .what = what, .queue = -1};
	int error = guest->conn ? associate(guest, index) : 0;
	if (error) {
		member->net = NULL;
		return error;
	}
	wake(guest, index);
	return 0;
}

int otr_guest_remove(struct otr_guest *guest, struct otr_net *net)
{
	struct member *member = member_of(guest, net);
	struct varlink_answer answer;

	if (!net || !member)
		return otr_fail(-ENOENT, "the guest does not have that device");
	for (unsigned i = 0; i < guest->awake_count; i++) {
		if (&guest->members[guest->awake[i]] == member)
			drop_awake(guest, i--);
	}
	int queue = member->queue;
	*member = (struct member){.queue = -1};
	if (queue < 0 || !guest->conn)
		return 0;
	guest->member_of[queue] = -1;
	int error = otr_call(guest->conn, "org.outrigger.Partition.DissociateNet",
			     json_pack("{s:s}", "device", net->device), &answer);
	if (!error)
		varlink_answer_clear(&answer);
	/* It has gone already, or the shim has: either way it is not the guest's any more. */
	return 0;
}
