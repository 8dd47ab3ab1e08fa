/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON form of a virtual function's settings and counters; see vf.h. Called by
 * control.c on the data thread. What comes in is checked by type and range
 * here, and for what goes together by vf_settings_check().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rate.h"
#include "vf.h"

static const char *const state_names[] = {
	[VF_STATE_AUTO] = "auto", [VF_STATE_ENABLE] = "enable", [VF_STATE_DISABLE] = "disable"};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool address_parse(json_t *value, uint64_t *out)
{
	const char *text = json_string_value(value);
	uint64_t address = 0;

	if (!text || json_string_length(value) != 17)
		return false;
	for (unsigned i = 0; i < 6; i++, text += 3) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);

		if (high < 0 || low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return false;
		address = address << 8 | (uint64_t)(high << 4 | low);
	}
	*out = address;
	return true;
}

static json_t *address_json(uint64_t address)
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", (unsigned)(address >> 40 & 255),
			    (unsigned)(address >> 32 & 255), (unsigned)(address >> 24 & 255),
			    (unsigned)(address >> 16 & 255), (unsigned)(address >> 8 & 255),
			    (unsigned)(address & 255));
}

/* Each merges one member, which is there; false: wrong type, form or range. */
static bool merge_number(json_t *value, json_int_t most, json_int_t *out)
{
	*out = json_integer_value(value);
	return json_is_integer(value) && *out >= 0 && *out <= most;
}

static bool merge_mac(struct vf_settings *settings, json_t *value)
{
	return address_parse(value, &settings->mac);
}

static bool merge_vlan(struct vf_settings *settings, json_t *value)
{
	json_int_t number;

	if (!merge_number(value, VF_VLAN_MAX, &number))
		return false;
	settings->vlan = (uint16_t)number;
	return true;
}

static bool merge_qos(struct vf_settings *settings, json_t *value)
{
	json_int_t number;

	if (!merge_number(value, 7, &number))
		return false;
	settings->qos = (uint8_t)number;
	return true;
}

static bool merge_proto(struct vf_settings *settings, json_t *value)
{
	const char *text = json_string_value(value);

	if (text && !strcasecmp(text, "802.1Q"))
		settings->proto = SWITCH_PROTO_8021Q;
	else if (text && !strcasecmp(text, "802.1ad"))
		settings->proto = SWITCH_PROTO_8021AD;
	else
		return false;
	return true;
}

static bool merge_flag(json_t *value, bool *out)
{
	*out = json_is_true(value);
	return json_is_boolean(value);
}

static bool merge_spoofchk(struct vf_settings *settings, json_t *value)
{
	return merge_flag(value, &settings->spoofchk);
}

static bool merge_trust(struct vf_settings *settings, json_t *value)
{
	return merge_flag(value, &settings->trust);
}

static bool merge_promisc(struct vf_settings *settings, json_t *value)
{
	return merge_flag(value, &settings->promisc);
}

static bool merge_allmulti(struct vf_settings *settings, json_t *value)
{
	return merge_flag(value, &settings->allmulti);
}

static bool merge_state(struct vf_settings *settings, json_t *value)
{
	const char *text = json_string_value(value);

	for (unsigned i = 0; text && i < 3; i++) {
		if (!strcmp(text, state_names[i])) {
			settings->state = (enum vf_state)i;
			return true;
		}
	}
	return false;
}

static bool merge_rate(json_t *value, uint32_t *out)
{
	json_int_t number;

	if (!merge_number(value, RATE_MBPS_MAX, &number))
		return false;
	*out = (uint32_t)number;
	return true;
}

static bool merge_min_tx_rate(struct vf_settings *settings, json_t *value)
{
	return merge_rate(value, &settings->min_tx_rate);
}

static bool merge_max_tx_rate(struct vf_settings *settings, json_t *value)
{
	return merge_rate(value, &settings->max_tx_rate);
}

static bool merge_macs(struct vf_settings *settings, json_t *value)
{
	size_t index;
	json_t *element;

	if (!json_is_array(value) || json_array_size(value) > VF_MACS_MAX)
		return false;
	settings->macs_count = 0;
	memset(settings->macs, 0, sizeof(settings->macs));
	json_array_foreach (value, index, element) {
		if (!address_parse(element, &settings->macs[index]) || !settings->macs[index])
			return false;
		settings->macs_count++;
	}
	return true;
}

