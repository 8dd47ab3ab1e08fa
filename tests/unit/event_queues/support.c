/* SPDX-License-Identifier: BSD-2-Clause */
/* See support.h. */
#include "support.h"

#include <sys/mman.h>

#define GUARD_BYTES ((size_t)1 << 20)
#define PAGE_BYTES 4096u

static size_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

void *map_guarded(uint64_t bytes)
{
	size_t inside = whole_pages(bytes);
	uint8_t *reserved = mmap(NULL, inside + 2 * GUARD_BYTES, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert_neq(reserved, MAP_FAILED);
	/* Shared: another process may be given it. */
	void *memory = mmap(reserved + GUARD_BYTES, inside, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	return memory;
}

void unmap_guarded(void *memory, uint64_t bytes)
{
	munmap((uint8_t *)memory - GUARD_BYTES, whole_pages(bytes) + 2 * GUARD_BYTES);
}

/* ---- Level 1 -------------------------------------------------------------------- */

static void open_adapter(struct rig_adapter *rig)
{
	struct eq_storage view;

	cr_assert_eq(eq_storage_open(rig->memory, rig->bytes, &view), 0);
	cr_assert_eq(eq_adapter_open(&rig->adapter, &view), 0);
}

void rig_adapter_start(struct rig_adapter *rig, uint32_t eqs, uint32_t cqs, uint32_t qps,
		       uint32_t capacity)
{
	rig->bytes = eq_storage_bytes(eqs, cqs, qps, capacity);
	cr_assert_gt(rig->bytes, 0);
	rig->memory = map_guarded(rig->bytes);
	cr_assert_eq(eq_storage_format(rig->memory, rig->bytes, eqs, cqs, qps, &rig->host), 0);
	open_adapter(rig);
}

void rig_adapter_stop(struct rig_adapter *rig)
{
	eq_adapter_close(&rig->adapter);
	eq_storage_close(&rig->host);
	unmap_guarded(rig->memory, rig->bytes);
}

void rig_adapter_restart(struct rig_adapter *rig)
{
	eq_adapter_close(&rig->adapter);
	open_adapter(rig);
}

void expect_entry(struct eq_consumer *consumer, uint32_t slot, enum eq_event event, uint64_t token)
{
	struct eq_entry entry = {0};

	cr_assert(eq_consume(consumer, &entry), "no entry; slot %u, event %u expected", slot, event);
	cr_assert_eq(entry.slot, slot, "slot %u, not %u (event %u)", entry.slot, slot, entry.event);
	cr_assert_eq(entry.event, event, "event %u, not %u", entry.event, event);
	cr_assert_eq(entry.token, token, "token %lx, not %lx", (unsigned long)entry.token,
		     (unsigned long)token);
}

void expect_none(struct eq_consumer *consumer)
{
	struct eq_entry entry;

	cr_assert_not(eq_consume(consumer, &entry), "an entry too many");
}

uint32_t marks_set(const struct eq_queue *queue)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < queue->slots; i++)
		set += (uint32_t)__builtin_popcount(queue->marks[i]);
	return set;
}

/* ---- Level 2 -------------------------------------------------------------------- */

static void alert(void *host_data, void *guest_data)
{
	struct rig_guest *guest = guest_data;

	(void)host_data;
	guest->alerts++;
}

static void present(void *host_data)
{
	struct rig *rig = host_data;

	rig->presents++;
}

void rig_start(struct rig *rig, unsigned forwarders, uint32_t cqs, uint32_t qps, uint32_t capacity)
{
	const struct eq_host_ops ops = {.alert = alert, .present = present};

	*rig = (struct rig){0};
	rig_adapter_start(&rig->io, 2, cqs, qps, capacity);
	cr_assert_eq(eq_host_create(forwarders, &ops, rig, &rig->host), 0);
	cr_assert_eq(eq_host_add_adapter(rig->host, &rig->io.host, capacity, &rig->shared), 0);
}

