/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: a vhost-user front-end that sends sequences of messages, whole or
 * in pieces, with descriptors of several kinds and numbers (THREATS.md T03, T04,
 * T06). The input is a row of commands:
 *
 *   REQUEST FLAGS FDS SIZE PAYLOAD   a message. FDS: low half how many, high half
 *                                    of which kind: memory, doorbell, other
 *   \xf0                             the front-end leaves, another one comes
 *   \xf1 N                           the memory now has N pages
 *   \xf2                             a new back-end is told the session
 *   \xf3 N BYTES                     N bytes as they are
 *
 * Demanded: no descriptor is left; what the state has taken holds together;
 * every message to a back-end is of the protocol's shape.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../hv-shim/vhost/vhost_state.h"
#include "fd_discard.h"
#include "fuzz.h"

#define MEMORY_PAGE 4096
#define MEMORY_PAGES 16
#define FDS_SENT_MAX 15

struct input {
	const uint8_t *data;
	size_t left;
};

struct world {
	struct vhost_state state;
	struct vhost_reader reader;
	int ends[2], kinds[3];
};

static uint8_t next(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->data++;
}

static void guest_comes(struct world *world)
{
	FUZZ_DEMAND(
		!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, world->ends));
}

static void guest_goes(struct world *world)
{
	vhost_reader_close(&world->reader);
	vhost_state_reset(&world->state);
	close(world->ends[0]);
	close(world->ends[1]);
}

static void state_holds(struct vhost_state *state)
{
	for (unsigned i = 0; i < VHOST_RINGS; i++) {
		const struct vhost_ring *ring = &state->rings[i];
		uint64_t entries = ring->size.number;

		FUZZ_DEMAND(entries <= VHOST_RING_ENTRIES_MAX && !(entries & (entries - 1)));
		if (!ring->started)
			continue;
		FUZZ_DEMAND(entries && state->has_owner && state->has_features);
		FUZZ_DEMAND(
			vhost_memory_has(&state->memory, ring->address.descriptors, 16 * entries));
		FUZZ_DEMAND(
			vhost_memory_has(&state->memory, ring->address.available, 6 + 2 * entries));
		FUZZ_DEMAND(vhost_memory_has(&state->memory, ring->address.used, 6 + 8 * entries));
		FUZZ_DEMAND(ring->polled == (ring->kick < 0));
	}
	FUZZ_DEMAND(!(state->features & ~state->offered_features));
	FUZZ_DEMAND(!(state->protocol & ~state->offered_protocol));
	for (unsigned i = 0; i < VHOST_REGIONS_MAX; i++)
		FUZZ_DEMAND((state->region_fds[i] >= 0) == (i < state->memory.region_count));
}

static void replay(struct world *world)
{
	struct vhost_message message;
	const char *problem;
	unsigned cursor = 0;

	while (vhost_state_replay(&world->state, &cursor, &message, &problem))
		FUZZ_DEMAND(!vhost_message_problem(&message));
}

/* As vhost_proxy.c. False: this front-end is done for. */
static bool guest_message(struct world *world)
{
	const struct vhost_message message = world->reader.message;
	struct vhost_message answer = {0};
	const char *problem;
	enum vhost_verdict verdict = vhost_state_take(&world->state, &message, &answer, &problem);

	FUZZ_DEMAND((verdict == VHOST_REFUSED) == (problem != NULL));
	if (verdict == VHOST_TAKEN)
		vhost_reader_clear(&world->reader);
	else
		vhost_reader_close(&world->reader);
	if (verdict == VHOST_REFUSED)
		return false;
	if (verdict == VHOST_ASK)
		vhost_state_stopped(&world->state, message.payload.ring.index,
				    answer.payload.ring.number);
	FUZZ_DEMAND(answer.header.size_bytes == 8 &&
		    answer.header.request == message.header.request);
	state_holds(&world->state);
	return true;
}

static void serve(struct world *world)
{
	int result;

	while ((result = vhost_read(world->ends[1], &world->reader)) == 1)
		if (!guest_message(world)) {
			result = -EPROTO;
			break;
		}
	if (result < 0) {
		guest_goes(world);
		guest_comes(world);
	}
}

static void guest_sends(struct world *world, const void *bytes, size_t count, uint8_t fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_SENT_MAX * sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)bytes, count};
	struct msghdr to = {.msg_iov = &part, .msg_iovlen = 1};
	unsigned fd_count = fds & 15;

	if (fd_count) {
		to.msg_control = &control;
		to.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&to);
		*c = (struct cmsghdr){CMSG_LEN(fd_count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		for (unsigned i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &world->kinds[(fds >> 4) % 3],
			       sizeof(int));
	}
	(void)!sendmsg(world->ends[0], &to, MSG_NOSIGNAL);
}

static void command_run(struct world *world, struct input *input)
{
	struct {
		struct vhost_header header;
		uint8_t payload[255];
	} __attribute__((packed)) wire;
	uint8_t command = next(input), bytes[255], count, fds;

	switch (command) {
	case 0xf0:
		guest_goes(world);
		guest_comes(world);
		break;
	case 0xf1:
		FUZZ_DEMAND(!ftruncate(world->kinds[0],
				       next(input) % (MEMORY_PAGES + 1) * MEMORY_PAGE));
		break;
	case 0xf2:
		if (!vhost_state_offer(&world->state, UINT64_MAX, UINT64_MAX))
			replay(world);
		break;
	case 0xf3:
		count = next(input);
		for (unsigned i = 0; i < count; i++)
			bytes[i] = next(input);
		guest_sends(world, bytes, count, 0);
		break;
	default:
		wire.header.request = command;
		wire.header.flags = next(input);
		fds = next(input);
		wire.header.size_bytes = next(input);
		for (unsigned i = 0; i < wire.header.size_bytes; i++)
			wire.payload[i] = next(input);
		guest_sends(world, &wire, sizeof(wire.header) + wire.header.size_bytes, fds);
		break;
	}
	serve(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned before = fuzz_open_fds();
	struct input input = {data, size};
	struct world world = {0};

	world.kinds[0] = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	world.kinds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	world.kinds[2] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	FUZZ_DEMAND(world.kinds[0] >= 0 && !ftruncate(world.kinds[0], MEMORY_PAGES * MEMORY_PAGE));
	FUZZ_DEMAND(world.kinds[1] >= 0 && world.kinds[2] >= 0);
	vhost_state_init(&world.state);
	FUZZ_DEMAND(!vhost_state_offer(&world.state, UINT64_MAX, UINT64_MAX));
	guest_comes(&world);
	while (input.left)
		command_run(&world, &input);
	replay(&world);
	guest_goes(&world);
	for (unsigned i = 0; i < 3; i++)
		close(world.kinds[i]);
	while (fd_discard_pending())
		usleep(10);
	FUZZ_DEMAND(fuzz_open_fds() == before);
	return 0;
}
