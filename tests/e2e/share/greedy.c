/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's program that takes all the processor time it can get, by itself and by its
 * adjuncts, for tests/e2e/share.sh: a thread for each device that lends its adjunct the
 * processor, again and again, for requests that are nothing but work, and so many threads
 * that spin. Runs until it is ended; exit status 1 and a line where something fails.
 *
 *	greedy PARTITION SPINNERS DEVICE...        (cpu: donated, image echo)
 *
 * A device as open:NAME is opened, which makes the program its partition's, and no more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outrigger.h"

#define QUANTUM_NS 2000000
#define WORK_NS 1000000
#define THREADS_MAX 32

static const char *partition;

static void fail(const char *device)
{
	printf("%s: %s\n", device, otr_last_error());
	fflush(stdout);
	_exit(1);
}

/* Two requests, so that there is always one for the adjunct to go on with. */
static void *lend(void *data)
{
	const char *device = strncmp(data, "open:", 5) ? data : (char *)data + 5;
	const uint64_t work_ns = WORK_NS;
	const struct otr_request request = {.opcode = OTR_SPIN, .data = &work_ns,
					    .data_bytes = sizeof(work_ns)};
	struct otr_completion completion;
	struct otr_service *service;
	struct otr *otr;

	if (otr_attach(partition, &otr) || otr_service_open(otr, device, &service))
		fail(device);
	printf("%s open\n", device);
	fflush(stdout);
	if (device != data)
		return NULL;
	if (otr_submit(service, &request) != 1 || otr_submit(service, &request) != 1)
		fail(device);
	for (;;) {
		/* Where there is little to share, an adjunct may be long in handing back. */
		int yielded = otr_yield(service, QUANTUM_NS, NULL);

		if (yielded < 0 && yielded != -ETIMEDOUT)
			fail(device);
		while (otr_poll(service, &completion) > 0)
			if (otr_submit(service, &request) != 1)
				fail(device);
	}
	return NULL;
}

static void *spin(void *data)
{
	volatile unsigned long *turns = data;

	for (;;)
		++*turns;
	return NULL;
}

int main(int argc, char **argv)
{
	static unsigned long turns[THREADS_MAX];
	unsigned spinners = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	pthread_t thread;

	if (argc < 3 || spinners > THREADS_MAX)
		return fprintf(stderr, "greedy: see its source\n"), 2;
	partition = argv[1];
	for (int i = 3; i < argc; i++)
		if (pthread_create(&thread, NULL, lend, argv[i]))
			return 1;
	for (unsigned i = 0; i < spinners; i++)
		if (pthread_create(&thread, NULL, spin, &turns[i]))
			return 1;
	for (;;)
		pause();
}
