/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The methods Prepare and Start: checks every parameter and descriptor, takes what was
 * donated, and brings the driver up (000, FIG. 7, steps 760 to 770). What is
 * wrong with the request leaves the adjunct empty, and Start may be called
 * again; once DPDK or the driver has begun and failed, the process is of no
 * further use. Called by control.c on the serving thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "start_request.h"

/* ---- Bringing up ------------------------------------------------------- */

static int driver_start(struct runtime *rt, const void *saved, int saved_bytes)
{
	void *driver = rt->prepared;
	int result = rt->donated && !rt->lent.started ? donated_begin(rt) : 0;

	if (!result && rt->ops->opens_nothing)
		result = adjunct_confine_finish(rt->ops, rt->donated);
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
	result = adjunct_confine_finish(rt->ops, rt->donated);
	if (result) {
		rt->ops->exit(driver);
		return result;
	}
	rt->driver = driver;
	return 0;
}

/* A path in `text` that leads through the folder begins there. */
static void relative(const struct runtime *rt, const char *text, char *out, size_t out_bytes)
{
	size_t length = strlen(rt->folder);
	const char *folder = length ? strstr(text, rt->folder) : NULL;

	if (folder && folder[length] == '/')
		snprintf(out, out_bytes, "%.*s%s", (int)(folder - text), text, folder + length + 1);
	else
		snprintf(out, out_bytes, "%s", text);
}

static void request_adopt_common(struct runtime *rt, const struct start_request *request)
{
	snprintf(rt->name, sizeof(rt->name), "%s", request->name);
	relative(rt, request->device, rt->device, sizeof(rt->device));
	rt->env.name = rt->name;
	rt->env.device = rt->device;
	rt->env.memory_bytes = request->memory_bytes;
	rt->vfio_group = request->vfio_group;
	rt->donated = rt->charged = request->donated;
	rt->last_error[0] = '\0';
}

static void request_adopt(struct runtime *rt, const struct start_request *request)
{
	request_adopt_common(rt, request);
	relative(rt, request->path ? request->path : "", rt->vhost_path, sizeof(rt->vhost_path));
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

/* Of Start's descriptors the first is donated memory, and VFIO's begin with a container:
 * but for a standby, which has both. A spare has neither. */
static bool memory_comes(const struct runtime *rt)
{
	return rt->state != RUNTIME_PREPARED || rt->memory_later;
}

/*
 * NULL, or what is wrong. A standby has its memory already, and like a spare it may have
 * been told of the program's window by AttachPort; what comes along is newer.
 */
static const char *descriptors_check(struct runtime *rt, struct varlink_call *call,
				     struct start_request *request)
{
	unsigned memory = memory_comes(rt);

	request->fds -= !memory;
	request->vfio_fds -= !memory && request->vfio_fds;
	/* Fewer than VFIO's: a large number, which is wrong too. */
	unsigned count = varlink_call_fd_count(call) - request->vfio_fds;

	request->window_kept = count == memory && request->fds == memory + WINDOW_FDS &&
			       rt->env.port.bell_adjunct_fd >= 0 &&
			       request->port.ring_entries == rt->env.port.ring_entries;
	if (count != request->fds && !request->window_kept)
		return "descriptors";
	if (!request->window_kept)
		runtime_port_close(rt);
	return NULL;
}

void runtime_answer_failed(struct runtime *rt, struct varlink_call *call, int error)
{
	varlink_errorf(call, "org.outrigger.Adjunct.DriverFailed", "%s: %s (%s)", rt->env.name,
		       rt->last_error[0] ? rt->last_error : "cannot start", strerror(-error));
}

/* Of what the function may reach by itself the kernel takes as much memory as was
 * donated, and that has to be locked. Told once, before it can be told no more. */
static int limit_locked(const struct runtime *rt)
{
	return confine_limit(RLIMIT_MEMLOCK, rt->vfio_group < 0 ? 0 : rt->env.memory_bytes);
}

/*
 * VFIO's descriptors are the call's last: the container, unless Prepare brought it,
 * and the group, unless this is Prepare.
 */
static int vfio_take(struct runtime *rt, struct varlink_call *call, bool container, bool group)
{
	unsigned next = varlink_call_fd_count(call) - container - group;
	int result = 0;

	if (rt->vfio_group < 0)
		return 0;
	if (container)
		result = eal_vfio_container(&rt->env, varlink_call_take_fd(call, next++));
	if (!result && group)
		result = eal_vfio_group(&rt->env, (unsigned)rt->vfio_group,
					varlink_call_take_fd(call, next));
	return result;
}

/* Takes the donated memory, the call's first descriptor. On failure the state
 * says whether the process is still of use. */
static int donation_take(struct runtime *rt, struct varlink_call *call)
{
	int memory_fd = varlink_call_take_fd(call, 0);
	int result = descriptor_check_memory(&rt->env, "donated memory", memory_fd,
					     rt->env.memory_bytes);

	if (!result) {
		result = memory_take(rt, memory_fd);
		rt->state = result ? RUNTIME_FAILED : RUNTIME_PREPARED;
	}
	close(memory_fd);
	return result;
}

static int standby_prepare(struct runtime *rt, struct varlink_call *call, bool spare)
{
	int result = vfio_take(rt, call, true, false);

	if (!result)
		result = donation_take(rt, call);
	if (!result && rt->ops->prepare && !spare)
		result = rt->ops->prepare(&rt->env, &rt->prepared);
	if (!result && !spare)
		memory_gather(rt);
	return result;
}

/* All that can be done without donated memory. */
static int bare_prepare(struct runtime *rt)
{
	int result = rt->ops->uses_dpdk && eal_prepare ? eal_prepare(&rt->env) : 0;

	rt->state = result ? RUNTIME_FAILED : RUNTIME_PREPARED;
	return result;
}

void prepare_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	struct runtime *rt = context;
	struct start_request request;
	const char *wrong = request_parse_prepare(parameters, &request);

	if (rt->state != RUNTIME_EMPTY || rt->stopping) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState", "%s was started before",
			       rt->env.name);
		return;
	}
	if (!wrong && request.vfio_fds && !eal_vfio_container)
		wrong = "vfio_group"; /* an image without DPDK */
	unsigned count = varlink_call_fd_count(call);
	if (!wrong && count && count != request.fds + request.vfio_fds)
		wrong = "descriptors";
	if (wrong) {
		varlink_error_parameter(call, wrong);
		return;
	}
	snprintf(rt->folder, sizeof(rt->folder), "%s", request.folder ? request.folder : "");
	request_adopt_common(rt, &request);
	rt->memory_later = !count;
	int result = limit_locked(rt);

	if (!result && rt->donated)
		result = donated_begin(rt);
	if (!result)
		result = count ? standby_prepare(rt, call, request.spare) : bare_prepare(rt);
	if (!result)
		result = (rt->ops->opens_nothing ? adjunct_confine_finish
						 : adjunct_confine_prepare)(rt->ops, rt->donated);
	if (!result && request.folder && !rt->ops->opens_nothing)
		result = adjunct_confine_files(rt->folder);
	if (result) {
		rt->state = RUNTIME_FAILED;
		runtime_answer_failed(rt, call, result);
		return;
	}
	varlink_reply(call, NULL);
}

