/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether what a partition donates fits into the memory and the share of processors that
 * the document lets it have: the last look at a plan (plan.c), before anything is done.
 * The kernel's own limits, where it has them (processes/cgroup.c), come later, and end or
 * hold up a process instead of saying no.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"

#define MIB_SHIFT 20
#define CPU_MILLI 1000

/* What a partition's devices take, once the plan is carried out; with each text of a
 * message, as much of it as there is room for. */
struct taken {
	int64_t bytes, cpus_milli;
	char memory[SHIM_MESSAGE_BYTES / 2], dedicated[SHIM_MESSAGE_BYTES / 2];
};

__attribute__((format(printf, 2, 3)))
static void add_text(char text[SHIM_MESSAGE_BYTES / 2], const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	used += (size_t)snprintf(text + used, SHIM_MESSAGE_BYTES / 2 - used, "%s", used ? ", " : "");
	if (used >= SHIM_MESSAGE_BYTES / 2)
		return;
	va_start(arguments, format);
	vsnprintf(text + used, SHIM_MESSAGE_BYTES / 2 - used, format, arguments);
	va_end(arguments);
}

static void add(struct taken *taken, const struct doc_device *device)
{
	const struct doc_adjunct *adjunct = &device->adjunct;
	/* A standby has memory of its own, already touched. */
	const int64_t bytes = adjunct->memory_bytes * (adjunct->standby ? 2 : 1);

	taken->bytes += bytes;
	add_text(taken->memory, "%s %lldM%s", device->name, (long long)bytes >> MIB_SHIFT,
		 adjunct->standby ? " with its standby" : "");
	if (adjunct->none || adjunct->cpu != DOC_CPU_DEDICATED)
		return;
	taken->cpus_milli += CPU_MILLI;
	add_text(taken->dedicated, "%s", device->name);
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
static void add_all(struct taken *taken, const struct shim *shim, const struct plan *plan,
		    const char *name)
{
	const struct partition *live = partition_find(shim, name);

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->object == OBJECT_DEVICE && change->action != CHANGE_DELETE &&
		    !strcmp(change->partition, name))
			add(taken, &change->device);
	}
	for (const struct device *d = live ? live->devices : NULL; d; d = d->next)
		if (!change_of(plan, name, d->spec.name))
			add(taken, &d->spec);
}

__attribute__((format(printf, 3, 4)))
static int refuse(struct plan_error *error, unsigned line, const char *format, ...)
{
	va_list arguments;

	error->error = "org.outrigger.Shim.InvalidDocument";
	error->line = line;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int check_memory(const struct doc_partition *want, const struct taken *taken,
			struct plan_error *error)
{
	if (!want->memory_bytes || taken->bytes <= want->memory_bytes)
		return 0;
	return refuse(error, 0, "partition %s: memory: %lldM is less than the %lldM that its adjuncts "
		      "are given: %s", want->name, (long long)want->memory_bytes >> MIB_SHIFT,
		      (long long)taken->bytes >> MIB_SHIFT, taken->memory);
}

static int check_cpus(const struct doc_partition *want, const struct taken *taken,
		      struct plan_error *error)
{
	const int64_t machine_milli = CPU_MILLI * (int64_t)sysconf(_SC_NPROCESSORS_ONLN);
	char cpus[DOC_CPUS_TEXT_BYTES], most[DOC_CPUS_TEXT_BYTES], least[DOC_CPUS_TEXT_BYTES];

	doc_cpus_format(want->cpus_milli, cpus);
	doc_cpus_format(machine_milli, most);
	doc_cpus_format(taken->cpus_milli, least);
	if (want->cpus_milli > machine_milli)
		return refuse(error, want->cpus_line, "partition %s: cpus: %s is more than the %s that "
			      "this machine's %lld processors are: write %s at most, or leave it out",
			      want->name, cpus, most, (long long)machine_milli / CPU_MILLI, most);
	if (want->cpus_milli && taken->cpus_milli > want->cpus_milli)
		return refuse(error, want->cpus_line, "partition %s: cpus: %s is less than the %s that "
			      "its dedicated adjuncts take: %s: write %s at least, or give them cpu: "
			      "donated or shared", want->name, cpus, least, taken->dedicated, least);
	return 0;
}

int plan_check_limits(const struct shim *shim, const struct document *document,
		      const struct plan *plan, struct plan_error *error)
{
	for (size_t i = 0; i < document->partition_count; i++) {
		const struct doc_partition *want = &document->partitions[i];
		struct taken taken = {0};

		add_all(&taken, shim, plan, want->name);
		if (check_memory(want, &taken, error) || check_cpus(want, &taken, error))
			return -EINVAL;
	}
	return 0;
}
