/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the adjunct runtime share. The runtime owns the process of
 * an adjunct: it answers the shim (control.c), takes what was donated and
 * brings the driver up (start.c, descriptors.c, eal.c), and schedules it
 * (serve.c). One thread does all of it; DPDK's own threads only log.
 */
#ifndef ADJ_RUNTIME_H
#define ADJ_RUNTIME_H

#include <jansson.h>

#include "adj.h"
#include "eq_adapter.h"
#include "varlink.h"

#define CONTROL_LISTEN_FD 3
#define CONTROL_CONNECTIONS_MAX 8
#define EVENTS_KEPT_MAX 16
#define STATE_BYTES_MAX 4096 /* of a driver's saved state */
#define MESSAGE_BYTES_MAX 256

enum runtime_state { RUNTIME_EMPTY, RUNTIME_PREPARED, RUNTIME_SERVING, RUNTIME_FAILED };

/* One connection of the shim; `conn` NULL: the slot is free. */
struct control_peer {
	struct varlink_conn *conn;
	struct varlink_server *server;
	struct varlink_call *monitor; /* an unanswered Monitor, else NULL */
	uint64_t accepted;            /* order of arrival */
	bool dead;                    /* to be closed after this pass */
};

struct kept_event {
	enum adj_event event;
	char message[MESSAGE_BYTES_MAX];
};

struct runtime {
	const struct adj_ops *ops;
	struct adj_env env;
	void *driver;   /* the driver's state while RUNTIME_SERVING */
	void *prepared; /* and while RUNTIME_PREPARED, if it prepares */
	enum runtime_state state;
	bool dedicated; /* poll for ever */
	bool stopping;
	struct varlink_call *stop_call; /* answered when stopped; NULL after SIGTERM */

	/* What env points to. */
	char name[65], device[257], vhost_path[108];
	size_t window_bytes;
	int64_t vfio_group; /* of the device; -1: it is not VFIO's */
	bool memory_huge; /* the donated memory is made of huge pages */
	bool memory_later; /* RUNTIME_PREPARED as a spare: it comes with Start */
	char last_error[MESSAGE_BYTES_MAX]; /* newest ADJ_LOG_ERROR line */

	/* epoll_control: listening socket, connections, signals. epoll_all: that
	 * set, and what the driver watches. */
	int epoll_control, epoll_all, signal_fd;
	int watched[ADJ_WAKE_SOURCES_MAX]; /* -1: free */
	uint64_t wakeups;
	uint64_t serving_since_ns, first_frame_ns; /* the latter 0: none yet */

	/* Where events are posted to (events.c); `storage` NULL: nowhere. */
	struct {
		void *storage;
		size_t bytes;
		int alert_fd; /* the forwarder's doorbell */
		struct eq_adapter adapter;
		uint32_t cq[ADJ_DIRECTIONS]; /* of the native port; EQ_NONE: rung directly */
	} events;

	struct varlink_service service; /* what the connections speak */
	struct control_peer peers[CONTROL_CONNECTIONS_MAX];
	uint64_t accepted;
	/* Events nobody has been told yet, oldest first. */
	struct kept_event kept[EVENTS_KEPT_MAX];
	unsigned kept_count;
};

/* env.c: fills the function pointers of rt->env. */
void runtime_env_init(struct runtime *rt);
void runtime_unwatch_all(struct runtime *rt);

/* control.c */
int control_open(struct runtime *rt);
/* Serves the control socket and signals: what is ready now, without blocking. */
void control_service(struct runtime *rt);
/* To every Monitor, or kept until there is one. `message` may be NULL. */
void control_post_event(struct runtime *rt, enum adj_event event, const char *message);
/* Answers Stop with the saved state (NULL: none) and sends it out. */
void control_answer_stop(struct runtime *rt, const void *state, size_t state_bytes);
void control_close(struct runtime *rt);

/* start.c: what the partition's end was given by is closed, whatever it was. */
void runtime_port_close(struct runtime *rt);
/* The methods Prepare, Start, AttachPort and DetachPort. */
void prepare_handle(struct varlink_call *call, json_t *parameters, void *context);
void start_handle(struct varlink_call *call, json_t *parameters, void *context);
void attach_handle(struct varlink_call *call, json_t *parameters, void *context);
void detach_handle(struct varlink_call *call, json_t *parameters, void *context);

/* events.c: the method AttachEvents; and what is posted. Complete: false if nobody has
 * taken the native port's queue, who is rung instead. Tick: true while events wait for
 * room in a queue, as long as which the runtime does not sleep for good. */
void events_attach_handle(struct varlink_call *call, json_t *parameters, void *context);
void events_detach(struct runtime *rt);
void events_post(struct runtime *rt, enum adj_event event);
bool events_complete(struct runtime *rt, enum adj_direction direction);
bool events_tick(struct runtime *rt);

/* memory.c: maps what was donated, as env.memory; gathers all of it that was touched into
 * huge pages, which takes milliseconds for each; env.gather. */
int memory_take(struct runtime *rt, int memory_fd);
void memory_gather(struct runtime *rt);
void memory_gather_part(const struct adj_env *env, const void *part, size_t bytes);
/* Maps what others hold too, all of it there at once. `new`: nobody uses it yet, so that
 * it may be made of huge pages, which every mapping of it then has. 0 or -errno. */
int memory_map_shared(int fd, size_t bytes, bool new, void **out);

/* descriptors.c: each returns 0 or -errno and says why with env->log. */
int descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes);
int descriptor_check_eventfd(const struct adj_env *env, const char *what, int fd);
int descriptor_check_tap(const struct adj_env *env, int fd);

/* serve.c: until stopping; then quiesces, saves and answers. Exit status. */
int serve(struct runtime *rt);

/*
 * eal.c, linked into images of drivers with uses_dpdk: brings up DPDK with its
 * whole heap in `memory_fd` (owned by the caller, not needed afterwards).
 */
__attribute__((weak)) int eal_start(struct adj_env *env, int memory_fd);
/* The same for a spare, which has not been donated any: eal_start() follows. */
__attribute__((weak)) int eal_prepare(struct adj_env *env);
/*
 * eal_vfio.c, linked into the same images: what the EAL gets when it opens files
 * below /dev/vfio, each taken over if it is what it should be. 0 or -errno, logged.
 */
__attribute__((weak)) int eal_vfio_container(const struct adj_env *env, int fd);
__attribute__((weak)) int eal_vfio_group(const struct adj_env *env, unsigned number, int fd);
/* How long the kernel took to hand the function out, which resets it; 0: it did not. */
__attribute__((weak)) uint64_t eal_vfio_reset_ns(void);

/* confine.c: each 0 or -errno, logged. The driver has what it says in `ops` besides
 * the runtime's list. */
int adjunct_confine_begin(void);
int adjunct_confine_prepare(const struct adj_ops *ops);
int adjunct_confine_finish(const struct adj_ops *ops);

/* base64.c: standard alphabet with padding. `out` of encode holds 4 characters
 * for every 3 bytes begun, and a NUL. Decode: bytes, or -EINVAL. */
void base64_encode(const void *data, size_t bytes, char *out);
int base64_decode(const char *text, void *out, size_t out_bytes);

#endif
