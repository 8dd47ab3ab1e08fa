/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test's program relies on: where it is not so, the program says what and where,
 * with the library's last sentence, and ends with status 1. For programs of liboutrigger
 * whose script shows what they print; any thread.
 */
#ifndef WANT_H
#define WANT_H

#include <stdio.h>
#include <stdlib.h>

#include "outrigger.h"

#define WANT(condition) \
	do { \
		if (!(condition)) { \
			printf("%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition, \
			       otr_last_error()); \
			exit(1); \
		} \
	} while (0)

#endif
