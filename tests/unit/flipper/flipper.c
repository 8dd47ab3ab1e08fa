/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that rewrites the window, and what both victims' tests need around
 * it; see flipper.h. It supplies entries without end, so that the victim always
 * has something to read, and spends most of its time on the very entries that the
 * victim is about to read, because that is where a second look would be fooled.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "flipper.h"

#define GUARD_BYTES ((size_t)128 << 10)
#define SNIPED_ENTRIES 40u /* a burst, and a few behind it */
#define SNIPES 400u        /* laps over those for one over the whole ring */
#define SILENCE_NS (60 * NS_PER_S)

struct hands {
	struct eq_ring supplied, drained; /* the victim reads the one, fills the other */
	uint8_t *buffers;                 /* of the supplied ring */
	uint32_t drained_position;
	uint64_t random;
	struct flipper_counts *counts;
};

static void flip_entry(struct hands *hands, uint32_t position)
{
	/* Good for both victims; for one of them; for none. */
	static const uint16_t lengths[] = {64,   FLIPPED_FRAME_MAX, 14,     0xffff, 255, 256,
					   60,   13,                1514,   1519,   64,  0x8040,
					   1000, 0,                 0x7fff, 128};
	uint64_t random = flipper_random(&hands->random);
	struct eq_ring_entry *entry = eq_ring_entry_at(&hands->supplied, position);
	_Atomic uint16_t *fields = (_Atomic uint16_t *)entry->payload;
	_Atomic uint32_t *words = (_Atomic uint32_t *)entry->payload;
	uint32_t slot = position & hands->supplied.mask;

	atomic_store_explicit(&fields[0], lengths[random & 15], memory_order_relaxed);
	random >>= 4;
	atomic_store_explicit(&fields[1], (random & 31) ? 0 : (uint16_t)random, memory_order_relaxed);
	random >>= 8;
	atomic_store_explicit(&words[1], (random & 63) ? 0 : (uint32_t)random, memory_order_relaxed);
	random >>= 8;
	/* Valid by far the most often, or nothing would be read. */
	atomic_store_explicit(&entry->sequence,
			      (random & 63) ? position + 1 : (uint32_t)(position + random),
			      memory_order_relaxed);
	random >>= 8;
	hands->buffers[(size_t)slot * NET_BUFFER_BYTES + random % NET_BUFFER_BYTES] =
		(uint8_t)(flipper_tag(slot) | (random >> 20 & 1));
}

/* Drains what the victim puts, and lies about it now and then. */
static void flip_indices(struct hands *hands)
{
	uint64_t random = flipper_random(&hands->random);
	uint32_t lie = (uint32_t)(random >> 32);

	for (unsigned i = 0; i < FLIPPED_ENTRIES; i++) {
		const struct eq_ring_entry *entry =
			eq_ring_entry_at(&hands->drained, hands->drained_position);
		if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) !=
		    hands->drained_position + 1)
			break;
		hands->drained_position++;
	}
	atomic_store_explicit(eq_ring_consumed(&hands->drained),
			      (random & 7) ? hands->drained_position : lie,
			      memory_order_relaxed);
	atomic_store_explicit(eq_ring_producer_armed(&hands->drained), lie & 1,
			      memory_order_relaxed);
	atomic_store_explicit(eq_ring_consumer_armed(&hands->drained), lie >> 1 & 1,
			      memory_order_relaxed);
	atomic_store_explicit(eq_ring_producer_armed(&hands->supplied), lie >> 2,
			      memory_order_relaxed);
	atomic_store_explicit(eq_ring_consumer_armed(&hands->supplied), lie >> 3,
			      memory_order_relaxed);
	atomic_fetch_add_explicit(&hands->counts->indices, 5, memory_order_relaxed);
}

static void flip_range(struct hands *hands, uint32_t count)
{
	/* What the victim released: the next position that it reads. */
	uint32_t first = atomic_load_explicit(eq_ring_consumed(&hands->supplied),
					      memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++)
		flip_entry(hands, first + i);
	atomic_fetch_add_explicit(&hands->counts->entries, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&hands->counts->octets, count, memory_order_relaxed);
}

static _Noreturn void flip_for_ever(struct hands *hands)
{
	for (;;) {
		flip_range(hands, FLIPPED_ENTRIES);
		for (unsigned i = 0; i < SNIPES; i++) {
			flip_range(hands, SNIPED_ENTRIES);
			flip_indices(hands);
		}
	}
}

/* ---- The test's side ------------------------------------------------------------ */

