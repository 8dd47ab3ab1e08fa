/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of liboutrigger: attach.c speaks to the shim, window.c checks and maps
 * what it hands out, net.c moves frames, wait.c sleeps, net_events.c takes events;
 * service.c queues requests, yield.c lends the adjunct a processor, guest.c waits for
 * many devices.
 */
#ifndef OTR_INTERNAL_H
#define OTR_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "eq.h"
#include "net_layout.h"
#include "outrigger.h"
#include "service_layout.h"
#include "varlink.h"

#define OTR_EVENTS_KEPT 16

struct otr {
	struct varlink_conn *conn;
	char name[64];
	char path[108];
};

struct otr_net {
	char device[64];
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t frame_max;

	/* The window (window.c). */
	void *window;
	struct net_layout layout;
	int bells[NET_BELLS]; /* eventfds */
	struct eq_ring tx, rx, requests, completions;
	uint8_t *tx_buffers, *rx_buffers;
	uint32_t reserved; /* transmit slots handed out by otr_net_reserve() */
	int error;         /* 0, or -EPROTO or -ENODEV from then on */

	/* An adjunct that works on the processor of whoever yields it (yield.c). */
	struct service_cell *cell;
	uint32_t dispatch; /* the number of the last one; the cell's can be anything */
	bool yields_busy;  /* which ended with its quantum */
	uint64_t stuck_since_ns; /* 0: the last one was handed back; else when it was begun that */
	uint32_t stuck_after;	 /* ... followed the one handed back last */
	unsigned hot_misses; /* in a row: it was there, and did not get the processor */
	uint64_t quantum_ns; /* of the yields that the library makes by itself */
	bool owed;           /* since the last call it was left something to do */
	uint32_t cancels;    /* requests that are not completed themselves */

	bool armed;              /* one of the rings, perhaps */
	struct otr_guest *guest; /* whose member it is; NULL: nobody's */
	unsigned guest_member;

	/* Events (net_events.c). The device belongs to this connection, and they arrive
	 * on it. */
	char path[108];            /* of the partition's socket */
	struct varlink_conn *conn; /* NULL while the shim is lost */
	bool resuming;             /* it has not yet said that the device is ours still */
	bool lost;                 /* told as an event, and not yet that it is back */
	bool gave_up;              /* its shim does not know how to resume */
	int retry_fd;              /* a timer, for the next attempt to connect */
	uint64_t retry_at_ns, retry_after_ns;
	int epoll_fd; /* bell, connection and timer, for the caller's loop */
	struct otr_event events[OTR_EVENTS_KEPT]; /* a ring of the newest */
	unsigned event_first, event_count;
	uint64_t polling_max_ns, polling_ns;

	struct otr_net_stats stats;
};

/* Keeps the sentence for otr_last_error() and returns `error`. */
int otr_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Connects to a partition's socket. -errno, with the sentence kept. */
int otr_connect(const char *path, struct varlink_conn **out);
/*
 * Calls org.outrigger.Partition.<method>. 0 with *out to be cleared by the
 * caller; else -errno of the transport or of the error answered.
 */
int otr_call(struct varlink_conn *conn, const char *method, json_t *parameters,
	     struct varlink_answer *out);
/* "02:00:00:00:00:01" to bytes: 0 or -EPROTO. */
int otr_parse_mac(const char *text, uint8_t mac[6]);

/* window.c: maps what OpenNet answered; takes the descriptors it keeps out of `answer`. */
int otr_window_map(struct otr_net *net, struct varlink_answer *answer);
void otr_window_unmap(struct otr_net *net);

/* net_events.c: asks for events on the connection and makes epoll_fd. */
int otr_events_start(struct otr_net *net);
/* Takes in what the shim sent; never blocks. */
void otr_events_read(struct otr_net *net);

/* net.c: the adjunct has done `what`, which none may do: the handle is of no use any more. */
int otr_break(struct otr_net *net, const char *what);
/* wait.c. For a handle with an error: returns it, with the sentence kept. */
int otr_broken(const struct otr_net *net);
/* enum otr_busy. */
int otr_busy(const struct otr_net *net);
/* Between two looks while polling. */
void otr_pause(void);
/* Wakes the adjunct, which has a processor to wake up on. */
void otr_ring_adjunct(struct otr_net *net);
void otr_disarm_rings(struct otr_net *net);

/* guest.c: there may be something new of that net, which is a guest's. */
void otr_guest_wake(struct otr_net *net);

/* How long after the quantum's end an adjunct is waited for, before it counts as lost. */
#define OTR_YIELD_GRACE_NS (1 * NS_PER_S)
/* yield.c: lends the adjunct the processor, or wakes it for the requests it was left, if
 * it has one. 0 idle, 1 busy, or -errno; *used_ns may be NULL. */
int otr_call_adjunct(struct otr_net *net, uint64_t quantum_ns, uint64_t *used_ns);

/* Whether it has none. The adjunct's word for it, which another one may change: whoever
 * believes a wrong one waits in vain for a second at most. */
static inline bool otr_is_donated(const struct otr_net *net)
{
	return atomic_load_explicit(&net->cell->donated, memory_order_acquire);
}

/* The adjunct was left something to do, of which only a call tells it. */
static inline void otr_owe(struct otr_net *net)
{
	net->owed = true;
	if (net->guest)
		otr_guest_wake(net);
}

/* A ring has entries or room for the adjunct, which sleeps if it `must_wake`. */
static inline void otr_tell_adjunct(struct otr_net *net, bool must_wake)
{
	if (otr_is_donated(net))
		otr_owe(net);
	else if (must_wake)
		otr_ring_adjunct(net);
}

#endif
