/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host does when a guest's ALLOCATE, STORE, LOAD or DEALLOCATE is intercepted
 * (004, FIG. 10-15). Step numbers are the figures'. Host's thread, while forwarders
 * run: an associator is filled before its generation makes it known, and taken from
 * the forwarders' sight before it is emptied.
 */
#include "eq_host_internal.h"

#include <stdlib.h>

/* Nothing of `bytes` at `offset` lies outside the guest's storage. */
static bool in_storage(const struct eq_guest *guest, uint64_t offset, uint64_t bytes)
{
	return bytes <= guest->bytes && offset <= guest->bytes - bytes;
}

static struct eq_geqcb *find_eq(const struct eq_guest *guest, const struct eq_host_adapter *adapter,
				uint32_t id)
{
	uint32_t index = id - adapter->storage.eqs;

	if (id < adapter->storage.eqs || index >= adapter->geqcbs_max)
		return NULL;
	struct eq_geqcb *geqcb = geqcb_at(adapter, index);
	return geqcb->eq && geqcb->eq->guest == guest ? geqcb : NULL;
}

static struct eq_geqa *find_cq(const struct eq_guest *guest, const struct eq_host_adapter *adapter,
			       uint32_t cq)
{
	if (cq >= adapter->storage.cqs || adapter->owner[cq] != guest)
		return NULL;
	return &adapter->geqa[cq];
}

static struct eq_geqa *find_qp(const struct eq_guest *guest, const struct eq_host_adapter *adapter,
			       uint32_t qp)
{
	if (qp >= adapter->storage.qps || adapter->owner[adapter->storage.cqs + qp] != guest)
		return NULL;
	return &adapter->geqa[adapter->storage.cqs + qp];
}

/* ---- Event queues: FIG. 10, 11, 13 ---------------------------------------------- */

/* 1008-1014 and 1102-1104: the host's own two event queues on this adapter. */
static int allocate_host_eqs(struct eq_host_adapter *adapter)
{
	struct eq_storage *storage = &adapter->storage;
	const struct eq_eq_spec type1 = {.capacity = adapter->capacity, .isc = EQ_HOST_ISC_TYPE1,
					 .control = EQ_EVERY_ENTRY};
	const struct eq_eq_spec type2 = {.capacity = adapter->capacity, .isc = EQ_HOST_ISC_TYPE2,
					 .control = EQ_EVERY_ENTRY};
	struct eq_queue queue1, queue2;
	int psb1 = 0, psb2 = 0, asb = 0;
	int error;

	if ((adapter->type1_eq = eq_allocate_eq(storage, &type1)) < 0 ||
	    (adapter->type2_eq = eq_allocate_eq(storage, &type2)) < 0)
		goto undo;
	uint32_t eq1 = (uint32_t)adapter->type1_eq, eq2 = (uint32_t)adapter->type2_eq;
	if ((psb1 = eq_allocate_summary(storage)) < 0 ||
	    eq_store_eq_psb(storage, eq1, (uint32_t)psb1) ||
	    (psb2 = eq_allocate_summary(storage)) < 0 ||
	    eq_store_eq_psb(storage, eq2, (uint32_t)psb2) ||
	    (asb = eq_allocate_summary(storage)) < 0 ||
	    eq_store_eq_asb(storage, eq2, (uint32_t)asb))
		goto undo;
	if (eq_load_eq(storage, eq1, &queue1) || eq_load_eq(storage, eq2, &queue2) ||
	    eq_consumer_open(&adapter->type1, &queue1) || eq_consumer_open(&adapter->type2, &queue2))
		goto undo;
	adapter->type2_psb = queue2.psb;
	/* release: partner is the load in eq_forward(). */
	atomic_store_explicit(&adapter->psb, queue1.psb, memory_order_release);
	return 0;
undo:
	error = adapter->type1_eq == -EINVAL ? -EINVAL : -ENOSPC;
	if (adapter->type2_eq >= 0)
		eq_deallocate_eq(storage, (uint32_t)adapter->type2_eq);
	if (adapter->type1_eq >= 0)
		eq_deallocate_eq(storage, (uint32_t)adapter->type1_eq);
	adapter->type1_eq = adapter->type2_eq = -1;
	return error;
}

