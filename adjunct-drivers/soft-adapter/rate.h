/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Token buckets: max_tx_rate is a limit (a function without credit is not
 * served until it has some; nothing is dropped), min_tx_rate a guarantee (a
 * function that still has credit is served before those that have none).
 * Arithmetic only: the caller brings the time. Called by dataplane.c on the
 * data thread, and by the unit tests.
 *
 * Credit is counted in thousandths of a bit, because a rate of R Mbit/s earns
 * exactly R of them in a nanosecond: no division, no rounding, no drift.
 */
#ifndef RATE_H
#define RATE_H

#include <stddef.h>
#include <stdint.h>

#define RATE_MBPS_MAX 1000000 /* one Tbit/s */

struct rate {
	uint64_t mbps; /* 0: unlimited */
	int64_t credit;
	int64_t depth; /* the most that is saved up: the longest burst */
	uint64_t updated_ns;
};

/* Starts with a full bucket. `mbps` up to RATE_MBPS_MAX. */
void rate_set(struct rate *rate, uint32_t mbps, uint64_t now_ns);
/* Frames of the largest size that may go now, at most `most`; unlimited: `most`. */
unsigned rate_frames(struct rate *rate, uint64_t now_ns, unsigned most);
/* Spends what was sent; credit may become negative by less than one frame. */
void rate_spend(struct rate *rate, size_t bytes);
/* When it is worth asking again: credit for half a burst. */
uint64_t rate_ready_ns(const struct rate *rate);

#endif
