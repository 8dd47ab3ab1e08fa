/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens what DPDK needs of VFIO, so that an adjunct need not, and cannot: a
 * container of its own, which is an address space that its function sees of the
 * memory, and the function's IOMMU group. The adjunct puts the one into the other
 * and maps its donated memory; both, and with them all that the function may
 * reach, end with the adjunct, and the kernel resets the function then and when
 * the next one has it. The kernel takes 100 ms for a reset, which is why the
 * function's own descriptor is the adjunct's affair. Called by device_steps.c and
 * standby.c.
 */
#include "vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "vfio-pci"

/* The last part of what a link of the function's folder points to. */
static int link_target(const char *address, const char *name, char *out, size_t out_bytes)
{
	char path[PATH_MAX], target[PATH_MAX];
	int length = snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, name);

	if (length >= (int)sizeof(path) || strchr(address, '/'))
		return -ENODEV;
	ssize_t bytes = readlink(path, target, sizeof(target) - 1);
	if (bytes < 0)
		return -ENODEV;
	target[bytes] = '\0';
	const char *last = strrchr(target, '/');
	length = snprintf(out, out_bytes, "%s", last ? last + 1 : target);
	return length < (int)out_bytes ? 0 : -ENODEV;
}

int vfio_group_of(const char *address)
{
	char driver[sizeof(DRIVER) + 1], group[16];
	/* What has no colon is none, and the file system need not be asked. */
	int error = strchr(address, ':') ? link_target(address, "driver", driver, sizeof(driver)) : -ENODEV;
	char *end;

	if (!error && strcmp(driver, DRIVER))
		error = -ENODEV;
	if (!error)
		error = link_target(address, "iommu_group", group, sizeof(group));
	if (error)
		return error;
	long number = strtol(group, &end, 10);

	return *end || end == group || number < 0 || number > INT_MAX ? -ENODEV : (int)number;
}

int vfio_open_container(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vfio_open_group(int group)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
