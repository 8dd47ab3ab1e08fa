/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the soft adapter's tests work with: the adapter as a child process with
 * a control connection and a monitor, drivers as child processes. Whatever goes
 * wrong here ends the test program with a sentence. One thread.
 */
#ifndef BENCH_H
#define BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PATIENCE_MS 10000
#define FRAMES_MAX 1024

struct adapter_process {
	pid_t pid;
	char directory[80]; /* of everything */
	struct varlink_conn *control, *monitor;
};

struct driver {
	pid_t pid;
	int to, from;
	char buffer[65536];
	size_t buffered;
};

struct frame {
	unsigned length;
	char header[40]; /* hexadecimal, 18 octets at most */
	bool bad;
};
struct frames {
	unsigned count;
	struct frame frames[FRAMES_MAX];
};

void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Its process, which has not been told to start. */
void adapter_spawn(struct adapter_process *adapter);
/* Starts the adapter with `vfs` functions and watches its events. */
void adapter_open(struct adapter_process *adapter, unsigned vfs);
/* Ends it with SIGTERM: its wait status. Removes the directory. */
int adapter_close(struct adapter_process *adapter);
/* Its wait status, once it has ended by itself. */
int adapter_wait(struct adapter_process *adapter);
/* Parameters are stolen. The answer, or NULL and the error's name in `error`. */
json_t *adapter_call(struct adapter_process *adapter, const char *method, json_t *parameters,
		     const char **error);
/* A call that must succeed and whose answer does not matter. */
void adapter_do(struct adapter_process *adapter, const char *method, json_t *parameters);
/* Settings as JSON text. */
void adapter_configure(struct adapter_process *adapter, int vf, const char *settings);
void adapter_fault(struct adapter_process *adapter, int vf, const char *fault, long value);
/* One counter; "resets" and "connected" too. */
long adapter_counter(struct adapter_process *adapter, int vf, const char *name);
/* Waits until the counter has at least that value. */
void adapter_await(struct adapter_process *adapter, int vf, const char *name, long value);
/* Waits for that event of that function; others before it are passed over. */
void adapter_event(struct adapter_process *adapter, const char *event, int vf);
/* Open descriptors; times the data thread went to sleep. */
unsigned adapter_fds(const struct adapter_process *adapter);
unsigned long adapter_sleeps(const struct adapter_process *adapter);

/* A driver on that function with the test's usual address for it. */
void driver_open(struct driver *driver, struct adapter_process *adapter, int vf);
/* As above; false if it does not come up. */
bool driver_try(struct driver *driver, struct adapter_process *adapter, int vf, bool sealed);
void driver_kill(struct driver *driver);
unsigned driver_send(struct driver *driver, uint64_t to, uint64_t from, unsigned count,
		     unsigned length, unsigned proto, unsigned tci);
void driver_take(struct driver *driver, unsigned count, unsigned ms, struct frames *out);
void driver_jam(struct driver *driver);

/* A connection to the function's socket, by hand. */
int socket_open(struct adapter_process *adapter, int vf);

#endif
