/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections of the control socket; see control.h. What the methods do is in
 * methods.c.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "events.h"
#include "log.h"
#include "methods.h"
#include "unix_socket.h"

struct connection {
	struct varlink_conn *conn; /* NULL: the slot is free */
	struct varlink_server *server;
	struct varlink_call *monitor; /* the call that waits for events; or NULL */
	uint32_t interest;            /* epoll's */
	bool polled;                  /* epoll has it, with an interest that may be none */
	uint64_t number;              /* counts up: the smallest is the oldest */
	bool doomed;                  /* close it when its handlers have returned */
};

struct control {
	int listen_fd;
	uint64_t accepted;
	struct connection connections[CONTROL_CONNECTIONS_MAX];
};

int control_open(struct adapter *adapter, int listen_fd)
{
	int flags = fcntl(listen_fd, F_GETFL);

	/* Someone who gives up between the event and the accept must not block us. */
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	adapter->control = calloc(1, sizeof(*adapter->control));
	if (!adapter->control)
		return -ENOMEM;
	adapter->control->listen_fd = listen_fd;
	return 0;
}

static void connection_close(struct connection *connection)
{
	/* The epoll registration goes with the descriptor. */
	varlink_server_free(connection->server);
	varlink_conn_free(connection->conn);
	*connection = (struct connection){0};
}

void control_close(struct adapter *adapter)
{
	for (unsigned i = 0; adapter->control && i < CONTROL_CONNECTIONS_MAX; i++)
		connection_close(&adapter->control->connections[i]);
	free(adapter->control);
	adapter->control = NULL;
}

/* Waits for what the connection needs now, or closes it. */
static void connection_settle(struct adapter *adapter, unsigned slot)
{
	struct connection *connection = &adapter->control->connections[slot];
	struct epoll_event event = {.data.u32 = SOURCE_CONTROL | slot};
	short wanted;

	if (!connection->conn)
		return;
	if (connection->doomed) {
		connection_close(connection);
		return;
	}
	wanted = varlink_conn_events(connection->conn);
	event.events = (wanted & POLLIN ? EPOLLIN : 0) | (wanted & POLLOUT ? EPOLLOUT : 0);
	if (connection->polled && event.events == connection->interest)
		return;
	if (epoll_ctl(adapter->epoll_fd, connection->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		      varlink_conn_fd(connection->conn), &event) < 0) {
		log_error("control connection: %s", strerror(errno));
		connection_close(connection);
		return;
	}
	connection->interest = event.events;
	connection->polled = true;
}

/* A free slot, or that of the oldest connection, which a newer one replaces. */
static struct connection *slot_find(struct control *control)
{
	struct connection *oldest = &control->connections[0];

	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (!control->connections[i].conn)
			return &control->connections[i];
		if (control->connections[i].number < oldest->number)
			oldest = &control->connections[i];
	}
	connection_close(oldest);
	return oldest;
}

void control_accept(struct adapter *adapter)
{
	struct control *control = adapter->control;
	int fd = unix_accept_same_user(control->listen_fd), error;

	if (fd < 0) {
		if (fd != -EAGAIN)
			log_warning("control socket: a connection is refused: %s", strerror(-fd));
		return;
	}
	struct connection *connection = slot_find(control);

	error = varlink_conn_new(fd, &connection->conn);
	if (error) {
		connection->conn = NULL;
		fd_close(&fd);
	} else {
		error = varlink_server_new(methods_service(adapter), connection->conn,
					   &connection->server);
	}
	if (error) {
		log_error("control socket: %s", strerror(-error));
		connection_close(connection);
		return;
	}
	connection->number = ++control->accepted;
	connection_settle(adapter, (unsigned)(connection - control->connections));
}

void control_ready(struct adapter *adapter, unsigned slot)
{
	struct connection *connection = &adapter->control->connections[slot];
	int result;

	if (!connection->conn)
		return;
	result = varlink_conn_flush(connection->conn);
	if (result >= 0)
		result = varlink_conn_read(connection->conn);
	/* What came before the end of the connection still counts. */
	if (result >= 0 || result == -ECONNRESET) {
		int processed = varlink_server_process(connection->server);

		if (result >= 0)
			result = processed;
	}
	if (result < 0)
		connection->doomed = true;
	connection_settle(adapter, slot);
}

/* ---- Monitors ---------------------------------------------------------- */

static void on_monitor_cancel(void *data)
{
	struct connection *connection = data;

	connection->monitor = NULL;
}

void control_monitor(struct adapter *adapter, struct varlink_call *call)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct connection *connection = &adapter->control->connections[i];

		if (!connection->conn || connection->conn != varlink_call_conn(call))
			continue;
		connection->monitor = call;
		varlink_call_on_cancel(call, on_monitor_cancel, connection);
	}
}

static json_t *event_json(const struct event *event)
{
	json_t *json = json_pack("{s:s, s:i}", "event", event_name(event->kind), "vf", event->vf);

	if (event->message[0])
		json_object_set_new(json, "message", json_string(event->message));
	return json;
}

void control_tell(struct adapter *adapter)
{
	bool told = methods_answer_resets(adapter);
	struct event event;

	while (events_take(adapter, &event)) {
		told = true;
		for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
			struct connection *connection = &adapter->control->connections[i];

			if (!connection->monitor || connection->doomed)
				continue;
			if (varlink_reply_more(connection->monitor, event_json(&event)) < 0) {
				log_warning("a monitor does not take its events: closed");
				connection->doomed = true;
			}
		}
	}
	for (unsigned i = 0; told && i < CONTROL_CONNECTIONS_MAX; i++)
		connection_settle(adapter, i);
}