static bool merge_vlan_filter(struct vf_settings *settings, json_t *value)
{
	size_t index;
	json_t *element;
	json_int_t vid;

	if (!json_is_array(value) || json_array_size(value) > VF_VLAN_MAX)
		return false;
	settings->vlan_filter_count = 0;
	memset(settings->vlan_filter, 0, sizeof(settings->vlan_filter));
	json_array_foreach (value, index, element) {
		if (!merge_number(element, VF_VLAN_MAX, &vid) || vid == 0)
			return false;
		if (settings->vlan_filter[vid / 64] >> vid % 64 & 1)
			continue;
		settings->vlan_filter[vid / 64] |= UINT64_C(1) << vid % 64;
		settings->vlan_filter_count++;
	}
	return true;
}

static const struct member {
	const char *name;
	bool (*merge)(struct vf_settings *settings, json_t *value);
} members[] = {
	{"mac", merge_mac},
	{"vlan", merge_vlan},
	{"qos", merge_qos},
	{"proto", merge_proto},
	{"spoofchk", merge_spoofchk},
	{"trust", merge_trust},
	{"state", merge_state},
	{"min_tx_rate", merge_min_tx_rate},
	{"max_tx_rate", merge_max_tx_rate},
	{"promisc", merge_promisc},
	{"allmulti", merge_allmulti},
	{"macs", merge_macs},
	{"vlan_filter", merge_vlan_filter},
};

static const struct member *member_find(const char *name)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!strcmp(members[i].name, name))
			return &members[i];
	return NULL;
}

int vf_settings_merge(struct vf_settings *settings, json_t *json, const char **parameter)
{
	const char *name;
	json_t *value;

	json_object_foreach (json, name, value) {
		const struct member *member = member_find(name);

		*parameter = name;
		if (!member)
			return -EINVAL;
		if (!json_is_null(value) && !member->merge(settings, value))
			return -EINVAL;
	}
	return 0;
}

json_t *vf_settings_json(const struct vf_settings *settings)
{
	json_t *macs = json_array(), *filter = json_array();

	for (unsigned i = 0; i < settings->macs_count; i++)
		json_array_append_new(macs, address_json(settings->macs[i]));
	for (unsigned vid = 1; vid <= VF_VLAN_MAX; vid++)
		if (settings->vlan_filter[vid / 64] >> vid % 64 & 1)
			json_array_append_new(filter, json_integer(vid));
	return json_pack("{so si si ss sb sb ss si si sb sb so so}", "mac",
			 address_json(settings->mac), "vlan", settings->vlan, "qos", settings->qos,
			 "proto", settings->proto == SWITCH_PROTO_8021AD ? "802.1ad" : "802.1Q",
			 "spoofchk", settings->spoofchk, "trust", settings->trust, "state",
			 state_names[settings->state], "min_tx_rate", (int)settings->min_tx_rate,
			 "max_tx_rate", (int)settings->max_tx_rate, "promisc", settings->promisc,
			 "allmulti", settings->allmulti, "macs", macs, "vlan_filter", filter);
}

json_t *vf_counters_json(const struct vf_counters *counters)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"tx_frames", counters->tx_frames},
		{"tx_bytes", counters->tx_bytes},
		{"rx_frames", counters->rx_frames},
		{"rx_bytes", counters->rx_bytes},
		{"rx_broadcast", counters->rx_broadcast},
		{"rx_multicast", counters->rx_multicast},
		{"tx_uplink", counters->tx_uplink},
		{"tx_link_dropped", counters->tx_link_dropped},
		{"tx_spoof_dropped", counters->tx_spoof_dropped},
		{"tx_vlan_dropped", counters->tx_vlan_dropped},
		{"tx_malformed_dropped", counters->tx_malformed_dropped},
		{"rx_missed", counters->rx_missed},
		{"fault_dropped", counters->fault_dropped},
	};
	json_t *json = json_object();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *value = json_integer((json_int_t)rows[i].value);

		if (json_object_set_new(json, rows[i].name, value) < 0) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}
