/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim may ask of a real adapter (org.outrigger.Adapter.varlink): each handler
 * checks the parameters, calls card.c, and answers. It answers when the work is done,
 * which for a driver that comes up may be seconds. Called by varlink_server_process().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter.h"
#include "unix_socket.h"
#include "text/org.outrigger.Adapter.varlink.h"

#define INTERFACE "org.outrigger.Adapter"
#define ERROR_NO_SUCH_VF INTERFACE ".NoSuchVf"
#define ERROR_REFUSED INTERFACE ".Refused"
#define ERROR_WRONG_STATE INTERFACE ".WrongState"

/* A step of the kernel's may take so long to show; most take a few milliseconds. */
#define WAIT_NS (UINT64_C(10) * 1000000000)

/* ---- Parameters: answer the error themselves ---------------------------------- */

/* A string without NULs in it, of 1 to `most` bytes; NULL: none. */
static const char *text_get(const json_t *object, const char *name, size_t most)
{
	json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);

	if (!text || !*text || json_string_length(value) > most ||
	    strlen(text) != json_string_length(value))
		return NULL;
	return text;
}

/* Which VF; -1 after answering. */
static int index_get(struct vf_adapter *adapter, struct varlink_call *call,
		     const json_t *parameters)
{
	json_t *value = json_object_get(parameters, "index");
	json_int_t index = json_integer_value(value);

	if (!*adapter->name)
		varlink_errorf(call, ERROR_WRONG_STATE, "the adapter has not been started");
	else if (!json_is_integer(value))
		varlink_error_parameter(call, "index");
	else if (index < 0 || index >= (json_int_t)adapter->wish.vf_count)
		varlink_errorf(call, ERROR_NO_SUCH_VF, "%s has functions 0 to %u, not %lld",
			       adapter->name, adapter->wish.vf_count - 1, (long long)index);
	else
		return (int)index;
	return -1;
}

/* Words as in the document; what is left out is not touched. False after answering. */
static bool settings_get(struct varlink_call *call, const json_t *parameters,
			 struct vf_settings *out)
{
	json_t *settings = json_object_get(parameters, "settings"), *promisc;

	promisc = json_object_get(settings, "promisc");
	if (!json_is_object(settings) || vf_settings_from_json(settings, out)) {
		varlink_error_parameter(call, "settings");
		return false;
	}
	if (json_is_true(promisc)) {
		varlink_errorf(call, ERROR_REFUSED, "promisc: on a real adapter that is its "
			       "driver's to ask for; trust: yes allows it");
		return false;
	}
	return true;
}

static void answer(struct vf_adapter *adapter, struct varlink_call *call, int error)
{
	if (error)
		varlink_errorf(call, ERROR_REFUSED, "%s",
			       *adapter->host.reason ? adapter->host.reason : strerror(-error));
	else
		varlink_reply(call, NULL);
}

/* ---- Methods ------------------------------------------------------------------- */

static void start(struct vf_adapter *adapter, const char *name, const char *directory,
		  const struct vf_pf_wish *wish)
{
	struct vf_host *host = &adapter->host;

	snprintf(adapter->name, sizeof(adapter->name), "%s", name);
	snprintf(adapter->token, sizeof(adapter->token), "outrigger:%s", name);
	host->kernel = &vf_kernel_running;
	host->owner = adapter->token;
	host->wait_ns = WAIT_NS;
	snprintf(host->state, sizeof(host->state), "%s", directory);
	adapter->wish = *wish;
	adapter->wish.vfs = adapter->vf_wishes;
	for (unsigned v = 0; v < wish->vf_count; v++)
		adapter->vf_wishes[v] = (struct vf_wish){.msix = -1};
}

/* A second Start brings the card about again: it was away. */
static void handle_start(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;
	const char *name = text_get(parameters, "name", ADAPTER_NAME_BYTES - 1);
	const char *directory = text_get(parameters, "directory", PATH_MAX - 64);
	const char *device = text_get(parameters, "device", 64);
	json_t *vfs = json_object_get(parameters, "vfs");
	json_t *any_link = json_object_get(parameters, "any_link");
	struct vf_pf_wish wish = {.keep_new = true, .any_link = json_is_true(any_link)};

	wish.vf_count = (unsigned)json_integer_value(vfs);
	if (!name || !directory || !json_is_integer(vfs) || json_integer_value(vfs) < 1 ||
	    json_integer_value(vfs) > ADAPTER_VFS_MAX || !device || vf_pf_parse(device, &wish)) {
		varlink_error_parameter(call, !name	   ? "name"
					      : !directory ? "directory"
					      : !device	   ? "device"
							   : "vfs");
		return;
	}
	if (*adapter->name && strcmp(adapter->name, name)) {
		varlink_errorf(call, ERROR_WRONG_STATE, "%s has been started already",
			       adapter->name);
		return;
	}
	start(adapter, name, directory, &wish);
	int error = card_bring(adapter);
	if (!error)
		watch_forget_told(adapter);
	answer(adapter, call, error);
}

static json_t *functions_json(const struct vf_adapter *adapter)
{
	json_t *list = json_array();

	for (unsigned v = 0; v < adapter->wish.vf_count; v++) {
		char address[VF_ADDRESS_BYTES];

		vf_address_format(&adapter->vfs[v].address, address);
		json_array_append_new(list, json_pack("{s:s, s:i}", "address", address, "group",
						      adapter->vfs[v].group));
	}
	return list;
}