static void *map_between_guards(int fd, size_t bytes)
{
	uint8_t *reserved = mmap(NULL, bytes + 2 * GUARD_BYTES, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert_neq(reserved, MAP_FAILED);
	void *window = mmap(reserved + GUARD_BYTES, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 0);
	cr_assert_neq(window, MAP_FAILED);
	return window;
}

static void fill_buffers(uint8_t *buffers)
{
	for (uint32_t slot = 0; slot < FLIPPED_ENTRIES; slot++)
		memset(buffers + (size_t)slot * NET_BUFFER_BYTES, flipper_tag(slot),
		       NET_BUFFER_BYTES);
}

static _Noreturn void become_flipper(struct flipped *flipped, int fd, bool adjunct)
{
	const struct net_layout *layout = &flipped->layout;
	struct hands hands = {.random = 0x9e3779b97f4a7c15u, .counts = flipped->counts};

	/* A mapping of its own: whatever it does, it does through shared memory alone. */
	munmap(flipped->window, layout->size_bytes);
	uint8_t *window = mmap(NULL, layout->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (window == MAP_FAILED ||
	    eq_ring_open(&hands.supplied, window + (adjunct ? layout->tx_ring : layout->rx_ring),
			 FLIPPED_ENTRIES, NET_ENTRY_BYTES) ||
	    eq_ring_open(&hands.drained, window + (adjunct ? layout->rx_ring : layout->tx_ring),
			 FLIPPED_ENTRIES, NET_ENTRY_BYTES))
		_exit(1);
	hands.buffers = window + (adjunct ? layout->tx_buffers : layout->rx_buffers);
	flip_for_ever(&hands);
}

void flipper_start(struct flipped *flipped, bool adjunct)
{
	int fd = memfd_create("flipped", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(net_layout_compute(FLIPPED_ENTRIES, &flipped->layout), 0);
	cr_assert_eq(ftruncate(fd, (off_t)flipped->layout.size_bytes), 0);
	flipped->window = map_between_guards(fd, flipped->layout.size_bytes);
	fill_buffers(flipped->window + flipped->layout.tx_buffers);
	fill_buffers(flipped->window + flipped->layout.rx_buffers);
	flipped->counts = mmap(NULL, sizeof(*flipped->counts), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(flipped->counts, MAP_FAILED);
	pid_t parent = getpid();
	flipped->pid = fork();
	cr_assert_geq(flipped->pid, 0);
	if (!flipped->pid) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		become_flipper(flipped, fd, adjunct);
	}
	close(fd);
}

/* Behind the longest frame a victim may write, no buffer has an octet of a victim's. */
static bool kept_inside(const uint8_t *buffers)
{
	for (uint32_t slot = 0; slot < FLIPPED_ENTRIES; slot++) {
		const uint8_t *buffer = buffers + (size_t)slot * NET_BUFFER_BYTES;

		if (!flipper_tagged(buffer + FLIPPED_FRAME_MAX,
				    NET_BUFFER_BYTES - FLIPPED_FRAME_MAX, flipper_tag(slot)))
			return false;
	}
	return true;
}

void flipper_stop(struct flipped *flipped)
{
	int status;

	cr_assert_eq(kill(flipped->pid, SIGKILL), 0);
	cr_assert_eq(waitpid(flipped->pid, &status, 0), flipped->pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the flipper ended by itself");
	cr_expect_gt(flipped->counts->entries, 0);
	cr_expect_gt(flipped->counts->indices, 0);
	cr_expect(kept_inside(flipped->window + flipped->layout.tx_buffers));
	cr_expect(kept_inside(flipped->window + flipped->layout.rx_buffers));
	munmap(flipped->window - GUARD_BYTES, flipped->layout.size_bytes + 2 * GUARD_BYTES);
	munmap(flipped->counts, sizeof(*flipped->counts));
}

uint64_t flipper_goal(void)
{
	const char *text = getenv("FLIPS");
	char *end = NULL;
	uint64_t flips = 10000000;

	if (text && *text) {
		flips = strtoull(text, &end, 10);
		cr_assert(!*end && flips >= 2, "FLIPS=%s is no number of entries", text);
	}
#ifdef __SANITIZE_ADDRESS__
	flips = (flips + 4) / 5;
#endif
	return (flips + 1) / 2;
}

bool flipper_tagged(const uint8_t *octets, uint32_t bytes, uint8_t tag)
{
	uint64_t wrong = 0, wanted = tag * UINT64_C(0x0101010101010101), word;
	uint32_t at = 0;

	for (; at + sizeof(word) <= bytes; at += sizeof(word)) {
		memcpy(&word, octets + at, sizeof(word));
		wrong |= word ^ wanted;
	}
	for (; at < bytes; at++)
		wrong |= octets[at] ^ tag;
	/* The lowest bit of each octet is the flipper's. */
	return !(wrong & UINT64_C(0xfefefefefefefefe));
}

void patience_wait(struct patience *patience, uint64_t read)
{
	uint64_t now_ns = clock_now_ns();

	if (!patience->since_ns)
		patience->since_ns = now_ns;
	cr_assert_lt(now_ns - patience->since_ns, SILENCE_NS, "nothing to read after %llu entries",
		     (unsigned long long)read);
	sched_yield();
}
