/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest, for guests.c and events_status.c. Event-loop thread, but for `alert`, which
 * the forwarder uses.
 */
#ifndef GUEST_H
#define GUEST_H

#include <systemd/sd-event.h>

#include "events.h"
#include "../shim.h"

struct guest {
	struct guest *next;
	struct partition *partition;
	const struct varlink_conn *conn; /* what opened it */
	pid_t pid;
	struct eq_guest *eq;
	struct guest_layout layout;
	void *memory;
	int storage_fd, kick_fd;
	struct guest_alert alert;
	sd_event_source *kick_source;
	struct device_events **queue; /* whose each queue is; NULL: free */
};

#endif
