/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often a process that ends unasked is started anew: the first time at once,
 * then after ever longer waits, and after RESPAWN_DEATHS_MAX in a row no more.
 * Adapters and partitions have one each; adjuncts, which keep their device's
 * state while they are replaced, have recover.c. Event-loop thread.
 */
#include "clock.h"
#include "../shim.h"

/* Service for so long, and earlier ends are forgotten. */
#define STEADY_NS (2 * NS_PER_S)
#define FIRST_WAIT_US (50 * 1000)

void respawn_serves(struct respawn *respawn)
{
	respawn->serves_since_ns = clock_now_ns();
}

void respawn_forget(struct respawn *respawn)
{
	respawn->timer = sd_event_source_disable_unref(respawn->timer);
	*respawn = (struct respawn){0};
}

bool respawn_later(struct respawn *respawn, sd_event *event, sd_event_time_handler_t again,
		   void *data)
{
	uint64_t since_ns = respawn->serves_since_ns;

	if (since_ns && clock_now_ns() - since_ns > STEADY_NS)
		respawn->deaths = 0;
	respawn->serves_since_ns = 0;
	if (++respawn->deaths > RESPAWN_DEATHS_MAX)
		return false;
	uint64_t wait_us =
		respawn->deaths < 2 ? 0 : (uint64_t)FIRST_WAIT_US << (respawn->deaths - 2);
	respawn->timer = sd_event_source_disable_unref(respawn->timer);
	return sd_event_add_time_relative(event, &respawn->timer, CLOCK_MONOTONIC, wait_us, 1000,
					  again, data) >= 0;
}
