/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds adjuncts that hang instead of dying: each is asked for its status now
 * and then, and one that has not answered by the deadline is ended, which
 * recovery takes for any other death. The question is the one that statistics
 * ask, so an adjunct that works answers it between two bursts. Event-loop thread.
 */
#include <errno.h>

#include "log.h"
#include "shim.h"

/* A hang is noticed within the sum of the two. */
#define HEARTBEAT_PERIOD_MS 2000
#define HEARTBEAT_DEADLINE_MS 2000

static void on_beat(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	(void)answer;
	device->heartbeat_pending = false;
	if (!problem || device->state != STATE_RUNNING || !device->adjunct)
		return;
	/* One that has died is on its way to us, too; to kill it again is no harm. */
	log_warning("device %s/%s: its adjunct %s, and is ended", device->partition->name,
		    device->spec.name, problem);
	peer_kill(device->adjunct);
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *data)
{
	struct shim *shim = data;

	(void)usec;
	for (struct partition *p = shim->partitions; p; p = p->next)
		for (struct device *d = p->devices; d; d = d->next) {
			if (d->state != STATE_RUNNING || d->heartbeat_pending)
				continue;
			d->heartbeat_pending = true;
			peer_call(d->adjunct, "org.outrigger.Adjunct.GetStatus", NULL, NULL, 0,
				  HEARTBEAT_DEADLINE_MS, on_beat, d);
		}
	int error = sd_event_source_set_time_relative(source, HEARTBEAT_PERIOD_MS * 1000);
	return error < 0 ? error : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int heartbeat_start(struct shim *shim)
{
	int error = sd_event_add_time_relative(shim->event, NULL, CLOCK_MONOTONIC,
					       HEARTBEAT_PERIOD_MS * 1000, 100 * 1000, on_heartbeat,
					       shim);

	return error < 0 ? error : 0;
}
