/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replacing an adjunct while its partition goes on (design decision 5): the
 * interface, the window or the socket stay; the process, its memory and the
 * state of the function behind them are new. Done when an adjunct dies or loses
 * its device, on request, and where it is to have another processor. One that keeps
 * dying is tried ever less often, then the device has failed. Event-loop thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "shim.h"

#define DEVICE_DEATHS_MAX 6
/* Service for so long, and earlier deaths are forgotten. Those whose adapter went
 * away do not count: the adapter's own do (respawn.c). */
#define DEVICE_STEADY_NS (200 * NS_PER_MS)
/* The first new adjunct comes at once; each further one waits twice as long. */
#define RETRY_FIRST_MS 50

/* Tells it, but not before the death that led to it. */
void device_restarted(struct device *device)
{
	char text[160];

	device->restart_untold = device->leaving != NULL;
	if (device->restart_untold)
		return;
	int length = snprintf(text, sizeof(text), "a new adjunct took over after %.1f ms",
			      (double)device->gap_ns / NS_PER_MS);
	if (device->reset_ns)
		snprintf(text + length, sizeof(text) - (size_t)length,
			 ": %.1f until the old one had gone, %.1f for the function's reset",
			 (double)device->leave_ns / NS_PER_MS, (double)device->reset_ns / NS_PER_MS);
	device_event(device, "adjunct-restarted", text);
}

static void begin(struct device *device)
{
	device_close_fds(device);
	device->state = STATE_STARTING;
	device->walk = device_recover_steps;
	device->step = 0;
	clients_recover(device);
	/* Saved when it is over: files take longer than all of it. A shim that finds the
	 * dead adjunct in the saved state starts the device anew. */
}

void device_recover_end(struct device *device)
{
	device->recover_timer = sd_event_source_disable_unref(device->recover_timer);
	free(device->adjunct_state);
	device->adjunct_state = NULL;
}

void device_restart_answer(struct device *device, const char *problem)
{
	struct varlink_call *call = device->restart_call;

	device->restart_call = NULL;
	if (!call)
		return;
	if (problem)
		varlink_errorf(call, "org.outrigger.Shim.Failed", "adjunct %s.%s: %s",
			       device->partition->name, device->spec.name, problem);
	else
		varlink_reply(call, json_pack("{s:I,s:I,s:I}", "gap_ns", (json_int_t)device->gap_ns,
					      "leave_ns", (json_int_t)device->leave_ns, "reset_ns",
					      (json_int_t)device->reset_ns));
}

void device_recover(struct device *device, const char *format, ...)
{
	char why[SHIM_MESSAGE_BYTES - 100];
	uint64_t now_ns = clock_now_ns();
	va_list arguments;

	if (device_undoing(device) || device->state == STATE_FAILED)
		return;
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	if (device->state == STATE_RUNNING) {
		device->down_since_ns = now_ns;
		if (now_ns - device->running_since_ns > DEVICE_STEADY_NS)
			device->deaths = 0;
	}
	bool adapter = adapter_is_ready(device);

	device->deaths += adapter;
	if (device->deaths > DEVICE_DEATHS_MAX) {
		device_fail(device, "%s, for the %uth time in a row; apply the document again to try "
			    "it again", why, device->deaths);
		return;
	}
	if (adapter)
		device_event(device, "adjunct-died", why);
	/* Else device_ground_lost() tells it, now or when the adapter's end is known. */
	begin(device);
	device_walk(device);
}

/* ---- A death that the kernel is not through with ------------------------------------ */

static void on_left(void *data, const char *how)
{
	struct device *device = data;
	char why[SHIM_MESSAGE_BYTES];

	peer_free(device->leaving);
	device->leaving = NULL;
	snprintf(why, sizeof(why), "its adjunct %s", how);
	device_event(device, "adjunct-died", why);
	if (device->restart_untold)
		device_restarted(device);
	/* The step that ends adjuncts waits for both. */
	if (device_undoing(device) && device->step == DEVICE_STOP_END_STEP && device->waiting &&
	    !device->adjunct)
		device_step_done(device, NULL);
}

