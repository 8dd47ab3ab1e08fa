/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The partition's network namespace. It exists as long as this process (or one
 * that entered it) does, so nothing is mounted and nothing has to be cleaned up.
 * main.c enters it before it gives up the right to; methods.c brings it up when
 * the first TAP interface is asked for.
 *
 * user_namespaces(7), unshare(2); on the distribution's extra locks: Debian's
 * kernel.unprivileged_userns_clone and AppArmor's
 * kernel.apparmor_restrict_unprivileged_userns.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"

/* The network for the partition; the others so that nothing of the host's is left. */
#define NAMESPACES (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, text, strlen(text));
	int error = written < 0 ? -errno : written != (ssize_t)strlen(text) ? -EIO : 0;
	close(fd);
	return error;
}

/* Says what stands in the way of a user namespace, and what to do about it. */
static int user_namespace_refused(int error, char *why)
{
	const char *next = "run outriggerd as root";

	if (error == -EPERM || error == -EACCES)
		next = "run outriggerd as root, or allow them: sysctl "
		       "kernel.unprivileged_userns_clone=1 (Debian), "
		       "kernel.apparmor_restrict_unprivileged_userns=0 (AppArmor); containers "
		       "also need a seccomp profile that permits unshare";
	else if (error == -ENOSPC)
		next = "raise sysctl user.max_user_namespaces and user.max_net_namespaces";
	snprintf(why, KEEPER_WHY_BYTES, "no user and network namespace without privileges: %s; %s",
		 strerror(-error), next);
	return error;
}

/*
 * A user namespace in which this process is root, and with it the others.
 * Only our own uid and gid can be mapped; setgroups must be denied
 * before the gid map may be written.
 */
static int unshare_with_user(struct namespace *namespace, char *why)
{
	char uid_map[32], gid_map[32];

	snprintf(uid_map, sizeof(uid_map), "0 %u 1\n", geteuid());
	snprintf(gid_map, sizeof(gid_map), "0 %u 1\n", getegid());
	if (unshare(CLONE_NEWUSER | NAMESPACES))
		return user_namespace_refused(-errno, why);
	namespace->entered = true;
	int error = write_file("/proc/self/setgroups", "deny");
	if (!error)
		error = write_file("/proc/self/uid_map", uid_map);
	if (!error)
		error = write_file("/proc/self/gid_map", gid_map);
	return error ? user_namespace_refused(error, why) : 0;
}

static int open_namespace(const char *path, int *out, char *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int error = -errno;
		snprintf(why, KEEPER_WHY_BYTES, "cannot open %s: %s", path, strerror(-error));
		return error;
	}
	*out = fd;
	return 0;
}

int namespace_enter(struct namespace *namespace, char *why)
{
	int error = 0;

	if (unshare(NAMESPACES) == 0) {
		namespace->entered = true;
	} else if (errno != EPERM) {
		error = -errno;
		snprintf(why, KEEPER_WHY_BYTES, "no network namespace: %s", strerror(-error));
	} else {
		error = unshare_with_user(namespace, why);
		if (!error)
			error = open_namespace("/proc/self/ns/user", &namespace->user_fd, why);
	}
	return error ? error : open_namespace("/proc/self/ns/net", &namespace->net_fd, why);
}

/* The netlink socket, and loopback up through it. */
static int open_route(struct namespace *namespace, char *why)
{
	/* An answer that never comes must not hold the keeper for ever. */
	const struct timeval timeout = {.tv_sec = KEEPER_NETLINK_TIMEOUT_S};
	struct nl_sock *route = nl_socket_alloc();
	int error = route ? nl_connect(route, NETLINK_ROUTE) : -NLE_NOMEM;

	if (!error && setsockopt(nl_socket_get_fd(route), SOL_SOCKET, SO_RCVTIMEO, &timeout,
				 sizeof(timeout)))
		error = -nl_syserr2nlerr(errno);
	if (!error)
		error = link_set_up(route, "lo");
	if (error) {
		snprintf(why, KEEPER_WHY_BYTES, "cannot set lo up by netlink: %s",
			 nl_geterror(error));
		nl_socket_free(route);
		return -EIO;
	}
	namespace->route = route;
	return 0;
}

int namespace_make(struct namespace *namespace, char *why)
{
	if (namespace->route)
		return 0;
	if (namespace->entered && namespace->net_fd < 0) {
		snprintf(why, KEEPER_WHY_BYTES, "the partition's namespace is half made after an "
						"earlier failure; destroy the partition and "
						"create it again");
		return -EIO;
	}
	int error = namespace->entered ? 0 : namespace_enter(namespace, why);
	return error ? error : open_route(namespace, why);
}
