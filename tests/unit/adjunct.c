/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an adjunct accepts before anything acts on it: the parameters of Prepare and Start
 * (adjunct-drivers/runtime/start_request.c), and the descriptors that come along
 * (descriptors.c). The T numbers are those of the project's list of threats: T05 memory
 * whose size somebody else can change, T06 a claim that is not so.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../adjunct-drivers/runtime/start_request.h"
#include "fault.h"

/* ---- Parameters ---------------------------------------------------------------- */

#define COMMON "\"name\": \"red.net0\", \"device\": \"net_null0\", \"memory_bytes\": 16777216, "
#define SHARED COMMON "\"cpu\": \"shared\""
#define MAC "\"mac\": \"02:00:00:00:00:01\", "
#define TAP "\"port\": {\"kind\": \"tap\", " MAC "\"mtu\": 1500}"
#define NATIVE "\"port\": {\"kind\": \"native\", " MAC "\"mtu\": 1500}"

static const char *wrong(const char *text, struct start_request *out)
{
	json_t *parameters = json_loads(text, 0, NULL);
	static char found[40];

	cr_assert_not_null(parameters, "%s", text);
	const char *name = request_parse_start(parameters, out);
	if (name)
		snprintf(found, sizeof(found), "%s", name);
	json_decref(parameters);
	return name ? found : "";
}

Test(start_request, T06_what_is_wrong_is_named)
{
	static const struct {
		const char *text, *wrong;
	} rows[] = {
		{"{" SHARED ", " TAP "}", ""},
		{"{" SHARED ", " TAP ", \"state\": null, \"taken\": null, \"vfio_group\": null}", ""},
		{"{" SHARED ", " TAP ", \"state\": \"AAAA\", \"taken\": 4294967295, \"vfio_group\": 7}", ""},
		{"{" COMMON "\"cpu\": \"donated\", " NATIVE "}", ""},
		{"{" COMMON "\"cpu\": \"dedicated\", " TAP "}", ""},
		{"{}", "name"},
		{"{\"name\": \"\"}", "name"},
		{"{\"name\": \"a\\nb\"}", "name"},
		{"{\"name\": 7}", "name"},
		{"{\"name\": \"a-name-that-is-longer-than-any-partition-and-device-can-have-"
		 "and-some-more-and-some-more-and-some-more-and-some-more-and-some-more-to-be-sure\"}", "name"},
		{"{\"name\": \"a\"}", "device"},
		{"{\"name\": \"a\", \"device\": \"b\"}", "memory_bytes"},
		{"{\"name\": \"a\", \"device\": \"b\", \"memory_bytes\": 1048577}", "memory_bytes"},
		{"{\"name\": \"a\", \"device\": \"b\", \"memory_bytes\": 0}", "memory_bytes"},
		{"{\"name\": \"a\", \"device\": \"b\", \"memory_bytes\": 1099511627777}", "memory_bytes"},
		{"{\"name\": \"a\", \"device\": \"b\", \"memory_bytes\": 1048576.0}", "memory_bytes"},
		{"{\"name\": \"a\", \"device\": \"b\", \"memory_bytes\": 1048576}", "cpu"},
		{"{" COMMON "\"cpu\": \"lent\"}", "cpu"},
		{"{" COMMON "\"cpu\": \"donated\", " TAP "}", "cpu"},
		{"{" SHARED ", \"vfio_group\": -1}", "vfio_group"},
		{"{" SHARED ", \"vfio_group\": 2147483648}", "vfio_group"},
		{"{" SHARED ", \"vfio_group\": \"7\"}", "vfio_group"},
		{"{" SHARED ", \"state\": 7}", "state"},
		{"{" SHARED ", \"taken\": -1}", "taken"},
		{"{" SHARED ", \"taken\": 4294967296}", "taken"},
		{"{" SHARED "}", "port"},
		{"{" SHARED ", \"port\": \"tap\"}", "port"},
		{"{" SHARED ", \"port\": {}}", "port.kind"},
		{"{" SHARED ", \"port\": {\"kind\": \"serial\", " MAC "\"mtu\": 1500}}", "port.kind"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"02:00:00:00:00:0\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"02-00-00-00-00-01\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"02:00:00:00:00:0g\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"00:00:00:00:00:00\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"03:00:00:00:00:01\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", \"mac\": \"02:0:0:0:0:00:001\"}}", "port.mac"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", " MAC "\"mtu\": 67}}", "port.mtu"},
		{"{" SHARED ", \"port\": {\"kind\": \"tap\", " MAC "\"mtu\": 2017}}", "port.mtu"},
		{"{" SHARED ", \"port\": {\"kind\": \"vhost-user\", " MAC "\"mtu\": 1500}}", "port.path"},
		{"{" SHARED ", \"port\": {\"kind\": \"vhost-user\", " MAC "\"mtu\": 1500, \"path\": \"a\"}}",
		 "port.path"},
		{"{" SHARED ", \"port\": {\"kind\": \"native\", " MAC "\"mtu\": 1500, \"ring_entries\": 3}}",
		 "port.ring_entries"},
		{"{" SHARED ", \"port\": {\"kind\": \"native\", " MAC "\"mtu\": 1500, \"ring_entries\": 1}}",
		 "port.ring_entries"},
		{"{" SHARED ", \"port\": {\"kind\": \"native\", " MAC "\"mtu\": 1500, \"ring_entries\": \"64\"}}",
		 "port.ring_entries"},
	};
	struct start_request request;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(wrong(rows[i].text, &request), rows[i].wrong, "%s: '%s'", rows[i].text,
				 wrong(rows[i].text, &request));
}

