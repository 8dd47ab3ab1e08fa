/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vf doctor`, `vf export` and `vf watch`: what is wrong with this machine's virtual
 * functions, the same functions for other programs, and what happens to them. Called
 * through the command table, on the program's one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-device.h>
#include <systemd/sd-event.h>

#include "cmd_vf.h"
#include "output.h"

/* ---- doctor ------------------------------------------------------------------------ */

struct findings {
	const struct cli *cli;
	json_t *list;
	unsigned errors;
};

static void take_finding(void *data, const struct vf_finding *finding)
{
	static const enum paint paints[] = {PAINT_DIM, PAINT_BUSY, PAINT_BAD};
	struct findings *findings = data;

	findings->errors += finding->severity == VF_ERROR;
	if (findings->cli->json) {
		json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
					 vf_severity_names[finding->severity], "name",
					 finding->name, "object", finding->object, "message",
					 finding->message, "fix", finding->fix);

		/* The files of others may hold any bytes. */
		if (!json)
			json = json_pack("{s:s, s:s, s:s, s:s}", "severity",
					 vf_severity_names[finding->severity], "name",
					 finding->name, "object", finding->object, "fix",
					 finding->fix);
		output_add(findings->list, json);
		return;
	}
	printf("%s%s%s %s %s: ", output_paint(stdout, paints[finding->severity]),
	       vf_severity_names[finding->severity], output_paint(stdout, PAINT_NONE),
	       finding->name, finding->object);
	output_text(stdout, finding->message);
	printf("\n  ");
	output_text(stdout, finding->fix);
	putchar('\n');
}

int cmd_vf_doctor(struct cli *cli)
{
	struct findings findings = {.cli = cli, .list = json_array()};
	struct vf_host host;
	int status = vf_open(cli, &host, VF_LOOK_ALL), count = 0;

	if (status == CLI_DONE)
		count = vf_doctor(&host, take_finding, &findings);
	if (status == CLI_DONE && count < 0)
		status = cli_fail(cli, "%s", host.reason);
	if (status == CLI_DONE && cli->json) {
		json_t *json = output_json_new();

		output_put(json, "findings", json_incref(findings.list));
		output_json(stdout, json, false);
	} else if (status == CLI_DONE && !count) {
		puts("nothing found");
	}
	json_decref(findings.list);
	vf_close(&host);
	return status == CLI_DONE && findings.errors ? CLI_FAILED : status;
}

/* ---- export ------------------------------------------------------------------------ */

static void take_path(void *data, const char *path)
{
	json_t *paths = data;

	output_add(paths, json_string(path));
}

static int print_paths(const struct cli *cli, const json_t *paths)
{
	json_t *path;
	size_t i;

	if (cli->json) {
		json_t *json = output_json_new();

		output_put(json, "files", json_incref((json_t *)paths));
		output_json(stdout, json, false);
		return CLI_DONE;
	}
	json_array_foreach((json_t *)paths, i, path)
		puts(json_string_value(path));
	if (!json_array_size(paths) && !cli->quiet)
		puts("there are no VFs to export");
	return CLI_DONE;
}

int cmd_vf_export(struct cli *cli)
{
	struct document document = {0};
	struct vf_host host = {0};
	json_t *paths;
	int format = -1, status;

	for (int i = 0; cli->format && vf_format_names[i]; i++)
		if (!strcmp(cli->format, vf_format_names[i]))
			format = i;
	if (format < 0)
		return cli_usage(cli, "--format: cdi, pcidp, gres or nova is expected");
	if (cli->file && vf_document(cli, &document) != CLI_DONE)
		return CLI_FAILED;
	paths = json_array();
	status = vf_open(cli, &host, VF_LOOK_SETTINGS | VF_LOOK_NAMES);
	if (status == CLI_DONE && vf_export(&host, (enum vf_format)format, document.pfs,
					    (unsigned)document.pf_count,
					    cli->output ? cli->output : ".", take_path, paths))
		status = cli_fail(cli, "%s", host.reason);
	if (status == CLI_DONE)
		status = print_paths(cli, paths);
	json_decref(paths);
	vf_close(&host);
	document_free(&document);
	return status;
}

/* ---- watch ------------------------------------------------------------------------- */

static void say(const struct cli *cli, const struct vf_function *f, const char *event,
		const char *detail)
{
	if (cli->json) {
		json_t *json = output_json_new();

		output_put(json, "function", json_string(f->name));
		output_put(json, "event", json_string(event));
		output_put(json, "detail", json_string(detail));
		output_json(stdout, json, true);
	} else {
		printf("%s %s: %s", f->is_vf ? "vf" : "pf", f->name, event);
		if (*detail)
			fputs(", ", stdout);
		output_text(stdout, detail);
		putchar('\n');
	}
	fflush(stdout);
}

static void say_settings(const struct cli *cli, const struct vf_function *before,
			 const struct vf_function *now)
{
	unsigned differ = vf_settings_differ(&before->live, &now->live);
	char old[32], new[32], detail[120];

	for (unsigned key = 0; key < VF_KEYS; key++) {
		if (!(differ & VF_BIT(key)) || !(before->live.given & VF_BIT(key)))
			continue;
		vf_setting_format(&before->live, key, old, sizeof(old));
		vf_setting_format(&now->live, key, new, sizeof(new));
		snprintf(detail, sizeof(detail), "%s %s -> %s", vf_key_names[key], old, new);
		say(cli, now, "setting", detail);
	}
}

static void compare(const struct cli *cli, const struct vf_function *before,
		    const struct vf_function *now)
{
	char detail[120];

	if (strcmp(before->driver, now->driver)) {
		snprintf(detail, sizeof(detail), "%s -> %s",
			 before->driver[0] ? before->driver : "none",
			 now->driver[0] ? now->driver : "none");
		say(cli, now, "driver", detail);
	}
	if (before->carrier != now->carrier)
		say(cli, now, now->carrier ? "link-up" : "link-down", now->ifname);
	if (strcmp(before->owner, now->owner))
		say(cli, now, now->owner[0] ? "held" : "released",
		    now->owner[0] ? now->owner : before->owner);
	if (before->num_vfs != now->num_vfs) {
		snprintf(detail, sizeof(detail), "%u -> %u", before->num_vfs, now->num_vfs);
		say(cli, now, "vfs", detail);
	}
	say_settings(cli, before, now);
}

/* What is in `now` against `before`; with `gone` only what is no more. */
static void tell_changes(const struct cli *cli, struct vf_host *before, struct vf_host *now,
			 bool gone)
{
	for (unsigned i = 0; i < now->pf_count; i++) {
		const struct vf_function *pf = now->pfs[i];

		for (unsigned v = 0; v <= pf->vf_count; v++) {
			const struct vf_function *f = v ? &pf->vfs[v - 1] : pf;
			const struct vf_function *other = vf_find(before, f->name);

			if (!other)
				say(cli, f, gone ? "vanished" : "appeared", "");
			else if (!gone)
				compare(cli, other, f);
		}
	}
}

static int on_device(sd_device_monitor *monitor, sd_device *device, void *data)
{
	(void)monitor, (void)device, (void)data;
	return 0; /* it woke the loop, which looks at everything */
}

/* Wakes the loop for what the kernel announces; where it cannot, the interval does. */
static sd_device_monitor *open_monitor(const struct cli *cli, sd_event *loop)
{
	static const char *const subsystems[] = {"pci", "net", "infiniband"};
	sd_device_monitor *monitor = NULL;

	if (cli->root || sd_device_monitor_new(&monitor) < 0)
		return NULL;
	for (unsigned i = 0; i < 3; i++)
		if (sd_device_monitor_filter_add_match_subsystem_devtype(monitor, subsystems[i],
									 NULL) < 0)
			return sd_device_monitor_unref(monitor);
	if (sd_device_monitor_attach_event(monitor, loop) < 0 ||
	    sd_device_monitor_start(monitor, on_device, NULL) < 0)
		return sd_device_monitor_unref(monitor);
	return monitor;
}

#define LOOK (VF_LOOK_SETTINGS | VF_LOOK_USERS)

static int watch(struct cli *cli, struct vf_host *before, sd_event *loop)
{
	int status = CLI_DONE;

	for (unsigned turn = 0; status == CLI_DONE && (!cli->count || turn < cli->count); turn++) {
		struct vf_host now;
		int error = sd_event_run(loop, (uint64_t)cli->interval_ms * 1000);

		if (error < 0 && error != -EINTR)
			return cli_fail(cli, "waiting: %s", strerror(-error));
		status = vf_open(cli, &now, LOOK);
		if (status == CLI_DONE) {
			tell_changes(cli, &now, before, true);
			tell_changes(cli, before, &now, false);
		}
		vf_close(before);
		*before = now;
	}
	return status;
}

int cmd_vf_watch(struct cli *cli)
{
	sd_device_monitor *monitor = NULL;
	sd_event *loop = NULL;
	struct vf_host host;
	int status = vf_open(cli, &host, LOOK);

	if (status == CLI_DONE) {
		output_need(sd_event_new(&loop) >= 0);
		monitor = open_monitor(cli, loop);
		status = watch(cli, &host, loop);
	}
	sd_device_monitor_unref(monitor);
	sd_event_unref(loop);
	vf_close(&host);
	return status;
}
