/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes from an adjunct what serving does not need. The shim started it inside
 * namespaces of its own (hv-shim/spawn.c); the rest happens here, in two steps,
 * because DPDK's initialisation needs files that serving does not:
 *
 *   confine_begin()   first thing in the process: limits, no new privileges,
 *                     not traceable. What stays until the second step: reading
 *                     /sys and /proc (the EAL counts processors), connecting to
 *                     the device's socket, making the partition's.
 *   confine_finish()  once the driver is up, before the shim hears so: an empty
 *                     root, no capabilities, the seccomp list in confine_seccomp.c.
 *
 * Threads that DPDK starts in between hold no capabilities from their first
 * instruction (confine_thread.c): only the serving thread can take the second
 * step. Anything that cannot be taken away fails the start.
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"

/* Sockets, eventfds, windows, what librte_vhost maps of a guest: some dozens. */
#define DESCRIPTORS_MAX 128
/* Private memory besides what was donated: under 4 MiB are used, and threads'
 * stacks of 8 MiB each count whole. */
#define PRIVATE_BYTES_MAX (64u << 20)

static int fail(const char *what)
{
	int error = -errno;

	log_error("cannot be confined: %s: %s", what, strerror(-error));
	return error;
}

static int limit(int resource, rlim_t value)
{
	struct rlimit limits;

	if (getrlimit(resource, &limits))
		return -1;
	/* Whoever started the shim may have set less. */
	if (limits.rlim_max < value)
		value = limits.rlim_max;
	limits = (struct rlimit){value, value};
	return setrlimit(resource, &limits);
}

int confine_begin(void)
{
	/* A core dump would write the partition's frames to a disk. */
	if (limit(RLIMIT_CORE, 0) || limit(RLIMIT_NOFILE, DESCRIPTORS_MAX) ||
	    limit(RLIMIT_DATA, PRIVATE_BYTES_MAX))
		return fail("limits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail("no_new_privs");
	/* A sibling of the same user may then neither trace us nor read our memory. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return fail("dumpable");
	return 0;
}

/* True in the namespaces the shim made; a test may start us without them. */
static bool namespaces_are_ours(void)
{
	return getpid() == 1;
}

/* An empty, read-only file system for a root, and nothing behind it. */
static int empty_root(void)
{
	/* Nothing may be mounted before this: it could show outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return fail(errno == EINVAL ? "the root is no mount point, as in a chroot; bind-mount "
					      "it onto itself before outriggerd starts"
					    : "mounts of its own");
	if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555"))
		return fail("an empty file system");
	/* The old root ends up on top of the new one, and is then let go. */
	if (chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		return fail("an empty root");
	if (chdir("/") || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
		return fail("a read-only root");
	return 0;
}

int confine_drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_ALL) ? -EPERM : 0;
}

/*
 * Landlock, where the kernel has it: no file may be opened or made, whatever the
 * root holds. A second wall behind the empty root; a kernel without it has one.
 */
static int forbid_files(void)
{
	const long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
				     LANDLOCK_CREATE_RULESET_VERSION);
	/* The thirteen rights of version 1, which every later one has. */
	const struct landlock_ruleset_attr attributes = {.handled_access_fs = (1u << 13) - 1};

	if (version < 1)
		return 0;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes.handled_access_fs), 0);
	if (fd < 0)
		return fail("Landlock");
	int result = syscall(SYS_landlock_restrict_self, fd, 0) ? fail("Landlock") : 0;

	close(fd);
	return result;
}

int confine_finish(const int *extra_syscalls)
{
	int result = namespaces_are_ours() ? empty_root() : 0;

	if (!result)
		result = forbid_files();
	if (!result && confine_drop_capabilities()) {
		errno = EPERM;
		result = fail("capabilities");
	}
	if (!result)
		result = confine_seccomp(extra_syscalls);
	return result;
}
