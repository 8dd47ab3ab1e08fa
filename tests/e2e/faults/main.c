/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of a daemon that is killed, or refused something, at its Nth system
 * call or allocation, for every N of a phase of its work:
 *
 *	shim_faults MODE STATE-DIR LOG STEP PHASE...
 *
 * MODE: killed, once, forever (system calls); malloc-once, malloc-forever. STEP: 1
 * takes every N, k every k-th; PHASE:N that place alone. For each N the phase is brought to its beginning,
 * the fault happens somewhere in it, a new daemon starts if that one has ended, the
 * document is applied, and what there is then is compared (census.c) with what there
 * was without any fault. One TAP line for each phase. tests/e2e/shim_killed.sh and
 * shim_faults.sh run it.
 *
 * Reading order: phases.c says what the phases are, this file what is done to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "failing_malloc.h"
#include "phases.h"

#define PROBLEMS_TOLD 5

enum mode { KILLED, ONCE, FOREVER, MALLOC_ONCE, MALLOC_FOREVER };
static const char *const modes[] = {"killed", "once", "forever", "malloc-once", "malloc-forever"};
static const enum fault mode_faults[] = {FAULT_KILL, FAULT_ONCE, FAULT_FOREVER};

static struct failing_malloc *orders;
static enum mode mode;

static struct {
	unsigned tried, deaths, errors, problems;
} count;

static bool of_malloc(void)
{
	return mode >= MALLOC_ONCE;
}

/* ---- The fault ---------------------------------------------------------------------- */

static void arm(unsigned at)
{
	if (!of_malloc()) {
		tracer_arm(mode_faults[mode], at);
		return;
	}
	atomic_store(&orders->count, 0);
	atomic_store(&orders->failed, 0);
	atomic_store(&orders->forever, mode == MALLOC_FOREVER);
	atomic_store(&orders->at, at);
}

/* Whether it happened. */
static bool disarm(void)
{
	if (of_malloc()) {
		atomic_store(&orders->at, 0);
		return atomic_load(&orders->failed) > 0;
	}
	bool fired = tracer_report().fired;

	tracer_disarm();
	return fired;
}

static char place[120];

/* Before another daemon is traced. */
static void describe(unsigned at)
{
	struct tracer_report report = tracer_report();

	if (of_malloc())
		snprintf(place, sizeof(place), "allocation %u", at);
	else
		snprintf(place, sizeof(place), "call %u, %s (%ld)%s%s", at, call_name(report.number),
			 report.number, report.error ? ", " : "",
			 report.error ? strerror(report.error) : "");
}

/* ---- The daemon's end ------------------------------------------------------------------ */

/* The last line of its log, which must say why it ended. */
static bool log_has_grown(const struct rig *rig, off_t before)
{
	int fd = open(rig->log, O_RDONLY | O_CLOEXEC);
	off_t now = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	if (fd >= 0)
		close(fd);
	return now > before;
}

static off_t log_bytes(const struct rig *rig)
{
	int fd = open(rig->log, O_RDONLY | O_CLOEXEC);
	off_t bytes = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	if (fd >= 0)
		close(fd);
	return bytes;
}

