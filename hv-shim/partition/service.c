/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Services: requests to a device's adjunct, queued in the program's window, and their
 * completions (000, FIG. 10 and 11; service_layout.h). Runs on the thread that owns the
 * handle. What the adjunct wrote is copied once, then checked (THREATS.md T01).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "otr_internal.h"

#define QUANTUM_NS (1 * NS_PER_MS)

static_assert((int)OTR_NOP == (int)SERVICE_NOP && (int)OTR_ECHO == (int)SERVICE_ECHO &&
		      (int)OTR_SPIN == (int)SERVICE_SPIN,
	      "opcodes have one number");
static_assert(OTR_REQUEST_BYTES == SERVICE_BUFFER_BYTES && OTR_REQUESTS_MAX == SERVICE_SLOTS &&
		      OTR_PRIORITIES == SERVICE_PRIORITIES,
	      "what the header promises");

struct otr_service {
	struct otr_net *net; /* with which it comes and goes */
	struct eq_ring requests, completions;
	uint8_t *request_data, *completion_data;
	uint64_t quantum_ns;
	uint8_t data[SERVICE_BUFFER_BYTES]; /* of the completion taken last */
};

static int broken(struct otr_service *service, const char *what)
{
	service->net->error = -EPROTO;
	return otr_fail(-EPROTO, "device %s: the adjunct %s", service->net->device, what);
}

/* ---- Opening ----------------------------------------------------------------- */

int otr_service_open(struct otr *otr, const char *device, struct otr_service **out)
{
	struct otr_service *service = calloc(1, sizeof(*service));

	if (!service)
		return otr_fail(-ENOMEM, "out of memory");
	service->quantum_ns = QUANTUM_NS;
	int error = otr_net_open(otr, device, &service->net);

	if (!error) {
		const struct net_layout *layout = &service->net->layout;
		uint8_t *window = service->net->window;

		service->request_data = window + layout->request_data;
		service->completion_data = window + layout->completion_data;
		error = eq_ring_open(&service->requests, window + layout->requests, SERVICE_SLOTS,
				     SERVICE_ENTRY_BYTES);
		if (!error)
			error = eq_ring_open(&service->completions, window + layout->completions,
					     SERVICE_SLOTS, SERVICE_ENTRY_BYTES);
	}
	if (error) {
		otr_service_close(service);
		return error;
	}
	*out = service;
	return 0;
}

void otr_service_close(struct otr_service *service)
{
	if (!service)
		return;
	otr_net_close(service->net);
	free(service);
}

struct otr_net *otr_service_net(struct otr_service *service)
{
	return service->net;
}

int otr_service_is_donated(const struct otr_service *service)
{
	return service->net->donated;
}

void otr_service_set_quantum(struct otr_service *service, uint64_t quantum_ns)
{
	service->quantum_ns = quantum_ns;
}

/* ---- Requests ------------------------------------------------------------------ */

int otr_yield(struct otr_service *service, uint64_t quantum_ns, uint64_t *used_ns)
{
	struct otr_net *net = service->net;

	if (used_ns)
		*used_ns = 0;
	if (net->error)
		return otr_broken(net);
	if (quantum_ns > OTR_QUANTUM_MAX_NS)
		return otr_fail(-EINVAL, "a quantum is %llu s at most",
				(unsigned long long)(OTR_QUANTUM_MAX_NS / NS_PER_S));
	if (net->donated)
		return otr_yield_net(net, quantum_ns, used_ns);
	if (eq_ring_must_wake_consumer(&service->requests))
		otr_ring_adjunct(net);
	return 0;
}

/* Puts it in the next slot: 1, or 0: there is none. */
static int queue(struct otr_service *service, const struct otr_request *asked, uint16_t opcode)
{
	struct service_request request = {
		.id = asked->id,
		.opcode = opcode,
		.priority = asked->priority,
		.data_bytes = asked->data_bytes,
	};
	int space = service->net->error ? otr_broken(service->net)
					: eq_ring_space(&service->requests, 1);

	if (space == -EPROTO && !service->net->error)
		return broken(service, "took requests that were never made");
	if (space <= 0)
		return space;
	if (asked->data_bytes <= SERVICE_INLINE_REQUEST) {
		if (asked->data_bytes)
			memcpy(request.data, asked->data, asked->data_bytes);
	} else {
		memcpy(service->request_data +
			       (size_t)eq_ring_slot(&service->requests) * SERVICE_BUFFER_BYTES,
		       asked->data, asked->data_bytes);
	}
	eq_ring_put(&service->requests, &request, sizeof(request));
	return 1;
}

