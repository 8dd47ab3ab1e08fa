/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a vhost-user device: its guest's session (vhost.h) is made once
 * or fetched from the partition's keeper, outlives adjuncts, and ends with the
 * device. The keeper has a copy of it at all times, for the shim's own restart.
 * Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "../shim.h"
#include "../vhost/vhost.h"

struct device_vhost {
	struct device *device;
	struct vhost_session *session;
	sd_event_source *save_source;
	bool saved;       /* the keeper has something */
	bool opening;     /* and is asked what */
	unsigned storing; /* calls to it that refer to us */
	bool closed;      /* freed with the last of them */
};

/* A message's settlement on its way. */
struct store_job {
	struct device_vhost *vhost;
	struct vhost_due due; /* serial 0: none */
};

static int socket_path(const struct device *device, const char *kind, const char *suffix,
		       char path[SHIM_PATH_BYTES])
{
	char label[DEVICE_LABEL_BYTES];

	device_label(device, label);
	return shim_path(device->partition->shim, kind, label, suffix, path);
}

int device_vhost_path(const struct device *device, unsigned slot, char path[SHIM_PATH_BYTES])
{
	return socket_path(device, "adjunct", slot ? SLOT_SUFFIX ".vhost" : ".vhost", path);
}

static json_t *keeper_parameters(const struct device *device)
{
	char name[DOC_NAME_BYTES + 8];

	snprintf(name, sizeof(name), "vhost:%s", device->spec.name);
	return json_pack("{s:s}", "name", name);
}

static void keeper_call(struct device *device, const char *method, peer_answer_fn callback,
			void *data)
{
	peer_call(device->partition->keeper, method, keeper_parameters(device), NULL, 0,
		  SHIM_CALL_MS, callback, data);
}

/* ---- The keeper's copy ------------------------------------------------------------ */

static void not_stored(const char *problem)
{
	log_warning("a vhost-user session cannot be kept for a restart of this program: %s",
		    problem);
}

static void vhost_put(struct device_vhost *vhost)
{
	if (vhost->closed && !vhost->storing)
		free(vhost);
}

static void on_stored(void *data, const char *problem, struct varlink_answer *answer)
{
	struct store_job job = *(struct store_job *)data;
	bool settled = answer && json_is_true(json_object_get(answer->parameters, "settled"));

	free(data);
	job.vhost->storing--;
	if (problem)
		not_stored(problem);
	if (!job.vhost->closed && job.due.serial) {
		const struct peer *keeper = job.vhost->device->partition->keeper;

		if (!answer)
			vhost_session_undecided(job.vhost->session, &job.due,
						!keeper || peer_has_ended(keeper));
		else
			vhost_session_done(job.vhost->session, &job.due,
					   problem   ? problem
					   : settled ? NULL
						     : "the keeper knows of no settlements");
	}
	vhost_put(job.vhost);
}

static void settlement_add(json_t *parameters, const struct vhost_due *due)
{
	char answer[2 * sizeof(due->answer) + 1] = "";

	for (unsigned i = 0; i < due->answer_bytes; i++)
		snprintf(answer + 2 * i, 3, "%02x", due->answer[i]);
	json_object_set_new(parameters, "settle",
			    json_pack("{s:i,s:I,s:s}", "fd", VHOST_SAVE_GUEST_FD, "skip_bytes",
				      (json_int_t)due->skip_bytes, "answer", answer));
}

/* The keeper stores the session, and settles the message that led to it. */
static void store(struct device_vhost *vhost, const int *fds, unsigned count)
{
	struct store_job *job = calloc(1, sizeof(*job));
	json_t *parameters = keeper_parameters(vhost->device);

	if (!job) {
		json_decref(parameters);
		not_stored("out of memory");
		return; /* what is due stays so, until the next change */
	}
	job->vhost = vhost;
	if (vhost_session_due(vhost->session, &job->due))
		settlement_add(parameters, &job->due);
	vhost->storing++;
	vhost->saved = true;
	peer_call(vhost->device->partition->keeper, "org.outrigger.Keeper.Store", parameters, fds,
		  count, SHIM_CALL_MS, on_stored, job);
}

/* Nobody can keep it now: what is due is done here. */
static void settle_alone(struct device_vhost *vhost, const char *problem)
{
	struct vhost_due due;

	if (vhost_session_due(vhost->session, &due))
		vhost_session_done(vhost->session, &due, problem);
}

static bool nothing_is_kept(const struct varlink_answer *answer)
{
	return answer && answer->error && !strcmp(answer->error, "org.outrigger.Keeper.NotFound");
}

/* No answer: the keeper has ended, and what it kept with it. */
static void on_removed(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)data;
	if (problem && answer && !nothing_is_kept(answer))
		log_warning("a vhost-user session stays with its keeper: %s", problem);
}

