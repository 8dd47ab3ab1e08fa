/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that traces the daemon (ptrace(2)): only the thread that started a
 * process may trace it. It waits for its own tracees alone (__WNOTHREAD), so that
 * the main thread can collect whom the dead daemon leaves behind.
 *
 * Threads of the daemon are left alone: all they do is close a memory file.
 */
#include "tracer.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define TRACEES_MAX 16

const char *const fault_names[] = {"none", "killed", "once", "for ever"};

/* The daemon, or a child that has not yet executed its image. */
struct tracee {
	pid_t pid; /* 0: unused */
	bool in_call;
	int failing; /* the error that replaces the result of the call it is in */
};

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct tracee tracees[TRACEES_MAX];
	char *const *argv, *const *environment;
	const char *log;
	pid_t pid; /* 0: not yet; -errno */
	enum fault fault;
	unsigned at;
	long from_call; /* counting has not begun; -1: it has */
	struct tracer_report report;
} tracer = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- The two architectures' registers ---------------------------------------------- */

/* In the stop before a call: it is not made. In the one after it: its result. */
static void set_call_result(pid_t pid, bool before, int error)
{
	struct user_regs_struct registers;
	struct iovec piece = {&registers, sizeof(registers)};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &piece))
		return; /* it has been killed meanwhile */
#if defined(__x86_64__)
	if (before)
		registers.orig_rax = (unsigned long long)-1;
	else
		registers.rax = (unsigned long long)-error;
#elif defined(__aarch64__)
	if (before) {
		int none = -1;
		struct iovec number = {&none, sizeof(none)};

		ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &number);
		return;
	}
	registers.regs[0] = (unsigned long long)-error;
#else
#error "how a system call is replaced is not known for this processor"
#endif
	ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &piece);
}

static long call_number(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return -1;
	return (long)info.entry.nr;
}

/* ---- One call ------------------------------------------------------------------------ */

/* A child resets every signal before it executes: sixty times the same. */
static bool counts(const struct tracee *tracee, long number)
{
	return tracee->pid == tracer.pid || number != SYS_rt_sigaction;
}

/* What is to happen now; under the lock. */
static enum fault decide(const struct tracee *tracee, long number, int *error)
{
	struct tracer_report *report = &tracer.report;

	if (tracer.fault == FAULT_NONE && !tracer.at)
		return FAULT_NONE;
	if (tracer.from_call >= 0 && tracer.from_call != number)
		return FAULT_NONE;
	tracer.from_call = -1;
	if (tracer.fault == FAULT_FOREVER && report->fired) {
		*error = number == report->number ? report->error : 0;
		return *error ? FAULT_FOREVER : FAULT_NONE;
	}
	bool failing = tracer.fault == FAULT_ONCE || tracer.fault == FAULT_FOREVER;
	/* Only what can fail is counted, where failing is what is asked for. */
	*error = failing ? call_error(number, tracer.fault == FAULT_FOREVER) : 0;
	if (!counts(tracee, number) || (failing && !*error) || report->fired)
		return FAULT_NONE;
	if (++report->calls != tracer.at)
		return FAULT_NONE;
	report->fired = true;
	report->number = number;
	report->error = *error;
	return tracer.fault;
}

static void on_call(struct tracee *tracee)
{
	int error = 0;

	if (tracee->in_call) {
		tracee->in_call = false;
		if (tracee->failing)
			set_call_result(tracee->pid, false, tracee->failing);
		tracee->failing = 0;
		return;
	}
	tracee->in_call = true;
	long number = call_number(tracee->pid);

	pthread_mutex_lock(&tracer.lock);
	enum fault fault = decide(tracee, number, &error);
	pthread_mutex_unlock(&tracer.lock);
	if (fault == FAULT_KILL) {
		kill(tracer.pid, SIGKILL);
	} else if (fault != FAULT_NONE) {
		set_call_result(tracee->pid, true, error);
		tracee->failing = error;
	}
}

/* ---- The thread ------------------------------------------------------------------------ */

static struct tracee *tracee_of(pid_t pid)
{
	for (int i = 0; i < TRACEES_MAX; i++)
		if (tracer.tracees[i].pid == pid)
			return &tracer.tracees[i];
	return NULL;
}

static struct tracee *tracee_add(pid_t pid)
{
	struct tracee *tracee = tracee_of(0);

	if (tracee)
		*tracee = (struct tracee){.pid = pid};
	return tracee;
}

