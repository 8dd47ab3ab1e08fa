/* SPDX-License-Identifier: BSD-2-Clause */
/* See guest.h. Virtio 1.2, sections 2.7 and 5.1; the vhost-user protocol. */
#include "guest.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ENTRIES 256u
#define BUFFER_BYTES 2048u
#define HEADER_BYTES sizeof(struct virtio_net_hdr_v1)
#define RING_BYTES 16384u /* of a ring's three parts; 12 bytes an entry are less */
#define FEATURES (1ull << 32 /* VERSION_1 */ | 1ull << 30 /* protocol features */)

enum { RECEIVE, TRANSMIT, RINGS };

struct ring {
	struct vring vring;
	uint8_t *buffers;
	uint16_t available, used; /* made available; seen used */
	int kick, call;
};

struct guest {
	int socket;
	uint8_t *memory;
	struct ring rings[RINGS];
};

/* ---- Messages --------------------------------------------------------------------- */

struct message {
	uint32_t request, flags, bytes;
	union {
		uint64_t number;
		struct {
			uint32_t index, number;
		} ring;
		struct {
			uint32_t index, flags;
			uint64_t descriptors, used, available, log;
		} address;
		struct {
			uint32_t regions, padding;
			uint64_t guest_address, bytes, user_address, offset;
		} memory;
	} payload;
} __attribute__((packed));

#define MESSAGE_HEADER_BYTES 12u
#define MESSAGE_VERSION 1u

static void tell(struct guest *guest, uint32_t request, const void *payload, uint32_t bytes, int fd)
{
	struct message message = {.request = request, .flags = MESSAGE_VERSION, .bytes = bytes};
	struct iovec part = {&message, MESSAGE_HEADER_BYTES + bytes};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr all = {.msg_iov = &part, .msg_iovlen = 1};

	memcpy(&message.payload, payload, bytes);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (fd >= 0) {
		all.msg_control = &control;
		all.msg_controllen = sizeof(control.space);
	}
	if (sendmsg(guest->socket, &all, MSG_NOSIGNAL) != (ssize_t)part.iov_len)
		killer_fail("vhost-user message %u: %s", request, strerror(errno));
}

static void tell_number(struct guest *guest, uint32_t request, uint64_t number, int fd)
{
	tell(guest, request, &number, sizeof(number), fd);
}

static void tell_ring(struct guest *guest, uint32_t request, uint32_t index, uint32_t number)
{
	const uint32_t payload[] = {index, number};

	tell(guest, request, payload, sizeof(payload), -1);
}

static uint64_t ask(struct guest *guest, uint32_t request)
{
	struct message answer;

	tell(guest, request, "", 0, -1);
	if (recv(guest->socket, &answer, MESSAGE_HEADER_BYTES + 8, MSG_WAITALL) !=
		    MESSAGE_HEADER_BYTES + 8 ||
	    answer.request != request)
		killer_fail("no answer to vhost-user message %u", request);
	return answer.payload.number;
}

/* ---- Beginning --------------------------------------------------------------------- */

static void ring_start(struct guest *guest, unsigned index)
{
	struct ring *ring = &guest->rings[index];
	struct message message = {0};

	ring->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ring->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	tell_ring(guest, 8 /* SET_VRING_NUM */, index, ENTRIES);
	tell_ring(guest, 10 /* SET_VRING_BASE */, index, 0);
	message.payload.address.index = index;
	message.payload.address.descriptors = (uintptr_t)ring->vring.desc;
	message.payload.address.available = (uintptr_t)ring->vring.avail;
	message.payload.address.used = (uintptr_t)ring->vring.used;
	tell(guest, 9 /* SET_VRING_ADDR */, &message.payload, sizeof(message.payload.address), -1);
	tell_number(guest, 13 /* SET_VRING_CALL */, index, ring->call);
	tell_number(guest, 12 /* SET_VRING_KICK */, index, ring->kick);
}

static void connect_to(struct guest *guest, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = 10};

	if (strlen(path) >= sizeof(address.sun_path))
		killer_fail("%s is too long", path);
	strcpy(address.sun_path, path);
	guest->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (guest->socket < 0 ||
	    setsockopt(guest->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    connect(guest->socket, (struct sockaddr *)&address, sizeof(address)))
		killer_fail("%s: %s", path, strerror(errno));
}

static void make_available(struct ring *ring, unsigned bytes)
{
	unsigned slot = ring->available % ENTRIES;

	ring->vring.desc[slot].len = bytes;
	ring->vring.avail->ring[slot] = (uint16_t)slot;
	/* release: the descriptor and its buffer come first. */
	__atomic_store_n(&ring->vring.avail->idx, ++ring->available, __ATOMIC_RELEASE);
}

struct guest *guest_open(const char *path)
{
	const size_t ring_bytes = RING_BYTES + ENTRIES * BUFFER_BYTES, bytes = RINGS * ring_bytes;
	struct guest *guest = calloc(1, sizeof(*guest));
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct message message = {0};

