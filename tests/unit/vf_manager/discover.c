/* SPDX-License-Identifier: BSD-2-Clause */
/* What is found on machines with cards of several makers, and who has their VFs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

static struct fake fake;

static void set_up(void)
{
	fake_open(&fake);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_discover, .init = set_up, .fini = tear_down);

Test(vf_discover, an_empty_machine)
{
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(fake.host.pf_count, 0u);
	fake_remove(&fake, "/sys/bus");
	cr_expect_eq(vf_discover(&fake.host, VF_LOOK_ALL), -ENOENT);
	cr_expect(strstr(fake.host.reason, "no PCI bus"), "%s", fake.host.reason);
}

Test(vf_discover, cards_in_the_order_of_their_addresses)
{
	fake_add(&fake, &fake_e810);
	fake_add(&fake, &fake_cx6);
	fake_add(&fake, &fake_82576);
	fake_add(&fake, &fake_82599);
	fake_add(&fake, &fake_x710);
	fake_look(&fake, VF_LOOK_ALL);
	cr_assert_eq(fake.host.pf_count, 5u);
	cr_expect_str_eq(fake.host.pfs[0]->name, "0000:01:00.0");
	cr_expect_str_eq(fake.host.pfs[4]->name, "0000:5e:00.0");
	const struct vf_function *e810 = fake.host.pfs[2];
	cr_expect_str_eq(e810->name, "0000:17:00.0");
	cr_expect_str_eq(e810->serial, "b4-96-91-ff-ff-a5-12-34");
	cr_expect_str_eq(e810->firmware, "4.40");
	cr_expect_eq(e810->eswitch, VF_ESWITCH_LEGACY);
	cr_expect_eq(e810->total_vfs, 256u);
	cr_expect_eq(e810->vf_device, 0x1889);
	cr_expect_eq(e810->msix_total, 1024u);
	cr_expect_eq(e810->numa_node, 1);
	cr_expect(e810->up && e810->carrier && e810->mac_permanent && e810->autoprobe);
	cr_expect_eq(e810->speed_mbits, 10000);
	cr_expect_str_eq(e810->driver_override, "", "(null) is the kernel's word for none");
	cr_expect_eq(fake.host.pfs[0]->eswitch, VF_ESWITCH_NONE, "igb has no devlink");
}

Test(vf_discover, vfs_with_all_they_have)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 3);
	pf->settings[2].vlan = 77;
	fake_look(&fake, VF_LOOK_ALL);
	const struct vf_function *found = fake.host.pfs[0];
	cr_assert_eq(found->vf_count, 3u);
	const struct vf_function *vf = &found->vfs[2];
	cr_expect_str_eq(vf->name, "0000:01:10.4");
	cr_expect_str_eq(vf->driver, "igbvf");
	cr_expect_str_eq(vf->ifname, "enp1s16f4");
	cr_expect_eq(vf->index, 2u);
	cr_expect_eq(vf->device, 0x10ca);
	cr_expect_eq(vf->iommu_group, 13);
	cr_expect_eq(vf->live.vlan, 77);
	cr_expect_eq(vf->pf, found);
	cr_expect_eq(vf_look_msix(&fake.host, vf), 3u);
	cr_expect_str_eq(vf->used_by, "");
}

Test(vf_discover, two_hundred_and_fifty_six_vfs)
{
	fake_make_vfs(&fake, fake_add(&fake, &fake_e810), 256);
	fake_look(&fake, VF_LOOK_SETTINGS | VF_LOOK_USERS);
	cr_assert_eq(fake.host.pfs[0]->vf_count, 256u);
	cr_expect_str_eq(fake.host.pfs[0]->vfs[255].name, "0000:18:00.7");
}

Test(vf_discover, a_vf_that_has_not_come_leaves_a_gap)
{
	fake_make_vfs(&fake, fake_add(&fake, &fake_82576), 4);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/virtfn1");
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(fake.host.pfs[0]->num_vfs, 4u);
	cr_expect_eq(fake.host.pfs[0]->vf_count, 3u);
	cr_expect_eq(fake.host.pfs[0]->vfs[1].index, 2u);
}

Test(vf_discover, finds_by_every_name)
{
	static const char *const names[] = {"0000:01:10.2", "01:10.2", "pci/0000:01:10.2",
					    "pci_0000_01_10_2", "enp1s0f0/1", "enp1s16f2"};

	fake_make_vfs(&fake, fake_add(&fake, &fake_82576), 2);
	fake_look(&fake, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_eq(vf_find(&fake.host, names[i]), &fake.host.pfs[0]->vfs[1], "%s",
			     names[i]);
	cr_expect_eq(vf_find(&fake.host, "enp1s0f0"), fake.host.pfs[0]);
	cr_expect_null(vf_find(&fake.host, "enp1s0f0/2"));
	cr_expect_null(vf_find(&fake.host, "0000:01:10.4"));
	cr_expect(strstr(fake.host.reason, "0000:01:10.4: no function"), "%s", fake.host.reason);
	cr_expect_null(vf_find(&fake.host, ""));
	cr_expect_null(vf_find(&fake.host, "/"));
}

/* In switchdev mode the PF's folder holds the representors' interfaces as well. */
Test(vf_discover, representors_are_told_from_the_uplink)
{
	static const struct {
		const char *ifname, *port;
	} reps[] = {
		{"aa0", "pf0vf1"}, {"ens3f0np0", "p0"}, {"zz1", "c1pf0vf0"}, {"other", "pf1vf0"}};
	struct fake_pf *pf = fake_add(&fake, &fake_cx6);

	fake_make_vfs(&fake, pf, 2);
	pf->eswitch = VF_ESWITCH_SWITCHDEV;
	for (size_t i = 0; i < 4; i++) {
		fake_put(&fake, reps[i].port, "/sys/class/net/%s/phys_port_name", reps[i].ifname);
		fake_put(&fake, "0c42a1\n", "/sys/class/net/%s/phys_switch_id", reps[i].ifname);
		fake_put(&fake, "02:00:00:00:00:01\n", "/sys/bus/pci/devices/%s/net/%s/address",
			 pf->address, reps[i].ifname);
	}
	fake_look(&fake, VF_LOOK_ALL);
	const struct vf_function *found = fake.host.pfs[0];
	cr_expect_str_eq(found->ifname, "ens3f0np0");
	cr_expect_str_eq(found->vfs[0].representor, "zz1");
	cr_expect_str_eq(found->vfs[1].representor, "aa0");
}

