/* SPDX-License-Identifier: BSD-2-Clause */
/* GetStats again and again: see watch.h. On the program's one thread. */
#include "watch.h"

#include <stdlib.h>

#include "cli.h"
#include "clock.h"
#include "output.h"

static void print_json(json_t *answer)
{
	json_t *json = output_json_new();

	output_need(json_object_update(json, answer) >= 0);
	output_json(stdout, json, true);
}

int watch(struct cli *cli, json_t *parameters, const char *subject, unsigned count,
	  const struct watch_view *view)
{
	/* Late by much more than the interval: the daemon is stuck. */
	uint64_t wait_ns = (uint64_t)cli->interval_ms * NS_PER_MS + CLI_LOOKUP_NS;
	json_t *before = NULL;
	struct varlink_answer answer;
	unsigned drawn = 0, shown = 0;
	bool continues = true;
	int status = CLI_DONE, error;

	output_put(parameters, "interval_ms", json_integer(cli->interval_ms));
	if (cli_call_more(cli, "GetStats", parameters) != CLI_DONE)
		return CLI_FAILED;
	while (continues && status == CLI_DONE && (!count || shown < count)) {
		error = cli_next(cli, wait_ns, &answer);
		if (error < 0) {
			status = cli_fail_transport(cli, error);
			break;
		}
		continues = answer.continues;
		if (answer.error) {
			status = cli_fail_answer(cli, subject, &answer);
		} else if (cli->json) {
			view->add(answer.parameters, before);
			print_json(answer.parameters);
			shown++;
		} else if (before || output_is_terminal(stdout)) {
			char *text = view->text(answer.parameters, before);

			drawn = output_redraw(text, drawn);
			free(text);
			shown += before != NULL;
		}
		json_decref(before);
		before = json_incref(answer.parameters);
		varlink_answer_clear(&answer);
	}
	json_decref(before);
	return status;
}
