/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's events, and the connection to the shim on which they come; if that ends
 * with its shim, the attempts to have one again. Never blocks. Runs on the thread that
 * owns the handle.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "clock.h"
#include "otr_internal.h"

/* Between attempts to find the shim again. */
#define RETRY_FIRST_NS (50 * NS_PER_MS)
#define RETRY_MAX_NS (2 * NS_PER_S)

static void keep_event(struct otr_net *net, const char *event, const char *message)
{
	if (net->event_count == OTR_EVENTS_KEPT) { /* the oldest goes */
		net->event_first = (net->event_first + 1) % OTR_EVENTS_KEPT;
		net->event_count--;
	}
	struct otr_event *last =
		&net->events[(net->event_first + net->event_count++) % OTR_EVENTS_KEPT];
	snprintf(last->event, sizeof(last->event), "%s", event);
	snprintf(last->message, sizeof(last->message), "%s", message ? message : "");
}

/* The next attempt comes by itself, later each time: the timer wakes a sleeper. */
static void try_later(struct otr_net *net)
{
	uint64_t wait_ns = net->retry_after_ns;
	struct itimerspec once = {.it_value = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
					       .tv_nsec = (long)(wait_ns % NS_PER_S)}};

	net->retry_at_ns = clock_now_ns() + wait_ns;
	net->retry_after_ns = 2 * wait_ns < RETRY_MAX_NS ? 2 * wait_ns : RETRY_MAX_NS;
	/* It cannot fail with these arguments; arming it also quiets it. */
	timerfd_settime(net->retry_fd, 0, &once, NULL);
}

static void shim_lost(struct otr_net *net, const char *why)
{
	const struct itimerspec never = {0};

	varlink_conn_free(net->conn); /* its descriptor leaves the epoll set by closing */
	net->conn = NULL;
	net->resuming = false;
	if (!net->lost) {
		net->lost = true;
		net->retry_after_ns = RETRY_FIRST_NS;
		keep_event(net, "shim-lost", why);
	}
	if (net->gave_up || net->error)
		timerfd_settime(net->retry_fd, 0, &never, NULL);
	else
		try_later(net);
}

/* The answer of ResumeNet. 0, or -errno: this connection is of no use. */
static int take_resumed(struct otr_net *net, const struct varlink_answer *answer)
{
	if (answer->error && !strcmp(answer->error, "org.outrigger.Partition.NotFound")) {
		net->error = -ENODEV;
		keep_event(net, "device-closed", "the device was taken away while outriggerd was");
		return -ENODEV;
	}
	if (answer->error) {
		net->gave_up = !strncmp(answer->error, "org.varlink.service.",
					strlen("org.varlink.service."));
		return -EAGAIN;
	}
	const json_t *link = json_object_get(answer->parameters, "link");
	if (!json_is_boolean(link))
		return -EPROTO;
	net->resuming = net->lost = false;
	keep_event(net, "shim-back", "events may have been missed");
	keep_event(net, json_is_true(link) ? "link-up" : "link-down", "as it is now");
	return 0;
}

/* One answer of Monitor: an event of ours is kept. 0, or -errno: no more will come. */
static int take_answer(struct otr_net *net, struct varlink_message *message)
{
	struct varlink_answer answer;

	if (varlink_answer_from(message, &answer))
		return -EPROTO;
	if (net->resuming) {
		int resumed = take_resumed(net, &answer);

		varlink_answer_clear(&answer);
		return resumed;
	}
	const char *device = json_string_value(json_object_get(answer.parameters, "device"));
	const char *event = json_string_value(json_object_get(answer.parameters, "event"));
	int error = answer.error || !answer.continues ? -EPROTO : 0;
	if (!error && device && event && !strcmp(device, net->device)) {
		keep_event(net, event,
			   json_string_value(json_object_get(answer.parameters, "message")));
		if (!strcmp(event, "device-closed"))
			net->error = -ENODEV;
	}
	varlink_answer_clear(&answer);
	return error;
}

static int watch_fd(struct otr_net *net, int fd);

static int ask_for_events(struct otr_net *net)
{
	return varlink_request(net->conn, "org.outrigger.Partition.Monitor", NULL, VARLINK_MORE,
			       NULL, 0);
}

/* Connects and asks, without waiting for anything. */
static void try_now(struct otr_net *net)
{
	int error = varlink_connect(net->path, &net->conn);

	if (error) {
		try_later(net);
		return;
	}
	net->resuming = true;
	error = watch_fd(net, varlink_conn_fd(net->conn));
	if (!error)
		error = varlink_request(net->conn, "org.outrigger.Partition.ResumeNet",
					json_pack("{s:s}", "device", net->device), 0, NULL, 0);
	if (!error)
		error = ask_for_events(net);
	if (error)
		shim_lost(net, "");
}

/* Takes in what the shim sent; never blocks. */
void otr_events_read(struct otr_net *net)
{
	struct varlink_message message;

	if (!net->conn && !net->gave_up && !net->error && clock_now_ns() >= net->retry_at_ns)
		try_now(net);
	if (!net->conn)
		return;
	int flushed = varlink_conn_flush(net->conn);
	int got = varlink_conn_read(net->conn);
	int next = 0;
	while ((next = varlink_conn_next(net->conn, &message)) > 0) {
		next = take_answer(net, &message);
		if (next < 0)
			break;
	}
	if (flushed < 0 || got < 0 || next < 0)
		shim_lost(net, "the connection to outriggerd ended");
}

static int watch_fd(struct otr_net *net, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return otr_fail(-errno, "cannot watch the device: %s", strerror(errno));
	return 0;
}

int otr_events_start(struct otr_net *net)
{
	net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (net->epoll_fd < 0)
		return otr_fail(-errno, "cannot make an epoll instance: %s", strerror(errno));
	net->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (net->retry_fd < 0)
		return otr_fail(-errno, "cannot make a timer: %s", strerror(errno));
	int error = watch_fd(net, net->bells[NET_BELL_PARTITION]);
	if (!error)
		error = watch_fd(net, net->retry_fd);
	if (!error)
		error = watch_fd(net, varlink_conn_fd(net->conn));
	if (error)
		return error;
	error = ask_for_events(net);
	return error ? otr_fail(error, "cannot ask for events: %s", strerror(-error)) : 0;
}

int otr_net_event(struct otr_net *net, struct otr_event *out)
{
	if (!net->event_count)
		otr_events_read(net);
	if (!net->event_count)
		return 0;
	*out = net->events[net->event_first];
	net->event_first = (net->event_first + 1) % OTR_EVENTS_KEPT;
	net->event_count--;
	return 1;
}
