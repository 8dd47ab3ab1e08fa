/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's host program, level 2 (004): which adapters its guests share, who the
 * guests are, and how structures are taken away while forwarders run. Host's thread.
 */
#include "eq_host_internal.h"

#include <sched.h>
#include <stdlib.h>

int eq_host_create(unsigned forwarders, const struct eq_host_ops *ops, void *host_data,
		   struct eq_host **out)
{
	if (!forwarders || forwarders > EQ_FORWARDERS_MAX)
		return -EINVAL;
	size_t bytes = sizeof(struct eq_host) + (forwarders + 1) * sizeof(struct eq_section);
	struct eq_host *host = aligned_alloc(EQ_LINE_BYTES, bytes);

	if (!host)
		return -ENOMEM;
	memset(host, 0, bytes);
	host->ops = *ops;
	host->data = host_data;
	host->forwarders = forwarders;
	atomic_store_explicit(&host->deferred_due_ns, UINT64_MAX, memory_order_relaxed);
	*out = host;
	return 0;
}

void eq_host_destroy(struct eq_host *host)
{
	while (host && host->guests)
		eq_guest_destroy(host->guests);
	for (unsigned i = 0; host && i < EQ_HOST_ADAPTERS_MAX; i++) {
		if (host->adapter[i])
			eq_host_remove_adapter(host->adapter[i]);
	}
	free(host);
}

/*
 * A forwarder inside eq_forward() may have read what was just unlinked; one that
 * enters later cannot. A stay is short (its budget), and it never waits inside.
 */
void wait_for_forwarders(struct eq_host *host)
{
	/* seq_cst: partner is the fence in eq_forward(): either we see it inside, or it
	 * sees what we stored before. */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < host->forwarders; i++) {
		/* acquire: partner is the end of eq_forward(). */
		uint64_t epoch = atomic_load_explicit(&host->section[i].epoch, memory_order_acquire);

		while ((epoch & 1) && atomic_load_explicit(&host->section[i].epoch,
							   memory_order_acquire) == epoch)
			sched_yield();
	}
}

/* ---- Adapters -------------------------------------------------------------- */

int eq_host_add_adapter(struct eq_host *host, const struct eq_storage *storage, uint32_t capacity,
			struct eq_host_adapter **out)
{
	unsigned index = 0;

	while (index < EQ_HOST_ADAPTERS_MAX && host->adapter[index])
		index++;
	if (index == EQ_HOST_ADAPTERS_MAX)
		return -ENOSPC;
	size_t geqas = (size_t)storage->cqs + storage->qps;
	struct eq_host_adapter *adapter = aligned_alloc(EQ_LINE_BYTES, sizeof(*adapter));
	if (!adapter)
		return -ENOMEM;
	memset(adapter, 0, sizeof(*adapter));
	adapter->geqa = aligned_alloc(EQ_LINE_BYTES, (geqas + 1) * sizeof(*adapter->geqa));
	adapter->owner = calloc(geqas + 1, sizeof(struct eq_guest *));
	if (!adapter->geqa || !adapter->owner) {
		free(adapter->geqa);
		free(adapter->owner);
		free(adapter);
		return -ENOMEM;
	}
	memset(adapter->geqa, 0, (geqas + 1) * sizeof(*adapter->geqa));
	adapter->storage = *storage;
	adapter->host = host;
	adapter->capacity = capacity;
	adapter->index = index;
	adapter->type1_eq = adapter->type2_eq = -1;
	/* release: partner is the load in eq_forward(). */
	atomic_store_explicit(&host->adapter[index], adapter, memory_order_release);
	if (index >= host->adapters)
		atomic_store_explicit(&host->adapters, index + 1, memory_order_release);
	*out = adapter;
	return 0;
}

static void free_slabs(struct eq_host_adapter *adapter)
{
	for (uint32_t i = 0; i < adapter->geqcbs_max / EQ_GEQCBS_PER_SLAB; i++)
		free(adapter->slab[i]);
	free(adapter->slab);
}

