/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state machine of a vhost-user session: which message may come when (T03),
 * what memory and rings it takes (T06), that no descriptor is left (T04), and
 * what a new back-end is told. The expected transitions are a list of our own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static struct vhost_state state;
static int memory;
static unsigned before;

static void set_up(void)
{
	memory = guest_memory();
	before = open_fds();
	vhost_state_init(&state);
	cr_assert_null(vhost_state_offer(&state, GUEST_FEATURES | UINT64_C(1) << VIRTIO_F_RING_PACKED,
					 GUEST_PROTOCOL | 2));
}

static void tear_down(void)
{
	vhost_state_reset(&state);
	cr_expect_eq(open_fds(), before, "descriptors are left");
}

TestSuite(vhost_state, .init = set_up, .fini = tear_down);

/* As the session's owner would: a refused message's descriptors are closed. */
static enum vhost_verdict take(struct vhost_message message)
{
	struct vhost_message answer = {0};
	const char *problem;
	enum vhost_verdict verdict = vhost_state_take(&state, &message, &answer, &problem);

	if (verdict != VHOST_TAKEN)
		for (unsigned i = 0; i < message.fd_count; i++)
			close(message.fds[i]);
	cr_expect_eq(verdict == VHOST_REFUSED, problem != NULL);
	return verdict;
}

/* The first `count` messages of a well-behaved front-end. */
static void come_to(unsigned count)
{
	struct vhost_message message;

	for (unsigned i = 0; i < count && guest_script(memory, i, &message); i++)
		cr_assert_eq(take(message), VHOST_TAKEN, "message %u of the script", i);
}

/* How far the script goes for each stage of the list below. */
enum stage { FRESH, NEGOTIATED, OWNED, FEATURED, MAPPED, READY, STARTED, STAGES };
static const unsigned script_length[STAGES] = {0, 1, 2, 3, 5, 9, 10};

static struct vhost_message any(uint32_t request)
{
	switch (request) {
	case VHOST_SET_FEATURES:
		return message_number(request, GUEST_FEATURES);
	case VHOST_SET_PROTOCOL_FEATURES:
		return message_number(request, GUEST_PROTOCOL);
	case VHOST_SET_MEM_TABLE:
		return message_memory(memory);
	case VHOST_SET_VRING_NUM:
		return message_ring(request, 0, 128);
	case VHOST_SET_VRING_ADDR:
		return message_address(1);
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_ENABLE:
		return message_ring(request, 0, 1);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return message_doorbell(request, 0);
	case VHOST_NET_SET_MTU:
		return message_number(request, 1400);
	case VHOST_SET_STATUS:
		return message_number(request, 4);
	default:
		return message_plain(request);
	}
}

#define R VHOST_REFUSED
#define A VHOST_ANSWERED
#define T VHOST_TAKEN
#define Q VHOST_ASK

static const struct {
	uint32_t request;
	enum vhost_verdict expected[STAGES];
} transitions[] = {
	/*			      fresh, negotiated, owned, featured, mapped, ready, started */
	{VHOST_GET_FEATURES,	      {A, A, A, A, A, A, A}},
	{VHOST_GET_PROTOCOL_FEATURES, {A, A, A, A, A, A, A}},
	{VHOST_SET_PROTOCOL_FEATURES, {T, T, T, T, T, T, T}},
	{VHOST_GET_QUEUE_NUM,	      {R, A, A, A, A, A, A}},
	{VHOST_GET_STATUS,	      {R, A, A, A, A, A, A}},
	{VHOST_SET_OWNER,	      {T, T, T, T, T, T, T}},
	{VHOST_RESET_OWNER,	      {A, A, A, A, A, A, A}},
	{VHOST_SET_FEATURES,	      {R, R, T, T, T, T, T}},
	{VHOST_SET_STATUS,	      {R, R, T, T, T, T, T}},
	{VHOST_NET_SET_MTU,	      {R, R, T, T, T, T, R}},
	{VHOST_SET_MEM_TABLE,	      {R, R, R, T, T, T, T}},
	{VHOST_SET_VRING_NUM,	      {R, R, T, T, T, T, R}},
	{VHOST_SET_VRING_ADDR,	      {R, R, R, T, T, T, T}}, /* of the other ring */
	{VHOST_SET_VRING_BASE,	      {R, R, T, T, T, T, R}},
	{VHOST_GET_VRING_BASE,	      {R, R, Q, Q, Q, Q, Q}},
	{VHOST_SET_VRING_KICK,	      {R, R, R, R, R, T, T}},
	{VHOST_SET_VRING_CALL,	      {R, R, T, T, T, T, T}},
	{VHOST_SET_VRING_ERR,	      {R, R, A, A, A, A, A}},
	{VHOST_SET_VRING_ENABLE,      {R, R, T, T, T, T, T}},
};

