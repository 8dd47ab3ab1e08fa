/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks at the PCI bus in sysfs: which functions can have VFs (they have an attribute
 * sriov_totalvfs), their virtfnN links, and what each file tells of them; then asks the
 * kernel stand-in for what sysfs does not have. 8 PFs with 128 VFs each must take less
 * than 50 ms, so a VF costs no file that its PF answers as well. Called by vf.h's users.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf_internal.h"

void vf_look_common(const struct vf_host *host, struct vf_function *f)
{
	char group[16];
	int64_t number;

	vf_read_link(host, f->driver, sizeof(f->driver), VF_DEVICE "/driver", f->name);
	vf_read_link(host, group, sizeof(group), VF_DEVICE "/iommu_group", f->name);
	f->iommu_group = vf_number_parse(group, &number) && number >= 0 && number <= INT_MAX
		? (int)number : -1;
	if (vf_read(host, f->driver_override, sizeof(f->driver_override),
		    VF_DEVICE "/driver_override", f->name) ||
	    !vf_word_valid(f->driver_override) || !strcmp(f->driver_override, "(null)"))
		f->driver_override[0] = '\0';
	vf_first_entry(host, f->rdma, sizeof(f->rdma), VF_DEVICE "/infiniband", f->name);
	vf_look_interface(host, f);
	int64_t speed = f->carrier && !f->is_vf ? vf_read_number(host, 0, VF_DEVICE "/net/%s/speed",
								f->name, f->ifname) : 0;
	f->speed_mbits = speed > 0 ? speed : 0;
}

static int look_vfs(struct vf_host *host, struct vf_function *pf)
{
	pf->vfs = calloc(pf->num_vfs + 1, sizeof(*pf->vfs));
	if (!pf->vfs)
		return -ENOMEM;
	for (unsigned index = 0; index < pf->num_vfs; index++) {
		struct vf_function *vf = &pf->vfs[pf->vf_count];
		char name[VF_ADDRESS_BYTES];

		/* One that has not come yet, or has gone, leaves a gap. */
		vf_read_link(host, name, sizeof(name), VF_DEVICE "/virtfn%u", pf->name, index);
		if (vf_address_parse(name, &vf->address))
			continue;
		vf_address_format(&vf->address, vf->name);
		vf->is_vf = true;
		vf->index = index;
		vf->pf = pf;
		vf->vendor = pf->vendor;
		vf->device = pf->vf_device;
		vf->class = pf->class;
		vf->numa_node = pf->numa_node;
		vf_look_common(host, vf);
		pf->vf_count++;
	}
	return 0;
}

static uint32_t small(int64_t value, int64_t maximum)
{
	return value < 0 || value > maximum ? 0 : (uint32_t)value;
}

static struct vf_function *look_pf(struct vf_host *host, const struct vf_address *address)
{
	struct vf_function *pf = calloc(1, sizeof(*pf));

	if (!pf)
		return NULL;
	pf->address = *address;
	vf_address_format(address, pf->name);
	const char *name = pf->name;
	pf->vendor = (uint16_t)small(vf_read_number(host, 0, VF_DEVICE "/vendor", name), 0xffff);
	pf->device = (uint16_t)small(vf_read_number(host, 0, VF_DEVICE "/device", name), 0xffff);
	pf->class = small(vf_read_number(host, 0, VF_DEVICE "/class", name), 0xffffff);
	pf->numa_node = (int)vf_read_number(host, -1, VF_DEVICE "/numa_node", name);
	pf->total_vfs = small(vf_read_number(host, 0, VF_DEVICE "/sriov_totalvfs", name),
			      VF_PER_PF_MAX);
	pf->num_vfs = small(vf_read_number(host, 0, VF_DEVICE "/sriov_numvfs", name),
			    VF_PER_PF_MAX);
	pf->offset = small(vf_read_number(host, 0, VF_DEVICE "/sriov_offset", name), 0xffff);
	pf->stride = small(vf_read_number(host, 0, VF_DEVICE "/sriov_stride", name), 0xffff);
	pf->msix_total = small(vf_read_number(host, 0, VF_DEVICE "/sriov_vf_total_msix", name),
			       0xffff);
	pf->autoprobe = vf_read_number(host, 1, VF_DEVICE "/sriov_drivers_autoprobe", name) != 0;
	/* This one is hexadecimal without a 0x. */
	char text[16], *end;
	if (!vf_read(host, text, sizeof(text), VF_DEVICE "/sriov_vf_device", name)) {
		unsigned long device = strtoul(text, &end, 16);
		pf->vf_device = *text && !*end && device <= 0xffff ? (uint16_t)device : 0;
	}
	vf_look_common(host, pf);
	return pf;
}

static int by_address(const void *a, const void *b)
{
	const struct vf_address *x = &(*(struct vf_function *const *)a)->address;
	const struct vf_address *y = &(*(struct vf_function *const *)b)->address;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return (x->bus << 8 | x->slot << 3 | x->function) -
	       (y->bus << 8 | y->slot << 3 | y->function);
}