int eq_host_remove_adapter(struct eq_host_adapter *adapter)
{
	size_t geqas = (size_t)adapter->storage.cqs + adapter->storage.qps;

	for (size_t i = 0; i < geqas; i++) {
		if (adapter->owner[i])
			return -EBUSY;
	}
	if (adapter->geqcbs)
		return -EBUSY;
	atomic_store_explicit(&adapter->host->adapter[adapter->index], NULL, memory_order_release);
	wait_for_forwarders(adapter->host);
	if (adapter->type1_eq >= 0)
		eq_deallocate_eq(&adapter->storage, (uint32_t)adapter->type1_eq);
	if (adapter->type2_eq >= 0)
		eq_deallocate_eq(&adapter->storage, (uint32_t)adapter->type2_eq);
	free(adapter->geqa);
	free(adapter->owner);
	free_slabs(adapter);
	free(adapter);
	return 0;
}

/* ---- Guests ---------------------------------------------------------------- */

int eq_guest_create(struct eq_host *host, void *memory, uint64_t bytes, uint64_t gisa_offset,
		    void *guest_data, struct eq_guest **out)
{
	if (gisa_offset % sizeof(struct eq_interrupts) || bytes < sizeof(struct eq_interrupts) ||
	    gisa_offset > bytes - sizeof(struct eq_interrupts) ||
	    (uintptr_t)memory % EQ_LINE_BYTES)
		return -EINVAL;
	struct eq_guest *guest = calloc(1, sizeof(*guest));
	if (!guest)
		return -ENOMEM;
	*guest = (struct eq_guest){
		.host = host, .memory = memory, .bytes = bytes, .data = guest_data,
		.gisa = (struct eq_interrupts *)((uint8_t *)memory + gisa_offset),
		.next = host->guests, .link = &host->guests,
	};
	if (guest->next)
		guest->next->link = &guest->next;
	host->guests = guest;
	*out = guest;
	return 0;
}

/* Our own tables say that nothing is in the way: none of these can fail. */
static void deallocate_resources(struct eq_guest *guest, struct eq_host_adapter *adapter)
{
	/* Queue pairs first: completion queues may not go while they are in use. */
	for (uint32_t i = 0; i < adapter->storage.qps; i++) {
		if (adapter->owner[adapter->storage.cqs + i] == guest)
			eq_guest_deallocate_qp(guest, adapter, i);
	}
	for (uint32_t i = 0; i < adapter->storage.cqs; i++) {
		if (adapter->owner[i] == guest)
			eq_guest_deallocate_cq(guest, adapter, i);
	}
}

void eq_guest_destroy(struct eq_guest *guest)
{
	struct eq_host *host = guest->host;

	for (unsigned i = 0; i < EQ_HOST_ADAPTERS_MAX; i++) {
		if (host->adapter[i])
			deallocate_resources(guest, host->adapter[i]);
	}
	while (guest->geqcbs) {
		int error = eq_guest_deallocate_eq(guest, guest->geqcbs->eq->adapter,
						   guest->geqcbs->eq->id);
		assert(!error);
		(void)error;
	}
	*guest->link = guest->next;
	if (guest->next)
		guest->next->link = guest->link;
	free(guest);
}

unsigned eq_guest_pins(const struct eq_guest *guest)
{
	return guest->pins;
}

unsigned eq_guest_resume(struct eq_guest *guest, uint64_t now_ns)
{
	unsigned resumed = 0;

	for (struct eq_geqcb *geqcb = guest->geqcbs; geqcb; geqcb = geqcb->eq->next_of_guest)
		resumed += eq_geqcb_resume(geqcb, now_ns);
	return resumed;
}

/* ---- Figures --------------------------------------------------------------- */

void eq_host_stats(const struct eq_host *host, struct eq_host_stats *out)
{
	*out = (struct eq_host_stats){0};
	for (unsigned i = 0; i <= host->forwarders; i++) {
		const struct eq_section *section = &host->section[i];

#define ADD(field) out->field += atomic_load_explicit(&section->field, memory_order_relaxed)
		ADD(forwarded);
		ADD(coalesced);
		ADD(stale);
		ADD(invalid);
		ADD(held);
		ADD(broken);
		ADD(alerts);
		ADD(type2);
#undef ADD
	}
}

size_t eq_guest_bytes(unsigned cqs)
{
	/* Twice: the host's and the published one. And its part of the type-1 queue. */
	const size_t contexts = 2 * sizeof(struct eq_cq_context) + sizeof(struct eq_geqa) +
				sizeof(struct eq_guest *) + 2 * sizeof(eq_marks) + EQ_EQE_BYTES;

	return sizeof(struct eq_guest) + sizeof(struct eq_geqcb) + sizeof(struct eq_guest_eq) +
	       (1 + cqs) * sizeof(struct eq_geqa *) + cqs * contexts;
}
