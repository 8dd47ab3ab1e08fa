/* SPDX-License-Identifier: BSD-2-Clause */
/* A VF handed to its next owner: clean, set up first, and to nobody else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

#define ADDRESS "0000:01:10.0"

static struct fake fake;
static struct fake_pf *pf;
static struct vf_taking taking;

static void set_up(void)
{
	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
	fake_make_vfs(&fake, pf, 2);
	taking = (struct vf_taking){
		.settings = {.given = VF_BIT(VF_MAC) | VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) |
				      VF_BIT(VF_PROTO) | VF_BIT(VF_SPOOFCHK) | VF_BIT(VF_TRUST) |
				      VF_BIT(VF_STATE) | VF_BIT(VF_MIN_TX_RATE) |
				      VF_BIT(VF_MAX_TX_RATE),
			     .mac = {2, 0, 0, 0, 0, 7}, .spoofchk = true},
		.netns_fd = 9, .ifname = "net0", .uid = 1000};
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_hand, .init = set_up, .fini = tear_down);

static struct vf_function *vf(void)
{
	fake_look(&fake, VF_LOOK_ALL);
	return &fake.host.pfs[0]->vfs[0];
}

static int take(enum vf_use use)
{
	taking.use = use;
	fake.log[0] = '\0';
	fake.operations = 0;
	return vf_take(&fake.host, vf(), &taking, "nic0");
}

static void takes(enum vf_use use)
{
	cr_assert_eq(take(use), 0, "%s", fake.host.reason);
}

/* T10: what an owner before left is reset before the next driver can see it. */
Test(vf_hand, T10_clean_and_set_up_before_its_driver)
{
	takes(VF_USE_ADJUNCT);
	cr_expect_str_eq(vf()->driver, "vfio-pci");
	cr_expect_str_eq(vf()->owner, "nic0");
	cr_expect_eq(fake.resets, 1u);
	long unbound = fake_logged_at(&fake, "unbind"), reset = fake_logged_at(&fake, "/reset");
	long set = fake_logged_at(&fake, "set enp1s0f0 vf 0");
	long probed = fake_logged_at(&fake, "drivers_probe");
	cr_expect(0 <= unbound && unbound < reset && reset < set && set < probed, "%s", fake.log);
	cr_expect_eq(pf->settings[0].mac[5], 7);
	/* What is as wished already costs nothing: the MAC alone differs. */
	cr_expect_eq(fake_logged(&fake, "set enp1s0f0"), 1u, "%s", fake.log);
	takes(VF_USE_ADJUNCT);
	cr_expect_eq(fake.operations, 0u, "the same again: %s", fake.log);
	taking.settings.vlan = 5;
	takes(VF_USE_ADJUNCT);
	cr_expect_eq(fake.operations, 1u, "%s", fake.log);
}

Test(vf_hand, back_as_it_was)
{
	pf->settings[0].vlan = 33;
	takes(VF_USE_ADJUNCT);
	cr_expect_eq(pf->settings[0].vlan, 0);
	cr_assert_eq(vf_release(&fake.host, vf(), "nic0"), 0, "%s", fake.host.reason);
	cr_expect_eq(pf->settings[0].vlan, 33);
	cr_expect_str_eq(vf()->driver, "igbvf");
	cr_expect_eq(fake.resets, 2u);
}

Test(vf_hand, an_interface_for_a_partition)
{
	takes(VF_USE_NETDEV);
	cr_expect_eq(fake_logged(&fake, "move enp1s16f0 to 9 as net0"), 1u, "%s", fake.log);
	cr_expect_lt(fake_logged_at(&fake, "set enp1s0f0"), fake_logged_at(&fake, "move "));
	cr_expect_str_eq(vf()->driver, "igbvf");
	/* Its own use of it is no reason to keep it from its owner. */
	fake_look(&fake, VF_LOOK_SETTINGS);
	cr_assert_eq(vf_release(&fake.host, &fake.host.pfs[0]->vfs[0], "nic0"), 0, "%s",
		     fake.host.reason);
	cr_expect_str_eq(vf()->ifname, "enp1s16f0");
}

Test(vf_hand, an_interface_that_never_comes)
{
	fake_remove(&fake, "/sys/bus/pci/drivers/igbvf");
	fake.host.wait_ns = 20000000;
	cr_expect_eq(take(VF_USE_NETDEV), -ETIMEDOUT);
	cr_expect(strstr(fake.host.reason, "no interface came: the kernel has no driver"), "%s",
		  fake.host.reason);
}