void rig_stop(struct rig *rig)
{
	eq_host_destroy(rig->host);
	rig_adapter_stop(&rig->io);
}

void guest_open_ring(struct rig_guest *guest, uint64_t ring_offset, uint32_t capacity)
{
	const struct eq_queue queue = {
		.ring = guest->memory + ring_offset,
		.capacity = capacity,
		.marks = (eq_marks *)(guest->memory + GUEST_MARKS),
		.slots = guest->spec.slots,
		.asb = guest->asb,
	};

	cr_assert_eq(eq_consumer_open(&guest->consumer, &queue), 0);
}

void guest_start(struct rig *rig, struct rig_guest *guest, uint32_t capacity, uint32_t slots)
{
	*guest = (struct rig_guest){
		.rig = rig,
		.memory = map_guarded(GUEST_BYTES),
		.spec = {.ring_offset = GUEST_RING, .capacity = capacity,
			 .marks_offset = GUEST_MARKS, .slots = slots, .gisc = GUEST_GISC},
	};
	guest->gisa = (struct eq_interrupts *)(guest->memory + GUEST_GISA);
	guest->asb = (eq_summary *)(guest->memory + GUEST_ASB);
	cr_assert_eq(eq_guest_create(rig->host, guest->memory, GUEST_BYTES, GUEST_GISA, guest,
				     &guest->guest), 0);
	cr_assert_eq(eq_guest_allocate_eq(guest->guest, rig->shared, &guest->spec, &guest->id), 0);
	cr_assert_eq(eq_guest_store_eq_asb(guest->guest, rig->shared, guest->id, GUEST_ASB), 0);
	guest_open_ring(guest, GUEST_RING, capacity);
}

void guest_stop(struct rig_guest *guest)
{
	eq_guest_destroy(guest->guest);
	unmap_guarded(guest->memory, GUEST_BYTES);
}

uint32_t guest_cq(struct rig_guest *guest, uint64_t token, uint32_t *slot)
{
	struct eq_host_adapter *shared = guest->rig->shared;
	uint32_t cq, ignored;

	cr_assert_eq(eq_guest_allocate_cq(guest->guest, shared, &cq), 0);
	cr_assert_eq(eq_guest_store_cq_token(guest->guest, shared, cq, token), 0);
	cr_assert_eq(eq_guest_store_cq_eq(guest->guest, shared, cq, guest->id,
					  slot ? slot : &ignored), 0);
	return cq;
}

uint32_t guest_qp(struct rig_guest *guest, uint32_t cq, uint64_t token, uint32_t *slot)
{
	struct eq_host_adapter *shared = guest->rig->shared;
	uint32_t qp, ignored;

	cr_assert_eq(eq_guest_allocate_qp(guest->guest, shared, &qp), 0);
	cr_assert_eq(eq_guest_store_qp_cqs(guest->guest, shared, qp, cq, EQ_NONE), 0);
	cr_assert_eq(eq_guest_store_qp_token(guest->guest, shared, qp, token), 0);
	cr_assert_eq(eq_guest_store_qp_eq(guest->guest, shared, qp, guest->id,
					  slot ? slot : &ignored), 0);
	return qp;
}

void complete(struct rig *rig, uint32_t cq)
{
	eq_adapter_complete(&rig->io.adapter, cq);
	eq_adapter_signal(&rig->io.adapter, 0);
}

void complete_and_forward(struct rig *rig, uint32_t cq)
{
	complete(rig, cq);
	forward_all(rig);
}

unsigned forward_all(struct rig *rig)
{
	unsigned all = 0, moved;

	/* More than the queue holds: a forwarder that never ends is found by this. */
	for (unsigned rounds = 0; (moved = eq_forward(rig->host, 0, 64, 0)); rounds++) {
		all += moved;
		cr_assert_lt(rounds, 10000);
	}
	return all;
}

struct eq_host_stats stats_of(const struct rig *rig)
{
	struct eq_host_stats stats;

	eq_host_stats(rig->host, &stats);
	return stats;
}
