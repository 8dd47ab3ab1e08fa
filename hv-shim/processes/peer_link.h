/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer and its connections, for peer.c (the process) and peer_link.c (the calls).
 * Event-loop thread.
 */
#ifndef PEER_LINK_H
#define PEER_LINK_H

#include "peer.h"

struct pending;

/* One connection to the child: the one for calls, or one per monitor. */
struct link {
	struct link *next;
	struct peer *peer;
	struct varlink_conn *conn;
	sd_event_source *io, *timer, *refuse;
	struct pending *first, **last;
	bool broken;
	bool replaceable; /* broken, but by no fault of the protocol's: another may do better */
};

struct peer {
	sd_event *event;
	char *name, *socket_path;
	struct peer_identity identity;
	int pidfd;
	int kept[SPAWN_KEPT]; /* of it, if it is isolated and was not adopted; else -1 */
	bool dead;  /* no thread of it runs any more */
	uint64_t cpu_ns; /* the processor time it has had, as last looked at */
	bool ended; /* its status was collected, or is init's to collect */
	sd_event_source *exit_source, *death_source;
	struct link *calls, *monitors;
	peer_exit_fn on_exit;
	peer_death_fn on_death; /* or NULL */
	void *data;
	unsigned held; /* by the functions that run callbacks, which may free us */
	bool freed;
};

/* ---- peer_link.c ------------------------------------------------------------- */

/* Connects: 0 or -errno. */
int link_open(struct peer *peer, struct link **out);
/* Every call that is pending on it gets `problem` for an answer; under peer_hold(). */
void link_break(struct link *link, const char *problem);
void link_free(struct link *link); /* NULL is fine; nobody is answered */

/* ---- peer.c -------------------------------------------------------------------- */

/* Around callbacks, which may free the peer: it goes when the last has let go. */
void peer_hold(struct peer *peer);
void peer_release(struct peer *peer);

#define END_BYTES 100
/* How the process ended, `flags` for waitid(); false while it still runs. */
bool peer_describe_end(const struct peer *peer, int flags, char how[END_BYTES]);

#endif
