/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds a vhost-user device: its guest (hv-shim/devices/device_vhost.c).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_layout.h"

#include "world.h"

TestSuite(device_vhost, .init = set_up, .fini = tear_down, .timeout = 30);

static struct varlink_answer not_found = {.error = (char[]){"org.outrigger.Keeper.NotFound"}};
static struct varlink_answer full = {.error = (char[]){"org.outrigger.Keeper.Full"}};

static void vhost_open(void)
{
	device.spec.kind = ADJ_PORT_VHOST_USER;
	cr_assert_eq(device_vhost_open(&device), 0);
	cr_assert(device_vhost_opening(&device));
	answer_with("Fetch", "not found", &not_found);
	cr_assert_not(device_vhost_opening(&device));
	cr_assert_eq(steps, 1u);
}

Test(device_vhost, other_devices_have_none)
{
	cr_expect_eq(device_vhost_open(&device), 1);
	cr_expect_not(device_vhost_opening(&device));
	cr_expect_eq(device_vhost_connect(&device), 1);
	cr_expect_eq(device_vhost_own(&device), 0);
	device_vhost_detach(&device, true);
	device_vhost_detach(&device, false);
	device_vhost_close(&device, false);
	cr_expect_eq(question_count, 0u);
	/* One that was a vhost-user device before. */
	vhost_open();
	cr_expect_eq(device_vhost_open(&device), 1, "it is open");
	device.spec.kind = ADJ_PORT_TAP;
	cr_expect_eq(device_vhost_open(&device), 1);
	answer_with("Remove", "not found", &not_found);
	cr_expect_null(device.vhost);
	cr_expect_eq(freed, 1u);
}

Test(device_vhost, a_session_is_made_or_not)
{
	device.spec.kind = ADJ_PORT_VHOST_USER;
	partition.keeper = NULL;
	cr_expect_eq(device_vhost_open(&device), -ESRCH);
	partition.keeper = (struct peer *)&keeper;
	path_too_long = true;
	cr_expect_eq(device_vhost_open(&device), -ENAMETOOLONG);
	cr_expect_eq(device_vhost_connect(&device), 1);
	device_vhost_close(&device, true);
	answer_with("Remove", "has ended", NULL);
	path_too_long = false;
	fault_in("calloc", ENOMEM);
	cr_expect_eq(device_vhost_open(&device), -ENOMEM);
	cr_expect(fault_end());
	session_result = -ENAMETOOLONG;
	cr_expect_eq(device_vhost_open(&device), -ENAMETOOLONG);
	cr_expect_null(device.vhost);
}

Test(device_vhost, what_the_keeper_has_is_taken_up_or_ended)
{
	device.spec.kind = ADJ_PORT_VHOST_USER;
	for (unsigned row = 0; row < 5; row++) {
		struct varlink_answer nothing = {0};

		restore_result = row == 1 ? -EINVAL : 0;
		cr_assert_eq(device_vhost_open(&device), 0);
		if (row < 2)
			answer_with("Fetch", NULL, &nothing);
		else
			answer_with("Fetch", "does not answer",
				    row == 2 ? NULL : row == 3 ? &full : &nothing);
		cr_expect_eq(steps, row + 1);
		cr_expect_str_eq(step_problem, "");
		save_result = 0;
		while (sd_event_run(shim.event, 0) > 0)
			;
		/* What was kept and is of no use goes. */
		if (row < 2)
			answer_with("Remove", "is full", &full);
		device_vhost_close(&device, false);
	}
	cr_expect_eq(question_count, 0u);
}

Test(device_vhost, the_session_is_kept_as_it_changes)
{
	vhost_open();
	static const struct {
		int save;
		const char *asked;
	} rows[] = {{0, NULL}, {-EAGAIN, NULL}, {-EMFILE, NULL}, {3, "Store"}, {0, "Remove"}, {0, NULL}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		save_result = rows[i].save;
		session_ops->changed(session_data);
		session_ops->changed(session_data); /* once is enough */
		while (sd_event_run(shim.event, 0) > 0)
			;
		if (rows[i].asked)
			answered(rows[i].asked, i == 3 ? "is full" : NULL);
		cr_expect_eq(question_count, 0u, "row %u", i);
	}
	save_result = 3;
	session_ops->changed(session_data);
	partition.keeper = NULL;
	while (sd_event_run(shim.event, 0) > 0)
		;
	fault_in("sd_event_add_defer", ENOMEM);
	session_ops->changed(session_data);
	cr_expect(fault_end());
	partition.keeper = (struct peer *)&keeper;
	session_ops->changed(session_data);
	while (sd_event_run(shim.event, 0) > 0)
		;
	answered("Store", NULL);
	device_vhost_close(&device, true);
	answered("Remove", NULL);
	cr_expect_eq(question_count, 0u);
}

