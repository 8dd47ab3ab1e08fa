/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standbys and spares: a second process of an adjunct's image, which waits for the
 * adjunct to die. It owns neither device nor port before.
 *
 *   standby  has taken memory of its own, as much again, and brought DPDK up in it: it
 *            only has to open the device and the port. Where the document says so.
 *   spare    is started and confined as far as it goes, and DPDK is up; in donated memory,
 *            unless that is of huge pages, in which it has touched what DPDK itself needs.
 *            Every other device has one: a cold start makes no process.
 *
 * In what follows, and wherever it makes no difference, both are standbys: a member of
 * struct device, a name of a socket, an end. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../close_later.h"
#include "log.h"
#include "../shim.h"
#include "vfio.h"

#define ANOTHER_US (1000 * 1000)

/* Of the adjunct's control socket; a promoted standby keeps the name it has. */
int device_socket_path(const struct device *device, unsigned slot, char out[SHIM_PATH_BYTES])
{
	char label[DEVICE_LABEL_BYTES];

	device_label(device, label);
	return shim_path(device->partition->shim, "adjunct", label, slot ? SLOT_SUFFIX ".sock" : ".sock", out);
}

static bool is_spare(const struct device *device)
{
	return !device->spec.adjunct.standby;
}

static void start_now(struct device *device);

/* Its memory, or -1: that comes when it takes over. What a spare has touched it is
 * charged for; huge pages are taken, and cleared, as they are made. */
static int make_memory(struct device *device, const char *device_string)
{
	if (!is_spare(device))
		return device_donate(device);
	/* A function of VFIO's is opened as DPDK comes up. */
	return vfio_group_of(device_string) >= 0 || device_has_huge_pages() ? -1 : device_donate(device);
}

static int on_another(sd_event_source *source, uint64_t usec, void *data)
{
	struct device *device = data;

	(void)source;
	(void)usec;
	device->standby_timer = sd_event_source_disable_unref(device->standby_timer);
	if (device->state != STATE_RUNNING)
		return 0;
	/* What is being applied has the processors first. */
	if (is_spare(device) && device->partition->shim->apply)
		standby_start_later(device);
	else
		start_now(device);
	return 0;
}

static void start_after(struct device *device, uint64_t wait_us)
{
	if (device->standby_timer)
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
	usage_end(&device->usage, &device->standby);
	device->standby_ready = device->window_told = false;
	close_apart(&device->standby_memory_fd);
	state_changed(device->partition->shim);
	start_after(device, ANOTHER_US);
}

/* ---- The program's window ------------------------------------------------------- */

/* The keeper's answer may come when the device is gone. */
struct window_fetch {
	struct device *device;
};

static void on_window_told(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	(void)answer;
	if (!problem || !device->standby)
		return;
	log_debug("device %s/%s: its standby does not take the window: %s", device->partition->name,
		  device->spec.name, problem);
	device->window_told = false;
}

void standby_attach(struct device *device, const int *fds, unsigned fd_count)
{
	if (!device->standby_ready)
		return; /* it fetches the window once it is */
	peer_call(device->standby, "org.outrigger.Adjunct.AttachPort",
		  json_pack("{s:I}", "ring_entries", (json_int_t)device->spec.ring_entries), fds,
		  fd_count, SHIM_CALL_MS, on_window_told, device);
	/* It hears things in order: a Start that follows finds the window there. */
	device->window_told = true;
}

void standby_detach(struct device *device)
{
	if (!device->window_told || !device->standby)
		return;
	device->window_told = false;
	peer_call(device->standby, "org.outrigger.Adjunct.DetachPort", NULL, NULL, 0, SHIM_CALL_MS,
		  on_window_told, device);
}

static void on_window(void *data, const char *problem, struct varlink_answer *answer)
{
	struct window_fetch *fetch = data;
	struct device *device = fetch->device;

	free(fetch);
	if (!device)
		return;
	device->window_fetch = NULL;
	/* A program that has opened the device since is still waiting for the adjunct. */
	if (!problem && device->attachment && !device->attaching)
		standby_attach(device, answer->fds, answer->fd_count);
}

/* A program has the device open: its standby gets to know the window now, not when
 * the program waits for it. */
static void window_fetch(struct device *device)
{
	char name[DEVICE_LABEL_BYTES];

	if (!device->attachment || device->attaching || device->window_fetch)
		return;
	device->window_fetch = malloc(sizeof(*device->window_fetch));
	if (!device->window_fetch)
		return;
	device->window_fetch->device = device;
	attachment_store_name(device, name);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Fetch", json_pack("{s:s}", "name", name),
		  NULL, 0, SHIM_CALL_MS, on_window, device->window_fetch);
}

