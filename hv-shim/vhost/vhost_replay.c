/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages that bring a new back-end to where the session stands: a table,
 * in the order in which front-ends send them. See vhost_state.h. Event-loop
 * thread.
 */
#include <string.h>

#include "adj_inflight.h"
#include "vhost_state.h"

static struct vhost_message make(uint32_t request, size_t size_bytes)
{
	struct vhost_message message = {0};

	message.header = (struct vhost_header){request, VHOST_VERSION | VHOST_NEED_REPLY,
					       (uint32_t)size_bytes};
	return message;
}

static struct vhost_message make_number(uint32_t request, uint64_t number)
{
	struct vhost_message message = make(request, sizeof(message.payload.number));

	message.payload.number = number;
	return message;
}

static struct vhost_message make_ring(uint32_t request, uint32_t index, uint32_t number)
{
	struct vhost_message message = make(request, sizeof(message.payload.ring));

	message.payload.ring = (struct vhost_ring_number){index, number};
	return message;
}

static struct vhost_message make_doorbell(uint32_t request, unsigned index, int fd)
{
	struct vhost_message message =
		make_number(request, index | (fd < 0 ? VHOST_DOORBELL_NONE : 0));

	message.fds[0] = fd;
	message.fd_count = fd >= 0;
	return message;
}

/* Each: false if there is nothing to tell, or with *problem. */
typedef bool (*step_fn)(const struct vhost_state *state, unsigned index,
			struct vhost_message *message, const char **problem);

#define STEP(name)                                                        \
	static bool name(const struct vhost_state *state, unsigned index, \
			 struct vhost_message *message, const char **problem)

STEP(replay_owner)
{
	(void)index;
	(void)problem;
	*message = make(VHOST_SET_OWNER, 0);
	return state->has_owner;
}

/* librte_vhost knows a ring from the first message about it on, and keeps the in-flight
 * region only for rings it knows. */
STEP(replay_ring_known)
{
	(void)problem;
	*message = make_ring(VHOST_SET_VRING_ENABLE, index, 0);
	return state->inflight >= 0;
}

/* A page, in which each ring has a place that is long enough for one descriptor. */
STEP(replay_inflight)
{
	(void)index;
	(void)problem;
	*message = make(VHOST_SET_INFLIGHT_FD, sizeof(message->payload.inflight));
	message->payload.inflight = (struct vhost_inflight){
		.map_bytes = ADJ_INFLIGHT_BYTES,
		.rings = VHOST_RINGS,
		.entries = 1,
	};
	message->fds[0] = state->inflight;
	message->fd_count = 1;
	return state->inflight >= 0;
}

STEP(replay_features)
{
	(void)index;
	(void)problem;
	*message = make_number(VHOST_SET_FEATURES, state->features);
	return state->has_features;
}

STEP(replay_mtu)
{
	(void)index;
	(void)problem;
	*message = make_number(VHOST_NET_SET_MTU, state->mtu);
	return state->has_mtu;
}

STEP(replay_memory)
{
	(void)index;
	(void)problem;
	*message = make(VHOST_SET_MEM_TABLE, VHOST_MEMORY_BYTES(state->memory.region_count));
	message->payload.memory = state->memory;
	message->fd_count = state->memory.region_count;
	memcpy(message->fds, state->region_fds, sizeof(message->fds));
	return state->memory.region_count;
}

STEP(replay_size)
{
	(void)problem;
	*message = make_ring(VHOST_SET_VRING_NUM, index, state->rings[index].size.number);
	return state->rings[index].size.number;
}

STEP(replay_base)
{
	const struct vhost_ring *ring = &state->rings[index];
	uint32_t base = ring->base.number;

	if (vhost_state_place(state, index, &base)) {
		*problem = "a ring's memory is gone";
		return false;
	}
	*message = make_ring(VHOST_SET_VRING_BASE, index, base);
	return ring->has_base || ring->started;
}

STEP(replay_address)
{
	(void)problem;
	*message = make(VHOST_SET_VRING_ADDR, sizeof(struct vhost_ring_address));
	message->payload.address = state->rings[index].address;
	return state->rings[index].has_address;
}

STEP(replay_call)
{
	(void)problem;
	*message = make_doorbell(VHOST_SET_VRING_CALL, index, state->rings[index].call);
	return state->rings[index].has_call;
}

STEP(replay_kick)
{
	(void)problem;
	*message = make_doorbell(VHOST_SET_VRING_KICK, index, state->rings[index].kick);
	return state->rings[index].started;
}

STEP(replay_enable)
{
	(void)problem;
	*message = make_ring(VHOST_SET_VRING_ENABLE, index, state->rings[index].enabled);
	return state->rings[index].has_enable;
}

/* Last: a back-end that knows of the status starts with DRIVER_OK. */
STEP(replay_status)
{
	(void)index;
	(void)problem;
	*message = make_number(VHOST_SET_STATUS, state->status);
	return state->has_status;
}

static const struct {
	step_fn make;
	unsigned index;
} steps[] = {
	{replay_ring_known, VHOST_RINGS - 1}, {replay_inflight},
	{replay_owner},   {replay_features}, {replay_mtu},        {replay_memory},
	{replay_size, 0}, {replay_base, 0},  {replay_address, 0}, {replay_call, 0},
	{replay_kick, 0}, {replay_size, 1},  {replay_base, 1},    {replay_address, 1},
	{replay_call, 1}, {replay_kick, 1},  {replay_enable, 0},  {replay_enable, 1},
	{replay_status},
};

bool vhost_state_replay(const struct vhost_state *state, unsigned *cursor,
			struct vhost_message *message, const char **problem)
{
	*problem = NULL;
	while (*cursor < sizeof(steps) / sizeof(steps[0])) {
		unsigned step = (*cursor)++;

		if (steps[step].make(state, steps[step].index, message, problem))
			return true;
		if (*problem)
			return false;
	}
	return false;
}
