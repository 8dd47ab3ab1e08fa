/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of times, log-linear: four buckets to each power of two from 32 ns to 17 s,
 * so that a percentile read off it is at most a fifth too high. Counted by the adjunct
 * that serves requests (one thread, no lock), told by its control thread, and read off by
 * `outrigger top`; the daemon only passes the counts on, checked.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_LEAST_BITS 5
#define HISTOGRAM_MOST_BITS 34
#define HISTOGRAM_PARTS_BITS 2
/* The first has all that is less, the last all that is more. */
#define HISTOGRAM_BUCKETS (((HISTOGRAM_MOST_BITS - HISTOGRAM_LEAST_BITS) << HISTOGRAM_PARTS_BITS) + 1)

static inline unsigned histogram_bucket(uint64_t ns)
{
	const unsigned parts = 1u << HISTOGRAM_PARTS_BITS;

	if (ns >> HISTOGRAM_LEAST_BITS == 0)
		return 0;
	if (ns >> HISTOGRAM_MOST_BITS)
		return HISTOGRAM_BUCKETS - 1;
	unsigned power = 63 - (unsigned)__builtin_clzll(ns);
	unsigned part = (unsigned)(ns >> (power - HISTOGRAM_PARTS_BITS)) & (parts - 1);

	return 1 + (power - HISTOGRAM_LEAST_BITS) * parts + part;
}

/* What all that is in the bucket is less than. */
static inline uint64_t histogram_limit_ns(unsigned bucket)
{
	const unsigned parts = 1u << HISTOGRAM_PARTS_BITS;

	if (!bucket)
		return UINT64_C(1) << HISTOGRAM_LEAST_BITS;
	unsigned power = HISTOGRAM_LEAST_BITS + (bucket - 1) / parts;

	return (uint64_t)(parts + (bucket - 1) % parts + 1) << (power - HISTOGRAM_PARTS_BITS);
}

/* What `permille` of all that was counted is less than; 0: nothing was. */
static inline uint64_t histogram_percentile_ns(const uint64_t counts[HISTOGRAM_BUCKETS],
					       unsigned permille)
{
	double all = 0, below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		all += (double)counts[i];
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += (double)counts[i];
		if (below > 0 && below * 1000 >= all * permille)
			return histogram_limit_ns(i);
	}
	return 0;
}

#endif