static void handle_get_info(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;

	(void)parameters;
	if (!*adapter->pf) {
		varlink_errorf(call, ERROR_WRONG_STATE, "the adapter has not been started");
		return;
	}
	varlink_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:o}", "name",
				      adapter->name, "model",
				      *adapter->product ? adapter->product : adapter->pf,
				      "firmware_version", adapter->firmware, "serial",
				      adapter->serial, "vfs", (int)adapter->wish.vf_count,
				      "vfs_max", (int)adapter->total_vfs, "link",
				      adapter->told_down ? "down" : "up", "functions",
				      functions_json(adapter)));
}

static json_t *counters_json(const struct vf_counters *counted, uint64_t faults)
{
	json_t *counters = json_pack("{s:I}", "dma_faults", (json_int_t)faults);

	if (counted)
		json_object_update_new(
			counters,
			json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "tx_frames",
				  (json_int_t)counted->tx_frames, "tx_bytes",
				  (json_int_t)counted->tx_bytes, "rx_frames",
				  (json_int_t)counted->rx_frames, "rx_bytes",
				  (json_int_t)counted->rx_bytes, "rx_broadcast",
				  (json_int_t)counted->rx_broadcast, "rx_multicast",
				  (json_int_t)counted->rx_multicast, "rx_dropped",
				  (json_int_t)counted->rx_dropped, "tx_dropped",
				  (json_int_t)counted->tx_dropped));
	return counters;
}

static void handle_get_counters(struct varlink_call *call, json_t *parameters, void *context)
{
	static struct vf_counters counted[ADAPTER_VFS_MAX];
	struct vf_adapter *adapter = context;
	bool counts = *adapter->pf && card_count(adapter, counted);
	json_t *list = json_array();

	(void)parameters;
	for (unsigned v = 0; *adapter->pf && v < adapter->wish.vf_count; v++)
		json_array_append_new(
			list, json_pack("{s:o}", "counters",
					counters_json(counts ? &counted[v] : NULL,
						      adapter->vfs[v].faults.count)));
	varlink_reply(call, json_pack("{s:o}", "vfs", list));
}

static void handle_take_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;
	struct vf_taking taking = {.netns_fd = -1};
	const char *use = text_get(parameters, "use", 16);
	json_t *uid = json_object_get(parameters, "uid");
	int index = index_get(adapter, call, parameters), word = 0;

	if (index < 0 || !settings_get(call, parameters, &taking.settings))
		return;
	while (vf_use_names[word] && (!use || strcmp(vf_use_names[word], use)))
		word++;
	taking.use = (enum vf_use)word;
	taking.ifname = text_get(parameters, "ifname", VF_IFNAME_BYTES - 1);
	taking.uid = (uid_t)json_integer_value(uid);
	if (!vf_use_names[word]) {
		varlink_error_parameter(call, "use");
		return;
	}
	if (taking.use == VF_USE_NETDEV &&
	    (!taking.ifname || varlink_call_fd_count(call) != 1)) {
		varlink_error_parameter(call, "ifname");
		return;
	}
	if (taking.use == VF_USE_VFIO && (!json_is_integer(uid) || json_integer_value(uid) < 0)) {
		varlink_error_parameter(call, "uid");
		return;
	}
	taking.netns_fd = varlink_call_take_fd(call, 0);
	int error = card_take(adapter, (unsigned)index, &taking);
	fd_close(&taking.netns_fd);
	answer(adapter, call, error);
}

static void handle_configure_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;
	struct vf_settings settings;
	int index = index_get(adapter, call, parameters);

	if (index >= 0 && settings_get(call, parameters, &settings))
		answer(adapter, call, card_set(adapter, (unsigned)index, &settings));
}

static void handle_return_vf(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;
	int index = index_get(adapter, call, parameters);

	if (index >= 0)
		answer(adapter, call, card_return(adapter, (unsigned)index));
}

static void handle_monitor(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)parameters;
	control_monitor(context, call);
	watch_forget_told(context);
}

/* It ends in any case: what could not be put back is in its records. */
static void handle_stop(struct varlink_call *call, json_t *parameters, void *context)
{
	struct vf_adapter *adapter = context;
	int error = *adapter->name ? card_restore(adapter) : 0;

	(void)parameters;
	adapter->stopping = true;
	answer(adapter, call, error);
}

static const struct varlink_interface interface = {
	.name = INTERFACE,
	.description = text_org_outrigger_Adapter_varlink,
	.methods =
		(const struct varlink_method[]){
			{.name = "Start", .handle = handle_start},
			{.name = "GetInfo", .handle = handle_get_info},
			{.name = "GetCounters", .handle = handle_get_counters},
			{.name = "TakeVf", .handle = handle_take_vf, .fds_max = 1},
			{.name = "ConfigureVf", .handle = handle_configure_vf},
			{.name = "ReturnVf", .handle = handle_return_vf},
			{.name = "Monitor", .handle = handle_monitor, .needs_more = true},
			{.name = "Stop", .handle = handle_stop},
			/* The embedded adapter's own. */
			{.name = "ListVfs"},
			{.name = "GetVf"},
			{.name = "ResetVf"},
			{.name = "SetLink"},
			{.name = "SetFault"},
			{.name = "ClearFaults"},
			{0},
		},
};

const struct varlink_service *methods_service(struct vf_adapter *adapter)
{
	static const struct varlink_interface *const interfaces[] = {&interface, NULL};
	static struct varlink_service service = {
		.vendor = "Outrigger",
		.product = "outrigger-vf-adapter",
		.version = OTR_VERSION,
		.url = "",
		.interfaces = interfaces,
	};

	service.context = adapter;
	return &service;
}
