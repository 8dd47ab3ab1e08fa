/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listening socket on the event loop, and its connections. Who may connect is
 * decided once, by the peer's uid at connect time. A connection that breaks the
 * protocol or stops reading is closed; nobody else notices. Event-loop thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../events/events.h"
#include "log.h"
#include "log_limit.h"
#include "../shim.h"
#include "unix_socket.h"
#include "varlink.h"

struct client {
	struct client *next;
	struct server *server;
	struct varlink_conn *conn;
	struct varlink_server *varlink;
	sd_event_source *io;
};

struct server {
	struct shim *shim;
	char path[SHIM_PATH_BYTES];
	int fd;
	const struct varlink_service *service;
	bool (*allow)(void *data, uid_t uid);
	void *data;
	sd_event_source *io;
	struct client *clients;
	unsigned client_count;
	struct log_limit lines; /* about clients */
};

static void client_free(struct client *client)
{
	struct server *server = client->server;
	struct client **at = &server->clients;

	while (*at && *at != client)
		at = &(*at)->next;
	if (*at) {
		*at = client->next;
		server->client_count--;
	}
	sd_event_source_disable_unref(client->io);
	varlink_server_free(client->varlink);
	if (client->conn) {
		guest_connection_closed(server->shim, client->conn);
		attachment_connection_closed(server->shim, client->conn);
	}
	varlink_conn_free(client->conn);
	free(client);
}

static int on_client_prepare(sd_event_source *source, void *data)
{
	const struct client *client = data;
	short wanted = varlink_conn_events(client->conn);

	return sd_event_source_set_io_events(source, (wanted & POLLIN ? EPOLLIN : 0u) |
							     (wanted & POLLOUT ? EPOLLOUT : 0u));
}

static int on_client_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct client *client = data;
	int result = 0, served;

	(void)source;
	(void)fd;
	if (revents & EPOLLOUT)
		result = varlink_conn_flush(client->conn);
	if (result >= 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		result = varlink_conn_read(client->conn);
	served = varlink_server_process(client->varlink);
	if ((result == -EPROTO || served == -EPROTO) &&
	    log_limit_pass(&client->server->lines, client->server->path))
		log_warning("%s: a client broke the protocol and is disconnected",
			    client->server->path);
	if (result < 0 || served < 0)
		client_free(client);
	return 0;
}

static int client_new(struct server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->server = server;
	int error = varlink_conn_new(fd, &client->conn);
	if (error) {
		close(fd);
		free(client);
		return error;
	}
	error = varlink_server_new(server->service, client->conn, &client->varlink);
	if (!error)
		error = sd_event_add_io(server->shim->event, &client->io, fd, EPOLLIN, on_client_io,
					client);
	if (error >= 0)
		error = sd_event_source_set_prepare(client->io, on_client_prepare);
	if (error < 0) {
		client_free(client);
		return error;
	}
	client->next = server->clients;
	server->clients = client;
	server->client_count++;
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct server *server = data;
	struct ucred peer;
	socklen_t peer_bytes = sizeof(peer);

	(void)source;
	(void)revents;
	int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client_fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_error("%s: a client cannot be accepted: %m", server->path);
		return 0;
	}
	if (getsockopt(client_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) ||
	    !server->allow(server->data, peer.uid)) {
		if (log_limit_pass(&server->lines, server->path))
			log_warning("%s: user %u may not use this socket", server->path, peer.uid);
		close(client_fd);
		return 0;
	}
	if (server->client_count >= SERVER_CONNECTIONS_MAX) {
		if (log_limit_pass(&server->lines, server->path))
			log_warning("%s: %d clients are connected; another is turned away",
				    server->path, SERVER_CONNECTIONS_MAX);
		close(client_fd);
		return 0;
	}
	int error = client_new(server, client_fd);
	if (error)
		log_error("%s: a client cannot be served: %s", server->path, strerror(-error));
	return 0;
}

int server_new(struct shim *shim, const char *path, const struct varlink_service *service,
	       bool (*allow)(void *data, uid_t uid), void *data, struct server **out)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	*server = (struct server){.shim = shim, .service = service, .allow = allow, .data = data};
	strcpy(server->path, path);
	server->fd = unix_listen(path, 0600);
	int error = server->fd < 0 ? server->fd : 0;
	if (!error)
		error = sd_event_add_io(shim->event, &server->io, server->fd, EPOLLIN, on_accept,
					server);
	if (error < 0) {
		server_free(server);
		return error;
	}
	*out = server;
	return 0;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	while (server->clients)
		client_free(server->clients);
	sd_event_source_disable_unref(server->io);
	if (server->fd >= 0) {
		close(server->fd);
		unlink(server->path);
	}
	free(server);
}
