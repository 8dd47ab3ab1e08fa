/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adapters: the process of an embedded one, or the device string of one that
 * DPDK finds; which device has which of its functions. Event-loop thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "shim.h"

struct adapter *adapter_new(struct shim *shim, const struct doc_adapter *spec)
{
	struct adapter *adapter = calloc(1, sizeof(*adapter));
	struct adapter **last = &shim->adapters;

	if (!adapter)
		return NULL;
	adapter->shim = shim;
	adapter->spec = *spec;
	while (*last)
		last = &(*last)->next;
	*last = adapter;
	return adapter;
}

void adapter_free(struct adapter *adapter)
{
	struct adapter **at = &adapter->shim->adapters;

	while (*at && *at != adapter)
		at = &(*at)->next;
	if (*at)
		*at = adapter->next;
	respawn_forget(&adapter->respawn);
	peer_free(adapter->peer);
	json_decref(adapter->vf_list);
	free(adapter);
}

void adapter_each_device(struct adapter *adapter, void (*function)(struct device *device))
{
	struct partition *partition, *next_partition;
	struct device *device, *next;

	for (partition = adapter->shim->partitions; partition; partition = next_partition) {
		next_partition = partition->next;
		for (device = partition->devices; device; device = next) {
			next = device->next;
			if (device->adapter == adapter)
				function(device);
		}
	}
}

bool adapter_claim(struct adapter *adapter, struct device *device)
{
	struct device **owner = &adapter->owners[device->spec.vf.index];

	if (!*owner)
		*owner = device;
	return *owner == device;
}

void adapter_release(struct adapter *adapter, struct device *device)
{
	if (adapter->owners[device->spec.vf.index] != device)
		return;
	adapter->owners[device->spec.vf.index] = NULL;
	adapter_faults_forget(adapter);
	adapter_each_device(adapter, device_poke);
}

/* The program behind an adapter of this kind; NULL: none is needed. */
static const struct adapter_process {
	const char *program;
	enum spawn_isolation isolation;
	bool carries_frames; /* so that its devices stand still without it */
} processes[] = {
	[DOC_ADAPTER_EMBEDDED] = {"outrigger-soft-adapter", SPAWN_ISOLATED, true},
	/* It works on the host's own devices and interfaces. */
	[DOC_ADAPTER_SRIOV] = {"outrigger-vf-adapter", SPAWN_PLAIN, false},
};

static const struct adapter_process *process_of(const struct adapter *adapter)
{
	const struct adapter_process *process = &processes[adapter->spec.kind];

	return process->program ? process : NULL;
}

static void fail_device(struct device *device)
{
	device_fail(device, "adapter %s %s", device->adapter->spec.name, device->adapter->message);
}

void adapter_wait_with(struct device *device)
{
	char why[SHIM_MESSAGE_BYTES];

	snprintf(why, sizeof(why), "adapter %s: %.300s", device->adapter->spec.name,
		 device->adapter->message);
	/* A partition's own function is a new one when it comes back. */
	device_ground_lost(device, !device->spec.adjunct.none, why);
}

bool adapter_is_ready(const struct device *device)
{
	const struct adapter *adapter = device->adapter;
	int64_t vf = device->spec.vf.index; /* -1: another device's, which it has not met yet */

	return adapter->state == STATE_RUNNING && !adapter->restarting &&
	       !(vf >= 0 && adapter->vf_gone[vf]) &&
	       (!process_of(adapter) || (adapter->peer && !peer_has_ended(adapter->peer)));
}

static void adapter_start_process(struct adapter *adapter);

static int on_start_again(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	adapter_start_process(data);
	return 0;
}

/*
 * It ended after it had served: it is started anew, and its devices wait for it
 * (their functions' settings are then set again). One that the document's change
 * waits for, that never served or that keeps ending has failed.
 */
static bool adapter_comes_back(struct adapter *adapter, const char *problem)
{
	bool served = adapter->respawn.deaths || adapter->respawn.serves_since_ns;

	if (adapter->deleting || adapter->restarting || !served ||
	    !respawn_later(&adapter->respawn, adapter->shim->event, on_start_again, adapter))
		return false;
	adapter->state = STATE_STARTING;
	snprintf(adapter->message, sizeof(adapter->message), "%s", problem);
	log_error("adapter %s: %s; it is started anew", adapter->spec.name, problem);
	state_changed(adapter->shim);
	if (process_of(adapter)->carries_frames)
		adapter_each_device(adapter, adapter_wait_with);
	return true;
}

