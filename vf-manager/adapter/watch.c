/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the card is still there, its VFs, and its link. The kernel's messages (uevents,
 * rtnetlink) only say when to look; what is told is the difference between sysfs and what
 * monitors know, so that a message that was lost, or never sent, loses nothing. Called by
 * main.c's loop, and by methods.c when a monitor is new.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapter.h"
#include "log.h"
#include "unix_socket.h"

#define DEVICES "/sys/bus/pci/devices/"
#define UEVENT_KERNEL 1 /* the group of the kernel's own; 2 is udev's */

static int open_group(int protocol, unsigned group, int *out)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = group};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		int error = -errno;

		close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

int watch_open(struct vf_adapter *adapter)
{
	int error = open_group(NETLINK_KOBJECT_UEVENT, UEVENT_KERNEL, &adapter->uevent_fd);

	return error ? error : open_group(NETLINK_ROUTE, RTMGRP_LINK, &adapter->link_fd);
}

void watch_drain(struct vf_adapter *adapter)
{
	const int fds[] = {adapter->uevent_fd, adapter->link_fd};
	char ignored[8192];

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		/* ENOBUFS: some were lost, and that, too, means to look. */
		while (recv(fds[i], ignored, sizeof(ignored), 0) > 0 || errno == ENOBUFS)
			;
}

/*
 * Never sriov_numvfs, nor anything else that the kernel reads under the card's lock: it has
 * that for as long as it takes a function from its user, who may not let go of it for
 * minutes, and nobody could end us meanwhile. A function's link goes before that begins.
 */
static bool is_there(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool is_there(const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	return !access(path, F_OK);
}

static bool link_is_there(const struct vf_adapter *adapter, unsigned index)
{
	char path[sizeof(DEVICES) + VF_ADDRESS_BYTES + 32];
	struct stat status;

	snprintf(path, sizeof(path), DEVICES "%s/virtfn%u", adapter->pf, index);
	return !lstat(path, &status);
}

static bool vf_is_there(const struct vf_adapter *adapter, unsigned index)
{
	char name[VF_ADDRESS_BYTES];

	vf_address_format(&adapter->vfs[index].address, name);
	return is_there(DEVICES "%s", name);
}

static bool card_is_whole(const struct vf_adapter *adapter)
{
	for (unsigned v = 0; v < adapter->wish.vf_count; v++)
		if (!link_is_there(adapter, v))
			return false;
	return true;
}

/* Nothing of it is still on its way out, and its driver has it again, with an interface,
 * by which VFs are set up. */
static bool card_is_back(struct vf_adapter *adapter)
{
	for (unsigned v = 0; v < adapter->wish.vf_count; v++)
		if (vf_is_there(adapter, v))
			return card_is_whole(adapter);
	/* By its MAC it may be in another place. */
	if (adapter->wish.by_address && !is_there(DEVICES "%s/driver", adapter->pf))
		return false;
	const struct vf_function *pf =
		vf_discover(&adapter->host, 0) ? NULL : vf_pf_find(&adapter->host, &adapter->wish);

	return pf && pf->driver[0] && pf->ifname[0];
}

static void look_at_vfs(struct vf_adapter *adapter)
{
	char message[80], name[VF_ADDRESS_BYTES];

	for (unsigned v = 0; v < adapter->wish.vf_count; v++) {
		struct card_vf *vf = &adapter->vfs[v];

		if (!vf->taken || vf->told_gone == !vf_is_there(adapter, v))
			continue;
		vf->told_gone = !vf->told_gone;
		vf_address_format(&vf->address, name);
		snprintf(message, sizeof(message), "its function %s is %s", name,
			 vf->told_gone ? "gone" : "back");
		control_tell(adapter, vf->told_gone ? "removed" : "returned", (int)v, message);
	}
}

static void look_at_link(struct vf_adapter *adapter)
{
	if (!adapter->has_interface)
		return;
	bool down = !card_interface(adapter).carrier;
	if (down == adapter->told_down)
		return;
	adapter->told_down = down;
	control_tell(adapter, down ? "link-down" : "link-up", EVENT_PHYSICAL, "");
}

void watch_look(struct vf_adapter *adapter)
{
	char message[VF_ADDRESS_BYTES + 80];

	if (!*adapter->pf || !control_has_monitor(adapter))
		return;
	if (!adapter->told_gone && card_is_whole(adapter)) {
		look_at_vfs(adapter);
		look_at_link(adapter);
		return;
	}
	if (!adapter->told_gone) {
		adapter->told_gone = true;
		adapter->told_back = false;
		/* A card that is being taken away loses its functions first. */
		snprintf(message, sizeof(message), "its card %s is gone, or has lost its functions",
			 adapter->pf);
		control_tell(adapter, "removed", EVENT_PHYSICAL, message);
	}
	if (!adapter->told_back && card_is_back(adapter)) {
		adapter->told_back = true;
		control_tell(adapter, "returned", EVENT_PHYSICAL, "");
	}
}

void watch_forget_told(struct vf_adapter *adapter)
{
	adapter->told_gone = adapter->told_back = adapter->told_down = false;
	for (unsigned v = 0; v < adapter->wish.vf_count; v++)
		adapter->vfs[v].told_gone = false;
}
