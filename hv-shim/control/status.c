/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes live objects as JSON, for the control socket. Event-loop thread. */
#include "status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../processes/cgroup.h"
#include "clock.h"

/* Optional members are left out rather than null. */
static void set_text(json_t *object, const char *key, const char *text)
{
	if (text && *text)
		json_object_set_new(object, key, json_string(text));
}

static void set_pid(json_t *object, const char *key, const struct peer *peer)
{
	if (peer)
		json_object_set_new(object, key, json_integer(peer_identity(peer).pid));
}

static json_t *status_adapter(const struct adapter *adapter)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:I,s:I}", "name", adapter->spec.name, "kind",
				   doc_adapter_kinds[adapter->spec.kind], "state",
				   object_state_name(adapter->state), "vfs",
				   (json_int_t)adapter->spec.vfs, "vfs_used",
				   (json_int_t)adapter_vfs_used(adapter));

	set_text(object, "model", adapter->model);
	set_text(object, "serial", adapter->serial);
	set_text(object, "firmware_version", adapter->firmware_version);
	set_text(object, "link", adapter->link_up ? "up" : "down");
	set_pid(object, "pid", adapter->peer);
	set_text(object, "message", adapter->message);
	return object;
}

json_t *status_adapters(const struct shim *shim)
{
	json_t *list = json_array();

	for (const struct adapter *a = shim->adapters; a; a = a->next)
		json_array_append_new(list, status_adapter(a));
	return list;
}

json_t *status_device(const struct device *device)
{
	const struct doc_device *spec = &device->spec;
	json_t *addresses = json_array();
	char mac[DOC_MAC_TEXT_BYTES], label[DEVICE_LABEL_BYTES], path[SHIM_PATH_BYTES];

	for (int i = 0; i < DOC_ADDRESSES_MAX && spec->addresses[i][0]; i++)
		json_array_append_new(addresses, json_string(spec->addresses[i]));
	doc_mac_format(spec->mac, mac);
	json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:I,s:o,s:s,s:I,s:s}", "partition",
				   device->partition->name, "name", spec->name, "kind",
				   doc_port_kinds[spec->kind], "mac", mac, "mtu", (json_int_t)spec->mtu,
				   "addresses", addresses, "adapter", spec->vf.adapter, "vf",
				   (json_int_t)spec->vf.index, "state",
				   object_state_name(device->state));
	set_text(object, "adjunct", spec->adjunct.image);
	set_text(object, "shared", spec->shared);
	set_text(object, "ifname", spec->ifname);
	set_text(object, "function", device->adapter->functions[spec->vf.index].address);
	if (spec->kind == DOC_DEVICE_VFIO && device->state == STATE_RUNNING) {
		snprintf(path, sizeof(path), "/dev/vfio/%d",
			 device->adapter->functions[spec->vf.index].group);
		set_text(object, "path", path);
	}
	device_label(device, label);
	if (spec->kind == ADJ_PORT_VHOST_USER &&
	    !shim_path(device->partition->shim, "vhost", label, ".sock", path))
		set_text(object, "path", path);
	if (device->state == STATE_RUNNING)
		set_text(object, "link", device->link_up && device->adapter->link_up ? "up" : "down");
	set_text(object, "message", device->message);
	return object;
}

json_t *status_devices(const struct shim *shim, const struct partition *only)
{
	json_t *list = json_array();

	for (const struct partition *p = shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d && (!only || only == p); d = d->next)
			json_array_append_new(list, status_device(d));
	return list;
}

static bool has_namespace(const struct partition *partition)
{
	for (const struct device *d = partition->devices; d; d = d->next)
		if (doc_is_interface(&d->spec))
			return true;
	return false;
}

void status_put_share(json_t *object, const struct partition *partition)
{
	uint64_t usec;

	if (partition->cpus_milli) {
		json_object_set_new(object, "cpus_milli", json_integer(partition->cpus_milli));
		json_object_set_new(object, "cpus_enforced",
				    json_boolean(cgroup_cpu_limit(partition->name)));
	}
	if (cgroup_cpu_throttled(partition->name, &usec))
		json_object_set_new(object, "throttled_us", json_integer((json_int_t)usec));
}

