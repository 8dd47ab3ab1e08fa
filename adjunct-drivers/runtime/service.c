/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service interface (000, FIG. 10 and 11): takes a partition's requests out of its
 * request ring (hv-shim/base/service_layout.h), in the order of their priority, has the
 * driver serve them one after the other, and completes them. Runs on the thread that
 * dispatches the driver, between the driver's own dispatches.
 *
 * A request's slot is the partition's again once it is done; so there are never more
 * than SERVICE_SLOTS under way, and a bit for each in one word says which are queued and
 * which are done. How far each one has come stands in the in-flight record
 * (adj_inflight.h): a successor serves those that had not begun, and fails the one that
 * had, unless the driver says that it can be served once more.
 */
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "net_layout.h"
#include "runtime.h"

#define USED_NS_MAX UINT32_MAX
/* A request that is done is told of after so long, though others follow. */
#define BURST_NS (100 * NS_PER_US)
/* One in so many requests of a partition that lends nothing is timed. */
#define SAMPLED 16

static_assert(SERVICE_SLOTS == 64, "a bit for each in one word");
static_assert(sizeof(((struct adj_inflight_page *)0)->requests) /
			      sizeof(((struct adj_inflight_page *)0)->requests[0]) == SERVICE_SLOTS,
	      "the record has a place for each");

static inline uint64_t bit(uint32_t slot)
{
	return UINT64_C(1) << slot;
}

static inline uint64_t rotate_right(uint64_t word, uint32_t by)
{
	return by ? word >> by | word << (SERVICE_SLOTS - by) : word;
}

/* ---- The record -------------------------------------------------------------- */

static struct adj_inflight_page *page(struct runtime *rt)
{
	return (struct adj_inflight_page *)rt->env.port.inflight;
}

static void record(struct runtime *rt, uint32_t position, enum adj_request_step step)
{
	/* release: what this step stands for comes first. A successor reads it. */
	atomic_store_explicit(&page(rt)->requests[position % SERVICE_SLOTS].step,
			      (uint64_t)position << 32 | step, memory_order_release);
}

/* How far a predecessor had come with the request at `position`. */
static enum adj_request_step recorded(struct runtime *rt, uint32_t position)
{
	const struct adj_inflight_page *inflight = page(rt);
	uint64_t step = atomic_load_explicit(&inflight->requests[position % SERVICE_SLOTS].step,
					     memory_order_acquire);

	if (step >> 32 != position)
		return ADJ_REQUEST_QUEUED;
	if ((uint32_t)step != ADJ_REQUEST_COMPLETING)
		return (uint32_t)step;
	uint32_t used = (uint32_t)atomic_load_explicit(
		&inflight->requests[position % SERVICE_SLOTS].completion, memory_order_relaxed);

	/* Behind the last entry found in the ring: it was never put there. */
	return (int32_t)(used - rt->service.first_completion) < 0 ? ADJ_REQUEST_DONE
								   : ADJ_REQUEST_BEGUN;
}

/* ---- Completing --------------------------------------------------------------- */

static void shut(struct runtime *rt)
{
	rt->service.shut = true;
	rt->env.log(&rt->env, ADJ_LOG_WARNING,
		    "the partition broke the service ring's protocol; its requests are not served");
	rt->env.post_event(&rt->env, ADJ_EVENT_PARTITION_PROTOCOL);
}

/* One writer: no exchange is needed. */
static void count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
			      memory_order_relaxed);
}

static void count_costs(struct runtime *rt, uint32_t slot, uint64_t now_ns, uint64_t used_ns)
{
	const uint64_t taken_ns = rt->service.taken_ns[slot];

	count(&rt->costs.completed, 1);
	count(&rt->costs.used_ns, used_ns);
	if (taken_ns)
		count(&rt->costs.latency[histogram_bucket(now_ns - taken_ns)], 1);
}

/* There is room for it. */
static void complete(struct runtime *rt, uint32_t slot, int status, uint64_t used_ns,
		     uint32_t data_bytes)
{
	struct service *service = &rt->service;
	uint32_t position = service->positions[slot];
	struct service_completion completion = {
		.id = service->taken[slot].id,
		.status = status,
		.used_ns = used_ns < USED_NS_MAX ? (uint32_t)used_ns : USED_NS_MAX,
		.data_bytes = data_bytes,
	};

	if (data_bytes <= SERVICE_INLINE_COMPLETION)
		memcpy(completion.data, service->response, data_bytes);
	else
		memcpy(service->completion_data +
			       (size_t)eq_ring_slot(&service->completions) * SERVICE_BUFFER_BYTES,
		       service->response, data_bytes);
	/* relaxed: record() orders it. */
	atomic_store_explicit(&page(rt)->requests[slot].completion,
			      service->completions.position, memory_order_relaxed);
	record(rt, position, ADJ_REQUEST_COMPLETING);
	eq_ring_put(&service->completions, &completion, sizeof(completion));
	record(rt, position, ADJ_REQUEST_DONE);
	service->done |= bit(slot);
}

