/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user protocol on the wire: messages, their descriptors, and which of
 * them a network device's front-end may send at all. Reading never blocks and
 * takes a message in as many pieces as it comes; whatever does not fit the table
 * in vhost_message.c is refused before anybody looks at its contents.
 *
 * Pure: no state but the caller's. Used by vhost_state.c and vhost_proxy.c, on
 * the event loop's thread, and by tests. Source: the vhost-user protocol,
 * sections "Message Specification" and "Front-end message types".
 */
#ifndef VHOST_MESSAGE_H
#define VHOST_MESSAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_RINGS 2 /* one queue pair */
#define VHOST_REGIONS_MAX 8
#define VHOST_MESSAGE_FDS_MAX VHOST_REGIONS_MAX

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_NET_SET_MTU = 20,
	VHOST_SET_INFLIGHT_FD = 32, /* ours to back-ends alone */
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
	VHOST_REQUESTS /* one more than the last that is known */
};

/* Bits of struct vhost_header's flags. */
#define VHOST_VERSION 1u
#define VHOST_VERSION_MASK 3u
#define VHOST_REPLY 4u
#define VHOST_NEED_REPLY 8u

/* SET_VRING_KICK, CALL and ERR: the ring, and that no descriptor comes along. */
#define VHOST_DOORBELL_RING UINT64_C(0xff)
#define VHOST_DOORBELL_NONE UINT64_C(0x100)

struct vhost_header {
	uint32_t request, flags, size_bytes;
};

struct vhost_region {
	uint64_t guest_address, size_bytes, user_address, offset_bytes;
};

struct vhost_memory {
	uint32_t region_count, padding;
	struct vhost_region regions[VHOST_REGIONS_MAX];
};

struct vhost_ring_number {
	uint32_t index, number;
};

struct vhost_ring_address {
	uint32_t index, flags;
	uint64_t descriptors, used, available, log;
};

struct vhost_inflight {
	uint64_t map_bytes, map_offset;
	uint16_t rings, entries;
	uint32_t padding;
};

union vhost_payload {
	uint64_t number;
	struct vhost_inflight inflight;
	struct vhost_ring_number ring;
	struct vhost_ring_address address;
	struct vhost_memory memory;
};

#define VHOST_MEMORY_BYTES(count) \
	(offsetof(struct vhost_memory, regions) + (count) * sizeof(struct vhost_region))

static_assert(sizeof(struct vhost_header) == 12, "on the wire");
static_assert(sizeof(struct vhost_region) == 32, "on the wire");
static_assert(sizeof(struct vhost_ring_number) == 8, "on the wire");
static_assert(sizeof(struct vhost_ring_address) == 40, "on the wire");
static_assert(offsetof(struct vhost_ring_address, available) == 24, "on the wire");
static_assert(sizeof(struct vhost_inflight) == 24, "on the wire");
static_assert(VHOST_MEMORY_BYTES(0) == 8, "on the wire");
static_assert(sizeof(union vhost_payload) == VHOST_MEMORY_BYTES(VHOST_REGIONS_MAX), "on the wire");

struct vhost_message {
	struct vhost_header header;
	union vhost_payload payload;
	int fds[VHOST_MESSAGE_FDS_MAX];
	unsigned fd_count;
};

/* "SET_MEM_TABLE"; "unknown" for what is not in the table. */
const char *vhost_message_name(uint32_t request);
/* It is answered with a payload of its own, rather than acknowledged. */
bool vhost_message_asks(uint32_t request);

/*
 * Whether a front-end's message has the shape its request has: known, sent as a
 * request, of its size, with its number of descriptors, for a ring there is.
 * NULL, or why not.
 */
const char *vhost_message_problem(const struct vhost_message *message);

/* A message on its way in. All zeroes at first; it owns message.fds. */
struct vhost_reader {
	struct vhost_message message;
	size_t have_bytes; /* of header and payload */
	size_t left_bytes; /* of them still on the socket: see vhost_peek() */
};

/*
 * Takes what there is on the socket. 1: reader->message is whole; 0: more will
 * come; -EPIPE: the other end has closed; -EPROTO: more bytes or descriptors
 * than any message has, or descriptors that did not fit; -errno. On an error the
 * reader is to be closed.
 */
int vhost_read(int socket, struct vhost_reader *reader);
/*
 * The same, but leaves a whole message on the socket, to be taken from there with
 * socket_skip() once it has had its effect: reader->left_bytes of them. What is
 * peeked again comes with its descriptors again. A message that was sent in pieces
 * is taken, and left_bytes is 0: with a part left there the socket would stay
 * readable, and the kernel shows nothing beyond a part with descriptors. Those
 * that come along with a request that has none are not seen, nor kept by anyone.
 */
int vhost_peek(int socket, struct vhost_reader *reader);
/* For the next message, with the descriptors of this one closed or left to others. */
void vhost_reader_close(struct vhost_reader *reader);
void vhost_reader_clear(struct vhost_reader *reader);

/*
 * Sends one message, whole; its descriptors stay the caller's. -EAGAIN: the other
 * end does not read, and nothing or a part was sent: the connection is of no more
 * use; -EPIPE; -errno.
 */
int vhost_write(int socket, const struct vhost_message *message);

/* An answer to `request`. */
struct vhost_message vhost_reply_number(uint32_t request, uint64_t number);
struct vhost_message vhost_reply_ring(uint32_t request, uint32_t index, uint32_t number);

#endif