Test(vhost_state, T03_every_message_at_every_stage)
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		for (unsigned stage = 0; stage < STAGES; stage++) {
			come_to(script_length[stage]);
			enum vhost_verdict verdict = take(any(transitions[i].request));
			cr_expect_eq(verdict, transitions[i].expected[stage], "%s at stage %u: %d",
				     vhost_message_name(transitions[i].request), stage, verdict);
			vhost_state_reset(&state);
			cr_expect_eq(open_fds(), before);
		}
	}
}

Test(vhost_state, T03_a_running_ring_changes_only_where_the_protocol_lets_it)
{
	come_to(18);
	struct vhost_message other = message_address(0);

	cr_expect_eq(take(other), VHOST_TAKEN); /* the same */
	other.payload.address.used += 64;
	cr_expect_eq(take(other), VHOST_REFUSED);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_NUM, 0, GUEST_RING_ENTRIES)), VHOST_TAKEN);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_NUM, 0, 512)), VHOST_REFUSED);
	cr_expect_eq(take(message_number(VHOST_SET_FEATURES, 0)), VHOST_REFUSED);
	cr_expect_eq(take(message_number(VHOST_SET_PROTOCOL_FEATURES, 0)), VHOST_REFUSED);
	cr_expect_eq(take(message_memory(memory)), VHOST_TAKEN);
	/* Memory that no longer has the ring. */
	other = message_memory(memory);
	other.payload.memory.regions[0].size_bytes = 0x1000;
	cr_expect_eq(take(other), VHOST_REFUSED);
	cr_expect_eq(take(message_doorbell(VHOST_SET_VRING_KICK, 0)), VHOST_TAKEN);
	cr_expect_eq(state.memory.regions[0].size_bytes, GUEST_BYTES);
	/* Stopped, it may. */
	vhost_state_stopped(&state, 0, 7);
	vhost_state_stopped(&state, 1, 7);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_NUM, 0, 512)), VHOST_TAKEN);
	cr_expect_eq(take(message_number(VHOST_SET_FEATURES, UINT64_C(1) << 32)),
		     VHOST_TAKEN);
}

Test(vhost_state, values_that_nothing_can_have)
{
	static const uint32_t sizes[] = {0, 3, 255, 65536, UINT32_MAX};

	come_to(5);
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(take(message_ring(VHOST_SET_VRING_NUM, 0, sizes[i])), VHOST_REFUSED);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_NUM, 0, 32768)), VHOST_TAKEN);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_BASE, 0, 65536)), VHOST_REFUSED);
	cr_expect_eq(take(message_ring(VHOST_SET_VRING_ENABLE, 0, 2)), VHOST_REFUSED);
	cr_expect_eq(take(message_number(VHOST_SET_STATUS, 256)), VHOST_REFUSED);
	cr_expect_eq(take(message_number(VHOST_NET_SET_MTU, 67)), VHOST_REFUSED);
	cr_expect_eq(take(message_number(VHOST_NET_SET_MTU, 65536)), VHOST_REFUSED);
	for (unsigned bit = 0; bit < 64; bit++) {
		bool offered = GUEST_FEATURES >> bit & 1;

		cr_expect_eq(take(message_number(VHOST_SET_FEATURES, UINT64_C(1) << bit)),
			     offered ? VHOST_TAKEN : VHOST_REFUSED, "feature %u", bit);
		offered = GUEST_PROTOCOL >> bit & 1;
		cr_expect_eq(take(message_number(VHOST_SET_PROTOCOL_FEATURES, UINT64_C(1) << bit)),
			     offered ? VHOST_TAKEN : VHOST_REFUSED, "protocol feature %u", bit);
	}
	struct vhost_message logged = message_address(0);
	logged.payload.address.flags = 1;
	cr_expect_eq(take(logged), VHOST_REFUSED);
}

