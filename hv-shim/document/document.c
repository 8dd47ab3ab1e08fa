/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a configuration document into plain structs, driven by the tables in
 * document_schema.c, then checks what no single field can say (names used
 * twice, addresses on a device that has no interface). Every refusal names the
 * path, the line and the reason.
 */
#include "document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document_reader.h"
#include "net_layout.h"

#define MIB (INT64_C(1) << 20)

/* ---- What no single field can say --------------------------------------- */

static bool ifname_valid(const char *name)
{
	return strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/:%");
}

/* 000, FIG. 7, step 715: the function itself, and so no adjunct. */
static int check_native(struct reader *r, const json_t *object, struct doc_device *device)
{
	bool native = doc_is_native_function(device);

	if (native && json_object_get(object, "adjunct") && !device->adjunct.none)
		return reader_refuse(r, object, "adjunct", "a %s device has the function itself, and "
				     "no adjunct; leave it out, or choose tap, vhost-user or native",
				     doc_port_kinds[device->kind]);
	device->adjunct.none |= native;
	return 0;
}

/* 000, FIG. 8: others attach to it; FIG. 9: it attaches to another one's. */
static int check_shared(struct reader *r, const json_t *object, struct doc_device *device)
{
	char partition[DOC_NAME_BYTES], name[DOC_NAME_BYTES];
	bool global = device->adjunct.scope == DOC_SCOPE_GLOBAL;

	if (global && device->kind != ADJ_PORT_NATIVE)
		return reader_refuse(r, object, "adjunct", "scope: global goes with a native device");
	if (global && device->adjunct.cpu == DOC_CPU_DONATED)
		return reader_refuse(r, object, "adjunct",
				     "scope: global serves several partitions, and cannot work on the "
				     "processor of one: choose cpu: shared or dedicated");
	if (!doc_is_client(device))
		return device->vf.adapter[0] ? 0 : reader_refuse(r, object, "vf", "is missing");
	if (!doc_shared_names(device->shared, partition, name))
		return reader_refuse(r, object, "shared",
				     "'%s' does not name a device with a global adjunct, as "
				     "PARTITION/DEVICE", device->shared);
	if (device->kind != ADJ_PORT_NATIVE)
		return reader_refuse(r, object, "shared", "goes with a native device");
	if (global || device->adjunct.none || device->adjunct.image[0] ||
	    device->adjunct.memory_bytes || device->adjunct.donate[0] || device->adjunct.standby ||
	    device->adjunct.cpu != DOC_CPU_SHARED)
		return reader_refuse(r, object, "adjunct", "is %s's; leave it out", device->shared);
	return 0;
}

static int check_device(struct reader *r, const json_t *object, struct doc_device *device)
{
	bool interface = doc_is_interface(device);

	if (!interface && device->addresses[0][0])
		return reader_refuse(r, object, "address",
				     "only a tap or netdev device has addresses");
	if (!interface && device->ifname[0])
		return reader_refuse(r, object, "ifname",
				     "only a tap or netdev device has an interface name");
	if (device->kind != ADJ_PORT_NATIVE && device->ring_entries)
		return reader_refuse(r, object, "ring_entries", "only a native device has rings");
	if (device->kind != ADJ_PORT_NATIVE && device->adjunct.cpu == DOC_CPU_DONATED)
		return reader_refuse(r, object, "adjunct",
				     "cpu: donated goes with a native device: only its programs can "
				     "yield");
	if (device->vf.qos && !device->vf.vlan)
		return reader_refuse(r, object, "vf", "qos goes with a vlan");
	if (device->vf.promisc && !device->vf.trust)
		return reader_refuse(r, object, "vf", "promisc needs trust: yes");
	if (device->vf.max_tx_rate && device->vf.min_tx_rate > device->vf.max_tx_rate)
		return reader_refuse(r, object, "vf", "min_tx_rate is above max_tx_rate");
	int error = check_shared(r, object, device);

	if (error)
		return error;
	if (device->kind == ADJ_PORT_NATIVE && !device->ring_entries)
		device->ring_entries = NET_RING_ENTRIES_DEFAULT;
	if (interface && !device->ifname[0]) {
		if (strlen(device->name) >= DOC_IFNAME_BYTES)
			return reader_refuse(
				r, object, "name",
				"'%s' is too long for an interface name; give an ifname",
				device->name);
		strcpy(device->ifname, device->name);
	}
	if (interface &&
	    (!ifname_valid(device->ifname) || !strcmp(device->ifname, "lo")))
		return reader_refuse(r, object, "ifname", "'%s' cannot name an interface",
				     device->ifname);
	return check_native(r, object, device);
}

