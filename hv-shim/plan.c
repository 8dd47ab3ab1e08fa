/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The differences between a document and live state. Nothing is changed here;
 * whatever cannot be done is refused before anything is.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"

static const char *const yes_no[] = {"no", "yes"};

struct planner {
	const struct shim *shim;
	const struct document *document;
	struct plan *plan;
	struct plan_error *error;
	/* Who will have each function once the plan is done: "red/net0". */
	struct claims {
		char adapter[DOC_NAME_BYTES];
		int64_t vfs;
		char owners[DOC_VFS_MAX][2 * DOC_NAME_BYTES];
	} claims[2 * DOC_ADAPTERS_MAX];
	size_t claims_count;
};

__attribute__((format(printf, 3, 4)))
static int refuse(struct planner *planner, const char *error, const char *format, ...)
{
	va_list arguments;

	planner->error->error = error;
	va_start(arguments, format);
	vsnprintf(planner->error->message, sizeof(planner->error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

void plan_free(struct plan *plan)
{
	free(plan->changes);
	*plan = (struct plan){0};
}

__attribute__((format(printf, 2, 3)))
static void add_detail(char detail[SHIM_MESSAGE_BYTES], const char *format, ...)
{
	size_t used = strlen(detail);
	va_list arguments;

	if (used && used + 2 < SHIM_MESSAGE_BYTES) {
		strcpy(detail + used, ", ");
		used += 2;
	}
	va_start(arguments, format);
	vsnprintf(detail + used, SHIM_MESSAGE_BYTES - used, format, arguments);
	va_end(arguments);
}

static bool is_deleted(const struct planner *planner, enum change_object object, const char *name)
{
	for (size_t i = 0; i < planner->plan->count; i++) {
		const struct change *change = &planner->plan->changes[i];
		if (change->action == CHANGE_DELETE && change->object == object &&
		    !strcmp(change->name, name))
			return true;
	}
	return false;
}

/* ---- Functions: who has which ------------------------------------------------------ */

static struct claims *claims_of(struct planner *planner, const char *adapter)
{
	for (size_t i = 0; i < planner->claims_count; i++)
		if (!strcmp(planner->claims[i].adapter, adapter))
			return &planner->claims[i];
	return NULL;
}

static int claims_add(struct planner *planner, const struct doc_adapter *adapter)
{
	if (planner->claims_count == sizeof(planner->claims) / sizeof(planner->claims[0]))
		return refuse(planner, "org.outrigger.Shim.Refused", "more than %zu adapters",
			      planner->claims_count);
	struct claims *claims = &planner->claims[planner->claims_count++];
	strcpy(claims->adapter, adapter->name);
	claims->vfs = adapter->vfs;
	return 0;
}

/* Functions that live devices keep: those the document does not mention. */
static int claims_from_live(struct planner *planner)
{
	for (size_t i = 0; i < planner->document->adapter_count; i++)
		if (claims_add(planner, &planner->document->adapters[i]))
			return -EINVAL;
	for (const struct adapter *a = planner->shim->adapters; a; a = a->next) {
		if (is_deleted(planner, OBJECT_ADAPTER, a->spec.name))
			continue;
		if (!claims_of(planner, a->spec.name) && claims_add(planner, &a->spec))
			return -EINVAL;
		struct claims *claims = claims_of(planner, a->spec.name);
		for (int64_t vf = 0; vf < a->spec.vfs; vf++) {
			const struct device *owner = a->owners[vf];
			char name[2 * DOC_NAME_BYTES];

			if (!owner || document_device(planner->document, owner->partition->name,
						      owner->spec.name))
				continue;
			snprintf(name, sizeof(name), "%s/%s", owner->partition->name,
				 owner->spec.name);
			if (!is_deleted(planner, OBJECT_DEVICE, name))
				strcpy(claims->owners[vf], name);
		}
	}
	return 0;
}

static int claim(struct planner *planner, const char *name, struct doc_vf *vf, bool any)
{
	struct claims *claims = claims_of(planner, vf->adapter);

	if (!claims)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: there is no adapter '%s'", name, vf->adapter);
	if (vf->index < 0 && any) {
		for (vf->index = 0; vf->index < claims->vfs; vf->index++)
			if (!claims->owners[vf->index][0])
				break;
		if (vf->index == claims->vfs)
			return refuse(planner, "org.outrigger.Shim.InvalidDocument",
				      "device %s: all %lld functions of adapter %s are taken", name,
				      (long long)claims->vfs, vf->adapter);
	}
	if (vf->index < 0)
		return 0;
	if (vf->index >= claims->vfs)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: adapter %s has functions 0 to %lld, not %lld", name,
			      vf->adapter, (long long)claims->vfs - 1, (long long)vf->index);
	if (claims->owners[vf->index][0])
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: function %lld of adapter %s belongs to %s", name,
			      (long long)vf->index, vf->adapter, claims->owners[vf->index]);
	strcpy(claims->owners[vf->index], name);
	return 0;
}

/* ---- Adapters ------------------------------------------------------------------------ */

/* A live device that needs the adapter to stay as it is. */
static const struct device *adapter_user(const struct planner *planner,
					 const struct adapter *adapter)
{
	for (int64_t vf = 0; vf < adapter->spec.vfs; vf++) {
		const struct device *owner = adapter->owners[vf];
		char name[2 * DOC_NAME_BYTES];

		if (!owner || owner->state == STATE_FAILED)
			continue;
		snprintf(name, sizeof(name), "%s/%s", owner->partition->name, owner->spec.name);
		if (!is_deleted(planner, OBJECT_DEVICE, name))
			return owner;
	}
	return NULL;
}

static int plan_adapter(struct planner *planner, const struct doc_adapter *want)
{
	const struct adapter *live = adapter_find(planner->shim, want->name);
	char detail[SHIM_MESSAGE_BYTES] = "";

	if (live && live->spec.kind != want->kind)
		add_detail(detail, "kind %s -> %s", doc_adapter_kinds[live->spec.kind],
			   doc_adapter_kinds[want->kind]);
	if (live && live->spec.vfs != want->vfs)
		add_detail(detail, "vfs %lld -> %lld", (long long)live->spec.vfs,
			   (long long)want->vfs);
	if (live && strcmp(live->spec.device, want->device))
		add_detail(detail, "device %.60s -> %.60s", live->spec.device, want->device);
	if (live && live->spec.any_link != want->any_link)
		add_detail(detail, "any_link %s -> %s", yes_no[live->spec.any_link],
			   yes_no[want->any_link]);
	if (live && !*detail && live->state == STATE_FAILED)
		add_detail(detail, "it had failed");
	if (live && !*detail)
		return 0;
	if (planner->shim->rootless && want->kind == DOC_ADAPTER_SRIOV)
		return refuse(planner, "org.outrigger.Shim.Refused",
			      "adapter %s: real virtual functions need an outriggerd that runs as root",
			      want->name);
	const struct device *user = live ? adapter_user(planner, live) : NULL;
	if (user)
		return refuse(planner, "org.outrigger.Shim.Busy",
			      "adapter %s: %s needs it restarted, and %s/%s uses it; take that down "
			      "first", want->name, detail, user->partition->name, user->spec.name);
	struct change *change = plan_add(planner->plan, live ? CHANGE_REPLACE : CHANGE_CREATE,
					 OBJECT_ADAPTER, want->name);
	if (!change)
		return -ENOMEM;
	change->adapter = *want;
	if (!live)
		add_detail(detail, "%s, %lld functions", doc_adapter_kinds[want->kind],
			   (long long)want->vfs);
	strcpy(change->detail, detail);
	return 0;
}

/* ---- Devices -------------------------------------------------------------------------- */

static int resolve_image(struct planner *planner, const char *name, struct doc_device *device)
{
	const struct doc_adapter *adapter =
		document_adapter(planner->document, device->vf.adapter);
	char id[DOC_STRING_BYTES], why[SHIM_MESSAGE_BYTES - 100];

	if (!adapter)
		adapter = &adapter_find(planner->shim, device->vf.adapter)->spec;
	if (adapter->kind == DOC_ADAPTER_SRIOV && device->vf.promisc)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: promisc is for the embedded adapter; on adapter %s it is the "
			      "driver's to ask for, and trust: yes allows it", name, adapter->name);
	/* 000, FIG. 7, step 710: a native driver, where the adapter can do it. */
	if (doc_is_native_function(device) && adapter->kind == DOC_ADAPTER_SRIOV)
		return 0;
	if (device->adjunct.none && adapter->kind == DOC_ADAPTER_SRIOV)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: adjunct: none hands the function itself to the partition: "
			      "say how by kind: netdev (an interface of the kernel's driver) or vfio "
			      "(for a virtual machine)", name);
	int error = image_device_id(adapter, id, sizeof(id));
	if (error)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: adapter %s: %s cannot be identified: %s", name,
			      adapter->name, adapter->device, strerror(-error));
	if (device->adjunct.none)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: adjunct: none hands the function itself to the partition; "
			      "adapter %s is %s, and its functions have no kernel driver and no PCI "
			      "address to hand over; leave adjunct out, or name an image", name,
			      adapter->name, adapter->kind == DOC_ADAPTER_DPDK ? "a DPDK port"
							: doc_adapter_kinds[adapter->kind]);
	const struct image *image = image_find(&planner->shim->images, device->adjunct.image, id,
					       device->kind, why, sizeof(why));
	if (!image) /* step 730 */
		return refuse(planner, "org.outrigger.Shim.InvalidDocument", "device %s: %s", name, why);
	strcpy(device->adjunct.image, image->name);
	if (!device->adjunct.memory_bytes)
		device->adjunct.memory_bytes = image->memory_default;
	if (device->adjunct.memory_bytes < image->memory_minimum)
		return refuse(planner, "org.outrigger.Shim.InvalidDocument",
			      "device %s: image %s needs at least %lldM of memory", name, image->name,
			      (long long)image->memory_minimum >> 20);
	return 0;
}

