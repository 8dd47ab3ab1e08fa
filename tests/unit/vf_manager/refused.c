/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel that refuses any one operation, and memory that cannot be had at any one
 * place, while a document is applied to two adapters. Whatever it was: the person is
 * told which step failed and why, nothing of the failed function is done after it, and
 * the same document applied again brings the machine to where it would have been.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fault.h"
#include "support.h"

static struct fake fake;
static struct fake_pf *ice, *igb;
static struct vf_wish ice_vfs[3], igb_vfs[2];
static struct vf_pf_wish wishes[2];
static unsigned told_failed;
static char failure[256];

/*
 * Before: igb has three VFs from an earlier apply, and no link. Wanted: ice in switchdev
 * mode with three VFs, one of each kind; igb with two.
 */
static void set_up(void)
{
	struct fake_pf shape = fake_e810;

	fake_open(&fake);
	/* What never comes is waited for in many of these: the shorter the better. */
	fake.host.wait_ns = 15000000;
	shape.total = 4;
	ice = fake_add(&fake, &shape);
	shape = fake_82576;
	shape.no_link = true;
	igb = fake_add(&fake, &shape);
	fake_make_vfs(&fake, igb, 3);
	wishes[0] = (struct vf_pf_wish){.by_address = true, .vf_count = 3, .vfs = ice_vfs,
					.eswitch = VF_ESWITCH_SWITCHDEV};
	wishes[1] = (struct vf_pf_wish){.by_address = true, .vf_count = 2, .vfs = igb_vfs};
	vf_address_parse(ice->address, &wishes[0].address);
	vf_address_parse(igb->address, &wishes[1].address);
	for (int i = 0; i < 3; i++)
		ice_vfs[i] = (struct vf_wish){.msix = -1};
	for (int i = 0; i < 2; i++)
		igb_vfs[i] = (struct vf_wish){.msix = -1};
	ice_vfs[0].settings = (struct vf_settings){
		.given = VF_BIT(VF_MAC) | VF_BIT(VF_VLAN) | VF_BIT(VF_TRUST) | VF_BIT(VF_STATE) |
			 VF_BIT(VF_SPOOFCHK) | VF_BIT(VF_MAX_TX_RATE),
		.mac = {2, 0, 0, 0, 0, 1}, .vlan = 7, .trust = true, .state = VF_STATE_ENABLE,
		.max_tx_rate = 100};
	strcpy(ice_vfs[1].driver, "dpdk");
	ice_vfs[2].msix = 9;
	strcpy(igb_vfs[1].driver, "vfio-pci");
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_refused, .init = set_up, .fini = tear_down);

static void take(void *data, const struct vf_step *step)
{
	(void)data;
	if (step->failed && !told_failed++)
		snprintf(failure, sizeof(failure), "%s: %s", step->object, step->detail);
}

static int apply(void)
{
	told_failed = 0;
	failure[0] = '\0';
	fake.operations = 0;
	fake.log[0] = '\0';
	return vf_apply(&fake.host, wishes, 2, VF_ALLOW_DISRUPTIVE | VF_PRUNE, take, NULL);
}

/* Where every road must lead. */
static void expect_applied(const char *after, unsigned n)
{
	struct vf_host *host = &fake.host;

	cr_assert_eq(apply(), 0, "%s %u, then again: %s (%s)", after, n, host->reason, failure);
	cr_assert_eq(apply(), 0, "%s %u: %s", after, n, host->reason);
	cr_expect_eq(fake.operations, 0u, "%s %u: nothing is left to do:\n%s", after, n, fake.log);
	fake_look(&fake, VF_LOOK_ALL);
	const struct vf_function *first = host->pfs[0], *second = host->pfs[1];
	cr_assert_str_eq(first->name, igb->address);
	cr_expect_eq(first->num_vfs, 2u);
	cr_expect_str_eq(first->vfs[1].driver, "vfio-pci", "%s %u", after, n);
	cr_expect_eq(second->eswitch, VF_ESWITCH_SWITCHDEV, "%s %u", after, n);
	cr_assert_eq(second->vf_count, 3u);
	cr_expect_eq(second->vfs[0].live.vlan, 7, "%s %u", after, n);
	cr_expect_eq(second->vfs[0].live.mac[5], 1, "%s %u", after, n);
	cr_expect_str_eq(second->vfs[1].driver, "vfio-pci", "%s %u", after, n);
	cr_expect_eq(vf_look_msix(host, &second->vfs[2]), 9u, "%s %u", after, n);
}

