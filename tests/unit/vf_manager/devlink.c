/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware versions and switch modes, asked of drivers as they answer: ice and mlx5 with
 * all they tell, older ones with a part, none with nothing; and answers that are cut,
 * forged, late or missing, which is what a driver or another process may send.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/devlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <string.h>

#include "../../../vf-manager/netlink.h"
#include "../fault.h"
#include "netlink_peer.h"
#include "support.h"

#define ADDRESS "0000:17:00.0"

static struct netlink_peer peer;
/* What the driver on the other end says to each question; 0 or -errno. */
static int info_error, eswitch_error, set_error;
static uint16_t mode = DEVLINK_ESWITCH_MODE_LEGACY;
static void (*versions)(struct nl_msg *message);

static struct nl_msg *devlink_message(int command)
{
	struct nl_msg *message = nlmsg_alloc();

	cr_assert(message && genlmsg_put(message, 0, 0, PEER_FAMILY, 0, 0, (uint8_t)command,
					 DEVLINK_GENL_VERSION));
	nla_put_string(message, DEVLINK_ATTR_BUS_NAME, "pci");
	nla_put_string(message, DEVLINK_ATTR_DEV_NAME, ADDRESS);
	return message;
}

static void put_version(struct nl_msg *message, int type, const char *name, const char *value)
{
	struct nlattr *one = nla_nest_start(message, type);

	if (name)
		nla_put_string(message, DEVLINK_ATTR_INFO_VERSION_NAME, name);
	if (value)
		nla_put_string(message, DEVLINK_ATTR_INFO_VERSION_VALUE, value);
	nla_nest_end(message, one);
}

#define FIXED DEVLINK_ATTR_INFO_VERSION_FIXED
#define RUNNING DEVLINK_ATTR_INFO_VERSION_RUNNING
#define STORED DEVLINK_ATTR_INFO_VERSION_STORED

/* The names are those of the kernel's devlink documents for these drivers. */
static void ice_tells(struct nl_msg *message)
{
	nla_put_string(message, DEVLINK_ATTR_INFO_DRIVER_NAME, "ice");
	nla_put_string(message, DEVLINK_ATTR_INFO_SERIAL_NUMBER, "b4-96-91-ff-ff-a5-12-34");
	put_version(message, FIXED, "board.id", "K12345-000");
	put_version(message, RUNNING, "fw.mgmt.api", "1.7.9");
	put_version(message, RUNNING, "fw.undi", "1.3310.0");
	put_version(message, RUNNING, "fw.app", "1.3.30.0");
	put_version(message, RUNNING, "fw.mgmt", "6.3.2");
	put_version(message, RUNNING, "fw.netlist", "3.20.7000");
	put_version(message, STORED, "fw.mgmt", "7.0.0");
}

static void mlx5_tells(struct nl_msg *message)
{
	nla_put_string(message, DEVLINK_ATTR_INFO_DRIVER_NAME, "mlx5_core");
	put_version(message, FIXED, "fw.psid", "MT_0000000359");
	put_version(message, RUNNING, "fw.version", "22.36.1010");
	put_version(message, RUNNING, "fw", "22.36.1010");
	put_version(message, STORED, "fw.version", "22.38.1002");
	put_version(message, STORED, "fw", "22.38.1002");
}

/* A card whose only running firmware is the boot ROM's; a name that is longer than any. */
static void odd_one_tells(struct nl_msg *message)
{
	char name[200];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	put_version(message, RUNNING, "fw.undi", "1.3429.0");
	put_version(message, RUNNING, name, "1");
	put_version(message, RUNNING, "fw", name);
	put_version(message, STORED, "fw.version", "7.5.0");
}

static void nothing_told(struct nl_msg *message)
{
	(void)message;
}

static void check_request(struct nlmsghdr *request)
{
	struct nlattr *bus = nlmsg_find_attr(request, GENL_HDRLEN, DEVLINK_ATTR_BUS_NAME);
	struct nlattr *name = nlmsg_find_attr(request, GENL_HDRLEN, DEVLINK_ATTR_DEV_NAME);

	cr_expect_eq(request->nlmsg_type, PEER_FAMILY);
	cr_assert(bus && name);
	cr_expect_str_eq(nla_data(bus), "pci");
	cr_expect_str_eq(nla_data(name), ADDRESS);
}

