/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See vhost_ring.h. Called by port_vhost.c on the serving thread, and by
 * vhost_session.c on librte_vhost's thread while the serving thread is kept out.
 *
 * Order, for each entry (virtio 1.2, 2.7.6 to 2.7.10):
 *   take   available index (acquire), entry, descriptors, octets
 *   use    used entries, used index (release), fence, the guest's wish, interrupt
 *   kicks  our wish, fence, available index once more
 * Both fences are seq_cst and have one of the guest's driver as partner, between its
 * index and our wish, and between its wish and our index: whoever comes second sees
 * the other, so no notification is lost (T08).
 */
#include "vhost_ring.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define LINE 64u
/* Frames shorter than this are copied without a call. */
#define SHORT_BYTES 256u
/* Pieces that one frame may be scattered to: a page each would need two. */
#define PIECES_MAX 64u

/* ---- The guest's words, each copied once ------------------------------------ */

static inline uint16_t copy16(const uint16_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

typedef uint64_t word __attribute__((may_alias));

static inline struct vring_desc copy_descriptor(const struct vring_desc *from)
{
	const word *at = (const word *)from;
	struct vring_desc copy;
	word words[2];

	static_assert(sizeof(copy) == sizeof(words), "two words");
	words[0] = __atomic_load_n(at, __ATOMIC_RELAXED);
	words[1] = __atomic_load_n(at + 1, __ATOMIC_RELAXED);
	memcpy(&copy, words, sizeof(copy));
	return copy;
}

/* Where `address` is mapped; *bytes becomes what the region has there, if that is less.
 * NULL: nowhere. */
static inline uint8_t *guest_at(const struct vhost_regions *memory, uint64_t address,
				uint64_t *bytes)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->region[i];
		uint64_t offset = address - region->guest_address; /* huge, if it lies before */

		if (offset >= region->bytes)
			continue;
		if (*bytes > region->bytes - offset)
			*bytes = region->bytes - offset;
		return region->mapped + offset;
	}
	return NULL;
}

/* All `bytes` lie in one region, as nearly all buffers do; *room is what it has there. */
static inline uint8_t *guest_whole(const struct vhost_regions *memory, uint64_t address,
				   uint32_t bytes, uint64_t *room)
{
	*room = UINT64_MAX;
	uint8_t *at = guest_at(memory, address, room);

	return at && bytes <= *room ? at : NULL;
}

/* ---- Chains of descriptors --------------------------------------------------- */

struct chain {
	const struct vring_desc *table;
	uint32_t entries, hops;
	struct vring_desc now; /* a copy; len is what is left of it */
	bool refused;          /* it is no chain */
};

/* `head` is a copy of the entry's first descriptor. */
static struct chain chain_begin(const struct vhost_ring *ring, const struct vring_desc *head)
{
	struct chain chain = {ring->desc, ring->size, .now = *head};
	uint64_t room;

	if (!(head->flags & VRING_DESC_F_INDIRECT))
		return chain;
	chain.entries = head->len / (uint32_t)sizeof(*head);
	chain.table = (void *)guest_whole(ring->memory, head->addr, head->len, &room);
	if (head->flags & VRING_DESC_F_NEXT || head->len % sizeof(*head) || !chain.entries ||
	    chain.entries > ring->size || !chain.table ||
	    (uintptr_t)chain.table % _Alignof(struct vring_desc)) {
		chain.refused = true;
		return chain;
	}
	chain.now = copy_descriptor(chain.table);
	return chain;
}

/* The next piece of memory that lies in one; NULL: the chain is over, or refused. */
static uint8_t *chain_next(const struct vhost_ring *ring, struct chain *chain, bool writable,
			   uint64_t *bytes)
{
	uint8_t *at;

	while (!chain->now.len && !chain->refused) {
		if (!(chain->now.flags & VRING_DESC_F_NEXT))
			return NULL;
		/* As many hops as there are descriptors: it is a loop (T02). */
		if (chain->now.next >= chain->entries || ++chain->hops >= chain->entries) {
			chain->refused = true;
			return NULL;
		}
		chain->now = copy_descriptor(&chain->table[chain->now.next]);
	}
	if (chain->refused || chain->now.flags & VRING_DESC_F_INDIRECT ||
	    !(chain->now.flags & VRING_DESC_F_WRITE) == writable) {
		chain->refused = true;
		return NULL;
	}
	*bytes = chain->now.len;
	at = guest_at(ring->memory, chain->now.addr, bytes);
	chain->refused = !at;
	chain->now.addr += *bytes;
	chain->now.len -= (uint32_t)*bytes;
	return at;
}

