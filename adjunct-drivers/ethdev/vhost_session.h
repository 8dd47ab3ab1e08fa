/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user socket and the session of whoever is connected to it: librte_vhost
 * speaks the protocol and maps the guest's memory, on a thread of its own; here is
 * where the rings lie according to it, handed over safely to the serving thread,
 * which moves frames (THREATS.md T09).
 *
 * The serving thread calls everything here. Between enter and leave the rings stay
 * as they are: the other thread waits with whatever message would change them.
 */
#ifndef VHOST_SESSION_H
#define VHOST_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "adj.h"
#include "vhost_ring.h"

struct vhost_session;

/* The virtqueues of the one queue pair, as the guest numbers them. */
enum vhost_queue { VHOST_QUEUE_RECEIVE, VHOST_QUEUE_TRANSMIT, VHOST_QUEUES };

struct vhost_rings {
	unsigned began; /* times that rings began, with a new guest or anew */
	struct vhost_regions memory;
	struct vhost_ring ring[VHOST_QUEUES];
	/* How far predecessors served this guest, if the shim keeps it; else NULL. */
	struct adj_inflight *inflight;
};

/*
 * On librte_vhost's thread, the serving thread being out: the rings have begun, at
 * the used index that the session was taken up with; or they end. Only here may
 * another thread than the serving one touch what port_vhost.c has.
 */
struct vhost_session_ops {
	void (*began)(void *data, struct vhost_rings *rings);
	void (*ended)(void *data, struct vhost_rings *rings);
};

/* Listens at `path` (a stale socket there is replaced). 0 or -errno, logged. */
int vhost_session_open(const struct adj_env *env, const char *path,
		       const struct vhost_session_ops *ops, void *data, struct vhost_session **out);
void vhost_session_close(struct vhost_session *session);

/* The guest's rings, or NULL: nobody is connected, or not now (no leave then). A ring
 * that the guest has not enabled is not served. */
struct vhost_rings *vhost_session_enter(struct vhost_session *session);
void vhost_session_leave(struct vhost_session *session);
/* The rings that there were last have ended. */
bool vhost_session_over(const struct vhost_session *session);

/* Watches the kicks of the present session; call before sleeping. 0 or -errno. */
int vhost_session_watch(struct vhost_session *session);
/* Empties a watched descriptor, if it is the session's. */
void vhost_session_interrupt(struct vhost_session *session, int fd);

#endif
