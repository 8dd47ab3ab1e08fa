/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile peer made of an input: the bytes are sent as they are, except that
 * control characters, which have no place in JSON, are commands that cut the
 * stream into pieces and say what happens between them. NUL, tab, line feed and
 * carriage return are bytes like any other. So a corpus file is readable:
 *
 *   \x01 N   the next piece carries N % 20 descriptors
 *   \x02     the other side reads and handles what has come
 *   \x03...  the target's own commands
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_DESCRIPTORS 0x01
#define PEER_TURN 0x02

struct peer {
	int fd; /* non-blocking */
	const uint8_t *data;
	size_t left;
	unsigned fd_count; /* for the next piece */
};

/* Sends up to the next command: the command, or -1 at the end of the input. */
int peer_next(struct peer *peer);

#endif
