/* SPDX-License-Identifier: BSD-2-Clause */
/* Varlink connection: framing, malformed input, back-pressure, closing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

static void must_be_n(struct varlink_message *message, int n)
{
	cr_assert_eq(json_integer_value(json_object_get(message->json, "n")), n);
	varlink_message_clear(message);
}

Test(varlink_conn, two_messages_split_at_every_byte)
{
	static const char bytes[] = "{\"n\":1,\"s\":\"\xc3\xa4\"}\0{\"n\":2}"; /* and its NUL */

	for (size_t split = 0; split <= sizeof(bytes); split++) {
		struct rude_peer peer;
		struct varlink_message message;
		unsigned got = 0;

		rude_open(&peer);
		for (int half = 0; half < 2; half++) {
			size_t count = half ? sizeof(bytes) - split : split;

			if (count)
				raw_send(peer.fd, half ? bytes + split : bytes, count, NULL, 0);
			cr_assert_eq(varlink_conn_read(peer.conn), count ? 1 : 0);
			while (varlink_conn_next(peer.conn, &message) == 1)
				must_be_n(&message, (int)++got);
			unsigned whole = (split > strlen(bytes)) + (split == sizeof(bytes));

			cr_assert(half || got == whole, "%u messages after %zu bytes", got, split);
		}
		cr_assert_eq(got, 2);
		rude_close(&peer);
	}
}

Test(varlink_conn, one_byte_at_a_time)
{
	static const char bytes[] = "{\"n\":1}\0{\"n\":2}\0{\"n\":3}";
	struct rude_peer peer;
	struct varlink_message message;
	int got = 0;

	rude_open(&peer);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		raw_send(peer.fd, bytes + i, 1, NULL, 0);
		cr_assert_eq(varlink_conn_read(peer.conn), 1);
		if (varlink_conn_next(peer.conn, &message) == 1)
			must_be_n(&message, ++got);
	}
	cr_assert_eq(got, 3);
	rude_close(&peer);
}

/* Whole messages are taken before more is read: the socket's buffer holds the rest back. */
Test(varlink_conn, a_flood_is_held_back)
{
	struct rude_peer peer;
	struct varlink_message message;
	size_t sent = 0;
	int got = 0;

	rude_open(&peer);
	while (send(peer.fd, "{}", 3, MSG_DONTWAIT) == 3)
		sent++;
	cr_assert_eq(varlink_conn_read(peer.conn), 1);
	cr_assert_eq(varlink_conn_events(peer.conn), 0, "it would read on");
	cr_assert_eq(varlink_conn_read(peer.conn), 0);
	while ((size_t)got < sent) {
		must_next(peer.conn, &message);
		varlink_message_clear(&message);
		got++;
	}
	cr_assert_eq(varlink_conn_events(peer.conn), POLLIN);
	rude_close(&peer);
}

Test(varlink_conn, malformed_messages_end_the_connection)
{
	static const char *const bad[] = {
		"",
		" ",
		"[]",
		"\"text\"",
		"null",
		"{",
		"{}{}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":1e999}",
		"{\"a\":99999999999999999999}",
		"{'a':1}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rude_peer peer;
		struct varlink_message message;
		char byte;

		rude_open(&peer);
		raw_message(peer.fd, bad[i], NULL, 0);
		cr_assert_eq(varlink_conn_read(peer.conn), 1);
		cr_assert_eq(varlink_conn_next(peer.conn, &message), -EPROTO, "accepted: %s",
			     bad[i]);
		cr_assert_eq(varlink_conn_read(peer.conn), -EPROTO);
		cr_assert_eq(varlink_conn_next(peer.conn, &message), -EPROTO);
		cr_assert_eq(recv(peer.fd, &byte, 1, 0), 0, "the peer is not told");
		rude_close(&peer);
	}
}

Test(varlink_conn, deep_nesting_is_refused)
{
	enum { DEPTH = 100000 };
	struct rude_peer peer;
	struct varlink_message message;
	char *text = malloc(DEPTH + 6);
	int r;

	memcpy(text, "{\"a\":", 5);
	memset(text + 5, '[', DEPTH);
	text[DEPTH + 5] = '\0';
	rude_open(&peer);
	raw_message(peer.fd, text, NULL, 0);
	while (!(r = varlink_conn_next(peer.conn, &message)))
		cr_assert_eq(varlink_conn_read(peer.conn), 1);
	cr_assert_eq(r, -EPROTO);
	rude_close(&peer);
	free(text);
}

/* Sends `count` bytes as fast as they are read, the last one by itself. */
static int feed(struct rude_peer *peer, const char *bytes, size_t count,
		struct varlink_message *out)
{
	size_t sent = 0;
	int r;

