/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: a Varlink client whose server is hostile: answers that were not
 * asked for, cut anywhere, with descriptors, and a server that goes. Commands
 * besides peer.h's:
 *
 *   \x03  the client sends a request      \x07  the server goes
 *
 * Demanded: no descriptor is left, an answer has parameters, and after an error
 * there is no further answer.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "peer.h"
#include "varlink.h"

/* One answer after the other, as an event loop's client takes them. */
static int client_turn(struct varlink_conn *conn)
{
	for (;;) {
		struct varlink_message message;
		struct varlink_answer answer;
		int r = varlink_conn_next(conn, &message);

		if (r > 0) {
			FUZZ_DEMAND(message.fd_count <= VARLINK_FDS_MAX);
			r = varlink_answer_from(&message, &answer);
			if (r < 0)
				return r;
			FUZZ_DEMAND(json_is_object(answer.parameters));
			varlink_answer_clear(&answer);
			continue;
		}
		if (!r)
			r = varlink_conn_read(conn);
		if (r <= 0)
			return r;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned before = fuzz_open_fds();
	int ends[2], command, error = 0;
	struct varlink_conn *conn;
	struct varlink_answer answer;

	FUZZ_DEMAND(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
	FUZZ_DEMAND(!varlink_conn_new(ends[1], &conn));
	struct peer peer = {.fd = ends[0], .data = data, .left = size};

	do {
		command = peer_next(&peer);
		if (command == PEER_TURN && !error)
			error = client_turn(conn);
		if (command == 0x03)
			varlink_request(conn, "org.test.A", NULL, VARLINK_MORE, NULL, 0);
		if (command == 0x07)
			shutdown(ends[0], SHUT_RDWR);
	} while (command >= 0);
	close(ends[0]); /* before the wait, which therefore ends */
	while (!error) {
		error = varlink_wait(conn, 0, &answer);
		if (!error)
			varlink_answer_clear(&answer);
	}
	FUZZ_DEMAND(error == -EPROTO || error == -ECONNRESET);
	varlink_conn_free(conn);
	FUZZ_DEMAND(fuzz_open_fds() == before);
	return 0;
}
