/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Child processes and calls to them. A connection answers in order, so the
 * pending calls form a queue and the oldest deadline is the next one.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "close_later.h"
#include "log.h"
#include "spawn.h"
#include "unix_socket.h"

#define END_WAIT_MS 20

struct pending {
	struct pending *next;
	peer_answer_fn callback;
	void *data;
	uint64_t deadline_ns; /* 0: none */
	uint64_t timeout_ms;
	char method[64];
};

/* One connection to the child: the one for calls, or one per monitor. */
struct link {
	struct link *next;
	struct peer *peer;
	struct varlink_conn *conn;
	sd_event_source *io, *timer, *refuse;
	struct pending *first, **last;
	bool broken;
	bool replaceable; /* broken, but by no fault of the protocol's: another may do better */
};

struct peer {
	sd_event *event;
	char *name, *socket_path;
	struct peer_identity identity;
	int pidfd;
	int namespaces[SPAWN_NAMESPACES]; /* held, if it has its own; else -1 */
	bool ended; /* its status was collected, or is init's to collect */
	sd_event_source *exit_source;
	struct link *calls, *monitors;
	peer_exit_fn on_exit;
	void *data;
	unsigned held; /* by the functions that run callbacks, which may free us */
	bool freed;
};

/* ---- Connections ---------------------------------------------------------- */

static void link_free(struct link *link)
{
	if (!link)
		return;
	sd_event_source_disable_unref(link->io);
	sd_event_source_disable_unref(link->timer);
	sd_event_source_disable_unref(link->refuse);
	varlink_conn_free(link->conn);
	while (link->first) {
		struct pending *pending = link->first;
		link->first = pending->next;
		free(pending);
	}
	free(link);
}

/* ---- The end of a peer ----------------------------------------------------- */

static int on_forgotten_exit(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	siginfo_t info;

	(void)revents;
	(void)data;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0 && errno != ECHILD)
		log_error("a child's status cannot be collected: %m");
	sd_event_source_disable_unref(source); /* closes the pidfd */
	return 0;
}

/* A child that outlives its peer still needs its status collected when it ends. */
static void reap_later(sd_event *event, int pidfd)
{
	sd_event_source *source;

	if (sd_event_get_state(event) == SD_EVENT_FINISHED) {
		close(pidfd); /* we end too, and init collects it */
		return;
	}
	if (sd_event_add_io(event, &source, pidfd, EPOLLIN, on_forgotten_exit, NULL) < 0) {
		log_error("a child's end cannot be watched: out of memory");
		close(pidfd);
		return;
	}
	sd_event_source_set_io_fd_own(source, true);
}

static void peer_destroy(struct peer *peer)
{
	link_free(peer->calls);
	while (peer->monitors) {
		struct link *link = peer->monitors;
		peer->monitors = link->next;
		link_free(link);
	}
	sd_event_source_disable_unref(peer->exit_source);
	if (peer->pidfd >= 0 && peer->ended)
		close(peer->pidfd);
	else if (peer->pidfd >= 0)
		reap_later(peer->event, peer->pidfd);
	for (int i = 0; i < SPAWN_NAMESPACES; i++)
		close_later(peer->event, &peer->namespaces[i]);
	free(peer->name);
	free(peer->socket_path);
	free(peer);
}

static void peer_hold(struct peer *peer)
{
	peer->held++;
}

static void peer_release(struct peer *peer)
{
	if (--peer->held == 0 && peer->freed)
		peer_destroy(peer);
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	peer->freed = true;
	if (!peer->held)
		peer_destroy(peer);
}

#define END_BYTES 100

/*
 * How the process ended; false while it still runs. Its sockets close a moment
 * before it has ended, and that moment is waited for.
 */
static bool describe_end(const struct peer *peer, int flags, char how[END_BYTES])
{
	struct pollfd process = {.fd = peer->pidfd, .events = POLLIN};
	siginfo_t info = {0};

	snprintf(how, END_BYTES, "ended");
	if (poll(&process, 1, END_WAIT_MS) != 1)
		return false;
	/* ECHILD: an adopted process, whose status only init learns. */
	if (waitid(P_PIDFD, (id_t)peer->pidfd, &info, WEXITED | WNOHANG | flags) || !info.si_pid)
		return true;
	if (info.si_code == CLD_EXITED)
		snprintf(how, END_BYTES, "exited with status %d", info.si_status);
	else
		snprintf(how, END_BYTES, "was killed by signal %d (%s)", info.si_status,
			 strsignal(info.si_status));
	return true;
}

