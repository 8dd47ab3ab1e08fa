/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual function's settings and counters: defaults, validation, and their
 * JSON form (org.outrigger.Adapter.varlink). Called by control.c and
 * dataplane.c, on the data thread. Knows neither DPDK nor sockets.
 */
#ifndef VF_H
#define VF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "switch.h"

#define VF_MAX SWITCH_PORTS_MAX
#define VF_MACS_MAX (SWITCH_ADDRESSES_MAX - 1)
#define VF_VLAN_MAX 4094
#define VF_MESSAGE_BYTES 160

enum vf_state { VF_STATE_AUTO, VF_STATE_ENABLE, VF_STATE_DISABLE };

struct vf_settings {
	uint64_t mac; /* switch_address() */
	uint16_t vlan, proto;
	uint8_t qos;
	bool spoofchk, trust, promisc, allmulti;
	enum vf_state state;
	uint32_t min_tx_rate, max_tx_rate; /* Mbit/s */
	unsigned macs_count;
	uint64_t macs[VF_MACS_MAX];
	unsigned vlan_filter_count; /* bits set below */
	uint64_t vlan_filter[SWITCH_VLANS / 64];
};

/* As in the interface definition; the two parts of every frame's fate. */
struct vf_counters {
	uint64_t tx_frames, tx_bytes;
	uint64_t rx_frames, rx_bytes, rx_broadcast, rx_multicast;
	uint64_t tx_uplink, tx_link_dropped;
	uint64_t tx_spoof_dropped, tx_vlan_dropped, tx_malformed_dropped;
	uint64_t rx_missed, fault_dropped;
};

/* A serial number's functions get locally administered addresses made of it. */
void vf_settings_default(struct vf_settings *settings, const char *serial, unsigned index);
/* 0, or -EINVAL and a sentence that says what does not fit together. */
int vf_settings_check(const struct vf_settings *settings, char message[VF_MESSAGE_BYTES]);
/*
 * Puts the members that `json` has into *settings. 0; -EINVAL: a member has the
 * wrong type or form, `*parameter` names it. *settings is then half changed.
 */
int vf_settings_merge(struct vf_settings *settings, json_t *json, const char **parameter);
/* NULL: out of memory. */
json_t *vf_settings_json(const struct vf_settings *settings);
json_t *vf_counters_json(const struct vf_counters *counters);

bool vf_link(const struct vf_settings *settings, bool physical_link);
void vf_switch_port(const struct vf_settings *settings, bool link, struct switch_port *out);

/* FNV-1a, 64 bits: names to serial numbers, serial numbers to addresses. */
uint64_t vf_hash(const char *text);

#endif
