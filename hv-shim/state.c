/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's saved state: STATE/state.json, written to a temporary file and
 * renamed, at the end of every turn of the loop that changed something. A shim
 * that starts takes up the processes it names. What is saved is the document in
 * its own format, complete, and beside it the processes, and what devices' adjuncts have
 * used. Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "shim.h"

#define STATE_VERSION 1
#define STATE_FILE_BYTES_MAX (4u << 20)

static json_t *identity_to_json(struct peer_identity identity)
{
	return json_pack("{s:i,s:I}", "pid", (int)identity.pid, "start_time",
			 (json_int_t)identity.start_time);
}

static struct peer_identity identity_from_json(json_t *object)
{
	return (struct peer_identity){
		.pid = (pid_t)json_integer_value(json_object_get(object, "pid")),
		.start_time = (uint64_t)json_integer_value(json_object_get(object, "start_time")),
	};
}

/* This, and what follows below: not 0 if there was no memory for all of it. */
static int add_process(json_t *processes, const char *kind, const char *name,
			struct peer_identity identity)
{
	char key[16 + 2 * DOC_NAME_BYTES];

	snprintf(key, sizeof(key), "%s:%s", kind, name);
	return json_object_set_new(processes, key, identity_to_json(identity));
}

struct peer_identity state_process(json_t *processes, const char *kind, const char *name)
{
	char key[16 + 2 * DOC_NAME_BYTES];

	snprintf(key, sizeof(key), "%s:%s", kind, name);
	return identity_from_json(json_object_get(processes, key));
}

/* What is beside the document; each by the names of those it is about. */
struct beside {
	json_t *processes, *usage;
};

static int add_device(const struct device *d, json_t *list, const struct beside *beside)
{
	char label[DEVICE_LABEL_BYTES + sizeof(SLOT_SUFFIX)];
	int errors = json_array_append_new(list, doc_device_to_json(d->restarting ? &d->next_spec
										  : &d->spec));

	device_label(d, label);
	if (usage_is_worth_saving(&d->usage))
		errors |= json_object_set_new(beside->usage, label, usage_to_json(&d->usage));
	if (d->attachment)
		errors |= add_process(beside->processes, "program", label, attachment_identity(d->attachment));
	/* By its socket's name. A standby is not saved: it is ended as an orphan. */
	if (d->slot)
		strcat(label, SLOT_SUFFIX);
	if (d->adjunct)
		errors |= add_process(beside->processes, "adjunct", label,
				      peer_identity(d->adjunct));
	return errors;
}

static int add_partition(const struct partition *partition, json_t *list,
			 const struct beside *beside)
{
	struct doc_partition none = {0};
	json_t *devices = json_array();
	int errors = 0;

	strcpy(none.name, partition->name);
	strcpy(none.owner, partition->owner);
	none.memory_bytes = partition->memory_bytes;
	none.cpus_milli = partition->cpus_milli;
	for (size_t i = 0; i < partition->region_count; i++)
		none.regions[none.region_count++] = partition->regions[i].spec;
	json_t *object = doc_partition_to_json(&none);
	if (partition->keeper)
		errors |= add_process(beside->processes, "keeper", partition->name,
				      peer_identity(partition->keeper));
	for (const struct device *d = partition->devices; d; d = d->next)
		if (!d->deleting)
			errors |= add_device(d, devices, beside);
	errors |= json_object_set_new(object, "devices", devices);
	return errors | json_array_append_new(list, object);
}

/* NULL: no memory. Part of it would be worse than the state before: what it does not
 * name is ended when the next shim starts. */
static json_t *state_to_json(const struct shim *shim)
{
	json_t *adapters = json_array(), *partitions = json_array();
	const struct beside beside = {.processes = json_object(), .usage = json_object()};
	int errors = 0;

	for (const struct adapter *a = shim->adapters; a; a = a->next) {
		errors |= json_array_append_new(
			adapters, doc_adapter_to_json(a->restarting ? &a->next_spec : &a->spec));
		if (a->peer)
			errors |= add_process(beside.processes, "adapter", a->spec.name,
					      peer_identity(a->peer));
	}
	for (const struct partition *p = shim->partitions; p; p = p->next)
		errors |= add_partition(p, partitions, &beside);
	json_t *state = json_pack("{s:i,s:{s:i,s:o,s:o},s:o,s:o}", "version", STATE_VERSION,
				  "document", "version", DOC_VERSION, "adapters", adapters,
				  "partitions", partitions, "processes", beside.processes, "usage",
				  beside.usage);
	if (!errors)
		return state;
	json_decref(state);
	return NULL;
}

