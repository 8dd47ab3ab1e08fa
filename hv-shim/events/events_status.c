/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * org.outrigger.Shim.GetEvents: depths and counters of every partition's event queues,
 * as of now, and what has happened to its devices. Rates are the client's business.
 * Event-loop thread.
 */
#include "clock.h"
#include "guest.h"

static json_t *queue_json(const struct guest *guest, const struct device_events *events)
{
	struct eq_guest_eq_view view;

	if (eq_guest_load_eq(guest->eq, events->adapter, events->eq, &view))
		return NULL;
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:b}", "device", events->device->spec.name, "entries",
			 (json_int_t)view.spec.capacity, "depth", (json_int_t)view.depth, "forwarded",
			 (json_int_t)view.forwarded, "overruns", (json_int_t)view.overruns, "held",
			 (json_int_t)view.held, "broken", view.broken);
}

static json_t *guest_json(const struct guest *guest)
{
	json_t *queues = json_array();

	for (uint32_t i = 0; i < guest->layout.queues; i++) {
		json_t *queue = guest->queue[i] ? queue_json(guest, guest->queue[i]) : NULL;

		if (queue)
			json_array_append_new(queues, queue);
	}
	return json_pack("{s:I,s:I,s:o}", "pid", (json_int_t)guest->pid, "interrupts",
			 (json_int_t)atomic_load_explicit(&guest->alert.alerts, memory_order_relaxed),
			 "queues", queues);
}

static json_t *partition_json(const struct partition *partition)
{
	struct eq_host_stats stats = {0};
	json_t *guests = json_array();

	if (partition->event_host)
		eq_host_stats(partition->event_host, &stats);
	for (const struct guest *guest = partition->guests; guest; guest = guest->next)
		json_array_append_new(guests, guest_json(guest));
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "partition", partition->name,
			 "forwarded", (json_int_t)stats.forwarded, "coalesced",
			 (json_int_t)stats.coalesced, "interrupts", (json_int_t)stats.alerts,
			 "device_events", (json_int_t)stats.type2, "held", (json_int_t)stats.held,
			 "stale", (json_int_t)stats.stale, "invalid", (json_int_t)stats.invalid,
			 "broken", (json_int_t)stats.broken, "guests", guests, "events",
			 history_json(partition));
}

void events_serve(struct shim *shim, struct varlink_call *call)
{
	json_t *list = json_array();

	for (const struct partition *partition = shim->partitions; partition; partition = partition->next)
		json_array_append_new(list, partition_json(partition));
	varlink_reply(call, json_pack("{s:I,s:o}", "time_ns", (json_int_t)clock_now_ns(), "partitions",
				      list));
}
