/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans: the differences between a document and live objects, made here by
 * hand, and what is refused before anything is touched.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../../hv-shim/apply.h"

static struct shim shim;
static struct adapter soft0;
static struct partition red;
static struct device net0;
static struct plan plan;
static struct plan_error error;

/* One image; an adapter of four functions; red/net0, a TAP on function 1. */
static void set_up(void)
{
	struct image *image = &shim.images.images[0];

	shim.images.count = 1;
	*image = (struct image){.name = "ethdev", .patterns = {"embedded", "vdev:net_ring"},
				.pattern_count = 2, .ports = 7, .memory_minimum = 16 << 20,
				.memory_default = 32 << 20};
	soft0 = (struct adapter){.shim = &shim, .spec = {.name = "soft0", .vfs = 4},
				 .state = STATE_RUNNING};
	red = (struct partition){.shim = &shim, .name = "red", .state = STATE_RUNNING,
				 .devices = &net0};
	net0 = (struct device){.partition = &red, .adapter = &soft0, .state = STATE_RUNNING,
			       .spec = {.name = "net0", .ifname = "net0", .mtu = 1500,
					.mac = {2, 0, 0, 0, 0, 1},
					.vf = {.adapter = "soft0", .index = 1, .spoofchk = true},
					.adjunct = {.image = "ethdev", .memory_bytes = 32 << 20}}};
	soft0.owners[1] = &net0;
	shim.adapters = &soft0;
	shim.partitions = &red;
}

static void tear_down(void)
{
	plan_free(&plan);
}

TestSuite(plan, .init = set_up, .fini = tear_down);

static int plan_text(const char *text, bool prune)
{
	struct document document;
	struct doc_error doc_error;

	cr_assert_eq(document_load(text, strlen(text), &document, &doc_error), 0, "%s",
		     doc_error.message);
	int result = plan_document(&shim, &document, prune, &plan, &error);
	document_free(&document);
	return result;
}

#define ADAPTER "version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\npartitions:\n"
#define RED(settings) "  - {name: red, devices: [{name: net0, kind: tap, " settings "}]}\n"

/* A physical function that no machine has. */
#define REAL "version: 1\nadapters: [{name: nic0, kind: sriov, device: '00ff:7f:00.0', vfs: 2}]\n" \
	     "partitions:\n  - {name: b, devices: ["

/* Nobody but the partition drives it, so no image need fit. */
Test(plan, a_function_itself)
{
	const char *text = REAL "{name: n, kind: netdev, vf: {adapter: nic0}}]}\n";

	cr_assert_eq(plan_text(text, false), 0, "%s", error.message);
	cr_assert_eq(plan.count, 3u);
	cr_expect_str_eq(plan.changes[0].detail, "sriov, 2 functions");
	cr_expect_str_eq(plan.changes[2].detail, "netdev, nic0 function 0, adjunct none");
	cr_expect(plan.changes[2].device.adjunct.none);
	shim.rootless = true;
	cr_expect_eq(plan_text(text, false), -EINVAL);
	cr_expect(strstr(error.message, "need an outriggerd that runs as root"), "%s", error.message);
}

Test(plan, equal_settings_change_nothing)
{
	/* Function, MAC, image and memory are left open, and keep what they have. */
	cr_assert_eq(plan_text(ADAPTER RED("vf: {adapter: soft0}"), true), 0, "%s", error.message);
	cr_expect_eq(plan.count, 0u, "%s", plan.count ? plan.changes[0].detail : "");
}

