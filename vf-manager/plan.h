/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a plan, for vf_plan(), which shows them, and vf_apply(), which acts between them. */
#ifndef VF_PLAN_H
#define VF_PLAN_H

#include "vf_internal.h"

/* Whose changes these are: the token of what they hold. */
const char *plan_owner(const struct vf_host *host);
/* Is every PF there, and named once? 0, -ENODEV, -EINVAL with a reason. */
int plan_check(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count);
/* Link, mode and number of VFs of one PF. */
int plan_pf(struct vf_host *host, struct vf_function *pf, const struct vf_pf_wish *wish,
	    unsigned flags, struct vf_plan *plan);
/* Its VFs; those that are still to come, too. `fresh`: no driver has been offered them yet. */
int plan_vfs(struct vf_host *host, struct vf_function *pf, const struct vf_pf_wish *wish,
	     unsigned flags, bool fresh, struct vf_plan *plan);
/* What an earlier apply left and no wish names; nothing without VF_PRUNE. */
int plan_prune(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count,
	       unsigned flags, struct vf_plan *plan);

#endif
