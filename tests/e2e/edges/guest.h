/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of a vhost-user net device, bare: split rings in a memfd, one
 * queue pair, no offloads, no other library. It sees to it that each descriptor it
 * made available is used once and in order. Called by killer.c; one thread. What
 * goes wrong ends the program with a sentence (killer_fail()).
 */
#ifndef EDGES_GUEST_H
#define EDGES_GUEST_H

#include <stdint.h>

struct guest;

/* Connects to the device's socket and brings its rings up. */
struct guest *guest_open(const char *path);
/* Sends one frame: 1, or 0: no room. */
int guest_send(struct guest *guest, const void *frame, unsigned length);
/* After frames were sent: rings, if the other side wants to be rung. */
void guest_kick(struct guest *guest);
/* One frame, copied: its length, or 0. */
unsigned guest_receive(struct guest *guest, void *frame, unsigned length_max);
/* Descriptors made available for sending, and not used yet. */
unsigned guest_under_way(struct guest *guest);

/* killer.c */
__attribute__((format(printf, 1, 2), noreturn)) void killer_fail(const char *format, ...);

#endif
