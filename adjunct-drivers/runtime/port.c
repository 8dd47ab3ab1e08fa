/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The partition's end of an adjunct: its TAP interface, its guest's socket, or the window
 * of a program, taken from the call that brought it and checked; and the methods
 * AttachPort and DetachPort, by which programs come and go (000, FIG. 7, step 775).
 * Called by start.c and control.c on the serving thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net_layout.h"
#include "start_request.h"

void runtime_port_close(struct runtime *rt)
{
	struct adj_port *port = &rt->env.port;
	int *fds[] = {&port->tap_fd, &port->bell_adjunct_fd, &port->bell_partition_fd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	if (port->window)
		munmap(port->window, rt->window_bytes);
	port->window = NULL;
	if (port->inflight)
		munmap(port->inflight, ADJ_INFLIGHT_BYTES);
	port->inflight = NULL;
}

/* Maps what others hold too; the mapping keeps the memory, `fd` is closed. */
static int shared_map(struct runtime *rt, const char *what, int fd, size_t bytes,
		      enum memory_pages pages, void **out)
{
	int result = descriptor_check_memory(&rt->env, what, fd, bytes);

	if (!result) {
		result = memory_map_shared(fd, bytes, pages, out);
		if (result)
			rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot map the %s: %s", what,
				    strerror(-result));
	}
	close(fd);
	return result;
}

/* Takes the window, doorbells and record that stand from descriptor `first` on. */
int runtime_window_open(struct runtime *rt, struct varlink_call *call, unsigned first,
			enum memory_pages pages)
{
	struct adj_port *port = &rt->env.port;
	struct net_layout layout;
	void *inflight;
	int result = net_layout_compute(port->ring_entries, &layout);

	if (result)
		return result;
	port->bell_adjunct_fd = varlink_call_take_fd(call, first + 1);
	port->bell_partition_fd = varlink_call_take_fd(call, first + 2);
	rt->window_bytes = layout.size_bytes;
	result = shared_map(rt, "window", varlink_call_take_fd(call, first), layout.size_bytes, pages,
			    &port->window);
	if (!result) {
		result = shared_map(rt, "in-flight record", varlink_call_take_fd(call, first + 3),
				    ADJ_INFLIGHT_BYTES, pages, &inflight);
		port->inflight = result ? NULL : inflight;
	}
	if (!result)
		result = descriptor_check_eventfd(&rt->env, "adjunct's doorbell",
						  port->bell_adjunct_fd);
	if (!result)
		result = descriptor_check_eventfd(&rt->env, "partition's doorbell",
						  port->bell_partition_fd);
	return result;
}

/* The port's descriptors stand from `first` on. */
int runtime_port_open(struct runtime *rt, struct varlink_call *call, unsigned first)
{
	struct adj_port *port = &rt->env.port;
	int result = 0;

	switch (port->kind) {
	case ADJ_PORT_VHOST_USER:
		port->vhost_path = rt->vhost_path;
		break;
	case ADJ_PORT_TAP:
		port->tap_fd = varlink_call_take_fd(call, first);
		result = descriptor_check_tap(&rt->env, port->tap_fd);
		break;
	case ADJ_PORT_NATIVE:
		if (port->ring_entries)
			result = runtime_window_open(rt, call, first, PAGES_NOW);
		break;
	}
	if (result)
		runtime_port_close(rt);
	return result;
}

/* The window's last part, once the driver has the others. */
int runtime_service_attach(struct runtime *rt, bool recover)
{
	int result = service_open(rt, recover);

	if (!result)
		donated_attach(rt, recover);
	return result;
}

/* ---- Programs that come and go ----------------------------------------- */

static bool is_native(struct runtime *rt, struct varlink_call *call)
{
	/* A standby does not know yet what its port will be: it takes our word. */
	bool native = rt->state == RUNTIME_PREPARED ||
		      (rt->state == RUNTIME_SERVING && rt->env.port.kind == ADJ_PORT_NATIVE);

	if (!native)
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState",
			       "%s serves no native port now", rt->env.name);
	return native;
}

void runtime_port_detach(struct runtime *rt)
{
	if (donated_hold(rt)) {
		/* The window is not ours any more. Another adjunct takes over. */
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "ends, as it cannot let go of its program");
		_exit(1);
	}
	if (rt->state == RUNTIME_SERVING)
		rt->ops->detach(rt->driver);
	service_close(rt);
	donated_detach(rt);
	runtime_port_close(rt);
	rt->env.port.ring_entries = 0;
}

void attach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = clients_named(context, call, parameters);
	uint32_t ring_entries;

	if (!rt || !is_native(rt, call))
		return;
	if (!request_ring_entries(parameters, &ring_entries)) {
		varlink_error_parameter(call, "ring_entries");
		return;
	}
	if (varlink_call_fd_count(call) != WINDOW_FDS) {
		varlink_error_parameter(call, "descriptors");
		return;
	}
	runtime_port_detach(rt);
	rt->env.port.ring_entries = ring_entries;
	rt->last_error[0] = '\0';
	/* A standby has it while the program is at work; a client's neighbours wait for us. */
	enum memory_pages pages = rt->global			 ? PAGES_LATER
				  : rt->state == RUNTIME_SERVING ? PAGES_HUGE
								 : PAGES_NOW;
	int result = runtime_window_open(rt, call, 0, pages);

	if (!result && rt->state == RUNTIME_SERVING)
		result = rt->ops->attach(rt->driver);
	if (!result && rt->state == RUNTIME_SERVING)
		result = runtime_service_attach(rt, false);
	if (result) {
		runtime_port_detach(rt);
		runtime_answer_failed(rt, call, result);
		return;
	}
	varlink_reply(call, NULL);
}

void detach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = clients_named(context, call, parameters);

	if (!rt || !is_native(rt, call))
		return;
	runtime_port_detach(rt);
	varlink_reply(call, NULL);
}