/*
 * The kernel needs some hundred microseconds to take back a dead process's memory, and
 * the shim some time to find out what of: its successor need not wait for either, if it
 * is ready and can have the device.
 */
void device_on_adjunct_death(void *data)
{
	struct device *device = data;
	uint64_t now_ns = clock_now_ns();

	if (device->state != STATE_RUNNING || device->leaving || !device->standby_ready ||
	    !adapter_is_ours(device->adapter) || !adapter_is_ready(device) ||
	    now_ns - device->running_since_ns <= DEVICE_STEADY_NS)
		return; /* its end will be heard of */
	peer_disconnect(device->adjunct);
	device->leaving = device->adjunct;
	device->adjunct = NULL;
	peer_set_exit(device->leaving, on_left, NULL);
	log_debug("device %s/%s: its adjunct is dead, and the next one need not wait until it is gone",
		  device->partition->name, device->spec.name);
	device_vhost_detach(device, true);
	device->attaching = false;
	device->down_since_ns = now_ns;
	device->deaths = 1;
	begin(device);
	device_walk(device);
}

void device_recover_failed(struct device *device, const char *problem)
{
	bool failed = device->adapter->state == STATE_FAILED ||
		      device->partition->state == STATE_FAILED;

	device->deaths += adapter_is_ready(device);
	if (failed || device->deaths > DEVICE_DEATHS_MAX) {
		snprintf(device->message, sizeof(device->message),
			 "no new adjunct could take over: %.250s", problem);
		device_event(device, "device-failed", device->message);
		device->walk = device_stop_steps;
		device->step = 0;
		device->state = STATE_STOPPING;
		return;
	}
	begin(device);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *data)
{
	struct device *device = data;

	(void)source;
	(void)usec;
	device->recover_timer = sd_event_source_disable_unref(device->recover_timer);
	device_step_done(device, NULL);
	return 0;
}

int device_wait_before_retry(struct device *device)
{
	device->leave_ns = clock_now_ns() - device->down_since_ns;
	if (device->deaths < 2)
		return 1;
	uint64_t wait_us = (uint64_t)RETRY_FIRST_MS * 1000 << (device->deaths - 2);

	log_info("device %s/%s: waits %.1f s before another try", device->partition->name,
		 device->spec.name, (double)wait_us / 1e6);
	int error = sd_event_add_time_relative(device->partition->shim->event, &device->recover_timer,
					       CLOCK_MONOTONIC, wait_us, 1000, on_retry, device);
	if (error < 0)
		snprintf(device->message, sizeof(device->message), "no timer: %s", strerror(-error));
	return error < 0 ? error : 0;
}

static void take_over(struct device *device)
{
	device->down_since_ns = clock_now_ns();
	device->deaths = 0;
	begin(device);
	device_walk(device);
}

void device_recover_adopted(struct device *device)
{
	log_info("device %s/%s: another adjunct takes over", device->partition->name,
		 device->spec.name);
	take_over(device);
}

static void on_restart_caller_gone(void *data)
{
	struct device *device = data;

	device->restart_call = NULL;
}

void device_restart_adjunct(struct device *device, struct varlink_call *call)
{
	if (device->state != STATE_RUNNING || device->restart_call) {
		varlink_errorf(call, "org.outrigger.Shim.Busy", "adjunct %s.%s is %s",
			       device->partition->name, device->spec.name,
			       object_state_name(device->state));
		return;
	}
	device->restart_call = call;
	varlink_call_on_cancel(call, on_restart_caller_gone, device);
	take_over(device);
}

void device_change_cpu(struct device *device, const struct doc_device *spec)
{
	device->spec.adjunct.cpu = spec->adjunct.cpu;
	device->spec.vf = spec->vf; /* the function is set up anew on the way */
	standby_end(device);	    /* it was prepared for the other */
	take_over(device);
}
