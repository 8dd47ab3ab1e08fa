/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver interface: what a partition adjunct's driver implements (adj_ops)
 * and what it may use (adj_env). Seed 000, FIG. 3, 6 and 7; design decision 3.
 *
 * A driver drives exactly one device (a virtual function or a queue pair), for one
 * partition, or for several that attach to it (`scope: global`). The runtime (adjunct-drivers/runtime/) owns the
 * process: it receives the donated memory and the device from the shim,
 * schedules the driver, puts it to sleep, and answers the shim. A driver
 *  - reaches the outside only through adj_env and the descriptors in it,
 *  - never blocks, and never assumes a process of its own while serving,
 *  - never exits or prints: it returns -errno and says why with env->log.
 *
 * Thread: one at a time. Every call comes from the runtime's one serving thread, unless
 * the adjunct has no processor of its own (`cpu: donated`): then dispatch, request, arm
 * and interrupt come from the thread that its partition dispatches, and the others from
 * the first thread, while that one stays away.
 *
 * Registers: a driver whose manifest says `fp: no`, and its module.mk `NAME_FP := no`, is
 * compiled to general registers only, as is the runtime in its image, so that a processor
 * which a partition lends it is handed over with these alone (000, FIG. 18 and 22). It must
 * then not call a library that uses others while it serves; if one does all the same, it
 * is logged once, and costs some nanoseconds. No such number goes through env->log.
 *
 * Life:   init -> [ arm | dispatch | interrupt | stats ]* -> quiesce
 *              -> save -> exit            (replaced by another adjunct)
 *              -> exit                    (stopped)
 * A failing init cleans up after itself; exit is not called then.
 */
#ifndef ADJ_H
#define ADJ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "adj_inflight.h"

#define ADJ_INTERFACE_VERSION 1

enum adj_log_level { ADJ_LOG_ERROR, ADJ_LOG_WARNING, ADJ_LOG_INFO, ADJ_LOG_DEBUG };

/* How the partition reaches its virtual I/O device. */
enum adj_port_kind {
	ADJ_PORT_TAP,        /* a TAP interface in the partition's network namespace */
	ADJ_PORT_VHOST_USER, /* a vhost-user socket: VMs and DPDK programs */
	ADJ_PORT_NATIVE,     /* shared rings: programs linked with liboutrigger */
};

/* The partition's side of a net device. Descriptors stay the runtime's. */
struct adj_port {
	enum adj_port_kind kind;
	uint8_t mac[6];
	uint16_t mtu;
	int tap_fd;             /* TAP: non-blocking, IFF_NO_PI; else -1 */
	const char *vhost_path; /* VHOST_USER: where to listen for the shim; else NULL */
	/* NATIVE, while a program has the device open; else NULL, NULL, 0, -1, -1. */
	void *window; /* net_layout.h region, mapped */
	struct adj_inflight *inflight; /* how far predecessors served it, mapped */
	uint32_t ring_entries;
	int bell_adjunct_fd;   /* eventfd the partition rings */
	int bell_partition_fd; /* eventfd the adjunct rings */
};

/* Asynchronous device events, for the partition (004: non-completion events). */
enum adj_event {
	ADJ_EVENT_LINK_DOWN,
	ADJ_EVENT_LINK_UP,
	ADJ_EVENT_DEVICE_RESET,  /* the device lost its state; the driver started it anew */
	ADJ_EVENT_DEVICE_FAILED, /* the device is gone, serving stops; posted by the
				    runtime when dispatch fails */
	/* The partition broke the ring protocol, or its TAP interface is gone: its
	 * port is shut, the device stays. */
	ADJ_EVENT_PARTITION_PROTOCOL,
};
const char *adj_event_name(enum adj_event event);

/* The two rings of a native port, as the partition sees them. */
enum adj_direction { ADJ_SEND, ADJ_RECEIVE, ADJ_DIRECTIONS };

struct adj_env {
	const char *name;   /* of the adjunct, "red.net0": for messages */
	const char *device; /* DPDK device arguments: "0000:01:10.0" or
			       "net_virtio_user0,path=...,mac=..." */
	/* Donated memory, zeroed, mapped read-write. DPDK's heap is made of it
	 * before init runs; drivers that do not use DPDK have it to themselves. */
	void *memory;
	size_t memory_bytes;
	/* Frames that the device had taken from its drivers before this one began,
	 * modulo 2^32, if whoever owns the device can tell (adj_inflight.h). */
	bool device_counts;
	uint32_t device_taken;
	/* Others wait while a request of this one's is served: none may be long. */
	bool shared;
	struct adj_port port;

