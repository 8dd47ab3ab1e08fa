/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Defaults and rules of a virtual function's settings; see vf.h. Data thread.
 */
#include "vf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rate.h"

uint64_t vf_hash(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash;
}

void vf_settings_default(struct vf_settings *settings, const char *serial, unsigned index)
{
	/* 02: locally administered, one station; then four octets of the serial
	 * number's hash and the function's index. */
	*settings = (struct vf_settings){
		.mac = UINT64_C(0x02) << 40 | (vf_hash(serial) & 0xffffffff) << 8 | index,
		.proto = SWITCH_PROTO_8021Q,
		.spoofchk = true,
		.allmulti = true,
		.state = VF_STATE_AUTO,
	};
}

static bool has_unicast(const struct vf_settings *settings)
{
	for (unsigned i = 0; i < settings->macs_count; i++)
		if (!switch_address_is_group(settings->macs[i]))
			return true;
	return false;
}

int vf_settings_check(const struct vf_settings *settings, char message[VF_MESSAGE_BYTES])
{
	const char *reason = NULL;

	if (!settings->mac || switch_address_is_group(settings->mac))
		reason = "mac must be the address of one station";
	else if (settings->promisc && !settings->trust)
		reason = "promisc needs trust";
	else if (has_unicast(settings) && !settings->trust)
		reason = "more than one station address needs trust";
	else if (settings->qos && !settings->vlan)
		reason = "qos needs a vlan";
	else if (settings->vlan && settings->vlan_filter_count)
		reason = "a vlan_filter is for a function that tags its frames itself (vlan 0)";
	else if (settings->max_tx_rate && settings->min_tx_rate > settings->max_tx_rate)
		reason = "min_tx_rate is above max_tx_rate";
	if (!reason)
		return 0;
	snprintf(message, VF_MESSAGE_BYTES, "%s", reason);
	return -EINVAL;
}

bool vf_link(const struct vf_settings *settings, bool physical_link)
{
	if (settings->state == VF_STATE_AUTO)
		return physical_link;
	return settings->state == VF_STATE_ENABLE;
}

void vf_switch_port(const struct vf_settings *settings, bool link, struct switch_port *out)
{
	*out = (struct switch_port){
		.link = link,
		.spoof_check = settings->spoofchk,
		.promiscuous = settings->trust && settings->promisc,
		.all_multicast = settings->allmulti,
		.vlan_filtered = settings->vlan_filter_count > 0,
		.qos = settings->qos,
		.vlan = settings->vlan,
		.proto = settings->proto,
		.addresses_count = 1 + settings->macs_count,
	};
	out->addresses[0] = settings->mac;
	memcpy(out->addresses + 1, settings->macs, sizeof(settings->macs));
	memcpy(out->vlan_filter, settings->vlan_filter, sizeof(out->vlan_filter));
}
