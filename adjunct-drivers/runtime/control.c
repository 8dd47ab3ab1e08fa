/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: org.outrigger.Adjunct, spoken by the shim alone. Several
 * connections may be open, since a Monitor keeps its connection busy; those of
 * a shim that died close by themselves, and when all slots are taken the oldest
 * makes room. Called by serve.c between dispatches, on the serving thread.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "runtime.h"
#include "text/org.outrigger.Adjunct.varlink.h"
#include "unix_socket.h"

#define ANSWER_DEADLINE_NS (1 * NS_PER_S)

static struct control_peer *peer_of(struct runtime *rt, const struct varlink_conn *conn)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		if (rt->peers[i].conn == conn)
			return &rt->peers[i];
	return NULL;
}

/* ---- Methods ----------------------------------------------------------- */

json_t *counters_to_json(struct runtime *rt)
{
	struct adj_stats stats = rt->stats;

	/* Else as they were: whoever asks must not wait for a partition that does not yield. */
	if (!rt->donated || (donated_at_rest(rt) && !donated_hold(rt))) {
		memset(&stats, 0, sizeof(stats));
		rt->ops->stats(rt->driver, &stats);
		rt->stats = stats;
	}
	stats.wakeups = rt->wakeups;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "tx_frames",
			 (json_int_t)stats.tx_frames, "tx_bytes", (json_int_t)stats.tx_bytes,
			 "rx_frames", (json_int_t)stats.rx_frames, "rx_bytes",
			 (json_int_t)stats.rx_bytes, "tx_dropped", (json_int_t)stats.tx_dropped,
			 "rx_dropped", (json_int_t)stats.rx_dropped, "wakeups",
			 (json_int_t)stats.wakeups, "doorbells", (json_int_t)stats.doorbells,
			 "link_up", stats.link_up);
}

/* What its requests and its partition's yields came to: nothing but what it says. */
static json_t *costs_json(struct runtime *rt)
{
	json_t *latency = json_array();
	unsigned buckets = HISTOGRAM_BUCKETS;

	while (buckets && !atomic_load_explicit(&rt->costs.latency[buckets - 1], memory_order_relaxed))
		buckets--;
	for (unsigned i = 0; i < buckets; i++)
		json_array_append_new(latency, json_integer((json_int_t)atomic_load_explicit(
						       &rt->costs.latency[i], memory_order_relaxed)));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:i, s:o}", "yields",
			 (json_int_t)atomic_load(&rt->lent.dispatches), "expired",
			 (json_int_t)atomic_load(&rt->lent.expired), "donated_ns",
			 (json_int_t)atomic_load(&rt->lent.used_ns), "requests",
			 (json_int_t)atomic_load(&rt->costs.completed), "used_ns",
			 (json_int_t)atomic_load(&rt->costs.used_ns), "pa_busy",
			 rt->lent.cell && atomic_load(&rt->lent.pending), "depth", (int)service_depth(rt),
			 "latency", latency);
}

static void get_status_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	static const char *const words[] = {
		[RUNTIME_EMPTY] = "empty",
		[RUNTIME_PREPARED] = "prepared",
		[RUNTIME_SERVING] = "serving",
		[RUNTIME_FAILED] = "failed",
	};
	struct runtime *rt = context;
	json_t *answer =
		json_pack("{s:s, s:s, s:i}", "state", words[rt->state], "driver", rt->ops->name,
			  "interface_version", (int)rt->ops->interface_version);

	(void)parameters;
	if (rt->state != RUNTIME_EMPTY)
		json_object_set_new(answer, "name", json_string(rt->name));
	if (rt->driver)
		json_object_set_new(answer, "counters", counters_to_json(rt));
	if (rt->driver && rt->env.port.kind == ADJ_PORT_NATIVE)
		json_object_set_new(answer, "costs", costs_json(rt));
	if (rt->client_count)
		json_object_set_new(answer, "clients", clients_to_json(rt));
	if (rt->first_frame_ns)
		json_object_set_new(answer, "first_frame_ns",
				    json_integer((json_int_t)rt->first_frame_ns));
	if (donated_asking_ns(rt))
		json_object_set_new(answer, "busy_ns",
				    json_integer((json_int_t)donated_asking_ns(rt)));
	varlink_reply(call, answer);
}

static int monitor_send(struct varlink_call *call, const struct kept_event *event)
{
	json_t *answer = json_pack("{s:s}", "event", adj_event_name(event->event));

	if (event->message[0])
		json_object_set_new(answer, "message", json_string(event->message));
	if (event->client[0])
		json_object_set_new(answer, "client", json_string(event->client));
	return varlink_reply_more(call, answer);
}

