/* SPDX-License-Identifier: BSD-2-Clause */
/* See netlink_peer.h. Each stand-in is for the function of libnl, or of the C library, of
 * that name; FAULT_NL_CALLS in module.mk lists them. */
#include "netlink_peer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../fault.h"

#define DATAGRAMS_MAX 8

static struct netlink_peer *peer;
static struct datagram {
	void *bytes;
	size_t count;
	uint32_t from;
} queue[DATAGRAMS_MAX];
static unsigned queued, fetched;
static uint32_t pose;
static size_t cut;

void peer_set(struct netlink_peer *new)
{
	for (; fetched < queued; fetched++)
		free(queue[fetched].bytes);
	queued = fetched = 0;
	peer = new;
	pose = 0;
	cut = 0;
}

void peer_poses_as(uint32_t port)
{
	pose = port;
}

void peer_cuts_to(size_t bytes)
{
	cut = bytes;
}

void peer_answer(const struct nlmsghdr *request, struct nl_msg *message)
{
	struct nlmsghdr *header = nlmsg_hdr(message);

	if (fetched == queued)
		fetched = queued = 0;
	cr_assert_lt(queued, DATAGRAMS_MAX);
	header->nlmsg_seq = request->nlmsg_seq;
	if (cut)
		header->nlmsg_len = (uint32_t)cut;
	struct datagram *datagram = &queue[queued++];
	*datagram = (struct datagram){malloc(header->nlmsg_len), header->nlmsg_len, pose};
	cr_assert(datagram->bytes);
	memcpy(datagram->bytes, header, header->nlmsg_len);
	nlmsg_free(message);
}

void peer_acknowledge(const struct nlmsghdr *request, int error)
{
	struct nlmsgerr word = {.error = error, .msg = *request};
	struct nl_msg *message = nlmsg_alloc();

	cr_assert(message && nlmsg_put(message, 0, 0, NLMSG_ERROR, 0, 0) &&
		  !nlmsg_append(message, &word, sizeof(word), NLMSG_ALIGNTO));
	peer_answer(request, message);
}

/* ---- The calls --------------------------------------------------------------------------- */

/* Some are called by libnl-genl as well: to link against it, its linker wants to see ours,
 * though what it calls stays libnl's. */
#pragma GCC visibility push(default)

#define STAND_IN(type, name, failure, parameters, arguments)                            \
	type __real_##name parameters;                                                  \
	type __wrap_##name parameters;                                                  \
	type __wrap_##name parameters                                                   \
	{                                                                               \
		return fault_due(#name) ? (type)(failure) : __real_##name arguments;    \
	}

STAND_IN(struct nl_sock *, nl_socket_alloc, NULL, (void), ())
STAND_IN(int, nl_connect, -NLE_NOMEM, (struct nl_sock *socket, int protocol), (socket, protocol))
STAND_IN(struct nl_msg *, nlmsg_alloc_size, NULL, (size_t bytes), (bytes))
STAND_IN(struct nlmsghdr *, nlmsg_put, NULL,
	 (struct nl_msg *message, uint32_t pid, uint32_t sequence, int type, int payload, int flags),
	 (message, pid, sequence, type, payload, flags))
STAND_IN(int, nlmsg_append, -NLE_NOMEM, (struct nl_msg *message, void *data, size_t bytes, int pad),
	 (message, data, bytes, pad))
STAND_IN(void *, genlmsg_put, NULL,
	 (struct nl_msg *message, uint32_t port, uint32_t sequence, int family, int header, int flags,
	  uint8_t command, uint8_t version),
	 (message, port, sequence, family, header, flags, command, version))
STAND_IN(int, nla_put, -NLE_NOMEM, (struct nl_msg *message, int type, int bytes, const void *data),
	 (message, type, bytes, data))
STAND_IN(struct nlattr *, nla_nest_start, NULL, (struct nl_msg *message, int type), (message, type))
STAND_IN(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t bytes),
	 (fd, level, name, value, bytes))

/* Attributes of fixed sizes go through functions of their own, which call libnl's nla_put(). */
STAND_IN(int, nla_put_u16, -NLE_NOMEM, (struct nl_msg *message, int type, uint16_t value),
	 (message, type, value))
STAND_IN(int, nla_put_u32, -NLE_NOMEM, (struct nl_msg *message, int type, uint32_t value),
	 (message, type, value))
STAND_IN(int, nla_put_string, -NLE_NOMEM, (struct nl_msg *message, int type, const char *text),
	 (message, type, text))

int __real_genl_ctrl_resolve(struct nl_sock *socket, const char *name);
int __wrap_genl_ctrl_resolve(struct nl_sock *socket, const char *name);
int __wrap_genl_ctrl_resolve(struct nl_sock *socket, const char *name)
{
	if (!peer)
		return __real_genl_ctrl_resolve(socket, name);
	cr_expect_str_eq(name, "devlink");
	return peer->no_family ? peer->no_family : PEER_FAMILY;
}

int __real_nl_send_auto(struct nl_sock *socket, struct nl_msg *message);
int __wrap_nl_send_auto(struct nl_sock *socket, struct nl_msg *message);
int __wrap_nl_send_auto(struct nl_sock *socket, struct nl_msg *message)
{
	if (fault_due("nl_send_auto"))
		return -NLE_FAILURE;
	if (!peer)
		return __real_nl_send_auto(socket, message);
	nl_complete_msg(socket, message);
	cr_expect(nlmsg_hdr(message)->nlmsg_flags & NLM_F_ACK, "nobody would say that it is done");
	peer->questions++;
	fault_hold(true);
	peer->asked(nlmsg_hdr(message));
	fault_hold(false);
	return (int)nlmsg_hdr(message)->nlmsg_len;
}

int __real_nl_recv(struct nl_sock *socket, struct sockaddr_nl *from, unsigned char **out,
		   struct ucred **credentials);
int __wrap_nl_recv(struct nl_sock *socket, struct sockaddr_nl *from, unsigned char **out,
		   struct ucred **credentials);
int __wrap_nl_recv(struct nl_sock *socket, struct sockaddr_nl *from, unsigned char **out,
		   struct ucred **credentials)
{
	if (fault_due("nl_recv"))
		return -NLE_NOMEM;
	if (!peer)
		return __real_nl_recv(socket, from, out, credentials);
	if (fetched == queued)
		return -NLE_AGAIN; /* as after SO_RCVTIMEO */
	const struct datagram *datagram = &queue[fetched++];
	*from = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = datagram->from};
	*out = datagram->bytes;
	return (int)datagram->count;
}

#pragma GCC visibility pop
