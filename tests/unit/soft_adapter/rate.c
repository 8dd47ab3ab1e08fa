/* SPDX-License-Identifier: BSD-2-Clause */
/* The token bucket: long-term rate, burst, waiting time, extremes. */
#include <criterion/criterion.h>

#include "clock.h"
#include "net_layout.h"
#include "soft-adapter/rate.h"

/* Sends frames of `bytes` whenever it may, for `seconds`; what was sent. */
static uint64_t simulate(uint32_t mbps, size_t bytes, uint64_t step_ns, unsigned seconds)
{
	uint64_t sent = 0, end = seconds * NS_PER_S;
	struct rate rate;

	rate_set(&rate, mbps, 0);
	for (uint64_t now = 0; now < end; now += step_ns) {
		unsigned frames = rate_frames(&rate, now, 32);

		for (unsigned i = 0; i < frames; i++)
			rate_spend(&rate, bytes);
		sent += frames * bytes;
	}
	return sent;
}

Test(rate, no_rate_is_no_limit)
{
	struct rate rate;

	rate_set(&rate, 0, 5);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(rate_frames(&rate, 5, 32), 32);
		rate_spend(&rate, 100000);
	}
	cr_assert_leq(rate_ready_ns(&rate), 5);
}

Test(rate, the_average_is_exact_and_the_burst_is_bounded)
{
	const uint32_t rates[] = {1, 10, 100, 1000, 10000};
	const size_t sizes[] = {64, 1500, NET_FRAME_MAX};

	for (unsigned r = 0; r < 5; r++)
		for (unsigned s = 0; s < 3; s++) {
			uint64_t exact = rates[r] * UINT64_C(125000) * 2;
			uint64_t sent = simulate(rates[r], sizes[s], 10 * NS_PER_US, 2);
			/* The first burst, and one frame of debt. */
			uint64_t burst = rates[r] * UINT64_C(250) + 3 * NET_FRAME_MAX;

			cr_expect_leq(sent, exact + burst, "%u Mbit/s, %zu bytes", rates[r],
				      sizes[s]);
			/* 32 frames in 10 us is the most that this loop offers. */
			if (sizes[s] * 32 * 100000 > exact)
				cr_expect_geq(sent + NET_FRAME_MAX, exact, "%u Mbit/s, %zu bytes",
					      rates[r], sizes[s]);
		}
}

Test(rate, without_credit_nothing_goes_until_it_is_ready)
{
	struct rate rate;
	uint64_t ready;

	rate_set(&rate, 8, 1000);
	while (rate_frames(&rate, 1000, 1))
		rate_spend(&rate, 1000);
	ready = rate_ready_ns(&rate);
	cr_assert_gt(ready, 1000);
	cr_assert_gt(rate_frames(&rate, ready, 1), 0);
	cr_assert_leq(rate_ready_ns(&rate), ready);
}

Test(rate, idle_time_saves_up_one_burst_and_no_more)
{
	struct rate rate;
	uint64_t sent = 0;

	rate_set(&rate, 1000, 0);
	cr_assert_gt(rate_frames(&rate, UINT64_MAX / 2, 32), 0);
	while (rate_frames(&rate, UINT64_MAX / 2, 1)) {
		rate_spend(&rate, 1000);
		sent += 1000;
	}
	/* 2 ms at 1 Gbit/s. */
	cr_assert_eq(sent, 250000);
}

Test(rate, the_clock_may_stand_still)
{
	struct rate rate;

	rate_set(&rate, 1, 1000);
	while (rate_frames(&rate, 1000, 1))
		rate_spend(&rate, 1500);
	cr_assert_eq(rate_frames(&rate, 1000, 1), 0);
	cr_assert_eq(rate_frames(&rate, 999, 1), 0);
	cr_assert_eq(rate_frames(&rate, 1000, 1), 0);
}

Test(rate, the_largest_rate_does_not_overflow)
{
	struct rate rate;

	rate_set(&rate, RATE_MBPS_MAX, 0);
	for (unsigned i = 0; i < 100000; i++) {
		cr_assert_eq(rate_frames(&rate, UINT64_MAX / 2 + i * NS_PER_MS, 32), 32);
		for (unsigned frame = 0; frame < 32; frame++)
			rate_spend(&rate, NET_FRAME_MAX);
	}
}

Test(rate, never_more_than_asked_for)
{
	struct rate rate;

	rate_set(&rate, 100, 0);
	cr_assert_eq(rate_frames(&rate, 0, 0), 0);
	cr_assert_eq(rate_frames(&rate, 0, 1), 1);
}
