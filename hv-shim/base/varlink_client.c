/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client half of Varlink: requests out, answers in, and a wait with a
 * deadline. Used by the command line, liboutrigger and the daemon (which talks
 * to its children without varlink_wait()), on the connection's thread.
 */
#include "varlink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "unix_socket.h"

int varlink_connect(const char *path, struct varlink_conn **out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	int r = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;

	if (!r)
		r = varlink_conn_new(fd, out);
	if (r < 0)
		fd_close(&fd);
	return r;
}

int varlink_request(struct varlink_conn *conn, const char *method, json_t *parameters,
		    unsigned flags, const int *fds, unsigned fd_count)
{
	json_t *request = json_pack("{s:s, s:o*}", "method", method, "parameters", parameters);

	if (request && (flags & VARLINK_MORE))
		json_object_set_new(request, "more", json_true());
	if (request && (flags & VARLINK_ONEWAY))
		json_object_set_new(request, "oneway", json_true());
	return varlink_conn_send(conn, request, fds, fd_count);
}

void varlink_answer_clear(struct varlink_answer *answer)
{
	json_decref(answer->parameters);
	free(answer->error);
	for (unsigned i = 0; i < answer->fd_count; i++)
		fd_close(&answer->fds[i]);
	*answer = (struct varlink_answer){0};
}

int varlink_answer_from(struct varlink_message *message, struct varlink_answer *out)
{
	struct varlink_answer answer = {0};
	json_t *parameters = json_object_get(message->json, "parameters");
	json_t *error = json_object_get(message->json, "error");
	json_t *continues = json_object_get(message->json, "continues");
	int r = -EPROTO;

	if ((parameters && !json_is_object(parameters)) || (error && !json_is_string(error)) ||
	    (continues && !json_is_boolean(continues)))
		goto out;
	r = -ENOMEM;
	answer.parameters = parameters ? json_incref(parameters) : json_object();
	answer.error = error ? strdup(json_string_value(error)) : NULL;
	if (!answer.parameters || (error && !answer.error)) {
		varlink_answer_clear(&answer);
		goto out;
	}
	answer.continues = json_is_true(continues);
	memcpy(answer.fds, message->fds, sizeof(answer.fds));
	answer.fd_count = message->fd_count;
	message->fd_count = 0;
	*out = answer;
	r = 0;
out:
	varlink_message_clear(message);
	return r;
}

/* Waits until the socket is ready: 0, -ETIMEDOUT, -errno. */
static int wait_ready(struct varlink_conn *conn, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = varlink_conn_fd(conn), .events = varlink_conn_events(conn)};
	struct timespec left, *timeout = NULL;

	if (deadline_ns) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		left.tv_sec = (time_t)((deadline_ns - now_ns) / NS_PER_S);
		left.tv_nsec = (long)((deadline_ns - now_ns) % NS_PER_S);
		timeout = &left;
	}
	int r = ppoll(&p, 1, timeout, NULL);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r ? 0 : -ETIMEDOUT;
}

int varlink_wait(struct varlink_conn *conn, uint64_t deadline_ns, struct varlink_answer *out)
{
	for (;;) {
		struct varlink_message message;
		int r = varlink_conn_next(conn, &message);

		if (r > 0)
			return varlink_answer_from(&message, out);
		if (r < 0)
			return r;
		r = wait_ready(conn, deadline_ns);
		if (r < 0)
			return r;
		/* A peer that closed may have answered before: output errors come second. */
		varlink_conn_flush(conn);
		r = varlink_conn_read(conn);
		if (r < 0)
			return r;
	}
}

int varlink_call_method(struct varlink_conn *conn, const char *method, json_t *parameters,
			const int *fds, unsigned fd_count, uint64_t deadline_ns,
			struct varlink_answer *out)
{
	int r = varlink_request(conn, method, parameters, 0, fds, fd_count);

	if (r < 0)
		return r;
	r = varlink_wait(conn, deadline_ns, out);
	if (!r && out->continues) {
		varlink_answer_clear(out);
		return -EPROTO;
	}
	return r;
}
