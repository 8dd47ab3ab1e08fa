/* SPDX-License-Identifier: BSD-2-Clause */
/* See reference.h. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

#include "eq_layout.h"

static void append(struct ref_list *list, struct ref_event event)
{
	if (list->count == REF_LIST)
		abort();
	list->at[(list->first + list->count++) % REF_LIST] = event;
}

static bool take_first(struct ref_list *list, struct ref_event *out)
{
	if (!list->count)
		return false;
	*out = list->at[list->first];
	list->first = (list->first + 1) % REF_LIST;
	list->count--;
	return true;
}

void ref_start(struct reference *ref, uint32_t host_capacity)
{
	memset(ref, 0, sizeof(*ref));
	ref->type1.capacity = ref->type2.capacity = host_capacity;
}

/* ---- The adapter's queues --------------------------------------------------------------- */

/* FIG. 4, 412-414 and 418-420. What finds no room waits, and counts as being there. */
static bool post(struct ref_queue *queue, uint32_t slot, uint32_t event, uint32_t serial)
{
	if (queue->pending[slot][event])
		return false;
	queue->pending[slot][event] = true;
	if (queue->entries.count == queue->capacity) {
		queue->held[slot][event] = true;
		queue->held_serial[slot] = serial;
		return false;
	}
	append(&queue->entries, (struct ref_event){slot, event, serial, 0});
	return true;
}

void ref_complete(struct reference *ref, uint32_t cq, uint32_t event)
{
	if (ref->cq[cq].allocated && post(&ref->type1, 1 + cq, event, ref->cq[cq].serial))
		ref->unsignalled1 = true;
}

void ref_qp_event(struct reference *ref, uint32_t qp, uint32_t event)
{
	if (ref->qp[qp].allocated &&
	    post(&ref->type2, 1 + REF_CQS + qp, event, ref->qp[qp].serial))
		ref->unsignalled2 = true;
}

void ref_adapter_event(struct reference *ref, uint32_t event)
{
	if (post(&ref->type2, 0, event, 0))
		ref->unsignalled2 = true;
}

void ref_signal(struct reference *ref)
{
	ref->type1.signalled |= ref->unsignalled1;
	ref->type2.signalled |= ref->unsignalled2;
	ref->unsignalled1 = ref->unsignalled2 = false;
}

static bool enter_held(struct ref_queue *queue)
{
	bool any = false;

	for (uint32_t slot = 0; slot < REF_SLOTS; slot++) {
		for (uint32_t event = 0; event < REF_EVENTS; event++) {
			if (!queue->held[slot][event] || queue->entries.count == queue->capacity)
				continue;
			queue->held[slot][event] = false;
			append(&queue->entries,
			       (struct ref_event){slot, event, queue->held_serial[slot], 0});
			any = true;
		}
	}
	return any;
}

void ref_tick(struct reference *ref)
{
	ref->unsignalled1 |= enter_held(&ref->type1);
	ref->unsignalled2 |= enter_held(&ref->type2);
	ref_signal(ref);
}

/* ---- Into a guest's queue ---------------------------------------------------------------- */

static void put(struct reference *ref, struct ref_guest *guest, uint32_t slot, uint32_t event,
		uint64_t token)
{
	guest->queue.pending[slot][event] = true;
	append(&guest->queue.entries, (struct ref_event){slot, event, 0, token});
	guest->summary = guest->interrupt = true;
	ref->forwarded += !(slot == 0 && event == EQ_EQ_OVERRUN);
}

/* True: the guest has it, or had it already. One entry is kept for the overrun. */
static bool deliver(struct reference *ref, struct ref_guest *guest, uint32_t slot, uint32_t event,
		    uint64_t token)
{
	struct ref_queue *queue = &guest->queue;

	if (queue->pending[slot][event])
		return true;
	if (queue->entries.count + 1 < queue->capacity) {
		put(ref, guest, slot, event, token);
		return true;
	}
	queue->held[slot][event] = true;
	guest->kick = true;
	if (!queue->pending[0][EQ_EQ_OVERRUN] && queue->entries.count < queue->capacity) {
		put(ref, guest, 0, EQ_EQ_OVERRUN, 0);
		ref->overruns++;
	}
	return false;
}

static void deliver_to_owner(struct reference *ref, const struct ref_resource *resource,
			     const struct ref_event *event)
{
	if (!resource->allocated || resource->serial != event->serial)
		ref->stale++;
	if (resource->allocated)
		deliver(ref, &ref->guest[resource->guest], resource->slot, event->event,
			resource->token);
}

