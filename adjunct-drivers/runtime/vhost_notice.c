/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * librte_vhost's thread sleeps in poll() for a second at a time, and a listening
 * socket that was added meanwhile is not among what it polls (DPDK 22.11; later
 * releases use epoll and have no such wait). A new *connection* does wake it. So
 * we let the library connect to a socket of our own and take that away again:
 * what was added before is then polled. Only public functions are used.
 *
 * Called by the ethdev driver and by the soft adapter, on the thread that
 * starts the sockets.
 */
#include "vhost_notice.h"

#include <errno.h>
#include <rte_vhost.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The library wants both; nobody speaks on this connection, so neither runs. */
static int never_new(int vid)
{
	(void)vid;
	return -1;
}

static void never_destroyed(int vid)
{
	(void)vid;
}

static const struct rte_vhost_device_ops nothing = {
	.new_device = never_new,
	.destroy_device = never_destroyed,
};

static int connect_and_forget(const char *path)
{
	if (rte_vhost_driver_register(path, RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT))
		return -ENOMEM;
	int result =
		rte_vhost_driver_callback_register(path, &nothing) || rte_vhost_driver_start(path)
			? -ECONNREFUSED
			: 0;

	(void)rte_vhost_driver_unregister(path);
	return result;
}

int vhost_notice(const char *path)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	if (!length || length >= sizeof(own.sun_path))
		return -ENAMETOOLONG;
	/* Next to the socket, of its length, and no other socket's name. */
	memcpy(own.sun_path, path, length);
	own.sun_path[length - 1] = '~';
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)unlink(own.sun_path);
	int result = bind(fd, (struct sockaddr *)&own, sizeof(own)) || listen(fd, 1)
			     ? -errno
			     : connect_and_forget(own.sun_path);

	(void)unlink(own.sun_path);
	close(fd);
	return result;
}
