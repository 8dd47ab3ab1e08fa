/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter's control socket: org.outrigger.Adapter, served to the shim. Up
 * to four connections, because one that monitors cannot ask. Data thread, lock
 * held.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "adapter.h"

#define CONTROL_CONNECTIONS_MAX 4

/* `listen_fd` stays the caller's. 0, -ENOMEM, -errno. */
int control_open(struct adapter *adapter, int listen_fd);
void control_close(struct adapter *adapter);

/* The listening socket, or connection `slot`, is ready. */
void control_accept(struct adapter *adapter);
void control_ready(struct adapter *adapter, unsigned slot);
/* Sends the waiting events to whoever monitors. */
void control_tell(struct adapter *adapter);

#endif