/* ---- Answers ----------------------------------------------------------------- */

/* Runs the oldest callback, under peer_hold(). False: the peer was freed by it. */
static bool answer_first(struct link *link, const char *problem, struct varlink_answer *answer)
{
	struct peer *peer = link->peer;
	struct pending *pending = link->first;
	bool last = !answer || !answer->continues;

	if (last) {
		link->first = pending->next;
		if (!link->first)
			link->last = &link->first;
	}
	pending->callback(pending->data, problem, answer);
	if (last)
		free(pending);
	return !peer->freed;
}

static void link_break(struct link *link, const char *problem)
{
	char text[200];

	snprintf(text, sizeof(text), "%s", problem);
	link->broken = true;
	sd_event_source_set_enabled(link->io, SD_EVENT_OFF);
	if (link->timer)
		sd_event_source_set_enabled(link->timer, SD_EVENT_OFF);
	while (link->first)
		if (!answer_first(link, text, NULL))
			return;
}

/* False: the peer is gone or the link is broken. */
static bool link_deliver(struct link *link, struct varlink_message *message)
{
	struct varlink_answer answer;
	char problem[400];

	if (varlink_answer_from(message, &answer)) {
		varlink_message_clear(message);
		link_break(link, "sent a malformed answer");
		return false;
	}
	if (!link->first) {
		varlink_answer_clear(&answer);
		link_break(link, "sent an answer nobody asked for");
		return false;
	}
	if (answer.error) {
		const char *text =
			json_string_value(json_object_get(answer.parameters, "message"));
		snprintf(problem, sizeof(problem), "%s", text ? text : answer.error);
		answer.continues = false;
	}
	bool alive = answer_first(link, answer.error ? problem : NULL, &answer);
	varlink_answer_clear(&answer);
	return alive && !link->broken;
}

static void link_serve(struct link *link, uint32_t revents)
{
	struct varlink_message message;
	char how[END_BYTES];
	int result = 0, next;

	if (revents & EPOLLOUT)
		result = varlink_conn_flush(link->conn);
	if (result >= 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		result = varlink_conn_read(link->conn);
	/* What was read before the peer closed is still good. */
	while ((next = varlink_conn_next(link->conn, &message)) == 1)
		if (!link_deliver(link, &message))
			return;
	if (next < 0)
		result = next;
	if (result == -ECONNRESET && describe_end(link->peer, WNOWAIT, how)) {
		link_break(link, how);
	} else if (result == -ECONNRESET) {
		link_break(link, "closed its control connection");
		link->replaceable = true;
	} else if (result == -EPROTO) {
		link_break(link, "broke the control protocol");
	} else if (result < 0) {
		/* We lack something, which may be over when it is called the next time. */
		snprintf(how, sizeof(how), "cannot be heard: %s", strerror(-result));
		link_break(link, how);
		link->replaceable = true;
	}
}

static int on_link_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct link *link = data;
	struct peer *peer = link->peer;

	(void)source;
	(void)fd;
	peer_hold(peer);
	link_serve(link, revents);
	peer_release(peer);
	return 0;
}

static int on_link_prepare(sd_event_source *source, void *data)
{
	struct link *link = data;
	uint32_t events = 0;
	short wanted = varlink_conn_events(link->conn);

	if (wanted & POLLIN)
		events |= EPOLLIN;
	if (wanted & POLLOUT)
		events |= EPOLLOUT;
	return sd_event_source_set_io_events(source, events);
}

static int on_link_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct link *link = data;
	uint64_t now = clock_now_ns();

	(void)usec;
	if (link->first && link->first->deadline_ns && link->first->deadline_ns <= now) {
		char text[160];
		snprintf(text, sizeof(text), "did not answer %s within %.1f s", link->first->method,
			 (double)link->first->timeout_ms / 1000);
		struct peer *peer = link->peer;

		peer_hold(peer);
		link_break(link, text);
		if (!peer->freed)
			link->replaceable = true;
		peer_release(peer);
		return 0;
	}
	if (link->first && link->first->deadline_ns) {
		sd_event_source_set_time(source, link->first->deadline_ns / NS_PER_US + 1);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int link_open(struct peer *peer, struct link **out)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->peer = peer;
	link->last = &link->first;
	int error = varlink_connect(peer->socket_path, &link->conn);
	if (!error)
		error = sd_event_add_io(peer->event, &link->io, varlink_conn_fd(link->conn), EPOLLIN,
					on_link_io, link);
	if (error >= 0)
		error = sd_event_source_set_prepare(link->io, on_link_prepare);
	if (error < 0) {
		link_free(link);
		return error;
	}
	*out = link;
	return 0;
}

