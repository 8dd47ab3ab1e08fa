/* SPDX-License-Identifier: BSD-2-Clause */
/* One of everything that holds a device or is asked about it; see world.h. */
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

struct shim shim;
struct partition partition;
struct device device;
char keeper, adjunct, conn, other_conn; /* only their addresses are used */
pid_t program;

/* ---- The shim ------------------------------------------------------------- */

struct question questions[8];
unsigned question_count, saved, steps, recovered;
char step_problem[SHIM_MESSAGE_BYTES];
bool path_too_long;
uint64_t start_time;
int start_problem;

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
void answer_with(const char *method, const char *said, struct varlink_answer *answer)
{
	struct question first = questions[0];

	cr_assert_gt(question_count, 0u, "%s was not asked", method);
	cr_assert_str_eq(first.method, method);
	memmove(questions, questions + 1, --question_count * sizeof(*questions));
	first.callback(first.data, said, answer);
}

void answered(const char *method, const char *said)
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

void partition_join_peer(const struct partition *of, const struct varlink_conn *peer)
{
	cr_assert_eq(of, &partition);
	cr_assert_eq(peer, (void *)&conn);
	joined++;
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

unsigned standbys, events_dropped, joined;

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

int peer_error;
pid_t said_pid;

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
struct vhost_session the_session;
const struct vhost_session_ops *session_ops;
void *session_data;
int save_result, restore_result, own_result, back_end_result, session_result;
unsigned gone, left, freed;

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

bool due_waits;
unsigned done_here, done_there, undecided_ended, undecided;

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

bool keeper_has_ended;

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

void set_up(void)
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

void tear_down(void)
{
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	sd_event_unref(shim.event);
}
