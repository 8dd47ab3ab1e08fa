/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What registers a thread has in use, by XGETBV and XRSTOR (the processor manual's chapter
 * on managing state using the XSAVE feature set); see registers.h. Any thread; donated.c
 * calls it on the dispatch thread, env.c on whichever logs. No instruction here names a
 * vector register: tests/e2e/registers.sh looks at all of the image.
 */
#include "registers.h"

#ifdef ADJ_GENERAL_REGISTERS
#include <cpuid.h>
#include <stdint.h>

#define CPUID_XSAVE 0xd
#define CPUID_XGETBV1 (1u << 2) /* XGETBV tells what is in use */
#define XINUSE 1
/* Components. What pages a thread may touch is no register of its computations. */
#define X87_SSE 0x3u
#define PKRU (1u << 9)
#define MXCSR_INITIAL 0x1f80

/* As XRSTOR wants it. A header of zeros: every component goes to its initial state, and
 * nothing behind it is read. */
static const struct {
	uint8_t x87[24];
	uint32_t mxcsr;
	uint8_t legacy[484];
	uint64_t header[8];
} initial __attribute__((aligned(64))) = {.mxcsr = MXCSR_INITIAL};
_Static_assert(sizeof(initial) == 576, "legacy region and header");

static bool can_tell(void)
{
	static _Atomic int known; /* 1: no, 2: yes */
	unsigned a, b, c, d;

	/* Virtual machines are slow to answer. */
	if (!known)
		known = __get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE &&
				__get_cpuid_count(CPUID_XSAVE, 1, &a, &b, &c, &d) &&
				a & CPUID_XGETBV1 ? 2 : 1;
	return known == 2;
}

void registers_clear(void)
{
	if (can_tell())
		__asm__ volatile("xrstor64 %0" : : "m"(initial), "a"(~PKRU), "d"(~0u) : "memory");
}

bool registers_in_use(void)
{
	uint32_t low, high;

	if (!can_tell())
		return false;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(XINUSE));
	return low & ~(X87_SSE | PKRU);
}

#else
void registers_clear(void)
{
}

bool registers_in_use(void)
{
	return false;
}
#endif
