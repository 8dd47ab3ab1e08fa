/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest with a vhost-user device; see partition.h. And the adjunct's session with it,
 * in place of ethdev/vhost_session.c: one that is there from the start. Every second
 * entry is of one descriptor, the others name a table of two.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "ethdev/vhost_session.h"
#include "partition.h"

#define HEADER_BYTES 12u
#define BUFFER_BYTES 2048u
#define RING_BYTES 4096u
#define TABLES_BYTES (RING * 2 * sizeof(struct vring_desc))

struct guest_ring {
	struct vring vring;
	struct vring_desc (*tables)[2];
	uint8_t *buffers;
	uint16_t available, used; /* made available; seen used */
};

static struct guest_ring rings[VHOST_QUEUES];
static struct adj_inflight *inflight;
static uint8_t *memory;
static size_t memory_bytes;

/* ---- The guest ------------------------------------------------------------------- */

static void offer(struct guest_ring *ring, uint32_t bytes, uint16_t flags)
{
	unsigned slot = ring->available % RING;
	uint64_t buffer = (uintptr_t)ring->buffers + slot * BUFFER_BYTES;

	if ((uint16_t)(ring->available - ring->used) == RING)
		fail("the ring is full");
	ring->vring.desc[slot] = (struct vring_desc){buffer, bytes, flags, 0};
	if (slot % 2) {
		ring->tables[slot][0] =
			(struct vring_desc){buffer, 4, flags | VRING_DESC_F_NEXT, 1};
		ring->tables[slot][1] = (struct vring_desc){buffer + 4, bytes - 4, flags, 0};
		ring->vring.desc[slot] =
			(struct vring_desc){(uintptr_t)ring->tables[slot],
					    sizeof(ring->tables[slot]), VRING_DESC_F_INDIRECT, 0};
	}
	ring->vring.avail->ring[slot] = (uint16_t)slot;
	__atomic_store_n(&ring->vring.avail->idx, ++ring->available, __ATOMIC_RELEASE);
}

/* The slot that was used next, which must be the oldest; -1: none. */
static int next_used(struct guest_ring *ring, uint32_t *bytes)
{
	uint16_t index = __atomic_load_n(&ring->vring.used->idx, __ATOMIC_ACQUIRE);
	unsigned slot = ring->used % RING;

	if (index == ring->used)
		return -1;
	if ((uint16_t)(index - ring->used) > (uint16_t)(ring->available - ring->used))
		fail("more entries were used than there are");
	if (ring->vring.used->ring[slot].id != slot)
		fail("entry %u was used where it was %u's turn", ring->vring.used->ring[slot].id,
		     slot);
	*bytes = ring->vring.used->ring[slot].len;
	ring->used++;
	return (int)slot;
}

static void guest_open(struct adj_port *port)
{
	const size_t ring_bytes = RING_BYTES + TABLES_BYTES + RING * BUFFER_BYTES;

	memory_bytes = VHOST_QUEUES * ring_bytes;
	memory = share(memory_bytes);
	inflight = share(ADJ_INFLIGHT_BYTES);
	for (unsigned i = 0; i < VHOST_QUEUES; i++) {
		uint8_t *at = memory + i * ring_bytes;

		vring_init(&rings[i].vring, RING, at, 64);
		rings[i].tables = (void *)(at + RING_BYTES);
		rings[i].buffers = at + RING_BYTES + TABLES_BYTES;
	}
	for (unsigned i = 0; i < RING; i++)
		offer(&rings[VHOST_QUEUE_RECEIVE], BUFFER_BYTES, VRING_DESC_F_WRITE);
	port->kind = ADJ_PORT_VHOST_USER;
	port->vhost_path = "/nowhere";
}

static void guest_put(uint32_t number, bool good)
{
	struct guest_ring *ring = &rings[VHOST_QUEUE_TRANSMIT];
	uint8_t *frame = ring->buffers + ring->available % RING * BUFFER_BYTES + HEADER_BYTES;
	uint32_t bytes;

	while (next_used(ring, &bytes) >= 0)
		continue;
	memset(frame, 0, FRAME_BYTES);
	memcpy(frame + NUMBER_OFFSET, &number, sizeof(number));
	offer(ring, HEADER_BYTES + (good ? FRAME_BYTES : 1), 0);
}

static int64_t guest_receive(void)
{
	struct guest_ring *ring = &rings[VHOST_QUEUE_RECEIVE];
	uint32_t bytes, number;
	int slot = next_used(ring, &bytes);

	if (slot < 0)
		return -1;
	if (bytes != HEADER_BYTES + FRAME_BYTES)
		fail("a frame of %u bytes with its header", bytes);
	memcpy(&number, ring->buffers + (unsigned)slot * BUFFER_BYTES + HEADER_BYTES + NUMBER_OFFSET,
	       sizeof(number));
	offer(ring, BUFFER_BYTES, VRING_DESC_F_WRITE);
	return number;
}

static bool guest_all_back(void)
{
	struct guest_ring *ring = &rings[VHOST_QUEUE_TRANSMIT];
	uint32_t bytes;

	while (next_used(ring, &bytes) >= 0)
		continue;
	return ring->used == ring->available;
}

static uint32_t guest_recorded(void)
{
	return (uint32_t)atomic_load(&inflight->transmit);
}

const struct kind guest_kind = {guest_open, guest_put, guest_receive, guest_all_back,
				guest_recorded};

/* ---- The adjunct's session with it ---------------------------------------------------- */

struct vhost_session {
	struct vhost_rings rings;
};

int vhost_session_open(const struct adj_env *env, const char *path,
		       const struct vhost_session_ops *ops, void *data, struct vhost_session **out)
{
	struct vhost_session *session = calloc(1, sizeof(*session));

	(void)env;
	(void)path;
	if (!session)
		return -ENOMEM;
	session->rings.began = 1;
	session->rings.inflight = inflight;
	session->rings.memory = (struct vhost_regions){
		.count = 1, .region = {{(uintptr_t)memory, memory_bytes, memory}}};
	for (unsigned i = 0; i < VHOST_QUEUES; i++) {
		struct vhost_ring *ring = &session->rings.ring[i];
		const struct vring *vring = &rings[i].vring;

		ring->memory = &session->rings.memory;
		ring->call_fd = -1;
		ring->header_bytes = HEADER_BYTES;
		ring->mergeable = true;
		vhost_ring_place(ring, RING, vring->desc, vring->avail, vring->used);
		vhost_ring_begin(ring, vring->used->idx);
	}
	ops->began(data, &session->rings);
	*out = session;
	return 0;
}

void vhost_session_close(struct vhost_session *session)
{
	free(session);
}

struct vhost_rings *vhost_session_enter(struct vhost_session *session)
{
	return &session->rings;
}

void vhost_session_leave(struct vhost_session *session)
{
	(void)session;
}

bool vhost_session_over(const struct vhost_session *session)
{
	(void)session;
	return false;
}

int vhost_session_watch(struct vhost_session *session)
{
	(void)session;
	return 0;
}

void vhost_session_interrupt(struct vhost_session *session, int fd)
{
	(void)session;
	(void)fd;
}
