/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor shim's live objects. Internal to hv-shim; one thread, the
 * event loop's, owns everything here.
 *
 * An object is made and destroyed in steps that wait for other processes. Each
 * has a state for people (STARTING, RUNNING, STOPPING, FAILED) and at most one
 * `change` under way, which is settled when the object comes to rest.
 */
#ifndef SHIM_H
#define SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "document/document.h"
#include "image.h"
#include "log_limit.h"
#include "processes/peer.h"
#include "usage.h"

#define SHIM_PATH_BYTES 108 /* a Unix socket's path, with its NUL */
#define SHIM_MESSAGE_BYTES 400
#define SHIM_WINDOW_FDS 4 /* of a native device: what AttachPort takes */
#define SHIM_FDS_MAX 7    /* donated memory, port or window, VFIO's */

/* How long a child may take; to start, which includes DPDK's initialisation: unless
 * --start-timeout says otherwise. */
#define SHIM_CALL_MS 5000
#define SHIM_START_MS 30000
#define SHIM_STOP_MS 3000

struct apply;
struct change;
struct device_events;
struct device_history;
struct eq_host;
struct forwarder;
struct guest;
struct log_buffer;
struct server;
struct shim;

enum object_state { STATE_STARTING, STATE_RUNNING, STATE_STOPPING, STATE_FAILED };
const char *object_state_name(enum object_state state);

/* Starting a process anew that ended unasked: see respawn.c. */
#define RESPAWN_DEATHS_MAX 6
struct respawn {
	struct peer *leaving; /* dead, and replaced before the kernel was through with it; or NULL */
	bool restart_untold;  /* until it is: the partition hears of the death first */
	unsigned deaths; /* in a row, without steady service in between */
	uint64_t serves_since_ns; /* 0: it does not */
	sd_event_source *timer;
};

struct adapter {
	struct adapter *next;
	struct shim *shim;
	struct doc_adapter spec;
	enum object_state state;
	char message[SHIM_MESSAGE_BYTES]; /* why it failed */
	struct peer *peer;                /* NULL: those of kind dpdk and echo have no process */
	struct device *owners[DOC_VFS_MAX];
	char model[64], serial[64], firmware_version[32];
	bool link_up;
	/* A real adapter's: where its functions are, and which of them are not there now. */
	struct {
		char address[VF_ADDRESS_BYTES];
		int group;
	} functions[DOC_VFS_MAX];
	bool vf_gone[DOC_VFS_MAX], card_gone; /* card_gone: STARTING, once it is back */
	json_t *vf_list; /* functions and their counters, as last asked for; or NULL */
	bool stats_pending;
	struct vf_faults faults; /* of kind dpdk: of the function's owner */
	bool unwatched; /* its events do not come; see heartbeat.c */
	bool adopting; /* STARTING, by an earlier shim's process */
	bool replacing; /* STARTING, once the process before has ended */
	bool deleting, restarting;
	struct doc_adapter next_spec; /* with restarting */
	struct respawn respawn;
	bool heartbeat_pending;
	unsigned heartbeats_missed; /* in a row */
	struct change *change;
};

/*
 * A region of a partition: a memfd that the keeper holds. Donated, the partition's
 * memfd is empty for ever (its mappings raise SIGBUS) and the adjunct has as much
 * fresh memory; given back, the partition gets a new one, zeroed.
 */
struct region {
	struct doc_region spec;
	struct device *donated_to; /* NULL: the partition has it */
};

