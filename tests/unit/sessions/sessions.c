/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds a device: a native device's program (hv-shim/attachment.c), a
 * vhost-user device's guest (device_vhost.c). The rest of the shim, the keeper
 * and the adjunct are this test, which answers their calls when it likes: late,
 * with a problem, or after everything else has gone. Each test is one process.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_layout.h"

#include "../fault.h"
#include "../../../hv-shim/events/events.h"
#include "../../../hv-shim/shim.h"
#include "../../../hv-shim/spawn.h"
#include "../../../hv-shim/vhost.h"

static struct shim shim;
static struct partition partition;
static struct device device;
static char keeper, adjunct, conn, other_conn; /* only their addresses are used */
static pid_t program;

/* ---- The shim ------------------------------------------------------------- */

static struct question {
	char method[64];
	peer_answer_fn callback;
	void *data;
	unsigned fd_count;
} questions[8];
static unsigned question_count, saved, steps, recovered;
static char step_problem[SHIM_MESSAGE_BYTES];
static bool path_too_long;
static uint64_t start_time;
static int start_problem;

void peer_call(struct peer *peer, const char *method, json_t *parameters, const int *fds,
	       unsigned fd_count, uint64_t timeout_ms, peer_answer_fn callback, void *data)
{
	struct question *question = &questions[question_count++];

	(void)fds;
	cr_assert(peer == (void *)&keeper || peer == (void *)&adjunct);
	cr_assert(timeout_ms && question_count <= 8);
	snprintf(question->method, sizeof(question->method), "%s", strrchr(method, '.') + 1);
	question->callback = callback;
	question->data = data;
	question->fd_count = fd_count;
	json_decref(parameters);
}

/* The oldest question that is still open, which must be that one. */
static void answer_with(const char *method, const char *said, struct varlink_answer *answer)
{
	struct question first = questions[0];

	cr_assert_gt(question_count, 0u, "%s was not asked", method);
	cr_assert_str_eq(first.method, method);
	memmove(questions, questions + 1, --question_count * sizeof(*questions));
	first.callback(first.data, said, answer);
}

static void answered(const char *method, const char *said)
{
	struct varlink_answer answer = {0};

	answer_with(method, said, &answer);
}

void state_changed(struct shim *of)
{
	cr_assert_eq(of, &shim);
	saved++;
}

int state_save(struct shim *of)
{
	state_changed(of);
	return 0;
}

int spawn_start_time(pid_t pid, uint64_t *out)
{
	cr_assert_eq(pid, program);
	*out = start_time;
	return start_problem;
}

void device_label(const struct device *of, char out[DEVICE_LABEL_BYTES])
{
	snprintf(out, DEVICE_LABEL_BYTES, "%s.%s", of->partition->name, of->spec.name);
}

void device_step_done(struct device *of, const char *said)
{
	cr_assert_eq(of, &device);
	steps++;
	snprintf(step_problem, sizeof(step_problem), "%s", said ? said : "");
}

void device_recover(struct device *of, const char *format, ...)
{
	(void)of;
	(void)format;
	recovered++;
}

int shim_path(const struct shim *of, const char *kind, const char *name, const char *suffix,
	      char out[SHIM_PATH_BYTES])
{
	(void)of;
	snprintf(out, SHIM_PATH_BYTES, "/nowhere/%s/%s%s", kind, name, suffix);
	return path_too_long ? -ENAMETOOLONG : 0;
}

static unsigned standbys, events_dropped;

void standby_attach(struct device *of, const int *fds, unsigned fd_count)
{
	(void)of;
	(void)fds;
	cr_assert_gt(fd_count, NET_BELLS);
	standbys++;
}

void standby_detach(struct device *of)
{
	(void)of;
	standbys = 0;
}

const struct step device_stop_steps[] = {{NULL}};

void events_raise(struct device *of, const char *event)
{
	cr_assert(device_undoing(of));
	cr_assert_str_eq(event, "device-failed");
	events_dropped++;
}

void guest_drop_device(struct device_events *events)
{
	events->guest = NULL;
	events_dropped++;
}

void events_attach(struct device *of, void (*done)(void *data, const char *said), void *data)
{
	(void)of;
	(void)done;
	(void)data;
	events_dropped++;
}

/* ---- The program's call ------------------------------------------------------ */

struct varlink_call {
	unsigned errors, replies, fd_count;
	void (*cancel)(void *data);
	void *cancel_data;
};
static int peer_error;
static pid_t said_pid;

struct varlink_conn *varlink_call_conn(const struct varlink_call *call)
{
	(void)call;
	return (struct varlink_conn *)&conn;
}

int varlink_conn_peer(const struct varlink_conn *of, pid_t *pid, uid_t *uid)
{
	(void)of;
	*pid = said_pid ? said_pid : program;
	*uid = geteuid();
	return peer_error;
}