/* A guest's message is settled with the storing, by the keeper; or here; or nobody knows. */
Test(device_vhost, T07_a_message_is_settled_by_whoever_can)
{
	struct varlink_answer settled = {.parameters = json_pack("{s:b}", "settled", 1)};
	struct varlink_answer stored = {.parameters = json_object()};
	static const struct {
		int save;
		bool no_keeper, keeper_ended, keeper_gone;
		unsigned answer; /* 0: none at all; 1: stored; 2: settled; 3: full */
		unsigned here, there, undecided, undecided_ended;
	} rows[] = {
		{3, .answer = 2, .there = 1},
		{3, .answer = 1, .here = 1},
		{3, .answer = 3, .here = 1},
		{3, .undecided = 1},
		{3, .keeper_ended = true, .undecided_ended = 1},
		{3, .keeper_gone = true, .undecided_ended = 1},
		{0, .no_keeper = true, .here = 1},
		{-EMFILE, .here = 1},
	};

	vhost_open();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		due_waits = true;
		done_here = done_there = undecided = undecided_ended = 0;
		save_result = rows[i].save;
		partition.keeper = rows[i].no_keeper ? NULL : (struct peer *)&keeper;
		session_ops->changed(session_data);
		while (sd_event_run(shim.event, 0) > 0)
			;
		keeper_has_ended = rows[i].keeper_ended;
		if (rows[i].keeper_gone)
			partition.keeper = NULL;
		if (rows[i].save > 0 && !rows[i].answer)
			answer_with("Store", "does not answer", NULL);
		else if (rows[i].save > 0)
			answer_with("Store", rows[i].answer == 3 ? "is full" : NULL,
				    rows[i].answer == 2 ? &settled : &stored);
		cr_expect_eq(done_here, rows[i].here, "row %u", i);
		cr_expect_eq(done_there, rows[i].there, "row %u", i);
		cr_expect_eq(undecided, rows[i].undecided, "row %u", i);
		cr_expect_eq(undecided_ended, rows[i].undecided_ended, "row %u", i);
	}
	partition.keeper = (struct peer *)&keeper;
	/* Without memory to ask the keeper it waits for the next change. */
	due_waits = true;
	save_result = 3;
	session_ops->changed(session_data);
	fault_in("calloc", ENOMEM);
	while (sd_event_run(shim.event, 0) > 0)
		;
	cr_expect(fault_end());
	cr_expect(due_waits);
	/* The device closes while the keeper is at it. */
	session_ops->changed(session_data);
	while (sd_event_run(shim.event, 0) > 0)
		;
	device_vhost_close(&device, false);
	answer_with("Store", "is full", &full);
	json_decref(settled.parameters);
	json_decref(stored.parameters);
}

Test(device_vhost, the_adjunct_is_connected_to_and_let_go)
{
	vhost_open();
	cr_expect_eq(device_vhost_connect(&device), 0);
	device.slot = 1;
	cr_expect_eq(device_vhost_connect(&device), 0);
	session_ops->ready(session_data, NULL);
	cr_expect_str_eq(step_problem, "");
	session_ops->ready(session_data, "is of no use");
	cr_expect_str_eq(step_problem, "its adjunct is of no use");
	session_ops->lost(session_data, "closed its session");
	cr_expect_eq(recovered, 1u);
	device_vhost_detach(&device, false);
	device_vhost_detach(&device, true);
	cr_expect(left == 1 && gone == 1);
	cr_expect_eq(device_vhost_own(&device), 0);
	back_end_result = -ENAMETOOLONG;
	cr_expect_eq(device_vhost_connect(&device), -ENAMETOOLONG);
	own_result = -EPERM;
	cr_expect_eq(device_vhost_connect(&device), -EPERM);
	cr_expect_eq(device_vhost_own(&device), -EPERM);
	path_too_long = true;
	cr_expect_eq(device_vhost_connect(&device), -ENAMETOOLONG);
	partition.keeper = NULL;
	device_vhost_close(&device, true);
	cr_expect_eq(question_count, 0u, "what the keeper had went with it");
}

Test(device_vhost, a_keeper_that_ends_is_not_waited_for)
{
	device_vhost_keeper_lost(&device); /* of a device without a session */
	device.spec.kind = ADJ_PORT_VHOST_USER;
	cr_assert_eq(device_vhost_open(&device), 0);
	cr_assert(device_vhost_opening(&device));
	device_vhost_keeper_lost(&device);
	cr_expect_not(device_vhost_opening(&device));
	question_count = 0; /* the keeper's end took it along */
	partition.keeper = NULL;
	device_vhost_close(&device, true);
}
