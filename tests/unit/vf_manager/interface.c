/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interface whose name changes while it is looked at, or between two steps of what is
 * done to its function: nothing is missed, nothing is told of another, nothing is tried
 * at a name that is no more.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static struct fake fake;
static struct fake_pf *pf;
static unsigned renames; /* so often, each time as soon as somebody has read its name */

int __real_closedir(DIR *folder);
int __wrap_closedir(DIR *folder);
int __wrap_closedir(DIR *folder)
{
	static const char ending[] = "/net";
	char link[32], path[PATH_MAX];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd(folder));
	ssize_t length = renames ? readlink(link, path, sizeof(path) - 1) : 0;
	bool listed = length > (ssize_t)strlen(ending) &&
		      !memcmp(path + length - strlen(ending), ending, strlen(ending));
	int result = __real_closedir(folder);

	if (listed) {
		renames--;
		fake_rename(&fake, pf, strcmp(pf->ifname, "eth0") ? "eth0" : "enp1s0f0");
	}
	return result;
}

static void set_up(void)
{
	renames = 0;
	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_interface, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect_whole(const struct vf_function *found)
{
	cr_expect_str_eq(found->ifname, pf->ifname);
	cr_expect_eq(found->ifindex, fake_ifindex(pf->address));
	cr_expect(found->up && found->carrier && found->mac_permanent);
	cr_expect_eq(found->mac[5], 1);
}

Test(vf_interface, a_name_that_is_no_more_once_it_is_read)
{
	static const unsigned times[] = {1, 2, 9};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		renames = times[i];
		fake_look(&fake, 0);
		cr_expect_eq(renames, 0u);
		expect_whole(fake.host.pfs[0]);
		cr_expect_eq(fake.host.pfs[0]->speed_mbits, 10000);
	}
}

/* Somebody who does nothing else: then it has none, until the next look. */
Test(vf_interface, a_name_that_never_stays)
{
	static const struct vf_function none;

	renames = 1000;
	fake_look(&fake, 0);
	const struct vf_function *found = fake.host.pfs[0];
	cr_expect_str_eq(found->ifname, "");
	cr_expect_eq(found->ifindex, 0);
	cr_expect(!found->up && !found->carrier && !found->mac_permanent);
	cr_expect_arr_eq(found->mac, none.mac, sizeof(none.mac));
	cr_expect_gt(renames, 900u);
	renames = 0;
	fake_look(&fake, 0);
	expect_whole(fake.host.pfs[0]);
}

/* What a recorded tree may be without: only its number is missing then. */
Test(vf_interface, one_without_a_number)
{
	fake_remove(&fake, "/sys/bus/pci/devices/%s/net/%s/ifindex", pf->address, pf->ifname);
	fake_look(&fake, 0);
	cr_expect_str_eq(fake.host.pfs[0]->ifname, pf->ifname);
	cr_expect_eq(fake.host.pfs[0]->ifindex, 0);
	cr_expect(fake.host.pfs[0]->carrier);
}

/* As at a boot, whose udev renames it wherever `vf apply` is just then. */
Test(vf_interface, renamed_while_vfs_are_made)
{
	static const char *const moments[] = {"up enp1s0f0", "sriov_drivers_autoprobe 0",
					      "sriov_numvfs 2", "link", "set enp1s0f0 vf 0",
					      "set enp1s0f0 vf 1", "sriov_drivers_autoprobe 1"};
	struct vf_wish vfs[2] = {{.msix = -1}, {.msix = -1}};
	struct vf_pf_wish wish = {.by_address = true, .vf_count = 2, .vfs = vfs};

	cr_assert_eq(vf_address_parse(pf->address, &wish.address), 0);
	for (int i = 0; i < 2; i++)
		vfs[i].settings = (struct vf_settings){.given = VF_BIT(VF_VLAN), .vlan = 5 + i};
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		struct fake_pf shape = fake_82576;

		tear_down();
		fake_open(&fake);
		shape.come_late = true;
		shape.no_link = !i;
		pf = fake_add(&fake, &shape);
		fake.rename_at = moments[i];
		fake.rename_to = "enp1s0";
		int result = vf_apply(&fake.host, &wish, 1, 0, NULL, NULL);
		cr_expect_eq(result, 0, "%s: %s\n%s", moments[i], fake.host.reason, fake.log);
		cr_expect_str_eq(pf->ifname, "enp1s0", "%s: it was not renamed", moments[i]);
		cr_expect_eq(pf->settings[0].vlan, 5, "%s", moments[i]);
		cr_expect_eq(pf->settings[1].vlan, 6, "%s", moments[i]);
	}
}

Test(vf_interface, renamed_while_a_vf_changes_hands)
{
	static const char *const moments[] = {"unbind", "/reset", "set enp1s0f0", "drivers_probe"};
	const struct vf_taking taking = {
		.settings = {.given = VF_BIT(VF_VLAN), .vlan = 7}, .use = VF_USE_ADJUNCT};

	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		tear_down();
		set_up();
		fake_make_vfs(&fake, pf, 1);
		fake_look(&fake, VF_LOOK_ALL);
		struct vf_function *vf = &fake.host.pfs[0]->vfs[0];
		fake.rename_at = moments[i];
		fake.rename_to = "enp1s0";
		cr_expect_eq(vf_take(&fake.host, vf, &taking, "nic0"), 0, "%s: %s", moments[i],
			     fake.host.reason);
		cr_expect_str_eq(pf->ifname, "enp1s0", "%s: it was not renamed", moments[i]);
		cr_expect_eq(pf->settings[0].vlan, 7, "%s", moments[i]);
		fake_look(&fake, VF_LOOK_ALL);
		vf = &fake.host.pfs[0]->vfs[0];
		cr_expect_eq(vf_release(&fake.host, vf, "nic0"), 0, "%s: %s", moments[i],
			     fake.host.reason);
		cr_expect_eq(pf->settings[0].vlan, 0, "%s", moments[i]);
	}
}
