/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other end of the manager's netlink sockets: while a peer is set, what libnl would
 * hand to the kernel goes to the test instead, which answers with messages as drivers
 * send them. Without one the running kernel answers. The calls of libnl that can fail
 * fail where fault.h says so. One test, one process, one peer.
 */
#ifndef VF_NETLINK_PEER_H
#define VF_NETLINK_PEER_H

#include <netlink/msg.h>
#include <stdbool.h>
#include <stdint.h>

#define PEER_FAMILY 21 /* devlink's number here */

struct netlink_peer {
	/* What the manager sent; answers with peer_answer() and its kin. */
	void (*asked)(struct nlmsghdr *request);
	int no_family;	    /* the controller's answer instead of PEER_FAMILY */
	unsigned questions; /* as many were asked */
};

/* NULL: the running kernel again. Answers that nobody fetched are dropped. */
void peer_set(struct netlink_peer *peer);
/* A datagram for the manager to read: one message (freed), as the answer to `request`. */
void peer_answer(const struct nlmsghdr *request, struct nl_msg *message);
/* The kernel's last word: 0, or -errno. */
void peer_acknowledge(const struct nlmsghdr *request, int error);
/* The next datagrams come from another process than the kernel, or are cut to a length. */
void peer_poses_as(uint32_t port);
void peer_cuts_to(size_t bytes);

#endif
