/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The methods Prepare and Start: checks every parameter and descriptor, takes what was
 * donated, and brings the driver up (000, FIG. 7, steps 760 to 770). And the
 * methods AttachPort and DetachPort, by which programs come and go (775). What is
 * wrong with the request leaves the adjunct empty, and Start may be called
 * again; once DPDK or the driver has begun and failed, the process is of no
 * further use. Called by control.c on the serving thread.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net_layout.h"
#include "runtime.h"

#define MEMORY_UNIT_BYTES ((json_int_t)1 << 20)
#define MEMORY_BYTES_MAX ((json_int_t)1 << 40)
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20) /* of x86-64, and of others with 4 KiB pages */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* linux/mman.h of 6.1 */
#endif
#define WINDOW_FDS 4 /* the window, two doorbells, the in-flight record */
#define MTU_MIN 68   /* RFC 791 */
#define MTU_MAX 2016 /* net_layout.h's frame less header and VLAN tag */

/* Everything Start was given, before anything acts on it. */
struct start_request {
	const char *name, *device, *cpu, *state, *path;
	size_t memory_bytes;
	json_int_t taken; /* -1: the device does not count */
	struct adj_port port; /* descriptors still -1 */
	unsigned fds;         /* that must come along */
	bool window_kept;     /* unless the standby has the window already */
};

/* ---- Parameters -------------------------------------------------------- */

/* Printable, not empty, short enough: such a string can be logged and passed on. */
static const char *text_get(json_t *object, const char *key, size_t bytes_max)
{
	const char *text = json_string_value(json_object_get(object, key));
	size_t length = text ? strlen(text) : 0;

	if (!length || length >= bytes_max)
		return NULL;
	for (size_t i = 0; i < length; i++)
		if (!isprint((unsigned char)text[i]))
			return NULL;
	return text;
}

static bool integer_get(json_t *object, const char *key, json_int_t low, json_int_t high,
			json_int_t *out)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		return false;
	*out = json_integer_value(value);
	return *out >= low && *out <= high;
}

/* Six octets; a station's own address: neither a group's nor zero. */
static bool mac_parse(const char *text, uint8_t mac[6])
{
	unsigned octet[6];
	char after;

	if (!text || strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &octet[0], &octet[1], &octet[2], &octet[3],
		   &octet[4], &octet[5], &after) != 6)
		return false;
	unsigned all = 0;

	for (int i = 0; i < 6; i++) {
		mac[i] = (uint8_t)octet[i];
		all |= octet[i];
	}
	return all && !(mac[0] & 1);
}

static bool ring_entries_get(json_t *object, uint32_t *out)
{
	struct net_layout layout;
	json_int_t number;

	if (!integer_get(object, "ring_entries", 2, 65536, &number) ||
	    net_layout_compute((uint32_t)number, &layout))
		return false;
	*out = (uint32_t)number;
	return true;
}

/* NULL, or the name of the parameter that is wrong. */
static const char *port_parse(json_t *port, struct start_request *out)
{
	const char *kind = text_get(port, "kind", 16);
	json_int_t number;

	if (!kind)
		return "port.kind";
	if (!mac_parse(text_get(port, "mac", 18), out->port.mac))
		return "port.mac";
	if (!integer_get(port, "mtu", MTU_MIN, MTU_MAX, &number))
		return "port.mtu";
	out->port.mtu = (uint16_t)number;
	if (!strcmp(kind, "tap")) {
		out->port.kind = ADJ_PORT_TAP;
		out->fds = 2;
		return NULL;
	}
	if (!strcmp(kind, "vhost-user")) {
		out->port.kind = ADJ_PORT_VHOST_USER;
		out->fds = 1;
		out->path = text_get(port, "path", sizeof(((struct runtime *)0)->vhost_path));
		return out->path && out->path[0] == '/' ? NULL : "port.path";
	}
	if (strcmp(kind, "native"))
		return "port.kind";
	out->port.kind = ADJ_PORT_NATIVE;
	out->fds = 1;
	if (!json_object_get(port, "ring_entries"))
		return NULL; /* no program yet: AttachPort brings the window */
	out->fds += WINDOW_FDS;
	return ring_entries_get(port, &out->port.ring_entries) ? NULL : "port.ring_entries";
}