static int read_devices(struct reader *r, json_t *object, struct doc_partition *partition)
{
	json_t *list = json_object_get(object, "devices");

	if (!list)
		return 0;
	if (!json_is_array(list))
		return reader_refuse(r, object, "devices", "is %s, not a list",
				     reader_kind_of(list));
	if (json_array_size(list) > DOC_DEVICES_MAX)
		return reader_refuse(r, object, "devices", "lists more than %d", DOC_DEVICES_MAX);
	partition->devices = calloc(json_array_size(list) + 1, sizeof(*partition->devices));
	if (!partition->devices)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct doc_device *device = &partition->devices[i];
		json_t *item = json_array_get(list, i);

		if (!json_is_object(item))
			return reader_refuse(r, object, "devices", "entry %zu is %s, not an object",
					     i, reader_kind_of(item));
		size_t before = reader_enter(r, "devices", (long)i);
		int error = reader_fields(r, item, doc_device_fields, device, NULL);
		if (!error)
			error = check_device(r, item, device);
		for (size_t j = 0; j < i && !error; j++) {
			const struct doc_device *other = &partition->devices[j];

			if (!strcmp(other->name, device->name))
				error = reader_refuse(r, item, "name", "'%s' is used twice",
						      device->name);
			else if (device->ifname[0] && !strcmp(other->ifname, device->ifname))
				error = reader_refuse(r, item, "ifname", "'%s' is used twice",
						      device->ifname);
		}
		if (error)
			return error;
		reader_leave(r, before);
		partition->device_count++;
	}
	return 0;
}

static struct doc_region *region_find(struct doc_partition *partition, const char *name)
{
	for (size_t i = 0; i < partition->region_count; i++)
		if (!strcmp(partition->regions[i].name, name))
			return &partition->regions[i];
	return NULL;
}

static int read_regions(struct reader *r, json_t *object, struct doc_partition *partition)
{
	json_t *list = json_object_get(object, "regions");

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > DOC_REGIONS_MAX)
		return reader_refuse(r, object, "regions", "is not a list of at most %d",
				     DOC_REGIONS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct doc_region region = {0};
		json_t *item = json_array_get(list, i);

		if (!json_is_object(item))
			return reader_refuse(r, object, "regions", "entry %zu is %s, not an object",
					     i, reader_kind_of(item));
		size_t before = reader_enter(r, "regions", (long)i);
		int error = reader_fields(r, item, doc_region_fields, &region, NULL);
		if (!error && region_find(partition, region.name))
			error = reader_refuse(r, item, "name", "'%s' is used twice", region.name);
		if (!error && region.size_bytes % MIB)
			error = reader_refuse(r, item, "size", "is not a whole number of MiB");
		if (error)
			return error;
		reader_leave(r, before);
		partition->regions[partition->region_count++] = region;
	}
	return 0;
}

/* A region can be given away once, and whole. */
static int check_donations(struct reader *r, const json_t *object, struct doc_partition *partition)
{
	for (size_t i = 0; i < partition->device_count; i++) {
		struct doc_adjunct *adjunct = &partition->devices[i].adjunct;
		const struct doc_region *region = region_find(partition, adjunct->donate);

		if (!adjunct->donate[0])
			continue;
		if (!region)
			return reader_refuse(r, object, "devices",
					     "%s donates '%s', which is no region of this "
					     "partition",
					     partition->devices[i].name, adjunct->donate);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(partition->devices[j].adjunct.donate, adjunct->donate))
				return reader_refuse(r, object, "devices",
						     "%s and %s both donate '%s'",
						     partition->devices[j].name,
						     partition->devices[i].name, adjunct->donate);
		if (adjunct->memory_bytes && adjunct->memory_bytes != region->size_bytes)
			return reader_refuse(r, object, "devices",
					     "%s donates '%s' and asks for another size; "
					     "leave memory out",
					     partition->devices[i].name, adjunct->donate);
		adjunct->memory_bytes = region->size_bytes;
	}
	return 0;
}

