/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware versions and the switch mode of a PF, by devlink, which is generic netlink. A
 * kernel or driver without devlink answers -EOPNOTSUPP, which is nothing wrong. And the
 * stand-in for recorded trees, which have neither. Called through struct vf_kernel.
 */
#include <errno.h>
#include <linux/devlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdio.h>
#include <string.h>

#include "vf_internal.h"

#include "netlink.h"

/* A request about one PCI function; NULL: no memory. */
static struct nl_msg *request(int family, int command, const char *address)
{
	struct nl_msg *message = nlmsg_alloc_size(4096);

	if (message && (!genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, NLM_F_REQUEST,
				     (uint8_t)command, DEVLINK_GENL_VERSION) ||
			nla_put_string(message, DEVLINK_ATTR_BUS_NAME, "pci") < 0 ||
			nla_put_string(message, DEVLINK_ATTR_DEV_NAME, address) < 0)) {
		nlmsg_free(message);
		message = NULL;
	}
	return message;
}

static bool text_of(const struct nlattr *attribute, char *out, size_t bytes)
{
	int length = attribute ? nla_len(attribute) : 0;

	if (length < 1 || (size_t)length > bytes || !memchr(nla_data(attribute), 0, (size_t)length))
		return false;
	snprintf(out, bytes, "%s", (const char *)nla_data(attribute));
	return true;
}

/* Drivers name versions differently; the one that a person means by "the firmware" is: */
static int rank(const char *name)
{
	static const char *const names[] = {"fw", "fw.version", "fw.mgmt", "fw.app"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(name, names[i]))
			return i;
	return 4;
}

int devlink_take_info(void *data, struct nlmsghdr *answer, size_t bytes)
{
	struct vf_devlink *out = data;
	char name[64], value[64];
	struct nlattr *attribute;
	int rest, best = 5;

	(void)bytes;
	if (!genlmsg_valid_hdr(answer, 0))
		return -EBADMSG;
	nlmsg_for_each_attr(attribute, answer, GENL_HDRLEN, rest) {
		if (nla_type(attribute) != DEVLINK_ATTR_INFO_VERSION_RUNNING)
			continue;
		if (text_of(nla_find(nla_data(attribute), nla_len(attribute),
				     DEVLINK_ATTR_INFO_VERSION_NAME), name, sizeof(name)) &&
		    text_of(nla_find(nla_data(attribute), nla_len(attribute),
				     DEVLINK_ATTR_INFO_VERSION_VALUE), value, sizeof(value)) &&
		    rank(name) < best) {
			best = rank(name);
			snprintf(out->firmware, sizeof(out->firmware), "%s", value);
		}
	}
	return 0;
}

int devlink_take_eswitch(void *data, struct nlmsghdr *answer, size_t bytes)
{
	struct vf_devlink *out = data;

	(void)bytes;
	if (!genlmsg_valid_hdr(answer, 0))
		return -EBADMSG;
	struct nlattr *mode = nlmsg_find_attr(answer, GENL_HDRLEN, DEVLINK_ATTR_ESWITCH_MODE);
	if (mode && nla_len(mode) >= 2)
		out->eswitch = nla_get_u16(mode) == DEVLINK_ESWITCH_MODE_SWITCHDEV
			? VF_ESWITCH_SWITCHDEV : VF_ESWITCH_LEGACY;
	return 0;
}

static struct nl_sock *open_devlink(int *family)
{
	struct nl_sock *socket = nl_open(NETLINK_GENERIC);

	*family = socket ? genl_ctrl_resolve(socket, DEVLINK_GENL_NAME) : -1;
	if (*family < 0) {
		nl_socket_free(socket);
		return NULL;
	}
	return socket;
}

int devlink_get(void *data, const char *address, struct vf_devlink *out)
{
	struct vf_devlink found = {0};
	int family, error = -ENOMEM;
	struct nl_sock *socket = open_devlink(&family);

	(void)data;
	if (!socket)
		return -EOPNOTSUPP;
	struct nl_msg *info = request(family, DEVLINK_CMD_INFO_GET, address);
	struct nl_msg *eswitch = request(family, DEVLINK_CMD_ESWITCH_GET, address);
	if (info && eswitch) {
		/* A driver may have one and not the other. */
		error = nl_exchange(socket, info, devlink_take_info, &found);
		if (!error || error == -EOPNOTSUPP)
			error = nl_exchange(socket, eswitch, devlink_take_eswitch, &found);
		error = error == -EOPNOTSUPP && found.firmware[0] ? 0 : error;
	}
	nlmsg_free(info);
	nlmsg_free(eswitch);
	nl_socket_free(socket);
	if (!error)
		*out = found;
	return error;
}

int devlink_eswitch_set(void *data, const char *address, enum vf_eswitch mode)
{
	int family, error = -ENOMEM;
	struct nl_sock *socket = open_devlink(&family);

	(void)data;
	if (!socket)
		return -EOPNOTSUPP;
	struct nl_msg *message = request(family, DEVLINK_CMD_ESWITCH_SET, address);
	if (message && nla_put_u16(message, DEVLINK_ATTR_ESWITCH_MODE,
				   mode == VF_ESWITCH_SWITCHDEV ? DEVLINK_ESWITCH_MODE_SWITCHDEV
								: DEVLINK_ESWITCH_MODE_LEGACY) >= 0)
		error = nl_exchange(socket, message, NULL, NULL);
	nlmsg_free(message);
	nl_socket_free(socket);
	return error;
}

/* ---- Recorded trees ------------------------------------------------------------------ */

static int refuse_write(void *data, const char *path, const char *text)
{
	(void)data, (void)path, (void)text;
	return -EROFS;
}

static int refuse_link_up(void *data, int ifindex)
{
	(void)data, (void)ifindex;
	return -EROFS;
}

static int no_settings(void *data, int ifindex, struct vf_settings *settings, unsigned max)
{
	(void)data, (void)ifindex, (void)settings, (void)max;
	return -EOPNOTSUPP;
}

static int no_counters(void *data, int ifindex, struct vf_counters *counters, unsigned max)
{
	(void)data, (void)ifindex, (void)counters, (void)max;
	return -EOPNOTSUPP;
}

static int refuse_settings(void *data, int ifindex, unsigned index, unsigned keys,
			   const struct vf_settings *settings)
{
	(void)data, (void)ifindex, (void)index, (void)keys, (void)settings;
	return -EROFS;
}

static int no_devlink(void *data, const char *address, struct vf_devlink *out)
{
	(void)data, (void)address, (void)out;
	return -EOPNOTSUPP;
}

static int refuse_eswitch(void *data, const char *address, enum vf_eswitch mode)
{
	(void)data, (void)address, (void)mode;
	return -EROFS;
}

static int refuse_move(void *data, int ifindex, int netns_fd, const char *name)
{
	(void)data, (void)ifindex, (void)netns_fd, (void)name;
	return -EROFS;
}

static int refuse_group(void *data, int group)
{
	(void)data, (void)group;
	return -EROFS;
}

static int refuse_give(void *data, int group, uid_t uid)
{
	(void)data, (void)group, (void)uid;
	return -EROFS;
}

const struct vf_kernel vf_kernel_recorded = {
	.write = refuse_write,
	.link_up = refuse_link_up,
	.settings_get = no_settings,
	.settings_set = refuse_settings,
	.devlink_get = no_devlink,
	.eswitch_set = refuse_eswitch,
	.link_move = refuse_move,
	.group_free = refuse_group,
	.group_give = refuse_give,
	.counters_get = no_counters,
};