static int add_slab(struct eq_host_adapter *adapter)
{
	const size_t bytes = EQ_GEQCBS_PER_SLAB * sizeof(struct eq_geqcb);
	uint32_t slabs = adapter->geqcbs_max / EQ_GEQCBS_PER_SLAB;
	struct eq_geqcb **grown = reallocarray(adapter->slab, slabs + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	adapter->slab = grown;
	/* In a page, not across two. */
	struct eq_geqcb *slab = aligned_alloc(bytes, bytes);
	if (!slab)
		return -ENOMEM;
	memset(slab, 0, bytes);
	adapter->slab[slabs] = slab;
	adapter->geqcb_hint = adapter->geqcbs_max;
	adapter->geqcbs_max += EQ_GEQCBS_PER_SLAB;
	return 0;
}

/* A free place in the adapter's table, or -ENOMEM. */
static int free_id(struct eq_host_adapter *adapter)
{
	int error = adapter->geqcbs == adapter->geqcbs_max ? add_slab(adapter) : 0;

	if (error)
		return error;
	/* From where the last one was found: not from the start for each of thousands. */
	while (geqcb_at(adapter, adapter->geqcb_hint)->eq)
		adapter->geqcb_hint = (adapter->geqcb_hint + 1) % adapter->geqcbs_max;
	return (int)adapter->geqcb_hint;
}

static int check_ring(const struct eq_guest *guest, uint64_t ring_offset, uint32_t capacity)
{
	size_t bytes = eq_queue_size_bytes(capacity);

	return bytes && ring_offset % EQ_LINE_BYTES == 0 && in_storage(guest, ring_offset, bytes)
		       ? 0 : -EINVAL;
}

/*
 * Whether a host before us put something here, and what it marked and did not enter,
 * or held, or had not yet taken from its type-1 queue, is gone with it. Then no mark is
 * good for anything: without them an event may be entered twice, but none is swallowed.
 */
static bool was_used(const struct eq_guest_eq *eq, const struct eq_ring *ring)
{
	bool used = atomic_load_explicit(&eq_ring_entry_at(ring, 0)->sequence,
					 memory_order_relaxed) != 0;

	for (uint32_t i = 0; i < eq->spec.slots; i++) {
		if (!atomic_load_explicit(&eq->marks[i], memory_order_relaxed))
			continue;
		used = true;
		atomic_store_explicit(&eq->marks[i], 0, memory_order_relaxed);
	}
	return used;
}

/* Goes on where entries end: the guest may have had this queue from an earlier host. */
static int use_ring(struct eq_geqcb *geqcb, uint64_t ring_offset, uint32_t capacity,
		    bool first)
{
	struct eq_ring ring;

	if (eq_ring_open_queue(&ring, geqcb->eq->guest->memory + ring_offset, capacity))
		return -EINVAL;
	eq_ring_recover_producer(&ring);
	if (first)
		geqcb->eq->used = was_used(geqcb->eq, &ring);
	geqcb->control = (struct eq_queue_control *)(geqcb->eq->guest->memory + ring_offset);
	geqcb->mask = ring.mask;
	geqcb->eq->counted = ring.position;
	atomic_store_explicit(&geqcb->next, ring.position, memory_order_release);
	return 0;
}

/* Entries put since the last call; at least once in 2^32 of them. */
static void count_forwarded(struct eq_geqcb *geqcb)
{
	uint32_t next = atomic_load_explicit(&geqcb->next, memory_order_acquire);

	geqcb->eq->forwarded += next - geqcb->eq->counted;
	geqcb->eq->counted = next;
}

static void free_geqcb(struct eq_geqcb *geqcb)
{
	if (geqcb->eq)
		free(geqcb->eq->slot);
	free(geqcb->eq);
	geqcb->eq = NULL;
}

/* Fills a free one, which no forwarder knows. */
static int fill_geqcb(struct eq_geqcb *geqcb, struct eq_guest *guest,
		      struct eq_host_adapter *adapter, const struct eq_guest_eq_spec *spec)
{
	memset(geqcb, 0, sizeof(*geqcb));
	if (!(geqcb->eq = calloc(1, sizeof(*geqcb->eq))) ||
	    !(geqcb->eq->slot = calloc(1, sizeof(struct eq_geqa *))))
		return -ENOMEM;
	geqcb->gisa = guest->gisa; /* 1002 */
	geqcb->gisc = spec->gisc;  /* 1004 */
	geqcb->delay_ns = (uint64_t)spec->delay_us * 1000;
	struct eq_guest_eq *eq = geqcb->eq;
	eq->guest = guest;
	eq->adapter = adapter;
	eq->spec = *spec;
	eq->marks = (eq_marks *)(guest->memory + spec->marks_offset);
	eq->self.mark = &eq->marks[EQ_SLOT_SELF];
	eq->asb_offset = UINT64_MAX;
	eq->slot[EQ_SLOT_SELF] = &eq->self;
	eq->slots = eq->slots_used = 1;
	return use_ring(geqcb, spec->ring_offset, spec->capacity, true);
}

int eq_guest_allocate_eq(struct eq_guest *guest, struct eq_host_adapter *adapter,
			 const struct eq_guest_eq_spec *spec, uint32_t *id)
{
	/* More slots than the adapter has resources would never be given out. */
	if (spec->gisc >= EQ_ISCS || !spec->slots ||
	    spec->slots > eq_storage_slots(&adapter->storage) ||
	    spec->marks_offset % sizeof(eq_marks) ||
	    !in_storage(guest, spec->marks_offset, (uint64_t)spec->slots * sizeof(eq_marks)) ||
	    check_ring(guest, spec->ring_offset, spec->capacity))
		return -EINVAL;
	/* 1006: the first on this adapter? */
	int error = adapter->type1_eq < 0 ? allocate_host_eqs(adapter) : 0;
	int index = error ? error : free_id(adapter);
	if (index < 0)
		return index;
	struct eq_geqcb *geqcb = geqcb_at(adapter, (uint32_t)index); /* 1000 */
	error = fill_geqcb(geqcb, guest, adapter, spec);
	if (error) {
		free_geqcb(geqcb);
		return error;
	}
	geqcb->eq->id = adapter->storage.eqs + (uint32_t)index; /* 1106 */
	adapter->geqcbs++;
	geqcb->eq->next_of_guest = guest->geqcbs;
	guest->geqcbs = geqcb;
	guest->pins++;
	*id = geqcb->eq->id;
	return 0;
}

int eq_guest_deallocate_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id)
{
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqcb)
		return -ENOENT;
	if (geqcb->eq->slots_used > 1)
		return -EBUSY;
	atomic_store_explicit(&geqcb->state, GEQCB_DEAD, memory_order_release);
	wait_for_forwarders(guest->host);
	eq_geqcb_undefer(geqcb);
	adapter->geqcbs--;
	struct eq_geqcb **link = &guest->geqcbs;
	while (*link != geqcb)
		link = &(*link)->eq->next_of_guest;
	*link = geqcb->eq->next_of_guest;
	guest->pins -= geqcb->eq->asb_offset == UINT64_MAX ? 1 : 2;
	free_geqcb(geqcb);
	return 0;
}

