/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has used how much processor time: of a device, its adjuncts one after the other; of
 * a partition, everything. What is charged is what the kernel counted: by the device's
 * control group (processes/cgroup.h), which outlives adjuncts and shims; where there are no
 * groups, by each process' own clock. What adjuncts say of their yields and requests is
 * shown beside it, checked, and charged to nobody (000, FIG. 23: who donates pays). It is in
 * the saved state, so it outlives shims: of an adjunct that dies, up to the last look at it.
 *
 * An adjunct that several partitions lend to would have a struct usage_costs for each of
 * them: it is what one donor's requests cost. Event-loop thread.
 */
#ifndef USAGE_H
#define USAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"

struct device;
struct partition;
struct peer;

/* The order is that of usage.c's names. */
struct usage_costs {
	uint64_t yields, expired, donated_ns, requests, used_ns;
};

struct usage {
	uint64_t ended_ns; /* of processes that have ended, by their clocks */
	pid_t pid;	   /* of the adjunct that said what follows; 0: none yet */
	struct usage_costs now, before; /* its own; and those of earlier ones together */
	bool pa_busy;
	unsigned depth;
	uint64_t latency[HISTOGRAM_BUCKETS];
};

/* The process `*peer`, the device's adjunct or standby, is done with: it is charged, freed,
 * and NULL. */
void usage_end(struct usage *usage, struct peer **peer);
/* What the adjunct `pid` said (org.outrigger.Adjunct.Costs; NULL: nothing). Whatever makes
 * no sense is left out. */
void usage_take(struct usage *usage, pid_t pid, const json_t *costs);

/* For the saved state (usage_state.c). NULL: no memory. Saved: an object of usage_to_json(),
 * or NULL. */
bool usage_is_worth_saving(const struct usage *usage);
json_t *usage_to_json(const struct usage *usage);
void usage_from_json(struct usage *usage, const json_t *saved);

/* As org.outrigger.Shim.Usage and PartitionUsage. */
json_t *usage_of_device(const struct device *device);
json_t *usage_of_partition(const struct partition *partition);

#endif