	if (!guest || fd < 0 || ftruncate(fd, (off_t)bytes))
		killer_fail("no memory");
	guest->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (guest->memory == MAP_FAILED)
		killer_fail("no memory");
	connect_to(guest, path);
	if (~ask(guest, 1 /* GET_FEATURES */) & FEATURES)
		killer_fail("the device lacks features");
	(void)ask(guest, 15 /* GET_PROTOCOL_FEATURES */);
	tell_number(guest, 16 /* SET_PROTOCOL_FEATURES */, 0, -1);
	tell(guest, 3 /* SET_OWNER */, "", 0, -1);
	tell_number(guest, 2 /* SET_FEATURES */, FEATURES, -1);
	message.payload.memory.regions = 1;
	message.payload.memory.bytes = bytes;
	message.payload.memory.guest_address = message.payload.memory.user_address =
		(uintptr_t)guest->memory;
	tell(guest, 5 /* SET_MEM_TABLE */, &message.payload, sizeof(message.payload.memory), fd);
	close(fd);
	for (unsigned i = 0; i < RINGS; i++) {
		struct ring *ring = &guest->rings[i];

		vring_init(&ring->vring, ENTRIES, guest->memory + i * ring_bytes, 64);
		ring->buffers = guest->memory + i * ring_bytes + RING_BYTES;
		for (unsigned slot = 0; slot < ENTRIES; slot++)
			ring->vring.desc[slot] = (struct vring_desc){
				.addr = (uintptr_t)ring->buffers + slot * BUFFER_BYTES,
				.flags = i == RECEIVE ? VRING_DESC_F_WRITE : 0,
			};
		for (unsigned slot = 0; i == RECEIVE && slot < ENTRIES; slot++)
			make_available(ring, BUFFER_BYTES);
		ring_start(guest, i);
	}
	for (uint32_t i = 0; i < RINGS; i++)
		tell_ring(guest, 18 /* SET_VRING_ENABLE */, i, 1);
	return guest;
}

/* ---- Frames ------------------------------------------------------------------------ */

/* The next used descriptor, which must be the oldest; -1: none. */
static int next_used(struct ring *ring, unsigned *bytes)
{
	/* acquire: its buffer and its entry come after the index. */
	uint16_t index = __atomic_load_n(&ring->vring.used->idx, __ATOMIC_ACQUIRE);
	unsigned slot = ring->used % ENTRIES;

	if (index == ring->used)
		return -1;
	if ((uint16_t)(index - ring->used) > (uint16_t)(ring->available - ring->used))
		killer_fail("more descriptors were used than were available");
	if (ring->vring.used->ring[slot].id != slot)
		killer_fail("descriptor %u was used where it was %u's turn: twice, or not at all",
			    ring->vring.used->ring[slot].id, slot);
	*bytes = ring->vring.used->ring[slot].len;
	ring->used++;
	return (int)slot;
}

unsigned guest_under_way(struct guest *guest)
{
	struct ring *ring = &guest->rings[TRANSMIT];
	unsigned bytes;

	while (next_used(ring, &bytes) >= 0)
		continue;
	return (uint16_t)(ring->available - ring->used);
}

int guest_send(struct guest *guest, const void *frame, unsigned length)
{
	struct ring *ring = &guest->rings[TRANSMIT];
	uint8_t *buffer = ring->buffers + ring->available % ENTRIES * BUFFER_BYTES;

	if (guest_under_way(guest) == ENTRIES)
		return 0;
	memset(buffer, 0, HEADER_BYTES);
	memcpy(buffer + HEADER_BYTES, frame, length);
	make_available(ring, (unsigned)HEADER_BYTES + length);
	return 1;
}

static void kick(struct ring *ring)
{
	/* seq_cst: partner is the device's, between asking to be rung and looking. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!(__atomic_load_n(&ring->vring.used->flags, __ATOMIC_RELAXED) &
	      VRING_USED_F_NO_NOTIFY) &&
	    eventfd_write(ring->kick, 1))
		killer_fail("kick: %s", strerror(errno));
}

void guest_kick(struct guest *guest)
{
	kick(&guest->rings[TRANSMIT]);
}

unsigned guest_receive(struct guest *guest, void *frame, unsigned length_max)
{
	struct ring *ring = &guest->rings[RECEIVE];
	unsigned bytes, length;
	int slot = next_used(ring, &bytes);

	if (slot < 0)
		return 0;
	length = bytes - (unsigned)HEADER_BYTES;
	if (bytes <= HEADER_BYTES || length > length_max)
		killer_fail("a frame of %u bytes with its header", bytes);
	memcpy(frame, ring->buffers + (unsigned)slot * BUFFER_BYTES + HEADER_BYTES, length);
	make_available(ring, BUFFER_BYTES);
	kick(ring);
	return length;
}
