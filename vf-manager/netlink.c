/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFs by rtnetlink, and the running machine's struct vf_kernel. libnl-3 carries
 * the messages; the VF attributes are packed and unpacked here, because libnl-route's VF
 * objects do not tell GUIDs, and ask for every VF's statistics, with which the list of
 * 256 VFs overflows its 16-bit length. What the kernel answers is checked like any other
 * input: a driver fills it in. Called through struct vf_kernel, on its caller's thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vf_internal.h"

#include "netlink.h"

#define ANSWER_SECONDS 10

struct nl_sock *nl_open(int protocol)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	struct nl_sock *socket = nl_socket_alloc();

	if (!socket || nl_connect(socket, protocol) < 0 ||
	    setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))) {
		nl_socket_free(socket);
		return NULL;
	}
	nl_socket_enable_msg_peek(socket); /* however long the list of VFs is */
	return socket;
}

/* One datagram's messages: 1 done, 0 go on, or -errno. */
static int take_datagram(unsigned char *buffer, int bytes, uint32_t sequence,
			 int (*take)(void *data, struct nlmsghdr *answer, size_t bytes), void *data)
{
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;

	for (; nlmsg_ok(header, bytes); header = nlmsg_next(header, &bytes)) {
		int error = 0;

		if (header->nlmsg_seq != sequence)
			continue; /* an answer to somebody's earlier question */
		if (header->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *refusal = nlmsg_data(header);

			if (nlmsg_datalen(header) < (int)sizeof(*refusal))
				return -EBADMSG;
			return refusal->error ? refusal->error : 1;
		}
		if (take)
			error = take(data, header, header->nlmsg_len);
		if (error)
			return error;
	}
	return 0;
}

int nl_exchange(struct nl_sock *socket, struct nl_msg *message,
		int (*take)(void *data, struct nlmsghdr *answer, size_t bytes), void *data)
{
	struct sockaddr_nl from = {0};
	int result;

	nlmsg_hdr(message)->nlmsg_flags |= NLM_F_ACK;
	if (nl_send_auto(socket, message) < 0)
		return -EIO;
	uint32_t sequence = nlmsg_hdr(message)->nlmsg_seq;
	do {
		unsigned char *buffer = NULL;
		int bytes = nl_recv(socket, &from, &buffer, NULL);

		if (bytes <= 0)
			return bytes == -NLE_NOMEM ? -ENOMEM : -ETIMEDOUT;
		result = from.nl_pid ? 0 : take_datagram(buffer, bytes, sequence, take, data);
		free(buffer);
	} while (!result);
	return result < 0 ? result : 0;
}

/* ---- Reading --------------------------------------------------------------------- */

/* An attribute's structure, copied out; false if it is shorter than that. */
static bool payload(const struct nlattr *attribute, void *out, size_t bytes)
{
	if (!attribute || nla_len(attribute) < (int)bytes)
		return false;
	memcpy(out, nla_data(attribute), bytes);
	return true;
}

static void take_vlan(struct nlattr *const *a, struct vf_settings *out)
{
	struct ifla_vf_vlan_info info = {.vlan_proto = htons(ETH_P_8021Q)};
	struct ifla_vf_vlan plain;
	bool known = false;

	if (a[IFLA_VF_VLAN_LIST])
		known = payload(nla_find(nla_data(a[IFLA_VF_VLAN_LIST]),
					 nla_len(a[IFLA_VF_VLAN_LIST]), IFLA_VF_VLAN_INFO),
				&info, sizeof(info));
	if (!known && payload(a[IFLA_VF_VLAN], &plain, sizeof(plain))) {
		info.vlan = plain.vlan;
		info.qos = plain.qos;
		known = true;
	}
	if (!known || info.vlan > 4095 || info.qos > 7)
		return;
	out->vlan = info.vlan;
	out->qos = info.qos;
	out->proto = info.vlan_proto == htons(ETH_P_8021AD) ? VF_PROTO_8021AD : VF_PROTO_8021Q;
	out->given |= VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) | VF_BIT(VF_PROTO);
}

/* 0 or 1; a driver that does not know leaves ~0. */
static void take_switch(const struct nlattr *attribute, enum vf_key key, bool *value,
			struct vf_settings *out)
{
	struct ifla_vf_spoofchk setting; /* trust has the same form */

	if (!payload(attribute, &setting, sizeof(setting)) || setting.setting > 1)
		return;
	*value = setting.setting;
	out->given |= VF_BIT(key);
}

static void take_guid(const struct nlattr *attribute, enum vf_key key, uint64_t *value,
		      struct vf_settings *out)
{
	struct ifla_vf_guid guid;

