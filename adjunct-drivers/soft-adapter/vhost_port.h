/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions as vhost-user sockets: the only files that know librte_vhost's
 * control side. Calls come from the data thread; what librte_vhost calls back
 * runs on its own thread (see adapter.h on the lock).
 */
#ifndef VHOST_PORT_H
#define VHOST_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "adapter.h"

/* Queues as librte_vhost numbers them, seen from the driver. */
#define VHOST_QUEUE_RECEIVE 0
#define VHOST_QUEUE_TRANSMIT 1
#define VHOST_QUEUES 2
#define VHOST_QUEUE_SIZE_MAX 1024

/*
 * Listens on every function's port.path, mode 0600. One adapter per process.
 * 0; -errno, with nothing left behind. Lock held; given up meanwhile.
 */
int vhost_ports_open(struct adapter *adapter);
void vhost_ports_close(struct adapter *adapter);

/*
 * Takes the device away from the data thread and ends the driver's connection,
 * as its function-level reset. Lock held.
 */
void vhost_port_drop(struct adapter *adapter, struct vf *vf);

/* The data thread may no longer use the function's rings. Lock held. */
void vhost_port_detach(struct adapter *adapter, struct vf *vf);

/*
 * Frames that the function took from all its drivers' transmit queues so far,
 * modulo 2^32: what an adjunct's successor is told (adj_inflight.h). Lock held.
 */
uint32_t vhost_port_taken(const struct vf *vf);
/* Nobody has the function open, and nothing of whoever had is still to come. */
bool vhost_port_is_free(const struct vf *vf);

/* vhost_guard.c: which adapter the guard looks after; NULL: none. */
void vhost_guard_set(struct adapter *adapter);

#endif
