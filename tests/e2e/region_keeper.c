/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program of a partition that keeps a mapping of its region, for
 * tests/e2e/donation.sh:
 *
 *	region_keeper SOCKET REGION SECONDS
 *
 * Maps the region, says whether it is zeroed, fills it, and then touches it ten
 * times a second. Says when an access raises SIGBUS (it has been donated), tries
 * to have it back by force, and goes on: whenever the region can be mapped anew,
 * it is, and so on. One line for each of these on standard output.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "outrigger.h"

static sigjmp_buf back;

static void on_sigbus(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* The whole region holds `value`; -1: an access raised SIGBUS. */
static int holds(const volatile unsigned char *memory, size_t bytes, unsigned char value)
{
	if (sigsetjmp(back, 1))
		return -1;
	for (size_t i = 0; i < bytes; i += 512)
		if (memory[i] != value)
			return 0;
	return 1;
}

/* False: an access raised SIGBUS. */
static bool fill(void *memory, size_t bytes)
{
	if (sigsetjmp(back, 1))
		return false;
	memset(memory, 0xa5, bytes);
	return true;
}

/* The daemon is being restarted: it will be there again, and so will the region. */
static bool shim_is_away(int error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE ||
	       error == -EAGAIN;
}

static void pause_ms(long ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000};

	nanosleep(&pause, NULL);
}

int main(int argc, char **argv)
{
	struct otr *otr;
	void *memory = NULL;
	size_t bytes = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: region_keeper SOCKET REGION SECONDS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGBUS, on_sigbus);
	if (otr_attach(argv[1], &otr)) {
		fprintf(stderr, "region_keeper: %s\n", otr_last_error());
		return 1;
	}
	for (int turns = 10 * atoi(argv[3]); turns > 0; turns--, pause_ms(100)) {
		if (!memory) {
			int error = otr_region_map(otr, argv[2], &memory, &bytes);
			if (error == -EBUSY || shim_is_away(error))
				continue;
			if (error) {
				fprintf(stderr, "region_keeper: %s\n", otr_last_error());
				return 1;
			}
			int zeroed = holds(memory, bytes, 0);
			if (zeroed < 0 || !fill(memory, bytes)) {
				printf("revoked at once\n");
				munmap(memory, bytes);
				memory = NULL;
				continue;
			}
			printf("mapped %zu bytes, %s\n", bytes, zeroed ? "zeroed" : "NOT ZEROED");
			continue;
		}
		int held = holds(memory, bytes, 0xa5);
		if (held == 1)
			continue;
		printf("%s\n", held < 0 ? "SIGBUS" : "CHANGED");
		munmap(memory, bytes);
		memory = NULL;
	}
	otr_detach(otr);
	return 0;
}
