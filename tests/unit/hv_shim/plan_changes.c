/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans, setting by setting: every difference between a document and a live object is
 * found and told; and what becomes of a plan when there is no memory for it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../../hv-shim/apply.h"
#include "../fault.h"

static struct shim shim;
static struct adapter soft0, old;
static struct partition red;
static struct device net0, net1;
static struct plan plan;
static struct plan_error error;

#define TEXT "version: 1\n" \
	"adapters: [{name: soft0, kind: embedded, vfs: 4}]\n" \
	"partitions:\n" \
	"  - name: red\n" \
	"    regions: [{name: heap, size: 32M}]\n" \
	"    devices: [{name: net0, kind: tap, vf: {adapter: soft0}}]\n"

/* What TEXT asks for is there already, and an adapter that it does not name. */
static void set_up(void)
{
	shim.images.count = 1;
	shim.images.images[0] = (struct image){.name = "ethdev", .patterns = {"embedded"},
					       .pattern_count = 1, .ports = 7,
					       .memory_minimum = 16 << 20,
					       .memory_default = 32 << 20};
	old = (struct adapter){.shim = &shim, .spec = {.name = "old", .vfs = 2},
			       .state = STATE_RUNNING};
	soft0 = (struct adapter){.shim = &shim, .spec = {.name = "soft0", .vfs = 4},
				 .state = STATE_RUNNING, .next = &old};
	red = (struct partition){.shim = &shim, .name = "red", .state = STATE_RUNNING,
				 .devices = &net0, .region_count = 1,
				 .regions = {{.spec = {.name = "heap", .size_bytes = 32 << 20}}}};
	net0 = (struct device){.partition = &red, .adapter = &soft0, .state = STATE_RUNNING,
			       .spec = {.name = "net0", .ifname = "net0", .mtu = 1500,
					.mac = {2, 0, 0, 0, 0, 1},
					.vf = {.adapter = "soft0", .index = 1, .spoofchk = true},
					.adjunct = {.image = "ethdev", .memory_bytes = 32 << 20}}};
	net1 = net0;
	strcpy(net1.spec.name, "net1");
	soft0.owners[1] = &net0;
	shim.adapters = &soft0;
	shim.partitions = &red;
}

static void tear_down(void)
{
	plan_free(&plan);
}

TestSuite(changes, .init = set_up, .fini = tear_down);

static int plan_text(const char *text, bool prune)
{
	struct document document;
	struct doc_error doc_error;

	cr_assert_eq(document_load(text, strlen(text), &document, &doc_error), 0, "%s",
		     doc_error.message);
	plan_free(&plan);
	error = (struct plan_error){0};
	int result = plan_document(&shim, &document, prune, &plan, &error);
	document_free(&document);
	return result;
}

/* One change, of this kind and to be told in these words. */
static void expect_change(const char *text, enum change_action action, const char *detail)
{
	cr_assert_eq(plan_text(text, false), 0, "%s", error.message);
	cr_assert_eq(plan.count, 1u, "%zu changes instead of '%s'", plan.count, detail);
	cr_expect_eq(plan.changes[0].action, action, "%s", detail);
	cr_expect_str_eq(plan.changes[0].detail, detail);
}

static void expect_refusal(const char *text, const char *says)
{
	cr_expect_eq(plan_text(text, false), -EINVAL, "%s", says);
	cr_expect(strstr(error.message, says), "'%s' does not say '%s'", error.message, says);
	cr_expect_eq(plan.count, 0u);
}

Test(changes, none_where_all_is_as_asked)
{
	cr_assert_eq(plan_text(TEXT, false), 0, "%s", error.message);
	cr_expect_eq(plan.count, 0u);
}

#define DIFFERS(statement, action, detail) \
	do { \
		set_up(); \
		statement; \
		expect_change(TEXT, action, detail); \
	} while (0)

Test(changes, each_setting_of_a_device)
{
	DIFFERS(net0.spec.kind = ADJ_PORT_NATIVE, CHANGE_REPLACE, "kind native -> tap");
	DIFFERS(strcpy(net0.spec.addresses[0], "10.0.0.1/24"), CHANGE_REPLACE,
		"address 10.0.0.1/24 -> none");
	DIFFERS(strcpy(net0.spec.ifname, "eth0"), CHANGE_REPLACE, "ifname eth0 -> net0");
	DIFFERS(net0.spec.ring_entries = 64, CHANGE_REPLACE, "ring_entries 64 -> 0");
	DIFFERS(net0.spec.adjunct.cpu = DOC_CPU_DEDICATED, CHANGE_UPDATE, "cpu dedicated -> shared");
	DIFFERS(strcpy(net0.spec.adjunct.donate, "heap"), CHANGE_REPLACE, "donate heap -> none");
	DIFFERS(net0.spec.adjunct.standby = true, CHANGE_REPLACE, "standby yes -> no");
	DIFFERS(net0.spec.adjunct.memory_bytes = 16 << 20, CHANGE_REPLACE, "memory 16M -> 32M");
	DIFFERS(strcpy(net0.spec.vf.adapter, "old"), CHANGE_REPLACE,
		"function old/1 -> soft0/0");
}

