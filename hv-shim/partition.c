/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partitions: a keeper process that holds what outlives the shim, a socket for
 * the partition's programs, and a list of devices. Event-loop thread.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "processes/cgroup.h"
#include "events/events.h"
#include "log.h"
#include "shim.h"

#define RETRY_US 2000

struct partition *partition_new(struct shim *shim, const char *name, const char *owner)
{
	struct partition *partition = calloc(1, sizeof(*partition));
	struct partition **last = &shim->partitions;

	if (!partition)
		return NULL;
	partition->shim = shim;
	snprintf(partition->name, sizeof(partition->name), "%s", name);
	snprintf(partition->owner, sizeof(partition->owner), "%s", owner);
	while (*last)
		last = &(*last)->next;
	*last = partition;
	return partition;
}

void partition_free(struct partition *partition)
{
	struct partition **at = &partition->shim->partitions;

	while (*at && *at != partition)
		at = &(*at)->next;
	if (*at)
		*at = partition->next;
	while (partition->devices)
		device_free(partition->devices);
	events_partition_gone(partition);
	partition_unlisten(partition);
	respawn_forget(&partition->respawn);
	peer_free(partition->keeper);
	free(partition);
}

bool partition_is_ready(const struct partition *partition)
{
	return partition->state == STATE_RUNNING && partition->keeper &&
	       !peer_has_ended(partition->keeper);
}

static void partition_start_keeper(struct partition *partition);

static int on_start_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct partition *partition = data;

	(void)usec;
	if (partition->keeper) { /* killed: first everyone who asked it something hears of that */
		int error = sd_event_source_set_time_relative(source, RETRY_US);
		return error < 0 ? error : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	partition_start_keeper(partition);
	return 0;
}

/*
 * The keeper ended after it had served, and what only it held went with it: the
 * namespace (but for programs in it, which are cut off), regions, copies. All
 * devices are made anew, once there is a keeper again; a guest's vhost-user
 * connection, which is ours, lives on. False: it keeps ending, or never served.
 */
static bool partition_comes_back(struct partition *partition, const char *problem)
{
	struct respawn *respawn = &partition->respawn;

	if (partition->deleting || !(respawn->deaths || respawn->serves_since_ns) ||
	    !respawn_later(respawn, partition->shim->event, on_start_again, partition))
		return false;
	partition->state = STATE_STARTING;
	snprintf(partition->message, sizeof(partition->message), "%s", problem);
	log_error("partition %s: %s; it is made anew", partition->name, problem);
	state_changed(partition->shim);
	for (struct device *d = partition->devices, *next; d; d = next) {
		next = d->next;
		device_ground_lost(d, false, problem);
	}
	return true;
}

static void partition_rest(struct partition *partition, const char *problem)
{
	if (problem && partition_comes_back(partition, problem))
		return;
	if (!problem)
		respawn_serves(&partition->respawn);
	partition->state = problem ? STATE_FAILED : STATE_RUNNING;
	if (problem) {
		snprintf(partition->message, sizeof(partition->message),
			 "%.300s%s; apply the document again to make it anew", problem,
			 partition->respawn.deaths > RESPAWN_DEATHS_MAX ? ", too often in a row" : "");
		log_error("partition %s: %s", partition->name, partition->message);
	} else {
		partition->message[0] = '\0';
		log_info("partition %s: running", partition->name);
	}
	state_changed(partition->shim);
	change_settle(&partition->change, problem);
	for (struct device *device = partition->devices, *next; device; device = next) {
		next = device->next;
		if (problem)
			device_fail(device, "partition %s: %s", partition->name, partition->message);
		else
			device_poke(device);
	}
}

static void partition_gone(struct partition *partition)
{
	char path[SHIM_PATH_BYTES];

	if (!shim_path(partition->shim, "keeper", partition->name, ".sock", path))
		unlink(path);
	cgroup_remove(partition->shim->event, partition->name);
	log_info("partition %s: gone", partition->name);
	state_changed(partition->shim);
	change_settle(&partition->change, NULL);
	partition_free(partition);
}

static void on_keeper_exit(void *data, const char *how)
{
	struct partition *partition = data;
	char problem[SHIM_MESSAGE_BYTES];

	peer_free(partition->keeper);
	partition->keeper = NULL;
	if (partition->state == STATE_STOPPING) {
		partition_gone(partition);
		return;
	}
	if (partition->replacing) {
		partition_start_keeper(partition);
		return;
	}
	if (partition->state == STATE_FAILED || partition->respawn.timer)
		return; /* it was known to fail before it ended */
	snprintf(problem, sizeof(problem), "its keeper %s, and its namespace went with it", how);
	partition_rest(partition, problem);
}

static void on_keeper_answer(void *data, const char *problem, struct varlink_answer *answer)
{
	struct partition *partition = data;

	(void)answer;
	if (partition->state != STATE_STARTING || partition->replacing)
		return;
	if (problem && partition->keeper)
		peer_kill(partition->keeper);
	if (problem && partition->adopting) {
		/* It was dying when we took it up, and what it held went with it. */
		log_warning("partition %s: its keeper cannot be adopted: %s", partition->name, problem);
		partition_start(partition);
		for (struct device *d = partition->devices, *next; d; d = next) {
			next = d->next;
			device_keeper_lost(d);
		}
		return;
	}
	if (!problem && !partition->adopting)
		region_make_all(partition, partition_rest);
	else
		partition_rest(partition, problem);
}