void varlink_call_on_cancel(struct varlink_call *call, void (*callback)(void *data), void *data)
{
	call->cancel = callback;
	call->cancel_data = data;
}

void varlink_errorf(struct varlink_call *call, const char *error, const char *format, ...)
{
	(void)error;
	(void)format;
	call->errors++;
}

void varlink_reply_fds(struct varlink_call *call, json_t *parameters, const int *fds,
		       unsigned fd_count)
{
	for (unsigned i = 0; i < fd_count; i++)
		cr_assert_geq(fcntl(fds[i], F_GETFD), 0);
	json_decref(parameters);
	call->replies++;
	call->fd_count = fd_count;
}

/* ---- The guest's session -------------------------------------------------------- */

struct vhost_session {
	int one;
};
static struct vhost_session the_session;
static const struct vhost_session_ops *session_ops;
static void *session_data;
static int save_result, restore_result, own_result, back_end_result, session_result;
static unsigned gone, left, freed;

int vhost_session_new(sd_event *event, const char *label, const char *path,
		      const struct vhost_session_ops *ops, void *data, struct vhost_session **out)
{
	cr_assert_eq(event, shim.event);
	cr_assert_str_eq(label, "red.net0");
	cr_assert_str_eq(path, "/nowhere/vhost/red.net0.sock");
	session_ops = ops;
	session_data = data;
	*out = &the_session;
	return session_result;
}

void vhost_session_free(struct vhost_session *session, bool ended)
{
	cr_assert_eq(session, &the_session);
	(void)ended;
	freed++;
}

int vhost_session_own(struct vhost_session *session, uid_t owner)
{
	(void)session;
	cr_assert_eq(owner, partition.uid);
	return own_result;
}

int vhost_session_back_end(struct vhost_session *session, const char *path)
{
	(void)session;
	cr_assert_str_eq(path, device.slot ? "/nowhere/adjunct/red.net0.1.vhost"
					   : "/nowhere/adjunct/red.net0.vhost");
	return back_end_result;
}

static bool due_waits;
static unsigned done_here, done_there, undecided_ended, undecided;

bool vhost_session_due(struct vhost_session *session, struct vhost_due *due)
{
	bool waits = due_waits;

	(void)session;
	due_waits = false;
	if (waits)
		*due = (struct vhost_due){.serial = 1, .skip_bytes = 12, .answer_bytes = 20};
	return waits;
}

void vhost_session_done(struct vhost_session *session, const struct vhost_due *due,
			const char *said)
{
	(void)session;
	cr_assert_eq(due->serial, 1u);
	done_here += said != NULL;
	done_there += said == NULL;
}

void vhost_session_undecided(struct vhost_session *session, const struct vhost_due *due,
			     bool ended)
{
	(void)session;
	cr_assert_eq(due->serial, 1u);
	undecided += !ended;
	undecided_ended += ended;
}

static bool keeper_has_ended;

bool peer_has_ended(const struct peer *peer)
{
	cr_assert_eq(peer, (void *)&keeper);
	return keeper_has_ended;
}

void vhost_session_back_end_gone(struct vhost_session *session)
{
	(void)session;
	gone++;
}

void vhost_session_back_end_leave(struct vhost_session *session)
{
	(void)session;
	left++;
}

int vhost_session_save(const struct vhost_session *session, int fds[VHOST_SAVE_FDS])
{
	(void)session;
	if (save_result > 0)
		fds[0] = dup(0); /* the session's others stay its own */
	return save_result;
}

int vhost_session_restore(struct vhost_session *session, int *fds, unsigned count)
{
	(void)session;
	(void)fds;
	(void)count;
	return restore_result;
}

/* ---- Programs -------------------------------------------------------------------- */

static void set_up(void)
{
	fault_json();
	program = fork();
	if (!program) {
		pause();
		_exit(0);
	}
	cr_assert(sd_event_new(&shim.event) >= 0);
	shim.partitions = &partition;
	partition.shim = &shim;
	partition.devices = &device;
	partition.keeper = (struct peer *)&keeper;
	partition.uid = 77;
	strcpy(partition.name, "red");
	device.partition = &partition;
	device.adjunct = (struct peer *)&adjunct;
	device.state = STATE_RUNNING;
	strcpy(device.spec.name, "net0");
	device.spec.kind = ADJ_PORT_NATIVE;
	device.spec.ring_entries = 64;
	start_time = 5;
}

static void tear_down(void)
{
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	sd_event_unref(shim.event);
}

TestSuite(attachment, .init = set_up, .fini = tear_down, .timeout = 30);
TestSuite(device_vhost, .init = set_up, .fini = tear_down, .timeout = 30);

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

/* ---- Guests ------------------------------------------------------------------------ */

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
