/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * org.outrigger.Shim on STATE/control.sock: the interface of operators. Only
 * root and the shim's own user get in. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../apply.h"
#include "clock.h"
#include "../events/events.h"
#include "log.h"
#include "../processes/cgroup.h"
#include "status.h"
#include "text/org.outrigger.Shim.varlink.h"

#define NOT_FOUND "org.outrigger.Shim.NotFound"

/* Of the callers below only those that change something ask for this. */
static bool is_busy(struct shim *shim, struct varlink_call *call)
{
	if (shim->apply)
		varlink_errorf(call, "org.outrigger.Shim.Busy",
			       "another change is under way; try again when it is done");
	return shim->apply != NULL;
}

static struct partition *want_partition(struct shim *shim, struct varlink_call *call,
					const char *name)
{
	struct partition *partition = partition_find(shim, name);

	if (!partition)
		varlink_errorf(call, NOT_FOUND, "there is no partition '%.40s'", name);
	return partition;
}

/* ---- Changes ------------------------------------------------------------------------- */

static void refuse_document(struct varlink_call *call, const char *file, const struct doc_error *why)
{
	varlink_error(call, "org.outrigger.Shim.InvalidDocument",
		      json_pack("{s:s,s:s,s:i}", "message", why->message, "file", file, "line",
				(int)why->line));
}

static void start_or_refuse(struct shim *shim, struct varlink_call *call, int result,
			    struct plan *plan, const struct plan_error *error, const char *file,
			    bool plain)
{
	if (result == -ENOMEM)
		varlink_errorf(call, "org.outrigger.Shim.Failed", "out of memory");
	else if (result && error->line)
		varlink_error(call, error->error,
			      json_pack("{s:s,s:s,s:i}", "message", error->message, "file", file, "line",
					(int)error->line));
	else if (result)
		varlink_errorf(call, error->error, "%s", error->message);
	else
		apply_start(shim, plan, call, plain);
}

static void handle_apply(struct varlink_call *call, json_t *parameters, void *context)
{
	struct shim *shim = context;
	const char *text, *file = "document";
	int dry_run = 0, prune = 0;
	struct document document;
	struct doc_error why;
	struct plan plan = {0};
	struct plan_error error = {0};

	if (!varlink_call_unpack(call, parameters, "{s:s,s?s,s?b,s?b}", "document", &text, "file",
				 &file, "dry_run", &dry_run, "prune", &prune) ||
	    (!dry_run && is_busy(shim, call)))
		return;
	int result = document_load(text, strlen(text), &document, &why);
	if (result == -ENOMEM) {
		varlink_errorf(call, "org.outrigger.Shim.Failed", "out of memory");
		return;
	}
	if (result) {
		refuse_document(call, file, &why);
		return;
	}
	result = plan_document(shim, &document, prune, &plan, &error);
	document_free(&document);
	if (result || !dry_run) {
		start_or_refuse(shim, call, result, &plan, &error, file, false);
		return;
	}
	/* Nothing will settle, so one answer says it all, with `more` too. */
	varlink_reply(call, json_pack("{s:o,s:i,s:i}", "plan", plan_to_json(&plan), "changed", 0,
				      "failed_count", 0));
	plan_free(&plan);
}

static void handle_down(struct varlink_call *call, json_t *parameters, void *context)
{
	struct shim *shim = context;
	struct plan plan = {0};
	struct plan_error error = {0};

	if (!varlink_call_unpack(call, parameters, "{}") || is_busy(shim, call))
		return;
	start_or_refuse(shim, call, plan_delete(shim, NULL, &plan), &plan, &error, "", false);
}

static void handle_create_partition(struct varlink_call *call, json_t *parameters, void *context)
{
	struct shim *shim = context;
	struct doc_partition partition;
	struct doc_error why;
	struct plan plan = {0};
	struct plan_error error = {0};
	json_t *object;

	if (!varlink_call_unpack(call, parameters, "{s:o}", "partition", &object) || is_busy(shim, call))
		return;
	if (!json_is_object(object)) {
		varlink_error_parameter(call, "partition");
		return;
	}
	int result = document_load_partition(object, &partition, &why);
	if (result) {
		refuse_document(call, "partition", &why);
		return;
	}
	if (partition_find(shim, partition.name)) {
		varlink_errorf(call, "org.outrigger.Shim.Exists", "partition '%s' is there already",
			       partition.name);
		doc_partition_free(&partition);
		return;
	}
	struct document document = {.partitions = &partition, .partition_count = 1};
	result = plan_document(shim, &document, false, &plan, &error);
	doc_partition_free(&partition);
	start_or_refuse(shim, call, result, &plan, &error, "partition", true);
}

