/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the adjunct runtime share. The runtime owns the process of
 * an adjunct: it answers the shim (control.c), takes what was donated and
 * brings the driver up (start.c, descriptors.c, eal.c), and schedules it
 * (serve.c). One thread does all of it; DPDK's own threads only log. An adjunct that has
 * no processor of its own is scheduled by its partition instead, on a second thread
 * (donated.c), and the first one only answers the shim.
 */
#ifndef ADJ_RUNTIME_H
#define ADJ_RUNTIME_H

#include <jansson.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "adj.h"
#include "eq.h"
#include "eq_adapter.h"
#include "histogram.h"
#include "service_layout.h"
#include "varlink.h"

#define CONTROL_LISTEN_FD 3
#define CONTROL_CONNECTIONS_MAX 8
#define EVENTS_KEPT_MAX 16
#define STATE_BYTES_MAX 4096 /* of a driver's saved state */
#define MESSAGE_BYTES_MAX 256
/* Of one dispatch. */
#define BUDGET_FRAMES 64
#define BUDGET_REQUESTS SERVICE_SLOTS

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
	char client[65]; /* whose it is; empty: everybody's */
};

/* The service interface (service.c). Of each slot: what was asked, where in the ring, and
 * how far a predecessor had come with it. */
struct service {
	bool open;
	bool shut;	/* the partition broke the ring's protocol */
	bool full;	/* the last dispatch stopped for want of room for completions */
	bool recovered; /* a predecessor served the rings before */
	struct eq_ring requests, completions;
	uint32_t first_completion; /* of ours, where `recovered` */
	uint8_t *request_data, *completion_data;
	uint64_t queued[SERVICE_PRIORITIES], done; /* a bit for each slot */
	struct service_request taken[SERVICE_SLOTS];
	uint32_t positions[SERVICE_SLOTS];
	uint8_t reached[SERVICE_SLOTS]; /* enum adj_request_step */
	uint64_t taken_ns[SERVICE_SLOTS]; /* when; 0: its time is not taken */
	uint8_t request[SERVICE_BUFFER_BYTES], response[SERVICE_BUFFER_BYTES];
};

/* What requests cost, for status: counted by the serving thread alone, and never reset. */
struct service_costs {
	_Atomic uint64_t completed, used_ns;
	_Atomic uint64_t latency[HISTOGRAM_BUCKETS];
};

/* The dispatch thread of an adjunct without a processor of its own (donated.c). */
struct donated {
	pthread_t thread;
	bool started;
	timer_t timer;
	/* Control thread to dispatch thread and back. `hold` and `held` are futexes. */
	_Atomic uint32_t hold, held;
	_Atomic uint32_t ready;	  /* slots of `watched` whose descriptor is, by bit */
	_Atomic uint32_t pending; /* the partition was told that we want to be dispatched */
	_Atomic uint64_t asked_ns; /* and when */
	_Atomic bool post_busy;	   /* its guest is to be */
	_Atomic uint32_t running; /* dispatched, and not preempted */
	_Atomic uint32_t posted;  /* events to tell, by bit */
	_Atomic int failure;	  /* of the driver's dispatch */
	_Atomic bool polled;	  /* the driver cannot be interrupted just now */
	int kick_fd;		  /* wakes the control thread */
	/* The dispatch thread's; the control thread's while it holds it. */
	struct service_cell *cell; /* NULL: no program has the device open */
	uint32_t dispatch;	   /* the number served now, or last */
	bool dispatched;	   /* that number has not been handed back */
	bool preempted;		   /* inside the driver, or the service */
	bool hot, armed;
	unsigned looks; /* at the registers it has in use, that there might have been */
	bool heavy;	/* and it was said that there are such */
	uint32_t cpu;
	uint64_t begun_ns, handed_back_ns, deadline_ns, alarm_ns;
	/* For status: written by the dispatch thread alone. */
	_Atomic uint64_t dispatches, expired, used_ns, interrupts;
};

struct runtime {
	const struct adj_ops *ops;
	struct adj_env env;
	void *driver;   /* the driver's state while RUNTIME_SERVING */
	void *prepared; /* and while RUNTIME_PREPARED, if it prepares */
	enum runtime_state state;
	bool dedicated; /* poll for ever */
	bool donated;	/* dispatched by the partition, on its processor */
	bool stopping;
	struct varlink_call *stop_call; /* answered when stopped; NULL after SIGTERM */

