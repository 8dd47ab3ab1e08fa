/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a wish to the machine: what is done, in which order, how often, and what is
 * refused. Every operation that the kernel would have done is counted.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct fake fake;
static struct vf_wish vfs[VF_PER_PF_MAX];
static struct vf_pf_wish wish;
static unsigned told, told_failed;
static char first_failure[256];

static void set_up(void)
{
	fake_open(&fake);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_apply, .init = set_up, .fini = tear_down);

static void want(const struct fake_pf *pf, unsigned count)
{
	wish = (struct vf_pf_wish){.by_address = true, .vf_count = count, .vfs = vfs};
	cr_assert_eq(vf_address_parse(pf->address, &wish.address), 0);
	for (unsigned i = 0; i < VF_PER_PF_MAX; i++)
		vfs[i].msix = -1;
}

static void want_vlan(unsigned index, int vlan)
{
	vfs[index].settings.given |= VF_BIT(VF_VLAN);
	vfs[index].settings.vlan = vlan;
}

static void want_mac(unsigned index)
{
	vfs[index].settings.given |= VF_BIT(VF_MAC);
	memcpy(vfs[index].settings.mac, (uint8_t[]){2, 0, 0, 0, 1, (uint8_t)index}, 6);
}

static void take(void *data, const struct vf_step *step)
{
	(void)data;
	told++;
	told_failed += step->failed;
	if (step->failed && told_failed == 1)
		snprintf(first_failure, sizeof(first_failure), "%s: %s", step->object,
			 step->detail);
}

static int apply(unsigned flags)
{
	told = told_failed = 0;
	fake.operations = 0;
	fake.log[0] = '\0';
	return vf_apply(&fake.host, &wish, 1, flags, take, NULL);
}

static void applies(unsigned flags)
{
	int result = apply(flags);

	cr_assert_eq(result, 0, "%d: %s (%s)", result, fake.host.reason, first_failure);
}

static void refuses(unsigned flags, int error, const char *text)
{
	int result = apply(flags);

	cr_assert_eq(result, error, "%d instead of %d: %s", result, error, fake.host.reason);
	cr_assert(strstr(fake.host.reason, text), "no '%s' in: %s", text, fake.host.reason);
	cr_assert_eq(fake.operations, 0u, "a refusal touches nothing:\n%s", fake.log);
}

Test(vf_apply, order_of_a_first_time)
{
	struct fake_pf shape = fake_82576;
	shape.no_link = true;
	struct fake_pf *pf = fake_add(&fake, &shape);

	want(pf, 2);
	want_mac(0);
	strcpy(vfs[0].driver, "dpdk");
	applies(0);
	/* Link, no probing, VFs, MAC, its driver; only then probing as before, for the rest. */
	static const char *const order[] = {
		"up enp1s0f0", "sriov_drivers_autoprobe 0", "sriov_numvfs 2",
		"set enp1s0f0 vf 0", "driver_override vfio-pci", "drivers_probe 0000:01:10.0",
		"sriov_drivers_autoprobe 1", "drivers_probe 0000:01:10.2"};
	long before = -1;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		long at = fake_logged_at(&fake, order[i]);

		cr_assert_gt(at, before, "%s is not in its place:\n%s", order[i], fake.log);
		before = at;
	}
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver, "vfio-pci");
	cr_expect_str_eq(fake.host.pfs[0]->vfs[1].driver, "igbvf", "the kernel's choice, late");
	cr_expect(fake.host.pfs[0]->autoprobe);
}

Test(vf_apply, twice_is_once)
{
	want(fake_add(&fake, &fake_82576), 3);
	want_mac(1);
	want_vlan(1, 7);
	strcpy(vfs[2].driver, "vfio-pci");
	applies(0);
	cr_expect_gt(told, 0u);
	applies(0);
	cr_expect_eq(told, 0u);
	cr_expect_eq(fake.operations, 0u, "%s", fake.log);
}

