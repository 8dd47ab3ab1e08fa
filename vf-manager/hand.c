/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hands a VF to somebody who is to use it: taken from its driver, reset while nobody can
 * start it, so that nothing of an owner before reaches the next (T10), set up by its PF,
 * then given to vfio-pci, to the kernel's driver in another network namespace, or to a
 * user's program. Original state is on disk before the first change; vf_release() is the
 * way back. Called by vf.h's users, on their thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vf_internal.h"

const char *const vf_use_names[] = {"adjunct", "netdev", "vfio", NULL};

int vf_pf_parse(const char *text, struct vf_pf_wish *out)
{
	if (!vf_address_parse(text, &out->address)) {
		out->by_address = true;
		return 0;
	}
	out->by_mac = vf_mac_parse(text, out->mac);
	return out->by_mac ? 0 : -EINVAL;
}

/* ---- Settings ------------------------------------------------------------------------ */

/* What a driver does not tell of stays out of it where the wish is what every VF has. */
static struct vf_settings leave_untold(const struct vf_settings *wished,
				       const struct vf_settings *live)
{
	static const struct vf_settings plain = {.spoofchk = true};
	struct vf_settings known = plain, result = *wished;

	known.given = wished->given & ~VF_BIT(VF_MAC);
	/* Keys in which the wish is no more than the plain state. */
	unsigned same = known.given & ~vf_settings_differ(&known, wished);

	result.given &= ~(same & ~live->given);
	return result;
}

static int bring_settings(struct vf_host *host, struct vf_function *vf,
			  const struct vf_settings *wished)
{
	const struct vf_settings wanted = leave_untold(wished, &vf->live);

	if (vf_settings_differ(&vf->live, &wanted) && !vf->pf->ifname[0])
		return vf_refuse(host, -EOPNOTSUPP, "%s: its PF %s has no interface here, by which "
				 "settings are made", vf->name, vf->pf->name);
	int error = vf_settings_bring(host, vf, &wanted);
	if (error == -EOPNOTSUPP)
		vf_refuse(host, error, "%s: the driver %s cannot set all that is asked for",
			  vf->name, vf->pf->driver);
	return error;
}

/* Some drivers forget a VF's settings as it is reset. */
static void look_settings_again(struct vf_host *host, struct vf_function *vf)
{
	struct vf_settings live[VF_PER_PF_MAX] = {{0}};

	if (!host->kernel->settings_get(host->kernel->data, vf->pf->ifindex, live, vf->index + 1))
		vf->live = live[vf->index];
}

static int set_locked(struct vf_host *host, struct vf_function *vf,
		      const struct vf_settings *settings, const char *token)
{
	struct vf_record record;
	int error = vf_record_load(host, vf->name, &record);

	if (error)
		return error == -ENOENT ? vf_refuse(host, error, "%s: nobody holds it", vf->name)
					: error;
	if (strcmp(record.token, token))
		return vf_refuse(host, -EPERM, "%s: is held by \"%s\"", vf->name, record.token);
	return bring_settings(host, vf, settings);
}

int vf_set(struct vf_host *host, struct vf_function *vf, const struct vf_settings *settings,
	   const char *token)
{
	int lock = vf_lock_for(host, vf, token);

	if (lock < 0)
		return lock;
	int error = set_locked(host, vf, settings, token);
	close(lock);
	return error;
}

/* ---- Who else ------------------------------------------------------------------------- */

struct neighbours {
	struct vf_host *host;
	const struct vf_function *vf;
};

/* VFIO gives a group away whole: nothing in it may be with a driver of the kernel's. */
static int check_neighbour(void *data, const char *address, const char *driver)
{
	const struct neighbours *n = data;

	if (!strcmp(address, n->vf->name) || !*driver || !strncmp(driver, "vfio", 4) ||
	    !strcmp(driver, "pci-stub"))
		return 0;
	return vf_refuse(n->host, -EBUSY, "%s: %s is in its IOMMU group %d, and has the driver "
			 "%s: VFIO takes groups whole. Put the card in another slot, or take %s "
			 "from its driver", n->vf->name, address, n->vf->iommu_group, driver,
			 address);
}

