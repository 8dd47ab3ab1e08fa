/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The difference between what somebody wants and what is there, as steps in the order
 * that adapters need: the PF's link up, then VFs made, then their settings, then a
 * driver. Nothing here changes the machine. Called by `vf apply --dry-run` and by
 * apply.c, on their thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

const char *plan_owner(const struct vf_host *host)
{
	return host->owner ? host->owner : VF_OWNER_APPLY;
}

struct vf_function *vf_pf_find(struct vf_host *host, const struct vf_pf_wish *wish)
{
	for (unsigned i = 0; i < host->pf_count; i++) {
		struct vf_function *pf = host->pfs[i];

		if (wish->by_address ? vf_address_same(&pf->address, &wish->address)
		    : wish->by_mac   ? pf->mac_permanent && !memcmp(pf->mac, wish->mac, 6)
				     : pf->serial[0] && !strcmp(pf->serial, wish->serial))
			return pf;
	}
	return NULL;
}

static int not_there(struct vf_host *host, const struct vf_pf_wish *wish)
{
	char text[32];

	if (wish->by_address) {
		vf_address_format(&wish->address, text);
		return vf_refuse(host, -ENODEV, "%s: there is no function with SR-IOV at this "
				 "address; `outrigger vf list` shows what there is", text);
	}
	if (!wish->by_mac)
		return vf_refuse(host, -ENODEV, "serial %s: no function with SR-IOV has it (only "
				 "root can read serial numbers)", wish->serial);
	struct vf_settings settings = {0};
	memcpy(settings.mac, wish->mac, 6);
	vf_setting_format(&settings, VF_MAC, text, sizeof(text));
	return vf_refuse(host, -ENODEV, "mac %s: no function with SR-IOV has it as its permanent "
			 "address", text);
}

static struct vf_step *add(struct vf_plan *plan, enum vf_action action,
			   const struct vf_function *pf, const struct vf_function *function)
{
	if (plan->count == plan->room) {
		unsigned room = plan->room ? 2 * plan->room : 16;
		struct vf_step *steps = reallocarray(plan->steps, room, sizeof(*steps));

		if (!steps)
			return NULL;
		plan->steps = steps;
		plan->room = room;
	}
	struct vf_step *step = &plan->steps[plan->count++];
	*step = (struct vf_step){.action = action, .pf = pf->address,
				 .function = function->address, .index = function->index};
	snprintf(step->object, sizeof(step->object), "%s %s", function->is_vf ? "vf" : "pf",
		 function->name);
	return step;
}

/* ---- PFs ----------------------------------------------------------------------------- */

/* May all VFs of a PF be taken away? */
static int may_destroy(struct vf_host *host, const struct vf_function *pf, unsigned wanted,
		       unsigned flags)
{
	int error;

	for (unsigned v = 0; v < pf->vf_count; v++) {
		const struct vf_function *vf = &pf->vfs[v];

		if (vf->owner[0] && strcmp(vf->owner, plan_owner(host)))
			return vf_refuse(host, -EBUSY,
					 "%s: VF %u (%s) is held by \"%s\"; release it "
					 "first",
					 pf->name, vf->index, vf->name, vf->owner);
		if (vf->used_by[0] && !vf->only_up)
			return vf_refuse(host, -EBUSY, "%s: VF %u (%s): %s; stop that first",
					 pf->name, vf->index, vf->name, vf->used_by);
		error = vf_check_free(host, vf);
		if (error)
			return error;
	}
	if (!(flags & VF_ALLOW_DISRUPTIVE))
		return vf_refuse(host, -EBUSY,
				 "%s: has %u VFs, %u wanted: all of them must go first, "
				 "which --allow-disruptive allows",
				 pf->name, pf->num_vfs, wanted);
	return 0;
}

static bool eswitch_differs(const struct vf_function *pf, enum vf_eswitch wanted)
{
	/* Without devlink there is the legacy mode only. */
	enum vf_eswitch now = pf->eswitch == VF_ESWITCH_NONE ? VF_ESWITCH_LEGACY : pf->eswitch;

	return wanted != VF_ESWITCH_NONE && wanted != now;
}

static int check_pf(struct vf_host *host, const struct vf_function *pf,
		    const struct vf_pf_wish *wish)
{
	if (wish->vf_count > pf->total_vfs)
		return vf_refuse(host, -ERANGE, "%s: has at most %u VFs, %u wanted", pf->name,
				 pf->total_vfs, wish->vf_count);
	if (eswitch_differs(pf, wish->eswitch) && pf->eswitch == VF_ESWITCH_NONE)
		return vf_refuse(host, -EOPNOTSUPP, "%s: its driver (%s) has no switch mode",
				 pf->name, pf->driver[0] ? pf->driver : "none");
	return 0;
}