Test(vf_discover, who_uses_a_vf)
{
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 4);
	/* 0: a process has its group open; 1: its interface is up; 2: in another namespace. */
	fake_put(&fake, "qemu-system-x86\n", "/proc/4711/comm");
	fake_link(&fake, "/dev/vfio/vfio", "/proc/4711/fd/3");
	fake_link(&fake, "/dev/vfio/11", "/proc/4711/fd/4");
	fake_link(&fake, "socket:[77]", "/proc/4711/fd/5");
	fake_link(&fake, "../../../../bus/pci/drivers/vfio-pci",
		  "/sys/bus/pci/devices/0000:01:10.0/driver");
	fake_put(&fake, "0x1003\n", "/sys/bus/pci/devices/0000:01:10.2/net/enp1s16f2/flags");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.4/net");
	fake_look(&fake, VF_LOOK_ALL);
	const struct vf_function *vfs = fake.host.pfs[0]->vfs;
	cr_expect_str_eq(vfs[0].used_by, "process 4711 (qemu-system-x86) has it open");
	cr_expect_str_eq(vfs[1].used_by, "its interface enp1s16f2 is up");
	cr_expect(vfs[1].only_up && !vfs[0].only_up);
	cr_expect_str_eq(vfs[2].used_by, "its interface is in another network namespace");
	cr_expect_str_eq(vfs[3].used_by, "");
}

static int count_member(void *data, const char *address, const char *driver)
{
	(void)driver;
	strcat(strcat(data, address), " ");
	return 0;
}

Test(vf_discover, neighbours_in_a_group_without_bridges)
{
	char members[200] = "";

	fake_make_vfs(&fake, fake_add(&fake, &fake_82576), 1);
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:00:00.0"); /* a bridge */
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:01:00.0");
	cr_expect_eq(vf_group_members(&fake.host, 11, count_member, members), 0);
	cr_expect(strstr(members, "0000:01:10.0") && strstr(members, "0000:01:00.0") &&
		  !strstr(members, "0000:00:00.0"), "%s", members);
	cr_expect_eq(vf_group_members(&fake.host, -1, count_member, members), 0);
}