	while (!(r = varlink_conn_next(peer->conn, out))) {
		size_t end = sent < count - 1 ? count - 1 : count;
		ssize_t part =
			send(peer->fd, bytes + sent, end - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		sent += part > 0 ? (size_t)part : 0;
		r = varlink_conn_read(peer->conn);
		if (r < 0)
			return r;
	}
	return r;
}

Test(varlink_conn, longest_message_and_one_byte_more)
{
	char *text = malloc(VARLINK_MESSAGE_MAX + 1);

	for (int surplus = 0; surplus < 2; surplus++) {
		size_t bytes = VARLINK_MESSAGE_MAX + (size_t)surplus;
		struct rude_peer peer;
		struct varlink_message message;

		memset(text, 'x', bytes);
		memcpy(text, "{\"s\":\"", 6);
		memcpy(text + bytes - 3, "\"}", 3);
		rude_open(&peer);
		cr_assert_eq(feed(&peer, text, bytes, &message), surplus ? -EPROTO : 1);
		if (!surplus) {
			cr_assert_eq(json_string_length(json_object_get(message.json, "s")),
				     bytes - 9);
			varlink_message_clear(&message);
		}
		rude_close(&peer);
	}
	free(text);
}

Test(varlink_conn, too_long_to_send)
{
	struct rude_peer peer;
	char *text = malloc(VARLINK_MESSAGE_MAX);

	memset(text, 'x', VARLINK_MESSAGE_MAX - 1);
	text[VARLINK_MESSAGE_MAX - 1] = '\0';
	rude_open(&peer);
	cr_assert_eq(varlink_conn_send(peer.conn, json_pack("{s:s}", "s", text), NULL, 0),
		     -EMSGSIZE);
	cr_assert_eq(varlink_conn_send(peer.conn, json_object(), NULL, 0), -EMSGSIZE);
	rude_close(&peer);
	free(text);
}

Test(varlink_conn, peer_closes_in_mid_message)
{
	struct rude_peer peer;
	struct varlink_message message;

	rude_open(&peer);
	raw_send(peer.fd, "{\"n\":1}\0{\"n\":", 13, NULL, 0);
	close(peer.fd);
	peer.fd = -1;
	must_next(peer.conn, &message);
	must_be_n(&message, 1);
	cr_assert_eq(read_until_error(peer.conn), -ECONNRESET);
	rude_close(&peer);
}

Test(varlink_conn, close_is_seen_while_a_message_waits)
{
	struct rude_peer peer;
	struct varlink_message message;

	rude_open(&peer);
	raw_send(peer.fd, "{\"n\":1}\0{\"n\":2}", 16, NULL, 0);
	cr_assert_eq(varlink_conn_read(peer.conn), 1);
	cr_assert_eq(varlink_conn_read(peer.conn), 0);
	close(peer.fd);
	peer.fd = -1;
	cr_assert_eq(varlink_conn_read(peer.conn), -ECONNRESET);
	for (int n = 1; n <= 2; n++) {
		cr_assert_eq(varlink_conn_next(peer.conn, &message), 1, "what came before is lost");
		must_be_n(&message, n);
	}
	rude_close(&peer);
}

Test(varlink_conn, stuck_reader_is_given_up)
{
	struct rude_peer peer;
	json_t *message = json_object();
	char *text = malloc(100001);
	size_t queued = 0;
	int r;

	memset(text, 'x', 100000);
	text[100000] = '\0';
	json_object_set_new(message, "s", json_string(text));
	rude_open(&peer);
	while (!(r = varlink_conn_send(peer.conn, json_incref(message), NULL, 0))) {
		queued += 100000;
		cr_assert_lt(queued, VARLINK_QUEUE_MAX + (4u << 20), "no bound");
	}
	cr_assert_eq(r, -ENOBUFS);
	cr_assert_geq(queued, VARLINK_QUEUE_MAX - 200000);
	cr_assert_eq(varlink_conn_flush(peer.conn), -ENOBUFS);
	cr_assert_eq(varlink_conn_events(peer.conn), POLLIN);
	cr_assert_eq(read_until_error(peer.conn), -ECONNRESET, "its owner would not notice");
	rude_close(&peer);
	json_decref(message);
	free(text);
}

/* What does not fit the socket at once arrives whole and in order. */
Test(varlink_conn, slow_reader_gets_everything)
{
	enum { MESSAGES = 400 };
	struct rude_peer peer;
	struct varlink_conn *reader;
	struct varlink_message message;
	char text[5001];

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rude_open(&peer);
	cr_assert_eq(varlink_conn_new(peer.fd, &reader), 0);
	for (int n = 0; n < MESSAGES; n++)
		cr_assert_eq(varlink_conn_send(peer.conn,
					       json_pack("{s:i, s:s}", "n", n, "s", text), NULL, 0),
			     0);
	cr_assert_eq(varlink_conn_events(peer.conn), POLLIN | POLLOUT);
	for (int n = 0; n < MESSAGES; n++) {
		must_next(reader, &message);
		must_be_n(&message, n);
		cr_assert_geq(varlink_conn_flush(peer.conn), 0);
	}
	cr_assert_eq(varlink_conn_flush(peer.conn), 1);
	cr_assert_eq(varlink_conn_events(peer.conn), POLLIN);
	varlink_conn_free(reader);
	peer.fd = -1;
	cr_assert_eq(varlink_conn_send(peer.conn, json_object(), NULL, 0), -ECONNRESET);
	rude_close(&peer);
}

Test(varlink_conn, peer_credentials)
{
	struct rude_peer peer;
	pid_t pid = 0;
	uid_t uid = (uid_t)-1;

	rude_open(&peer);
	cr_assert_eq(varlink_conn_peer(peer.conn, &pid, &uid), 0);
	cr_assert_eq(pid, getpid());
	cr_assert_eq(uid, geteuid());
	rude_close(&peer);
	varlink_conn_free(NULL);
}
