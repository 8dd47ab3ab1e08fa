/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said to the kernel, and what is made of its answers: messages as drivers with
 * many VFs send them, cut and twisted ones, and the running kernel in a network
 * namespace of the test's own.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../vf-manager/netlink.h"
#include "support.h"

/* One VF as ice or mlx5 tell it. */
static void put_vf(struct nl_msg *message, unsigned index, bool full)
{
	struct ifla_vf_mac mac = {.vf = index,
				  .mac = {2, 0, 0, 0, (uint8_t)(index >> 8), (uint8_t)index}};
	struct ifla_vf_vlan vlan = {index, 7, 3};
	struct ifla_vf_vlan_info info = {index, 8, 2, htons(ETH_P_8021AD)};
	struct ifla_vf_rate rate = {index, 10, 1000};
	struct ifla_vf_spoofchk spoofchk = {index, 1}, unknown = {index, ~0u};
	struct ifla_vf_link_state state = {index, IFLA_VF_LINK_STATE_DISABLE};
	struct nlattr *one = nla_nest_start(message, IFLA_VF_INFO);

	nla_put(message, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(message, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(message, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	nla_put(message, IFLA_VF_TRUST, sizeof(unknown), &unknown);
	nla_put(message, IFLA_VF_LINK_STATE, sizeof(state), &state);
	if (full) {
		struct ifla_vf_guid guid;
		struct nlattr *list = nla_nest_start(message, IFLA_VF_VLAN_LIST);

		nla_put(message, IFLA_VF_VLAN_INFO, sizeof(info), &info);
		nla_nest_end(message, list);
		nla_put(message, IFLA_VF_RATE, sizeof(rate), &rate);
		memset(&guid, 0, sizeof(guid));
		guid.vf = index;
		guid.guid = 0x1122334455667788 + index;
		nla_put(message, IFLA_VF_IB_PORT_GUID, sizeof(guid), &guid);
	}
	nla_nest_end(message, one);
}

static struct nl_msg *link_message(unsigned vfs, unsigned short type, bool full)
{
	struct nl_msg *message = nlmsg_alloc_size(70000);
	struct ifinfomsg link = {.ifi_index = 3, .ifi_type = type};

	nlmsg_put(message, 0, 0, RTM_NEWLINK, 0, 0);
	nlmsg_append(message, &link, sizeof(link), NLMSG_ALIGNTO);
	nla_put_string(message, IFLA_IFNAME, "ens2f0");
	struct nlattr *list = nla_nest_start(message, IFLA_VFINFO_LIST);
	for (unsigned i = 0; i < vfs; i++)
		put_vf(message, i, full);
	nla_nest_end(message, list);
	return message;
}

static int parse(struct nl_msg *message, struct vf_settings *settings, unsigned max)
{
	return vf_netlink_parse(nlmsg_hdr(message), nlmsg_hdr(message)->nlmsg_len, settings, max);
}

/* As `ip -s link` has them, of the VFs from 1 on. */
static struct nl_msg *counters_message(unsigned vfs)
{
	struct nl_msg *message = nlmsg_alloc_size(70000);
	struct ifinfomsg link = {.ifi_index = 3, .ifi_type = ARPHRD_ETHER};

	nlmsg_put(message, 0, 0, RTM_NEWLINK, 0, 0);
	nlmsg_append(message, &link, sizeof(link), NLMSG_ALIGNTO);
	struct nlattr *list = nla_nest_start(message, IFLA_VFINFO_LIST);
	for (unsigned i = 0; i < vfs; i++) {
		struct ifla_vf_mac mac = {.vf = i};
		struct nlattr *one = nla_nest_start(message, IFLA_VF_INFO);

		nla_put(message, IFLA_VF_MAC, sizeof(mac), &mac);
		struct nlattr *stats = i ? nla_nest_start(message, IFLA_VF_STATS) : NULL;
		for (int kind = IFLA_VF_STATS_RX_PACKETS; stats && kind <= IFLA_VF_STATS_TX_DROPPED; kind++)
			if (kind != IFLA_VF_STATS_PAD)
				nla_put_u64(message, kind, UINT64_C(1) << 40 | i << 8 | (unsigned)kind);
		if (stats)
			nla_nest_end(message, stats);
		nla_nest_end(message, one);
	}
	nla_nest_end(message, list);
	return message;
}

Test(vf_netlink, what_a_driver_counts)
{
	struct vf_counters counters[4] = {[0] = {.rx_frames = 5}, [3] = {.rx_frames = 7}};
	struct nl_msg *message = counters_message(3);
	struct nlmsghdr *header = nlmsg_hdr(message);
	const uint64_t second = UINT64_C(1) << 40 | 2 << 8;

	cr_assert_eq(vf_netlink_counters(header, header->nlmsg_len, counters, 4), 0);
	cr_expect_eq(counters[0].rx_frames, 0u, "this one tells of none");
	cr_expect_eq(counters[2].rx_frames, second | IFLA_VF_STATS_RX_PACKETS);
	cr_expect_eq(counters[2].tx_frames, second | IFLA_VF_STATS_TX_PACKETS);
	cr_expect_eq(counters[2].rx_bytes, second | IFLA_VF_STATS_RX_BYTES);
	cr_expect_eq(counters[2].tx_bytes, second | IFLA_VF_STATS_TX_BYTES);
	cr_expect_eq(counters[2].rx_broadcast, second | IFLA_VF_STATS_BROADCAST);
	cr_expect_eq(counters[2].rx_multicast, second | IFLA_VF_STATS_MULTICAST);
	cr_expect_eq(counters[2].rx_dropped, second | IFLA_VF_STATS_RX_DROPPED);
	cr_expect_eq(counters[2].tx_dropped, second | IFLA_VF_STATS_TX_DROPPED);
	cr_expect_eq(counters[3].rx_frames, 7u, "not spoken of");
	/* Fewer were known when room was made. */
	counters[2].rx_frames = 9;
	cr_assert_eq(vf_netlink_counters(header, header->nlmsg_len, counters, 2), 0);
	cr_expect_eq(counters[2].rx_frames, 9u);
	for (uint32_t length = 0; length < header->nlmsg_len; length++) {
		void *copy = malloc(length ? length : 1);

		memcpy(copy, header, length);
		if (length >= sizeof(struct nlmsghdr))
			((struct nlmsghdr *)copy)->nlmsg_len = length;
		vf_netlink_counters(copy, length, counters, 4); /* ASan watches */
		free(copy);
	}
	nlmsg_free(message);
}

/* 256 of them are longer than a list's length can say: what is told is told right. */
Test(vf_netlink, counters_of_more_than_the_list_holds)
{
	static struct vf_counters counters[256];
	struct nl_msg *message = counters_message(256);
	struct nlmsghdr *header = nlmsg_hdr(message);
	unsigned known = 0;

	cr_assert_eq(vf_netlink_counters(header, header->nlmsg_len, counters, 256), 0);
	for (unsigned i = 1; i < 256; i++) {
		if (!counters[i].rx_frames)
			continue;
		known++;
		cr_assert_eq(counters[i].rx_frames,
			     UINT64_C(1) << 40 | i << 8 | IFLA_VF_STATS_RX_PACKETS);
	}
	cr_expect_gt(known, 0u);
	nlmsg_free(message);
}

Test(vf_netlink, a_vf_with_all_and_one_with_less)
{
	struct vf_settings settings[2] = {{0}};
	struct nl_msg *message = link_message(1, ARPHRD_ETHER, true);

	cr_assert_eq(parse(message, settings, 2), 0);
	cr_expect_eq(settings[1].given, 0u);
	const struct vf_settings *s = &settings[0];
	cr_expect_eq(s->given & VF_BIT(VF_TRUST), 0u, "all ones: the driver does not know");
	cr_expect_eq(s->vlan, 8, "the list says more than the plain one");
	cr_expect_eq(s->qos, 2);
	cr_expect_eq(s->proto, VF_PROTO_8021AD);
	cr_expect(s->spoofchk);
	cr_expect_eq(s->state, VF_STATE_DISABLE);
	cr_expect_eq(s->min_tx_rate, 10);
	cr_expect_eq(s->max_tx_rate, 1000);
	cr_expect_eq(s->port_guid, 0x1122334455667788u);
	cr_expect_eq(s->given & VF_BIT(VF_NODE_GUID), 0u);
	nlmsg_free(message);
	message = link_message(1, ARPHRD_INFINIBAND, false);
	cr_assert_eq(parse(message, settings, 2), 0);
	cr_expect_eq(settings[0].given & VF_BIT(VF_MAC), 0u, "20 bytes of it are no MAC");
	cr_expect_eq(settings[0].vlan, 7);
	cr_expect_eq(settings[0].given & VF_BIT(VF_MAX_TX_RATE), 0u, "what it had before is gone");
	nlmsg_free(message);
}

Test(vf_netlink, two_hundred_and_fifty_six)
{
	static struct vf_settings settings[256];
	struct nl_msg *message = link_message(256, ARPHRD_ETHER, true);

	cr_assert_eq(parse(message, settings, 256), 0);
	cr_expect_eq(settings[255].mac[5], 255);
	cr_expect_eq(settings[255].port_guid, 0x1122334455667788u + 255);
	/* Fewer were known when room was made. */
	memset(settings, 0, sizeof(settings));
	cr_assert_eq(parse(message, settings, 4), 0);
	cr_expect_neq(settings[3].given, 0u);
	cr_expect_eq(settings[4].given, 0u);
	nlmsg_free(message);
}

/* Every length, and every byte turned: no more is read than there is (ASan watches). */
Test(vf_netlink, cut_and_twisted)
{
	struct nl_msg *message = link_message(2, ARPHRD_ETHER, true);
	size_t bytes = nlmsg_hdr(message)->nlmsg_len;
	struct vf_settings settings[2];

	for (size_t length = 0; length < bytes; length++) {
		void *copy = malloc(length ? length : 1);

		memcpy(copy, nlmsg_hdr(message), length);
		cr_assert_eq(vf_netlink_parse(copy, length, settings, 2), -EBADMSG);
		if (length >= sizeof(struct nlmsghdr)) { /* and the header agrees */
			((struct nlmsghdr *)copy)->nlmsg_len = (uint32_t)length;
			vf_netlink_parse(copy, length, settings, 2);
		}
		free(copy);
	}
	for (size_t at = 0; at < bytes; at++)
		for (int bit = 0; bit < 8; bit++) {
			uint8_t *copy = malloc(bytes);

			memcpy(copy, nlmsg_hdr(message), bytes);
			copy[at] ^= (uint8_t)(1 << bit);
			memset(settings, 0, sizeof(settings));
			vf_netlink_parse(copy, bytes, settings, 2);
			for (int i = 0; i < 2; i++)
				cr_assert(settings[i].vlan >= 0 && settings[i].vlan < 4096 &&
					  settings[i].qos < 8 && settings[i].state >= 0 &&
					  settings[i].state <= VF_STATE_DISABLE);
			free(copy);
		}
	nlmsg_free(message);
}

/* What a request says, read back by the same rules. */
Test(vf_netlink, a_request_says_what_was_meant)
{
	struct vf_settings settings = {.vlan = 9, .qos = 1, .proto = VF_PROTO_8021AD}, none = {0};
	struct nl_msg *message = vf_netlink_request(5, 3, VF_BIT(VF_QOS), &settings);
	struct nlattr *list, *one, *a[IFLA_VF_MAX + 1];
	struct ifla_vf_vlan plain;

	cr_assert(message);
	cr_expect_eq(nlmsg_hdr(message)->nlmsg_type, RTM_SETLINK);
	list = nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct ifinfomsg), IFLA_VFINFO_LIST);
	cr_assert(list);
	one = nla_data(list);
	cr_assert_geq(nla_parse_nested(a, IFLA_VF_MAX, one, NULL), 0);
	cr_expect(a[IFLA_VF_VLAN_LIST] && !a[IFLA_VF_VLAN] && !a[IFLA_VF_MAC]);
	nlmsg_free(message);

	settings.proto = VF_PROTO_8021Q;
	message = vf_netlink_request(5, 3, VF_BIT(VF_VLAN) | VF_BIT(VF_MAC), &settings);
	list = nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct ifinfomsg), IFLA_VFINFO_LIST);
	cr_assert_geq(nla_parse_nested(a, IFLA_VF_MAX, nla_data(list), NULL), 0);
	cr_assert(a[IFLA_VF_VLAN] && a[IFLA_VF_MAC] && !a[IFLA_VF_VLAN_LIST]);
	memcpy(&plain, nla_data(a[IFLA_VF_VLAN]), sizeof(plain));
	cr_expect(plain.vf == 3 && plain.vlan == 9 && plain.qos == 1);
	nlmsg_free(message);

	message = vf_netlink_request(5, 3, 0, &none);
	cr_expect(message);
	nlmsg_free(message);
}

