/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children that an earlier shim started and could not write down before it was
 * killed. Each listens at a path of ours, so it is found there, whatever the
 * saved state says, and told to end; what it held goes with it. Called once,
 * when the shim starts and before it takes anything up; waits, for there is
 * nobody else to serve yet.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "../shim.h"
#include "varlink.h"

/* An adjunct that is just starting answers when it has started. */
#define END_MS 10000

/* The saved state names the process, and it is still that one. */
static bool is_known(json_t *processes, const char *kind, const char *name)
{
	struct peer_identity saved = state_process(processes, kind, name);

	return saved.pid > 0 && spawn_check_alive(saved.pid, saved.start_time) != -ESRCH;
}

/* 0 once it has ended. */
static int tell_to_end(const char *path, const char *method)
{
	uint64_t deadline_ns = clock_now_ns() + END_MS * NS_PER_MS;
	struct varlink_answer answer;
	struct varlink_conn *conn;
	int error = varlink_connect(path, &conn);

	if (error)
		return error == -ECONNREFUSED || error == -ENOENT ? 0 : error;
	error = varlink_call_method(conn, method, NULL, NULL, 0, deadline_ns, &answer);
	if (!error) {
		varlink_answer_clear(&answer);
		/* Nothing more comes but the end of the connection, with the process's. */
		error = varlink_wait(conn, deadline_ns, &answer);
		if (!error)
			varlink_answer_clear(&answer);
	}
	varlink_conn_free(conn);
	return error == -ECONNRESET ? 0 : error ? error : -EPROTO;
}

/* Those that the process had made itself. */
static void remove_sockets(const struct shim *shim, const char *kind, const char *name)
{
	char path[SHIM_PATH_BYTES];

	if (!strcmp(kind, "adjunct") && !shim_path(shim, "adjunct", name, ".vhost", path))
		unlink(path);
	if (!strcmp(kind, "adapter"))
		adapter_remove_files(shim, name, DOC_VFS_MAX);
}

static void end_orphan(const struct shim *shim, const char *kind, const char *name,
		       const char *path, const char *method)
{
	int error = tell_to_end(path, method);

	if (error) {
		log_error("%s %s, left by an earlier outriggerd, does not end: %s; it is in the way at "
			  "%s", kind, name, strerror(-error), path);
		return;
	}
	log_info("%s %s, left by an earlier outriggerd, has ended", kind, name);
	unlink(path);
	remove_sockets(shim, kind, name);
}

/*
 * "NAME.sock" to "NAME", or what a process made beside it, once that itself is gone:
 * then *leftover. False: none of these.
 */
static bool name_of(const struct shim *shim, const char *kind, const char *entry, bool *leftover,
		    char *name, size_t name_bytes)
{
	const char *const suffixes[] = {".sock", ".vhost", ".vf"};
	char path[SHIM_PATH_BYTES];
	size_t length = strlen(entry);

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t bytes = strlen(suffixes[i]);

		if (length <= bytes || length - bytes >= name_bytes ||
		    strcmp(entry + length - bytes, suffixes[i]))
			continue;
		memcpy(name, entry, length - bytes);
		name[length - bytes] = '\0';
		*leftover = i > 0;
		return !*leftover ||
		       (!shim_path(shim, kind, name, ".sock", path) && access(path, F_OK));
	}
	return false;
}

void orphans_end(const struct shim *shim, json_t *processes)
{
	/* Users before what they use. */
	static const struct {
		const char *kind, *method;
	} kinds[] = {{"adjunct", "org.outrigger.Adjunct.Stop"},
		     {"keeper", "org.outrigger.Keeper.Stop"},
		     {"adapter", "org.outrigger.Adapter.Stop"},
		     /* The dead shim's own: nobody listens there. */
		     {"vhost", NULL},
		     {"partition", NULL}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char folder[SHIM_PATH_BYTES + 16], path[SHIM_PATH_BYTES];
		char name[DEVICE_LABEL_BYTES + sizeof(SLOT_SUFFIX)];
		struct dirent *entry;

		snprintf(folder, sizeof(folder), "%s/%s", shim->state_dir, kinds[i].kind);
		DIR *directory = opendir(folder);
		if (!directory) {
			log_error("%s: %m", folder);
			continue;
		}
		while ((entry = readdir(directory))) {
			bool leftover;

			if (!name_of(shim, kinds[i].kind, entry->d_name, &leftover, name, sizeof(name)) ||
			    is_known(processes, kinds[i].kind, name) ||
			    shim_path(shim, kinds[i].kind, name, ".sock", path))
				continue;
			if (leftover)
				remove_sockets(shim, kinds[i].kind, name);
			else if (!kinds[i].method)
				unlink(path);
			else
				end_orphan(shim, kinds[i].kind, name, path, kinds[i].method);
		}
		closedir(directory);
	}
}