	/* What env points to. */
	char name[65], device[257], vhost_path[108];
	char folder[257]; /* which names of files are relative to; empty: none */
	size_t window_bytes;
	int64_t vfio_group; /* of the device; -1: it is not VFIO's */
	bool memory_huge; /* the donated memory is made of huge pages */
	bool memory_later; /* RUNTIME_PREPARED as a spare: it comes with Start */
	char last_error[MESSAGE_BYTES_MAX]; /* newest ADJ_LOG_ERROR line */

	/* epoll_control: listening socket, connections, signals. epoll_all: that
	 * set, and what the driver watches. */
	int epoll_control, epoll_all, signal_fd;
	int watched[ADJ_WAKE_SOURCES_MAX]; /* -1: free */
	uint32_t watched_events[ADJ_WAKE_SOURCES_MAX];
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

	struct service service;
	struct service_costs costs;
	struct donated lent;
	struct adj_stats stats; /* as last read */
	bool charged;		/* the time that it works is somebody's: it is measured */

	/* The clients of a global adjunct (clients.c): each has one of these for itself, of
	 * which what follows, and the process' sockets, are void. */
	struct runtime *global; /* whose client it is; NULL: it is no client */
	struct runtime *clients[ADJ_CLIENTS_MAX];
	unsigned client_count;
	int64_t credit_ns; /* time that it may take in this round; below 0: it took too much */
	uint64_t used_ns;

	struct varlink_service methods; /* what the connections speak */
	struct control_peer peers[CONTROL_CONNECTIONS_MAX];
	uint64_t accepted;
	/* Events nobody has been told yet, oldest first. */
	struct kept_event kept[EVENTS_KEPT_MAX];
	unsigned kept_count;
};

/* env.c: fills the function pointers of rt->env. */
void runtime_env_init(struct runtime *rt);
bool runtime_watches(struct runtime *rt, int fd);
void runtime_unwatch_all(struct runtime *rt);
/* Whoever has the native port open, past all event queues. */
void runtime_ring_partition(const struct runtime *rt);

/* control.c */
int control_open(struct runtime *rt);
/* Serves the control socket and signals: what is ready now, without blocking. */
void control_service(struct runtime *rt);
/* To every Monitor, or kept until there is one. `message` may be NULL. */
void control_post_event(struct runtime *rt, enum adj_event event, const char *message);
/* What the driver counts for that end. */
json_t *counters_to_json(struct runtime *rt);
/* Answers Stop with the saved state (NULL: none) and sends it out. */
void control_answer_stop(struct runtime *rt, const void *state, size_t state_bytes);
void control_close(struct runtime *rt);

/* start.c: the methods Prepare and Start; and the answer of one that did not work out. */
void prepare_handle(struct varlink_call *call, json_t *parameters, void *context);
void start_handle(struct varlink_call *call, json_t *parameters, void *context);
void runtime_answer_failed(struct runtime *rt, struct varlink_call *call, int error);

/*
 * Of memory that others hold too: later, a page comes with its first use, which costs
 * whoever uses it, and not all who wait meanwhile; now, all of it is there at once; huge,
 * as nobody uses it yet it may be made of huge pages, which every mapping then has.
 */
enum memory_pages { PAGES_LATER, PAGES_NOW, PAGES_HUGE };

/*
 * port.c: the partition's end, from the descriptors that stand in the call from `first`
 * on. Window: of a program. 0 or -errno, logged.
 */
int runtime_port_open(struct runtime *rt, struct varlink_call *call, unsigned first);
int runtime_window_open(struct runtime *rt, struct varlink_call *call, unsigned first,
			enum memory_pages pages);
/* The window's last part, once the driver has the others; as service_open(). */
int runtime_service_attach(struct runtime *rt, bool recover);
/* The driver lets go of the window, then we do. Close: only the latter. */
void runtime_port_detach(struct runtime *rt);
void runtime_port_close(struct runtime *rt);
/* The methods AttachPort and DetachPort. */
void attach_handle(struct varlink_call *call, json_t *parameters, void *context);
void detach_handle(struct varlink_call *call, json_t *parameters, void *context);

/* events.c: the method AttachEvents; and what is posted. Complete: false if nobody has
 * taken the native port's queue, who is rung instead. Tick: true while events wait for
 * room in a queue, as long as which the runtime does not sleep for good. */