Test(start_request, how_many_descriptors_come_along)
{
	struct start_request request;

	wrong("{" SHARED ", " TAP "}", &request);
	cr_expect(request.fds == 2 && request.vfio_fds == 0 && request.vfio_group == -1);
	wrong("{" SHARED ", " TAP ", \"vfio_group\": 0, \"taken\": 5}", &request);
	cr_expect(request.vfio_fds == 2 && request.vfio_group == 0 && request.taken == 5);
	wrong("{" SHARED ", " NATIVE "}", &request);
	cr_expect_eq(request.fds, 1u, "the window comes with its program");
	wrong("{" SHARED ", \"port\": {\"kind\": \"native\", " MAC "\"mtu\": 1500, \"ring_entries\": 64}}",
	      &request);
	cr_expect_eq(request.fds, 1u + WINDOW_FDS);
	cr_expect_eq(request.port.ring_entries, 64u);
	json_t *prepare = json_loads("{" SHARED ", \"vfio_group\": 3}", 0, NULL);
	cr_expect_null(request_parse_prepare(prepare, &request));
	cr_expect(request.fds == 1 && request.vfio_fds == 1, "the container alone");
	json_decref(prepare);
}

Test(start_request, T06_the_folder_of_a_standby)
{
	static const struct {
		const char *text, *folder, *wrong;
	} rows[] = {
		{"null", "", ""},
		{"\"/run/outrigger\"", "/run/outrigger", ""},
		{"\"run/outrigger\"", NULL, "folder"},
		{"3", NULL, "folder"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct start_request request;
		char text[300];

		snprintf(text, sizeof(text), "{" SHARED ", \"folder\": %s}", rows[i].text);
		json_t *prepare = json_loads(text, 0, NULL);
		const char *said = request_parse_prepare(prepare, &request);

		cr_expect_str_eq(said ? said : "", rows[i].wrong, "%s", rows[i].text);
		if (rows[i].folder)
			cr_expect_str_eq(request.folder ? request.folder : "", rows[i].folder);
		json_decref(prepare);
	}
}

Test(start_request, T06_a_client_of_a_global_adjunct)
{
	static const struct {
		const char *text, *wrong;
	} rows[] = {
		{"{\"name\": \"red.net0\", " MAC "\"mtu\": 1500}", ""},
		{"{\"name\": \"red.net0\", " MAC "\"mtu\": 1500, \"ring_entries\": null}", ""},
		{"{\"name\": \"red.net0\", " MAC "\"mtu\": 1500, \"ring_entries\": 64}", ""},
		{"{\"name\": \"red.net0\", " MAC "\"mtu\": 1500, \"ring_entries\": 65}", "ring_entries"},
		{"{\"name\": \"red.net0\", " MAC "\"mtu\": 15}", "mtu"},
		{"{\"name\": \"red.net0\", \"mtu\": 1500}", "mac"},
		{"{" MAC "\"mtu\": 1500}", "name"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *parameters = json_loads(rows[i].text, 0, NULL);
		struct start_request request;
		const char *found = request_parse_client(parameters, &request);

		cr_expect_str_eq(found ? found : "", rows[i].wrong, "%s", rows[i].text);
		cr_expect_eq(request.fds, strstr(rows[i].text, "64") ? WINDOW_FDS : request.fds);
		json_decref(parameters);
	}
}

/* ---- Descriptors ----------------------------------------------------------------- */

static unsigned complaints;

__attribute__((format(printf, 3, 4)))
static void complain(const struct adj_env *env, enum adj_log_level level, const char *format, ...)
{
	(void)env;
	(void)format;
	complaints += level == ADJ_LOG_ERROR;
}

static const struct adj_env env = {.log = complain};

static int memory(size_t bytes, int seals)
{
	int fd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && !ftruncate(fd, (off_t)bytes) && !fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static void expect_memory(int fd, int expected, const char *what)
{
	unsigned before = complaints;

	cr_expect_eq(descriptor_check_memory(&env, "memory", fd, 8192), expected, "%s", what);
	cr_expect_eq(complaints, before + (expected != 0), "%s", what);
	close(fd);
}

Test(descriptors, T05_T06_memory)
{
	int ends[2];

	expect_memory(memory(8192, F_SEAL_SHRINK), 0, "as it should be");
	expect_memory(memory(8192, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0, "sealed further");
	expect_memory(memory(8192, F_SEAL_GROW), -EPERM, "it can shrink");
	expect_memory(memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE), -EPERM, "it cannot be written");
	expect_memory(memory(4096, F_SEAL_SHRINK), -EINVAL, "less than was promised");
	expect_memory(memory(12288, F_SEAL_SHRINK), -EINVAL, "more than was promised");
	expect_memory(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), -EINVAL, "a file");
	expect_memory(-1, -EBADF, "none");
	cr_assert_not(pipe(ends));
	expect_memory(ends[0], -EINVAL, "a pipe");
	close(ends[1]);
}

static void expect_eventfd(int fd, int expected, const char *what)
{
	cr_expect_eq(descriptor_check_eventfd(&env, "bell", fd), expected, "%s", what);
	close(fd);
}

Test(descriptors, eventfds)
{
	uint64_t count = 0;
	int ends[2], fd = eventfd(5, EFD_CLOEXEC);

	/* It is not read by being looked at, and cannot block us from then on. */
	cr_expect_eq(descriptor_check_eventfd(&env, "bell", fd), 0);
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	cr_expect(read(fd, &count, sizeof(count)) == sizeof(count) && count == 5);
	expect_eventfd(fd, 0, "again");
	cr_assert_not(pipe(ends));
	expect_eventfd(ends[0], -EINVAL, "a pipe's end");
	expect_eventfd(ends[1], -EINVAL, "the other");
	expect_eventfd(memory(4096, 0), -EINVAL, "a memfd");
	expect_eventfd(open("/dev/null", O_RDWR | O_CLOEXEC), -EINVAL, "a device");
	expect_eventfd(-1, -EINVAL, "none");
	for (unsigned n = 1; fault_round(n); n++) {
		fd = eventfd(0, EFD_CLOEXEC);
		fault_start(n, EIO);
		int result = descriptor_check_eventfd(&env, "bell", fd);
		cr_expect_eq(result, fault_end() ? -EINVAL : 0, "%u", n);
		close(fd);
	}
}

static int tap(short flags)
{
	struct ifreq request = {.ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_not(ioctl(fd, TUNSETIFF, &request), "%s", strerror(errno));
	return fd;
}

static void expect_tap(int fd, int expected, const char *what)
{
	cr_expect_eq(descriptor_check_tap(&env, fd), expected, "%s", what);
	close(fd);
}

Test(descriptors, taps)
{
	expect_tap(memory(4096, 0), -EINVAL, "a memfd");
	if ((unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) ||
	    access("/dev/net/tun", R_OK | W_OK))
		cr_skip_test("this machine forbids namespaces or TAP devices to this user");
	expect_tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC), -EINVAL, "of no interface");
	int fd = tap(IFF_TAP | IFF_NO_PI);
	cr_expect_eq(descriptor_check_tap(&env, fd), 0);
	cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK, "it cannot block us");
	close(fd);
	expect_tap(tap(IFF_TUN | IFF_NO_PI), -EINVAL, "of packets");
	expect_tap(tap(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), -EINVAL, "with a header before each frame");
	fd = tap(IFF_TAP | IFF_NO_PI);
	fault_in("fcntl", EIO);
	expect_tap(fd, -EIO, "that cannot be asked");
	fd = tap(IFF_TAP | IFF_NO_PI);
	fault_in_nth("fcntl", 2, EIO);
	expect_tap(fd, -EIO, "that cannot be told not to block");
	fault_end();
}
