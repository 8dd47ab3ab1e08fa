/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has happened to each device, as `outrigger events show` tells it: for each kind of
 * non-completion event how often, when last, and with which message. Nobody who was not
 * listening at the time would know otherwise. Words of events come from adjuncts, too: a
 * device has as many kinds as the table has places, and what comes beyond is in the log
 * only. Lives as long as the device, not longer than the daemon. Event-loop thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "events.h"
#include "../shim.h"

#define KINDS_MAX 24

struct happened {
	char event[32]; /* cut as otr_event has it */
	char message[160];
	uint64_t count, last_ns;
};

struct device_history {
	unsigned kinds;
	struct happened happened[KINDS_MAX];
};

static struct happened *happened_find(struct device_history *history, const char *event)
{
	struct happened *at;

	for (unsigned i = 0; i < history->kinds; i++)
		if (!strncmp(history->happened[i].event, event, sizeof(at->event) - 1))
			return &history->happened[i];
	if (history->kinds == KINDS_MAX)
		return NULL;
	at = &history->happened[history->kinds++];
	snprintf(at->event, sizeof(at->event), "%s", event);
	return at;
}

void history_add(struct device *device, const char *event, const char *message)
{
	if (!device->history)
		device->history = calloc(1, sizeof(*device->history));
	struct happened *at = device->history ? happened_find(device->history, event) : NULL;

	if (!at)
		return;
	at->count++;
	at->last_ns = clock_now_ns();
	snprintf(at->message, sizeof(at->message), "%s", message ? message : "");
}

static void add_device(json_t *list, const struct device *device)
{
	const struct device_history *history = device->history;

	for (unsigned i = 0; history && i < history->kinds; i++) {
		const struct happened *at = &history->happened[i];
		json_t *object = json_pack("{s:s,s:s,s:I,s:I}", "device", device->spec.name, "event",
					   at->event, "count", (json_int_t)at->count, "time_ns",
					   (json_int_t)at->last_ns);

		/* Cut in the middle of a letter it is no text for JSON: then there is none. */
		if (*at->message)
			json_object_set_new(object, "message", json_string(at->message));
		json_array_append_new(list, object);
	}
}

json_t *history_json(const struct partition *partition)
{
	json_t *list = json_array();

	for (const struct device *device = partition->devices; device; device = device->next)
		add_device(list, device);
	return list;
}

void history_free(struct device *device)
{
	free(device->history);
	device->history = NULL;
}
