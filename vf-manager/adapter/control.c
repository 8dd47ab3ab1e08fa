/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections of the control socket: a few at a time, so that one can monitor while
 * another asks; a further one takes the place of the oldest. Called by main.c's loop.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "adapter.h"
#include "log.h"
#include "unix_socket.h"

static void connection_close(struct connection *connection)
{
	varlink_server_free(connection->server);
	varlink_conn_free(connection->conn);
	*connection = (struct connection){0};
}

void control_close(struct vf_adapter *adapter)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		/* The answer to Stop is on its way. */
		if (adapter->connections[i].conn)
			varlink_conn_flush(adapter->connections[i].conn);
		connection_close(&adapter->connections[i]);
	}
}

void control_prepare(struct vf_adapter *adapter, struct pollfd *polled)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		const struct varlink_conn *conn = adapter->connections[i].conn;

		polled[i] = (struct pollfd){.fd = -1};
		if (conn)
			polled[i] = (struct pollfd){.fd = varlink_conn_fd(conn),
						    .events = varlink_conn_events(conn)};
	}
}

/* Reads, answers, writes: 0, or -errno when the connection is over. */
static int connection_serve(struct connection *connection, short events)
{
	if (events & POLLOUT) {
		int sent = varlink_conn_flush(connection->conn);
		if (sent < 0)
			return sent;
	}
	if (!(events & (POLLIN | POLLHUP | POLLERR)))
		return 0;
	int result = varlink_conn_read(connection->conn);
	/* What came before the end of the connection still counts. */
	int processed = varlink_server_process(connection->server);
	return result < 0 ? result : processed;
}

void control_serve(struct vf_adapter *adapter, const struct pollfd *polled)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &adapter->connections[i];

		if (!connection->conn || connection->broken)
			continue;
		int error = polled[i].revents ? connection_serve(connection, polled[i].revents) : 0;
		if (error && error != -ECONNRESET)
			log_warning("a connection is closed: %s", strerror(-error));
		connection->broken |= error != 0;
	}
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (adapter->connections[i].broken)
			connection_close(&adapter->connections[i]);
}

static struct connection *slot_find(struct vf_adapter *adapter)
{
	struct connection *oldest = &adapter->connections[0];

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		if (!adapter->connections[i].conn)
			return &adapter->connections[i];
		if (adapter->connections[i].number < oldest->number)
			oldest = &adapter->connections[i];
	}
	connection_close(oldest);
	return oldest;
}

void control_accept(struct vf_adapter *adapter)
{
	int fd = unix_accept_same_user(adapter->listen_fd);

	if (fd < 0) {
		if (fd != -EAGAIN)
			log_warning("a connection is refused: %s", strerror(-fd));
		return;
	}
	struct connection *connection = slot_find(adapter);
	int error = varlink_conn_new(fd, &connection->conn);

	if (error)
		fd_close(&fd);
	else
		error = varlink_server_new(methods_service(adapter), connection->conn,
					   &connection->server);
	if (error) {
		log_error("a connection cannot be served: %s", strerror(-error));
		connection_close(connection);
		return;
	}
	connection->number = ++adapter->accepted;
}

/* ---- Monitors ---------------------------------------------------------------- */

static void on_monitor_cancel(void *data)
{
	struct connection *connection = data;

	connection->monitor = NULL;
}

void control_monitor(struct vf_adapter *adapter, struct varlink_call *call)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &adapter->connections[i];

		if (!connection->conn || connection->conn != varlink_call_conn(call))
			continue;
		connection->monitor = call;
		varlink_call_on_cancel(call, on_monitor_cancel, connection);
	}
}

bool control_has_monitor(const struct vf_adapter *adapter)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (adapter->connections[i].monitor)
			return true;
	return false;
}

void control_tell(struct vf_adapter *adapter, const char *event, int vf, const char *message)
{
	log_info("%s%s%s", event, *message ? ": " : "", message);
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &adapter->connections[i];

		if (!connection->monitor || connection->broken)
			continue;
		json_t *json = json_pack("{s:s, s:i}", "event", event, "vf", vf);
		if (*message)
			json_object_set_new(json, "message", json_string(message));
		if (varlink_reply_more(connection->monitor, json) < 0) {
			log_warning("a monitor does not take its events: closed");
			connection->broken = true;
		}
	}
}