static void window_fetch_forget(struct device *device)
{
	if (device->window_fetch)
		device->window_fetch->device = NULL;
	device->window_fetch = NULL;
}

/* ---- Beginning and end -------------------------------------------------------------- */

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
	window_fetch(device);
	log_info("device %s/%s: a %s waits", device->partition->name, device->spec.name,
		 is_spare(device) ? "spare" : "standby");
}

static void prepare(struct device *device, const char *label, const char *device_string,
		    int memory_fd)
{
	int fds[2] = {memory_fd, -1}, group = vfio_group_of(device_string);
	json_t *parameters =
		json_pack("{s:s,s:s,s:I,s:s}", "name", label, "device", device_string,
			  "memory_bytes", (json_int_t)device->spec.adjunct.memory_bytes, "cpu",
			  doc_cpus[device->spec.adjunct.cpu]);

	/* Without it the adjunct says what is missing. The group is its predecessor's. */
	fds[1] = group < 0 || is_spare(device) ? -1 : vfio_open_container();
	if (is_spare(device))
		json_object_set_new(parameters, "spare", json_true());
	if (group >= 0)
		json_object_set_new(parameters, "vfio_group", json_integer(group));
	if (adapter_is_ours(device->adapter))
		json_object_set_new(parameters, "folder",
				    json_string(device->partition->shim->state_dir));
	peer_call(device->standby, "org.outrigger.Adjunct.Prepare", parameters, fds,
		  (unsigned)(fds[0] >= 0) + (fds[1] >= 0), device->partition->shim->start_ms,
		  on_prepared, device);
	if (fds[1] >= 0)
		close(fds[1]);
}

static void start_now(struct device *device)
{
	struct shim *shim = device->partition->shim;
	char executable[sizeof(shim->libexec_dir) + DOC_STRING_BYTES], label[DEVICE_LABEL_BYTES];
	char socket_path[SHIM_PATH_BYTES], device_string[2 * SHIM_PATH_BYTES];

	if (device->standby || device->standby_timer)
		return;
	device_label(device, label);
	int memory_fd = -1;
	int error = adapter_device_string(device->adapter, device, device_string, sizeof(device_string));

	if (!error) {
		memory_fd = make_memory(device, device_string);
		error = memory_fd < 0 && !is_spare(device) ? memory_fd : 0;
	}
	if (!error)
		error = device_executable(device, executable, sizeof(executable));
	if (!error)
		error = device_socket_path(device, !device->slot, socket_path);
	if (!error)
		error = device_spawn(device, executable, socket_path, on_standby_exit,
				     &device->standby);
	if (error) {
		log_warning("device %s/%s: no standby can be started: %s", device->partition->name,
			    device->spec.name, strerror(-error));
		start_after(device, ANOTHER_US);
	} else {
		prepare(device, label, device_string, memory_fd);
	}
	close_apart(&device->standby_memory_fd);
	device->standby_memory_fd = memory_fd < 0 ? -1 : memory_fd;
	device->message[0] = '\0'; /* the device itself is well */
	state_changed(shim);
}

void standby_start(struct device *device)
{
	if (is_spare(device))
		standby_start_later(device);
	else
		start_now(device);
}

void standby_end(struct device *device)
{
	device->standby_timer = sd_event_source_disable_unref(device->standby_timer);
	window_fetch_forget(device);
	if (!device->standby)
		return;
	peer_kill(device->standby);
	usage_end(&device->usage, &device->standby);
	device->standby_ready = device->window_told = false;
	close_apart(&device->standby_memory_fd);
}

bool standby_has_memory(const struct device *device)
{
	return device->standby_ready && device->standby_memory_fd >= 0;
}

bool standby_promote(struct device *device)
{
	/* It came too late for the memory to be its own, or is gone with what it had. */
	if (!device->standby_ready || device->memory_sent == (device->standby_memory_fd >= 0))
		return false;
	window_fetch_forget(device);
	device->adjunct = device->standby;
	peer_set_exit(device->adjunct, device_on_adjunct_exit, device_on_adjunct_death);
	device->standby = NULL;
	device->standby_ready = false;
	device->slot = !device->slot;
	return true;
}

void standby_promoted(struct device *device)
{
	char path[SHIM_PATH_BYTES];

	device->window_told = false;
	/* The next standby, if there is one yet, listens at the other name. */
	if (device->standby)
		return;
	if (!device_socket_path(device, !device->slot, path))
		unlink(path);
	if (!device_vhost_path(device, !device->slot, path))
		unlink(path);
}