static void handle_destroy_partition(struct varlink_call *call, json_t *parameters, void *context)
{
	struct shim *shim = context;
	const char *name;
	struct plan plan = {0};
	struct plan_error error = {0};

	if (!varlink_call_unpack(call, parameters, "{s:s}", "name", &name) || is_busy(shim, call) ||
	    !want_partition(shim, call, name))
		return;
	start_or_refuse(shim, call, plan_delete(shim, name, &plan), &plan, &error, "", true);
}

/* ---- Questions ------------------------------------------------------------------------ */

static void handle_get_status(struct varlink_call *call, json_t *parameters, void *context)
{
	struct shim *shim = context;

	if (!varlink_call_unpack(call, parameters, "{}"))
		return;
	json_t *answer = json_pack("{s:s,s:i,s:b,s:s,s:I,s:o,s:o,s:o}", "version", OTR_VERSION, "pid",
				   (int)getpid(), "rootless", shim->rootless, "state_dir",
				   shim->state_dir, "uptime_ns",
				   (json_int_t)(clock_now_ns() - shim->started_ns), "adapters",
				   status_adapters(shim), "partitions", status_partitions(shim),
				   "adjuncts", status_adjuncts(shim));

	if (cgroup_why_not())
		json_object_set_new(answer, "no_groups", json_string(cgroup_why_not()));
	varlink_reply(call, answer);
}

static void handle_list_partitions(struct varlink_call *call, json_t *parameters, void *context)
{
	if (varlink_call_unpack(call, parameters, "{}"))
		varlink_reply(call, json_pack("{s:o}", "partitions", status_partitions(context)));
}

static void handle_get_partition(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition *partition;
	const char *name;

	if (varlink_call_unpack(call, parameters, "{s:s}", "name", &name) &&
	    (partition = want_partition(context, call, name)))
		varlink_reply(call, json_pack("{s:o}", "partition", status_partition(partition)));
}

static void handle_list_adjuncts(struct varlink_call *call, json_t *parameters, void *context)
{
	if (varlink_call_unpack(call, parameters, "{}"))
		varlink_reply(call, json_pack("{s:o}", "adjuncts", status_adjuncts(context)));
}

/* "red.net0" to its device; answers and returns NULL when there is none. */
static struct device *want_adjunct(struct shim *shim, struct varlink_call *call, const char *name)
{
	for (struct partition *p = shim->partitions; p; p = p->next)
		for (struct device *d = p->devices; d; d = d->next) {
			char label[DEVICE_LABEL_BYTES];

			device_label(d, label);
			if (!strcmp(label, name) && !d->spec.adjunct.none &&
			    !doc_is_client(&d->spec))
				return d;
		}
	varlink_errorf(call, NOT_FOUND, "there is no adjunct '%.70s'", name);
	return NULL;
}

static void handle_get_adjunct(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct device *device;
	const char *name;

	if (varlink_call_unpack(call, parameters, "{s:s}", "name", &name) &&
	    (device = want_adjunct(context, call, name)))
		varlink_reply(call, json_pack("{s:o}", "adjunct", status_adjunct(device, true)));
}

static void handle_restart_adjunct(struct varlink_call *call, json_t *parameters, void *context)
{
	struct device *device;
	const char *name;

	if (varlink_call_unpack(call, parameters, "{s:s}", "name", &name) && !is_busy(context, call) &&
	    (device = want_adjunct(context, call, name)))
		device_restart_adjunct(device, call);
}

static void handle_list_devices(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition *partition = NULL;
	const char *name = NULL;

	if (!varlink_call_unpack(call, parameters, "{s?s}", "partition", &name) ||
	    (name && !(partition = want_partition(context, call, name))))
		return;
	varlink_reply(call, json_pack("{s:o}", "devices", status_devices(context, partition)));
}

