/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State of a function's fault hooks; see faults.h. Data thread.
 */
#include "faults.h"

#include <string.h>

#include "net_layout.h"

static const struct {
	const char *name;
	uint64_t most;
} kinds[FAULTS] = {
	[FAULT_DROP] = {"drop", 100},         [FAULT_DELAY] = {"delay", FAULT_DELAY_MAX_US},
	[FAULT_STALL] = {"stall", 1},         [FAULT_CORRUPT_LENGTH] = {"corrupt-length", 1},
	[FAULT_RESET] = {"reset", INT64_MAX}, [FAULT_DIE] = {"die", INT64_MAX},
};

enum fault fault_parse(const char *name)
{
	unsigned i = 0;

	while (i < FAULTS && strcmp(kinds[i].name, name))
		i++;
	return (enum fault)i;
}

const char *fault_name(enum fault fault)
{
	return kinds[fault].name;
}

uint64_t fault_most(enum fault fault)
{
	return kinds[fault].most;
}

void faults_set(struct faults *faults, enum fault fault, uint64_t value)
{
	faults->value[fault] = value;
	faults->any = false;
	for (unsigned i = 0; i < FAULTS; i++)
		faults->any |= faults->value[i] != 0;
	/* The same seed each time: a test that drops half drops the same half. */
	faults->random = UINT64_C(0x9e3779b97f4a7c15);
	faults->corrupted = 0;
}

bool faults_drop(struct faults *faults)
{
	if (!faults->value[FAULT_DROP])
		return false;
	/* xorshift64 (Marsaglia 2003): cheap, and never 0 from a seed that is not 0. */
	faults->random ^= faults->random << 13;
	faults->random ^= faults->random >> 7;
	faults->random ^= faults->random << 17;
	return faults->random % 100 < faults->value[FAULT_DROP];
}

bool faults_countdown(struct faults *faults, enum fault fault)
{
	if (!faults->value[fault])
		return false;
	if (faults->value[fault] > 1) {
		faults->value[fault]--;
		return false;
	}
	faults_set(faults, fault, 0);
	return true;
}

size_t faults_length(struct faults *faults, size_t most)
{
	static const size_t lengths[] = {1, NET_FRAME_MIN - 1, NET_FRAME_MIN, NET_FRAME_MAX + 1,
					 SIZE_MAX};
	size_t length = lengths[faults->corrupted++ % (sizeof(lengths) / sizeof(lengths[0]))];

	return length < most ? length : most;
}
