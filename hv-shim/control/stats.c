/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * org.outrigger.Shim.GetStats: asks every adjunct and adapter concerned, at
 * once, and answers when all have answered or a second has passed. Answers are
 * kept with the objects, so that several clients share one round of questions.
 * Event-loop thread.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "../shim.h"

#define ROUND_MS 1000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 60000

struct stats_job {
	struct stats_job *next;
	struct shim *shim;
	struct varlink_call *call;
	char partition[DOC_NAME_BYTES], device[DOC_NAME_BYTES]; /* empty: all */
	uint64_t interval_ms; /* 0: once */
	bool asking;
	uint64_t asked_ns;
	sd_event_source *timer;
};

static bool in_scope(const struct stats_job *job, const struct device *device)
{
	return (!*job->partition || !strcmp(job->partition, device->partition->name)) &&
	       (!*job->device || !strcmp(job->device, device->spec.name));
}

static void job_free(struct stats_job *job)
{
	struct stats_job **at = &job->shim->stats_jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	sd_event_source_disable_unref(job->timer);
	free(job);
}

static json_t *vf_counters(const struct device *device)
{
	json_t *vf = json_array_get(device->adapter->vf_list, (size_t)device->spec.vf.index);
	json_t *counters = json_object_get(vf, "counters");

	return counters ? json_incref(counters) : json_object();
}

/* The booleans among the counters become 0 and 1: they are a map of integers. */
static json_t *as_integers(const json_t *counters)
{
	json_t *out = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)counters, key, value)
		json_object_set_new(out, key,
				    json_integer(json_is_boolean(value) ? json_is_true(value)
									: json_integer_value(value)));
	return out;
}

static json_t *device_answer(const struct device *d)
{
	json_t *answer = json_pack("{s:s,s:s,s:I,s:o,s:o}", "partition", d->partition->name, "device",
				   d->spec.name, "time_ns", (json_int_t)clock_now_ns(), "counters",
				   as_integers(d->counters), "vf", vf_counters(d));

	if (!d->spec.adjunct.none && !doc_is_client(&d->spec))
		json_object_set_new(answer, "usage", usage_of_device(d));
	return answer;
}

static json_t *job_answer(const struct stats_job *job)
{
	json_t *list = json_array(), *partitions = json_array();

	for (const struct partition *p = job->shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next)
			if (in_scope(job, d))
				json_array_append_new(list, device_answer(d));
	for (const struct partition *p = job->shim->partitions; p; p = p->next)
		if (!*job->partition || !strcmp(job->partition, p->name))
			json_array_append_new(partitions, usage_of_partition(p));
	return json_pack("{s:I,s:o,s:o}", "time_ns", (json_int_t)clock_now_ns(), "stats", list,
			 "partitions", partitions);
}

static bool still_asking(const struct stats_job *job)
{
	for (const struct partition *p = job->shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next)
			if (in_scope(job, d) &&
			    (d->adapter->stats_pending ||
			     (device_server(d) && device_server(d)->stats_pending)))
				return true;
	return false;
}

static void job_finish_round(struct stats_job *job)
{
	job->asking = false;
	if (!job->interval_ms) {
		struct varlink_call *call = job->call;
		json_t *answer = job_answer(job);

		job_free(job);
		varlink_reply(call, answer);
		return;
	}
	varlink_reply_more(job->call, job_answer(job));
	sd_event_source_set_time(job->timer,
				 (job->asked_ns + job->interval_ms * NS_PER_MS) / NS_PER_US);
	sd_event_source_set_enabled(job->timer, SD_EVENT_ONESHOT);
}

static void check_jobs(struct shim *shim)
{
	for (struct stats_job *job = shim->stats_jobs, *next; job; job = next) {
		next = job->next;
		if (job->asking && !still_asking(job))
			job_finish_round(job);
	}
}

/* Of a global adjunct: to whom each of its clients is, and how long it worked for them. */
static void take_clients(struct device *device, json_t *clients)
{
	char label[DEVICE_LABEL_BYTES];
	json_t *client;
	size_t i;

	json_array_foreach(clients, i, client) {
		const char *name = json_string_value(json_object_get(client, "name"));
		json_t *counters = json_object_get(client, "counters");

		if (!name || !json_is_object(counters))
			continue;
		json_object_set(counters, "used_ns", json_object_get(client, "used_ns"));
		json_object_set(counters, "requests", json_object_get(client, "requests"));
		for (struct partition *p = device->partition->shim->partitions; p; p = p->next)
			for (struct device *d = p->devices; d; d = d->next) {
				device_label(d, label);
				if (strcmp(label, name) || device_server(d) != device)
					continue;
				json_decref(d->counters);
				d->counters = json_incref(counters);
			}
	}
}

