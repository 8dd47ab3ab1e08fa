/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests: programs of a partition that hear of all their devices through one storage
 * and one eventfd (004; base/guest_layout.h). What a program asks for here is what the
 * seed's host intercepts: ALLOCATE of event and completion queues, STORE of tokens,
 * associations and summary bytes. A guest lives as long as the connection that opened
 * it. Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "guest.h"
#include "log.h"

#define ERROR(name) "org.outrigger.Partition." name

static struct guest *guest_of(const struct partition *partition, const struct varlink_conn *conn)
{
	for (struct guest *guest = partition->guests; guest; guest = guest->next)
		if (guest->conn == conn)
			return guest;
	return NULL;
}

/* ---- Coming and going ----------------------------------------------------------- */

static void guest_free(struct guest *guest)
{
	struct guest **at = &guest->partition->guests;

	while (*at && *at != guest)
		at = &(*at)->next;
	if (*at)
		*at = guest->next;
	for (uint32_t i = 0; guest->queue && i < guest->layout.queues; i++) {
		struct device_events *events = guest->queue[i];

		if (events) {
			guest_drop_device(events);
			events_attach(events->device, NULL, NULL);
		}
	}
	sd_event_source_disable_unref(guest->kick_source);
	/* On return nobody writes its storage any more. */
	if (guest->eq)
		eq_guest_destroy(guest->eq);
	if (guest->memory)
		munmap(guest->memory, guest->layout.size_bytes);
	if (guest->storage_fd >= 0)
		close(guest->storage_fd);
	if (guest->alert.fd >= 0)
		close(guest->alert.fd);
	if (guest->kick_fd >= 0)
		close(guest->kick_fd);
	free(guest->queue);
	free(guest);
}

void guests_free(struct partition *partition)
{
	while (partition->guests)
		guest_free(partition->guests);
}

void guest_connection_closed(struct shim *shim, const struct varlink_conn *conn)
{
	for (struct partition *partition = shim->partitions; partition; partition = partition->next) {
		struct guest *guest = guest_of(partition, conn);

		if (guest) {
			log_info("partition %s: a guest of program %d is gone", partition->name,
				 guest->pid);
			guest_free(guest);
			return;
		}
	}
}

/* The guest has made room in a queue that was full. */
static int on_kick(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct guest *guest = data;
	uint64_t count;

	(void)source;
	(void)revents;
	/* EAGAIN: it was not rung after all. */
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	eq_guest_resume(guest->eq, clock_now_ns());
	return 0;
}

