/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of hv-shim/events/: a partition with two native devices, whose adjuncts,
 * programs and connections are this test. The forwarder, its thread, and event-queues/
 * are the real ones. Each test is one process; world.c has one of everything, and what
 * is asked on the test's thread is answered there.
 */
#ifndef EVENTS_WORLD_H
#define EVENTS_WORLD_H

#include "../fault.h"
#include "../../../hv-shim/events/guest.h"
#include "../../../hv-shim/shim.h"

extern struct shim shim;
extern struct partition partition;
extern struct device devices[2]; /* net0 and net1, opened by `program` */
extern char conn, other_conn;    /* only their addresses are used */
extern pid_t program, said_pid;  /* who holds the devices; who asks, if somebody else */

/* A program's call, and how it was answered: once. */
struct varlink_call {
	const void *conn; /* NULL: `conn` */
	unsigned errors, replies, fd_count;
	char error[80];
	json_t *answer;
	int fds[3];
	void (*cancel)(void *data);
	void *cancel_data;
};
typedef void handler(struct partition *partition, struct varlink_call *call, json_t *parameters);
/* Asks with these parameters, as JSON. */
void ask(handler *handle, struct varlink_call *call, const char *parameters);
/* Asks, and this is the error. */
void refused(handler *handle, const char *parameters, const char *error);
void call_clear(struct varlink_call *call);

/* What the last adjunct to be told was given, and has not answered for. */
struct told {
	unsigned count;
	struct device *device;
	json_t *parameters;
	int storage_fd, alert_fd; /* the test's own */
	peer_answer_fn callback;
	void *data;
};
extern struct told told;
void adjunct_answers(const char *problem);

/* The devices run, and `program` has them open. */
void devices_run(void);
void devices_go(void);

unsigned descriptors(void); /* that are open */
void set_up(void);
void tear_down(void);

#endif
