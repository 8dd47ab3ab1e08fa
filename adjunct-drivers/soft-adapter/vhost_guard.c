/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a function's driver may say to librte_vhost. The library trusts its
 * peer in ways we cannot afford: it waits for the rest of a message without a
 * deadline, maps any file (whose owner may shrink it under us: SIGBUS), serves
 * several connections per socket, allocates for 128 queue pairs, and lets rings
 * be moved while they run. So its two doors to the socket are wrapped by the
 * linker (accept and recvmsg, -Wl,--wrap), and a message is looked at before
 * the library sees it. Refused: the descriptors are closed, the library is told
 * that receiving failed, and it drops the connection. THREATS.md T03 to T06.
 *
 * Thread: librte_vhost's, except that recvmsg passes through untouched on the
 * others. Source: the vhost-user protocol, sections "Message Specification"
 * and "Front-end message types".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "log_limit.h"
#include "unix_socket.h"
#include "vhost_port.h"

#define GUARD_PATIENCE_US 200000 /* for the rest of a message */
#define GUARD_FDS_MAX 8
#define GUARD_REGIONS_MAX 8
#define GUARD_INDEX_MASK 0xff
#define GUARD_NOFD UINT64_C(0x100)

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_STATUS = 39,
	GET_STATUS = 40,
	REQUESTS
};

struct wire_header {
	uint32_t request, flags, size_bytes;
};

struct wire_region {
	uint64_t guest_address, size_bytes, user_address, offset_bytes;
};

union wire_payload {
	uint64_t number;
	struct {
		uint32_t index, number;
	} ring;
	struct {
		uint32_t regions_count, padding;
		struct wire_region regions[GUARD_REGIONS_MAX];
	} memory;
};

struct message {
	struct wire_header header;
	union wire_payload payload;
	size_t payload_bytes;
	int fds[GUARD_FDS_MAX];
	unsigned fds_count;
	bool running; /* the data thread uses the rings */
};

static struct adapter *guarded;
static struct log_limit limit; /* of librte_vhost's thread */
static _Thread_local bool on_vhost_thread;

int __real_accept(int fd, struct sockaddr *address, socklen_t *address_bytes);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
int __wrap_accept(int fd, struct sockaddr *address, socklen_t *address_bytes);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

void vhost_guard_set(struct adapter *adapter)
{
	guarded = adapter;
}

/* ---- Rules: NULL, or why not ------------------------------------------- */

static const char *rule_plain(const struct message *message)
{
	return message->fds_count ? "descriptors that nobody asked for" : NULL;
}

static const char *rule_stopped(const struct message *message)
{
	return message->running ? "the rings are running" : rule_plain(message);
}

static const char *rule_ring(const struct message *message)
{
	if (message->payload_bytes < sizeof(message->payload.ring))
		return "too short";
	if (message->payload.ring.index >= VHOST_QUEUES)
		return "no such queue";
	return rule_plain(message);
}

static const char *rule_ring_stopped(const struct message *message)
{
	return message->running ? "the rings are running" : rule_ring(message);
}

static const char *rule_ring_size(const struct message *message)
{
	const char *reason = rule_ring_stopped(message);

	if (!reason && message->payload.ring.number > VHOST_QUEUE_SIZE_MAX)
		reason = "the queue is too large";
	return reason;
}

static const char *rule_doorbell(const struct message *message)
{
	if (message->payload_bytes < sizeof(message->payload.number))
		return "too short";
	if ((message->payload.number & GUARD_INDEX_MASK) >= VHOST_QUEUES)
		return "no such queue";
	if (message->fds_count != (message->payload.number & GUARD_NOFD ? 0 : 1))
		return "not one descriptor";
	return NULL;
}

static const char *rule_doorbell_stopped(const struct message *message)
{
	return message->running ? "the rings are running" : rule_doorbell(message);
}

static const char *region_check(const struct wire_region *region, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;
	uint64_t end;

	/* Only a memfd has seals; without this one its owner could cut it off. */
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return "memory that is not sealed against shrinking";
	if (fstat(fd, &status) < 0)
		return "memory of unknown size";
	if (__builtin_add_overflow(region->offset_bytes, region->size_bytes, &end) ||
	    end > (uint64_t)status.st_size || !region->size_bytes)
		return "a region outside its memory";
	return NULL;
}

static const char *rule_memory(const struct message *message)
{
	const union wire_payload *payload = &message->payload;
	size_t count = payload->memory.regions_count;
	const char *reason = NULL;

	if (message->running)
		return "the rings are running";
	if (message->payload_bytes < 8 || count < 1 || count > GUARD_REGIONS_MAX ||
	    message->payload_bytes < 8 + count * sizeof(struct wire_region))
		return "too short, or too many regions";
	if (message->fds_count != count)
		return "not one descriptor for each region";
	for (size_t i = 0; i < count && !reason; i++)
		reason = region_check(&payload->memory.regions[i], message->fds[i]);
	return reason;
}

/* What a network driver needs; everything else is refused. */
static const char *(*const rules[REQUESTS])(const struct message *message) = {
	[GET_FEATURES] = rule_plain,
	[SET_FEATURES] = rule_stopped,
	[SET_OWNER] = rule_plain,
	[SET_MEM_TABLE] = rule_memory,
	[SET_VRING_NUM] = rule_ring_size,
	[SET_VRING_ADDR] = rule_ring_stopped,
	[SET_VRING_BASE] = rule_ring_stopped,
	[GET_VRING_BASE] = rule_ring,
	[SET_VRING_KICK] = rule_doorbell_stopped,
	[SET_VRING_CALL] = rule_doorbell,
	[SET_VRING_ERR] = rule_doorbell,
	[GET_PROTOCOL_FEATURES] = rule_plain,
	[SET_PROTOCOL_FEATURES] = rule_stopped,
	[GET_QUEUE_NUM] = rule_plain,
	[SET_VRING_ENABLE] = rule_ring,
	[SET_STATUS] = rule_plain,
	[GET_STATUS] = rule_plain,
};

