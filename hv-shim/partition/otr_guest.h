/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's inside: guest.c has it made by the shim, and takes devices in; guest_wait.c
 * looks and waits. On the thread that owns the guest.
 */
#ifndef OTR_GUEST_H
#define OTR_GUEST_H

#include "eq_queue.h"
#include "guest_layout.h"
#include "otr_internal.h"

#define ISCS (1u << GUEST_ISC)

struct member {
	struct otr_net *net; /* NULL: free */
	void *user;
	unsigned what;
	int queue; /* -1: the shim does not know of it yet */
	bool awake;
	uint32_t events; /* by enum eq_event, not reported yet */
};

struct otr_guest {
	char path[108]; /* of the partition's socket */
	struct varlink_conn *conn; /* NULL: the shim is lost */
	struct guest_layout layout;
	uint8_t *storage;
	int storage_fd, alert_fd, kick_fd, epoll_fd;
	struct eq_interrupts *interrupts;
	struct eq_consumer *consumers; /* of each queue */
	int *member_of;                /* queue to member, -1: none */

	struct member *members;
	unsigned members_max;
	unsigned *awake; /* indexes of members */
	unsigned awake_count, awake_next;

	uint64_t reconnect_ns;
	uint64_t polling_ns, polling_max_ns;
	struct otr_guest_stats stats;
};

/* guest.c. Tries to have a guest again, and to have all nets in it. */
void otr_guest_recover(struct otr_guest *guest);
/* Every net is in the guest, and the guest at the shim. */
bool otr_guest_is_whole(const struct otr_guest *guest);
/* The shim says nothing here unasked: what is readable is the connection's end. */
void otr_guest_look_at_shim(struct otr_guest *guest);

/* guest_wait.c: a member is looked into, from now on and until it is found empty. */
void otr_guest_wake_member(struct otr_guest *guest, unsigned index);
void otr_guest_wake_all(struct otr_guest *guest);
/* The one in that place of the awake is not any more. */
void otr_guest_drop(struct otr_guest *guest, unsigned place);

#endif
