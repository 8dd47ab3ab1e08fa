/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files behind the manager: records that cannot be written or read, sysfs that
 * answers late or not at all, and paths that are too long. A VF whose record cannot be
 * saved is not touched; one whose record is gone or broken is told.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fault.h"
#include "support.h"

/* Calls that fail by their name alone (fault.h); module.mk lists them. */
#define STAND_IN(type, name, parameters, arguments)                                        \
	type __real_##name parameters;                                                     \
	type __wrap_##name parameters;                                                     \
	type __wrap_##name parameters                                                      \
	{                                                                                  \
		return fault_named(#name) ? (type)-1 : __real_##name arguments;            \
	}
STAND_IN(int, open, (const char *path, int flags, unsigned mode), (path, flags, mode))
STAND_IN(ssize_t, read, (int fd, void *to, size_t bytes), (fd, to, bytes))
STAND_IN(int, mkdir, (const char *path, mode_t mode), (path, mode))
STAND_IN(int, flock, (int fd, int operation), (fd, operation))
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	/* Linux has closed it whatever it answers. */
	return __real_close(fd) || fault_named("close") ? -1 : 0;
}

static struct fake fake;
static struct fake_pf *pf;

static void set_up(void)
{
	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
	fake_make_vfs(&fake, pf, 2);
	fake_look(&fake, VF_LOOK_ALL);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_files, .init = set_up, .fini = tear_down);

static struct vf_function *vf(void)
{
	fake_look(&fake, VF_LOOK_ALL);
	return &fake.host.pfs[0]->vfs[0];
}

Test(vf_files, a_vf_whose_record_cannot_be_saved_is_left_alone)
{
	static const struct {
		const char *call;
		unsigned n;
		int error;
	} places[] = {
		{"mkdir", 1, EACCES}, {"mkdir", 2, EROFS}, {"mkdir", 3, ENOSPC}, {"open", 1, EACCES},
		{"flock", 1, ENOLCK}, {"unlinkat", 1, EACCES}, {"openat", 1, ENOSPC},
		{"write", 1, ENOSPC}, {"fsync", 1, EIO}, {"close", 1, EDQUOT}, {"renameat", 1, EIO},
		{"fsync", 2, EIO},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct vf_function *first = vf();

		fake.operations = 0;
		fault_in_nth(places[i].call, places[i].n, places[i].error);
		int error = vf_bind(&fake.host, first, "dpdk", "red");
		cr_assert(fault_end(), "%s %u was not called", places[i].call, places[i].n);
		cr_expect_eq(error, -places[i].error, "%s %u: %d", places[i].call, places[i].n,
			     error);
		if (strcmp(places[i].call, "flock"))
			cr_expect(strstr(fake.host.reason, strerror(places[i].error)), "%s %u: %s",
				  places[i].call, places[i].n, fake.host.reason);
		cr_expect_eq(fake.operations, 0u, "%s %u", places[i].call, places[i].n);
	}
	cr_assert_eq(vf_bind(&fake.host, vf(), "dpdk", "red"), 0, "%s", fake.host.reason);
	/* Nor is it forgotten by halves. */
	static const char *const calls[] = {"unlinkat", "fsync"};
	for (size_t i = 0; i < 2; i++) {
		struct vf_function *first = vf();

		fault_in(calls[i], EIO);
		int error = vf_release(&fake.host, first, "red");
		cr_assert(fault_end());
		cr_expect_eq(error, -EIO, "%s: %d", calls[i], error);
		cr_expect(strstr(fake.host.reason, "forgetting who held 0000:01:10.0"), "%s",
			  fake.host.reason);
	}
}