/* Only between none and some can their number change; the mode, while there are none. */
int plan_pf(struct vf_host *host, struct vf_function *pf, const struct vf_pf_wish *wish,
	    unsigned flags, struct vf_plan *plan)
{
	bool mode = eswitch_differs(pf, wish->eswitch), number = pf->num_vfs != wish->vf_count;
	struct vf_step *step;
	int error = check_pf(host, pf, wish);

	if (error || (!mode && !number))
		return error;
	if (pf->owner[0] && strcmp(pf->owner, plan_owner(host)))
		return vf_refuse(host, -EPERM, "%s: has %u VFs, %u wanted, but \"%s\" holds it",
				 pf->name, pf->num_vfs, wish->vf_count, pf->owner);
	if (pf->num_vfs) {
		error = may_destroy(host, pf, wish->vf_count, flags);
		step = error ? NULL : add(plan, VF_ACTION_DESTROY, pf, pf);
		if (!step)
			return error ? error : -ENOMEM;
		snprintf(step->detail, sizeof(step->detail), "vfs %u -> 0", pf->num_vfs);
	}
	if (mode) {
		step = add(plan, VF_ACTION_ESWITCH, pf, pf);
		if (!step)
			return -ENOMEM;
		step->eswitch = wish->eswitch;
		snprintf(step->detail, sizeof(step->detail), "eswitch %s -> %s",
			 vf_eswitch_names[pf->eswitch], vf_eswitch_names[wish->eswitch]);
	}
	/* VFs made before the link is up may never see it (82576). */
	if (wish->vf_count && pf->ifname[0] && !pf->carrier && !wish->any_link) {
		step = add(plan, VF_ACTION_LINK_UP, pf, pf);
		if (!step)
			return -ENOMEM;
		snprintf(step->detail, sizeof(step->detail), "%s up, with a link", pf->ifname);
	}
	if (!wish->vf_count)
		return 0;
	step = add(plan, VF_ACTION_CREATE, pf, pf);
	if (!step)
		return -ENOMEM;
	step->number = wish->vf_count;
	snprintf(step->detail, sizeof(step->detail), "vfs 0 -> %u", wish->vf_count);
	return 0;
}

/* ---- VFs ------------------------------------------------------------------------------- */

/* "vlan 0 -> 7, qos 0 -> 3" */
static void describe(struct vf_step *step, const struct vf_settings *live)
{
	char before[32], after[32];
	size_t used = 0;

	for (unsigned key = 0; key < VF_KEYS && used < sizeof(step->detail); key++) {
		if (!(step->keys & VF_BIT(key)))
			continue;
		strcpy(before, "?");
		if (live->given & VF_BIT(key))
			vf_setting_format(live, key, before, sizeof(before));
		vf_setting_format(&step->settings, key, after, sizeof(after));
		used += (size_t)snprintf(step->detail + used, sizeof(step->detail) - used,
					 "%s%s %s -> %s", used ? ", " : "", vf_key_names[key],
					 before, after);
	}
}

/* What goes in one request with a wished key and was not wished for stays as it is. */
static void fill(struct vf_settings *out, const struct vf_settings *live)
{
	unsigned keep = live->given & ~out->given;

	if (keep & VF_BIT(VF_VLAN))
		out->vlan = live->vlan;
	if (keep & VF_BIT(VF_QOS))
		out->qos = live->qos;
	if (keep & VF_BIT(VF_PROTO))
		out->proto = live->proto;
	if (keep & VF_BIT(VF_MIN_TX_RATE))
		out->min_tx_rate = live->min_tx_rate;
	if (keep & VF_BIT(VF_MAX_TX_RATE))
		out->max_tx_rate = live->max_tx_rate;
}

