/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One clone, as posix_spawn does it (the child borrows our memory until it
 * executes), because posix_spawn cannot make namespaces and a fork of the shim
 * would copy its page tables. See clone(2), user_namespaces(7).
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "clone_into.h"
#include "unix_socket.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
/* An earlier child never returned from its functions, and what the sanitizer noted of
 * their variables is still there, in our memory, which it shared. */
#define forget_stack(stack, bytes) __asan_unpoison_memory_region(stack, bytes)
#else
#define forget_stack(stack, bytes) ((void)(stack))
#endif

#define CHILD_SOCKET_FD 3
#define STACK_BYTES (64u << 10)

struct child {
	const char *executable, *here; /* by its whole path, and in the working folder */
	char *const *argv;
	int listen_fd;
	int kept_socket; /* where what is kept of it goes; -1: nowhere */
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

union kept_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int[SPAWN_KEPT]))];
};

/* A filter that lets everything pass, for its listener's sake: see spawn.h. */
static int listen_for_death(void)
{
	struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {1, &pass};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

/* Only it may open them. A shim that does not get them does without. */
static void send_kept(const struct child *child)
{
	union kept_control control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	char byte = 0;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control};
	const int fds[SPAWN_KEPT] = {
		[SPAWN_MOUNTS] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC),
		[SPAWN_NETWORK] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
		[SPAWN_DEATH] = listen_for_death(),
	};
	/* The last is missing where somebody who confines us has such a listener himself. */
	size_t bytes = fds[SPAWN_DEATH] < 0 ? sizeof(int[SPAWN_DEATH]) : sizeof(fds);

	if (fds[SPAWN_MOUNTS] < 0 || fds[SPAWN_NETWORK] < 0)
		return; /* all are closed with everything else */
	memcpy(CMSG_DATA(&control.header), fds, bytes);
	control.header.cmsg_len = CMSG_LEN(bytes);
	message.msg_controllen = CMSG_SPACE(bytes);
	(void)!sendmsg(child->kept_socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void receive_kept(int socket_fd, int kept[SPAWN_KEPT])
{
	union kept_control control;
	char byte;
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	/* It was sent before the child executed, on memory of ours: by us, so to speak. */
	if (recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1 &&
	    message.msg_controllen >= sizeof(struct cmsghdr)) {
		size_t bytes = control.header.cmsg_len - CMSG_LEN(0);

		/* There is room for one more than are kept: an int's padding. */
		memcpy(kept, CMSG_DATA(&control.header),
		       bytes < sizeof(int[SPAWN_KEPT]) ? bytes : sizeof(int[SPAWN_KEPT]));
	}
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

/*
 * Out of the terminal's reach, and it out of ours: neither Ctrl-C nor TIOCSTI. In the
 * session of the shim all the same where that can be: to a kernel that schedules by session
 * (autogroup) an adjunct and the program that lends it the processor are then one group, if
 * the program is of that session, and only within a group can it be passed on at once.
 */
static void leave_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	bool left = fd < 0 ? errno == ENXIO : ioctl(fd, TIOCNOTTY) == 0;

	if (fd >= 0)
		close(fd);
	if (!left || setpgid(0, 0))
		setsid();
}

/* In the child, on our memory: only system calls, nothing that allocates or locks. */
static int child_main(void *data)
{
	struct child *child = data;
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	child->error = child->map_user ? map_user(child) : 0;
	if (child->kept_socket >= 0)
		send_kept(child);
	if (!child->error)
		child->error = set_descriptors(child);
	if (!child->error) {
		leave_terminal();
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(child->executable, child->argv, environ);
		/* A folder above may be closed to us by now: see spawn.h. */
		execve(child->here, child->argv, environ);
		child->error = -errno;
	}
	_exit(127);
}

/* In its partition's group at once; where the kernel or whoever confines us has no such
 * call, moved there: before it touches what it is donated, which is charged where it is
 * then. */
static pid_t clone_child(const struct program *program, int flags, char *stack, struct child *child,
			 int *pidfd)
{
	const char *partition = program->partition;
	int group_fd = partition ? cgroup_open_group(partition, program->device) : -1;
	pid_t cloned = -1;

	if (group_fd >= 0) {
		cloned = clone_into(group_fd, child_main, stack, STACK_BYTES, flags, child, pidfd);
		close(group_fd);
		if (cloned > 0)
			return cloned;
	}
	cloned = clone(child_main, stack + STACK_BYTES, flags, child, pidfd);
	if (cloned < 0)
		return -errno;
	if (partition)
		cgroup_add(partition, program->device, cloned);
	return cloned;
}

int spawn(const struct program *program, int listen_fd, pid_t *pid, int *pidfd,
	  int kept[SPAWN_KEPT])
{
	const char *executable = program->executable, *slash = strrchr(executable, '/');
	char *const argv[] = {(char *)executable, (char *)program->name, NULL};
	struct child child = {.executable = executable, .argv = argv, .listen_fd = listen_fd,
			      .kept_socket = -1};
	int sockets[2] = {-1, -1};
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
	sigset_t all, before;
	pid_t cloned;

	child.here = slash ? slash + 1 : executable;
	if (program->isolation == SPAWN_ISOLATED) {
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
	forget_stack(stack, STACK_BYTES);
	for (int i = 0; i < SPAWN_KEPT; i++)
		kept[i] = -1;
	if (program->isolation == SPAWN_ISOLATED && !socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets))
		child.kept_socket = sockets[1];
	/* No handler of ours may run on the child's borrowed memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	cloned = clone_child(program, flags, stack, &child, pidfd);
	int error = cloned < 0 ? cloned : child.error;
	sigprocmask(SIG_SETMASK, &before, NULL);
	munmap(stack, STACK_BYTES);
	if (child.kept_socket >= 0) {
		receive_kept(sockets[0], kept);
		close(sockets[0]);
		close(sockets[1]);
	}
	if (cloned > 0 && error) {
		for (int i = 0; i < SPAWN_KEPT; i++)
			fd_close(&kept[i]);
		waitpid(cloned, NULL, 0);
		fd_close(pidfd); /* -1: the caller must not close what is another's by then */
		return error;
	}
	*pid = cloned;
	return error;
}

/* `ended`: it has, and its status waits to be collected. */
static int read_stat(pid_t pid, uint64_t *start_time, bool *ended)
{
	char path[40], text[1024], state;
	unsigned long long start;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	ssize_t bytes = read(fd, text, sizeof(text) - 1);
	int error = -errno;
	close(fd);
	if (bytes < 0)
		return error;
	text[bytes] = '\0';
	/* The command, field 2, may hold anything; the last ')' ends it. */
	char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			    "%*d %llu", &state, &start) != 2)
		return -ESRCH;
	*start_time = start;
	*ended = state == 'Z' || state == 'X';
	return 0;
}

int spawn_start_time(pid_t pid, uint64_t *start_time)
{
	bool ended;

	return read_stat(pid, start_time, &ended);
}

int spawn_check_alive(pid_t pid, uint64_t start_time)
{
	uint64_t now;
	bool ended;
	int error = read_stat(pid, &now, &ended);

	return error ? error : ended || now != start_time ? -ESRCH : 0;
}