static struct pending *link_queue(struct link *link, const char *method, uint64_t timeout_ms,
				  peer_answer_fn callback, void *data)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	const char *dot = strrchr(method, '.');

	if (!pending)
		return NULL;
	*pending = (struct pending){.callback = callback, .data = data, .timeout_ms = timeout_ms};
	snprintf(pending->method, sizeof(pending->method), "%s", dot ? dot + 1 : method);
	if (timeout_ms)
		pending->deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	*link->last = pending;
	link->last = &pending->next;
	return pending;
}

static int link_set_timer(struct link *link, const struct pending *pending)
{
	uint64_t usec = pending->deadline_ns / NS_PER_US + 1;

	if (!link->timer)
		return sd_event_add_time(link->peer->event, &link->timer, CLOCK_MONOTONIC, usec, 1000,
					 on_link_timer, link);
	if (link->first != pending)
		return 0; /* on_link_timer moves on to us */
	int error = sd_event_source_set_time(link->timer, usec);
	return error < 0 ? error : sd_event_source_set_enabled(link->timer, SD_EVENT_ONESHOT);
}

static int on_link_refuse(sd_event_source *source, void *data)
{
	struct link *link = data;
	struct peer *peer = link->peer;

	(void)source;
	peer_hold(peer);
	link_break(link, "has no control connection");
	peer_release(peer);
	return 0;
}

/* ---- Calls ------------------------------------------------------------------ */

/* A child that runs may have dropped us for another connection, or was slow: it
 * takes us back. What it was asked on the old one happens before all that follows,
 * or not at all. */
static void replace_calls(struct peer *peer)
{
	struct link *link;
	int error = link_open(peer, &link);

	if (error) {
		log_debug("%s: cannot be connected to again: %s", peer->name, strerror(-error));
		return;
	}
	link_free(peer->calls);
	peer->calls = link;
}

void peer_call(struct peer *peer, const char *method, json_t *parameters, const int *fds,
	       unsigned fd_count, uint64_t timeout_ms, peer_answer_fn callback, void *data)
{
	if (peer->calls->replaceable && !peer->calls->first)
		replace_calls(peer);
	struct link *link = peer->calls;
	struct pending *pending = link_queue(link, method, timeout_ms, callback, data);

	if (!pending) {
		json_decref(parameters);
		callback(data, "out of memory", NULL);
		return;
	}
	if (link->broken) {
		/* Answered from the loop, as every call is. */
		json_decref(parameters);
		if (!link->refuse && sd_event_add_defer(peer->event, &link->refuse, on_link_refuse,
							link) < 0)
			link_break(link, "out of memory");
		else
			sd_event_source_set_enabled(link->refuse, SD_EVENT_ONESHOT);
		return;
	}
	int error = link_set_timer(link, pending);
	if (error >= 0)
		error = varlink_request(link->conn, method, parameters, 0, fds, fd_count);
	else
		json_decref(parameters);
	if (error < 0) {
		/* The connection is of no use; the io source reports it from the loop. */
		log_debug("%s: %s could not be sent: %s", peer->name, method, strerror(-error));
		shutdown(varlink_conn_fd(link->conn), SHUT_RDWR);
	}
}

/* Of monitors that broke; whoever had them asks for another. */
static void free_broken_monitors(struct peer *peer)
{
	struct link **at = &peer->monitors;

	while (*at) {
		struct link *link = *at;

		if (!link->broken || link->first) {
			at = &link->next;
			continue;
		}
		*at = link->next;
		link_free(link);
	}
}

/* Not from within a monitor's callback. */
int peer_monitor(struct peer *peer, const char *method, peer_answer_fn callback, void *data)
{
	struct link *link;

	free_broken_monitors(peer);
	int error = link_open(peer, &link);

	if (error)
		return error;
	error = -ENOMEM;
	if (link_queue(link, method, 0, callback, data))
		error = varlink_request(link->conn, method, NULL, VARLINK_MORE, NULL, 0);
	if (error < 0) {
		link_free(link);
		return error;
	}
	link->next = peer->monitors;
	peer->monitors = link;
	return 0;
}

