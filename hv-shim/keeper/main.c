/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-keeper: one per partition, started by outriggerd with a listening
 * Unix socket as descriptor 3. It serves one connection at a time; a new one
 * replaces the old (the shim restarted and came back). It ends with Stop or a
 * signal only, and everything it keeps ends with it.
 *
 * Reading order: this loop, methods.c, then namespace.c and tap.c; what it may do
 * is in confine.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "keeper.h"
#include "log.h"
#include "unix_socket.h"

#define LISTEN_FD 3
#define STOP_FLUSH_NS (1 * NS_PER_S)

struct client {
	struct varlink_conn *conn; /* NULL: none */
	struct varlink_server *server;
};

static void client_drop(struct client *client)
{
	varlink_server_free(client->server);
	varlink_conn_free(client->conn);
	*client = (struct client){0};
}

/* Reads, answers, writes: 0, or -errno when the connection is over. */
static int client_serve(struct client *client, short events)
{
	if (events & POLLOUT) {
		int sent = varlink_conn_flush(client->conn);
		if (sent < 0)
			return sent;
	}
	if (!(events & (POLLIN | POLLHUP | POLLERR)))
		return 0;
	int result = varlink_conn_read(client->conn);
	/* What came before the end still counts: a shim may say Stop and close. */
	int processed = varlink_server_process(client->server);
	return result < 0 ? result : processed;
}

/* What the shim had asked before it ended counts; its successor relies on that. */
static void client_finish_requests(struct client *client)
{
	int waiting_bytes;

	while (client->conn && !ioctl(varlink_conn_fd(client->conn), FIONREAD, &waiting_bytes) &&
	       waiting_bytes > 0)
		if (client_serve(client, POLLIN))
			return;
}

/*
 * Credentials are seen from the keeper's user namespace: without privileges the
 * shim's user is uid 0 here, like us, and everyone else, the machine's root
 * included, is the overflow uid.
 */
static void client_accept(struct client *client, const struct varlink_service *service)
{
	struct client fresh = {0};
	int fd = unix_accept_same_user(LISTEN_FD);

	if (fd == -EAGAIN)
		return;
	if (fd < 0) {
		log_warning("a connection was refused: %s", strerror(-fd));
		return;
	}
	int error = varlink_conn_new(fd, &fresh.conn);
	if (error) {
		close(fd);
		log_warning("cannot serve a connection: %s", strerror(-error));
		return;
	}
	error = varlink_server_new(service, fresh.conn, &fresh.server);
	if (error) {
		log_warning("cannot serve a connection: %s", strerror(-error));
		client_drop(&fresh);
		return;
	}
	client_finish_requests(client);
	client_drop(client);
	*client = fresh;
}

/* The answer to Stop leaves before we do. */
static void client_finish(struct client *client)
{
	uint64_t deadline_ns = clock_now_ns() + STOP_FLUSH_NS;

	while (client->conn && varlink_conn_flush(client->conn) == 0) {
		struct pollfd wait = {.fd = varlink_conn_fd(client->conn), .events = POLLOUT};
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= deadline_ns)
			break;
		poll(&wait, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
	}
	client_drop(client);
}

static int serve(struct keeper *keeper)
{
	const struct varlink_service service = keeper_service(keeper);
	struct client client = {0};

	while (!keeper->stopping) {
		struct pollfd polled[2] = {{.fd = LISTEN_FD, .events = POLLIN}, {.fd = -1}};

		if (client.conn) {
			polled[1].fd = varlink_conn_fd(client.conn);
			polled[1].events = varlink_conn_events(client.conn);
		}
		/* No deadline: a keeper has nothing to do until someone asks. */
		if (poll(polled, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			log_error("cannot wait for requests: %s", strerror(errno));
			return 1;
		}
		if (polled[1].revents) {
			int error = client_serve(&client, polled[1].revents);
			if (error && error != -ECONNRESET)
				log_warning("connection closed: %s", strerror(-error));
			if (error && !keeper->stopping)
				client_drop(&client);
		}
		if (polled[0].revents && !keeper->stopping)
			client_accept(&client, &service);
	}
	client_finish(&client);
	return 0;
}

/* Descriptor 3 as the shim prepares it: a listening Unix stream socket. */
static bool listening_socket_given(void)
{
	int listening = 0, domain = 0;
	socklen_t length = sizeof(listening);

	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) || !listening)
		return false;
	length = sizeof(domain);
	return !getsockopt(LISTEN_FD, SOL_SOCKET, SO_DOMAIN, &domain, &length) &&
	       domain == AF_UNIX && !fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) &&
	       !fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK);
}

int main(int argc, char **argv)
{
	static struct keeper keeper = {.namespace = {.user_fd = -1, .net_fd = -1}};
	char why[KEEPER_WHY_BYTES];

	/* The partition's name is for whoever looks at the process list or the log. */
	log_open(argc == 2 ? argv[1] : "outrigger-keeper", LOG_LEVEL_INFO);
	if (argc > 2 || !listening_socket_given()) {
		log_error("this program is started by outriggerd, with the partition's name and a "
			  "listening socket as descriptor %d",
			  LISTEN_FD);
		return 2;
	}
	/* A partition without TAP interfaces does without, so this is no error yet: the
	 * first one that is asked for fails, and says why. */
	if (namespace_enter(&keeper.namespace, why))
		log_warning("%s", why);
	return keeper_confine(&keeper.namespace) ? 1 : serve(&keeper);
}
