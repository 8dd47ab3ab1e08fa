/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks that a descriptor sent along with Start is what its place says: the
 * type, the size against the claim (T06) and, for memory that somebody else
 * has mapped too, a seal against truncation, without which that somebody could
 * raise SIGBUS in this process (T05). Called by start.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime.h"

int descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes)
{
	struct stat status;
	int seals;

	if (fstat(fd, &status)) {
		int error = -errno;

		env->log(env, ADJ_LOG_ERROR, "%s: %s", what, strerror(-error));
		return error;
	}
	seals = S_ISREG(status.st_mode) ? fcntl(fd, F_GET_SEALS) : -1;
	if (seals < 0) {
		env->log(env, ADJ_LOG_ERROR, "%s: not a memfd", what);
		return -EINVAL;
	}
	if (status.st_size < 0 || (size_t)status.st_size != bytes) {
		env->log(env, ADJ_LOG_ERROR,
			 "%s: is %jd bytes long, not the %zu that were promised", what,
			 (intmax_t)status.st_size, bytes);
		return -EINVAL;
	}
	if (!(seals & F_SEAL_SHRINK)) {
		env->log(env, ADJ_LOG_ERROR, "%s: not sealed against shrinking", what);
		return -EPERM;
	}
	if (seals & F_SEAL_WRITE) {
		env->log(env, ADJ_LOG_ERROR, "%s: sealed against writing", what);
		return -EPERM;
	}
	return 0;
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	return 0;
}

int descriptor_check_eventfd(const struct adj_env *env, const char *what, int fd)
{
	struct stat status;
	uint32_t half;
	int flags = fcntl(fd, F_GETFL);

	/* An anonymous inode has no type. Of those, eventfds can be written and
	 * refuse to be read by less than eight bytes; the read takes nothing. */
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstat(fd, &status) ||
	    (status.st_mode & S_IFMT) || set_nonblocking(fd) ||
	    read(fd, &half, sizeof(half)) != -1 || errno != EINVAL) {
		env->log(env, ADJ_LOG_ERROR, "%s: not an eventfd", what);
		return -EINVAL;
	}
	return 0;
}

int descriptor_check_tap(const struct adj_env *env, int fd)
{
	struct ifreq request = {0};

	if (ioctl(fd, TUNGETIFF, &request)) {
		env->log(env, ADJ_LOG_ERROR, "port: not a TAP descriptor: %s", strerror(errno));
		return -EINVAL;
	}
	/* Whether it has IFF_NO_PI, as it must, cannot be asked: the same bit of the answer
	 * says that no filter is attached. */
	if (!(request.ifr_flags & IFF_TAP) || (request.ifr_flags & IFF_VNET_HDR)) {
		env->log(env, ADJ_LOG_ERROR,
			 "port: the TAP interface must be IFF_TAP, and without IFF_VNET_HDR");
		return -EINVAL;
	}
	return set_nonblocking(fd);
}
