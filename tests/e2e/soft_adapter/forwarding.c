/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames through the adapter: who gets them, with which tag, and what is counted. */
#include <string.h>
#include <unistd.h>

#include "cases.h"

static struct frames frames;

static void unicast(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 1, "rx_frames");

	for (unsigned length = 60; length <= 1514; length += 727) {
		CHECK_EQ(driver_send(&scene->a, MAC_B, MAC_A, 10, length, 0, 0), 10);
		expect_frames(&scene->b, 10, length);
		CHECK_EQ(driver_send(&scene->b, MAC_A, MAC_B, 10, length, 0, 0), 10);
		expect_frames(&scene->a, 10, length);
	}
	expect_none(&scene->c);
	CHECK_EQ(adapter_counter(&scene->adapter, 1, "rx_frames") - before, 30);
}

static void every_length(struct scene *scene)
{
	for (unsigned length = 14; length <= 2034;
	     length += length < 80 || length > 2000 ? 1 : 97) {
		driver_send(&scene->a, MAC_B, MAC_A, 1, length, 0, 0);
		expect_frames(&scene->b, 1, length);
	}
}

static void broadcast(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 1, "rx_broadcast");

	driver_send(&scene->a, MAC_ALL, MAC_A, 100, 200, 0, 0);
	expect_frames(&scene->b, 100, 200);
	expect_frames(&scene->c, 100, 200);
	expect_none(&scene->a);
	CHECK_EQ(adapter_counter(&scene->adapter, 1, "rx_broadcast") - before, 100);
}

static void unknown_unicast(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "tx_uplink");

	driver_send(&scene->a, MAC_STRANGER, MAC_A, 7, 100, 0, 0);
	adapter_await(&scene->adapter, 0, "tx_uplink", before + 7);
	expect_none(&scene->b);
	adapter_configure(&scene->adapter, 1, "{\"trust\":true,\"promisc\":true}");
	driver_send(&scene->a, MAC_STRANGER, MAC_A, 7, 100, 0, 0);
	expect_frames(&scene->b, 7, 100);
}

static void spoofed(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "tx_spoof_dropped");

	driver_send(&scene->a, MAC_B, MAC_C, 5, 100, 0, 0);
	adapter_await(&scene->adapter, 0, "tx_spoof_dropped", before + 5);
	adapter_event(&scene->adapter, "spoof", 0);
	expect_none(&scene->b);
	adapter_configure(&scene->adapter, 0, "{\"spoofchk\":false}");
	driver_send(&scene->a, MAC_B, MAC_C, 5, 100, 0, 0);
	expect_frames(&scene->b, 5, 100);
}

static void malformed(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "tx_malformed_dropped");

	driver_send(&scene->a, MAC_B, MAC_A, 3, 13, 0, 0);
	driver_send(&scene->a, MAC_B, MAC_A, 3, 2035, 0, 0);
	driver_send(&scene->a, MAC_B, MAC_A, 3, 5000, 0, 0); /* in several buffers */
	driver_send(&scene->a, MAC_B, MAC_A, 3, 17, 0x8100, 5);
	adapter_await(&scene->adapter, 0, "tx_malformed_dropped", before + 12);
	expect_none(&scene->b);
	driver_send(&scene->a, MAC_B, MAC_A, 3, 100, 0, 0);
	expect_frames(&scene->b, 3, 100);
}

static void port_vlan(struct scene *scene)
{
	long before;

	adapter_configure(&scene->adapter, 0, "{\"vlan\":10,\"qos\":3}");
	adapter_configure(&scene->adapter, 1, "{\"vlan\":10}");
	driver_send(&scene->a, MAC_ALL, MAC_A, 4, 100, 0, 0);
	expect_frames(&scene->b, 4, 100);
	/* C handles tags itself and sees this one. */
	driver_take(&scene->c, 4, PATIENCE_MS, &frames);
	CHECK_EQ(frames.count, 4);
	for (unsigned i = 0; i < frames.count; i++) {
		CHECK_EQ(frames.frames[i].length, 104);
		CHECK(!frames.frames[i].bad);
		CHECK(!strcmp(frames.frames[i].header, "ffffffffffff0200000000018100600a88b5"));
	}
	/* And the other way round: the tag is taken off. */
	driver_send(&scene->c, MAC_A, MAC_C, 4, 104, 0x8100, 10);
	expect_frames(&scene->a, 4, 100);
	driver_send(&scene->c, MAC_A, MAC_C, 4, 104, 0x8100, 11);
	driver_send(&scene->c, MAC_A, MAC_C, 4, 104, 0, 0);
	expect_none(&scene->a);
	before = adapter_counter(&scene->adapter, 0, "tx_vlan_dropped");
	driver_send(&scene->a, MAC_B, MAC_A, 4, 104, 0x8100, 10);
	adapter_await(&scene->adapter, 0, "tx_vlan_dropped", before + 4);
	expect_none(&scene->b);
}

static void service_vlan(struct scene *scene)
{
	adapter_configure(&scene->adapter, 0, "{\"vlan\":10,\"proto\":\"802.1ad\"}");
	driver_send(&scene->a, MAC_C, MAC_A, 1, 104, 0x8100, 7);
	driver_take(&scene->c, 1, PATIENCE_MS, &frames);
	CHECK_EQ(frames.count, 1);
	CHECK_EQ(frames.frames[0].length, 108);
	CHECK(!strcmp(frames.frames[0].header, "02000000000302000000000188a8000a8100"));
}

