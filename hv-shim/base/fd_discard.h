/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closing descriptors that a stranger sent. close() can wait for as long as the
 * sender likes: a file of a FUSE file system asks its server, a TCP socket with
 * SO_LINGER waits for its peer. So what is not known to be harmless is closed by
 * a thread of its own. Any thread may call.
 */
#ifndef FD_DISCARD_H
#define FD_DISCARD_H

#include <stdbool.h>

/* Shared memory (memfd, tmpfs, huge pages): nothing done with it waits for anybody. */
bool fd_is_memory(int fd);
/* An eventfd: closing and passing it on waits for nobody; reading and writing may. */
bool fd_is_eventfd(int fd);

/* Closes `fd`, at once or later; it is no longer the caller's. errno is kept. */
void fd_discard(int fd);
/* How many of them are still being closed. */
unsigned fd_discard_pending(void);

#endif
