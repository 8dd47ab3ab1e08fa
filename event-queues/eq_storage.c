/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adapter storage: contexts of queue pairs, completion queues and event queues, and
 * what may be associated with what (004). ALLOCATE, STORE, LOAD, DEALLOCATE. The
 * host's one thread writes; an adapter may read at the same time, so `valid` is set
 * last and cleared first, and fields that change while it is set are atomic.
 *
 * The adapter can write the whole storage. So the host keeps contexts of its own, in
 * the same layout, reads those only, and copies into the storage what it changes.
 */
#include "eq_adapter.h"

#include <stdlib.h>

#define PAGE_BYTES 4096u
#define SUMMARIES 64u /* at the start of the queue memory; the first is not used */

static uint64_t round_up(uint64_t value, uint64_t step)
{
	return (value + step - 1) / step * step;
}

static uint64_t contexts_bytes(uint32_t eqs, uint32_t cqs, uint32_t qps)
{
	return sizeof(struct eq_storage_header) + (uint64_t)eqs * sizeof(struct eq_eq_context) +
	       round_up((uint64_t)cqs * sizeof(struct eq_cq_context), EQ_LINE_BYTES) +
	       round_up((uint64_t)qps * sizeof(struct eq_qp_context), EQ_LINE_BYTES);
}

static bool counts_valid(uint32_t eqs, uint32_t cqs, uint32_t qps)
{
	return eqs && eqs <= EQ_ADAPTER_EQS_MAX && cqs <= EQ_ADAPTER_CQS_MAX &&
	       qps <= EQ_ADAPTER_QPS_MAX;
}

/* Ring, then marks. */
static uint64_t queue_bytes(uint32_t capacity, uint32_t slots)
{
	return round_up(eq_queue_size_bytes(capacity), EQ_LINE_BYTES) +
	       round_up((uint64_t)slots * sizeof(eq_marks), EQ_LINE_BYTES);
}

uint64_t eq_storage_bytes(uint32_t eqs, uint32_t cqs, uint32_t qps, uint32_t capacity)
{
	if (!counts_valid(eqs, cqs, qps) || !eq_queue_size_bytes(capacity))
		return 0;
	return round_up(contexts_bytes(eqs, cqs, qps) + SUMMARIES * EQ_LINE_BYTES +
				eqs * queue_bytes(capacity, 1 + cqs + qps),
			PAGE_BYTES);
}

/* `contexts` are the host's own; NULL: those in the storage. */
static void fill(struct eq_storage *out, void *memory, uint64_t bytes, void *contexts, uint32_t eqs,
		 uint32_t cqs, uint32_t qps)
{
	uint8_t *at = contexts ? contexts : (uint8_t *)memory + sizeof(struct eq_storage_header);

	*out = (struct eq_storage){
		.header = memory, .contexts = contexts, .bytes = bytes,
		.eqs = eqs, .cqs = cqs, .qps = qps,
		.queues_offset = contexts_bytes(eqs, cqs, qps),
	};
	out->eq = (struct eq_eq_context *)at;
	at += (uint64_t)eqs * sizeof(struct eq_eq_context);
	out->cq = (struct eq_cq_context *)at;
	at += round_up((uint64_t)cqs * sizeof(struct eq_cq_context), EQ_LINE_BYTES);
	out->qp = (struct eq_qp_context *)at;
}

/* HOST: where that part of its own contexts is in the storage. */
static void *published(const struct eq_storage *storage, void *field)
{
	return (uint8_t *)(storage->header + 1) +
	       ((uint8_t *)field - (uint8_t *)storage->contexts);
}

/* Summary bytes are stored as 32-bit offsets. */
static bool bytes_valid(uint64_t bytes, uint32_t eqs, uint32_t cqs, uint32_t qps)
{
	return bytes <= UINT32_MAX &&
	       bytes >= contexts_bytes(eqs, cqs, qps) + SUMMARIES * EQ_LINE_BYTES;
}

int eq_storage_format(void *memory, uint64_t bytes, uint32_t eqs, uint32_t cqs, uint32_t qps,
		      struct eq_storage *out)
{
	if ((uintptr_t)memory % EQ_LINE_BYTES || !counts_valid(eqs, cqs, qps) ||
	    !bytes_valid(bytes, eqs, cqs, qps))
		return -EINVAL;
	void *contexts = calloc(1, contexts_bytes(eqs, cqs, qps) - sizeof(struct eq_storage_header));
	if (!contexts)
		return -ENOMEM;
	fill(out, memory, bytes, contexts, eqs, cqs, qps);
	struct eq_storage_header *header = out->header;

