/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * org.outrigger.Partition on a partition's own socket: what its programs may
 * ask. The owner, the shim's user and root get in; which partition is asked
 * about is decided by the socket, never by the peer. Event-loop thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../events/events.h"
#include "../shim.h"
#include "text/org.outrigger.Partition.varlink.h"

#define ERROR(name) "org.outrigger.Partition." name

struct monitor {
	struct monitor *next;
	struct partition_service *owner;
	struct varlink_call *call;
};

/* The service of one partition: lives as long as its server. */
struct partition_service {
	struct varlink_service varlink;
	struct partition *partition;
	struct monitor *monitors;
};

static json_t *device_to_json(const struct device *device)
{
	char mac[DOC_MAC_TEXT_BYTES], label[DEVICE_LABEL_BYTES], path[SHIM_PATH_BYTES];

	doc_mac_format(device->spec.mac, mac);
	json_t *object = json_pack("{s:s,s:s,s:s,s:I,s:s}", "name", device->spec.name, "kind",
				   doc_port_kinds[device->spec.kind], "mac", mac, "mtu",
				   (json_int_t)device->spec.mtu, "state",
				   object_state_name(device->state));
	if (doc_is_client(&device->spec))
		json_object_set_new(object, "shared", json_string(device->spec.shared));
	device_label(device, label);
	if (device->spec.kind == ADJ_PORT_VHOST_USER &&
	    !shim_path(device->partition->shim, "vhost", label, ".sock", path))
		json_object_set_new(object, "path", json_string(path));
	return object;
}

static void handle_get_partition(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;

	if (!varlink_call_unpack(call, parameters, "{}"))
		return;
	json_t *devices = json_array();

	for (const struct device *d = service->partition->devices; d; d = d->next)
		json_array_append_new(devices, device_to_json(d));
	varlink_reply(call, json_pack("{s:s,s:o}", "name", service->partition->name, "devices",
				      devices));
}

/* Answers and returns NULL when there is no such device. */
static struct device *want_device(const struct partition_service *service,
				  struct varlink_call *call, json_t *parameters)
{
	struct device *device;
	const char *name;

	if (!varlink_call_unpack(call, parameters, "{s:s}", "device", &name))
		return NULL;
	device = device_find(service->partition, name);
	if (!device)
		varlink_errorf(call, ERROR("NotFound"), "partition %s has no device '%.40s'",
			       service->partition->name, name);
	return device;
}

static void handle_open_net(struct varlink_call *call, json_t *parameters, void *context)
{
	struct device *device = want_device(context, call, parameters);

	if (!device)
		return;
	if (device->spec.kind != ADJ_PORT_NATIVE)
		varlink_errorf(call, ERROR("NotNative"),
			       "device %s is a %s device; only native ones are opened here",
			       device->spec.name, doc_port_kinds[device->spec.kind]);
	else if (device->state != STATE_RUNNING)
		varlink_errorf(call, ERROR("NotReady"), "device %s is %s%s%s", device->spec.name,
			       object_state_name(device->state), *device->message ? ": " : "",
			       device->message);
	else if (!device->attaching &&
		 attachment_is_left(device->attachment, varlink_call_conn(call))) {
		/* It closed the device while no shim was there to hear of it. */
		attachment_close(device->attachment);
		attachment_open(device, call);
	} else if (device->attachment || device->attaching)
		varlink_errorf(call, ERROR("Busy"), "device %s is open in another program",
			       device->spec.name);
	else
		attachment_open(device, call);
}

static void handle_close_net(struct varlink_call *call, json_t *parameters, void *context)
{
	struct device *device = want_device(context, call, parameters);

	if (!device)
		return;
	if (!device->attachment || attachment_conn(device->attachment) != varlink_call_conn(call)) {
		varlink_errorf(call, ERROR("NotFound"), "this connection has not opened device %s",
			       device->spec.name);
		return;
	}
	attachment_close(device->attachment);
	varlink_reply(call, NULL);
}

static void handle_resume_net(struct varlink_call *call, json_t *parameters, void *context)
{
	struct device *device = want_device(context, call, parameters);

	if (!device)
		return;
	if (!attachment_is_left(device->attachment, varlink_call_conn(call))) {
		varlink_errorf(call, ERROR("NotFound"), "this process has not opened device %s",
			       device->spec.name);
		return;
	}
	attachment_resume(device->attachment, varlink_call_conn(call));
	varlink_reply(call, json_pack("{s:b}", "link", device->link_up));
}

