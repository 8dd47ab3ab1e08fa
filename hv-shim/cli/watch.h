/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GetStats again and again, for the commands that show rates: what is drawn is the
 * command's. One thread.
 */
#ifndef WATCH_H
#define WATCH_H

#include <jansson.h>
#include <stdbool.h>

struct cli;

/* Of two answers of GetStats; `before` is NULL at the first. */
struct watch_view {
	char *(*text)(const json_t *now, const json_t *before); /* the caller frees it */
	/* What a program gets besides the answer as it came; may change it. */
	void (*add)(json_t *now, const json_t *before);
};

/*
 * Draws each answer but the first, which has nothing to compare with, over the one
 * before, until `count` are drawn (0: interrupted); as JSON, one line each, the first too.
 * `parameters` are GetStats', and stolen; `subject` as cli_call()'s. An exit status.
 */
int watch(struct cli *cli, json_t *parameters, const char *subject, unsigned count,
	  const struct watch_view *view);

#endif
