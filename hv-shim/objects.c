/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at live objects, changing nothing: finding them by name, and their
 * names for people. Apart from the rest so that plans can be tested without
 * processes. Event-loop thread.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

struct adapter *adapter_find(const struct shim *shim, const char *name)
{
	struct adapter *adapter = shim->adapters;

	while (adapter && strcmp(adapter->spec.name, name))
		adapter = adapter->next;
	return adapter;
}

size_t adapter_vfs_used(const struct adapter *adapter)
{
	size_t used = 0;

	for (int64_t i = 0; i < adapter->spec.vfs; i++)
		used += adapter->owners[i] != NULL;
	return used;
}

struct partition *partition_find(const struct shim *shim, const char *name)
{
	struct partition *partition = shim->partitions;

	while (partition && strcmp(partition->name, name))
		partition = partition->next;
	return partition;
}

struct device *device_find(const struct partition *partition, const char *name)
{
	struct device *device = partition->devices;

	while (device && strcmp(device->spec.name, name))
		device = device->next;
	return device;
}

void device_label(const struct device *device, char out[DEVICE_LABEL_BYTES])
{
	snprintf(out, DEVICE_LABEL_BYTES, "%s.%s", device->partition->name, device->spec.name);
}

struct device *device_server(const struct device *device)
{
	char partition_name[DOC_NAME_BYTES], name[DOC_NAME_BYTES];

	if (!doc_is_client(&device->spec))
		return (struct device *)device;
	if (!doc_shared_names(device->spec.shared, partition_name, name))
		return NULL;
	struct partition *partition = partition_find(device->partition->shim, partition_name);

	return partition ? device_find(partition, name) : NULL;
}

json_t *client_parameters(const struct device *device, json_t *parameters)
{
	char label[DEVICE_LABEL_BYTES];

	if (!doc_is_client(&device->spec))
		return parameters;
	device_label(device, label);
	json_object_set_new(parameters, "client", json_string(label));
	return parameters;
}

const char *object_state_name(enum object_state state)
{
	static const char *const names[] = {"starting", "running", "stopping", "failed"};

	return names[state];
}