static void monitor_cancelled(void *data)
{
	struct control_peer *peer = data;

	peer->monitor = NULL;
}

static void monitor_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	struct control_peer *peer = peer_of(rt, varlink_call_conn(call));
	unsigned sent = 0;

	(void)parameters;
	if (!varlink_call_wants_more(call)) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState",
			       "Monitor answers many times: call it with \"more\"");
		return;
	}
	peer->monitor = call;
	varlink_call_on_cancel(call, monitor_cancelled, peer);
	while (sent < rt->kept_count && !monitor_send(call, &rt->kept[sent]))
		sent++;
	if (sent < rt->kept_count)
		peer->dead = true;
	rt->kept_count -= sent;
	memmove(rt->kept, rt->kept + sent, rt->kept_count * sizeof(rt->kept[0]));
}

void control_post_event(struct runtime *rt, enum adj_event event, const char *message)
{
	struct kept_event posted = {.event = event};
	bool told = false;

	if (rt->global) {
		snprintf(posted.client, sizeof(posted.client), "%s", rt->name);
		rt = rt->global;
	}
	snprintf(posted.message, sizeof(posted.message), "%s", message ? message : "");
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct control_peer *peer = &rt->peers[i];

		if (!peer->monitor || peer->dead)
			continue;
		if (monitor_send(peer->monitor, &posted))
			peer->dead = true; /* it does not read: its events are lost with it */
		else
			told = true;
	}
	if (told)
		return;
	if (rt->kept_count == EVENTS_KEPT_MAX) {
		rt->kept_count--; /* the oldest says least about what is now */
		memmove(rt->kept, rt->kept + 1, rt->kept_count * sizeof(rt->kept[0]));
	}
	rt->kept[rt->kept_count++] = posted;
}

static void stop_cancelled(void *data)
{
	struct runtime *rt = data;

	rt->stop_call = NULL;
}

static void stop_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;

	(void)parameters;
	if (rt->stop_call) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s: already stopping",
			       rt->env.name);
		return;
	}
	rt->stopping = true;
	rt->stop_call = call;
	varlink_call_on_cancel(call, stop_cancelled, rt);
}

void control_answer_stop(struct runtime *rt, const void *state, size_t state_bytes)
{
	static char text[(STATE_BYTES_MAX + 2) / 3 * 4 + 1];
	uint64_t deadline_ns = clock_now_ns() + ANSWER_DEADLINE_NS;
	json_t *answer = json_object();

	if (!rt->stop_call) {
		json_decref(answer);
		return;
	}
	if (state) {
		base64_encode(state, state_bytes, text);
		json_object_set_new(answer, "state", json_string(text));
	}
	struct varlink_conn *conn = varlink_call_conn(rt->stop_call);

	varlink_reply(rt->stop_call, answer);
	rt->stop_call = NULL;
	while (varlink_conn_flush(conn) == 0 && clock_now_ns() < deadline_ns) {
		struct pollfd ready = {.fd = varlink_conn_fd(conn), .events = POLLOUT};

		(void)poll(&ready, 1, 10);
	}
}

static const struct varlink_method methods[] = {
	{"Prepare", prepare_handle, .fds_max = 2},
	{"Start", start_handle, .fds_max = 7},
	{"AttachPort", attach_handle, .fds_max = 4},
	{"DetachPort", detach_handle},
	{"AttachClient", client_attach_handle, .fds_max = 4},
	{"DetachClient", client_detach_handle},
	{"AttachEvents", events_attach_handle, .fds_max = 2},
	{"GetStatus", get_status_handle},
	{"Monitor", monitor_handle},
	{"Stop", stop_handle},
	{NULL},
};

static const struct varlink_interface interface = {
	.name = "org.outrigger.Adjunct",
	.description = text_org_outrigger_Adjunct_varlink,
	.methods = methods,
};

static const struct varlink_interface *const interfaces[] = {&interface, NULL};

/* ---- Connections ------------------------------------------------------- */

static void peer_close(struct runtime *rt, struct control_peer *peer)
{
	if (!peer->conn)
		return;
	epoll_ctl(rt->epoll_control, EPOLL_CTL_DEL, varlink_conn_fd(peer->conn), NULL);
	varlink_server_free(peer->server);
	varlink_conn_free(peer->conn);
	*peer = (struct control_peer){0};
}

static struct control_peer *peer_slot(struct runtime *rt)
{
	struct control_peer *oldest = &rt->peers[0];

	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (!rt->peers[i].conn)
			return &rt->peers[i];
		if (rt->peers[i].accepted < oldest->accepted)
			oldest = &rt->peers[i];
	}
	peer_close(rt, oldest);
	return oldest;
}