/* ---- Processes -------------------------------------------------------------- */

static void break_links(struct peer *peer, const char *problem)
{
	if (!peer->calls->broken)
		link_break(peer->calls, problem);
	for (struct link *link = peer->monitors; link && !peer->freed; link = link->next)
		if (!link->broken)
			link_break(link, problem);
}

static int on_process_exit(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct peer *peer = data;
	char how[END_BYTES];

	(void)fd;
	(void)revents;
	describe_end(peer, 0, how);
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	peer->ended = true;
	/* Every call gets its answer before the owner hears of the end. */
	peer_hold(peer);
	break_links(peer, how);
	if (!peer->freed)
		peer->on_exit(peer->data, how);
	peer_release(peer);
	return 0;
}

static struct peer *peer_new(sd_event *event, const char *name, const char *socket_path,
			     peer_exit_fn on_exit, void *data)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	*peer = (struct peer){.event = event, .pidfd = -1, .namespaces = {-1, -1},
			      .on_exit = on_exit, .data = data};
	peer->name = strdup(name);
	peer->socket_path = strdup(socket_path);
	if (!peer->name || !peer->socket_path) {
		peer_free(peer);
		return NULL;
	}
	return peer;
}

static int peer_watch(struct peer *peer)
{
	int error = sd_event_add_io(peer->event, &peer->exit_source, peer->pidfd, EPOLLIN,
				    on_process_exit, peer);
	if (error >= 0)
		/* Answers that a dying process still sent are handled before its death. */
		error = sd_event_source_set_priority(peer->exit_source, SD_EVENT_PRIORITY_IDLE);
	return error < 0 ? error : 0;
}

int peer_spawn(sd_event *event, const char *executable, const char *name, const char *socket_path,
	       enum spawn_isolation isolation, peer_exit_fn on_exit, void *data, struct peer **out)
{
	struct peer *peer = peer_new(event, name, socket_path, on_exit, data);
	int listen_fd = -1, error = -ENOMEM;

	if (!peer)
		return error;
	error = listen_fd = unix_listen(socket_path, 0600);
	if (listen_fd < 0)
		goto fail;
	error = spawn(executable, name, listen_fd, isolation, &peer->identity.pid, &peer->pidfd,
		      peer->namespaces);
	if (error)
		goto fail;
	error = peer_watch(peer);
	if (!error)
		error = peer_identity_of(&peer->identity);
	/* While we still hold the listening socket: a child that ends at once is then
	 * seen by its end, not as a refused connection. */
	if (!error)
		error = link_open(peer, &peer->calls);
	if (!error) {
		close(listen_fd);
		*out = peer;
		return 0;
	}
	kill(peer->identity.pid, SIGKILL);
	waitpid(peer->identity.pid, NULL, 0);
fail:
	if (listen_fd >= 0)
		unlink(socket_path); /* else it is another's, or none */
	fd_close(&listen_fd);
	peer_free(peer);
	return error;
}

int peer_adopt(sd_event *event, struct peer_identity identity, const char *socket_path,
	       peer_exit_fn on_exit, void *data, struct peer **out)
{
	struct peer *peer = peer_new(event, socket_path, socket_path, on_exit, data);

	if (!peer)
		return -ENOMEM;
	peer->identity = identity;
	/* The pidfd first: it pins the process whose start time is then compared. */
	peer->pidfd = pidfd_open(identity.pid, 0);
	int error = peer->pidfd < 0 ? -errno : peer_watch(peer);
	if (!error)
		error = spawn_check_alive(identity.pid, identity.start_time);
	if (!error)
		error = link_open(peer, &peer->calls);
	if (error) {
		peer_free(peer);
		return error;
	}
	*out = peer;
	return 0;
}

struct peer_identity peer_identity(const struct peer *peer)
{
	return peer->identity;
}

void peer_set_exit(struct peer *peer, peer_exit_fn on_exit)
{
	peer->on_exit = on_exit;
}

bool peer_has_ended(const struct peer *peer)
{
	struct pollfd process = {.fd = peer->pidfd, .events = POLLIN};

	return poll(&process, 1, 0) == 1;
}

void peer_kill(struct peer *peer)
{
	if (peer->pidfd >= 0 && pidfd_send_signal(peer->pidfd, SIGKILL, NULL, 0) < 0 &&
	    errno != ESRCH)
		log_error("%s: cannot be killed: %m", peer->name);
}