/* 64 VFs cost what 64 VFs need, and a drift of one costs one. */
Test(vf_apply, no_more_operations_than_the_difference)
{
	struct fake_pf *pf = fake_add(&fake, &fake_e810);

	want(pf, 64);
	for (unsigned i = 0; i < 64; i++) {
		want_mac(i);
		want_vlan(i, 100 + (int)i);
		vfs[i].settings.given |= VF_BIT(VF_SPOOFCHK); /* a new VF has it on already */
		vfs[i].settings.spoofchk = true;
		strcpy(vfs[i].driver, "vfio-pci");
	}
	applies(0);
	/* autoprobe twice, numvfs; for each VF a MAC, a VLAN, an override, a probe. */
	cr_expect_eq(fake.operations, 3u + 64u * 4u, "%u operations", fake.operations);
	pf->settings[40].vlan = 1;
	applies(0);
	cr_expect_eq(fake.operations, 1u, "%s", fake.log);
	cr_expect_eq(pf->settings[40].vlan, 140);
}

Test(vf_apply, what_goes_in_one_request_keeps_the_rest)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 1);
	pf->settings[0].vlan = 5;
	pf->settings[0].qos = 3;
	pf->settings[0].min_tx_rate = 100;
	want(pf, 1);
	want_vlan(0, 6);
	vfs[0].settings.given |= VF_BIT(VF_MAX_TX_RATE);
	vfs[0].settings.max_tx_rate = 500;
	applies(0);
	cr_expect_eq(fake.operations, 2u, "%s", fake.log);
	cr_expect_eq(pf->settings[0].qos, 3);
	cr_expect_eq(pf->settings[0].min_tx_rate, 100);
	cr_expect_eq(pf->settings[0].max_tx_rate, 500);
}

Test(vf_apply, another_number_goes_through_none_and_needs_a_word)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	want(pf, 4);
	refuses(0, -EBUSY, "has 2 VFs, 4 wanted");
	applies(VF_ALLOW_DISRUPTIVE);
	cr_expect_geq(fake_logged_at(&fake, "sriov_numvfs 0"), 0);
	cr_expect_lt(fake_logged_at(&fake, "sriov_numvfs 0"),
		     fake_logged_at(&fake, "sriov_numvfs 4"));
}

Test(vf_apply, a_vf_in_use_stays_whatever_the_word)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	fake_put(&fake, "testpmd\n", "/proc/99/comm");
	fake_link(&fake, "/dev/vfio/12", "/proc/99/fd/9");
	want(pf, 4);
	refuses(VF_ALLOW_DISRUPTIVE, -EBUSY, "VF 1 (0000:01:10.2): process 99 (testpmd)");
	want(pf, 2);
	strcpy(vfs[1].driver, "vfio-pci");
	refuses(VF_ALLOW_DISRUPTIVE, -EBUSY, "process 99 (testpmd) has it open; stop that first");
}

Test(vf_apply, an_interface_that_is_up_needs_a_word)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 1);
	fake_put(&fake, "0x1003\n", "/sys/bus/pci/devices/0000:01:10.0/net/enp1s16f0/flags");
	want(pf, 1);
	strcpy(vfs[0].driver, "vfio-pci");
	refuses(0, -EBUSY, "its interface enp1s16f0 is up; --allow-disruptive");
	applies(VF_ALLOW_DISRUPTIVE);
	want_mac(0);
	vfs[0].driver[0] = '\0';
	applies(0);
}

Test(vf_apply, vfs_that_come_late_are_waited_for)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	pf->come_late = true;
	want(pf, 7);
	want_vlan(6, 9);
	applies(0);
	cr_expect_eq(pf->settings[6].vlan, 9);
	fake_look(&fake, 0);
	cr_expect(fake.host.pfs[0]->carrier, "and so is the link, which went meanwhile");
}

