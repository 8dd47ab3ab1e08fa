/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Varlink connection: messages and descriptors in and out of one stream
 * socket. Called by the server and client halves and by whoever owns the
 * connection, on the thread that owns it.
 *
 * Which message a descriptor belongs to. The kernel hands descriptors out with
 * the first byte of the sendmsg() that carried them, and a recvmsg() that has
 * met some stops at the end of that piece; bytes of earlier pieces may stand in
 * front. So the last byte of such a recvmsg() always belongs to the carrying
 * sendmsg(). A sender that carries descriptors with exactly one message (as
 * send_some() does) is therefore understood exactly: they go with the message
 * that contains that last byte.
 *
 * Back-pressure: nothing more is read while a whole message waits to be taken,
 * so a peer makes us hold less than VARLINK_MESSAGE_MAX bytes of an unfinished
 * message, one piece more, and the descriptors of two messages.
 */
#include "varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "unix_socket.h"

#define INPUT_BYTES_MIN 4096u
#define INPUT_BYTES_KEPT 65536u /* a larger buffer is released once it is empty */
#define SEND_PIECES_MAX 16
#define OUTPUT_TRIES 4

struct outgoing {
	struct outgoing *next;
	char *text;
	size_t text_bytes, sent_bytes; /* the NUL included */
	int fds[VARLINK_FDS_MAX];
	unsigned fd_count; /* 0 once the first byte is out */
};

struct incoming_fd {
	int fd;
	uint64_t position; /* in the stream, of a byte of its message */
};

struct varlink_conn {
	int fd;
	pid_t peer_pid;
	uid_t peer_uid;
	int input_error, output_error;
	unsigned output_refused; /* sends in a row for which the kernel had no memory */

	char *input;
	size_t input_capacity, input_start, input_end;
	size_t scanned;          /* no NUL from input_start up to here */
	uint64_t input_position; /* of input[0] in the stream */
	/* One unfinished message's, and what one recvmsg() may add. */
	struct incoming_fd input_fds[2 * VARLINK_FDS_MAX];
	unsigned input_fd_count;

	struct outgoing *output_head, **output_tail;
	size_t output_bytes;
};

void varlink_message_clear(struct varlink_message *message)
{
	json_decref(message->json);
	message->json = NULL;
	for (unsigned i = 0; i < message->fd_count; i++)
		fd_close(&message->fds[i]);
	message->fd_count = 0;
}

int varlink_conn_new(int fd, struct varlink_conn **out)
{
	struct ucred peer;
	socklen_t peer_bytes = sizeof(peer);
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0)
		return -errno;
	struct varlink_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->fd = fd;
	conn->peer_pid = peer.pid;
	conn->peer_uid = peer.uid;
	conn->output_tail = &conn->output_head;
	*out = conn;
	return 0;
}

static void outgoing_close_fds(struct outgoing *item)
{
	for (unsigned i = 0; i < item->fd_count; i++)
		fd_close(&item->fds[i]);
	item->fd_count = 0;
}

static void output_pop(struct varlink_conn *conn)
{
	struct outgoing *item = conn->output_head;

	conn->output_head = item->next;
	if (!conn->output_head)
		conn->output_tail = &conn->output_head;
	conn->output_bytes -= item->text_bytes - item->sent_bytes;
	outgoing_close_fds(item);
	free(item->text);
	free(item);
}

static void input_close_fds(struct varlink_conn *conn)
{
	for (unsigned i = 0; i < conn->input_fd_count; i++)
		fd_close(&conn->input_fds[i].fd);
	conn->input_fd_count = 0;
}

void varlink_conn_free(struct varlink_conn *conn)
{
	if (!conn)
		return;
	input_close_fds(conn);
	while (conn->output_head)
		output_pop(conn);
	free(conn->input);
	fd_close(&conn->fd);
	free(conn);
}

int varlink_conn_fd(const struct varlink_conn *conn)
{
	return conn->fd;
}

int varlink_conn_peer(const struct varlink_conn *conn, pid_t *pid, uid_t *uid)
{
	if (pid)
		*pid = conn->peer_pid;
	if (uid)
		*uid = conn->peer_uid;
	return 0;
}

/* ---- Input ------------------------------------------------------------- */

/* Nothing that came from this peer is used any more; its owner sees a hang-up. */
static int input_fail(struct varlink_conn *conn, int error)
{
	input_close_fds(conn);
	shutdown(conn->fd, SHUT_RDWR);
	return conn->input_error = error;
}

