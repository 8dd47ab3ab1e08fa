/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that break the vhost-user protocol, and what the shim may get wrong:
 * refused, the others undisturbed, no descriptor left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cases.h"

struct wire {
	uint32_t request, flags, size_bytes;
	uint64_t payload[40];
};

/* Sends one message; descriptors are closed here. */
static void send_message(int fd, uint32_t request, const void *payload, uint32_t bytes,
			 const int *fds, unsigned fds_count)
{
	struct wire wire = {.request = request, .flags = 1, .size_bytes = bytes};
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec part[2] = {{&wire, 12}, {wire.payload, bytes}};
	struct msghdr message = {.msg_iov = part, .msg_iovlen = bytes ? 2 : 1};

	if (bytes)
		memcpy(wire.payload, payload, bytes);
	if (fds_count) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_count * sizeof(int));
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		fail("sendmsg: %s", strerror(errno));
	for (unsigned i = 0; i < fds_count; i++)
		close(fds[i]);
}

/* The adapter hangs up, within the socket's patience. */
static void expect_hang_up(int fd)
{
	char byte;
	ssize_t bytes = recv(fd, &byte, 1, 0);

	CHECK(bytes == 0 || (bytes < 0 && errno == ECONNRESET));
	close(fd);
}

static int memory(size_t bytes, unsigned seals)
{
	int fd = memfd_create("hostile", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, seals))
		fail("memfd: %s", strerror(errno));
	return fd;
}

static void refused_memory(struct scene *scene, uint64_t claimed, uint64_t offset, unsigned seals)
{
	uint64_t table[5] = {1, 0x1000, claimed, 0x1000, offset};
	int fd = socket_open(&scene->adapter, 3), memfd = memory(65536, seals);

	send_message(fd, 5, table, sizeof(table), &memfd, 1);
	expect_hang_up(fd);
}

/* Two regions, one descriptor. */
static void too_few_descriptors(struct scene *scene)
{
	uint64_t table[9] = {2, 0x1000, 4096, 0x1000, 0, 0x8000, 4096, 0x8000, 0};
	int fd = socket_open(&scene->adapter, 3), memfd = memory(65536, F_SEAL_SHRINK);

	send_message(fd, 5, table, sizeof(table), &memfd, 1);
	expect_hang_up(fd);
}

/* Not a memfd: nobody can tell whether it will shrink. */
static void memory_that_is_a_pipe(struct scene *scene)
{
	uint64_t table[5] = {1, 0x1000, 4096, 0x1000, 0};
	int fd = socket_open(&scene->adapter, 3), event = eventfd(0, EFD_CLOEXEC);

	send_message(fd, 5, table, sizeof(table), &event, 1);
	expect_hang_up(fd);
}

static void bad_messages(struct scene *scene)
{
	const struct {
		uint32_t request;
		uint32_t bytes;
		uint64_t payload;
		unsigned fds;
	} rows[] = {
		{0, 0, 0, 0}, /* no such request */
		{0xffffffff, 0, 0, 0},
		{4, 0, 0, 0},  /* RESET_OWNER */
		{6, 16, 0, 1}, /* SET_LOG_BASE */
		{31, 8, 0, 1}, /* SET_INFLIGHT_FD */
		{1, 0, 0, 1},  /* a descriptor nobody asked for */
		{3, 0, 0, 8},
		{8, 4, 0, 0},                /* SET_VRING_NUM, too short */
		{8, 8, 2 | 256ull << 32, 0}, /* a third queue */
		{8, 8, 255 | 256ull << 32, 0},
		{8, 8, 0 | 32768ull << 32, 0}, /* a huge queue */
		{11, 8, 200, 0},               /* GET_VRING_BASE of no queue */
		{12, 8, 2, 1},                 /* SET_VRING_KICK, a third queue */
		{12, 8, 0, 0},                 /* without its descriptor */
		{12, 8, 0, 2},                 /* with two */
		{12, 8, 0x100, 1},             /* with one it says it does not have */
		{5, 8, 0, 0},                  /* no memory */
		{5, 8, 9, 8},
		{5, 4, 1, 1},                  /* shorter than any table of memory */
		{5, 8, 1, 1},                  /* shorter than it says it is */
		{12, 4, 0, 1},                 /* SET_VRING_KICK, too short */
		{1, 300, 0, 0}, /* longer than any */
	};
	unsigned before = adapter_fds(&scene->adapter);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t payload[40] = {rows[i].payload};
		int fd = socket_open(&scene->adapter, 3), fds[8];

		for (unsigned j = 0; j < rows[i].fds; j++)
			fds[j] = eventfd(0, EFD_CLOEXEC);
		send_message(fd, rows[i].request, payload, rows[i].bytes, fds, rows[i].fds);
		expect_hang_up(fd);
	}
	refused_memory(scene, 65536, 0, 0);             /* not sealed */
	refused_memory(scene, 65537, 0, F_SEAL_SHRINK); /* larger than it is */
	refused_memory(scene, 65536, 4096, F_SEAL_SHRINK);
	refused_memory(scene, UINT64_MAX, 4096, F_SEAL_SHRINK); /* the sum overflows */
	refused_memory(scene, 0, 0, F_SEAL_SHRINK);
	too_few_descriptors(scene);
	memory_that_is_a_pipe(scene);
	usleep(100000);
	CHECK_EQ(adapter_fds(&scene->adapter), before);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
}

