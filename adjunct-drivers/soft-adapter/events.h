/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous events on their way to the monitors: posted by any thread that
 * holds the adapter's lock, taken by the data thread, which sends them (a
 * connection belongs to one thread).
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>

#define EVENT_MESSAGE_BYTES 96
#define EVENT_PHYSICAL (-1)

struct adapter;

enum event_kind {
	EVENT_CONNECTED,
	EVENT_DISCONNECTED,
	EVENT_LINK_UP,
	EVENT_LINK_DOWN,
	EVENT_RESET,
	EVENT_SPOOF,
	EVENT_CONFIGURED,
	EVENT_FAULT,
};
const char *event_name(enum event_kind kind);

struct event {
	enum event_kind kind;
	int vf;                            /* or EVENT_PHYSICAL */
	char message[EVENT_MESSAGE_BYTES]; /* may be empty */
};

int events_create(struct adapter *adapter);
void events_destroy(struct adapter *adapter);
void events_post(struct adapter *adapter, enum event_kind kind, int vf, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool events_take(struct adapter *adapter, struct event *out);

#endif