/* One that ended by itself said so and exited; a signal is a crash. */
static bool end_is_fine(const struct rig *rig, off_t log_before)
{
	int status = tracer_report().status;

	if (mode == KILLED)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
			       ? true
			       : rig_fails("it ended by itself, with status %#x", (unsigned)status);
	if (!WIFEXITED(status))
		return rig_fails("it crashed: signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == 0)
		return rig_fails("it ended as if nothing were wrong");
	/* Before it has a log there is the loader, which says it on its own. */
	return log_has_grown(rig, log_before) || rig_fails("it ended without a word");
}

/* Whether the fault ended it; if so, it is collected and a new one runs. */
static bool replace_daemon(struct rig *rig, const struct phase *phase, unsigned at, off_t log_before)
{
	if (!daemon_has_ended())
		return true;
	count.deaths++;
	if (!end_is_fine(rig, log_before) || !daemon_join(rig))
		return false;
	if (phase->meanwhile && !phase->meanwhile(rig))
		return false;
	/* Every other time the next one dies as well, somewhere in its start. */
	if (mode == KILLED && phase->again && at % 2) {
		if (!daemon_start(rig, FAULT_KILL, 1 + at * 7 % phase->again, DAEMON_FIRST_CALL))
			return false;
		daemon_wait(rig); /* or not */
		tracer_disarm();
		if (daemon_has_ended() && !daemon_join(rig))
			return false;
		if (!rig->daemon)
			return daemon_start(rig, FAULT_NONE, 0, -1) && daemon_wait(rig);
		return true;
	}
	return daemon_start(rig, FAULT_NONE, 0, -1) && daemon_wait(rig);
}

/* ---- One N ---------------------------------------------------------------------------------- */

enum verdict { FAILED, WELL, OVER };

static enum verdict try_one(struct rig *rig, const struct phase *phase, unsigned at)
{
	bool hung = false;

	snprintf(place, sizeof(place), "before %u", at);
	if (!phase->prepare(rig))
		return FAILED;
	off_t log_before = log_bytes(rig);
	if (phase->starts) {
		if (!daemon_kill(rig))
			return FAILED;
		if (of_malloc())
			arm(at);
		if (!daemon_start(rig, of_malloc() ? FAULT_NONE : mode_faults[mode], at,
				  DAEMON_FIRST_CALL))
			return FAILED;
	} else {
		arm(at);
	}
	if (!phase->act(rig, &hung))
		count.errors++;
	bool fired = disarm();
	describe(at);
	if (hung)
		return FAILED;
	/* It was killed a moment ago: the answer may have come before its end does. */
	for (uint64_t deadline = rig_deadline(); fired && mode == KILLED && !daemon_has_ended();) {
		if (clock_now_ns() >= deadline)
			return rig_fails("it was killed, and lives"), FAILED;
		rig_pause();
	}
	/* What it was asked may have failed because it ends just now. */
	if (mode != KILLED)
		daemon_wait(rig);
	if (!replace_daemon(rig, phase, at, log_before) || !phase->verify(rig))
		return FAILED;
	return fired ? WELL : OVER;
}

/* After a failure nothing is known any more: everything is ended, the folder emptied. */
static bool start_over(struct rig *rig)
{
	return daemon_kill(rig) && rig_clear(rig) && daemon_start(rig, FAULT_NONE, 0, -1) &&
	       daemon_wait(rig) && phases_begin(rig);
}

/* With `only`: that one place. */
static bool run_phase(struct rig *rig, const struct phase *phase, unsigned step, unsigned only)
{
	memset(&count, 0, sizeof(count));
	for (unsigned at = only ? only : 1 + phase->offset % step; !only || at == only; at += step) {
		enum verdict verdict = try_one(rig, phase, at);

		if (verdict == OVER)
			break;
		count.tried++;
		if (verdict == WELL)
			continue;
		count.problems++;
		printf("# %s, %s: %s\n", phase->name, place, rig_problem);
		if (count.problems == PROBLEMS_TOLD || !start_over(rig))
			break;
	}
	printf("%sok - %s: %s, %u places, %u with an error, %u restarts\n",
	       count.problems || !count.tried ? "not " : "", phase->name, modes[mode], count.tried,
	       count.errors, count.deaths);
	return !count.problems && count.tried;
}

static bool share_orders(const char *state)
{
	char path[300];

	snprintf(path, sizeof(path), "%s.malloc", state);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*orders)))
		return false;
	orders = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	setenv(FAILING_MALLOC_FILE, path, 1);
	return orders != MAP_FAILED;
}

int main(int argc, char **argv)
{
	struct rig rig = {.build = getenv("OTR_BUILD")};
	unsigned step = argc > 5 ? (unsigned)atoi(argv[4]) : 0;
	bool well = true;

	for (mode = 0; mode <= MALLOC_FOREVER && argc > 1 && strcmp(argv[1], modes[mode]);)
		mode++;
	if (!step || mode > MALLOC_FOREVER || !rig.build) {
		fprintf(stderr, "usage: OTR_BUILD=FOLDER shim_faults MODE STATE-DIR LOG STEP PHASE...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	rig.state = argv[2];
	rig.log = argv[3];
	rig.failing_malloc = of_malloc();
	rig.lasting = mode == FOREVER || mode == MALLOC_FOREVER;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) || (of_malloc() && !share_orders(rig.state))) {
		perror("shim_faults");
		return 2;
	}
	if (!daemon_start(&rig, FAULT_NONE, 0, -1) || !daemon_wait(&rig) || !phases_measure(&rig)) {
		printf("Bail out! without any fault: %s\n", rig_problem);
		return 1;
	}
	for (int i = 5; i < argc; i++) {
		char *colon = strchr(argv[i], ':');
		unsigned only = colon ? (unsigned)atoi(colon + 1) : 0;

		if (colon)
			*colon = '\0';
		const struct phase *phase = phase_find(argv[i]);

		if (!phase) {
			printf("Bail out! there is no phase %s\n", argv[i]);
			return 2;
		}
		well = run_phase(&rig, phase, step, only) && well;
	}
	if (!phases_end(&rig)) {
		printf("not ok - at the end: %s\n", rig_problem);
		well = false;
	}
	daemon_kill(&rig);
	return !well;
}
