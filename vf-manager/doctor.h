/* SPDX-License-Identifier: BSD-2-Clause */
/* What the doctor's two files share: the machine and its functions, and other owners of them. */
#ifndef VF_DOCTOR_H
#define VF_DOCTOR_H

#include "vf_internal.h"

struct doctor {
	struct vf_host *host;
	void (*each)(void *data, const struct vf_finding *finding);
	void *data;
	int count;
};

/* `name`, `object` and `fix` as they are; the message is put together. */
void doctor_find(struct doctor *doctor, enum vf_severity severity, const char *name,
		 const char *object, const char *fix, const char *message, ...) PRINTF(6, 7);

/* doctor_owners.c: NetworkManager, .link files, netplan, driverctl. */
void doctor_owners(struct doctor *doctor);

#endif
