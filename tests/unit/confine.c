/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whoever cannot be confined whole is told so, and must not serve: each call that builds
 * a wall is refused in turn, and the function that made it has to fail. None of the calls
 * is made for real: what they do is tests/e2e/confinement.sh's business, that they are
 * all looked at is this one's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../hv-shim/base/confine.h"

/* The call of this number fails with this error; 0: none does. Those made so far. */
static unsigned fail_at, made;
static int fail_with = EPERM;
/* What the kernel has to say. */
static long landlock_version = 1, seccomp_answer;
static bool may_set_capabilities = true;
static rlim_t hard_limit = RLIM_INFINITY;
static unsigned dropped;

static bool refused(void)
{
	if (++made != fail_at)
		return false;
	errno = fail_with;
	return true;
}

/* What they are called with does not matter. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define STAND_IN(name, parameters)              \
	int __wrap_##name parameters;           \
	int __wrap_##name parameters            \
	{                                       \
		return refused() ? -1 : 0;      \
	}
STAND_IN(mount, (const char *what, const char *where, const char *type, unsigned long flags,
		 const void *data))
STAND_IN(umount2, (const char *where, int flags))
STAND_IN(mkdir, (const char *path, mode_t mode))
STAND_IN(chdir, (const char *path))
STAND_IN(chmod, (const char *path, mode_t mode))
STAND_IN(unlink, (const char *path))
STAND_IN(setrlimit, (int resource, const struct rlimit *limits))
#pragma GCC diagnostic pop

int __wrap_getrlimit(int resource, struct rlimit *limits);
int __wrap_getrlimit(int resource, struct rlimit *limits)
{
	(void)resource;
	*limits = (struct rlimit){hard_limit, hard_limit};
	return refused() ? -1 : 0;
}

int __wrap_prctl(int what, unsigned long number);
int __wrap_prctl(int what, unsigned long number)
{
	if (what == PR_CAPBSET_READ)
		return number < 40 ? 1 : -1; /* which fails for what the kernel does not have */
	dropped += what == PR_CAPBSET_DROP;
	return refused() ? -1 : 0;
}

/* Nothing is opened: a descriptor of any file will do. */
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode)
{
	/* But where a build that counts branches counts them, before main(). */
	if (strstr(path, ".profraw"))
		return __real_open(path, flags, mode);
	return refused() ? -1 : __real_open("/dev/null", O_RDONLY | O_CLOEXEC);
}

long __wrap_syscall(long number, void *first, void *second, unsigned long third);
long __wrap_syscall(long number, void *first, void *second, unsigned long third)
{
	if (number == SYS_landlock_create_ruleset && third == LANDLOCK_CREATE_RULESET_VERSION)
		return landlock_version;
	if (refused())
		return -1;
	if (number == SYS_landlock_create_ruleset)
		return __real_open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (number == SYS_capget)
		memset(second, may_set_capabilities ? 0xff : 0,
		       _LINUX_CAPABILITY_U32S_3 * sizeof(struct __user_cap_data_struct));
	(void)first;
	return number == SYS_seccomp ? seccomp_answer : 0;
}

/* Those that are made for real unless they fail. */
#define REAL(type, name, failure, parameters, arguments)                              \
	type __real_##name parameters;                                                \
	type __wrap_##name parameters;                                                \
	type __wrap_##name parameters                                                 \
	{                                                                             \
		return refused() ? (type)(failure) : __real_##name arguments;         \
	}
REAL(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
REAL(int, fstat, -1, (int fd, struct stat *out), (fd, out))
REAL(ssize_t, pread, -1, (int fd, void *to, size_t bytes, off_t at), (fd, to, bytes, at))
REAL(void *, malloc, NULL, (size_t bytes), (bytes))
REAL(scmp_filter_ctx, seccomp_init, NULL, (uint32_t action), (action))
REAL(int, seccomp_attr_set, -EINVAL, (scmp_filter_ctx filter, enum scmp_filter_attr which, uint32_t value),
     (filter, which, value))
REAL(int, seccomp_export_bpf, -EINVAL, (const scmp_filter_ctx filter, int fd), (filter, fd))

static int left_out = -1; /* libseccomp forgets this call, as it does without memory */

int __wrap_seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int number, unsigned count, ...);
int __wrap_seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int number, unsigned count, ...)
{
	struct scmp_arg_cmp conditions[6];
	va_list arguments;

	va_start(arguments, count);
	for (unsigned i = 0; i < count; i++)
		conditions[i] = va_arg(arguments, struct scmp_arg_cmp);
	va_end(arguments);
	if (refused())
		return -ENOMEM;
	return number == left_out ? 0
				  : seccomp_rule_add_array(filter, action, number, count, conditions);
}