/* What the document leaves to us, a live device keeps. */
static void inherit(const struct device *live, struct doc_device *device)
{
	static const uint8_t zero[6];

	if (!memcmp(device->mac, zero, 6))
		memcpy(device->mac, live->spec.mac, 6);
	if (device->vf.index < 0 && !strcmp(device->vf.adapter, live->spec.vf.adapter) &&
	    !doc_is_client(&live->spec))
		device->vf.index = live->spec.vf.index;
	if (!device->adjunct.image[0] && !device->adjunct.none)
		strcpy(device->adjunct.image, live->spec.adjunct.image);
}

static bool addresses_equal(const struct doc_device *a, const struct doc_device *b)
{
	for (int i = 0; i < DOC_ADDRESSES_MAX; i++)
		if (strcmp(a->addresses[i], b->addresses[i]))
			return false;
	return true;
}

/* What only a device that is made anew can change. */
static void compare_device(const struct doc_device *live, const struct doc_device *want,
			   char detail[SHIM_MESSAGE_BYTES])
{
	char live_mac[DOC_MAC_TEXT_BYTES], want_mac[DOC_MAC_TEXT_BYTES];

	doc_mac_format(live->mac, live_mac);
	doc_mac_format(want->mac, want_mac);
	if (live->kind != want->kind)
		add_detail(detail, "kind %s -> %s", doc_port_kinds[live->kind],
			   doc_port_kinds[want->kind]);
	if (strcmp(live_mac, want_mac))
		add_detail(detail, "mac %s -> %s", live_mac, want_mac);
	if (live->mtu != want->mtu)
		add_detail(detail, "mtu %lld -> %lld", (long long)live->mtu, (long long)want->mtu);
	if (!addresses_equal(live, want))
		add_detail(detail, "address %s -> %s",
			   live->addresses[0][0] ? live->addresses[0] : "none",
			   want->addresses[0][0] ? want->addresses[0] : "none");
	if (strcmp(live->ifname, want->ifname))
		add_detail(detail, "ifname %s -> %s", live->ifname, want->ifname);
	if (live->ring_entries != want->ring_entries)
		add_detail(detail, "ring_entries %lld -> %lld", (long long)live->ring_entries,
			   (long long)want->ring_entries);
	if (strcmp(live->vf.adapter, want->vf.adapter) || live->vf.index != want->vf.index)
		add_detail(detail, "function %s/%lld -> %s/%lld", live->vf.adapter,
			   (long long)live->vf.index, want->vf.adapter, (long long)want->vf.index);
	if (strcmp(live->shared, want->shared))
		add_detail(detail, "shared %s -> %s", *live->shared ? live->shared : "none",
			   *want->shared ? want->shared : "none");
	if (live->adjunct.scope != want->adjunct.scope)
		add_detail(detail, "scope %s -> %s", doc_scopes[live->adjunct.scope],
			   doc_scopes[want->adjunct.scope]);
	if (strcmp(live->adjunct.image, want->adjunct.image))
		add_detail(detail, "image %s -> %s", live->adjunct.image, want->adjunct.image);
	if (strcmp(live->adjunct.donate, want->adjunct.donate))
		add_detail(detail, "donate %s -> %s", *live->adjunct.donate ? live->adjunct.donate : "none",
			   *want->adjunct.donate ? want->adjunct.donate : "none");
	if (live->adjunct.standby != want->adjunct.standby)
		add_detail(detail, "standby %s -> %s", live->adjunct.standby ? "yes" : "no",
			   want->adjunct.standby ? "yes" : "no");
	if (live->adjunct.memory_bytes != want->adjunct.memory_bytes)
		add_detail(detail, "memory %lldM -> %lldM",
			   (long long)live->adjunct.memory_bytes >> 20,
			   (long long)want->adjunct.memory_bytes >> 20);
}