	if (!payload(attribute, &guid, sizeof(guid)))
		return;
	*value = guid.guid;
	out->given |= VF_BIT(key);
}

static void take_rest(struct nlattr *const *a, struct vf_settings *out)
{
	struct ifla_vf_link_state state;
	struct ifla_vf_rate rate;

	take_switch(a[IFLA_VF_SPOOFCHK], VF_SPOOFCHK, &out->spoofchk, out);
	take_switch(a[IFLA_VF_TRUST], VF_TRUST, &out->trust, out);
	take_guid(a[IFLA_VF_IB_NODE_GUID], VF_NODE_GUID, &out->node_guid, out);
	take_guid(a[IFLA_VF_IB_PORT_GUID], VF_PORT_GUID, &out->port_guid, out);
	if (payload(a[IFLA_VF_LINK_STATE], &state, sizeof(state)) &&
	    state.link_state <= IFLA_VF_LINK_STATE_DISABLE) {
		out->state = (int)state.link_state; /* the kernel's order is ours */
		out->given |= VF_BIT(VF_STATE);
	}
	if (payload(a[IFLA_VF_RATE], &rate, sizeof(rate))) {
		out->min_tx_rate = rate.min_tx_rate;
		out->max_tx_rate = rate.max_tx_rate;
		out->given |= VF_BIT(VF_MIN_TX_RATE) | VF_BIT(VF_MAX_TX_RATE);
	}
}

static void take_settings(struct nlattr *const *a, const struct ifla_vf_mac *mac, bool ethernet,
			  struct vf_settings *out)
{
	*out = (struct vf_settings){0};
	if (ethernet) {
		memcpy(out->mac, mac->mac, sizeof(out->mac));
		out->given |= VF_BIT(VF_MAC);
	}
	take_vlan(a, out);
	take_rest(a, out);
}

static void take_counters(const struct nlattr *list, struct vf_counters *out)
{
	struct nlattr *a[IFLA_VF_STATS_MAX + 1];

	*out = (struct vf_counters){0};
	const struct {
		int attribute;
		uint64_t *counter;
	} table[] = {
		{IFLA_VF_STATS_RX_PACKETS, &out->rx_frames},
		{IFLA_VF_STATS_TX_PACKETS, &out->tx_frames},
		{IFLA_VF_STATS_RX_BYTES, &out->rx_bytes},
		{IFLA_VF_STATS_TX_BYTES, &out->tx_bytes},
		{IFLA_VF_STATS_BROADCAST, &out->rx_broadcast},
		{IFLA_VF_STATS_MULTICAST, &out->rx_multicast},
		{IFLA_VF_STATS_RX_DROPPED, &out->rx_dropped},
		{IFLA_VF_STATS_TX_DROPPED, &out->tx_dropped},
	};
	if (!list || nla_parse(a, IFLA_VF_STATS_MAX, nla_data(list), nla_len(list), NULL) < 0)
		return;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		payload(a[table[i].attribute], table[i].counter, sizeof(*table[i].counter));
}

/* What is asked for of each VF: settings, or counters. */
struct wanted {
	struct vf_settings *settings;
	struct vf_counters *counters;
	unsigned max;
};

static void take_vf(struct nlattr *info, bool ethernet, const struct wanted *wanted)
{
	struct nlattr *a[IFLA_VF_MAX + 1];
	struct ifla_vf_mac mac;

	/* Every kernel since 2.6.34 sends the MAC, and with it the VF's number. */
	if (nla_parse(a, IFLA_VF_MAX, nla_data(info), nla_len(info), NULL) < 0 ||
	    !payload(a[IFLA_VF_MAC], &mac, sizeof(mac)) || mac.vf >= wanted->max)
		return;
	if (wanted->settings)
		take_settings(a, &mac, ethernet, &wanted->settings[mac.vf]);
	if (wanted->counters)
		take_counters(a[IFLA_VF_STATS], &wanted->counters[mac.vf]);
}

static int parse(const void *message, size_t bytes, const struct wanted *wanted)
{
	struct nlmsghdr *header = (struct nlmsghdr *)message;
	struct nlattr *info;
	int rest;

	if (bytes > INT_MAX || !nlmsg_ok(header, (int)bytes) || header->nlmsg_type != RTM_NEWLINK ||
	    !nlmsg_valid_hdr(header, sizeof(struct ifinfomsg)))
		return -EBADMSG;
	const struct ifinfomsg *link = nlmsg_data(header);
	struct nlattr *list = nlmsg_find_attr(header, sizeof(*link), IFLA_VFINFO_LIST);
	if (!list)
		return 0;
	nla_for_each_nested(info, list, rest)
		if (nla_type(info) == IFLA_VF_INFO)
			take_vf(info, link->ifi_type == ARPHRD_ETHER, wanted);
	return 0;
}

