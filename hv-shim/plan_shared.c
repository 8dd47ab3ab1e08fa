/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which global adjunct serves a device of another partition (000, FIG. 9, steps 905 and
 * 910): found in the plan, or among what is there; refused where it does not serve, before
 * anything is done. Called by plan.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "apply.h"

/* The device of that name as it will be; NULL: there will be none. */
static const struct doc_device *find(const struct shim *shim, const struct plan *plan,
				     const char *shared)
{
	char partition_name[DOC_NAME_BYTES], name[DOC_NAME_BYTES];

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->object == OBJECT_DEVICE && !strcmp(change->name, shared))
			return change->action == CHANGE_DELETE ? NULL : &change->device;
	}
	if (!doc_shared_names(shared, partition_name, name))
		return NULL;
	const struct partition *partition = partition_find(shim, partition_name);
	const struct device *device = partition ? device_find(partition, name) : NULL;

	return device ? &device->spec : NULL;
}

static bool has_change(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->changes[i].object == OBJECT_DEVICE && !strcmp(plan->changes[i].name, name))
			return true;
	return false;
}

/* Who shares it besides the device of that name. */
static unsigned count_clients(const struct shim *shim, const struct plan *plan, const char *shared,
			      const char *besides)
{
	char name[2 * DOC_NAME_BYTES];
	unsigned count = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		count += change->object == OBJECT_DEVICE && change->action != CHANGE_DELETE &&
			 !strcmp(change->device.shared, shared);
	}
	for (const struct partition *p = shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next) {
			snprintf(name, sizeof(name), "%s/%s", p->name, d->spec.name);
			count += !strcmp(d->spec.shared, shared) && strcmp(name, besides) &&
				 !has_change(plan, name);
		}
	return count;
}

__attribute__((format(printf, 3, 4)))
static int refuse(struct plan_error *error, const char *name, const char *format, ...)
{
	int used = snprintf(error->message, sizeof(error->message), "device %s: ", name);
	va_list arguments;

	error->error = "org.outrigger.Shim.InvalidDocument";
	va_start(arguments, format);
	vsnprintf(error->message + used, sizeof(error->message) - (size_t)used, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int plan_resolve_client(const struct shim *shim, const struct plan *plan, const char *name,
			struct doc_device *device, struct plan_error *error)
{
	const struct doc_device *global = find(shim, plan, device->shared);

	if (device->vf.adapter[0])
		return refuse(error, name, "its function is that of %s: leave vf out, or leave shared "
			      "out for a function of its own", device->shared);
	if (!global)
		return refuse(error, name, "there is no device %s to share; 'outrigger adjunct list' "
			      "shows which adjuncts are global", device->shared);
	if (global->adjunct.scope != DOC_SCOPE_GLOBAL || doc_is_client(global))
		return refuse(error, name, "the adjunct of %s serves that device alone; there it takes "
			      "adjunct: {scope: global}", device->shared);
	if (device->mtu > global->mtu)
		return refuse(error, name, "mtu: %lld is more than the %lld of %s",
			      (long long)device->mtu, (long long)global->mtu, device->shared);
	if (count_clients(shim, plan, device->shared, name) >= ADJ_CLIENTS_MAX)
		return refuse(error, name, "%s is shared by %d devices already, which is as many as may",
			      device->shared, ADJ_CLIENTS_MAX);
	device->vf = global->vf;
	device->adjunct = (struct doc_adjunct){0};
	return 0;
}
