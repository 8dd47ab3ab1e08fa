/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's split rings from the device's side (ethdev/vhost_ring.c) while another
 * process rewrites them: descriptors, tables of them, available entries, indexes,
 * octets. What was checked, a frame's length and how many octets were copied must be
 * one and the same, and good, for every frame; the guest's memory lies between pages
 * that nobody may touch, so any address that was not checked ends the test.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ethdev/vhost_ring.h"
#include "flipper.h"

#define ENTRIES 256u
#define GUARD_BYTES ((size_t)16 << 20) /* no length that is tried reaches beyond */
#define MEMORY_BYTES ((size_t)1 << 20)
#define RING_BYTES 0x4000u
#define TABLES_AT (2u * RING_BYTES)
#define BUFFERS_AT 0x10000u
#define GUEST_BASE UINT64_C(0x40000000)
#define LOW 14u
#define ROOM 1600u

static uint8_t *memory;
static struct vhost_regions regions;
static struct vhost_ring transmit, receive;
static uint8_t octets[VHOST_BURST][ROOM];
static _Atomic uint64_t *rewritten;
static pid_t flipper;
static uint64_t calls;

static struct vhost_ring ring_at(unsigned number)
{
	struct vhost_ring ring = {.memory = &regions, .call_fd = -1, .header_bytes = 12,
				  .event_index = true, .mergeable = true, .calls = &calls};
	uint8_t *at = memory + number * RING_BYTES;

	vhost_ring_place(&ring, ENTRIES, at, at + 0x1000, at + 0x2000);
	vhost_ring_begin(&ring, 0);
	return ring;
}

/* ---- The other process ----------------------------------------------------------------- */

static struct vring_desc flipped_descriptor(uint64_t *state, uint16_t direction)
{
	static const uint32_t lengths[] = {76,  1530, 26, 1531, 25, 100, 600, 0,
					   12, 9,    72, 4096, 32, 16,  48,  1000};
	uint64_t random = flipper_random(state);
	struct vring_desc desc = {
		.addr = GUEST_BASE + BUFFERS_AT + (random >> 8) % (MEMORY_BYTES - BUFFERS_AT),
		.len = lengths[random & 15],
		.flags = direction,
		.next = (uint16_t)(random >> 40),
	};

	random >>= 44;
	desc.next %= random & 1 ? 8 : ENTRIES + 1;
	if (!(random >> 1 & 7))
		desc.flags |= VRING_DESC_F_NEXT;
	if (!(random >> 4 & 15)) {
		desc.flags = VRING_DESC_F_INDIRECT;
		desc.addr = GUEST_BASE + TABLES_AT + (random & 15) * 64;
	}
	if (!(random >> 8 & 63))
		desc.flags ^= VRING_DESC_F_WRITE;
	if (!(random >> 14 & 63))
		desc.addr = random & 1 ? GUEST_BASE - 10 : GUEST_BASE + MEMORY_BYTES - 10;
	return desc;
}

static void flip(struct vhost_ring *ring, uint64_t *state, uint16_t direction)
{
	uint16_t used = __atomic_load_n(&ring->used->idx, __ATOMIC_RELAXED);
	uint64_t random = flipper_random(state);

	for (unsigned i = 0; i < 64; i++) {
		struct vring_desc *table = (struct vring_desc *)(memory + TABLES_AT);
		uint16_t at = (uint16_t)(used + i);

		ring->desc[at % ENTRIES] = flipped_descriptor(state, direction);
		table[flipper_random(state) % 64] = flipped_descriptor(state, direction);
		ring->avail->ring[at % ENTRIES] = (uint16_t)(at % ENTRIES);
		memory[BUFFERS_AT + flipper_random(state) % (MEMORY_BYTES - BUFFERS_AT)] =
			(uint8_t)(random & 0x7f);
	}
	if (!(random >> 8 & 1023))
		ring->avail->ring[used % ENTRIES] = (uint16_t)(random >> 20);
	__atomic_store_n(&ring->avail->idx,
			 random >> 18 & 1023 ? (uint16_t)(used + 64) : (uint16_t)(random >> 30),
			 __ATOMIC_RELEASE);
	atomic_fetch_add_explicit(rewritten, 64, memory_order_relaxed);
}

static _Noreturn void flip_for_ever(void)
{
	uint64_t state = 0x9e3779b97f4a7c15u;

	for (;;) {
		flip(&transmit, &state, 0);
		flip(&receive, &state, VRING_DESC_F_WRITE);
	}
}

/* ---- The victim -------------------------------------------------------------------------- */