/* What Prepare and Start both say. */
static const char *request_parse_common(json_t *parameters, struct start_request *out)
{
	json_int_t number;

	out->name = text_get(parameters, "name", sizeof(((struct runtime *)0)->name));
	out->device = text_get(parameters, "device", sizeof(((struct runtime *)0)->device));
	if (!out->name)
		return "name";
	if (!out->device)
		return "device";
	if (!integer_get(parameters, "memory_bytes", MEMORY_UNIT_BYTES, MEMORY_BYTES_MAX,
			 &number) ||
	    number % MEMORY_UNIT_BYTES)
		return "memory_bytes";
	out->memory_bytes = (size_t)number;
	return NULL;
}

static const char *request_parse(json_t *parameters, struct start_request *out)
{
	json_t *port = json_object_get(parameters, "port");
	json_t *state = json_object_get(parameters, "state");
	json_t *taken = json_object_get(parameters, "taken");

	*out = (struct start_request){
		.taken = -1,
		.cpu = text_get(parameters, "cpu", 16),
		.port = {.tap_fd = -1, .bell_adjunct_fd = -1, .bell_partition_fd = -1},
	};
	const char *wrong = request_parse_common(parameters, out);

	if (wrong)
		return wrong;
	if (!out->cpu || (strcmp(out->cpu, "shared") && strcmp(out->cpu, "dedicated")))
		return "cpu";
	if (state && !json_is_null(state)) {
		out->state = json_string_value(state);
		if (!out->state)
			return "state";
	}
	if (taken && !json_is_null(taken) &&
	    !integer_get(parameters, "taken", 0, UINT32_MAX, &out->taken))
		return "taken";
	return json_is_object(port) ? port_parse(port, out) : "port";
}

/* ---- What was donated -------------------------------------------------- */

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
static int shared_map(struct runtime *rt, const char *what, int fd, size_t bytes, void **out)
{
	int result = descriptor_check_memory(&rt->env, what, fd, bytes);
	void *memory = result ? MAP_FAILED
			      : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_POPULATE, fd, 0);

	if (!result && memory == MAP_FAILED) {
		result = -errno;
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot map the %s: %s", what,
			    strerror(-result));
	}
	close(fd);
	if (!result)
		*out = memory;
	return result;
}

/* Takes the window, doorbells and record that stand from descriptor `first` on. */
static int window_open(struct runtime *rt, struct varlink_call *call, unsigned first)
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
	result = shared_map(rt, "window", varlink_call_take_fd(call, first), layout.size_bytes,
			    &port->window);
	if (!result) {
		result = shared_map(rt, "in-flight record", varlink_call_take_fd(call, first + 3),
				    ADJ_INFLIGHT_BYTES, &inflight);
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
static int port_open(struct runtime *rt, struct varlink_call *call, unsigned first)
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
			result = window_open(rt, call, first);
		break;
	}
	if (result)
		runtime_port_close(rt);
	return result;
}

/* ---- Bringing up ------------------------------------------------------- */

static int memory_take(struct runtime *rt, int memory_fd)
{
	if (rt->ops->uses_dpdk) {
		if (!eal_start) {
			rt->env.log(&rt->env, ADJ_LOG_ERROR, "image was linked without eal.c");
			return -ENOSYS;
		}
		return eal_start(&rt->env, memory_fd);
	}
	rt->env.memory =
		mmap(NULL, rt->env.memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (rt->env.memory == MAP_FAILED) {
		rt->env.memory = NULL;
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot map the donated memory: %s",
			    strerror(errno));
		return -errno;
	}
	return 0;
}

/*
 * Unless the donated memory is of huge pages already, the kernel gathers what was
 * touched into such pages, if it knows how (Linux 6.1) and may: fewer to map,
 * and far fewer for it to give back when this process dies, which its successor
 * must wait for. Takes milliseconds for each, so only a standby does it. Where
 * it does not work out, as where nothing was touched, small pages serve as well.
 */