int vf_netlink_parse(const void *message, size_t bytes, struct vf_settings *settings, unsigned max)
{
	return parse(message, bytes, &(struct wanted){.settings = settings, .max = max});
}

int vf_netlink_counters(const void *message, size_t bytes, struct vf_counters *counters,
			unsigned max)
{
	return parse(message, bytes, &(struct wanted){.counters = counters, .max = max});
}

static int take_link(void *data, struct nlmsghdr *answer, size_t bytes)
{
	return parse(answer, bytes, data);
}

static struct nl_msg *link_request(int type, int ifindex, unsigned flags)
{
	struct nl_msg *message = nlmsg_alloc_size(4096);
	struct ifinfomsg link = {.ifi_index = ifindex, .ifi_flags = flags, .ifi_change = flags};

	if (message && (!nlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST) ||
			nlmsg_append(message, &link, sizeof(link), NLMSG_ALIGNTO) < 0)) {
		nlmsg_free(message);
		message = NULL;
	}
	return message;
}

static int send_request(struct nl_msg *message,
			int (*take)(void *data, struct nlmsghdr *answer, size_t bytes), void *data)
{
	struct nl_sock *socket = message ? nl_open(NETLINK_ROUTE) : NULL;
	int error = -ENOMEM;

	if (message && !socket)
		error = -EOPNOTSUPP;
	if (socket)
		error = nl_exchange(socket, message, take, data);
	nl_socket_free(socket);
	nlmsg_free(message);
	return error;
}

static int ask_for_vfs(int ifindex, uint32_t filter, struct wanted *wanted)
{
	struct nl_msg *message = link_request(RTM_GETLINK, ifindex, 0);

	if (message && nla_put_u32(message, IFLA_EXT_MASK, filter) < 0) {
		nlmsg_free(message);
		message = NULL;
	}
	return send_request(message, take_link, wanted);
}

static int settings_get(void *data, int ifindex, struct vf_settings *settings, unsigned max)
{
	(void)data;
	return ask_for_vfs(ifindex, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS,
			   &(struct wanted){.settings = settings, .max = max});
}

static int counters_get(void *data, int ifindex, struct vf_counters *counters, unsigned max)
{
	(void)data;
	return ask_for_vfs(ifindex, RTEXT_FILTER_VF,
			   &(struct wanted){.counters = counters, .max = max});
}

/* ---- Writing --------------------------------------------------------------------- */

static int put_vlan(struct nl_msg *message, unsigned index, const struct vf_settings *s)
{
	const struct ifla_vf_vlan plain = {.vf = index, .vlan = (uint32_t)s->vlan,
					   .qos = (uint32_t)s->qos};
	const struct ifla_vf_vlan_info info = {
		.vf = index, .vlan = (uint32_t)s->vlan, .qos = (uint32_t)s->qos,
		.vlan_proto = htons(ETH_P_8021AD)};

	/* The older attribute serves every driver, the list only those that know 802.1ad. */
	if (s->proto == VF_PROTO_8021Q)
		return nla_put(message, IFLA_VF_VLAN, sizeof(plain), &plain);
	struct nlattr *list = nla_nest_start(message, IFLA_VF_VLAN_LIST);
	if (!list || nla_put(message, IFLA_VF_VLAN_INFO, sizeof(info), &info) < 0)
		return -NLE_NOMEM;
	return nla_nest_end(message, list);
}

static int put_guid(struct nl_msg *message, int type, unsigned index, uint64_t guid)
{
	struct ifla_vf_guid value;

	memset(&value, 0, sizeof(value)); /* it has a gap */
	value.vf = index;
	value.guid = guid;
	return nla_put(message, type, sizeof(value), &value);
}

