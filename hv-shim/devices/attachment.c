/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program's hold on a native device. Each opening gets a window of its own,
 * zeroed, made and sealed here (T05), two doorbells, and an in-flight record
 * (adj_inflight.h); the adjunct and the program get copies of the descriptors, but
 * the program none of the record; the shim keeps none. The hold ends
 * when the program closes the device, its connection, or its life; a shim that
 * restarts only knows the process, until that comes back with a connection.
 * Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "../events/events.h"
#include "log.h"
#include "net_layout.h"
#include "../shim.h"
#include "unix_socket.h"

#define PROGRAM_FDS (1 + NET_BELLS)        /* what the program gets */
#define ATTACHMENT_FDS (PROGRAM_FDS + 1) /* and the adjunct: the in-flight record as well */

struct attachment {
	struct device *device;
	struct peer_identity identity;
	const struct varlink_conn *conn; /* NULL once adopted */
	struct varlink_call *call;       /* until the adjunct has answered */
	sd_event_source *exit_source;    /* owns the pidfd */
	int fds[ATTACHMENT_FDS];         /* until then, too */
};

/* A program can come and go without end: not all of it is told. */
static void log_program(struct device *device, pid_t pid, bool opened)
{
	const char *partition = device->partition->name, *name = device->spec.name;

	if (log_limit_pass(&device->lines, name))
		log_info(opened ? "device %s/%s: opened by program %d"
				: "device %s/%s: program %d ended",
			 partition, name, pid);
}

static void on_detached(void *data, const char *problem, struct varlink_answer *answer)
{
	const struct device *device = data;

	(void)answer;
	if (problem)
		log_warning("device %s/%s: detaching its program: %s", device->partition->name,
			    device->spec.name, problem);
}

static void on_removed(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)data;
	(void)answer;
	if (problem)
		log_debug("a window need not be taken back: %s", problem);
}

static void close_descriptors(struct attachment *attachment)
{
	for (int i = 0; i < ATTACHMENT_FDS; i++)
		fd_close(&attachment->fds[i]);
}

void attachment_close(struct attachment *attachment)
{
	if (!attachment)
		return;
	struct device *device = attachment->device, *server = device_server(device);

	if (attachment->call)
		varlink_errorf(attachment->call, "org.outrigger.Partition.NotReady",
			       "device %s is being taken down", device->spec.name);
	/* A client may be gone before its global adjunct has answered. */
	if (server && server->adjunct && device->state == STATE_RUNNING &&
	    !device->partition->shim->closing)
		peer_call(server->adjunct, "org.outrigger.Adjunct.DetachPort",
			  client_parameters(device, json_object()), NULL, 0, SHIM_CALL_MS,
			  server == device ? on_detached : on_removed, device);
	if (device->partition->keeper && !device->partition->shim->closing) {
		char name[DEVICE_LABEL_BYTES];

		attachment_store_name(device, name);
		peer_call(device->partition->keeper, "org.outrigger.Keeper.Remove",
			  json_pack("{s:s}", "name", name), NULL, 0, SHIM_CALL_MS, on_removed, NULL);
	}
	/* The guest that took the device has it no more: its window is gone. */
	if (device->events && device->events->guest && !device->partition->shim->closing) {
		if (device_undoing(device))
			events_raise(device, "device-failed"); /* the last it hears */
		guest_drop_device(device->events);
		events_attach(device, NULL, NULL);
	}
	standby_detach(device);
	sd_event_source_disable_unref(attachment->exit_source);
	close_descriptors(attachment);
	free(attachment);
	device->attachment = NULL;
	state_changed(device->partition->shim);
}

static int on_program_exit(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct attachment *attachment = data;

	(void)source;
	(void)fd;
	(void)revents;
	log_program(attachment->device, attachment->identity.pid, false);
	attachment_close(attachment);
	return 0;
}

