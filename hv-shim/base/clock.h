/* SPDX-License-Identifier: BSD-2-Clause */
/* CLOCK_MONOTONIC in nanoseconds: the only clock deadlines are made of. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#ifndef NS_PER_S /* DPDK has the same */
#define NS_PER_S UINT64_C(1000000000)
#endif

static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