static int make_storage(struct guest *guest)
{
	size_t bytes = guest->layout.size_bytes;

	guest->storage_fd = memfd_create("outrigger:guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (guest->storage_fd < 0 || ftruncate(guest->storage_fd, (off_t)bytes) ||
	    fcntl(guest->storage_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->storage_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	guest->memory = memory;
	guest->alert.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guest->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return guest->alert.fd < 0 || guest->kick_fd < 0 ? -errno : 0;
}

static int guest_make(struct guest *guest)
{
	struct partition *partition = guest->partition;
	struct shim *shim = partition->shim;
	int error = make_storage(guest);

	if (error)
		return error;
	if (!partition->event_host)
		partition->event_host = forwarder_host_new(shim);
	guest->queue = calloc(guest->layout.queues, sizeof(struct device_events *));
	if (!partition->event_host || !guest->queue)
		return -ENOMEM;
	error = eq_guest_create(partition->event_host, guest->memory, guest->layout.size_bytes,
				guest->layout.interrupts, &guest->alert, &guest->eq);
	if (!error)
		error = sd_event_add_io(shim->event, &guest->kick_source, guest->kick_fd, EPOLLIN,
					on_kick, guest);
	return error < 0 ? error : 0;
}

void guest_open(struct partition *partition, struct varlink_call *call, json_t *parameters)
{
	struct varlink_conn *conn = varlink_call_conn(call);
	json_int_t queues, entries = GUEST_ENTRIES_DEFAULT;
	struct guest_layout layout;
	struct guest *guest;
	uid_t uid;

	if (!varlink_call_unpack(call, parameters, "{s:I,s?I}", "queues", &queues, "entries",
				 &entries))
		return;
	if (queues < 0 || entries < 0 || queues > UINT32_MAX || entries > UINT32_MAX ||
	    guest_layout_compute((uint32_t)queues, (uint32_t)entries, &layout)) {
		varlink_error_parameter(call, "queues, entries");
		return;
	}
	if (guest_of(partition, conn)) {
		varlink_errorf(call, ERROR("Busy"), "this connection has opened a guest already");
		return;
	}
	guest = calloc(1, sizeof(*guest));
	if (!guest) {
		varlink_errorf(call, ERROR("NotReady"), "out of memory");
		return;
	}
	*guest = (struct guest){.partition = partition, .conn = conn, .layout = layout,
				.storage_fd = -1, .kick_fd = -1, .alert = {.fd = -1}};
	int error = varlink_conn_peer(conn, &guest->pid, &uid);
	if (!error)
		error = guest_make(guest);
	if (error) {
		varlink_errorf(call, ERROR("NotReady"), "a guest cannot be made: %s",
			       strerror(-error));
		guest_free(guest);
		return;
	}
	guest->next = partition->guests;
	partition->guests = guest;
	log_info("partition %s: program %d opened a guest with %u queues", partition->name, guest->pid,
		 layout.queues);
	const int fds[] = {guest->storage_fd, guest->alert.fd, guest->kick_fd};
	varlink_reply_fds(call, json_pack("{s:i,s:I,s:I}", "layout_version", GUEST_LAYOUT_VERSION,
					  "queues", (json_int_t)layout.queues, "entries",
					  (json_int_t)layout.entries), fds, 3);
}

/* ---- Devices ---------------------------------------------------------------------- */

static size_t queue_offset(const struct guest *guest, uint32_t queue)
{
	return guest->layout.first_queue + queue * guest->layout.queue_bytes;
}

/* FIG. 10 to 13, for one native net device: the slots come out as guest_layout.h says,
 * because they are given out in turn. */
static int allocate(struct guest *guest, struct device_events *events, uint32_t queue)
{
	const struct eq_guest_eq_spec spec = {
		.ring_offset = queue_offset(guest, queue),
		.capacity = guest->layout.entries,
		.marks_offset = queue_offset(guest, queue) + guest->layout.marks,
		.slots = GUEST_SLOTS,
		.gisc = GUEST_ISC,
	};
	static const uint32_t slots[] = {[ADJ_SEND] = GUEST_SLOT_SEND,
					 [ADJ_RECEIVE] = GUEST_SLOT_RECEIVE};
	uint32_t slot;

	/* Another device may have had this queue: its entries are not for this one. */
	memset((uint8_t *)guest->memory + spec.ring_offset, 0, guest->layout.queue_bytes);
	int error = eq_guest_allocate_eq(guest->eq, events->adapter, &spec, &events->eq);
	if (!error)
		error = eq_guest_store_eq_asb(guest->eq, events->adapter, events->eq,
					      guest->layout.summaries + queue);
	for (unsigned direction = 0; !error && direction < ADJ_DIRECTIONS; direction++) {
		uint32_t *cq = &events->cq[direction];

		error = eq_guest_allocate_cq(guest->eq, events->adapter, cq);
		if (!error)
			error = eq_guest_store_cq_token(guest->eq, events->adapter, *cq, slots[direction]);
		if (!error)
			error = eq_guest_store_cq_eq(guest->eq, events->adapter, *cq, events->eq, &slot);
	}
	return error;
}

static void deallocate(struct guest *guest, struct device_events *events)
{
	for (unsigned direction = 0; direction < ADJ_DIRECTIONS; direction++)
		eq_guest_deallocate_cq(guest->eq, events->adapter, events->cq[direction]);
	eq_guest_deallocate_eq(guest->eq, events->adapter, events->eq);
}

void guest_drop_device(struct device_events *events)
{
	struct guest *guest = events->guest;

	if (!guest)
		return;
	deallocate(guest, events);
	guest->queue[events->queue] = NULL;
	events->guest = NULL;
}

struct associate_job {
	struct varlink_call *call; /* NULL: the caller has left */
	uint32_t queue;
};

static void on_caller_gone(void *data)
{
	struct associate_job *job = data;

	job->call = NULL;
}

static void on_told(void *data, const char *problem)
{
	struct associate_job *job = data;

	if (job->call && problem)
		varlink_errorf(job->call, ERROR("NotReady"), "the device's adjunct %s", problem);
	else if (job->call)
		varlink_reply(job->call, json_pack("{s:I}", "queue", (json_int_t)job->queue));
	free(job);
}

/* Tells the adjunct, then answers. */
static void tell_adjunct(struct device *device, struct varlink_call *call, uint32_t queue)
{
	struct associate_job *job = calloc(1, sizeof(*job));

	if (!job) {
		varlink_errorf(call, ERROR("NotReady"), "out of memory");
		return;
	}
	*job = (struct associate_job){.call = call, .queue = queue};
	varlink_call_on_cancel(call, on_caller_gone, job);
	events_attach(device, on_told, job);
}

/* The caller's guest and the device it names, or NULL with the call answered. */
static struct guest *want_guest(struct partition *partition, struct varlink_call *call,
				json_t *parameters, struct device **device)
{
	struct guest *guest = guest_of(partition, varlink_call_conn(call));
	const char *name;

	if (!varlink_call_unpack(call, parameters, "{s:s}", "device", &name))
		return NULL;
	if (!guest) {
		varlink_errorf(call, ERROR("NotFound"), "this connection has opened no guest");
		return NULL;
	}
	*device = device_find(partition, name);
	if (*device)
		return guest;
	varlink_errorf(call, ERROR("NotFound"), "partition %s has no device '%.40s'", partition->name,
		       name);
	return NULL;
}

void guest_associate(struct partition *partition, struct varlink_call *call, json_t *parameters)
{
	struct device *device;
	struct guest *guest = want_guest(partition, call, parameters, &device);
	uint32_t queue = 0;

	if (!guest)
		return;
	if (!device->attachment || attachment_identity(device->attachment).pid != guest->pid) {
		varlink_errorf(call, ERROR("NotFound"), "the guest's program has not opened device %s",
			       device->spec.name);
		return;
	}
	if (!device->events) {
		varlink_errorf(call, ERROR("NotReady"), "device %s has no events now",
			       device->spec.name);
		return;
	}
	if (device->events->guest) {
		varlink_errorf(call, ERROR("Busy"), "device %s is another guest's", device->spec.name);
		return;
	}
	while (queue < guest->layout.queues && guest->queue[queue])
		queue++;
	if (queue == guest->layout.queues) {
		varlink_errorf(call, ERROR("Busy"), "all %u queues of the guest are in use: open it "
			       "with more", guest->layout.queues);
		return;
	}
	int error = allocate(guest, device->events, queue);
	if (error) {
		deallocate(guest, device->events);
		varlink_errorf(call, ERROR("NotReady"), "device %s: %s", device->spec.name,
			       strerror(-error));
		return;
	}
	guest->queue[queue] = device->events;
	device->events->guest = guest;
	device->events->queue = queue;
	tell_adjunct(device, call, queue);
}

void guest_dissociate(struct partition *partition, struct varlink_call *call, json_t *parameters)
{
	struct device *device;
	struct guest *guest = want_guest(partition, call, parameters, &device);

	if (!guest)
		return;
	if (!device->events || device->events->guest != guest) {
		varlink_errorf(call, ERROR("NotFound"), "device %s is not this guest's",
			       device->spec.name);
		return;
	}
	uint32_t queue = device->events->queue;
	guest_drop_device(device->events);
	tell_adjunct(device, call, queue);
}
