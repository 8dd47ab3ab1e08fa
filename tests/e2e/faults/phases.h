/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The phases of the daemon's work in which main.c lets something happen. Each is
 * brought to its beginning, acted out, and verified to have left what it should.
 */
#ifndef PHASES_H
#define PHASES_H

#include <sys/syscall.h>

#include "rig.h"

/* Counting a start begins with its first folder: what is before is the loader's. */
#ifdef SYS_mkdir
#define DAEMON_FIRST_CALL SYS_mkdir
#else
#define DAEMON_FIRST_CALL SYS_mkdirat
#endif

struct phase {
	const char *name;
	bool (*prepare)(struct rig *rig);
	bool starts; /* it is the daemon's start: act() waits for what main.c started */
	/* May fail, as the daemon may die under it; must not hang. */
	bool (*act)(struct rig *rig, bool *hung);
	bool (*meanwhile)(struct rig *rig); /* while no daemon runs; or NULL */
	bool (*verify)(struct rig *rig);
	unsigned again;  /* calls of a start among which the next daemon dies, too; 0: it does not */
	unsigned offset; /* with a step, another place to begin at */
};
const struct phase *phase_find(const char *name);

/* Goes through everything once, without any fault, and keeps the censuses. */
bool phases_measure(struct rig *rig);
/* All there was has been ended and removed, and a new daemon runs. */
bool phases_begin(struct rig *rig);
/* Takes down what a phase has left for the next one. */
bool phases_end(struct rig *rig);

#endif
