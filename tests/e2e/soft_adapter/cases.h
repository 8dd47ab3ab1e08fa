/* SPDX-License-Identifier: BSD-2-Clause */
/* The soft adapter's test cases, by file, and how they say what they saw. */
#ifndef CASES_H
#define CASES_H

#include "bench.h"

/* The functions' addresses; three drivers serve A, B and C. */
#define MAC_A UINT64_C(0x020000000001)
#define MAC_B UINT64_C(0x020000000002)
#define MAC_C UINT64_C(0x020000000003)
#define MAC_STRANGER UINT64_C(0x0200000000ff)
#define MAC_ALL UINT64_C(0xffffffffffff)

/* Long enough for what must not come to have come. */
#define QUIET_MS 50

struct scene {
	struct adapter_process adapter;
	struct driver a, b, c; /* on the functions 0, 1 and 2 */
};

struct test_case {
	const char *name;
	void (*run)(struct scene *scene);
};

/* Cases that leave the scene as they found it. */
extern const struct test_case forwarding_cases[], fault_cases[], hostile_cases[];
/* Cases that make an adapter of their own; `scene` is NULL. */
extern const struct test_case life_cases[];

/* Settings of the function as the scene starts with them. */
void scene_settings(struct scene *scene, int vf);

/* Notes a failure and goes on. */
void check(bool condition, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
#define CHECK_EQ(left, right)                                                                  \
	do {                                                                                   \
		long left_ = (long)(left), right_ = (long)(right);                             \
		check(left_ == right_, __FILE__, __LINE__, "%s is %ld, not %ld", #left, left_, \
		      right_);                                                                 \
	} while (0)
#define CHECK(condition) check((condition), __FILE__, __LINE__, "not so: %s", #condition)

/* Takes `count` frames of `length` without corruption. */
void expect_frames(struct driver *driver, unsigned count, unsigned length);
/* Nothing comes. */
void expect_none(struct driver *driver);

#endif