static void memory_gather(struct runtime *rt)
{
	uintptr_t begin = (uintptr_t)rt->env.memory, end = begin + rt->env.memory_bytes;

	if (rt->memory_huge || begin % HUGE_PAGE_BYTES)
		return;
	for (uintptr_t at = begin; at + HUGE_PAGE_BYTES <= end; at += HUGE_PAGE_BYTES)
		(void)madvise((void *)at, HUGE_PAGE_BYTES, MADV_COLLAPSE);
}

static int driver_start(struct runtime *rt, const void *saved, int saved_bytes)
{
	void *driver = rt->prepared;
	int result = rt->ops->opens_nothing ? adjunct_confine_finish(rt->ops->syscalls) : 0;

	if (!result)
		result = rt->ops->init(&rt->env, &driver);
	if (result)
		return result;
	if (saved_bytes) {
		result = rt->ops->restore(driver, saved, (size_t)saved_bytes);
		if (result) {
			rt->ops->exit(driver);
			return result;
		}
	}
	result = adjunct_confine_finish(rt->ops->syscalls);
	if (result) {
		rt->ops->exit(driver);
		return result;
	}
	rt->driver = driver;
	return 0;
}

static void request_adopt_common(struct runtime *rt, const struct start_request *request)
{
	snprintf(rt->name, sizeof(rt->name), "%s", request->name);
	snprintf(rt->device, sizeof(rt->device), "%s", request->device);
	rt->env.name = rt->name;
	rt->env.device = rt->device;
	rt->env.memory_bytes = request->memory_bytes;
	rt->last_error[0] = '\0';
}

static void request_adopt(struct runtime *rt, const struct start_request *request)
{
	request_adopt_common(rt, request);
	snprintf(rt->vhost_path, sizeof(rt->vhost_path), "%s", request->path ? request->path : "");
	rt->dedicated = !strcmp(request->cpu, "dedicated");
	rt->env.device_counts = request->taken >= 0;
	rt->env.device_taken = request->taken >= 0 ? (uint32_t)request->taken : 0;
	if (!request->window_kept) {
		rt->env.port = request->port;
		return;
	}
	rt->env.port.kind = ADJ_PORT_NATIVE;
	memcpy(rt->env.port.mac, request->port.mac, sizeof(rt->env.port.mac));
	rt->env.port.mtu = request->port.mtu;
}

/*
 * NULL, or what is wrong. A standby has its memory already, and may have been
 * told of the program's window by AttachPort; what comes along is newer.
 */
static const char *descriptors_check(struct runtime *rt, struct varlink_call *call,
				     struct start_request *request)
{
	unsigned count = varlink_call_fd_count(call);

	if (rt->state == RUNTIME_PREPARED)
		request->fds--;
	request->window_kept = !count && request->fds == WINDOW_FDS &&
			       rt->env.port.bell_adjunct_fd >= 0 &&
			       request->port.ring_entries == rt->env.port.ring_entries;
	if (count != request->fds && !request->window_kept)
		return "descriptors";
	if (!request->window_kept)
		runtime_port_close(rt);
	return NULL;
}

static void answer_failed(struct runtime *rt, struct varlink_call *call, int error)
{
	varlink_errorf(call, "org.outrigger.Adjunct.DriverFailed", "%s: %s (%s)", rt->env.name,
		       rt->last_error[0] ? rt->last_error : "cannot start", strerror(-error));
}

/* Takes the donated memory, the call's first descriptor. On failure the state
 * says whether the process is still of use. */
static int donation_take(struct runtime *rt, struct varlink_call *call)
{
	int memory_fd = varlink_call_take_fd(call, 0);
	struct stat status;
	int result = descriptor_check_memory(&rt->env, "donated memory", memory_fd,
					     rt->env.memory_bytes);

	if (!result) {
		/* Of hugetlbfs a file's blocks are its pages. */
		rt->memory_huge = !fstat(memory_fd, &status) &&
				  status.st_blksize >= (long)HUGE_PAGE_BYTES;
		result = memory_take(rt, memory_fd);
		rt->state = result ? RUNTIME_FAILED : RUNTIME_PREPARED;
	}
	close(memory_fd);
	return result;
}

