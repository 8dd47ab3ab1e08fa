/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function of an adapter through VFIO: DPDK's EAL opens a container and the
 * function's IOMMU group below /dev/vfio by their names. The linker
 * (-Wl,--wrap=NAME) leads those calls here, where it gets the descriptors that
 * the shim has opened and sent, each once, and nothing else: an adjunct of one
 * function cannot reach another's, whatever it may still open by name before it is
 * confined. A group is open in one process at a time, so a standby has a container
 * only: until its predecessor is gone there is no such group for it, and DPDK's
 * driver passes its device by.
 *
 * Called by start.c, and by the EAL, on the serving thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "eal_calls.h"
#include "runtime.h"

#define VFIO_FOLDER "/dev/vfio/"

static int container = -1, group = -1; /* until the EAL has them */
static bool enabled;
static uint64_t reset_ns;
static char group_path[sizeof(VFIO_FOLDER) + 12];

int eal_vfio_container(const struct adj_env *env, int fd)
{
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    !ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU)) {
		env->log(env, ADJ_LOG_ERROR, "VFIO: not a container, or one without an IOMMU");
		close(fd);
		return -EINVAL;
	}
	if (container >= 0)
		close(container); /* of a Start that then failed by something else */
	container = fd;
	enabled = true;
	return 0;
}

int eal_vfio_group(const struct adj_env *env, unsigned number, int fd)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		env->log(env, ADJ_LOG_ERROR,
			 "VFIO: group %u has members with other drivers, or is none", number);
		close(fd);
		return -EINVAL;
	}
	group = fd;
	snprintf(group_path, sizeof(group_path), VFIO_FOLDER "%u", number);
	return 0;
}

uint64_t eal_vfio_reset_ns(void)
{
	return reset_ns;
}

bool eal_vfio_waits(void)
{
	return enabled && !*group_path;
}

static int hand_over(int *fd)
{
	int given = *fd;

	*fd = -1;
	if (given < 0)
		errno = ENOENT;
	return given;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	if (!strncmp(path, VFIO_FOLDER, strlen(VFIO_FOLDER))) {
		int none = -1;

		return hand_over(!strcmp(path, VFIO_FOLDER "vfio") ? &container
				 : !strcmp(path, group_path)	   ? &group
								   : &none);
	}
	va_start(arguments, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return __real_open64(path, flags, mode);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

/*
 * The kernel resets a function before it hands it out, and takes 100 ms for it. The EAL
 * then asks for another reset before it has done anything with the function, which would
 * make the time without an adjunct so much longer: that one has been done already. (Where
 * the kernel could not reset the function it cannot then, either, and the EAL goes on.)
 */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	static int as_reset = -1; /* a function's descriptor, as it was handed out */
	va_list arguments;

	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == VFIO_DEVICE_RESET && fd == as_reset) {
		as_reset = -1;
		return 0;
	}
	if (request != VFIO_GROUP_GET_DEVICE_FD)
		return __real_ioctl(fd, request, argument);
	uint64_t before_ns = clock_now_ns();
	int result = __real_ioctl(fd, request, argument);

	reset_ns = clock_now_ns() - before_ns;
	as_reset = result;
	return result;
}

int __real_rte_vfio_enable(const char *module);
int __wrap_rte_vfio_enable(const char *module);

/*
 * Where the kernel has VFIO the EAL wants a container for devices to come. An
 * adjunct without such a device has none, and is not told of an error for it.
 */
int __wrap_rte_vfio_enable(const char *module)
{
	return enabled ? __real_rte_vfio_enable(module) : 0;
}
