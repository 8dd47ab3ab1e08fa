/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memcpy() and its like of images whose manifest says `fp: no`
 * (adjunct-drivers/runtime/general_memory.c), under other names, against the C library's:
 * every size across their thresholds, every alignment, overlaps both ways.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
void *general_memcpy(void *to, const void *from, size_t bytes);
void *general_memmove(void *to, const void *from, size_t bytes);
void *general_memset(void *to, int octet, size_t bytes);
int general_memcmp(const void *one, const void *other, size_t bytes);

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#define memcpy general_memcpy
#define memmove general_memmove
#define memset general_memset
#define memcmp general_memcmp
#define __memcpy_chk general_memcpy_chk
#define __memmove_chk general_memmove_chk
#define __memset_chk general_memset_chk
#include "../../adjunct-drivers/runtime/general_memory.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

#define SIZE_MAX_BYTES 300
#define SHIFT_MAX 20

static uint8_t ours[SIZE_MAX_BYTES + 2 * SHIFT_MAX], theirs[sizeof(ours)];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(ours); i++)
		ours[i] = theirs[i] = (uint8_t)(i * 37 + i / 11);
}

static void expect_same(const char *what, size_t bytes, unsigned to, unsigned from)
{
	cr_expect_arr_eq(ours, theirs, sizeof(ours), "%s of %zu bytes from %u to %u", what, bytes,
			 from, to);
}

Test(general_memory, every_size_and_alignment_and_overlap)
{
	uint8_t other[sizeof(ours)];

	for (size_t bytes = 0; bytes <= SIZE_MAX_BYTES; bytes++)
		for (unsigned to = 0; to <= SHIFT_MAX; to++) {
			const unsigned from = SHIFT_MAX - to;

			fill();
			cr_expect_eq(general_memmove(ours + to, ours + from, bytes), ours + to);
			memmove(theirs + to, theirs + from, bytes);
			expect_same("memmove", bytes, to, from);
			memcpy(other, ours, sizeof(other));
			cr_expect_eq(general_memcpy_chk(ours + to, other + from, bytes, bytes), ours + to);
			memcpy(theirs + to, other + from, bytes);
			expect_same("memcpy", bytes, to, from);
			cr_expect_eq(general_memset_chk(ours + to, 0x1a5, bytes, bytes), ours + to);
			memset(theirs + to, 0xa5, bytes);
			expect_same("memset", bytes, to, from);
		}
}

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

Test(general_memory, compares_as_the_library_does)
{
	fill();
	for (size_t at = 0; at < 40; at++)
		for (int change = -1; change <= 1; change++) {
			ours[at] = (uint8_t)(theirs[at] + change);
			for (size_t bytes = 0; bytes <= 40; bytes++)
				cr_expect_eq(sign(general_memcmp(ours, theirs, bytes)),
					     sign(memcmp(ours, theirs, bytes)), "%zu", bytes);
			ours[at] = theirs[at];
		}
}

/* More than there is room for is a bug, and ends the program. */
Test(general_memory, copy_beyond_the_room, .signal = SIGABRT)
{
	general_memcpy_chk(ours, theirs, 9, 8);
}

Test(general_memory, move_beyond_the_room, .signal = SIGABRT)
{
	general_memmove_chk(ours, theirs, 9, 8);
}

Test(general_memory, set_beyond_the_room, .signal = SIGABRT)
{
	general_memset_chk(ours, 0, 9, 8);
}
#endif