int otr_submit(struct otr_service *service, const struct otr_request *request)
{
	if (request->data_bytes > SERVICE_BUFFER_BYTES)
		return otr_fail(-EMSGSIZE, "a request of %u bytes is larger than %u",
				request->data_bytes, SERVICE_BUFFER_BYTES);
	if (request->priority >= SERVICE_PRIORITIES || request->opcode == SERVICE_CANCEL)
		return otr_fail(-EINVAL, "no such priority or opcode");
	int result = queue(service, request, request->opcode);

	if (result <= 0 || !request->invoke)
		return result;
	int yielded = otr_yield(service, service->quantum_ns, NULL);

	return yielded < 0 ? yielded : 1;
}

int otr_cancel(struct otr_service *service, uint32_t id)
{
	return queue(service, &(struct otr_request){.id = id}, SERVICE_CANCEL);
}

/* ---- Completions ----------------------------------------------------------------- */

int otr_poll(struct otr_service *service, struct otr_completion *out)
{
	struct eq_ring *ring = &service->completions;
	uint32_t slot = ring->position & ring->mask;
	struct service_completion completion; /* our copy */

	if (!eq_ring_take(ring, &completion, sizeof(completion)))
		return service->net->error ? otr_broken(service->net) : 0;
	if (completion.data_bytes > SERVICE_BUFFER_BYTES || completion.status > 0)
		return broken(service, "completed a request with a wrong length or status");
	if (completion.data_bytes <= SERVICE_INLINE_COMPLETION)
		memcpy(service->data, completion.data, completion.data_bytes);
	else
		memcpy(service->data, service->completion_data + (size_t)slot * SERVICE_BUFFER_BYTES,
		       completion.data_bytes);
	eq_ring_release(ring, 1);
	if (eq_ring_must_wake_producer(ring) && !service->net->donated)
		otr_ring_adjunct(service->net);
	*out = (struct otr_completion){
		.id = completion.id,
		.status = completion.status,
		.used_ns = completion.used_ns,
		.data = service->data,
		.data_bytes = completion.data_bytes,
	};
	return 1;
}

int otr_service_busy(const struct otr_service *service)
{
	const struct otr_net *net = service->net;

	if (!net->donated)
		return 0;
	return (net->yields_busy ? OTR_QUANTUM_OVER : 0) |
	       (atomic_load_explicit(&net->cell->pending, memory_order_relaxed) ? OTR_INTERRUPTED
										: 0);
}

/* ---- Waiting ---------------------------------------------------------------------- */

static int ready_now(struct otr_service *service, unsigned what)
{
	int ready = 0;

	if (service->net->error)
		return otr_broken(service->net);
	if ((what & OTR_COMPLETION) && eq_ring_ready(&service->completions))
		ready |= OTR_COMPLETION;
	if ((what & OTR_PA_BUSY) && otr_service_busy(service))
		ready |= OTR_PA_BUSY;
	if ((what & OTR_EVENT) && service->net->event_count)
		ready |= OTR_EVENT;
	return ready;
}

static int poll_for_a_while(struct otr_service *service, unsigned what, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns(), until_ns = now_ns + service->net->polling_max_ns;
	int ready = 0;

	if (until_ns > deadline_ns || until_ns < now_ns)
		until_ns = deadline_ns;
	while (!(ready = ready_now(service, what)) && clock_now_ns() < until_ns)
		otr_pause();
	return ready;
}

/* Armed first, then looked at once more: an adjunct that completes something rings. */
static int sleep_on_bell(struct otr_service *service, unsigned what, uint64_t deadline_ns)
{
	int ready, error = 0;

	if (what & OTR_COMPLETION)
		eq_ring_arm(&service->completions);
	ready = ready_now(service, what);
	if (!ready)
		error = otr_sleep(service->net, deadline_ns);
	eq_ring_disarm(&service->completions);
	if (ready)
		return ready;
	int gone = otr_net_disarm(service->net, 0); /* quiets the bell, takes events */

	ready = gone < 0 ? gone : ready_now(service, what);
	return ready ? ready : error;
}

int otr_wait(struct otr_service *service, unsigned what, uint64_t deadline_ns)
{
	/* Who does not want to hear that the adjunct wants time gives it. */
	bool lend = service->net->donated && !(what & OTR_PA_BUSY);
	int ready = ready_now(service, what);

	while (!ready) {
		int yielded = lend || !service->net->donated
				      ? otr_yield(service, service->quantum_ns, NULL)
				      : 0;

		if (yielded < 0 && yielded != -ETIMEDOUT)
			return yielded;
		ready = ready_now(service, what);
		if (!ready && !service->net->donated)
			ready = poll_for_a_while(service, what, deadline_ns);
		if (!ready && !(lend && yielded > 0))
			ready = sleep_on_bell(service, what, deadline_ns);
		if (!ready && deadline_ns != OTR_FOREVER && clock_now_ns() >= deadline_ns)
			return 0;
	}
	return ready;
}
