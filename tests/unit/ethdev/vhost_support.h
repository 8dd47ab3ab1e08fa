/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the unit tests of the vhost-user port stand on: a runtime that they play, a port on
 * it, and guests of a played librte_vhost (played_vhost.h). Test thread.
 */
#ifndef VHOST_SUPPORT_H
#define VHOST_SUPPORT_H

#include "../port_support.h"
#include "played_vhost.h"

#define MTU 1500
#define FRAME_MAX (MTU + 18)

/* The port under test, NULL unless one is open, and what it is opened with. */
extern struct port *port;
extern struct adj_env env;
extern struct rte_mempool *pool;

extern struct played_runtime {
	/* What the port said. */
	unsigned errors, warnings, infos, protocol_breaks;
	/* Descriptors watched now; the first that was, which is the session's own. */
	int watched, wake_fd;
	/* What goes wrong: the result of watching one, if not 0. */
	int watch_error;
} runtime;

/* All but the port, for a suite that opens it; with the port; and its end. */
void vhost_begin(void);
void vhost_open_all(void);
void vhost_close_all(void);

/* `count` frames of `length` octets from the pool; returns `count`. */
unsigned frames_make(struct rte_mbuf **frames, unsigned count, uint16_t length);
void guest_comes(void);

#endif