/* T06: against the file, and without overflow. */
Test(vhost_state, T06_regions_outside_their_file)
{
	static const struct vhost_region bad[] = {
		{0, 0, GUEST_USER, 0},
		{0, GUEST_BYTES + 1, GUEST_USER, 0},
		{0, GUEST_BYTES, GUEST_USER, 1},
		{0, 1, GUEST_USER, GUEST_BYTES},
		{0, UINT64_MAX, GUEST_USER, 0},
		{0, GUEST_BYTES, GUEST_USER, UINT64_MAX},
		{0, GUEST_BYTES, GUEST_USER, UINT64_MAX - GUEST_BYTES + 1},
		{UINT64_MAX, GUEST_BYTES, GUEST_USER, 0},
		{0, GUEST_BYTES, UINT64_MAX - 1, 0},
	};

	come_to(3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vhost_message message = message_memory(memory);

		message.payload.memory.regions[0] = bad[i];
		cr_expect_eq(take(message), VHOST_REFUSED, "region %zu", i);
	}
	cr_expect_eq(state.memory.region_count, 0u);
}

Test(vhost_state, T06_regions_that_overlap)
{
	come_to(3);
	for (unsigned which = 0; which < 3; which++) {
		struct vhost_message message = message_memory(memory);
		struct vhost_memory *table = &message.payload.memory;

		message.header.size_bytes += 32;
		message.fds[message.fd_count++] = fcntl(memory, F_DUPFD_CLOEXEC, 0);
		table->region_count = 2;
		table->regions[1] = table->regions[0];
		table->regions[1].guest_address += which == 0 ? GUEST_BYTES - 1 : GUEST_BYTES;
		table->regions[1].user_address += which == 1 ? GUEST_BYTES - 1 : GUEST_BYTES;
		cr_expect_eq(take(message), which < 2 ? VHOST_REFUSED : VHOST_TAKEN);
	}
}

/* A file that another process serves could keep the shim waiting. */
Test(vhost_state, T05_memory_that_is_no_memory)
{
	static const char *const paths[] = {"/proc/self/exe", "/dev/zero", "/", "/proc/self/mem"};

	come_to(3);
	for (size_t i = 0; i < 4; i++) {
		struct vhost_message message = message_memory(memory);

		close(message.fds[0]);
		message.fds[0] = open(paths[i], O_RDONLY | O_CLOEXEC);
		cr_assert(message.fds[0] >= 0);
		cr_expect_eq(take(message), VHOST_REFUSED, "%s", paths[i]);
	}
}

Test(vhost_state, doorbells_that_are_none)
{
	static const uint32_t requests[] = {VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL};

	come_to(9);
	for (size_t i = 0; i < 2; i++) {
		struct vhost_message message = message_doorbell(requests[i], 0);

		close(message.fds[0]);
		message.fds[0] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		cr_expect_eq(take(message), VHOST_REFUSED);
		cr_expect_eq(take(message_doorbell(requests[i], 0)), VHOST_TAKEN);
	}
}

Test(vhost_state, T06_rings_outside_memory_or_askew)
{
	struct vhost_message kick, bad;

	come_to(9);
	for (unsigned part = 0; part < 8; part++) {
		bad = message_address(0);
		struct vhost_ring_address *address = &bad.payload.address;
		switch (part) {
		case 0: address->descriptors += 8; break;
		case 1: address->available += 1; break;
		case 2: address->used += 2; break;
		case 3: address->descriptors = GUEST_USER + GUEST_BYTES - 16; break;
		case 4: address->available = GUEST_USER + GUEST_BYTES - 2 * GUEST_RING_ENTRIES; break;
		case 5: address->used = GUEST_USER + GUEST_BYTES - 8 * GUEST_RING_ENTRIES; break;
		case 6: address->used = UINT64_MAX - 3; break;
		case 7: address->descriptors = 0; break;
		}
		cr_assert_eq(take(bad), VHOST_TAKEN);
		kick = message_doorbell(VHOST_SET_VRING_KICK, 0);
		cr_expect_eq(take(kick), VHOST_REFUSED, "part %u", part);
		cr_expect_not(state.rings[0].started);
	}
}

