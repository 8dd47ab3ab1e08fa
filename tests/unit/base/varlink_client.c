/* SPDX-License-Identifier: BSD-2-Clause */
/* Varlink client: requests, answers, deadlines, and servers that misbehave. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "support.h"
#include "unix_socket.h"

static uint64_t patience(void)
{
	return clock_now_ns() + PATIENCE_NS;
}

static void must_receive(struct rude_peer *peer, const char *expected)
{
	char text[4096];

	cr_assert(raw_receive(peer->fd, text, sizeof(text)));
	cr_assert_str_eq(text, expected);
}

Test(varlink_client, requests_on_the_wire)
{
	struct rude_peer peer;

	rude_open(&peer);
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0), 0);
	must_receive(&peer, "{\"method\":\"org.test.A\"}");
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", json_pack("{s:i}", "n", 1),
				     VARLINK_MORE, NULL, 0),
		     0);
	must_receive(&peer, "{\"method\":\"org.test.A\",\"parameters\":{\"n\":1},\"more\":true}");
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, VARLINK_ONEWAY, NULL, 0), 0);
	must_receive(&peer, "{\"method\":\"org.test.A\",\"oneway\":true}");
	rude_close(&peer);
}

Test(varlink_client, answers)
{
	unsigned before = fd_count_now();
	struct rude_peer peer;
	struct varlink_answer answer;
	int fd = marked_fd(5);

	rude_open(&peer);
	raw_message(peer.fd, "{\"parameters\":{\"n\":1},\"continues\":true}", NULL, 0);
	raw_message(peer.fd, "{}", &fd, 1);
	raw_message(peer.fd, "{\"error\":\"org.test.E\",\"parameters\":{\"message\":\"m\"}}", NULL,
		    0);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), 0);
	cr_assert(answer.continues);
	cr_assert_null(answer.error);
	cr_assert_eq(json_integer_value(json_object_get(answer.parameters, "n")), 1);
	varlink_answer_clear(&answer);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), 0);
	cr_assert_not(answer.continues);
	cr_assert(json_is_object(answer.parameters));
	cr_assert_eq(answer.fd_count, 1);
	cr_assert_eq(mark_of(answer.fds[0]), 5);
	varlink_answer_clear(&answer);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), 0);
	cr_assert_str_eq(answer.error, "org.test.E");
	varlink_answer_clear(&answer);
	varlink_answer_clear(&answer);
	close(fd);
	rude_close(&peer);
	cr_assert_eq(fd_count_now(), before);
}

Test(varlink_client, answers_that_are_none)
{
	static const char *const bad[] = {
		"{\"parameters\":[]}",
		"{\"parameters\":null}",
		"{\"error\":1}",
		"{\"error\":null}",
		"{\"continues\":1}",
		"[]",
		"}",
	};
	int fd = marked_fd(1);
	unsigned before = fd_count_now();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rude_peer peer;
		struct varlink_answer answer;

		rude_open(&peer);
		raw_message(peer.fd, bad[i], &fd, 1);
		cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), -EPROTO, "%s", bad[i]);
		rude_close(&peer);
		cr_assert_eq(fd_count_now(), before);
	}
}

Test(varlink_client, deadline)
{
	struct rude_peer peer;
	struct varlink_answer answer;
	uint64_t start_ns = clock_now_ns(), deadline_ns = start_ns + 50 * NS_PER_MS;

	rude_open(&peer);
	raw_send(peer.fd, "{\"half", 6, NULL, 0);
	cr_assert_eq(varlink_wait(peer.conn, deadline_ns, &answer), -ETIMEDOUT);
	cr_assert_geq(clock_now_ns(), deadline_ns);
	cr_assert_eq(varlink_wait(peer.conn, deadline_ns, &answer), -ETIMEDOUT);
	raw_message(peer.fd, "\":1}", NULL, 0);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), 0, "unusable after a time-out");
	varlink_answer_clear(&answer);
	rude_close(&peer);
}

Test(varlink_client, server_goes)
{
	struct rude_peer peer;
	struct varlink_answer answer;

	rude_open(&peer);
	raw_message(peer.fd, "{\"parameters\":{\"last\":true}}", NULL, 0);
	close(peer.fd);
	peer.fd = -1;
	cr_assert_eq(varlink_request(peer.conn, "org.test.A", NULL, 0, NULL, 0), -ECONNRESET);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), 0, "its last word is lost");
	varlink_answer_clear(&answer);
	cr_assert_eq(varlink_wait(peer.conn, patience(), &answer), -ECONNRESET);
	rude_close(&peer);
}

static void *answer_with_more(void *data)
{
	struct rude_peer *peer = data;
	char text[256];

	if (raw_receive(peer->fd, text, sizeof(text)))
		raw_message(peer->fd, "{\"continues\":true}", NULL, 0);
	return NULL;
}

Test(varlink_client, one_answer_was_asked_for)
{
	struct rude_peer peer;
	struct varlink_answer answer;
	pthread_t thread;

	rude_open(&peer);
	cr_assert_eq(pthread_create(&thread, NULL, answer_with_more, &peer), 0);
	cr_assert_eq(
		varlink_call_method(peer.conn, "org.test.A", NULL, NULL, 0, patience(), &answer),
		-EPROTO);
	pthread_join(thread, NULL);
	rude_close(&peer);
}

/* ---- Client and server over a real socket ------------------------------ */