/* The frame of a chain, gathered: its length; 0: it is none, or longer than `high`. */
static uint32_t chain_gather(const struct vhost_ring *ring, const struct vring_desc *head,
			     uint8_t *frame, uint32_t high)
{
	struct chain chain = chain_begin(ring, head);
	uint32_t skip = ring->header_bytes, length = 0;
	uint64_t bytes;
	uint8_t *at;

	while ((at = chain_next(ring, &chain, false, &bytes))) {
		uint64_t skipped = bytes < skip ? bytes : skip;

		skip -= (uint32_t)skipped;
		bytes -= skipped;
		if (bytes > high - length)
			return 0;
		memcpy(frame + length, at + skipped, bytes);
		length += (uint32_t)bytes;
	}
	return chain.refused ? 0 : length;
}

/* ---- Where the ring stands ----------------------------------------------------- */

static inline uint32_t slot(const struct vhost_ring *ring, uint16_t index)
{
	return index & (ring->size - 1);
}

void vhost_ring_place(struct vhost_ring *ring, uint32_t size, void *desc, void *avail, void *used)
{
	ring->desc = desc;
	ring->avail = avail;
	ring->used = used;
	ring->size = size;
	ring->served = desc && avail && used && size && !(size & (size - 1)) &&
		       !((uintptr_t)desc % 16) && !((uintptr_t)avail % 2) &&
		       !((uintptr_t)used % 4);
}

void vhost_ring_begin(struct vhost_ring *ring, uint16_t index)
{
	ring->taken = ring->done = index;
	ring->call_owed = true;
}

int vhost_ring_ready(const struct vhost_ring *ring, unsigned most)
{
	/* acquire: partner is the driver's barrier before it moves its index. */
	uint16_t index = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
	unsigned waiting = (uint16_t)(index - ring->taken);

	if (unlikely(waiting > ring->size))
		return -EPROTO;
	return (int)(waiting < most ? waiting : most);
}

/* The heads of the next `count` entries. False: one of them is none. */
static inline bool heads_copy(const struct vhost_ring *ring, uint16_t *heads, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		heads[i] = copy16(&ring->avail->ring[slot(ring, (uint16_t)(ring->taken + i))]);
		if (unlikely(heads[i] >= ring->size))
			return false;
		__builtin_prefetch(&ring->desc[heads[i]]);
	}
	return true;
}

/* ---- Notifications ---------------------------------------------------------------- */

static void call(struct vhost_ring *ring)
{
	ring->call_owed = false;
	if (ring->call_fd < 0)
		return;
	(void)!eventfd_write(ring->call_fd, 1); /* EAGAIN: it is ringing already */
	++*ring->calls;
}

