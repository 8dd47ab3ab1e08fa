/* SPDX-License-Identifier: BSD-2-Clause */
/* Varlink server: dispatch, order of answers, streams, hostile requests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

/* ---- A service --------------------------------------------------------- */

struct state {
	struct varlink_call *kept;
	unsigned oneways, cancelled;
	bool kept_more;
	uintptr_t stack_low, stack_high; /* where Echo has run */
};

static void kept_is_cancelled(void *data)
{
	struct state *state = data;

	state->kept = NULL;
	state->cancelled++;
}

static void handle_echo(struct varlink_call *call, json_t *parameters, void *context)
{
	struct state *state = context;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!state->stack_low || here < state->stack_low)
		state->stack_low = here;
	if (here > state->stack_high)
		state->stack_high = here;
	state->oneways += varlink_call_is_oneway(call);
	varlink_reply(call, json_incref(parameters));
}

static void handle_keep(struct varlink_call *call, json_t *parameters, void *context)
{
	struct state *state = context;

	cr_assert_null(state->kept, "two requests of one connection at once");
	cr_assert_eq(varlink_call_parameters(call), parameters);
	state->kept = call;
	state->kept_more = varlink_call_wants_more(call);
	varlink_call_on_cancel(call, kept_is_cancelled, state);
}

static void handle_fail(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)parameters;
	(void)context;
	varlink_errorf(call, "org.test.Failed", "it is %d", 42);
}

static void handle_long_error(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)context;
	varlink_errorf(call, "org.test.Failed", "%s",
		       json_string_value(json_object_get(parameters, "s")));
}

static void handle_take(struct varlink_call *call, json_t *parameters, void *context)
{
	int fd = varlink_call_take_fd(call, 0);
	int missing = varlink_call_take_fd(call, varlink_call_fd_count(call));

	(void)parameters;
	(void)context;
	cr_assert_eq(missing, -1);
	varlink_reply_fds(call, json_pack("{s:i}", "count", (int)varlink_call_fd_count(call)), &fd,
			  fd >= 0);
	if (fd >= 0)
		close(fd);
}

static const struct varlink_interface test_interface = {
	.name = "org.test",
	.description = "interface org.test\n",
	.methods =
		(const struct varlink_method[]){
			{.name = "Echo", .handle = handle_echo},
			{.name = "Keep", .handle = handle_keep, .fds_max = 2},
			{.name = "Fail", .handle = handle_fail},
			{.name = "LongError", .handle = handle_long_error},
			{.name = "Take", .handle = handle_take, .fds_max = 2},
			{.name = "Stream", .handle = handle_keep, .needs_more = true},
			{.name = "Later"},
			{0},
		},
};

/* ---- The frame --------------------------------------------------------- */

struct frame {
	struct rude_peer peer;
	struct varlink_server *server;
	struct varlink_service service;
	const struct varlink_interface *interfaces[2];
	struct state state;
};

static void frame_open(struct frame *frame)
{
	*frame = (struct frame){.interfaces = {&test_interface, NULL}};
	frame->service = (struct varlink_service){
		.vendor = "V",
		.product = "P",
		.version = "1",
		.url = "U",
		.interfaces = frame->interfaces,
		.context = &frame->state,
	};
	rude_open(&frame->peer);
	cr_assert_eq(varlink_server_new(&frame->service, frame->peer.conn, &frame->server), 0);
}

static void frame_close(struct frame *frame)
{
	varlink_server_free(frame->server);
	rude_close(&frame->peer);
}

/* What an event loop does when the socket is ready. */
static int frame_turn(struct frame *frame)
{
	int r = varlink_conn_read(frame->peer.conn);

	return r < 0 ? r : varlink_server_process(frame->server);
}

static int frame_request(struct frame *frame, const char *text)
{
	raw_message(frame->peer.fd, text, NULL, 0);
	return frame_turn(frame);
}

static void must_answer(struct frame *frame, const char *expected)
{
	char text[4096];

	cr_assert(raw_receive(frame->peer.fd, text, sizeof(text)), "closed instead of %s",
		  expected);
	cr_assert_str_eq(text, expected);
}

static void must_be_silent(struct frame *frame)
{
	char byte;

	cr_assert_eq(recv(frame->peer.fd, &byte, 1, MSG_DONTWAIT), -1);
	cr_assert_eq(errno, EAGAIN);
}

/* ---- Dispatch ---------------------------------------------------------- */

