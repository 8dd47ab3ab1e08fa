/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine made of files, and a kernel that acts on them as Linux does: VFs come and go
 * with sriov_numvfs, drivers bind by driver_override, a settings change is counted. The
 * adapters' shapes (identifiers, offsets, strides) are those that vendors publish. One
 * test, one process, one machine.
 */
#ifndef VF_SUPPORT_H
#define VF_SUPPORT_H

#include "../../../vf-manager/vf_internal.h"

#define FAKE_PFS_MAX 8

struct fake_pf {
	const char *address, *ifname, *driver, *vf_driver, *serial;
	unsigned vendor, device, vf_device, total, offset, stride;
	int group; /* of the PF; its VFs have the next ones */
	bool no_link, no_carrier_ever, msix, devlink;
	enum vf_eswitch eswitch;
	const char *firmware;
	bool come_late;     /* VFs and the link are there some time after sriov_numvfs is written */
	unsigned come_less; /* so many fewer come than were asked for */
	unsigned gap;       /* the VF of this index does not come; 0: all do */
	struct vf_settings settings[VF_PER_PF_MAX];
};

struct fake {
	struct vf_host host;
	struct vf_kernel kernel;
	struct fake_pf *pfs[FAKE_PFS_MAX];
	unsigned pf_count;
	unsigned operations;  /* of any kind that changes something */
	char log[8192];       /* their names, a line each, as far as there is room */
	const char *refuse;   /* an operation whose line has this text fails, with: */
	int refuse_error;
	unsigned refuse_times; /* only so often; 0: always */
	unsigned refuse_at;    /* or the operation of this number, once */
	unsigned resets;
	int busy_group; /* a program has it open */
	void (*on_death)(void);
	unsigned points, die_at; /* the process ends before the operation of this number */
	/* The first adapter's interface gets a name, before an operation whose line has this text,
	 * or before its "link" comes back. */
	const char *rename_at, *rename_to;
};

extern const struct fake_pf fake_82576, fake_82599, fake_x710, fake_e810, fake_cx6;

/* An empty machine with an IOMMU, huge pages, vfio-pci and the adapters' drivers. */
void fake_open(struct fake *fake);
void fake_close(struct fake *fake);
/* Copies the shape; the returned one can be changed. */
struct fake_pf *fake_add(struct fake *fake, const struct fake_pf *shape);
/* Makes `count` VFs behind the manager's back. */
void fake_make_vfs(struct fake *fake, struct fake_pf *pf, unsigned count);
/* A file below the root, with the folders above it; then a link. */
void fake_put(struct fake *fake, const char *text, const char *format, ...) PRINTF(3, 4);
void fake_link(struct fake *fake, const char *target, const char *format, ...) PRINTF(3, 4);
void fake_remove(struct fake *fake, const char *format, ...) PRINTF(2, 3);
/* What udev does to an adapter's interface, or somebody. */
void fake_rename(struct fake *fake, struct fake_pf *pf, const char *ifname);
/* The number of the interface of a function. */
int fake_ifindex(const char *address);
/* Looks, and demands that it works. */
void fake_look(struct fake *fake, unsigned look);
/* One more point at which the machine may lose its power: true, this is the one. */
bool fake_dies(struct fake *fake);
/* How often `text` is a line of the log, or part of one. */
unsigned fake_logged(const struct fake *fake, const char *text);
/* Where the first line with `text` begins in the log; -1: nowhere. */
long fake_logged_at(const struct fake *fake, const char *text);

#endif
