/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * T07, instruction by instruction: the driver, port, rings and in-flight
 * record of the ethdev image, in a process that is stepped by ptrace and killed
 * after its 1st, 2nd, ... STEPS-th instruction (or every STRIDE-th of them), counted once from where it begins
 * to serve and once from where it takes over. Another follows, which is killed at
 * an instruction of its own, then one that is let live; then every frame must have
 * been passed to the device once and in order, every entry given back, and every
 * frame put for the partition must be there once and in order.
 *
 *   steps native|vhost-user STEPS STRIDE
 *
 * This program is the partition (native.c, guest.c), and the shim as far as one is
 * needed. DPDK is brought up once, with private memory, so that each adjunct, a fork,
 * has its own.
 */
#include <errno.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "device.h"
#include "ethdev/ethdev.h"
#include "ethdev/port.h"
#include "partition.h"

#define FINISH_NS (10ull * NS_PER_S)

static const struct kind *kind;
static struct adj_env env;
static uint32_t numbered; /* good frames sent */
static uint32_t received; /* the next one that may arrive */
static uint64_t lost;
/* The adjunct's end is wished for; shared. */
static _Atomic bool *enough;
static unsigned unrecorded, unpassed; /* deaths between passing and recording; taking and passing */

void fail(const char *format, ...)
{
	va_list arguments;

	printf("failed: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	exit(1);
}

void *share(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("no memory");
	return memory;
}

/* DPDK then takes private memory, of which a fork gets a copy. */
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags)
{
	(void)name;
	(void)flags;
	errno = ENOSYS;
	return -1;
}

/* ---- The adjunct ------------------------------------------------------------------ */

static void log_nothing(const struct adj_env *e, enum adj_log_level level, const char *format, ...)
{
	(void)e;
	(void)level;
	(void)format;
}

static void post_nothing(const struct adj_env *e, enum adj_event event)
{
	(void)e;
	(void)event;
	_exit(3); /* none of the events there are is expected here */
}

static void wake_nobody(const struct adj_env *e, enum adj_direction direction)
{
	(void)e;
	(void)direction; /* this partition never sleeps */
}

static int watch_nothing(const struct adj_env *e, int fd, bool readable, bool writable)
{
	(void)e;
	(void)fd;
	(void)readable;
	(void)writable;
	return 0;
}

static void here(bool stop)
{
	if (stop)
		raise(SIGSTOP);
}

/* As the runtime does: dispatch while there is work, then arm and look again. */
static _Noreturn void adjunct(bool traced, bool from_init)
{
	void *state = NULL;

	if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(2);
	here(traced && from_init);
	if (ethdev_ops.init(&env, &state))
		_exit(2);
	here(traced && !from_init);
	while (!atomic_load(enough)) {
		int moved = ethdev_ops.dispatch(state, 64);

		if (moved < 0)
			_exit(2);
		if (!moved && ethdev_ops.arm(state, true) == 0)
			ethdev_ops.arm(state, false);
	}
	_exit(0);
}

static pid_t adjunct_start(bool traced, bool from_init)
{
	atomic_store(enough, false);
	env.device_taken = atomic_load(&shared_device->passed);
	fflush(stdout);
	pid_t pid = fork();

	if (!pid)
		adjunct(traced, from_init);
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	return pid;
}

static void await_stop(pid_t pid, unsigned step)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		fail("the adjunct ended by itself at step %u, status %#x", step, status);
}

/* Where a death leaves the three indexes: which of the windows was hit. */
static void classify(void)
{
	if (atomic_load(&shared_device->passed) != kind->recorded())
		unrecorded++;
	else if (!kind->all_back())
		unpassed++;
}

/* A step costs two switches between us and it: on one processor ten times less. */
static void one_processor(bool on)
{
	static cpu_set_t all;
	cpu_set_t one;

	if (!CPU_COUNT(&all) && sched_getaffinity(0, sizeof(all), &all))
		fail("affinity: %s", strerror(errno));
	CPU_ZERO(&one);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), on ? &one : &all))
		fail("affinity: %s", strerror(errno));
}

static void adjunct_step_and_die(unsigned steps, bool from_init)
{
	one_processor(true);
	pid_t pid = adjunct_start(true, from_init);

	await_stop(pid, 0);
	for (unsigned step = 1; step <= steps; step++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
			fail("step %u: %s", step, strerror(errno));
		await_stop(pid, step);
	}
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		fail("it does not end");
	one_processor(false);
	classify();
}