static void vlan_filter(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "tx_vlan_dropped");

	adapter_configure(&scene->adapter, 0, "{\"vlan_filter\":[10,11]}");
	adapter_configure(&scene->adapter, 1, "{\"vlan_filter\":[10]}");
	driver_send(&scene->a, MAC_B, MAC_A, 2, 100, 0x8100, 10);
	expect_frames(&scene->b, 2, 100);
	driver_send(&scene->a, MAC_B, MAC_A, 2, 100, 0x8100, 11);
	driver_send(&scene->a, MAC_B, MAC_A, 2, 100, 0x8100, 12);
	adapter_await(&scene->adapter, 0, "tx_vlan_dropped", before + 2);
	expect_none(&scene->b);
}

static void full_ring(struct scene *scene)
{
	long missed = adapter_counter(&scene->adapter, 1, "rx_missed");
	long received = adapter_counter(&scene->adapter, 1, "rx_frames");
	long sum;

	CHECK_EQ(driver_send(&scene->a, MAC_ALL, MAC_A, 600, 100, 0, 0), 600);
	adapter_await(&scene->adapter, 1, "rx_missed", missed + 1);
	adapter_await(&scene->adapter, 0, "tx_frames", 600);
	usleep(QUIET_MS * 1000);
	sum = adapter_counter(&scene->adapter, 1, "rx_missed") - missed +
	      adapter_counter(&scene->adapter, 1, "rx_frames") - received;
	CHECK_EQ(sum, 600);
	driver_take(&scene->b, 1000, QUIET_MS, &frames);
	CHECK(frames.count >= 200 && frames.count < 600);
	driver_take(&scene->c, 1000, QUIET_MS, &frames);
	/* And again, now that there is room. */
	driver_send(&scene->a, MAC_B, MAC_A, 100, 100, 0, 0);
	expect_frames(&scene->b, 100, 100);
}

static void rate_limit(struct scene *scene)
{
	long missed = adapter_counter(&scene->adapter, 1, "rx_missed");

	/* Slower than it is sent: everything comes, later. */
	adapter_configure(&scene->adapter, 0, "{\"max_tx_rate\":20,\"min_tx_rate\":5}");
	CHECK_EQ(driver_send(&scene->a, MAC_B, MAC_A, 200, 1000, 0, 0), 200);
	expect_frames(&scene->b, 200, 1000);
	CHECK_EQ(adapter_counter(&scene->adapter, 1, "rx_missed"), missed);
}

static void link_state(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "tx_link_dropped");

	adapter_do(&scene->adapter, "SetLink", json_pack("{s:s}", "state", "down"));
	adapter_event(&scene->adapter, "link-down", -1);
	adapter_event(&scene->adapter, "link-down", 0);
	driver_send(&scene->a, MAC_B, MAC_A, 3, 100, 0, 0);
	adapter_await(&scene->adapter, 0, "tx_link_dropped", before + 3);
	expect_none(&scene->b);
	/* Two functions that do not depend on the physical port. */
	adapter_configure(&scene->adapter, 0, "{\"state\":\"enable\"}");
	adapter_event(&scene->adapter, "link-up", 0);
	adapter_configure(&scene->adapter, 1, "{\"state\":\"enable\"}");
	driver_send(&scene->a, MAC_B, MAC_A, 3, 100, 0, 0);
	expect_frames(&scene->b, 3, 100);
	adapter_do(&scene->adapter, "SetLink", json_pack("{s:s}", "state", "up"));
	adapter_event(&scene->adapter, "link-up", -1);
	adapter_configure(&scene->adapter, 1, "{\"state\":\"disable\"}");
	adapter_event(&scene->adapter, "link-down", 1);
	driver_send(&scene->a, MAC_ALL, MAC_A, 3, 100, 0, 0);
	expect_frames(&scene->c, 3, 100);
	expect_none(&scene->b);
}

static void idle(struct scene *scene)
{
	unsigned long before;

	driver_send(&scene->a, MAC_B, MAC_A, 3, 100, 0, 0);
	expect_frames(&scene->b, 3, 100);
	usleep(100000);
	before = adapter_sleeps(&scene->adapter);
	usleep(500000);
	CHECK_EQ(adapter_sleeps(&scene->adapter), before);
	/* And it still wakes up. */
	driver_send(&scene->a, MAC_B, MAC_A, 3, 100, 0, 0);
	expect_frames(&scene->b, 3, 100);
}

static void many_wakeups(struct scene *scene)
{
	/* One at a time, with both sides going to sleep in between: T08. */
	for (unsigned i = 0; i < 500; i++) {
		driver_send(&scene->a, MAC_B, MAC_A, 1, 100, 0, 0);
		expect_frames(&scene->b, 1, 100);
		if (i % 50 == 0)
			usleep(1000);
	}
}

const struct test_case forwarding_cases[] = {
	{"unicast reaches its owner, both ways", unicast},
	{"every length arrives as it was sent", every_length},
	{"broadcast reaches all others", broadcast},
	{"unknown unicast leaves, or is seen by the promiscuous", unknown_unicast},
	{"foreign sources are dropped and told", spoofed},
	{"malformed frames are dropped and counted", malformed},
	{"port VLAN: tags are inserted and removed", port_vlan},
	{"service VLAN: the customer's tag stays inside", service_vlan},
	{"VLAN filter", vlan_filter},
	{"a full ring misses frames and recovers", full_ring},
	{"a rate limit delays and loses nothing", rate_limit},
	{"link down, up, enabled, disabled", link_state},
	{"idle: the data thread does not wake up", idle},
	{"T08: no wake-up is lost", many_wakeups},
	{0},
};
