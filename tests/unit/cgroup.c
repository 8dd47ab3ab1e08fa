/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the daemon makes its control groups, by what the machine says of its own: the
 * files of proc and of the hierarchy are the test's. With a real hierarchy it is
 * tests/e2e/cgroup.sh's business.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "../../hv-shim/processes/cgroup.h"

static char top[PATH_MAX / 4];
/* What proc says; NULL: there is no such file. */
static char mounts[PATH_MAX], *mountinfo;
static const char *own;
static long file_system = CGROUP2_SUPER_MAGIC;
static const char *delegated; /* the attribute that systemd set; NULL: none */
static int rmdir_error;
static sd_event *loop;

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	const char *text = !strcmp(path, "/proc/self/mountinfo") ? mountinfo
			   : !strcmp(path, "/proc/self/cgroup")	 ? own
								 : path;

	errno = ENOENT;
	if (text == path)
		return __real_fopen(path, mode);
	return text ? fmemopen((char *)text, strlen(text), "r") : NULL;
}

int __wrap_statfs(const char *path, struct statfs *out);
int __wrap_statfs(const char *path, struct statfs *out)
{
	(void)path;
	out->f_type = file_system;
	return file_system ? 0 : -1;
}

ssize_t __wrap_getxattr(const char *path, const char *name, void *out, size_t bytes);
ssize_t __wrap_getxattr(const char *path, const char *name, void *out, size_t bytes)
{
	(void)path, (void)out, (void)bytes;
	return delegated && !strcmp(name, delegated) ? 1 : -1;
}

int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __wrap_rmdir(const char *path)
{
	errno = rmdir_error;
	return rmdir_error ? -1 : __real_rmdir(path);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
	(void)status, (void)kind, (void)ftw;
	return remove(path);
}

static void set_up(void)
{
	strcpy(top, "/tmp/otr-cgroup.XXXXXX");
	cr_assert(mkdtemp(top));
	cr_assert_geq(sd_event_new(&loop), 0);
	/* Another kind of hierarchy comes first, as where both versions are mounted. */
	snprintf(mounts, sizeof(mounts), "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
					 "2 0 0:2 / %s rw - cgroup2 cgroup2 rw\n", top);
	mountinfo = mounts;
	own = "1:cpu:/x\n0::/\n";
}
static void tear_down(void)
{
	sd_event_unref(loop);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
TestSuite(cgroup, .init = set_up, .fini = tear_down);

static const char *in_top(const char *below)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, below);
	return path;
}

static void put(const char *text, const char *below)
{
	const char *path = in_top(below);
	FILE *file = __real_fopen(path, "w");
	cr_assert(file, "%s: %s", path, strerror(errno));
	fputs(text, file);
	fclose(file);
}

static bool there(const char *below)
{
	return !access(in_top(below), F_OK);
}

static void none(const char *text)
{
	cgroup_open("/run/outrigger", true);
	cr_assert(cgroup_why_not());
	cr_expect(strstr(cgroup_why_not(), text), "%s", cgroup_why_not());
	/* And nothing is done for a partition. */
	uint64_t value = 7;
	cr_expect_eq(cgroup_open_group("red"), -ENOENT);
	cgroup_add("red", getpid());
	cgroup_remove(loop, "red");
	cr_expect_not(cgroup_memory("red", &value));
	cr_expect_eq(value, 7u);
	cgroup_close();
	cr_expect_not(there("p.red"));
}

Test(cgroup, a_machine_without)
{
	cr_expect(cgroup_why_not(), "before anybody looked");
	file_system = TMPFS_MAGIC; /* something was mounted over it */
	none("no control groups of version 2");
	file_system = 0;
	none("no control groups of version 2");
	mountinfo = NULL;
	none("no control groups of version 2");
	file_system = CGROUP2_SUPER_MAGIC;
	strcpy(mounts, "2 0 0:2 / /sys rw - sysfs sysfs rw\n");
	mountinfo = mounts;
	none("no control groups of version 2");
}

Test(cgroup, a_process_that_is_in_none)
{
	own = NULL;
	none("no control groups of version 2");
	own = "1:cpu:/x\n";
	none("no control groups of version 2");
}

Test(cgroup, nobody_gave_us_one)
{
	own = "0::/user.slice\n";
	none("Delegate=yes and DelegateSubgroup=shim");
	own = "0::/shim\n"; /* so it is called, and no more */
	none("Delegate=yes and DelegateSubgroup=shim");
	own = "0::none";
	none("Delegate=yes");
}

Test(cgroup, one_of_systemds)
{
	static const char *const names[] = {"trusted.delegate", "user.delegate"};

	own = "0::/outriggerd.service/shim\n";
	put("", "cgroup.subtree_control");
	cr_assert_eq(mkdir(in_top("outriggerd.service"), 0700), 0);
	for (size_t i = 0; i < 2; i++) {
		delegated = names[i];
		cgroup_open("/run/outrigger", true);
		cr_expect_null(cgroup_why_not(), "%s", cgroup_why_not());
		int fd = cgroup_open_group("red");
		cr_expect_geq(fd, 0);
		close(fd);
		cr_expect(there("outriggerd.service/p.red"));
		cgroup_remove(loop, "red");
		cr_expect_not(there("outriggerd.service/p.red"));
	}
}

Test(cgroup, one_of_our_own_at_the_top)
{
	uint64_t value;

	put("", "cgroup.subtree_control");
	cgroup_open("/run/outrigger", false);
	cr_expect_null(cgroup_why_not(), "%s", cgroup_why_not());
	cr_expect(there("outrigger/run-outrigger"));
	/* It is there already: a daemon before this one. */
	cgroup_open("/run/outrigger", false);
	cr_expect_null(cgroup_why_not());
	cgroup_add("red", getpid()); /* a folder without cgroup.procs: told, and no more */
	cr_expect(there("outrigger/run-outrigger/p.red"));
	put("", "outrigger/run-outrigger/p.red/cgroup.procs");
	cgroup_add("red", getpid());
	cr_expect_not(cgroup_memory("red", &value), "no such controller");
	put("4096\n", "outrigger/run-outrigger/p.red/memory.current");
	put("user_usec 5\nusage_usec 77\n", "outrigger/run-outrigger/p.red/cpu.stat");
	cr_expect(cgroup_memory("red", &value));
	cr_expect_eq(value, 4096u);
	cr_expect(cgroup_cpu("red", &value));
	cr_expect_eq(value, 77u);
	put("user_usec 5\n", "outrigger/run-outrigger/p.red/cpu.stat");
	cr_expect_not(cgroup_cpu("red", &value));
	put("max\n", "outrigger/run-outrigger/p.red/memory.current");
	cr_expect_not(cgroup_memory("red", &value));
	static const int errors[] = {EBUSY, ENOENT, EPERM};
	for (size_t i = 0; i < 3; i++) {
		rmdir_error = errors[i];
		cgroup_close();
		cr_expect(there("outrigger/run-outrigger"));
	}
}

Test(cgroup, a_top_where_nothing_can_be_made)
{
	char long_name[PATH_MAX];

	put("", "outrigger"); /* a file of that name */
	cgroup_open("/run/outrigger", false);
	/* mkdir() finds it there; what is below it cannot be made. */
	cr_expect(cgroup_why_not() && strstr(cgroup_why_not(), "no control group was delegated"));
	cr_assert_eq(remove(in_top("outrigger")), 0);
	memset(long_name, 'x', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	cgroup_open(long_name, false);
	cr_expect(cgroup_why_not(), "a state folder of any length");
}
