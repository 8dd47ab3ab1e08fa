/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does what plan.c found: PFs first, then a second look at the machine, then VFs. Every
 * function's original state is on disk before its first change. VFs come and go by
 * themselves after sriov_numvfs is written, so each wait looks at the links that must
 * appear, with a deadline. Called by `outrigger vf apply`, on its thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"

struct run {
	struct vf_host *host;
	void (*told)(void *data, const struct vf_step *step);
	void *data;
	unsigned failed;
};

/* ---- PFs ------------------------------------------------------------------------------ */

struct wait_vfs {
	const char *name;
	unsigned count;
};

static unsigned count_vfs(struct vf_host *host, const char *name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < VF_PER_PF_MAX; i++)
		count += vf_exists(host, VF_DEVICE "/virtfn%u", name, i);
	return count;
}

static int vfs_came(struct vf_host *host, const void *data)
{
	const struct wait_vfs *wait = data;

	/* The last comes last; only then is it worth counting. */
	if (wait->count && !vf_exists(host, VF_DEVICE "/virtfn%u", wait->name, wait->count - 1))
		return -EAGAIN;
	return count_vfs(host, wait->name) == wait->count ? 0 : -EAGAIN;
}

static int set_number(struct vf_host *host, const struct vf_function *pf, unsigned number)
{
	const struct wait_vfs wait = {pf->name, number};
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	int error = vf_write(host, text, VF_DEVICE "/sriov_numvfs", pf->name);
	if (error == -ENOMEM || error == -ENOSPC)
		return vf_refuse(
			host, error,
			"%s: there is no room for %u VFs on its bus: allow "
			"64-bit addresses (above 4G) in the firmware's set-up, or boot with "
			"pci=realloc",
			pf->name, number);
	if (error)
		return error;
	error = vf_wait(host, vfs_came, &wait);
	if (error)
		vf_refuse(host, error, "%s: %u of %u VFs came; the kernel's log says why",
			  pf->name, count_vfs(host, pf->name), number);
	return error;
}

/* Its interface may have got another name since it was last looked at. */
static int has_link(struct vf_host *host, const void *data)
{
	struct vf_function *pf = *(struct vf_function *const *)data;

	vf_look_interface(host, pf);
	return pf->carrier ? 0 : -EAGAIN;
}

/*
 * No driver may take a new VF before it is set up: not as it comes, and not when udev
 * loads the driver's module for it a moment later. offer() ends that.
 */
static int create(struct vf_host *host, struct vf_function *pf, unsigned number)
{
	bool linked = !has_link(host, &pf);
	bool hold =
		pf->autoprobe && vf_exists(host, VF_DEVICE "/sriov_drivers_autoprobe", pf->name);
	int error = 0;

	if (hold)
		error = vf_write(host, "0", VF_DEVICE "/sriov_drivers_autoprobe", pf->name);
	if (error)
		return error;
	error = set_number(host, pf, number);
	/* igb resets itself for it; without a link it then refuses rates. */
	if (!error && linked) {
		error = vf_wait(host, has_link, &pf);
		if (error)
			vf_refuse(host, error, "%s: its link did not come back after %u VFs were "
				  "made", pf->name, number);
	}
	return error;
}

/* Drivers may take VFs of this PF as before. `error`, with its reason, or that of this. */
static int offer(struct vf_host *host, const struct vf_function *pf, int error)
{
	char reason[VF_REASON_BYTES];
	bool held = !vf_read_number(host, 1, VF_DEVICE "/sriov_drivers_autoprobe", pf->name);

	memcpy(reason, host->reason, sizeof(reason));
	int after = held ? vf_write(host, "1", VF_DEVICE "/sriov_drivers_autoprobe", pf->name) : 0;

	if (error)
		memcpy(host->reason, reason, sizeof(reason));
	return error ? error : after;
}

/* The VFs that a record was about are no more. */
static int destroy(struct vf_host *host, const struct vf_function *pf)
{
	int error = set_number(host, pf, 0);

	for (unsigned v = 0; v < pf->vf_count && !error; v++)
		if (pf->vfs[v].owner[0])
			error = vf_record_remove(host, pf->vfs[v].name);
	return error;
}

static int link_up(struct vf_host *host, struct vf_function *pf)
{
	int error = pf->up ? 0 : host->kernel->link_up(host->kernel->data, pf->ifindex);

	if (error)
		return vf_refuse(host, error, "%s: setting %s up: %s", pf->name, pf->ifname,
				 strerror(-error));
	error = vf_wait(host, has_link, &pf);
	if (error)
		vf_refuse(host, error, "%s: %s is up, but has no link: VFs made now may never see "
			  "one. Plug the cable in, or give this PF `any_link: yes`", pf->name,
			  pf->ifname);
	return error;
}