void prepare_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	struct start_request request = {0};
	const char *wrong = request_parse_common(parameters, &request);

	if (rt->state != RUNTIME_EMPTY || rt->stopping) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s was started before",
			       rt->env.name);
		return;
	}
	if (!wrong && varlink_call_fd_count(call) != 1)
		wrong = "descriptors";
	if (wrong) {
		varlink_error_parameter(call, wrong);
		return;
	}
	request_adopt_common(rt, &request);
	int result = donation_take(rt, call);

	if (!result && rt->ops->prepare)
		result = rt->ops->prepare(&rt->env, &rt->prepared);
	if (!result)
		memory_gather(rt);
	if (!result)
		result = rt->ops->opens_nothing ? adjunct_confine_finish(rt->ops->syscalls)
						: adjunct_confine_prepare(rt->ops->syscalls);
	if (result) {
		rt->state = RUNTIME_FAILED;
		answer_failed(rt, call, result);
		return;
	}
	varlink_reply(call, NULL);
}

/* NULL, or what does not go with what Prepare said. */
static const char *differs_from_prepared(const struct runtime *rt,
					 const struct start_request *request)
{
	if (strcmp(rt->device, request->device))
		return "device";
	return rt->env.memory_bytes != request->memory_bytes ? "memory_bytes" : NULL;
}

void start_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	static unsigned char saved[STATE_BYTES_MAX];
	struct runtime *rt = context;
	struct start_request request;
	const char *wrong = request_parse(parameters, &request);
	bool prepared = rt->state == RUNTIME_PREPARED;
	int saved_bytes = 0, result = 0;

	if ((rt->state != RUNTIME_EMPTY && !prepared) || rt->stopping) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState",
			       "%s was started before; an adjunct starts once", rt->env.name);
		return;
	}
	if (!wrong && prepared)
		wrong = differs_from_prepared(rt, &request);
	if (!wrong && request.state) {
		saved_bytes = base64_decode(request.state, saved, sizeof(saved));
		if (saved_bytes < 0)
			wrong = "state";
	}
	if (!wrong)
		wrong = descriptors_check(rt, call, &request);
	if (wrong) {
		varlink_error_parameter(call, wrong);
		return;
	}
	request_adopt(rt, &request);
	if (!request.window_kept)
		result = port_open(rt, call, prepared ? 0 : 1);
	if (!result && !prepared)
		result = donation_take(rt, call);
	if (!result) {
		result = driver_start(rt, saved, saved_bytes);
		rt->state = result ? RUNTIME_FAILED : RUNTIME_SERVING;
	}
	if (result) {
		runtime_unwatch_all(rt);
		runtime_port_close(rt);
		answer_failed(rt, call, result);
		return;
	}
	varlink_reply(call, NULL);
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

static void port_detach(struct runtime *rt)
{
	if (rt->state == RUNTIME_SERVING)
		rt->ops->detach(rt->driver);
	runtime_port_close(rt);
	rt->env.port.ring_entries = 0;
}

void attach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	uint32_t ring_entries;

	if (!is_native(rt, call))
		return;
	if (!ring_entries_get(parameters, &ring_entries)) {
		varlink_error_parameter(call, "ring_entries");
		return;
	}
	if (varlink_call_fd_count(call) != WINDOW_FDS) {
		varlink_error_parameter(call, "descriptors");
		return;
	}
	port_detach(rt);
	rt->env.port.ring_entries = ring_entries;
	rt->last_error[0] = '\0';
	int result = window_open(rt, call, 0);

	if (!result && rt->state == RUNTIME_SERVING)
		result = rt->ops->attach(rt->driver);
	if (result) {
		port_detach(rt);
		answer_failed(rt, call, result);
		return;
	}
	varlink_reply(call, NULL);
}

void detach_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;

	(void)parameters;
	if (!is_native(rt, call))
		return;
	port_detach(rt);
	varlink_reply(call, NULL);
}