/* ---- accept ------------------------------------------------------------ */

/* The driver of this connection is still there (its end, or ours, is not shut). */
static bool connection_alive(const struct vhost_port *port)
{
	struct pollfd poll_fd = {.fd = port->conn_fd, .events = POLLRDHUP};

	/* Without a device, librte_vhost gave the connection up. */
	if (port->conn_fd < 0 || port->conn_vid < 0)
		return false;
	return poll(&poll_fd, 1, 0) == 0;
}

/* Lock held. 0, or -errno: the connection is refused. */
static int connection_adopt(struct vf *vf, int fd)
{
	struct timeval patience = {.tv_usec = GUARD_PATIENCE_US};
	int duplicate;

	if (connection_alive(&vf->port))
		return -EBUSY;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (duplicate < 0)
		return -errno;
	for (unsigned i = 0; i < guarded->vfs_count; i++)
		if (guarded->vfs[i].port.vhost_fd == fd)
			guarded->vfs[i].port.vhost_fd = -1;
	fd_close(&vf->port.conn_fd);
	vf->port.conn_fd = duplicate;
	vf->port.conn_vid = -1; /* until librte_vhost has made a device for it */
	vf->port.vhost_fd = fd;
	return 0;
}

/* The function whose socket accepted `fd`. */
static struct vf *vf_of_socket(int fd)
{
	struct sockaddr_un address;
	socklen_t address_bytes = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, (struct sockaddr *)&address, &address_bytes) < 0 ||
	    address.sun_family != AF_UNIX)
		return NULL;
	for (unsigned i = 0; i < guarded->vfs_count; i++)
		if (!strncmp(guarded->vfs[i].port.path, address.sun_path, sizeof(address.sun_path)))
			return &guarded->vfs[i];
	return NULL;
}

int __wrap_accept(int listen_fd, struct sockaddr *address, socklen_t *address_bytes)
{
	int fd = __real_accept(listen_fd, address, address_bytes);
	int error = -EPROTO;

	if (fd < 0 || !guarded)
		return fd;
	on_vhost_thread = true;
	adapter_lock_guest(guarded);
	struct vf *vf = vf_of_socket(fd);

	if (vf)
		error = connection_adopt(vf, fd);
	adapter_unlock(guarded);
	if (!error)
		return fd;
	if (log_limit_pass(&limit, "drivers turned away"))
		log_warning("a function's driver was turned away: %s",
			    error == -EBUSY ? "the function already has one" : strerror(-error));
	close(fd);
	errno = -error;
	return -1;
}

/* ---- recvmsg ----------------------------------------------------------- */

static void fds_take(struct msghdr *from, struct message *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(from); c; c = CMSG_NXTHDR(from, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		/* The library's buffer has room for GUARD_FDS_MAX, not more. */
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) &&
				   message->fds_count < GUARD_FDS_MAX;
		     i++)
			memcpy(&message->fds[message->fds_count++], CMSG_DATA(c) + i * sizeof(int),
			       sizeof(int));
	}
}

static const char *message_read(int fd, struct msghdr *from, ssize_t bytes, struct message *message)
{
	ssize_t peeked;

	fds_take(from, message);
	if (from->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return "truncated";
	if (bytes != (ssize_t)sizeof(message->header))
		return "a header in pieces";
	memcpy(&message->header, from->msg_iov[0].iov_base, sizeof(message->header));
	if (message->header.size_bytes > sizeof(message->payload))
		return "too long";
	if (!message->header.size_bytes)
		return NULL;
	/* The driver sends a message at once, so the rest is there. A peek, for
	 * the library reads it afterwards; a stream's bytes do not change. */
	peeked = recv(fd, &message->payload, message->header.size_bytes, MSG_PEEK);
	if (peeked != (ssize_t)message->header.size_bytes)
		return "a payload in pieces";
	message->payload_bytes = (size_t)peeked;
	return NULL;
}

static const char *message_check(int fd, struct message *message, unsigned *index)
{
	const struct vhost_port *port = NULL;
	uint32_t request = message->header.request;

	adapter_lock_guest(guarded);
	for (unsigned i = 0; i < guarded->vfs_count; i++) {
		if (guarded->vfs[i].port.vhost_fd != fd)
			continue;
		port = &guarded->vfs[i].port;
		*index = i;
		message->running = port->vid >= 0 && port->vid == port->conn_vid;
	}
	adapter_unlock(guarded);
	if (!port)
		return "a connection that was replaced";
	if (request >= REQUESTS || !rules[request])
		return "not a request of a network driver";
	return rules[request](message);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *into, int flags)
{
	struct message message = {0};
	const char *reason;
	unsigned index = 0;
	ssize_t bytes;

	if (!on_vhost_thread)
		return __real_recvmsg(fd, into, flags);
	bytes = __real_recvmsg(fd, into, flags | MSG_CMSG_CLOEXEC);
	if (bytes <= 0)
		return bytes;
	reason = message_read(fd, into, bytes, &message);
	if (!reason)
		reason = message_check(fd, &message, &index);
	if (!reason)
		return bytes;
	if (log_limit_pass(&limit, "messages refused"))
		log_warning("vf %u: its driver's message %u is refused: %s", index,
			    message.header.request, reason);
	for (unsigned i = 0; i < message.fds_count; i++)
		close(message.fds[i]);
	errno = EPROTO;
	return -1;
}
