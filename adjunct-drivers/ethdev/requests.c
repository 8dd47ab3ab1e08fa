/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a partition may ask of its net device besides the rings (000, FIG. 10;
 * hv-shim/base/service_layout.h has the shapes): to transmit and to receive one frame,
 * and control calls: address, VLANs, link, statistics. Each is served whole; a frame that
 * cannot move yet makes its request wait (-EINPROGRESS). What the partition sets stands in
 * the in-flight record, which it never gets: a successor sets it up again, and it ends
 * with the program. On the thread that dispatches the driver.
 */
#include <errno.h>
#include <rte_ether.h>
#include <string.h>

#include "requests.h"
#include "service_layout.h"

#define MAC_BYTES 6
#define VLAN_ID_MAX 4094
#define VLAN_ID_MASK 0xfff

static struct adj_net_settings *settings_of(const struct ethdev *ethdev)
{
	/* NULL: no program has the device open, which is none of a native port's. */
	struct adj_inflight_page *page = (struct adj_inflight_page *)ethdev->env->port.inflight;

	return page ? &page->settings : NULL;
}

/* ---- Frames -------------------------------------------------------------------- */

static int transmit(struct ethdev *ethdev, const struct adj_request *request)
{
	struct port *port = ethdev->port;
	struct rte_mbuf *frame;

	if (!port_length_ok(port, request->data_bytes))
		return -EMSGSIZE;
	if (!ethdev->device->present)
		return -ENETDOWN;
	/* What the ring has handed over already goes first. */
	ethdev->requests.asked.room = ethdev->tx.count || rte_mempool_get(port->pool, (void **)&frame);
	if (ethdev->requests.asked.room)
		return -EINPROGRESS;
	port_frame_init(frame, (uint16_t)request->data_bytes);
	memcpy(rte_pktmbuf_mtod(frame, void *), request->data, request->data_bytes);
	port_native_apart_begin(port);
	unsigned sent = rte_eth_tx_burst(ethdev->device->port_id, 0, &frame, 1);

	port->device_taken += sent;
	port_native_apart_end(port);
	if (!sent) {
		rte_mempool_put(port->pool, frame);
		ethdev->requests.asked.room = true;
		return -EINPROGRESS;
	}
	port->counters.tx_frames++;
	port->counters.tx_bytes += request->data_bytes;
	return 0;
}

static void fill(struct ethdev *ethdev)
{
	struct burst *rx = &ethdev->rx;

	rx->first = 0;
	rx->count = rte_eth_rx_burst(ethdev->device->port_id, 0, rx->frames, BURST_FRAMES);
	if (ethdev->requests.filters)
		requests_filter(ethdev);
}

static int receive(struct ethdev *ethdev, const struct adj_request *request,
		   struct adj_response *response)
{
	struct port *port = ethdev->port;
	struct burst *rx = &ethdev->rx;

	if (request->data_bytes)
		return -EINVAL;
	/* Another one has looked just now. */
	if (!rx->count && !ethdev->requests.asked.frame && ethdev->device->present)
		fill(ethdev);
	while (rx->count) {
		struct rte_mbuf *frame = rx->frames[rx->first];
		uint32_t length = frame->pkt_len;
		bool good = port_length_ok(port, length) && length <= response->room;

		/* Of one piece it is copied, else gathered where it goes. */
		const void *bytes = good ? rte_pktmbuf_read(frame, 0, length, response->data) : NULL;

		if (bytes && bytes != response->data)
			memcpy(response->data, bytes, length);
		rte_pktmbuf_free(frame);
		burst_advance(rx, 1);
		if (!bytes) {
			port->counters.rx_dropped++;
			continue;
		}
		response->data_bytes = length;
		port->counters.rx_frames++;
		port->counters.rx_bytes += length;
		return 0;
	}
	ethdev->requests.asked.frame = true;
	return -EINPROGRESS;
}

/* ---- The address ------------------------------------------------------------------ */

/* In the words of errno that the partition gets: the driver's own say little. */
static int refusal(int result)
{
	return result == -ENOTSUP || result == -ENOSYS ? -EOPNOTSUPP : result ? -EPERM : 0;
}

