/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths, listening sockets and peer checks; see unix_socket.h. Called when
 * programs start and for each new connection, on the program's main thread.
 */
#include "unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* A set variable; secure_getenv so that a set-id program is not led astray. */
static const char *environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

int state_dir_resolve(const char *option, char *out, size_t out_bytes)
{
	const char *chosen = option && *option ? option : environment("OUTRIGGER_STATE_DIR");
	const char *runtime = environment("XDG_RUNTIME_DIR");
	int length;

	if (chosen && *chosen == '/') {
		length = snprintf(out, out_bytes, "%s", chosen);
	} else if (chosen) {
		char *cwd = getcwd(NULL, 0);

		if (!cwd)
			return -errno;
		length = snprintf(out, out_bytes, "%s/%s", cwd, chosen);
		free(cwd);
	} else if (geteuid() == 0) {
		length = snprintf(out, out_bytes, "/run/outrigger");
	} else if (runtime) {
		length = snprintf(out, out_bytes, "%s/outrigger", runtime);
	} else {
		length = snprintf(out, out_bytes, "/tmp/outrigger-%u", (unsigned)geteuid());
	}
	if (length < 0 || (size_t)length >= out_bytes)
		return -ENAMETOOLONG;
	while (length > 1 && out[length - 1] == '/')
		out[--length] = '\0';
	return 0;
}

/* Only we may make, replace or remove names in the socket's directory. */
static int check_directory(const char *path)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (!slash || slash == path)
		return -EINVAL;
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	if (lstat(directory, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)) ? 0 : -EPERM;
}

/* Removes a socket nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (probe < 0)
		return -errno;
	int r = connect(probe, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;

	fd_close(&probe);
	if (r != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

int unix_listen(const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length + 1);
	int r = check_directory(path);

	if (!r)
		r = remove_stale(&address);
	if (r < 0)
		return r;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/*
	 * The file takes its permissions from the socket's inode less the umask,
	 * so it is never wider than `mode`; chmod() gives back what umask took.
	 */
	if (fd < 0 || fchmod(fd, mode) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
	} else if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		unlink(path);
	} else {
		return fd;
	}
	fd_close(&fd);
	return r;
}

int unix_accept_same_user(int listen_fd)
{
	struct ucred peer;
	socklen_t peer_bytes = sizeof(peer);
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0)
		r = -errno;
	else if (peer.uid != 0 && peer.uid != geteuid())
		r = -EPERM;
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	return fd;
}

int socket_skip(int fd, size_t bytes)
{
	char scrap[512];

	while (bytes) {
		/* No control buffer: descriptors find no room. */
		struct iovec part = {scrap, bytes < sizeof(scrap) ? bytes : sizeof(scrap)};
		struct msghdr from = {.msg_iov = &part, .msg_iovlen = 1};
		ssize_t got = recvmsg(fd, &from, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 || errno == EAGAIN ? -ENODATA : -errno;
		bytes -= (size_t)got;
	}
	return 0;
}
