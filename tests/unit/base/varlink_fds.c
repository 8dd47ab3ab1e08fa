/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors on a Varlink connection: each stays with its message, and whatever
 * a peer does, none is left over (THREATS.md, T04).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

static void must_have_marks(const struct varlink_message *message, unsigned first, unsigned count)
{
	cr_assert_eq(message->fd_count, count, "%u descriptors instead of %u", message->fd_count,
		     count);
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(mark_of(message->fds[i]), first + i);
		cr_assert(fcntl(message->fds[i], F_GETFD) & FD_CLOEXEC);
	}
}

/* The kernel glues a piece without descriptors to the one after it. */
Test(varlink_fds, stay_with_their_message)
{
	unsigned before = fd_count_now();
	struct rude_peer peer;
	struct varlink_message message;
	int fds[4];

	rude_open(&peer);
	for (unsigned i = 0; i < 4; i++)
		fds[i] = marked_fd(i + 1);
	raw_message(peer.fd, "{\"n\":0}", NULL, 0);
	raw_message(peer.fd, "{\"n\":1}", fds, 1);
	raw_message(peer.fd, "{\"n\":2}", NULL, 0);
	raw_message(peer.fd, "{\"n\":3}", fds + 1, 1);
	raw_message(peer.fd, "{\"n\":4}", fds + 2, 2);
	raw_message(peer.fd, "{\"n\":5}", NULL, 0);
	static const struct {
		unsigned first, count;
	} expected[] = {{0, 0}, {1, 1}, {0, 0}, {2, 1}, {3, 2}, {0, 0}};

	for (unsigned i = 0; i < 6; i++) {
		must_next(peer.conn, &message);
		cr_assert_eq(json_integer_value(json_object_get(message.json, "n")), i);
		must_have_marks(&message, expected[i].first, expected[i].count);
		varlink_message_clear(&message);
	}
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
	rude_close(&peer);
	cr_assert_eq(fd_count_now(), before);
}

/* Wherever the carrying message is cut, with a message glued on both sides. */
Test(varlink_fds, message_split_at_every_byte)
{
	static const char text[] = "{\"n\":1,\"s\":\"abc\"}";
	unsigned before = fd_count_now();
	int fds[2] = {marked_fd(1), marked_fd(2)};

	for (size_t split = 1; split < sizeof(text); split++) {
		struct rude_peer peer;
		struct varlink_message message;
		char rest[64];

		rude_open(&peer);
		raw_message(peer.fd, "{}", NULL, 0);
		raw_send(peer.fd, text, split, fds, 1);
		memcpy(rest, text + split, sizeof(text) - split);
		memcpy(rest + sizeof(text) - split, "{}", 3);
		raw_send(peer.fd, rest, sizeof(text) - split + 3, NULL, 0);
		raw_message(peer.fd, "{}", fds + 1, 1);
		for (unsigned i = 0; i < 4; i++) {
			must_next(peer.conn, &message);
			must_have_marks(&message, i == 1 ? 1 : 2, i & 1);
			varlink_message_clear(&message);
		}
		rude_close(&peer);
	}
	close(fds[0]);
	close(fds[1]);
	cr_assert_eq(fd_count_now(), before);
}

/* Our own sender, when the socket takes only a part at a time. */
Test(varlink_fds, sent_in_pieces)
{
	enum { MESSAGES = 24 };
	unsigned before = fd_count_now();
	struct rude_peer peer;
	struct varlink_conn *reader;
	struct varlink_message message;
	char text[30001];
	int small = 4096;

	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rude_open(&peer);
	cr_assert_eq(setsockopt(varlink_conn_fd(peer.conn), SOL_SOCKET, SO_SNDBUF, &small,
				sizeof(small)),
		     0);
	cr_assert_eq(varlink_conn_new(peer.fd, &reader), 0);
	for (unsigned n = 0; n < MESSAGES; n++) {
		int fds[2] = {marked_fd(10 * n), marked_fd(10 * n + 1)};

		cr_assert_eq(varlink_conn_send(
				     peer.conn,
				     json_pack("{s:i, s:s}", "n", n, "s", n % 2 ? text : "short"),
				     fds, n % 3),
			     0);
		close(fds[0]); /* the connection has its own copies */
		close(fds[1]);
	}
	for (unsigned n = 0; n < MESSAGES; n++) {
		int r;

		while (!(r = varlink_conn_next(reader, &message))) {
			cr_assert_geq(varlink_conn_flush(peer.conn), 0);
			cr_assert_geq(varlink_conn_read(reader), 0);
		}
		cr_assert_eq(r, 1);
		cr_assert_eq(json_integer_value(json_object_get(message.json, "n")), n);
		must_have_marks(&message, 10 * n, n % 3);
		varlink_message_clear(&message);
	}
	varlink_conn_free(reader);
	peer.fd = -1;
	rude_close(&peer);
	cr_assert_eq(fd_count_now(), before);
}

