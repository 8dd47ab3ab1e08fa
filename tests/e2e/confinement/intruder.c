/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that serves nothing and tries everything: run by the shim as a real
 * adjunct, it tries some deeds while it may (init), and all of them once it is
 * confined (its first dispatch). Two images are made of the program:
 *
 *   intruder            the list of system calls as every adjunct has it
 *   intruder-unlisted   asks for those that the deeds need: shows that the walls
 *                       behind the list (namespaces, empty root, Landlock,
 *                       capabilities, limits) stop them as well
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "../idle.h"
#include "intruder.h"
#include "sweep.h"

static struct intruder {
	const struct adj_env *env;
	struct targets targets;
	bool listed, done;
} intruder;

/*
 * The list, a second time on purpose: whoever lengthens the one in
 * adjunct-drivers/runtime/confine.c must say so here too, or the sweep fails.
 */
static const int listed[] = {
	SYS_read,
	SYS_write,
	SYS_writev,
	SYS_accept,
	SYS_accept4,
	SYS_recvmsg,
	SYS_sendmsg,
	SYS_recvfrom,
	SYS_getsockopt,
	SYS_shutdown,
	SYS_close,
	SYS_epoll_pwait,
	SYS_epoll_pwait2,
	SYS_epoll_ctl,
	SYS_epoll_create1,
	SYS_ppoll,
	SYS_nanosleep,
	SYS_clock_nanosleep,
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_restart_syscall,
	SYS_timerfd_settime,
	SYS_futex,
	SYS_fstat,
	SYS_newfstatat,
	SYS_fcntl,
	SYS_munmap,
	SYS_madvise,
	SYS_brk,
	SYS_sched_getaffinity,
	SYS_get_mempolicy,
	SYS_rt_sigprocmask,
	SYS_rt_sigaction,
	SYS_rt_sigreturn,
	SYS_exit,
	SYS_exit_group,
	SYS_getpid,
	SYS_gettid,
	SYS_tgkill,
	SYS_mmap,
	SYS_mprotect,
#ifdef SYS_poll
	SYS_epoll_wait,
	SYS_epoll_create,
	SYS_poll,
#endif
};

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	char line[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	intruder.env->log(intruder.env, ADJ_LOG_INFO, "%s", line);
}

static int targets_read(struct targets *out)
{
	const char *path = getenv("OTR_INTRUDER_TARGETS");
	FILE *file = path ? fopen(path, "re") : NULL;
	char line[160];

	if (!file)
		return -ENOENT;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "state %107s", out->state_dir);
		sscanf(line, "vf %107s", out->vf_socket);
		sscanf(line, "shim %d", &out->shim_pid);
		sscanf(line, "sibling %d", &out->sibling_pid);
	}
	fclose(file);
	return out->state_dir[0] && out->vf_socket[0] && out->shim_pid && out->sibling_pid
		       ? 0
		       : -EINVAL;
}

static int init(const struct adj_env *env, void **state)
{
	struct targets *targets = &intruder.targets;
	int result = targets_read(targets);

	if (result)
		return result;
	intruder.env = env;
	targets->memory = env->memory;
	targets->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	targets->namespace_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (targets->root_fd < 0 || targets->namespace_fd < 0)
		return -errno;
	attempts_run(env, targets, true, intruder.listed);
	*state = &intruder;
	return 0;
}

static int dispatch(void *state, unsigned budget)
{
	(void)state;
	(void)budget;
	if (intruder.done)
		return 0;
	intruder.done = true;
	attempts_run(intruder.env, &intruder.targets, false, intruder.listed);
	const struct sweep sweep = {EPERM, listed, sizeof(listed) / sizeof(listed[0]), say};
	if (intruder.listed)
		sweep_run(&sweep);
	intruder.env->log(intruder.env, ADJ_LOG_INFO, "the intruder is done");
	return 0;
}

int main(int argc, char **argv)
{
	struct adj_ops ops = idle_ops;

	ops.name = "intruder";
	ops.init = init;
	ops.dispatch = dispatch;
	intruder.listed = !strstr(argv[0], "unlisted");
	if (!intruder.listed)
		ops.syscalls = attempts_syscalls;
	return adj_main(&ops, argc, argv);
}