struct partition {
	struct partition *next;
	struct shim *shim;
	char name[DOC_NAME_BYTES], owner[DOC_NAME_BYTES];
	uid_t uid; /* the owner's */
	int64_t memory_bytes, cpus_milli; /* the limits of its control group; 0: none */
	enum object_state state;
	char message[SHIM_MESSAGE_BYTES];
	struct peer *keeper;
	struct device *devices;
	struct region regions[DOC_REGIONS_MAX];
	size_t region_count, regions_made;
	void (*regions_done)(struct partition *partition, const char *problem);
	struct eq_host *event_host; /* NULL: no device of it has run yet */
	struct guest *guests;
	struct server *server; /* of the partition's own socket */
	struct partition_service *service;
	bool adopting; /* STARTING, by an earlier shim's keeper */
	bool replacing; /* STARTING, once the keeper before has ended */
	bool deleting;
	struct respawn respawn;
	bool heartbeat_pending;
	unsigned heartbeats_missed; /* in a row */
	struct change *change;
};

struct device {
	struct device *next;
	struct partition *partition;
	struct adapter *adapter;
	struct doc_device spec; /* complete: addresses, index, image, memory are filled in */
	const struct image *image;
	enum object_state state;
	char message[SHIM_MESSAGE_BYTES];
	struct log_limit lines; /* about its programs, and what they make its adjunct say */

	/* Where it stands: in device_start_steps, _recover_steps or _stop_steps. */
	const struct step *walk;
	unsigned step;
	bool abort, deleting, restarting;
	bool adopting; /* STARTING, with what an earlier shim left */
	bool asking_keeper; /* what it keeps of it */
	bool waiting; /* an answer is under way that will move it on */
	struct doc_device next_spec; /* with restarting */
	struct doc_vf previous_vf;   /* while an update is under way */

	struct peer *adjunct;
	unsigned slot; /* 0 or 1: which of two names its socket has; the other is the standby's */
	struct peer *standby;
	struct window_fetch *window_fetch; /* standby.c */
	bool standby_ready;
	bool window_told; /* the standby, or the adjunct it became, has the program's window */
	sd_event_source *standby_timer;
	/* What they were donated, or -1: kept so that a dying adjunct need not free it,
	 * which takes milliseconds, before its end is seen. Never mapped here. */
	int memory_fd, standby_memory_fd;
	struct device_vhost *vhost; /* its guest's session, if it is a vhost-user device; or NULL */
	int fds[SHIM_FDS_MAX]; /* for Start: donated memory, port, VFIO's; closed afterwards */
	unsigned fd_count;
	bool memory_sent; /* the first of them is donated memory */
	/* What the function took of its drivers before the next one, as its adapter
	 * told when it was assigned (adj_inflight.h); -1: it does not count. */
	json_int_t vf_taken;
	bool link_up;
	uint64_t starting_ns, start_ns; /* start_ns 0: an earlier shim started it */

	/* Replacing the adjunct while the partition stays: see recover.c. */
	struct peer *leaving; /* dead, and replaced before the kernel was through with it; or NULL */
	bool restart_untold;  /* until it is: the partition hears of the death first */
	unsigned deaths; /* in a row, without DEVICE_STEADY_NS of service in between */
	uint64_t down_since_ns, running_since_ns, gap_ns;
	/* Of gap_ns: until the old one was gone, and, of a function by VFIO, how long the
	 * kernel took to reset it for the new one. And after it: the first frame's; 0: none
	 * that we know of. */
	uint64_t leave_ns, reset_ns, first_frame_ns;
	char *adjunct_state; /* what a quiesced predecessor saved, base64; or NULL */
	struct varlink_call *restart_call; /* who asked for it; or NULL */
	sd_event_source *recover_timer;
	bool heartbeat_pending;
	uint64_t busy_since_ns; /* its adjunct wants to be dispatched (PA_BUSY); 0: it does not */
	bool unwatched; /* the adjunct's events do not come */
	json_t *counters; /* as last asked for; or NULL */
	bool stats_pending;
	struct usage usage;

	struct device_events *events; /* NULL: it has not run yet; see events/ */
	struct device_history *history; /* NULL: nothing has happened to it yet */
	/* A program that has the native device open. */
	struct attachment *attachment;
	bool attaching; /* the adjunct has not yet answered for it */
	struct change *change;
};