Test(vf_files, without_a_lock_nothing_changes_hands)
{
	struct vf_function *first = vf();

	cr_assert_eq(vf_bind(&fake.host, first, "dpdk", "red"), 0, "%s", fake.host.reason);
	fake.operations = 0;
	for (int i = 0; i < 3; i++) {
		fault_in("flock", ENOLCK);
		int error = i == 0   ? vf_release(&fake.host, first, "red")
			    : i == 1 ? vf_forget(&fake.host, "0000:09:00.0", "red")
				     : vf_apply(&fake.host, NULL, 0, VF_PRUNE, NULL, NULL);
		cr_assert(fault_end());
		cr_expect_eq(error, -ENOLCK, "%d: %d", i, error);
	}
	cr_expect_eq(fake.operations, 0u);
	/* A signal in between is nothing. */
	fault_in("flock", EINTR);
	cr_expect_eq(vf_release(&fake.host, first, "red"), 0, "%s", fake.host.reason);
	cr_expect(fault_end());
}

Test(vf_files, interrupted_calls_go_on)
{
	struct vf_function *first = vf();
	char driver[VF_NAME_BYTES];

	fault_in("write", EINTR);
	cr_expect_eq(vf_bind(&fake.host, first, "dpdk", "red"), 0, "%s", fake.host.reason);
	cr_expect(fault_end());
	fault_in("read", EINTR);
	cr_expect_eq(vf_read(&fake.host, driver, sizeof(driver), VF_DEVICE "/driver_override",
			     first->name), 0);
	cr_expect(fault_end());
	cr_expect_str_eq(driver, "vfio-pci");
	fault_in("read", EIO); /* as sysfs of a card that fell off its bus */
	cr_expect_eq(vf_read(&fake.host, driver, sizeof(driver), VF_DEVICE "/driver_override",
			     first->name), -EIO);
	fault_end();
}

/* One that cannot be read now must not pass for one that nobody holds. */
Test(vf_files, a_record_that_cannot_be_opened_keeps_its_owner)
{
	struct vf_function *first = vf();
	struct vf_record record;

	cr_assert_eq(vf_bind(&fake.host, first, "dpdk", "red"), 0);
	fault_in("open", EMFILE);
	cr_expect_eq(vf_record_load(&fake.host, first->name, &record), -EMFILE);
	cr_expect(fault_end());
	fault_in_nth("open", 2, EMFILE);
	cr_expect_eq(vf_release(&fake.host, first, "red"), -EMFILE);
	cr_expect(fault_end());
	cr_expect_str_eq(vf()->owner, "red");
}

Test(vf_files, names_in_the_folder_of_records)
{
	static const char *const others[] = {
		"", ".", "..", "x", "0000:01:10.0", ".json", "lock.json", "0000:01:10.0.json.new",
		".0000:01:10.0.json.new", "0000:01:10.9.json",
		"0000:00000000000000000000:01:10.0.json",
	};
	char name[VF_ADDRESS_BYTES];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_expect_not(vf_record_names(others[i], name), "%s", others[i]);
	cr_expect(vf_record_names("0000:01:10.0.json", name));
	cr_expect_str_eq(name, "0000:01:10.0");
	cr_expect(vf_record_names("deadbeef:01:10.0.json", name), "a domain of a cloud's");
}

/* Without a folder for records nobody holds anything, and what is applied is not undone. */
Test(vf_files, no_folder_for_records)
{
	struct vf_wish wish = {.msix = -1, .driver = "vfio-pci"};
	struct vf_pf_wish wishes = {.by_address = true, .vf_count = 2,
				    .vfs = (struct vf_wish[]){wish, {.msix = -1}}};
	struct vf_record record;

	wishes.address = fake.host.pfs[0]->address;
	fake.host.state[0] = '\0';
	cr_expect_eq(vf_lock(&fake.host), -ENOENT);
	cr_expect_eq(vf_record_load(&fake.host, "0000:01:10.0", &record), -ENOENT);
	cr_expect_eq(vf_apply(&fake.host, &wishes, 1, 0, NULL, NULL), 0, "%s", fake.host.reason);
	cr_expect_str_eq(vf()->driver, "vfio-pci");
	cr_expect_str_eq(vf()->owner, "");
}

