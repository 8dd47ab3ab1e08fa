/* SPDX-License-Identifier: BSD-2-Clause */
/* Stand-ins of librte_vhost's calls, put there by the linker (--wrap); see the header. */
#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "played_vhost.h"
#include "runtime/vhost_notice.h"

struct played_vhost played = {
	.ring_entries = GUEST_RING,
	.features = 1ull << VIRTIO_F_VERSION_1,
	.has_inflight = true,
};

struct adj_inflight *played_record(void)
{
	return (struct adj_inflight *)played.inflight.split.desc;
}

int vhost_notice(const char *at)
{
	cr_assert_str_eq(at, played.path);
	return played.notice_result;
}

#define STAND_IN(name, parameters) int __wrap_##name parameters; int __wrap_##name parameters
static int fails(const char *name)
{
	return played.failing && !strcmp(played.failing, name) ? -1 : 0;
}

STAND_IN(rte_vhost_driver_register, (const char *at, uint64_t flags))
{
	(void)flags;
	cr_assert_str_eq(at, played.path);
	return fails("register");
}

STAND_IN(rte_vhost_driver_disable_features, (const char *at, uint64_t features))
{
	(void)at;
	(void)features;
	return fails("disable_features");
}

STAND_IN(rte_vhost_driver_callback_register,
	 (const char *at, const struct rte_vhost_device_ops *const ops))
{
	(void)at;
	played.callbacks = ops;
	return fails("callback_register");
}

STAND_IN(rte_vhost_driver_start, (const char *at))
{
	(void)at;
	return fails("start");
}

STAND_IN(rte_vhost_driver_unregister, (const char *at))
{
	(void)at;
	return played.unregister_result;
}

STAND_IN(rte_vhost_get_vhost_vring, (int vid, uint16_t queue, struct rte_vhost_vring *vring))
{
	cr_assert_eq(vid, PLAYED_VID);
	*vring = (struct rte_vhost_vring){
		.desc = played.guest[queue].desc,
		.avail = played.guest[queue].avail,
		.used = played.guest[queue].used,
		.size = (uint16_t)played.ring_entries,
		.kickfd = played.kickfd,
		.callfd = played.callfd[queue],
	};
	return played.vring_result;
}

STAND_IN(rte_vhost_get_mem_table, (int vid, struct rte_vhost_memory **out))
{
	unsigned count = guest_regions.count;
	struct rte_vhost_memory *memory =
		calloc(1, sizeof(*memory) + (count + played.more_regions) *
					  sizeof(memory->regions[0]));

	cr_assert_eq(vid, PLAYED_VID);
	memory->nregions = count + played.more_regions;
	for (unsigned i = 0; i < count; i++)
		memory->regions[i] = (struct rte_vhost_mem_region){
			.guest_phys_addr = guest_regions.region[i].guest_address,
			.host_user_addr = (uintptr_t)guest_regions.region[i].mapped,
			.size = guest_regions.region[i].bytes,
		};
	if (fails("get_mem_table")) {
		free(memory);
		return -1;
	}
	*out = memory;
	return 0;
}

STAND_IN(rte_vhost_get_negotiated_features, (int vid, uint64_t *out))
{
	cr_assert_eq(vid, PLAYED_VID);
	*out = played.features;
	return fails("get_negotiated_features");
}

STAND_IN(rte_vhost_get_vring_base, (int vid, uint16_t queue, uint16_t *available, uint16_t *used))
{
	cr_assert_eq(vid, PLAYED_VID);
	*available = *used = played.base[queue];
	return fails("get_vring_base");
}

STAND_IN(rte_vhost_set_vring_base, (int vid, uint16_t queue, uint16_t available, uint16_t used))
{
	cr_assert_eq(vid, PLAYED_VID);
	cr_assert_eq(available, used);
	played.base[queue] = used;
	return 0;
}

STAND_IN(rte_vhost_get_vhost_ring_inflight,
	 (int vid, uint16_t queue, struct rte_vhost_ring_inflight *out))
{
	cr_assert(vid == PLAYED_VID && queue == VHOST_QUEUE_TRANSMIT);
	if (played.has_inflight)
		*out = (struct rte_vhost_ring_inflight){.inflight_split = &played.inflight.split};
	return played.has_inflight ? 0 : -1;
}

STAND_IN(rte_vhost_extern_callback_register,
	 (int vid, struct rte_vhost_user_extern_ops const *const ops, void *context))
{
	cr_assert_eq(vid, PLAYED_VID);
	(void)context;
	played.message_ops = ops;
	return fails("extern_callback_register");
}

/* A message of the guest's that changes nothing. */
void played_message(void)
{
	cr_expect_eq(played.message_ops->pre_msg_handle(PLAYED_VID, NULL),
		     RTE_VHOST_MSG_RESULT_NOT_HANDLED);
	cr_expect_eq(played.message_ops->post_msg_handle(PLAYED_VID, NULL),
		     RTE_VHOST_MSG_RESULT_NOT_HANDLED);
}
