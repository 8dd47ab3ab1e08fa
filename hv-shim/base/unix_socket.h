/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where Outrigger's sockets are, how they are made, and who may connect. Used
 * by the daemon, the command line, liboutrigger and every child process. Any
 * thread may call.
 */
#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * The state directory, absolute, without a slash at its end: `option` (may be
 * NULL), else $OUTRIGGER_STATE_DIR, else /run/outrigger for root, else
 * $XDG_RUNTIME_DIR/outrigger, else /tmp/outrigger-UID. Empty strings count as
 * absent; it is not created. 0, -ENAMETOOLONG (`out` too small), or -errno
 * when a relative path finds no working directory.
 */
int state_dir_resolve(const char *option, char *out, size_t out_bytes);

/*
 * A listening stream socket at `path` (absolute) with permissions `mode`:
 * close-on-exec, non-blocking; the caller owns it. Its directory must belong to
 * our effective user and be writable by nobody else. A socket left there by a
 * process that is gone is replaced.
 * -EPERM: the directory is not ours alone; -EADDRINUSE: somebody listens there;
 * -EEXIST: the path is something else than a socket; -ENAMETOOLONG; -errno.
 */
int unix_listen(const char *path, mode_t mode);

/*
 * Accepts one connection, close-on-exec and non-blocking, if its peer is root
 * or our effective user; the caller owns it. -EAGAIN: nobody is waiting;
 * -EPERM: another user's, already closed; -errno.
 */
int unix_accept_same_user(int listen_fd);

/*
 * Takes `bytes` that are there off a stream socket, with the descriptors that
 * came along, which the kernel closes. 0; -ENODATA: there were fewer; -errno.
 */
int socket_skip(int fd, size_t bytes);

/* Closes *fd unless it is -1, and makes it -1. errno is kept. */
void fd_close(int *fd);

#endif