	void (*log)(const struct adj_env *env, enum adj_log_level level, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	/* Tells the shim, which tells the partition. Never blocks. */
	void (*post_event)(const struct adj_env *env, enum adj_event event);
	/*
	 * The native port's ring for that direction was armed, and its partition must
	 * hear of it: posts a completion to the event queue of the guest that has taken
	 * the port (004, FIG. 4), or rings the partition. Once for a burst.
	 */
	void (*wake_partition)(const struct adj_env *env, enum adj_direction direction);
	/* CLOCK_MONOTONIC. */
	uint64_t (*now_ns)(void);
	/*
	 * Wakes the runtime when `fd` is readable (or writable): the next calls
	 * are interrupt(source) and dispatch. Call from init, arm or interrupt; a
	 * second call for the same fd changes it; both false removes it.
	 * -ENOSPC: more than ADJ_WAKE_SOURCES_MAX.
	 */
	int (*watch)(const struct adj_env *env, int fd, bool readable, bool writable);
	/*
	 * That part of `memory` is going to be filled: fewer, larger pages are made ready
	 * for it, if there are such. From prepare or init.
	 */
	void (*gather)(const struct adj_env *env, const void *part, size_t bytes);
	struct runtime *runtime; /* its own */
};
#define ADJ_WAKE_SOURCES_MAX 32
/* Partitions that attach to a global adjunct, besides the one whose it is. */
#define ADJ_CLIENTS_MAX 16

/* Frames and octets as the partition sees them: tx leaves the partition. */
struct adj_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t tx_dropped; /* refused: bad length or flags, device gone */
	uint64_t rx_dropped; /* no room at the partition for too long, or shut */
	uint64_t wakeups;    /* times the runtime left its sleep */
	uint64_t doorbells;  /* times the partition was rung */
	bool link_up;
};

/* A service request: the driver's own copy. */
struct adj_request {
	uint16_t opcode; /* 16 and more are the driver's */
	uint8_t priority;
	const void *data;
	uint32_t data_bytes;
};
/* What goes back with the completion. */
struct adj_response {
	void *data;
	uint32_t room, data_bytes; /* 0 of them, unless the driver says */
};

struct adj_ops {
	const char *name;           /* "ethdev", as in the image's manifest */
	uint32_t interface_version; /* ADJ_INTERFACE_VERSION */
	bool uses_dpdk;             /* the runtime brings up the EAL before init */
	bool opens_nothing;         /* init needs no file and no path: a standby is confined
				       for good before it is told its port */
	const int *syscalls;        /* needed while serving, besides the runtime's list
				       (runtime/confine.c); -1 ends; or NULL */
	const unsigned *ioctls;     /* requests to the device's descriptors that are needed
				       then; 0 ends; or NULL: ioctl() is not */

	/*
	 * Of a standby, long before init: makes and touches in the donated memory what
	 * needs neither the device nor env->port, which are not there yet. *state is
	 * what init then finds in its own. NULL: there is nothing of that kind.
	 */
	int (*prepare)(const struct adj_env *env, void **state);
	/* Brings the device up and opens the partition's port. *state is the driver's:
	 * NULL, or what prepare made, which init keeps or frees. */
	int (*init)(const struct adj_env *env, void **state);
	/*
	 * Moves what is pending, at most about `budget` frames per direction.
	 * Frames moved; 0: idle; -errno: the device has failed for good.
	 */
	int (*dispatch)(void *state, unsigned budget);
	/*
	 * Serves one request of the partition, whole; an opcode below 16 is never seen
	 * here. 0, or -errno, which the partition gets; -EINPROGRESS: not yet, it is
	 * asked again before each dispatch, and can be cancelled meanwhile. NULL: the
	 * device has no requests. Where the adjunct works on its partition's time it may be
	 * preempted in here, as in dispatch, at any instruction, and goes on there when
	 * the partition lends it more: it must hold no lock then that another thread
	 * takes, and not allocate.
	 */
	int (*request)(void *state, const struct adj_request *request,
		       struct adj_response *response);
	/*
	 * True: a request of this kind does nothing that a second one would not do as well.
	 * A successor then serves it, too, if an adjunct has died over it, and does not fail
	 * it with -ECONNRESET. NULL: there is none of that kind.
	 */
	bool (*repeatable)(uint16_t opcode);
	/*
	 * Before sleeping (`on`): enables every interrupt and doorbell, then looks
	 * once more. 1: work has come, do not sleep; 0: may sleep; -errno: this
	 * device cannot interrupt, poll it. After sleeping (`off`): disables them.
	 */
	int (*arm)(void *state, bool on);
	/* A watched descriptor became ready. The driver reads it empty. */
	void (*interrupt)(void *state, int fd);
	/*
	 * A program opened the native device: env->port has its window and record, zeroed; or
	 * it closed it: the driver lets go of the window before it returns. Frames
	 * for a partition without a program are dropped and counted. attach follows
	 * only init or detach. NULL in drivers without a native port.
	 */
	int (*attach)(void *state);
	void (*detach)(void *state);
	/*
	 * Another partition attaches to the device, with a native port of its own: `env` is
	 * its own as well. What is put into *client takes the place of the state wherever
	 * it is about this client alone: in dispatch, request, arm, interrupt, attach,
	 * detach, quiesce, stats and exit. As after init, a window that is there already was
	 * served by a predecessor. NULL: the driver serves one partition only.
	 */
	int (*client)(void *state, const struct adj_env *env, void **client);
	/* Finishes what was taken in, takes in nothing more. 0, or -EAGAIN: call
	 * again, until the runtime's deadline. */
	int (*quiesce)(void *state);
	/* Writes the state a successor needs (versioned); bytes, or -errno. */
	int (*save)(void *state, void *buffer, size_t size_bytes);
	/* After init in a successor: takes over what save wrote. */
	int (*restore)(void *state, const void *buffer, size_t size_bytes);
	void (*stats)(void *state, struct adj_stats *out);
	void (*exit)(void *state);
};

/*
 * The whole main program of an adjunct image: `return adj_main(&ops, argc,
 * argv);`. Serves until the shim says Stop, or SIGTERM (the same without an
 * answer); never ends because the shim went away.
 * Exit status: 0 stopped, 1 failed (the reason was logged and sent).
 */
int adj_main(const struct adj_ops *ops, int argc, char **argv);

#endif