/* ---- Replay ------------------------------------------------------------------------ */

Test(vhost_state, T07_a_new_back_end_is_told_all_of_it)
{
	static const uint32_t expected[] = {18, 32, 3, 2, 20, 5, 8, 10, 9, 13, 12, 8, 10, 9, 13, 12, 18, 18, 39};
	struct vhost_message message;
	const char *problem;
	unsigned cursor = 0, count = 0;

	come_to(UINT32_MAX);
	cr_assert_not(vhost_state_make_inflight(&state));
	cr_expect_not(vhost_state_make_inflight(&state), "the same for each back-end");
	guest_used(memory, 0, 1234);
	guest_used(memory, 1, 65535);
	for (; vhost_state_replay(&state, &cursor, &message, &problem); count++) {
		cr_assert_lt(count, sizeof(expected) / sizeof(expected[0]));
		cr_expect_eq(message.header.request, expected[count]);
		/* But for the record, which no front-end may send, it is as from one. */
		if (message.header.request == VHOST_SET_INFLIGHT_FD)
			cr_expect(message.fd_count == 1 && message.fds[0] == state.inflight);
		else
			cr_expect_null(vhost_message_problem(&message), "%s: %s",
				       vhost_message_name(message.header.request),
				       vhost_message_problem(&message));
		cr_expect(message.header.flags & VHOST_NEED_REPLY);
		if (message.header.request == VHOST_SET_VRING_BASE)
			cr_expect_eq(message.payload.ring.number,
				     message.payload.ring.index ? 65535u : 1234u);
		if (message.header.request == VHOST_SET_VRING_KICK)
			cr_expect_eq(message.fds[0], state.rings[message.payload.number].kick);
	}
	cr_expect_null(problem);
	cr_expect_eq(count, sizeof(expected) / sizeof(expected[0]));
}

Test(vhost_state, and_of_a_fresh_one_nothing)
{
	struct vhost_message message;
	const char *problem;
	unsigned cursor = 0;

	cr_expect_not(vhost_state_replay(&state, &cursor, &message, &problem));
	cr_expect_null(problem);
}

/* T05: its owner cuts the memory short; the shim is not hurt. */
Test(vhost_state, T05_memory_that_has_gone)
{
	struct vhost_message message = message_ring(VHOST_GET_VRING_BASE, 0, 0), answer;
	const char *problem;
	unsigned cursor = 0;

	come_to(UINT32_MAX);
	cr_assert_not(ftruncate(memory, 0));
	cr_expect_eq(vhost_state_take(&state, &message, &answer, &problem), VHOST_REFUSED);
	while (vhost_state_replay(&state, &cursor, &message, &problem))
		;
	cr_expect_str_eq(problem, "a ring's memory is gone");
}

Test(vhost_state, a_stopped_ring_stays_where_the_back_end_left_it)
{
	struct vhost_message message = message_ring(VHOST_GET_VRING_BASE, 0, 0), answer;
	const char *problem;
	uint32_t place;

	come_to(UINT32_MAX);
	guest_used(memory, 0, 77);
	cr_expect_eq(vhost_state_take(&state, &message, &answer, &problem), VHOST_ASK);
	cr_expect_eq(answer.payload.ring.number, 77u);
	vhost_state_stopped(&state, 0, 78);
	cr_expect_not(vhost_state_place(&state, 0, &place));
	cr_expect_eq(place, 78u);
	cr_expect_eq(state.rings[0].kick, -1);
}

Test(vhost_state, a_back_end_that_lacks_something)
{
	cr_expect(vhost_state_offer(&state, 0, GUEST_PROTOCOL));
	cr_expect(vhost_state_offer(&state, GUEST_FEATURES, 0));
	come_to(3);
	cr_expect(vhost_state_offer(&state, UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES, GUEST_PROTOCOL));
	cr_expect(vhost_state_offer(&state, GUEST_FEATURES, UINT64_C(1) << VHOST_PROTOCOL_REPLY_ACK));
	cr_expect_null(vhost_state_offer(&state, UINT64_MAX, UINT64_MAX));
	cr_expect_eq(state.offered_protocol, GUEST_PROTOCOL);
	cr_expect_not(state.offered_features & UINT64_C(1) << VIRTIO_F_RING_PACKED);
}

