/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets within a guest's storage; the shim and liboutrigger each compute them from
 * the figures they were told.
 */
#include "guest_layout.h"

#include <errno.h>

#include "eq.h"

#define PAGE_BYTES 4096u
#define SUMMARIES_STEP 8u /* a guest looks at so many at a time */
#define ENTRIES_MIN 4u
#define ENTRIES_MAX 4096u

static size_t round_up(size_t bytes, size_t step)
{
	return (bytes + step - 1) / step * step;
}

int guest_layout_compute(uint32_t queues, uint32_t entries, struct guest_layout *out)
{
	if (!queues || queues > GUEST_QUEUES_MAX || entries < ENTRIES_MIN || entries > ENTRIES_MAX ||
	    (entries & (entries - 1)))
		return -EINVAL;
	static_assert(sizeof(struct eq_interrupts) <= SUMMARIES_STEP, "they do not overlap");
	static_assert(GUEST_SLOTS * sizeof(eq_marks) <= sizeof((struct eq_queue_control){0}.rest),
		      "marks lie in the line of the control words");
	*out = (struct guest_layout){.queues = queues, .entries = entries, .interrupts = 0,
				     .summaries = SUMMARIES_STEP,
				     .marks = offsetof(struct eq_queue_control, rest)};
	out->first_queue = round_up(out->summaries + round_up(queues, SUMMARIES_STEP), EQ_LINE_BYTES);
	out->queue_bytes = round_up(eq_queue_size_bytes(entries), EQ_LINE_BYTES);
	out->size_bytes = round_up(out->first_queue + queues * out->queue_bytes, PAGE_BYTES);
	return 0;
}
