/* SPDX-License-Identifier: BSD-2-Clause */
/* Settings: defaults, rules, JSON; fault hooks. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "net_layout.h"
#include "soft-adapter/faults.h"
#include "soft-adapter/rate.h"
#include "soft-adapter/vf.h"

/* Merges and checks: 0, 1 wrong parameter, 2 refused. */
static int configure(struct vf_settings *settings, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	char message[VF_MESSAGE_BYTES] = "";
	const char *parameter = NULL;
	int result = 0;

	cr_assert_not_null(json, "%s", text);
	if (vf_settings_merge(settings, json, &parameter)) {
		cr_assert_not_null(parameter);
		result = 1;
	} else if (vf_settings_check(settings, message)) {
		cr_assert_neq(message[0], '\0');
		result = 2;
	}
	json_decref(json);
	return result;
}

Test(settings, defaults_are_valid_local_addresses_that_differ)
{
	struct vf_settings first, second, other;
	char message[VF_MESSAGE_BYTES];

	vf_settings_default(&first, "OTR1", 0);
	vf_settings_default(&second, "OTR1", 1);
	vf_settings_default(&other, "OTR2", 0);
	cr_assert_eq(vf_settings_check(&first, message), 0);
	cr_assert_eq(first.mac >> 40, 2);
	cr_assert_neq(first.mac, second.mac);
	cr_assert_neq(first.mac, other.mac);
	vf_settings_default(&second, "OTR1", 0);
	cr_assert_eq(first.mac, second.mac);
	cr_assert(first.spoofchk && first.allmulti && !first.trust && !first.promisc);
}

Test(settings, every_member_is_merged_and_told)
{
	const char *text =
		"{\"mac\":\"02:aa:BB:0c:0d:0e\",\"vlan\":0,\"qos\":0,\"proto\":\"802.1ad\","
		"\"spoofchk\":false,\"trust\":true,\"state\":\"disable\",\"min_tx_rate\":10,"
		"\"max_tx_rate\":20,\"promisc\":true,\"allmulti\":false,"
		"\"macs\":[\"01:00:5e:00:00:01\",\"02:00:00:00:00:09\"],\"vlan_filter\":[1,4094]}";
	struct vf_settings settings;

	vf_settings_default(&settings, "x", 0);
	cr_assert_eq(configure(&settings, text), 0);
	json_t *json = vf_settings_json(&settings), *wanted = json_loads(text, 0, NULL);

	json_object_set_new(wanted, "mac", json_string("02:aa:bb:0c:0d:0e"));
	cr_assert(json_equal(json, wanted));
	json_decref(json);
	json_decref(wanted);
}

Test(settings, absent_and_null_members_stay)
{
	struct vf_settings settings, before;

	vf_settings_default(&settings, "x", 0);
	cr_assert_eq(configure(&settings, "{\"vlan\":7,\"qos\":3}"), 0);
	before = settings;
	cr_assert_eq(configure(&settings, "{}"), 0);
	cr_assert_eq(configure(&settings, "{\"vlan\":null,\"macs\":null}"), 0);
	cr_assert_eq(memcmp(&settings, &before, sizeof(before)), 0);
}

Test(settings, wrong_forms_are_named)
{
	const char *const texts[] = {
		"{\"mac\":\"02:00:00:00:00\"}",
		"{\"mac\":\"02:00:00:00:00:0g\"}",
		"{\"mac\":\"02-00-00-00-00-01\"}",
		"{\"mac\":\"02:00:00:00:00:01:\"}",
		"{\"mac\":\"0:2:00:00:00:00:01\"}",
		"{\"mac\":7}",
		"{\"vlan\":-1}",
		"{\"vlan\":4095}",
		"{\"vlan\":\"1\"}",
		"{\"vlan\":1.0}",
		"{\"qos\":8}",
		"{\"proto\":\"802.1x\"}",
		"{\"spoofchk\":1}",
		"{\"trust\":\"on\"}",
		"{\"state\":\"up\"}",
		"{\"min_tx_rate\":-1}",
		"{\"max_tx_rate\":1000001}",
		"{\"macs\":\"02:00:00:00:00:01\"}",
		"{\"macs\":[1]}",
		"{\"macs\":[\"00:00:00:00:00:00\"]}",
		"{\"vlan_filter\":[0]}",
		"{\"vlan_filter\":[4095]}",
		"{\"vlan_filter\":7}",
		"{\"colour\":\"red\"}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vf_settings settings;

		vf_settings_default(&settings, "x", 0);
		cr_expect_eq(configure(&settings, texts[i]), 1, "%s", texts[i]);
	}
}