void events_attach_handle(struct varlink_call *call, json_t *parameters, void *context);
void events_detach(struct runtime *rt);
void events_post(struct runtime *rt, enum adj_event event);
bool events_complete(struct runtime *rt, enum adj_direction direction);
/* PA_BUSY, to the guest that has taken the native port, if any has. */
void events_busy(struct runtime *rt);
bool events_has_guest(const struct runtime *rt);
bool events_tick(struct runtime *rt);

/*
 * clients.c, the serving thread's: those of a global adjunct, and who has the adjunct for
 * itself, are its ends. Dispatch: each in its turn, so that none has more time than
 * another that wants it; as adj_ops' dispatch. Named: of the member `client`, or `rt`
 * where there is none; NULL: answered.
 */
static inline struct runtime *runtime_end(struct runtime *rt, unsigned i)
{
	return i ? rt->clients[i - 1] : rt;
}
int clients_dispatch(struct runtime *rt);
void clients_close(struct runtime *rt);
struct runtime *clients_named(struct runtime *rt, struct varlink_call *call, json_t *parameters);
json_t *clients_to_json(struct runtime *rt);
/* The methods AttachClient and DetachClient. */
void client_attach_handle(struct varlink_call *call, json_t *parameters, void *context);
void client_detach_handle(struct varlink_call *call, json_t *parameters, void *context);

/* memory.c: maps what was donated, as env.memory; gathers all of it that was touched into
 * huge pages, which takes milliseconds for each; env.gather. */
int memory_take(struct runtime *rt, int memory_fd);
void memory_gather(struct runtime *rt);
void memory_gather_part(const struct adj_env *env, const void *part, size_t bytes);
/* Maps what others hold too. 0 or -errno. */
int memory_map_shared(int fd, size_t bytes, enum memory_pages pages, void **out);

/* descriptors.c: each returns 0 or -errno and says why with env->log. */
int descriptor_check_memory(const struct adj_env *env, const char *what, int fd, size_t bytes);
int descriptor_check_eventfd(const struct adj_env *env, const char *what, int fd);
int descriptor_check_tap(const struct adj_env *env, int fd);

/* service.c: on the thread that dispatches the driver. Dispatch: requests served. Arm: as
 * adj_ops'. Open: `recover`, where a predecessor served the window; 0 or -errno. */
int service_dispatch(struct runtime *rt, unsigned budget);
int service_arm(struct runtime *rt, bool on);
int service_open(struct runtime *rt, bool recover);
/* Control thread: requests that the partition has queued and that are not done with. */
unsigned service_depth(const struct runtime *rt);
void service_close(struct runtime *rt);

/*
 * donated.c. Begin: before the process is confined; the dispatch thread is held from then
 * on. Hold: waits until it stays away from driver and window; -EBUSY: the driver does not
 * come to a point where it can be left. Release: only if there is a window to serve.
 */
int donated_begin(struct runtime *rt);
int donated_hold(struct runtime *rt);
void donated_release(struct runtime *rt);
bool donated_at_rest(const struct runtime *rt); /* it need not be waited for long */
/* How long PA_BUSY has been pending; 0: it is not. */
uint64_t donated_asking_ns(const struct runtime *rt);
/* While it is held, and of an adjunct with a processor of its own, which says so to the
 * partition: `recover` as above. */
void donated_attach(struct runtime *rt, bool recover);
void donated_detach(struct runtime *rt);
/* The control thread's whole work, once. */
void donated_serve(struct runtime *rt);
/* True on the dispatch thread: the control thread will tell. */
bool donated_post(struct runtime *rt, enum adj_event event);
/* In between the dispatch thread is not preempted: for locks that others take, too. */
void donated_shield(void);
void donated_unshield(void);

/* serve.c: the driver and the service of one end dispatched once, for so many frames and
 * requests: as adj_ops' dispatch. */
int serve_dispatch(struct runtime *rt, unsigned frames, unsigned requests);
void serve_device_failed(struct runtime *rt, int error);
/* Until stopping; then quiesces, saves and answers. Exit status. */
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
int adjunct_confine_prepare(const struct adj_ops *ops, bool donated);
/* From then on names are those below `folder`, by which it must have been called so far. */
int adjunct_confine_files(const char *folder);
int adjunct_confine_finish(const struct adj_ops *ops, bool donated);

/* base64.c: standard alphabet with padding. `out` of encode holds 4 characters
 * for every 3 bytes begun, and a NUL. Decode: bytes, or -EINVAL. */
void base64_encode(const void *data, size_t bytes, char *out);
int base64_decode(const char *text, void *out, size_t out_bytes);

#endif
