/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A shim that lies on request: serves org.outrigger.Partition on a socket of its
 * own, in a thread of the test, and hands out whatever window the test prepared.
 * The test also plays the adjunct, on the window itself.
 */
#ifndef FAKE_SHIM_H
#define FAKE_SHIM_H

#include <pthread.h>
#include <stdint.h>

#include "eq_queue.h"
#include "guest_layout.h"
#include "net_layout.h"
#include "outrigger.h"
#include "varlink.h"

#define PATIENCE_MS 10000
#define FAKE_CLIENTS_MAX 8

struct fake_shim {
	char directory[32];
	char path[64];
	int listen_fd;
	int command_fds[2]; /* one character each; see fake_command() */
	pthread_t thread;

	/* What OpenNet answers. Changed only while nobody asks. */
	const char *error; /* NULL: none */
	int fds[1 + NET_BELLS + 1];
	unsigned fd_count;
	int mtu, ring_entries, layout_version;
	const char *mac;

	/* Instead of the device list that says this; and OpenRegion's answer: fds[0] of this size. */
	const char *partition;
	int64_t region_bytes;
	unsigned region_fd_count;

	/* What OpenGuest and AssociateNet answer, likewise. */
	struct fake_guest {
		struct guest_layout layout; /* of a good storage */
		uint8_t *storage;
		int fds[4];
		unsigned fd_count;
		int layout_version, queues, entries, queue;
		struct eq_poster poster; /* of queue 0: what a forwarder writes */
	} guest;

	/* The thread's. */
	bool away, closed;
	struct fake_client {
		struct varlink_conn *conn;
		struct varlink_server *server;
		struct varlink_call *monitor;
	} clients[FAKE_CLIENTS_MAX];

	/* The adjunct's side of the window, if it is a good one. */
	struct net_layout layout;
	uint8_t *window;
	struct eq_ring tx, rx; /* CONSUMER of tx, PRODUCER of rx */
};

/* Serves a device net0 with a good window of `ring_entries`. */
void fake_start(struct fake_shim *shim, uint32_t ring_entries);
void fake_stop(struct fake_shim *shim);

/* A memfd of this size with these seals. */
int fake_window(size_t size_bytes, int seals);
/* Replaces the window that OpenNet hands out. */
void fake_use_window(struct fake_shim *shim, int fd);

/*
 * 'e': link-down of net0 to every monitor; 'o': the same of another device;
 * 'x': hangs up on everyone, newcomers too; 'b': it is back; 'c': back, but has
 * taken net0 away. Returns when it is done.
 */
void fake_command(struct fake_shim *shim, char command);

/* Makes a good guest's storage of so many queues, and posts to queue 0. */
void fake_guest_start(struct fake_shim *shim, uint32_t queues);
void fake_guest_stop(struct fake_shim *shim);
/* Forwards an event to queue 0, and rings the guest if it asks for it: true if it did. */
bool fake_forward(struct fake_shim *shim, enum guest_slot slot, enum eq_event event);

/* Attaches and opens net0; both must succeed. */
struct otr_net *fake_open(struct fake_shim *shim, struct otr **otr);

/* The adjunct sends a frame to the partition: `length_bytes` of `fill`. */
void fake_deliver(struct fake_shim *shim, uint32_t length_bytes, uint8_t fill);
/* The adjunct rings, if the partition sleeps: true if it did. */
bool fake_ring_receiver(struct fake_shim *shim);
/* The adjunct takes and releases all frames that were sent; returns how many. */
unsigned fake_drain(struct fake_shim *shim);

/* Of this process, the one that looks included. */
unsigned open_descriptors(void);

#endif