static int plan_settings(struct vf_host *host, const struct vf_function *vf,
			 const struct vf_wish *wish, unsigned flags, struct vf_plan *plan)
{
	unsigned differ = vf_settings_differ(&vf->live, &wish->settings);

	if (differ && !vf->pf->ifname[0])
		return vf_refuse(host, -EOPNOTSUPP, "%s: its PF %s has no interface here, by which "
				 "settings are made", vf->name, vf->pf->name);
	if (differ & VF_BIT(VF_MAC) && vf->used_by[0] && !(flags & VF_ALLOW_DISRUPTIVE))
		return vf_refuse(
			host, -EBUSY,
			"%s: %s, and another MAC takes effect with a new "
			"start of its driver only; --allow-disruptive sets it all the same",
			vf->name, vf->used_by);
	for (const unsigned *group = vf_key_groups; *group; group++) {
		if (!(differ & *group))
			continue;
		struct vf_step *step = add(plan, VF_ACTION_SET, vf->pf, vf);

		if (!step)
			return -ENOMEM;
		step->keys = differ & *group;
		step->settings = wish->settings;
		fill(&step->settings, &vf->live);
		describe(step, &vf->live);
	}
	return 0;
}

static int plan_msix(struct vf_host *host, const struct vf_function *vf, const struct vf_wish *wish,
		     bool there, struct vf_plan *plan)
{
	unsigned now = there && wish->msix >= 0 ? vf_look_msix(host, vf) : 0;

	if (wish->msix < 0 || (there && now == (unsigned)wish->msix))
		return 0;
	if (!vf->pf->msix_total)
		return vf_refuse(host, -EOPNOTSUPP, "%s: its driver (%s) does not share out MSI-X "
				 "vectors; leave msix out", vf->name,
				 vf->pf->driver[0] ? vf->pf->driver : "none");
	struct vf_step *step = add(plan, VF_ACTION_MSIX, vf->pf, vf);
	if (!step)
		return -ENOMEM;
	step->number = (unsigned)wish->msix;
	snprintf(step->detail, sizeof(step->detail), "msix %u -> %u", now, step->number);
	return 0;
}

/* Is it not where `word` says? A fresh VF has not been offered to any driver yet. */
static bool driver_differs(const struct vf_function *vf, const char *word, bool fresh)
{
	const char *meant = vf_driver_meant(vf, word);

	if (!*word)
		return fresh;
	if (*meant)
		return strcmp(vf->driver, meant) != 0;
	return fresh || vf->driver_override[0] || !strcmp(vf->driver, "vfio-pci");
}

static int plan_driver(struct vf_host *host, const struct vf_function *vf,
		       const struct vf_wish *wish, bool fresh, struct vf_plan *plan)
{
	const char *word = wish->driver[0] ? wish->driver : "default";

	(void)host;
	if (!driver_differs(vf, wish->driver, fresh))
		return 0;
	const char *meant = vf_driver_meant(vf, word);
	struct vf_step *step = add(plan, VF_ACTION_BIND, vf->pf, vf);
	if (!step)
		return -ENOMEM;
	snprintf(step->driver, sizeof(step->driver), "%s", word);
	snprintf(step->detail, sizeof(step->detail), "driver %s -> %s",
		 vf->driver[0] ? vf->driver : "none", *meant ? meant : "the kernel's choice");
	return 0;
}

static int plan_vf(struct vf_host *host, const struct vf_function *vf, const struct vf_wish *wish,
		   unsigned flags, bool there, bool fresh, struct vf_plan *plan)
{
	unsigned before = plan->count;
	int error = plan_settings(host, vf, wish, flags, plan);
	unsigned gentle = plan->count;

	if (!error)
		error = plan_msix(host, vf, wish, there, plan);
	if (!error)
		error = plan_driver(host, vf, wish, fresh, plan);
	if (error || plan->count == before)
		return error;
	for (unsigned i = before; i < plan->count; i++)
		plan->steps[i].fresh = fresh;
	if (vf->owner[0] && strcmp(vf->owner, plan_owner(host)))
		return vf_refuse(host, -EPERM, "%s: %s, but \"%s\" holds it", vf->name,
				 plan->steps[before].detail, vf->owner);
	if (plan->count > gentle && vf->used_by[0] &&
	    (!vf->only_up || !(flags & VF_ALLOW_DISRUPTIVE)))
		return vf_refuse(host, -EBUSY, "%s: %s, but %s%s", vf->name,
				 plan->steps[gentle].detail, vf->used_by,
				 vf->only_up ? "; --allow-disruptive takes it away all the same"
					     : "; stop that first");
	return 0;
}

