/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device after a restart of the shim: its adjunct is taken up where it still serves,
 * followed by another where what it served with is whole, and else everything is made
 * anew. Called by state.c as it reads what an earlier shim left, then from the answers of
 * others. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "../shim.h"

/* An answer came for a device that is to be taken down or changed meanwhile. */
static bool adoption_is_over(struct device *device)
{
	device->waiting = false;
	if (!device_undoing(device) && !device->abort)
		return false;
	device->step = 1;
	device->abort = false;
	device_turn_back(device);
	return true;
}

static bool is_kept(json_t *names, const char *name, const char *suffix)
{
	char wanted[DEVICE_LABEL_BYTES];
	json_t *kept;
	size_t i;

	snprintf(wanted, sizeof(wanted), "%s%s", name, suffix);
	json_array_foreach(names, i, kept)
		if (json_is_string(kept) && !strcmp(json_string_value(kept), wanted))
			return true;
	return false;
}

/* Whether the partition's end stands, so that only the adjunct must be made anew. */
static void on_kept(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	json_t *names = problem ? NULL : json_object_get(answer->parameters, "names");

	device->asking_keeper = false;
	if (adoption_is_over(device))
		return;
	bool whole = json_is_array(names);
	if (device->spec.kind == ADJ_PORT_TAP)
		whole = whole && is_kept(names, device->spec.name, "");
	if (device->attachment)
		whole = whole && is_kept(names, device->spec.name, ".window");
	if (*device->spec.adjunct.donate) /* not yet taken, or given back */
		whole = whole && !is_kept(names, device->spec.adjunct.donate, ".region");
	if (whole)
		device_recover_adopted(device);
	else
		device_restart(device, &device->spec);
}

static void ask_keeper(struct device *device)
{
	device->waiting = device->asking_keeper = true;
	peer_call(device->partition->keeper, "org.outrigger.Keeper.List", NULL, NULL, 0, SHIM_CALL_MS,
		  on_kept, device);
}

void device_keeper_lost(struct device *device)
{
	/* The question went with the keeper. */
	if (device->asking_keeper || device_vhost_opening(device)) {
		device->asking_keeper = false;
		device_vhost_keeper_lost(device);
		device->waiting = device->abort = false;
	}
	device_restart(device, &device->spec);
}

static void on_adopted(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	const char *state =
		problem ? NULL : json_string_value(json_object_get(answer->parameters, "state"));

	if (adoption_is_over(device))
		return;
	if (state && !strcmp(state, "serving")) {
		device->step = device_adopt_step;
		device_walk(device);
		return;
	}
	log_warning("device %s/%s: its adjunct cannot be adopted (%s) and is replaced",
		    device->partition->name, device->spec.name,
		    problem ? problem : state ? state : "no state");
	ask_keeper(device);
}

void device_adopt(struct device *device, struct peer_identity identity, bool sound)
{
	char socket_path[SHIM_PATH_BYTES];

	device->link_up = true;
	if (doc_is_client(&device->spec)) {
		client_adopt(device, sound);
		return;
	}
	device->walk = device_start_steps;
	device->step = 1; /* past waiting for others */
	region_adopt(device);
	int error = device_socket_path(device, device->slot, socket_path);
	if (!error && identity.pid <= 0)
		error = -ESRCH;
	if (!error)
		error = peer_adopt(device->partition->shim->event, identity, socket_path,
				   device_on_adjunct_exit, device, &device->adjunct);
	state_check_adopted("adjunct", socket_path, error);
	if (sound && device->spec.adjunct.none) {
		/* Nobody of ours is on the way of its frames. */
		device->step = device_adopt_step;
		device_running(device);
		return;
	}
	if (!sound) {
		/* It may have left a process, a TAP, a function, a socket: undo first. */
		device->state = STATE_RUNNING;
		device_restart(device, &device->spec);
		return;
	}
	device->state = STATE_STARTING;
	device->adopting = true;
	if (error) {
		log_info("device %s/%s: its adjunct is gone", device->partition->name,
			 device->spec.name);
		ask_keeper(device);
		return;
	}
	log_info("device %s/%s: adopting adjunct %d", device->partition->name, device->spec.name,
		 identity.pid);
	device->waiting = true;
	peer_call(device->adjunct, "org.outrigger.Adjunct.GetStatus", NULL, NULL, 0, SHIM_CALL_MS,
		  on_adopted, device);
}
