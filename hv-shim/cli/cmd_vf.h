/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of `outrigger vf` share. One thread. */
#ifndef CMD_VF_H
#define CMD_VF_H

#include "cli.h"
#include "../document/document.h"
#include "vf.h"

/*
 * Looks at this machine, or at the tree of --root. `look` as vf_discover(). CLI_DONE, or
 * the failure has been told; then, too, vf_close() is due.
 */
int vf_open(struct cli *cli, struct vf_host *host, unsigned look);
void vf_close(struct vf_host *host);
/* Refuses where the command cannot change anything: --root, or not root. CLI_DONE or told. */
int vf_may_change(const struct cli *cli);
/* The document of -f, to be freed. CLI_DONE or told. */
int vf_document(const struct cli *cli, struct document *out);
/* By its address or interface; NULL: told. */
struct vf_function *vf_named(const struct cli *cli, struct vf_host *host, const char *name);

#endif