static void start(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *reserved = mmap(NULL, MEMORY_BYTES + 2 * GUARD_BYTES, PROT_NONE, flags, -1, 0);
	pid_t parent = getpid();

	cr_assert_neq(reserved, MAP_FAILED);
	memory = mmap(reserved + GUARD_BYTES, MEMORY_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	rewritten = mmap(NULL, sizeof(*rewritten), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(memory != MAP_FAILED && rewritten != MAP_FAILED);
	regions = (struct vhost_regions){1, {{GUEST_BASE, MEMORY_BYTES, memory}}};
	transmit = ring_at(0);
	receive = ring_at(1);
	memset(octets, VICTIM_OCTET, sizeof(octets));
	flipper = fork();
	cr_assert_geq(flipper, 0);
	if (!flipper) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		flip_for_ever();
	}
}

static void stop(void)
{
	int status;

	cr_assert_eq(kill(flipper, SIGKILL), 0);
	cr_assert_eq(waitpid(flipper, &status, 0), flipper);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended by itself");
	munmap(memory - GUARD_BYTES, MEMORY_BYTES + 2 * GUARD_BYTES);
	munmap(rewritten, sizeof(*rewritten));
}

TestSuite(flipped_guest, .init = start, .fini = stop);

/* `clean`: nobody else has copied to its place. */
static void frame_check(const struct vhost_frame *frame, bool clean)
{
	uint8_t *at = frame->at;
	uint32_t length = frame->length_bytes, lines = (length + 63) & ~63u, last;

	cr_assert(length >= LOW && length <= FLIPPED_FRAME_MAX, "a frame of %u octets", length);
	/* Neither the guest's buffers nor its descriptors have so many of these in a row. */
	for (last = length - 8; last < length && at[last] == VICTIM_OCTET;)
		last++;
	cr_assert_lt(last, length, "fewer than %u octets were copied", length);
	cr_assert(!clean || at[lines] == VICTIM_OCTET, "more than %u octets were copied", lines);
	memset(at, VICTIM_OCTET, lines);
}

/* Entries read; a ring that broke begins anew. */
static unsigned take_some(uint64_t *good, uint64_t *broken)
{
	struct vhost_frame frames[VHOST_BURST];
	unsigned bad = 0;
	int ready = vhost_ring_ready(&transmit, VHOST_BURST);

	for (unsigned i = 0; i < VHOST_BURST; i++)
		frames[i] = (struct vhost_frame){octets[i], 0};
	int taken = ready <= 0 ? ready
			       : vhost_ring_take(&transmit, frames, (unsigned)ready, LOW,
						 FLIPPED_FRAME_MAX, &bad);
	if (taken < 0) {
		cr_assert_eq(taken, -EPROTO);
		++*broken;
		return 0;
	}
	for (int i = 0; i < taken; i++)
		frame_check(&frames[i], i || !bad);
	/* Of one that was refused there may be octets, where the next one goes. */
	memset(octets[0], VICTIM_OCTET, ROOM);
	if ((unsigned)taken < VHOST_BURST)
		memset(octets[taken], VICTIM_OCTET, ROOM);
	vhost_ring_use(&transmit, bad);
	vhost_ring_use(&transmit, (unsigned)taken);
	*good += (unsigned)taken;
	return bad + (unsigned)taken;
}

static void give_some(uint64_t *random)
{
	static uint8_t given[FLIPPED_FRAME_MAX];
	struct vhost_frame frames[VHOST_BURST];
	unsigned count = (unsigned)(flipper_random(random) % VHOST_BURST) + 1, refused;

	for (unsigned i = 0; i < count; i++)
		frames[i] = (struct vhost_frame){
			given, LOW + (uint32_t)(flipper_random(random) % (FLIPPED_FRAME_MAX - LOW + 1))};
	int result = vhost_ring_give(&receive, frames, count, &refused);

	cr_assert(result == -EPROTO || (result >= 0 && (unsigned)result <= count));
}

Test(flipped_guest, T01_takes_the_descriptor_it_checked)
{
	uint64_t read = 0, good = 0, broken = 0, goal = flipper_goal(), random = 1, rounds = 0;
	struct patience patience = {0};

	while (read < goal) {
		unsigned count = take_some(&good, &broken);

		if (count)
			patience_renew(&patience);
		else
			patience_wait(&patience, read);
		read += count;
		if (++rounds % 8 == 0)
			give_some(&random);
	}
	cr_expect_gt(good, goal / 20);
	cr_expect_gt(read - good, goal / 20);
	cr_expect_gt(broken, 0u);
	fprintf(stderr, "guest: %llu entries read, %llu of them refused, while %llu were rewritten; "
			"%llu times an impossible word\n",
		(unsigned long long)read, (unsigned long long)(read - good),
		(unsigned long long)*rewritten, (unsigned long long)broken);
}
