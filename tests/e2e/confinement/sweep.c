/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every system call number, but those on the list, with arguments that no call
 * can use: see sweep.h. Left out are only the two that no filter sees (below). No other
 * would end the process if the filter let it through by mistake; pause would wait until
 * the script gives up. Called by intruder.c and tree.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sweep.h"

#define NUMBERS 471 /* 0 to 470: more than Linux 6.18 has */
#define X32_BIT 0x40000000L

/*
 * uretprobe and uprobe of x86-64 pass every filter since Linux 6.14: probes of a
 * tracer must work in a confined process. Called by anything but such a probe they
 * end the process with SIGILL, so they are of no use to an intruder.
 */
#define FIRST_UNFILTERED 335
#define LAST_UNFILTERED 336

static bool is_listed(const struct sweep *sweep, long number)
{
#ifdef __x86_64__
	if (number >= FIRST_UNFILTERED && number <= LAST_UNFILTERED)
		return true;
#endif
	for (size_t i = 0; i < sweep->listed_count; i++)
		if (sweep->listed[i] == number)
			return true;
	return false;
}

static unsigned try_number(const struct sweep *sweep, const char *table, long number, long bits)
{
	errno = 0;
	long result = syscall(number | bits, -1L, -1L, -1L, -1L, -1L, -1L);

	if (!result && !is_listed(sweep, number) && getpid() != 1)
		_exit(0); /* a child that should not be */
	if (result == -1 && errno == sweep->refusal)
		return 1;
	sweep->say("sweep: %s call %ld was not refused: %ld, %s", table, number,
		 result, result == -1 ? strerrorname_np(errno) : "no error");
	return 0;
}

static void sweep_native(const struct sweep *sweep)
{
	unsigned refused = 0, tried = 0;

	for (long number = 0; number < NUMBERS; number++) {
		if (is_listed(sweep, number))
			continue;
		tried++;
		refused += try_number(sweep, "native", number, 0);
	}
	sweep->say("sweep: native: %u tried, %u refused, %u left out", tried,
		 refused, NUMBERS - tried);
}

#ifdef __x86_64__
/* The same calls by the two other doors of the machine, which the list does not open. */
static void sweep_x32(const struct sweep *sweep)
{
	unsigned refused = 0;

	for (long number = 0; number < NUMBERS; number++)
		refused += try_number(sweep, "x32", number, X32_BIT);
	sweep->say("sweep: x32: %u tried, %u refused, 0 left out", NUMBERS,
		 refused);
}

static sigjmp_buf no_such_door;

static void on_fault(int number)
{
	(void)number;
	siglongjmp(no_such_door, 1);
}

static void sweep_i386(const struct sweep *sweep)
{
	struct sigaction fault = {.sa_handler = on_fault, .sa_flags = SA_NODEFER}, before;
	volatile unsigned refused = 0;

	sigaction(SIGSEGV, &fault, &before);
	for (volatile long number = 0; number < NUMBERS; number++) {
		long result = number;

		/* A kernel without this door raises a fault: also a refusal. */
		if (sigsetjmp(no_such_door, 0)) {
			refused++;
			continue;
		}
		__asm__ volatile("int $0x80"
				 : "+a"(result)
				 : "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
				 : "memory", "r8", "r9", "r10", "r11");
		if ((int)result == -sweep->refusal)
			refused++;
		else
			sweep->say("sweep: i386 call %ld was not refused: %d",
				 number, (int)result);
	}
	sigaction(SIGSEGV, &before, NULL);
	sweep->say("sweep: i386: %u tried, %u refused, 0 left out", NUMBERS,
		 refused);
}
#endif

void sweep_run(const struct sweep *sweep)
{
	sweep_native(sweep);
#ifdef __x86_64__
	sweep_x32(sweep);
	sweep_i386(sweep);
#endif
}
