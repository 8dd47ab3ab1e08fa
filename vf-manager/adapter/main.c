/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-vf-adapter: started by the shim, as root, with its control socket, listening,
 * as descriptor 3; does nothing until it is told Start. It lives on when the shim goes
 * away (a restarted shim connects again), and so do the VFs when it goes itself: only
 * Stop puts the card back to how it was.
 *
 * Exit status: 0 after Stop, 1 failed, 2 not started as described.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "adapter.h"
#include "clock.h"
#include "log.h"
#include "unix_socket.h"

#define LISTEN_FD 3
/* What no socket tells of, such as a VF whose driver waits for its user while it is being
 * taken away, is looked for as often. */
#define LOOK_MS 500

static bool is_listening(int fd)
{
	int value = 0;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &bytes) == 0 && value;
}

static int serve(struct vf_adapter *adapter)
{
	enum { LISTEN, UEVENT, LINK, KMSG, CONNECTIONS };
	struct pollfd polled[CONNECTIONS + CONNECTIONS_MAX];
	uint64_t looked_ns = 0;

	while (!adapter->stopping) {
		polled[LISTEN] = (struct pollfd){.fd = LISTEN_FD, .events = POLLIN};
		polled[UEVENT] = (struct pollfd){.fd = adapter->uevent_fd, .events = POLLIN};
		polled[LINK] = (struct pollfd){.fd = adapter->link_fd, .events = POLLIN};
		polled[KMSG] = (struct pollfd){.fd = adapter->kmsg_fd, .events = POLLIN};
		control_prepare(adapter, polled + CONNECTIONS);
		/* Before Start there is nothing to look at. */
		if (poll(polled, CONNECTIONS + CONNECTIONS_MAX, *adapter->name ? LOOK_MS : -1) < 0) {
			if (errno == EINTR)
				continue;
			log_error("cannot wait for requests: %m");
			return 1;
		}
		if (polled[UEVENT].revents || polled[LINK].revents)
			watch_drain(adapter);
		if (polled[KMSG].revents)
			faults_read(adapter);
		uint64_t now_ns = clock_now_ns();
		if (polled[UEVENT].revents || polled[LINK].revents ||
		    now_ns - looked_ns >= LOOK_MS * NS_PER_MS) {
			watch_look(adapter);
			looked_ns = now_ns;
		}
		faults_tell(adapter, now_ns);
		control_serve(adapter, polled + CONNECTIONS);
		if (polled[LISTEN].revents)
			control_accept(adapter);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct vf_adapter adapter = {.uevent_fd = -1, .link_fd = -1, .kmsg_fd = -1,
					    .listen_fd = LISTEN_FD};

	/* The adapter's name is for whoever looks at the process list or the log. */
	log_open(argc == 2 ? argv[1] : "outrigger-vf-adapter", LOG_LEVEL_INFO);
	if (argc > 2 || !is_listening(LISTEN_FD)) {
		fprintf(stderr,
			"usage: %s NAME 3<a listening socket\n"
			"The VFs of one adapter, for Outrigger; outriggerd starts it.\n",
			argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int flags = fcntl(LISTEN_FD, F_GETFL);
	int error = flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags | O_NONBLOCK) ||
				    fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC)
			    ? -errno : 0;
	if (!error)
		error = confine_process_begin();
	if (!error)
		error = watch_open(&adapter);
	if (!error)
		faults_open(&adapter);
	if (!error)
		error = confine_process_finish();
	if (error)
		log_error("the adapter's process ends: %s", strerror(-error));
	int status = error ? 1 : serve(&adapter);
	control_close(&adapter);
	fd_close(&adapter.uevent_fd);
	fd_close(&adapter.link_fd);
	fd_close(&adapter.kmsg_fd);
	vf_host_clear(&adapter.host);
	return status;
}
