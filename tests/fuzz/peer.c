/* SPDX-License-Identifier: BSD-2-Clause */
/* Sends an input in pieces, with descriptors; see peer.h. */
#include "peer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_command(uint8_t byte)
{
	return byte && byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r';
}

/* What the socket does not take is lost: a peer may do that, too. */
static void send_piece(struct peer *peer, size_t bytes)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(20 * sizeof(int))];
	} control;
	struct iovec piece = {.iov_base = (void *)(uintptr_t)peer->data, .iov_len = bytes};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (peer->fd_count) {
		memset(&control, 0, sizeof(control));
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(peer->fd_count * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		for (unsigned i = 0; i < peer->fd_count; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &(int){STDERR_FILENO},
			       sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(peer->fd_count * sizeof(int));
	}
	sendmsg(peer->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	peer->fd_count = 0;
}

int peer_next(struct peer *peer)
{
	size_t bytes = 0;

	while (bytes < peer->left && !is_command(peer->data[bytes]))
		bytes++;
	if (bytes)
		send_piece(peer, bytes);
	peer->data += bytes;
	peer->left -= bytes;
	if (!peer->left)
		return -1;
	int command = *peer->data++;

	peer->left--;
	if (command == PEER_DESCRIPTORS && peer->left) {
		peer->fd_count = *peer->data++ % 20;
		peer->left--;
	}
	return command;
}
