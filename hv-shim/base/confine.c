/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits, capabilities and files: see confine.h. The calling thread.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#define DEVICE_PATH_BYTES 64

static int fail(const char *what)
{
	int error = -errno;

	log_error("cannot be confined: %s: %s", what, strerror(-error));
	return error;
}

int confine_limit(int resource, rlim_t value)
{
	struct rlimit limits;

#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer's shadow of all addresses counts as private memory. */
	if (resource == RLIMIT_DATA)
		return 0;
#endif
	if (getrlimit(resource, &limits))
		return fail("limits");
	/* Whoever started the shim may have set less. */
	if (limits.rlim_max < value)
		value = limits.rlim_max;
	limits = (struct rlimit){value, value};
	return setrlimit(resource, &limits) ? fail("limits") : 0;
}

int confine_begin(void)
{
	/* A core dump would write other people's data to a disk. */
	int error = confine_limit(RLIMIT_CORE, 0);

	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		error = fail("no_new_privs");
	return error;
}

int confine_untraceable(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? fail("dumpable") : 0;
}

/* Makes `device` below the new root, which is at /proc, by a bind mount. */
static int take_device_along(const char *device)
{
	char path[DEVICE_PATH_BYTES];
	int length = snprintf(path, sizeof(path), "/proc%s", device);

	if (length >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return fail(device);
	}
	for (char *slash = path + sizeof("/proc"); (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdir(path, 0755))
			return fail(path);
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(path);
	close(fd);
	/* Whoever opens it later is told that it is not there. */
	if (mount(device, path, NULL, MS_BIND, NULL) && (errno != ENOENT || unlink(path)))
		return fail(device);
	return 0;
}

int confine_empty_root(const char *device)
{
	/* Nothing may be mounted before this: it could show outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return fail(errno == EINVAL ? "the root is no mount point, as in a chroot; bind-mount "
					      "it onto itself before outriggerd starts"
					    : "mounts of its own");
	if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0755"))
		return fail("an empty file system");
	if (device) {
		int error = take_device_along(device);

		if (error)
			return error;
	}
	/* The old root ends up on top of the new one, and is then let go. */
	if (chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		return fail("an empty root");
	if (chdir("/") || chmod("/", 0555) ||
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
		return fail("a read-only root");
	return 0;
}

static int permit_device(int ruleset, const char *device)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
		.parent_fd = open(device, O_PATH | O_CLOEXEC)};
	int error = 0;

	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : fail(device);
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		error = fail("Landlock");
	close(rule.parent_fd);
	return error;
}

/* A second wall behind the empty root; a kernel without Landlock has one. */
int confine_files(const char *device)
{
	const long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
				     LANDLOCK_CREATE_RULESET_VERSION);
	/* The thirteen rights of version 1, which every later one has. */
	const struct landlock_ruleset_attr attributes = {.handled_access_fs = (1u << 13) - 1};

	if (version < 1)
		return 0;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes,
			      sizeof(attributes.handled_access_fs), 0);
	if (fd < 0)
		return fail("Landlock");
	int result = device ? permit_device(fd, device) : 0;

	if (!result && syscall(SYS_landlock_restrict_self, fd, 0))
		result = fail("Landlock");
	close(fd);
	return result;
}

int confine_bounding_set(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, sets))
		return fail("capabilities");
	if (!(sets[0].effective & CONFINE_BIT(CAP_SETPCAP)))
		return 0;
	for (int bit = 0; bit < 64; bit++) {
		/* -1: the kernel has fewer than 64. To look costs a tenth of what dropping does. */
		if (!(keep & CONFINE_BIT(bit)) && prctl(PR_CAPBSET_READ, bit, 0, 0, 0) > 0 &&
		    prctl(PR_CAPBSET_DROP, bit, 0, 0, 0))
			return fail("bounding set");
	}
	return 0;
}

int confine_capabilities(uint64_t permitted, uint64_t effective)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	int error = confine_bounding_set(permitted);

	if (error)
		return error;
	if (syscall(SYS_capget, &header, sets))
		return fail("capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return fail("ambient capabilities");
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		sets[i].permitted &= (uint32_t)(permitted >> 32 * i);
		sets[i].effective = sets[i].permitted & (uint32_t)(effective >> 32 * i);
		sets[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, sets) ? fail("capabilities") : 0;
}

int confine_serving_begin(rlim_t descriptors_max, rlim_t private_bytes_max,
			  rlim_t locked_bytes_max)
{
	int error = confine_begin();

	if (!error)
		error = confine_untraceable();
	if (!error)
		error = confine_limit(RLIMIT_NOFILE, descriptors_max);
	if (!error)
		error = confine_limit(RLIMIT_DATA, private_bytes_max);
	if (!error)
		error = confine_limit(RLIMIT_MEMLOCK, locked_bytes_max);
	return error;
}

int confine_serving_reach(bool own_namespaces, const char *device, uint64_t capabilities)
{
	int error = own_namespaces ? confine_empty_root(device) : 0;

	if (!error)
		error = confine_files(device);
	if (!error)
		error = confine_capabilities(capabilities, capabilities);
	return error;
}