static void adapter_rest(struct adapter *adapter, const char *problem)
{
	if (problem && adapter_comes_back(adapter, problem))
		return;
	if (!problem)
		respawn_serves(&adapter->respawn);
	adapter->state = problem ? STATE_FAILED : STATE_RUNNING;
	if (problem) {
		snprintf(adapter->message, sizeof(adapter->message),
			 "%.300s%s; apply the document again to restart it", problem,
			 adapter->respawn.deaths > RESPAWN_DEATHS_MAX ? ", too often in a row" : "");
		log_error("adapter %s: %s", adapter->spec.name, adapter->message);
	} else {
		adapter->message[0] = '\0';
		log_info("adapter %s: running", adapter->spec.name);
	}
	state_changed(adapter->shim);
	change_settle(&adapter->change, problem);
	adapter_each_device(adapter, problem ? fail_device : device_poke);
}

static int vf_directory(const struct adapter *adapter, char out[SHIM_PATH_BYTES])
{
	return shim_path(adapter->shim, "adapter", adapter->spec.name, ".vf", out);
}

void adapter_remove_files(const struct shim *shim, const char *name, int64_t vfs)
{
	/* The first two are the EAL's, of a process that was killed before it had started. */
	static const char *const folders[] = {"/dpdk/rte", "/dpdk", ""};
	char directory[SHIM_PATH_BYTES], path[SHIM_PATH_BYTES + 32];

	if (!shim_path(shim, "adapter", name, ".sock", path))
		unlink(path);
	if (shim_path(shim, "adapter", name, ".vf", directory))
		return;
	for (int64_t vf = 0; vf < vfs; vf++) {
		snprintf(path, sizeof(path), "%s/vf%lld", directory, (long long)vf);
		unlink(path);
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, folders[i]);
		if (rmdir(path) && errno != ENOENT)
			log_warning("%s cannot be removed: %m", path);
	}
}

static void adapter_gone(struct adapter *adapter)
{
	if (process_of(adapter))
		adapter_remove_files(adapter->shim, adapter->spec.name, adapter->spec.vfs);
	log_info("adapter %s: gone", adapter->spec.name);
	state_changed(adapter->shim);
	if (adapter->restarting) {
		adapter->restarting = false;
		adapter->spec = adapter->next_spec;
		adapter_start(adapter);
		return;
	}
	change_settle(&adapter->change, NULL);
	adapter_free(adapter);
}

static void on_exit_of_adapter(void *data, const char *how)
{
	struct adapter *adapter = data;
	char problem[SHIM_MESSAGE_BYTES];

	peer_free(adapter->peer);
	adapter->peer = NULL;
	if (adapter->state == STATE_STOPPING) {
		adapter_gone(adapter);
		return;
	}
	if (adapter->replacing) {
		adapter_start_process(adapter);
		return;
	}
	if (adapter->state == STATE_FAILED || adapter->respawn.timer)
		return; /* it was known to fail before it ended */
	snprintf(problem, sizeof(problem), "its process %s", how);
	adapter_rest(adapter, problem);
}

static void copy_text(json_t *object, const char *key, char *out, size_t out_bytes)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(out, out_bytes, "%s", text ? text : "");
}

/* Where a real adapter's functions are; the embedded adapter has none of these. */
static void take_functions(struct adapter *adapter, json_t *list)
{
	json_t *function;
	size_t i;

	json_array_foreach(list, i, function) {
		if (i >= DOC_VFS_MAX)
			break;
		copy_text(function, "address", adapter->functions[i].address,
			  sizeof(adapter->functions[i].address));
		adapter->functions[i].group =
			(int)json_integer_value(json_object_get(function, "group"));
	}
}

static void on_info(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	if (!problem) {
		json_t *info = answer->parameters;

		copy_text(info, "model", adapter->model, sizeof(adapter->model));
		copy_text(info, "serial", adapter->serial, sizeof(adapter->serial));
		copy_text(info, "firmware_version", adapter->firmware_version,
			  sizeof(adapter->firmware_version));
		const char *link = json_string_value(json_object_get(info, "link"));
		adapter->link_up = link && !strcmp(link, "up");
		if (json_integer_value(json_object_get(info, "vfs")) != adapter->spec.vfs)
			problem = "has another number of functions than the document says";
		take_functions(adapter, json_object_get(info, "functions"));
	}
	if (!problem && adapter->unwatched) {
		int error = adapter_watch(adapter);

		if (adapter->adopting && adapter->state == STATE_STARTING)
			state_check_adopted("the events of adapter", adapter->spec.name, error);
		if (error)
			problem = "does not let its events be watched";
	}
	if (adapter->state != STATE_STARTING || adapter->replacing)
		return;
	if (problem && adapter->peer)
		peer_kill(adapter->peer);
	if (problem && adapter->adopting) {
		/* It was dying when we took it up. Its adjuncts notice, and are replaced. */
		log_warning("adapter %s: cannot be adopted: %s", adapter->spec.name, problem);
		adapter_start(adapter);
		return;
	}
	if (!problem && adapter->card_gone)
		adapter_tell_back(adapter);
	adapter->card_gone = adapter->card_gone && problem;
	adapter_rest(adapter, problem);
}

