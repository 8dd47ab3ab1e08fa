/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program of a partition that keeps a mapping of its region, for
 * tests/e2e/donation.sh:
 *
 *	region_keeper SOCKET REGION [once]
 *
 * Maps the region, says whether it is zeroed, fills it, and then touches it ten
 * times a second. Says when an access raises SIGBUS (it has been donated), and goes
 * on: whenever the region can be mapped anew, it is, and so on, until somebody ends
 * it. With `once` it ends when it has been told: mapped, or busy. One line for each
 * of these on standard output.
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

/* The daemon is being restarted: it will be there again, and so will the region. Between
 * the old socket's end and the new one's name there is none. */
static bool shim_is_away(int error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE ||
	       error == -ENOENT || error == -EAGAIN;
}

static void pause_ms(long ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000};

	nanosleep(&pause, NULL);
}

/* Maps the region and fills it. 0; -EBUSY: it is donated; others end the program. */
static int take(struct otr *otr, const char *region, void **memory, size_t *bytes)
{
	int error = otr_region_map(otr, region, memory, bytes);

	if (error)
		return error;
	int zeroed = holds(*memory, *bytes, 0);
	if (zeroed >= 0 && fill(*memory, *bytes)) {
		printf("mapped %zu bytes, %s\n", *bytes, zeroed ? "zeroed" : "NOT ZEROED");
		return 0;
	}
	/* Donated between the mapping and the last byte. */
	munmap(*memory, *bytes);
	*memory = NULL;
	return -EBUSY;
}

int main(int argc, char **argv)
{
	bool once = argc == 4 && !strcmp(argv[3], "once");
	struct otr *otr;
	void *memory = NULL;
	size_t bytes = 0;

	if (argc != 3 && !once) {
		fprintf(stderr, "usage: region_keeper SOCKET REGION [once]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGBUS, on_sigbus);
	if (otr_attach(argv[1], &otr)) {
		fprintf(stderr, "region_keeper: %s\n", otr_last_error());
		return 1;
	}
	for (;; pause_ms(100)) {
		if (!memory) {
			int error = take(otr, argv[2], &memory, &bytes);

			if (error && error != -EBUSY && !shim_is_away(error)) {
				fprintf(stderr, "region_keeper: %s\n", otr_last_error());
				return 1;
			}
			if (once && error == -EBUSY)
				printf("busy\n");
			if (once && (!error || error == -EBUSY))
				break;
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
