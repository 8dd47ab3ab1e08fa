/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user socket and the session of whoever is connected to it, handed
 * over safely between librte_vhost's own thread, which makes and destroys
 * sessions, and the serving thread, which moves frames (THREATS.md T09).
 *
 * The serving thread calls everything here. Between enter and leave the session
 * stays valid: the other thread waits with destroying it.
 */
#ifndef VHOST_SESSION_H
#define VHOST_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "adj.h"

struct vhost_session;

/* Listens at `path` (a stale socket there is replaced). 0 or -errno, logged. */
int vhost_session_open(const struct adj_env *env, const char *path, struct vhost_session **out);
void vhost_session_close(struct vhost_session *session);

/* The virtqueues of the one queue pair, as the guest numbers them. */
enum vhost_queue { VHOST_QUEUE_RECEIVE, VHOST_QUEUE_TRANSMIT, VHOST_QUEUES };

/* The session's number for rte_vhost calls, or -1: nobody is connected (no leave then). */
int vhost_session_enter(struct vhost_session *session);
void vhost_session_leave(struct vhost_session *session);

/* Watches the kicks of the present session; call before sleeping. 0 or -errno. */
int vhost_session_watch(struct vhost_session *session);
/* Empties a watched descriptor, if it is the session's. */
void vhost_session_interrupt(struct vhost_session *session, int fd);
/* Interrupts sent to the guest so far. */
uint64_t vhost_session_doorbells(const struct vhost_session *session);

#endif
