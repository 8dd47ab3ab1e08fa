/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim may ask of the adapter (org.outrigger.Adapter.varlink): each
 * handler checks the parameters, calls adapter.c, and answers at once. Data
 * thread, lock held.
 */
#include "methods.h"

#include <errno.h>
#include <string.h>

#include "dataplane.h"
#include "vhost_port.h"
#include "text/org.outrigger.Adapter.varlink.h"

#define INTERFACE "org.outrigger.Adapter"
#define ERROR_NO_SUCH_VF INTERFACE ".NoSuchVf"
#define ERROR_REFUSED INTERFACE ".Refused"
#define ERROR_WRONG_STATE INTERFACE ".WrongState"

/* ---- Parameters: answer the error themselves --------------------------- */

static bool is_started(struct adapter *adapter, struct varlink_call *call)
{
	if (!adapter->name[0])
		varlink_errorf(call, ERROR_WRONG_STATE, "the adapter has not been started");
	return adapter->name[0];
}

static struct vf *vf_get(struct adapter *adapter, struct varlink_call *call, json_t *parameters)
{
	json_t *index = json_object_get(parameters, "index");

	if (!is_started(adapter, call))
		return NULL;
	if (!json_is_integer(index)) {
		varlink_error_parameter(call, "index");
		return NULL;
	}
	if (json_integer_value(index) < 0 ||
	    json_integer_value(index) >= (json_int_t)adapter->vfs_count) {
		varlink_errorf(call, ERROR_NO_SUCH_VF, "%s has functions 0 to %u, not %lld",
			       adapter->name, adapter->vfs_count - 1,
			       (long long)json_integer_value(index));
		return NULL;
	}
	return &adapter->vfs[json_integer_value(index)];
}

/* A string of 1 to `most` bytes, in which no NUL can be (varlink.c); NULL: none. */
static const char *text_get(json_t *parameters, const char *name, size_t most)
{
	json_t *value = json_object_get(parameters, name);
	const char *text = json_string_value(value);

	if (!text || !*text || json_string_length(value) > most)
		return NULL;
	return text;
}

static json_t *vf_json(const struct adapter *adapter, const struct vf *vf)
{
	return json_pack("{s:i, s:s, s:b, s:s, s:o, s:o, s:I}", "index", (int)vf->index, "path",
			 vf->port.path, "connected", vf->port.vid >= 0, "link",
			 adapter->table.ports[vf->index].link ? "up" : "down", "settings",
			 vf_settings_json(&vf->settings), "counters",
			 vf_counters_json(&vf->counters), "resets", (json_int_t)vf->resets);
}

/* ---- Methods ----------------------------------------------------------- */

static void handle_start(struct varlink_call *call, json_t *parameters, void *context)
{
	struct adapter *adapter = context;
	const char *name = text_get(parameters, "name", ADAPTER_NAME_BYTES - 1);
	const char *directory = text_get(parameters, "directory", 4096);
	json_t *vfs = json_object_get(parameters, "vfs");
	char message[VF_MESSAGE_BYTES];

	if (adapter->name[0]) {
		varlink_errorf(call, ERROR_WRONG_STATE, "%s has been started already",
			       adapter->name);
		return;
	}
	if (!name || !directory || !json_is_integer(vfs) || json_integer_value(vfs) < 1 ||
	    json_integer_value(vfs) > VF_MAX) {
		varlink_error_parameter(call, !name ? "name" : !directory ? "directory" : "vfs");
		return;
	}
	if (adapter_start(adapter, name, directory, (unsigned)json_integer_value(vfs), message))
		varlink_errorf(call, ERROR_REFUSED, "%s", message);
	else
		varlink_reply(call, NULL);
}

static void handle_get_info(struct varlink_call *call, json_t *parameters, void *context)
{
	struct adapter *adapter = context;

	(void)parameters;
	if (!is_started(adapter, call))
		return;
	/* The firmware of this adapter is this program. */
	varlink_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s}", "name", adapter->name,
				      "model", ADAPTER_MODEL, "firmware_version", OTR_VERSION,
				      "serial", adapter->serial, "vfs", (int)adapter->vfs_count,
				      "vfs_max", VF_MAX, "link", adapter->link ? "up" : "down"));
}

static void handle_list_vfs(struct varlink_call *call, json_t *parameters, void *context)
{
	struct adapter *adapter = context;
	json_t *list;

	(void)parameters;
	if (!is_started(adapter, call))
		return;
	list = json_array();
	for (unsigned i = 0; i < adapter->vfs_count; i++)
		json_array_append_new(list, vf_json(adapter, &adapter->vfs[i]));
	varlink_reply(call, json_pack("{s:o}", "vfs", list));
}

static void handle_get_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf *vf = vf_get(context, call, parameters);

	if (vf)
		varlink_reply(call, json_pack("{s:o}", "vf", vf_json(context, vf)));
}