/* A stop of one of them; it goes on afterwards. */
static void on_stop(pid_t pid, int status)
{
	struct tracee *tracee = tracee_of(pid);
	int number = WSTOPSIG(status), event = status >> 16;

	if (!tracee && pid != tracer.pid)
		tracee = tracee_add(pid); /* a child whose parent's stop comes second */
	if (!tracee) {
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		return;
	}
	if (event == PTRACE_EVENT_EXEC && pid != tracer.pid) {
		tracee->pid = 0;
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		return;
	}
	if (number == (SIGTRAP | 0x80))
		on_call(tracee);
	/* Stops that are only ours are no signals: those of events, of a child's beginning. */
	bool ours = number == SIGTRAP || number == (SIGTRAP | 0x80) || number == SIGSTOP || event;

	ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)(ours ? 0 : number));
}

static void child(void)
{
	int fd = open(tracer.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	execve(tracer.argv[0], tracer.argv, tracer.environment);
	_exit(127);
}

static pid_t start(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		child();
	if (pid < 0)
		return -errno;
	if (waitpid(pid, &status, __WALL | __WNOTHREAD) != pid || !WIFSTOPPED(status))
		return -ECHILD;
	tracer.pid = pid;
	memset(tracer.tracees, 0, sizeof(tracer.tracees));
	tracee_add(pid);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC));
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	return pid;
}

static void publish(pid_t pid)
{
	pthread_mutex_lock(&tracer.lock);
	tracer.pid = pid;
	pthread_cond_broadcast(&tracer.changed);
	pthread_mutex_unlock(&tracer.lock);
}

static void *run(void *unused)
{
	pid_t pid = start();
	int daemon_status = 0, status;

	(void)unused;
	publish(pid);
	/* Until the daemon and every child of its that has not executed yet is done with. */
	while (pid > 0) {
		pid_t who = waitpid(-1, &status, __WALL | __WNOTHREAD);

		if (who < 0 && errno == EINTR)
			continue;
		if (who < 0)
			break;
		if (WIFSTOPPED(status)) {
			on_stop(who, status);
			continue;
		}
		struct tracee *tracee = tracee_of(who);
		if (tracee)
			tracee->pid = 0;
		if (who == pid)
			daemon_status = status;
	}
	pthread_mutex_lock(&tracer.lock);
	tracer.report.ended = true;
	tracer.report.status = daemon_status;
	pthread_cond_broadcast(&tracer.changed);
	pthread_mutex_unlock(&tracer.lock);
	return NULL;
}

/* ---- For the main thread ------------------------------------------------------------------ */

static void arm(enum fault fault, unsigned at, long from_call)
{
	tracer.fault = fault;
	tracer.at = at;
	tracer.from_call = from_call;
	tracer.report = (struct tracer_report){.ended = tracer.report.ended,
					       .status = tracer.report.status};
}

pid_t tracer_start(char *const *argv, char *const *environment, const char *log, enum fault fault,
		   unsigned at, long from_call)
{
	tracer.argv = argv;
	tracer.environment = environment;
	tracer.log = log;
	tracer.pid = 0;
	tracer.report = (struct tracer_report){0};
	arm(fault, at, from_call);
	int error = pthread_create(&tracer.thread, NULL, run, NULL);
	if (error)
		return -error;
	pthread_mutex_lock(&tracer.lock);
	while (!tracer.pid)
		pthread_cond_wait(&tracer.changed, &tracer.lock);
	pthread_mutex_unlock(&tracer.lock);
	if (tracer.pid < 0)
		pthread_join(tracer.thread, NULL);
	return tracer.pid;
}

void tracer_arm(enum fault fault, unsigned at)
{
	pthread_mutex_lock(&tracer.lock);
	arm(fault, at, -1);
	pthread_mutex_unlock(&tracer.lock);
}

void tracer_disarm(void)
{
	pthread_mutex_lock(&tracer.lock);
	tracer.fault = FAULT_NONE;
	tracer.at = 0;
	pthread_mutex_unlock(&tracer.lock);
}

struct tracer_report tracer_report(void)
{
	pthread_mutex_lock(&tracer.lock);
	struct tracer_report report = tracer.report;
	pthread_mutex_unlock(&tracer.lock);
	return report;
}

bool tracer_join(uint64_t deadline_ns)
{
	const struct timespec pause = {.tv_nsec = (long)NS_PER_MS};

	while (!tracer_report().ended) {
		if (clock_now_ns() >= deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	pthread_join(tracer.thread, NULL);
	return true;
}