struct shim {
	sd_event *event;
	char state_dir[SHIM_PATH_BYTES];
	char libexec_dir[256], images_dir[256];
	uint64_t start_ms; /* how long an adjunct or adapter may take to start */
	bool rootless;
	bool closing; /* the shim ends; nothing else does */
	uint64_t started_ns;
	int lock_fd;
	struct image_list images;
	struct adapter *adapters;
	struct partition *partitions;
	struct apply *apply; /* the one change under way */
	struct forwarder *forwarder;
	struct log_buffer *log;
	int kmsg_fd; /* the kernel's log; or why it is closed to us, -errno */
	sd_event_source *fault_source, *fault_timer; /* adapter_faults.c; or NULL */
	struct stats_job *stats_jobs;
	struct server *control;
	sd_event_source *save_source;
	char save_problem[SHIM_MESSAGE_BYTES]; /* empty: the saved state is current */
};

/* "STATE/kind/name" with `suffix` appended; `kind` may be NULL. -ENAMETOOLONG: no socket could be bound there. */
int shim_path(const struct shim *shim, const char *kind, const char *name, const char *suffix,
	      char out[SHIM_PATH_BYTES]);

/* ---- adapter.c ------------------------------------------------------------- */

struct adapter *adapter_find(const struct shim *shim, const char *name);
struct adapter *adapter_new(struct shim *shim, const struct doc_adapter *spec); /* NULL: no memory */
void adapter_start(struct adapter *adapter);
/* Once none of its functions is in use: ends it; then frees it or starts next_spec. */
void adapter_stop(struct adapter *adapter);
/* Takes up the process an earlier shim left: true; or starts anew: false. */
bool adapter_adopt(struct adapter *adapter, struct peer_identity identity);
/* The device's adapter runs, its process has not ended meanwhile, and the device's function
 * is there. */
bool adapter_is_ready(const struct device *device);
/* What a process of an embedded adapter that was killed has left behind. */
void adapter_remove_files(const struct shim *shim, const char *name, int64_t vfs);
/* For every device of its functions, which may go meanwhile. */
void adapter_each_device(struct adapter *adapter, void (*function)(struct device *device));
/* The device waits for its adapter, whose message says why. */
void adapter_wait_with(struct device *device);
/* Has its process bring about what the document says, first or once more. */
void adapter_call_start(struct adapter *adapter);
/* adapter_events.c: asks for its events; -errno. A card that was gone is as it should be. */
int adapter_watch(struct adapter *adapter);
void adapter_tell_back(struct adapter *adapter);
/* adapter_faults.c: opens the kernel's log, while root may still read it; reads it from now
 * on, if the adapter is of kind dpdk and has a function; what was counted was another owner's. */
void adapter_faults_open(struct shim *shim);
void adapter_faults_close(struct shim *shim);
void adapter_faults_watch(struct adapter *adapter);
void adapter_faults_forget(struct adapter *adapter);
/* The functions in use have changed. */
void adapter_check(struct adapter *adapter);
size_t adapter_vfs_used(const struct adapter *adapter);
/* Makes the device the owner of its function; false while another device is. */
bool adapter_claim(struct adapter *adapter, struct device *device);
void adapter_release(struct adapter *adapter, struct device *device);
/* Sets function `device->spec.vf.index` up for the device, or resets it: answers through callback. */
void adapter_configure_vf(struct adapter *adapter, const struct device *device,
			  peer_answer_fn callback, void *data);
void adapter_reset_vf(struct adapter *adapter, int64_t index, peer_answer_fn callback, void *data);
/* A real adapter's: gives it to what the device's kind says (`netns_fd`: for netdev), clean
 * and set up; and takes it back. */
void adapter_take_vf(struct adapter *adapter, const struct device *device, int netns_fd,
		     peer_answer_fn callback, void *data);
void adapter_return_vf(struct adapter *adapter, int64_t index, peer_answer_fn callback, void *data);
/*
 * What stands behind its functions is known from end to end: to drive one nothing is opened
 * by name but below the state folder, and nothing that a dead driver may still have open.
 */
