/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the Varlink tests share: a connection whose other end is a bare socket,
 * so that a test can be as rude as a hostile peer. Criterion runs each test in
 * a process of its own; none of this is shared between tests.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "varlink.h"

/* Nothing here may wait longer than this for something that must happen. */
#define PATIENCE_NS (10 * UINT64_C(1000000000))

struct rude_peer {
	int fd; /* blocking */
	struct varlink_conn *conn;
};
void rude_open(struct rude_peer *peer);
void rude_close(struct rude_peer *peer);

/* One sendmsg() of exactly these bytes. */
void raw_send(int fd, const void *bytes, size_t count, const int *fds, unsigned fd_count);
/* A string with its NUL. */
void raw_message(int fd, const char *text, const int *fds, unsigned fd_count);
/* Receives until a NUL, one byte at a time; false at the end of the stream. */
bool raw_receive(int fd, char *text, size_t text_bytes);

/* Open descriptors of this process. */
unsigned fd_count_now(void);
/* A descriptor that can be told from others: a memfd of `mark` bytes. */
int marked_fd(unsigned mark);
unsigned mark_of(int fd);

/* Reads and takes the next message, which must come. */
void must_next(struct varlink_conn *conn, struct varlink_message *out);
/* Reads until something is final: the error. */
int read_until_error(struct varlink_conn *conn);

#endif
