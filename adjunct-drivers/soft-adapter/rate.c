/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Token bucket arithmetic; see rate.h for units and callers.
 */
#include "rate.h"

#include "clock.h"
#include "net_layout.h"

#define CREDIT_PER_BYTE 8000
#define CREDIT_PER_FRAME ((int64_t)NET_FRAME_MAX * CREDIT_PER_BYTE)
/* Long enough to sleep between bursts, short enough not to overrun a receiver. */
#define BURST_NS (2 * NS_PER_MS)

void rate_set(struct rate *rate, uint32_t mbps, uint64_t now_ns)
{
	int64_t depth = (int64_t)(mbps * BURST_NS);

	if (depth < 2 * CREDIT_PER_FRAME)
		depth = 2 * CREDIT_PER_FRAME;
	*rate = (struct rate){.mbps = mbps, .credit = depth, .depth = depth, .updated_ns = now_ns};
}

static void rate_earn(struct rate *rate, uint64_t now_ns)
{
	/* A time before the last one (two callers, one clock read) earns nothing. */
	uint64_t elapsed = now_ns > rate->updated_ns ? now_ns - rate->updated_ns : 0;
	uint64_t missing = (uint64_t)(rate->depth - rate->credit);

	rate->updated_ns += elapsed;
	if (elapsed > missing / rate->mbps)
		rate->credit = rate->depth;
	else
		rate->credit += (int64_t)(elapsed * rate->mbps);
}

unsigned rate_frames(struct rate *rate, uint64_t now_ns, unsigned most)
{
	int64_t frames;

	if (!rate->mbps)
		return most;
	rate_earn(rate, now_ns);
	if (rate->credit <= 0)
		return 0;
	frames = rate->credit / CREDIT_PER_FRAME;
	/* Less than a largest frame is enough for one: the debt is paid later. */
	if (frames < 1)
		return most ? 1 : 0;
	return frames < (int64_t)most ? (unsigned)frames : most;
}

void rate_spend(struct rate *rate, size_t bytes)
{
	if (rate->mbps)
		rate->credit -= (int64_t)bytes * CREDIT_PER_BYTE;
}

uint64_t rate_ready_ns(const struct rate *rate)
{
	int64_t missing = rate->depth / 2 - rate->credit;

	if (!rate->mbps || missing <= 0)
		return rate->updated_ns;
	return rate->updated_ns + ((uint64_t)missing + rate->mbps - 1) / rate->mbps;
}