int plan_vfs(struct vf_host *host, struct vf_function *pf, const struct vf_pf_wish *wish,
	     unsigned flags, bool fresh, struct vf_plan *plan)
{
	bool there = pf->num_vfs == wish->vf_count && !eswitch_differs(pf, wish->eswitch);
	int error = 0;

	if (there && pf->vf_count != pf->num_vfs)
		return vf_refuse(host, -ENODEV, "%s: says it has %u VFs, but %u are there; "
				 "`outrigger vf doctor` may say why", pf->name, pf->num_vfs,
				 pf->vf_count);
	for (unsigned i = 0; i < wish->vf_count && !error; i++) {
		struct vf_function coming = {.is_vf = true, .index = i, .pf = pf};

		if (there) {
			error = plan_vf(host, &pf->vfs[i], &wish->vfs[i], flags, true,
					fresh && !wish->keep_new, plan);
			continue;
		}
		coming.address = vf_address_of(&pf->address, pf->offset, pf->stride, i);
		vf_address_format(&coming.address, coming.name);
		error = plan_vf(host, &coming, &wish->vfs[i], flags, false, false, plan);
	}
	return error;
}

/* ---- What an earlier apply left --------------------------------------------------------- */

static const struct vf_pf_wish *wish_of(struct vf_host *host, const struct vf_function *pf,
					const struct vf_pf_wish *wishes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (vf_pf_find(host, &wishes[i]) == pf)
			return &wishes[i];
	return NULL;
}

static bool wants_nothing(const struct vf_wish *wish)
{
	return !wish->settings.given && !wish->driver[0] && wish->msix < 0;
}

static int prune_pf(struct vf_host *host, struct vf_function *pf, const struct vf_pf_wish *wish,
		    unsigned flags, struct vf_plan *plan)
{
	struct vf_record record;
	struct vf_step *step;
	int error;

	if (!wish && !strcmp(pf->owner, plan_owner(host))) {
		error = vf_record_load(host, pf->name, &record);
		if (!error && pf->num_vfs)
			error = may_destroy(host, pf, record.num_vfs, flags);
		step = error ? NULL : add(plan, VF_ACTION_RELEASE, pf, pf);
		if (!step)
			return error ? error : -ENOMEM;
		step->number = record.num_vfs;
		step->eswitch = record.eswitch;
		snprintf(step->detail, sizeof(step->detail), "back to %u VFs", record.num_vfs);
		return 0;
	}
	for (unsigned v = 0; v < pf->vf_count; v++) {
		const struct vf_function *vf = &pf->vfs[v];

		if (strcmp(vf->owner, plan_owner(host)) || pf->num_vfs != (wish ? wish->vf_count
									       : pf->num_vfs) ||
		    (wish && !wants_nothing(&wish->vfs[vf->index])))
			continue;
		if (vf->used_by[0] && (!vf->only_up || !(flags & VF_ALLOW_DISRUPTIVE)))
			return vf_refuse(host, -EBUSY, "%s: is to be released, but %s", vf->name,
					 vf->used_by);
		step = add(plan, VF_ACTION_RELEASE, pf, vf);
		if (!step)
			return -ENOMEM;
		snprintf(step->detail, sizeof(step->detail), "back to how it was");
	}
	return 0;
}

int plan_prune(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count,
	       unsigned flags, struct vf_plan *plan)
{
	int error = 0;

	for (unsigned i = 0; i < host->pf_count && !error && flags & VF_PRUNE; i++)
		error = prune_pf(host, host->pfs[i], wish_of(host, host->pfs[i], wishes, count),
				 flags, plan);
	return error;
}

int plan_check(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct vf_function *pf = vf_pf_find(host, &wishes[i]);

		if (!pf)
			return not_there(host, &wishes[i]);
		for (unsigned j = 0; j < i; j++)
			if (vf_pf_find(host, &wishes[j]) == pf)
				return vf_refuse(host, -EINVAL, "%s: is named twice", pf->name);
	}
	return 0;
}

int vf_plan(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count, unsigned flags,
	    struct vf_plan *out)
{
	struct vf_plan plan = {0};
	int error = plan_check(host, wishes, count);

	for (unsigned i = 0; i < count && !error; i++) {
		struct vf_function *pf = vf_pf_find(host, &wishes[i]);

		error = plan_pf(host, pf, &wishes[i], flags, &plan);
		if (!error)
			error = plan_vfs(host, pf, &wishes[i], flags, false, &plan);
	}
	if (!error)
		error = plan_prune(host, wishes, count, flags, &plan);
	if (error == -ENOMEM)
		vf_refuse(host, error, "out of memory");
	if (error)
		vf_plan_free(&plan);
	else
		*out = plan;
	return error;
}

void vf_plan_free(struct vf_plan *plan)
{
	free(plan->steps);
	*plan = (struct vf_plan){0};
}
