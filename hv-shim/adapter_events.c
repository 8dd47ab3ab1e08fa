/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adapter's process tells of its card and its functions: gone and back, links,
 * resets, faults. Each becomes an event of the devices concerned, and those whose ground
 * it was wait until it is there again. Event-loop thread.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "shim.h"

static void lose_function(struct device *device)
{
	device_event(device, "device-lost", device->adapter->message);
	adapter_wait_with(device);
}

static void tell_back(struct device *device)
{
	device_event(device, "device-back", NULL);
}

void adapter_tell_back(struct adapter *adapter)
{
	adapter_each_device(adapter, tell_back);
}

/* The whole card: its devices wait, with what partitions have of them, until it is back
 * and is as the document says once more. */
static void card_event(struct adapter *adapter, bool back, const char *message)
{
	if (back && adapter->state == STATE_STARTING && adapter->card_gone) {
		/* A function that is not there then is told once more. */
		memset(adapter->vf_gone, 0, sizeof(adapter->vf_gone));
		adapter_call_start(adapter);
		return;
	}
	if (back || adapter->state != STATE_RUNNING)
		return;
	adapter->state = STATE_STARTING;
	adapter->card_gone = true;
	snprintf(adapter->message, sizeof(adapter->message), "%s", message ? message : "gone");
	log_error("adapter %s: %s; its devices wait for it", adapter->spec.name, adapter->message);
	state_changed(adapter->shim);
	adapter_each_device(adapter, lose_function);
}

/* One function alone. */
static void function_event(struct adapter *adapter, json_int_t vf, bool back, const char *message)
{
	struct device *device = adapter->owners[vf];
	char why[SHIM_MESSAGE_BYTES];

	adapter->vf_gone[vf] = !back;
	if (!device)
		return;
	snprintf(why, sizeof(why), "%.300s", message ? message : "its function is gone");
	device_event(device, back ? "device-back" : "device-lost", why);
	if (back) {
		device_poke(device);
		return;
	}
	device_ground_lost(device, !device->spec.adjunct.none, why);
	if (device->state == STATE_STARTING) /* what it waits for */
		snprintf(device->message, sizeof(device->message),
			 "%.300s; it comes back when its card is removed and rescanned", why);
}

/* An adjunct tells of its own function's link. */
static void tell_link(struct device *device)
{
	if (!device->spec.adjunct.none || device->spec.vf.state != DOC_LINK_AUTO ||
	    device->state != STATE_RUNNING)
		return;
	device->link_up = device->adapter->link_up;
	device_event(device, device->link_up ? "link-up" : "link-down", "its card's link");
}

static void card_link(struct adapter *adapter, bool up)
{
	adapter->link_up = up;
	adapter_each_device(adapter, tell_link);
}

static bool coming_or_going(struct adapter *adapter, const char *event, json_int_t vf,
			    const char *message)
{
	bool back = !strcmp(event, "returned");

	if (!back && strcmp(event, "removed") != 0)
		return false;
	if (vf < 0 || vf >= adapter->spec.vfs)
		card_event(adapter, back, message);
	else
		function_event(adapter, vf, back, message);
	return true;
}

static void on_adapter_event(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	if (problem) {
		log_debug("adapter %s: events end: %s", adapter->spec.name, problem);
		adapter->unwatched = true;
		return;
	}
	const char *event = json_string_value(json_object_get(answer->parameters, "event"));
	const char *message = json_string_value(json_object_get(answer->parameters, "message"));
	json_int_t vf = json_integer_value(json_object_get(answer->parameters, "vf"));

	if (!event || coming_or_going(adapter, event, vf, message))
		return;
	bool link_event = !strcmp(event, "link-up") || !strcmp(event, "link-down");
	if (vf < 0 || vf >= adapter->spec.vfs) {
		if (link_event)
			card_link(adapter, !strcmp(event, "link-up"));
		log_info("adapter %s: %s%s%s", adapter->spec.name, event, message ? ": " : "",
			 message ? message : "");
		return;
	}
	struct device *device = adapter->owners[vf];
	if (device && link_event)
		device->link_up = !strcmp(event, "link-up");
	if (device && (link_event || !strcmp(event, "spoof") || !strcmp(event, "reset") ||
		       !strcmp(event, "dma-fault"))) {
		device_event(device, event, message);
		if (link_event)
			clients_link(device, event);
	} else {
		log_debug("adapter %s: function %lld: %s%s%s", adapter->spec.name, (long long)vf,
			  event, message ? ": " : "", message ? message : "");
	}
}

int adapter_watch(struct adapter *adapter)
{
	int error = peer_monitor(adapter->peer, "org.outrigger.Adapter.Monitor", on_adapter_event,
				 adapter);

	adapter->unwatched = error != 0;
	return error;
}