Test(vf_refused, every_operation_in_turn)
{
	unsigned n, total;

	cr_assert_eq(apply(), 0, "%s (%s)", fake.host.reason, failure);
	total = fake.operations;
	cr_assert_gt(total, 20u);
	tear_down();
	for (n = 1; n <= total; n++) {
		set_up();
		fake.refuse_at = n;
		fake.refuse_error = -EPERM;
		int error = apply();
		cr_expect_eq(error, -EIO, "operation %u: %d", n, error);
		cr_expect_gt(told_failed, 0u, "operation %u", n);
		cr_expect(strstr(failure, "Operation not permitted"), "operation %u: %s", n,
			  failure);
		fake.refuse_at = 0;
		bool was_probing = strstr(failure, "writing \"1\" to") != NULL;
		expect_applied("operation", n);
		/* Only what refuses to be switched on again stays off, as was told; the
		 * doctor tells it, too. */
		for (int i = 0; i < 2; i++)
			cr_expect(fake.host.pfs[i]->autoprobe || was_probing, "operation %u: %s", n,
				  failure);
		tear_down();
	}
	set_up();
}

Test(vf_refused, no_memory_at_any_place)
{
	fault_json();
	/* Of those that look at the machine crash.c takes each; here a part, to be quick. */
	for (unsigned n = 1; fault_round(n); n += 11) {
		tear_down();
		set_up();
		fault_start(n, ENOMEM);
		int error = apply();
		bool failed = fault_end();

		/* Where a file could not be read for it, the adapter may look unable to. */
		cr_expect(failed || !error, "allocation %u: %d", n, error);
		cr_expect(!error || fake.host.reason[0], "allocation %u: no reason", n);
		expect_applied("allocation", n);
	}
}

/* What the adapter's bus has no room for is a matter of the firmware, which is said. */
Test(vf_refused, no_room_on_the_bus)
{
	fake.refuse = "sriov_numvfs 3";
	fake.refuse_error = -ENOMEM;
	cr_expect_eq(apply(), -EIO);
	cr_expect(strstr(failure, "no room for 3 VFs on its bus"), "%s", failure);
	fake.refuse_error = -ENOSPC;
	cr_expect_eq(apply(), -EIO);
	cr_expect(strstr(failure, "pci=realloc"), "%s", failure);
}

Test(vf_refused, a_setting_that_the_driver_does_not_have)
{
	fake.refuse = "set ens2f0 vf 0";
	fake.refuse_error = -EOPNOTSUPP;
	cr_expect_eq(apply(), -EIO);
	cr_expect(strstr(failure, "the driver ice cannot set this"), "%s", failure);
	fake.refuse = NULL;
	expect_applied("setting", 0);
}

/* Taken back to what it was before the first apply: three VFs, and the legacy mode. */
Test(vf_refused, taking_all_of_it_back)
{
	unsigned total, flags = VF_PRUNE | VF_ALLOW_DISRUPTIVE;

	cr_assert_eq(apply(), 0, "%s (%s)", fake.host.reason, failure);
	fake.operations = 0;
	cr_assert_eq(vf_apply(&fake.host, NULL, 0, flags, take, NULL), 0, "%s (%s)",
		     fake.host.reason, failure);
	total = fake.operations;
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(fake.host.pfs[0]->num_vfs, 3u);
	cr_expect_eq(fake.host.pfs[1]->num_vfs, 0u);
	cr_expect_eq(fake.host.pfs[1]->eswitch, VF_ESWITCH_LEGACY);
	for (unsigned n = 1; n <= total; n++) {
		tear_down();
		set_up();
		cr_assert_eq(apply(), 0, "%s (%s)", fake.host.reason, failure);
		fake.operations = told_failed = 0;
		fake.refuse_at = n;
		fake.refuse_error = -EPERM;
		cr_expect_eq(vf_apply(&fake.host, NULL, 0, flags, take, NULL), -EIO,
			     "operation %u", n);
		cr_expect(strstr(failure, "Operation not permitted"), "operation %u: %s", n,
			  failure);
		fake.refuse_at = 0;
		cr_assert_eq(vf_apply(&fake.host, NULL, 0, flags, take, NULL), 0,
			     "operation %u, again: %s (%s)", n, fake.host.reason, failure);
		fake_look(&fake, VF_LOOK_ALL);
		cr_expect_eq(fake.host.pfs[0]->num_vfs, 3u, "operation %u", n);
		cr_expect_eq(fake.host.pfs[1]->num_vfs, 0u, "operation %u", n);
		cr_expect_eq(fake.host.pfs[1]->eswitch, VF_ESWITCH_LEGACY, "operation %u", n);
		cr_expect_str_eq(fake.host.pfs[0]->owner, "", "operation %u", n);
	}
}