Test(vhost_state, acknowledgements_only_if_negotiated)
{
	struct vhost_message message = message_plain(VHOST_SET_OWNER);

	cr_expect_not(vhost_state_acknowledges(&state, &message));
	message.header.flags |= VHOST_NEED_REPLY;
	cr_expect_not(vhost_state_acknowledges(&state, &message));
	come_to(1);
	cr_expect(vhost_state_acknowledges(&state, &message));
}

/* ---- Before there is something, or without it ------------------------------------ */

static bool takes_mtu(uint64_t mtu)
{
	return take(message_number(VHOST_NET_SET_MTU, mtu)) == VHOST_TAKEN;
}

Test(vhost_state, T03_the_second_ring_alone_runs)
{
	struct vhost_message message;

	/* Up to its memory, without an MTU; then ring 1. */
	for (unsigned i = 0; guest_script(memory, i, &message); i++) {
		bool wanted = (i < 5 && i != 3) || (i >= 10 && i < 15);

		if (wanted)
			cr_assert_eq(take(message), VHOST_TAKEN, "message %u", i);
		for (unsigned f = 0; !wanted && f < message.fd_count; f++)
			close(message.fds[f]);
	}
	cr_expect_not(takes_mtu(1500), "it had none");
	vhost_state_reset(&state);
	come_to(5);
	for (unsigned i = 10; i < 15; i++) {
		guest_script(memory, i, &message);
		cr_assert_eq(take(message), VHOST_TAKEN, "message %u", i);
	}
	cr_expect(takes_mtu(1500), "the same again");
	cr_expect_not(takes_mtu(1400));
}

Test(vhost_state, T06_a_ring_starts_with_size_address_and_memory)
{
	/* Each of the script's messages 4 (memory), 5 (size) and 7 (address) left out. */
	static const unsigned left_out[] = {4, 5, 7};

	for (unsigned row = 0; row < 3; row++) {
		struct vhost_message message;

		for (unsigned i = 0; i < 9 && guest_script(memory, i, &message); i++) {
			if (i != left_out[row])
				take(message);
			for (unsigned f = 0; i == left_out[row] && f < message.fd_count; f++)
				close(message.fds[f]);
		}
		cr_expect_eq(take(message_doorbell(VHOST_SET_VRING_KICK, 0)), VHOST_REFUSED);
		vhost_state_reset(&state);
	}
}

/* "None" is said with a bit instead of a descriptor: the ring is polled. */
Test(vhost_state, doorbells_that_a_guest_does_without)
{
	come_to(8);
	cr_expect_eq(take(message_number(VHOST_SET_VRING_CALL, VHOST_DOORBELL_NONE)), VHOST_TAKEN);
	cr_expect_eq(take(message_number(VHOST_SET_VRING_KICK, VHOST_DOORBELL_NONE)), VHOST_TAKEN);
	cr_expect(state.rings[0].polled);
}

Test(vhost_state, T06_regions_in_any_order)
{
	struct vhost_message message = message_memory(memory);
	uint8_t octets[16];

	come_to(4);
	/* The second lies below the first. */
	message.payload.memory.region_count = 2;
	message.payload.memory.regions[0].size_bytes = GUEST_BYTES / 2;
	message.payload.memory.regions[1] = message.payload.memory.regions[0];
	message.payload.memory.regions[0].guest_address += GUEST_BYTES / 2;
	message.payload.memory.regions[0].user_address += GUEST_BYTES / 2;
	message.payload.memory.regions[0].offset_bytes += GUEST_BYTES / 2;
	message.header.size_bytes = (uint32_t)VHOST_MEMORY_BYTES(2);
	message.fds[message.fd_count++] = dup(memory);
	cr_assert_eq(take(message), VHOST_TAKEN);
	cr_expect_not(vhost_memory_has(&state.memory, GUEST_USER, GUEST_BYTES), "not in one of them");
	cr_expect_not(vhost_memory_has(&state.memory, GUEST_USER + GUEST_BYTES / 2 - 8, 16));
	cr_expect(vhost_memory_has(&state.memory, GUEST_USER + GUEST_BYTES / 2, 16));
	cr_expect_eq(vhost_memory_copy_in(&state.memory, state.region_fds, GUEST_USER - 1, octets,
					  sizeof(octets)),
		     -EFAULT);
}