int eq_guest_resize_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		       uint64_t ring_offset, uint32_t capacity, uint64_t now_ns)
{
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqcb)
		return -ENOENT;
	if (check_ring(guest, ring_offset, capacity) || ring_offset == geqcb->eq->spec.ring_offset)
		return -EINVAL;
	uint32_t state = GEQCB_OPEN;
	/* A broken one stays so. */
	if (!atomic_compare_exchange_strong_explicit(&geqcb->state, &state, GEQCB_HOLDING,
						     memory_order_acq_rel, memory_order_acquire))
		return -EINVAL;
	wait_for_forwarders(guest->host);
	count_forwarded(geqcb);
	int error = use_ring(geqcb, ring_offset, capacity, false);
	if (!error) {
		geqcb->eq->spec.ring_offset = ring_offset;
		geqcb->eq->spec.capacity = capacity;
	}
	/* seq_cst: partner is hold() in eq_forward.c. */
	atomic_store_explicit(&geqcb->state, GEQCB_OPEN, memory_order_seq_cst);
	eq_geqcb_resume(geqcb, now_ns);
	return error;
}

int eq_guest_set_delay(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		       uint32_t delay_us)
{
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqcb)
		return -ENOENT;
	geqcb->eq->spec.delay_us = delay_us;
	atomic_store_explicit(&geqcb->delay_ns, (uint64_t)delay_us * 1000, memory_order_relaxed);
	return 0;
}

