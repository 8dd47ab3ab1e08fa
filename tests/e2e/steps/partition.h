/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The partition that main.c plays, of either kind: what it sends and receives in shared
 * memory that outlives its adjuncts. native.c: a program's window. guest.c: the split
 * rings of a vhost-user guest. One thread; what goes wrong ends the program (fail()).
 */
#ifndef STEPS_PARTITION_H
#define STEPS_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "adj.h"

#define RING 32u
#define MTU 1500

struct kind {
	/* Makes it, and fills in what adjuncts are told. */
	void (*open)(struct adj_port *port);
	/* Sends a frame that bears `number`; or an entry that is wrong. */
	void (*put)(uint32_t number, bool good);
	/* The next frame's number; -1: there is none. */
	int64_t (*receive)(void);
	/* Every entry that was put was given back, once and in order. */
	bool (*all_back)(void);
	/* Frames that the device has, according to the in-flight record. */
	uint32_t (*recorded)(void);
};

extern const struct kind native_kind, guest_kind;

/* main.c */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);
/* Zeroed memory that forks share. */
void *share(size_t bytes);

#endif
