/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-soft-adapter: the embedded adapter's process. Started by the shim,
 * with its control socket, listening, as descriptor 3; does nothing until it is
 * told Start. It lives on when the shim goes away (a restarted shim connects
 * again), and ends on SIGTERM or SIGINT.
 *
 * Exit status: 0 ended by a signal, 1 failed, 2 not started as described.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "adapter.h"
#include "control.h"
#include "events.h"
#include "log.h"
#include "unix_socket.h"

#define LISTEN_FD 3

static bool is_listening(int fd)
{
	int value = 0;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &bytes) == 0 && value;
}

int main(int argc, char **argv)
{
	static struct adapter adapter = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .epoll_fd = -1, .wake_fd = -1};
	int error;

	/* The adapter's name is for whoever looks at the process list or the log. */
	log_open(argc == 2 ? argv[1] : "outrigger-soft-adapter", LOG_LEVEL_INFO);
	if (argc > 2 || !is_listening(LISTEN_FD)) {
		fprintf(stderr,
			"usage: %s NAME 3<a listening socket\n"
			"The embedded adapter of Outrigger; outriggerd starts it.\n",
			argv[0]);
		return 2;
	}
	/* A driver's doorbell may be a pipe with nobody at its other end. */
	signal(SIGPIPE, SIG_IGN);
	error = adapter_confine_begin();
	if (!error)
		error = events_create(&adapter);
	if (!error)
		error = control_open(&adapter, LISTEN_FD);
	if (!error)
		error = adapter_run(&adapter, LISTEN_FD);
	if (error)
		log_error("the adapter ends: %s", strerror(-error));
	control_close(&adapter);
	events_destroy(&adapter);
	fd_close(&adapter.wake_fd);
	fd_close(&adapter.epoll_fd);
	return error ? 1 : 0;
}
