/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Applying a document: plan.c finds the differences to live state, apply.c
 * carries them out and reports. One application at a time. Event-loop thread.
 */
#ifndef APPLY_H
#define APPLY_H

#include "shim.h"

enum change_action { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_REPLACE, CHANGE_DELETE };
enum change_object { OBJECT_ADAPTER, OBJECT_PARTITION, OBJECT_DEVICE };

struct change {
	struct apply *apply;
	enum change_action action;
	enum change_object object;
	char name[2 * DOC_NAME_BYTES];
	char detail[SHIM_MESSAGE_BYTES];
	/* What to do: the new specification, and for devices their partition. */
	struct doc_adapter adapter;
	struct doc_device device;
	char partition[DOC_NAME_BYTES], owner[DOC_NAME_BYTES];
	int64_t memory_bytes, cpus_milli;
	struct doc_region regions[DOC_REGIONS_MAX];
	size_t region_count;
	bool settled;
};

struct plan {
	struct change *changes;
	size_t count, capacity;
};

struct plan_error {
	const char *error; /* a Varlink error's name */
	unsigned line; /* of the document; 0: not known */
	char message[SHIM_MESSAGE_BYTES];
};

/*
 * What it takes to get from live state to the document; with `prune` also
 * without what the document does not name. 0; -EINVAL with *error filled:
 * nothing may be done; -ENOMEM.
 */
int plan_document(const struct shim *shim, const struct document *document, bool prune,
		  struct plan *out, struct plan_error *error);
/*
 * What a partition's adjuncts and their standbys are given, and the processors that they
 * have all of, once `plan` is carried out, fit into what the document lets it have; and
 * that into the machine. 0; -EINVAL with *error filled. Of plan_document().
 */
int plan_check_limits(const struct shim *shim, const struct document *document,
		      const struct plan *plan, struct plan_error *error);
/*
 * Completes a device that a global adjunct serves: with the function of the device that it
 * names in `shared`, as that is or, by the plan so far, will be. As plan_check_memory().
 */
int plan_resolve_client(const struct shim *shim, const struct plan *plan, const char *name,
			struct doc_device *device, struct plan_error *error);
/* One more change, to be filled in; NULL: no memory. */
struct change *plan_add(struct plan *plan, enum change_action action, enum change_object object,
			const char *name);
/* Deletes what is there and not in the document. 0 or -ENOMEM. */
int plan_delete_rest(const struct shim *shim, const struct document *document, struct plan *out);
/* Deletes one partition, or (NULL) everything. */
int plan_delete(const struct shim *shim, const char *partition, struct plan *out);
void plan_free(struct plan *plan);

/*
 * Carries the plan out (it is emptied) and answers `call` as
 * org.outrigger.Shim.Apply does; with `plain` as a method without results does.
 */
void apply_start(struct shim *shim, struct plan *plan, struct varlink_call *call, bool plain);
json_t *change_to_json(const struct change *change);
json_t *plan_to_json(const struct plan *plan);
void apply_free(struct apply *apply);

#endif