/*
 * Measured, then written where there is room: a buffer that grows on the way may fail to,
 * and jansson (2.14) then goes on after the name of a field that it lost. NULL: no memory.
 */
static char *state_to_text(const json_t *state, size_t *bytes)
{
	const size_t flags = JSON_INDENT(1) | JSON_SORT_KEYS;

	*bytes = json_dumpb(state, NULL, 0, flags);
	char *text = *bytes ? malloc(*bytes) : NULL;
	if (text && json_dumpb(state, text, *bytes, flags) == *bytes)
		return text;
	free(text);
	return NULL;
}

static int write_file(const char *path, const char *text, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = fd < 0 ? -errno : 0;

	while (!error && bytes) {
		ssize_t written = write(fd, text, bytes);
		if (written < 0 && errno != EINTR)
			error = -errno;
		else if (written > 0) {
			text += written;
			bytes -= (size_t)written;
		}
	}
	if (fd >= 0 && close(fd) && !error)
		error = -errno;
	return error;
}

int state_save(struct shim *shim)
{
	char path[SHIM_PATH_BYTES], temporary[SHIM_PATH_BYTES];
	json_t *state = state_to_json(shim);
	size_t bytes;
	char *text = state_to_text(state, &bytes);
	int error = text ? 0 : -ENOMEM;

	json_decref(state);
	if (!error)
		error = shim_path(shim, NULL, "state", ".json", path);
	if (!error)
		error = shim_path(shim, NULL, "state", ".new", temporary);
	if (!error)
		error = write_file(temporary, text, bytes);
	if (!error && rename(temporary, path))
		error = -errno;
	free(text);
	if (error && !shim->save_problem[0])
		log_error("the state cannot be saved in %s: %s; a restart would lose track of what "
			  "runs now", shim->state_dir, strerror(-error));
	snprintf(shim->save_problem, sizeof(shim->save_problem), "%s", error ? strerror(-error) : "");
	return error;
}

static int on_save(sd_event_source *source, void *data)
{
	struct shim *shim = data;

	(void)source;
	shim->save_source = sd_event_source_disable_unref(shim->save_source);
	state_save(shim);
	return 0;
}

void state_changed(struct shim *shim)
{
	/* When the shim ends it saves once, before it lets go of its objects. */
	if (shim->save_source || shim->closing)
		return;
	if (sd_event_add_defer(shim->event, &shim->save_source, on_save, shim) < 0) {
		state_save(shim);
		return;
	}
	sd_event_source_set_priority(shim->save_source, SD_EVENT_PRIORITY_IDLE);
}

/* ---- Taking up ------------------------------------------------------------------- */

void state_check_adopted(const char *what, const char *name, int error)
{
	if (!error || error == -ESRCH || error == -ECONNREFUSED || error == -ENOENT)
		return; /* it is there, or gone */
	log_error("%s %s cannot be taken up: %s; ending, so that the next outriggerd can", what, name,
		  strerror(-error));
	_exit(1);
}

/* The adjunct that was promoted from standby, and listens at the other name. */
static struct peer_identity slot_process(json_t *processes, const char *label)
{
	char name[DEVICE_LABEL_BYTES + sizeof(SLOT_SUFFIX)];

	snprintf(name, sizeof(name), "%s" SLOT_SUFFIX, label);
	return state_process(processes, "adjunct", name);
}