Test(varlink_server, each_request_has_its_answer)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":[1]}}",
		 "{\"parameters\":{\"a\":[1]}}"},
		{"{\"method\":\"org.test.Echo\"}", "{\"parameters\":{}}"},
		{"{\"method\":\"org.test.Echo\",\"more\":false,\"oneway\":false,\"unknown\":1}",
		 "{\"parameters\":{}}"},
		{"{\"method\":\"org.test.Fail\"}",
		 "{\"error\":\"org.test.Failed\",\"parameters\":{\"message\":\"it is 42\"}}"},
		{"{\"method\":\"org.test.Nothing\"}",
		 "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":"
		 "{\"method\":\"org.test.Nothing\"}}"},
		{"{\"method\":\"org.test.Later\"}",
		 "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":"
		 "{\"method\":\"org.test.Later\"}}"},
		{"{\"method\":\"org.test.Stream\"}",
		 "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}"},
		{"{\"method\":\"org.tes.Echo\"}",
		 "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":"
		 "{\"interface\":\"org.tes\"}}"},
		{"{\"method\":\"Echo\"}", "{\"error\":\"org.varlink.service.InterfaceNotFound\","
					  "\"parameters\":{\"interface\":\"\"}}"},
		{"{\"method\":\"org.test.\"}", "{\"error\":\"org.varlink.service.MethodNotFound\","
					       "\"parameters\":{\"method\":\"org.test.\"}}"},
		{"{\"method\":\"org.varlink.service.GetInfo\"}",
		 "{\"parameters\":{\"vendor\":\"V\",\"product\":\"P\",\"version\":\"1\",\"url\":\"U\","
		 "\"interfaces\":[\"org.varlink.service\",\"org.test\"]}}"},
		{"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
		 "{\"interface\":\"org.test\"}}",
		 "{\"parameters\":{\"description\":\"interface org.test\\n\"}}"},
		{"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
		 "{\"interface\":\"org.other\"}}",
		 "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":"
		 "{\"interface\":\"org.other\"}}"},
		{"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
		 "{\"interface\":7}}",
		 "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":"
		 "{\"parameter\":\"interface\"}}"},
	};
	struct frame frame;

	frame_open(&frame);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(frame_request(&frame, cases[i].request), 0);
		must_answer(&frame, cases[i].answer);
	}
	must_be_silent(&frame);
	frame_close(&frame);
}

Test(varlink_server, describes_its_own_interface)
{
	struct frame frame;
	char text[4096];

	frame_open(&frame);
	frame_request(&frame, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
			      "\"parameters\":{\"interface\":\"org.varlink.service\"}}");
	cr_assert(raw_receive(frame.peer.fd, text, sizeof(text)));
	cr_assert_not_null(strstr(text, "interface org.varlink.service\\n"));
	cr_assert_not_null(strstr(text, "method GetInfo()"));
	frame_close(&frame);
}

Test(varlink_server, broken_requests_end_the_connection)
{
	static const char *const bad[] = {
		"{}",
		"{\"method\":1}",
		"{\"method\":null}",
		"{\"method\":\"org.test.Echo\",\"parameters\":[]}",
		"{\"method\":\"org.test.Echo\",\"parameters\":null}",
		"{\"method\":\"org.test.Echo\",\"more\":1}",
		"{\"method\":\"org.test.Echo\",\"oneway\":\"yes\"}",
		"no json",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame frame;

		frame_open(&frame);
		cr_assert_eq(frame_request(&frame, bad[i]), -EPROTO, "accepted: %s", bad[i]);
		cr_assert_eq(varlink_server_process(frame.server), -EPROTO);
		frame_close(&frame);
	}
}

/* An error text is cut, and never within a character. */
Test(varlink_server, long_error_message)
{
	for (unsigned shift = 0; shift < 4; shift++) {
		struct frame frame;
		char text[3000] = "", answer[4096];

		for (unsigned i = 0; i < shift; i++)
			strcat(text, "x");
		for (unsigned i = 0; i < 500; i++)
			strcat(text, "\xf0\x9f\x9b\xb6");
		frame_open(&frame);
		json_t *request = json_pack("{s:s, s:{s:s}}", "method", "org.test.LongError",
					    "parameters", "s", text);
		char *bytes = json_dumps(request, JSON_COMPACT);

		cr_assert_eq(frame_request(&frame, bytes), 0);
		cr_assert(raw_receive(frame.peer.fd, answer, sizeof(answer)));
		json_t *json = json_loads(answer, 0, NULL);
		const char *message = json_string_value(
			json_object_get(json_object_get(json, "parameters"), "message"));

		cr_assert_not_null(message);
		cr_assert_geq(strlen(message), 1020);
		cr_assert_eq(strncmp(message, text, strlen(message)), 0);
		json_decref(json);
		json_decref(request);
		free(bytes);
		frame_close(&frame);
	}
}

/* ---- Order, streams, one-way ------------------------------------------- */