/* ---- The partition ------------------------------------------------------------------- */

static void put(bool good)
{
	kind->put(numbered, good);
	numbered += good;
}

static void receive(void)
{
	int64_t number;

	while ((number = kind->receive()) >= 0) {
		if ((int32_t)((uint32_t)number - received) < 0)
			fail("frame %u was received twice, or late", (uint32_t)number);
		lost += (uint32_t)number - received;
		received = (uint32_t)number + 1;
	}
}

/* One that lives, until nothing is left to do. */
static void finish(void)
{
	uint64_t until_ns = clock_now_ns() + FINISH_NS;
	pid_t pid = adjunct_start(false, false);
	int status;

	while (!kind->all_back() ||
	       atomic_load(&shared_device->made) != atomic_load(&shared_device->to_make)) {
		receive();
		if (clock_now_ns() > until_ns || waitpid(pid, &status, WNOHANG))
			fail("entries are never done with");
	}
	atomic_store(enough, true);
	if (waitpid(pid, &status, 0) != pid || status)
		fail("the last adjunct ended with status %#x", status);
	receive();
}

static void verify(unsigned step, uint32_t from)
{
	uint32_t passed = atomic_load(&shared_device->passed);

	for (uint32_t i = from; i != passed && i != numbered; i++)
		if (shared_device->log[i % LOG_MAX] != i)
			fail("killed at step %u: the device has frame %u where %u belongs", step,
			     shared_device->log[i % LOG_MAX], i);
	if (passed != numbered)
		fail("killed at step %u: the device has %u frames of %u", step, passed,
		     numbered);
}

/* ---- All of it ------------------------------------------------------------------------- */

static void kill_at(unsigned step, bool from_init)
{
	uint32_t from = numbered;

	/* One to four frames, and now and then an entry that is wrong. */
	for (unsigned i = 0; i <= step % 4; i++) {
		if ((step + i) % 7 == 0)
			put(false);
		put(true);
	}
	atomic_fetch_add(&shared_device->to_make, step % 3);
	adjunct_step_and_die(step, from_init);
	receive();
	put(true);
	adjunct_step_and_die(step * 37 % 701, !from_init);
	finish();
	verify(step, from);
}

static void open_all(void)
{
	char *arguments[] = {(char[]){"steps"},
			     (char[]){"--no-huge"},
			     (char[]){"--no-shconf"},
			     (char[]){"--no-telemetry"},
			     (char[]){"--no-pci"},
			     (char[]){"-m"},
			     (char[]){"4"},
			     (char[]){"--log-level=critical"},
			     NULL};

	if (rte_eal_init(8, arguments) < 0)
		fail("DPDK does not start");
	shared_device_open();
	/* So that the count wraps round on the way. */
	atomic_store(&shared_device->passed, 0);
	enough = share(sizeof(*enough));
	env = (struct adj_env){
		.name = "steps",
		.device_counts = true,
		.port = {.mtu = MTU, .tap_fd = -1},
		.log = log_nothing,
		.post_event = post_nothing,
		.wake_partition = wake_nobody,
		.watch = watch_nothing,
		.now_ns = clock_now_ns,
	};
	kind->open(&env.port);
}

/* There is no such device here. */
int port_tap_open(const struct adj_env *e, struct rte_mempool *pool, struct port **out)
{
	(void)e;
	(void)pool;
	(void)out;
	return -EINVAL;
}

int main(int argc, char **argv)
{
	unsigned steps = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	unsigned stride = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	unsigned deaths = 0;

	if (steps && stride)
		kind = !strcmp(argv[1], "native")       ? &native_kind
		       : !strcmp(argv[1], "vhost-user") ? &guest_kind
							: NULL;
	if (!kind) {
		fprintf(stderr, "usage: steps native|vhost-user STEPS STRIDE\n");
		return 2;
	}
	open_all();
	for (unsigned step = 1; step <= steps; step += stride, deaths += 4) {
		kill_at(step, false);
		kill_at(step, true);
	}
	printf("%s: %u deaths in %u instructions from either place: %u between passing and "
	       "recording, %u with entries taken or not; %u frames, 0 lost and 0 twice; of %u "
	       "for the partition %llu lost with an adjunct, 0 twice\n",
	       argv[1], deaths, steps, unrecorded, unpassed, numbered,
	       atomic_load(&shared_device->made), (unsigned long long)lost);
	/* Or else the steps were not where they matter. */
	if (!unrecorded || !unpassed)
		fail("no death came at the right moment");
	return 0;
}