Test(vf_hand, an_interface_that_is_renamed_meanwhile)
{
	fake.refuse = "move ";
	fake.refuse_error = -ENODEV;
	fake.refuse_times = 2;
	takes(VF_USE_NETDEV);
	cr_expect_eq(fake_logged(&fake, "move "), 3u, "%s", fake.log);
	fake_look(&fake, VF_LOOK_SETTINGS);
	cr_assert_eq(vf_release(&fake.host, &fake.host.pfs[0]->vfs[0], "nic0"), 0);
	fake.refuse = "move ";
	fake.refuse_error = -EEXIST;
	cr_expect_eq(take(VF_USE_NETDEV), -EEXIST, "anything else is told");
	cr_expect(strstr(fake.host.reason, "cannot become net0"), "%s", fake.host.reason);
}

Test(vf_hand, a_group_for_a_virtual_machine)
{
	takes(VF_USE_VFIO);
	cr_expect_eq(fake_logged(&fake, "give group 11 to 1000"), 1u, "%s", fake.log);
	cr_expect_str_eq(vf()->driver, "vfio-pci");
}

Test(vf_hand, whose_group_is_not_its_own)
{
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:02:00.0");
	fake_link(&fake, "../../../../bus/pci/drivers/snd_hda_intel",
		  "/sys/bus/pci/devices/0000:02:00.0/driver");
	fake_put(&fake, "0x040300\n", "/sys/bus/pci/devices/0000:02:00.0/class");
	cr_expect_eq(take(VF_USE_ADJUNCT), -EBUSY);
	cr_expect(strstr(fake.host.reason, "0000:02:00.0 is in its IOMMU group 11"), "%s",
		  fake.host.reason);
	cr_expect_eq(fake.operations, 0u, "%s", fake.log);
	takes(VF_USE_NETDEV);
}

Test(vf_hand, without_an_iommu)
{
	fake_remove(&fake, "/sys/bus/pci/devices/" ADDRESS "/iommu_group");
	cr_expect_eq(take(VF_USE_ADJUNCT), -EOPNOTSUPP);
	cr_expect(strstr(fake.host.reason, "has no IOMMU group"), "%s", fake.host.reason);
}

Test(vf_hand, another_owner_or_user)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0, "%s", fake.host.reason);
	cr_expect_eq(take(VF_USE_ADJUNCT), -EPERM);
	cr_expect_eq(fake.operations, 0u);
	cr_assert_eq(vf_release(&fake.host, vf(), "red"), 0);
	fake_put(&fake, "testpmd\n", "/proc/99/comm");
	fake_link(&fake, "/dev/vfio/11", "/proc/99/fd/9");
	cr_expect_eq(take(VF_USE_ADJUNCT), -EBUSY);
	cr_expect(strstr(fake.host.reason, "process 99 (testpmd)"), "%s", fake.host.reason);
}

/* A program that cannot be looked into is seen by its group: taking it would wait for it. */
Test(vf_hand, a_group_that_is_open)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "nic0"), 0, "%s", fake.host.reason);
	fake.busy_group = 11;
	cr_expect_eq(take(VF_USE_NETDEV), -EBUSY);
	cr_expect(strstr(fake.host.reason, "VFIO group 11 open"), "%s", fake.host.reason);
	cr_expect_eq(vf_release(&fake.host, vf(), "nic0"), -EBUSY);
	struct vf_wish wishes[3] = {{.msix = -1}, {.msix = -1}, {.msix = -1}};
	struct vf_pf_wish wish = {.by_address = true, .vf_count = 3, .vfs = wishes,
				  .address = fake.host.pfs[0]->address};
	fake.host.owner = "nic0";
	cr_expect_eq(vf_apply(&fake.host, &wish, 1, VF_ALLOW_DISRUPTIVE, NULL, NULL), -EBUSY);
	cr_expect_eq(fake.operations, 0u);
}

