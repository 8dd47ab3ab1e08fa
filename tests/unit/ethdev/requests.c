/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to the ethdev driver (requests.c) on a device whose transmit queue is its own
 * receive queue (DPDK's net_ring), and a port of a window that nobody else looks at. The
 * partition is this test.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <stdlib.h>

#include "../port_support.h"
#include "ethdev/requests.h"
#include "service_layout.h"

#define RING 64u
#define MTU 1500
#define QUEUE 64u /* of the device; one less frames */

static struct adj_env env;
static struct net_layout layout;
static uint8_t *window;
static _Alignas(64) uint8_t record[ADJ_INFLIGHT_BYTES];
static struct adj_inflight_page *page = (struct adj_inflight_page *)record;
static struct rte_mempool *pool;
static struct rte_ring *wire;
static struct ethdev ethdev;
static uint8_t data[SERVICE_BUFFER_BYTES];
static struct adj_response response;

static const struct rte_ether_addr own = {{2, 0, 0, 0, 0, 1}}, other = {{2, 0, 0, 0, 0, 2}};

/* What the driver of a real function says to another address, which its owner decides. */
static int address_result;

int __wrap_rte_eth_dev_default_mac_addr_set(uint16_t port_id, struct rte_ether_addr *address);
int __wrap_rte_eth_dev_default_mac_addr_set(uint16_t port_id, struct rte_ether_addr *address)
{
	(void)port_id;
	(void)address;
	return address_result;
}

static void open_device(void)
{
	struct rte_eth_conf conf = {0};
	struct device *device = &ethdev.own_device;

	ethdev.device = device;

	wire = rte_ring_create("wire", QUEUE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	cr_assert_not_null(wire);
	int port_id = rte_eth_from_ring(wire);

	cr_assert_geq(port_id, 0);
	*device = (struct device){.env = &env, .port_id = (uint16_t)port_id, .present = true,
				  .link_is_peer = true, .link_interrupts = true, .link_up = true,
				  .address = own};
	cr_assert_eq(rte_eth_dev_configure(device->port_id, 1, 1, &conf), 0);
	cr_assert_eq(rte_eth_rx_queue_setup(device->port_id, 0, QUEUE, SOCKET_ID_ANY, NULL, pool), 0);
	cr_assert_eq(rte_eth_tx_queue_setup(device->port_id, 0, QUEUE, SOCKET_ID_ANY, NULL), 0);
	cr_assert_eq(rte_eth_dev_start(device->port_id), 0);
}

static void set_up(void)
{
	pool = port_pool_create(511);
	cr_assert_eq(net_layout_compute(RING, &layout), 0);
	window = aligned_alloc(4096, layout.size_bytes);
	memset(window, 0, layout.size_bytes);
	memset(record, 0, sizeof(record));
	env = port_env(window, RING, MTU, &page->frames);
	memcpy(env.port.mac, &own, sizeof(own));
	ethdev = (struct ethdev){.env = &env};
	cr_assert_eq(port_native_open(&env, pool, &ethdev.port), 0);
	open_device();
	response = (struct adj_response){.data = data, .room = sizeof(data)};
}

static void tear_down(void)
{
	burst_free(&ethdev.rx);
	ethdev.port->ops->close(ethdev.port);
	cr_assert_eq(rte_eth_dev_stop(ethdev.device->port_id), 0);
	cr_assert_eq(rte_eth_dev_close(ethdev.device->port_id), 0);
	rte_ring_free(wire);
	port_env_close(&env);
	free(window);
	port_pool_destroy(pool);
}

TestSuite(requests, .init = set_up, .fini = tear_down, .timeout = 60);

static int ask(uint16_t opcode, const void *with, uint32_t bytes)
{
	const struct adj_request request = {.opcode = opcode, .data = with, .data_bytes = bytes};

	response.data_bytes = 0;
	/* As after a dispatch. */
	ethdev.requests.asked.frame = ethdev.requests.asked.room = false;
	return requests_serve(&ethdev, &request, &response);
}

/* A frame of `bytes` that says who it is, of a VLAN or of none. */
static const uint8_t *frame_of(uint8_t number, int vlan, uint16_t type)
{
	static uint8_t frame[1600];

	memset(frame, number, sizeof(frame));
	frame[12] = vlan < 0 ? 0x88 : (uint8_t)(type >> 8);
	frame[13] = vlan < 0 ? 0xb5 : (uint8_t)type;
	if (vlan >= 0) {
		frame[14] = (uint8_t)(vlan >> 8 | 0xe0);
		frame[15] = (uint8_t)vlan;
	}
	return frame;
}

static void send_frame(uint8_t number, int vlan)
{
	cr_assert_eq(ask(SERVICE_NET_TRANSMIT, frame_of(number, vlan, 0x8100), 64), 0);
}

static void expect_frame(uint8_t number)
{
	cr_assert_eq(ask(SERVICE_NET_RECEIVE, NULL, 0), 0, "frame %u", number);
	cr_expect_eq(response.data_bytes, 64);
	cr_expect_eq(data[63], number, "%u instead of %u", data[63], number);
}

static void expect_none(void)
{
	cr_expect_eq(ask(SERVICE_NET_RECEIVE, NULL, 0), -EINPROGRESS);
	cr_expect(ethdev.requests.asked.frame);
}

Test(requests, frames_go_round)
{
	expect_none();
	for (uint8_t i = 1; i <= 40; i++)
		send_frame(i, -1);
	for (uint8_t i = 1; i <= 40; i++)
		expect_frame(i);
	expect_none();
	cr_expect_eq(ethdev.port->counters.tx_frames, 40);
	cr_expect_eq(ethdev.port->counters.rx_bytes, 40 * 64);
	cr_expect_eq(ethdev.port->device_taken, 40);
	/* The record follows, so that a successor takes none of these for the ring's. */
	cr_expect_eq((uint32_t)page->frames.transmit, 40);
	cr_expect_eq(page->frames.apart, 0);
}

Test(requests, lengths_are_checked)
{
	static const uint32_t wrong[] = {0, 13, MTU + 19, SERVICE_BUFFER_BYTES};
	static const uint32_t right[] = {14, 60, MTU + 18};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(ask(SERVICE_NET_TRANSMIT, data, wrong[i]), -EMSGSIZE, "%u", wrong[i]);
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		cr_expect_eq(ask(SERVICE_NET_TRANSMIT, frame_of(9, -1, 0), right[i]), 0);
		cr_expect_eq(ask(SERVICE_NET_RECEIVE, NULL, 0), 0);
		cr_expect_eq(response.data_bytes, right[i]);
	}
	cr_expect_eq(ask(SERVICE_NET_RECEIVE, data, 1), -EINVAL);
}

Test(requests, a_full_device_makes_them_wait)
{
	unsigned sent = 0;

	while (ask(SERVICE_NET_TRANSMIT, frame_of(1, -1, 0), 64) == 0)
		sent++;
	cr_expect_eq(sent, QUEUE - 1);
	cr_expect_eq(ask(SERVICE_NET_TRANSMIT, frame_of(2, -1, 0), 64), -EINPROGRESS);
	cr_expect(ethdev.requests.asked.room);
	cr_expect_eq(ethdev.port->counters.tx_frames, sent);
	cr_expect_eq(page->frames.apart, 0);
	expect_frame(1);
	send_frame(2, -1);
	/* And what the ring has handed over goes first. */
	expect_frame(1);
	ethdev.tx.count = 1;
	cr_expect_eq(ask(SERVICE_NET_TRANSMIT, frame_of(3, -1, 0), 64), -EINPROGRESS);
	ethdev.tx.count = 0;
	ethdev.device->present = false;
	cr_expect_eq(ask(SERVICE_NET_TRANSMIT, frame_of(3, -1, 0), 64), -ENETDOWN);
	ethdev.device->present = true;
	while (ask(SERVICE_NET_RECEIVE, NULL, 0) == 0)
		continue;
}

Test(requests, the_address_it_may_have)
{
	const struct rte_ether_addr group = {{3, 0, 0, 0, 0, 1}}, zero = {{0}};

	cr_expect_eq(ask(SERVICE_NET_MAC, NULL, 0), 0);
	cr_expect_eq(response.data_bytes, 6);
	cr_expect_arr_eq(data, &own, 6);
	cr_expect_eq(ask(SERVICE_NET_MAC, data, 1), -EINVAL);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 5), -EINVAL);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 7), -EINVAL);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &group, 6), -EADDRNOTAVAIL);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &zero, 6), -EADDRNOTAVAIL);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 6), -EPERM);
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &own, 6), 0, "its own it has");
	/* A function that is no software port: its owner decides, through the driver. */
	ethdev.device->link_is_peer = false;
	address_result = -EIO;
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 6), -EPERM);
	address_result = -ENOTSUP;
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 6), -EOPNOTSUPP);
	cr_expect_eq(ask(SERVICE_NET_MAC, NULL, 0), 0);
	cr_expect_arr_eq(data, &own, 6);
	address_result = 0;
	cr_expect_eq(ask(SERVICE_NET_SET_MAC, &other, 6), 0);
	cr_expect_eq(ask(SERVICE_NET_MAC, NULL, 0), 0);
	cr_expect_arr_eq(data, &other, 6);
	/* Another adjunct takes over: the device is as it was made, then as it was set. */
	ethdev.device->address = own;
	requests_apply(&ethdev);
	cr_expect_arr_eq(&ethdev.device->address, &other, 6);
	/* Another program does not inherit it. */
	requests_reset(&ethdev);
	cr_expect_arr_eq(&ethdev.device->address, &own, 6);
	cr_expect_arr_eq(page->settings.mac, "\0\0\0\0\0\0", 6);
}