static void on_started(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	(void)answer;
	if (adapter->state != STATE_STARTING || adapter->replacing)
		return;
	if (problem) {
		if (adapter->peer)
			peer_kill(adapter->peer);
		adapter_rest(adapter, problem);
		return;
	}
	peer_call(adapter->peer, "org.outrigger.Adapter.GetInfo", NULL, NULL, 0, SHIM_CALL_MS, on_info,
		  adapter);
}

/* An embedded adapter's sockets, or the records of who has which of this machine's VFs. */
static int start_directory(const struct adapter *adapter, char out[SHIM_PATH_BYTES])
{
	if (adapter->spec.kind == DOC_ADAPTER_SRIOV)
		return shim_path(adapter->shim, NULL, "vf", "", out);
	int error = vf_directory(adapter, out);
	if (!error && mkdir(out, 0700) && errno != EEXIST)
		error = -errno;
	return error;
}

void adapter_call_start(struct adapter *adapter)
{
	const struct doc_adapter *spec = &adapter->spec;
	char directory[SHIM_PATH_BYTES], problem[SHIM_MESSAGE_BYTES];
	int error = start_directory(adapter, directory);

	if (error) {
		snprintf(problem, sizeof(problem), "its folder: %s", strerror(-error));
		peer_kill(adapter->peer);
		adapter_rest(adapter, problem);
		return;
	}
	json_t *parameters = json_pack("{s:s,s:s,s:I}", "name", spec->name, "directory", directory,
				       "vfs", (json_int_t)spec->vfs);
	if (spec->kind == DOC_ADAPTER_SRIOV) {
		json_object_set_new(parameters, "device", json_string(spec->device));
		json_object_set_new(parameters, "any_link", json_boolean(spec->any_link));
	}
	peer_call(adapter->peer, "org.outrigger.Adapter.Start", parameters, NULL, 0,
		  adapter->shim->start_ms, on_started, adapter);
}

static int spawn_process(struct adapter *adapter, const struct adapter_process *process)
{
	char executable[sizeof(adapter->shim->libexec_dir) + 64], socket_path[SHIM_PATH_BYTES];
	int error = shim_path(adapter->shim, "adapter", adapter->spec.name, ".sock", socket_path);

	if (error)
		return error;
	snprintf(executable, sizeof(executable), "%s/%s", adapter->shim->libexec_dir,
		 process->program);
	error = peer_spawn(adapter->shim->event,
			   &(struct program){.executable = executable, .name = adapter->spec.name,
					     .isolation = process->isolation},
			   socket_path, on_exit_of_adapter, adapter, &adapter->peer);
	if (error)
		return error;
	state_changed(adapter->shim); /* a shim that dies now must find it again */
	adapter_call_start(adapter);
	return 0;
}

void adapter_start(struct adapter *adapter)
{
	respawn_forget(&adapter->respawn);
	adapter_start_process(adapter);
}

static void adapter_start_process(struct adapter *adapter)
{
	char problem[SHIM_MESSAGE_BYTES];

	adapter->respawn.timer = sd_event_source_disable_unref(adapter->respawn.timer);
	adapter->state = STATE_STARTING;
	adapter->adopting = false;
	/* One that failed and is still ending has the socket's path. */
	adapter->replacing = adapter->peer != NULL;
	if (adapter->replacing) {
		peer_kill(adapter->peer);
		return;
	}
	adapter->heartbeat_pending = adapter->stats_pending = false; /* went with it */
	adapter->heartbeats_missed = 0;
	adapter->link_up = true;
	adapter->unwatched = true;
	adapter->card_gone = false;
	memset(adapter->vf_gone, 0, sizeof(adapter->vf_gone));
	log_info("adapter %s: starting (%s, %lld functions)", adapter->spec.name,
		 doc_adapter_kinds[adapter->spec.kind], (long long)adapter->spec.vfs);
	const struct adapter_process *process = process_of(adapter);
	if (!process) {
		snprintf(adapter->model, sizeof(adapter->model), "%.60s", adapter->spec.device);
		adapter_faults_watch(adapter);
		adapter_rest(adapter, NULL);
		return;
	}
	int error = spawn_process(adapter, process);
	if (error) {
		snprintf(problem, sizeof(problem), "its process cannot be started: %s",
			 strerror(-error));
		adapter_rest(adapter, problem);
	}
}