Test(vf_hand, settings_alone_by_difference)
{
	struct vf_settings settings = taking.settings;

	cr_expect_eq(vf_set(&fake.host, vf(), &settings, "nic0"), -ENOENT, "nobody holds it");
	takes(VF_USE_ADJUNCT);
	fake.operations = 0;
	settings.max_tx_rate = 100;
	cr_assert_eq(vf_set(&fake.host, vf(), &settings, "nic0"), 0, "%s", fake.host.reason);
	cr_expect_eq(fake.operations, 1u, "%s", fake.log);
	cr_expect_eq(pf->settings[0].max_tx_rate, 100);
	cr_expect_eq(vf_set(&fake.host, vf(), &settings, "red"), -EPERM);
	fake.refuse = "set enp1s0f0";
	fake.refuse_error = -EOPNOTSUPP;
	settings.trust = true;
	cr_expect_eq(vf_set(&fake.host, vf(), &settings, "nic0"), -EOPNOTSUPP);
	cr_expect(strstr(fake.host.reason, "igb cannot set all"), "%s", fake.host.reason);
}

/* What a driver does not tell of is left alone while the wish is what every VF has. */
Test(vf_hand, what_the_driver_does_not_know_is_not_asked_of_it)
{
	for (int i = 0; i < 2; i++)
		pf->settings[i].given &= ~(VF_BIT(VF_STATE) | VF_BIT(VF_TRUST));
	takes(VF_USE_ADJUNCT);
	cr_expect_eq(fake_logged(&fake, "set enp1s0f0"), 1u, "the MAC: %s", fake.log);
	taking.settings.trust = true;
	takes(VF_USE_ADJUNCT);
	cr_expect_eq(fake_logged(&fake, "set enp1s0f0"), 1u, "trust: %s", fake.log);
}

Test(vf_hand, beside_its_kernel_driver)
{
	struct fake_pf *cx6 = fake_add(&fake, &fake_cx6);

	fake_make_vfs(&fake, cx6, 1);
	fake_look(&fake, VF_LOOK_ALL);
	taking.use = VF_USE_ADJUNCT;
	cr_assert_eq(vf_take(&fake.host, &fake.host.pfs[1]->vfs[0], &taking, "nic0"), 0, "%s",
		     fake.host.reason);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[1]->vfs[0].driver, "mlx5_core");
}

Test(vf_hand, a_pf_by_either_name)
{
	struct vf_pf_wish wish = {0};

	cr_assert_eq(vf_pf_parse("01:00.0", &wish), 0);
	fake_look(&fake, 0);
	cr_expect_eq(vf_pf_find(&fake.host, &wish), fake.host.pfs[0]);
	wish = (struct vf_pf_wish){0};
	cr_assert_eq(vf_pf_parse("a0:36:9f:00:00:01", &wish), 0);
	cr_expect_eq(vf_pf_find(&fake.host, &wish), fake.host.pfs[0]);
	cr_expect_eq(vf_pf_parse("enp1s0f0", &wish), -EINVAL);
	cr_expect_eq(vf_pf_parse("a0:36:9f:00:00:0x", &wish), -EINVAL);
	cr_expect_eq(vf_pf_parse("", &wish), -EINVAL);
}

/* The daemon's adapters each have a name of their own to hold by. */
Test(vf_hand, apply_and_prune_in_another_name)
{
	struct vf_wish wishes[3] = {{.msix = -1}, {.msix = -1}, {.msix = -1}};
	struct vf_pf_wish wish = {
		.by_address = true, .vf_count = 3, .keep_new = true, .vfs = wishes};

	fake.host.owner = "nic0";
	fake_look(&fake, VF_LOOK_ALL);
	wish.address = fake.host.pfs[0]->address;
	cr_assert_eq(vf_apply(&fake.host, &wish, 1, VF_ALLOW_DISRUPTIVE, NULL, NULL), 0, "%s",
		     fake.host.reason);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[0]->owner, "nic0");
	cr_expect_eq(fake.host.pfs[0]->vf_count, 3u);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[0].driver, "", "no driver was asked to take it");
	takes(VF_USE_ADJUNCT);
	fake.host.owner = "nic1";
	wish.vf_count = 2;
	cr_expect_eq(vf_apply(&fake.host, &wish, 1, VF_ALLOW_DISRUPTIVE, NULL, NULL), -EPERM);
	cr_expect(strstr(fake.host.reason, "but \"nic0\" holds it"), "%s", fake.host.reason);
	fake.host.owner = "nic0";
	cr_assert_eq(vf_apply(&fake.host, NULL, 0, VF_PRUNE | VF_ALLOW_DISRUPTIVE, NULL, NULL), 0,
		     "%s", fake.host.reason);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(fake.host.pfs[0]->vf_count, 2u, "as it was found");
	cr_expect_str_eq(fake.host.pfs[0]->owner, "");
}
