/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-bench-handoff: the bare kernel's means of what a directed yield and a
 * completion interrupt do, between two processes, as their peers; prints the median round
 * trip in nanoseconds. Run by tests/bench/services.sh.
 *
 *	handoff futex CPU SECONDS PAUSE_NS     wake the other, sleep until it has woken us;
 *	                                       both on one CPU
 *	handoff eventfd CPU_A CPU_B SECONDS    a word to the other, which polls on B and
 *	                                       writes an eventfd, on which we sleep on A
 *
 * PAUSE_NS of work go before each round, as they do before a yield to a parked adjunct.
 */
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"

#define WORK_NS (20 * NS_PER_US) /* by when who waits for an eventfd sleeps */
#define WARM_UP_NS (200 * NS_PER_MS)

struct shared {
	alignas(64) _Atomic uint32_t there;
	alignas(64) _Atomic uint32_t back;
};

static struct shared *shared;
static int event_fd;

static void futex_wake(_Atomic uint32_t *word)
{
	(void)!syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_sleep_until(_Atomic uint32_t *word, uint32_t value)
{
	for (uint32_t seen; (seen = atomic_load(word)) != value;)
		(void)!syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

/* The other process, for ever: it is ended with its parent. */
static void answer_futex(unsigned cpu)
{
	pin_to(cpu);
	for (uint32_t number = 1;; number++) {
		futex_sleep_until(&shared->there, number);
		atomic_store(&shared->back, number);
		futex_wake(&shared->back);
	}
}

static void answer_eventfd(unsigned cpu)
{
	const uint64_t one = 1;

	pin_to(cpu);
	for (uint32_t number = 1;; number++) {
		while (atomic_load_explicit(&shared->there, memory_order_acquire) != number)
			continue;
		spin_for(WORK_NS);
		if (write(event_fd, &one, sizeof(one)) != sizeof(one))
			die("cannot write an eventfd");
	}
}

static void round_futex(uint32_t number)
{
	atomic_store(&shared->there, number);
	futex_wake(&shared->there);
	futex_sleep_until(&shared->back, number);
}

static void round_eventfd(uint32_t number)
{
	struct pollfd polled = {.fd = event_fd, .events = POLLIN};
	uint64_t count;

	atomic_store_explicit(&shared->there, number, memory_order_release);
	if (poll(&polled, 1, 5000) != 1 || read(event_fd, &count, sizeof(count)) != sizeof(count))
		die("no answer by eventfd");
}

static double measure(void (*round)(uint32_t), unsigned seconds, uint64_t pause_ns,
		      uint64_t work_ns)
{
	uint64_t begun_ns = clock_now_ns(), warm_ns = begun_ns + WARM_UP_NS;
	uint64_t end_ns = warm_ns + seconds * NS_PER_S;
	struct samples samples;

	samples_open(&samples);
	for (uint32_t number = 1; begun_ns < end_ns; number++) {
		if (pause_ns)
			spin_for(pause_ns);
		begun_ns = clock_now_ns();
		round(number);
		if (begun_ns >= warm_ns)
			samples_add(&samples, (double)(clock_now_ns() - begun_ns - work_ns));
	}
	return samples_percentile(&samples, 0.5);
}

static pid_t start(void (*answer)(unsigned), unsigned cpu)
{
	pid_t pid = fork();

	if (pid < 0)
		die("cannot start a process");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	answer(cpu);
	exit(1); /* not reached */
}

int main(int argc, char **argv)
{
	bool futex = argc == 5 && !strcmp(argv[1], "futex");

	if (!futex && (argc != 5 || strcmp(argv[1], "eventfd"))) {
		fprintf(stderr, "usage: handoff futex CPU SECONDS PAUSE_NS\n"
				"       handoff eventfd CPU CPU SECONDS\n");
		return 2;
	}
	unsigned numbers[3];

	for (int i = 0; i < 3; i++)
		numbers[i] = (unsigned)strtoul(argv[2 + i], NULL, 10);
	/* No wait of ours has a deadline, as that would be measured, too: this ends them all. */
	alarm(numbers[futex ? 1 : 2] + 60);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	event_fd = eventfd(0, EFD_CLOEXEC);
	if (shared == MAP_FAILED || event_fd < 0)
		die("out of memory");
	pin_to(numbers[0]);
	pid_t other = futex ? start(answer_futex, numbers[0]) : start(answer_eventfd, numbers[1]);
	double median = futex ? measure(round_futex, numbers[1], numbers[2], 0)
			      : measure(round_eventfd, numbers[2], 0, WORK_NS);

	printf("%.1f\n", median);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	return 0;
}