/* ---- The tests ------------------------------------------------------------------------------ */

/* `wall` works, and with any of its calls refused it fails. */
static void expect_whole(const char *name, int (*wall)(void), unsigned calls_least)
{
	made = fail_at = 0;
	cr_assert_eq(wall(), 0, "%s", name);
	unsigned calls = made;
	cr_expect_geq(calls, calls_least, "%s: %u calls", name, calls);
	for (unsigned n = 1; n <= calls; n++) {
		made = 0;
		fail_at = n;
		cr_expect_lt(wall(), 0, "%s: call %u was refused, and nobody noticed", name, n);
		cr_expect_eq(made, n, "%s: call %u was refused, and it went on", name, n);
	}
	made = fail_at = 0;
}

static int limits(void)
{
	return confine_serving_begin(64, 1 << 20, 1 << 20);
}
static int reach(void)
{
	return confine_serving_reach(true, "/dev/vfio/7", CONFINE_BIT(CAP_NET_ADMIN));
}
static int reach_without_device(void)
{
	return confine_serving_reach(true, NULL, 0);
}
static const int calls[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(exit_group)};
static const int more[] = {SCMP_SYS(ppoll), -1};
static const unsigned ioctls[] = {0x3b64, 0x3b65, 0};
static int list(void)
{
	struct sock_fprog program;
	int error = confine_seccomp_translate(calls, 3, more, ioctls, &program);

	if (error)
		cr_expect_null(program.filter);
	else
		free(program.filter);
	return error;
}
static int enforced(void)
{
	return confine_seccomp(calls, 3, NULL);
}

Test(confine, every_limit_is_looked_at)
{
	expect_whole("limits", limits, 8);
	hard_limit = 3; /* whoever started it set less */
	cr_expect_eq(limits(), 0);
}

Test(confine, every_wall_is_looked_at)
{
	expect_whole("reach", reach, 50);
	expect_whole("reach, no device", reach_without_device, 50);
	/* One that has left meanwhile is not there for anyone. */
	made = 0;
	fail_with = ENOENT;
	fail_at = 6; /* the mount of the device; the five before it lead there */
	cr_expect_eq(reach(), 0);
	fail_with = EINVAL;
	fail_at = 1;
	made = 0;
	cr_expect_lt(reach(), 0, "in a chroot");
}

Test(confine, a_kernel_without_landlock_has_one_wall_less)
{
	landlock_version = -1;
	made = 0; /* a build that counts branches makes some before main() */
	cr_expect_eq(confine_files("/dev/vfio/7"), 0);
	cr_expect_eq(made, 0u);
	landlock_version = 1;
	expect_whole("files", reach_without_device, 4);
	cr_expect_lt(confine_empty_root("/dev/a-path-that-is-much-longer-than-that-of-any-device-which-"
					"an-adjunct-could-be-given-and-which-does-not-fit-anywhere-near-"
					"the-room-that-there-is-for-it-below-the-new-root-of-the-process-"
					"so-that-it-is-refused-before-it-is-cut-to-the-name-of-another"),
		     0);
}

Test(confine, what_may_not_be_dropped_is_not_tried)
{
	may_set_capabilities = false;
	cr_expect_eq(confine_bounding_set(0), 0);
	cr_expect_eq(dropped, 0u);
	may_set_capabilities = true;
	cr_expect_eq(confine_bounding_set(CONFINE_BIT(3)), 0);
	cr_expect_eq(dropped, 39u, "all but the one that is kept");
}

Test(confine, the_list_of_calls_is_whole_or_none)
{
	expect_whole("list", list, 12);
	expect_whole("enforced", enforced, 11);
	left_out = calls[1];
	cr_expect_eq(list(), -ENOMEM, "a call that libseccomp left out in silence");
	left_out = -1;
	seccomp_answer = 4711; /* a thread that has a list of its own */
	cr_expect_eq(enforced(), -ESRCH);
}
