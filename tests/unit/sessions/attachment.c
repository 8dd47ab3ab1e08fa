/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds a native device: its program (hv-shim/devices/attachment.c).
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

TestSuite(attachment, .init = set_up, .fini = tear_down, .timeout = 30);

static void open_device(struct varlink_call *call)
{
	attachment_open(&device, call);
	answered("Store", NULL);
	answered("AttachPort", NULL);
	cr_assert_eq(call->replies, 1u);
}

Test(attachment, a_program_opens_the_device_and_ends)
{
	struct varlink_call call = {0};

	open_device(&call);
	cr_expect_eq(call.fd_count, 1u + NET_BELLS);
	cr_expect_not(device.attaching);
	cr_expect_eq(attachment_identity(device.attachment).pid, program);
	cr_expect_eq(attachment_conn(device.attachment), (void *)&conn);
	kill(program, SIGKILL);
	cr_assert_gt(sd_event_run(shim.event, 10 * 1000 * 1000), 0);
	cr_expect_null(device.attachment);
	answered("DetachPort", "does not answer");
	answered("Remove", "does not answer");
	cr_expect_eq(call.errors, 0u);
}

/* Who has its adjunct's work done on its own processor, or has a share to keep to. */
Test(attachment, a_program_that_becomes_its_partitions)
{
	static const struct {
		int cpu;
		int64_t cpus_milli;
		unsigned joined;
	} rows[] = {
		{DOC_CPU_SHARED, 0, 0}, {DOC_CPU_DEDICATED, 0, 0}, {DOC_CPU_DONATED, 0, 1},
		{DOC_CPU_SHARED, 500, 1}, {DOC_CPU_DONATED, 500, 1},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct varlink_call call = {0};

		joined = 0;
		device.spec.adjunct.cpu = rows[i].cpu;
		partition.cpus_milli = rows[i].cpus_milli;
		open_device(&call);
		cr_expect_eq(joined, rows[i].joined, "row %u", i);
		attachment_close(device.attachment);
		question_count = 0;
	}
}

/* Not all of it is told, and nothing is left. */
Test(attachment, a_program_that_comes_and_goes_without_end)
{
	for (unsigned i = 0; i < 200; i++) {
		struct varlink_call call = {0};

		open_device(&call);
		attachment_close(device.attachment);
		question_count = 0;
	}
}

/* ---- A device that another partition's adjunct serves ---------------------------- */

static struct device server;

static void share(void)
{
	server.partition = &partition;
	server.adjunct = (struct peer *)&adjunct;
	strcpy(server.spec.name, "up");
	strcpy(device.spec.shared, "red/up");
	device.next = &server;
}

Test(attachment, a_client_is_opened_at_whom_serves_it)
{
	struct varlink_call call = {0};

	share();
	open_device(&call);
	attachment_close(device.attachment);
	answered("DetachPort", NULL);
	answered("Remove", NULL);
	cr_expect_eq(call.errors, 0u);
}

Test(attachment, a_client_whose_server_is_gone_is_opened_no_more)
{
	struct varlink_call call = {0};

	share();
	attachment_open(&device, &call);
	device.next = NULL;
	answered("Store", NULL);
	cr_expect(call.errors == 1 && !call.replies);
	cr_expect_null(device.attachment);
	answered("Remove", NULL);
	/* Or it goes later: there is nobody to tell. */
	call = (struct varlink_call){0};
	share();
	open_device(&call);
	device.next = NULL;
	attachment_close(device.attachment);
	answered("Remove", NULL);
	cr_expect_eq(question_count, 0u);
}

Test(attachment, a_client_that_is_taken_down_waits_for_its_server)
{
	struct varlink_call call = {0};

	share();
	attachment_open(&device, &call);
	answered("Store", NULL);
	device.walk = device_stop_steps;
	answered("AttachPort", NULL);
	cr_expect_eq(steps, 1u, "the walk goes on");
	cr_expect(!call.replies);
	attachment_close(device.attachment);
	cr_expect_eq(call.errors, 1u);
}


Test(attachment, a_device_is_opened_or_says_why_not)
{
	for (unsigned n = 1; fault_round(n); n++) {
		struct varlink_call call = {0};

		question_count = 0;
		fault_start(n, EMFILE);
		attachment_open(&device, &call);
		bool failed = fault_end();

		cr_assert_eq(call.errors, device.attachment ? 0u : 1u, "call %u", n);
		cr_expect(failed || device.attachment);
		attachment_close(device.attachment);
	}
	struct varlink_call call = {0};

	attachment_close(NULL);
	peer_error = -EIO;
	attachment_open(&device, &call);
	peer_error = 0;
	device.spec.ring_entries = 3;
	attachment_open(&device, &call);
	cr_expect_eq(call.errors, 2u);
	cr_expect_null(device.attachment);
}

