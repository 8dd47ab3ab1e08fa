/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a global adjunct serves (000, FIG. 4B, 5, 8 and 9): clients. The adjunct is
 * that of another partition's device, which donated its memory and has its function; a
 * client has a name and an address there, and the window of its program, which nobody
 * has but that program, its own keeper and the adjunct. A client refers to the other
 * device by its names alone, so that either may go and come back. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../events/events.h"
#include "log.h"
#include "../shim.h"

#define DONE 1
#define PENDING 0

void clients_each(struct device *device, void (*function)(struct device *client, const void *data),
		  const void *data)
{
	struct shim *shim = device->partition->shim;

	if (device->spec.adjunct.scope != DOC_SCOPE_GLOBAL)
		return;
	for (struct partition *p = shim->partitions, *next_partition; p; p = next_partition) {
		next_partition = p->next;
		for (struct device *d = p->devices, *next; d; d = next) {
			next = d->next;
			if (d != device && device_server(d) == device)
				function(d, data);
		}
	}
}

/* ---- Steps ------------------------------------------------------------------------- */

int client_wait(struct device *device)
{
	const struct device *server = device_server(device);

	if (device->partition->state == STATE_FAILED) {
		snprintf(device->message, sizeof(device->message), "partition %s failed: %.300s",
			 device->partition->name, device->partition->message);
		return -ENODEV;
	}
	if (server && server->state == STATE_FAILED) {
		snprintf(device->message, sizeof(device->message), "the global adjunct of %s failed: "
			 "%.280s", device->spec.shared, server->message);
		return -ENODEV;
	}
	if (!server || server->state != STATE_RUNNING || !partition_is_ready(device->partition)) {
		if (!server)
			snprintf(device->message, sizeof(device->message),
				 "waits for %s, which is not there", device->spec.shared);
		return PENDING;
	}
	struct adapter *before = device->adapter;

	/* As it is by now. */
	device->message[0] = '\0';
	device->adapter = server->adapter;
	device->spec.vf = server->spec.vf;
	device->link_up = server->link_up;
	adapter_check(before); /* which may have waited for us */
	return DONE;
}

static void ignore(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)data;
	(void)answer;
	if (problem)
		log_debug("a client need not be detached: %s", problem);
}

static void on_address_known(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)answer;
	device_step_done(data, problem);
}

/* The embedded adapter sends its function what is for the client's address, too. */
static bool tell_address(const struct device *server, struct device *client)
{
	if (server->adapter->spec.kind != DOC_ADAPTER_EMBEDDED || !server->adapter->peer)
		return false;
	adapter_configure_vf(server->adapter, server, client ? on_address_known : ignore, client);
	return true;
}

static void on_client_attached(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data, *server = device_server(device);

	(void)answer;
	/* Its program ended while the window was on its way. */
	if (!problem && device->fd_count && !device->attachment && server && server->adjunct)
		peer_call(server->adjunct, "org.outrigger.Adjunct.DetachPort",
			  client_parameters(device, json_object()), NULL, 0, SHIM_CALL_MS, ignore,
			  NULL);
	if (problem || !server || !tell_address(server, device))
		device_step_done(device, problem);
}

int client_attach(struct device *device)
{
	const struct device *server = device_server(device);
	char label[DEVICE_LABEL_BYTES], mac[DOC_MAC_TEXT_BYTES];

	if (!server || !server->adjunct || server->state != STATE_RUNNING) {
		snprintf(device->message, sizeof(device->message), "the global adjunct of %s has ended",
			 device->spec.shared);
		return -ESRCH;
	}
	if (!device->attachment)
		device_close_fds(device);
	device_label(device, label);
	doc_mac_format(device->spec.mac, mac);
	json_t *parameters = json_pack("{s:s,s:s,s:I}", "name", label, "mac", mac, "mtu",
				       (json_int_t)device->spec.mtu);
	if (device->fd_count)
		json_object_set_new(parameters, "ring_entries",
				    json_integer(device->spec.ring_entries));
	peer_call(server->adjunct, "org.outrigger.Adjunct.AttachClient", parameters, device->fds,
		  device->fd_count, SHIM_CALL_MS, on_client_attached, device);
	return PENDING;
}

int client_settle(struct device *device)
{
	/* attachment.c: on_attached() goes on. */
	return device->attaching ? PENDING : DONE;
}

int client_detach(struct device *device)
{
	const struct device *server = device_server(device);
	char label[DEVICE_LABEL_BYTES];

	device_label(device, label);
	if (server && server->adjunct)
		peer_call(server->adjunct, "org.outrigger.Adjunct.DetachClient",
			  json_pack("{s:s}", "name", label), NULL, 0, SHIM_CALL_MS, ignore, NULL);
	if (server && server->state == STATE_RUNNING)
		tell_address(server, NULL);
	return DONE;
}

void client_adopt(struct device *device, bool sound)
{
	device->walk = device_recover_steps;
	if (!sound) {
		device->state = STATE_RUNNING;
		device_restart(device, &device->spec);
		return;
	}
	/* It attaches once more, with what its keeper has. */
	device->state = STATE_STARTING;
	device->adopting = true;
	device->step = DEVICE_RECOVER_WAIT_STEP;
	device_walk(device);
}

/* ---- What they hear of whom serves them ------------------------------------------------ */

static void poke(struct device *client, const void *data)
{
	(void)data;
	device_poke(client);
}

void clients_poke(struct device *device)
{
	clients_each(device, poke, NULL);
}

static void recover(struct device *client, const void *data)
{
	(void)data;
	/* One that is on its way finds out as it goes on. */
	if (client->state == STATE_RUNNING)
		device_recover_adopted(client);
}

void clients_recover(struct device *device)
{
	clients_each(device, recover, NULL);
}

static void lose(struct device *client, const void *data)
{
	const struct device *device = data;
	char why[SHIM_MESSAGE_BYTES];

	snprintf(why, sizeof(why), "%s/%s, whose global adjunct served it, is taken down",
		 device->partition->name, device->spec.name);
	device_ground_lost(client, false, why);
}

void clients_lost(struct device *device)
{
	clients_each(device, lose, device);
}

static void link_changed(struct device *client, const void *data)
{
	const char *event = data;

	client->link_up = !strcmp(event, "link-up");
	if (client->state != STATE_RUNNING)
		return;
	events_raise(client, event);
	device_event_limited(client, event, NULL);
}

void clients_link(struct device *device, const char *event)
{
	clients_each(device, link_changed, event);
}

struct told {
	const char *label, *event, *message;
};

static void tell(struct device *client, const void *data)
{
	const struct told *told = data;
	char label[DEVICE_LABEL_BYTES];

	device_label(client, label);
	if (!strcmp(label, told->label))
		device_event_limited(client, told->event, told->message);
}

void client_event(struct device *device, const char *label, const char *event, const char *message)
{
	const struct told told = {.label = label, .event = event, .message = message};

	clients_each(device, tell, &told);
}