bool adapter_is_ours(const struct adapter *adapter);
/* DPDK's device arguments for the device's function. */
int adapter_device_string(const struct adapter *adapter, const struct device *device, char *out,
			  size_t out_bytes);
void adapter_free(struct adapter *adapter);

/* ---- partition.c ------------------------------------------------------------ */

struct partition *partition_find(const struct shim *shim, const char *name);
struct partition *partition_new(struct shim *shim, const char *name, const char *owner);
void partition_start(struct partition *partition);
bool partition_is_ready(const struct partition *partition); /* so is its keeper */
void partition_stop(struct partition *partition); /* once its devices are gone */
/* As adapter_adopt(). */
bool partition_adopt(struct partition *partition, struct peer_identity identity);
void partition_check(struct partition *partition); /* a device is gone */
/* Whom the partition's sockets belong to. -ENOENT: no such user. */
int partition_set_owner(struct partition *partition, const char *owner);
/* What its control group may take at most; 0: no limit. */
void partition_set_limits(struct partition *partition, int64_t memory_bytes, int64_t cpus_milli);
/* The process at the other end is the partition's from now on: charged to it, within its
 * share. */
void partition_join_peer(const struct partition *partition, const struct varlink_conn *conn);
void partition_free(struct partition *partition);

/* ---- device.c, device_steps.c ------------------------------------------------ */

struct device *device_find(const struct partition *partition, const char *name);
struct device *device_new(struct partition *partition, struct adapter *adapter,
			  const struct doc_device *spec);
/* "red.net0": the adjunct's name, and that of its files. */
#define DEVICE_LABEL_BYTES (2 * DOC_NAME_BYTES)
void device_label(const struct device *device, char out[DEVICE_LABEL_BYTES]);
/* The device whose adjunct serves this one: itself, but for a client. NULL: there is none
 * of that name now. */
struct device *device_server(const struct device *device);
/* Names the client, if it is one, in what is asked of the adjunct that serves it. */
json_t *client_parameters(const struct device *device, json_t *parameters);
void device_start(struct device *device);
void device_stop(struct device *device);
void device_restart(struct device *device, const struct doc_device *spec);
void device_update_vf(struct device *device, const struct doc_vf *vf);
/*
 * Takes up the adjunct an earlier shim left; if it cannot be reached or does not
 * serve, another takes over what the keeper keeps. Where that is not all there, or
 * the device lost what it stands on (not `sound`), everything is undone and started
 * anew.
 */
void device_adopt(struct device *device, struct peer_identity identity, bool sound);
/* While it was being taken up: its keeper could not be. */
void device_keeper_lost(struct device *device);
/* The adapter or the partition it waits for has come to rest. */
void device_poke(struct device *device);
/*
 * The adapter's or the keeper's process has ended and is being made anew: the
 * device waits for it, with its partition's end kept (`keeps_port`) or made anew.
 */
void device_ground_lost(struct device *device, bool keeps_port, const char *why);
/* What it depends on is gone, or the adjunct is: undoes everything, then FAILED. */
__attribute__((format(printf, 2, 3)))
void device_fail(struct device *device, const char *format, ...);
/* An asynchronous event, to the log, to the partition's monitors and to its event queues
 * (as far as it has one there: events_raise()). */
void device_event(struct device *device, const char *event, const char *message);
/* Of what its partition could cause without end: not all of it is logged. Its event queues
 * have it from the adjunct, or by events_raise(). */
void device_event_limited(struct device *device, const char *event, const char *message);
/* It has, or may have, something in use: a process, a function, an interface. */
bool device_is_active(const struct device *device);
void device_free(struct device *device);

/* Which devices a step is for, if not for all: those that an adjunct of theirs drives,
 * those that their partition does, those that another device's global adjunct serves. */
