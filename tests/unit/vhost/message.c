/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of vhost-user messages, and reading them with their descriptors (T04). */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fd_discard.h"
#include "support.h"

/* Our own list, from the protocol's text: request, payload, descriptors, has an answer. */
static const struct {
	uint32_t request, size_bytes, fds;
	bool asks;
} known[] = {
	{1, 0, 0, true}, {2, 8, 0},  {3, 0, 0},        {4, 0, 0},        {5, 40, 1},
	{8, 8, 0},       {9, 40, 0}, {10, 8, 0},       {11, 8, 0, true}, {12, 8, 1},
	{13, 8, 1},      {14, 8, 1}, {15, 0, 0, true}, {16, 8, 0},       {17, 0, 0, true},
	{18, 8, 0},      {20, 8, 0}, {39, 8, 0},       {40, 0, 0, true},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static struct vhost_message shape(size_t i)
{
	struct vhost_message message = {
		.header = {known[i].request, VHOST_VERSION, known[i].size_bytes},
		.fd_count = known[i].fds,
	};

	if (known[i].request == VHOST_SET_MEM_TABLE)
		message.payload.memory.region_count = 1;
	return message;
}

Test(vhost_message, only_the_shapes_of_the_protocol)
{
	for (size_t i = 0; i < KNOWN; i++) {
		struct vhost_message good = shape(i), bad = good;

		cr_expect_null(vhost_message_problem(&good), "request %u", known[i].request);
		cr_expect_eq(vhost_message_asks(known[i].request), known[i].asks);
		cr_expect_str_neq(vhost_message_name(known[i].request), "unknown");
		good.header.flags |= VHOST_NEED_REPLY;
		cr_expect_null(vhost_message_problem(&good), "request %u", known[i].request);
		for (int delta = -8; delta <= 8; delta++) {
			bad = shape(i);
			bad.header.size_bytes += (uint32_t)delta;
			cr_expect(!delta || vhost_message_problem(&bad),
				  "request %u, %d bytes more", known[i].request, delta);
		}
		bad = shape(i);
		bad.fd_count++;
		cr_expect(vhost_message_problem(&bad), "request %u, a surplus descriptor",
			  known[i].request);
		bad.fd_count = 0;
		cr_expect_eq(!vhost_message_problem(&bad), !known[i].fds);
		for (unsigned bit = 0; bit < 32; bit++) {
			bad = shape(i);
			bad.header.flags ^= 1u << bit;
			cr_expect_eq(!vhost_message_problem(&bad), 1u << bit == VHOST_NEED_REPLY);
		}
	}
}

Test(vhost_message, nothing_else)
{
	for (uint32_t request = 0; request < 300; request++) {
		struct vhost_message message = message_plain(request);
		bool is_known = false;

		for (size_t i = 0; i < KNOWN; i++)
			is_known |= known[i].request == request;
		if (is_known)
			continue;
		cr_expect(vhost_message_problem(&message), "request %u", request);
		cr_expect_str_eq(vhost_message_name(request), request == VHOST_SET_INFLIGHT_FD
								      ? "SET_INFLIGHT_FD"
								      : "unknown");
		cr_expect_not(vhost_message_asks(request));
	}
	struct vhost_message last = message_plain(UINT32_MAX);
	cr_expect(vhost_message_problem(&last));
}

Test(vhost_message, rings_there_are_none_of)
{
	static const uint32_t by_number[] = {8, 10, 11, 18}, by_bits[] = {12, 13, 14};

	for (uint32_t index = 2; index; index <<= 1) {
		struct vhost_message message = message_address(index);

		cr_expect(vhost_message_problem(&message));
		for (size_t i = 0; i < 4; i++) {
			message = message_ring(by_number[i], index, 1);
			cr_expect(vhost_message_problem(&message));
		}
		for (size_t i = 0; i < 3; i++) {
			message = message_number(by_bits[i], index);
			message.fd_count = index != VHOST_DOORBELL_NONE;
			/* That bit is the one that says there is none. */
			cr_expect_eq(!vhost_message_problem(&message),
				     index == VHOST_DOORBELL_NONE);
		}
	}
	struct vhost_message high = message_number(VHOST_SET_VRING_CALL, UINT64_C(1) << 40);
	high.fd_count = 1;
	cr_expect(vhost_message_problem(&high));
}

Test(vhost_message, tables_of_one_to_eight_regions)
{
	for (uint32_t count = 0; count < 12; count++) {
		struct vhost_message message = {
			.header = {VHOST_SET_MEM_TABLE, VHOST_VERSION, 8 + 32 * count},
			.fd_count = count,
		};

		message.payload.memory.region_count = count;
		cr_expect_eq(!vhost_message_problem(&message), count >= 1 && count <= 8);
		message.payload.memory.region_count = count + 1;
		cr_expect(vhost_message_problem(&message));
	}
}

/* ---- Reading ------------------------------------------------------------------ */

static int ends[2];

static void pair(void)
{
	cr_assert_not(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
}

TestSuite(vhost_read, .init = pair);

static void send_bytes(const void *bytes, size_t count, const int *fds, unsigned fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)bytes, count};
	struct msghdr to = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count) {
		to.msg_control = &control;
		to.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&to);
		*c = (struct cmsghdr){CMSG_LEN(fd_count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	cr_assert_eq(sendmsg(ends[0], &to, MSG_NOSIGNAL), (ssize_t)count);
}

Test(vhost_read, what_was_written)
{
	struct vhost_reader reader = {0};
	int memory = guest_memory();
	unsigned before = open_fds();
	struct vhost_message message = message_memory(memory);

	cr_expect_eq(vhost_read(ends[1], &reader), 0);
	cr_assert_eq(vhost_write(ends[0], &message), 0);
	close(message.fds[0]);
	struct vhost_message second = message_plain(VHOST_SET_OWNER);
	cr_assert_eq(vhost_write(ends[0], &second), 0);
	cr_assert_eq(vhost_read(ends[1], &reader), 1);
	cr_expect_eq(reader.message.fd_count, 1u);
	cr_expect(!memcmp(&reader.message.payload, &message.payload, 40));
	vhost_reader_close(&reader);
	cr_assert_eq(vhost_read(ends[1], &reader), 1);
	cr_expect_eq(reader.message.header.request, (uint32_t)VHOST_SET_OWNER);
	cr_expect_eq(reader.message.fd_count, 0u);
	vhost_reader_close(&reader);
	cr_expect_eq(vhost_read(ends[1], &reader), 0);
	cr_expect_eq(open_fds(), before);
	close(ends[0]);
	cr_expect_eq(vhost_read(ends[1], &reader), -EPIPE);
}

Test(vhost_read, a_message_byte_by_byte_with_descriptors_at_any_of_them)
{
	struct {
		struct vhost_header header;
		char payload[8];
	} __attribute__((packed)) wire = {{VHOST_SET_VRING_CALL, VHOST_VERSION, 8}, {1}};
	unsigned before = open_fds();

	for (size_t with = 0; with < sizeof(wire); with++) {
		struct vhost_reader reader = {0};

		for (size_t i = 0; i < sizeof(wire); i++) {
			cr_assert_eq(vhost_read(ends[1], &reader), 0);
			send_bytes((const char *)&wire + i, 1, ends, i == with);
		}
		cr_assert_eq(vhost_read(ends[1], &reader), 1);
		cr_expect_eq(reader.message.payload.number, 1u);
		cr_expect_eq(reader.message.fd_count, 1u);
		cr_expect_null(vhost_message_problem(&reader.message));
		vhost_reader_close(&reader);
	}
	cr_expect_eq(open_fds(), before);
}

/* T04: refused, and every one of them closed. */
Test(vhost_read, T04_more_descriptors_than_any_message_has)
{
	struct vhost_header header = {VHOST_SET_MEM_TABLE, VHOST_VERSION, 40};
	int fds[64];
	unsigned before = open_fds();

	for (unsigned i = 0; i < 64; i++)
		fds[i] = ends[0];
	for (unsigned count = 9; count <= 64; count++) {
		struct vhost_reader reader = {0};
		char rest[sizeof(header)];

		send_bytes(&header, sizeof(header), fds, count);
		cr_expect_eq(vhost_read(ends[1], &reader), -EPROTO, "%u descriptors", count);
		vhost_reader_close(&reader);
		cr_expect_eq(open_fds(), before);
		(void)!recv(ends[1], rest, sizeof(rest), MSG_DONTWAIT);
	}
	/* Not more than that at once, but in sum. */
	struct vhost_reader reader = {0};

	send_bytes(&header, 6, fds, 5);
	cr_expect_eq(vhost_read(ends[1], &reader), 0);
	send_bytes((char *)&header + 6, 6, fds, 5);
	cr_expect_eq(vhost_read(ends[1], &reader), -EPROTO);
	vhost_reader_close(&reader);
	cr_expect_eq(open_fds(), before);
}

/* A socket whose close() takes LINGER_S: it waits for its peer, which reads nothing. */
#define LINGER_S 2
static int lingering_socket(int *peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct linger linger = {1, LINGER_S};
	socklen_t address_bytes = sizeof(address);
	char bytes[65536] = {0};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_not(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	cr_assert_not(listen(listener, 1));
	cr_assert_not(getsockname(listener, (struct sockaddr *)&address, &address_bytes));
	cr_assert_not(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	*peer = accept(listener, NULL, NULL);
	close(listener);
	cr_assert_not(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

Test(vhost_read, T04_a_descriptor_that_is_slow_to_close)
{
	struct vhost_header header = {VHOST_SET_OWNER, VHOST_VERSION, 0};
	struct vhost_reader reader = {0};
	unsigned before = open_fds();
	int peer, fd = lingering_socket(&peer);

	send_bytes(&header, sizeof(header), &fd, 1);
	close(fd);
	cr_assert_eq(vhost_read(ends[1], &reader), 1);
	cr_expect(vhost_message_problem(&reader.message));
	uint64_t begun = clock_now_ns();
	vhost_reader_close(&reader);
	cr_expect_lt(clock_now_ns() - begun, NS_PER_S / 2);
	cr_expect_eq(fd_discard_pending(), 1u);
	close(peer);
	cr_expect_eq(open_fds(), before);
}

Test(vhost_read, a_payload_longer_than_any)
{
	static const uint32_t sizes[] = {sizeof(union vhost_payload) + 1, 65536, 0x7fffffff,
					 UINT32_MAX};

	for (size_t i = 0; i < 4; i++) {
		struct vhost_header header = {VHOST_SET_MEM_TABLE, VHOST_VERSION, sizes[i]};
		struct vhost_reader reader = {0};

		send_bytes(&header, sizeof(header), NULL, 0);
		cr_expect_eq(vhost_read(ends[1], &reader), -EPROTO);
	}
}

Test(vhost_write, to_one_who_does_not_read)
{
	struct vhost_message message = message_number(VHOST_GET_FEATURES, 1);
	int result = 0;

	pair();
	for (unsigned i = 0; i < 100000 && !result; i++)
		result = vhost_write(ends[0], &message);
	cr_expect_eq(result, -EAGAIN);
	close(ends[1]);
	cr_expect_eq(vhost_write(ends[0], &message), -EPIPE);
}

/* Credentials come beside the octets, if the socket was told to ask for them. */
Test(vhost_read, control_messages_that_are_no_descriptors)
{
	struct vhost_message message = message_plain(VHOST_SET_OWNER);
	struct vhost_reader reader = {0};
	int on = 1;

	cr_assert_not(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	cr_assert_eq(vhost_write(ends[0], &message), 0);
	cr_assert_eq(vhost_read(ends[1], &reader), 1);
	cr_expect_eq(reader.message.fd_count, 0u);
	vhost_reader_close(&reader);
}

Test(vhost_message, a_table_of_no_regions_with_the_size_of_one)
{
	struct vhost_message message = {.header = {VHOST_SET_MEM_TABLE, VHOST_VERSION, 0}};

	message.header.size_bytes = (uint32_t)VHOST_MEMORY_BYTES(1);
	cr_expect_not_null(vhost_message_problem(&message));
}
