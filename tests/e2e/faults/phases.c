/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The phases; see phases.h. The document has one device of each kind: a TAP with a
 * standby, a vhost-user one, and a native one whose adjunct is made of a region of
 * the partition, and serves a device of another partition as well.
 */
#include "phases.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

#define ADAPTER "version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 4}]\n"
static const char adapter_alone[] = ADAPTER;
static const char document[] = ADAPTER
	"partitions:\n"
	"  - name: red\n"
	"    devices: [{name: net0, kind: tap, address: 10.77.0.1/24,\n"
	"               vf: {adapter: soft0, index: 0}, adjunct: {standby: yes}},\n"
	"              {name: net1, kind: native, ring_entries: 64, shared: green/net0}]\n"
	"  - name: blue\n"
	"    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 1}}]\n"
	"  - name: green\n"
	"    regions: [{name: heap, size: 16M}]\n"
	"    devices: [{name: net0, kind: native, ring_entries: 64,\n"
	"               vf: {adapter: soft0, index: 2}, adjunct: {donate: heap, scope: global}}]\n";
#define ADJUNCTS 3

static char census_empty[100000], census_up[100000], census_held[100000];
/* Holds green's device through the phases in which others come and go. */
static struct program held;
static bool is_up; /* the document was applied and verified, and nothing done since */

/* ---- States -------------------------------------------------------------------------- */

static bool apply_all(struct rig *rig)
{
	bool hung;

	return apply(rig, document, false, &hung) && all_running(rig, ADJUNCTS);
}

/* On a machine with much else to do the daemon may take an adjunct for one that hangs
 * and replace it: a program that comes meanwhile is turned away. */
static bool program_works(struct rig *rig)
{
	for (uint64_t deadline = rig_deadline(); !program_try(rig); rig_pause())
		if (clock_now_ns() >= deadline)
			return false;
	return true;
}

static bool verify_up(struct rig *rig)
{
	is_up = apply_all(rig) && program_works(rig) && census_equals(rig, census_up);
	return is_up;
}

static bool take_down(struct rig *rig)
{
	bool hung;

	is_up = false;
	return ask(rig, "Down", NULL, &hung);
}

static bool let_go(void)
{
	return program_stop(&held);
}

static bool prepare_empty(struct rig *rig)
{
	return let_go() && (!is_up || take_down(rig)) && census_equals(rig, census_empty);
}

static bool verify_down(struct rig *rig)
{
	return take_down(rig) && census_equals(rig, census_empty);
}

static bool prepare_up(struct rig *rig)
{
	return let_go() && (is_up || verify_up(rig));
}

/* It loses its connections with the first daemon that dies under it, so that is done at once. */
static bool hold(struct rig *rig)
{
	return program_start(rig, &held) && daemon_kill(rig) &&
	       daemon_start(rig, FAULT_NONE, 0, -1) && daemon_wait(rig) &&
	       all_running(rig, ADJUNCTS) && program_round(&held);
}

static bool prepare_held(struct rig *rig)
{
	if (held.pid && is_up)
		return true;
	is_up = is_up && !held.pid;
	return prepare_up(rig) && hold(rig) && census_equals(rig, census_held);
}

/* ---- apply: from nothing to everything -------------------------------------------------- */

static bool act_apply(struct rig *rig, bool *hung)
{
	return apply(rig, document, false, hung);
}

static bool verify_applied(struct rig *rig)
{
	return verify_up(rig) && verify_down(rig);
}

/* ---- attach: a program opens its device and closes it ---------------------------------------- */

static bool act_attach(struct rig *rig, bool *hung)
{
	bool well = program_try(rig);

	*hung = !well && strstr(rig_problem, "hangs");
	return well;
}

/* ---- restart: of an adjunct that died, and of one on request ----------------------------------- */

/* Nobody is replaced while that cannot be; so long is it tried. */
#define LASTING_MS 1000

static bool act_restart(struct rig *rig, bool *hung)
{
	pid_t old = adjunct_pid(rig, "red.net0"), now = old;

	is_up = false;
	if (old > 0)
		kill(old, SIGKILL);
	uint64_t lasting = clock_now_ns() + LASTING_MS * NS_PER_MS;
	for (uint64_t deadline = rig_deadline(); now == old || now == 0; rig_pause()) {
		if (daemon_has_ended())
			return rig_fails("the daemon has ended");
		*hung = clock_now_ns() >= deadline;
		if (*hung || (rig->lasting && clock_now_ns() >= lasting))
			return rig_fails("red's adjunct is not replaced");
		now = adjunct_pid(rig, "red.net0");
	}
	return ask(rig, "RestartAdjunct", "{\"name\": \"green.net0\"}", hung) && program_round(&held);
}

