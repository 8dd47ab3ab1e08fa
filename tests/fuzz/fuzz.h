/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share. libFuzzer calls LLVMFuzzerTestOneInput() for each
 * input, on one thread, in one process: nothing may survive a call. Targets are
 * run by tests/fuzz/run.sh.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input; libFuzzer keeps the input if it does not. */
#define FUZZ_DEMAND(condition)                                                                  \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* Open descriptors below 64, in one system call: the same before and after. */
static inline unsigned fuzz_open_fds(void)
{
	struct pollfd probes[64];
	unsigned count = 0;

	for (int fd = 0; fd < 64; fd++)
		probes[fd] = (struct pollfd){.fd = fd};
	FUZZ_DEMAND(poll(probes, 64, 0) >= 0);
	for (int fd = 0; fd < 64; fd++)
		count += !(probes[fd].revents & POLLNVAL);
	return count;
}

#endif