#define WITH(settings) \
	"version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\npartitions:\n" \
	"  - name: red\n    regions: [{name: heap, size: 32M}]\n" \
	"    devices: [{name: net0, kind: tap, " settings "}]\n"

Test(changes, each_setting_the_other_way_round)
{
	expect_change(WITH("address: 10.0.0.2/24, vf: {adapter: soft0}"), CHANGE_REPLACE,
		      "address none -> 10.0.0.2/24");
	expect_change(WITH("mac: '02:00:00:00:00:09', vf: {adapter: soft0}"), CHANGE_REPLACE,
		      "mac 02:00:00:00:00:01 -> 02:00:00:00:00:09");
	expect_change(WITH("vf: {adapter: soft0}, adjunct: {donate: heap}"), CHANGE_REPLACE,
		      "donate none -> heap");
	expect_change(WITH("vf: {adapter: soft0}, adjunct: {standby: yes}"), CHANGE_REPLACE,
		      "standby no -> yes");
	shim.images.images[1] = shim.images.images[0];
	strcpy(shim.images.images[1].name, "other");
	shim.images.count = 2;
	expect_change(WITH("vf: {adapter: soft0}, adjunct: {image: other}"), CHANGE_REPLACE,
		      "image ethdev -> other");
}

Test(changes, each_setting_of_a_function)
{
	DIFFERS(net0.spec.vf.vlan = 7, CHANGE_UPDATE, "vlan 7 -> 0");
	DIFFERS(net0.spec.vf.qos = 3, CHANGE_UPDATE, "qos 3 -> 0");
	DIFFERS(net0.spec.vf.min_tx_rate = 10, CHANGE_UPDATE, "min_tx_rate 10 -> 0");
	DIFFERS(net0.spec.vf.max_tx_rate = 20, CHANGE_UPDATE, "max_tx_rate 20 -> 0");
	DIFFERS(net0.spec.vf.proto = DOC_PROTO_8021AD, CHANGE_UPDATE, "proto 802.1ad -> 802.1Q");
	DIFFERS(net0.spec.vf.state = DOC_LINK_DISABLE, CHANGE_UPDATE, "state disable -> auto");
	DIFFERS(net0.spec.vf.spoofchk = false, CHANGE_UPDATE, "spoofchk no -> yes");
	DIFFERS(net0.spec.vf.trust = true, CHANGE_UPDATE, "trust yes -> no");
	DIFFERS(net0.spec.vf.promisc = true, CHANGE_UPDATE, "promisc yes -> no");
}

Test(changes, what_is_not_settled_yet_is_waited_for)
{
	DIFFERS(net0.state = STATE_STARTING, CHANGE_UPDATE, "it is still starting");
	/* With something to change it is made anew: nobody knows what it has by now. */
	DIFFERS((net0.state = STATE_STARTING, net0.spec.vf.vlan = 7), CHANGE_REPLACE, "vlan 7 -> 0");
}