/* Each answer comes when it is of no use any more, or says that something went wrong. */
Test(attachment, a_device_that_cannot_be_attached)
{
	struct varlink_call call = {0};

	attachment_open(&device, &call);
	answered("Store", "is full");
	cr_expect_eq(call.errors, 1u);
	cr_expect_null(device.attachment);
	question_count = 0;

	attachment_open(&device, &call);
	device.adjunct = NULL;
	answered("Store", NULL);
	cr_expect_eq(call.errors, 2u);
	device.adjunct = (struct peer *)&adjunct;
	question_count = 0;

	attachment_open(&device, &call);
	answered("Store", NULL);
	answered("AttachPort", "refuses");
	cr_expect_eq(call.errors, 3u);
	question_count = 0;

	/* The program goes between the two questions, or after both. */
	attachment_open(&device, &call);
	call.cancel(call.cancel_data);
	answered("Store", NULL);
	cr_expect_not(device.attaching);
	question_count = 0;
	attachment_open(&device, &call);
	answered("Store", NULL);
	call.cancel(call.cancel_data);
	answered("AttachPort", NULL);
	cr_expect_eq(call.errors, 3u, "nobody is there to be told");
	cr_expect_null(device.attachment);
	question_count = 0;

	/* A call that was answered already: its attachment is left alone. */
	open_device(&call);
	attachment_close(device.attachment);
	question_count = 0;
	attachment_open(&device, &call);
	attachment_close(device.attachment);
	cr_expect_eq(call.errors, 4u, "the device is taken down meanwhile");
}

Test(attachment, nothing_is_asked_of_those_who_are_gone)
{
	static const struct {
		bool keeper, adjunct, running, closing, events, guest, undoing;
		unsigned asked, dropped;
	} rows[] = {
		{true, true, true, false, false, false, false, 2, 0},
		{false, true, true, false, true, false, false, 1, 0},
		{true, false, true, false, true, true, false, 1, 2},
		{true, true, false, false, true, true, true, 1, 3},
		{true, true, true, true, true, true, false, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct varlink_call call = {0};

		struct device_events events = {.guest = rows[i].guest ? (void *)&other_conn : NULL};

		open_device(&call);
		cr_expect_eq(standbys, 1u, "a standby is attached, too");
		events_dropped = 0;
		device.events = rows[i].events ? &events : NULL;
		device.walk = rows[i].undoing ? device_stop_steps : NULL;
		partition.keeper = rows[i].keeper ? (struct peer *)&keeper : NULL;
		device.adjunct = rows[i].adjunct ? (struct peer *)&adjunct : NULL;
		device.state = rows[i].running ? STATE_RUNNING : STATE_STARTING;
		shim.closing = rows[i].closing;
		attachment_connection_closed(&shim, (struct varlink_conn *)&other_conn);
		cr_expect_not_null(device.attachment, "another program's");
		attachment_connection_closed(&shim, (struct varlink_conn *)&conn);
		cr_expect_null(device.attachment);
		attachment_connection_closed(&shim, (struct varlink_conn *)&conn);
		cr_expect_eq(question_count, rows[i].asked, "row %u", i);
		cr_expect_eq(events_dropped, rows[i].dropped, "row %u", i);
		cr_expect_eq(standbys, 0u);
		while (question_count)
			answered(questions[0].method, NULL);
		partition.keeper = (struct peer *)&keeper;
		device.adjunct = (struct peer *)&adjunct;
		device.state = STATE_RUNNING;
		device.events = NULL;
		shim.closing = false;
	}
}

Test(attachment, only_the_same_program_is_taken_up_again)
{
	struct peer_identity identity = {program, 5}, another = {program, 4};

	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = attachment_adopt(&device, identity);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
		attachment_close(device.attachment);
		question_count = 0;
	}
	cr_expect_eq(attachment_adopt(&device, another), -ESRCH, "its number was used again");
	cr_expect_null(device.attachment);
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	cr_expect_eq(attachment_adopt(&device, identity), -ESRCH);
}

Test(attachment, a_window_is_revoked_from_who_is_there)
{
	device.spec.kind = ADJ_PORT_TAP;
	attachment_revoke(&device);
	cr_expect_eq(question_count, 0u, "it has none");
	device.spec.kind = ADJ_PORT_NATIVE;
	attachment_revoke(&device);
	answered("DetachPort", NULL);
	answered("Remove", "there is none");
	device.adjunct = NULL;
	attachment_revoke(&device);
	answered("Remove", NULL);
	partition.keeper = NULL;
	attachment_revoke(&device);
	cr_expect_eq(question_count, 0u);
}

Test(attachment, a_program_that_comes_back_after_a_restart)
{
	struct peer_identity identity = {program, 5};

	cr_expect_not(attachment_is_left(NULL, (void *)&conn));
	cr_assert_eq(attachment_adopt(&device, identity), 0);
	cr_expect(attachment_is_left(device.attachment, (void *)&conn));
	peer_error = -EIO;
	cr_expect_not(attachment_is_left(device.attachment, (void *)&conn));
	peer_error = 0;
	start_time = 6;
	cr_expect_not(attachment_is_left(device.attachment, (void *)&conn), "its number was used again");
	start_time = 5;
	start_problem = -ESRCH;
	cr_expect_not(attachment_is_left(device.attachment, (void *)&conn));
	start_problem = 0;
	said_pid = program + 1;
	cr_expect_not(attachment_is_left(device.attachment, (void *)&conn), "another program's");
	said_pid = 0;
	attachment_resume(device.attachment, (void *)&conn);
	cr_expect_eq(attachment_conn(device.attachment), (void *)&conn);
	cr_expect_not(attachment_is_left(device.attachment, (void *)&conn));
	attachment_close(device.attachment);
}
