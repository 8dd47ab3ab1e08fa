/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share. libFuzzer calls LLVMFuzzerTestOneInput() for each
 * input, on one thread, in one process: nothing may survive a call. Targets are
 * run by tests/fuzz/run.sh.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input; libFuzzer keeps the input if it does not. */
#define FUZZ_DEMAND(condition)                                                                  \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* The lowest free descriptor: the same before and after, or one has leaked. */
static inline int fuzz_lowest_free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	FUZZ_DEMAND(fd >= 0);
	close(fd);
	return fd;
}

#endif