Test(changes, an_adapter_is_made_anew)
{
	soft0.owners[1] = NULL;
	soft0.spec.kind = DOC_ADAPTER_ECHO;
	strcpy(soft0.spec.device, "net_ring0");
	cr_assert_eq(plan_text("version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\n",
			       false), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_str_eq(plan.changes[0].detail, "kind echo -> embedded, device net_ring0 -> ");
	/* Whose devices failed does not hold it. */
	set_up();
	net0.state = STATE_FAILED;
	soft0.state = STATE_FAILED;
	cr_assert_eq(plan_text("version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\n",
			       false), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_eq(plan.changes[0].action, CHANGE_REPLACE);
	cr_expect_str_eq(plan.changes[0].detail, "it had failed");
	/* Nor those that the same document takes away. */
	set_up();
	soft0.spec.vfs = 2;
	cr_assert_eq(plan_text("version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\n",
			       true), 0, "%s", error.message);
}

Test(changes, partitions)
{
	DIFFERS(strcpy(red.owner, "otto"), CHANGE_UPDATE, "owner otto -> default");
	set_up();
	expect_change("version: 1\npartitions: [{name: red, owner: emma, "
		      "regions: [{name: heap, size: 32M}]}]", CHANGE_UPDATE, "owner default -> emma");
	set_up();
	red.state = STATE_FAILED;
	red.region_count = 0;
	cr_assert_eq(plan_text(TEXT, false), 0, "%s", error.message);
	cr_expect_eq(plan.changes[0].action, CHANGE_REPLACE);
	cr_expect_str_eq(plan.changes[0].detail, "it had failed");
	set_up();
	red.region_count = 0;
	expect_refusal(TEXT, "its regions are made with it");
	set_up();
	strcpy(red.regions[0].spec.name, "pile");
	expect_refusal(TEXT, "its regions are made with it");
	set_up();
	red.regions[0].spec.size_bytes = 4096;
	expect_refusal(TEXT, "its regions are made with it");
}

#define LIMITED(memory, devices) \
	"version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\npartitions:\n" \
	"  - {name: red, memory: " memory ", regions: [{name: heap, size: 32M}], devices: [" devices "]}\n"
#define NET(name, settings) "{name: " name ", kind: tap, vf: {adapter: soft0}" settings "}"

Test(changes, the_limit_of_a_partition)
{
	expect_change(LIMITED("32M", NET("net0", "")), CHANGE_UPDATE, "memory 0M -> 32M");
	cr_expect_eq(plan.changes[0].memory_bytes, 32 << 20);
	DIFFERS(red.memory_bytes = 64 << 20, CHANGE_UPDATE, "memory 64M -> 0M");
	DIFFERS((red.memory_bytes = 64 << 20, strcpy(red.owner, "otto")), CHANGE_UPDATE,
		"owner otto -> default, memory 64M -> 0M");
}

Test(changes, what_is_donated_fits_into_the_limit)
{
	expect_refusal(LIMITED("31M", NET("net0", "")),
		       "partition red: memory: 31M is less than the 32M that its adjuncts are given: "
		       "net0 32M");
	/* A standby has as much again; an image, its default. */
	expect_refusal(LIMITED("95M", NET("net0", "") ", " NET("net1", ", adjunct: {standby: yes}")),
		       "95M is less than the 96M that its adjuncts are given: net1 64M with its "
		       "standby, net0 32M");
	cr_expect_eq(plan_text(LIMITED("96M", NET("net0", "") ", "
				       NET("net1", ", adjunct: {standby: yes}")), false), 0);
	expect_refusal(LIMITED("47M", NET("net0", ", adjunct: {memory: 48M}")), "less than the 48M");
}

/* ---- Shares of processors ------------------------------------------------------------- */

#define SHARED(cpus, devices) \
	"version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\npartitions:\n" \
	"  - name: red\n    cpus: " cpus "\n    regions: [{name: heap, size: 32M}]\n" \
	"    devices: [" devices "]\n"
#define DEDICATED ", adjunct: {cpu: dedicated}"

Test(changes, the_share_of_a_partition)
{
	expect_change(SHARED("50%", NET("net0", "")), CHANGE_UPDATE, "cpus all -> 50%");
	cr_expect_eq(plan.changes[0].cpus_milli, 500);
	DIFFERS(red.cpus_milli = 1255, CHANGE_UPDATE, "cpus 125.5% -> all");
	set_up();
	red.cpus_milli = 500;
	cr_assert_eq(plan_text(SHARED("0.5", NET("net0", "")), false), 0, "%s", error.message);
	cr_expect_eq(plan.count, 0u, "%s", plan.count ? plan.changes[0].detail : "");
}

Test(changes, a_share_fits_into_the_machine)
{
	char text[600], says[200];
	const long there = sysconf(_SC_NPROCESSORS_ONLN);

	snprintf(text, sizeof(text), SHARED("%ld.1", NET("net0", "")), there);
	snprintf(says, sizeof(says), "cpus: %ld10%% is more than the %ld00%% that this machine's %ld "
		 "processors are: write %ld00%% at most", there, there, there, there);
	expect_refusal(text, says);
	cr_expect_eq(error.line, 5u, "%u", error.line);
	snprintf(text, sizeof(text), SHARED("%ld", NET("net0", "")), there);
	cr_expect_eq(plan_text(text, false), 0, "%s", error.message);
}

Test(changes, adjuncts_that_have_a_processor_of_their_own_fit_into_the_share)
{
	expect_refusal(SHARED("99%", NET("net0", DEDICATED)),
		       "cpus: 99% is less than the 100% that its dedicated adjuncts take: net0: write "
		       "100% at least, or give them cpu: donated or shared");
	cr_expect_eq(error.line, 5u, "%u", error.line);
	cr_expect_eq(plan_text(SHARED("100%", NET("net0", DEDICATED)), false), 0, "%s", error.message);
	/* One that lives on counts, unless it goes. */
	net1.partition = &red;
	strcpy(net1.spec.name, "net1");
	net1.spec.adjunct.cpu = DOC_CPU_DEDICATED;
	net0.next = &net1;
	expect_refusal(SHARED("99%", NET("net0", "")), "dedicated adjuncts take: net1");
	cr_expect_eq(plan_text(SHARED("99%", NET("net0", "")), true), 0, "%s", error.message);
}

Test(changes, devices_that_the_document_leaves_alone_count_unless_they_go)
{
	net1.partition = &red;
	net1.spec.adjunct.memory_bytes = 16 << 20;
	net0.next = &net1;
	expect_refusal(LIMITED("47M", NET("net0", "")), "less than the 48M");
	cr_expect_eq(plan_text(LIMITED("48M", NET("net0", "")), false), 0);
	cr_expect_eq(plan_text(LIMITED("47M", NET("net0", "")), true), 0, "%s", error.message);
}

/* A function that the document takes from a device it deletes, of an adapter it does not name. */
Test(changes, functions_of_adapters_that_the_document_leaves_alone)
{
	old.owners[0] = &net1;
	net0.next = &net1;
	strcpy(net1.spec.vf.adapter, "old");
	expect_refusal("version: 1\npartitions: [{name: b, devices: "
		       "[{name: n, kind: tap, vf: {adapter: old, index: 0}}]}]",
		       "belongs to red/net1");
}

Test(changes, a_dpdk_port_of_a_device_that_is_not_there)
{
	expect_refusal("version: 1\nadapters: [{name: d, kind: dpdk, device: 'ffff:ff:1f.7'}]\n"
		       "partitions: [{name: b, devices: [{name: n, kind: tap, vf: {adapter: d}}]}]",
		       "cannot be identified");
	expect_refusal("version: 1\nadapters: [{name: d, kind: dpdk, device: net_ring0}]\npartitions: "
		       "[{name: b, devices: [{name: n, kind: tap, vf: {adapter: d}, adjunct: none}]}]",
		       "adapter d is a DPDK port");
}

/* ---- Without memory ------------------------------------------------------------------- */

#define MORE "version: 1\n" \
	"adapters: [{name: soft0, kind: embedded, vfs: 4}, {name: b, kind: embedded, vfs: 4}]\n" \
	"partitions: [{name: green, devices: [{name: n, kind: tap, vf: {adapter: b}}]}]\n"

Test(changes, without_memory_there_is_no_plan)
{
	struct document document;
	struct doc_error doc_error;

	cr_assert_eq(document_load(MORE, strlen(MORE), &document, &doc_error), 0);
	for (int prune = 0; prune < 2; prune++)
		for (unsigned n = 1; fault_round(n); n++) {
			plan_free(&plan);
			fault_start(n, ENOMEM);
			int result = plan_document(&shim, &document, prune, &plan, &error);

			cr_assert_eq(result, fault_end() ? -ENOMEM : 0, "call %u: %d", n, result);
			cr_assert(result || plan.count == (prune ? 6 : 3), "%zu", plan.count);
		}
	document_free(&document);
	net0.next = &net1;
	for (unsigned n = 1; fault_round(n); n++) {
		plan_free(&plan);
		fault_start(n, ENOMEM);
		int result = plan_delete(&shim, NULL, &plan);

		cr_assert_eq(result, fault_end() ? -ENOMEM : 0, "call %u", n);
	}
	cr_expect_eq(plan.count, 5u, "two devices, their partition, two adapters");
}

/* The table grows in steps: one step for each kind of entry that may be the one too many. */
Test(changes, memory_runs_out_at_each_kind_of_entry)
{
	static struct adapter adapters[40];
	static struct device devices[40];

	for (unsigned spare = 0; spare < 20; spare++) {
		/* `spare` devices before the partition, one, two... adapters after it */
		for (unsigned i = 0; i < spare; i++) {
			devices[i] = net1;
			devices[i].next = i + 1 < spare ? &devices[i + 1] : NULL;
		}
		red.devices = spare ? devices : NULL;
		for (unsigned i = 0; i < 20; i++) {
			adapters[i] = (struct adapter){.shim = &shim, .next = i < 19 ? &adapters[i + 1] : NULL};
			snprintf(adapters[i].spec.name, sizeof(adapters[i].spec.name), "a%u", i);
		}
		shim.adapters = adapters;
		for (unsigned n = 1; fault_round(n); n++) {
			plan_free(&plan);
			fault_start(n, ENOMEM);
			int result = plan_delete(&shim, NULL, &plan);

			cr_assert_eq(result, fault_end() ? -ENOMEM : 0);
		}
		cr_expect_eq(plan.count, spare + 21u);
	}
}