Test(varlink_server, pipelined_requests_are_answered_in_order)
{
	struct frame frame;

	frame_open(&frame);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Echo\",\"parameters\":{\"n\":1}}", NULL,
		    0);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Keep\"}", NULL, 0);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Echo\",\"parameters\":{\"n\":2}}", NULL,
		    0);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Keep\"}", NULL, 0);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Echo\",\"parameters\":{\"n\":3}}", NULL,
		    0);
	cr_assert_eq(frame_turn(&frame), 0);
	must_answer(&frame, "{\"parameters\":{\"n\":1}}");
	must_be_silent(&frame);
	cr_assert_not_null(frame.state.kept);
	for (int n = 2; n <= 3; n++) {
		struct varlink_call *call = frame.state.kept;
		char expected[64];

		frame.state.kept = NULL;
		varlink_reply(call, json_pack("{s:b}", "late", 1));
		must_answer(&frame, "{\"parameters\":{\"late\":true}}");
		snprintf(expected, sizeof(expected), "{\"parameters\":{\"n\":%d}}", n);
		must_answer(&frame, expected);
	}
	must_be_silent(&frame);
	cr_assert_eq(frame.state.cancelled, 0);
	frame_close(&frame);
}

/* Answers within handlers must not nest: the stack would grow with the queue. */
Test(varlink_server, many_pipelined_requests)
{
	enum { REQUESTS = 20000 };
	struct frame frame;
	char text[64];
	unsigned sent = 0, got = 0;

	frame_open(&frame);
	while (got < REQUESTS) {
		while (sent < REQUESTS && send(frame.peer.fd, "{\"method\":\"org.test.Echo\"}", 27,
					       MSG_DONTWAIT) == 27)
			sent++;
		cr_assert_eq(frame_turn(&frame), 0);
		cr_assert_geq(varlink_conn_flush(frame.peer.conn), 0);
		while (got < sent && recv(frame.peer.fd, text, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
			cr_assert(raw_receive(frame.peer.fd, text, sizeof(text)));
			got++;
		}
	}
	cr_assert_lt(frame.state.stack_high - frame.state.stack_low, 4096);
	frame_close(&frame);
}

Test(varlink_server, stream_then_final_answer)
{
	struct frame frame;

	frame_open(&frame);
	cr_assert_eq(frame_request(&frame, "{\"method\":\"org.test.Stream\",\"more\":true}"), 0);
	cr_assert(frame.state.kept_more);
	cr_assert_eq(varlink_reply_more(frame.state.kept, json_pack("{s:i}", "n", 1)), 0);
	cr_assert_eq(varlink_reply_more(frame.state.kept, NULL), 0);
	must_answer(&frame, "{\"parameters\":{\"n\":1},\"continues\":true}");
	must_answer(&frame, "{\"parameters\":{},\"continues\":true}");
	varlink_error(frame.state.kept, "org.test.Over", NULL);
	frame.state.kept = NULL;
	must_answer(&frame, "{\"error\":\"org.test.Over\",\"parameters\":{}}");
	frame_close(&frame);
	cr_assert_eq(frame.state.cancelled, 0);
}

Test(varlink_server, oneway_is_never_answered)
{
	struct frame frame;

	frame_open(&frame);
	frame_request(&frame,
		      "{\"method\":\"org.test.Echo\",\"oneway\":true,\"parameters\":{\"a\":1}}");
	frame_request(&frame, "{\"method\":\"org.test.Fail\",\"oneway\":true}");
	frame_request(&frame, "{\"method\":\"org.no.Such\",\"oneway\":true}");
	frame_request(&frame, "{\"method\":\"org.test.Keep\",\"oneway\":true,\"more\":true}");
	cr_assert_not(frame.state.kept_more);
	varlink_reply(frame.state.kept, NULL);
	must_be_silent(&frame);
	cr_assert_eq(frame.state.oneways, 1);
	frame_close(&frame);
}

/* ---- Ends -------------------------------------------------------------- */

Test(varlink_server, call_under_way_is_cancelled)
{
	unsigned before = fd_count_now();
	struct frame frame;
	int fds[2] = {marked_fd(1), marked_fd(2)};

	frame_open(&frame);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Keep\"}", fds, 2);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Keep\"}", fds, 2);
	cr_assert_eq(frame_turn(&frame), 0);
	close(frame.peer.fd);
	frame.peer.fd = -1;
	/* Its owner reads on POLLIN or POLLHUP, until it is told. */
	int r;

	while (!(r = frame_turn(&frame)))
		;
	cr_assert_eq(r, -ECONNRESET);
	frame_close(&frame);
	cr_assert_eq(frame.state.cancelled, 1);
	close(fds[0]);
	close(fds[1]);
	cr_assert_eq(fd_count_now(), before);
	varlink_server_free(NULL);
}