/* The keeper is there once it answers. */
static void keeper_ask(struct partition *partition)
{
	uint64_t ms = partition->adopting ? SHIM_CALL_MS : partition->shim->start_ms;

	peer_call(partition->keeper, "org.outrigger.Keeper.List", NULL, NULL, 0, ms, on_keeper_answer,
		  partition);
}

int partition_set_owner(struct partition *partition, const char *owner)
{
	char path[SHIM_PATH_BYTES];
	uid_t uid = geteuid();
	char *end;

	if (*owner) {
		unsigned long number = strtoul(owner, &end, 10);
		const struct passwd *user = *end ? getpwnam(owner) : NULL;

		if (*end && !user)
			return -ENOENT;
		uid = user ? user->pw_uid : (uid_t)number;
	}
	int error = shim_path(partition->shim, "partition", partition->name, ".sock", path);
	if (!error && lchown(path, uid, (gid_t)-1))
		error = -errno;
	if (error)
		return error;
	partition->uid = uid;
	if (owner != partition->owner)
		snprintf(partition->owner, sizeof(partition->owner), "%s", owner);
	for (const struct device *d = partition->devices; d && !error; d = d->next)
		error = device_vhost_own(d);
	return error;
}

static void partition_limit(const struct partition *partition)
{
	cgroup_limit(partition->name, partition->memory_bytes, partition->cpus_milli);
}

void partition_set_limits(struct partition *partition, int64_t memory_bytes, int64_t cpus_milli)
{
	partition->memory_bytes = memory_bytes;
	partition->cpus_milli = cpus_milli;
	partition_limit(partition);
}

void partition_join_peer(const struct partition *partition, const struct varlink_conn *conn)
{
	pid_t pid;
	uid_t uid;
	int error = varlink_conn_peer(conn, &pid, &uid);

	if (!error)
		error = cgroup_add_program(partition->name, pid, uid);

	/* Without groups the partition was told so when it started; one that has ended needs
	 * no processor. */
	if (error && error != -ESRCH && error != -ENOENT)
		log_warning("partition %s: program %d is not charged to it: %s", partition->name,
			    (int)pid, strerror(-error));
}

static int partition_open_socket(struct partition *partition)
{
	int error = partition->server ? 0 : partition_listen(partition);

	return error ? error : partition_set_owner(partition, partition->owner);
}

void partition_start(struct partition *partition)
{
	respawn_forget(&partition->respawn);
	partition_start_keeper(partition);
}

static void partition_start_keeper(struct partition *partition)
{
	char executable[sizeof(partition->shim->libexec_dir) + 64];
	char socket_path[SHIM_PATH_BYTES], problem[SHIM_MESSAGE_BYTES];

	partition->respawn.timer = sd_event_source_disable_unref(partition->respawn.timer);
	partition->state = STATE_STARTING;
	partition->adopting = false;
	/* One that failed and is still ending has the socket's path. */
	partition->replacing = partition->keeper != NULL;
	if (partition->replacing) {
		peer_kill(partition->keeper);
		return;
	}
	partition->heartbeat_pending = false; /* went with it */
	partition->heartbeats_missed = 0;
	log_info("partition %s: starting", partition->name);
	int error = partition_open_socket(partition);
	if (error == -ENOENT)
		snprintf(problem, sizeof(problem), "its owner '%s' is no user of this system",
			 partition->owner);
	else
		snprintf(problem, sizeof(problem), "its socket cannot be made: %s", strerror(-error));
	if (!error) {
		snprintf(executable, sizeof(executable), "%s/outrigger-keeper",
			 partition->shim->libexec_dir);
		error = shim_path(partition->shim, "keeper", partition->name, ".sock", socket_path);
		if (!error) {
			/* Its group is to have the limit before anybody is in it. */
			partition_limit(partition);
			error = peer_spawn(partition->shim->event,
					   &(struct program){.executable = executable,
							     .name = partition->name,
							     .partition = partition->name,
							     .isolation = SPAWN_PLAIN},
					   socket_path, on_keeper_exit, partition, &partition->keeper);
		}
		snprintf(problem, sizeof(problem), "its keeper cannot be started: %s", strerror(-error));
	}
	if (error) {
		partition_rest(partition, problem);
		return;
	}
	state_changed(partition->shim); /* a shim that dies now must find the keeper again */
	keeper_ask(partition);
}

bool partition_adopt(struct partition *partition, struct peer_identity identity)
{
	char socket_path[SHIM_PATH_BYTES];
	int error = shim_path(partition->shim, "keeper", partition->name, ".sock", socket_path);

	if (!error && identity.pid > 0)
		error = peer_adopt(partition->shim->event, identity, socket_path, on_keeper_exit,
				   partition, &partition->keeper);
	state_check_adopted("keeper", partition->name, error);
	if (!error && identity.pid > 0) {
		error = partition_open_socket(partition);
		if (error != -ENOENT) /* its owner is no user any more: it fails as it starts */
			state_check_adopted("the socket of partition", partition->name, error);
	}
	if (error || identity.pid <= 0) {
		partition_start(partition);
		return false;
	}
	partition_limit(partition);
	partition->state = STATE_STARTING;
	partition->adopting = true;
	log_info("partition %s: adopting keeper %d", partition->name, identity.pid);
	keeper_ask(partition);
	return true;
}

void partition_check(struct partition *partition)
{
	if (!partition->deleting || partition->devices)
		return;
	partition->state = STATE_STOPPING;
	if (partition->keeper)
		peer_kill(partition->keeper);
	else
		partition_gone(partition);
}

void partition_stop(struct partition *partition)
{
	partition_check(partition);
}