Test(plan, function_settings_are_updated_in_place)
{
	cr_assert_eq(plan_text(ADAPTER RED("vf: {adapter: soft0, vlan: 5, spoofchk: no}"), false), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_eq(plan.changes[0].action, CHANGE_UPDATE);
	cr_expect_str_eq(plan.changes[0].name, "red/net0");
	cr_expect_str_eq(plan.changes[0].detail, "vlan 0 -> 5, spoofchk yes -> no");
	cr_expect_eq(plan.changes[0].device.vf.index, 1);
}

Test(plan, what_needs_a_new_adjunct_is_replaced)
{
	cr_assert_eq(plan_text(ADAPTER RED("mtu: 1400, vf: {adapter: soft0, index: 3, vlan: 5}"),
			       false), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_eq(plan.changes[0].action, CHANGE_REPLACE);
	cr_expect_str_eq(plan.changes[0].detail, "mtu 1500 -> 1400, function soft0/1 -> soft0/3");
}

Test(plan, what_failed_is_replaced)
{
	net0.state = STATE_FAILED;
	cr_assert_eq(plan_text(ADAPTER RED("vf: {adapter: soft0}"), false), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_eq(plan.changes[0].action, CHANGE_REPLACE);
	cr_expect_str_eq(plan.changes[0].detail, "it had failed");
}

Test(plan, open_functions_go_round_those_asked_for)
{
	cr_assert_eq(plan_text(ADAPTER "  - {name: b, devices: [{name: n, kind: tap, vf: {adapter: soft0}},"
				       " {name: m, kind: native, vf: {adapter: soft0, index: 0}}]}\n",
			       false), 0, "%s", error.message);
	cr_assert_eq(plan.count, 3u);
	cr_expect_eq(plan.changes[1].device.vf.index, 0, "asked for");
	cr_expect_eq(plan.changes[2].device.vf.index, 2, "0 is asked for, 1 is red's");
}

Test(plan, prune_takes_what_the_document_leaves_out)
{
	cr_assert_eq(plan_text("version: 1", false), 0);
	cr_expect_eq(plan.count, 0u);
	cr_assert_eq(plan_text("version: 1", true), 0);
	cr_assert_eq(plan.count, 3u);
	cr_expect_eq(plan.changes[0].object, OBJECT_DEVICE, "devices first");
	cr_expect_eq(plan.changes[1].object, OBJECT_PARTITION);
	cr_expect_eq(plan.changes[2].object, OBJECT_ADAPTER, "adapters last");
}

Test(plan, a_pruned_function_is_free_again)
{
	cr_assert_eq(plan_text(ADAPTER "  - {name: b, devices: [{name: n, kind: tap, "
				       "vf: {adapter: soft0, index: 1}}]}\n", true), 0, "%s",
		     error.message);
	cr_expect_eq(plan.count, 4u, "two deleted, two made");
}

static const struct {
	const char *text, *says;
} refusals[] = {
	{ADAPTER "  - {name: b, devices: [{name: n, kind: tap, vf: {adapter: soft0, index: 1}}]}\n",
	 "device b/n: function 1 of adapter soft0 belongs to red/net0"},
	{ADAPTER "  - {name: b, devices: [{name: n, kind: tap, vf: {adapter: soft0, index: 4}}]}\n",
	 "adapter soft0 has functions 0 to 3, not 4"},
	{ADAPTER "  - {name: b, devices: [{name: n, kind: tap, vf: {adapter: nope}}]}\n",
	 "there is no adapter 'nope'"},
	{"version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 2}]",
	 "vfs 4 -> 2 needs it restarted, and red/net0 uses it"},
	{ADAPTER RED("vf: {adapter: soft0}, adjunct: none"), "functions have no kernel driver"},
	{ADAPTER "  - {name: b, devices: [{name: n, kind: netdev, vf: {adapter: soft0}}]}\n",
	 "functions have no kernel driver"},
	{REAL "{name: n, kind: tap, vf: {adapter: nic0}, adjunct: none}]}\n", "say how by kind: netdev"},
	{REAL "{name: n, kind: netdev, vf: {adapter: nic0, trust: yes, promisc: yes}}]}\n",
	 "promisc is for the embedded adapter"},
	{REAL "{name: n, kind: tap, vf: {adapter: nic0}}]}\n",
	 "adapter nic0: 00ff:7f:00.0 cannot be identified"},
	{ADAPTER RED("vf: {adapter: soft0}, adjunct: {image: other}"),
	 "no adjunct image is called 'other'; installed: ethdev drives embedded, vdev:net_ring"},
	{ADAPTER RED("vf: {adapter: soft0}, adjunct: {memory: 8M}"), "needs at least 16M"},
	{"version: 1\nadapters: [{name: n, kind: dpdk, device: net_null0}]\npartitions:\n"
	 "  - {name: b, devices: [{name: n, kind: tap, vf: {adapter: n}}]}\n",
	 "no adjunct image fits device vdev:net_null with a tap port; installed: ethdev drives "
	 "embedded, vdev:net_ring"},
};

Test(plan, refuses_before_anything_is_touched)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		cr_expect_eq(plan_text(refusals[i].text, false), -EINVAL, "%s", refusals[i].text);
		cr_expect(strstr(error.message, refusals[i].says), "'%s' does not say '%s'",
			  error.message, refusals[i].says);
		cr_expect_eq(plan.count, 0u);
	}
}

Test(plan, more_devices_than_functions)
{
	char text[2000] = ADAPTER;

	for (int i = 0; i < 4; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "  - {name: b%d, devices: [{name: n, kind: tap, vf: {adapter: soft0}}]}\n", i);
	cr_expect_eq(plan_text(text, false), -EINVAL);
	cr_expect_str_eq(error.message, "device b3/n: all 4 functions of adapter soft0 are taken");
}