static int set_mac(struct ethdev *ethdev, const struct adj_request *request)
{
	struct rte_ether_addr wanted;

	if (request->data_bytes != sizeof(wanted))
		return -EINVAL;
	memcpy(&wanted, request->data, sizeof(wanted));
	if (!rte_is_valid_assigned_ether_addr(&wanted))
		return -EADDRNOTAVAIL;
	/* Whoever is behind a software port knows by which address its frames come, and
	 * cannot be asked for another. A real function's owner is asked by the driver. */
	bool same = rte_is_same_ether_addr(&wanted, &ethdev->device->address);
	int result = same			       ? 0
		     : ethdev->device->link_is_peer ? -EPERM
						   : device_set_address(ethdev->device, &wanted);

	if (!result)
		memcpy(settings_of(ethdev)->mac, &wanted, sizeof(wanted));
	return refusal(result);
}

/* ---- VLANs -------------------------------------------------------------------------- */

static bool has_vlan(const struct adj_net_settings *settings, unsigned id)
{
	return settings->vlans[id / 64] >> id % 64 & 1;
}

/* Whatever the device does itself: some cannot, and none need be trusted with it. */
void requests_filter(struct ethdev *ethdev)
{
	const struct adj_net_settings *settings = settings_of(ethdev);
	struct burst *rx = &ethdev->rx;
	unsigned kept = 0;

	if (share_is_on(ethdev))
		return; /* the others want theirs */

	for (unsigned i = 0; i < rx->count; i++) {
		struct rte_mbuf *frame = rx->frames[rx->first + i];
		const struct rte_vlan_hdr *tag = rte_pktmbuf_mtod_offset(
			frame, const struct rte_vlan_hdr *, sizeof(struct rte_ether_hdr));
		const struct rte_ether_hdr *header = rte_pktmbuf_mtod(frame, const void *);
		bool tagged = frame->data_len >= sizeof(*header) + sizeof(*tag) &&
			      (header->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) ||
			       header->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ));
		unsigned id = tagged ? rte_be_to_cpu_16(tag->vlan_tci) & VLAN_ID_MASK : 0;

		/* Identifier 0 is a priority, and no VLAN. */
		if (!id || has_vlan(settings, id)) {
			rx->frames[rx->first + kept++] = frame;
			continue;
		}
		ethdev->port->counters.rx_dropped++;
		rte_pktmbuf_free(frame);
	}
	rx->count = kept;
}

static bool has_vlans(const struct adj_net_settings *settings)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < RTE_DIM(settings->vlans); i++)
		any |= settings->vlans[i];
	return any != 0;
}

static int set_vlan(struct ethdev *ethdev, const struct adj_request *request, bool on)
{
	struct adj_net_settings *settings = settings_of(ethdev);
	uint16_t id;

	if (request->data_bytes != sizeof(id))
		return -EINVAL;
	memcpy(&id, request->data, sizeof(id));
	if (id == 0 || id > VLAN_ID_MAX)
		return -EINVAL;
	if (has_vlan(settings, id) == on)
		return on ? 0 : -ENOENT;
	settings->vlans[id / 64] ^= UINT64_C(1) << id % 64;
	int result = refusal(device_set_vlan(ethdev->device, id, on, has_vlans(settings)));

	/* Without a filter of its own the device passes them all: we drop the others. */
	if (result && result != -EOPNOTSUPP)
		settings->vlans[id / 64] ^= UINT64_C(1) << id % 64;
	else
		result = 0;
	ethdev->requests.filters = has_vlans(settings);
	return result;
}

/* ---- Settings, again ------------------------------------------------------------------ */

void requests_apply(struct ethdev *ethdev)
{
	const struct adj_net_settings *settings = settings_of(ethdev);
	struct rte_ether_addr address;
	int result = 0;

	if (!settings || !ethdev->device->present || share_is_on(ethdev))
		return;
	memcpy(&address, settings->mac, sizeof(address));
	if (rte_is_valid_assigned_ether_addr(&address))
		result = device_set_address(ethdev->device, &address);
	ethdev->requests.filters = has_vlans(settings);
	for (uint16_t id = 1; ethdev->requests.filters && id <= VLAN_ID_MAX; id++)
		if (has_vlan(settings, id) && refusal(device_set_vlan(ethdev->device, id, true, true)) == -EPERM)
			result = -EPERM;
	if (result)
		ethdev->env->log(ethdev->env, ADJ_LOG_WARNING,
				 "%s does not take what the partition had set before",
				 ethdev->env->device);
}