	header->version = EQ_LAYOUT_VERSION;
	header->eqs = eqs;
	header->cqs = cqs;
	header->qps = qps;
	header->bytes = bytes;
	/* Magic last: a maker that died before is seen to have made nothing. */
	atomic_thread_fence(memory_order_release);
	header->magic = EQ_STORAGE_MAGIC;
	return 0;
}

int eq_storage_open(void *memory, uint64_t bytes, struct eq_storage *out)
{
	struct eq_storage_header copy;

	if ((uintptr_t)memory % EQ_LINE_BYTES || bytes < sizeof(copy))
		return -EINVAL;
	memcpy(&copy, memory, offsetof(struct eq_storage_header, izone));
	if (copy.magic != EQ_STORAGE_MAGIC || copy.version != EQ_LAYOUT_VERSION ||
	    copy.bytes != bytes || !counts_valid(copy.eqs, copy.cqs, copy.qps) ||
	    !bytes_valid(bytes, copy.eqs, copy.cqs, copy.qps))
		return -EPROTO;
	fill(out, memory, bytes, NULL, copy.eqs, copy.cqs, copy.qps);
	return 0;
}

void eq_storage_close(struct eq_storage *storage)
{
	free(storage->contexts);
	*storage = (struct eq_storage){0};
}

enum eq_resource eq_storage_resource(const struct eq_storage *storage, uint32_t slot,
				     uint32_t *index)
{
	*index = 0;
	if (slot == EQ_SLOT_SELF)
		return EQ_RESOURCE_ADAPTER;
	if (slot <= storage->cqs) {
		*index = slot - 1;
		return EQ_RESOURCE_CQ;
	}
	*index = slot - 1 - storage->cqs;
	return EQ_RESOURCE_QP;
}

static bool is_valid(const _Atomic uint32_t *valid)
{
	/* acquire: the context was written before it became valid. */
	return atomic_load_explicit(valid, memory_order_acquire) == 1;
}