enum step_for { STEP_FOR_ADJUNCT = 1, STEP_FOR_PARTITION = 2, STEP_FOR_CLIENT = 4 };
struct step {
	const char *name; /* for the log, with the figure's step numbers */
	/* 1: done; 0: device_step_done() will be called; -errno: message is set. */
	int (*begin)(struct device *device);
	unsigned whom; /* of them, or 0 */
};
/* Each ended by a NULL name. */
extern const struct step device_start_steps[], device_recover_steps[], device_stop_steps[];
extern const unsigned device_adopt_step; /* of device_start_steps: what follows dispatching */
static inline bool device_undoing(const struct device *device)
{
	return device->walk == device_stop_steps;
}
/* In device_recover_steps, where the old adjunct is ended: the last step it may end in;
 * and where the adapter and the partition are waited for, as in the first start step. */
#define DEVICE_RECOVER_END_STEP 1
#define DEVICE_RECOVER_WAIT_STEP 3
void device_close_fds(struct device *device);
/* Goes on with the walk from where it stands. */
void device_walk(struct device *device);
void device_step_done(struct device *device, const char *problem);
void device_running(struct device *device);
/* Starts undoing now, or as soon as the answer that is under way has come. */
void device_turn_back(struct device *device);
void device_on_adjunct_exit(void *data, const char *how);
/* What device_stop_steps waits for there: no adjunct is left. */
#define DEVICE_STOP_END_STEP 4
/* Asks for the adjunct's events; -errno. */
int device_watch(struct device *device);
void device_on_adjunct_event(void *data, const char *problem, struct varlink_answer *answer);

/* ---- client.c: devices that a global adjunct serves (000, FIG. 4B, 8 and 9) ---------- */

/* Steps of a client: waits for that device; attaches, with its program's window if it has
 * one; waits until an answer to its program is not under way; detaches. */
int client_wait(struct device *device);
int client_attach(struct device *device);
int client_settle(struct device *device);
int client_detach(struct device *device);
/* After a restart of the shim; as device_adopt(). */
void client_adopt(struct device *device, bool sound);
void clients_each(struct device *device, void (*function)(struct device *client, const void *data),
		  const void *data);
/* What the clients of a device hear of it: it came to rest; its adjunct is replaced; it is
 * taken down or made anew; its link. And one of them, by its label, of itself. */
void clients_poke(struct device *device);
void clients_recover(struct device *device);
void clients_lost(struct device *device);
void clients_link(struct device *device, const char *event);
void client_event(struct device *device, const char *label, const char *event,
		  const char *message);

/* ---- function.c ---------------------------------------------------------------- */

/* Steps: the adapter sets the device's function up for it; a partition that drives its
 * function itself gets it into its namespace; the function goes back, clean. */
int function_assign(struct device *device);
int function_hand_over(struct device *device);
int function_return(struct device *device);

/* ---- region.c ------------------------------------------------------------------ */

void region_list_set(struct partition *partition, const struct doc_region *regions, size_t count);
struct region *region_find(struct partition *partition, const char *name);
/* Makes every region of a partition that starts; `done` from the loop, or at once. */
void region_make_all(struct partition *partition, void (*done)(struct partition *partition,
								 const char *problem));
/* Steps: takes the device's region from the partition (000, FIG. 7, step 750); gives it back. */
int region_revoke(struct device *device);
int region_return(struct device *device);
/* After a restart of the shim: what the device was given, it still has. */
void region_adopt(struct device *device);
/* org.outrigger.Partition.OpenRegion */
void region_open(struct partition *partition, struct varlink_call *call, const char *name);

/* ---- recover.c --------------------------------------------------------------- */

/* The adjunct is gone, or its device was: a new one takes over, or the device fails. */
__attribute__((format(printf, 2, 3)))
void device_recover(struct device *device, const char *format, ...);
/* org.outrigger.Shim.RestartAdjunct: the same, quiesced first. Answers `call`. */
void device_restart_adjunct(struct device *device, struct varlink_call *call);
/* Another adjunct takes over, on the processor that `spec` says. */
void device_change_cpu(struct device *device, const struct doc_device *spec);
/* The device came to rest: tells who asked for the restart. */
void device_restart_answer(struct device *device, const char *problem);
/* The first adjunct after a restart of the shim, where the earlier one's is of no use; or
 * the next one of a client, for whose partition nobody else tells that there will be one. */