/* FIG. 13: 1300 pins, 1302 places the address. */
int eq_guest_store_eq_asb(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
			  uint64_t asb_offset)
{
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqcb)
		return -ENOENT;
	if (asb_offset != UINT64_MAX && !in_storage(guest, asb_offset, sizeof(eq_summary)))
		return -EINVAL;
	if (geqcb->eq->asb_offset != UINT64_MAX)
		guest->pins--;
	if (asb_offset != UINT64_MAX)
		guest->pins++;
	geqcb->eq->asb_offset = asb_offset;
	atomic_store_explicit(&geqcb->asb, asb_offset == UINT64_MAX ? NULL :
			      (eq_summary *)(guest->memory + asb_offset), memory_order_release);
	/* On return nobody writes the old one any more. */
	wait_for_forwarders(guest->host);
	return 0;
}

static uint32_t held_resources(const struct eq_guest_eq *eq)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < eq->slots; i++)
		held += eq->slot[i] && atomic_load_explicit(&eq->slot[i]->held,
							       memory_order_relaxed);
	return held;
}

int eq_guest_load_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t id,
		     struct eq_guest_eq_view *out)
{
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqcb)
		return -ENOENT;
	uint32_t consumed = atomic_load_explicit(&geqcb->control->consumed, memory_order_acquire);
	count_forwarded(geqcb);
	uint32_t next = geqcb->eq->counted;
	*out = (struct eq_guest_eq_view){
		.spec = geqcb->eq->spec,
		.asb_offset = geqcb->eq->asb_offset,
		.depth = next - consumed <= geqcb->mask + 1 ? next - consumed : 0,
		.forwarded = geqcb->eq->forwarded,
		.overruns = atomic_load_explicit(&geqcb->eq->overruns, memory_order_relaxed),
		.held = held_resources(geqcb->eq),
		.broken = atomic_load_explicit(&geqcb->state, memory_order_relaxed) == GEQCB_BROKEN,
	};
	return 0;
}

/* ---- Completion queues: FIG. 12 -------------------------------------------------- */

/* Makes an associator known: odd generations are allocated. Returns the token that the
 * adapter's entries carry. */
static uint64_t open_geqa(struct eq_host_adapter *adapter, uint32_t index, struct eq_guest *guest)
{
	struct eq_geqa *geqa = &adapter->geqa[index];
	uint32_t generation = atomic_load_explicit(&geqa->generation, memory_order_relaxed) + 1;

	atomic_store_explicit(&geqa->geqcb, NULL, memory_order_relaxed);
	atomic_store_explicit(&geqa->token, 0, memory_order_relaxed);
	atomic_store_explicit(&geqa->held, 0, memory_order_relaxed);
	adapter->owner[index] = guest;
	/* release: partner is look_up() in eq_forward.c. */
	atomic_store_explicit(&geqa->generation, generation, memory_order_release);
	return (uint64_t)generation << 32 | index;
}

