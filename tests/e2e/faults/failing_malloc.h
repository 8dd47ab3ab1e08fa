/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page that main.c and the preloaded failing_malloc.so share: which of the
 * daemon's allocations fails. main.c writes the first two, the library the others.
 * The file is named in the environment, FAILING_MALLOC_FILE.
 */
#ifndef FAILING_MALLOC_H
#define FAILING_MALLOC_H

#include <stdatomic.h>

#define FAILING_MALLOC_FILE "OTR_FAILING_MALLOC"

struct failing_malloc {
	atomic_uint at;      /* the at'th from now on, counted from 1; 0: none */
	atomic_uint forever; /* and every later one */
	atomic_uint count;   /* while `at` is set */
	atomic_uint failed;
};

#endif
