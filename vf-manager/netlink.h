/* SPDX-License-Identifier: BSD-2-Clause */
/* One netlink request and its answer, for netlink.c and devlink.c. One thread. */
#ifndef VF_NETLINK_H
#define VF_NETLINK_H

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "vf.h"

/*
 * Sends `message` (not freed) on a connected socket and hands each answer to `take`
 * (NULL: only the acknowledgement counts) until the kernel acknowledges: 0, take's
 * error, or the kernel's -errno.
 */
int nl_exchange(struct nl_sock *socket, struct nl_msg *message,
		int (*take)(void *data, struct nlmsghdr *answer, size_t bytes), void *data);
/* A connected socket whose waits have an end; NULL: the kernel has none of this protocol. */
struct nl_sock *nl_open(int protocol);

/* What one answer to INFO_GET, to ESWITCH_GET tells, into a struct vf_devlink; for tests too. */
int devlink_take_info(void *data, struct nlmsghdr *answer, size_t bytes);
int devlink_take_eswitch(void *data, struct nlmsghdr *answer, size_t bytes);

int devlink_get(void *data, const char *address, struct vf_devlink *out);
int devlink_eswitch_set(void *data, const char *address, enum vf_eswitch mode);

#endif