static void handle_overdue(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;
	json_int_t waited_ns;
	const char *name;

	if (!varlink_call_unpack(call, parameters, "{s:s,s:I}", "device", &name, "waited_ns",
				 &waited_ns))
		return;
	struct device *device = device_find(service->partition, name);
	if (!device || !attachment_is_peers(device->attachment, varlink_call_conn(call))) {
		varlink_errorf(call, ERROR("NotFound"), "this process has not opened device '%.40s'",
			       name);
		return;
	}
	if (waited_ns < 0) {
		varlink_error_parameter(call, "waited_ns");
		return;
	}
	device_overdue(device, (uint64_t)waited_ns);
	varlink_reply(call, NULL);
}

static void handle_open_region(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;
	const char *name;

	if (varlink_call_unpack(call, parameters, "{s:s}", "region", &name))
		region_open(service->partition, call, name);
}

static void handle_open_guest(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;

	guest_open(service->partition, call, parameters);
}

static void handle_associate_net(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;

	guest_associate(service->partition, call, parameters);
}

static void handle_dissociate_net(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct partition_service *service = context;

	guest_dissociate(service->partition, call, parameters);
}

static void on_monitor_gone(void *data)
{
	struct monitor *monitor = data;
	struct monitor **at = &monitor->owner->monitors;

	while (*at != monitor)
		at = &(*at)->next;
	*at = monitor->next;
	free(monitor);
}

static void handle_monitor(struct varlink_call *call, json_t *parameters, void *context)
{
	struct partition_service *service = context;

	if (!varlink_call_unpack(call, parameters, "{}"))
		return;
	struct monitor *monitor = calloc(1, sizeof(*monitor));
	if (!monitor) {
		varlink_errorf(call, ERROR("NotReady"), "out of memory");
		return;
	}
	*monitor = (struct monitor){.next = service->monitors, .owner = service, .call = call};
	service->monitors = monitor;
	varlink_call_on_cancel(call, on_monitor_gone, monitor);
}

void partition_notify(struct partition *partition, const char *device, const char *event,
		      const char *message)
{
	if (!partition->service)
		return;
	for (struct monitor *m = partition->service->monitors; m; m = m->next) {
		json_t *answer = json_pack("{s:s,s:s}", "device", device, "event", event);

		if (message)
			json_object_set_new(answer, "message", json_string(message));
		varlink_reply_more(m->call, answer);
	}
}

static const struct varlink_method methods[] = {
	{"GetPartition", handle_get_partition},
	{"OpenNet", handle_open_net},
	{"CloseNet", handle_close_net},
	{"ResumeNet", handle_resume_net},
	{"Overdue", handle_overdue},
	{"OpenRegion", handle_open_region},
	{"OpenGuest", handle_open_guest},
	{"AssociateNet", handle_associate_net},
	{"DissociateNet", handle_dissociate_net},
	{"Monitor", handle_monitor, .needs_more = true},
	{NULL},
};
static const struct varlink_interface interface = {
	.name = "org.outrigger.Partition",
	.description = text_org_outrigger_Partition_varlink,
	.methods = methods,
};
static const struct varlink_interface *const interfaces[] = {&interface, NULL};

static bool allow_owner(void *data, uid_t uid)
{
	const struct partition_service *service = data;

	return uid == 0 || uid == geteuid() || uid == service->partition->uid;
}

int partition_listen(struct partition *partition)
{
	struct partition_service *service = calloc(1, sizeof(*service));
	char path[SHIM_PATH_BYTES];
	int error = service ? 0 : -ENOMEM;

	if (!error)
		error = shim_path(partition->shim, "partition", partition->name, ".sock", path);
	if (!error) {
		*service = (struct partition_service){
			.partition = partition,
			.varlink = {.vendor = "The Outrigger authors",
				    .product = "Outrigger",
				    .version = OTR_VERSION,
				    .url = "https://outrigger.example/",
				    .interfaces = interfaces,
				    .context = service},
		};
		error = server_new(partition->shim, path, &service->varlink, allow_owner, service,
				   &partition->server);
	}
	if (error) {
		free(service);
		return error;
	}
	partition->service = service;
	return 0;
}

void partition_unlisten(struct partition *partition)
{
	server_free(partition->server); /* drops the monitors */
	partition->server = NULL;
	free(partition->service);
	partition->service = NULL;
}