static void cut_messages(struct scene *scene)
{
	struct wire wire = {.request = 8, .flags = 1, .size_bytes = 8};
	unsigned before = adapter_fds(&scene->adapter);

	for (size_t bytes = 1; bytes < 20; bytes++) {
		int fd = socket_open(&scene->adapter, 3);

		if (send(fd, &wire, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			fail("send: %s", strerror(errno));
		expect_hang_up(fd);
	}
	/* One that says nothing is in nobody's way. */
	int silent = socket_open(&scene->adapter, 3);

	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
	close(silent);
	usleep(100000);
	CHECK_EQ(adapter_fds(&scene->adapter), before);
}

static void second_driver(struct scene *scene)
{
	struct driver second;

	CHECK(!driver_try(&second, &scene->adapter, 1, true));
	CHECK_EQ(adapter_counter(&scene->adapter, 1, "connected"), 1);
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
}

static void unsealed_driver(struct scene *scene)
{
	struct driver driver;

	/* virtio-user may not notice that it was refused; the adapter must. */
	if (driver_try(&driver, &scene->adapter, 3, false)) {
		CHECK_EQ(adapter_counter(&scene->adapter, 3, "connected"), 0);
		driver_kill(&driver);
	}
	driver_send(&scene->a, MAC_B, MAC_A, 10, 100, 0, 0);
	expect_frames(&scene->b, 10, 100);
}

struct refused {
	const char *method, *parameters, *error;
};

static void expect_refused(struct adapter_process *adapter, const struct refused *row)
{
	const char *error = "none";
	json_t *answer = adapter_call(adapter, row->method,
				      json_loads(row->parameters, 0, NULL), &error);
	size_t length = strlen(error), wanted = strlen(row->error);

	check(!answer && length > wanted && !strcmp(error + length - wanted, row->error), __FILE__,
	      __LINE__, "%s %s: %s", row->method, row->parameters, error);
	json_decref(answer);
}

static void refused_calls(struct scene *scene)
{
	const struct refused rows[] = {
		{"Start", "{\"name\":\"x\",\"directory\":\"/tmp\",\"vfs\":1}", "WrongState"},
		{"GetVf", "{\"index\":4}", "NoSuchVf"},
		{"GetVf", "{\"index\":-1}", "NoSuchVf"},
		{"GetVf", "{}", "InvalidParameter"},
		{"GetVf", "{\"index\":\"1\"}", "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1}", "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"promisc\":true}}", "Refused"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"vlan\":9999}}", "InvalidParameter"},
		{"SetLink", "{\"state\":\"sideways\"}", "InvalidParameter"},
		{"SetFault", "{\"index\":1,\"fault\":\"x\",\"value\":1}", "InvalidParameter"},
		{"SetFault", "{\"index\":1,\"fault\":\"drop\",\"value\":101}", "InvalidParameter"},
		{"SetFault", "{\"index\":1,\"fault\":\"drop\"}", "InvalidParameter"},
		{"SetFault", "{\"index\":1,\"fault\":\"drop\",\"value\":-1}", "InvalidParameter"},
		{"SetFault", "{\"index\":1,\"fault\":7,\"value\":1}", "InvalidParameter"},
		{"SetFault", "{\"index\":4,\"fault\":\"drop\",\"value\":1}", "NoSuchVf"},
		{"ConfigureVf", "{\"index\":4,\"settings\":{}}", "NoSuchVf"},
		{"ResetVf", "{\"index\":4}", "NoSuchVf"},
		{"SetLink", "{\"state\":\"\"}", "InvalidParameter"},
		{"SetLink", "{\"state\":\"longer\"}", "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"mac\":\"0g:00:00:00:00:01\"}}",
		 "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"mac\":\"0/:00:00:00:00:01\"}}",
		 "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"mac\":\"=0:00:00:00:00:01\"}}",
		 "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"proto\":8021}}", "InvalidParameter"},
		{"ConfigureVf", "{\"index\":1,\"settings\":{\"state\":true}}", "InvalidParameter"},
		{"Monitor", "{}", "ExpectedMore"},
		{"Fly", "{}", "MethodNotFound"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_refused(&scene->adapter, &rows[i]);
}

static void too_early_or_not_to_be_started(struct scene *scene)
{
	const struct refused rows[] = {
		{"GetInfo", "{}", "WrongState"},
		{"ListVfs", "{}", "WrongState"},
		{"GetVf", "{\"index\":0}", "WrongState"},
		{"ConfigureVf", "{\"index\":0,\"settings\":{}}", "WrongState"},
		{"ResetVf", "{\"index\":0}", "WrongState"},
		{"SetLink", "{\"state\":\"up\"}", "WrongState"},
		{"SetFault", "{\"index\":0,\"fault\":\"drop\",\"value\":1}", "WrongState"},
		{"ClearFaults", "{}", "WrongState"},
		{"Start", "{\"directory\":\"/tmp\",\"vfs\":1}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"vfs\":1}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"directory\":\"\",\"vfs\":1}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"directory\":\"/tmp\"}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"directory\":\"/tmp\",\"vfs\":0}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"directory\":\"/tmp\",\"vfs\":65}", "InvalidParameter"},
		{"Start", "{\"name\":\"x\",\"directory\":\"/no/where\",\"vfs\":1}", "Refused"},
	};
	struct adapter_process adapter;

	(void)scene;
	adapter_spawn(&adapter);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_refused(&adapter, &rows[i]);
	CHECK_EQ(adapter_close(&adapter), 0);
}

const struct test_case hostile_cases[] = {
	{"T03-T06: messages no driver sends are refused", bad_messages},
	{"messages cut short disturb nobody", cut_messages},
	{"a second driver is turned away", second_driver},
	{"T05: memory that can shrink is refused", unsealed_driver},
	{"calls that make no sense are refused", refused_calls},
	{"calls before it was started are refused, and starts that cannot be",
	 too_early_or_not_to_be_started},
	{0},
};
