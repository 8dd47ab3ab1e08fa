/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault hooks that tests pull on a virtual function: what the adapter then
 * does wrong, and when. Called by control.c (set) and dataplane.c (asked for
 * every frame while any is set), on the data thread. No DPDK.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
	FAULT_DROP,           /* percent of the frames that leave the function */
	FAULT_DELAY,          /* microseconds before the switch sees a frame */
	FAULT_STALL,          /* 1: the transmit queue is not served */
	FAULT_CORRUPT_LENGTH, /* 1: what the function receives has a wrong length */
	FAULT_RESET,          /* after so many sent frames, a function-level reset */
	FAULT_DIE,            /* after so many sent frames, the adapter aborts */
	FAULTS
};

#define FAULT_DELAY_MAX_US 10000000

struct faults {
	uint64_t value[FAULTS]; /* 0: none; RESET and DIE count down */
	bool any;
	unsigned corrupted; /* frames so far: picks the next wrong length */
	uint64_t random;
};

/* "drop" to FAULT_DROP; FAULTS: no such name. */
enum fault fault_parse(const char *name);
const char *fault_name(enum fault fault);
/* The largest value that makes sense. */
uint64_t fault_most(enum fault fault);

void faults_set(struct faults *faults, enum fault fault, uint64_t value);
/* Is this frame to be dropped? */
bool faults_drop(struct faults *faults);
/* Counts one sent frame: true if the countdown of RESET or DIE has just ended. */
bool faults_countdown(struct faults *faults, enum fault fault);
/*
 * The wrong length for a received frame: runts, lengths around a header, and
 * frames longer than the longest, in turn. At most `most`.
 */
size_t faults_length(struct faults *faults, size_t most);

#endif
