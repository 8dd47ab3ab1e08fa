/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the methods Prepare, Start and AttachClient were given, as start.c and clients.c have it from
 * start_request.c: texts point into the parameters, nothing is owned.
 */
#ifndef ADJ_START_REQUEST_H
#define ADJ_START_REQUEST_H

#include "runtime.h"

#define WINDOW_FDS 4 /* the window, two doorbells, the in-flight record */

/* Everything Start was given, before anything acts on it. */
struct start_request {
	const char *name, *device, *cpu, *state, *path, *folder;
	size_t memory_bytes;
	json_int_t taken; /* -1: the device does not count */
	json_int_t vfio_group; /* -1: the device is not VFIO's */
	struct adj_port port; /* descriptors still -1 */
	unsigned fds;         /* that must come along, but for VFIO's */
	unsigned vfio_fds;    /* those: the last */
	bool donated;	      /* `cpu` is the partition's, when it lends it */
	bool window_kept;     /* the standby has the window already */
	bool spare;	      /* nothing is to be made in the memory yet */
};

/* Each NULL, or the name of the parameter that is wrong. The first reads what
 * Prepare says, the second what Start says. */
const char *request_parse_prepare(json_t *parameters, struct start_request *out);
const char *request_parse_start(json_t *parameters, struct start_request *out);
/* What AttachClient says. */
const char *request_parse_client(json_t *parameters, struct start_request *out);
/* The member `ring_entries`, as AttachPort has it too. */
bool request_ring_entries(json_t *object, uint32_t *out);

#endif
