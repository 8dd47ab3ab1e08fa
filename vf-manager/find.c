/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds a function by any of its names, its neighbours in the IOMMU group, and tells it
 * as JSON. Called by the manager and its users, after vf_discover().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf_internal.h"

#define CLASS_BRIDGE 0x06

static struct vf_function *by_address(struct vf_host *host, const struct vf_address *address)
{
	for (unsigned i = 0; i < host->pf_count; i++) {
		struct vf_function *pf = host->pfs[i];

		if (vf_address_same(&pf->address, address))
			return pf;
		for (unsigned v = 0; v < pf->vf_count; v++)
			if (vf_address_same(&pf->vfs[v].address, address))
				return &pf->vfs[v];
	}
	return NULL;
}

static struct vf_function *by_ifname(struct vf_host *host, const char *ifname)
{
	for (unsigned i = 0; i < host->pf_count; i++) {
		struct vf_function *pf = host->pfs[i];

		if (!strcmp(pf->ifname, ifname))
			return pf;
		for (unsigned v = 0; v < pf->vf_count; v++)
			if (!strcmp(pf->vfs[v].ifname, ifname))
				return &pf->vfs[v];
	}
	return NULL;
}

struct vf_function *vf_find(struct vf_host *host, const char *text)
{
	struct vf_function *found = NULL;
	struct vf_address address;
	const char *slash = strrchr(text, '/');
	char ifname[VF_IFNAME_BYTES];
	int64_t index;

	if (!vf_address_parse(text, &address)) {
		found = by_address(host, &address);
	} else if (slash && (size_t)(slash - text) < sizeof(ifname) && slash > text &&
		   vf_number_parse(slash + 1, &index)) {
		snprintf(ifname, sizeof(ifname), "%.*s", (int)(slash - text), text);
		struct vf_function *pf = by_ifname(host, ifname);

		for (unsigned v = 0; pf && v < pf->vf_count; v++)
			if (pf->vfs[v].index == index)
				found = &pf->vfs[v];
	} else if (*text) {
		found = by_ifname(host, text);
	}
	if (!found)
		vf_refuse(host, -ENOENT, "%.60s: no function with VFs has this address or "
			  "interface; `outrigger vf list` shows what there is", text);
	return found;
}

int vf_group_members(struct vf_host *host, int group,
		     int (*each)(void *data, const char *address, const char *driver), void *data)
{
	DIR *folder = group < 0
			      ? NULL
			      : vf_open_folder(host, "/sys/kernel/iommu_groups/%d/devices", group);
	struct dirent *entry;
	int result = 0;

	while (!result && folder && (entry = readdir(folder))) {
		struct vf_address address;
		char driver[VF_NAME_BYTES];

		if (vf_address_parse(entry->d_name, &address) ||
		    vf_read_number(host, 0, VF_DEVICE "/class", entry->d_name) >> 16 ==
			    CLASS_BRIDGE)
			continue;
		vf_read_link(host, driver, sizeof(driver), VF_DEVICE "/driver", entry->d_name);
		result = each(data, entry->d_name, driver);
	}
	if (folder)
		closedir(folder);
	return result;
}

/* ---- JSON ------------------------------------------------------------------------ */

/* Each answers 0, or -1 without memory; they are added up, so that nothing is left out unseen. */
static int set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value);
}

static int set_text(json_t *object, const char *key, const char *text)
{
	return set(object, key, *text ? json_string(text) : json_null());
}

static int set_number(json_t *object, const char *key, int64_t number, bool known)
{
	return set(object, key, known ? json_integer(number) : json_null());
}

static json_t *ids_to_json(const struct vf_function *f)
{
	char vendor[8], device[8];

	snprintf(vendor, sizeof(vendor), "%04x", f->vendor);
	snprintf(device, sizeof(device), "%04x", f->device);
	return json_pack("{s:s, s:s}", "vendor", vendor, "device", device);
}

static int pf_to_json(const struct vf_function *pf, json_t *object)
{
	json_t *vfs = json_array();
	int bad = set(object, "vfs", vfs);

	bad += set_number(object, "total_vfs", pf->total_vfs, true);
	bad += set_number(object, "num_vfs", pf->num_vfs, true);
	bad += set(object, "autoprobe", json_boolean(pf->autoprobe));
	bad += set_number(object, "msix_total", pf->msix_total, pf->msix_total != 0);
	bad += set_number(object, "speed_mbits", pf->speed_mbits, pf->speed_mbits != 0);
	bad += set_text(object, "serial", pf->serial);
	bad += set_text(object, "product", pf->product);
	bad += set_text(object, "firmware", pf->firmware);
	bad += set_text(object, "eswitch",
			pf->eswitch == VF_ESWITCH_NONE ? "" : vf_eswitch_names[pf->eswitch]);
	for (unsigned v = 0; v < pf->vf_count && !bad; v++)
		bad += json_array_append_new(vfs, vf_function_to_json(&pf->vfs[v]));
	return bad;
}

static int vf_to_json(const struct vf_function *vf, json_t *object)
{
	int bad = set_text(object, "pf", vf->pf->name);

	bad += set_number(object, "index", vf->index, true);
	bad += set_text(object, "representor", vf->representor);
	bad += set(object, "settings", vf_settings_to_json(&vf->live));
	bad += set_text(object, "owner", vf->owner);
	bad += set_text(object, "used_by", vf->used_by);
	return bad;
}

json_t *vf_function_to_json(const struct vf_function *f)
{
	struct vf_settings own = {.given = 0};
	json_t *object = ids_to_json(f);
	char mac[24];
	int bad = set_text(object, "address", f->name);

	memcpy(own.mac, f->mac, sizeof(own.mac));
	vf_setting_format(&own, VF_MAC, mac, sizeof(mac));
	bad += set_text(object, "driver", f->driver);
	bad += set_text(object, "driver_override", f->driver_override);
	bad += set_text(object, "ifname", f->ifname);
	bad += set_text(object, "ifmac", f->ifname[0] ? mac : "");
	bad += set(object, "up", json_boolean(f->up));
	bad += set(object, "carrier", json_boolean(f->carrier));
	bad += set_text(object, "rdma", f->rdma);
	bad += set_number(object, "numa_node", f->numa_node, f->numa_node >= 0);
	bad += set_number(object, "iommu_group", f->iommu_group, f->iommu_group >= 0);
	bad += f->is_vf ? vf_to_json(f, object) : pf_to_json(f, object);
	if (!bad)
		return object;
	json_decref(object);
	return NULL;
}