static void handle_double(struct varlink_call *call, json_t *parameters, void *context)
{
	char *text = json_dumps(parameters, JSON_COMPACT);
	int fd = varlink_call_take_fd(call, 0);

	(void)context;
	varlink_reply_fds(call,
			  json_pack("{s:s, s:o}", "text", text, "copy", json_incref(parameters)),
			  &fd, fd >= 0);
	free(text);
	fd_close(&fd);
}

static void *serve_one(void *data)
{
	static const struct varlink_method methods[] = {
		{.name = "Double", .handle = handle_double, .fds_max = 1},
		{0},
	};
	static const struct varlink_interface interface = {"org.test", "", methods};
	static const struct varlink_interface *const interfaces[] = {&interface, NULL};
	static const struct varlink_service service = {
		.vendor = "", .product = "", .version = "", .url = "", .interfaces = interfaces};
	struct pollfd p = {.fd = *(int *)data, .events = POLLIN};
	struct varlink_conn *conn;
	struct varlink_server *server;

	poll(&p, 1, (int)(PATIENCE_NS / NS_PER_MS));
	p.fd = unix_accept_same_user(*(int *)data);
	if (p.fd < 0 || varlink_conn_new(p.fd, &conn) < 0 ||
	    varlink_server_new(&service, conn, &server) < 0)
		return NULL;
	do {
		p.events = varlink_conn_events(conn);
		if (poll(&p, 1, (int)(PATIENCE_NS / NS_PER_MS)) != 1)
			break;
		varlink_conn_flush(conn);
	} while (varlink_conn_read(conn) >= 0 && !varlink_server_process(server));
	varlink_server_free(server);
	varlink_conn_free(conn);
	return NULL;
}

Test(varlink_client, call_a_server)
{
	unsigned before = fd_count_now();
	char directory[] = "/tmp/outrigger-test-XXXXXX", path[64];
	struct varlink_conn *conn;
	pthread_t thread;

	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	cr_assert_eq(varlink_connect(path, &conn), -ENOENT);
	int listen_fd = unix_listen(path, 0600);

	cr_assert_geq(listen_fd, 0);
	cr_assert_eq(pthread_create(&thread, NULL, serve_one, &listen_fd), 0);
	cr_assert_eq(varlink_connect(path, &conn), 0);
	for (size_t bytes = 1; bytes <= 300000; bytes *= 7) { /* through every buffer size */
		char *text = calloc(1, bytes + 1);
		struct varlink_answer answer;
		int fd = marked_fd((unsigned)bytes);

		memset(text, 'a', bytes);
		cr_assert_eq(varlink_call_method(conn, "org.test.Double",
						 json_pack("{s:s}", "s", text), &fd, 1, patience(),
						 &answer),
			     0);
		cr_assert_null(answer.error);
		cr_assert_eq(json_string_length(json_object_get(answer.parameters, "text")),
			     bytes + 8);
		cr_assert_eq(answer.fd_count, 1);
		cr_assert_eq(mark_of(answer.fds[0]), bytes);
		varlink_answer_clear(&answer);
		close(fd);
		free(text);
	}
	varlink_conn_free(conn);
	pthread_join(thread, NULL);
	close(listen_fd);
	cr_assert_eq(varlink_connect(path, &conn), -ECONNREFUSED);
	unlink(path);
	rmdir(directory);
	cr_assert_eq(fd_count_now(), before);
}

Test(varlink_client, path_too_long)
{
	char path[200];
	struct varlink_conn *conn;

	memset(path, 'p', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	cr_assert_eq(varlink_connect(path, &conn), -ENAMETOOLONG);
}