Test(requests, vlans)
{
	static const uint16_t wrong[] = {0, 4095, 65535};
	uint16_t id = 5, another = 4094;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &wrong[i], 2), -EINVAL, "%u", wrong[i]);
	cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &id, 1), -EINVAL);
	cr_expect_eq(ask(SERVICE_NET_VLAN_REMOVE, &id, 2), -ENOENT);
	send_frame(1, 6);
	expect_frame(1); /* without a filter all come */
	cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &id, 2), 0);
	cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &id, 2), 0, "twice is once");
	cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &another, 2), 0);
	for (unsigned round = 0; round < 2; round++) {
		send_frame(2, 6);
		send_frame(3, 5);
		send_frame(4, -1);
		send_frame(5, 0); /* a priority, and no VLAN */
		send_frame(6, 4094);
		send_frame(7, 4093);
		for (uint8_t i = 3; i <= 6; i++)
			expect_frame(i);
		expect_none();
		/* The same under a successor. */
		ethdev.requests.filters = false;
		requests_apply(&ethdev);
	}
	cr_expect_eq(ethdev.port->counters.rx_dropped, 4);
	cr_assert_eq(ask(SERVICE_NET_TRANSMIT, frame_of(8, 6, 0x88a8), 64), 0);
	cr_assert_eq(ask(SERVICE_NET_TRANSMIT, frame_of(9, 5, 0x8100), 15), 0); /* not all of a tag */
	cr_assert_eq(ask(SERVICE_NET_RECEIVE, NULL, 0), 0);
	cr_expect_eq(response.data_bytes, 15);
	cr_expect_eq(ask(SERVICE_NET_VLAN_REMOVE, &id, 2), 0);
	cr_expect_eq(ask(SERVICE_NET_VLAN_REMOVE, &another, 2), 0);
	send_frame(10, 6);
	expect_frame(10);
	cr_expect_eq(ask(SERVICE_NET_VLAN_ADD, &id, 2), 0);
	requests_reset(&ethdev);
	send_frame(11, 6);
	expect_frame(11);
}