/* After a burst: one interrupt for all of it (000, FIG. 11). */
static void tell(struct runtime *rt)
{
	if (eq_ring_must_wake_consumer(&rt->service.completions))
		rt->env.wake_partition(&rt->env, ADJ_RECEIVE);
}

/* Done with: the oldest slots that are go back to the partition. */
static void release(struct runtime *rt)
{
	struct service *service = &rt->service;
	uint32_t oldest = service->requests.released % SERVICE_SLOTS;
	uint64_t open = ~rotate_right(service->done, oldest);
	uint32_t count = open ? (uint32_t)__builtin_ctzll(open) : SERVICE_SLOTS;

	if (!count)
		return;
	for (uint32_t i = 0; i < count; i++)
		service->done &= ~bit((oldest + i) % SERVICE_SLOTS);
	eq_ring_release(&service->requests, count);
	if (eq_ring_must_wake_producer(&service->requests))
		rt->env.wake_partition(&rt->env, ADJ_SEND);
}

/* ---- Requests ------------------------------------------------------------------ */

/* 0, or -errno: it cannot be served as it is asked for. */
static int refused(const struct service_request *request)
{
	if (request->flags || request->priority >= SERVICE_PRIORITIES ||
	    request->data_bytes > SERVICE_BUFFER_BYTES)
		return -EINVAL;
	return 0;
}

/* Copies in what waits, once; from then on only the copies are looked at (T01). */
static void take(struct runtime *rt)
{
	struct service *service = &rt->service;
	uint64_t now_ns = 0;

	while (eq_ring_held(&service->requests) < SERVICE_SLOTS) {
		uint32_t position = service->requests.position, slot = position % SERVICE_SLOTS;
		struct service_request *request = &service->taken[slot];

		if (!eq_ring_take(&service->requests, request, sizeof(*request)))
			break;
		service->positions[slot] = position;
		/* Time is money only where it is somebody's; elsewhere a sample tells enough. */
		const bool timed = rt->charged || position % SAMPLED == 0;

		if (timed && !now_ns)
			now_ns = rt->env.now_ns();
		service->taken_ns[slot] = timed ? now_ns : 0;
		service->reached[slot] = service->recovered ? recorded(rt, position)
							    : ADJ_REQUEST_QUEUED;
		if (service->reached[slot] == ADJ_REQUEST_DONE) {
			service->done |= bit(slot);
			continue;
		}
		/* What cannot be served as asked is refused in its turn, the first. */
		unsigned priority = refused(request) ? SERVICE_PRIORITIES - 1 : request->priority;

		/* To cancel is no work. */
		if (request->opcode == SERVICE_CANCEL)
			priority = SERVICE_PRIORITIES - 1;
		service->queued[priority] |= bit(slot);
	}
}

/* The slot of the next request, taken off its queue: the oldest of the most urgent, but
 * for those that are not to be now. */
static int next(struct service *service, uint64_t later)
{
	uint32_t oldest = service->requests.released % SERVICE_SLOTS;

	for (int priority = SERVICE_PRIORITIES - 1; priority >= 0; priority--) {
		uint64_t queued = rotate_right(service->queued[priority] & ~later, oldest);

		if (!queued)
			continue;
		uint32_t slot = (oldest + (uint32_t)__builtin_ctzll(queued)) % SERVICE_SLOTS;

		service->queued[priority] &= ~bit(slot);
		return (int)slot;
	}
	return -1;
}

/*
 * The oldest of that id that has not begun is completed as cancelled; the request to do
 * so itself has no completion, as the other one always has. There is room for it.
 */
static void cancel(struct runtime *rt, uint32_t own_slot)
{
	struct service *service = &rt->service;
	uint32_t oldest = service->requests.released % SERVICE_SLOTS;

	for (uint32_t i = 0; i < SERVICE_SLOTS; i++) {
		uint32_t slot = (oldest + i) % SERVICE_SLOTS;
		unsigned priority = 0;

		while (priority < SERVICE_PRIORITIES && !(service->queued[priority] & bit(slot)))
			priority++;
		if (priority == SERVICE_PRIORITIES ||
		    service->taken[slot].id != service->taken[own_slot].id ||
		    service->taken[slot].opcode == SERVICE_CANCEL)
			continue;
		service->queued[priority] &= ~bit(slot);
		complete(rt, slot, -ECANCELED, 0, 0);
		count_costs(rt, slot, service->taken_ns[slot], 0);
		break;
	}
	record(rt, service->positions[own_slot], ADJ_REQUEST_DONE);
	service->done |= bit(own_slot);
}

static int perform(struct runtime *rt, const struct adj_request *request,
		   struct adj_response *response)
{
	switch (request->opcode) {
	case SERVICE_NOP:
		return 0;
	default:
		if (request->opcode < SERVICE_OPCODE_DRIVER || !rt->ops->request)
			return -EOPNOTSUPP;
		return rt->ops->request(rt->driver, request, response);
	}
}

/* An adjunct has died over it, and nobody knows what it had done for it. */
static bool is_lost(const struct runtime *rt, uint32_t slot)
{
	if (rt->service.reached[slot] == ADJ_REQUEST_QUEUED)
		return false;
	return !rt->ops->repeatable || !rt->ops->repeatable(rt->service.taken[slot].opcode);
}