Test(vf_files, what_is_too_long_is_not_there)
{
	char name[PATH_MAX], out[8];
	struct vf_record record;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_expect_eq(vf_read(&fake.host, out, sizeof(out), "/%s", name), -ENAMETOOLONG);
	cr_expect_eq(vf_read_number(&fake.host, 7, "/%s", name), 7);
	vf_read_link(&fake.host, out, sizeof(out), "/%s", name);
	cr_expect_str_eq(out, "");
	vf_first_entry(&fake.host, out, sizeof(out), "/%s", name);
	cr_expect_str_eq(out, "");
	cr_expect_not(vf_exists(&fake.host, "/%s", name));
	cr_expect_null(vf_open_folder(&fake.host, "/%s", name));
	cr_expect_null(vf_read_text(&fake.host, "/%s", name));
	cr_expect_eq(vf_write(&fake.host, "1", "/%s", name), -ENAMETOOLONG);
	cr_expect_eq(vf_record_load(&fake.host, name, &record), -ENAMETOOLONG);
	cr_expect_eq(vf_file_replace("/tmp", name, "x", 0600), -EINVAL);
	cr_expect_eq(vf_file_replace("/tmp", "a/b", "x", 0600), -EINVAL);
	/* A line, a link, an entry that has no room where it is to go. */
	fake_put(&fake, "12345678\n", "/x/long-name");
	cr_expect_eq(vf_read(&fake.host, out, sizeof(out), "/x/long-name"), -EOVERFLOW);
	fake_link(&fake, "../long-name", "/y");
	vf_read_link(&fake.host, out, sizeof(out), "/y");
	cr_expect_str_eq(out, "");
	fake_link(&fake, "a b", "/y");
	vf_read_link(&fake.host, out, sizeof(out), "/y");
	cr_expect_str_eq(out, "", "no word");
	fake_link(&fake, "short", "/y");
	vf_read_link(&fake.host, out, sizeof(out), "/y");
	cr_expect_str_eq(out, "short", "no folder before it");
	vf_first_entry(&fake.host, out, sizeof(out), "/x");
	cr_expect_str_eq(out, "");
	fake_put(&fake, "", "/x/b");
	fake_put(&fake, "", "/x/a");
	fake_put(&fake, "", "/x/c");
	vf_first_entry(&fake.host, out, sizeof(out), "/x");
	cr_expect_str_eq(out, "a");
}

/* The running kernel's side of it: an attribute that is not there, one that takes nothing. */
Test(vf_files, writing_an_attribute)
{
	const struct vf_kernel *kernel = &vf_kernel_running;
	char path[PATH_MAX];

	cr_expect_eq(kernel->write(kernel->data, "/nowhere/at/all", "1"), -ENOENT);
	cr_assert_eq(vf_path(&fake.host, path, "/attribute"), 0);
	fake_put(&fake, "0", "/attribute");
	cr_expect_eq(kernel->write(kernel->data, path, "1"), 0);
	cr_expect_eq(vf_read_number(&fake.host, 0, "/attribute"), 1);
	fault_in("write", EBUSY);
	cr_expect_eq(kernel->write(kernel->data, path, "2"), -EBUSY);
	fault_end();
}

Test(vf_files, a_recorded_tree_is_for_looking)
{
	const struct vf_kernel *kernel = &vf_kernel_recorded;
	struct vf_settings settings = {0};
	struct vf_counters counters;
	struct vf_devlink devlink;

	cr_expect_eq(kernel->write(kernel->data, "/dev/null", "1"), -EROFS);
	cr_expect_eq(kernel->link_up(kernel->data, 1), -EROFS);
	cr_expect_eq(kernel->settings_get(kernel->data, 1, &settings, 1), -EOPNOTSUPP);
	cr_expect_eq(kernel->counters_get(kernel->data, 1, &counters, 1), -EOPNOTSUPP);
	cr_expect_eq(kernel->settings_set(kernel->data, 1, 0, 1, &settings), -EROFS);
	cr_expect_eq(kernel->devlink_get(kernel->data, "0000:01:00.0", &devlink), -EOPNOTSUPP);
	cr_expect_eq(kernel->eswitch_set(kernel->data, "0000:01:00.0", VF_ESWITCH_LEGACY), -EROFS);
}
