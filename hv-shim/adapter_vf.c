/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adapter's process is asked about one of its functions: settings, and for a
 * real adapter who gets it. Event-loop thread.
 */
#include <string.h>

#include "shim.h"

static void add_address(struct device *client, const void *data)
{
	char mac[DOC_MAC_TEXT_BYTES];

	if (device_undoing(client) || client->state == STATE_FAILED)
		return;
	doc_mac_format(client->spec.mac, mac);
	json_array_append_new((json_t *)data, json_string(mac));
}

/* In iproute2's words. */
static json_t *vf_settings(const struct device *device)
{
	const struct doc_vf *vf = &device->spec.vf;
	char mac[DOC_MAC_TEXT_BYTES];

	doc_mac_format(device->spec.mac, mac);
	json_t *settings = json_pack("{s:s,s:I,s:I,s:s,s:b,s:b,s:s,s:I,s:I,s:b}", "mac", mac, "vlan",
			 (json_int_t)vf->vlan, "qos", (json_int_t)vf->qos, "proto",
			 doc_vlan_protos[vf->proto], "spoofchk", vf->spoofchk, "trust", vf->trust,
			 "state", doc_link_states[vf->state], "min_tx_rate",
			 (json_int_t)vf->min_tx_rate, "max_tx_rate", (json_int_t)vf->max_tx_rate,
			 "promisc", vf->promisc);
	if (device->spec.adjunct.scope == DOC_SCOPE_LOCAL)
		return settings;
	/* Several share it: that each of them sends with its own address, and hears nothing
	 * that is not for it, is the global adjunct's doing. */
	json_object_set_new(settings, "trust", json_true());
	if (device->adapter->spec.kind == DOC_ADAPTER_EMBEDDED) {
		json_t *addresses = json_array();

		clients_each((struct device *)device, add_address, addresses);
		json_object_set_new(settings, "macs", addresses);
	} else {
		json_object_set_new(settings, "spoofchk", json_false());
	}
	return settings;
}

void adapter_configure_vf(struct adapter *adapter, const struct device *device,
			  peer_answer_fn callback, void *data)
{
	peer_call(adapter->peer, "org.outrigger.Adapter.ConfigureVf",
		  json_pack("{s:I,s:o}", "index", (json_int_t)device->spec.vf.index, "settings",
			    vf_settings(device)),
		  NULL, 0, SHIM_CALL_MS, callback, data);
}

void adapter_take_vf(struct adapter *adapter, const struct device *device, int netns_fd,
		     peer_answer_fn callback, void *data)
{
	const struct doc_device *spec = &device->spec;
	bool netdev = spec->kind == DOC_DEVICE_NETDEV, vfio = spec->kind == DOC_DEVICE_VFIO;
	json_t *parameters = json_pack("{s:I,s:o,s:s}", "index", (json_int_t)spec->vf.index,
				       "settings", vf_settings(device), "use",
				       netdev ? "netdev" : vfio ? "vfio" : "adjunct");

	if (netdev)
		json_object_set_new(parameters, "ifname", json_string(spec->ifname));
	if (vfio)
		json_object_set_new(parameters, "uid", json_integer(device->partition->uid));
	peer_call(adapter->peer, "org.outrigger.Adapter.TakeVf", parameters, &netns_fd, netdev,
		  adapter->shim->start_ms, callback, data);
}

void adapter_return_vf(struct adapter *adapter, int64_t index, peer_answer_fn callback, void *data)
{
	peer_call(adapter->peer, "org.outrigger.Adapter.ReturnVf",
		  json_pack("{s:I}", "index", (json_int_t)index), NULL, 0, adapter->shim->start_ms,
		  callback, data);
}

void adapter_reset_vf(struct adapter *adapter, int64_t index, peer_answer_fn callback, void *data)
{
	peer_call(adapter->peer, "org.outrigger.Adapter.ResetVf",
		  json_pack("{s:I}", "index", (json_int_t)index), NULL, 0, SHIM_CALL_MS, callback, data);
}

/* The embedded adapter ends its driver's connection itself (ResetVf). What VFIO, or most
 * of DPDK's software ports, have open lies elsewhere, and may be had once at a time. */
bool adapter_is_ours(const struct adapter *adapter)
{
	const char *device = adapter->spec.device;

	switch (adapter->spec.kind) {
	case DOC_ADAPTER_EMBEDDED:
	case DOC_ADAPTER_ECHO:
		return true;
	case DOC_ADAPTER_DPDK: /* memory of its driver's */
		return !strncmp(device, "net_ring", strlen("net_ring"));
	default:
		return false;
	}
}