Test(vf_apply, fewer_than_asked_for_is_a_failure_and_probing_is_as_before)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	pf->come_less = 2;
	fake.host.wait_ns = 20000000; /* they never come: the shorter the better */
	want(pf, 7);
	cr_assert_eq(apply(0), -EIO);
	cr_expect_eq(told_failed, 1u);
	cr_expect(strstr(first_failure, "5 of 7 VFs came"), "%s", first_failure);
	fake_look(&fake, 0);
	cr_expect(fake.host.pfs[0]->autoprobe);
}

Test(vf_apply, one_that_is_missing_in_between_is_a_failure)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	pf->gap = 3;
	fake.host.wait_ns = 20000000;
	want(pf, 7);
	cr_assert_eq(apply(0), -EIO);
	cr_expect(strstr(first_failure, "6 of 7 VFs came"), "%s", first_failure);
}

Test(vf_apply, no_link_is_a_failure_unless_it_may_be_so)
{
	struct fake_pf shape = fake_82576;
	shape.no_link = shape.no_carrier_ever = true;

	fake.host.wait_ns = 20000000;
	want(fake_add(&fake, &shape), 2);
	cr_assert_eq(apply(0), -EIO);
	cr_expect(strstr(first_failure, "has no link"), "%s", first_failure);
	cr_expect_eq(fake_logged(&fake, "sriov_numvfs"), 0u);
	wish.any_link = true;
	applies(0);
}

Test(vf_apply, switch_mode_while_there_are_no_vfs)
{
	struct fake_pf *pf = fake_add(&fake, &fake_e810);

	fake_make_vfs(&fake, pf, 2);
	want(pf, 2);
	wish.eswitch = VF_ESWITCH_SWITCHDEV;
	refuses(0, -EBUSY, "--allow-disruptive");
	applies(VF_ALLOW_DISRUPTIVE);
	cr_expect_eq(pf->eswitch, VF_ESWITCH_SWITCHDEV);
	applies(0);
	cr_expect_eq(fake.operations, 0u);
}

Test(vf_apply, what_a_card_cannot_do)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	want(pf, 8);
	refuses(0, -ERANGE, "has at most 7 VFs, 8 wanted");
	want(pf, 1);
	wish.eswitch = VF_ESWITCH_SWITCHDEV;
	refuses(0, -EOPNOTSUPP, "(igb) has no switch mode");
	want(pf, 1);
	wish.eswitch = VF_ESWITCH_LEGACY; /* which is what it has */
	vfs[0].msix = 8;
	refuses(0, -EOPNOTSUPP, "does not share out MSI-X");
	want(&fake_x710, 1);
	refuses(0, -ENODEV, "0000:3b:00.1: there is no function with SR-IOV");
}

Test(vf_apply, by_mac_and_by_serial)
{
	struct fake_pf *pf = fake_add(&fake, &fake_e810);

	want(pf, 1);
	wish.by_address = false;
	strcpy(wish.serial, "b4-96-91-ff-ff-a5-12-34");
	applies(0);
	want(pf, 1);
	wish.by_address = false;
	wish.by_mac = true;
	memcpy(wish.mac, (uint8_t[]){0xa0, 0x36, 0x9f, 0, 0, 1}, 6);
	applies(0);
	wish.mac[5] = 2;
	refuses(0, -ENODEV, "mac a0:36:9f:00:00:02");
	wish.by_mac = false;
	strcpy(wish.serial, "b4-96-91-ff-ff-a5-12-35");
	refuses(0, -ENODEV, "serial b4-96");
}

Test(vf_apply, msix_while_no_driver_has_it)
{
	struct fake_pf *pf = fake_add(&fake, &fake_cx6);

	fake_make_vfs(&fake, pf, 1);
	want(pf, 1);
	vfs[0].msix = 12;
	applies(0);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(vf_look_msix(&fake.host, &fake.host.pfs[0]->vfs[0]), 12u);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver, "mlx5_core", "it is back");
	applies(0);
	cr_expect_eq(fake.operations, 0u);
}