/* On return no forwarder uses it. */
static void close_geqa(struct eq_host_adapter *adapter, uint32_t index)
{
	struct eq_geqa *geqa = &adapter->geqa[index];
	struct eq_geqcb *geqcb = atomic_load_explicit(&geqa->geqcb, memory_order_relaxed);

	atomic_fetch_add_explicit(&geqa->generation, 1, memory_order_acq_rel);
	atomic_store_explicit(&geqa->geqcb, NULL, memory_order_release);
	wait_for_forwarders(adapter->host);
	if (geqcb) {
		geqcb->eq->slot[geqa->slot] = NULL;
		geqcb->eq->slots_used--;
	}
	adapter->owner[index] = NULL;
}

/* A free slot in the guest's event queue; -ENOSPC: none is left; -ENOMEM. */
static int free_slot(struct eq_guest_eq *eq)
{
	/* Slot 0 is never free. */
	for (uint32_t slot = 1; slot < eq->slots && eq->slots_used < eq->slots; slot++) {
		if (!eq->slot[slot])
			return (int)slot;
	}
	if (eq->slots == eq->spec.slots)
		return -ENOSPC;
	uint32_t slots = eq->slots < eq->spec.slots / 2 ? 2 * eq->slots
							      : eq->spec.slots;
	struct eq_geqa **grown = reallocarray(eq->slot, slots, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + eq->slots, 0, (slots - eq->slots) * sizeof(*grown));
	int first = (int)eq->slots;
	eq->slot = grown;
	eq->slots = slots;
	return first;
}

/* A slot in the guest's event queue, and the pointer to its control block (1212). */
static int associate(struct eq_geqa *geqa, struct eq_geqcb *geqcb, uint32_t *slot)
{
	struct eq_geqcb *now = atomic_load_explicit(&geqa->geqcb, memory_order_relaxed);

	if (now && now != geqcb)
		return -EBUSY;
	if (!now) {
		int free = free_slot(geqcb->eq);

		if (free < 0)
			return free;
		/* An entry of the slot's last owner may still be in the ring: its mark would
		 * swallow the first event of this one. */
		atomic_store_explicit(&geqcb->eq->marks[free], 0, memory_order_relaxed);
		geqcb->eq->slot[free] = geqa;
		geqcb->eq->slots_used++;
		geqa->slot = (uint32_t)free;
		geqa->mark = &geqcb->eq->marks[free];
		atomic_store_explicit(&geqa->next_entry, geqcb->control + 1, memory_order_relaxed);
		/* release: partner is look_up() in eq_forward.c. */
		atomic_store_explicit(&geqa->geqcb, geqcb, memory_order_release);
	}
	*slot = geqa->slot;
	return 0;
}

int eq_guest_allocate_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t *cq)
{
	int index = eq_allocate_cq(&adapter->storage); /* 1202 */

	if (index < 0)
		return index;
	/* 1200 and 1204 */
	eq_store_cq_token(&adapter->storage, (uint32_t)index,
			  open_geqa(adapter, (uint32_t)index, guest));
	*cq = (uint32_t)index;
	return 0;
}

int eq_guest_deallocate_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq)
{
	if (!find_cq(guest, adapter, cq))
		return -ENOENT;
	int error = eq_deallocate_cq(&adapter->storage, cq);
	if (!error)
		close_geqa(adapter, cq);
	return error;
}

int eq_guest_store_cq_token(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
			    uint64_t token)
{
	struct eq_geqa *geqa = find_cq(guest, adapter, cq);

	if (!geqa)
		return -ENOENT;
	atomic_store_explicit(&geqa->token, token, memory_order_release); /* 1208 */
	return 0;
}

