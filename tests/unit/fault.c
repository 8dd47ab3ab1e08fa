/* SPDX-License-Identifier: BSD-2-Clause */
/* See fault.h. Each function below stands in for the C library's of that name. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned left; /* calls until the one that fails; 0: none will */
static int fault_error;
static const char *only;
static bool hit;
static bool held;
static _Thread_local bool exempt;
static uid_t said_uid = (uid_t)-1, said_peer = (uid_t)-1;

bool fault_due(const char *name)
{
	if (!left || held || exempt || (only && strcmp(only, name)) || --left)
		return false;
	hit = true;
	errno = fault_error;
	return true;
}

bool fault_round(unsigned n)
{
	return n == 1 || hit;
}

void fault_start(unsigned n, int error)
{
	left = n;
	fault_error = error;
	only = NULL;
	hit = false;
}

bool fault_named(const char *name)
{
	return only && fault_due(name);
}

void fault_in(const char *name, int error)
{
	fault_in_nth(name, 1, error);
}

void fault_in_nth(const char *name, unsigned n, int error)
{
	left = n;
	fault_error = error;
	only = name;
	hit = false;
}

bool fault_end(void)
{
	left = 0;
	return hit;
}

void fault_hold(bool hold)
{
	held = hold;
}

void fault_not_here(void)
{
	exempt = true;
}

void fault_euid(uid_t uid)
{
	said_uid = uid;
}

void fault_peer(uid_t uid)
{
	said_peer = uid;
}

/* `failure` is what the function returns when it fails, errno being set. */
#define STAND_IN(type, name, failure, parameters, arguments) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fault_due(#name) ? (type)(failure) : __real_##name arguments; \
	}

STAND_IN(void *, malloc, NULL, (size_t bytes), (bytes))
STAND_IN(void *, calloc, NULL, (size_t count, size_t bytes), (count, bytes))
STAND_IN(void *, realloc, NULL, (void *old, size_t bytes), (old, bytes))
STAND_IN(void *, reallocarray, NULL, (void *old, size_t count, size_t bytes), (old, count, bytes))
STAND_IN(void *, aligned_alloc, NULL, (size_t alignment, size_t bytes), (alignment, bytes))
STAND_IN(char *, strdup, NULL, (const char *text), (text))
STAND_IN(char *, getcwd, NULL, (char *out, size_t bytes), (out, bytes))
STAND_IN(locale_t, newlocale, NULL, (int mask, const char *name, locale_t base), (mask, name, base))
STAND_IN(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
STAND_IN(int, connect, -1, (int fd, const struct sockaddr *to, socklen_t bytes), (fd, to, bytes))
STAND_IN(int, bind, -1, (int fd, const struct sockaddr *at, socklen_t bytes), (fd, at, bytes))
STAND_IN(int, listen, -1, (int fd, int backlog), (fd, backlog))
STAND_IN(int, accept4, -1, (int fd, struct sockaddr *from, socklen_t *bytes, int flags),
	 (fd, from, bytes, flags))
STAND_IN(ssize_t, recv, -1, (int fd, void *to, size_t bytes, int flags), (fd, to, bytes, flags))
STAND_IN(ssize_t, recvmsg, -1, (int fd, struct msghdr *message, int flags), (fd, message, flags))
STAND_IN(int, ppoll, -1,
	 (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
	 (fds, count, timeout, mask))
STAND_IN(int, lstat, -1, (const char *path, struct stat *out), (path, out))
STAND_IN(int, fstat, -1, (int fd, struct stat *out), (fd, out))
STAND_IN(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
STAND_IN(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
STAND_IN(int, lchown, -1, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
STAND_IN(int, unlink, -1, (const char *path), (path))
STAND_IN(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
STAND_IN(int, ftruncate, -1, (int fd, off_t bytes), (fd, bytes))
STAND_IN(int, eventfd, -1, (unsigned count, int flags), (count, flags))
STAND_IN(ssize_t, write, -1, (int fd, const void *from, size_t bytes), (fd, from, bytes))
STAND_IN(ssize_t, pread, -1, (int fd, void *to, size_t bytes, off_t at), (fd, to, bytes, at))
/* These return the error. */
STAND_IN(int, pthread_attr_init, fault_error, (pthread_attr_t *out), (out))
STAND_IN(int, pthread_attr_setdetachstate, fault_error, (pthread_attr_t *out, int state),
	 (out, state))

/* ---- Threads -------------------------------------------------------------- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

struct begun {
	void *(*run)(void *data);
	void *data;
};

static void *begin(void *data)
{
	struct begun begun = *(struct begun *)data;

	free(data);
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return begun.run(begun.data);
}

void fault_threads_wait(bool wait)
{
	if (wait)
		pthread_mutex_lock(&gate);
	else
		pthread_mutex_unlock(&gate);
}

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *data);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *data);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *data)
{
	struct begun *begun = fault_due("pthread_create") ? NULL : __real_malloc(sizeof(*begun));
	int error = fault_error;

	if (begun) {
		*begun = (struct begun){run, data};
		error = __real_pthread_create(out, attributes, begin, begun);
		if (error)
			free(begun);
	}
	return error;
}

/* ---- The rest -------------------------------------------------------------- */

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return fault_due("fcntl") ? -1 : __real_fcntl(fd, command, argument);
}

int __real_getsockopt(int fd, int level, int name, void *out, socklen_t *bytes);
int __wrap_getsockopt(int fd, int level, int name, void *out, socklen_t *bytes);
int __wrap_getsockopt(int fd, int level, int name, void *out, socklen_t *bytes)
{
	if (fault_due("getsockopt"))
		return -1;
	int result = __real_getsockopt(fd, level, name, out, bytes);

	if (!result && name == SO_PEERCRED && said_peer != (uid_t)-1)
		((struct ucred *)out)->uid = said_peer;
	return result;
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct iovec octet = {message->msg_iov[0].iov_base, 1};
	struct msghdr less = *message;

	if (fault_due("sendmsg"))
		return -1;
	less.msg_iov = &octet;
	less.msg_iovlen = 1;
	return __real_sendmsg(fd, fault_named("sendmsg, most of it") ? &less : message, flags);
}

ssize_t __real_send(int fd, const void *from, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t bytes, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t bytes, int flags)
{
	if (fault_due("send"))
		return -1;
	return __real_send(fd, from, fault_named("send, most of it") ? 1 : bytes, flags);
}

uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return said_uid == (uid_t)-1 ? __real_geteuid() : said_uid;
}

void fault_json(void)
{
	json_set_alloc_funcs(__wrap_malloc, free);
}
