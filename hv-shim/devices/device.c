/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's life: a walk through device_start_steps (000, FIG. 7), and back
 * through device_stop_steps when it is taken down, changed, or a step failed.
 * The steps themselves are in device_steps.c. Event-loop thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "../close_later.h"
#include "../events/events.h"
#include "log.h"
#include "../shim.h"

struct device *device_new(struct partition *partition, struct adapter *adapter,
			  const struct doc_device *spec)
{
	struct device *device = calloc(1, sizeof(*device));
	struct device **last = &partition->devices;

	if (!device)
		return NULL;
	device->partition = partition;
	device->adapter = adapter;
	device->spec = *spec;
	device->memory_fd = device->standby_memory_fd = -1;
	while (*last)
		last = &(*last)->next;
	*last = device;
	return device;
}

void device_close_fds(struct device *device)
{
	for (unsigned i = 0; i < device->fd_count; i++)
		if (device->fds[i] >= 0)
			close(device->fds[i]);
	device->fd_count = 0;
	device->memory_sent = false;
}

/* The adjunct that serves now has the memory of the standby it was, or what it
 * was sent; its predecessor's is freed soon. */
static void device_keep_memory(struct device *device)
{
	int *now = device->memory_sent ? &device->fds[0] : &device->standby_memory_fd;

	if (*now < 0)
		return;
	close_later(device->partition->shim->event, &device->memory_fd);
	device->memory_fd = *now;
	*now = -1;
}

void device_free(struct device *device)
{
	struct device **at = &device->partition->devices;

	while (*at && *at != device)
		at = &(*at)->next;
	if (*at)
		*at = device->next;
	adapter_release(device->adapter, device);
	device_recover_end(device);
	events_device_gone(device);
	sd_event_source_disable_unref(device->standby_timer);
	peer_free(device->standby);
	attachment_close(device->attachment);
	device_vhost_close(device, false);
	device_close_fds(device);
	close_apart(&device->memory_fd);
	close_apart(&device->standby_memory_fd);
	peer_free(device->adjunct);
	peer_free(device->leaving);
	json_decref(device->counters);
	history_free(device);
	free(device);
}

/* ---- Coming to rest --------------------------------------------------------- */

void device_running(struct device *device)
{
	device_keep_memory(device);
	device_close_fds(device);
	bool taken_over = device->walk == device_recover_steps && !device->adopting;

	device->state = STATE_RUNNING;
	device->adopting = false;
	device->message[0] = '\0';
	device->running_since_ns = clock_now_ns();
	device->start_ns = device->starting_ns ? device->running_since_ns - device->starting_ns : 0;
	device->first_frame_ns = device->busy_since_ns = 0;
	if (taken_over) {
		device->gap_ns = device->running_since_ns - device->down_since_ns;
		device_restarted(device);
		device_restart_answer(device, NULL);
		device_recover_end(device);
	} else if (doc_is_client(&device->spec))
		log_info("device %s/%s: running, by the global adjunct of %s",
			 device->partition->name, device->spec.name, device->spec.shared);
	else if (device->spec.adjunct.none)
		log_info("device %s/%s: running, with the function itself",
			 device->partition->name, device->spec.name);
	else if (device->start_ns)
		log_info("device %s/%s: running, adjunct started in %.1f ms",
			 device->partition->name, device->spec.name,
			 (double)device->start_ns / NS_PER_MS);
	else
		log_info("device %s/%s: running, adjunct adopted", device->partition->name,
			 device->spec.name);
	state_changed(device->partition->shim);
	change_settle(&device->change, NULL);
	if (device->spec.adjunct.none)
		return;
	events_device_running(device);
	clients_poke(device);
	if (doc_is_client(&device->spec))
		return;
	if (device->walk == device_recover_steps) {
		standby_promoted(device);
		standby_start_later(device);
	} else {
		standby_start(device);
	}
}

/* Everything is undone. Gone for good, or starting again, or failed. */
static void device_undone(struct device *device)
{
	struct partition *partition = device->partition;
	struct adapter *adapter = device->adapter;

	device_close_fds(device);
	close_apart(&device->memory_fd);
	events_device_gone(device);
	device->abort = false;
	state_changed(partition->shim);
	/* Before the device may go: the caller's end of the restart refers to it. */
	if (device->deleting || device->restarting)
		device_restart_answer(device, "the device was taken down or changed meanwhile");
	if (device->deleting) {
		if (device->spec.kind == ADJ_PORT_VHOST_USER)
			device_vhost_close(device, true);
		log_info("device %s/%s: gone", partition->name, device->spec.name);
		change_settle(&device->change, NULL);
		device_free(device);
		partition_check(partition);
		adapter_check(adapter);
		return;
	}
	if (device->restarting) {
		struct adapter *next_adapter =
			adapter_find(partition->shim, device->next_spec.vf.adapter);

		device->restarting = false;
		adapter_release(adapter, device);
		device->spec = device->next_spec;
		device->adapter = next_adapter;
		device_start(device);
		adapter_check(adapter);
		return;
	}
	device->state = STATE_FAILED;
	device_restart_answer(device, device->message);
	change_settle(&device->change, device->message);
	clients_poke(device);
	adapter_check(adapter);
}