/* A driver, or a hostile tree, may say anything. */
Test(vf_discover, nonsense_in_files)
{
	static const char *const names[] = {"sriov_totalvfs", "sriov_numvfs", "sriov_offset",
					    "sriov_vf_device", "numa_node", "class", "vendor"};
	static const char *const texts[] = {"", "-1", "99999999999999999999", "0x", "seven\n",
					    "4294967296", "\x01\xff"};
	struct fake_pf *pf = fake_add(&fake, &fake_82576);

	fake_make_vfs(&fake, pf, 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
			fake_put(&fake, texts[t], "/sys/bus/pci/devices/%s/%s", pf->address,
				 names[i]);
			fake_look(&fake, VF_LOOK_ALL);
			cr_assert_leq(fake.host.pfs[0]->total_vfs, VF_PER_PF_MAX);
			cr_assert_leq(fake.host.pfs[0]->vf_count, 2u);
		}
	/* Config space that is short, and one whose capabilities point in a circle. */
	fake_put(&fake, "abc", "/sys/bus/pci/devices/%s/config", pf->address);
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_str_eq(fake.host.pfs[0]->serial, "");
}

Test(vf_discover, as_json)
{
	struct fake_pf *pf = fake_add(&fake, &fake_e810);

	fake_make_vfs(&fake, pf, 1);
	fake_look(&fake, VF_LOOK_ALL);
	json_t *json = vf_function_to_json(fake.host.pfs[0]);
	cr_expect_str_eq(json_string_value(json_object_get(json, "device")), "1592");
	cr_expect_str_eq(json_string_value(json_object_get(json, "eswitch")), "legacy");
	json_t *vf = json_array_get(json_object_get(json, "vfs"), 0);
	cr_expect_str_eq(json_string_value(json_object_get(vf, "pf")), "0000:17:00.0");
	cr_expect(json_is_true(json_object_get(json_object_get(vf, "settings"), "spoofchk")));
	cr_expect(json_is_null(json_object_get(vf, "owner")));
	json_decref(json);
}

/* ---- What is odd, and what one adapter alone cannot do ----------------------------------------- */

Test(vf_discover, oddities_of_one_function)
{
	struct fake_pf far = fake_82576;

	fake_make_vfs(&fake, fake_add(&fake, &fake_82576), 2);
	far.address = "0001:01:00.0";
	far.ifname = "enP1p1s0f0";
	fake_add(&fake, &far);
	fake_put(&fake, "no address\n", "/sys/bus/pci/devices/0000:01:10.0/net/enp1s16f0/address");
	fake_link(&fake, "../../../../kernel/iommu_groups/-7",
		  "/sys/bus/pci/devices/0000:01:10.0/iommu_group");
	fake_link(&fake, "../../../../kernel/iommu_groups/99999999999",
		  "/sys/bus/pci/devices/0000:01:10.2/iommu_group");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.2/driver_override");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.2/net/enp1s16f2/address");
	fake_look(&fake, VF_LOOK_ALL);
	cr_assert_eq(fake.host.pf_count, 2u);
	cr_expect_str_eq(fake.host.pfs[1]->name, "0001:01:00.0", "the other domain comes last");
	for (int v = 0; v < 2; v++) {
		const struct vf_function *vf = &fake.host.pfs[0]->vfs[v];

		cr_expect_eq(vf->iommu_group, -1);
		cr_expect(!memcmp(vf->mac, (uint8_t[6]){0}, 6));
		cr_expect_str_eq(vf->driver_override, "");
	}
}

static int devlink_fails(void *data, const char *address, struct vf_devlink *out)
{
	(void)data, (void)out;
	return strcmp(address, fake_e810.address) ? -ENODEV : -EIO;
}

/* No devlink for a function is nothing; a driver that fails is told, with its name. */
Test(vf_discover, an_adapter_whose_firmware_does_not_answer)
{
	fake_add(&fake, &fake_82576);
	fake.kernel.devlink_get = devlink_fails;
	fake_look(&fake, VF_LOOK_ALL);
	fake_add(&fake, &fake_e810);
	cr_expect_eq(vf_discover(&fake.host, VF_LOOK_ALL), -EIO);
	cr_expect_str_eq(fake.host.reason,
			 "0000:17:00.0: its driver's answer by devlink: Input/output error");
	cr_expect_eq(fake.host.pf_count, 0u);
	cr_expect_eq(vf_discover(&fake.host, VF_LOOK_SETTINGS), 0, "whoever does not ask");
}
