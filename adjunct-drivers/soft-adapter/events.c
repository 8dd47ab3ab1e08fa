/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of events; see events.h. When a flood fills it, the oldest go, and
 * the log says how many.
 */
#include "events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapter.h"
#include "log.h"

#define EVENTS_MAX 512

struct events {
	unsigned first, count;
	unsigned long lost;
	struct event queue[EVENTS_MAX];
};

const char *event_name(enum event_kind kind)
{
	static const char *const names[] = {
		[EVENT_CONNECTED] = "connected",   [EVENT_DISCONNECTED] = "disconnected",
		[EVENT_LINK_UP] = "link-up",       [EVENT_LINK_DOWN] = "link-down",
		[EVENT_RESET] = "reset",           [EVENT_SPOOF] = "spoof",
		[EVENT_CONFIGURED] = "configured", [EVENT_FAULT] = "fault",
	};

	return names[kind];
}

int events_create(struct adapter *adapter)
{
	adapter->events = calloc(1, sizeof(*adapter->events));
	return adapter->events ? 0 : -ENOMEM;
}

void events_destroy(struct adapter *adapter)
{
	free(adapter->events);
	adapter->events = NULL;
}

void events_post(struct adapter *adapter, enum event_kind kind, int vf, const char *format, ...)
{
	struct events *events = adapter->events;
	struct event *event;
	va_list arguments;

	if (events->count == EVENTS_MAX) {
		events->first = (events->first + 1) % EVENTS_MAX;
		events->count--;
		if (events->lost++ == 0)
			log_warning("events come faster than they can be told: some are lost");
	}
	event = &events->queue[(events->first + events->count++) % EVENTS_MAX];
	event->kind = kind;
	event->vf = vf;
	va_start(arguments, format);
	vsnprintf(event->message, sizeof(event->message), format, arguments);
	va_end(arguments);
	if (vf == EVENT_PHYSICAL)
		log_debug("%s %s", event_name(kind), event->message);
	else
		log_debug("vf %d: %s %s", vf, event_name(kind), event->message);
}

bool events_take(struct adapter *adapter, struct event *out)
{
	struct events *events = adapter->events;

	if (!events->count)
		return false;
	*out = events->queue[events->first];
	events->first = (events->first + 1) % EVENTS_MAX;
	events->count--;
	return true;
}