bool adapter_adopt(struct adapter *adapter, struct peer_identity identity)
{
	char socket_path[SHIM_PATH_BYTES];

	int error = -ESRCH;

	if (process_of(adapter) && identity.pid > 0 &&
	    !shim_path(adapter->shim, "adapter", adapter->spec.name, ".sock", socket_path))
		error = peer_adopt(adapter->shim->event, identity, socket_path, on_exit_of_adapter,
				   adapter, &adapter->peer);
	state_check_adopted("adapter", adapter->spec.name, error);
	if (error) {
		adapter_start(adapter);
		return !process_of(adapter) || !process_of(adapter)->carries_frames;
	}
	adapter->state = STATE_STARTING;
	adapter->unwatched = true;
	adapter->adopting = true;
	log_info("adapter %s: adopting process %d", adapter->spec.name, identity.pid);
	peer_call(adapter->peer, "org.outrigger.Adapter.GetInfo", NULL, NULL, 0, SHIM_CALL_MS, on_info,
		  adapter);
	return true;
}

static void on_stopped(void *data, const char *problem, struct varlink_answer *answer)
{
	struct adapter *adapter = data;

	(void)answer;
	if (problem)
		log_warning("adapter %s: is not all as it was before: %s", adapter->spec.name, problem);
	if (adapter->peer)
		peer_kill(adapter->peer); /* on_exit_of_adapter() follows in either case */
}

/* A client refers to the adapter of whom serves it, even if that one is gone. */
static bool has_client(const struct adapter *adapter)
{
	for (const struct partition *p = adapter->shim->partitions; p; p = p->next)
		for (const struct device *d = p->devices; d; d = d->next)
			if (d->adapter == adapter && doc_is_client(&d->spec))
				return true;
	return false;
}

void adapter_check(struct adapter *adapter)
{
	if ((!adapter->deleting && !adapter->restarting) || adapter->state == STATE_STOPPING)
		return;
	for (int64_t i = 0; i < adapter->spec.vfs; i++)
		if (adapter->owners[i] && device_is_active(adapter->owners[i]))
			return;
	if (adapter->deleting && has_client(adapter))
		return;
	adapter->state = STATE_STOPPING;
	if (adapter->peer && adapter->spec.kind == DOC_ADAPTER_SRIOV)
		/* The card becomes as it was. */
		peer_call(adapter->peer, "org.outrigger.Adapter.Stop", NULL, NULL, 0,
			  adapter->shim->start_ms, on_stopped, adapter);
	else if (adapter->peer)
		peer_kill(adapter->peer); /* it holds nothing that must be written down */
	else
		adapter_gone(adapter);
}

void adapter_stop(struct adapter *adapter)
{
	adapter_check(adapter);
}

int adapter_device_string(const struct adapter *adapter, const struct device *device, char *out,
			  size_t out_bytes)
{
	char directory[SHIM_PATH_BYTES], mac[DOC_MAC_TEXT_BYTES];
	int length;

	if (adapter->spec.kind == DOC_ADAPTER_DPDK) {
		length = snprintf(out, out_bytes, "%s", adapter->spec.device);
	} else if (adapter->spec.kind == DOC_ADAPTER_SRIOV) {
		length = snprintf(out, out_bytes, "%s", adapter->functions[device->spec.vf.index].address);
	} else if (adapter->spec.kind == DOC_ADAPTER_ECHO) {
		length = snprintf(out, out_bytes, "echo%lld", (long long)device->spec.vf.index);
	} else {
		int error = vf_directory(adapter, directory);
		if (error)
			return error;
		doc_mac_format(device->spec.mac, mac);
		length = snprintf(out, out_bytes, "net_virtio_user0,path=%s/vf%lld,mac=%s,queue_size=1024", directory,
				  (long long)device->spec.vf.index, mac);
	}
	return length < (int)out_bytes && length ? 0 : -ENAMETOOLONG;
}