Test(vf_netlink, the_running_kernel)
{
	const struct vf_kernel *kernel = &vf_kernel_running;
	struct vf_settings settings[4] = {{0}};
	struct vf_devlink devlink = {.firmware = "x"};
	const int lo = 1; /* in every namespace */
	struct ifreq request = {.ifr_name = "lo"};
	int fd;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET)) {
		cr_skip_test("this kernel lets nobody here make a network namespace");
		return;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	cr_assert_eq(request.ifr_flags & IFF_UP, 0, "a new namespace's lo is down");
	cr_expect_eq(kernel->link_up(kernel->data, lo), 0);
	cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	cr_expect_eq(request.ifr_flags & IFF_UP, IFF_UP);
	close(fd);
	cr_expect_eq(kernel->settings_get(kernel->data, lo, settings, 4), 0);
	cr_expect_eq(settings[0].given, 0u, "lo has no VFs");
	settings[0].vlan = 5;
	cr_expect_eq(kernel->settings_set(kernel->data, lo, 0, VF_BIT(VF_VLAN), settings),
		     -EOPNOTSUPP);
	cr_expect_eq(kernel->settings_get(kernel->data, 4711, settings, 4), -ENODEV);
	struct vf_counters counters[4] = {{.rx_frames = 3}};
	cr_expect_eq(kernel->counters_get(kernel->data, lo, counters, 4), 0);
	cr_expect_eq(counters[0].rx_frames, 3u, "lo has no VFs to tell of");
	cr_expect_eq(kernel->counters_get(kernel->data, 4711, counters, 4), -ENODEV);
	cr_expect_eq(kernel->link_up(kernel->data, 4711), -ENODEV);
	int error = kernel->devlink_get(kernel->data, "0000:ff:1f.7", &devlink);
	cr_expect(error == -EOPNOTSUPP || error == -ENODEV, "%d", error);
	cr_expect_str_eq(devlink.firmware, "x", "a failure leaves it alone");
	error = kernel->eswitch_set(kernel->data, "0000:ff:1f.7", VF_ESWITCH_LEGACY);
	cr_expect(error == -EOPNOTSUPP || error == -ENODEV, "%d", error);
}
