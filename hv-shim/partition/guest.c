/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests: one wait for many native devices, through the event queues of seed 004
 * (event-queues/eq_queue.h; base/guest_layout.h says where they lie). Here the shim is
 * asked for one, and devices come and go; guest_wait.c waits. Runs on the thread that
 * owns the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "otr_guest.h"

#define POLLING_MAX_NS (20 * NS_PER_US)
/* Without a shim. */
#define RECONNECT_NS (50 * NS_PER_MS)
#define GUEST_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define WATCHED ((unsigned)(OTR_RX | OTR_TX | OTR_COMPLETION | OTR_PA_BUSY))

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
	otr_guest_wake_member(guest, index);
	return 0;
}

void otr_guest_recover(struct otr_guest *guest)
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
	otr_guest_wake_all(guest);
}

bool otr_guest_is_whole(const struct otr_guest *guest)
{
	if (!guest->conn)
		return false;
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net && guest->members[i].queue < 0)
			return false;
	}
	return true;
}

void otr_guest_look_at_shim(struct otr_guest *guest)
{
	struct varlink_message message;

	if (!guest->conn)
		return;
	if (varlink_conn_read(guest->conn) < 0 || varlink_conn_next(guest->conn, &message) < 0) {
		unmap(guest);
		guest->reconnect_ns = 0;
	}
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
	for (unsigned i = 0; i < guest->members_max; i++) {
		if (guest->members[i].net)
			guest->members[i].net->guest = NULL;
	}
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

	if (!what || (what & ~WATCHED))
		return otr_fail(-EINVAL, "a guest watches OTR_RX, OTR_TX, OTR_COMPLETION and "
				"OTR_PA_BUSY");
	if (member) {
		member->what = what;
		member->user = user;
		otr_guest_wake_member(guest, (unsigned)(member - guest->members));
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
	net->guest = guest;
	net->guest_member = index;
	otr_guest_wake_member(guest, index);
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
			otr_guest_drop(guest, i--);
	}
	int queue = member->queue;
	net->guest = NULL;
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