static void on_counters(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	device->stats_pending = false;
	json_t *counters = problem ? NULL : json_object_get(answer->parameters, "counters");
	if (json_is_object(counters) && device->adjunct) {
		json_decref(device->counters);
		device->counters = json_incref(counters);
		usage_take(&device->usage, peer_identity(device->adjunct).pid,
			   json_object_get(answer->parameters, "costs"));
		device->first_frame_ns = (uint64_t)json_integer_value(
			json_object_get(answer->parameters, "first_frame_ns"));
		take_clients(device, json_object_get(answer->parameters, "clients"));
	}
	check_jobs(device->partition->shim);
}

static void on_vfs(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	adapter->stats_pending = false;
	json_t *list = problem ? NULL : json_object_get(answer->parameters, "vfs");
	if (json_is_array(list)) {
		json_decref(adapter->vf_list);
		adapter->vf_list = json_incref(list);
	}
	check_jobs(adapter->shim);
}

static void ask_adapter(struct adapter *adapter)
{
	if (!adapter->peer || adapter->stats_pending)
		return;
	adapter->stats_pending = true;
	peer_call(adapter->peer,
		  adapter->spec.kind == DOC_ADAPTER_SRIOV ? "org.outrigger.Adapter.GetCounters"
							  : "org.outrigger.Adapter.ListVfs",
		  NULL, NULL, 0, SHIM_CALL_MS, on_vfs, adapter);
}

static void ask_device(struct device *device)
{
	struct device *server = device_server(device);

	if (device->state != STATE_RUNNING)
		return;
	if (server && server->adjunct && !server->stats_pending) {
		server->stats_pending = true;
		peer_call(server->adjunct, "org.outrigger.Adjunct.GetStatus", NULL, NULL, 0,
			  SHIM_CALL_MS, on_counters, server);
	}
	ask_adapter(device->adapter);
}

static void job_ask(struct stats_job *job)
{
	job->asking = true;
	job->asked_ns = clock_now_ns();
	sd_event_source_set_time(job->timer, job->asked_ns / NS_PER_US + ROUND_MS * 1000);
	sd_event_source_set_enabled(job->timer, SD_EVENT_ONESHOT);
	for (struct partition *p = job->shim->partitions; p; p = p->next)
		for (struct device *d = p->devices; d; d = d->next)
			if (in_scope(job, d))
				ask_device(d);
	if (!still_asking(job))
		job_finish_round(job);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct stats_job *job = data;

	(void)source;
	(void)usec;
	if (job->asking)
		job_finish_round(job); /* somebody is slow; what is known is told */
	else
		job_ask(job);
	return 0;
}

static void on_caller_gone(void *data)
{
	job_free(data);
}

void stats_serve(struct shim *shim, struct varlink_call *call, json_t *parameters)
{
	const char *partition = NULL, *device = NULL;
	json_int_t interval_ms = 0;

	if (!varlink_call_unpack(call, parameters, "{s?s,s?s,s?I}", "partition", &partition, "device",
				 &device, "interval_ms", &interval_ms))
		return;
	if (interval_ms &&
	    (interval_ms < INTERVAL_MIN_MS || interval_ms > INTERVAL_MAX_MS ||
	     !varlink_call_wants_more(call))) {
		varlink_error_parameter(call, "interval_ms");
		return;
	}
	struct partition *found = partition ? partition_find(shim, partition) : NULL;
	if ((partition && !found) || (found && device && !device_find(found, device))) {
		varlink_errorf(call, "org.outrigger.Shim.NotFound", "there is no %s '%s%s%s'",
			       found ? "device" : "partition", partition, found ? "/" : "",
			       found ? device : "");
		return;
	}
	struct stats_job *job = calloc(1, sizeof(*job));
	if (!job || sd_event_add_time_relative(shim->event, &job->timer, CLOCK_MONOTONIC, 0, 1000,
					       on_timer, job) < 0) {
		free(job);
		varlink_errorf(call, "org.outrigger.Shim.Failed", "out of memory");
		return;
	}
	job->shim = shim;
	job->call = call;
	job->interval_ms = (uint64_t)interval_ms;
	if (partition)
		strcpy(job->partition, found->name);
	if (device && strlen(device) < DOC_NAME_BYTES)
		strcpy(job->device, device);
	job->next = shim->stats_jobs;
	shim->stats_jobs = job;
	varlink_call_on_cancel(call, on_caller_gone, job);
	job_ask(job);
}
