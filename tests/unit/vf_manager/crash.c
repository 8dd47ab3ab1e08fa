/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The power goes while a VF changes hands: before each operation of the kernel, and at
 * each step of writing the record, where a file that is not synced yet loses its second
 * half, and a name whose folder is not synced is not there. Whatever the moment, the VF is
 * then held or free as the record says, and a held one can be given back clean. And memory
 * that cannot be had, at every place.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fault.h"
#include "support.h"

/* The one whose child is at work; NULL elsewhere. */
static struct fake *mortal;
/* What is not on disk yet: a file's second half, a name in its folder. -1: all is. */
static int half = -1, folder_of_name = -1;
static char name_not_there[NAME_MAX + 1];

int __real_openat(int at, const char *name, int flags, ...);
int __real_fsync(int fd);
int __real_renameat(int from, const char *old, int to, const char *new);
int __real_unlinkat(int at, const char *name, int flags);
int __wrap_openat(int at, const char *name, int flags, unsigned mode);
int __wrap_fsync(int fd);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __wrap_unlinkat(int at, const char *name, int flags);

/* The power goes: what was not on disk is lost. */
static void lose(void)
{
	struct stat status;

	if (half >= 0 && (fstat(half, &status) || ftruncate(half, status.st_size / 2)))
		_exit(8);
	if (folder_of_name >= 0 && __real_unlinkat(folder_of_name, name_not_there, 0))
		_exit(8);
}

static void perhaps_die(void)
{
	if (mortal && fake_dies(mortal))
		_exit(9);
}

int __wrap_openat(int at, const char *name, int flags, unsigned mode)
{
	if (fault_due("openat"))
		return -1;
	perhaps_die();
	int fd = __real_openat(at, name, flags, mode);

	if (mortal && fd >= 0 && flags & O_CREAT)
		half = dup(fd);
	return fd;
}

int __wrap_fsync(int fd)
{
	struct stat status;

	if (fault_due("fsync"))
		return -1;
	perhaps_die();
	int result = __real_fsync(fd);

	if (mortal && !fstat(fd, &status)) {
		int *safe = S_ISREG(status.st_mode) ? &half : &folder_of_name;

		if (*safe >= 0)
			close(*safe);
		*safe = -1;
	}
	return result;
}

int __wrap_renameat(int from, const char *old, int to, const char *new)
{
	if (fault_due("renameat"))
		return -1;
	perhaps_die();
	int result = __real_renameat(from, old, to, new);

	if (mortal && !result) {
		folder_of_name = dup(to);
		snprintf(name_not_there, sizeof(name_not_there), "%s", new);
	}
	return result;
}

int __wrap_unlinkat(int at, const char *name, int flags)
{
	if (fault_due("unlinkat"))
		return -1;
	perhaps_die();
	return __real_unlinkat(at, name, flags);
}

static struct vf_function *first_vf(struct fake *fake)
{
	fake_look(fake, VF_LOOK_ALL);
	return &fake->host.pfs[0]->vfs[0];
}

/* What the child does until its end. */
static void change_hands(struct fake *fake, struct fake_pf *pf)
{
	if (vf_bind(&fake->host, first_vf(fake), "dpdk", "red"))
		_exit(1);
	pf->settings[0].vlan = 7;
	if (vf_release(&fake->host, first_vf(fake), "red"))
		_exit(2);
	_exit(0);
}

/* The status of a child that dies at the n-th point; 0: there were fewer. */
static int die_at(struct fake *fake, struct fake_pf *pf, unsigned n)
{
	int status;
	pid_t child = fork();

	cr_assert_geq(child, 0);
	if (!child) {
		fake->die_at = n;
		fake->on_death = lose;
		mortal = fake;
		change_hands(fake, pf);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status), "it ended by signal %d at point %u", WTERMSIG(status), n);
	return WEXITSTATUS(status);
}

Test(vf_crash, wherever_the_power_goes)
{
	unsigned held = 0, n;
	int status = 9;

	for (n = 1; status; n++) {
		struct fake fake;
		struct fake_pf *pf;

		fake_open(&fake);
		pf = fake_add(&fake, &fake_82576);
		fake_make_vfs(&fake, pf, 1);
		pf->settings[0].vlan = 33;
		status = die_at(&fake, pf, n);
		cr_assert(status == 9 || !status, "point %u: status %d", n, status);
		struct vf_function *vf = first_vf(&fake);
		cr_assert(!vf->owner[0] || !strcmp(vf->owner, "red"), "point %u: '%s'", n,
			  vf->owner);
		held += vf->owner[0] != 0;
		if (vf->owner[0])
			cr_assert_eq(vf_release(&fake.host, vf, "red"), 0, "point %u: %s", n,
				     fake.host.reason);
		vf = first_vf(&fake);
		cr_expect_str_eq(vf->driver, "igbvf", "point %u", n);
		cr_expect_str_eq(vf->driver_override, "", "point %u", n);
		cr_expect_eq(vf->live.vlan, 33, "point %u", n);
		cr_expect_str_eq(vf->owner, "", "point %u", n);
		fake_close(&fake);
	}
	/* Twice three operations of files, three and five of the kernel; most between them. */
	cr_expect_gt(n, 12u);
	cr_expect_gt(held, 6u);
}

static struct fake fake;

static void take(void *data, const struct vf_finding *finding)
{
	(void)data, (void)finding;
}

Test(vf_crash, no_memory_anywhere)
{
	struct vf_wish wishes[3] = {{.msix = -1, .pool = "a"}, {.msix = -1}, {.msix = -1}};
	struct vf_pf_wish wish = {.by_address = true, .vf_count = 3, .vfs = wishes};
	struct vf_plan plan = {0};

	fake_open(&fake);
	fake_make_vfs(&fake, fake_add(&fake, &fake_82576), 3);
	fake_put(&fake, "x\n", "/proc/99/comm");
	fake_link(&fake, "/dev/vfio/11", "/proc/99/fd/9");
	fake_look(&fake, VF_LOOK_ALL);
	fake_put(&fake, "", "/out/x");
	char folder[PATH_MAX];
	cr_assert_eq(vf_path(&fake.host, folder, "/out"), 0);
	wish.address = fake.host.pfs[0]->address;
	wishes[2].settings = (struct vf_settings){.given = VF_BIT(VF_VLAN), .vlan = 9};
	fault_json();
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		/* Without the names: libpci reads its whole database for them, and dies by itself. */
		int error = vf_discover(&fake.host, VF_LOOK_ALL & ~VF_LOOK_NAMES);
		if (!error)
			error = vf_plan(&fake.host, &wish, 1, 0, &plan);
		if (!error)
			error = vf_export(&fake.host, VF_FORMAT_CDI, &wish, 1, folder, NULL, NULL);
		if (!error)
			error = vf_export(&fake.host, VF_FORMAT_PCIDP, &wish, 1, folder, NULL,
					  NULL);
		json_t *json = error ? NULL : vf_function_to_json(fake.host.pfs[0]);
		bool failed = fault_end();

		cr_expect_eq(failed, error || !json, "round %u: %d %s", n, error, fake.host.reason);
		cr_expect(!error || fake.host.reason[0], "round %u: no reason", n);
		json_decref(json);
		vf_plan_free(&plan);
	}
	fake_look(&fake, VF_LOOK_ALL);
	/* The doctor looks on without what it could not read. */
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int count = vf_doctor(&fake.host, take, NULL);
		fault_end();
		cr_expect_geq(count, 0);
	}
	fake_close(&fake);
}
