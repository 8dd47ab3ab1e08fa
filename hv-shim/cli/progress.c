/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The progress line of `up` and `down`; see progress.h. Called by cmd_up.c, on
 * the program's one thread.
 */
#include "progress.h"

#include <string.h>

#include "cli.h"
#include "clock.h"
#include "output.h"

#define BAR_COLUMNS 24

void progress_init(struct progress *progress, const struct cli *cli)
{
	bool terminal = output_is_terminal(stderr);

	*progress = (struct progress){
		.bar = terminal && !cli->quiet,
		.lines = !terminal && cli->json && !cli->quiet,
		.begin_ns = clock_now_ns(),
	};
}

void progress_begin(struct progress *progress, json_t *plan)
{
	json_decref(progress->plan);
	progress->plan = json_copy(plan);
	output_need(progress->plan);
	progress->total = (unsigned)json_array_size(plan);
	progress_show(progress);
}

/* Changes settle in any order: the settled one leaves the plan. */
static void leave_plan(struct progress *progress, const json_t *change)
{
	json_t *planned;
	size_t i;

	json_array_foreach(progress->plan, i, planned) {
		if (strcmp(value_text(planned, "object"), value_text(change, "object")) == 0 &&
		    strcmp(value_text(planned, "name"), value_text(change, "name")) == 0) {
			json_array_remove(progress->plan, i);
			return;
		}
	}
}

void progress_settled(struct progress *progress, const json_t *change)
{
	json_t *json;

	progress->done++;
	if (progress->done > progress->total)
		progress->total = progress->done;
	leave_plan(progress, change);
	if (!progress->lines)
		return;
	json = output_json_new();
	output_put(json, "done", json_integer(progress->done));
	output_put(json, "total", json_integer(progress->total));
	output_put(json, "change", json_deep_copy(change));
	output_json(stderr, json, true);
}

static void draw(const struct progress *progress)
{
	const json_t *current = json_array_get(progress->plan, 0);
	unsigned filled = progress->done * BAR_COLUMNS / progress->total;
	int room = (int)output_columns(stderr) - BAR_COLUMNS - 36;
	char what[128];

	snprintf(what, sizeof(what), "%s %s", value_text(current, "object"),
		 value_text(current, "name"));
	fprintf(stderr, "\r\033[K%s", output_paint(stderr, PAINT_GOOD));
	for (unsigned i = 0; i < BAR_COLUMNS; i++) {
		if (i == filled)
			fprintf(stderr, "%s%s", output_paint(stderr, PAINT_NONE),
				output_paint(stderr, PAINT_DIM));
		fputs(i < filled ? output_symbol("━", "#") : output_symbol("─", "."), stderr);
	}
	fprintf(stderr, "%s  %u of %u  %s", output_paint(stderr, PAINT_NONE), progress->done,
		progress->total,
		unit_duration((int64_t)(clock_now_ns() - progress->begin_ns)).text);
	if (current && room > 0) {
		if ((size_t)room < sizeof(what))
			what[room] = '\0';
		fputs("  ", stderr);
		output_text(stderr, what);
	}
	fflush(stderr);
}

void progress_show(struct progress *progress)
{
	if (!progress->bar || progress->total == 0)
		return;
	draw(progress);
	progress->shown = true;
}

void progress_hide(struct progress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress->shown = false;
}

void progress_end(struct progress *progress)
{
	progress_hide(progress);
	progress->bar = false;
}

void progress_free(struct progress *progress)
{
	json_decref(progress->plan);
	progress->plan = NULL;
}
