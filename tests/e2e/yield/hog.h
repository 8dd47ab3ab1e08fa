/* SPDX-License-Identifier: BSD-2-Clause */
/* What the image hog may be asked for: hog.c serves it, yielder.c asks. */
#ifndef HOG_H
#define HOG_H

enum hog_opcode {
	HOG_FOR_EVER = 16,	  /* keeps the processor, and does not let itself be interrupted */
	HOG_INTERRUPT,		  /* its device interrupts in so many ns (uint64_t) */
	HOG_INTERRUPTS,		  /* how often it has, uint32_t */
	HOG_FAIL,		  /* its device is gone */
	HOG_MUTE,		  /* its device cannot interrupt from now on, only be looked at */
	HOG_VECTORS,		  /* leaves vector registers in use */
	HOG_SPIN,		  /* works for so many ns (uint64_t) */
};

#endif