static void handle_configure_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf *vf = vf_get(context, call, parameters);
	json_t *json = json_object_get(parameters, "settings");
	const char *parameter = "settings";
	char message[VF_MESSAGE_BYTES];
	struct vf_settings settings;

	if (!vf)
		return;
	settings = vf->settings;
	if (!json_is_object(json) || vf_settings_merge(&settings, json, &parameter)) {
		varlink_error_parameter(call, parameter);
		return;
	}
	if (vf_settings_check(&settings, message)) {
		varlink_errorf(call, ERROR_REFUSED, "function %u: %s", vf->index, message);
		return;
	}
	adapter_configure(context, vf->index, &settings);
	varlink_reply(call, json_pack("{s:I}", "taken", (json_int_t)vhost_port_taken(vf)));
}

static void on_reset_cancel(void *data)
{
	((struct vf *)data)->reset_call = NULL;
}

bool methods_answer_resets(struct adapter *adapter)
{
	bool answered = false;

	for (unsigned i = 0; i < adapter->vfs_count; i++) {
		struct varlink_call *call = adapter->vfs[i].reset_call;

		if (!call || !vhost_port_is_free(&adapter->vfs[i]))
			continue;
		adapter->vfs[i].reset_call = NULL;
		varlink_reply(call, NULL);
		answered = true;
	}
	return answered;
}

/* Answered once the driver's connection has gone: until then it may still be
 * setting the function up, and `taken` is not its last word. */
static void handle_reset_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf *vf = vf_get(context, call, parameters);

	if (!vf)
		return;
	if (vf->reset_call) {
		varlink_errorf(call, ERROR_WRONG_STATE, "function %u is being reset", vf->index);
		return;
	}
	dataplane_drain(context, vf);
	adapter_reset(context, vf->index);
	if (vhost_port_is_free(vf)) {
		varlink_reply(call, NULL);
		return;
	}
	vf->reset_call = call;
	varlink_call_on_cancel(call, on_reset_cancel, vf);
}

static void handle_set_link(struct varlink_call *call, json_t *parameters, void *context)
{
	const char *state = text_get(parameters, "state", 4);

	if (!is_started(context, call))
		return;
	if (!state || (strcmp(state, "up") && strcmp(state, "down"))) {
		varlink_error_parameter(call, "state");
		return;
	}
	adapter_set_link(context, !strcmp(state, "up"));
	varlink_reply(call, NULL);
}

static void handle_set_fault(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf *vf = vf_get(context, call, parameters);
	const char *name = text_get(parameters, "fault", 32);
	json_t *value = json_object_get(parameters, "value");
	enum fault fault = name ? fault_parse(name) : FAULTS;

	if (!vf)
		return;
	if (fault == FAULTS) {
		varlink_error_parameter(call, "fault");
		return;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > fault_most(fault)) {
		varlink_error_parameter(call, "value");
		return;
	}
	adapter_set_fault(context, vf->index, fault, (uint64_t)json_integer_value(value));
	varlink_reply(call, NULL);
}

static void handle_clear_faults(struct varlink_call *call, json_t *parameters, void *context)
{
	struct adapter *adapter = context;

	(void)parameters;
	if (!is_started(adapter, call))
		return;
	for (unsigned i = 0; i < adapter->vfs_count; i++)
		for (unsigned fault = 0; fault < FAULTS; fault++)
			adapter_set_fault(adapter, i, (enum fault)fault, 0);
	varlink_reply(call, NULL);
}

static void handle_monitor(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)parameters;
	if (!varlink_call_wants_more(call)) {
		varlink_error(call, "org.varlink.service.ExpectedMore", NULL);
		return;
	}
	control_monitor(context, call);
}

static void handle_stop(struct varlink_call *call, json_t *parameters, void *context)
{
	struct adapter *adapter = context;

	(void)parameters;
	adapter->stopping = true;
	varlink_reply(call, NULL);
}

static const struct varlink_interface interface = {
	.name = INTERFACE,
	.description = text_org_outrigger_Adapter_varlink,
	.methods =
		(const struct varlink_method[]){
			{.name = "Start", .handle = handle_start},
			{.name = "GetInfo", .handle = handle_get_info},
			{.name = "ListVfs", .handle = handle_list_vfs},
			{.name = "GetVf", .handle = handle_get_vf},
			{.name = "ConfigureVf", .handle = handle_configure_vf},
			{.name = "ResetVf", .handle = handle_reset_vf},
			{.name = "SetLink", .handle = handle_set_link},
			{.name = "SetFault", .handle = handle_set_fault},
			{.name = "ClearFaults", .handle = handle_clear_faults},
			{.name = "Monitor", .handle = handle_monitor},
			{.name = "Stop", .handle = handle_stop},
			{0},
		},
};

const struct varlink_service *methods_service(struct adapter *adapter)
{
	static const struct varlink_interface *const interfaces[] = {&interface, NULL};
	static struct varlink_service service = {
		.vendor = "Outrigger",
		.product = ADAPTER_MODEL,
		.version = OTR_VERSION,
		.url = "",
		.interfaces = interfaces,
	};

	service.context = adapter;
	return &service;
}
