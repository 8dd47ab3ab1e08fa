/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standbys: a second process of an adjunct's image that has taken its memory
 * and brought DPDK up, and waits. When the adjunct dies it only has to open the
 * device and the port. It owns neither before, and costs as much memory again;
 * a device has one if its document says so. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "shim.h"

#define ANOTHER_US (1000 * 1000)
/* After a takeover the partition's backlog has the processors first. */
#define AFTER_TAKEOVER_US (200 * 1000)

/* Of the adjunct's control socket; a promoted standby keeps the name it has. */
int device_socket_path(const struct device *device, unsigned slot, char out[SHIM_PATH_BYTES])
{
	char label[DEVICE_LABEL_BYTES];

	device_label(device, label);
	return shim_path(device->partition->shim, "adjunct", label, slot ? SLOT_SUFFIX ".sock" : ".sock", out);
}

static int on_another(sd_event_source *source, uint64_t usec, void *data)
{
	struct device *device = data;

	(void)source;
	(void)usec;
	device->standby_timer = sd_event_source_disable_unref(device->standby_timer);
	if (device->state == STATE_RUNNING)
		standby_start(device);
	return 0;
}

static void start_after(struct device *device, uint64_t wait_us)
{
	if (device->standby_timer || !device->spec.adjunct.standby)
		return;
	if (sd_event_add_time_relative(device->partition->shim->event, &device->standby_timer,
				       CLOCK_MONOTONIC, wait_us, 0, on_another, device) < 0)
		log_warning("device %s/%s: no timer for another standby", device->partition->name,
			    device->spec.name);
}

void standby_start_later(struct device *device)
{
	start_after(device, AFTER_TAKEOVER_US);
}

/* Another one, but not at once: this one may die for a reason that lasts. */
static void on_standby_exit(void *data, const char *how)
{
	struct device *device = data;

	log_info("device %s/%s: its standby %s", device->partition->name, device->spec.name, how);
	peer_free(device->standby);
	device->standby = NULL;
	device->standby_ready = false;
	device_free_memory(&device->standby_memory_fd);
	state_changed(device->partition->shim);
	start_after(device, ANOTHER_US);
}

static void on_prepared(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	(void)answer;
	if (problem) {
		log_warning("device %s/%s: its standby cannot be prepared: %s",
			    device->partition->name, device->spec.name, problem);
		peer_kill(device->standby);
		return;
	}
	device->standby_ready = true;
	log_info("device %s/%s: a standby waits", device->partition->name, device->spec.name);
}

void standby_start(struct device *device)
{
	struct shim *shim = device->partition->shim;
	char executable[sizeof(shim->libexec_dir) + DOC_STRING_BYTES], label[DEVICE_LABEL_BYTES];
	char socket_path[SHIM_PATH_BYTES], device_string[2 * SHIM_PATH_BYTES];

	if (!device->spec.adjunct.standby || device->standby || device->standby_timer)
		return;
	device_label(device, label);
	int memory_fd = device_donate(device);
	int error = memory_fd < 0 ? memory_fd : 0;

	if (!error)
		error = device_executable(device, executable, sizeof(executable));
	if (!error)
		error = device_socket_path(device, !device->slot, socket_path);
	if (!error)
		error = adapter_device_string(device->adapter, device, device_string,
					      sizeof(device_string));
	if (!error)
		error = peer_spawn(shim->event, executable, label, socket_path, SPAWN_ISOLATED,
				   on_standby_exit, device, &device->standby);
	if (error)
		log_warning("device %s/%s: no standby can be started: %s", device->partition->name,
			    device->spec.name, strerror(-error));
	else
		peer_call(device->standby, "org.outrigger.Adjunct.Prepare",
			  json_pack("{s:s,s:s,s:I}", "name", label, "device", device_string,
				    "memory_bytes", (json_int_t)device->spec.adjunct.memory_bytes),
			  &memory_fd, 1, SHIM_START_MS, on_prepared, device);
	device_free_memory(&device->standby_memory_fd);
	device->standby_memory_fd = memory_fd < 0 ? -1 : memory_fd;
	device->message[0] = '\0'; /* the device itself is well */
	state_changed(shim);
}

void standby_end(struct device *device)
{
	device->standby_timer = sd_event_source_disable_unref(device->standby_timer);
	if (!device->standby)
		return;
	peer_kill(device->standby);
	peer_free(device->standby);
	device->standby = NULL;
	device->standby_ready = false;
	device_free_memory(&device->standby_memory_fd);
}

bool standby_promote(struct device *device)
{
	char path[SHIM_PATH_BYTES];

	if (!device->standby_ready)
		return false;
	if (!device_socket_path(device, device->slot, path))
		unlink(path);
	if (!device_vhost_path(device, device->slot, path))
		unlink(path);
	device->adjunct = device->standby;
	peer_set_exit(device->adjunct, device_on_adjunct_exit);
	device->standby = NULL;
	device->standby_ready = false;
	device->slot = !device->slot;
	return true;
}
