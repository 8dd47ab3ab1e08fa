/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events in the shim (seed 004): each partition's host program, each device's adapter
 * storage, guests, and the forwarder. Internal to hv-shim.
 *
 *	forwarder.c      the one thread that moves events from adapters to guests
 *	device_events.c  a device's storage, and what its adjunct is told of it
 *	guests.c         programs that open a guest: their calls are the intercepted
 *	                 ALLOCATE and STORE of the seed
 *	history.c        what has happened to each device so far
 *	events_status.c  what `outrigger events` shows
 *
 * Threads: forwarder.c's own; all else is the event loop's.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <jansson.h>

#include "eq_host.h"
#include "guest_layout.h"
#include "varlink.h"

struct device;
struct partition;
struct shim;

/*
 * Of each adapter storage. A native device needs two completion queues; the rest is
 * for queue pairs of drivers to come. An adjunct that enters the same events over and
 * over cannot fill a queue, whatever its size: marks see to that.
 */
#define EVENTS_EQS 2u
#define EVENTS_CQS 64u
#define EVENTS_QPS 32u
#define EVENTS_EQ_ENTRIES 128u

struct guest;

struct device_events {
	struct device *device;
	struct eq_storage storage;
	void *memory;
	int storage_fd, alert_fd;
	struct eq_host_adapter *adapter;
	/* The guest that has taken the device; NULL: none. */
	struct guest *guest;
	uint32_t queue;   /* of the guest's */
	uint32_t eq, cq[2]; /* cq by enum adj_direction */
};

/* ---- forwarder.c ------------------------------------------------------------- */

struct forwarder;
int forwarder_start(struct shim *shim);
void forwarder_stop(struct forwarder *forwarder);
/* A partition's host program. NULL: no memory, or there is no forwarder. */
struct eq_host *forwarder_host_new(struct shim *shim);
void forwarder_host_free(struct shim *shim, struct eq_host *host);
/* An adapter's doorbell. -errno. */
int forwarder_watch(struct shim *shim, int alert_fd);
void forwarder_unwatch(struct shim *shim, int alert_fd);
/* The guest's eventfd, and how often it was rung; guest_data of eq_guest_create(). */
struct guest_alert {
	int fd;
	_Atomic uint64_t alerts;
};

/* ---- device_events.c ---------------------------------------------------------- */

/* An adjunct serves, the first or another: it is told where to post. */
void events_device_running(struct device *device);
/* The device is taken down or has failed. */
void events_device_gone(struct device *device);
/* What the shim has of the device, from its adapter or by its own doing: "link-down" and
 * such; other words have no event. What the adjunct notices it posts itself. */
void events_raise(struct device *device, const char *event);
void events_partition_gone(struct partition *partition);
/* Tells the adjunct anew, after a guest has come or gone. `done` may be NULL. */
void events_attach(struct device *device, void (*done)(void *data, const char *problem), void *data);

/* ---- guests.c ------------------------------------------------------------------ */

/* org.outrigger.Partition.OpenGuest, AssociateNet, DissociateNet */
void guest_open(struct partition *partition, struct varlink_call *call, json_t *parameters);
void guest_associate(struct partition *partition, struct varlink_call *call, json_t *parameters);
void guest_dissociate(struct partition *partition, struct varlink_call *call, json_t *parameters);
/* The connection that opened it is gone. */
void guest_connection_closed(struct shim *shim, const struct varlink_conn *conn);
/* All of a partition that goes. */
void guests_free(struct partition *partition);
/* Takes the device from its guest. */
void guest_drop_device(struct device_events *events);

/* ---- history.c ---------------------------------------------------------------------- */

/* One more of the device's non-completion events; `message` may be NULL. */
void history_add(struct device *device, const char *event, const char *message);
/* Of all the partition's devices, for GetEvents. */
json_t *history_json(const struct partition *partition);
void history_free(struct device *device);

/* ---- events_status.c ------------------------------------------------------------- */

/* org.outrigger.Shim.GetEvents */
void events_serve(struct shim *shim, struct varlink_call *call);

#endif
