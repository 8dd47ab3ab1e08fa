/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another process that maps a native device's window and never stops rewriting
 * it: entries, lengths, flags, sequence words, indices, the octets of frames
 * (THREATS.md T01). adjunct.c and partition.c are its two victims, each on the
 * test's thread; flipper.c is the process. guest.c has one of its own, for the split
 * rings of a vhost-user guest, and reads as many again as one of the two.
 *
 * The window lies between pages that nobody may touch, each side of them longer
 * than any 16-bit length reaches. Every octet of slot i's buffer is flipper_tag(i)
 * but for its lowest bit, which is what the flipper flips there: a frame with
 * another octet in it was not read from its own buffer.
 *
 * FLIPS is how many entries are read, both victims together (10,000,000; under
 * AddressSanitizer a fifth of it).
 */
#ifndef FLIPPER_H
#define FLIPPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "eq.h"
#include "net_layout.h"

#define FLIPPED_ENTRIES 2048u
#define FLIPPED_MTU 1500
#define FLIPPED_FRAME_MAX (FLIPPED_MTU + 18)
/* In no buffer of the window unless the victim wrote it there. */
#define VICTIM_OCTET 0xee

struct flipped {
	uint8_t *window; /* the victim's mapping */
	struct net_layout layout;
	pid_t pid;
	struct flipper_counts *counts;
};

/* What the flipper says it did; in memory of its own, shared with the test. */
struct flipper_counts {
	_Atomic uint64_t entries, indices, octets;
};

/* The victim is the adjunct: it consumes `transmit`; else the partition. */
void flipper_start(struct flipped *flipped, bool adjunct);
/* The process lived until now; it wrote all kinds of things; ours stayed in their buffers. */
void flipper_stop(struct flipped *flipped);

/* Entries that each victim has to read. */
uint64_t flipper_goal(void);

static inline uint8_t flipper_tag(uint32_t slot)
{
	return (uint8_t)(slot % 64 * 2);
}

/* `bytes` octets carry the tag. */
bool flipper_tagged(const uint8_t *octets, uint32_t bytes, uint8_t tag);

/* Call when there was nothing to read; fails the test when that lasts. */
struct patience {
	uint64_t since_ns;
};
void patience_wait(struct patience *patience, uint64_t read);
static inline void patience_renew(struct patience *patience)
{
	patience->since_ns = 0;
}

/* xorshift64. */
static inline uint64_t flipper_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
