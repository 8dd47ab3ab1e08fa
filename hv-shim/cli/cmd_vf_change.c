/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vf apply`, `vf bind` and `vf release`: the commands that change this machine's virtual
 * functions, as root, without the daemon. Each change is shown when it is made. Called
 * through the command table, on the program's one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd_vf.h"
#include "output.h"

struct work {
	struct cli *cli;
	json_t *changes;
	unsigned done, failed;
};

static const char *const actions[] = {
	[VF_ACTION_LINK_UP] = "link", [VF_ACTION_DESTROY] = "destroy",
	[VF_ACTION_ESWITCH] = "eswitch", [VF_ACTION_CREATE] = "create",
	[VF_ACTION_MSIX] = "msix", [VF_ACTION_SET] = "set",
	[VF_ACTION_BIND] = "bind", [VF_ACTION_RELEASE] = "release",
};

static void print_step(const struct vf_step *step)
{
	bool adds = step->action == VF_ACTION_CREATE;
	bool removes = step->action == VF_ACTION_DESTROY || step->action == VF_ACTION_RELEASE;
	enum paint paint = step->failed || removes ? PAINT_BAD : adds ? PAINT_GOOD : PAINT_BUSY;

	printf("%s%s%s %s: ", output_paint(stdout, paint),
	       step->failed ? "!" : adds ? "+" : removes ? "-" : "~",
	       output_paint(stdout, PAINT_NONE), step->object);
	output_text(stdout, step->detail);
	putchar('\n');
	fflush(stdout);
}

static void take_step(void *data, const struct vf_step *step)
{
	struct work *work = data;
	json_t *change = json_pack("{s:s, s:s, s:s, s:b}", "action", actions[step->action],
				   "object", step->object, "detail", step->detail, "failed",
				   step->failed);

	output_add(work->changes, change);
	*(step->failed ? &work->failed : &work->done) += 1;
	if (!work->cli->json && !work->cli->quiet)
		print_step(step);
}

static void sum_up(const struct work *work)
{
	if (!work->done && !work->failed)
		puts("nothing to do");
	else if (work->cli->dry_run)
		printf("%u to do; nothing was touched\n", work->done);
	else if (work->failed)
		printf("%u done, %u failed\n", work->done, work->failed);
	else
		printf("%u done\n", work->done);
}

static int finish(struct work *work)
{
	struct cli *cli = work->cli;

	if (cli->json) {
		json_t *json = output_json_new();

		output_put(json, "dry_run", json_boolean(cli->dry_run));
		output_put(json, "changes", json_incref(work->changes));
		output_put(json, "changed", json_integer(work->done));
		output_put(json, "failed", json_integer(work->failed));
		output_json(stdout, json, false);
	} else if (!cli->quiet) {
		sum_up(work);
	}
	if (work->failed)
		return cli_fail(cli,
				"%u of %u changes failed: what was done stays; the same command "
				"tries the rest again",
				work->failed, work->failed + work->done);
	return work->done && cli->detailed_exitcode ? CLI_CHANGES : CLI_DONE;
}

static int plan_or_apply(struct work *work, struct vf_host *host, const struct document *document)
{
	struct cli *cli = work->cli;
	unsigned flags = (cli->prune ? VF_PRUNE : 0u) |
			 (cli->allow_disruptive ? VF_ALLOW_DISRUPTIVE : 0u);
	unsigned count = (unsigned)document->pf_count;
	struct vf_plan plan = {0};
	int error;

	if (cli->dry_run) {
		error = vf_plan(host, document->pfs, count, flags, &plan);
		for (unsigned i = 0; i < plan.count; i++)
			take_step(work, &plan.steps[i]);
		vf_plan_free(&plan);
	} else {
		error = vf_apply(host, document->pfs, count, flags, take_step, work);
	}
	/* -EIO: steps have failed, and each was told. */
	if (error && !(error == -EIO && work->failed))
		return cli_fail(cli, "%s", host->reason);
	return finish(work);
}

int cmd_vf_apply(struct cli *cli)
{
	struct work work = {.cli = cli};
	struct document document = {0};
	struct vf_host host;
	int status;

	if (!cli->file)
		return cli_usage(cli, "-f FILE is missing: which document?");
	if (!cli->dry_run && (status = vf_may_change(cli)) != CLI_DONE)
		return status;
	if (vf_document(cli, &document) != CLI_DONE)
		return CLI_FAILED;
	work.changes = json_array();
	status = vf_open(cli, &host, VF_LOOK_ALL);
	if (status == CLI_DONE)
		status = plan_or_apply(&work, &host, &document);
	vf_close(&host);
	json_decref(work.changes);
	document_free(&document);
	return status;
}

/* ---- One VF ----------------------------------------------------------------------- */

#define OWNER_DEFAULT "operator"

static int tell(const struct cli *cli, const char *key, const struct vf_function *vf, bool changed)
{
	if (cli->json) {
		json_t *json = output_json_new();

		output_put(json, key, json_string(vf->name));
		output_put(json, "driver", json_string(vf->driver));
		output_put(json, "changed", json_boolean(changed));
		output_json(stdout, json, false);
	} else if (!cli->quiet && !changed) {
		puts("nothing to do");
	} else if (!cli->quiet) {
		printf("%s %s: driver %s\n", key, vf->name, vf->driver[0] ? vf->driver : "none");
	}
	return CLI_DONE;
}

int cmd_vf_bind(struct cli *cli)
{
	int status = vf_may_change(cli), result;
	struct vf_function *vf;
	struct vf_host host;

	if (status != CLI_DONE)
		return status;
	status = vf_open(cli, &host, VF_LOOK_ALL);
	vf = status == CLI_DONE ? vf_named(cli, &host, cli->arguments[0]) : NULL;
	if (vf) {
		result = vf_bind(&host, vf, cli->driver ? cli->driver : "dpdk",
				 cli->owner ? cli->owner : OWNER_DEFAULT);
		status = result < 0 ? cli_fail(cli, "%s", host.reason)
				    : tell(cli, "bound", vf, result == 0);
	}
	vf_close(&host);
	return vf ? status : CLI_FAILED;
}

/* One that went away can only be forgotten. */
static int release(struct cli *cli, struct vf_host *host)
{
	const char *name = cli->arguments[0], *owner = cli->owner ? cli->owner : OWNER_DEFAULT;
	struct vf_function *vf = vf_find(host, name), gone = {.driver = ""};
	int result;

	if (!vf && vf_address_parse(name, &gone.address))
		return cli_fail(cli, "%s", host->reason);
	vf_address_format(&gone.address, gone.name);
	result = vf ? vf_release(host, vf, owner) : vf_forget(host, name, owner);
	return result < 0 ? cli_fail(cli, "%s", host->reason)
			  : tell(cli, "released", vf ? vf : &gone, true);
}

int cmd_vf_release(struct cli *cli)
{
	int status = vf_may_change(cli);
	struct vf_host host;

	if (status != CLI_DONE)
		return status;
	status = vf_open(cli, &host, VF_LOOK_ALL);
	if (status == CLI_DONE)
		status = release(cli, &host);
	vf_close(&host);
	return status;
}
