/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of a device's usage is in the saved state (usage.h): so much of what was lent and
 * used as has been told of adjuncts, so that it outlives the shim as well as them. Called
 * by state.c, on the event-loop thread.
 */
#include "usage.h"

static json_t *costs_to_json(const struct usage_costs *costs)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "yields", (json_int_t)costs->yields, "expired",
			 (json_int_t)costs->expired, "donated_ns", (json_int_t)costs->donated_ns,
			 "requests", (json_int_t)costs->requests, "used_ns",
			 (json_int_t)costs->used_ns);
}

static struct usage_costs costs_from_json(const json_t *object)
{
	return (struct usage_costs){
		.yields = (uint64_t)json_integer_value(json_object_get(object, "yields")),
		.expired = (uint64_t)json_integer_value(json_object_get(object, "expired")),
		.donated_ns = (uint64_t)json_integer_value(json_object_get(object, "donated_ns")),
		.requests = (uint64_t)json_integer_value(json_object_get(object, "requests")),
		.used_ns = (uint64_t)json_integer_value(json_object_get(object, "used_ns")),
	};
}

bool usage_is_worth_saving(const struct usage *usage)
{
	return usage->pid || usage->ended_ns;
}

json_t *usage_to_json(const struct usage *usage)
{
	return json_pack("{s:I,s:i,s:o,s:o}", "ended_ns", (json_int_t)usage->ended_ns, "pid",
			 (int)usage->pid, "now", costs_to_json(&usage->now), "before",
			 costs_to_json(&usage->before));
}

void usage_from_json(struct usage *usage, const json_t *saved)
{
	usage->ended_ns = (uint64_t)json_integer_value(json_object_get(saved, "ended_ns"));
	usage->pid = (pid_t)json_integer_value(json_object_get(saved, "pid"));
	usage->now = costs_from_json(json_object_get(saved, "now"));
	usage->before = costs_from_json(json_object_get(saved, "before"));
}
