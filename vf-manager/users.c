/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has a VF: an owner that saved a record here, a process that holds its VFIO group
 * or its verbs device open, a kernel driver whose interface is up or lives in another
 * network namespace. Only what can be seen from here counts; a virtual machine shows as
 * the process that runs it. Called by vf_discover().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vf_internal.h"

/* "12" of /dev/vfio/12, "vfio3" of /dev/vfio/devices/vfio3, "uverbs0": what is held open. */
struct held {
	char device[VF_NAME_BYTES], process[48];
};
struct held_list {
	struct held *items;
	unsigned count;
};

static const char *device_of(const char *target)
{
	static const char *const folders[] = {"/dev/vfio/devices/", "/dev/vfio/",
					      "/dev/infiniband/"};

	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t length = strlen(folders[i]);

		if (!strncmp(target, folders[i], length))
			return vf_word_valid(target + length) ? target + length : NULL;
	}
	return NULL;
}

static int add_held(struct vf_host *host, struct held_list *list, const char *device,
		    const char *pid)
{
	struct held *more, held = {0};
	char name[20] = "";

	if (strlen(device) >= sizeof(held.device) || !strcmp(device, "vfio"))
		return 0; /* the container, which every user of VFIO has */
	more = reallocarray(list->items, list->count + 1u, sizeof(*more));
	if (!more)
		return -ENOMEM;
	list->items = more;
	strcpy(held.device, device);
	if (vf_read(host, name, sizeof(name), "/proc/%s/comm", pid))
		strcpy(name, "?");
	snprintf(held.process, sizeof(held.process), "process %.10s (%s)", pid, name);
	list->items[list->count++] = held;
	return 0;
}

static int look_process(struct vf_host *host, struct held_list *list, const char *pid)
{
	DIR *folder = vf_open_folder(host, "/proc/%s/fd", pid);
	char target[128];
	const char *entry;
	int error = 0;

	/* Another user's processes do not show theirs; they could not open VFIO either. */
	while ((entry = vf_next_entry(folder))) {
		ssize_t length = readlinkat(dirfd(folder), entry, target, sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		if (!error && device_of(target))
			error = add_held(host, list, device_of(target), pid);
	}
	return error;
}

static int look_processes(struct vf_host *host, struct held_list *list)
{
	DIR *folder = vf_open_folder(host, "/proc");
	const char *entry;
	int64_t pid;
	int error = 0;

	while ((entry = vf_next_entry(folder)))
		if (!error && vf_number_parse(entry, &pid) && pid != getpid())
			error = look_process(host, list, entry);
	return error;
}

static const char *holder_of(const struct held_list *list, const char *device)
{
	for (unsigned i = 0; *device && i < list->count; i++)
		if (!strcmp(list->items[i].device, device))
			return list->items[i].process;
	return NULL;
}

/* Drivers that hand a function to a program, or keep it from everyone: no interface is due. */
static bool driver_without_netdev(const char *driver)
{
	return strstr(driver, "vfio") || strstr(driver, "uio") || strstr(driver, "stub") ||
	       strstr(driver, "pciback");
}

#define CLASS_NETWORK 0x02

static void look_user(struct vf_host *host, const struct held_list *list, struct vf_function *vf)
{
	char group[16] = "", cdev[VF_NAME_BYTES] = "", verbs[VF_NAME_BYTES] = "";
	const char *holder;

	if (vf->iommu_group >= 0)
		snprintf(group, sizeof(group), "%d", vf->iommu_group);
	if (list->count) {
		vf_first_entry(host, cdev, sizeof(cdev), VF_DEVICE "/vfio-dev", vf->name);
		if (vf->rdma[0])
			vf_first_entry(host, verbs, sizeof(verbs), VF_DEVICE "/infiniband_verbs",
				       vf->name);
	}
	holder = holder_of(list, group);
	holder = holder ? holder : holder_of(list, cdev);
	holder = holder ? holder : holder_of(list, verbs);
	if (holder)
		snprintf(vf->used_by, sizeof(vf->used_by), "%s has it open", holder);
	else if (vf->up)
		vf->only_up = snprintf(vf->used_by, sizeof(vf->used_by), "its interface %s is up",
				       vf->ifname) > 0;
	else if (vf->driver[0] && !vf->ifname[0] && vf->class >> 16 == CLASS_NETWORK &&
		 !driver_without_netdev(vf->driver))
		snprintf(vf->used_by, sizeof(vf->used_by),
			 "its interface is in another network namespace");
}

/* Records name functions; those of functions that are gone stay for the doctor to tell. */
static void look_owners(struct vf_host *host)
{
	DIR *folder = host->state[0] ? opendir(host->state) : NULL;
	const char *entry;

	while ((entry = vf_next_entry(folder))) {
		struct vf_record record;
		char name[VF_ADDRESS_BYTES];

		if (!vf_record_names(entry, name))
			continue;
		struct vf_function *function = vf_find(host, name);
		/* A damaged one must not pass for none. */
		if (function && vf_record_load(host, function->name, &record))
			strcpy(function->owner, "?");
		else if (function)
			strcpy(function->owner, record.token);
	}
	host->reason[0] = '\0';
}

int vf_look_users(struct vf_host *host)
{
	struct held_list list = {0};
	int error = look_processes(host, &list);

	for (unsigned i = 0; i < host->pf_count && !error; i++)
		for (unsigned v = 0; v < host->pfs[i]->vf_count; v++)
			look_user(host, &list, &host->pfs[i]->vfs[v]);
	free(list.items);
	if (!error)
		look_owners(host);
	return error;
}