static int read_partition(struct reader *r, json_t *object, struct doc_partition *partition)
{
	static const char *const lists[] = {"regions", "devices", NULL};
	int error = reader_fields(r, object, doc_partition_fields, partition, lists);

	if (!error && partition->memory_bytes % MIB)
		error = reader_refuse(r, object, "memory", "is not a whole number of MiB");
	if (r->tree && json_object_get(object, "cpus"))
		partition->cpus_line = yaml_tree_line_of_key(r->tree, object, "cpus");
	if (!error)
		error = read_regions(r, object, partition);
	if (!error)
		error = read_devices(r, object, partition);
	return error ? error : check_donations(r, object, partition);
}

static int read_adapter(struct reader *r, json_t *object, struct doc_adapter *adapter)
{
	int error = reader_fields(r, object, doc_adapter_fields, adapter, NULL);
	struct vf_pf_wish pf = {0};

	if (error)
		return error;
	if (adapter->kind == DOC_ADAPTER_DPDK && !adapter->device[0])
		return reader_refuse(r, object, "device",
				     "is missing; a dpdk adapter needs one, such as "
				     "0000:01:10.0 or net_ring0");
	if (adapter->kind == DOC_ADAPTER_DPDK && adapter->vfs != 1)
		return reader_refuse(r, object, "vfs", "a dpdk adapter is one function");
	if (adapter->kind == DOC_ADAPTER_EMBEDDED && adapter->vfs > DOC_EMBEDDED_VFS_MAX)
		return reader_refuse(r, object, "vfs", "an embedded adapter has %d functions at most, "
				     "not %lld; add another one", DOC_EMBEDDED_VFS_MAX,
				     (long long)adapter->vfs);
	if (adapter->kind == DOC_ADAPTER_SRIOV && vf_pf_parse(adapter->device, &pf))
		return reader_refuse(r, object, "device", "%s; an sriov adapter is a physical "
				     "function, by its PCI address such as 0000:01:00.0 or its "
				     "permanent MAC address (an interface's name may change)",
				     adapter->device[0] ? "is neither address" : "is missing");
	if (adapter->any_link && adapter->kind != DOC_ADAPTER_SRIOV)
		return reader_refuse(r, object, "any_link", "goes with kind: sriov only");
	if (adapter->kind != DOC_ADAPTER_DPDK && adapter->kind != DOC_ADAPTER_SRIOV &&
	    adapter->device[0])
		return reader_refuse(r, object, "device", "goes with kind: dpdk or sriov only");
	return 0;
}

/* ---- The whole ------------------------------------------------------------ */

static int read_list(struct reader *r, json_t *root, const char *key, size_t maximum,
		     struct document *out)
{
	json_t *list = json_object_get(root, key);
	bool adapters = !strcmp(key, "adapters");

	if (!list)
		return 0;
	if (!json_is_array(list))
		return reader_refuse(r, root, key, "is %s, not a list", reader_kind_of(list));
	size_t count = json_array_size(list);
	if (count > maximum)
		return reader_refuse(r, root, key, "lists more than %zu", maximum);
	if (adapters)
		out->adapters = calloc(count + 1, sizeof(*out->adapters));
	else
		out->partitions = calloc(count + 1, sizeof(*out->partitions));
	if (adapters ? !out->adapters : !out->partitions)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		json_t *item = json_array_get(list, i);
		int error;

		if (!json_is_object(item))
			return reader_refuse(r, root, key, "entry %zu is %s, not an object", i,
					     reader_kind_of(item));
		size_t before = reader_enter(r, key, (long)i);
		if (adapters) {
			error = read_adapter(r, item, &out->adapters[i]);
			for (size_t j = 0; j < i && !error; j++)
				if (!strcmp(out->adapters[j].name, out->adapters[i].name))
					error = reader_refuse(r, item, "name", "'%s' is used twice",
							      out->adapters[i].name);
			out->adapter_count++;
		} else {
			error = read_partition(r, item, &out->partitions[i]);
			for (size_t j = 0; j < i && !error; j++)
				if (!strcmp(out->partitions[j].name, out->partitions[i].name))
					error = reader_refuse(r, item, "name", "'%s' is used twice",
							      out->partitions[i].name);
			out->partition_count++;
		}
		if (error)
			return error;
		reader_leave(r, before);
	}
	return 0;
}

