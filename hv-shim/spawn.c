/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One clone, as posix_spawn does it (the child borrows our memory until it
 * executes), because posix_spawn cannot make namespaces and a fork of the shim
 * would copy its page tables. See clone(2), user_namespaces(7).
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SOCKET_FD 3
#define STACK_BYTES (64u << 10)

struct child {
	const char *executable, *here; /* by its whole path, and in the working folder */
	char *const *argv;
	int listen_fd;
	bool map_user;
	char uid_map[32], gid_map[32];
	volatile int error; /* set by the child, whose memory is ours */
};

extern char **environ;

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : 0;

	if (!error && write(fd, text, strlen(text)) < 0)
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/*
 * Root of its own namespaces, which only we and our ids are in: any other user
 * would lose its capabilities over them when it executes the image. setgroups
 * must be denied before a gid map is written.
 */
static int map_user(const struct child *child)
{
	int error = write_file("/proc/self/setgroups", "deny");

	if (!error)
		error = write_file("/proc/self/uid_map", child->uid_map);
	if (!error)
		error = write_file("/proc/self/gid_map", child->gid_map);
	return error;
}

static int set_descriptors(const struct child *child)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
		return -errno;
	/* dup2() onto itself would leave close-on-exec set. */
	if (child->listen_fd == CHILD_SOCKET_FD ? fcntl(CHILD_SOCKET_FD, F_SETFD, 0) < 0
						: dup2(child->listen_fd, CHILD_SOCKET_FD) < 0)
		return -errno;
	/* Whatever the shim was started with, and forgot to close, ends here. */
	return close_range(CHILD_SOCKET_FD + 1, ~0u, 0) ? -errno : 0;
}

/* In the child, on our memory: only system calls, nothing that allocates or locks. */
static int child_main(void *data)
{
	struct child *child = data;
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	child->error = child->map_user ? map_user(child) : 0;
	if (!child->error)
		child->error = set_descriptors(child);
	if (!child->error) {
		setsid(); /* Ctrl-C at the shim's terminal is the shim's alone */
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(child->executable, child->argv, environ);
		/* A folder above may be closed to us by now: see spawn.h. */
		execve(child->here, child->argv, environ);
		child->error = -errno;
	}
	_exit(127);
}

int spawn(const char *executable, const char *name, int listen_fd, enum spawn_isolation isolation,
	  pid_t *pid, int *pidfd)
{
	char *const argv[] = {(char *)executable, (char *)name, NULL};
	struct child child = {.executable = executable, .argv = argv, .listen_fd = listen_fd};
	const char *slash = strrchr(executable, '/');
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	sigset_t all, before;
	pid_t cloned;

	child.here = slash ? slash + 1 : executable;
	if (isolation == SPAWN_ISOLATED) {
		flags |= CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID;
		child.map_user = geteuid() != 0;
	}
	if (child.map_user) {
		flags |= CLONE_NEWUSER;
		snprintf(child.uid_map, sizeof(child.uid_map), "0 %u 1\n", geteuid());
		snprintf(child.gid_map, sizeof(child.gid_map), "0 %u 1\n", getegid());
	}
	char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	/* No handler of ours may run on the child's borrowed memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	cloned = clone(child_main, stack + STACK_BYTES, flags, &child, pidfd);
	int error = cloned < 0 ? -errno : child.error;
	sigprocmask(SIG_SETMASK, &before, NULL);
	munmap(stack, STACK_BYTES);
	if (cloned > 0 && error) {
		waitpid(cloned, NULL, 0);
		close(*pidfd);
		return error;
	}
	*pid = cloned;
	return error;
}

int spawn_start_time(pid_t pid, uint64_t *start_time)
{
	char path[40], text[1024];
	unsigned long long start;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return -ESRCH;
	size_t bytes = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[bytes] = '\0';
	/* The command, field 2, may hold anything; the last ')' ends it. */
	char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			    "%*d %llu", &start) != 1)
		return -ESRCH;
	*start_time = start;
	return 0;
}