static int set_eswitch(struct vf_host *host, const struct vf_function *pf, enum vf_eswitch mode)
{
	int error = host->kernel->eswitch_set(host->kernel->data, pf->name, mode);

	if (error)
		vf_refuse(host, error, "%s: switch mode %s: %s", pf->name, vf_eswitch_names[mode],
			  strerror(-error));
	return error;
}

static int release_pf(struct vf_host *host, struct vf_function *pf, const struct vf_step *step)
{
	int error = pf->num_vfs ? destroy(host, pf) : 0;

	if (!error && step->eswitch != VF_ESWITCH_NONE && step->eswitch != pf->eswitch)
		error = set_eswitch(host, pf, step->eswitch);
	if (!error && step->number) {
		error = create(host, pf, step->number);
		error = pf->autoprobe ? offer(host, pf, error) : error;
	}
	return error ? error : vf_record_remove(host, pf->name);
}

static int do_pf(struct vf_host *host, struct vf_function *pf, const struct vf_step *step)
{
	int error = 0;

	if (step->action != VF_ACTION_LINK_UP && step->action != VF_ACTION_RELEASE)
		error = vf_record_claim(host, pf, plan_owner(host), false);
	if (error)
		return error;
	switch (step->action) {
	case VF_ACTION_LINK_UP: return link_up(host, pf);
	case VF_ACTION_DESTROY: return destroy(host, pf);
	case VF_ACTION_ESWITCH: return set_eswitch(host, pf, step->eswitch);
	case VF_ACTION_CREATE: return create(host, pf, step->number);
	case VF_ACTION_RELEASE: return release_pf(host, pf, step);
	default: return -EINVAL;
	}
}

/* ---- VFs -------------------------------------------------------------------------------- */

/* A driver must be off a VF while its vectors change; the same one comes back. */
static int set_msix(struct vf_host *host, struct vf_function *vf, unsigned vectors)
{
	char text[16], driver[VF_NAME_BYTES];
	int error, after = 0;

	memcpy(driver, vf->driver, sizeof(driver));
	snprintf(text, sizeof(text), "%u", vectors);
	error = vf_unbind(host, vf);
	if (error)
		return error;
	error = vf_write(host, text, VF_DEVICE "/sriov_vf_msix_count", vf->name);
	if (driver[0])
		after = vf_move(host, vf, vf->driver_override, driver);
	return error ? error : after;
}

/* A new VF goes to whichever of the kernel's drivers wants it. */
static bool is_offer(const struct vf_step *step)
{
	return step->fresh && step->action == VF_ACTION_BIND && !strcmp(step->driver, "default");
}

static int do_vf(struct vf_host *host, struct vf_function *vf, const struct vf_step *step)
{
	int error;

	if (step->action == VF_ACTION_RELEASE)
		return vf_release_locked(host, vf, plan_owner(host));
	/* An offer is nothing that could be taken back. */
	error = is_offer(step) ? 0 : vf_record_claim(host, vf, plan_owner(host), step->fresh);
	if (error)
		return error;
	switch (step->action) {
	case VF_ACTION_MSIX: return set_msix(host, vf, step->number);
	case VF_ACTION_BIND:
		error = vf_driver_set(host, vf, step->driver);
		return error == 1 ? 0 : error;
	case VF_ACTION_SET: break;
	default: return -EINVAL;
	}
	error = vf_settings_put(host, vf, step->keys, &step->settings);
	if (error == -EOPNOTSUPP)
		return vf_refuse(host, error, "the driver %s cannot set this", vf->pf->driver);
	if (error)
		vf_refuse(host, error, "%s: %s", vf->pf->ifname, strerror(-error));
	return error;
}

/* ---- The whole ------------------------------------------------------------------------------ */

static void fail(struct run *run, struct vf_step *step, const char *reason)
{
	step->failed = true;
	snprintf(step->detail, sizeof(step->detail), "%.*s", (int)sizeof(step->detail) - 1, reason);
	run->failed++;
}

static bool failed_before(const struct vf_plan *plan, unsigned at)
{
	for (unsigned i = at; i-- > 0;)
		if (plan->steps[i].failed &&
		    vf_address_same(&plan->steps[i].function, &plan->steps[at].function))
			return true;
	return false;
}

static int do_step(struct run *run, const struct vf_step *step)
{
	char name[VF_ADDRESS_BYTES];

	vf_address_format(&step->function, name);
	struct vf_function *function = vf_find(run->host, name);

	if (!function)
		return -ENODEV;
	return function->is_vf ? do_vf(run->host, function, step) : do_pf(run->host, function, step);
}

