/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the vhost-user tests share: a well-behaved front-end's messages, over a
 * memory of its own. Each test is a process of its own.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "../../../hv-shim/vhost/vhost_state.h"

#define GUEST_BYTES 65536u
#define GUEST_USER UINT64_C(0x7f0000000000) /* its address in the front-end */
#define GUEST_RING_ENTRIES 256u
#define GUEST_FEATURES (UINT64_C(1) << 32 | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES)
#define GUEST_PROTOCOL                                                                \
	(UINT64_C(1) << VHOST_PROTOCOL_MQ | UINT64_C(1) << VHOST_PROTOCOL_REPLY_ACK | \
	 UINT64_C(1) << VHOST_PROTOCOL_MTU | UINT64_C(1) << VHOST_PROTOCOL_STATUS)

unsigned open_fds(void);
int guest_memory(void);                                     /* a new memfd */
void guest_used(int memory, unsigned ring, uint16_t index); /* as a device writes it */
uint64_t guest_ring(unsigned ring);                         /* its user address */

struct vhost_message message_plain(uint32_t request);
struct vhost_message message_number(uint32_t request, uint64_t number);
struct vhost_message message_ring(uint32_t request, uint32_t index, uint32_t number);
struct vhost_message message_address(uint32_t index);
struct vhost_message message_doorbell(uint32_t request, uint32_t index); /* a new eventfd */
struct vhost_message message_memory(int memory);                         /* a duplicate of it */

/* The i-th message of a front-end from SET_PROTOCOL_FEATURES to DRIVER_OK; false: no more. */
bool guest_script(int memory, unsigned i, struct vhost_message *out);

#endif