int eq_guest_store_cq_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
			 uint32_t id, uint32_t *slot)
{
	struct eq_geqa *geqa = find_cq(guest, adapter, cq);
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqa || !geqcb)
		return -ENOENT;
	int error = associate(geqa, geqcb, slot);
	/* The adapter's events of it go to the type-1 queue from now on. */
	if (!error)
		error = eq_store_cq_eq(&adapter->storage, cq, (uint32_t)adapter->type1_eq);
	/* What a host before us forgot may have been of this one: the guest looks. At time
	 * 0, which is in no guest's delay. */
	if (!error && geqcb->eq->used)
		eq_deliver(guest->host, host_section(guest->host), geqa, geqcb, EQ_COMPLETION, 0);
	return error;
}

int eq_guest_load_cq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t cq,
		     struct eq_cq_view *out)
{
	struct eq_geqa *geqa = find_cq(guest, adapter, cq);

	if (!geqa)
		return -ENOENT;
	struct eq_geqcb *geqcb = atomic_load_explicit(&geqa->geqcb, memory_order_relaxed);
	out->eq = geqcb ? geqcb->eq->id : EQ_NONE;
	out->token = atomic_load_explicit(&geqa->token, memory_order_relaxed);
	return 0;
}

/* ---- Queue pairs: FIG. 14, 15 ------------------------------------------------------ */

int eq_guest_allocate_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t *qp)
{
	int index = eq_allocate_qp(&adapter->storage); /* 1400 */

	if (index < 0)
		return index;
	eq_store_qp_token(&adapter->storage, (uint32_t)index,
			  open_geqa(adapter, adapter->storage.cqs + (uint32_t)index, guest));
	*qp = (uint32_t)index;
	return 0;
}

int eq_guest_deallocate_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp)
{
	if (!find_qp(guest, adapter, qp))
		return -ENOENT;
	int error = eq_deallocate_qp(&adapter->storage, qp);
	if (!error)
		close_geqa(adapter, adapter->storage.cqs + qp);
	return error;
}

int eq_guest_store_qp_cqs(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			  uint32_t send_cq, uint32_t receive_cq)
{
	if (!find_qp(guest, adapter, qp) ||
	    (send_cq != EQ_NONE && !find_cq(guest, adapter, send_cq)) ||
	    (receive_cq != EQ_NONE && !find_cq(guest, adapter, receive_cq)))
		return -ENOENT;
	return eq_store_qp_cqs(&adapter->storage, qp, send_cq, receive_cq);
}

int eq_guest_store_qp_token(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			    uint64_t token)
{
	struct eq_geqa *geqa = find_qp(guest, adapter, qp);

	if (!geqa)
		return -ENOENT;
	atomic_store_explicit(&geqa->token, token, memory_order_release);
	return 0;
}

int eq_guest_store_qp_eq(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
			 uint32_t id, uint32_t *slot)
{
	struct eq_geqa *geqa = find_qp(guest, adapter, qp);
	struct eq_geqcb *geqcb = find_eq(guest, adapter, id);

	if (!geqa || !geqcb)
		return -ENOENT;
	int error = associate(geqa, geqcb, slot);
	return error ? error : eq_store_qp_eq(&adapter->storage, qp, (uint32_t)adapter->type2_eq);
}

int eq_guest_load_qp(struct eq_guest *guest, struct eq_host_adapter *adapter, uint32_t qp,
		     struct eq_qp_view *out)
{
	struct eq_geqa *geqa = find_qp(guest, adapter, qp);

	if (!geqa)
		return -ENOENT;
	int error = eq_load_qp(&adapter->storage, qp, out);
	struct eq_geqcb *geqcb = atomic_load_explicit(&geqa->geqcb, memory_order_relaxed);
	out->eq = geqcb ? geqcb->eq->id : EQ_NONE;
	out->token = atomic_load_explicit(&geqa->token, memory_order_relaxed);
	return error;
}
