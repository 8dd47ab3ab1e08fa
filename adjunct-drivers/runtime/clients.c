/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients of a global adjunct (000, FIG. 4B, 8 and 9): partitions that attach to an
 * adjunct of another one's, each with a virtual device of its own. A client has whatever
 * it could harm for itself: window, doorbells, service rings, in-flight record, event
 * queue, its part of the driver's state. For these, it is a runtime like the process' own,
 * and all that serves the one serves the other. Methods and dispatch: the serving thread.
 *
 * Nobody waits longer for a neighbour than the neighbour is entitled to: deficit round
 * robin, in time. In each round an end may work for QUANTUM_NS; what it takes above that,
 * as nothing is preempted here, it has less in the rounds that follow, which cost nearly
 * nothing if nobody else wants anything. What was used is counted for each: it is the
 * client's, as with an adjunct of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "start_request.h"

#define QUANTUM_NS ((int64_t)(20 * NS_PER_US))
/* Between two looks at the clock: about as long as a quantum, of small frames. */
#define TURN_FRAMES 32
#define TURN_REQUESTS 4

/* ---- Whose turn it is ------------------------------------------------------------- */

/* Works for the end until it has no more, or no more time. Frames and requests. */
static int take_turn(struct runtime *rt, uint64_t *now_ns)
{
	int moved = 0, result;

	do {
		uint64_t begun_ns = *now_ns;

		result = serve_dispatch(rt, TURN_FRAMES, TURN_REQUESTS);
		*now_ns = clock_now_ns();
		rt->credit_ns -= (int64_t)(*now_ns - begun_ns);
		if (result > 0) {
			rt->used_ns += *now_ns - begun_ns;
			moved += result;
		}
	} while (result > 0 && rt->credit_ns > 0);
	return result < 0 ? result : moved;
}

int clients_dispatch(struct runtime *rt)
{
	uint64_t now_ns = clock_now_ns();
	bool owing = false;
	int moved = 0;

	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, i);

		end->credit_ns += QUANTUM_NS;
		if (end->credit_ns > QUANTUM_NS)
			end->credit_ns = QUANTUM_NS;
		if (end->credit_ns <= 0) {
			owing = true;
			continue;
		}
		int result = take_turn(end, &now_ns);

		if (result < 0)
			return result;
		moved += result;
	}
	/* Who has to wait for its next turn may have something to do. */
	return moved ? moved : owing;
}

/* ---- Coming and going ---------------------------------------------------------------- */

static struct runtime **client_find(struct runtime *rt, const char *name)
{
	for (unsigned i = 0; i < rt->client_count; i++)
		if (!strcmp(rt->clients[i]->name, name))
			return &rt->clients[i];
	return NULL;
}

struct runtime *clients_named(struct runtime *rt, struct varlink_call *call, json_t *parameters)
{
	json_t *value = json_object_get(parameters, "client");
	const char *name = json_string_value(value);

	if (!value || json_is_null(value))
		return rt;
	struct runtime **client = name ? client_find(rt, name) : NULL;
	if (!client)
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s has no client '%.64s'",
			       rt->env.name, name ? name : "");
	return client ? *client : NULL;
}

/* What is left of it; it may be half made. */
static void client_free(struct runtime *client)
{
	events_detach(client);
	if (client->driver)
		client->ops->exit(client->driver);
	service_close(client);
	runtime_unwatch_all(client);
	runtime_port_close(client);
	free(client);
}

static void client_remove(struct runtime *rt, struct runtime **at)
{
	struct runtime *client = *at;

	*at = rt->clients[--rt->client_count];
	client_free(client);
}

void clients_close(struct runtime *rt)
{
	while (rt->client_count)
		client_remove(rt, &rt->clients[rt->client_count - 1]);
}

/* Of everything else it has what its adjunct has. */
static struct runtime *client_new(struct runtime *rt, const struct start_request *request)
{
	struct runtime *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->ops = rt->ops;
	runtime_env_init(client);
	client->global = rt;
	client->state = RUNTIME_SERVING;
	client->charged = true;
	client->epoll_all = rt->epoll_all;
	snprintf(client->name, sizeof(client->name), "%s", request->name);
	client->env.name = client->name;
	client->env.device = rt->device;
	client->env.memory = rt->env.memory;
	client->env.memory_bytes = rt->env.memory_bytes;
	client->env.shared = true;
	client->env.port = request->port;
	return client;
}

/* With a window, a program of it was there before us. 0 or -errno, logged. */
static int client_open(struct runtime *client, struct varlink_call *call)
{
	struct runtime *rt = client->global;
	bool window = client->env.port.ring_entries != 0;
	int result = window ? runtime_window_open(client, call, 0, PAGES_LATER) : 0;

	if (!result)
		result = rt->ops->client(rt->driver, &client->env, &client->driver);
	if (!result && window)
		result = runtime_service_attach(client, true);
	return result;
}

void client_attach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	struct start_request request;
	const char *wrong = request_parse_client(parameters, &request);

	if (!wrong && varlink_call_fd_count(call) != request.fds)
		wrong = "descriptors";
	if (wrong) {
		varlink_error_parameter(call, wrong);
		return;
	}
	if (rt->state != RUNTIME_SERVING || !rt->ops->client || rt->donated ||
	    rt->env.port.kind != ADJ_PORT_NATIVE) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s serves nobody else",
			       rt->env.name);
		return;
	}
	/* What it had is behind the window that comes along, or of no use. */
	struct runtime **old = client_find(rt, request.name);
	if (old)
		client_remove(rt, old);
	if (rt->client_count == ADJ_CLIENTS_MAX) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s has %d clients already",
			       rt->env.name, ADJ_CLIENTS_MAX);
		return;
	}
	struct runtime *client = client_new(rt, &request);
	int result = client ? client_open(client, call) : -ENOMEM;

	if (result) {
		runtime_answer_failed(client ? client : rt, call, result);
		if (client)
			client_free(client);
		return;
	}
	rt->clients[rt->client_count++] = client;
	rt->charged = rt->env.shared = true;
	varlink_reply(call, NULL);
}

void client_detach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	const char *name;

	if (!varlink_call_unpack(call, parameters, "{s:s}", "name", &name))
		return;
	struct runtime **client = client_find(rt, name);

	if (client)
		client_remove(rt, client);
	varlink_reply(call, NULL); /* it has none of that name now */
}

json_t *clients_to_json(struct runtime *rt)
{
	json_t *list = json_array();

	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, i);

		json_array_append_new(list, json_pack("{s:s,s:o,s:I,s:I}", "name", end->name,
						      "counters", counters_to_json(end), "used_ns",
						      (json_int_t)end->used_ns, "requests",
						      (json_int_t)atomic_load(&end->costs.completed)));
	}
	return list;
}
