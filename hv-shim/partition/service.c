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

/* For slots of completed requests to come back, at most. */
#define SLOTS_BACK_NS (1 * NS_PER_S)

static_assert((int)OTR_NOP == (int)SERVICE_NOP && (int)OTR_ECHO == (int)SERVICE_ECHO &&
		      (int)OTR_SPIN == (int)SERVICE_SPIN,
	      "opcodes have one number");
static_assert((int)OTR_NET_TRANSMIT == (int)SERVICE_NET_TRANSMIT &&
		      (int)OTR_NET_STATISTICS == (int)SERVICE_NET_STATISTICS &&
		      sizeof(struct otr_net_link) == sizeof(struct service_net_link) &&
		      sizeof(struct otr_net_statistics) == sizeof(struct service_net_statistics),
	      "of net devices, too");
static_assert(OTR_REQUEST_BYTES == SERVICE_BUFFER_BYTES && OTR_REQUESTS_MAX == SERVICE_SLOTS &&
		      OTR_PRIORITIES == SERVICE_PRIORITIES,
	      "what the header promises");

struct otr_service {
	struct otr_net *net; /* with which it comes and goes */
	uint8_t *request_data, *completion_data;
	uint8_t data[SERVICE_BUFFER_BYTES]; /* of the completion taken last */
};

/* ---- Opening ----------------------------------------------------------------- */

int otr_service_open(struct otr *otr, const char *device, struct otr_service **out)
{
	struct otr_service *service = calloc(1, sizeof(*service));

	if (!service)
		return otr_fail(-ENOMEM, "out of memory");
	int error = otr_net_open(otr, device, &service->net);

	if (error) {
		free(service);
		return error;
	}
	uint8_t *window = service->net->window;

	service->request_data = window + service->net->layout.request_data;
	service->completion_data = window + service->net->layout.completion_data;
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
	return otr_is_donated(service->net);
}

void otr_service_set_quantum(struct otr_service *service, uint64_t quantum_ns)
{
	service->net->quantum_ns = quantum_ns;
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
	return otr_call_adjunct(net, quantum_ns, used_ns);
}

/*
 * All slots are in use though all requests are completed: the adjunct is about to give
 * them back, and nothing that is waited for would tell. The room there is then.
 */
static int room_to_come(struct otr_net *net)
{
	uint64_t deadline_ns = clock_now_ns() + SLOTS_BACK_NS;
	int space = 0;

	while (!space && net->requests.position - net->cancels == net->completions.position &&
	       clock_now_ns() < deadline_ns) {
		int called = otr_call_adjunct(net, net->quantum_ns, NULL);

		if (called < 0)
			return called;
		space = eq_ring_space(&net->requests, 1);
	}
	return space;
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
	struct otr_net *net = service->net;
	struct eq_ring *ring = &net->requests;
	int space = net->error ? otr_broken(net) : eq_ring_space(ring, 1);

	if (space == 0)
		space = room_to_come(net);
	if (space == -EPROTO && !net->error)
		return otr_break(net, "took requests that were never made");
	if (space <= 0)
		return space;
	if (asked->data_bytes > SERVICE_INLINE_REQUEST)
		memcpy(service->request_data + (size_t)eq_ring_slot(ring) * SERVICE_BUFFER_BYTES,
		       asked->data, asked->data_bytes);
	else if (asked->data_bytes)
		memcpy(request.data, asked->data, asked->data_bytes);
	eq_ring_put(ring, &request, sizeof(request));
	otr_owe(net);
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
	int yielded = otr_yield(service, service->net->quantum_ns, NULL);

	return yielded < 0 ? yielded : 1;
}

int otr_cancel(struct otr_service *service, uint32_t id)
{
	int queued = queue(service, &(struct otr_request){.id = id}, SERVICE_CANCEL);

	service->net->cancels += queued == 1;
	return queued;
}

/* ---- Completions ----------------------------------------------------------------- */

int otr_poll(struct otr_service *service, struct otr_completion *out)
{
	struct otr_net *net = service->net;
	struct eq_ring *ring = &net->completions;
	uint32_t slot = ring->position & ring->mask;
	struct service_completion completion; /* our copy */

	if (!eq_ring_take(ring, &completion, sizeof(completion)))
		return net->error ? otr_broken(net) : 0;
	if (completion.data_bytes > SERVICE_BUFFER_BYTES || completion.status > 0)
		return otr_break(net, "completed a request with a wrong length or status");
	if (completion.data_bytes <= SERVICE_INLINE_COMPLETION)
		memcpy(service->data, completion.data, completion.data_bytes);
	else
		memcpy(service->data, service->completion_data + (size_t)slot * SERVICE_BUFFER_BYTES,
		       completion.data_bytes);
	eq_ring_release(ring, 1);
	if (eq_ring_must_wake_producer(ring))
		otr_tell_adjunct(net, true);
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
	return otr_busy(service->net);
}

int otr_wait(struct otr_service *service, unsigned what, uint64_t deadline_ns)
{
	return otr_net_wait(service->net, what, deadline_ns);
}
