/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The in-flight record of a native or vhost-user port, version 1 (THREATS.md T07): a
 * page that the shim makes, zeroed, with each window or guest, and gives to every
 * adjunct that serves it in turn. The partition never gets it. It tells a successor
 * how far its predecessor had come, at whatever instruction that one died.
 *
 * What it says, in one word, so that there is no half of it: all entries of the
 * transmit ring before `position` are done with, and when that was so the device
 * had taken `taken` frames from its drivers in all (modulo 2^32; what the
 * function's owner counts, org.outrigger.Adapter.ConfigureVf). Frames go to the
 * device in the order of their entries, so whatever more the device took came
 * from the entries that follow: a successor goes on behind so many of them, not
 * counting those that are no frames.
 *
 * The store that passes frames to the device (its queue's index) thereby is the
 * record as well: a death just before it or just after it makes no difference.
 * This word is stored after it, and before the ring's own index tells the
 * partition that the slots are free again.
 *
 * Of a device that does not count nobody can tell what it has of a burst that was being
 * passed. There the word says before that the whole burst is done with, and after it
 * how much was: a death in between loses frames, and sends none twice.
 *
 * Written and read by adjunct-drivers/ethdev/port_native.c, port_vhost.c and
 * runtime/service.c, on the serving thread of the one adjunct that serves, or while that thread is kept out. Of a
 * guest `position` is an available index, of 16 bits; there, a burst has no entries that
 * are no frames, and a ring that ends makes `version` 0 again.
 */
#ifndef ADJ_INFLIGHT_H
#define ADJ_INFLIGHT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ADJ_INFLIGHT_VERSION 1
#define ADJ_INFLIGHT_BYTES 4096

struct adj_inflight {
	_Atomic uint32_t version; /* 0: nobody has served it yet */
	/* A frame that is none of the ring's is being passed to the device: the one more
	 * that it may have taken is that. */
	_Atomic uint32_t apart;
	_Atomic uint64_t transmit; /* position << 32 | taken */
};
static_assert(sizeof(struct adj_inflight) == 16, "layout");
static_assert(offsetof(struct adj_inflight, transmit) == 8, "layout");

/*
 * How far a service request has come. One that a predecessor had begun and not done
 * fails, since nobody can tell how far it came; one it was completing has been
 * completed if its entry is in the ring. So none is done twice, and none is forgotten.
 */
enum adj_request_step {
	ADJ_REQUEST_QUEUED,
	ADJ_REQUEST_BEGUN,
	ADJ_REQUEST_COMPLETING, /* `completion` holds */
	ADJ_REQUEST_DONE,
};

/* What a program has asked of its net device, which a successor sets up again: the
 * serving thread's alone. */
struct adj_net_settings {
	uint8_t mac[6]; /* all 0: the one it was given */
	uint8_t reserved[2];
	uint64_t vlans[64]; /* a bit for each that is wanted; none: all are */
};

/* The whole page of a native port: the above, and of the service interface
 * (service_layout.h), by request slot: position << 32 | enum adj_request_step, and the
 * completion ring's position that was used for it. */
struct adj_inflight_page {
	struct adj_inflight frames;
	uint8_t reserved[48];
	struct {
		_Atomic uint64_t step;
		_Atomic uint64_t completion;
	} requests[64];
	struct adj_net_settings settings;
};
static_assert(offsetof(struct adj_inflight_page, requests) == 64, "layout");
static_assert(sizeof(struct adj_inflight_page) <= ADJ_INFLIGHT_BYTES, "layout");

#endif
