/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: a Varlink server with a hostile client that pipelines, sends
 * descriptors, cuts messages anywhere, does not read, and goes away, while the
 * service answers at once, late, or several times. Commands besides peer.h's:
 *
 *   \x03  the kept call is answered       \x06  the peer reads all answers
 *   \x04  the kept call fails             \x07  the peer closes and connects again
 *   \x05  one more answer to a stream     \x0b  the peer shuts its sending side
 *   \x0c  answers to a stream until the peer counts as stuck: slow, so once
 *         an input, and only if the input begins with this command
 *
 * Demanded: no descriptor is left, a call is answered or cancelled exactly once,
 * calls do not overlap, and every answer is a well-formed one.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "peer.h"
#include "unix_socket.h"
#include "varlink.h"

struct state {
	struct varlink_call *kept;
	bool kept_more;
	unsigned begun, ended;
};

static void kept_is_cancelled(void *data)
{
	struct state *state = data;

	FUZZ_DEMAND(state->kept);
	state->kept = NULL;
	state->ended++;
}

static void handle_keep(struct varlink_call *call, json_t *parameters, void *context)
{
	struct state *state = context;

	(void)parameters;
	FUZZ_DEMAND(!state->kept);
	state->begun++;
	state->kept = call;
	state->kept_more = varlink_call_wants_more(call);
	varlink_call_on_cancel(call, kept_is_cancelled, state);
}

static void handle_echo(struct varlink_call *call, json_t *parameters, void *context)
{
	struct state *state = context;
	int fd = varlink_call_take_fd(call, 0);

	state->begun++;
	state->ended++;
	varlink_reply_fds(call, json_incref(parameters), &fd, fd >= 0);
	fd_close(&fd);
}

static void handle_fail(struct varlink_call *call, json_t *parameters, void *context)
{
	const char *text = json_string_value(json_object_get(parameters, "text"));

	(void)context;
	if (text)
		varlink_errorf(call, "org.test.Failed", "%s", text);
	else
		varlink_error_parameter(call, "text");
}

static const struct varlink_method methods[] = {
	{.name = "Echo", .handle = handle_echo, .fds_max = 3},
	{.name = "Keep", .handle = handle_keep, .fds_max = VARLINK_FDS_MAX},
	{.name = "Stream", .handle = handle_keep, .needs_more = true},
	{.name = "Fail", .handle = handle_fail},
	{.name = "Later", .handle = NULL, .fds_max = 1},
	{0},
};
static const struct varlink_interface interface = {"org.test", "interface org.test\n", methods};
static const struct varlink_interface *const interfaces[] = {&interface, NULL};

/* Both ends of the connection under test. */
struct pair {
	struct state state;
	struct varlink_conn *client, *served;
	struct varlink_server *server;
	bool over; /* the server's owner would have closed it */
};

static void pair_open(struct pair *pair, const struct varlink_service *service)
{
	int ends[2];

	FUZZ_DEMAND(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	FUZZ_DEMAND(!varlink_conn_new(ends[0], &pair->client));
	FUZZ_DEMAND(!varlink_conn_new(ends[1], &pair->served));
	FUZZ_DEMAND(!varlink_server_new(service, pair->served, &pair->server));
	pair->over = false;
}

static void pair_close(struct pair *pair)
{
	varlink_server_free(pair->server);
	FUZZ_DEMAND(!pair->state.kept && pair->state.begun == pair->state.ended);
	varlink_conn_free(pair->served);
	varlink_conn_free(pair->client);
}

/* What an event loop does, until there is nothing more to do. */
static void server_turn(struct pair *pair)
{
	while (!pair->over) {
		varlink_conn_flush(pair->served);
		int r = varlink_conn_read(pair->served);

		if (r < 0 || varlink_server_process(pair->server) < 0)
			pair->over = true;
		else if (!r)
			return;
	}
}

static void client_reads(struct pair *pair)
{
	for (;;) {
		struct varlink_message message;
		struct varlink_answer answer;
		int r = varlink_conn_next(pair->client, &message);

		FUZZ_DEMAND(r != -EPROTO);
		if (r > 0) {
			FUZZ_DEMAND(!varlink_answer_from(&message, &answer));
			varlink_answer_clear(&answer);
		} else if (r < 0 || varlink_conn_read(pair->client) <= 0) {
			return;
		}
	}
}

static void flood(struct pair *pair)
{
	static char text[200001];

	memset(text, 'f', sizeof(text) - 1);
	while (pair->state.kept && pair->state.kept_more &&
	       !varlink_reply_more(pair->state.kept, json_pack("{s:s}", "s", text)))
		;
}

static void command_run(struct pair *pair, int command, bool *flooded)
{
	struct varlink_call *kept = pair->state.kept;

	switch (command) {
	case PEER_TURN:
		server_turn(pair);
		break;
	case 0x03:
	case 0x04:
		if (!kept)
			break;
		pair->state.kept = NULL;
		pair->state.ended++;
		if (command == 0x03)
			varlink_reply(kept, json_pack("{s:b}", "late", 1));
		else
			varlink_error(kept, "org.test.Failed", NULL);
		break;
	case 0x05:
		if (kept && pair->state.kept_more)
			varlink_reply_more(kept, NULL);
		break;
	case 0x06:
		client_reads(pair);
		break;
	case 0x0b:
		shutdown(varlink_conn_fd(pair->client), SHUT_WR);
		break;
	case 0x0c:
		if (*flooded || !kept || !pair->state.kept_more)
			break;
		flood(pair);
		*flooded = true;
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned before = fuzz_open_fds();
	int command;
	struct pair pair = {0};
	struct varlink_service service = {
		.vendor = "",
		.product = "",
		.version = "",
		.url = "",
		.interfaces = interfaces,
		.context = &pair.state,
	};
	struct peer peer = {.data = data, .left = size};
	bool flooded = !size || data[0] != 0x0c;

	pair_open(&pair, &service);
	do {
		peer.fd = varlink_conn_fd(pair.client);
		command = peer_next(&peer);
		if (command == 0x07) {
			pair_close(&pair);
			pair_open(&pair, &service);
		}
		command_run(&pair, command, &flooded);
	} while (command >= 0);
	server_turn(&pair);
	client_reads(&pair);
	pair_close(&pair);
	FUZZ_DEMAND(fuzz_open_fds() == before);
	return 0;
}