Test(varlink_server, answer_after_the_peer_has_gone)
{
	struct frame frame;

	frame_open(&frame);
	frame_request(&frame, "{\"method\":\"org.test.Stream\",\"more\":true}");
	close(frame.peer.fd);
	frame.peer.fd = -1;
	cr_assert_eq(varlink_reply_more(frame.state.kept, NULL), -ECONNRESET);
	varlink_reply(frame.state.kept, NULL);
	cr_assert_eq(varlink_server_process(frame.server), -ECONNRESET);
	frame_close(&frame);
	cr_assert_eq(frame.state.cancelled, 0);
}

Test(varlink_server, stuck_reader_of_a_stream)
{
	struct frame frame;
	char text[50001];
	int r;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	frame_open(&frame);
	frame_request(&frame, "{\"method\":\"org.test.Stream\",\"more\":true}");
	while (!(r = varlink_reply_more(frame.state.kept, json_pack("{s:s}", "s", text))))
		;
	cr_assert_eq(r, -ENOBUFS);
	struct pollfd p = {.fd = varlink_conn_fd(frame.peer.conn)};

	cr_assert_eq(poll(&p, 1, 0), 1, "its owner would not notice");
	cr_assert_eq(frame_turn(&frame), -ECONNRESET);
	frame_close(&frame);
	cr_assert_eq(frame.state.cancelled, 1);
}

/* A late answer lets a broken request begin: the owner must be told. */
Test(varlink_server, broken_request_behind_a_late_answer)
{
	struct frame frame;

	frame_open(&frame);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Keep\"}", NULL, 0);
	raw_message(frame.peer.fd, "{\"method\":7}", NULL, 0);
	cr_assert_eq(frame_turn(&frame), 0);
	varlink_reply(frame.state.kept, NULL);
	struct pollfd p = {.fd = varlink_conn_fd(frame.peer.conn)};

	cr_assert_eq(poll(&p, 1, 0), 1);
	cr_assert_lt(frame_turn(&frame), 0);
	must_answer(&frame, "{\"parameters\":{}}");
	frame_close(&frame);
}

/* ---- Descriptors ------------------------------------------------------- */

Test(varlink_server, descriptors_taken_and_answered)
{
	unsigned before = fd_count_now();
	struct frame frame;
	struct varlink_conn *client;
	struct varlink_message message;
	int fds[2] = {marked_fd(11), marked_fd(12)};

	frame_open(&frame);
	raw_message(frame.peer.fd, "{\"method\":\"org.test.Take\"}", fds, 2);
	cr_assert_eq(frame_turn(&frame), 0);
	cr_assert_eq(varlink_conn_new(frame.peer.fd, &client), 0);
	frame.peer.fd = -1;
	must_next(client, &message);
	cr_assert_eq(message.fd_count, 1);
	cr_assert_eq(mark_of(message.fds[0]), 11);
	varlink_message_clear(&message);
	varlink_conn_free(client);
	frame_close(&frame);
	close(fds[0]);
	close(fds[1]);
	cr_assert_eq(fd_count_now(), before, "the one not taken stays open");
}

/* T04: to methods that take fewer, to none, to interfaces that are not there. */
Test(varlink_server, T04_surplus_descriptors)
{
	static const struct {
		const char *request;
		unsigned count;
		int expected;
	} cases[] = {
		{"{\"method\":\"org.test.Take\"}", 2, 0},
		{"{\"method\":\"org.test.Take\"}", 3, -EPROTO},
		{"{\"method\":\"org.test.Echo\"}", 1, -EPROTO},
		{"{\"method\":\"org.test.Nothing\"}", 1, -EPROTO},
		{"{\"method\":\"org.none.Nothing\"}", 16, -EPROTO},
		{"{\"method\":\"org.varlink.service.GetInfo\"}", 1, -EPROTO},
		{"{\"method\":7}", 1, -EPROTO},
		{"{\"method\":\"org.test.Take\"}", 17, -EPROTO},
		{"{\"method\":\"org.test.Keep\"}", 2, 0},
	};
	int fds[17];

	for (unsigned i = 0; i < 17; i++)
		fds[i] = marked_fd(i);
	unsigned before = fd_count_now();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame frame;

		frame_open(&frame);
		raw_message(frame.peer.fd, cases[i].request, fds, cases[i].count);
		cr_assert_eq(frame_turn(&frame), cases[i].expected, "%s with %u", cases[i].request,
			     cases[i].count);
		frame_close(&frame);
		cr_assert_eq(fd_count_now(), before, "%s with %u leaked", cases[i].request,
			     cases[i].count);
	}
}
