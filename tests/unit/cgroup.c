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
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "../../hv-shim/processes/cgroup.h"

static char top[PATH_MAX / 4];
/* What proc says; NULL: there is no such file. */
static char mounts[PATH_MAX], *mountinfo;
static const char *own, *pids_cgroup; /* the latter as it is by its number */
static long file_system = CGROUP2_SUPER_MAGIC;
static const char *delegated; /* the attribute that systemd set; NULL: none */
static int rmdir_error;
static sd_event *loop;

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	char pids_path[40];
	const char *text = !strcmp(path, "/proc/self/mountinfo") ? mountinfo
			   : !strcmp(path, "/proc/self/cgroup")	 ? own
								 : path;

	snprintf(pids_path, sizeof(pids_path), "/proc/%d/cgroup", (int)getpid());
	if (pids_cgroup && !strcmp(path, pids_path))
		text = pids_cgroup;

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
	cr_expect_eq(cgroup_open_group("red", NULL), -ENOENT);
	cr_expect_eq(cgroup_open_group("red", "net0"), -ENOENT);
	cgroup_add("red", "net0", getpid());
	cr_expect_eq(cgroup_add_program("red", getpid(), getuid()), -ENOENT);
	cgroup_limit("red", 1 << 20, 500); /* told, and no more */
	cgroup_remove(loop, "red");
	cr_expect_not(cgroup_cpu_limit("red"));
	cr_expect_not(cgroup_cpu("red", &value));
	cr_expect_not(cgroup_cpu_of_programs("red", &value));
	cr_expect_not(cgroup_cpu_of_device("red", "net0", &value));
	cr_expect_not(cgroup_cpu_throttled("red", &value));
	cr_expect_not(cgroup_memory_limit("red", &value));
	cr_expect_not(cgroup_memory_kills("red", &value));
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
		int fd = cgroup_open_group("red", "net0");
		cr_expect_geq(fd, 0);
		close(fd);
		cr_expect(there("outriggerd.service/p.red/adjuncts/net0"));
		cr_expect(there("outriggerd.service/p.red/programs"));
		cgroup_remove(loop, "red");
		cr_expect_not(there("outriggerd.service/p.red"));
	}
}

#define RED "outrigger/run-outrigger/p.red/"

static void expect_text(const char *wanted, const char *below)
{
	char text[64] = "";
	FILE *file = __real_fopen(in_top(below), "r");
	cr_assert(file, "%s: %s", below, strerror(errno));
	cr_expect(fgets(text, sizeof(text), file) || !*wanted);
	fclose(file);
	cr_expect_str_eq(text, wanted, "%s: %s", below, text);
}

static void expect_file(long wanted, const char *below)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", wanted);
	expect_text(text, below);
}

Test(cgroup, limits_that_are_kept_and_that_are_not)
{
	uint64_t value;

	cgroup_open("/run/outrigger", false);
	cgroup_limit("red", 64 << 20, 1500); /* there is neither controller: told, and no more */
	cr_expect(there(RED "programs"));
	cr_expect_not(cgroup_cpu_limit("red"));
	cr_expect_not(cgroup_memory_limit("red", &value));
	put("max 100000\n", RED "cpu.max");
	put("max\n", RED "adjuncts/memory.max");
	cr_expect_not(cgroup_cpu_limit("red"));
	put("", RED "cpu.max");
	put("", RED "adjuncts/memory.max");
	cgroup_limit("red", 64 << 20, 1500);
	expect_text("150000 100000", RED "cpu.max");
	expect_text("67108864", RED "adjuncts/memory.max");
	cr_expect(cgroup_cpu_limit("red"));
	cr_expect(cgroup_memory_limit("red", &value));
	cr_expect_eq(value, 64u << 20);
	put("", RED "cpu.max");
	put("", RED "adjuncts/memory.max");
	cgroup_limit("red", 0, 10);
	expect_text("1000 100000", RED "cpu.max");
	expect_text("max", RED "adjuncts/memory.max");
	put("", RED "cpu.max");
	cgroup_remove(loop, "red"); /* its files keep it here; programs that stay have no share */
	expect_text("max", RED "cpu.max");
}

Test(cgroup, programs_are_their_users)
{
	pid_t child = fork();

	cr_assert_geq(child, 0);
	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	cgroup_open("/run/outrigger", false);
	cgroup_limit("red", 0, 0);
	put("", RED "programs/cgroup.procs");
	cr_expect_eq(cgroup_add_program("red", child, getuid()), -ESRCH, "it is gone");
	cr_expect_eq(cgroup_add_program("red", getpid(), getuid() + 1), -ESRCH, "another's");
	expect_text("", RED "programs/cgroup.procs");
	cr_expect_eq(cgroup_add_program("red", getpid(), getuid()), 0);
	expect_file(getpid(), RED "programs/cgroup.procs");
	/* Once it is there it is not moved, which takes time. */
	put("", RED "programs/cgroup.procs");
	pids_cgroup = "0::/outrigger/run-outrigger/p.red/programs\n";
	cr_expect_eq(cgroup_add_program("red", getpid(), getuid()), 0);
	expect_text("", RED "programs/cgroup.procs");
	pids_cgroup = "0::/outrigger/run-outrigger/p.red/adjuncts\n";
	cr_expect_eq(cgroup_add_program("red", getpid(), getuid()), 0);
	expect_file(getpid(), RED "programs/cgroup.procs");
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
	cgroup_add("red", NULL, getpid()); /* a folder without cgroup.procs: told, and no more */
	cr_expect(there(RED "adjuncts"));
	put("", RED "adjuncts/cgroup.procs");
	cgroup_add("red", NULL, getpid());
	expect_file(getpid(), RED "adjuncts/cgroup.procs");
	cgroup_add("red", "net0", getpid());
	cr_expect(there(RED "adjuncts/net0"));
	cr_expect_not(cgroup_memory("red", &value), "no such controller");
	put("4096\n", RED "adjuncts/memory.current");
	put("user_usec 5\nusage_usec 77\nthrottled_usec 3\n", RED "cpu.stat");
	put("usage_usec 7\n", RED "programs/cpu.stat");
	put("usage_usec 70\n", RED "adjuncts/net0/cpu.stat");
	cr_expect(cgroup_memory("red", &value));
	cr_expect_eq(value, 4096u);
	cr_expect(cgroup_cpu("red", &value));
	cr_expect_eq(value, 77u);
	cr_expect(cgroup_cpu_throttled("red", &value));
	cr_expect_eq(value, 3u);
	cr_expect(cgroup_cpu_of_programs("red", &value));
	cr_expect_eq(value, 7u);
	cr_expect(cgroup_cpu_of_device("red", "net0", &value));
	cr_expect_eq(value, 70u);
	put("user_usec 5\n", RED "cpu.stat");
	cr_expect_not(cgroup_cpu("red", &value));
	put("max\n", RED "adjuncts/memory.current");
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
