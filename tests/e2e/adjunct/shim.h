/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's part of an adjunct's life, played by a test: makes the control
 * socket and the donated memory, spawns the image, speaks org.outrigger.Adjunct.
 * And a native partition's part: a window and its two rings, used bare, so that
 * a test can also break the rules. Any failure of the scaffolding itself ends
 * the test program with a message. One thread.
 */
#ifndef TEST_SHIM_H
#define TEST_SHIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "eq.h"
#include "net_layout.h"
#include "varlink.h"

#define TEST_MAC "02:00:00:00:00:01"
#define TEST_MTU 1500
#define TEST_MEMORY_BYTES (32u << 20)

struct window {
	struct net_layout layout;
	int memory_fd, inflight_fd, bells[NET_BELLS];
	uint8_t *base;
	struct eq_ring tx, rx;
};

void window_open(struct window *window, uint32_t ring_entries);
void window_close(struct window *window);
/* Frames put; fewer when the ring is full. Each carries `number` counting up, at its end. */
unsigned window_send(struct window *window, uint32_t number, unsigned count, unsigned length);
/* Puts one entry as it is, right or wrong. */
void window_put(struct window *window, const struct net_entry *entry);
/*
 * Takes one frame if there is one and returns its number, else -1. -2: the entry
 * or the octets are wrong.
 */
int64_t window_receive(struct window *window, unsigned *length);

struct adjunct {
	pid_t pid;
	char directory[64], path[100];
	struct varlink_conn *conn;
};

/* Call first: adjuncts are killed when this program ends, however it does. */
void adjuncts_end_with_us(void);

/* Spawns the image; connected. */
void adjunct_spawn(struct adjunct *adjunct);
/* Kills what still runs, closes, removes. Exit status, or -signal. */
int adjunct_end(struct adjunct *adjunct);
/* Waits for it to leave by itself: exit status, or -signal; -1000: it did not. */
int adjunct_wait(struct adjunct *adjunct);

/* A sealed memfd as the shim makes them. */
int memory_make(size_t bytes, unsigned seals);
/* {"name", "device", ...}: Start's parameters for a native window of this geometry. */
json_t *start_native(const char *device, const struct window *window, const char *state);
json_t *start_vhost(const char *device, const char *path);
/* Calls `method`; answers with its parameters (owned by the caller), or NULL and the error's name. */
json_t *adjunct_call(struct adjunct *adjunct, const char *method, json_t *parameters,
		     const int *fds, unsigned fd_count, char error[128]);
/* Start with everything right. */
void adjunct_start_native(struct adjunct *adjunct, const char *device, struct window *window,
			  const char *state);
void adjunct_start_vhost(struct adjunct *adjunct, const char *device, const char *path);
int64_t adjunct_counter(struct adjunct *adjunct, const char *name);
/* User and system time used so far. */
uint64_t adjunct_cpu_ns(const struct adjunct *adjunct);
/* Private memory besides what was donated or shared with it. */
uint64_t adjunct_private_bytes(const struct adjunct *adjunct);
unsigned adjunct_fd_count(const struct adjunct *adjunct);

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void sleep_ms(unsigned ms);

#endif
