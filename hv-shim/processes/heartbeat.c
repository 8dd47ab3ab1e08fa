/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds processes that hang instead of dying: each is asked something small now
 * and then, and one that has not answered by the deadline is ended, which is
 * then taken for any other death. An adjunct that works answers between two
 * bursts, and is easily replaced: one chance. An adapter or a keeper takes more
 * with it, and its answers may be held up by something else that was asked: it
 * has two, the second on a new connection (peer.h). Event-loop thread.
 */
#include <errno.h>

#include "../events/events.h"
#include "log.h"
#include "../shim.h"

/* A hang of an adjunct is noticed within the sum of the two; of one whose partition has
 * less than a processor, as much later. */
#define HEARTBEAT_PERIOD_MS 2000
#define HEARTBEAT_DEADLINE_MS 2000
#define MISSED_MAX 2

static void on_adjunct(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	device->heartbeat_pending = false;
	json_t *busy_ns = problem ? NULL : json_object_get(answer->parameters, "busy_ns");

	device->busy_since_ns =
		busy_ns ? clock_now_ns() - (uint64_t)json_integer_value(busy_ns) : 0;
	if (!problem && device->adjunct)
		usage_take(&device->usage, peer_identity(device->adjunct).pid,
			   json_object_get(answer->parameters, "costs"));
	if (!problem || device->state != STATE_RUNNING || !device->adjunct)
		return;
	/* The end of one that has died is on its way to us. */
	if (peer_has_ended(device->adjunct))
		return;
	log_warning("device %s/%s: its adjunct %s, and is ended", device->partition->name,
		    device->spec.name, problem);
	peer_kill(device->adjunct);
}

/* So much of the partition's own time, which may come in small parts. */
static uint64_t of_its_share(const struct partition *partition, uint64_t time)
{
	const uint64_t whole_milli = 1000, share = (uint64_t)partition->cpus_milli;

	return share && share < whole_milli ? time * whole_milli / share : time;
}

void device_overdue(struct device *device, uint64_t waited_ns)
{
	/* Its program has waited for a second at least. */
	if (waited_ns < of_its_share(device->partition, NS_PER_S))
		return;
	if (device->state != STATE_RUNNING || !device->adjunct ||
	    device->spec.adjunct.cpu != DOC_CPU_DONATED ||
	    clock_now_ns() - device->running_since_ns < waited_ns ||
	    peer_has_ended(device->adjunct))
		return;
	log_warning("device %s/%s: its adjunct kept the processor it was lent for %llu ms, and is "
		    "ended", device->partition->name, device->spec.name,
		    (unsigned long long)(waited_ns / NS_PER_MS));
	peer_kill(device->adjunct);
}

static void count_missed(const char *what, const char *name, struct peer *peer, unsigned *missed,
			 const char *problem)
{
	if (!problem) {
		*missed = 0;
		return;
	}
	if (!peer || peer_has_ended(peer))
		return;
	bool ended = ++*missed >= MISSED_MAX;

	log_warning("%s %s: its process %s%s", what, name, problem,
		    ended ? " again, and is ended" : "");
	if (ended)
		peer_kill(peer);
}

static void on_adapter(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	(void)answer;
	adapter->heartbeat_pending = false;
	count_missed("adapter", adapter->spec.name, adapter->peer, &adapter->heartbeats_missed,
		     problem);
}

static void on_keeper(void *data, const char *problem, struct varlink_answer *answer)
{
	struct partition *partition = data;

	(void)answer;
	partition->heartbeat_pending = false;
	count_missed("partition", partition->name, partition->keeper,
		     &partition->heartbeats_missed, problem);
}

static void ask(struct peer *peer, bool *pending, const char *method, uint64_t deadline_ms,
		peer_answer_fn callback, void *data)
{
	if (*pending || !peer)
		return;
	*pending = true;
	peer_call(peer, method, NULL, NULL, 0, deadline_ms, callback, data);
}

/* What events need, and could not be had for want of memory or descriptors, is tried again. */
static void watch_again(struct shim *shim)
{
	for (struct adapter *a = shim->adapters; a; a = a->next)
		if (a->unwatched && a->state == STATE_RUNNING && a->peer)
			adapter_watch(a);
	for (struct partition *p = shim->partitions; p; p = p->next)
		for (struct device *d = p->devices; d; d = d->next) {
			if (d->state != STATE_RUNNING || (!d->adjunct && !doc_is_client(&d->spec)))
				continue;
			if (d->unwatched && d->adjunct)
				device_watch(d);
			if (!d->events)
				events_device_running(d);
		}
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *data)
{
	struct shim *shim = data;

	(void)usec;
	watch_again(shim);
	for (struct adapter *a = shim->adapters; a; a = a->next)
		if (a->state == STATE_RUNNING)
			ask(a->peer, &a->heartbeat_pending, "org.outrigger.Adapter.GetInfo",
			    SHIM_CALL_MS, on_adapter, a);
	for (struct partition *p = shim->partitions; p; p = p->next) {
		if (p->state == STATE_RUNNING)
			ask(p->keeper, &p->heartbeat_pending, "org.outrigger.Keeper.List",
			    of_its_share(p, SHIM_CALL_MS), on_keeper, p);
		for (struct device *d = p->devices; d; d = d->next) {
			/* One that init will collect must have been looked at before. */
			if (d->adjunct)
				peer_cpu_ns(d->adjunct);
			if (d->state == STATE_RUNNING)
				ask(d->adjunct, &d->heartbeat_pending,
				    "org.outrigger.Adjunct.GetStatus",
				    of_its_share(p, HEARTBEAT_DEADLINE_MS),
				    on_adjunct, d);
		}
	}
	int error = sd_event_source_set_time_relative(source, HEARTBEAT_PERIOD_MS * 1000);
	return error < 0 ? error : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int heartbeat_start(struct shim *shim)
{
	int error = sd_event_add_time_relative(shim->event, NULL, CLOCK_MONOTONIC,
					       HEARTBEAT_PERIOD_MS * 1000, 100 * 1000, on_heartbeat,
					       shim);

	return error < 0 ? error : 0;
}