static bool verify_held(struct rig *rig)
{
	is_up = false;
	if (!apply_all(rig))
		return false;
	/* A device that failed has been taken from its program. */
	if (rig->lasting && !program_round(&held) && !(let_go() && hold(rig)))
		return false;
	is_up = program_round(&held) && census_equals(rig, census_held);
	return is_up;
}

/* ---- prune: every partition goes, the adapter stays -------------------------------------------------- */

static bool act_prune(struct rig *rig, bool *hung)
{
	is_up = false;
	return apply(rig, adapter_alone, true, hung);
}

static bool verify_pruned(struct rig *rig)
{
	bool hung;

	return apply(rig, adapter_alone, true, &hung) && functions_free(rig) && verify_down(rig);
}

/* ---- down: everything goes ------------------------------------------------------------------------------ */

static bool act_down(struct rig *rig, bool *hung)
{
	is_up = false;
	return ask(rig, "Down", NULL, hung);
}

/* ---- start: a new daemon takes up what the last one left ---------------------------------------------- */

static bool act_start(struct rig *rig, bool *hung)
{
	*hung = false;
	bool well = daemon_wait(rig) && all_running(rig, ADJUNCTS);
	*hung = !well && strstr(rig_problem, "does not answer");
	return well;
}

/* Data flows, whoever has just been killed. */
static bool frames_flow(struct rig *rig)
{
	(void)rig;
	return program_round(&held);
}

/* ---- resume: the same, after a daemon that was killed in the middle of apply ---------------------------- */

#define MIDDLE_OF_APPLY 400

static bool prepare_middle(struct rig *rig)
{
	bool hung;

	if (!prepare_empty(rig))
		return false;
	tracer_arm(FAULT_KILL, MIDDLE_OF_APPLY);
	if (apply(rig, document, false, &hung) || !daemon_join(rig))
		return rig_fails("the daemon was not killed in the middle of apply");
	return true;
}

static bool act_resume(struct rig *rig, bool *hung)
{
	*hung = false;
	return daemon_wait(rig) && apply(rig, document, false, hung) && all_running(rig, ADJUNCTS);
}

static const struct phase phases[] = {
	{"apply", prepare_empty, false, act_apply, NULL, verify_applied, 150, 0},
	{"attach", prepare_up, false, act_attach, NULL, verify_up, 150, 1},
	{"restart", prepare_held, false, act_restart, NULL, verify_held, 150, 2},
	{"prune", prepare_up, false, act_prune, NULL, verify_pruned, 150, 3},
	{"down", prepare_up, false, act_down, NULL, verify_down, 150, 6},
	{"start", prepare_held, true, act_start, frames_flow, verify_held, 0, 4},
	{"resume", prepare_middle, true, act_resume, NULL, verify_applied, 0, 5},
};

const struct phase *phase_find(const char *name)
{
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (!strcmp(phases[i].name, name))
			return &phases[i];
	return NULL;
}

/* ---- Beginning and end ------------------------------------------------------------------------------------- */

/* Until nothing changes any more, a second long: standbys start when all else is done. */
static void settle(struct rig *rig, char *text, size_t text_bytes)
{
	static char before[100000];
	unsigned same = 0;

	for (uint64_t deadline = rig_deadline(); same < 100 && clock_now_ns() < deadline;) {
		census_take(rig, text, text_bytes);
		same = strcmp(text, before) ? 0 : same + 1;
		strcpy(before, text);
		for (int i = 0; i < 5; i++)
			rig_pause();
	}
}

bool phases_measure(struct rig *rig)
{
	bool hung;

	if (!apply_all(rig) || !program_works(rig))
		return false;
	settle(rig, census_up, sizeof(census_up));
	if (!strstr(census_up, "process outrigger-adjunct-ethdev red.net0 * 2\n"))
		return rig_fails("no standby, or it is not seen:\n%.1500s", census_up);
	if (!hold(rig))
		return false;
	settle(rig, census_held, sizeof(census_held));
	if (!let_go() || !census_equals(rig, census_up) || !ask(rig, "Down", NULL, &hung))
		return false;
	settle(rig, census_empty, sizeof(census_empty));
	return true;
}

bool phases_begin(struct rig *rig)
{
	bool hung;

	let_go();
	is_up = false;
	/* The saved state is written when there is something to save for the first time. */
	return apply(rig, adapter_alone, false, &hung) && take_down(rig);
}

bool phases_end(struct rig *rig)
{
	return let_go() && (!is_up || take_down(rig)) && census_equals(rig, census_empty);
}