void device_recover_adopted(struct device *device);
/* None of the adjunct's threads runs any more (peer_death_fn). */
void device_on_adjunct_death(void *data);
/* It is over: event `adjunct-restarted`. */
void device_restarted(struct device *device);
/* A step of the recovery went wrong. */
void device_recover_failed(struct device *device, const char *problem);
void device_recover_end(struct device *device); /* frees what recovery holds */
/* Steps that only recovery takes. */
int device_wait_before_retry(struct device *device);

/* ---- respawn.c ---------------------------------------------------------------- */

/* It ended unasked: `again` runs in a moment. False: too often in a row, or no memory. */
bool respawn_later(struct respawn *respawn, sd_event *event, sd_event_time_handler_t again,
		   void *data);
void respawn_serves(struct respawn *respawn);
/* Nothing is pending, and earlier ends do not count any more. */
void respawn_forget(struct respawn *respawn);

/* ---- heartbeat.c -------------------------------------------------------------- */

/* Its program says that the adjunct has not handed back the processor for so long, and
 * should have: ends it, if it was there all that time. */
void device_overdue(struct device *device, uint64_t waited_ns);
/* Watches every process that runs for as long as the loop does. */
int heartbeat_start(struct shim *shim);

/* ---- standby.c --------------------------------------------------------------- */

/* Starts one, if the device has none: a standby, or, soon, a spare. */
void standby_start(struct device *device);
/* The same, once an adjunct that has just taken over has caught up. */
void standby_start_later(struct device *device);
void standby_end(struct device *device);
/* One that needs no memory donated waits. */
bool standby_has_memory(const struct device *device);
/* It becomes the device's adjunct: true; false: none is ready. */
bool standby_promote(struct device *device);
/* Once it serves: removes what its predecessor left. */
void standby_promoted(struct device *device);
/* What a native device's standby hears of the program, ahead of its turn: `fds` are what
 * AttachPort takes, and stay the caller's. */
void standby_attach(struct device *device, const int *fds, unsigned fd_count);
void standby_detach(struct device *device);
/* Of the adjunct's control socket; `slot` 0 or 1. */
#define SLOT_SUFFIX ".1"
int device_socket_path(const struct device *device, unsigned slot, char out[SHIM_PATH_BYTES]);
/* Donated memory, made and sealed; a descriptor, or -errno with device->message set. */
int device_donate(struct device *device);
bool device_has_huge_pages(void); /* donated memory would be made of them */
int device_executable(struct device *device, char *out, size_t out_bytes);
/* A process of its image, isolated and charged to its partition. -errno */
int device_spawn(struct device *device, const char *executable, const char *socket_path,
		 peer_exit_fn on_exit, struct peer **out);

/* ---- device_vhost.c --------------------------------------------------------------- */

/* Steps, as in struct step: makes the guest's session, or takes it up from the
 * keeper; tells it to the adjunct. Nothing to do for other kinds of devices. */
int device_vhost_open(struct device *device);
/* That step waits, and for the keeper, not for the adjunct. */
bool device_vhost_opening(const struct device *device);
void device_vhost_keeper_lost(struct device *device); /* it will not answer */
int device_vhost_connect(struct device *device);
/* The adjunct is to go, or (`ended`) its process has; the guest stays. */
void device_vhost_detach(struct device *device, bool ended);
/* `ended`: the guest's connection ends, too; else the keeper keeps it. */
void device_vhost_close(struct device *device, bool ended);
/* Gives the guest's socket to the partition's owner. 0 or -errno. */
int device_vhost_own(const struct device *device);
/* The adjunct's own vhost-user socket, which only the shim connects to; `slot` 0 or 1. */
int device_vhost_path(const struct device *device, unsigned slot, char path[SHIM_PATH_BYTES]);

