/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A librte_vhost that the tests of the vhost-user port play: it keeps what the port
 * registers, answers from what a test put here, and fails where it is told to. The library
 * itself, with real guests, is run by tests/e2e.
 */
#ifndef PLAYED_VHOST_H
#define PLAYED_VHOST_H

#include <rte_vhost.h>
#include <stdbool.h>

#include "adj_inflight.h"
#include "ethdev/port.h"
#include "ethdev/vhost_session.h"
#include "guest.h"

#define PLAYED_VID 3

extern struct played_vhost {
	/* What the port registered. */
	const struct rte_vhost_device_ops *callbacks;
	const struct rte_vhost_user_extern_ops *message_ops;
	/* What it finds. */
	const char *path;
	int kickfd, callfd[VHOST_QUEUES];
	struct vhost_ring guest[VHOST_QUEUES];
	uint16_t base[VHOST_QUEUES];
	uint32_t ring_entries;
	uint64_t features;
	unsigned more_regions; /* than the guest has: empty ones */
	bool has_inflight;
	union {
		struct rte_vhost_inflight_info_split split;
		uint8_t octets[64]; /* one descriptor's place, behind the header */
	} inflight;
	/* What goes wrong: the call that fails; results of others. */
	const char *failing;
	int notice_result, unregister_result, vring_result;
} played;

struct adj_inflight *played_record(void);
/* A message of the guest's that changes nothing. */
void played_message(void);

#endif
