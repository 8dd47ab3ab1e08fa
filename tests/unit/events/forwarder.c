/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarder as the shim starts and stops it (hv-shim/events/forwarder.c), and the
 * storage that a device gets (device_events.c): whole, or not there at all.
 */
#include "world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(forwarder, .init = set_up, .fini = tear_down, .timeout = 30);
TestSuite(storage, .init = set_up, .fini = tear_down, .timeout = 30);

Test(forwarder, starts_whole_or_not_at_all)
{
	struct forwarder *first = shim.forwarder;
	unsigned before = descriptors();

	for (unsigned n = 1; fault_round(n); n++) {
		shim.forwarder = NULL;
		fault_start(n, EMFILE);
		int result = forwarder_start(&shim);
		bool failed = fault_end();
		cr_expect_eq(result < 0, failed, "%u: %d", n, result);
		cr_expect_eq(shim.forwarder != NULL, !failed, "%u", n);
		forwarder_stop(shim.forwarder);
		cr_expect_eq(descriptors(), before, "%u", n);
	}
	shim.forwarder = first;
}

Test(forwarder, has_places_for_so_many_partitions)
{
	static struct eq_host *hosts[5000];
	unsigned count = 0;

	while (count < 5000 && (hosts[count] = forwarder_host_new(&shim)))
		count++;
	cr_expect(count && count < 5000, "%u", count);
	/* The one that goes makes room for another. */
	forwarder_host_free(&shim, hosts[count / 2]);
	hosts[count / 2] = forwarder_host_new(&shim);
	cr_expect_not_null(hosts[count / 2]);
	cr_expect_null(forwarder_host_new(&shim));
	for (unsigned i = 0; i < count; i++)
		forwarder_host_free(&shim, hosts[i]);
	forwarder_host_free(&shim, NULL);
}

/* The device works all the same, which is why nobody is told but the log; and the next
 * adjunct tries anew. */
Test(storage, is_made_whole_or_not_at_all)
{
	/* The partition's host stays. */
	devices_run();
	devices_go();
	unsigned before = descriptors(), told_before;

	for (unsigned n = 1; fault_round(n); n++) {
		told_before = told.count;
		fault_start(n, ENOMEM);
		events_device_running(&devices[0]);
		bool failed = fault_end();
		bool asked = told.count > told_before;
		/* The last of them rings the forwarder, which goes without saying. */
		cr_expect(asked || failed, "%u", n);
		if (asked)
			adjunct_answers(n % 2 ? "does not know it" : NULL);
		devices_go();
		cr_expect_eq(descriptors(), before, "%u", n);
	}
}

Test(storage, a_partition_without_a_host_has_none)
{
	struct forwarder *forwarder = shim.forwarder;

	shim.forwarder = NULL;
	events_device_running(&devices[0]);
	cr_expect_null(devices[0].events);
	shim.forwarder = forwarder;
	events_device_running(&devices[0]);
	cr_assert_not_null(devices[0].events, "once there is one");
	adjunct_answers(NULL);
	/* The adjunct after it is told of the same storage. */
	struct device_events *events = devices[0].events;
	events_device_running(&devices[0]);
	adjunct_answers(NULL);
	cr_expect_eq(devices[0].events, events);
}