/* ---- attachment.c ------------------------------------------------------------- */

/*
 * A program's hold on a native device: its window and doorbells, given to the
 * adjunct, and the program's process, whose end ends the attachment.
 */
struct attachment;
/* Answers `call` (org.outrigger.Partition.OpenNet). */
void attachment_open(struct device *device, struct varlink_call *call);
void attachment_close(struct attachment *attachment); /* NULL is fine */
/* The connection it was opened by has gone. */
void attachment_connection_closed(struct shim *shim, const struct varlink_conn *conn);
/* After a restart of the shim: watches the program again. */
int attachment_adopt(struct device *device, struct peer_identity identity);
/* The same, where there is no program: its window may have been made, but never answered for. */
void attachment_revoke(struct device *device);
/* The name under which the keeper holds its window and doorbells. */
void attachment_store_name(const struct device *device, char out[DEVICE_LABEL_BYTES]);
struct peer_identity attachment_identity(const struct attachment *attachment);
/* It is the process' at the other end of `conn`; and an earlier shim made it. */
bool attachment_is_peers(const struct attachment *attachment, const struct varlink_conn *conn);
bool attachment_is_left(const struct attachment *attachment, const struct varlink_conn *conn);
void attachment_resume(struct attachment *attachment, const struct varlink_conn *conn);
/* The connection that opened it; NULL after a restart of the shim. */
const struct varlink_conn *attachment_conn(const struct attachment *attachment);

/* ---- apply.c ------------------------------------------------------------------ */

/* The object a change was about has come to rest; `problem` is NULL if well. */
void change_settle(struct change **change, const char *problem);

/* ---- state.c ------------------------------------------------------------------- */

void state_changed(struct shim *shim); /* saves before the loop sleeps */
int state_save(struct shim *shim);
/* Takes up everything the saved state names. -errno only if it cannot be read. */
int state_load(struct shim *shim);
/* Ends the shim if something is there but cannot be taken up now: better than to lose it. */
void state_check_adopted(const char *what, const char *name, int error);
/* The process saved as "kind:name"; pid 0: none. `processes` may be NULL. */
struct peer_identity state_process(json_t *processes, const char *kind, const char *name);

/* ---- orphans.c ----------------------------------------------------------------- */

/* Ends what listens at our paths and is not in the saved `processes`. */
void orphans_end(const struct shim *shim, json_t *processes);

/* ---- memory.c ------------------------------------------------------------------------ */

void memory_begin(void); /* before anything else of the program's */
__attribute__((noreturn)) void memory_end(void);

/* ---- log_buffer.c ---------------------------------------------------------------- */

struct log_buffer *log_buffer_new(void);
void log_buffer_free(struct log_buffer *log);
/* org.outrigger.Shim.GetLog */
void log_buffer_serve(struct log_buffer *log, struct varlink_call *call, json_t *parameters);

/* ---- stats.c ---------------------------------------------------------------------- */

/* org.outrigger.Shim.GetStats */
void stats_serve(struct shim *shim, struct varlink_call *call, json_t *parameters);

/* ---- server.c --------------------------------------------------------------------- */

/*
 * Listens at `path` and serves `service` to peers that `allow` lets in; at most
 * SERVER_CONNECTIONS_MAX at once.
 */
#define SERVER_CONNECTIONS_MAX 64
int server_new(struct shim *shim, const char *path, const struct varlink_service *service,
	       bool (*allow)(void *data, uid_t uid), void *data, struct server **out);
void server_free(struct server *server);

/* ---- control.c, partition_socket.c --------------------------------------------------- */

int control_listen(struct shim *shim);
int partition_listen(struct partition *partition);
void partition_unlisten(struct partition *partition);
/* One answer to each of the partition's monitors. */
void partition_notify(struct partition *partition, const char *device, const char *event,
		      const char *message);

#endif