static int look_bus(struct vf_host *host)
{
	DIR *folder = vf_open_folder(host, "/sys/bus/pci/devices");
	struct dirent *entry;
	int error = 0;

	if (!folder)
		return vf_refuse(host, -ENOENT, "%s/sys/bus/pci/devices cannot be read (%s): this "
				 "machine has no PCI bus, or sysfs is not mounted", host->root,
				 strerror(errno));
	while (!error && (entry = readdir(folder))) {
		struct vf_address address;

		if (vf_address_parse(entry->d_name, &address) ||
		    !vf_exists(host, VF_DEVICE "/sriov_totalvfs", entry->d_name))
			continue;
		struct vf_function **more = reallocarray(host->pfs, host->pf_count + 1u,
							 sizeof(*more));
		struct vf_function *pf = more ? look_pf(host, &address) : NULL;

		host->pfs = more ? more : host->pfs;
		error = pf ? 0 : -ENOMEM;
		if (pf) {
			host->pfs[host->pf_count++] = pf;
			error = look_vfs(host, pf);
		}
	}
	closedir(folder);
	if (host->pf_count)
		qsort(host->pfs, host->pf_count, sizeof(*host->pfs), by_address);
	return error;
}

/* ---- By the kernel stand-in ---------------------------------------------------- */

static int look_settings(struct vf_host *host, struct vf_function *pf)
{
	struct vf_settings *live;

	if (!pf->ifindex || !pf->vf_count)
		return 0;
	live = calloc(pf->num_vfs, sizeof(*live));
	if (!live)
		return -ENOMEM;
	int error = host->kernel->settings_get(host->kernel->data, pf->ifindex, live, pf->num_vfs);
	for (unsigned i = 0; i < pf->vf_count && !error; i++)
		pf->vfs[i].live = live[pf->vfs[i].index];
	free(live);
	/* An interface that went away meanwhile, or a tree that was recorded. */
	return error == -EOPNOTSUPP || error == -ENODEV ? 0 : error;
}

static int look_devlink(struct vf_host *host, struct vf_function *pf)
{
	struct vf_devlink devlink = {0};
	int error = host->kernel->devlink_get(host->kernel->data, pf->name, &devlink);

	if (error == -EOPNOTSUPP || error == -ENODEV)
		return 0;
	if (error)
		return vf_refuse(host, error, "%s: its driver's answer by devlink: %s", pf->name,
				 strerror(-error));
	memcpy(pf->firmware, devlink.firmware, sizeof(pf->firmware));
	pf->eswitch = devlink.eswitch;
	return 0;
}

static void take_representor(struct vf_host *host, const char *ifname)
{
	char id[80], uplink_id[80];
	unsigned number, index;

	if (!vf_is_representor(host, ifname, &number, &index) ||
	    vf_read(host, id, sizeof(id), "/sys/class/net/%s/phys_switch_id", ifname))
		return;
	for (unsigned i = 0; i < host->pf_count; i++) {
		struct vf_function *pf = host->pfs[i];

		if (!pf->ifname[0] || pf->address.function != number ||
		    vf_read(host, uplink_id, sizeof(uplink_id), "/sys/class/net/%s/phys_switch_id",
			    pf->ifname) || strcmp(id, uplink_id))
			continue;
		for (unsigned v = 0; v < pf->vf_count; v++)
			if (pf->vfs[v].index == index)
				snprintf(pf->vfs[v].representor, VF_IFNAME_BYTES, "%.15s",
					 ifname);
	}
}

static void look_representors(struct vf_host *host)
{
	const char *entry;
	bool any = false;
	char id[80];

	for (unsigned i = 0; i < host->pf_count && !any; i++)
		any = host->pfs[i]->ifname[0] &&
		      !vf_read(host, id, sizeof(id), "/sys/class/net/%s/phys_switch_id",
			       host->pfs[i]->ifname);
	DIR *folder = any ? vf_open_folder(host, "/sys/class/net") : NULL;
	while ((entry = vf_next_entry(folder)))
		if (vf_word_valid(entry) && strlen(entry) < VF_IFNAME_BYTES)
			take_representor(host, entry);
}

static void forget(struct vf_host *host)
{
	for (unsigned i = 0; i < host->pf_count; i++) {
		free(host->pfs[i]->vfs);
		free(host->pfs[i]);
	}
	free(host->pfs);
	host->pfs = NULL;
	host->pf_count = 0;
}

void vf_host_clear(struct vf_host *host)
{
	forget(host);
	host->reason[0] = '\0';
}

int vf_discover(struct vf_host *host, unsigned look)
{
	int error;

	vf_host_clear(host);
	error = look_bus(host);
	for (unsigned i = 0; i < host->pf_count && !error; i++) {
		if (look & VF_LOOK_SETTINGS)
			error = look_settings(host, host->pfs[i]);
		if (!error && look & VF_LOOK_DEVLINK)
			error = look_devlink(host, host->pfs[i]);
	}
	if (!error && host->pf_count)
		look_representors(host);
	if (!error && look & VF_LOOK_NAMES)
		error = vf_look_pci(host);
	if (!error && look & VF_LOOK_USERS)
		error = vf_look_users(host);
	if (error && !host->reason[0])
		vf_refuse(host, error, "looking at the VFs: %s", strerror(-error));
	if (error)
		forget(host);
	return error;
}
