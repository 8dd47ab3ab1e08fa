/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The settings of a VF that its PF holds: their words, their difference, and JSON for
 * people and for saved state. No state; called by all of the manager.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vf_internal.h"

const char *const vf_key_names[VF_KEYS] = {
	[VF_MAC] = "mac", [VF_VLAN] = "vlan", [VF_QOS] = "qos", [VF_PROTO] = "proto",
	[VF_SPOOFCHK] = "spoofchk", [VF_TRUST] = "trust", [VF_STATE] = "state",
	[VF_MIN_TX_RATE] = "min_tx_rate", [VF_MAX_TX_RATE] = "max_tx_rate",
	[VF_NODE_GUID] = "node_guid", [VF_PORT_GUID] = "port_guid",
};
const char *const vf_proto_names[] = {"802.1Q", "802.1ad", NULL};
const char *const vf_state_names[] = {"auto", "enable", "disable", NULL};
const char *const vf_eswitch_names[] = {"none", "legacy", "switchdev", NULL};

const unsigned vf_key_groups[] = {
	VF_BIT(VF_MAC),
	VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) | VF_BIT(VF_PROTO),
	VF_BIT(VF_SPOOFCHK),
	VF_BIT(VF_TRUST),
	VF_BIT(VF_STATE),
	VF_BIT(VF_MIN_TX_RATE) | VF_BIT(VF_MAX_TX_RATE),
	VF_BIT(VF_NODE_GUID),
	VF_BIT(VF_PORT_GUID),
	0,
};

static bool key_differs(const struct vf_settings *a, const struct vf_settings *b, enum vf_key key)
{
	switch (key) {
	case VF_MAC: return memcmp(a->mac, b->mac, sizeof(a->mac)) != 0;
	case VF_VLAN: return a->vlan != b->vlan;
	case VF_QOS: return a->qos != b->qos;
	/* Without a VLAN there is nothing for a protocol to describe; drivers tell any. */
	case VF_PROTO: return a->proto != b->proto && (a->vlan || b->vlan);
	case VF_SPOOFCHK: return a->spoofchk != b->spoofchk;
	case VF_TRUST: return a->trust != b->trust;
	case VF_STATE: return a->state != b->state;
	case VF_MIN_TX_RATE: return a->min_tx_rate != b->min_tx_rate;
	case VF_MAX_TX_RATE: return a->max_tx_rate != b->max_tx_rate;
	case VF_NODE_GUID: return a->node_guid != b->node_guid;
	case VF_PORT_GUID: return a->port_guid != b->port_guid;
	case VF_KEYS: break;
	}
	return false;
}

unsigned vf_settings_differ(const struct vf_settings *live, const struct vf_settings *wished)
{
	unsigned keys = 0;

	for (unsigned key = 0; key < VF_KEYS; key++)
		if (wished->given & VF_BIT(key) &&
		    (!(live->given & VF_BIT(key)) || key_differs(live, wished, key)))
			keys |= VF_BIT(key);
	return keys;
}

static void guid_format(uint64_t guid, char *out, size_t bytes)
{
	char text[24];

	for (int i = 0; i < 8; i++)
		snprintf(text + 3 * i, sizeof(text) - 3 * (size_t)i, "%02x%s",
			 (unsigned)(guid >> (56 - 8 * i) & 0xff), i < 7 ? ":" : "");
	snprintf(out, bytes, "%s", text);
}

int vf_guid_parse(const char *text, uint64_t *out)
{
	uint64_t guid = 0;

	if (strlen(text) != 23)
		return -EINVAL;
	for (int i = 0; i < 23; i++) {
		static const char digits[] = "0123456789abcdefABCDEF";
		const char *digit = strchr(digits, text[i]);

		if (i % 3 == 2 ? text[i] != ':' : !digit)
			return -EINVAL;
		if (i % 3 != 2) {
			uint64_t value = (uint64_t)(digit - digits);

			guid = guid << 4 | (value > 15 ? value - 6 : value);
		}
	}
	*out = guid;
	return 0;
}