/* Length of the first message with its NUL, or 0 if it is not whole yet. */
static size_t input_message_bytes(const struct varlink_conn *conn)
{
	if (conn->scanned == conn->input_end)
		return 0;
	const char *end =
		memchr(conn->input + conn->scanned, '\0', conn->input_end - conn->scanned);

	return end ? (size_t)(end - (conn->input + conn->input_start)) + 1 : 0;
}

short varlink_conn_events(const struct varlink_conn *conn)
{
	short events = 0;

	if (!conn->input_error && !input_message_bytes(conn))
		events |= POLLIN;
	if (conn->output_head && !conn->output_error)
		events |= POLLOUT;
	return events;
}

/* Moves what is unread to the front and makes space behind it. */
static int input_make_room(struct varlink_conn *conn)
{
	size_t unread = conn->input_end - conn->input_start;

	if (conn->input_start) {
		memmove(conn->input, conn->input + conn->input_start, unread);
		conn->input_position += conn->input_start;
		conn->input_start = 0;
		conn->input_end = unread;
	}
	conn->scanned = unread; /* reading happens only while no message is whole */
	if (conn->input_capacity - unread >= INPUT_BYTES_MIN ||
	    conn->input_capacity == VARLINK_MESSAGE_MAX)
		return 0;
	size_t capacity = conn->input_capacity ? conn->input_capacity * 2 : 2 * INPUT_BYTES_MIN;
	char *larger = realloc(conn->input, capacity);

	if (!larger)
		return -ENOMEM;
	conn->input = larger;
	conn->input_capacity = capacity;
	return 0;
}

/* Takes over what one recvmsg() delivered beside its bytes. */
static void input_take_fds(struct varlink_conn *conn, struct msghdr *header)
{
	uint64_t last = conn->input_position + conn->input_end - 1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (conn->input_fd_count == 2 * VARLINK_FDS_MAX)
				close(fd); /* cannot be: the control buffer is too small */
			else
				conn->input_fds[conn->input_fd_count++] =
					(struct incoming_fd){.fd = fd, .position = last};
		}
	}
}

static int peer_hung_up(const struct varlink_conn *conn)
{
	struct pollfd p = {.fd = conn->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

int varlink_conn_read(struct varlink_conn *conn)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VARLINK_FDS_MAX * sizeof(int))];
	} control;

	if (conn->input_error)
		return conn->input_error;
	if (input_message_bytes(conn))
		return peer_hung_up(conn) ? -ECONNRESET : 0;
	int r = input_make_room(conn);

	if (r < 0)
		return input_fail(conn, r);
	struct iovec piece = {
		.iov_base = conn->input + conn->input_end,
		.iov_len = conn->input_capacity - conn->input_end,
	};
	struct msghdr header = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(conn->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (got < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		return input_fail(conn, -errno);
	}
	conn->input_end += (size_t)got;
	input_take_fds(conn, &header);
	if (header.msg_flags & MSG_CTRUNC)
		return input_fail(conn, -EPROTO);
	if (!got)
		return input_fail(conn, -ECONNRESET);
	if (!input_message_bytes(conn) &&
	    (conn->input_end >= VARLINK_MESSAGE_MAX || conn->input_fd_count > VARLINK_FDS_MAX))
		return input_fail(conn, -EPROTO);
	return 1;
}

/* The descriptors that belong to bytes before stream position `end`. */
static int input_fds_before(struct varlink_conn *conn, uint64_t end, struct varlink_message *out)
{
	unsigned count = 0;

	while (count < conn->input_fd_count && conn->input_fds[count].position < end)
		count++;
	if (count > VARLINK_FDS_MAX)
		return -EPROTO;
	for (unsigned i = 0; i < count; i++)
		out->fds[i] = conn->input_fds[i].fd;
	out->fd_count = count;
	conn->input_fd_count -= count;
	memmove(conn->input_fds, conn->input_fds + count,
		conn->input_fd_count * sizeof(conn->input_fds[0]));
	return 0;
}

static void input_consume(struct varlink_conn *conn, size_t bytes)
{
	conn->input_start += bytes;
	conn->scanned = conn->input_start;
	if (conn->input_start != conn->input_end)
		return;
	conn->input_position += conn->input_end;
	conn->input_start = conn->input_end = conn->scanned = 0;
	if (conn->input_capacity > INPUT_BYTES_KEPT) {
		free(conn->input);
		conn->input = NULL;
		conn->input_capacity = 0;
	}
}

