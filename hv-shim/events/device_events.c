/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's adapter storage (004; event-queues/eq_adapter.h): made when its adjunct
 * first serves, given to every adjunct that follows, gone with the device. Without it a
 * device works all the same; its partition then hears by doorbell and socket only, so
 * that what goes wrong here is logged and no more. Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "log.h"
#include "../shim.h"

#define STORAGE_BYTES eq_storage_bytes(EVENTS_EQS, EVENTS_CQS, EVENTS_QPS, EVENTS_EQ_ENTRIES)

static struct eq_host *partition_host(struct partition *partition)
{
	if (!partition->event_host)
		partition->event_host = forwarder_host_new(partition->shim);
	return partition->event_host;
}

static void events_free(struct device_events *events)
{
	struct shim *shim = events->device->partition->shim;

	if (events->alert_fd >= 0) {
		forwarder_unwatch(shim, events->alert_fd);
		close(events->alert_fd);
	}
	/* Nobody has anything of it: its one guest was dropped. */
	if (events->adapter)
		eq_host_remove_adapter(events->adapter);
	if (events->memory)
		munmap(events->memory, STORAGE_BYTES);
	eq_storage_close(&events->storage);
	if (events->storage_fd >= 0)
		close(events->storage_fd);
	free(events);
}

static int make_storage(struct device_events *events)
{
	uint64_t bytes = STORAGE_BYTES;
	char label[DEVICE_LABEL_BYTES], name[DEVICE_LABEL_BYTES + 24];

	/* Whose it is can be seen in /proc/PID/maps. */
	device_label(events->device, label);
	snprintf(name, sizeof(name), "outrigger:%s events", label);
	events->storage_fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (events->storage_fd < 0 || ftruncate(events->storage_fd, (off_t)bytes) ||
	    fcntl(events->storage_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, events->storage_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	events->memory = memory;
	return eq_storage_format(memory, bytes, EVENTS_EQS, EVENTS_CQS, EVENTS_QPS, &events->storage);
}

static struct device_events *events_new(struct device *device)
{
	struct shim *shim = device->partition->shim;
	struct eq_host *host = partition_host(device->partition);
	struct device_events *events = host ? calloc(1, sizeof(*events)) : NULL;

	if (!events)
		return NULL;
	*events = (struct device_events){.device = device, .storage_fd = -1, .alert_fd = -1};
	int error = make_storage(events);
	if (!error)
		error = eq_host_add_adapter(host, &events->storage, EVENTS_EQ_ENTRIES,
					    &events->adapter);
	if (!error) {
		events->alert_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		error = events->alert_fd < 0 ? -errno : forwarder_watch(shim, events->alert_fd);
	}
	if (error) {
		log_error("device %s/%s: its guests get no events: %s", device->partition->name,
			  device->spec.name, strerror(-error));
		events_free(events);
		return NULL;
	}
	return events;
}

/* ---- Telling the adjunct ------------------------------------------------------ */

struct attach_job {
	void (*done)(void *data, const char *problem);
	void *data;
	char label[DEVICE_LABEL_BYTES];
};

static void on_attached(void *data, const char *problem, struct varlink_answer *answer)
{
	struct attach_job *job = data;

	(void)answer;
	if (problem)
		log_warning("adjunct %s: is not told where to post events: %s", job->label, problem);
	if (job->done)
		job->done(job->data, problem);
	free(job);
}

void events_attach(struct device *device, void (*done)(void *data, const char *problem), void *data)
{
	struct device_events *events = device->events;
	const struct device *server = device_server(device);
	struct attach_job *job = calloc(1, sizeof(*job));

	if (!job || !events || !server || !server->adjunct) {
		free(job);
		if (done)
			done(data, job ? "the device does not run now" : "out of memory");
		return;
	}
	*job = (struct attach_job){.done = done, .data = data};
	device_label(device, job->label);
	json_t *parameters = client_parameters(
		device, json_pack("{s:I}", "storage_bytes", (json_int_t)events->storage.bytes));
	if (events->guest) {
		json_object_set_new(parameters, "send_cq", json_integer(events->cq[ADJ_SEND]));
		json_object_set_new(parameters, "receive_cq", json_integer(events->cq[ADJ_RECEIVE]));
	}
	const int fds[] = {events->storage_fd, events->alert_fd};
	peer_call(server->adjunct, "org.outrigger.Adjunct.AttachEvents", parameters, fds, 2,
		  SHIM_CALL_MS, on_attached, job);
}

void events_device_running(struct device *device)
{
	if (!device->events)
		device->events = events_new(device);
	if (device->events)
		events_attach(device, NULL, NULL);
}

void events_device_gone(struct device *device)
{
	struct device_events *events = device->events;

	if (!events)
		return;
	device->events = NULL;
	guest_drop_device(events);
	events_free(events);
}

void events_raise(struct device *device, const char *event)
{
	static const struct {
		const char *name;
		enum eq_event event;
	} table[] = {
		{"link-down", EQ_LINK_DOWN},
		{"link-up", EQ_LINK_UP},
		{"reset", EQ_DEVICE_RESET},
		{"device-reset", EQ_DEVICE_RESET},
		{"device-failed", EQ_DEVICE_FAILED},
		{"device-lost", EQ_DEVICE_LOST},
		{"device-back", EQ_DEVICE_BACK},
		{"dma-fault", EQ_DMA_FAULT},
	};

	for (size_t i = 0; device->events && i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].name, event))
			eq_host_raise(device->events->adapter, table[i].event, clock_now_ns());
}

void events_partition_gone(struct partition *partition)
{
	guests_free(partition);
	forwarder_host_free(partition->shim, partition->event_host);
	partition->event_host = NULL;
}