Test(varlink_fds, dropped_with_unsent_and_untaken_messages)
{
	unsigned before = fd_count_now();
	struct rude_peer peer;
	int fd = marked_fd(1), small = 4096;
	char text[60001];

	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rude_open(&peer);
	raw_message(peer.fd, "{}", &fd, 1);
	cr_assert_eq(varlink_conn_read(peer.conn), 1);
	setsockopt(varlink_conn_fd(peer.conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 8; i++)
		varlink_conn_send(peer.conn, json_pack("{s:s}", "s", text), &fd, 1);
	close(fd);
	rude_close(&peer);
	cr_assert_eq(fd_count_now(), before);
}

static int sixty_four[64];

static void open_sixty_four(void)
{
	for (unsigned i = 0; i < 64; i++)
		sixty_four[i] = marked_fd(i);
}

static void close_sixty_four(void)
{
	for (unsigned i = 0; i < 64; i++)
		close(sixty_four[i]);
}

/* T04: more in one piece than our control buffer takes (MSG_CTRUNC). */
Test(varlink_fds, T04_surplus_in_one_piece)
{
	open_sixty_four();
	for (unsigned count = VARLINK_FDS_MAX; count <= 64; count++) {
		unsigned before = fd_count_now();
		struct rude_peer peer;
		struct varlink_message message;

		rude_open(&peer);
		raw_message(peer.fd, "{}", sixty_four, count);
		if (count == VARLINK_FDS_MAX) {
			must_next(peer.conn, &message);
			must_have_marks(&message, 0, count);
			varlink_message_clear(&message);
		} else {
			cr_assert_eq(varlink_conn_read(peer.conn), -EPROTO, "%u accepted", count);
			cr_assert_eq(fd_count_now(), before + 2, "kept after the error");
			cr_assert_eq(varlink_conn_next(peer.conn, &message), -EPROTO);
		}
		rude_close(&peer);
		cr_assert_eq(fd_count_now(), before, "leaked with %u", count);
	}
	close_sixty_four();
}

/* T04: few at a time, but too many for one message. */
Test(varlink_fds, T04_surplus_byte_by_byte)
{
	static const char text[] = "{\"a\":\"bcdefghijklmnopqrstuvwxyz\"}";
	unsigned before = fd_count_now();

	open_sixty_four();
	for (unsigned each = 1; each <= VARLINK_FDS_MAX; each++) {
		struct rude_peer peer;
		unsigned sent = 0;

		rude_open(&peer);
		for (size_t i = 0; i < sizeof(text) - 2; i++) {
			raw_send(peer.fd, text + i, 1, sixty_four, each);
			sent += each;
			int r = varlink_conn_read(peer.conn);

			cr_assert_eq(r, sent > VARLINK_FDS_MAX ? -EPROTO : 1);
			if (r < 0)
				break;
		}
		cr_assert_gt(sent, VARLINK_FDS_MAX);
		rude_close(&peer);
	}
	/* The last one comes with the end of the message. */
	struct rude_peer peer;
	struct varlink_message message;

	rude_open(&peer);
	raw_send(peer.fd, "{", 1, sixty_four, VARLINK_FDS_MAX);
	cr_assert_eq(varlink_conn_read(peer.conn), 1);
	raw_send(peer.fd, "}", 2, sixty_four, 1);
	cr_assert_eq(varlink_conn_read(peer.conn), 1);
	cr_assert_eq(varlink_conn_next(peer.conn, &message), -EPROTO);
	rude_close(&peer);
	close_sixty_four();
	cr_assert_eq(fd_count_now(), before);
}

/* T04: with descriptors in flight, every way a connection can end. */
Test(varlink_fds, T04_closed_with_broken_messages)
{
	static const char *const bad[] = {"", "[]", "{\"a\":1,\"a\":2}", "{"};
	unsigned before = fd_count_now();

	open_sixty_four();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rude_peer peer;

		rude_open(&peer);
		raw_message(peer.fd, bad[i], sixty_four, 3);
		cr_assert_eq(read_until_error(peer.conn), -EPROTO);
		rude_close(&peer);

		rude_open(&peer);
		raw_send(peer.fd, "{\"half\"", 7, sixty_four, 3);
		close(peer.fd);
		peer.fd = -1;
		cr_assert_eq(read_until_error(peer.conn), -ECONNRESET);
		rude_close(&peer);
	}
	close_sixty_four();
	cr_assert_eq(fd_count_now(), before);
}

/* T04: no room in our own table: the kernel drops some and says MSG_CTRUNC. */
Test(varlink_fds, T04_own_table_full)
{
	unsigned before = fd_count_now();
	struct rude_peer peer;
	struct rlimit limit;

	open_sixty_four();
	rude_open(&peer);
	raw_message(peer.fd, "{}", sixty_four, 4);
	int next = dup(peer.fd);

	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	struct rlimit tight = {.rlim_cur = (rlim_t)next + 2, .rlim_max = limit.rlim_max};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
	cr_assert_eq(varlink_conn_read(peer.conn), -EPROTO);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rude_close(&peer);
	close_sixty_four();
	cr_assert_eq(fd_count_now(), before);
}