/* False: not yet. It is queued again. */
static bool serve_request(struct runtime *rt, uint32_t slot)
{
	struct service *service = &rt->service;
	const struct service_request *taken = &service->taken[slot];
	struct adj_request request = {
		.opcode = taken->opcode,
		.priority = taken->priority,
		.data = taken->data,
		.data_bytes = taken->data_bytes,
	};
	struct adj_response response = {.data = service->response, .room = SERVICE_BUFFER_BYTES};
	int status = refused(taken);

	if (taken->opcode == SERVICE_CANCEL) {
		cancel(rt, slot);
		return true;
	}
	uint64_t begun_ns = service->taken_ns[slot] ? rt->env.now_ns() : 0, ended_ns = 0;

	if (!status && is_lost(rt, slot))
		status = -ECONNRESET;
	if (status) {
		complete(rt, slot, status, 0, 0);
		count_costs(rt, slot, begun_ns, 0);
		return true;
	}
	record(rt, service->positions[slot], ADJ_REQUEST_BEGUN);
	if (request.data_bytes > SERVICE_INLINE_REQUEST) {
		memcpy(service->request,
		       service->request_data + (size_t)slot * SERVICE_BUFFER_BYTES,
		       request.data_bytes);
		request.data = service->request;
	}
	status = perform(rt, &request, &response);
	if (status == -EINPROGRESS) {
		record(rt, service->positions[slot], ADJ_REQUEST_QUEUED);
		service->queued[request.priority] |= bit(slot);
		return false;
	}
	if (begun_ns)
		ended_ns = rt->env.now_ns();
	complete(rt, slot, status, rt->charged ? ended_ns - begun_ns : 0, response.data_bytes);
	count_costs(rt, slot, ended_ns, ended_ns - begun_ns);
	return true;
}

int service_dispatch(struct runtime *rt, unsigned budget)
{
	struct service *service = &rt->service;
	uint64_t begun_ns = 0, later = 0;
	unsigned served = 0;

	if (!service->open || service->shut)
		return 0;
	service->full = false;
	for (take(rt); served < budget; take(rt)) {
		int space = eq_ring_space(&service->completions, 1), slot;

		if (space < 0)
			shut(rt);
		service->full = space == 0;
		if (space <= 0 || (slot = next(service, later)) < 0)
			break;
		if (served == 1)
			begun_ns = rt->env.now_ns();
		if (!serve_request(rt, (uint32_t)slot)) {
			later |= bit((uint32_t)slot);
			continue;
		}
		/* The clock is of interest where there are several only. */
		if (served++ && rt->env.now_ns() - begun_ns > BURST_NS)
			break;
	}
	release(rt);
	if (served)
		tell(rt);
	return (int)served;
}

/* ---- Sleeping -------------------------------------------------------------------- */

int service_arm(struct runtime *rt, bool on)
{
	struct service *service = &rt->service;
	bool sleep = true;

	if (!service->open || service->shut)
		return 0;
	if (on)
		sleep = service->full ? eq_ring_arm_space(&service->completions)
				      : eq_ring_arm(&service->requests);
	if (on && sleep)
		return 0;
	eq_ring_disarm(&service->requests);
	eq_ring_disarm_space(&service->completions);
	return on ? 1 : 0;
}

unsigned service_depth(const struct runtime *rt)
{
	/* Only what does not change while it is open: the rest is the serving thread's. */
	struct eq_ring seen = {.control = rt->service.requests.control,
			       .entries = rt->service.requests.entries,
			       .mask = rt->service.requests.mask,
			       .stride = rt->service.requests.stride,
			       .spread = rt->service.requests.spread};

	if (!rt->service.open)
		return 0;
	/* relaxed: the serving thread goes on meanwhile; it is a look, no more. */
	seen.position = atomic_load_explicit(eq_ring_consumed(&seen), memory_order_relaxed);
	return eq_ring_ready_count(&seen, SERVICE_SLOTS);
}

/* ---- Opening ----------------------------------------------------------------------- */

int service_open(struct runtime *rt, bool recover)
{
	struct service *service = &rt->service;
	uint8_t *window = rt->env.port.window;
	struct net_layout layout;
	int result = net_layout_compute(rt->env.port.ring_entries, &layout);

	*service = (struct service){0};
	if (!result)
		result = eq_ring_open(&service->requests, window + layout.requests, SERVICE_SLOTS,
				      SERVICE_ENTRY_BYTES);
	if (!result)
		result = eq_ring_open(&service->completions, window + layout.completions,
				      SERVICE_SLOTS, SERVICE_ENTRY_BYTES);
	if (result)
		return result;
	service->request_data = window + layout.request_data;
	service->completion_data = window + layout.completion_data;
	service->open = true;
	service->recovered = recover;
	if (!recover)
		return 0;
	eq_ring_recover_consumer(&service->requests);
	eq_ring_recover_producer(&service->completions);
	service->first_completion = service->completions.position;
	/* It may have died before it rang. */
	runtime_ring_partition(rt);
	return 0;
}

void service_close(struct runtime *rt)
{
	rt->service.open = false;
}
