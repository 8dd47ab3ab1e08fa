/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of vhost-user messages, and reading and writing them with their
 * descriptors. See vhost_message.h. Event-loop thread.
 */
#include "vhost_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fd_discard.h"

/* How many descriptors come along. */
enum fds { FDS_NONE, FDS_REGIONS, FDS_DOORBELL };

struct shape {
	const char *name;
	size_t size_bytes; /* SIZE_REGIONS: that of its regions */
	enum fds fds;
	bool asks;
	bool ring; /* the payload begins with a ring's index */
};

#define SIZE_NUMBER sizeof(uint64_t)
#define SIZE_RING sizeof(struct vhost_ring_number)
#define SIZE_REGIONS SIZE_MAX

/* What a network driver needs; the rest (live migration, back-end channels,
 * device IOTLB, configuration space) is not offered, so nobody may send it. */
static const struct shape shapes[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES", 0, .asks = true},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", SIZE_NUMBER},
	[VHOST_SET_OWNER] = {"SET_OWNER", 0},
	[VHOST_RESET_OWNER] = {"RESET_OWNER", 0},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", SIZE_REGIONS, FDS_REGIONS},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", SIZE_RING, .ring = true},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", sizeof(struct vhost_ring_address),
				  .ring = true},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", SIZE_RING, .ring = true},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", SIZE_RING, .ring = true, .asks = true},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", SIZE_NUMBER, FDS_DOORBELL},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", SIZE_NUMBER, FDS_DOORBELL},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", SIZE_NUMBER, FDS_DOORBELL},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", 0, .asks = true},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", SIZE_NUMBER},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", 0, .asks = true},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", SIZE_RING, .ring = true},
	[VHOST_NET_SET_MTU] = {"NET_SET_MTU", SIZE_NUMBER},
	[VHOST_SET_STATUS] = {"SET_STATUS", SIZE_NUMBER},
	[VHOST_GET_STATUS] = {"GET_STATUS", 0, .asks = true},
};

static const struct shape *shape_of(uint32_t request)
{
	return request < VHOST_REQUESTS && shapes[request].name ? &shapes[request] : NULL;
}

const char *vhost_message_name(uint32_t request)
{
	const struct shape *shape = shape_of(request);

	if (request == VHOST_SET_INFLIGHT_FD)
		return "SET_INFLIGHT_FD"; /* which no front-end may send */
	return shape ? shape->name : "unknown";
}

bool vhost_message_asks(uint32_t request)
{
	const struct shape *shape = shape_of(request);

	return shape && shape->asks;
}

static const char *size_problem(const struct vhost_message *message, const struct shape *shape)
{
	size_t size = message->header.size_bytes, regions = message->payload.memory.region_count;

	if (shape->size_bytes != SIZE_REGIONS)
		return size == shape->size_bytes ? NULL : "not of its size";
	if (size < VHOST_MEMORY_BYTES(1) || regions < 1 || regions > VHOST_REGIONS_MAX ||
	    size != VHOST_MEMORY_BYTES(regions))
		return "not of the size of its regions";
	return NULL;
}

static const char *fds_problem(const struct vhost_message *message, const struct shape *shape)
{
	uint64_t doorbell = message->payload.number;

	switch (shape->fds) {
	case FDS_NONE:
		return message->fd_count ? "descriptors that nobody asked for" : NULL;
	case FDS_REGIONS:
		return message->fd_count == message->payload.memory.region_count
			       ? NULL
			       : "not one descriptor for each region";
	case FDS_DOORBELL:
		if (doorbell & ~(VHOST_DOORBELL_RING | VHOST_DOORBELL_NONE))
			return "bits that have no meaning";
		if ((doorbell & VHOST_DOORBELL_RING) >= VHOST_RINGS)
			return "no such ring";
		return message->fd_count == (doorbell & VHOST_DOORBELL_NONE ? 0 : 1)
			       ? NULL
			       : "not one descriptor";
	}
	return "no such kind";
}

const char *vhost_message_problem(const struct vhost_message *message)
{
	const struct shape *shape = shape_of(message->header.request);
	uint32_t flags = message->header.flags;
	const char *problem;

	if (!shape)
		return "not a request of a network driver";
	if ((flags & ~VHOST_NEED_REPLY) != VHOST_VERSION)
		return "flags that no request has";
	problem = size_problem(message, shape);
	if (!problem)
		problem = fds_problem(message, shape);
	if (!problem && shape->ring && message->payload.ring.index >= VHOST_RINGS)
		problem = "no such ring";
	return problem;
}

/* ---- Reading ------------------------------------------------------------------ */

void vhost_reader_clear(struct vhost_reader *reader)
{
	memset(reader, 0, sizeof(*reader));
}

void vhost_reader_close(struct vhost_reader *reader)
{
	for (unsigned i = 0; i < reader->message.fd_count; i++)
		fd_discard(reader->message.fds[i]);
	vhost_reader_clear(reader);
}

/* The kernel has put every descriptor it delivered into our table: none may be
 * overlooked, wanted or not (T04). */
static int fds_take(struct msghdr *from, struct vhost_message *message)
{
	bool surplus = from->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(from); c; c = CMSG_NXTHDR(from, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (message->fd_count < VHOST_MESSAGE_FDS_MAX) {
				message->fds[message->fd_count++] = fd;
			} else {
				fd_discard(fd);
				surplus = true;
			}
		}
	}
	return surplus ? -EPROTO : 0;
}