static int on_save(sd_event_source *source, void *data)
{
	struct device_vhost *vhost = data;
	struct device *device = vhost->device;
	int fds[VHOST_SAVE_FDS];

	(void)source;
	vhost->save_source = sd_event_source_disable_unref(vhost->save_source);
	if (!device->partition->keeper) {
		settle_alone(vhost, "there is no keeper");
		return 0;
	}
	int count = vhost_session_save(vhost->session, fds);
	if (count > 0) {
		store(vhost, fds, (unsigned)count);
		close(fds[0]);
	} else if (!count && vhost->saved) {
		keeper_call(device, "org.outrigger.Keeper.Remove", on_removed, NULL);
		vhost->saved = false;
	} else if (count && count != -EAGAIN) {
		not_stored(strerror(-count));
		settle_alone(vhost, strerror(-count));
	}
	return 0;
}

static void on_changed(void *data)
{
	struct device_vhost *vhost = data;

	if (!vhost->save_source && sd_event_add_defer(vhost->device->partition->shim->event,
						      &vhost->save_source, on_save, vhost) < 0)
		not_stored("out of memory");
}

/* ---- The session -------------------------------------------------------------------- */

static void on_ready(void *data, const char *problem)
{
	struct device_vhost *vhost = data;
	char text[SHIM_MESSAGE_BYTES];

	snprintf(text, sizeof(text), "its adjunct %s", problem ? problem : "");
	device_step_done(vhost->device, problem ? text : NULL);
}

static void on_lost(void *data, const char *how)
{
	device_recover(((struct device_vhost *)data)->device, "its adjunct %s", how);
}

static const struct vhost_session_ops session_ops = {on_ready, on_lost, on_changed};

static void on_fetched(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	int error;

	device->vhost->opening = false;
	if (!problem) {
		error = vhost_session_restore(device->vhost->session, answer->fds,
					      answer->fd_count);
		device->vhost->saved = true;
		if (error)
			log_warning(
				"device %s/%s: its guest's session cannot be taken up and is ended: "
				"%s",
				device->partition->name, device->spec.name, strerror(-error));
		on_changed(device->vhost); /* which removes what cannot be used */
	} else if (!nothing_is_kept(answer)) {
		log_warning("device %s/%s: its guest's session cannot be fetched: %s",
			    device->partition->name, device->spec.name, problem);
	}
	device_step_done(device, NULL);
}

int device_vhost_open(struct device *device)
{
	char label[DEVICE_LABEL_BYTES], path[SHIM_PATH_BYTES];
	struct device_vhost *vhost;

	if (device->spec.kind != ADJ_PORT_VHOST_USER) {
		if (device->vhost)
			device_vhost_close(device, true); /* it was one before */
		return 1;
	}
	if (device->vhost)
		return 1;
	if (!device->partition->keeper) {
		strcpy(device->message, "the partition's keeper has ended");
		return -ESRCH;
	}
	device_label(device, label);
	int error = socket_path(device, "vhost", ".sock", path);
	vhost = calloc(1, sizeof(*vhost));
	if (!error && !vhost)
		error = -ENOMEM;
	if (!error) {
		vhost->device = device;
		error = vhost_session_new(device->partition->shim->event, label, path, &session_ops,
					  vhost, &vhost->session);
	}
	if (error) {
		free(vhost);
		snprintf(device->message, sizeof(device->message), "no vhost-user session: %s",
			 strerror(-error));
		return error;
	}
	device->vhost = vhost;
	vhost->opening = true;
	keeper_call(device, "org.outrigger.Keeper.Fetch", on_fetched, device);
	return 0;
}

bool device_vhost_opening(const struct device *device)
{
	return device->vhost && device->vhost->opening;
}

void device_vhost_keeper_lost(struct device *device)
{
	if (device->vhost)
		device->vhost->opening = false;
}

int device_vhost_connect(struct device *device)
{
	char path[SHIM_PATH_BYTES];

	if (!device->vhost)
		return 1;
	int error = device_vhost_path(device, device->slot, path);
	if (!error)
		error = vhost_session_own(device->vhost->session, device->partition->uid);
	if (!error)
		error = vhost_session_back_end(device->vhost->session, path);
	if (error)
		snprintf(device->message, sizeof(device->message),
			 "its vhost-user socket cannot be served: %s", strerror(-error));
	return error;
}

int device_vhost_own(const struct device *device)
{
	return device->vhost ? vhost_session_own(device->vhost->session, device->partition->uid)
			     : 0;
}

void device_vhost_detach(struct device *device, bool ended)
{
	if (device->vhost && ended)
		vhost_session_back_end_gone(device->vhost->session);
	else if (device->vhost)
		vhost_session_back_end_leave(device->vhost->session);
}

void device_vhost_close(struct device *device, bool ended)
{
	struct device_vhost *vhost = device->vhost;
	char path[SHIM_PATH_BYTES];

	/* After a restart of the shim there may be what was never taken up. */
	if (ended && device->partition->keeper)
		keeper_call(device, "org.outrigger.Keeper.Remove", on_removed, NULL);
	if (ended && !socket_path(device, "vhost", ".sock", path))
		unlink(path);
	if (!vhost)
		return;
	device->vhost = NULL;
	vhost_session_free(vhost->session, ended);
	sd_event_source_disable_unref(vhost->save_source);
	vhost->closed = true;
	vhost_put(vhost);
}
