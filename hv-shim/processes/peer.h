/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child process of the shim and its control connection: keepers, adapters
 * and adjuncts are all peers. The shim makes the child's listening socket, so
 * that it can connect again after its own restart; it watches the child by
 * pidfd, which works for children and for adopted orphans alike.
 *
 * Thread: the event loop's. Callbacks run from the loop, never from within the
 * call that registered them.
 */
#ifndef PEER_H
#define PEER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "spawn.h"
#include "varlink.h"

struct peer;

/*
 * Answer to one call. `problem` is NULL on success, else one sentence: the
 * peer's error message, or that it went away or did not answer in time.
 * `answer` is NULL when there is none; its descriptors may be taken out (set -1).
 */
typedef void (*peer_answer_fn)(void *data, const char *problem, struct varlink_answer *answer);

/* The process ended: "exited with status 1". The peer is still the caller's to free. */
typedef void (*peer_exit_fn)(void *data, const char *how);

/*
 * None of its threads runs any more, nor ever will; the kernel is still taking back its
 * memory and descriptors. on_exit follows.
 */
typedef void (*peer_death_fn)(void *data);

struct peer_identity {
	pid_t pid;
	uint64_t start_time; /* tells a reused pid apart: spawn_start_time() */
};

/* Fills the start time of identity->pid in. 0, -ESRCH: there is none; other -errno. */
static inline int peer_identity_of(struct peer_identity *identity)
{
	return spawn_start_time(identity->pid, &identity->start_time);
}

/*
 * Starts the program with a listening socket at `socket_path` as descriptor 3 (spawn.h),
 * and connects. -errno, with nothing left behind.
 */
int peer_spawn(sd_event *event, const struct program *program, const char *socket_path,
	       peer_exit_fn on_exit, void *data, struct peer **out);
/* Takes up a process that an earlier shim started. -ESRCH: it is no longer there. */
int peer_adopt(sd_event *event, struct peer_identity identity, const char *socket_path,
	       peer_exit_fn on_exit, void *data, struct peer **out);

struct peer_identity peer_identity(const struct peer *peer);
/* Its process is no more, though on_exit may be yet to come. */
bool peer_has_ended(const struct peer *peer);
/*
 * Processor time of all its threads, by the kernel's clock of that process; once it has
 * ended, all that it had, or of one that an earlier shim started, what it had when it was
 * last asked for.
 */
uint64_t peer_cpu_ns(struct peer *peer);
/* From now on `on_exit` hears of its end; and `on_death` (NULL: nobody) before, where that
 * can be known (spawn.h), which for adopted ones it cannot. */
void peer_set_exit(struct peer *peer, peer_exit_fn on_exit, peer_death_fn on_death);

/*
 * Calls a method; `parameters` is stolen, descriptors are duplicated. The
 * callback runs exactly once, also when the process ends, unless the peer is
 * freed first. A connection on which a
 * deadline is missed is given up, with what else was asked on it; the next call
 * makes a new one. A peer that hangs is noticed by its heartbeat (heartbeat.c).
 */
void peer_call(struct peer *peer, const char *method, json_t *parameters, const int *fds,
	       unsigned fd_count, uint64_t timeout_ms, peer_answer_fn callback, void *data);
/*
 * A call with `more`, on a connection of its own: the callback runs for every
 * answer, and a last time with a problem.
 */
int peer_monitor(struct peer *peer, const char *method, peer_answer_fn callback, void *data);

/* For one that is dead: every call is answered now, with the problem that it ended. */
void peer_disconnect(struct peer *peer);
/* SIGKILL; on_exit follows. */
void peer_kill(struct peer *peer);
/* Forgets the peer: connections closed, callbacks dropped; the process lives on. */
void peer_free(struct peer *peer);

#endif
