/* SPDX-License-Identifier: BSD-2-Clause */
/* Fault hooks, function-level reset, and drivers that come and go. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

static struct frames frames;

static void drop(struct scene *scene)
{
	long before = adapter_counter(&scene->adapter, 0, "fault_dropped");
	long dropped;

	adapter_fault(&scene->adapter, 0, "drop", 100);
	adapter_event(&scene->adapter, "fault", 0);
	driver_send(&scene->a, MAC_B, MAC_A, 20, 100, 0, 0);
	adapter_await(&scene->adapter, 0, "fault_dropped", before + 20);
	expect_none(&scene->b);
	adapter_fault(&scene->adapter, 0, "drop", 50);
	driver_send(&scene->a, MAC_B, MAC_A, 200, 100, 0, 0);
	driver_take(&scene->b, 200, 200, &frames);
	dropped = adapter_counter(&scene->adapter, 0, "fault_dropped") - before - 20;
	CHECK_EQ(frames.count + dropped, 200);
	CHECK(frames.count > 50 && frames.count < 150);
	adapter_do(&scene->adapter, "ClearFaults", NULL);
	driver_send(&scene->a, MAC_B, MAC_A, 20, 100, 0, 0);
	expect_frames(&scene->b, 20, 100);
}

static void delay(struct scene *scene)
{
	adapter_fault(&scene->adapter, 0, "delay", 200000);
	driver_send(&scene->a, MAC_B, MAC_A, 20, 100, 0, 0);
	expect_none(&scene->b);
	expect_frames(&scene->b, 20, 100);
	/* More than are held back at once; those that wait go when it ends. */
	driver_send(&scene->a, MAC_B, MAC_A, 180, 100, 0, 0);
	expect_none(&scene->b);
	adapter_fault(&scene->adapter, 0, "delay", 0);
	expect_frames(&scene->b, 180, 100);
}

static void stall(struct scene *scene)
{
	unsigned long before;

	adapter_fault(&scene->adapter, 0, "stall", 1);
	driver_send(&scene->a, MAC_B, MAC_A, 20, 100, 0, 0);
	expect_none(&scene->b);
	/* The others are not. */
	driver_send(&scene->c, MAC_B, MAC_C, 20, 100, 0, 0);
	expect_frames(&scene->b, 20, 100);
	usleep(20000);
	before = adapter_sleeps(&scene->adapter);
	usleep(100000);
	CHECK_EQ(adapter_sleeps(&scene->adapter), before);
	adapter_fault(&scene->adapter, 0, "stall", 0);
	expect_frames(&scene->b, 20, 100);
}

static void corrupt_length(struct scene *scene)
{
	bool runt = false, giant = false;

	adapter_fault(&scene->adapter, 1, "corrupt-length", 1);
	driver_send(&scene->a, MAC_ALL, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->c, 10, 100); /* only this function's are wrong */
	driver_take(&scene->b, 10, 300, &frames);
	for (unsigned i = 0; i < frames.count; i++) {
		runt |= frames.frames[i].length < 14;
		giant |= frames.frames[i].length > 2034;
	}
	/* DPDK's port hides runts from us; of five lengths, two are runts. */
	CHECK(giant);
	CHECK(runt ? frames.count == 10 : frames.count == 6);
	adapter_fault(&scene->adapter, 1, "corrupt-length", 0);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
}

/* After a reset, the function's old driver is gone and a new one may come. */
static void check_reset(struct scene *scene, long resets)
{
	adapter_event(&scene->adapter, "reset", 0);
	CHECK_EQ(adapter_counter(&scene->adapter, 0, "resets"), resets);
	CHECK_EQ(adapter_counter(&scene->adapter, 0, "connected"), 0);
	CHECK_EQ(adapter_counter(&scene->adapter, 0, "tx_frames"), 0);
	/* Its process still runs; its connection does not. */
	struct driver before = scene->a;

	driver_open(&scene->a, &scene->adapter, 0);
	driver_kill(&before);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
	driver_send(&scene->b, MAC_A, MAC_B, 10, 100, 0, 0);
	expect_frames(&scene->a, 10, 100);
}

static void reset(struct scene *scene)
{
	long resets = adapter_counter(&scene->adapter, 0, "resets");

	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
	adapter_configure(&scene->adapter, 0, "{\"vlan\":0,\"max_tx_rate\":1000}");
	adapter_do(&scene->adapter, "ResetVf", json_pack("{s:i}", "index", 0));
	check_reset(scene, resets + 1);
}

static void reset_hook(struct scene *scene)
{
	long resets = adapter_counter(&scene->adapter, 0, "resets");

	adapter_fault(&scene->adapter, 0, "reset", 6);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 5, 100);
	check_reset(scene, resets + 1);
}

#define CANARY_LENGTH 777

