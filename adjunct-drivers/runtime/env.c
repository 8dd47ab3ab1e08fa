/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions a driver reaches the outside with (struct adj_env). log may be
 * called from any thread, the others only from the thread that calls the driver.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "registers.h"
#include "runtime.h"

const char *adj_event_name(enum adj_event event)
{
	static const char *const names[] = {
		[ADJ_EVENT_LINK_DOWN] = "link-down",
		[ADJ_EVENT_LINK_UP] = "link-up",
		[ADJ_EVENT_DEVICE_RESET] = "device-reset",
		[ADJ_EVENT_DEVICE_FAILED] = "device-failed",
		[ADJ_EVENT_PARTITION_PROTOCOL] = "partition-protocol",
	};

	return names[event];
}

__attribute__((format(printf, 3, 4)))
static void env_log(const struct adj_env *env, enum adj_log_level level, const char *format, ...)
{
	static const enum log_level levels[] = {
		[ADJ_LOG_ERROR] = LOG_LEVEL_ERROR,
		[ADJ_LOG_WARNING] = LOG_LEVEL_WARNING,
		[ADJ_LOG_INFO] = LOG_LEVEL_INFO,
		[ADJ_LOG_DEBUG] = LOG_LEVEL_DEBUG,
	};
	char line[MESSAGE_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (level == ADJ_LOG_ERROR) {
		struct runtime *rt = env->runtime;

		/* Threads of DPDK log too; a torn message is still a message. */
		snprintf(rt->last_error, sizeof(rt->last_error), "%s", line);
	}
	donated_shield();
	log_line(levels[level], "%s: %s", env->name, line);
	donated_unshield();
	registers_clear(); /* the C library's formatting used some */
}

static void env_post_event(const struct adj_env *env, enum adj_event event)
{
	if (donated_post(env->runtime, event))
		return;
	control_post_event(env->runtime, event, NULL);
	events_post(env->runtime, event);
}

void runtime_ring_partition(const struct runtime *rt)
{
	const uint64_t one = 1;

	/* EAGAIN: the counter is full, so the partition has been rung enough. */
	if (write(rt->env.port.bell_partition_fd, &one, sizeof(one)) < 0)
		return;
}

static void env_wake_partition(const struct adj_env *env, enum adj_direction direction)
{
	if (!events_complete(env->runtime, direction))
		runtime_ring_partition(env->runtime);
}

static int *watched_find(struct runtime *rt, int fd)
{
	for (unsigned i = 0; i < ADJ_WAKE_SOURCES_MAX; i++)
		if (rt->watched[i] == fd)
			return &rt->watched[i];
	return NULL;
}

static int env_watch(const struct adj_env *env, int fd, bool readable, bool writable)
{
	struct runtime *rt = env->runtime;
	struct epoll_event event = {
		.events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0),
		.data.fd = fd,
	};
	int *slot = watched_find(rt, fd);

	/* The partition that lends us its processor does not ring for us. Nor may what is
	 * ready keep the control thread awake until the driver is dispatched. */
	if (rt->donated && fd == env->port.bell_adjunct_fd)
		return 0;
	if (rt->donated)
		event.events |= EPOLLONESHOT;
	if (!readable && !writable) {
		if (!slot)
			return 0;
		*slot = -1;
		return epoll_ctl(rt->epoll_all, EPOLL_CTL_DEL, fd, NULL) ? -errno : 0;
	}
	if (slot)
		rt->watched_events[slot - rt->watched] = event.events;
	if (slot)
		return epoll_ctl(rt->epoll_all, EPOLL_CTL_MOD, fd, &event) ? -errno : 0;
	slot = watched_find(rt, -1);
	if (!slot)
		return -ENOSPC;
	if (epoll_ctl(rt->epoll_all, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	*slot = fd;
	rt->watched_events[slot - rt->watched] = event.events;
	return 0;
}

bool runtime_watches(struct runtime *rt, int fd)
{
	return watched_find(rt, fd) != NULL;
}

void runtime_unwatch_all(struct runtime *rt)
{
	for (unsigned i = 0; i < ADJ_WAKE_SOURCES_MAX; i++)
		if (rt->watched[i] >= 0)
			(void)env_watch(&rt->env, rt->watched[i], false, false);
}

void runtime_env_init(struct runtime *rt)
{
	memset(rt->watched, 0xff, sizeof(rt->watched)); /* every slot -1 */
	rt->vfio_group = -1;
	rt->env = (struct adj_env){
		.name = rt->ops->name, /* until Start names it */
		.port = {.tap_fd = -1, .bell_adjunct_fd = -1, .bell_partition_fd = -1},
		.log = env_log,
		.post_event = env_post_event,
		.wake_partition = env_wake_partition,
		.now_ns = clock_now_ns,
		.watch = env_watch,
		.gather = memory_gather_part,
		.runtime = rt,
	};
}
