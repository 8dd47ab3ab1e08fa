/* SPDX-License-Identifier: BSD-2-Clause */
/* Who holds a VF, that only that owner gives it back, clean, and that a crash loses nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static struct fake fake;
static struct fake_pf *pf;

static void set_up(void)
{
	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
	fake_make_vfs(&fake, pf, 2);
	pf->settings[0].vlan = 33;
	fake_look(&fake, VF_LOOK_ALL);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_own, .init = set_up, .fini = tear_down);

static struct vf_function *vf(void)
{
	fake_look(&fake, VF_LOOK_ALL);
	return &fake.host.pfs[0]->vfs[0];
}

Test(vf_own, bound_and_given_back_as_it_was)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0, "%s", fake.host.reason);
	cr_expect_str_eq(vf()->driver, "vfio-pci");
	cr_expect_str_eq(vf()->owner, "red");
	cr_expect_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 1, "nothing to do");
	/* Its owner leaves a VLAN and a MAC behind. */
	pf->settings[0].vlan = 7;
	pf->settings[0].mac[0] = 2;
	fake.log[0] = '\0';
	cr_assert_eq(vf_release(&fake.host, vf(), "red"), 0, "%s", fake.host.reason);
	cr_expect_eq(pf->settings[0].vlan, 33);
	cr_expect_eq(pf->settings[0].mac[0], 0);
	cr_expect_str_eq(vf()->driver, "igbvf");
	cr_expect_str_eq(vf()->driver_override, "");
	cr_expect_str_eq(vf()->owner, "");
	cr_expect_eq(fake.resets, 1u);
	/* With no driver on it, so that nobody starts it before it is clean. */
	cr_expect_lt(fake_logged_at(&fake, "unbind"), fake_logged_at(&fake, "/reset"));
	cr_expect_lt(fake_logged_at(&fake, "/reset"), fake_logged_at(&fake, "drivers_probe"));
}

/* A reset that comes late must not hit the next owner. */
Test(vf_own, another_owner_can_neither_take_nor_give_back)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0, "%s", fake.host.reason);
	cr_expect_eq(vf_bind(&fake.host, vf(), "igbvf", "blue"), -EPERM);
	cr_expect(strstr(fake.host.reason, "held by \"red\""), "%s", fake.host.reason);
	fake.operations = 0;
	cr_expect_eq(vf_release(&fake.host, vf(), "blue"), -EPERM);
	cr_expect_eq(fake.operations, 0u);
	cr_expect_eq(vf_release(&fake.host, vf(), "red"), 0);
	cr_expect_eq(vf_release(&fake.host, vf(), "red"), -ENOENT, "once is enough");
	cr_expect_eq(fake.resets, 1u);
}

Test(vf_own, what_is_held_is_not_applied_to)
{
	struct vf_wish wishes[2] = {{.msix = -1}, {.msix = -1}};
	struct vf_pf_wish wish = {.by_address = true, .vf_count = 2, .vfs = wishes};

	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	wish.address = fake.host.pfs[0]->address;
	wishes[0].settings = (struct vf_settings){.given = VF_BIT(VF_VLAN), .vlan = 9};
	fake.operations = 0;
	cr_expect_eq(vf_apply(&fake.host, &wish, 1, VF_ALLOW_DISRUPTIVE, NULL, NULL), -EPERM);
	cr_expect(strstr(fake.host.reason, "\"red\" holds it"), "%s", fake.host.reason);
	wish.vf_count = 1;
	cr_expect_eq(vf_apply(&fake.host, &wish, 1, VF_ALLOW_DISRUPTIVE, NULL, NULL), -EBUSY);
	cr_expect_eq(fake.operations, 0u);
}

Test(vf_own, what_cannot_be_reset_is_not_given_back)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:10.0/reset");
	cr_expect_eq(vf_release(&fake.host, vf(), "red"), -EOPNOTSUPP);
	cr_expect_str_eq(vf()->owner, "red");
	cr_expect_str_eq(vf()->driver, "", "and no driver has it");
}

/* Stopped after any of its operations, release carries on from there when asked again. */
Test(vf_own, a_release_that_fails_anywhere_can_be_repeated)
{
	static const char *const places[] = {"unbind", "/reset", "set enp1s0f0 vf 0",
					     "driver_override", "drivers_probe"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0, "%s", fake.host.reason);
		pf->settings[0].vlan = 7;
		fake.refuse = places[i];
		fake.refuse_error = -EIO;
		cr_assert_eq(vf_release(&fake.host, vf(), "red"), -EIO, "%s", places[i]);
		cr_expect_str_eq(vf()->owner, "red", "%s: still held", places[i]);
		fake.refuse = NULL;
		cr_assert_eq(vf_release(&fake.host, vf(), "red"), 0, "%s", fake.host.reason);
		cr_expect_eq(pf->settings[0].vlan, 33);
		cr_expect_str_eq(vf()->driver, "igbvf", "%s", places[i]);
	}
}

