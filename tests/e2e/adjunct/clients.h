/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests of clients.c, for main.c's list; and how all of them say what is not so. */
#ifndef TEST_CLIENTS_H
#define TEST_CLIENTS_H

#include <stdio.h>

#include "shim.h"

extern const char *failed_why; /* of the test that runs; NULL: nothing */

#define check(condition)                                                 \
	do {                                                             \
		if (!(condition)) {                                      \
			failed_why = #condition;                         \
			printf("# line %d: %s\n", __LINE__, #condition); \
		}                                                        \
	} while (0)

void test_clients(void);
void test_full_client(void);
void test_client_protocol(void);
void test_client_refusals(void);
void test_clients_successor(void);

#endif
