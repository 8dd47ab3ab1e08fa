/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state machine of a vhost-user session: for each request, when it may come
 * (a table), and what it changes (a function each). See vhost_state.h.
 * Event-loop thread.
 */
#include "vhost_state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adj_inflight.h"
#include "fd_discard.h"

#define BIT(n) (UINT64_C(1) << (n))
#define VHOST_F_LOG_ALL 26

#define FEATURES_NOT_REPLAYED                                                               \
	(BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_ACCESS_PLATFORM) | \
	 BIT(VIRTIO_NET_F_MQ))
#define PROTOCOL_REPLAYED                                                                   \
	(BIT(VHOST_PROTOCOL_MQ) | BIT(VHOST_PROTOCOL_REPLY_ACK) | BIT(VHOST_PROTOCOL_MTU) | \
	 BIT(VHOST_PROTOCOL_STATUS))
#define STATUS_MAX UINT8_MAX
#define MTU_MIN 68
#define MTU_MAX 65535

/* Sizes of a split ring's parts, virtio 1.2, section 2.7. */
#define DESCRIPTOR_BYTES 16u
#define AVAILABLE_BYTES(entries) (6u + 2u * (uint64_t)(entries))
#define USED_BYTES(entries) (6u + 8u * (uint64_t)(entries))
#define USED_INDEX_OFFSET 2

void vhost_state_init(struct vhost_state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < VHOST_STATE_FDS; i++)
		*vhost_state_fd(state, i) = -1;
}

int *vhost_state_fd(struct vhost_state *state, unsigned i)
{
	assert(i < VHOST_STATE_FDS);
	if (i < VHOST_REGIONS_MAX)
		return &state->region_fds[i];
	if (i == VHOST_STATE_FDS - 1)
		return &state->inflight;
	struct vhost_ring *ring = &state->rings[(i - VHOST_REGIONS_MAX) / 2];
	return i % 2 ? &ring->call : &ring->kick;
}

static void fd_put(int *place, int fd)
{
	if (*place >= 0)
		close(*place);
	*place = fd;
}

void vhost_state_reset(struct vhost_state *state)
{
	uint64_t features = state->offered_features, protocol = state->offered_protocol;

	for (unsigned i = 0; i < VHOST_STATE_FDS; i++)
		fd_put(vhost_state_fd(state, i), -1);
	vhost_state_init(state);
	state->offered_features = features;
	state->offered_protocol = protocol;
}

