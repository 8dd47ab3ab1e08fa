/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses in all their forms, where VFs are, and the words of settings. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "support.h"

static const struct {
	const char *text, *normal; /* NULL: refused */
} forms[] = {
	{"0000:01:00.0", "0000:01:00.0"},
	{"01:00.0", "0000:01:00.0"},
	{"5E:1f.7", "0000:5e:1f.7"},
	{"pci/0000:01:00.0", "0000:01:00.0"},
	{"pci_0000_01_00_0", "0000:01:00.0"},
	{"10000:01:00.0", "10000:01:00.0"}, /* behind a VMD controller */
	{"ffffffff:ff:1f.7", "ffffffff:ff:1f.7"},
	{"123456789:01:00.0", NULL},
	{"000:01:00.0", NULL},
	{"0000:01:20.0", NULL},
	{"0000:01:00.8", NULL},
	{"0000:1:00.0", NULL},
	{"0000:01:00", NULL},
	{"01-00.0", NULL},
	{"01:0.0", NULL},
	{"pci_0000_01.00_0", NULL},
	{"0000:01:00.0 ", NULL},
	{"pci_0000:01:00.0", NULL},
	{"pci/", NULL},
	{"eth0", NULL},
	{":", NULL},
	{"", NULL},
};

Test(vf_address, forms)
{
	char text[VF_ADDRESS_BYTES];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct vf_address address = {.bus = 0x77};
		int result = vf_address_parse(forms[i].text, &address);

		if (!forms[i].normal) {
			cr_expect_eq(result, -EINVAL, "'%s' passed", forms[i].text);
			cr_expect_eq(address.bus, 0x77, "a refusal leaves the result alone");
			continue;
		}
		cr_assert_eq(result, 0, "'%s' was refused", forms[i].text);
		vf_address_format(&address, text);
		cr_expect_str_eq(text, forms[i].normal);
	}
}

Test(vf_address, of_a_vf_crosses_slots_and_buses)
{
	static const struct {
		const char *pf;
		unsigned offset, stride, index;
		const char *vf;
	} cases[] = {
		{"0000:01:00.0", 128, 2, 0, "0000:01:10.0"},
		{"0000:01:00.0", 128, 2, 6, "0000:01:11.4"},
		{"0000:17:00.0", 8, 1, 255, "0000:18:00.7"},
		{"0000:5e:00.1", 2, 1, 5, "0000:5e:01.0"},
	};
	char text[VF_ADDRESS_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vf_address pf;

		cr_assert_eq(vf_address_parse(cases[i].pf, &pf), 0);
		pf = vf_address_of(&pf, cases[i].offset, cases[i].stride, cases[i].index);
		vf_address_format(&pf, text);
		cr_expect_str_eq(text, cases[i].vf);
	}
}

Test(vf_settings, json_and_back)
{
	struct vf_settings all = {
		.given = VF_BIT(VF_KEYS) - 1, .mac = {2, 0, 0, 0xab, 0, 1}, .vlan = 4094, .qos = 7,
		.proto = VF_PROTO_8021AD, .spoofchk = true, .state = VF_STATE_DISABLE,
		.min_tx_rate = 10, .max_tx_rate = 100000, .node_guid = 0x0011223344556677,
		.port_guid = 0xfedcba9876543210,
	}, again;
	json_t *json = vf_settings_to_json(&all);

	cr_expect_str_eq(json_string_value(json_object_get(json, "port_guid")),
			 "fe:dc:ba:98:76:54:32:10");
	cr_assert_eq(vf_settings_from_json(json, &again), 0);
	cr_expect_eq(again.given, all.given);
	cr_expect_eq(vf_settings_differ(&again, &all), 0u);
	json_object_set_new(json, "vlan", json_integer(4096));
	cr_expect_eq(vf_settings_from_json(json, &again), -EINVAL);
	json_decref(json);
}