static int put_keys(struct nl_msg *message, unsigned index, unsigned keys,
		    const struct vf_settings *s)
{
	struct ifla_vf_mac mac = {.vf = index};
	const struct ifla_vf_spoofchk spoofchk = {index, s->spoofchk};
	const struct ifla_vf_trust trust = {index, s->trust};
	const struct ifla_vf_link_state state = {index, (uint32_t)s->state};
	const struct ifla_vf_rate rate = {index, (uint32_t)s->min_tx_rate,
					  (uint32_t)s->max_tx_rate};
	int error = 0;

	memcpy(mac.mac, s->mac, sizeof(s->mac));
	if (keys & VF_BIT(VF_MAC))
		error = nla_put(message, IFLA_VF_MAC, sizeof(mac), &mac);
	if (error >= 0 && keys & (VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) | VF_BIT(VF_PROTO)))
		error = put_vlan(message, index, s);
	if (error >= 0 && keys & VF_BIT(VF_SPOOFCHK))
		error = nla_put(message, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	if (error >= 0 && keys & VF_BIT(VF_TRUST))
		error = nla_put(message, IFLA_VF_TRUST, sizeof(trust), &trust);
	if (error >= 0 && keys & VF_BIT(VF_STATE))
		error = nla_put(message, IFLA_VF_LINK_STATE, sizeof(state), &state);
	if (error >= 0 && keys & (VF_BIT(VF_MIN_TX_RATE) | VF_BIT(VF_MAX_TX_RATE)))
		error = nla_put(message, IFLA_VF_RATE, sizeof(rate), &rate);
	if (error >= 0 && keys & VF_BIT(VF_NODE_GUID))
		error = put_guid(message, IFLA_VF_IB_NODE_GUID, index, s->node_guid);
	if (error >= 0 && keys & VF_BIT(VF_PORT_GUID))
		error = put_guid(message, IFLA_VF_IB_PORT_GUID, index, s->port_guid);
	return error;
}

struct nl_msg *vf_netlink_request(int ifindex, unsigned index, unsigned keys,
				  const struct vf_settings *settings)
{
	struct nl_msg *message = link_request(RTM_SETLINK, ifindex, 0);
	struct nlattr *list, *info;

	if (!message)
		return NULL;
	list = nla_nest_start(message, IFLA_VFINFO_LIST);
	info = list ? nla_nest_start(message, IFLA_VF_INFO) : NULL;
	if (!info || put_keys(message, index, keys, settings) < 0) {
		nlmsg_free(message);
		return NULL;
	}
	nla_nest_end(message, info);
	nla_nest_end(message, list);
	return message;
}

static int settings_set(void *data, int ifindex, unsigned index, unsigned keys,
			const struct vf_settings *settings)
{
	(void)data;
	return send_request(vf_netlink_request(ifindex, index, keys, settings), NULL, NULL);
}

static int link_up(void *data, int ifindex)
{
	(void)data;
	return send_request(link_request(RTM_SETLINK, ifindex, IFF_UP), NULL, NULL);
}

static int link_move(void *data, int ifindex, int netns_fd, const char *name)
{
	(void)data;
	/* Down first: an interface that is up cannot be renamed. */
	struct nl_msg *message = link_request(RTM_SETLINK, ifindex, 0);
	if (message) {
		struct ifinfomsg *link = nlmsg_data(nlmsg_hdr(message));

		link->ifi_change = IFF_UP;
		if (nla_put_u32(message, IFLA_NET_NS_FD, (uint32_t)netns_fd) < 0 ||
		    nla_put_string(message, IFLA_IFNAME, name) < 0) {
			nlmsg_free(message);
			message = NULL;
		}
	}
	return send_request(message, NULL, NULL);
}

/*
 * A group is opened by one program at a time. The file of one that was given away we may
 * not open, for all that we may do to it: it is ours while we try.
 */
static int group_free(void *data, int group)
{
	struct stat owner;
	char path[32];

	(void)data;
	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	int fd = open(path, O_RDWR | O_CLOEXEC), error = fd < 0 ? -errno : 0;
	if (error == -EACCES && !stat(path, &owner) && !lchown(path, geteuid(), (gid_t)-1)) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		error = fd < 0 ? -errno : 0;
		if (lchown(path, owner.st_uid, (gid_t)-1))
			error = error ? error : -errno;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static int group_give(void *data, int group, uid_t uid)
{
	char path[32];

	(void)data;
	snprintf(path, sizeof(path), "/dev/vfio/%d", group);
	return lchown(path, uid, (gid_t)-1) ? -errno : 0;
}

static int write_attribute(void *data, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY), error = 0;

	(void)data;
	if (fd < 0)
		return -errno;
	/* An attribute takes one write whole, or refuses it. */
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

const struct vf_kernel vf_kernel_running = {
	.write = write_attribute,
	.link_up = link_up,
	.settings_get = settings_get,
	.settings_set = settings_set,
	.counters_get = counters_get,
	.devlink_get = devlink_get,
	.eswitch_set = devlink_eswitch_set,
	.link_move = link_move,
	.group_free = group_free,
	.group_give = group_give,
};