static void driver(struct nlmsghdr *request)
{
	const struct genlmsghdr *header = genlmsg_hdr(request);
	struct nl_msg *message = devlink_message(header->cmd);
	int error = set_error;

	check_request(request);
	if (header->cmd == DEVLINK_CMD_INFO_GET) {
		versions(message);
		error = info_error;
	} else if (header->cmd == DEVLINK_CMD_ESWITCH_GET) {
		nla_put_u16(message, DEVLINK_ATTR_ESWITCH_MODE, mode);
		nla_put_u8(message, DEVLINK_ATTR_ESWITCH_ENCAP_MODE, 1);
		error = eswitch_error;
	} else {
		struct nlattr *wanted =
			nlmsg_find_attr(request, GENL_HDRLEN, DEVLINK_ATTR_ESWITCH_MODE);

		cr_assert_eq(header->cmd, DEVLINK_CMD_ESWITCH_SET);
		cr_assert(wanted);
		if (!error)
			mode = nla_get_u16(wanted);
		error = error ? error : 1; /* no message but the last word */
	}
	if (error)
		nlmsg_free(message);
	else
		peer_answer(request, message);
	peer_acknowledge(request, error < 0 ? error : 0);
}

static void set_up(void)
{
	peer = (struct netlink_peer){.asked = driver};
	versions = ice_tells;
	peer_set(&peer);
}
static void tear_down(void)
{
	peer_set(NULL);
}
TestSuite(vf_devlink, .init = set_up, .fini = tear_down);

static int get(struct vf_devlink *out)
{
	*out = (struct vf_devlink){.firmware = "as before"};
	return vf_kernel_running.devlink_get(NULL, ADDRESS, out);
}

Test(vf_devlink, what_ice_tells)
{
	struct vf_devlink devlink;

	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "6.3.2", "what runs, of the management firmware");
	cr_expect_eq(devlink.eswitch, VF_ESWITCH_LEGACY);
	cr_expect_eq(peer.questions, 2u);
}

Test(vf_devlink, what_mlx5_tells)
{
	struct vf_devlink devlink;

	versions = mlx5_tells;
	mode = DEVLINK_ESWITCH_MODE_SWITCHDEV;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "22.36.1010");
	cr_expect_eq(devlink.eswitch, VF_ESWITCH_SWITCHDEV);
}

Test(vf_devlink, what_has_no_better_name)
{
	struct vf_devlink devlink;

	versions = odd_one_tells;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "1.3429.0");
}

/* i40e has no switch mode, drivers before Linux 5.1 no versions, most have neither. */
Test(vf_devlink, drivers_with_a_part_of_it)
{
	struct vf_devlink devlink;

	eswitch_error = -EOPNOTSUPP;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "6.3.2");
	cr_expect_eq(devlink.eswitch, VF_ESWITCH_NONE);

	info_error = -EOPNOTSUPP;
	cr_expect_eq(get(&devlink), -EOPNOTSUPP);
	cr_expect_str_eq(devlink.firmware, "as before");

	eswitch_error = 0;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "");
	cr_expect_eq(devlink.eswitch, VF_ESWITCH_LEGACY);

	info_error = -ENODEV; /* no driver there registered with devlink */
	cr_expect_eq(get(&devlink), -ENODEV);
	cr_expect_str_eq(devlink.firmware, "as before");

	peer.no_family = -NLE_OBJ_NOTFOUND; /* a kernel without devlink */
	peer.questions = 0;
	cr_expect_eq(get(&devlink), -EOPNOTSUPP);
	cr_expect_eq(vf_kernel_running.eswitch_set(NULL, ADDRESS, VF_ESWITCH_LEGACY), -EOPNOTSUPP);
	cr_expect_eq(peer.questions, 0u);
}

Test(vf_devlink, the_switch_mode_is_set)
{
	cr_expect_eq(vf_kernel_running.eswitch_set(NULL, ADDRESS, VF_ESWITCH_SWITCHDEV), 0);
	cr_expect_eq(mode, DEVLINK_ESWITCH_MODE_SWITCHDEV);
	set_error = -EBUSY; /* as ice answers while there are VFs */
	cr_expect_eq(vf_kernel_running.eswitch_set(NULL, ADDRESS, VF_ESWITCH_LEGACY), -EBUSY);
	cr_expect_eq(mode, DEVLINK_ESWITCH_MODE_SWITCHDEV);
	set_error = 0;
	cr_expect_eq(vf_kernel_running.eswitch_set(NULL, ADDRESS, VF_ESWITCH_LEGACY), 0);
	cr_expect_eq(mode, DEVLINK_ESWITCH_MODE_LEGACY);
}

/* ---- Answers that are none ------------------------------------------------------------- */

