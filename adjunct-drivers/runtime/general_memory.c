/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memcpy() and its like by general registers, for images whose manifest says `fp: no`: the
 * C library's take the widest vectors that the processor has. Linked into such images
 * only, where they take the library's place for what we compiled (they are hidden: the
 * shared libraries keep theirs). Any thread.
 *
 * Compilers know these loops, and would make calls of them: of themselves. Hence the
 * barriers.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* From here on the string instruction is faster than words are. */
#define STRING_BYTES 128
#define WORD sizeof(uint64_t)

#define not_a_call() __asm__ volatile("" : : : "memory")

/* As the compiler calls them where it knows how much room there is. */
void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room);
void *__memmove_chk(void *to, const void *from, size_t bytes, size_t room);
void *__memset_chk(void *to, int octet, size_t bytes, size_t room);

static inline uint64_t load(const uint8_t *from)
{
	uint64_t word;

	__builtin_memcpy(&word, from, WORD);
	return word;
}

static inline void store(uint8_t *to, uint64_t word)
{
	__builtin_memcpy(to, &word, WORD);
}

/* From the first to the last; so `to` may lie in front of `from`, and overlap it. */
static void copy_up(uint8_t *to, const uint8_t *from, size_t bytes)
{
	if (bytes >= STRING_BYTES) {
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
		return;
	}
	for (; bytes >= WORD; bytes -= WORD, to += WORD, from += WORD) {
		store(to, load(from));
		not_a_call();
	}
	for (; bytes; bytes--) {
		*to++ = *from++;
		not_a_call();
	}
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	copy_up(to, from, bytes);
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	if ((uintptr_t)to - (uintptr_t)from >= bytes) {
		copy_up(to, from, bytes);
		return to;
	}
	while (bytes--) {
		((uint8_t *)to)[bytes] = ((const uint8_t *)from)[bytes];
		not_a_call();
	}
	return to;
}

void *memset(void *to, int octet, size_t bytes)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(octet) : "memory");
	return to;
}

int memcmp(const void *one, const void *other, size_t bytes)
{
	const uint8_t *a = one, *b = other;

	for (; bytes; bytes--, a++, b++) {
		if (*a != *b)
			return *a - *b;
		not_a_call();
	}
	return 0;
}

void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room)
{
	if (bytes > room)
		abort();
	return memcpy(to, from, bytes);
}

void *__memmove_chk(void *to, const void *from, size_t bytes, size_t room)
{
	if (bytes > room)
		abort();
	return memmove(to, from, bytes);
}

void *__memset_chk(void *to, int octet, size_t bytes, size_t room)
{
	if (bytes > room)
		abort();
	return memset(to, octet, bytes);
}