json_t *status_partition(const struct partition *partition)
{
	char path[SHIM_PATH_BYTES] = "";

	shim_path(partition->shim, "partition", partition->name, ".sock", path);
	json_t *object = json_pack("{s:s,s:s,s:s,s:b,s:o}", "name", partition->name, "state",
				   object_state_name(partition->state), "socket", path, "namespace",
				   has_namespace(partition), "devices",
				   status_devices(partition->shim, partition));
	set_text(object, "owner", partition->owner);
	set_pid(object, "keeper_pid", partition->keeper);
	set_text(object, "message", partition->message);
	uint64_t value;
	if (cgroup_memory(partition->name, &value))
		json_object_set_new(object, "charged_bytes", json_integer((json_int_t)value));
	if (partition->memory_bytes) {
		json_object_set_new(object, "memory_bytes", json_integer(partition->memory_bytes));
		json_object_set_new(object, "memory_enforced",
				    json_boolean(cgroup_memory_limit(partition->name, &value)));
	}
	if (cgroup_memory_kills(partition->name, &value))
		json_object_set_new(object, "memory_kills", json_integer((json_int_t)value));
	status_put_share(object, partition);
	if (cgroup_cpu(partition->name, &value))
		json_object_set_new(object, "charged_cpu_us", json_integer((json_int_t)value));
	return object;
}

json_t *status_partitions(const struct shim *shim)
{
	json_t *list = json_array();

	for (const struct partition *p = shim->partitions; p; p = p->next)
		json_array_append_new(list, status_partition(p));
	return list;
}

/*
 * Private bytes of a process: its anonymous memory. What was donated, windows and
 * guests' memory are files. And how much of what was donated is made of huge pages
 * that the system had set aside: it has no other such memory. Not from smaps, though
 * that tells file by file: the shim may not look into processes (privileges.c).
 */
static void add_memory(json_t *object, pid_t pid)
{
	char path[40], line[128];
	unsigned long kib;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		const char *key = sscanf(line, "RssAnon: %lu", &kib) == 1	 ? "private_bytes"
				  : sscanf(line, "HugetlbPages: %lu", &kib) == 1 ? "huge_bytes"
										  : NULL;
		if (key)
			json_object_set_new(object, key, json_integer((json_int_t)kib * 1024));
	}
	fclose(file);
}

/* From the process's start time, which does not depend on which shim started it. */
static json_int_t process_uptime_ns(struct peer_identity identity)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	json_int_t started_ns = (json_int_t)(identity.start_time * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)));
	json_int_t uptime_ns = (json_int_t)now.tv_sec * (json_int_t)NS_PER_S + now.tv_nsec - started_ns;

	return uptime_ns > 0 ? uptime_ns : 0;
}

/* Who attaches to it: "red/net0". */
static json_t *status_clients(const struct device *device)
{
	json_t *list = json_array();

	for (const struct partition *p = device->partition->shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next)
			if (d != device && device_server(d) == device)
				json_array_append_new(list, json_sprintf("%s/%s", p->name, d->spec.name));
	return list;
}

json_t *status_adjunct(const struct device *device, bool detailed)
{
	char label[DEVICE_LABEL_BYTES], drives[2 * DOC_STRING_BYTES];

	device_label(device, label);
	const char *function = device->adapter->functions[device->spec.vf.index].address;
	if (*function)
		snprintf(drives, sizeof(drives), "%s function %lld, %s", device->adapter->spec.name,
			 (long long)device->spec.vf.index, function);
	else if (device->adapter->spec.kind != DOC_ADAPTER_DPDK)
		snprintf(drives, sizeof(drives), "%s function %lld", device->adapter->spec.name,
			 (long long)device->spec.vf.index);
	else
		snprintf(drives, sizeof(drives), "%s", device->adapter->spec.device);
	json_t *object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s}", "name", label, "image",
				   device->spec.adjunct.image, "partition", device->partition->name,
				   "device", device->spec.name, "scope",
				   doc_scopes[device->spec.adjunct.scope], "cpu",
				   doc_cpus[device->spec.adjunct.cpu], "state",
				   object_state_name(device->state), "memory_bytes",
				   (json_int_t)device->spec.adjunct.memory_bytes, "drives", drives);
	if (device->spec.adjunct.scope == DOC_SCOPE_GLOBAL)
		json_object_set_new(object, "clients", status_clients(device));
	set_pid(object, "pid", device->adjunct);
	set_text(object, "message", device->message);
	if (device->start_ns)
		json_object_set_new(object, "start_ns", json_integer((json_int_t)device->start_ns));
	if (device->first_frame_ns)
		json_object_set_new(object, "first_frame_ns",
				    json_integer((json_int_t)device->first_frame_ns));
	if (device->busy_since_ns)
		json_object_set_new(object, "busy_ns",
				    json_integer((json_int_t)(clock_now_ns() - device->busy_since_ns)));
	if (device->adjunct)
		json_object_set_new(object, "uptime_ns",
				    json_integer(process_uptime_ns(peer_identity(device->adjunct))));
	if (detailed && device->adjunct)
		add_memory(object, peer_identity(device->adjunct).pid);
	return object;
}

json_t *status_adjuncts(const struct shim *shim)
{
	json_t *list = json_array();

	for (const struct partition *p = shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next)
			if (!d->spec.adjunct.none && !doc_is_client(&d->spec))
				json_array_append_new(list, status_adjunct(d, false));
	return list;
}