static void adopt_device(struct partition *partition, const struct doc_device *spec,
			 const struct beside *beside, bool keeper_adopted,
			 const bool *adapter_adopted)
{
	struct adapter *adapter = adapter_find(partition->shim, spec->vf.adapter);
	char label[DEVICE_LABEL_BYTES];
	size_t index = 0;

	if (!adapter || spec->vf.index < 0 || spec->vf.index >= adapter->spec.vfs) {
		log_error("device %s/%s of the saved state has no function and is left out",
			  partition->name, spec->name);
		return;
	}
	for (const struct adapter *a = partition->shim->adapters; a != adapter; a = a->next)
		index++;
	struct device *device = device_new(partition, adapter, spec);
	if (!device)
		memory_end();
	device_label(device, label);
	usage_from_json(&device->usage, json_object_get(beside->usage, label));
	struct peer_identity adjunct = state_process(beside->processes, "adjunct", label);
	if (adjunct.pid <= 0) {
		adjunct = slot_process(beside->processes, label);
		device->slot = adjunct.pid > 0;
	}
	struct peer_identity program = state_process(beside->processes, "program", label);

	if (!doc_is_client(spec) && !adapter_claim(adapter, device))
		log_error("device %s/%s: its function belongs to another device", partition->name,
			  spec->name);
	device_adopt(device, adjunct, keeper_adopted && adapter_adopted[index]);
	int error = program.pid > 0 && !device_undoing(device) ? attachment_adopt(device, program)
								 : -ESRCH;
	bool has_program = !error;

	state_check_adopted("the program of device", label, error);
	if (program.pid > 0 && !has_program)
		log_info("device %s/%s: its program has ended meanwhile", partition->name, spec->name);
	if (!has_program)
		attachment_revoke(device);
}

static void adopt_all(struct shim *shim, const struct document *document,
		      const struct beside *beside)
{
	bool adopted[DOC_ADAPTERS_MAX] = {false};

	for (size_t i = 0; i < document->adapter_count; i++) {
		struct adapter *adapter = adapter_new(shim, &document->adapters[i]);
		if (!adapter)
			memory_end();
		adopted[i] = adapter_adopt(adapter, state_process(beside->processes, "adapter",
								  adapter->spec.name));
	}
	for (size_t i = 0; i < document->partition_count; i++) {
		const struct doc_partition *spec = &document->partitions[i];
		struct partition *partition = partition_new(shim, spec->name, spec->owner);

		if (!partition)
			memory_end();
		partition->memory_bytes = spec->memory_bytes;
		partition->cpus_milli = spec->cpus_milli;
		region_list_set(partition, spec->regions, spec->region_count);
		bool keeper = partition_adopt(partition, state_process(beside->processes, "keeper",
								      spec->name));
		for (size_t d = 0; d < spec->device_count; d++)
			adopt_device(partition, &spec->devices[d], beside, keeper, adopted);
	}
}

static json_t *state_read(const char *path, int *error)
{
	json_error_t json_error;
	FILE *file = fopen(path, "re");

	*error = file ? 0 : errno == ENOENT ? 0 : -errno;
	if (!file)
		return NULL;
	json_t *state = json_loadf(file, JSON_REJECT_DUPLICATES, &json_error);
	fclose(file);
	if (!state) {
		log_error("%s:%d: %s", path, json_error.line, json_error.text);
		*error = -EINVAL;
	}
	return state;
}

int state_load(struct shim *shim)
{
	char path[SHIM_PATH_BYTES];
	struct document document;
	struct doc_error doc_error;
	int error = shim_path(shim, NULL, "state", ".json", path);
	json_t *state = error ? NULL : state_read(path, &error);

	if (!state) {
		if (!error)
			orphans_end(shim, NULL);
		return error;
	}
	char *text = json_dumps(json_object_get(state, "document"), 0);
	if (json_integer_value(json_object_get(state, "version")) != STATE_VERSION || !text) {
		log_error("%s was written by another version", path);
		error = -EINVAL;
	} else if ((error = document_load(text, strlen(text), &document, &doc_error))) {
		log_error("%s: %s", path, doc_error.message);
	} else {
		const struct beside beside = {json_object_get(state, "processes"),
					      json_object_get(state, "usage")};

		orphans_end(shim, beside.processes);
		adopt_all(shim, &document, &beside);
		document_free(&document);
	}
	free(text);
	json_decref(state);
	return error;
}