/* Offers, or all that comes before them: in their order; after one fails, the rest of that
 * function's are left alone. */
static void do_steps(struct run *run, struct vf_plan *plan, bool offers)
{
	for (unsigned i = 0; i < plan->count; i++) {
		struct vf_step *step = &plan->steps[i];

		if (is_offer(step) != offers)
			continue;
		if (failed_before(plan, i))
			fail(run, step, "left alone after what failed before");
		else if (do_step(run, step))
			fail(run, step, run->host->reason);
		if (run->told)
			run->told(run->data, step);
	}
}

/* PFs by themselves; 0, or the plan's refusal. *changed: `fresh[i]` of each that has new VFs. */
static int apply_pfs(struct run *run, const struct vf_pf_wish *wishes, unsigned count,
		     unsigned flags, bool *fresh, bool *changed)
{
	struct vf_host *host = run->host;
	struct vf_plan plan = {0};
	int error = plan_check(host, wishes, count);

	for (unsigned i = 0; i < count && !error; i++) {
		struct vf_function *pf = vf_pf_find(host, &wishes[i]);
		unsigned before = plan.count;

		error = plan_pf(host, pf, &wishes[i], flags, &plan);
		fresh[i] = plan.count > before && pf->autoprobe;
	}
	if (!error)
		do_steps(run, &plan, false);
	*changed = plan.count > 0;
	vf_plan_free(&plan);
	return error;
}

/* Of the PFs that have new VFs. What fails is told as if it were of their making. */
static void offer_all(struct run *run, const struct vf_pf_wish *wishes, unsigned count,
		      const bool *fresh)
{
	char reason[VF_REASON_BYTES];

	memcpy(reason, run->host->reason, sizeof(reason));
	for (unsigned i = 0; i < count; i++) {
		const struct vf_function *pf = fresh[i] ? vf_pf_find(run->host, &wishes[i]) : NULL;
		struct vf_step step = {.action = VF_ACTION_CREATE, .number = wishes[i].vf_count};

		if (!pf || !offer(run->host, pf, 0))
			continue;
		step.function = pf->address;
		fail(run, &step, run->host->reason);
		if (run->told)
			run->told(run->data, &step);
	}
	memcpy(run->host->reason, reason, sizeof(reason));
}

static int apply_vfs(struct run *run, const struct vf_pf_wish *wishes, unsigned count,
		     unsigned flags, const bool *fresh)
{
	struct vf_host *host = run->host;
	struct vf_plan plan = {0};
	int error = 0;

	for (unsigned i = 0; i < count && !error; i++) {
		struct vf_function *pf = vf_pf_find(host, &wishes[i]);

		error = pf ? plan_vfs(host, pf, &wishes[i], flags, fresh[i], &plan)
			   : vf_refuse(host, -ENODEV, "a PF vanished meanwhile");
	}
	if (!error)
		error = plan_prune(host, wishes, count, flags, &plan);
	if (!error)
		do_steps(run, &plan, false);
	offer_all(run, wishes, count, fresh);
	if (!error)
		do_steps(run, &plan, true);
	vf_plan_free(&plan);
	return error;
}

static int apply_locked(struct run *run, const struct vf_pf_wish *wishes, unsigned count,
			unsigned flags)
{
	struct vf_host *host = run->host;
	bool *fresh = calloc(count + 1u, sizeof(*fresh)), changed = false;
	struct vf_plan whole = {0};
	int error = fresh ? vf_discover(host, VF_LOOK_ALL) : -ENOMEM;

	/* What would be refused later is refused before anything changes. */
	if (!error)
		error = vf_plan(host, wishes, count, flags, &whole);
	vf_plan_free(&whole);
	if (!error)
		error = apply_pfs(run, wishes, count, flags, fresh, &changed);
	bool vfs = !error && !run->failed;

	if (vfs && changed)
		error = vf_discover(host, VF_LOOK_ALL);
	if (vfs && !error)
		error = apply_vfs(run, wishes, count, flags, fresh);
	else if (fresh)
		offer_all(run, wishes, count, fresh);
	free(fresh);
	if (error)
		return error;
	return run->failed ? vf_refuse(host, -EIO, "%u steps failed", run->failed) : 0;
}

int vf_apply(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count, unsigned flags,
	     void (*told)(void *data, const struct vf_step *step), void *data)
{
	struct run run = {.host = host, .told = told, .data = data};
	int lock = host->state[0] ? vf_lock(host) : -1, error;

	if (host->state[0] && lock < 0)
		return lock;
	error = apply_locked(&run, wishes, count, flags);
	if (error == -ENOMEM)
		vf_refuse(host, error, "out of memory");
	if (lock >= 0)
		close(lock);
	return error;
}
