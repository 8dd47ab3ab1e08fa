/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings a yield to one of its instructions and holds it there, while tests/storm/
 * yield_deaths.sh kills whom it likes; then lets it go on, and sees that each request
 * completes once. Either side is stepped by ptrace: the partition's program, which is a
 * child of this one, from where it yields; or its adjunct's dispatch thread (as root),
 * from where that is woken.
 *
 *	midway PARTITION DEVICE program STEP DEED
 *	midway PARTITION DEVICE adjunct STEP DEED PID
 *
 * DEED: served, requests that fit into the quantum; preempted, one that does not. Prints
 * "at STEP program PID" and waits for a line; then what became of the program. A STEP that
 * is more than there are ends where the yield does. "lent NS" is how long the program was
 * without its processor. Exit status 0, or 1 and a line that says why.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outrigger.h"
#include "../want.h"

#define REQUESTS 4
#define PATIENCE_MS 20000
/* More than it takes to step through: else the adjunct would be taken for one that hangs,
 * and whoever is not handed back to hears of nothing within the patience. */
#define SERVED_QUANTUM_NS 60000000000
#define PREEMPTED_QUANTUM_NS 100000
#define SPIN_NS 3000000

/* Of the program's, which may end at any time. */
static struct shared {
	atomic_bool ready, go, done;
	_Atomic uint64_t lent_ns;
} *shared;

/* ---- The program --------------------------------------------------------------------- */

static struct otr_service *service;

static void submit_all(bool preempted)
{
	uint64_t words[8] = {SPIN_NS};

	for (uint32_t id = 0; id < REQUESTS; id++) {
		words[1] = id;
		struct otr_request request = {
			.id = id,
			.opcode = preempted && id == 0 ? OTR_SPIN : OTR_ECHO,
			.priority = (uint8_t)(OTR_PRIORITIES - 1 - id),
			.data = words,
			.data_bytes = preempted && id == 0 ? sizeof(words[0]) : sizeof(words),
		};

		WANT(otr_submit(service, &request) == 1);
	}
}

static void take_all(uint64_t quantum_ns)
{
	struct otr_completion completion;
	uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS), used_ns;
	unsigned done = 0, reset = 0;

	while (done < REQUESTS) {
		WANT(otr_now_ns() < patience_ns);
		int yielded = otr_yield(service, quantum_ns, &used_ns);

		WANT(yielded >= 0 || yielded == -ETIMEDOUT);
		atomic_fetch_add(&shared->lent_ns, used_ns);
		for (; otr_poll(service, &completion) == 1; done++) {
			/* In the order of their priority; what had begun with an adjunct that
			 * died has failed. */
			WANT(completion.id == done);
			WANT(completion.status == 0 || completion.status == -ECONNRESET);
			reset += completion.status != 0;
			if (completion.status == 0 && completion.data_bytes > 8)
				WANT(((const uint64_t *)completion.data)[1] == completion.id);
		}
	}
	WANT(reset <= 1);
	/* And none of them again. */
	WANT(otr_yield(service, SERVED_QUANTUM_NS, &used_ns) >= 0);
	atomic_fetch_add(&shared->lent_ns, used_ns);
	WANT(otr_poll(service, &completion) == 0);
	printf("completed %u reset %u\n", done, reset);
}

static _Noreturn void program(char **argv, bool preempted, bool stepped)
{
	struct otr *otr;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	WANT(!otr_attach(argv[1], &otr));
	WANT(!otr_service_open(otr, argv[2], &service));
	submit_all(preempted);
	atomic_store(&shared->ready, true);
	if (stepped) {
		WANT(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
	}
	for (uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS); !atomic_load(&shared->go);)
		WANT(otr_now_ns() < patience_ns);
	take_all(preempted ? PREEMPTED_QUANTUM_NS : SERVED_QUANTUM_NS);
	/* The last instruction that counts. */
	atomic_store(&shared->done, true);
	otr_service_close(service);
	otr_detach(otr);
	fflush(stdout);
	_exit(0);
}

/* ---- Stepping ------------------------------------------------------------------------- */

/* Until `tid` has stopped, for the signal that is returned. */
static int await_stop(pid_t tid)
{
	int status;

	WANT(waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status));
	return WSTOPSIG(status);
}

/* Nobody dispatches it any more: it is taken out of its wait, and stopped all the same. */
static void stop_parked(pid_t tid)
{
	siginfo_t info = {0};

	while (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0 &&
	       !info.si_pid) {
		if (atomic_load(&shared->done))
			WANT(!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
		sched_yield();
	}
}

/* The instructions made of `steps`. What is to be signalled to it meanwhile, is. */
static unsigned long step(pid_t tid, unsigned long steps, bool of_adjunct)
{
	int signal = 0;

	for (unsigned long made = 0; made < steps; made++) {
		if (atomic_load(&shared->done))
			return made;
		WANT(!ptrace(PTRACE_SINGLESTEP, tid, NULL, (void *)(long)signal));
		if (of_adjunct)
			stop_parked(tid);
		signal = await_stop(tid);
		if (signal == SIGTRAP || signal == SIGSTOP)
			signal = 0;
	}
	return steps;
}

/* The adjunct's threads are two: the first one talks with the shim. */
static pid_t dispatch_thread(pid_t pid)
{
	char path[60];
	struct dirent *entry;
	pid_t tid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);

	WANT(tasks);
	while ((entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != pid) {
			WANT(!tid);
			tid = atoi(entry->d_name);
		}
	closedir(tasks);
	WANT(tid);
	return tid;
}

/* Its wait is interrupted, and is gone on with by the first step. */
static void seize(pid_t tid)
{
	WANT(!ptrace(PTRACE_SEIZE, tid, NULL, NULL));
	WANT(!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL));
	await_stop(tid);
}

/* Whoever was killed meanwhile cannot be let go: it is collected. */
static void let_go(pid_t tid, bool child)
{
	if (ptrace(PTRACE_DETACH, tid, NULL, NULL) && !child)
		waitpid(tid, NULL, __WALL);
}

int main(int argc, char **argv)
{
	WANT(argc > 5);
	bool of_adjunct = !strcmp(argv[3], "adjunct"), preempted = !strcmp(argv[5], "preempted");
	unsigned long steps = strtoul(argv[4], NULL, 10);
	char line[20];
	int status;

	WANT(argc > 6 || !of_adjunct);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	WANT(shared != MAP_FAILED);
	pid_t child = fork();

	if (child == 0)
		program(argv, preempted, !of_adjunct);
	WANT(child > 0);
	pid_t stepped = child;

	if (of_adjunct) {
		for (uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS);
		     !atomic_load(&shared->ready);)
			WANT(otr_now_ns() < patience_ns && waitpid(child, &status, WNOHANG) == 0);
		stepped = dispatch_thread((pid_t)atoi(argv[6]));
		seize(stepped);
	} else {
		WANT(await_stop(child) == SIGSTOP);
	}
	atomic_store(&shared->go, true);
	steps = step(stepped, steps, of_adjunct);
	printf("at %lu program %d\n", steps, (int)child);
	fflush(stdout);
	WANT(fgets(line, sizeof(line), stdin));
	let_go(stepped, !of_adjunct);
	WANT(waitpid(child, &status, 0) == child);
	printf("program %s %d\n", WIFSIGNALED(status) ? "killed" : "ended",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	printf("lent %lu\n", (unsigned long)atomic_load(&shared->lent_ns));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}
