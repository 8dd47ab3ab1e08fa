/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Progress of long work on standard error: on a terminal one line, redrawn in
 * place; with --json and no terminal, one JSON object a change. Otherwise
 * nothing, since the changes themselves are printed as they settle. One thread.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cli;

struct progress {
	bool bar, lines;    /* how to show it */
	bool shown;         /* the bar is on the screen */
	unsigned done, total;
	json_t *plan;       /* of changes, not yet settled */
	uint64_t begin_ns;
};

void progress_init(struct progress *progress, const struct cli *cli);
void progress_begin(struct progress *progress, json_t *plan);
/* `change` has "failed", and "message" where it has. */
void progress_settled(struct progress *progress, const json_t *change);
void progress_show(struct progress *progress); /* draws it again */
void progress_hide(struct progress *progress); /* makes room for other lines */
void progress_end(struct progress *progress);
void progress_free(struct progress *progress);

#endif
