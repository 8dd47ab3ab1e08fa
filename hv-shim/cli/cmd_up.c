/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `up` and `down`: send the document, show each change as it settles, sum up.
 * Standard output gets what changed; standard error, where a person looks, a
 * bar that is redrawn while the daemon works. One thread; SIGINT and SIGTERM
 * end the program, not the work: the daemon carries on, and the person is told.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "output.h"
#include "progress.h"

/* Without any answer for so long, the daemon counts as stuck. */
#define SILENCE_NS CLI_WORK_NS
/* The bar is redrawn, and signals looked at, so often. */
#define TICK_NS (100 * NS_PER_MS)

struct work {
	struct cli *cli;
	struct progress progress;
	json_t *settled;   /* for --json: the changes, with what came of them */
	unsigned created, updated, deleted, failed;
	bool dry_run;
};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

static void catch_signals(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void count(struct work *work, const char *action)
{
	if (strcmp(action, "create") == 0)
		work->created++;
	else if (strcmp(action, "delete") == 0)
		work->deleted++;
	else
		work->updated++;
}

static void show_change(const json_t *change, const char *failure)
{
	static const struct {
		const char *action, *mark;
		enum paint paint;
	} marks[] = {
		{"create", "+", PAINT_GOOD},
		{"update", "~", PAINT_BUSY},
		{"replace", "-/+", PAINT_BUSY},
		{"delete", "-", PAINT_BAD},
	};
	const char *action = value_text(change, "action"), *mark = "?";
	enum paint paint = PAINT_NONE;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (strcmp(marks[i].action, action) == 0) {
			mark = marks[i].mark;
			paint = marks[i].paint;
		}
	}
	if (failure) {
		mark = "!";
		paint = PAINT_BAD;
	}
	printf("%s%s%s ", output_paint(stdout, paint), mark, output_paint(stdout, PAINT_NONE));
	output_text(stdout, value_text(change, "object"));
	putchar(' ');
	output_text(stdout, value_text(change, "name"));
	if (failure || value_is_set(change, "detail"))
		fputs(": ", stdout);
	if (failure)
		printf("%scould not %s it:%s ", output_paint(stdout, PAINT_BAD), action,
		       output_paint(stdout, PAINT_NONE));
	if (failure || value_is_set(change, "detail"))
		output_text(stdout, failure ? failure : value_text(change, "detail"));
	putchar('\n');
	fflush(stdout);
}

/* One change has settled (or, in a dry run, would be made). */
static void take_change(struct work *work, json_t *change, const char *failure)
{
	json_t *copy = json_copy(change);

	if (failure)
		work->failed++;
	else
		count(work, value_text(change, "action"));
	output_put(copy, "failed", json_boolean(failure != NULL));
	if (failure)
		output_put(copy, "message", json_string(failure));
	output_add(work->settled, copy);
	if (!work->dry_run)
		progress_settled(&work->progress, copy);
	if (work->cli->json || work->cli->quiet)
		return;
	progress_hide(&work->progress);
	show_change(change, failure);
	progress_show(&work->progress);
}

static void take_answer(struct work *work, const json_t *parameters)
{
	json_t *plan = json_object_get(parameters, "plan"), *change;
	const char *message = json_string_value(json_object_get(parameters, "message"));
	size_t i;

	if (json_is_array(plan) && !work->dry_run)
		progress_begin(&work->progress, plan);
	json_array_foreach(work->dry_run ? plan : NULL, i, change)
		take_change(work, change, NULL);
	change = json_object_get(parameters, "change");
	if (!json_is_object(change) || work->dry_run)
		return;
	if (!value_true(parameters, "failed"))
		take_change(work, change, NULL);
	else
		take_change(work, change, message ? message : "no reason given");
}

/* Answers until the last one. 0; -EINTR: a signal; -errno; 1: refused, in `last`. */
static int follow(struct work *work, struct varlink_answer *last)
{
	uint64_t heard_ns = clock_now_ns();

	for (;;) {
		int error = cli_next(work->cli, TICK_NS, last);

		if (caught)
			return -EINTR;
		if (error == -ETIMEDOUT || error == -EINTR) {
			if (clock_now_ns() - heard_ns > SILENCE_NS)
				return -ETIMEDOUT;
			progress_show(&work->progress);
			continue;
		}
		if (error < 0)
			return error;
		heard_ns = clock_now_ns();
		if (last->error)
			return 1;
		take_answer(work, last->parameters);
		if (!last->continues)
			return 0;
		varlink_answer_clear(last);
	}
}