bool device_is_active(const struct device *device)
{
	if (device->state == STATE_FAILED)
		return false;
	return device->walk != device_start_steps || device->step > 0 || !device->waiting;
}

/* ---- Walking ------------------------------------------------------------------ */

static void device_undo(struct device *device)
{
	device->walk = device_stop_steps;
	device->step = 0;
	device->state = STATE_STOPPING;
}

/* A step went wrong; device->message says how. */
static void device_step_failed(struct device *device)
{
	bool on_ground = adapter_is_ready(device) && partition_is_ready(device->partition);

	log_error("device %s/%s: cannot %s: %s", device->partition->name, device->spec.name,
		  device->walk[device->step].name, device->message);
	if (device->adopting && !device->abort) {
		/* What an earlier shim left is of no use: anew, once everything is undone. */
		device->next_spec = device->spec;
		device->restarting = true;
	} else if (device->walk == device_recover_steps && !device->abort) {
		device_recover_failed(device, device->message);
		return;
	} else if (!on_ground && device->step > 0 && !device->abort) {
		/* What it stands on is being made anew, or fails, which will fail it too. */
		device->next_spec = device->spec;
		device->restarting = true;
	}
	device_undo(device);
}

static enum step_for step_for(const struct device *device)
{
	return doc_is_client(&device->spec)	 ? STEP_FOR_CLIENT
	       : device->spec.adjunct.none ? STEP_FOR_PARTITION
						 : STEP_FOR_ADJUNCT;
}

void device_walk(struct device *device)
{
	for (;;) {
		if (!device_undoing(device) && device->abort)
			device_undo(device);
		const struct step *step = &device->walk[device->step];
		if (!step->name)
			break;
		if (step->whom && !(step->whom & step_for(device))) {
			device->step++;
			continue;
		}
		log_debug("device %s/%s: %s", device->partition->name, device->spec.name, step->name);
		device->waiting = true;
		int result = step->begin(device);
		if (result == 0)
			return;
		device->waiting = false;
		if (result < 0 && !device_undoing(device)) {
			device_step_failed(device);
			continue;
		}
		device->step++;
	}
	if (device_undoing(device))
		device_undone(device);
	else
		device_running(device);
}

void device_step_done(struct device *device, const char *problem)
{
	device->waiting = false;
	if (problem && device_undoing(device)) {
		log_warning("device %s/%s: %s: %s", device->partition->name, device->spec.name,
			    device->walk[device->step].name, problem);
	} else if (problem) {
		if (!device->abort)
			snprintf(device->message, sizeof(device->message), "%s", problem);
		device_step_failed(device);
		device_walk(device);
		return;
	}
	device->step++;
	device_walk(device);
}

static bool device_waits_for_others(const struct device *device)
{
	return device->waiting &&
	       (device->walk == device_start_steps     ? device->step == 0
		: device->walk == device_recover_steps ? device->step == DEVICE_RECOVER_WAIT_STEP
						       : false);
}

void device_poke(struct device *device)
{
	if (device_waits_for_others(device))
		device_walk(device);
}

void device_turn_back(struct device *device)
{
	if (device_undoing(device))
		return;
	/* Waiting before another try is for nobody's answer. */
	bool answer = device->waiting && !device->recover_timer &&
		      !device_waits_for_others(device);

	device_recover_end(device);
	if (answer) {
		device->abort = true;
		return;
	}
	device->waiting = false;
	device_undo(device);
	device_walk(device);
}

void device_fail(struct device *device, const char *format, ...)
{
	va_list arguments;

	if (device_undoing(device) || device->state == STATE_FAILED)
		return;
	va_start(arguments, format);
	vsnprintf(device->message, sizeof(device->message), format, arguments);
	va_end(arguments);
	log_error("device %s/%s: failed: %s", device->partition->name, device->spec.name,
		  device->message);
	device_event(device, "device-failed", device->message);
	device_turn_back(device);
}

void device_start(struct device *device)
{
	device->state = STATE_STARTING;
	device->walk = device_start_steps;
	device->abort = false;
	device->adopting = false;
	device->step = 0;
	device->starting_ns = 0;
	device->deaths = 0;
	device->link_up = true;
	state_changed(device->partition->shim);
	device_walk(device);
}

void device_stop(struct device *device)
{
	device->deleting = true;
	if (device->state == STATE_FAILED)
		device_undone(device);
	else
		device_turn_back(device);
}