Test(requests, what_there_is_to_know)
{
	struct service_net_link link;
	struct service_net_statistics statistics;

	cr_expect_eq(ask(SERVICE_NET_LINK, NULL, 0), 0);
	cr_assert_eq(response.data_bytes, sizeof(link));
	memcpy(&link, data, sizeof(link));
	cr_expect_eq(link.up, 1);
	send_frame(1, -1);
	cr_expect_eq(ask(SERVICE_NET_STATISTICS, NULL, 0), 0);
	cr_assert_eq(response.data_bytes, sizeof(statistics));
	memcpy(&statistics, data, sizeof(statistics));
	cr_expect_eq(statistics.tx_frames, 1);
	cr_expect_eq(statistics.tx_bytes, 64);
	expect_frame(1);
	cr_expect_eq(ask(SERVICE_NET_LINK, data, 4), -EINVAL);
	cr_expect_eq(ask(SERVICE_NET_STATISTICS, data, 4), -EINVAL);
	for (uint32_t opcode = 0; opcode <= UINT16_MAX; opcode++)
		if (opcode < SERVICE_NET_TRANSMIT || opcode > SERVICE_NET_STATISTICS)
			cr_expect_eq(ask((uint16_t)opcode, NULL, 0), -EOPNOTSUPP, "%u", opcode);
}