/* Used entries before `done`: the guest is called if it wants to hear of one since `old`. */
static inline void call_if_wanted(struct vhost_ring *ring, uint16_t old)
{
	bool wanted;

	/* seq_cst: partner is the driver's, between saying what it wants and looking at
	 * the used index. */
	atomic_thread_fence(memory_order_seq_cst);
	if (ring->event_index)
		wanted = vring_need_event(copy16(&ring->avail->ring[ring->size]), ring->done, old) ||
			 ring->call_owed;
	else
		wanted = !(copy16(&ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	if (unlikely(wanted))
		call(ring);
}

void vhost_ring_call(struct vhost_ring *ring)
{
	call(ring);
}

void vhost_ring_notify(struct vhost_ring *ring, bool on)
{
	/* The wish for an index stands behind the used entries. Without one the driver's
	 * kick comes when it passes the last one wished for: not for a long time. */
	if (!ring->event_index)
		__atomic_store_n(&ring->used->flags, on ? 0 : VRING_USED_F_NO_NOTIFY,
				 __ATOMIC_RELAXED);
	else if (on)
		__atomic_store_n((uint16_t *)&ring->used->ring[ring->size], ring->taken,
				 __ATOMIC_RELAXED);
}

/* ---- From the guest ---------------------------------------------------------------- */

static inline void used_put(struct vhost_ring *ring, uint16_t index, uint16_t head, uint32_t bytes)
{
	ring->used->ring[slot(ring, index)] = (struct vring_used_elem){head, bytes};
}

static inline void used_publish(struct vhost_ring *ring, unsigned count)
{
	uint16_t old = ring->done;

	ring->done = (uint16_t)(old + count);
	/* release: after the used entries, the octets in their buffers, and whatever
	 * else is to have happened by now. Partner is the driver's barrier. */
	__atomic_store_n(&ring->used->idx, ring->done, __ATOMIC_RELEASE);
	call_if_wanted(ring, old);
}

void vhost_ring_use(struct vhost_ring *ring, unsigned count)
{
	unsigned held = (uint16_t)(ring->taken - ring->done);

	assert(count <= held);
	if (!count)
		return;
	for (unsigned i = 0; i < count; i++)
		used_put(ring, (uint16_t)(ring->done + i), ring->heads[i], 0);
	memmove(ring->heads, ring->heads + count, (held - count) * sizeof(ring->heads[0]));
	used_publish(ring, count);
}

bool vhost_ring_skip(struct vhost_ring *ring, unsigned count)
{
	assert(ring->taken == ring->done);
	if (vhost_ring_ready(ring, count) != (int)count || !heads_copy(ring, ring->heads, count))
		return false;
	ring->taken = (uint16_t)(ring->taken + count);
	vhost_ring_use(ring, count);
	return true;
}

/*
 * Short frames by whole lines, without a call, where the region goes on for as long:
 * the last line may bring along octets behind the frame, of the same guest's memory,
 * to where no length covers them.
 */
static inline void copy_in(uint8_t *frame, const uint8_t *at, uint32_t length, uint64_t room)
{
	uint32_t lines = (length + LINE - 1) / LINE * LINE;

	if (unlikely(length >= SHORT_BYTES || lines > room)) {
		memcpy(frame, at, length);
		return;
	}
	for (uint32_t done = 0; done < lines; done += LINE)
		memcpy(frame + done, at + done, LINE);
}

/* Of one descriptor that holds header and frame: the frame; else NULL. */
static inline const uint8_t *frame_in_one(const struct vhost_ring *ring,
					  const struct vring_desc *head, uint64_t *room)
{
	const uint8_t *at;

	if (unlikely(head->flags || head->len <= ring->header_bytes))
		return NULL;
	at = guest_whole(ring->memory, head->addr, head->len, room);
	*room -= ring->header_bytes;
	return at ? at + ring->header_bytes : NULL;
}

int vhost_ring_take(struct vhost_ring *ring, struct vhost_frame *frames, unsigned count,
		    uint32_t low, uint32_t high, unsigned *bad)
{
	struct vring_desc head[VHOST_BURST];
	const uint8_t *at[VHOST_BURST];
	uint64_t room[VHOST_BURST];
	unsigned taken = 0;

	assert(count <= VHOST_BURST && ring->taken == ring->done);
	*bad = 0;
	if (unlikely(!heads_copy(ring, ring->heads, count)))
		return -EPROTO;
	for (unsigned i = 0; i < count; i++) {
		head[i] = copy_descriptor(&ring->desc[ring->heads[i]]);
		at[i] = frame_in_one(ring, &head[i], &room[i]);
		if (likely(at[i]))
			__builtin_prefetch(at[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		struct vhost_frame *frame = &frames[taken];
		uint32_t length = head[i].len - ring->header_bytes;

		if (unlikely(!at[i]))
			length = chain_gather(ring, &head[i], frame->at, high);
		else if (likely(length <= high))
			copy_in(frame->at, at[i], length, room[i]);
		if (unlikely(length < low || length > high)) {
			if (taken)
				break; /* it is the next burst's first */
			++*bad;
			continue;
		}
		frame->length_bytes = length;
		taken++;
	}
	ring->taken = (uint16_t)(ring->taken + *bad + taken);
	return (int)taken;
}

/* ---- To the guest -------------------------------------------------------------------- */

/* No more than `length` octets: what an earlier frame left behind is none of the
 * guest's business. */
static inline void copy_out(uint8_t *at, const uint8_t *frame, uint32_t length)
{
	uint32_t done = 0;

	if (length >= SHORT_BYTES) {
		memcpy(at, frame, length);
		return;
	}
	for (; done + LINE <= length; done += LINE)
		memcpy(at + done, frame + done, LINE);
	if (done != length)
		memcpy(at + done, frame + done, length - done);
}

/* One frame's way into buffers: as many entries as it takes. */
struct scatter {
	unsigned entries, pieces, filled;
	uint64_t room;
	bool refused;
	struct vhost_frame piece[PIECES_MAX];
	uint16_t heads[PIECES_MAX];
	uint32_t bytes[PIECES_MAX]; /* of header and frame, in each entry */
};

/* One more entry's buffer, or as much of it as is needed. */
static void scatter_add(const struct vhost_ring *ring, struct scatter *scatter, uint16_t head,
			uint64_t need)
{
	struct vring_desc first = copy_descriptor(&ring->desc[head]);
	struct chain chain = chain_begin(ring, &first);
	uint64_t before = scatter->room, bytes;
	uint8_t *at;

	while (scatter->room < need && scatter->pieces < PIECES_MAX &&
	       (at = chain_next(ring, &chain, true, &bytes))) {
		if (bytes > need - scatter->room)
			bytes = need - scatter->room;
		scatter->piece[scatter->pieces++] = (struct vhost_frame){at, (uint32_t)bytes};
		scatter->room += bytes;
	}
	scatter->heads[scatter->entries] = head;
	scatter->bytes[scatter->entries++] = (uint32_t)(scatter->room - before);
	scatter->refused =
		chain.refused || scatter->room == before ||
		(scatter->room < need && (!ring->mergeable || scatter->pieces == PIECES_MAX));
}

static void scatter_fill(struct scatter *scatter, const void *from, uint32_t bytes)
{
	const uint8_t *next = from;

	while (bytes) {
		struct vhost_frame *piece = &scatter->piece[scatter->filled];
		uint32_t part = bytes < piece->length_bytes ? bytes : piece->length_bytes;

		memcpy(piece->at, next, part);
		*piece = (struct vhost_frame){(uint8_t *)piece->at + part,
					      piece->length_bytes - part};
		scatter->filled += !piece->length_bytes;
		next += part;
		bytes -= part;
	}
}

/*
 * A frame that does not fit one descriptor. Puts the entries that it makes, at `index`,
 * where `waiting` are available, and says how many: 0: more are needed; -EPROTO. If one
 * of them is no buffer, or too small, the frame is refused: they are used with nothing
 * in them.
 */
static int give_scattered(struct vhost_ring *ring, uint16_t index, unsigned waiting,
			  struct vhost_frame *frame, unsigned *refused)
{
	const uint64_t need = (uint64_t)ring->header_bytes + frame->length_bytes;
	struct virtio_net_hdr_v1 header = {0};
	struct scatter scatter;

	scatter.entries = scatter.pieces = scatter.filled = 0;
	scatter.room = 0;
	for (scatter.refused = false; scatter.room < need && !scatter.refused;) {
		uint16_t at = (uint16_t)(index + scatter.entries), head;

		if (scatter.entries == waiting)
			return 0;
		head = copy16(&ring->avail->ring[slot(ring, at)]);
		if (head >= ring->size)
			return -EPROTO;
		scatter_add(ring, &scatter, head, need);
	}
	if (!scatter.refused) {
		header.num_buffers = (uint16_t)scatter.entries;
		scatter_fill(&scatter, &header, ring->header_bytes);
		scatter_fill(&scatter, frame->at, frame->length_bytes);
	}
	if (scatter.refused) {
		frame->length_bytes = 0;
		++*refused;
	}
	for (unsigned i = 0; i < scatter.entries; i++)
		used_put(ring, (uint16_t)(index + i), scatter.heads[i],
			 scatter.refused ? 0 : scatter.bytes[i]);
	return (int)scatter.entries;
}

/* One descriptor that is a buffer, in one piece; NULL: it is something else. */
static inline uint8_t *buffer_in_one(const struct vhost_ring *ring, const struct vring_desc *head)
{
	uint64_t room;

	return likely(head->flags == VRING_DESC_F_WRITE)
		       ? guest_whole(ring->memory, head->addr, head->len, &room)
		       : NULL;
}

static inline void give_in_one(struct vhost_ring *ring, uint8_t *at, const struct vhost_frame *frame)
{
	const struct virtio_net_hdr_v1 header = {.num_buffers = 1};

	if (likely(ring->header_bytes == sizeof(header)))
		memcpy(at, &header, sizeof(header));
	else
		memcpy(at, &header, sizeof(struct virtio_net_hdr));
	copy_out(at + ring->header_bytes, frame->at, frame->length_bytes);
}

int vhost_ring_give(struct vhost_ring *ring, struct vhost_frame *frames, unsigned count,
		    unsigned *refused)
{
	int waiting = vhost_ring_ready(ring, ring->size), result = 0;
	unsigned ahead = count < VHOST_BURST ? count : VHOST_BURST, used = 0, given = 0;
	uint16_t heads[VHOST_BURST];
	struct vring_desc head[VHOST_BURST];
	uint8_t *at[VHOST_BURST];

	*refused = 0;
	if (unlikely(waiting < 0))
		return waiting;
	if (ahead > (unsigned)waiting)
		ahead = (unsigned)waiting;
	if (unlikely(!heads_copy(ring, heads, ahead)))
		return -EPROTO;
	for (unsigned i = 0; i < ahead; i++) {
		head[i] = copy_descriptor(&ring->desc[heads[i]]);
		at[i] = buffer_in_one(ring, &head[i]);
		if (likely(at[i]))
			__builtin_prefetch(at[i], 1);
	}
	for (; given < count; given++) {
		struct vhost_frame *frame = &frames[given];
		uint32_t bytes = ring->header_bytes + frame->length_bytes;

		if (likely(used < ahead && at[used] && head[used].len >= bytes)) {
			give_in_one(ring, at[used], frame);
			used_put(ring, (uint16_t)(ring->taken + used), heads[used], bytes);
			used++;
			continue;
		}
		result = give_scattered(ring, (uint16_t)(ring->taken + used),
					(unsigned)waiting - used, frame, refused);
		if (result <= 0)
			break;
		used += (unsigned)result;
	}
	ring->taken = (uint16_t)(ring->taken + used);
	if (used)
		used_publish(ring, used);
	return result < 0 ? result : (int)given;
}
