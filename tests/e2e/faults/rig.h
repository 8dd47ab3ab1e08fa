/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the phases of main.c are made of: a daemon in a state folder of its own,
 * asked over its control socket; programs in a partition; and the census, a text
 * that names everything there is. Two censuses of the same state must be equal,
 * whatever lies between them. One thread.
 */
#ifndef RIG_H
#define RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tracer.h"

#define WAIT_MS 30000 /* for whatever must come about */

struct rig {
	const char *build, *state, *log; /* folders, and the daemon's output */
	bool failing_malloc;             /* preloaded into the daemon */
	bool lasting;                    /* the fault lasts for as long as what it happens in */
	pid_t daemon;                    /* 0: none runs */
};

/* The sentence about what went wrong; every function below that returns false has set it. */
extern char rig_problem[2000];
__attribute__((format(printf, 1, 2))) bool rig_fails(const char *format, ...);
uint64_t rig_deadline(void);
void rig_pause(void);

/* Starts a daemon, with a fault as tracer_start(); does not wait for it. */
bool daemon_start(struct rig *rig, enum fault fault, unsigned at, long from_call);
/* It answers: true; it has ended, or does not answer: false. */
bool daemon_wait(struct rig *rig);
bool daemon_kill(struct rig *rig);
/* It has ended by itself, or by a fault: collected. */
bool daemon_join(struct rig *rig);
bool daemon_has_ended(void);

/*
 * A method of org.outrigger.Shim with one answer. False: it failed, or the daemon
 * ended, or it did not answer in time: then *hung.
 */
bool ask(struct rig *rig, const char *method, const char *parameters, bool *hung);
bool apply(struct rig *rig, const char *document, bool prune, bool *hung);
/* Every adapter, partition and adjunct runs, `adjuncts` of them. Waits. */
bool all_running(struct rig *rig, size_t adjuncts);
/* The adapter's functions are all free. */
bool functions_free(struct rig *rig);
pid_t adjunct_pid(struct rig *rig, const char *name); /* 0: none, or no answer */

/*
 * A program of partition green that exchanges frames with red's interface: each
 * round asks for its address, which only works if both adjuncts and the adapter do.
 */
struct program {
	pid_t pid; /* 0: none */
	int to, from;
};
bool program_start(struct rig *rig, struct program *program); /* and one round */
bool program_round(struct program *program);
bool program_stop(struct program *program);
/* Start, round and stop; how it ends does not matter, if it ends. */
bool program_try(struct rig *rig);

/* ---- census.c ------------------------------------------------------------------- */

/* Fills `text`: processes, their descriptors, namespaces, files. */
void census_take(const struct rig *rig, char *text, size_t text_bytes);
/* Waits until it is equal to `wanted`; the difference becomes the problem. */
bool census_equals(const struct rig *rig, const char *wanted);
/* Ends every process that descends from this one, and empties the state folder. */
bool rig_clear(struct rig *rig);
/* Collects whoever has ended and whose parent did before. */
void census_reap(void);

#endif
