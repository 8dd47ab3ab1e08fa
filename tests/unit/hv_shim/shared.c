/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a global adjunct of another partition serves: how a document says so, what
 * it may not say, and what a plan makes of it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "../../../hv-shim/apply.h"

static struct shim shim;
static struct plan plan;
static struct plan_error error;

static void set_up(void)
{
	shim.images.count = 1;
	shim.images.images[0] = (struct image){.name = "echo", .patterns = {"echo"},
					       .pattern_count = 1, .ports = 1u << ADJ_PORT_NATIVE,
					       .memory_minimum = 1 << 20,
					       .memory_default = 1 << 20};
}

static void tear_down(void)
{
	plan_free(&plan);
}

TestSuite(shared, .init = set_up, .fini = tear_down);

#define HEAD "version: 1\nadapters: [{name: echo0, kind: echo, vfs: 2}]\npartitions:\n"
#define CLIENT(settings) "  - {name: red, devices: [{name: net0, kind: native, " settings "}]}\n"
#define SERVER(vf, settings) "  - {name: vios, devices: [{name: up, kind: native, " \
			     "vf: {adapter: echo0" vf "}, adjunct: {scope: global" settings "}}]}\n"

/* 0, or what is wrong in `error`, whether the document or the plan refuses it. */
static int plan_text(const char *text)
{
	struct document document;
	struct doc_error doc_error;

	if (document_load(text, strlen(text), &document, &doc_error)) {
		strcpy(error.message, doc_error.message);
		return -EINVAL;
	}
	int result = plan_document(&shim, &document, false, &plan, &error);

	document_free(&document);
	return result;
}

static const struct change *change_of(const char *name)
{
	size_t i = 0;

	while (i < plan.count && strcmp(plan.changes[i].name, name))
		i++;
	cr_assert_lt(i, plan.count, "no change of %s", name);
	return &plan.changes[i];
}

Test(shared, a_client_has_the_function_of_whom_serves_it)
{
	/* Whichever comes first in the document. */
	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up") SERVER("", "")), 0, "%s", error.message);
	const struct change *client = change_of("red/net0"), *server = change_of("vios/up");

	cr_expect_gt(client, server, "nobody attaches to what is not there");
	cr_expect_str_eq(client->detail, "native, by the global adjunct of vios/up");
	cr_expect_str_eq(client->device.vf.adapter, "echo0");
	cr_expect_eq(client->device.vf.index, server->device.vf.index);
	cr_expect_eq(client->device.adjunct.memory_bytes, 0);
	cr_expect_str_empty(client->device.adjunct.image);
	cr_expect(memcmp(client->device.mac, server->device.mac, 6), "an address of its own");
	cr_expect_eq(server->device.adjunct.scope, DOC_SCOPE_GLOBAL);
}

Test(shared, takes_no_function)
{
	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up")
			       "  - {name: b, devices: [{name: n, kind: native, shared: vios/up}, "
			       "{name: m, kind: native, vf: {adapter: echo0}}]}\n" SERVER("", "")), 0,
		     "%s", error.message);
}

Test(shared, what_is_saved_loads_again)
{
	struct doc_partition partition = {.name = "red", .device_count = 1}, again;
	struct doc_error doc_error;

	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up") SERVER("", ", memory: 3M")), 0);
	struct doc_device device = change_of("red/net0")->device;

	partition.devices = &device;
	json_t *json = doc_partition_to_json(&partition);

	cr_assert_eq(document_load_partition(json, &again, &doc_error), 0, "%s", doc_error.message);
	cr_expect_eq(memcmp(&again.devices[0], &device, sizeof(device)), 0);
	json_decref(json);
	doc_partition_free(&again);
}

static struct adapter echo0;
static struct partition vios, red;
static struct device up, net0;

static void make_live(void)
{
	echo0 = (struct adapter){.shim = &shim, .spec = {.name = "echo0", .vfs = 2,
							 .kind = DOC_ADAPTER_ECHO},
				 .state = STATE_RUNNING, .owners = {NULL, &up}};
	vios = (struct partition){.shim = &shim, .name = "vios", .state = STATE_RUNNING,
				  .devices = &up, .next = &red};
	red = (struct partition){.shim = &shim, .name = "red", .state = STATE_RUNNING,
				 .devices = &net0};
	up = (struct device){.partition = &vios, .adapter = &echo0, .state = STATE_RUNNING,
			     .spec = {.name = "up", .kind = ADJ_PORT_NATIVE, .mtu = 1500,
				      .ring_entries = 512, .mac = {2, 0, 0, 0, 0, 2},
				      .vf = {.adapter = "echo0", .index = 1, .spoofchk = true},
				      .adjunct = {.image = "echo", .memory_bytes = 1 << 20,
						  .scope = DOC_SCOPE_GLOBAL}}};
	net0 = up;
	net0.partition = &red;
	net0.spec.adjunct = (struct doc_adjunct){0};
	strcpy(net0.spec.name, "net0");
	strcpy(net0.spec.shared, "vios/up");
	shim.adapters = &echo0;
	shim.partitions = &vios;
}

Test(shared, what_is_as_it_should_be_stays)
{
	make_live();
	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up")), 0, "%s", error.message);
	cr_expect_eq(plan.count, 0u, "%s", plan.count ? plan.changes[0].detail : "");
}

