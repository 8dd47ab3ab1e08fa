/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a device's walk that are about its virtual function: assigned to it
 * (000, FIG. 7, steps 715 and 745), handed over to a partition that drives it itself, and
 * given back. What there is to do the adapter's process does. Event-loop thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "../shim.h"

#define DONE 1
#define PENDING 0

static void on_answer(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)answer;
	device_step_done(data, problem);
}

/* ---- Assigned ------------------------------------------------------------------ */

static void on_assigned(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	json_t *taken = problem ? NULL : json_object_get(answer->parameters, "taken");

	device->vf_taken = json_is_integer(taken) ? json_integer_value(taken) : -1;
	device_step_done(device, problem);
}

/* The partition's network namespace, for the function's interface. */
static void on_namespace(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	if (!problem && !device->adapter->peer)
		problem = "the adapter's process has ended";
	if (!problem && answer->fd_count != 1)
		problem = "the keeper sent no namespace";
	if (problem)
		device_step_done(device, problem);
	else
		adapter_take_vf(device->adapter, device, answer->fds[0], on_answer, device);
}

int function_assign(struct device *device)
{
	struct adapter *adapter = device->adapter;

	device->vf_taken = -1;
	if (!adapter->peer)
		return DONE;
	if (adapter->spec.kind != DOC_ADAPTER_SRIOV)
		adapter_configure_vf(adapter, device, on_assigned, device);
	else if (device->spec.kind != DOC_DEVICE_NETDEV)
		adapter_take_vf(adapter, device, -1, on_answer, device);
	else if (device->partition->keeper)
		peer_call(device->partition->keeper, "org.outrigger.Keeper.MakeNamespace", NULL, NULL,
			  0, SHIM_CALL_MS, on_namespace, device);
	else {
		strcpy(device->message, "the partition's keeper has ended");
		return -ESRCH;
	}
	return PENDING;
}

/* ---- Handed over ----------------------------------------------------------------- */

/* A netdev's interface is in the namespace by now; a virtual machine opens its group. */
int function_hand_over(struct device *device)
{
	const struct doc_device *spec = &device->spec;

	if (spec->kind != DOC_DEVICE_NETDEV)
		return DONE;
	if (!device->partition->keeper) {
		strcpy(device->message, "the partition's keeper has ended");
		return -ESRCH;
	}
	json_t *addresses = json_array();
	for (int i = 0; i < DOC_ADDRESSES_MAX && spec->addresses[i][0]; i++)
		json_array_append_new(addresses, json_string(spec->addresses[i]));
	peer_call(device->partition->keeper, "org.outrigger.Keeper.SetUpInterface",
		  json_pack("{s:s,s:I,s:o}", "ifname", spec->ifname, "mtu", (json_int_t)spec->mtu,
			    "addresses", addresses),
		  NULL, 0, SHIM_CALL_MS, on_answer, device);
	return PENDING;
}

/* ---- Back -------------------------------------------------------------------------- */

/*
 * Reset, so that the next owner gets it clean (T10). Between two adjuncts of one device the
 * kernel does that for a real function, as the first one's VFIO descriptors close.
 */
int function_return(struct device *device)
{
	struct adapter *adapter = device->adapter;

	if (!adapter->peer)
		return DONE;
	if (adapter->spec.kind != DOC_ADAPTER_SRIOV)
		adapter_reset_vf(adapter, device->spec.vf.index, on_answer, device);
	else if (device->walk == device_recover_steps)
		return DONE;
	else
		adapter_return_vf(adapter, device->spec.vf.index, on_answer, device);
	return PENDING;
}