static int watch_program(struct attachment *attachment)
{
	int pidfd = pidfd_open(attachment->identity.pid, 0);

	if (pidfd < 0)
		return -errno;
	int error = sd_event_add_io(attachment->device->partition->shim->event,
				    &attachment->exit_source, pidfd, EPOLLIN, on_program_exit,
				    attachment);
	if (error < 0) {
		close(pidfd);
		return error;
	}
	sd_event_source_set_io_fd_own(attachment->exit_source, true);
	return peer_identity_of(&attachment->identity);
}

static int make_memory(const char *name, size_t bytes, int *out)
{
	*out = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*out < 0 || ftruncate(*out, (off_t)bytes) ||
	    fcntl(*out, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static int make_window(struct attachment *attachment, uint32_t ring_entries)
{
	struct net_layout layout;
	int error = net_layout_compute(ring_entries, &layout);

	if (!error)
		error = make_memory("outrigger:window", layout.size_bytes, &attachment->fds[0]);
	if (!error)
		error = make_memory("outrigger:inflight", ADJ_INFLIGHT_BYTES,
				    &attachment->fds[PROGRAM_FDS]);
	if (error)
		return error;
	for (int bell = 0; bell < NET_BELLS; bell++) {
		attachment->fds[1 + bell] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (attachment->fds[1 + bell] < 0)
			return -errno;
	}
	return 0;
}

void attachment_store_name(const struct device *device, char out[DEVICE_LABEL_BYTES])
{
	snprintf(out, DEVICE_LABEL_BYTES, "%s.window", device->spec.name);
}

static void on_attached(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	struct attachment *attachment = device->attachment;
	char mac[DOC_MAC_TEXT_BYTES];

	(void)answer;
	device->attaching = false;
	if (doc_is_client(&device->spec) && device_undoing(device)) {
		device_step_done(device, NULL); /* client_settle() waits for it */
		return;
	}
	if (!attachment || !attachment->call)
		return; /* the program has gone meanwhile; DetachPort follows */
	struct varlink_call *call = attachment->call;

	attachment->call = NULL;
	if (problem) {
		varlink_errorf(call, "org.outrigger.Partition.NotReady", "device %s: its adjunct %s",
			       device->spec.name, problem);
		attachment_close(attachment);
		return;
	}
	doc_mac_format(device->spec.mac, mac);
	log_program(device, attachment->identity.pid, true);
	/* Before the program has its window: a shim that restarts must know who has it. */
	state_save(device->partition->shim);
	varlink_reply_fds(call,
			  json_pack("{s:s,s:I,s:I,s:i}", "mac", mac, "mtu",
				    (json_int_t)device->spec.mtu, "ring_entries",
				    (json_int_t)device->spec.ring_entries, "layout_version",
				    NET_LAYOUT_VERSION),
			  attachment->fds, PROGRAM_FDS);
	standby_attach(device, attachment->fds, ATTACHMENT_FDS);
	close_descriptors(attachment);
}

static void on_stored(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data, *server = device_server(device);
	struct attachment *attachment = device->attachment;

	if (problem || !attachment || !attachment->call || !server || !server->adjunct) {
		on_attached(device, problem ? problem : "went away", answer);
		return;
	}
	peer_call(server->adjunct, "org.outrigger.Adjunct.AttachPort",
		  client_parameters(device, json_pack("{s:I}", "ring_entries",
						      (json_int_t)device->spec.ring_entries)),
		  attachment->fds, ATTACHMENT_FDS, SHIM_CALL_MS, on_attached, device);
}

static void on_cancelled(void *data)
{
	struct attachment *attachment = data;

	attachment->call = NULL;
	attachment_close(attachment);
}

void attachment_open(struct device *device, struct varlink_call *call)
{
	struct attachment *attachment = calloc(1, sizeof(*attachment));
	char name[DEVICE_LABEL_BYTES];
	uid_t uid;
	int error = -ENOMEM;

	if (!attachment)
		goto fail;
	*attachment = (struct attachment){.device = device, .conn = varlink_call_conn(call)};
	for (int i = 0; i < ATTACHMENT_FDS; i++)
		attachment->fds[i] = -1;
	error = varlink_conn_peer(attachment->conn, &attachment->identity.pid, &uid);
	if (!error)
		error = watch_program(attachment);
	if (!error)
		error = make_window(attachment, (uint32_t)device->spec.ring_entries);
	/* Who lends its adjunct a processor shares one with it; elsewhere a program stays where
	 * its user put it, unless there is a share to keep. */
	if (!error && (device->partition->cpus_milli || device->spec.adjunct.cpu == DOC_CPU_DONATED))
		partition_join_peer(device->partition, attachment->conn);
	if (error)
		goto fail;
	attachment->call = call;
	device->attachment = attachment;
	device->attaching = true;
	varlink_call_on_cancel(call, on_cancelled, attachment);
	/* The keeper first: from then on another adjunct could take over. */
	attachment_store_name(device, name);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Store",
		  json_pack("{s:s}", "name", name), attachment->fds, ATTACHMENT_FDS, SHIM_CALL_MS,
		  on_stored, device);
	return;
fail:
	varlink_errorf(call, "org.outrigger.Partition.NotReady", "device %s cannot be opened: %s",
		       device->spec.name, strerror(-error));
	if (attachment) {
		sd_event_source_disable_unref(attachment->exit_source);
		close_descriptors(attachment);
		free(attachment);
	}
}

void attachment_connection_closed(struct shim *shim, const struct varlink_conn *conn)
{
	for (struct partition *partition = shim->partitions; partition; partition = partition->next)
		for (struct device *device = partition->devices; device; device = device->next)
			if (device->attachment && device->attachment->conn == conn)
				attachment_close(device->attachment);
}

void attachment_revoke(struct device *device)
{
	char name[DEVICE_LABEL_BYTES];

	if (device->spec.kind != ADJ_PORT_NATIVE)
		return;
	attachment_store_name(device, name);
	/* To a client without a program its global adjunct is told of none when it attaches. */
	if (device->adjunct)
		peer_call(device->adjunct, "org.outrigger.Adjunct.DetachPort", NULL, NULL, 0,
			  SHIM_CALL_MS, on_removed, NULL);
	if (device->partition->keeper)
		peer_call(device->partition->keeper, "org.outrigger.Keeper.Remove",
			  json_pack("{s:s}", "name", name), NULL, 0, SHIM_CALL_MS, on_removed, NULL);
}

int attachment_adopt(struct device *device, struct peer_identity identity)
{
	struct attachment *attachment = calloc(1, sizeof(*attachment));

	if (!attachment)
		return -ENOMEM;
	*attachment = (struct attachment){.device = device, .identity = identity};
	for (int i = 0; i < ATTACHMENT_FDS; i++)
		attachment->fds[i] = -1;
	int error = watch_program(attachment);
	if (!error && attachment->identity.start_time != identity.start_time)
		error = -ESRCH;
	if (error) {
		sd_event_source_disable_unref(attachment->exit_source);
		free(attachment);
		return error;
	}
	device->attachment = attachment;
	return 0;
}

bool attachment_is_left(const struct attachment *attachment, const struct varlink_conn *conn)
{
	return attachment && !attachment->conn && attachment_is_peers(attachment, conn);
}

bool attachment_is_peers(const struct attachment *attachment, const struct varlink_conn *conn)
{
	struct peer_identity peer;
	uid_t uid;

	return attachment && !varlink_conn_peer(conn, &peer.pid, &uid) &&
	       peer.pid == attachment->identity.pid && !peer_identity_of(&peer) &&
	       peer.start_time == attachment->identity.start_time;
}

void attachment_resume(struct attachment *attachment, const struct varlink_conn *conn)
{
	attachment->conn = conn;
}

struct peer_identity attachment_identity(const struct attachment *attachment)
{
	return attachment->identity;
}

const struct varlink_conn *attachment_conn(const struct attachment *attachment)
{
	return attachment->conn;
}
