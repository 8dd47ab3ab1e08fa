/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adjunct as the adapter of seed 004: posts completions of the native port and
 * asynchronous events of the device to the event queues in the adapter storage that
 * the shim attached (event-queues/eq_adapter.h). Until one is attached, and for ports
 * that no guest has taken, the partition is rung directly. Serving thread; of an adjunct
 * without a processor of its own the dispatch thread posts completions, and the control
 * thread everything else, also while the first is in the middle of it.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eq_host.h"
#include "runtime.h"

static const enum eq_event events_by_kind[] = {
	[ADJ_EVENT_LINK_DOWN] = EQ_LINK_DOWN,
	[ADJ_EVENT_LINK_UP] = EQ_LINK_UP,
	[ADJ_EVENT_DEVICE_RESET] = EQ_DEVICE_RESET,
	[ADJ_EVENT_DEVICE_FAILED] = EQ_DEVICE_FAILED,
	[ADJ_EVENT_PARTITION_PROTOCOL] = EQ_PROTOCOL_ERROR,
};

static void ring(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: its counter is full, so it has been rung enough. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

/* What both threads post to: one at a time, and not preempted by the quantum's end, which
 * would keep the other one out until the next dispatch. */
static pthread_mutex_t posting = PTHREAD_MUTEX_INITIALIZER;

static void post_begin(const struct runtime *rt)
{
	if (!rt->donated)
		return;
	donated_shield();
	pthread_mutex_lock(&posting);
}

/* FIG. 5 and 6, and the alert if the forwarder sleeps. */
static void post_end(struct runtime *rt)
{
	bool alert = eq_adapter_signal(&rt->events.adapter, rt->env.now_ns());

	if (rt->donated) {
		pthread_mutex_unlock(&posting);
		donated_unshield();
	}
	if (alert)
		ring(rt->events.alert_fd);
}

static void post_type2(struct runtime *rt, enum eq_event event)
{
	if (!rt->events.storage)
		return;
	post_begin(rt);
	eq_adapter_event(&rt->events.adapter, EQ_RESOURCE_ADAPTER, EQ_HOST_EQ_TYPE2, event);
	post_end(rt);
}

void events_post(struct runtime *rt, enum adj_event event)
{
	post_type2(rt, events_by_kind[event]);
}

void events_busy(struct runtime *rt)
{
	post_type2(rt, EQ_PA_BUSY);
}

bool events_has_guest(const struct runtime *rt)
{
	return rt->events.storage && rt->events.cq[ADJ_RECEIVE] != EQ_NONE;
}

bool events_complete(struct runtime *rt, enum adj_direction direction)
{
	uint32_t cq = rt->events.storage ? rt->events.cq[direction] : EQ_NONE;

	if (cq == EQ_NONE)
		return false;
	post_begin(rt);
	eq_adapter_complete(&rt->events.adapter, cq);
	post_end(rt);
	return true;
}

bool events_tick(struct runtime *rt)
{
	if (!rt->events.storage || eq_adapter_next_tick(&rt->events.adapter) == UINT64_MAX)
		return false;
	if (eq_adapter_tick(&rt->events.adapter, rt->env.now_ns()))
		ring(rt->events.alert_fd);
	return eq_adapter_next_tick(&rt->events.adapter) != UINT64_MAX;
}

/* ---- Attaching --------------------------------------------------------- */

void events_detach(struct runtime *rt)
{
	if (!rt->events.storage)
		return;
	eq_adapter_close(&rt->events.adapter);
	munmap(rt->events.storage, rt->events.bytes);
	close(rt->events.alert_fd);
	rt->events.storage = NULL;
}

/* The storage and the forwarder's doorbell. 0 or -errno, logged. */
static int storage_open(struct runtime *rt, int storage_fd, int alert_fd, size_t bytes)
{
	struct eq_storage storage;
	int result = descriptor_check_memory(&rt->env, "adapter storage", storage_fd, bytes);

	if (!result)
		result = descriptor_check_eventfd(&rt->env, "forwarder's doorbell", alert_fd);
	if (result)
		return result;
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, storage_fd, 0);
	if (mapped == MAP_FAILED)
		result = -errno;
	else if (!(result = eq_storage_open(mapped, bytes, &storage)))
		result = eq_adapter_open(&rt->events.adapter, &storage);
	if (result) {
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot use the adapter storage: %s",
			    strerror(-result));
		if (mapped != MAP_FAILED)
			munmap(mapped, bytes);
		return result;
	}
	rt->events.storage = mapped;
	rt->events.bytes = bytes;
	rt->events.alert_fd = alert_fd;
	return 0;
}

/* An index, or EQ_NONE where the member is absent. False: it is no index. */
static bool index_get(json_t *parameters, const char *key, uint32_t *out)
{
	json_t *value = json_object_get(parameters, key);

	*out = EQ_NONE;
	if (!value || json_is_null(value))
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) >= EQ_ADAPTER_CQS_MAX)
		return false;
	*out = (uint32_t)json_integer_value(value);
	return true;
}

/*
 * Who waited by the old way looks again by both: what came while the way was changed
 * may have been told to nobody.
 */
static void wake_everybody(struct runtime *rt)
{
	if (rt->env.port.bell_partition_fd >= 0)
		ring(rt->env.port.bell_partition_fd);
	for (unsigned direction = 0; direction < ADJ_DIRECTIONS; direction++)
		events_complete(rt, direction);
	if (donated_asking_ns(rt))
		events_busy(rt);
}

void events_attach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = clients_named(context, call, parameters);
	json_int_t bytes = json_integer_value(json_object_get(parameters, "storage_bytes"));
	uint32_t cq[ADJ_DIRECTIONS];

	if (!rt)
		return;
	if (rt->state != RUNTIME_SERVING) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s does not serve now",
			       rt->env.name);
		return;
	}
	if (bytes <= 0) {
		varlink_error_parameter(call, "storage_bytes");
		return;
	}
	if (!index_get(parameters, "send_cq", &cq[ADJ_SEND]) ||
	    !index_get(parameters, "receive_cq", &cq[ADJ_RECEIVE])) {
		varlink_error_parameter(call, "send_cq, receive_cq");
		return;
	}
	if (varlink_call_fd_count(call) != 2) {
		varlink_error_parameter(call, "descriptors");
		return;
	}
	if (donated_hold(rt)) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s: %s", rt->env.name,
			       rt->last_error);
		return;
	}
	events_detach(rt);
	int storage_fd = varlink_call_take_fd(call, 0), alert_fd = varlink_call_take_fd(call, 1);
	int result = storage_open(rt, storage_fd, alert_fd, (size_t)bytes);

	close(storage_fd); /* the mapping keeps the memory */
	if (result) {
		close(alert_fd);
		varlink_errorf(call, "org.outrigger.Adjunct.DriverFailed", "%s: %s", rt->env.name,
			       rt->last_error);
		return;
	}
	memcpy(rt->events.cq, cq, sizeof(cq));
	wake_everybody(rt);
	varlink_reply(call, NULL);
}
