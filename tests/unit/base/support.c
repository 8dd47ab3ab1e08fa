/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the Varlink tests; see support.h. */
#include "support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

void rude_open(struct rude_peer *peer)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	peer->fd = ends[0];
	cr_assert_eq(varlink_conn_new(ends[1], &peer->conn), 0);
}

void rude_close(struct rude_peer *peer)
{
	varlink_conn_free(peer->conn);
	if (peer->fd >= 0)
		close(peer->fd);
}

void raw_send(int fd, const void *bytes, size_t count, const int *fds, unsigned fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control;
	struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	cr_assert_leq(fd_count, 64);
	if (fd_count) {
		memset(&control, 0, sizeof(control));
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.align), fds, fd_count * sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	ssize_t sent = sendmsg(fd, &header, MSG_NOSIGNAL);

	cr_assert_eq(sent, (ssize_t)count, "sendmsg: %zd of %zu", sent, count);
}

void raw_message(int fd, const char *text, const int *fds, unsigned fd_count)
{
	raw_send(fd, text, strlen(text) + 1, fds, fd_count);
}

bool raw_receive(int fd, char *text, size_t text_bytes)
{
	for (size_t i = 0; i < text_bytes; i++) {
		if (recv(fd, text + i, 1, 0) != 1)
			return false;
		if (!text[i])
			return true;
	}
	cr_assert_fail("a message longer than %zu bytes", text_bytes);
	return false;
}

unsigned fd_count_now(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert_not_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int marked_fd(unsigned mark)
{
	int fd = memfd_create("mark", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, mark), 0);
	return fd;
}

unsigned mark_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0, "not an open descriptor");
	return (unsigned)st.st_size;
}

static void wait_readable(struct varlink_conn *conn)
{
	struct pollfd p = {.fd = varlink_conn_fd(conn), .events = POLLIN};

	cr_assert_eq(poll(&p, 1, (int)(PATIENCE_NS / NS_PER_MS)), 1, "nothing came");
}

void must_next(struct varlink_conn *conn, struct varlink_message *out)
{
	int r;

	while (!(r = varlink_conn_next(conn, out))) {
		wait_readable(conn);
		r = varlink_conn_read(conn);
		cr_assert_geq(r, 0, "read: %s", strerror(-r));
	}
	cr_assert_eq(r, 1, "next: %s", strerror(-r));
}

int read_until_error(struct varlink_conn *conn)
{
	for (;;) {
		struct varlink_message message;
		int r = varlink_conn_next(conn, &message);

		if (r < 0)
			return r;
		if (r > 0) {
			varlink_message_clear(&message);
			continue;
		}
		wait_readable(conn);
		r = varlink_conn_read(conn);
		if (r < 0)
			return r;
	}
}
