/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out a plan: starts every change at once, lets each object find its
 * own way (devices wait for their adapter and partition), and tells the caller
 * as they settle. The work goes on if the caller leaves. Event-loop thread.
 */
#include "apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

struct apply {
	struct shim *shim;
	struct plan plan;
	struct varlink_call *call; /* NULL: the caller has left */
	bool plain, more;
	size_t unsettled, failed;
	char first_problem[SHIM_MESSAGE_BYTES];
	sd_event_source *finish;
};

void apply_free(struct apply *apply)
{
	if (!apply)
		return;
	sd_event_source_disable_unref(apply->finish);
	plan_free(&apply->plan);
	free(apply);
}

static void on_caller_gone(void *data)
{
	struct apply *apply = data;

	apply->call = NULL;
	log_info("the client that asked for %zu changes has left; they go on", apply->plan.count);
}

static void answer(struct apply *apply)
{
	struct varlink_call *call = apply->call;

	if (!call)
		return;
	if (apply->shim->save_problem[0])
		varlink_errorf(call, "org.outrigger.Shim.Failed",
			       "the changes were made, but the state could not be saved (%s); a "
			       "restart of outriggerd would lose them", apply->shim->save_problem);
	else if (apply->plain && apply->failed)
		varlink_errorf(call, "org.outrigger.Shim.Failed", "%s", apply->first_problem);
	else if (apply->plain)
		varlink_reply(call, NULL);
	else
		varlink_reply(call, json_pack("{s:I,s:I}", "changed",
					      (json_int_t)(apply->plan.count - apply->failed),
					      "failed_count", (json_int_t)apply->failed));
}

/* From the loop, so that no object's function is below us on the stack. */
static int on_finish(sd_event_source *source, void *data)
{
	struct apply *apply = data;

	(void)source;
	state_save(apply->shim);
	answer(apply);
	log_info("applied: %zu changes, %zu failed", apply->plan.count, apply->failed);
	apply->shim->apply = NULL;
	apply_free(apply);
	return 0;
}

static void finish_if_settled(struct apply *apply)
{
	if (apply->unsettled || apply->finish)
		return;
	if (sd_event_add_defer(apply->shim->event, &apply->finish, on_finish, apply) < 0)
		memory_end(); /* nobody could be told any more */
}

void change_settle(struct change **slot, const char *problem)
{
	struct change *change = *slot;

	*slot = NULL;
	if (!change || change->settled)
		return;
	struct apply *apply = change->apply;

	change->settled = true;
	apply->unsettled--;
	if (problem && !apply->failed++)
		snprintf(apply->first_problem, sizeof(apply->first_problem), "%s: %.300s",
			 change->name, problem);
	if (apply->call && apply->more) {
		json_t *parameters = json_pack("{s:o,s:b}", "change", change_to_json(change),
					       "failed", problem != NULL);
		if (problem)
			json_object_set_new(parameters, "message", json_string(problem));
		varlink_reply_more(apply->call, parameters);
	}
	finish_if_settled(apply);
}

/* ---- One change --------------------------------------------------------------------- */

static void settle_now(struct change *change, const char *problem)
{
	struct change *slot = change;

	change_settle(&slot, problem);
}

static void change_adapter(struct shim *shim, struct change *change)
{
	struct adapter *adapter = adapter_find(shim, change->name);

	switch (change->action) {
	case CHANGE_CREATE:
		adapter = adapter_new(shim, &change->adapter);
		if (!adapter) {
			settle_now(change, "out of memory");
			return;
		}
		adapter->change = change;
		adapter_start(adapter);
		return;
	case CHANGE_DELETE:
		adapter->change = change;
		adapter->deleting = true;
		adapter_stop(adapter);
		return;
	default:
		adapter->change = change;
		if (adapter->state == STATE_FAILED) {
			/* Its process is gone; its failed devices wait in this plan. */
			adapter->spec = change->adapter;
			adapter_start(adapter);
			return;
		}
		adapter->next_spec = change->adapter;
		adapter->restarting = true;
		adapter_stop(adapter);
	}
}

static void change_partition(struct shim *shim, struct change *change)
{
	struct partition *partition = partition_find(shim, change->name);

	if (change->action == CHANGE_CREATE)
		partition = partition_new(shim, change->name, change->owner);
	if (!partition) {
		settle_now(change, "out of memory");
		return;
	}
	partition->change = change;
	if (change->action == CHANGE_DELETE) {
		partition->deleting = true;
		partition_stop(partition);
		return;
	}
	if (change->action == CHANGE_UPDATE) {
		int error = partition_set_owner(partition, change->owner);

		partition_set_limits(partition, change->memory_bytes, change->cpus_milli);
		state_changed(shim);
		change_settle(&partition->change, error ? strerror(-error) : NULL);
		return;
	}
	snprintf(partition->owner, sizeof(partition->owner), "%s", change->owner);
	partition->memory_bytes = change->memory_bytes;
	partition->cpus_milli = change->cpus_milli;
	region_list_set(partition, change->regions, change->region_count);
	partition_start(partition);
}

static void change_device(struct shim *shim, struct change *change)
{
	struct partition *partition = partition_find(shim, change->partition);
	struct adapter *adapter = adapter_find(shim, change->device.vf.adapter);
	struct device *device = device_find(partition, change->device.name);

	if (change->action == CHANGE_CREATE) {
		device = device_new(partition, adapter, &change->device);
		if (!device) {
			settle_now(change, "out of memory");
			return;
		}
		device->change = change;
		device_start(device);
		return;
	}
	device->change = change;
	if (change->action == CHANGE_DELETE)
		device_stop(device);
	else if (change->action == CHANGE_REPLACE)
		device_restart(device, &change->device);
	else if (device->state == STATE_RUNNING && device->spec.adjunct.cpu != change->device.adjunct.cpu)
		device_change_cpu(device, &change->device);
	else if (device->state == STATE_RUNNING)
		device_update_vf(device, &change->device.vf);
	/* else it settles when the device comes to rest */
}

void apply_start(struct shim *shim, struct plan *plan, struct varlink_call *call, bool plain)
{
	struct apply *apply = calloc(1, sizeof(*apply));

	if (!apply) {
		varlink_errorf(call, "org.outrigger.Shim.Failed", "out of memory");
		plan_free(plan);
		return;
	}
	*apply = (struct apply){.shim = shim,
				.plan = *plan,
				.call = call,
				.plain = plain,
				.more = !plain && varlink_call_wants_more(call),
				.unsettled = plan->count};
	*plan = (struct plan){0};
	shim->apply = apply;
	varlink_call_on_cancel(call, on_caller_gone, apply);
	if (apply->more)
		varlink_reply_more(call, json_pack("{s:o}", "plan", plan_to_json(&apply->plan)));
	for (size_t i = 0; i < apply->plan.count; i++) {
		struct change *change = &apply->plan.changes[i];

		change->apply = apply;
		if (change->object == OBJECT_ADAPTER)
			change_adapter(shim, change);
		else if (change->object == OBJECT_PARTITION)
			change_partition(shim, change);
		else
			change_device(shim, change);
	}
	finish_if_settled(apply);
}