void vf_setting_format(const struct vf_settings *settings, enum vf_key key, char *out, size_t bytes)
{
	const uint8_t *mac = settings->mac;

	switch (key) {
	case VF_MAC:
		snprintf(out, bytes, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
			 mac[3], mac[4], mac[5]);
		break;
	case VF_VLAN: snprintf(out, bytes, "%" PRId64, settings->vlan); break;
	case VF_QOS: snprintf(out, bytes, "%" PRId64, settings->qos); break;
	case VF_PROTO: snprintf(out, bytes, "%s", vf_proto_names[settings->proto]); break;
	case VF_SPOOFCHK: snprintf(out, bytes, "%s", settings->spoofchk ? "yes" : "no"); break;
	case VF_TRUST: snprintf(out, bytes, "%s", settings->trust ? "yes" : "no"); break;
	case VF_STATE: snprintf(out, bytes, "%s", vf_state_names[settings->state]); break;
	case VF_MIN_TX_RATE: snprintf(out, bytes, "%" PRId64, settings->min_tx_rate); break;
	case VF_MAX_TX_RATE: snprintf(out, bytes, "%" PRId64, settings->max_tx_rate); break;
	case VF_NODE_GUID: guid_format(settings->node_guid, out, bytes); break;
	case VF_PORT_GUID: guid_format(settings->port_guid, out, bytes); break;
	case VF_KEYS: *out = '\0'; break;
	}
}

json_t *vf_settings_to_json(const struct vf_settings *settings)
{
	json_t *object = json_object();
	char text[32];
	int bad = 0;

	for (unsigned key = 0; key < VF_KEYS; key++) {
		json_t *value;

		if (!(settings->given & VF_BIT(key)))
			continue;
		vf_setting_format(settings, key, text, sizeof(text));
		if (key == VF_SPOOFCHK || key == VF_TRUST)
			value = json_boolean(*text == 'y');
		else if (key == VF_VLAN || key == VF_QOS)
			value = json_integer(key == VF_VLAN ? settings->vlan : settings->qos);
		else if (key == VF_MIN_TX_RATE || key == VF_MAX_TX_RATE)
			value = json_integer(key == VF_MIN_TX_RATE ? settings->min_tx_rate
								   : settings->max_tx_rate);
		else
			value = json_string(text);
		bad += json_object_set_new(object, vf_key_names[key], value);
	}
	if (!bad)
		return object;
	json_decref(object);
	return NULL;
}

static int word_index(const char *text, const char *const *words)
{
	for (int i = 0; text && words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	return -1;
}

bool vf_mac_parse(const char *text, uint8_t mac[6])
{
	static const char digits[] = "0123456789abcdefABCDEF";

	/* Left to itself, sscanf() takes "0x" for a number. */
	for (int i = 0; text && i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !text[i] || !strchr(digits, text[i]))
			return false;
	return text && !text[17] &&
	       sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5]) == 6;
}

/* One member; false if it is not what this key has. */
static bool key_from_json(enum vf_key key, const json_t *value, struct vf_settings *out)
{
	const char *text = json_string_value(value);
	int64_t number = json_integer_value(value);
	bool small = json_is_integer(value) && number >= 0 && number <= UINT32_MAX;

	switch (key) {
	case VF_MAC: return vf_mac_parse(text, out->mac);
	case VF_VLAN: out->vlan = number; return small && number < 4096;
	case VF_QOS: out->qos = number; return small && number < 8;
	case VF_PROTO: out->proto = word_index(text, vf_proto_names); return out->proto >= 0;
	case VF_SPOOFCHK: out->spoofchk = json_is_true(value); return json_is_boolean(value);
	case VF_TRUST: out->trust = json_is_true(value); return json_is_boolean(value);
	case VF_STATE: out->state = word_index(text, vf_state_names); return out->state >= 0;
	case VF_MIN_TX_RATE: out->min_tx_rate = number; return small;
	case VF_MAX_TX_RATE: out->max_tx_rate = number; return small;
	case VF_NODE_GUID: return text && !vf_guid_parse(text, &out->node_guid);
	case VF_PORT_GUID: return text && !vf_guid_parse(text, &out->port_guid);
	case VF_KEYS: break;
	}
	return false;
}

int vf_settings_from_json(const json_t *object, struct vf_settings *out)
{
	struct vf_settings settings = {0};

	if (!json_is_object(object))
		return -EINVAL;
	for (unsigned key = 0; key < VF_KEYS; key++) {
		const json_t *value = json_object_get(object, vf_key_names[key]);

		if (!value)
			continue;
		if (!key_from_json(key, value, &settings))
			return -EINVAL;
		settings.given |= VF_BIT(key);
	}
	*out = settings;
	return 0;
}