static int check_vfio(struct vf_host *host, const struct vf_function *vf)
{
	struct neighbours neighbours = {host, vf};

	if (vf->iommu_group < 0)
		return vf_refuse(host, -EOPNOTSUPP, "%s: has no IOMMU group: switch the IOMMU on in "
				 "the firmware's set-up and boot with intel_iommu=on; `outrigger vf "
				 "doctor` says more", vf->name);
	return vf_group_members(host, vf->iommu_group, check_neighbour, &neighbours);
}

/* ---- Taking ----------------------------------------------------------------------------- */

struct move {
	struct vf_function *vf;
	const struct vf_taking *taking;
};

/* An interface comes some time after its driver, and another one if that begins anew. */
static int try_move(struct vf_host *host, const void *data)
{
	const struct move *move = data;

	vf_look_common(host, move->vf);
	if (!move->vf->ifindex)
		return -EAGAIN;
	int error = host->kernel->link_move(host->kernel->data, move->vf->ifindex,
					    move->taking->netns_fd, move->taking->ifname);
	return error == -ENODEV ? -EAGAIN : error;
}

static int give_netdev(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking)
{
	const struct move move = {vf, taking};
	int error = vf_driver_set(host, vf, "default");

	if (error < 0)
		return error;
	error = vf_wait(host, try_move, &move);
	if (error == -ETIMEDOUT)
		return vf_refuse(host, error, "%s: no interface came: %s", vf->name,
				 vf->driver[0] ? "the kernel's log says why"
					       : "the kernel has no driver for it; load one "
						 "(igbvf, ixgbevf, iavf, mlx5_core)");
	if (error)
		vf_refuse(host, error, "%s: its interface %s cannot become %s of the partition: %s",
			  vf->name, vf->ifname, taking->ifname, strerror(-error));
	return error;
}

static int give_vfio(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking)
{
	int error = vf_driver_set(host, vf, "vfio-pci");

	if (error < 0)
		return error;
	error = host->kernel->group_give(host->kernel->data, vf->iommu_group, taking->uid);
	if (error)
		vf_refuse(host, error, "%s: /dev/vfio/%d cannot be given to its user: %s", vf->name,
			  vf->iommu_group, strerror(-error));
	return error;
}

static int give(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking)
{
	int error;

	switch (taking->use) {
	case VF_USE_NETDEV: return give_netdev(host, vf, taking);
	case VF_USE_VFIO: return give_vfio(host, vf, taking);
	case VF_USE_ADJUNCT: break;
	}
	error = vf_driver_set(host, vf, "dpdk");
	return error == 1 ? 0 : error;
}

/* It is with what is to drive it already, since an earlier time. */
static bool is_given(const struct vf_function *vf, const struct vf_taking *taking)
{
	const char *driver = taking->use == VF_USE_ADJUNCT ? vf_driver_meant(vf, "dpdk")
							   : "vfio-pci";

	return taking->use != VF_USE_NETDEV && !strcmp(vf->driver, driver);
}

static int make_clean(struct vf_host *host, struct vf_function *vf)
{
	int error = vf_check_free(host, vf);

	if (!error)
		error = vf_unbind(host, vf);
	if (!error)
		error = vf_reset(host, vf);
	if (!error)
		look_settings_again(host, vf);
	return error;
}

static int take_locked(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking,
		       const char *token)
{
	struct vf_record record;
	bool held = !vf_record_load(host, vf->name, &record) && !strcmp(record.token, token);
	int error = 0;

	if (!held && vf->used_by[0])
		return vf_refuse(host, -EBUSY, "%s: %s; stop that first", vf->name, vf->used_by);
	/* Beside mlx5's kernel driver there is no VFIO. */
	if (taking->use == VF_USE_VFIO || (taking->use == VF_USE_ADJUNCT &&
					   !strcmp(vf_driver_meant(vf, "dpdk"), "vfio-pci")))
		error = check_vfio(host, vf);
	if (!error)
		error = vf_record_claim(host, vf, token, false);
	if (!error && !(held && is_given(vf, taking)))
		error = make_clean(host, vf);
	/* Before a driver can see it. */
	if (!error)
		error = bring_settings(host, vf, &taking->settings);
	return error ? error : give(host, vf, taking);
}

int vf_take(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking,
	    const char *token)
{
	int lock = vf_lock_for(host, vf, token);

	if (lock < 0)
		return lock;
	int error = take_locked(host, vf, taking, token);
	close(lock);
	return error;
}