/* acquire: partner is store(). */
static uint32_t load(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* release: an adapter that reads it sees what the association leads to. */
static void store(const struct eq_storage *storage, _Atomic uint32_t *word, uint32_t value)
{
	_Atomic uint32_t *copy = published(storage, word);

	atomic_store_explicit(word, value, memory_order_relaxed);
	atomic_store_explicit(copy, value, memory_order_release);
}

static void store_token(const struct eq_storage *storage, _Atomic uint64_t *token, uint64_t value)
{
	_Atomic uint64_t *copy = published(storage, token);

	atomic_store_explicit(token, value, memory_order_relaxed);
	atomic_store_explicit(copy, value, memory_order_release);
}

static bool eq_valid(const struct eq_storage *storage, uint32_t eq)
{
	return eq < storage->eqs && is_valid(&storage->eq[eq].valid);
}

static bool cq_valid(const struct eq_storage *storage, uint32_t cq)
{
	return cq < storage->cqs && is_valid(&storage->cq[cq].valid);
}

static bool qp_valid(const struct eq_storage *storage, uint32_t qp)
{
	return qp < storage->qps && is_valid(&storage->qp[qp].valid);
}

/* ---- ALLOCATE -------------------------------------------------------------- */

/* First gap between the event queues there are. 0: none is wide enough. */
static uint64_t find_queue_memory(const struct eq_storage *storage, uint64_t bytes)
{
	uint64_t at = storage->queues_offset + SUMMARIES * EQ_LINE_BYTES;

	for (uint32_t i = 0; i < storage->eqs; i++) {
		const struct eq_eq_context *context = &storage->eq[i];
		uint64_t end = context->ring_offset + queue_bytes(context->capacity, context->slots);

		if (!is_valid(&context->valid) || end <= at || context->ring_offset >= at + bytes)
			continue;
		at = end;
		i = UINT32_MAX; /* look at all of them again, from here */
	}
	return at + bytes <= storage->bytes ? at : 0;
}

int eq_allocate_eq(struct eq_storage *storage, const struct eq_eq_spec *spec)
{
	uint32_t slots = eq_storage_slots(storage);
	uint64_t ring_bytes = eq_queue_size_bytes(spec->capacity);

	if (!ring_bytes || spec->isc >= EQ_ISCS ||
	    (spec->control & ~(uint32_t)(EQ_IMMEDIATE | EQ_EVERY_ENTRY)))
		return -EINVAL;
	for (uint32_t i = 0; i < storage->eqs; i++) {
		struct eq_eq_context *context = &storage->eq[i];

		if (is_valid(&context->valid))
			continue;
		uint64_t bytes = queue_bytes(spec->capacity, slots);
		uint64_t at = find_queue_memory(storage, bytes);
		if (!at)
			return -ENOSPC;
		memset((uint8_t *)storage->header + at, 0, bytes);
		context->capacity = spec->capacity;
		context->ring_offset = at;
		context->marks_offset = at + round_up(ring_bytes, EQ_LINE_BYTES);
		context->slots = slots;
		context->control = spec->control;
		context->delay_us = spec->delay_us;
		context->isc = spec->isc;
		context->generation++;
		atomic_store_explicit(&context->asb_offset, 0, memory_order_relaxed);
		atomic_store_explicit(&context->psb_offset, 0, memory_order_relaxed);
		memcpy(published(storage, context), context, sizeof(*context));
		store(storage, &context->valid, 1);
		return (int)i;
	}
	return -ENOSPC;
}

int eq_allocate_cq(struct eq_storage *storage)
{
	for (uint32_t tries = 0; tries < storage->cqs; tries++) {
		uint32_t i = storage->hint_cq;
		struct eq_cq_context *context = &storage->cq[i];

		storage->hint_cq = (i + 1) % storage->cqs;
		if (is_valid(&context->valid))
			continue;
		store(storage, &context->eq, EQ_NONE);
		store_token(storage, &context->token, 0);
		store(storage, &context->valid, 1);
		return (int)i;
	}
	return -ENOSPC;
}

int eq_allocate_qp(struct eq_storage *storage)
{
	for (uint32_t tries = 0; tries < storage->qps; tries++) {
		uint32_t i = storage->hint_qp;
		struct eq_qp_context *context = &storage->qp[i];

		storage->hint_qp = (i + 1) % storage->qps;
		if (is_valid(&context->valid))
			continue;
		store(storage, &context->eq, EQ_NONE);
		store(storage, &context->send_cq, EQ_NONE);
		store(storage, &context->receive_cq, EQ_NONE);
		store_token(storage, &context->token, 0);
		store(storage, &context->valid, 1);
		return (int)i;
	}
	return -ENOSPC;
}

int eq_deallocate_eq(struct eq_storage *storage, uint32_t eq)
{
	if (!eq_valid(storage, eq))
		return -ENOENT;
	for (uint32_t i = 0; i < storage->cqs; i++) {
		if (cq_valid(storage, i) && load(&storage->cq[i].eq) == eq)
			return -EBUSY;
	}
	for (uint32_t i = 0; i < storage->qps; i++) {
		if (qp_valid(storage, i) && load(&storage->qp[i].eq) == eq)
			return -EBUSY;
	}
	store(storage, &storage->eq[eq].valid, 0);
	return 0;
}

int eq_deallocate_cq(struct eq_storage *storage, uint32_t cq)
{
	if (!cq_valid(storage, cq))
		return -ENOENT;
	for (uint32_t i = 0; i < storage->qps; i++) {
		const struct eq_qp_context *context = &storage->qp[i];

		if (qp_valid(storage, i) &&
		    (load(&context->send_cq) == cq || load(&context->receive_cq) == cq))
			return -EBUSY;
	}
	store(storage, &storage->cq[cq].valid, 0);
	return 0;
}

int eq_deallocate_qp(struct eq_storage *storage, uint32_t qp)
{
	if (!qp_valid(storage, qp))
		return -ENOENT;
	store(storage, &storage->qp[qp].valid, 0);
	return 0;
}

/* ---- STORE ----------------------------------------------------------------- */

/* One association of one resource: none before, or none after. */
static int associate(const struct eq_storage *storage, _Atomic uint32_t *field, uint32_t eq)
{
	if (eq != EQ_NONE && !eq_valid(storage, eq))
		return -ENOENT;
	if (eq != EQ_NONE && load(field) != EQ_NONE && load(field) != eq)
		return -EBUSY;
	store(storage, field, eq);
	return 0;
}

int eq_store_cq_eq(struct eq_storage *storage, uint32_t cq, uint32_t eq)
{
	return cq_valid(storage, cq) ? associate(storage, &storage->cq[cq].eq, eq) : -ENOENT;
}

int eq_store_qp_eq(struct eq_storage *storage, uint32_t qp, uint32_t eq)
{
	return qp_valid(storage, qp) ? associate(storage, &storage->qp[qp].eq, eq) : -ENOENT;
}

int eq_store_qp_cqs(struct eq_storage *storage, uint32_t qp, uint32_t send_cq, uint32_t receive_cq)
{
	if (!qp_valid(storage, qp) || (send_cq != EQ_NONE && !cq_valid(storage, send_cq)) ||
	    (receive_cq != EQ_NONE && !cq_valid(storage, receive_cq)))
		return -ENOENT;
	struct eq_qp_context *context = &storage->qp[qp];

	if (send_cq == EQ_NONE && receive_cq == EQ_NONE)
		return -EINVAL;
	if ((load(&context->send_cq) != EQ_NONE && load(&context->send_cq) != send_cq) ||
	    (load(&context->receive_cq) != EQ_NONE && load(&context->receive_cq) != receive_cq))
		return -EBUSY;
	store(storage, &context->send_cq, send_cq);
	store(storage, &context->receive_cq, receive_cq);
	return 0;
}

int eq_store_cq_token(struct eq_storage *storage, uint32_t cq, uint64_t token)
{
	if (!cq_valid(storage, cq))
		return -ENOENT;
	store_token(storage, &storage->cq[cq].token, token);
	return 0;
}

int eq_store_qp_token(struct eq_storage *storage, uint32_t qp, uint64_t token)
{
	if (!qp_valid(storage, qp))
		return -ENOENT;
	store_token(storage, &storage->qp[qp].token, token);
	return 0;
}

static bool summary_valid(const struct eq_storage *storage, uint32_t offset)
{
	return !offset || (offset >= storage->queues_offset && offset < storage->bytes);
}

int eq_store_eq_asb(struct eq_storage *storage, uint32_t eq, uint32_t offset)
{
	if (!eq_valid(storage, eq))
		return -ENOENT;
	if (!summary_valid(storage, offset))
		return -EINVAL;
	store(storage, &storage->eq[eq].asb_offset, offset);
	return 0;
}

int eq_store_eq_psb(struct eq_storage *storage, uint32_t eq, uint32_t offset)
{
	if (!eq_valid(storage, eq))
		return -ENOENT;
	if (!summary_valid(storage, offset))
		return -EINVAL;
	store(storage, &storage->eq[eq].psb_offset, offset);
	return 0;
}

int eq_allocate_summary(struct eq_storage *storage)
{
	for (uint32_t i = 1; i < SUMMARIES; i++) {
		uint32_t offset = (uint32_t)storage->queues_offset + i * EQ_LINE_BYTES;
		bool used = false;

		for (uint32_t eq = 0; eq < storage->eqs; eq++)
			used |= eq_valid(storage, eq) &&
				(load(&storage->eq[eq].asb_offset) == offset ||
				 load(&storage->eq[eq].psb_offset) == offset);
		if (!used) {
			atomic_store_explicit(eq_summary_at(storage, offset), 0, memory_order_relaxed);
			return (int)offset;
		}
	}
	return -ENOSPC;
}

eq_summary *eq_summary_at(const struct eq_storage *storage, uint32_t offset)
{
	return offset ? (eq_summary *)((uint8_t *)storage->header + offset) : NULL;
}

/* ---- LOAD ------------------------------------------------------------------ */

int eq_load_eq(const struct eq_storage *storage, uint32_t eq, struct eq_queue *out)
{
	if (!eq_valid(storage, eq))
		return -ENOENT;
	const struct eq_eq_context copy = storage->eq[eq];
	uint8_t *base = (uint8_t *)storage->header;
	uint64_t ring_bytes = eq_queue_size_bytes(copy.capacity);

	if (!ring_bytes || copy.ring_offset < storage->queues_offset ||
	    copy.ring_offset > storage->bytes ||
	    queue_bytes(copy.capacity, copy.slots) > storage->bytes - copy.ring_offset ||
	    copy.marks_offset != copy.ring_offset + round_up(ring_bytes, EQ_LINE_BYTES) ||
	    !summary_valid(storage, copy.asb_offset) || !summary_valid(storage, copy.psb_offset))
		return -EPROTO;
	*out = (struct eq_queue){
		.ring = base + copy.ring_offset,
		.capacity = copy.capacity,
		.marks = (eq_marks *)(base + copy.marks_offset),
		.slots = copy.slots,
		.asb = eq_summary_at(storage, copy.asb_offset),
		.psb = eq_summary_at(storage, copy.psb_offset),
		.interrupts = &storage->header->izone,
		.isc = copy.isc,
		.control = copy.control,
		.delay_us = copy.delay_us,
	};
	return 0;
}

int eq_load_cq(const struct eq_storage *storage, uint32_t cq, struct eq_cq_view *out)
{
	if (!cq_valid(storage, cq))
		return -ENOENT;
	out->eq = load(&storage->cq[cq].eq);
	out->token = atomic_load_explicit(&storage->cq[cq].token, memory_order_acquire);
	return 0;
}

int eq_load_qp(const struct eq_storage *storage, uint32_t qp, struct eq_qp_view *out)
{
	if (!qp_valid(storage, qp))
		return -ENOENT;
	out->eq = load(&storage->qp[qp].eq);
	out->send_cq = load(&storage->qp[qp].send_cq);
	out->receive_cq = load(&storage->qp[qp].receive_cq);
	out->token = atomic_load_explicit(&storage->qp[qp].token, memory_order_acquire);
	return 0;
}
