/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this process does to its card, each time from a fresh look at it: the number of
 * VFs, a VF for its next user and back, and in the end everything as it was. All of it is
 * the VF manager's work (vf.h); here is only whose it is. Called by methods.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter.h"
#include "log.h"

static void log_step(void *data, const struct vf_step *step)
{
	(void)data;
	if (step->failed)
		log_error("%s: %s", step->object, step->detail);
	else
		log_info("%s: %s", step->object, step->detail);
}

static struct vf_function *find_pf(struct vf_adapter *adapter)
{
	struct vf_function *pf = vf_pf_find(&adapter->host, &adapter->wish);

	if (!pf)
		snprintf(adapter->host.reason, sizeof(adapter->host.reason),
			 "its card is not there, or has no SR-IOV; `outrigger vf list` shows what "
			 "there is");
	return pf;
}

/* What is told of the card, and where its VFs are. */
static int learn(struct vf_adapter *adapter)
{
	struct vf_host *host = &adapter->host;
	int error = vf_discover(host, VF_LOOK_DEVLINK | VF_LOOK_NAMES);
	const struct vf_function *pf = error ? NULL : find_pf(adapter);

	if (!pf)
		return error ? error : -ENODEV;
	snprintf(adapter->pf, sizeof(adapter->pf), "%s", pf->name);
	adapter->has_interface = pf->ifname[0];
	snprintf(adapter->product, sizeof(adapter->product), "%s", pf->product);
	snprintf(adapter->serial, sizeof(adapter->serial), "%s", pf->serial);
	snprintf(adapter->firmware, sizeof(adapter->firmware), "%s", pf->firmware);
	adapter->total_vfs = pf->total_vfs;
	for (unsigned v = 0; v < adapter->wish.vf_count; v++) {
		adapter->vfs[v].address = vf_address_of(&pf->address, pf->offset, pf->stride, v);
		adapter->vfs[v].group = -1;
	}
	for (unsigned v = 0; v < pf->vf_count; v++)
		if (pf->vfs[v].index < adapter->wish.vf_count)
			adapter->vfs[pf->vfs[v].index].group = pf->vfs[v].iommu_group;
	return 0;
}

/* vf_apply() says which step failed in the log; the first reason is the one to tell. */
struct first_failure {
	char text[160];
};

static void take_step(void *data, const struct vf_step *step)
{
	struct first_failure *first = data;

	log_step(NULL, step);
	if (step->failed && !first->text[0])
		snprintf(first->text, sizeof(first->text), "%s", step->detail);
}

static int apply(struct vf_adapter *adapter, const struct vf_pf_wish *wish, unsigned flags)
{
	struct vf_host *host = &adapter->host;
	struct first_failure first = {""};
	int error = vf_apply(host, wish, wish ? 1 : 0, flags, take_step, &first);

	if (error == -EIO && first.text[0])
		snprintf(host->reason, sizeof(host->reason), "%s", first.text);
	return error;
}

int card_bring(struct vf_adapter *adapter)
{
	int error = apply(adapter, &adapter->wish, 0);

	return error ? error : learn(adapter);
}

int card_restore(struct vf_adapter *adapter)
{
	struct vf_host *host = &adapter->host;
	int error = apply(adapter, NULL, VF_PRUNE | VF_ALLOW_DISRUPTIVE);

	/* Of a card that is gone there is only to forget. */
	if (!error && *adapter->pf && !vf_find(host, adapter->pf))
		vf_forget(host, adapter->pf, adapter->token);
	return error;
}

/* A VF by its number, after a fresh look. */
static struct vf_function *look_for(struct vf_adapter *adapter, unsigned index, unsigned look)
{
	struct vf_host *host = &adapter->host;
	struct vf_function *pf = vf_discover(host, look) ? NULL : find_pf(adapter);

	for (unsigned v = 0; pf && v < pf->vf_count; v++)
		if (pf->vfs[v].index == index)
			return &pf->vfs[v];
	if (pf)
		snprintf(host->reason, sizeof(host->reason), "%s: VF %u is not there", pf->name,
			 index);
	return NULL;
}

int card_take(struct vf_adapter *adapter, unsigned index, const struct vf_taking *taking)
{
	struct vf_function *vf = look_for(adapter, index, VF_LOOK_SETTINGS | VF_LOOK_USERS);
	int error = vf ? vf_take(&adapter->host, vf, taking, adapter->token) : -ENODEV;

	if (!error) {
		adapter->vfs[index].taken = true;
		adapter->vfs[index].told_gone = false;
		log_info("%s: VF %u is given, %s", vf->name, index, vf_use_names[taking->use]);
	}
	return error;
}

int card_set(struct vf_adapter *adapter, unsigned index, const struct vf_settings *settings)
{
	struct vf_function *vf = look_for(adapter, index, VF_LOOK_SETTINGS);

	return vf ? vf_set(&adapter->host, vf, settings, adapter->token) : -ENODEV;
}

int card_return(struct vf_adapter *adapter, unsigned index)
{
	struct vf_host *host = &adapter->host;
	/* Without its users: its interface in a partition's namespace is our own doing. */
	struct vf_function *vf = look_for(adapter, index, VF_LOOK_SETTINGS);
	char name[VF_ADDRESS_BYTES];
	int error;

	vf_address_format(&adapter->vfs[index].address, name);
	error = vf ? vf_release(host, vf, adapter->token) : vf_forget(host, name, adapter->token);
	/* It was never taken, or was given back before. */
	if (error == -ENOENT)
		error = 0;
	if (!error) {
		adapter->vfs[index].taken = false;
		adapter->vfs[index].faults = (struct vf_faults){0};
		log_info("%s: VF %u is back", name, index);
	}
	return error;
}

struct vf_function card_interface(const struct vf_adapter *adapter)
{
	struct vf_function pf = {0};

	memcpy(pf.name, adapter->pf, sizeof(pf.name));
	vf_look_interface(&adapter->host, &pf);
	return pf;
}

bool card_count(struct vf_adapter *adapter, struct vf_counters *counters)
{
	static const struct vf_counters none;
	const struct vf_kernel *kernel = adapter->host.kernel;

	memset(counters, 0, adapter->wish.vf_count * sizeof(*counters));
	if (!adapter->has_interface ||
	    kernel->counters_get(kernel->data, card_interface(adapter).ifindex, counters,
				 adapter->wish.vf_count))
		return false;
	for (unsigned v = 0; v < adapter->wish.vf_count; v++)
		if (memcmp(&counters[v], &none, sizeof(none)))
			return true;
	return false;
}
