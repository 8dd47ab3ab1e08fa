/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds a function, and how it was before: one JSON file for each in host->state,
 * written aside, synced, renamed into place, and the folder synced, so that after a crash
 * at any instant the old or the new file is there whole. A record is on disk before the
 * first change it can undo. What is read back is checked like any other input. One
 * process at a time works on them (vf_lock). Called by apply.c and bind.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vf_internal.h"

#define RECORD_VERSION 1
#define RECORD_BYTES_MAX 8192

static int write_all(int fd, const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t put = write(fd, text, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		text += put;
		length -= (size_t)put;
	}
	return fsync(fd) ? -errno : 0;
}

int vf_file_replace(const char *folder, const char *name, const char *text, unsigned mode)
{
	char aside[NAME_MAX + 1];
	int at, fd, error;

	if (!vf_word_valid(name) || snprintf(aside, sizeof(aside), ".%s.new", name) >
	    (int)sizeof(aside) - 1)
		return -EINVAL;
	at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	/* What an interrupted run left under this name is nobody's. */
	if (unlinkat(at, aside, 0) && errno != ENOENT) {
		error = -errno;
		close(at);
		return error;
	}
	fd = openat(at, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	error = fd < 0 ? -errno : write_all(fd, text);
	if (fd >= 0 && close(fd) && !error)
		error = -errno;
	if (!error && renameat(at, aside, at, name))
		error = -errno;
	if (!error && fsync(at))
		error = -errno;
	if (error)
		unlinkat(at, aside, 0);
	close(at);
	return error;
}

/*
 * Not json_dumps(): where its buffer cannot grow in the middle of a key, jansson 2.14 goes
 * on and leaves the key out. A buffer of the right size need not grow.
 */
char *vf_json_text(const json_t *root)
{
	const size_t flags = JSON_INDENT(2);
	size_t bytes = root ? json_dumpb(root, NULL, 0, flags) : 0;
	char *text = bytes ? malloc(bytes + 1) : NULL;

	if (!text || json_dumpb(root, text, bytes, flags) != bytes) {
		free(text);
		return NULL;
	}
	text[bytes] = '\0';
	return text;
}

/* The folder and those above it that are missing. */
static int make_folder(struct vf_host *host)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", host->state);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0711) && errno != EEXIST)
			return vf_refuse(host, -errno, "%s: %s", path, strerror(errno));
		*slash = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return vf_refuse(host, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

static int try_lock(struct vf_host *host, const void *data)
{
	(void)host;
	if (!flock(*(const int *)data, LOCK_EX | LOCK_NB))
		return 0;
	return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
}

int vf_lock(struct vf_host *host)
{
	int fd, error;

	if (!host->state[0])
		return -ENOENT;
	error = make_folder(host);
	if (error)
		return error;
	fd = open(host->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vf_refuse(host, -errno, "%s: %s", host->state, strerror(errno));
	error = vf_wait(host, try_lock, &fd);
	if (!error)
		return fd;
	close(fd);
	return vf_refuse(host, error, "another program is changing VFs (it has %s locked); try "
			 "again when it is done", host->state);
}

/* ---- One record --------------------------------------------------------------------- */

bool vf_record_names(const char *file, char name[VF_ADDRESS_BYTES])
{
	const char *end = strrchr(file, '.');
	struct vf_address address;

	if (!end || strcmp(end, ".json") || end - file >= VF_ADDRESS_BYTES)
		return false;
	snprintf(name, VF_ADDRESS_BYTES, "%.*s", (int)(end - file), file);
	return !vf_address_parse(name, &address);
}

static bool take_text(const json_t *object, const char *key, char *out, size_t bytes, bool word)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || strlen(text) >= bytes || ((word || *text) && !vf_word_valid(text)))
		return false;
	strcpy(out, text);
	return true;
}

static bool from_json(const json_t *root, struct vf_record *out)
{
	const json_t *number = json_object_get(root, "num_vfs");
	const json_t *mode = json_object_get(root, "eswitch");
	const json_t *kind = json_object_get(root, "pf");

	*out = (struct vf_record){.is_pf = json_is_true(kind)};
	if (json_integer_value(json_object_get(root, "version")) != RECORD_VERSION ||
	    !take_text(root, "token", out->token, sizeof(out->token), true) ||
	    !take_text(root, "driver", out->driver, sizeof(out->driver), false) ||
	    !take_text(root, "driver_override", out->driver_override,
		       sizeof(out->driver_override), false) ||
	    vf_settings_from_json(json_object_get(root, "settings"), &out->settings))
		return false;
	if (!json_is_boolean(kind) || !json_is_integer(number) || !json_is_integer(mode) ||
	    json_integer_value(number) < 0 || json_integer_value(number) > VF_PER_PF_MAX ||
	    json_integer_value(mode) < VF_ESWITCH_NONE ||
	    json_integer_value(mode) > VF_ESWITCH_SWITCHDEV)
		return false;
	out->num_vfs = (unsigned)json_integer_value(number);
	out->eswitch = (enum vf_eswitch)json_integer_value(mode);
	return true;
}

int vf_record_load(struct vf_host *host, const char *name, struct vf_record *out)
{
	char path[PATH_MAX], text[RECORD_BYTES_MAX + 1];
	ssize_t got;
	int fd;

	if (!host->state[0])
		return -ENOENT;
	if (snprintf(path, sizeof(path), "%s/%s.json", host->state, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : vf_refuse(host, -errno, "%s: %s", path, strerror(errno));
	got = read(fd, text, sizeof(text));
	close(fd);
	json_t *root = got > 0 && got < (ssize_t)sizeof(text)
		? json_loadb(text, (size_t)got, JSON_REJECT_DUPLICATES, NULL) : NULL;
	bool good = root && from_json(root, out);
	json_decref(root);
	return good ? 0 : vf_refuse(host, -EINVAL, "%s is damaged: remove it if nobody holds %s",
				    path, name);
}

int vf_record_save(struct vf_host *host, const char *name, const struct vf_record *record)
{
	char file[VF_ADDRESS_BYTES + 8];
	json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:o, s:b, s:i, s:i}", "version",
				 RECORD_VERSION, "token", record->token, "driver", record->driver,
				 "driver_override", record->driver_override, "settings",
				 vf_settings_to_json(&record->settings), "pf", record->is_pf,
				 "num_vfs", (int)record->num_vfs, "eswitch", (int)record->eswitch);
	char *text = vf_json_text(root);
	int error = text ? make_folder(host) : vf_refuse(host, -ENOMEM, "out of memory");

	snprintf(file, sizeof(file), "%s.json", name);
	if (!error) {
		error = vf_file_replace(host->state, file, text, 0600);
		if (error)
			vf_refuse(host, error, "saving who holds %s in %s: %s", name, host->state,
				  strerror(-error));
	}
	free(text);
	json_decref(root);
	return error;
}

int vf_record_remove(struct vf_host *host, const char *name)
{
	char file[VF_ADDRESS_BYTES + 8];
	int at = open(host->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	snprintf(file, sizeof(file), "%s.json", name);
	if (at < 0 || (unlinkat(at, file, 0) && errno != ENOENT) || fsync(at))
		error = -errno;
	if (at >= 0)
		close(at);
	if (error)
		vf_refuse(host, error, "forgetting who held %s in %s: %s", name, host->state,
			  strerror(-error));
	return error;
}

void vf_record_of(const struct vf_function *function, const char *token, struct vf_record *out)
{
	*out = (struct vf_record){
		.settings = function->live,
		.is_pf = !function->is_vf,
		.num_vfs = function->num_vfs,
		.eswitch = function->eswitch,
	};
	snprintf(out->token, sizeof(out->token), "%s", token);
	memcpy(out->driver, function->driver, sizeof(out->driver));
	memcpy(out->driver_override, function->driver_override, sizeof(out->driver_override));
}

int vf_record_claim(struct vf_host *host, const struct vf_function *function, const char *token,
		    bool fresh)
{
	struct vf_record record;

	if (!host->state[0])
		return 0;
	int error = vf_record_load(host, function->name, &record);
	if (!error && strcmp(record.token, token))
		return vf_refuse(host, -EPERM, "%s: is held by \"%s\"; `outrigger vf release %s "
				 "--owner %s` gives it back", function->name, record.token,
				 function->name, record.token);
	if (error != -ENOENT)
		return error;
	vf_record_of(function, token, &record);
	if (fresh)
		strcpy(record.driver, "default");
	return vf_record_save(host, function->name, &record);
}