uint32_t ref_forward(struct reference *ref, uint32_t budget)
{
	struct ref_event event;
	uint32_t moved = 0;

	while (ref->type1.signalled && moved < budget && take_first(&ref->type1.entries, &event)) {
		ref->type1.pending[event.slot][event.event] = false;
		deliver_to_owner(ref, &ref->cq[event.slot - 1], &event);
		moved++;
	}
	ref->type1.signalled &= ref->type1.entries.count != 0;
	return moved;
}

uint32_t ref_type2(struct reference *ref, uint32_t budget)
{
	struct ref_event event;
	uint32_t moved = 0;

	while (ref->type2.signalled && moved < budget && take_first(&ref->type2.entries, &event)) {
		ref->type2.pending[event.slot][event.event] = false;
		moved++;
		if (event.slot)
			deliver_to_owner(ref, &ref->qp[event.slot - 1 - REF_CQS], &event);
		for (uint32_t i = 0; !event.slot && i < REF_GUESTS; i++) {
			if (ref->guest[i].exists)
				deliver(ref, &ref->guest[i], 0, event.event, 0);
		}
	}
	ref->type2.signalled &= ref->type2.entries.count != 0;
	return moved;
}

static uint64_t token_in(const struct reference *ref, uint32_t guest, uint32_t slot)
{
	for (uint32_t i = 0; i < REF_CQS; i++) {
		const struct ref_resource *cq = &ref->cq[i];
		if (cq->allocated && cq->guest == guest && cq->slot == slot)
			return cq->token;
	}
	for (uint32_t i = 0; i < REF_QPS; i++) {
		const struct ref_resource *qp = &ref->qp[i];
		if (qp->allocated && qp->guest == guest && qp->slot == slot)
			return qp->token;
	}
	return 0;
}

uint32_t ref_resume(struct reference *ref, uint32_t guest)
{
	bool held[REF_SLOTS][REF_EVENTS];
	uint32_t resumed = 0;

	memcpy(held, ref->guest[guest].queue.held, sizeof(held));
	memset(ref->guest[guest].queue.held, 0, sizeof(held));
	for (uint32_t slot = 0; slot < REF_SLOTS; slot++) {
		for (uint32_t event = 0; event < REF_EVENTS; event++) {
			if (held[slot][event])
				resumed += deliver(ref, &ref->guest[guest], slot, event,
						   token_in(ref, guest, slot));
		}
	}
	return resumed;
}

/* The caller has seen to it that the ring before the old one is consumed. */
void ref_resize(struct reference *ref, uint32_t guest, uint32_t capacity)
{
	struct ref_guest *each = &ref->guest[guest];

	each->old = each->queue.entries;
	each->queue.entries = (struct ref_list){0};
	each->queue.capacity = capacity;
	each->kick = false; /* that was asked for in the old one */
	ref_resume(ref, guest);
}

/* ---- Guests --------------------------------------------------------------------------------- */

void ref_guest_start(struct reference *ref, uint32_t guest, uint32_t capacity)
{
	memset(&ref->guest[guest], 0, sizeof(ref->guest[guest]));
	ref->guest[guest].exists = true;
	ref->guest[guest].queue.capacity = capacity;
}

void ref_guest_stop(struct reference *ref, uint32_t guest)
{
	ref->guest[guest].exists = false;
	for (uint32_t i = 0; i < REF_CQS; i++)
		ref->cq[i].allocated &= ref->cq[i].guest != guest;
	for (uint32_t i = 0; i < REF_QPS; i++)
		ref->qp[i].allocated &= ref->qp[i].guest != guest;
}

void ref_allocate(struct reference *ref, struct ref_resource *resource, uint32_t guest,
		  uint32_t slot, uint64_t token)
{
	struct ref_queue *queue = &ref->guest[guest].queue;

	*resource = (struct ref_resource){true, ++ref->serials, guest, slot, token};
	/* Whoever had the slot is gone, and with it what it had under way. */
	memset(queue->pending[slot], 0, sizeof(queue->pending[slot]));
	memset(queue->held[slot], 0, sizeof(queue->held[slot]));
}

void ref_deallocate(struct reference *ref, struct ref_resource *resource)
{
	struct ref_queue *queue = &ref->guest[resource->guest].queue;

	resource->allocated = false;
	memset(queue->held[resource->slot], 0, sizeof(queue->held[resource->slot]));
}

bool ref_consume(struct reference *ref, uint32_t guest, struct ref_event *out)
{
	struct ref_guest *each = &ref->guest[guest];

	if (!take_first(&each->old, out) && !take_first(&each->queue.entries, out))
		return false;
	each->queue.pending[out->slot][out->event] = false;
	return true;
}