static void versions_that_are_none(struct nl_msg *message)
{
	char name[65], value[80];

	memset(name, 'n', sizeof(name));
	memset(value, 'v', sizeof(value));
	put_version(message, RUNNING, NULL, "no name");
	put_version(message, RUNNING, "no value", NULL);
	struct nlattr *one = nla_nest_start(message, RUNNING);
	nla_put(message, DEVLINK_ATTR_INFO_VERSION_NAME, 0, NULL);
	nla_put_string(message, DEVLINK_ATTR_INFO_VERSION_VALUE, "an empty name");
	nla_nest_end(message, one);
	one = nla_nest_start(message, RUNNING);
	nla_put(message, DEVLINK_ATTR_INFO_VERSION_NAME, 4, "open");
	nla_put_string(message, DEVLINK_ATTR_INFO_VERSION_VALUE, "a name without an end");
	nla_nest_end(message, one);
	one = nla_nest_start(message, RUNNING);
	nla_put(message, DEVLINK_ATTR_INFO_VERSION_NAME, sizeof(name), name);
	nla_put(message, DEVLINK_ATTR_INFO_VERSION_VALUE, sizeof(value), value);
	nla_nest_end(message, one);
	nla_put(message, RUNNING, 0, NULL);
}

Test(vf_devlink, versions_without_a_name_or_an_end_are_nobodys)
{
	struct vf_devlink devlink;

	versions = versions_that_are_none;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "");
}

static void cut_answer(struct nlmsghdr *request)
{
	peer_cuts_to(NLMSG_HDRLEN + 2);
	driver(request);
}

static void cut_refusal(struct nlmsghdr *request)
{
	peer_cuts_to(NLMSG_HDRLEN + 2);
	peer_acknowledge(request, -EPERM);
}

static void mode_of_one_byte(struct nlmsghdr *request)
{
	struct nl_msg *message = devlink_message(DEVLINK_CMD_ESWITCH_GET);

	nla_put_u8(message, DEVLINK_ATTR_ESWITCH_MODE, 1);
	peer_answer(request, message);
	peer_acknowledge(request, 0);
}

Test(vf_devlink, answers_that_are_cut)
{
	struct vf_devlink devlink;

	peer.asked = cut_answer;
	cr_expect_eq(get(&devlink), -EBADMSG);
	peer_set(&peer);
	peer.asked = cut_refusal;
	cr_expect_eq(get(&devlink), -EBADMSG);
	peer_set(&peer);
	peer.asked = mode_of_one_byte;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_eq(devlink.eswitch, VF_ESWITCH_NONE);
}

/* Anybody may send to a netlink socket; and an answer to a question that was given up may
 * still come. */
static void forged_first(struct nlmsghdr *request)
{
	struct nlmsghdr earlier = *request;

	peer_poses_as(4711);
	peer_acknowledge(request, -EPERM);
	peer_poses_as(0);
	earlier.nlmsg_seq--;
	peer_acknowledge(&earlier, -EIO);
	driver(request);
}

static void silent(struct nlmsghdr *request)
{
	(void)request;
}

Test(vf_devlink, only_the_kernels_answer_to_this_question_counts)
{
	struct vf_devlink devlink;

	peer.asked = forged_first;
	cr_assert_eq(get(&devlink), 0);
	cr_expect_str_eq(devlink.firmware, "6.3.2");
	peer.asked = silent;
	cr_expect_eq(get(&devlink), -ETIMEDOUT);
}

/* ---- Nothing to be had -------------------------------------------------------------------- */

Test(vf_devlink, no_memory_or_no_socket_anywhere)
{
	struct vf_devlink devlink;

	versions = nothing_told;
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = get(&devlink);
		if (!error)
			error = vf_kernel_running.eswitch_set(NULL, ADDRESS, VF_ESWITCH_SWITCHDEV);
		bool failed = fault_end();

		cr_expect_eq(failed, error < 0, "round %u: %d", n, error);
		peer_set(&peer);
	}
	/* The same for what rtnetlink carries; nobody answers it here. */
	struct vf_settings settings = {.proto = VF_PROTO_8021AD};
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		struct nl_msg *message =
			vf_netlink_request(1, 0, (1u << VF_KEYS) - 1, &settings);
		bool failed = fault_end();

		cr_expect_eq(failed, !message, "round %u", n);
		nlmsg_free(message);
	}
	peer.asked = silent;
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = vf_kernel_running.settings_get(NULL, 1, &settings, 1);
		bool failed = fault_end();

		cr_expect_eq(error, failed ? error : -ETIMEDOUT);
		cr_expect_lt(error, 0);
		peer_set(&peer);
	}
}