static void peer_accept(struct runtime *rt)
{
	rt->methods = (struct varlink_service){
		.vendor = "Outrigger",
		.product = rt->ops->name,
		.version = OTR_VERSION,
		.url = "",
		.interfaces = interfaces,
		.context = rt,
	};
	int fd = unix_accept_same_user(CONTROL_LISTEN_FD);
	struct varlink_conn *conn;
	struct varlink_server *server;

	if (fd < 0)
		return; /* it went away again, or is another user's */
	if (varlink_conn_new(fd, &conn)) {
		close(fd);
		return;
	}
	if (varlink_server_new(&rt->methods, conn, &server)) {
		varlink_conn_free(conn);
		return;
	}
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	struct control_peer *peer = peer_slot(rt);

	*peer = (struct control_peer){.conn = conn, .server = server, .accepted = ++rt->accepted};
	if (epoll_ctl(rt->epoll_control, EPOLL_CTL_ADD, fd, &event)) {
		log_error("%s: cannot watch a control connection: %s", rt->env.name,
			  strerror(errno));
		peer_close(rt, peer);
	}
}

static void peer_service(struct control_peer *peer)
{
	int result = varlink_conn_flush(peer->conn);

	if (result >= 0)
		result = varlink_conn_read(peer->conn);
	int served = varlink_server_process(peer->server);

	if (result < 0 || served < 0)
		peer->dead = true;
}

static void peers_settle(struct runtime *rt)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct control_peer *peer = &rt->peers[i];

		if (!peer->conn)
			continue;
		if (peer->dead) {
			peer_close(rt, peer);
			continue;
		}
		struct epoll_event event = {.data.fd = varlink_conn_fd(peer->conn)};

		if (varlink_conn_events(peer->conn) & POLLIN)
			event.events |= EPOLLIN;
		if (varlink_conn_events(peer->conn) & POLLOUT)
			event.events |= EPOLLOUT;
		if (epoll_ctl(rt->epoll_control, EPOLL_CTL_MOD, event.data.fd, &event))
			peer_close(rt, peer);
	}
}

static void signal_read(struct runtime *rt)
{
	struct signalfd_siginfo signal;

	if (read(rt->signal_fd, &signal, sizeof(signal)) == sizeof(signal)) {
		log_info("%s: stopping on signal %u", rt->env.name, signal.ssi_signo);
		rt->stopping = true;
	}
}

void control_service(struct runtime *rt)
{
	struct epoll_event events[CONTROL_CONNECTIONS_MAX + 2];
	int ready = epoll_wait(rt->epoll_control, events, CONTROL_CONNECTIONS_MAX + 2, 0);

	if (ready <= 0)
		return;
	for (int i = 0; i < ready && !rt->stopping; i++) {
		int fd = events[i].data.fd;

		if (fd == CONTROL_LISTEN_FD) {
			peer_accept(rt);
			continue;
		}
		if (fd == rt->signal_fd) {
			signal_read(rt);
			continue;
		}
		for (unsigned p = 0; p < CONTROL_CONNECTIONS_MAX; p++)
			if (rt->peers[p].conn && varlink_conn_fd(rt->peers[p].conn) == fd)
				peer_service(&rt->peers[p]);
	}
	peers_settle(rt);
}

static int watch_control(struct runtime *rt, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(rt->epoll_control, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int control_open(struct runtime *rt)
{
	int listening = 0;
	socklen_t length = sizeof(listening);
	sigset_t signals;

	if (getsockopt(CONTROL_LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) ||
	    !listening) {
		log_error("%s: descriptor %d is not a listening socket; the shim starts this "
			  "program",
			  rt->ops->name, CONTROL_LISTEN_FD);
		return -ENOTSOCK;
	}
	/* Blocked before DPDK makes threads, so that all of them inherit it. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	rt->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	rt->epoll_control = epoll_create1(EPOLL_CLOEXEC);
	rt->epoll_all = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = rt->epoll_control};

	if (rt->signal_fd < 0 || rt->epoll_control < 0 || rt->epoll_all < 0 ||
	    watch_control(rt, rt->signal_fd) || watch_control(rt, CONTROL_LISTEN_FD) ||
	    epoll_ctl(rt->epoll_all, EPOLL_CTL_ADD, rt->epoll_control, &event)) {
		log_error("%s: cannot set up the control socket: %s", rt->ops->name,
			  strerror(errno));
		return -errno;
	}
	return 0;
}

void control_close(struct runtime *rt)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		peer_close(rt, &rt->peers[i]);
	close(rt->signal_fd);
	close(rt->epoll_control);
	close(rt->epoll_all);
}