/* T10: what the owner before had on its way, in or out, is not the next one's. */
static void left_behind(struct scene *scene)
{
	struct driver before = scene->a;

	/* Held in the adapter itself: frames that it took and has not yet sent. */
	adapter_fault(&scene->adapter, 0, "delay", 10000000);
	driver_send(&scene->a, MAC_B, MAC_A, 20, CANARY_LENGTH, 0, 0);
	/* More than it holds, so that the queue it takes from is not empty either. */
	driver_send(&scene->a, MAC_B, MAC_A, 180, CANARY_LENGTH, 0, 0);
	/* And in its receive queue, which nobody empties. */
	driver_send(&scene->b, MAC_A, MAC_B, 100, CANARY_LENGTH, 0, 0);
	adapter_await(&scene->adapter, 0, "rx_frames", 100);
	expect_none(&scene->b);
	adapter_do(&scene->adapter, "ResetVf", json_pack("{s:i}", "index", 0));
	adapter_event(&scene->adapter, "reset", 0);
	/* What it had handed over went out before the reset, to whom it was for (T07). */
	driver_take(&scene->b, 1000, 20, &frames);
	adapter_fault(&scene->adapter, 0, "delay", 0);
	driver_open(&scene->a, &scene->adapter, 0);
	expect_none(&scene->a);
	expect_none(&scene->b);
	driver_kill(&before);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
	driver_send(&scene->b, MAC_A, MAC_B, 10, 100, 0, 0);
	expect_frames(&scene->a, 10, 100);
	expect_none(&scene->c);
}

static void killed_driver(struct scene *scene)
{
	/* In the middle of its traffic, many times: T09. */
	for (unsigned i = 0; i < 8; i++) {
		driver_send(&scene->b, MAC_ALL, MAC_B, 100, 500, 0, 0);
		driver_send(&scene->a, MAC_ALL, MAC_A, 100, 500, 0, 0);
		driver_kill(&scene->a);
		driver_send(&scene->b, MAC_ALL, MAC_B, 50, 500, 0, 0);
		driver_open(&scene->a, &scene->adapter, 0);
		driver_take(&scene->b, 1000, 20, &frames);
		driver_take(&scene->c, 1000, 20, &frames);
		driver_send(&scene->a, MAC_C, MAC_A, 10, 100, 0, 0);
		expect_frames(&scene->c, 10, 100);
	}
}

const struct test_case fault_cases[] = {
	{"fault: drop", drop},
	{"fault: delay", delay},
	{"fault: stall", stall},
	{"fault: corrupt-length", corrupt_length},
	{"function-level reset", reset},
	{"fault: reset", reset_hook},
	{"T10: frames of an owner before are no other's", left_behind},
	{"T09: drivers killed in their traffic", killed_driver},
	{0},
};

/* ---- Adapters that end -------------------------------------------------- */

static void die(struct scene *unused)
{
	struct adapter_process adapter;
	struct driver driver;
	int status;

	(void)unused;
	adapter_open(&adapter, 1);
	adapter_configure(&adapter, 0, "{\"mac\":\"02:00:00:00:00:01\"}");
	driver_open(&driver, &adapter, 0);
	adapter_fault(&adapter, 0, "die", 5);
	driver_send(&driver, MAC_B, MAC_A, 4, 100, 0, 0);
	adapter_await(&adapter, 0, "tx_uplink", 4);
	driver_send(&driver, MAC_B, MAC_A, 1, 100, 0, 0);
	status = adapter_wait(&adapter);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	driver_kill(&driver);
	adapter_close(&adapter);
}

static void sixty_four(struct scene *unused)
{
	struct adapter_process adapter;
	struct driver first, last;

	(void)unused;
	adapter_open(&adapter, 64);
	adapter_configure(&adapter, 0, "{\"mac\":\"02:00:00:00:00:01\"}");
	adapter_configure(&adapter, 63, "{\"mac\":\"02:00:00:00:00:40\"}");
	driver_open(&first, &adapter, 0);
	driver_open(&last, &adapter, 63);
	driver_send(&first, UINT64_C(0x020000000040), MAC_A, 10, 100, 0, 0);
	expect_frames(&last, 10, 100);
	driver_kill(&first);
	driver_kill(&last);
	CHECK_EQ(adapter_close(&adapter), 0);
}

static void jammed(struct scene *unused)
{
	struct adapter_process adapter;
	struct driver a, b, hostile;

	(void)unused;
	adapter_open(&adapter, 3);
	adapter_configure(&adapter, 0, "{\"mac\":\"02:00:00:00:00:01\"}");
	adapter_configure(&adapter, 1, "{\"mac\":\"02:00:00:00:00:02\"}");
	adapter_configure(&adapter, 2, "{\"mac\":\"02:00:00:00:00:03\"}");
	driver_open(&a, &adapter, 0);
	driver_open(&b, &adapter, 1);
	driver_open(&hostile, &adapter, 2);
	driver_jam(&hostile);
	driver_send(&a, MAC_ALL, MAC_A, 10, 100, 0, 0);
	expect_frames(&b, 10, 100);
	/* It was found out and reset. */
	adapter_await(&adapter, 2, "resets", 1);
	CHECK_EQ(adapter_counter(&adapter, 2, "connected"), 0);
	driver_send(&a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&b, 10, 100);
	driver_kill(&a);
	driver_kill(&b);
	driver_kill(&hostile);
	CHECK_EQ(adapter_close(&adapter), 0);
}

const struct test_case life_cases[] = {
	{"fault: die", die},
	{"sixty-four functions", sixty_four},
	{"a driver whose doorbell blocks stops only itself", jammed},
	{0},
};
