/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A split virtqueue of a vhost-user guest, from the device's side (virtio 1.2,
 * sections 2.7 and 5.1.6). vhost_ring.c is the only place in the adjunct that reads
 * or writes what a guest shares with it; all of it may change at any time, so each
 * word is copied once, the copy is checked, and the copy is used (THREATS.md T01, T02).
 *
 * Entries are used in the order in which they became available, so that the used
 * index alone says which of them are done with. Taking an entry and using it are
 * apart: in between the device gets the frame (port_vhost.c), and whoever takes over
 * after a death in between finds the entry where it was (T07).
 *
 * No DPDK, no session: vhost_session.c says where a ring lies, and sees to it that
 * nobody else touches a struct vhost_ring during a call. Never blocks.
 */
#ifndef VHOST_RING_H
#define VHOST_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_BURST 32u      /* entries taken and not used at a time, at most */
#define VHOST_REGIONS_MAX 8u /* as librte_vhost takes them */

/* The guest's memory, by its own addresses: what may be reached, and nothing else. */
struct vhost_regions {
	unsigned count;
	struct vhost_region {
		uint64_t guest_address, bytes;
		uint8_t *mapped;
	} region[VHOST_REGIONS_MAX];
};

struct vhost_ring {
	/* Where it is (vhost_ring_place()), and what was negotiated: vhost_session.c's. */
	bool served; /* else it is nowhere, and not to be used */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint32_t size; /* a power of two */
	const struct vhost_regions *memory;
	int call_fd;   /* eventfd that interrupts the guest; -1: it polls */
	bool event_index, mergeable;
	uint16_t header_bytes; /* struct virtio_net_hdr before each frame */

	uint16_t taken; /* the next available entry */
	uint16_t done;  /* all before it are used: the used index */
	uint16_t heads[VHOST_BURST]; /* of the entries from done to taken */
	bool call_owed; /* the next call is made whatever the guest says it has seen */
	uint64_t *calls; /* counts interrupts sent */
};

struct vhost_frame {
	void *at;
	uint32_t length_bytes;
};

/* Where its three parts are mapped, each as long as `size` makes it; NULL, or not aligned,
 * or a size there cannot be: nowhere. */
void vhost_ring_place(struct vhost_ring *ring, uint32_t size, void *desc, void *avail, void *used);
/* The ring begins, or goes on, at `index`. */
void vhost_ring_begin(struct vhost_ring *ring, uint16_t index);

/* Entries that wait, `most` at most; -EPROTO: the guest's index is impossible. */
int vhost_ring_ready(const struct vhost_ring *ring, unsigned most);

/*
 * Takes `count` entries that vhost_ring_ready() has seen, while none is taken; copies
 * the frames of those with low to high octets to frames[0..].at, which has room for
 * `high` rounded up to 64, and says how long each is. Entries that are no such frame,
 * or whose chain is not one, come first (*bad of them) or end the burst. Frames;
 * -EPROTO: an entry names a descriptor that is none.
 */
int vhost_ring_take(struct vhost_ring *ring, struct vhost_frame *frames, unsigned count,
		    uint32_t low, uint32_t high, unsigned *bad);

/* The oldest `count` entries taken are used: the guest has them back. Calls it. */
void vhost_ring_use(struct vhost_ring *ring, unsigned count);
/* Takes `count` entries that a predecessor's device has had, and uses them: false if
 * there never were as many. */
bool vhost_ring_skip(struct vhost_ring *ring, unsigned count);

/*
 * Copies frames into buffers that the guest made available, uses these, and calls it.
 * Frames done with, oldest first; fewer: there are no more buffers. *refused of them,
 * whose length becomes 0, were dropped: their buffers were none, or too small.
 * -EPROTO as above.
 */
int vhost_ring_give(struct vhost_ring *ring, struct vhost_frame *frames, unsigned count,
		    unsigned *refused);

/*
 * Whether the guest is to kick us. After switching it on: a fence (seq_cst), and
 * vhost_ring_ready() once more.
 */
void vhost_ring_notify(struct vhost_ring *ring, bool on);
/* The guest looks at the ring, whatever it has seen of it before. */
void vhost_ring_call(struct vhost_ring *ring);

#endif
