/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restart_floor: what replacing a process costs at the very least. A client asks
 * a server process through one shared line, gets every question answered, kills
 * it, and takes the time until the next answer: from another process, which it
 *
 *   restart_floor cold N CPU CPU      then starts (reap, spawn, map, answer)
 *   restart_floor standby N CPU CPU   started before (reap, wake, answer)
 *
 * Prints the median of N in ns. No DPDK, no shim, no namespaces: the two
 * processes of the table of floors. The first CPU is the client's. One thread.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

/* Inherited by the servers; out of the way of whatever we were started with. */
#define MEMORY_FD 100
#define BELL_FD 101
#define DEADLINE_NS (2 * NS_PER_S)
#define QUESTIONS_BEFORE_KILL 1000u
#define RUNS_MAX 10000u

struct line {
	_Alignas(64) _Atomic uint64_t question; /* the client's */
	_Alignas(64) _Atomic uint64_t answer;	/* the server's */
	_Alignas(64) _Atomic unsigned prepared; /* standbys that sleep, or are about to */
};

struct server {
	pid_t pid;
	int pidfd;
};

extern char **environ;

static int fail(const char *what)
{
	fprintf(stderr, "restart_floor: %s: %s\n", what, strerror(errno));
	return 1;
}

static int pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static struct line *map_line(void)
{
	struct line *line = mmap(NULL, sizeof(*line), PROT_READ | PROT_WRITE, MAP_SHARED, MEMORY_FD, 0);

	return line == MAP_FAILED ? NULL : line;
}

/* ---- The server ------------------------------------------------------------------ */

static int serve(bool standby, unsigned cpu)
{
	struct line *line = map_line();
	uint64_t rings, last = 0;

	if (!line || pin(cpu))
		return fail("server");
	if (standby) {
		atomic_fetch_add_explicit(&line->prepared, 1, memory_order_release);
		if (read(BELL_FD, &rings, sizeof(rings)) != sizeof(rings))
			return fail("doorbell");
	}
	/* Ends by being killed, or with its client, which leaves nobody to ask. */
	while (getppid() != 1) {
		for (unsigned i = 0; i < 1u << 20; i++) {
			uint64_t question = atomic_load_explicit(&line->question, memory_order_acquire);

			if (question != last)
				atomic_store_explicit(&line->answer, question, memory_order_release);
			last = question;
		}
	}
	return 0;
}

/* ---- The client ------------------------------------------------------------------ */

static int start(bool standby, char *cpu, struct server *out)
{
	char *argv[] = {(char[]){"restart_floor"}, standby ? (char[]){"wait"} : (char[]){"serve"}, cpu, NULL};

	/* What posix_spawn does; but it cannot give the child another CPU than ours,
	 * on which it would wait behind us until it had moved itself. */
	out->pid = vfork();
	if (out->pid == 0) {
		(void)pin((unsigned)atoi(cpu));
		execve("/proc/self/exe", argv, environ);
		_exit(127);
	}
	out->pidfd = out->pid < 0 ? -1 : pidfd_open(out->pid, 0);
	return out->pidfd < 0 ? -1 : 0;
}

/* A question and its answer. */
static int ask(struct line *line)
{
	uint64_t question = atomic_load_explicit(&line->question, memory_order_relaxed) + 1;
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;

	atomic_store_explicit(&line->question, question, memory_order_release);
	for (unsigned polls = 1; atomic_load_explicit(&line->answer, memory_order_acquire) != question;
	     polls++) {
		if (polls % 1024 == 0 && clock_now_ns() > deadline_ns) {
			errno = ETIMEDOUT;
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* Kills it and waits for its end, as a supervisor does: by its pidfd. */
static int end(struct server *server)
{
	struct pollfd process = {.fd = server->pidfd, .events = POLLIN};
	siginfo_t info;

	if (pidfd_send_signal(server->pidfd, SIGKILL, NULL, 0) || poll(&process, 1, 2000) != 1 ||
	    waitid(P_PIDFD, (id_t)server->pidfd, &info, WEXITED))
		return -1;
	return close(server->pidfd);
}

static int wait_prepared(struct line *line, unsigned count)
{
	uint64_t deadline_ns = clock_now_ns() + DEADLINE_NS;

	/* acquire: partner is the standby's release. */
	while (atomic_load_explicit(&line->prepared, memory_order_acquire) < count)
		if (clock_now_ns() > deadline_ns)
			return -1;
	/* It still has to fall asleep. */
	return usleep(1000);
}

static int gap(struct line *line, struct server *server, bool standby, char *cpu, unsigned run,
	       uint64_t *out)
{
	const uint64_t one = 1;
	struct server next;

	if (standby && (start(true, cpu, &next) || wait_prepared(line, run + 1)))
		return -1;
	for (unsigned i = 0; i < QUESTIONS_BEFORE_KILL; i++)
		if (ask(line))
			return -1;
	uint64_t begin_ns = clock_now_ns();

	if (end(server))
		return -1;
	if (standby ? write(BELL_FD, &one, sizeof(one)) != sizeof(one) : start(false, cpu, &next) != 0)
		return -1;
	if (ask(line))
		return -1;
	*out = clock_now_ns() - begin_ns;
	*server = next;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int measure(bool standby, unsigned runs, unsigned own_cpu, char *cpu)
{
	static uint64_t gaps[RUNS_MAX];
	int memory = memfd_create("floor", MFD_CLOEXEC), bell = eventfd(0, EFD_CLOEXEC);
	struct server server;

	if (memory < 0 || bell < 0 || ftruncate(memory, sizeof(struct line)) ||
	    dup2(memory, MEMORY_FD) < 0 || dup2(bell, BELL_FD) < 0)
		return fail("shared memory");
	struct line *line = map_line();

	if (!line || pin(own_cpu) || start(false, cpu, &server))
		return fail("start");
	for (unsigned run = 0; run < runs; run++)
		if (gap(line, &server, standby, cpu, run, &gaps[run]))
			return fail("a run");
	if (end(&server))
		return fail("end");
	qsort(gaps, runs, sizeof(gaps[0]), compare);
	printf("%llu\n", (unsigned long long)gaps[runs / 2]);
	return 0;
}

int main(int argc, char **argv)
{
	bool standby = argc > 1 && (!strcmp(argv[1], "standby") || !strcmp(argv[1], "wait"));

	if (argc == 3 && (standby || !strcmp(argv[1], "serve")))
		return serve(standby, (unsigned)atoi(argv[2]));
	unsigned runs = argc == 5 ? (unsigned)atoi(argv[2]) : 0;

	if (!runs || runs > RUNS_MAX || (!standby && strcmp(argv[1], "cold"))) {
		fprintf(stderr, "usage: restart_floor cold|standby N CPU CPU\n");
		return 2;
	}
	return measure(standby, runs, (unsigned)atoi(argv[3]), argv[4]);
}