/* NULL, or what does not go with what Prepare said. */
static const char *differs_from_prepared(const struct runtime *rt,
					 const struct start_request *request)
{
	char device[sizeof(rt->device)];

	relative(rt, request->device, device, sizeof(device));
	if (strcmp(rt->device, device))
		return "device";
	if (rt->vfio_group != request->vfio_group)
		return "vfio_group";
	if (rt->env.memory_bytes != request->memory_bytes)
		return "memory_bytes";
	return rt->donated != request->donated ? "cpu" : NULL;
}

static json_t *started_json(void)
{
	uint64_t reset_ns = eal_vfio_reset_ns ? eal_vfio_reset_ns() : 0;

	return reset_ns ? json_pack("{s:I}", "reset_ns", (json_int_t)reset_ns) : NULL;
}

void start_handle(struct varlink_call *call, json_t *parameters, void *context)
{
	static unsigned char saved[STATE_BYTES_MAX];
	struct runtime *rt = context;
	struct start_request request;
	const char *wrong = request_parse_start(parameters, &request);
	bool prepared = rt->state == RUNTIME_PREPARED;
	int saved_bytes = 0, result = 0;

	if ((rt->state != RUNTIME_EMPTY && !prepared) || rt->stopping) {
		varlink_errorf(call, "org.outrigger.Adjunct.WrongState",
			       "%s was started before; an adjunct starts once", rt->env.name);
		return;
	}
	if (!wrong && request.vfio_fds && !eal_vfio_container)
		wrong = "vfio_group"; /* an image without DPDK */
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
		result = runtime_port_open(rt, call, memory_comes(rt));
	if (!result && !prepared)
		result = limit_locked(rt);
	if (!result)
		result = vfio_take(rt, call, memory_comes(rt), true);
	if (!result && memory_comes(rt))
		result = donation_take(rt, call);
	if (!result) {
		result = driver_start(rt, saved, saved_bytes);
		/* A program was there before us. */
		if (!result && rt->env.port.window)
			result = runtime_service_attach(rt, true);
		rt->state = result ? RUNTIME_FAILED : RUNTIME_SERVING;
	}
	if (result) {
		runtime_unwatch_all(rt);
		runtime_port_close(rt);
		runtime_answer_failed(rt, call, result);
		return;
	}
	rt->serving_since_ns = rt->env.now_ns();
	varlink_reply(call, started_json());
}