/* For which another adjunct takes over, and the partition keeps what it has. */
static void compare_cpu(const struct doc_device *live, const struct doc_device *want,
			char detail[SHIM_MESSAGE_BYTES])
{
	if (live->adjunct.cpu != want->adjunct.cpu)
		add_detail(detail, "cpu %s -> %s", doc_cpus[live->adjunct.cpu],
			   doc_cpus[want->adjunct.cpu]);
}

/* What the adapter changes while everything runs. */
static void compare_vf(const struct doc_vf *live, const struct doc_vf *want,
		       char detail[SHIM_MESSAGE_BYTES])
{
#define COMPARE(member) \
	if (live->member != want->member) \
		add_detail(detail, #member " %lld -> %lld", (long long)live->member, \
			   (long long)want->member)
#define COMPARE_WORD(member, words) \
	if (live->member != want->member) \
		add_detail(detail, #member " %s -> %s", (words)[live->member], (words)[want->member])

	COMPARE(vlan);
	COMPARE(qos);
	COMPARE(min_tx_rate);
	COMPARE(max_tx_rate);
	COMPARE_WORD(proto, doc_vlan_protos);
	COMPARE_WORD(state, doc_link_states);
	COMPARE_WORD(spoofchk, yes_no);
	COMPARE_WORD(trust, yes_no);
	COMPARE_WORD(promisc, yes_no);
#undef COMPARE
#undef COMPARE_WORD
}

static int plan_device(struct planner *planner, const struct doc_partition *partition,
		       const struct doc_device *want)
{
	const struct partition *live_partition = partition_find(planner->shim, partition->name);
	const struct device *live = live_partition ? device_find(live_partition, want->name) : NULL;
	static const uint8_t zero[6];
	enum change_action action = CHANGE_CREATE;
	struct doc_device device = *want;
	char name[2 * DOC_NAME_BYTES], detail[SHIM_MESSAGE_BYTES] = "";

	snprintf(name, sizeof(name), "%s/%s", partition->name, want->name);
	if (live)
		inherit(live, &device);
	if (!memcmp(device.mac, zero, 6))
		doc_mac_from_names(partition->name, device.name, device.mac);
	bool client = doc_is_client(&device);
	int error = client ? plan_resolve_client(planner->shim, planner->plan, name, &device,
						 planner->error)
			   : claim(planner, name, &device.vf, true);
	if (!error && !client)
		error = resolve_image(planner, name, &device);
	if (error)
		return error;
	if (live) {
		action = CHANGE_REPLACE;
		compare_device(&live->spec, &device, detail);
		if (!*detail && live->state == STATE_FAILED)
			add_detail(detail, "it had failed");
		if (!*detail && !client) {
			action = live->state == STATE_RUNNING ? CHANGE_UPDATE : CHANGE_REPLACE;
			compare_vf(&live->spec.vf, &device.vf, detail);
		}
		compare_cpu(&live->spec, &device, detail);
		/* After a restart of the shim; the change is to wait for it. */
		if (!*detail && live->state != STATE_RUNNING) {
			action = CHANGE_UPDATE;
			add_detail(detail, "it is still %s", object_state_name(live->state));
		}
		if (!*detail)
			return 0;
	} else if (client) {
		add_detail(detail, "%s, by the global adjunct of %s", doc_port_kinds[device.kind],
			   device.shared);
	} else {
		add_detail(detail, "%s, %s function %lld, adjunct %s", doc_port_kinds[device.kind],
			   device.vf.adapter, (long long)device.vf.index,
			   device.adjunct.none ? "none" : device.adjunct.image);
	}
	struct change *change = plan_add(planner->plan, action, OBJECT_DEVICE, name);
	if (!change)
		return -ENOMEM;
	strcpy(change->partition, partition->name);
	change->device = device;
	strcpy(change->detail, detail);
	return 0;
}

/* ---- Partitions -------------------------------------------------------------------------- */

static bool regions_equal(const struct partition *live, const struct doc_partition *want)
{
	if (live->region_count != want->region_count)
		return false;
	for (size_t i = 0; i < want->region_count; i++)
		if (strcmp(live->regions[i].spec.name, want->regions[i].name) ||
		    live->regions[i].spec.size_bytes != want->regions[i].size_bytes)
			return false;
	return true;
}

static void add_cpus(char detail[SHIM_MESSAGE_BYTES], int64_t live_milli, int64_t want_milli)
{
	char live[DOC_CPUS_TEXT_BYTES], want[DOC_CPUS_TEXT_BYTES];

	doc_cpus_format(live_milli, live);
	doc_cpus_format(want_milli, want);
	add_detail(detail, "cpus %s -> %s", live_milli ? live : "all", want_milli ? want : "all");
}

static int plan_partition(struct planner *planner, const struct doc_partition *want)
{
	const struct partition *live = partition_find(planner->shim, want->name);
	struct change *change;

	if (live && live->state != STATE_FAILED && !regions_equal(live, want))
		return refuse(planner, "org.outrigger.Shim.Busy",
			      "partition %s: its regions are made with it; destroy it first to change "
			      "them", want->name);
	if (live && live->state != STATE_FAILED && !strcmp(live->owner, want->owner) &&
	    live->memory_bytes == want->memory_bytes && live->cpus_milli == want->cpus_milli)
		return 0;
	change = plan_add(planner->plan,
			  !live				? CHANGE_CREATE
			  : live->state == STATE_FAILED ? CHANGE_REPLACE
							: CHANGE_UPDATE,
			  OBJECT_PARTITION, want->name);
	if (!change)
		return -ENOMEM;
	strcpy(change->owner, want->owner);
	change->memory_bytes = want->memory_bytes;
	change->cpus_milli = want->cpus_milli;
	memcpy(change->regions, want->regions, sizeof(change->regions));
	change->region_count = want->region_count;
	if (live && live->state == STATE_FAILED)
		add_detail(change->detail, "it had failed");
	else if (live && strcmp(live->owner, want->owner))
		add_detail(change->detail, "owner %s -> %s", *live->owner ? live->owner : "default",
			   *want->owner ? want->owner : "default");
	if (live && live->memory_bytes != want->memory_bytes)
		add_detail(change->detail, "memory %lldM -> %lldM", (long long)live->memory_bytes >> 20,
			   (long long)want->memory_bytes >> 20);
	if (live && live->cpus_milli != want->cpus_milli)
		add_cpus(change->detail, live->cpus_milli, want->cpus_milli);
	return 0;
}

static int pass_of(const struct doc_device *device)
{
	return doc_is_client(device) ? 2 : device->vf.index < 0;
}

int plan_document(const struct shim *shim, const struct document *document, bool prune,
		  struct plan *out, struct plan_error *error)
{
	struct planner *planner = calloc(1, sizeof(*planner));
	int result = planner ? 0 : -ENOMEM;

	if (result)
		return result;
	*planner = (struct planner){
		.shim = shim, .document = document, .plan = out, .error = error};
	result = prune ? plan_delete_rest(shim, document, out) : 0;
	if (!result)
		result = claims_from_live(planner);
	for (size_t i = 0; i < document->adapter_count && !result; i++)
		result = plan_adapter(planner, &document->adapters[i]);
	/* Functions asked for by number first, so that "any" takes what is left; then those
	 * that others' adjuncts serve, which have a function by then. */
	for (int pass = 0; pass < 3; pass++)
		for (size_t i = 0; i < document->partition_count && !result; i++) {
			const struct doc_partition *partition = &document->partitions[i];

			if (!pass)
				result = plan_partition(planner, partition);
			for (size_t d = 0; d < partition->device_count && !result; d++)
				if (pass_of(&partition->devices[d]) == pass)
					result = plan_device(planner, partition, &partition->devices[d]);
		}
	if (!result)
		result = plan_check_limits(shim, document, out, error);
	if (result)
		plan_free(out);
	free(planner);
	return result;
}
