/* SPDX-License-Identifier: BSD-2-Clause */
/* Each pitfall is found where it is, and nowhere else. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

static struct fake fake;
static struct fake_pf *pf;
static char found[4096]; /* "name object" lines */
static char text[8192];

static void set_up(void)
{
	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
	fake_make_vfs(&fake, pf, 2);
	memset(pf->settings[0].mac, 2, 6);
	memset(pf->settings[1].mac, 2, 6);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_doctor, .init = set_up, .fini = tear_down);

static void take(void *data, const struct vf_finding *finding)
{
	size_t used = strlen(found), said = strlen(text);

	(void)data;
	cr_expect(*finding->message && *finding->fix);
	snprintf(found + used, sizeof(found) - used, "%s %s\n", finding->name, finding->object);
	snprintf(text + said, sizeof(text) - said, "%s\n", finding->message);
}

static void finds(const char *lines)
{
	fake_look(&fake, VF_LOOK_ALL);
	found[0] = text[0] = '\0';
	cr_assert_geq(vf_doctor(&fake.host, take, NULL), 0);
	cr_expect_str_eq(found, lines, "found:\n%sinstead of:\n%s", found, lines);
}

Test(vf_doctor, nothing_on_a_sound_machine)
{
	finds("");
}

Test(vf_doctor, the_machine)
{
	fake_remove(&fake, "/sys/class/iommu/dmar0");
	finds("iommu-missing machine\n");
	fake_put(&fake, "Y\n", "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	fake_put(&fake, "", "/sys/class/iommu/dmar0/x");
	finds("unsafe-interrupts machine\n");
	fake_put(&fake, "N\n", "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	fake_remove(&fake, "/sys/module/rdma_rxe");
	finds("rdma-missing machine\n");
	fake_put(&fake, "", "/sys/class/infiniband/mlx5_0/x");
	finds("");
	fake_remove(&fake, "/sys/bus/pci/drivers/vfio-pci");
	finds("vfio-missing machine\n");
	fake_put(&fake, "", "/sys/bus/pci/drivers/vfio-pci/bind");
	fake_put(&fake, "0\n", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	finds("no-hugepages machine\n");
	fake_put(&fake, "1\n", "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages");
	finds("");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0");
	finds("no-sriov machine\n");
}

Test(vf_doctor, the_pf)
{
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/carrier");
	finds("no-carrier 0000:01:00.0\n");
	fake_put(&fake, "0x1002\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/flags");
	finds("link-down 0000:01:00.0\n");
	fake_put(&fake, "0x1003\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/flags");
	fake_put(&fake, "1\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/carrier");
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe");
	finds("autoprobe-off 0000:01:00.0\n");
	fake_put(&fake, "1\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/virtfn1");
	finds("vfs-missing 0000:01:00.0\n");
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs");
	finds("sriov-off 0000:01:00.0\n");
	fake_put(&fake, "7\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/driver");
	finds("pf-without-driver 0000:01:00.0\n");
}

Test(vf_doctor, the_vfs)
{
	memset(pf->settings[1].mac, 0, 6);
	finds("mac-unset 0000:01:10.2\n");
	memset(pf->settings[1].mac, 2, 6);
	fake_put(&fake, "vfio-pci\n", "/sys/bus/pci/devices/0000:01:10.2/driver_override");
	finds("foreign-override 0000:01:10.2\n");
	fake_put(&fake, "\n", "/sys/bus/pci/devices/0000:01:10.2/driver_override");
	/* Bound to vfio-pci, with a neighbour in its group that the host still drives. */
	fake_link(&fake, "../../../../bus/pci/drivers/vfio-pci",
		  "/sys/bus/pci/devices/0000:01:10.0/driver");
	finds("");
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:01:10.2");
	finds("group-shared 0000:01:10.0\n");
	cr_expect(strstr(text, "0000:01:10.2 (igbvf)"), "%s", text);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.0/iommu_group");
	finds("no-iommu-group 0000:01:10.0\n");
}

Test(vf_doctor, records)
{
	fake_look(&fake, VF_LOOK_ALL);
	cr_assert_eq(vf_bind(&fake.host, &fake.host.pfs[0]->vfs[1], "dpdk", "red"), 0, "%s",
		     fake.host.reason);
	finds("");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/virtfn1");
	fake_put(&fake, "1\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	finds("record-orphaned 0000:01:10.2\n");
}

Test(vf_doctor, network_manager)
{
	const int first = fake_ifindex("0000:01:10.0"), second = fake_ifindex("0000:01:10.2");

	fake_put(&fake, "[device]\nmanaged=full\n", "/run/NetworkManager/devices/%d", second + 1);
	fake_put(&fake, "[device]\nmanaged=false\n", "/run/NetworkManager/devices/%d", first);
	finds("");
	fake_put(&fake, "[device]\nmanaged=full\n", "/run/NetworkManager/devices/%d", first);
	fake_put(&fake, "[device]\nmanaged=full\n", "/run/NetworkManager/devices/%d", second);
	finds("owner-networkmanager 0000:01:10.0\nowner-networkmanager 0000:01:10.2\n");
}

Test(vf_doctor, link_files)
{
	static const struct {
		const char *text, *lines;
	} cases[] = {
		{"[Match]\nDriver=igbvf\n[Link]\nNamePolicy=path\n",
		 "owner-link-file 0000:01:10.0\nowner-link-file 0000:01:10.2\n"},
		{"[Match]\nOriginalName=enp1s16f2 eth*\n[Link]\nMACAddressPolicy=random\n",
		 "owner-link-file 0000:01:10.2\n"},
		{"[Match]\nPath=pci-0000:01:10.0\n[Link]\nMACAddressPolicy = none\n", ""},
		{"[Match]\nDriver=!igbvf\nOriginalName=en*\n[SR-IOV]\nVirtualFunction=0\n",
		 "owner-link-file 0000:01:00.0\n"},
		{"[Match]\nDriver=igbvf\nHost=other\n[Link]\nName=x\n", ""},
		{"[Match]\nDriver=igb\n[Link]\nName=lan0\n", ""}, /* a PF may be named */
		{"[Link]\nName=x\n", ""},
		{"Driver\n[\n=\n[Match\n#Driver=igbvf\n", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_put(&fake, cases[i].text, "/etc/systemd/network/10-x.link");
		finds(cases[i].lines);
	}
	fake_remove(&fake, "/etc/systemd/network/10-x.link");
	fake_put(&fake, cases[1].text, "/run/systemd/network/10-x.link");
	finds(cases[1].lines);
}

Test(vf_doctor, netplan_and_driverctl)
{
	fake_put(&fake, "network:\n  ethernets:\n    enp1s0f0:\n      dhcp4: true\n",
		 "/etc/netplan/50.yaml");
	finds("");
	fake_put(&fake, "network:\n  ethernets:\n    enp1s0f0:\n      virtual-function-count: 4\n"
			"    enp1s16f2: {link: enp1s0f0}\n    enp1s16f22: {}\n",
		 "/etc/netplan/50.yaml");
	finds("owner-netplan 0000:01:00.0\nowner-netplan 0000:01:10.2\n");
	fake_remove(&fake, "/etc/netplan");
	fake_put(&fake, "vfio-pci\n", "/etc/driverctl.d/0000:01:10.0");
	fake_put(&fake, "vfio-pci\n", "/etc/driverctl.d/pci-0000:01:10.2");
	finds("owner-driverctl 0000:01:10.0\nowner-driverctl 0000:01:10.2\n");
}

/* ---- More of each -------------------------------------------------------------------------- */

Test(vf_doctor, a_link_counts_for_less_without_vfs)
{
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/carrier");
	finds("no-carrier 0000:01:00.0\n");
	fake_put(&fake, "0x1002\n", "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/flags");
	finds("link-down 0000:01:00.0\n");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/net");
	finds("");
	fake_put(&fake, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs");
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/driver");
	finds("sriov-off 0000:01:00.0\n");
}

Test(vf_doctor, members_of_a_group_that_do_no_harm)
{
	fake_link(&fake, "../../../../bus/pci/drivers/vfio-pci",
		  "/sys/bus/pci/devices/0000:01:10.0/driver");
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:09:00.0");
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:09:00.1");
	fake_link(&fake, "../../../../bus/pci/drivers/pci-stub",
		  "/sys/bus/pci/devices/0000:09:00.1/driver");
	finds("");
	fake_link(&fake, "../../../../bus/pci/drivers/e1000",
		  "/sys/bus/pci/devices/0000:09:00.0/driver");
	fake_put(&fake, "", "/sys/kernel/iommu_groups/11/devices/0000:01:10.2");
	finds("group-shared 0000:01:10.0\n");
	cr_expect(strstr(text, "0000:09:00.0 (e1000)") && strstr(text, "0000:01:10.2 (igbvf)") &&
		  strstr(text, "), 0000:"), "%s", text);
}

Test(vf_doctor, a_record_that_cannot_be_read)
{
	char path[PATH_MAX + 40];

	fake_look(&fake, VF_LOOK_ALL);
	cr_assert_eq(vf_bind(&fake.host, &fake.host.pfs[0]->vfs[0], "igbvf", "red"), 0, "%s",
		     fake.host.reason);
	snprintf(path, sizeof(path), "%s/0000:01:10.0.json", fake.host.state);
	FILE *file = fopen(path, "w");
	cr_assert(file);
	fputs("{}", file);
	fclose(file);
	finds("record-damaged 0000:01:10.0\n");
	/* A VF that no driver has needs no MAC. */
	memset(pf->settings[1].mac, 0, 6);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.2/driver");
	finds("record-damaged 0000:01:10.0\n");
}

Test(vf_doctor, other_owners_by_other_signs)
{
	fake_put(&fake, "[device]\nmanaged=true\n", "/run/NetworkManager/devices/%d",
		 fake_ifindex("0000:01:10.0"));
	finds("owner-networkmanager 0000:01:10.0\n");
	fake_remove(&fake, "/run/NetworkManager");
	/* The address of the interface, which is what these match. */
	static const char *const keys[] = {"MACAddress", "PermanentMACAddress"};
	for (size_t i = 0; i < 2; i++) {
		char lines[200];

		snprintf(lines, sizeof(lines), "; a comment = 1\n[Match]\n%s=02:00:00:00:00:99\t x\n"
			 "[Link]\nMACAddress=02:00:00:00:00:98\nMTUBytes=9000\n", keys[i]);
		fake_put(&fake, lines, "/etc/systemd/network/10-x.link");
		finds("owner-link-file 0000:01:10.0\nowner-link-file 0000:01:10.2\n");
	}
	/* Names that only look so, and what cannot be read. */
	fake_remove(&fake, "/etc/systemd/network/10-x.link");
	fake_put(&fake, "[Match]\nDriver=igbvf\n[Link]\nName=x\n", "/etc/systemd/network/10-x.link.off");
	fake_put(&fake, "", "/etc/systemd/network/folder.link/x");
	fake_put(&fake, "", "/etc/netplan/folder.yaml/x");
	fake_put(&fake, "enp1s16f2: {}\n", "/etc/netplan/50.yaml.off");
	fake_put(&fake, "my_enp1s16f2: {}\nenp1s16f2_b: {}\nxenp1s16f2: {}\n", "/etc/netplan/50.yaml");
	finds("");
	fake_put(&fake, "enp1s16f2: {}\n", "/etc/netplan/50.yaml");
	finds("owner-netplan 0000:01:10.2\n");
}