int vhost_state_make_inflight(struct vhost_state *state)
{
	int fd, error = 0;

	if (state->inflight >= 0)
		return 0;
	fd = memfd_create("outrigger:inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, ADJ_INFLIGHT_BYTES) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		error = -errno;
	if (error && fd >= 0)
		close(fd);
	if (!error)
		state->inflight = fd;
	return error;
}

const char *vhost_state_offer(struct vhost_state *state, uint64_t features, uint64_t protocol)
{
	features &= ~FEATURES_NOT_REPLAYED;
	if (!(features & BIT(VHOST_F_PROTOCOL_FEATURES)) ||
	    !(protocol & BIT(VHOST_PROTOCOL_REPLY_ACK)))
		return "it does not acknowledge messages";
	if (state->features & ~features || state->protocol & ~protocol)
		return "it lacks features that the guest uses";
	state->offered_features = features;
	state->offered_protocol = protocol & PROTOCOL_REPLAYED;
	return NULL;
}

/* ---- Rings --------------------------------------------------------------------- */

static bool any_started(const struct vhost_state *state)
{
	return state->rings[0].started || state->rings[1].started;
}

/* NULL, or why the ring cannot be where the front-end says, with this memory. */
static const char *ring_problem(const struct vhost_memory *memory, const struct vhost_ring *ring)
{
	const struct vhost_ring_address *at = &ring->address;
	uint32_t entries = ring->size.number;

	if (!entries || !ring->has_address || !memory->region_count)
		return "a ring without size, address or memory";
	if (at->descriptors % 16 || at->available % 2 || at->used % 4)
		return "a ring that is not aligned";
	if (!vhost_memory_has(memory, at->descriptors, DESCRIPTOR_BYTES * (uint64_t)entries) ||
	    !vhost_memory_has(memory, at->available, AVAILABLE_BYTES(entries)) ||
	    !vhost_memory_has(memory, at->used, USED_BYTES(entries)))
		return "a ring outside memory";
	return NULL;
}

/*
 * Where a back-end goes on: the first entry that is not yet used. Adjuncts use
 * entries in the order in which they became available, so all those before
 * are done: a split ring's used index is its available index of everything
 * completed. What a dying adjunct had done and not yet used, its successor knows from
 * the in-flight record. The value is the guest's, and goes to its adjunct alone.
 */
int vhost_state_place(const struct vhost_state *state, unsigned ring_index, uint32_t *out)
{
	const struct vhost_ring *ring = &state->rings[ring_index];
	uint16_t index;

	if (!ring->started) {
		*out = ring->base.number;
		return 0;
	}
	int error =
		vhost_memory_copy_in(&state->memory, state->region_fds,
				     ring->address.used + USED_INDEX_OFFSET, &index, sizeof(index));
	if (!error)
		*out = index;
	return error;
}

void vhost_state_stopped(struct vhost_state *state, unsigned index, uint32_t base)
{
	struct vhost_ring *ring = &state->rings[index];

	ring->base = (struct vhost_ring_number){index, base & UINT16_MAX};
	ring->has_base = true;
	ring->started = false;
	ring->polled = false;
	fd_put(&ring->kick, -1);
}

/* ---- What each request changes: NULL, or why not ------------------------------------ */

static const char *take_nothing(struct vhost_state *state, const struct vhost_message *message)
{
	(void)state;
	(void)message;
	return NULL;
}

static const char *take_features(struct vhost_state *state, const struct vhost_message *message)
{
	uint64_t features = message->payload.number;

	if (features & ~state->offered_features)
		return "features that were not offered";
	if (any_started(state) && features != state->features)
		return "other features while rings run";
	state->features = features;
	state->has_features = true;
	return NULL;
}

static const char *take_protocol(struct vhost_state *state, const struct vhost_message *message)
{
	uint64_t protocol = message->payload.number;

	if (protocol & ~state->offered_protocol)
		return "protocol features that were not offered";
	if (any_started(state) && protocol != state->protocol)
		return "other protocol features while rings run";
	state->protocol = protocol;
	state->has_protocol = true;
	return NULL;
}

static const char *take_owner(struct vhost_state *state, const struct vhost_message *message)
{
	(void)message;
	state->has_owner = true;
	return NULL;
}

static const char *take_memory(struct vhost_state *state, const struct vhost_message *message)
{
	const struct vhost_memory *memory = &message->payload.memory;
	const char *problem = vhost_memory_problem(memory, message->fds);

	for (unsigned i = 0; i < VHOST_RINGS && !problem; i++)
		if (state->rings[i].started)
			problem = ring_problem(memory, &state->rings[i]);
	if (problem)
		return problem;
	memset(&state->memory, 0, sizeof(state->memory));
	memcpy(&state->memory, memory, message->header.size_bytes);
	for (unsigned i = 0; i < VHOST_REGIONS_MAX; i++)
		fd_put(&state->region_fds[i], i < message->fd_count ? message->fds[i] : -1);
	return NULL;
}

static struct vhost_ring *ring_of(struct vhost_state *state, const struct vhost_message *message)
{
	return &state->rings[message->payload.ring.index]; /* of the right shape, so in range */
}

static const char *take_size(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = ring_of(state, message);
	uint32_t entries = message->payload.ring.number;

	if (!entries || entries > VHOST_RING_ENTRIES_MAX || entries & (entries - 1))
		return "a ring's size that is no power of two";
	if (ring->started)
		return ring->size.number == entries ? NULL : "a running ring's size changed";
	ring->size = message->payload.ring;
	return NULL;
}

static const char *take_address(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = ring_of(state, message);
	const struct vhost_ring_address *address = &message->payload.address;

	if (address->flags)
		return "a log of written pages, which was not offered";
	if (ring->started)
		return !memcmp(&ring->address, address, sizeof(*address))
			       ? NULL
			       : "a running ring's address changed";
	ring->address = *address;
	ring->has_address = true;
	return NULL;
}

static const char *take_base(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = ring_of(state, message);

	if (message->payload.ring.number > UINT16_MAX)
		return "a ring's place outside 16 bits";
	if (ring->started)
		return "a running ring's place changed";
	ring->base = message->payload.ring;
	ring->has_base = true;
	return NULL;
}

static int doorbell(const struct vhost_message *message)
{
	return message->fd_count ? message->fds[0] : -1;
}

/* So that whatever the state owns can be closed without waiting. */
static const char *doorbell_problem(const struct vhost_message *message)
{
	return message->fd_count && !fd_is_eventfd(message->fds[0])
		       ? "a doorbell that is no eventfd"
		       : NULL;
}

/* The ring's parts are known from here on, so this is where they are checked. */
static const char *take_kick(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = &state->rings[message->payload.number & VHOST_DOORBELL_RING];
	const char *problem = doorbell_problem(message);

	if (!problem)
		problem = ring_problem(&state->memory, ring);
	if (problem)
		return problem;
	fd_put(&ring->kick, doorbell(message));
	ring->polled = ring->kick < 0;
	ring->started = true;
	return NULL;
}

static const char *take_call(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = &state->rings[message->payload.number & VHOST_DOORBELL_RING];

	const char *problem = doorbell_problem(message);

	if (problem)
		return problem;
	fd_put(&ring->call, doorbell(message));
	ring->has_call = true;
	return NULL;
}

static const char *take_enable(struct vhost_state *state, const struct vhost_message *message)
{
	struct vhost_ring *ring = ring_of(state, message);

	if (message->payload.ring.number > 1)
		return "neither on nor off";
	ring->enabled = message->payload.ring.number;
	ring->has_enable = true;
	return NULL;
}

static const char *take_mtu(struct vhost_state *state, const struct vhost_message *message)
{
	uint64_t mtu = message->payload.number;

	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return "no MTU";
	if (any_started(state) && (!state->has_mtu || mtu != state->mtu))
		return "another MTU while rings run";
	state->mtu = mtu;
	state->has_mtu = true;
	return NULL;
}

static const char *take_status(struct vhost_state *state, const struct vhost_message *message)
{
	if (message->payload.number > STATUS_MAX)
		return "a status of more than 8 bits";
	state->status = message->payload.number;
	state->has_status = true;
	return NULL;
}

/* ---- When each may come -------------------------------------------------------------- */

#define NEEDS_OWNER 1u
#define NEEDS_FEATURES 2u /* and owner, by way of SET_FEATURES */

static const struct rule {
	const char *(*take)(struct vhost_state *state, const struct vhost_message *message);
	enum vhost_verdict verdict;
	unsigned needs;
	uint64_t protocol; /* the front-end must have taken one of these */
} rules[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = {take_nothing, VHOST_ANSWERED},
	[VHOST_GET_PROTOCOL_FEATURES] = {take_nothing, VHOST_ANSWERED},
	[VHOST_SET_PROTOCOL_FEATURES] = {take_protocol, VHOST_TAKEN},
	[VHOST_GET_QUEUE_NUM] = {take_nothing, VHOST_ANSWERED, .protocol = BIT(VHOST_PROTOCOL_MQ)},
	[VHOST_SET_OWNER] = {take_owner, VHOST_TAKEN},
	/* The protocol lets back-ends ignore it. */
	[VHOST_RESET_OWNER] = {take_nothing, VHOST_ANSWERED},
	[VHOST_SET_FEATURES] = {take_features, VHOST_TAKEN, NEEDS_OWNER},
	[VHOST_SET_MEM_TABLE] = {take_memory, VHOST_TAKEN, NEEDS_FEATURES},
	[VHOST_SET_VRING_NUM] = {take_size, VHOST_TAKEN, NEEDS_OWNER},
	[VHOST_SET_VRING_ADDR] = {take_address, VHOST_TAKEN, NEEDS_FEATURES},
	[VHOST_SET_VRING_BASE] = {take_base, VHOST_TAKEN, NEEDS_OWNER},
	[VHOST_GET_VRING_BASE] = {take_nothing, VHOST_ASK, NEEDS_OWNER},
	[VHOST_SET_VRING_KICK] = {take_kick, VHOST_TAKEN, NEEDS_FEATURES},
	[VHOST_SET_VRING_CALL] = {take_call, VHOST_TAKEN, NEEDS_OWNER},
	/* librte_vhost does not use it, and neither do we. */
	[VHOST_SET_VRING_ERR] = {take_nothing, VHOST_ANSWERED, NEEDS_OWNER},
	[VHOST_SET_VRING_ENABLE] = {take_enable, VHOST_TAKEN, NEEDS_OWNER},
	[VHOST_NET_SET_MTU] = {take_mtu, VHOST_TAKEN, NEEDS_OWNER,
			       .protocol = BIT(VHOST_PROTOCOL_MTU)},
	[VHOST_SET_STATUS] = {take_status, VHOST_TAKEN, NEEDS_OWNER,
			      .protocol = BIT(VHOST_PROTOCOL_STATUS)},
	[VHOST_GET_STATUS] = {take_nothing, VHOST_ANSWERED, .protocol = BIT(VHOST_PROTOCOL_STATUS)},
};

static const char *order_problem(const struct vhost_state *state, const struct rule *rule)
{
	if (rule->protocol && !(state->protocol & rule->protocol))
		return "its protocol feature was not negotiated";
	if (rule->needs & NEEDS_OWNER && !state->has_owner)
		return "it comes before SET_OWNER";
	if (rule->needs & NEEDS_FEATURES && !state->has_features)
		return "it comes before SET_FEATURES";
	return NULL;
}

/* The answer that we can give without the back-end. */
static const char *answer_make(struct vhost_state *state, const struct vhost_message *message,
			       struct vhost_message *answer)
{
	uint32_t request = message->header.request, index = message->payload.ring.index, base;

	switch (request) {
	case VHOST_GET_FEATURES:
		*answer = vhost_reply_number(request, state->offered_features);
		return NULL;
	case VHOST_GET_PROTOCOL_FEATURES:
		*answer = vhost_reply_number(request, state->offered_protocol);
		return NULL;
	case VHOST_GET_QUEUE_NUM:
		*answer = vhost_reply_number(request, 1);
		return NULL;
	case VHOST_GET_STATUS:
		*answer = vhost_reply_number(request, state->status);
		return NULL;
	case VHOST_GET_VRING_BASE:
		if (vhost_state_place(state, index, &base))
			return "a ring whose memory is gone";
		*answer = vhost_reply_ring(request, index, base);
		return NULL;
	default:
		*answer = vhost_reply_number(request, 0); /* it went well */
		return NULL;
	}
}

enum vhost_verdict vhost_state_take(struct vhost_state *state, const struct vhost_message *message,
				    struct vhost_message *answer, const char **problem)
{
	*problem = vhost_message_problem(message);
	if (*problem)
		return VHOST_REFUSED;
	const struct rule *rule = &rules[message->header.request];

	*problem = order_problem(state, rule);
	if (!*problem)
		*problem = rule->take(state, message);
	if (!*problem)
		*problem = answer_make(state, message, answer);
	return *problem ? VHOST_REFUSED : rule->verdict;
}

bool vhost_state_acknowledges(const struct vhost_state *state, const struct vhost_message *message)
{
	return message->header.flags & VHOST_NEED_REPLY &&
	       state->protocol & BIT(VHOST_PROTOCOL_REPLY_ACK);
}