/* Up to `bytes` more, with MSG_PEEK or not. The number received, or -errno. */
static ssize_t receive(int socket, struct vhost_message *message, void *into, size_t bytes,
		       int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VHOST_MESSAGE_FDS_MAX * sizeof(int))];
	} control;
	struct iovec part = {into, bytes};
	struct msghdr from = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t received;

	do {
		received = recvmsg(socket, &from, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	int error = fds_take(&from, message);
	if (error)
		return error;
	return received ? received : -EPIPE;
}

int vhost_read(int socket, struct vhost_reader *reader)
{
	struct vhost_message *message = &reader->message;
	const size_t header_bytes = sizeof(message->header);

	for (;;) {
		size_t have = reader->have_bytes;
		bool in_header = have < header_bytes;

		if (!in_header && message->header.size_bytes > sizeof(message->payload))
			return -EPROTO;
		size_t end = header_bytes + (in_header ? 0 : message->header.size_bytes);
		if (have == end)
			return 1;
		char *into = in_header ? (char *)&message->header + have
				       : (char *)&message->payload + (have - header_bytes);
		ssize_t received = receive(socket, message, into, end - have, 0);
		if (received == -EAGAIN)
			return 0;
		if (received < 0)
			return (int)received;
		reader->have_bytes += (size_t)received;
	}
}

static bool wants_fds(const struct vhost_message *message)
{
	const struct shape *shape = shape_of(message->header.request);

	return shape && (shape->fds == FDS_REGIONS ||
			 (shape->fds == FDS_DOORBELL &&
			  !(message->payload.number & VHOST_DOORBELL_NONE)));
}

/* 1: it is whole; 0: it is not, or nothing is there; -EPROTO. */
static int peek_bytes(int socket, struct vhost_reader *reader)
{
	struct vhost_message *message = &reader->message;
	uint8_t whole[sizeof(message->header) + sizeof(message->payload)];
	const size_t header_bytes = sizeof(message->header);

	/* No room for descriptors: the kernel makes none. */
	ssize_t have = recv(socket, whole, sizeof(whole), MSG_PEEK | MSG_DONTWAIT);
	if (have < (ssize_t)header_bytes)
		return 0;
	memcpy(&message->header, whole, header_bytes);
	if (message->header.size_bytes > sizeof(message->payload))
		return -EPROTO;
	size_t bytes = header_bytes + message->header.size_bytes;
	if (have < (ssize_t)bytes) {
		vhost_reader_clear(reader);
		return 0;
	}
	memcpy(&message->payload, whole + header_bytes, message->header.size_bytes);
	reader->have_bytes = reader->left_bytes = bytes;
	return 1;
}

/*
 * Only requests that have descriptors are looked at for them, because the kernel
 * shows those of the next message if a message has none. What comes along with
 * others unasked never becomes ours (T04): the kernel closes it.
 */
int vhost_peek(int socket, struct vhost_reader *reader)
{
	struct vhost_message *message = &reader->message;
	uint8_t again[sizeof(message->header) + sizeof(message->payload)];
	int result = reader->have_bytes ? 0 : peek_bytes(socket, reader);

	if (result == 0)
		return vhost_read(socket, reader);
	if (result < 0 || !wants_fds(message))
		return result;
	ssize_t have = receive(socket, message, again, reader->have_bytes, MSG_PEEK);
	return have < 0 ? (int)have : have == (ssize_t)reader->have_bytes ? 1 : -EPROTO;
}

/* ---- Writing ------------------------------------------------------------------ */

int vhost_write(int socket, const struct vhost_message *message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VHOST_MESSAGE_FDS_MAX * sizeof(int))];
	} control;
	struct iovec parts[2] = {
		{(void *)&message->header, sizeof(message->header)},
		{(void *)&message->payload, message->header.size_bytes},
	};
	struct msghdr to = {.msg_iov = parts, .msg_iovlen = 2};
	size_t fd_bytes = message->fd_count * sizeof(int);
	ssize_t sent;

	assert(message->header.size_bytes <= sizeof(message->payload));
	if (message->fd_count) {
		memset(&control, 0, sizeof(control));
		to.msg_control = &control;
		to.msg_controllen = CMSG_SPACE(fd_bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&to);
		*c = (struct cmsghdr){CMSG_LEN(fd_bytes), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), message->fds, fd_bytes);
	}
	do {
		sent = sendmsg(socket, &to, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == sizeof(message->header) + message->header.size_bytes ? 0 : -EAGAIN;
}

static struct vhost_message reply(uint32_t request, uint32_t size_bytes)
{
	struct vhost_message message = {0};

	message.header = (struct vhost_header){request, VHOST_VERSION | VHOST_REPLY, size_bytes};
	return message;
}

struct vhost_message vhost_reply_number(uint32_t request, uint64_t number)
{
	struct vhost_message message = reply(request, sizeof(message.payload.number));

	message.payload.number = number;
	return message;
}

struct vhost_message vhost_reply_ring(uint32_t request, uint32_t index, uint32_t number)
{
	struct vhost_message message = reply(request, sizeof(message.payload.ring));

	message.payload.ring = (struct vhost_ring_number){index, number};
	return message;
}