static int read_pfs(struct reader *r, json_t *root, struct document *out)
{
	json_t *list = json_object_get(root, "pfs"), *item;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > DOC_PFS_MAX)
		return reader_refuse(r, root, "pfs", "is not a list of at most %d", DOC_PFS_MAX);
	out->pfs = calloc(json_array_size(list) + 1, sizeof(*out->pfs));
	if (!out->pfs)
		return -ENOMEM;
	json_array_foreach(list, i, item) {
		if (!json_is_object(item))
			return reader_refuse(r, root, "pfs", "entry %zu is %s, not an object", i,
					     reader_kind_of(item));
		size_t before = reader_enter(r, "pfs", (long)i);
		int error = reader_pf(r, item, &out->pfs[out->pf_count++]);
		if (error)
			return error;
		reader_leave(r, before);
	}
	return 0;
}

static int read_document(struct reader *r, json_t *root, struct document *out)
{
	static const struct field version = {"version", FIELD_INTEGER, .minimum = DOC_VERSION,
					     .maximum = DOC_VERSION};
	static const char *const known[] = {"version", "adapters", "partitions", "pfs"};
	int64_t number;
	const char *key;
	json_t *value;

	if (!json_is_object(root)) {
		snprintf(
			r->error->message, sizeof(r->error->message),
			"the document is %s; it must be an object with version, adapters, partitions, pfs",
			root ? reader_kind_of(root) : "empty");
		return -EINVAL;
	}
	json_object_foreach (root, key, value) {
		bool found = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= !strcmp(key, known[i]);
		if (!found)
			return reader_refuse(r, root, key, "is not a setting known here");
	}
	value = json_object_get(root, "version");
	if (!value)
		return reader_refuse(r, root, "version",
				     "is missing; this program reads version: %d", DOC_VERSION);
	int error = reader_integer(r, root, &version, value, &number);
	if (!error)
		error = read_list(r, root, "adapters", DOC_ADAPTERS_MAX, out);
	if (!error)
		error = read_list(r, root, "partitions", DOC_PARTITIONS_MAX, out);
	return error ? error : read_pfs(r, root, out);
}

int document_load(const char *text, size_t text_bytes, struct document *out,
		  struct doc_error *error)
{
	struct yaml_error yaml_error = {0};
	struct yaml_tree *tree = NULL;
	struct document document = {0};

	*error = (struct doc_error){0};
	int result = yaml_tree_load(text, text_bytes, &tree, &yaml_error);
	if (result) {
		error->line = yaml_error.line;
		snprintf(error->message, sizeof(error->message), "%s", yaml_error.message);
		return result;
	}
	struct reader reader = {.tree = tree, .error = error};
	result = read_document(&reader, yaml_tree_root(tree), &document);
	yaml_tree_free(tree);
	if (result)
		document_free(&document);
	else
		*out = document;
	return result;
}

int document_load_partition(json_t *object, struct doc_partition *out, struct doc_error *error)
{
	struct reader reader = {.error = error};
	struct doc_partition partition = {0};

	*error = (struct doc_error){0};
	int result = read_partition(&reader, object, &partition);
	if (result)
		doc_partition_free(&partition);
	else
		*out = partition;
	return result;
}

void doc_partition_free(struct doc_partition *partition)
{
	free(partition->devices);
	*partition = (struct doc_partition){0};
}

void document_free(struct document *document)
{
	for (size_t i = 0; i < document->partition_count; i++)
		doc_partition_free(&document->partitions[i]);
	for (size_t i = 0; i < document->pf_count; i++)
		free(document->pfs[i].vfs);
	free(document->pfs);
	free(document->partitions);
	free(document->adapters);
	*document = (struct document){0};
}