Test(vf_apply, mlx5_stays_bound_for_dpdk)
{
	struct fake_pf *pf = fake_add(&fake, &fake_cx6);

	fake_make_vfs(&fake, pf, 1);
	want(pf, 1);
	strcpy(vfs[0].driver, "dpdk");
	applies(0);
	cr_expect_eq(fake.operations, 0u, "%s", fake.log);
}

Test(vf_apply, one_vf_that_fails_does_not_keep_the_next)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	want(pf, 2);
	want_vlan(0, 5);
	strcpy(vfs[0].driver, "vfio-pci");
	want_vlan(1, 6);
	fake.refuse = "set enp1s0f0 vf 0";
	fake.refuse_error = -EOPNOTSUPP;
	cr_assert_eq(apply(0), -EIO);
	cr_expect_eq(told_failed, 2u, "its VLAN, and with it its driver");
	cr_expect_eq(pf->settings[1].vlan, 6);
	fake.refuse = NULL;
	applies(0);
	cr_expect_eq(told, 2u, "the same again tries the rest");
}

/* i40e, until a new VF's reset is over. */
Test(vf_apply, try_again_is_tried_again)
{
	struct fake_pf *pf = fake_add(&fake, &fake_x710);

	want(pf, 1);
	want_vlan(0, 5);
	fake.refuse = "set ens1f1 vf 0";
	fake.refuse_error = -EAGAIN;
	fake.refuse_times = 4;
	applies(0);
	cr_expect_eq(fake_logged(&fake, "set ens1f1 vf 0"), 5u, "%s", fake.log);
	cr_expect_eq(pf->settings[0].vlan, 5);
	want_vlan(0, 6);
	fake.host.wait_ns = 20000000;
	fake.refuse = "set ens1f1 vf 0";
	cr_expect_eq(apply(0), -EIO, "not for ever");
}

Test(vf_apply, prune_takes_back_what_an_earlier_one_did)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	want(pf, 2);
	want_vlan(0, 5);
	applies(0);
	vfs[0] = (struct vf_wish){.msix = -1};
	applies(0);
	cr_expect_eq(pf->settings[0].vlan, 5, "what is not named stays");
	applies(VF_PRUNE);
	cr_expect_eq(pf->settings[0].vlan, 0);
	cr_expect_eq(fake.resets, 1u);
	cr_expect_eq(vf_apply(&fake.host, NULL, 0, VF_PRUNE, NULL, NULL), -EBUSY);
	cr_assert_eq(vf_apply(&fake.host, NULL, 0, VF_PRUNE | VF_ALLOW_DISRUPTIVE, NULL, NULL), 0,
		     "%s", fake.host.reason);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(fake.host.pfs[0]->num_vfs, 0u);
	cr_expect_str_eq(fake.host.pfs[0]->owner, "", "and nothing is remembered");
}

Test(vf_apply, a_plan_tells_what_apply_then_does)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);
	struct vf_plan plan;

	want(pf, 2);
	want_vlan(1, 5);
	strcpy(vfs[1].driver, "dpdk");
	fake_look(&fake, VF_LOOK_ALL);
	cr_assert_eq(vf_plan(&fake.host, &wish, 1, 0, &plan), 0, "%s", fake.host.reason);
	cr_assert_eq(plan.count, 3u);
	cr_expect_str_eq(plan.steps[0].detail, "vfs 0 -> 2");
	cr_expect_str_eq(plan.steps[1].object, "vf 0000:01:10.2", "where it will be");
	cr_expect_str_eq(plan.steps[1].detail, "vlan ? -> 5");
	cr_expect_str_eq(plan.steps[2].detail, "driver none -> vfio-pci");
	cr_expect_eq(fake.operations, 0u);
	vf_plan_free(&plan);
}

