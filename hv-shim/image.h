/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adjunct images: an executable and a manifest that says which devices it
 * drives, for which driver interface, and how much memory it needs (000, FIG. 7,
 * step 725). Read once at start from the images folder; single-threaded.
 *
 * A manifest, NAME.yaml:
 *   name: ethdev
 *   version: 0.1.0
 *   interface: 1                    # ADJ_INTERFACE_VERSION
 *   executable: outrigger-adjunct-ethdev   # in the libexec folder; no path
 *   class: net
 *   devices: ["embedded", "vdev:net_ring", "pci:8086:10ca"]   # fnmatch patterns
 *   ports: [tap, vhost-user, native]
 *   memory: {minimum: 16M, default: 32M}
 *   fp: no                          # or yes, or left out: adjunct-drivers/adj.h
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "document/document.h"

#define IMAGES_MAX 32
#define IMAGE_PATTERNS_MAX 32

struct image {
	char name[DOC_NAME_BYTES];
	char version[DOC_NAME_BYTES];
	char executable[DOC_STRING_BYTES];
	char patterns[IMAGE_PATTERNS_MAX][DOC_STRING_BYTES];
	size_t pattern_count;
	unsigned ports; /* bit per enum adj_port_kind */
	int64_t memory_minimum, memory_default; /* bytes */
};

struct image_list {
	struct image images[IMAGES_MAX];
	size_t count;
};

/*
 * Reads every *.yaml of `directory`. A manifest that cannot be used is logged
 * and left out. -errno if the folder cannot be read.
 */
int image_list_load(const char *directory, struct image_list *out);

/*
 * The image called `wanted`, or the first that fits if it is empty. NULL when
 * none does, and `why` says so: which devices the installed images drive.
 */
const struct image *image_find(const struct image_list *list, const char *wanted,
			       const char *device_id, int port_kind, char *why, size_t why_bytes);

/*
 * What manifests match against: "embedded", "echo", "vdev:net_ring" for net_ring0,...,
 * "pci:8086:10ca" for a PCI address, or for the virtual functions of a physical one,
 * whose ids sysfs tells. 0 or -errno.
 */
int image_device_id(const struct doc_adapter *adapter, char *out, size_t out_bytes);

#endif