Test(settings, what_does_not_go_together_is_refused)
{
	const struct {
		const char *text;
		int result;
	} rows[] = {
		{"{\"mac\":\"01:00:00:00:00:01\"}", 2},
		{"{\"mac\":\"00:00:00:00:00:00\"}", 2},
		{"{\"promisc\":true}", 2},
		{"{\"promisc\":true,\"trust\":true}", 0},
		{"{\"macs\":[\"02:00:00:00:00:09\"]}", 2},
		{"{\"macs\":[\"02:00:00:00:00:09\"],\"trust\":true}", 0},
		{"{\"macs\":[\"01:00:5e:00:00:09\"]}", 0},
		{"{\"qos\":1}", 2},
		{"{\"qos\":1,\"vlan\":1}", 0},
		{"{\"vlan\":1,\"vlan_filter\":[2]}", 2},
		{"{\"min_tx_rate\":2,\"max_tx_rate\":1}", 2},
		{"{\"min_tx_rate\":2}", 0},
		{"{\"min_tx_rate\":2,\"max_tx_rate\":2}", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vf_settings settings;

		vf_settings_default(&settings, "x", 0);
		cr_expect_eq(configure(&settings, rows[i].text), rows[i].result, "%s",
			     rows[i].text);
	}
}

Test(settings, sixteen_further_addresses_and_not_one_more)
{
	json_t *macs = json_array(), *json = json_pack("{s:O, s:b}", "macs", macs, "trust", 1);
	struct vf_settings settings;
	const char *parameter;

	vf_settings_default(&settings, "x", 0);
	for (int i = 0; i < VF_MACS_MAX; i++)
		json_array_append_new(macs, json_sprintf("02:00:00:00:01:%02x", i));
	cr_assert_eq(vf_settings_merge(&settings, json, &parameter), 0);
	cr_assert_eq(settings.macs_count, VF_MACS_MAX);
	json_array_append_new(macs, json_string("02:00:00:00:01:ff"));
	cr_assert_eq(vf_settings_merge(&settings, json, &parameter), -EINVAL);
	cr_assert_str_eq(parameter, "macs");
	json_decref(macs);
	json_decref(json);
}

Test(settings, only_a_trusted_function_is_promiscuous)
{
	struct vf_settings settings;
	struct switch_port port;

	vf_settings_default(&settings, "x", 0);
	settings.promisc = true; /* trust was taken away */
	vf_switch_port(&settings, true, &port);
	cr_assert_not(port.promiscuous);
	settings.trust = true;
	vf_switch_port(&settings, true, &port);
	cr_assert(port.promiscuous);
}

Test(settings, link_follows_state)
{
	struct vf_settings settings;

	vf_settings_default(&settings, "x", 0);
	cr_assert(vf_link(&settings, true));
	cr_assert_not(vf_link(&settings, false));
	settings.state = VF_STATE_ENABLE;
	cr_assert(vf_link(&settings, false));
	settings.state = VF_STATE_DISABLE;
	cr_assert_not(vf_link(&settings, true));
}

Test(settings, counters_have_every_name)
{
	struct vf_counters counters = {.tx_frames = 1, .fault_dropped = 2};
	json_t *json = vf_counters_json(&counters);

	cr_assert_eq(json_object_size(json), sizeof(counters) / sizeof(uint64_t));
	cr_assert_eq(json_integer_value(json_object_get(json, "tx_frames")), 1);
	cr_assert_eq(json_integer_value(json_object_get(json, "fault_dropped")), 2);
	json_decref(json);
}

Test(faults, names_there_and_back)
{
	for (unsigned i = 0; i < FAULTS; i++)
		cr_assert_eq(fault_parse(fault_name((enum fault)i)), i);
	cr_assert_eq(fault_parse("droop"), FAULTS);
}

Test(faults, dropping_a_percentage_drops_about_that_many)
{
	struct faults faults = {0};
	unsigned dropped = 0;

	cr_assert_not(faults_drop(&faults));
	faults_set(&faults, FAULT_DROP, 30);
	cr_assert(faults.any);
	for (unsigned i = 0; i < 10000; i++)
		dropped += faults_drop(&faults);
	cr_assert(dropped > 2800 && dropped < 3200, "%u of 10000", dropped);
	faults_set(&faults, FAULT_DROP, 100);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert(faults_drop(&faults));
	faults_set(&faults, FAULT_DROP, 0);
	cr_assert_not(faults.any);
}

Test(faults, a_countdown_ends_once)
{
	struct faults faults = {0};

	faults_set(&faults, FAULT_RESET, 3);
	cr_assert_not(faults_countdown(&faults, FAULT_RESET));
	cr_assert_not(faults_countdown(&faults, FAULT_RESET));
	cr_assert(faults_countdown(&faults, FAULT_RESET));
	cr_assert_not(faults_countdown(&faults, FAULT_RESET));
	cr_assert_not(faults.any);
}

Test(faults, wrong_lengths_are_within_the_buffer)
{
	struct faults faults = {0};
	bool runt = false, giant = false;

	faults_set(&faults, FAULT_CORRUPT_LENGTH, 1);
	for (unsigned i = 0; i < 20; i++) {
		size_t length = faults_length(&faults, 2048);

		cr_assert(length >= 1 && length <= 2048);
		runt |= length < NET_FRAME_MIN;
		giant |= length > NET_FRAME_MAX;
	}
	cr_assert(runt && giant);
}
