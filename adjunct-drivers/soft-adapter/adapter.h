/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter as a whole: its state, shared by this folder's files and by
 * nobody else. README.md has the picture.
 *
 * Threads: the data thread (the main thread: switch, timers, control socket),
 * and librte_vhost's own thread, which speaks the vhost-user protocol with the
 * functions' drivers and calls back (vhost_port.c, vhost_guard.c). One lock
 * covers everything here. The data thread holds it whenever it does not sleep
 * and hands it over between two passes (adapter_breathe); a callback that holds
 * it therefore knows that the data thread is not inside a ring. librte_vhost's
 * callbacks used here are called without any of its locks held.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "faults.h"
#include "rate.h"
#include "switch.h"
#include "vf.h"

#define ADAPTER_MODEL "Outrigger soft adapter"
#define ADAPTER_NAME_BYTES 64
#define ADAPTER_PATH_BYTES 108  /* as sockaddr_un.sun_path */
#define ADAPTER_DELAYED_MAX 128 /* frames a function's delay hook holds back */

struct rte_mbuf;
struct rte_mempool;
struct events;
struct control;
struct varlink_call;

/* A function's vhost-user socket and the driver behind it (vhost_port.c). */
struct vhost_port {
	char path[ADAPTER_PATH_BYTES];
	int vid;      /* the data thread may use this device; -1: none */
	int kick_fd;  /* of its transmit queue: a duplicate, ours; -1: none */
	int conn_fd;  /* the driver's connection: a duplicate, ours; -1: none */
	int conn_vid; /* the device of that connection; -1: not made yet */
	int vhost_fd; /* librte_vhost's number for the connection; -1: none */
};

struct delayed {
	struct rte_mbuf *frame;
	uint64_t due_ns;
};

struct vf {
	unsigned index;
	/* Frames taken from drivers' transmit queues: of sessions that have ended, and
	 * of the present one. Modulo 2^32; no reset clears them. */
	uint32_t taken, session_taken;
	struct varlink_call *reset_call; /* answered once the driver's connection has gone */
	struct vf_settings settings;
	struct vf_counters counters;
	uint64_t resets;
	struct vhost_port port;
	struct rate limit, guarantee;
	struct faults faults;
	bool reset_wanted;       /* found in this pass: the reset hook, a doorbell that blocks */
	uint64_t quiet_since_ns; /* polled, and empty since then */
	uint64_t ready_ns;       /* not served before: no credit, or frames held back */
	uint64_t spoof_told_ns;  /* when the last spoof event was posted */
	uint64_t spoof_untold;
	unsigned delayed_first, delayed_count;
	struct delayed delayed[ADAPTER_DELAYED_MAX];
};

struct adapter {
	pthread_mutex_t lock;
	atomic_uint waiting; /* threads that want the lock from the data thread */
	int epoll_fd, wake_fd;
	bool stopping;

	char name[ADAPTER_NAME_BYTES]; /* empty: not started yet */
	char serial[24];
	bool link; /* of the physical port */
	unsigned vfs_count;
	struct vf *vfs;
	struct switch_table table; /* what the settings amount to */
	struct rte_mempool *pool;

	/* Sets of functions, bit i for function i. */
	uint64_t attached;   /* a driver is there, its rings may be used */
	uint64_t leaving;    /* it has gone; librte_vhost's thread waits for the drain */
	uint64_t active;     /* polled; the other attached ones will kick */
	uint64_t guaranteed; /* min_tx_rate is set */
	uint64_t delaying;   /* frames are held back */
	uint32_t delayed_total;

	struct events *events;
	struct control *control;
};

/* What an epoll event is about: its data, with the function's index below. */
enum adapter_source {
	SOURCE_KICK = 0x100,
	SOURCE_CONTROL = 0x200,
	SOURCE_LISTEN = 0x300,
	SOURCE_WAKE = 0x400,
	SOURCE_SIGNAL = 0x500,
	SOURCE_MASK = 0xff00,
};

/* Data thread: take the lock for good, lend it out between two passes. */
void adapter_lock(struct adapter *adapter);
void adapter_unlock(struct adapter *adapter);
void adapter_breathe(struct adapter *adapter);
/* Other threads. */
void adapter_lock_guest(struct adapter *adapter);
/* Lets the data thread look around (any thread). */
void adapter_wake(struct adapter *adapter);

/*
 * Makes the functions and their sockets in `directory`; data thread, lock held.
 * -EINVAL, -EPERM and the like with a sentence in `message`; -EALREADY.
 */
int adapter_start(struct adapter *adapter, const char *name, const char *directory, unsigned vfs,
		  char message[VF_MESSAGE_BYTES]);
void adapter_stop(struct adapter *adapter);
/* Serves until SIGTERM or SIGINT (loop.c). 0 or -errno. */
int adapter_run(struct adapter *adapter, int listen_fd);

/* A function's settings or the physical link changed: the switch's table follows. */
void adapter_refresh(struct adapter *adapter, unsigned index);
void adapter_configure(struct adapter *adapter, unsigned index, const struct vf_settings *settings);
void adapter_set_link(struct adapter *adapter, bool up);
void adapter_reset(struct adapter *adapter, unsigned index);
void adapter_set_fault(struct adapter *adapter, unsigned index, enum fault fault, uint64_t value);

/*
 * Giving rights up (confine.c): first thing in the process, and once it is
 * started. Each 0 or -errno, logged.
 */
int adapter_confine_begin(void);
int adapter_confine_finish(void);

/* EAL with enough memory for the functions (eal.c). 0 or -errno. */
int eal_start(const char *directory, unsigned vfs);

#endif