/* ---- What is refused before anything is done ------------------------------------------------ */

Test(vf_apply, one_adapter_named_twice)
{
	struct vf_pf_wish both[2];
	struct vf_plan plan;

	want(fake_add(&fake, &fake_82576), 2);
	both[0] = both[1] = wish;
	both[1].by_address = false;
	both[1].by_mac = true;
	memcpy(both[1].mac, (uint8_t[]){0xa0, 0x36, 0x9f, 0, 0, 1}, 6);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(vf_plan(&fake.host, both, 2, 0, &plan), -EINVAL);
	cr_expect(strstr(fake.host.reason, "0000:01:00.0: is named twice"), "%s", fake.host.reason);
}

Test(vf_apply, an_adapter_that_cannot_now)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	want(pf, 2);
	fake_put(&fake, "3\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	wish.vf_count = 3;
	refuses(0, -ENODEV, "says it has 3 VFs, but 2 are there");
	fake_put(&fake, "2\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	want(pf, 2);
	want_vlan(0, 5);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/net");
	refuses(0, -EOPNOTSUPP, "its PF 0000:01:00.0 has no interface here");
	vfs[0] = (struct vf_wish){.msix = 5};
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/driver");
	refuses(0, -EOPNOTSUPP, "its driver (none) does not share out MSI-X");
	vfs[0].msix = -1;
	wish.eswitch = VF_ESWITCH_SWITCHDEV;
	refuses(0, -EOPNOTSUPP, "its driver (none) has no switch mode");
}

Test(vf_apply, an_adapter_that_somebody_else_holds)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);
	struct vf_record record;

	want(pf, 2);
	fake_look(&fake, VF_LOOK_ALL);
	vf_record_of(fake.host.pfs[0], "red", &record);
	cr_assert_eq(vf_record_save(&fake.host, pf->address, &record), 0, "%s", fake.host.reason);
	refuses(0, -EPERM, "2 wanted, but \"red\" holds it");
}

Test(vf_apply, what_its_user_would_notice)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	want(pf, 2);
	want_mac(0);
	want_vlan(1, 7);
	fake_put(&fake, "0x1003\n", "/sys/bus/pci/devices/0000:01:10.0/net/enp1s16f0/flags");
	refuses(0, -EBUSY, "another MAC takes effect with a new start of its driver only");
	applies(VF_ALLOW_DISRUPTIVE);
	/* Taken back while a program has it, it is not; while its interface is up, by a word. */
	for (int i = 0; i < 2; i++)
		vfs[i] = (struct vf_wish){.msix = -1};
	refuses(VF_PRUNE, -EBUSY, "is to be released, but its interface enp1s16f0 is up");
	fake_put(&fake, "testpmd\n", "/proc/99/comm");
	fake_link(&fake, "/dev/vfio/11", "/proc/99/fd/9");
	refuses(VF_PRUNE | VF_ALLOW_DISRUPTIVE, -EBUSY, "but process 99 (testpmd) has it open");
	fake_remove(&fake, "/proc/99");
	applies(VF_PRUNE | VF_ALLOW_DISRUPTIVE);
	cr_expect_eq(pf->settings[1].vlan, 0);
}

/* To be probed by no driver is the machine's own wish, and stays. */
Test(vf_apply, a_machine_that_does_not_probe)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe");
	want(pf, 2);
	strcpy(vfs[1].driver, "default");
	applies(0);
	cr_expect_eq(fake_logged(&fake, "sriov_drivers_autoprobe"), 0u, "%s", fake.log);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver, "");
	cr_expect_str_eq(fake.host.pfs[0]->vfs[1].driver, "");
	/* One that a person bound comes back to the kernel's choice on request. */
	strcpy(vfs[0].driver, "vfio-pci");
	applies(0);
	strcpy(vfs[0].driver, "default");
	applies(0);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver, "igbvf");
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver_override, "");
}
