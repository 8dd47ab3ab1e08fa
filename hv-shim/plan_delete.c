/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a plan takes away: one partition, everything, or what a document leaves out; and
 * how changes come into a plan. Called by plan.c and control/control.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"

struct change *plan_add(struct plan *plan, enum change_action action, enum change_object object,
			const char *name)
{
	if (plan->count == plan->capacity) {
		size_t capacity = plan->capacity ? 2 * plan->capacity : 16;
		struct change *changes = reallocarray(plan->changes, capacity, sizeof(*changes));
		if (!changes)
			return NULL;
		plan->changes = changes;
		plan->capacity = capacity;
	}
	struct change *change = &plan->changes[plan->count++];
	*change = (struct change){.action = action, .object = object};
	snprintf(change->name, sizeof(change->name), "%s", name);
	return change;
}

static int delete_device(struct plan *plan, const struct device *device)
{
	char name[2 * DOC_NAME_BYTES];

	snprintf(name, sizeof(name), "%s/%s", device->partition->name, device->spec.name);
	struct change *change = plan_add(plan, CHANGE_DELETE, OBJECT_DEVICE, name);
	if (!change)
		return -ENOMEM;
	strcpy(change->partition, device->partition->name);
	change->device = device->spec;
	return 0;
}

static int delete_partition(struct plan *plan, const struct partition *partition)
{
	for (const struct device *device = partition->devices; device; device = device->next)
		if (delete_device(plan, device))
			return -ENOMEM;
	return plan_add(plan, CHANGE_DELETE, OBJECT_PARTITION, partition->name) ? 0 : -ENOMEM;
}

int plan_delete(const struct shim *shim, const char *partition, struct plan *out)
{
	int error = 0;

	for (const struct partition *p = shim->partitions; p && !error; p = p->next)
		if (!partition || !strcmp(p->name, partition))
			error = delete_partition(out, p);
	for (const struct adapter *a = shim->adapters; a && !partition && !error; a = a->next)
		if (!plan_add(out, CHANGE_DELETE, OBJECT_ADAPTER, a->spec.name))
			error = -ENOMEM;
	return error;
}

int plan_delete_rest(const struct shim *shim, const struct document *document, struct plan *out)
{
	int error = 0;

	for (const struct partition *p = shim->partitions; p && !error; p = p->next) {
		if (!document_partition(document, p->name)) {
			error = delete_partition(out, p);
			continue;
		}
		for (const struct device *d = p->devices; d && !error; d = d->next)
			if (!document_device(document, p->name, d->spec.name))
				error = delete_device(out, d);
	}
	for (const struct adapter *a = shim->adapters; a && !error; a = a->next)
		if (!document_adapter(document, a->spec.name) &&
		    !plan_add(out, CHANGE_DELETE, OBJECT_ADAPTER, a->spec.name))
			error = -ENOMEM;
	return error;
}