void requests_reset(struct ethdev *ethdev)
{
	struct adj_net_settings *settings = settings_of(ethdev);
	struct rte_ether_addr address;

	if (!settings)
		return;
	memcpy(&address, ethdev->env->port.mac, sizeof(address));
	for (uint16_t id = 1; ethdev->requests.filters && id <= VLAN_ID_MAX; id++)
		if (has_vlan(settings, id))
			(void)device_set_vlan(ethdev->device, id, false, false);
	if (device_set_address(ethdev->device, &address))
		ethdev->env->log(ethdev->env, ADJ_LOG_WARNING,
				 "%s keeps the address that its last program had set",
				 ethdev->env->device);
	*settings = (struct adj_net_settings){0};
	ethdev->requests.filters = false;
	ethdev->requests.asked.frame = ethdev->requests.asked.room = false;
}

/* ---- What there is to know --------------------------------------------------------------- */

static int answer(struct adj_response *response, const void *data, uint32_t bytes)
{
	memcpy(response->data, data, bytes);
	response->data_bytes = bytes;
	return 0;
}

static int get_link(struct ethdev *ethdev, struct adj_response *response)
{
	struct service_net_link link = {0};
	struct rte_eth_link now = {0};

	link.up = device_link_up(ethdev->device);
	if (ethdev->device->present && !rte_eth_link_get_nowait(ethdev->device->port_id, &now)) {
		link.full_duplex = now.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
		link.speed_mbps = now.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : now.link_speed;
	}
	return answer(response, &link, sizeof(link));
}

static int get_statistics(struct ethdev *ethdev, struct adj_response *response)
{
	const struct port_counters *counters = &ethdev->port->counters;
	struct service_net_statistics statistics = {
		.tx_frames = counters->tx_frames,
		.tx_bytes = counters->tx_bytes,
		.tx_dropped = counters->tx_dropped,
		.rx_frames = counters->rx_frames,
		.rx_bytes = counters->rx_bytes,
		.rx_dropped = counters->rx_dropped,
	};
	struct rte_eth_stats device;

	if (ethdev->device->present && !rte_eth_stats_get(ethdev->device->port_id, &device)) {
		statistics.device_missed = device.imissed;
		statistics.device_errors = device.ierrors + device.oerrors;
	}
	return answer(response, &statistics, sizeof(statistics));
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* What is about the device as a whole, of which others have their part. */
static int serve_frame_or_setting(struct ethdev *ethdev, const struct adj_request *request,
				  struct adj_response *response)
{
	if (share_is_on(ethdev))
		return -EOPNOTSUPP;
	switch (request->opcode) {
	case SERVICE_NET_TRANSMIT:
		return transmit(ethdev, request);
	case SERVICE_NET_RECEIVE:
		return receive(ethdev, request, response);
	case SERVICE_NET_SET_MAC:
		return set_mac(ethdev, request);
	case SERVICE_NET_VLAN_ADD:
	case SERVICE_NET_VLAN_REMOVE:
		return set_vlan(ethdev, request, request->opcode == SERVICE_NET_VLAN_ADD);
	default:
		return -EOPNOTSUPP;
	}
}

/* A frame that a dead adjunct had taken for one is lost, as on a wire; the next one is as good. */
bool requests_repeatable(uint16_t opcode)
{
	return opcode == SERVICE_NET_RECEIVE || opcode == SERVICE_NET_MAC ||
	       opcode == SERVICE_NET_LINK || opcode == SERVICE_NET_STATISTICS;
}

int requests_serve(void *state, const struct adj_request *request, struct adj_response *response)
{
	struct ethdev *ethdev = state;

	switch (request->opcode) {
	case SERVICE_NET_MAC:
	case SERVICE_NET_LINK:
	case SERVICE_NET_STATISTICS:
		break;
	default:
		return serve_frame_or_setting(ethdev, request, response);
	}
	if (request->data_bytes)
		return -EINVAL; /* there is nothing to say with these */
	if (request->opcode == SERVICE_NET_LINK)
		return get_link(ethdev, response);
	if (request->opcode == SERVICE_NET_STATISTICS)
		return get_statistics(ethdev, response);
	return answer(response, ethdev->host ? ethdev->env->port.mac
					     : ethdev->device->address.addr_bytes, MAC_BYTES);
}
