/* SPDX-License-Identifier: BSD-2-Clause */
/* One of everything that has to do with a partition's events; see world.h. */
#include "world.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

struct shim shim;
struct partition partition;
struct device devices[2];
char conn, other_conn;
pid_t program = 4711, said_pid;
struct told told = {.storage_fd = -1, .alert_fd = -1};
static char adjuncts[2];

/* ---- More calls that can fail: see fault.h -------------------------------------- */

#define STAND_IN(type, name, failure, parameters, arguments) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fault_due(#name) ? (type)(failure) : __real_##name arguments; \
	}

STAND_IN(int, epoll_create1, -1, (int flags), (flags))
STAND_IN(int, epoll_ctl, -1, (int epoll, int operation, int fd, struct epoll_event *event),
	 (epoll, operation, fd, event))
STAND_IN(void *, mmap, MAP_FAILED, (void *at, size_t bytes, int protection, int flags, int fd, off_t from),
	 (at, bytes, protection, flags, fd, from))

/* ---- The rest of the shim ----------------------------------------------------- */

struct peer_identity attachment_identity(const struct attachment *attachment)
{
	cr_assert_eq(attachment, (void *)&program);
	return (struct peer_identity){.pid = program};
}

static void told_clear(void)
{
	json_decref(told.parameters);
	if (told.storage_fd >= 0) {
		close(told.storage_fd);
		close(told.alert_fd);
	}
	told.parameters = NULL;
	told.storage_fd = told.alert_fd = -1;
}

void peer_call(struct peer *peer, const char *method, json_t *parameters, const int *fds,
	       unsigned fd_count, uint64_t timeout_ms, peer_answer_fn callback, void *data)
{
	cr_assert_str_eq(method, "org.outrigger.Adjunct.AttachEvents");
	cr_assert(fd_count == 2 && timeout_ms);
	told_clear();
	told.count++;
	told.device = &devices[(char *)peer - adjuncts];
	told.parameters = parameters;
	fault_hold(true);
	told.storage_fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	told.alert_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
	fault_hold(false);
	told.callback = callback;
	told.data = data;
	cr_assert(told.storage_fd >= 0 && told.alert_fd >= 0);
}

void adjunct_answers(const char *problem)
{
	peer_answer_fn callback = told.callback;

	cr_assert_not_null(callback, "the adjunct was asked nothing");
	told.callback = NULL;
	callback(told.data, problem, NULL);
}

/* ---- The program's call --------------------------------------------------------- */

struct varlink_conn *varlink_call_conn(const struct varlink_call *call)
{
	return (struct varlink_conn *)(uintptr_t)(call->conn ? call->conn : &conn);
}

int varlink_conn_peer(const struct varlink_conn *of, pid_t *pid, uid_t *uid)
{
	(void)of;
	if (fault_due("varlink_conn_peer"))
		return -errno;
	*pid = said_pid ? said_pid : program;
	*uid = geteuid();
	return 0;
}

void varlink_call_on_cancel(struct varlink_call *call, void (*callback)(void *data), void *data)
{
	call->cancel = callback;
	call->cancel_data = data;
}

static void errs(struct varlink_call *call, const char *error)
{
	snprintf(call->error, sizeof(call->error), "%s", strrchr(error, '.') + 1);
	call->errors++;
}

bool varlink_call_unpack(struct varlink_call *call, json_t *parameters, const char *format, ...)
{
	va_list out;

	va_start(out, format);
	bool unpacked = !json_vunpack_ex(parameters, NULL, JSON_STRICT, format, out);
	va_end(out);
	if (!unpacked)
		varlink_error_parameter(call, "what was given");
	return unpacked;
}

void varlink_error_parameter(struct varlink_call *call, const char *parameter)
{
	cr_assert_not_null(parameter);
	errs(call, ".InvalidParameter");
}

void varlink_errorf(struct varlink_call *call, const char *error, const char *format, ...)
{
	cr_assert_not_null(format);
	errs(call, error);
}

void varlink_reply(struct varlink_call *call, json_t *parameters)
{
	call->answer = parameters;
	call->replies++;
}

void varlink_reply_fds(struct varlink_call *call, json_t *parameters, const int *fds,
		       unsigned fd_count)
{
	varlink_reply(call, parameters);
	call->fd_count = fd_count;
	cr_assert_leq(fd_count, 3u);
	for (unsigned i = 0; i < fd_count; i++)
		call->fds[i] = dup(fds[i]);
}

void ask(handler *handle, struct varlink_call *call, const char *parameters)
{
	fault_hold(true);
	json_t *json = json_loads(parameters, 0, NULL);
	fault_hold(false);
	cr_assert_not_null(json, "%s", parameters);
	handle(&partition, call, json);
	json_decref(json);
	cr_assert_leq(call->errors + call->replies, 1u, "%s", parameters);
}

void call_clear(struct varlink_call *call)
{
	for (unsigned i = 0; i < call->fd_count; i++)
		close(call->fds[i]);
	json_decref(call->answer);
	*call = (struct varlink_call){0};
}

void refused(handler *handle, const char *parameters, const char *error)
{
	struct varlink_call call = {0};

	ask(handle, &call, parameters);
	cr_expect_eq(call.replies, 0u, "%s", parameters);
	cr_expect_str_eq(call.error, error, "%s: %s", parameters, call.error);
	call_clear(&call);
}

/* ---- One of everything ------------------------------------------------------------ */

unsigned descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert_not_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

void devices_run(void)
{
	for (unsigned i = 0; i < 2; i++) {
		events_device_running(&devices[i]);
		cr_assert_not_null(devices[i].events);
		adjunct_answers(NULL);
	}
}

void devices_go(void)
{
	for (unsigned i = 0; i < 2; i++)
		events_device_gone(&devices[i]);
	told_clear();
}

void set_up(void)
{
	log_open("events", (enum log_level)0); /* what it writes would be counted */
	cr_assert(sd_event_new(&shim.event) >= 0);
	cr_assert_eq(forwarder_start(&shim), 0);
	shim.partitions = &partition;
	partition.shim = &shim;
	partition.devices = &devices[0];
	strcpy(partition.name, "red");
	for (unsigned i = 0; i < 2; i++) {
		devices[i].partition = &partition;
		devices[i].next = i ? NULL : &devices[1];
		devices[i].adjunct = (struct peer *)&adjuncts[i];
		devices[i].attachment = (struct attachment *)&program;
		snprintf(devices[i].spec.name, sizeof(devices[i].spec.name), "net%u", i);
	}
}

void tear_down(void)
{
	devices_go();
	events_partition_gone(&partition);
	forwarder_stop(shim.forwarder);
	sd_event_unref(shim.event);
}
