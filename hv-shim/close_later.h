/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a dead adjunct leaves to be given back: its memory, its namespaces. The
 * shim keeps a descriptor of each, so that it is not the dying process whose end
 * is awaited that gives them back, nor anything else before the partition is
 * served again. Event-loop thread.
 */
#ifndef CLOSE_LATER_H
#define CLOSE_LATER_H

#include <systemd/sd-event.h>

/* Each takes *fd over, which may be -1, and leaves -1. By a thread of its own, for as
 * long as the kernel takes, and of the lowest priority. */
void close_apart(int *fd);
/* The same, when the partition has caught up. */
void close_later(sd_event *event, int *fd);
/* After a takeover the partition's backlog has the processors first. */
#define AFTER_TAKEOVER_US (200 * 1000)

#endif
