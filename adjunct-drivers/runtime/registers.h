/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The light switch (000, FIG. 18 and 22): in an image whose manifest says `fp: no`, the
 * dispatch thread has nothing in use but general registers, so that nothing else is saved
 * and restored when a processor is handed over. The image is compiled so; these two see to
 * what the C library does before and in between. Elsewhere they do nothing, and what they
 * do costs 0.2 us at most.
 *
 * The kernel saves by XSAVES or XSAVEOPT, which leave out what is in its initial state.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdbool.h>

/* Vector and floating-point registers are of no use to the calling thread any more: to
 * their initial state. */
void registers_clear(void);

/* Some that cost are in use: AVX and what came after it. x87 and SSE some processors tell
 * of after each signal, and the kernel keeps them with what is always saved. */
bool registers_in_use(void);

#endif
