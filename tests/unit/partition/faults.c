/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liboutrigger where a call or an allocation fails, and where the shim's answers are not
 * what its interface says: each call then fails with a reason, keeps no descriptor, and
 * succeeds when it is made again.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../fault.h"
#include "fake_shim.h"

#define ENTRIES 8
#define QUEUES 4

/* Those that only the library makes; see fault.h. */
#define STAND_IN(type, name, parameters, arguments)                                   \
	type __real_##name parameters;                                                \
	type __wrap_##name parameters;                                                \
	type __wrap_##name parameters                                                 \
	{                                                                             \
		return fault_due(#name) ? (type)-1 : __real_##name arguments;         \
	}
STAND_IN(int, epoll_create1, (int flags), (flags))
STAND_IN(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
	 (epoll, operation, fd, event))
STAND_IN(int, timerfd_create, (int clock, int flags), (clock, flags))
STAND_IN(void *, mmap, (void *at, size_t bytes, int rights, int flags, int fd, off_t from),
	 (at, bytes, rights, flags, fd, from))

static struct fake_shim shim;
static struct otr *otr;

static void start(void)
{
	fake_start(&shim, ENTRIES);
	fake_guest_start(&shim, QUEUES);
}
static void stop(void)
{
	fake_guest_stop(&shim);
	fake_stop(&shim);
}
TestSuite(faults, .init = start, .fini = stop);

/* Until the shim has accepted, and closed, what was begun. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		fake_command(&shim, 'n');
}

/* A program's life in short: 0, or the first failure. */
static int live(void)
{
	struct otr_guest_event events[2];
	struct otr_guest *guest = NULL;
	struct otr_net *net = NULL;
	struct otr_device device;
	void *memory = NULL;
	size_t bytes = 0;
	int user, error = otr_attach(shim.path, &otr);

	if (error)
		return error;
	error = otr_devices(otr, &device, 1);
	if (error >= 0)
		error = otr_region_map(otr, "heap", &memory, &bytes);
	if (!error) {
		munmap(memory, bytes);
		error = otr_net_open(otr, "net0", &net);
	}
	if (!error)
		error = otr_guest_open(otr, QUEUES, &guest);
	if (!error)
		error = otr_guest_add(guest, net, OTR_RX, &user);
	if (!error)
		error = otr_guest_wait(guest, events, 2, 0);
	if (error >= 0 && guest)
		error = otr_guest_remove(guest, net);
	otr_guest_close(guest);
	otr_net_close(net);
	otr_detach(otr);
	return error;
}

Test(faults, any_call_that_fails)
{
	static const int errors[] = {ENOMEM, EMFILE};
	unsigned failures = 0;

	shim.region_bytes = (int64_t)shim.layout.size_bytes;
	for (size_t i = 0; i < 2; i++)
		for (unsigned n = 1; fault_round(n); n++) {
			settle();
			unsigned before = open_descriptors();

			fault_start(n, errors[i]);
			int error = live();
			bool failed = fault_end();
			cr_expect(failed || error >= 0, "round %u: %d, %s", n, error,
				  otr_last_error());
			cr_expect(error >= 0 || *otr_last_error(), "round %u: %d without a word", n,
				  error);
			failures += error < 0;
			settle();
			cr_expect_eq(open_descriptors(), before, "round %u: descriptors leaked", n);
		}
	cr_expect_gt(failures, 20u, "%u", failures);
}

/* ---- Answers -------------------------------------------------------------------------------- */

#define DEVICE(members) "{\"name\": \"green\", \"devices\": [{" members "}]}"
#define NET0 "\"name\": \"net0\", \"kind\": \"native\", \"mac\": \"02:00:00:00:00:01\""

Test(faults, device_lists_that_are_none)
{
	static const char *const lists[] = {
		"{\"name\": \"green\"}",
		"{\"name\": \"green\", \"devices\": 7}",
		DEVICE("\"name\": 7"),
		DEVICE("\"name\": \"a-name-that-is-much-longer-than-any-device-of-a-partition-may-"
		       "have-for-its-own-and-which-would-not-fit\""),
		DEVICE("\"name\": \"net0\""),
		DEVICE("\"name\": \"net0\", \"kind\": \"native\""),
		DEVICE("\"name\": \"net0\", \"kind\": \"native\", \"state\": \"running\""),
		DEVICE(NET0 ", \"state\": \"running\", \"mtu\": -1"),
		DEVICE(NET0 ", \"state\": \"running\", \"mtu\": 70000"),
	};
	struct otr_device device;

	cr_assert_eq(otr_attach(shim.path, &otr), 0);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		shim.partition = lists[i];
		cr_expect_eq(otr_devices(otr, &device, 1), -EPROTO, "%s", lists[i]);
		cr_expect(*otr_last_error());
	}
	shim.partition = DEVICE(NET0 ", \"state\": \"running\", \"mtu\": 9000, "
				     "\"path\": \"/run/x.sock\"");
	cr_expect_eq(otr_devices(otr, &device, 1), 1, "%s", otr_last_error());
	cr_expect_str_eq(device.path, "/run/x.sock");
	otr_detach(otr);
	/* A partition without a name is none to attach to. */
	shim.partition = "{\"devices\": []}";
	cr_expect_eq(otr_attach(shim.path, &otr), -EPROTO);
	cr_expect(strstr(otr_last_error(), "no usable 'name'"), "%s", otr_last_error());
}

/* A state directory of one's own is not there, and a long one cannot be. */
Test(faults, where_no_socket_can_be)
{
	char folder[300];

	memset(folder, 'd', sizeof(folder) - 1);
	folder[sizeof(folder) - 1] = '\0';
	folder[0] = '/';
	setenv("OUTRIGGER_STATE_DIR", folder, 1);
	cr_expect_eq(otr_attach("green", &otr), -ENAMETOOLONG);
	folder[200] = '\0';
	setenv("OUTRIGGER_STATE_DIR", folder, 1);
	cr_expect_eq(otr_attach("green", &otr), -ENAMETOOLONG);
	cr_expect(strstr(otr_last_error(), "too long"), "%s", otr_last_error());
	setenv("OUTRIGGER_STATE_DIR", "", 1);
	cr_expect_eq(otr_attach("no-such-partition", &otr), -ENOENT);
	cr_expect_eq(otr_attach("green/", &otr), -ENOENT);
}