static void handle_get_device(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition *partition;
	const char *name, *device_name;

	if (!varlink_call_unpack(call, parameters, "{s:s,s:s}", "partition", &name, "device",
				 &device_name) ||
	    !(partition = want_partition(context, call, name)))
		return;
	const struct device *device = device_find(partition, device_name);
	if (device)
		varlink_reply(call, json_pack("{s:o}", "device", status_device(device)));
	else
		varlink_errorf(call, NOT_FOUND, "partition %s has no device '%.40s'", name,
			       device_name);
}

static void handle_get_stats(struct varlink_call *call, json_t *parameters, void *context)
{
	stats_serve(context, call, parameters);
}

static void handle_get_events(struct varlink_call *call, json_t *parameters, void *context)
{
	if (varlink_call_unpack(call, parameters, "{}"))
		events_serve(context, call);
}

static void handle_get_log(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct shim *shim = context;

	log_buffer_serve(shim->log, call, parameters);
}

/* ---- A namespace, for exec ------------------------------------------------------------- */

struct namespace_job {
	struct varlink_call *call; /* NULL: the caller has left */
};

static void on_namespace_caller_gone(void *data)
{
	struct namespace_job *job = data;

	job->call = NULL;
}

static void on_namespaces(void *data, const char *problem, struct varlink_answer *answer)
{
	struct namespace_job *job = data;
	struct varlink_call *call = job->call;

	free(job);
	if (!call)
		return;
	if (problem)
		varlink_errorf(call, "org.outrigger.Shim.NoNamespace",
			       "no namespace to run in: %s", problem);
	else
		varlink_reply_fds(call, json_incref(answer->parameters), answer->fds,
				  answer->fd_count);
}

static void handle_open_namespace(struct varlink_call *call, json_t *parameters, void *context)
{
	struct partition *partition;
	const char *name;

	int join = 0;

	if (!varlink_call_unpack(call, parameters, "{s:s,s?b}", "name", &name, "join", &join) ||
	    !(partition = want_partition(context, call, name)))
		return;
	if (join)
		partition_join_peer(partition, varlink_call_conn(call));
	struct namespace_job *job =
		partition->state == STATE_RUNNING ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		varlink_errorf(call, "org.outrigger.Shim.Failed", "partition %s is %s", name,
			       object_state_name(partition->state));
		return;
	}
	job->call = call;
	varlink_call_on_cancel(call, on_namespace_caller_gone, job);
	peer_call(partition->keeper, "org.outrigger.Keeper.GetNamespaces", NULL, NULL, 0, SHIM_CALL_MS,
		  on_namespaces, job);
}

/* ---- The service ------------------------------------------------------------------------- */

static const struct varlink_method methods[] = {
	{"Apply", handle_apply},
	{"Down", handle_down},
	{"GetStatus", handle_get_status},
	{"ListPartitions", handle_list_partitions},
	{"GetPartition", handle_get_partition},
	{"CreatePartition", handle_create_partition},
	{"DestroyPartition", handle_destroy_partition},
	{"OpenNamespace", handle_open_namespace},
	{"ListAdjuncts", handle_list_adjuncts},
	{"GetAdjunct", handle_get_adjunct},
	{"RestartAdjunct", handle_restart_adjunct},
	{"ListDevices", handle_list_devices},
	{"GetDevice", handle_get_device},
	{"GetStats", handle_get_stats},
	{"GetEvents", handle_get_events},
	{"GetLog", handle_get_log, .needs_more = true},
	{NULL},
};
static const struct varlink_interface interface = {
	.name = "org.outrigger.Shim",
	.description = text_org_outrigger_Shim_varlink,
	.methods = methods,
};
static const struct varlink_interface *const interfaces[] = {&interface, NULL};
static struct varlink_service service = {
	.vendor = "The Outrigger authors",
	.product = "Outrigger",
	.version = OTR_VERSION,
	.url = "https://outrigger.example/",
	.interfaces = interfaces,
};

static bool allow_operator(void *data, uid_t uid)
{
	(void)data;
	return uid == 0 || uid == geteuid();
}

int control_listen(struct shim *shim)
{
	char path[SHIM_PATH_BYTES];
	int error = shim_path(shim, NULL, "control", ".sock", path);

	service.context = shim;
	return error ? error : server_new(shim, path, &service, allow_operator, shim, &shim->control);
}