Test(shared, follows_to_another_function)
{
	make_live();
	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up") SERVER(", index: 0", "")), 0);
	cr_expect_eq(change_of("red/net0")->action, CHANGE_REPLACE);
	cr_expect_str_eq(change_of("red/net0")->detail, "function echo0/1 -> echo0/0");
	cr_expect_gt(change_of("red/net0"), change_of("vios/up"));
}

/* The settings of the function are the other one's affair. */
Test(shared, is_not_changed_with_the_functions_settings)
{
	make_live();
	cr_assert_eq(plan_text(HEAD CLIENT("shared: vios/up") SERVER(", vlan: 5", "")), 0);
	cr_assert_eq(plan.count, 1u);
	cr_expect_eq(change_of("vios/up")->action, CHANGE_UPDATE);
}

Test(shared, becomes_one_with_a_function_of_its_own)
{
	make_live();
	cr_assert_eq(plan_text(HEAD CLIENT("vf: {adapter: echo0}")), 0, "%s", error.message);
	cr_expect_eq(change_of("red/net0")->device.vf.index, 0, "1 is the other one's");
	cr_expect(strstr(change_of("red/net0")->detail, "shared vios/up -> none"));
}

Test(shared, scope_changes_with_a_new_adjunct)
{
	make_live();
	cr_assert_eq(plan_text(HEAD "  - {name: vios, devices: [{name: up, kind: native, "
			       "vf: {adapter: echo0}}]}\n"), 0);
	cr_expect_eq(change_of("vios/up")->action, CHANGE_REPLACE);
	cr_expect_str_eq(change_of("vios/up")->detail, "scope global -> local");
}

/* Those that stay as they are, and those that come. */
Test(shared, by_so_many_and_no_more)
{
	char text[8000] = HEAD CLIENT("shared: vios/up");

	make_live();
	for (int i = 1; i < ADJ_CLIENTS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "  - {name: p%d, devices: [{name: n, kind: native, shared: vios/up}]}\n", i);
	cr_assert_eq(plan_text(text), 0, "%s", error.message);
	plan_free(&plan);
	strcat(text, "  - {name: q, devices: [{name: n, kind: native, shared: vios/up}]}\n");
	cr_expect_eq(plan_text(text), -EINVAL);
	cr_expect_str_eq(error.message, "device q/n: vios/up is shared by 16 devices already, which is "
			 "as many as may");
}

static const struct {
	const char *text, *says;
} refusals[] = {
	{CLIENT("shared: vios/none"), "there is no device vios/none to share"},
	{CLIENT("shared: nobody/up"), "there is no device nobody/up to share"},
	{CLIENT("shared: red/net0"), "there is no device red/net0 to share"},
	{CLIENT("shared: up"), "'up' does not name a device"},
	{CLIENT("shared: vios/up/x"), "'vios/up/x' does not name a device"},
	{CLIENT("shared: /up"), "'/up' does not name a device"},
	{CLIENT("shared: vios/"), "'vios/' does not name a device"},
	{CLIENT("shared: vios/a-name-of-more-than-thirty-one-oct"), "does not name a device"},
	{CLIENT("shared: a-name-of-more-than-thirty-one-oct/up"), "does not name a device"},
	{CLIENT("shared: vios/up, vf: {adapter: echo0}"), "leave vf out"},
	{CLIENT("shared: vios/up, mtu: 2000"), "mtu: 2000 is more than the 1500 of vios/up"},
	{CLIENT("shared: vios/up, adjunct: {cpu: dedicated}"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: {memory: 4M}"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: {image: echo}"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: {donate: heap}"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: {standby: yes}"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: none"), "is vios/up's; leave it out"},
	{CLIENT("shared: vios/up, adjunct: {scope: global}"), "is vios/up's; leave it out"},
	{CLIENT("mtu: 1500"), "vf: is missing"},
	{CLIENT("vf: {adapter: echo0}, adjunct: {scope: global, cpu: donated}"),
	 "cannot work on the processor of one"},
	{CLIENT("vf: {adapter: echo0}, adjunct: {scope: world}"), "choose one of: local, global"},
	{"  - {name: r, devices: [{name: n, kind: tap, shared: vios/up}]}\n", "goes with a native device"},
	{"  - {name: r, devices: [{name: n, kind: tap, vf: {adapter: echo0}, "
	 "adjunct: {scope: global}}]}\n", "scope: global goes with a native device"},
	{"  - {name: r, devices: [{name: n, kind: native, vf: {adapter: echo0}}]}\n"
	 CLIENT("shared: r/n"), "the adjunct of r/n serves that device alone"},
	{"  - {name: r, devices: [{name: n, kind: native, shared: vios/up}]}\n"
	 CLIENT("shared: r/n"), "the adjunct of r/n serves that device alone"},
};

Test(shared, refuses_before_anything_is_touched)
{
	static char text[1000];

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		snprintf(text, sizeof(text), "%s%s%s", HEAD, refusals[i].text,
			 SERVER(", index: 0", ""));
		cr_expect_eq(plan_text(text), -EINVAL, "%s", text);
		cr_expect(strstr(error.message, refusals[i].says), "'%s' does not say '%s'",
			  error.message, refusals[i].says);
		cr_expect_eq(plan.count, 0u);
	}
}