/* What a file of saved state may say of a key, and must not. */
Test(vf_settings, members_that_are_not_what_they_should_be)
{
	static const char *const members[] = {
		"\"mac\": 7", "\"mac\": \"02:00:00:00:00\"", "\"mac\": \"02:00:00:00:00:zz\"",
		"\"mac\": \"02:00:00:00:00:1x\"", "\"vlan\": \"7\"", "\"vlan\": -1",
		"\"qos\": 8", "\"qos\": 1.5", "\"proto\": 1", "\"proto\": \"802.1x\"",
		"\"spoofchk\": \"yes\"", "\"trust\": 1", "\"state\": null",
		"\"state\": \"up\"", "\"min_tx_rate\": -5", "\"max_tx_rate\": 4294967296",
		"\"node_guid\": 1", "\"node_guid\": \"00:11\"", "\"port_guid\": []",
		"\"port_guid\": \"00:11:22:33:44:55:66:7g\"",
	};
	struct vf_settings kept = {.given = VF_BIT(VF_VLAN), .vlan = 5}, settings = kept;
	char text[100];

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		snprintf(text, sizeof(text), "{%s}", members[i]);
		json_t *json = json_loads(text, 0, NULL);

		cr_assert(json, "%s", text);
		cr_expect_eq(vf_settings_from_json(json, &settings), -EINVAL, "%s", text);
		cr_expect_eq(vf_settings_differ(&settings, &kept), 0u, "%s: changed all the same",
			     text);
		json_decref(json);
	}
	cr_expect_eq(vf_settings_from_json(NULL, &settings), -EINVAL);
}

/* Each key by itself makes a difference; a protocol without a VLAN describes nothing. */
Test(vf_settings, every_key_counts)
{
	const struct vf_settings live = {.given = VF_BIT(VF_KEYS) - 1, .vlan = 1}, other = {
		.given = VF_BIT(VF_KEYS) - 1, .mac = {2}, .vlan = 2, .qos = 1,
		.proto = VF_PROTO_8021AD, .spoofchk = true, .trust = true,
		.state = VF_STATE_ENABLE, .min_tx_rate = 1, .max_tx_rate = 1, .node_guid = 1,
		.port_guid = 1};
	struct vf_settings wish = other;
	char text[32], before[32];

	for (unsigned key = 0; key < VF_KEYS; key++) {
		wish.given = VF_BIT(key);
		cr_expect_eq(vf_settings_differ(&live, &wish), VF_BIT(key), "%s", vf_key_names[key]);
		vf_setting_format(&live, key, before, sizeof(before));
		vf_setting_format(&other, key, text, sizeof(text));
		cr_expect_str_neq(text, before);
	}
	wish = (struct vf_settings){.given = VF_BIT(VF_PROTO), .proto = VF_PROTO_8021AD};
	cr_expect_eq(vf_settings_differ(&(struct vf_settings){.given = VF_BIT(VF_PROTO)}, &wish), 0u);
}

Test(vf_settings, differ_only_where_asked)
{
	struct vf_settings live = {.given = VF_BIT(VF_VLAN) | VF_BIT(VF_TRUST), .vlan = 3};
	struct vf_settings wish = {.given = VF_BIT(VF_VLAN), .vlan = 3, .trust = true};

	cr_expect_eq(vf_settings_differ(&live, &wish), 0u);
	wish.given |= VF_BIT(VF_TRUST);
	cr_expect_eq(vf_settings_differ(&live, &wish), VF_BIT(VF_TRUST));
	wish.given |= VF_BIT(VF_STATE); /* the driver does not tell: it must be set */
	cr_expect_eq(vf_settings_differ(&live, &wish), VF_BIT(VF_TRUST) | VF_BIT(VF_STATE));
}

Test(vf_settings, guids)
{
	uint64_t guid = 1;

	cr_expect_eq(vf_guid_parse("00:11:22:33:44:55:66:77", &guid), 0);
	cr_expect_eq(guid, 0x0011223344556677u);
	cr_expect_eq(vf_guid_parse("AB:cd:22:33:44:55:66:7f", &guid), 0);
	cr_expect_eq(guid, 0xabcd22334455667fu);
	cr_expect_eq(vf_guid_parse("00:11:22:33:44:55:66:7", &guid), -EINVAL);
	cr_expect_eq(vf_guid_parse("00:11:22:33:44:55:66-77", &guid), -EINVAL);
	cr_expect_eq(vf_guid_parse("00:11:22:33:44:55:66:7g", &guid), -EINVAL);
	cr_expect_eq(guid, 0xabcd22334455667fu);
}
