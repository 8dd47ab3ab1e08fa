/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plan and its changes as the socket tells them. Event-loop thread.
 */
#include "apply.h"

static const char *const action_names[] = {"create", "update", "replace", "delete"};
static const char *const object_names[] = {"adapter", "partition", "device"};

json_t *change_to_json(const struct change *change)
{
	return json_pack("{s:s,s:s,s:s,s:s}", "action", action_names[change->action], "object",
			 object_names[change->object], "name", change->name, "detail",
			 change->detail);
}

json_t *plan_to_json(const struct plan *plan)
{
	json_t *list = json_array();

	for (size_t i = 0; i < plan->count; i++)
		json_array_append_new(list, change_to_json(&plan->changes[i]));
	return list;
}
