/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to child processes. A connection answers in order, so the pending calls form a
 * queue and the oldest deadline is the next one. Event-loop thread.
 */
#include "peer_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "../shim.h"

struct pending {
	struct pending *next;
	peer_answer_fn callback;
	void *data;
	uint64_t deadline_ns; /* 0: none */
	uint64_t timeout_ms;
	char method[64];
};

/* For want of memory of ours a child seems to be silent, or worse, and whoever asked it
 * something would end it: rather the shim ends, and the next one asks again. */
static int unless_memory(int error)
{
	if (error == -ENOMEM)
		memory_end();
	return error;
}

/* ---- Connections ---------------------------------------------------------- */

void link_free(struct link *link)
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

void link_break(struct link *link, const char *problem)
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

	if (unless_memory(varlink_answer_from(message, &answer))) {
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
	result = unless_memory(next < 0 ? next : result);
	if (result == -ECONNRESET && peer_describe_end(link->peer, WNOWAIT, how)) {
		link_break(link, how);
	} else if (result == -ECONNRESET) {
		link_break(link, "closed its control connection");
		link->replaceable = true;
	} else if (result == -EPROTO) {
		link_break(link, "broke the control protocol");
	} else if (result < 0) {
		/* We lack something else, which may be over when it is called the next time. */
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

int link_open(struct peer *peer, struct link **out)
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
	int error = unless_memory(link_open(peer, &link));

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

	if (!pending)
		memory_end();
	if (link->broken) {
		/* Answered from the loop, as every call is. */
		json_decref(parameters);
		if (!link->refuse &&
		    sd_event_add_defer(peer->event, &link->refuse, on_link_refuse, link) < 0)
			memory_end(); /* it lacks nothing else */
		sd_event_source_set_enabled(link->refuse, SD_EVENT_ONESHOT);
		return;
	}
	int error = link_set_timer(link, pending);
	if (error >= 0)
		error = varlink_request(link->conn, method, parameters, 0, fds, fd_count);
	else
		json_decref(parameters);
	if (unless_memory(error) < 0) {
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
