/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing what takes the kernel milliseconds to give back; see close_later.h.
 * Called by device.c, peer.c and standby.c on the event loop's thread.
 */
#include "close_later.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

static void *close_it(void *data)
{
	/* Of this thread alone. Whoever serves has the processor first. */
	(void)setpriority(PRIO_PROCESS, 0, 19);
	close((int)(intptr_t)data);
	return NULL;
}

void close_apart(int *fd)
{
	sigset_t all, before;
	pthread_t thread;

	if (*fd < 0)
		return;
	/* Signals are the event loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, close_it, (void *)(intptr_t)*fd))
		close(*fd);
	else
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	*fd = -1;
}

static int on_later(sd_event_source *source, uint64_t usec, void *data)
{
	int fd = (int)(intptr_t)data;

	(void)usec;
	sd_event_source_disable_unref(source);
	close_apart(&fd);
	return 0;
}

void close_later(sd_event *event, int *fd)
{
	sd_event_source *source;

	if (*fd < 0)
		return;
	if (sd_event_get_state(event) != SD_EVENT_FINISHED &&
	    sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, AFTER_TAKEOVER_US, 0, on_later,
				       (void *)(intptr_t)*fd) >= 0)
		*fd = -1;
	else
		close_apart(fd);
}
