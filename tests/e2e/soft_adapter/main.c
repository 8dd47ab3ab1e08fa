/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the soft adapter's process with real drivers: DPDK ports in
 * processes of their own (driver.c). Run by tests/e2e/soft_adapter.sh, from the
 * top folder; writes TAP. An argument runs the cases whose name contains it.
 */
#include "cases.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static bool failed;

void check(bool condition, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	if (condition)
		return;
	failed = true;
	printf("# %s:%d: ", file, line);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

void expect_frames(struct driver *driver, unsigned count, unsigned length)
{
	static struct frames frames;

	driver_take(driver, count, PATIENCE_MS / 2, &frames);
	CHECK_EQ(frames.count, count);
	for (unsigned i = 0; i < frames.count && !failed; i++) {
		CHECK_EQ(frames.frames[i].length, length);
		CHECK(!frames.frames[i].bad);
	}
}

void expect_none(struct driver *driver)
{
	static struct frames frames;

	driver_take(driver, 1, QUIET_MS, &frames);
	CHECK_EQ(frames.count, 0);
}

void scene_settings(struct scene *scene, int vf)
{
	char settings[400];

	snprintf(settings, sizeof(settings),
		 "{\"mac\":\"02:00:00:00:00:%02x\",\"vlan\":0,\"qos\":0,\"proto\":\"802.1Q\","
		 "\"spoofchk\":true,\"trust\":false,\"state\":\"auto\",\"min_tx_rate\":0,"
		 "\"max_tx_rate\":0,\"promisc\":false,\"allmulti\":true,\"macs\":[],"
		 "\"vlan_filter\":[]}",
		 vf + 1);
	adapter_configure(&scene->adapter, vf, settings);
}

static void scene_open(struct scene *scene)
{
	adapter_open(&scene->adapter, 4);
	for (int vf = 0; vf < 4; vf++)
		scene_settings(scene, vf);
	driver_open(&scene->a, &scene->adapter, 0);
	driver_open(&scene->b, &scene->adapter, 1);
	driver_open(&scene->c, &scene->adapter, 2);
}

static void scene_close(struct scene *scene)
{
	driver_kill(&scene->a);
	driver_kill(&scene->b);
	driver_kill(&scene->c);
	CHECK_EQ(adapter_close(&scene->adapter), 0);
}

static unsigned run(const struct test_case *cases, struct scene *scene, const char *only)
{
	unsigned failures = 0;

	for (; cases->name; cases++) {
		if (only && !strstr(cases->name, only))
			continue;
		failed = false;
		cases->run(scene);
		for (int vf = 0; scene && vf < 4; vf++)
			scene_settings(scene, vf);
		printf("%s - %s\n", failed ? "not ok" : "ok", cases->name);
		fflush(stdout);
		failures += failed;
	}
	return failures;
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	static struct scene scene;
	unsigned failures;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	scene_open(&scene);
	failures = run(forwarding_cases, &scene, only);
	failures += run(fault_cases, &scene, only);
	failures += run(hostile_cases, &scene, only);
	failed = false;
	scene_close(&scene);
	printf("%s - ends and leaves nothing behind\n", failed ? "not ok" : "ok");
	failures += failed;
	failures += run(life_cases, NULL, only);
	return failures ? 1 : 0;
}