int varlink_conn_next(struct varlink_conn *conn, struct varlink_message *out)
{
	struct varlink_message message = {0};

	if (conn->input_error)
		return conn->input_error;
	size_t bytes = input_message_bytes(conn);

	if (!bytes)
		return 0;
	message.json = json_loadb(conn->input + conn->input_start, bytes - 1,
				  JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(message.json) ||
	    input_fds_before(conn, conn->input_position + conn->input_start + bytes, &message) <
		    0) {
		json_decref(message.json);
		return input_fail(conn, -EPROTO);
	}
	input_consume(conn, bytes);
	*out = message;
	return 1;
}

/* ---- Output ------------------------------------------------------------ */

/* The peer gets nothing more; what it sent before may still be read. */
static int output_fail(struct varlink_conn *conn, int error)
{
	while (conn->output_head)
		output_pop(conn);
	shutdown(conn->fd, SHUT_RDWR);
	return conn->output_error = error == -EPIPE ? -ECONNRESET : error;
}

/*
 * One sendmsg() of as many queued messages as it may cover: a message that
 * still has its descriptors goes alone, so that they stay with it.
 */
static ssize_t send_some(struct varlink_conn *conn)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VARLINK_FDS_MAX * sizeof(int))];
	} control;
	struct iovec pieces[SEND_PIECES_MAX];
	struct outgoing *item = conn->output_head;
	struct msghdr header = {.msg_iov = pieces};
	size_t fds_bytes = item->fd_count * sizeof(int);

	do {
		pieces[header.msg_iovlen++] = (struct iovec){
			.iov_base = item->text + item->sent_bytes,
			.iov_len = item->text_bytes - item->sent_bytes,
		};
		item = item->next;
	} while (item && !fds_bytes && !item->fd_count && header.msg_iovlen < SEND_PIECES_MAX);
	if (fds_bytes) {
		memset(&control, 0, sizeof(control));
		control.align = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(fds_bytes),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.align), conn->output_head->fds, fds_bytes);
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(fds_bytes);
	}
	return sendmsg(conn->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int varlink_conn_flush(struct varlink_conn *conn)
{
	if (conn->output_error)
		return conn->output_error;
	while (conn->output_head) {
		ssize_t sent = send_some(conn);

		if (sent < 0) {
			if (errno == EINTR)
				continue;
			/* Without memory for the moment: a connection is worth another try. */
			if ((errno == ENOBUFS || errno == ENOMEM) &&
			    ++conn->output_refused < OUTPUT_TRIES)
				return 0;
			return errno == EAGAIN ? 0 : output_fail(conn, -errno);
		}
		conn->output_refused = 0;
		outgoing_close_fds(conn->output_head); /* they went with the first byte */
		for (size_t left = (size_t)sent; left;) {
			struct outgoing *item = conn->output_head;
			size_t rest = item->text_bytes - item->sent_bytes;
			size_t part = left < rest ? left : rest;

			item->sent_bytes += part;
			conn->output_bytes -= part;
			left -= part;
			if (part == rest)
				output_pop(conn);
		}
	}
	return 1;
}

static int outgoing_new(json_t *message, const int *fds, unsigned fd_count, struct outgoing **out)
{
	struct outgoing *item = calloc(1, sizeof(*item));
	int r = -ENOMEM;

	if (!item)
		return r;
	item->text = json_dumps(message, JSON_COMPACT);
	if (!item->text)
		goto fail;
	item->text_bytes = strlen(item->text) + 1;
	r = -EMSGSIZE;
	if (item->text_bytes > VARLINK_MESSAGE_MAX || fd_count > VARLINK_FDS_MAX)
		goto fail;
	for (unsigned i = 0; i < fd_count; i++) {
		int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

		if (copy < 0) {
			r = -errno;
			goto fail;
		}
		item->fds[item->fd_count++] = copy;
	}
	*out = item;
	return 0;
fail:
	outgoing_close_fds(item);
	free(item->text);
	free(item);
	return r;
}

int varlink_conn_send(struct varlink_conn *conn, json_t *message, const int *fds, unsigned fd_count)
{
	struct outgoing *item = NULL;
	int r = conn->output_error;

	if (!r)
		r = outgoing_new(message, fds, fd_count, &item);
	json_decref(message);
	if (r < 0)
		return conn->output_error ? r : output_fail(conn, r);
	*conn->output_tail = item;
	conn->output_tail = &item->next;
	conn->output_bytes += item->text_bytes;
	r = varlink_conn_flush(conn);
	if (r < 0)
		return r;
	return conn->output_bytes > VARLINK_QUEUE_MAX ? output_fail(conn, -ENOBUFS) : 0;
}