Test(vf_own, one_that_went_away_is_forgotten_by_its_owner)
{
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	cr_expect_eq(vf_forget(&fake.host, "01:10.0", "red"), -EEXIST);
	fake_remove(&fake, "/sys/bus/pci/devices/0000:01:00.0/virtfn0");
	fake_look(&fake, VF_LOOK_ALL);
	cr_expect_eq(vf_forget(&fake.host, "01:10.0", "blue"), -EPERM);
	cr_expect_eq(vf_forget(&fake.host, "enp1s16f0", "red"), -EINVAL);
	cr_expect_eq(vf_forget(&fake.host, "01:10.0", "red"), 0, "%s", fake.host.reason);
	cr_expect_eq(vf_forget(&fake.host, "01:10.0", "red"), -ENOENT);
}

Test(vf_own, a_driver_that_is_not_there)
{
	fake.operations = 0;
	cr_expect_eq(vf_bind(&fake.host, vf(), "uio_pci_generic", "red"), -ENOENT);
	cr_expect(strstr(fake.host.reason, "modprobe uio_pci_generic"), "%s", fake.host.reason);
	cr_expect_eq(fake.operations, 0u);
	cr_expect_str_eq(vf()->owner, "");
	cr_expect_eq(vf_bind(&fake.host, fake.host.pfs[0], "dpdk", "red"), -EINVAL, "a PF");
	cr_expect_eq(vf_bind(&fake.host, vf(), "dpdk", "../red"), -EINVAL);
	cr_expect_eq(vf_bind(&fake.host, vf(), "dpdk", ""), -EINVAL);
}

static void put_record(const char *text)
{
	char path[PATH_MAX + 40];
	FILE *file;

	snprintf(path, sizeof(path), "%s/0000:01:10.0.json", fake.host.state);
	file = fopen(path, "w");
	cr_assert(file);
	fputs(text, file);
	fclose(file);
}

Test(vf_own, a_damaged_record_is_nobodys_word)
{
	static const char *const texts[] = {
		"",
		"{",
		"null",
		"[]",
		"{\"version\": 2}",
		"{\"version\": 1, \"token\": \"../x\"}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"../../x\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": false, \"num_vfs\": 0, \"eswitch\": 0}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {\"vlan\": -1}, \"pf\": false, \"num_vfs\": 0, \"eswitch\": 0}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": false, \"num_vfs\": 999999, \"eswitch\": 0}",
		"{\"version\": 1, \"token\": 7}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": \"/\"}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": false, \"num_vfs\": -1, \"eswitch\": 0}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": false, \"num_vfs\": 0, \"eswitch\": 3}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": false, \"num_vfs\": 0, \"eswitch\": -1}",
		"{\"version\": 1, \"token\": \"red\", \"driver\": \"\", \"driver_override\": "
		"\"\", \"settings\": {}, \"pf\": 0, \"num_vfs\": 0, \"eswitch\": 0}",
	};

	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put_record(texts[i]);
		cr_expect_str_eq(vf()->owner, "?", "%s", texts[i]);
		fake.operations = 0;
		cr_expect_eq(vf_release(&fake.host, vf(), "red"), -EINVAL, "%s", texts[i]);
		cr_expect(strstr(fake.host.reason, "is damaged"), "%s", fake.host.reason);
		cr_expect_eq(vf_bind(&fake.host, vf(), "igbvf", "red"), -EINVAL, "%s", texts[i]);
		cr_expect_eq(fake.operations, 0u);
	}
}

/* The file that a crash left beside it does not count, and does not get in the way. */
Test(vf_own, what_a_crash_left_aside)
{
	char path[PATH_MAX + 40];

	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	cr_assert_eq(vf_release(&fake.host, vf(), "red"), 0);
	snprintf(path, sizeof(path), "%s/.0000:01:10.0.json.new", fake.host.state);
	FILE *file = fopen(path, "w");
	cr_assert(file);
	fputs("{\"version\": 1, \"tok", file);
	fclose(file);
	cr_expect_str_eq(vf()->owner, "");
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "blue"), 0, "%s", fake.host.reason);
	cr_expect_str_eq(vf()->owner, "blue");
	cr_expect_neq(access(path, F_OK), 0);
}

Test(vf_own, nobody_else_reads_or_follows_links)
{
	char path[PATH_MAX + 40];
	struct stat status;

	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0);
	cr_assert_eq(stat(fake.host.state, &status), 0);
	cr_expect_eq(status.st_mode & 0777u, 0700u);
	snprintf(path, sizeof(path), "%s/0000:01:10.0.json", fake.host.state);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 0777u, 0600u);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_expect_str_eq(vf()->owner, "?");
}

Test(vf_own, one_program_at_a_time)
{
	struct vf_host other = {.root = "", .wait_ns = 20000000};
	int lock = vf_lock(&fake.host), second;

	cr_assert_geq(lock, 0, "%s", fake.host.reason);
	memcpy(other.state, fake.host.state, sizeof(other.state));
	second = vf_lock(&other);
	cr_expect_eq(second, -ETIMEDOUT);
	cr_expect(strstr(other.reason, "another program"), "%s", other.reason);
	close(lock);
	second = vf_lock(&other);
	cr_expect_geq(second, 0);
	close(second);
}
