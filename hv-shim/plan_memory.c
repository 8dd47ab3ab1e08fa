/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether what a partition donates fits into the memory that the document lets it have:
 * the last look at a plan (plan.c), before anything is done. The kernel's own limit, where
 * it has one (processes/cgroup.c), comes later, and ends a process instead of saying no.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apply.h"

#define MIB_SHIFT 20

/* Text of a message, as much of it as there is room for. */
struct given {
	int64_t bytes;
	char text[SHIM_MESSAGE_BYTES / 2];
};

static void add(struct given *given, const struct doc_device *device)
{
	/* A standby has memory of its own, already touched. */
	const int64_t bytes = device->adjunct.memory_bytes * (device->adjunct.standby ? 2 : 1);
	size_t used = strlen(given->text);

	given->bytes += bytes;
	snprintf(given->text + used, sizeof(given->text) - used, "%s%s %lldM%s", used ? ", " : "",
		 device->name, (long long)bytes >> MIB_SHIFT,
		 device->adjunct.standby ? " with its standby" : "");
}

static const struct change *change_of(const struct plan *plan, const char *partition,
				      const char *device)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->object == OBJECT_DEVICE && !strcmp(change->partition, partition) &&
		    !strcmp(change->device.name, device))
			return change;
	}
	return NULL;
}

/* What the plan makes or changes, and what lives on as it is. */
static void add_all(struct given *given, const struct shim *shim, const struct plan *plan,
		    const char *name)
{
	const struct partition *live = partition_find(shim, name);

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->object == OBJECT_DEVICE && change->action != CHANGE_DELETE &&
		    !strcmp(change->partition, name))
			add(given, &change->device);
	}
	for (const struct device *d = live ? live->devices : NULL; d; d = d->next)
		if (!change_of(plan, name, d->spec.name))
			add(given, &d->spec);
}

int plan_check_memory(const struct shim *shim, const struct document *document,
		      const struct plan *plan, struct plan_error *error)
{
	for (size_t i = 0; i < document->partition_count; i++) {
		const struct doc_partition *want = &document->partitions[i];
		struct given given = {0};

		if (!want->memory_bytes)
			continue;
		add_all(&given, shim, plan, want->name);
		if (given.bytes <= want->memory_bytes)
			continue;
		error->error = "org.outrigger.Shim.InvalidDocument";
		snprintf(error->message, sizeof(error->message),
			 "partition %s: memory: %lldM is less than the %lldM that its adjuncts are "
			 "given: %s", want->name, (long long)want->memory_bytes >> MIB_SHIFT,
			 (long long)given.bytes >> MIB_SHIFT, given.text);
		return -EINVAL;
	}
	return 0;
}