static void sum_up(const struct work *work)
{
	const struct {
		unsigned count;
		const char *done, *planned;
	} parts[] = {
		{work->created, "created", "to create"},
		{work->updated, "changed", "to change"},
		{work->deleted, "removed", "to remove"},
		{work->failed, "failed", "failed"},
	};
	const char *separator = "";

	if (work->created + work->updated + work->deleted + work->failed == 0) {
		puts("nothing to do");
		return;
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].count == 0)
			continue;
		printf("%s%u %s", separator, parts[i].count,
		       work->dry_run ? parts[i].planned : parts[i].done);
		separator = ", ";
	}
	if (work->dry_run)
		puts("; nothing was touched");
	else
		printf(" in %s\n",
		       unit_duration((int64_t)(clock_now_ns() - work->progress.begin_ns)).text);
}

static int interrupted(struct work *work)
{
	int number = caught;

	progress_end(&work->progress);
	cli_fail(work->cli,
		 "interrupted, %u of %u changes done: outriggerd carries on with the rest; "
		 "`outrigger status` shows how far it is",
		 work->progress.done, work->progress.total);
	fflush(NULL);
	/* The shell should see that a signal ended us. */
	signal(number, SIG_DFL);
	raise(number);
	return CLI_FAILED;
}

static int finish(struct work *work)
{
	unsigned changes = work->created + work->updated + work->deleted;

	progress_end(&work->progress);
	if (work->cli->json) {
		json_t *json = output_json_new();

		output_put(json, "dry_run", json_boolean(work->dry_run));
		output_put(json, "changes", json_incref(work->settled));
		output_put(json, "changed", json_integer(changes));
		output_put(json, "failed", json_integer(work->failed));
		output_json(stdout, json, false);
	} else if (!work->cli->quiet) {
		sum_up(work);
	}
	if (work->failed)
		return cli_fail(work->cli,
				"%u of %u changes failed: what has settled stays; the same command "
				"tries the rest again", work->failed, work->failed + changes);
	return changes && work->cli->detailed_exitcode ? CLI_CHANGES : CLI_DONE;
}

/* The request is out: everything up to the summary. `source` is NULL for `down`. */
static int see_through(struct work *work, const struct source *source)
{
	struct varlink_answer last = {0};
	const char *message;
	int result, status;

	work->settled = json_array();
	output_need(work->settled);
	progress_init(&work->progress, work->cli);
	catch_signals(on_signal);
	result = follow(work, &last);
	catch_signals(SIG_DFL);
	if (result == -EINTR) {
		status = interrupted(work);
	} else if (result < 0) {
		progress_end(&work->progress);
		status = cli_fail_transport(work->cli, result);
	} else if (result == 1) {
		progress_end(&work->progress);
		message = json_string_value(json_object_get(last.parameters, "message"));
		if (source && message &&
		    strcmp(cli_error_name(last.error), "InvalidDocument") == 0)
			status = source_refused(work->cli, source,
						  (unsigned)value_number(last.parameters, "line"),
						  message);
		else
			status = cli_fail_answer(work->cli, NULL, &last);
	} else {
		status = finish(work);
	}
	varlink_answer_clear(&last);
	progress_free(&work->progress);
	json_decref(work->settled);
	return status;
}

int cmd_up(struct cli *cli)
{
	struct work work = {.cli = cli, .dry_run = cli->dry_run};
	struct source source;
	json_t *parameters;
	int status;

	if (!cli->file)
		return cli_usage(cli, "-f FILE is missing: which document?");
	if (source_read(cli, cli->file, &source) != CLI_DONE)
		return CLI_FAILED;
	parameters = json_pack("{s:s, s:s, s:b, s:b}", "document", source.text, "file",
			       source.name, "dry_run", cli->dry_run, "prune", cli->prune);
	if (!parameters)
		/* The document is UTF-8, its name may be anything. */
		parameters = json_pack("{s:s, s:b, s:b}", "document", source.text, "dry_run",
				       cli->dry_run, "prune", cli->prune);
	status = cli_call_more(cli, "Apply", parameters);
	if (status == CLI_DONE)
		status = see_through(&work, &source);
	source_free(&source);
	return status;
}

int cmd_down(struct cli *cli)
{
	struct work work = {.cli = cli};

	if (cli_call_more(cli, "Down", NULL) != CLI_DONE)
		return CLI_FAILED;
	return see_through(&work, NULL);
}