void device_restart(struct device *device, const struct doc_device *spec)
{
	device->next_spec = *spec;
	device->restarting = true;
	if (device->state == STATE_FAILED)
		device_undone(device);
	else
		device_turn_back(device);
}

void device_ground_lost(struct device *device, bool keeps_port, const char *why)
{
	/* Of a client's function its global adjunct hears, and then the client. */
	if (keeps_port && doc_is_client(&device->spec))
		return;
	if (device_undoing(device) || device->state == STATE_FAILED || device->abort)
		return;
	if (keeps_port && device->state == STATE_STARTING && device->walk == device_recover_steps) {
		/* Its adjunct noticed first. It comes to where it waits by itself. */
		device_event(device, "device-reset", why);
		return;
	}
	if (device_waits_for_others(device) && device->walk == device_start_steps)
		return;
	if (!keeps_port) {
		device_event(device, "device-closed", why);
		device_restart(device, &device->spec);
	} else if (device->walk == device_start_steps && device->state == STATE_STARTING) {
		device_restart(device, &device->spec);
	} else {
		device_event(device, "device-reset", why);
		device_recover(device, "%s", why);
	}
}

/* ---- Changes to a running device ------------------------------------------------- */

static void on_vf_updated(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	(void)answer;
	if (problem)
		device->spec.vf = device->previous_vf;
	state_changed(device->partition->shim);
	change_settle(&device->change, problem);
}

void device_update_vf(struct device *device, const struct doc_vf *vf)
{
	device->previous_vf = device->spec.vf;
	device->spec.vf = *vf;
	if (device->state == STATE_RUNNING && device->adapter->peer)
		adapter_configure_vf(device->adapter, device, on_vf_updated, device);
	else
		on_vf_updated(device, NULL, NULL);
}

static void log_event(const struct device *device, const char *event, const char *message)
{
	log_info("device %s/%s: %s%s%s", device->partition->name, device->spec.name, event,
		 message ? ": " : "", message ? message : "");
}

static void tell_event(struct device *device, const char *event, const char *message)
{
	history_add(device, event, message);
	partition_notify(device->partition, device->spec.name, event, message);
}

void device_event(struct device *device, const char *event, const char *message)
{
	log_event(device, event, message);
	tell_event(device, event, message);
	events_raise(device, event);
}

void device_event_limited(struct device *device, const char *event, const char *message)
{
	if (log_limit_pass(&device->lines, device->spec.name))
		log_event(device, event, message);
	tell_event(device, event, message);
}

void device_on_adjunct_event(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	const char *event;

	device->unwatched = problem != NULL;
	if (problem || !(event = json_string_value(json_object_get(answer->parameters, "event"))))
		return;
	const char *message = json_string_value(json_object_get(answer->parameters, "message"));
	const char *client = json_string_value(json_object_get(answer->parameters, "client"));

	if (client) {
		client_event(device, client, event, message);
		return;
	}
	if (!strcmp(event, "link-up") || !strcmp(event, "link-down")) {
		device->link_up = !strcmp(event, "link-up");
		clients_link(device, event);
	}
	if (!strcmp(event, "device-failed"))
		device_recover(device, "%s", message ? message : "the adjunct lost its device");
	else if (!strcmp(event, "partition-protocol") && device->spec.kind == ADJ_PORT_TAP)
		/* A native program opens its device anew; an interface must be made anew. */
		device_fail(device, "its interface %s is gone, deleted from within the partition; apply "
			    "the document again to make it anew", device->spec.ifname);
	else
		device_event_limited(device, event, message);
}

int device_watch(struct device *device)
{
	int error = peer_monitor(device->adjunct, "org.outrigger.Adjunct.Monitor",
				 device_on_adjunct_event, device);

	device->unwatched = error != 0;
	return error;
}

/* The walk itself is ending the adjunct, and expects it to. */
static bool device_ending_adjunct(const struct device *device)
{
	return device->walk == device_recover_steps && device->waiting &&
	       device->step <= DEVICE_RECOVER_END_STEP;
}

void device_on_adjunct_exit(void *data, const char *how)
{
	struct device *device = data;

	usage_end(&device->usage, &device->adjunct);
	device_vhost_detach(device, true);
	device->attaching = false;
	if (device->asking_keeper || device_vhost_opening(device))
		return; /* until the keeper has answered; what follows finds it gone */
	if (device_undoing(device) || device_ending_adjunct(device)) {
		/* The step that waits for this end. */
		if (device->waiting && !(device_undoing(device) && device->leaving))
			device_step_done(device, NULL);
		return;
	}
	/* Whatever was awaited was awaited from the adjunct, and went with it. */
	device->waiting = false;
	if (device->adopting && !device->abort)
		device_restart(device, &device->spec);
	else if (device->walk == device_start_steps && device->state == STATE_STARTING)
		device_fail(device, "its adjunct %s", how);
	else
		device_recover(device, "its adjunct %s", how);
}
