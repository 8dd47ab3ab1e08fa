/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes of the soft adapter's tests; see bench.h. */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "unix_socket.h"
#include "varlink.h"

#define INTERFACE "org.outrigger.Adapter."

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("Bail out! ");
	vprintf(format, arguments);
	printf("\n");
	va_end(arguments);
	exit(1);
}

static uint64_t deadline(void)
{
	return clock_now_ns() + PATIENCE_MS * NS_PER_MS;
}

static void build_path(char *out, size_t out_bytes, const char *name)
{
	const char *build = getenv("OTR_BUILD");

	snprintf(out, out_bytes, "%s/%s", build ? build : "build", name);
}

/* A child that ends with us. */
static pid_t spawn(char *const arguments[], int in, int out, int third)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if ((in >= 0 && dup2(in, 0) < 0) || (out >= 0 && dup2(out, 1) < 0) ||
	    (third >= 0 && dup2(third, 3) < 0))
		_exit(126);
	execv(arguments[0], arguments);
	_exit(127);
}

/* ---- The adapter ------------------------------------------------------- */

void adapter_spawn(struct adapter_process *adapter)
{
	char program[300], path[128];
	int listen_fd;

	*adapter = (struct adapter_process){0};
	snprintf(adapter->directory, sizeof(adapter->directory), "/tmp/outrigger-adapter-XXXXXX");
	if (!mkdtemp(adapter->directory))
		fail("mkdtemp: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/control.sock", adapter->directory);
	listen_fd = unix_listen(path, 0600);
	if (listen_fd < 0)
		fail("listen: %s", strerror(-listen_fd));
	/* dup2 to itself would leave close-on-exec set. */
	if (listen_fd == 3)
		listen_fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 4);
	build_path(program, sizeof(program), "libexec/outrigger/outrigger-soft-adapter");
	adapter->pid = spawn((char *const[]){program, NULL}, -1, -1, listen_fd);
	close(listen_fd);
	if (varlink_connect(path, &adapter->control) || varlink_connect(path, &adapter->monitor))
		fail("connect: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/vf", adapter->directory);
	if (mkdir(path, 0700))
		fail("mkdir: %s", strerror(errno));
}

void adapter_open(struct adapter_process *adapter, unsigned vfs)
{
	char path[128];

	adapter_spawn(adapter);
	snprintf(path, sizeof(path), "%s/vf", adapter->directory);
	adapter_do(
		adapter, "Start",
		json_pack("{s:s, s:s, s:i}", "name", "test", "directory", path, "vfs", (int)vfs));
	if (varlink_request(adapter->monitor, INTERFACE "Monitor", NULL, VARLINK_MORE, NULL, 0))
		fail("Monitor");
}

int adapter_wait(struct adapter_process *adapter)
{
	uint64_t until = deadline();
	int status;

	while (clock_now_ns() < until) {
		pid_t pid = waitpid(adapter->pid, &status, WNOHANG);

		if (pid == adapter->pid) {
			adapter->pid = 0;
			return status;
		}
		usleep(2000);
	}
	kill(adapter->pid, SIGKILL);
	fail("the adapter does not end");
}

int adapter_close(struct adapter_process *adapter)
{
	char path[128];
	int status = 0;

	/* Its sockets it cannot remove: the shim does, as here. */
	if (adapter->pid) {
		kill(adapter->pid, SIGTERM);
		status = adapter_wait(adapter);
	}
	varlink_conn_free(adapter->control);
	varlink_conn_free(adapter->monitor);
	snprintf(path, sizeof(path), "%s/control.sock", adapter->directory);
	unlink(path);
	for (int vf = 0; vf < 64; vf++) {
		snprintf(path, sizeof(path), "%s/vf/vf%d", adapter->directory, vf);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/vf", adapter->directory);
	if (rmdir(path) || rmdir(adapter->directory))
		fail("%s is not empty", adapter->directory);
	return status;
}

json_t *adapter_call(struct adapter_process *adapter, const char *method, json_t *parameters,
		     const char **error)
{
	static char last_error[100];
	struct varlink_answer answer;
	char name[64];
	json_t *result = NULL;
	int status;

	snprintf(name, sizeof(name), INTERFACE "%s", method);
	status = varlink_call_method(adapter->control, name, parameters, NULL, 0, deadline(),
				     &answer);
	if (status)
		fail("%s: %s", method, strerror(-status));
	if (answer.error) {
		snprintf(last_error, sizeof(last_error), "%s", answer.error);
		*error = last_error;
	} else {
		result = json_incref(answer.parameters);
	}
	varlink_answer_clear(&answer);
	return result;
}

void adapter_do(struct adapter_process *adapter, const char *method, json_t *parameters)
{
	const char *error;
	json_t *answer = adapter_call(adapter, method, parameters, &error);

	if (!answer)
		fail("%s: %s", method, error);
	json_decref(answer);
}

void adapter_configure(struct adapter_process *adapter, int vf, const char *settings)
{
	json_t *json = json_loads(settings, 0, NULL);

	if (!json)
		fail("not JSON: %s", settings);
	adapter_do(adapter, "ConfigureVf", json_pack("{s:i, s:o}", "index", vf, "settings", json));
}

void adapter_fault(struct adapter_process *adapter, int vf, const char *fault, long value)
{
	adapter_do(adapter, "SetFault",
		   json_pack("{s:i, s:s, s:I}", "index", vf, "fault", fault, "value",
			     (json_int_t)value));
}

long adapter_counter(struct adapter_process *adapter, int vf, const char *name)
{
	const char *error;
	json_t *answer = adapter_call(adapter, "GetVf", json_pack("{s:i}", "index", vf), &error);
	json_t *value = json_object_get(answer, "vf");
	long result;

	if (!answer)
		fail("GetVf: %s", error);
	if (json_object_get(value, name))
		value = json_object_get(value, name);
	else
		value = json_object_get(json_object_get(value, "counters"), name);
	if (!value)
		fail("no counter %s", name);
	result = json_is_boolean(value) ? json_is_true(value) : (long)json_integer_value(value);
	json_decref(answer);
	return result;
}

void adapter_await(struct adapter_process *adapter, int vf, const char *name, long value)
{
	uint64_t until = deadline();
	long last;

	while ((last = adapter_counter(adapter, vf, name)) < value) {
		if (clock_now_ns() > until)
			fail("vf %d: %s is %ld, not %ld", vf, name, last, value);
		usleep(1000);
	}
}

void adapter_event(struct adapter_process *adapter, const char *event, int vf)
{
	uint64_t until = deadline();
	struct varlink_answer answer;
	bool found = false;

	while (!found) {
		if (varlink_wait(adapter->monitor, until, &answer) || answer.error)
			fail("no event %s of vf %d", event, vf);
		const char *name = json_string_value(json_object_get(answer.parameters, "event"));

		found = name && !strcmp(name, event) &&
			json_integer_value(json_object_get(answer.parameters, "vf")) == vf;
		varlink_answer_clear(&answer);
	}
}

unsigned adapter_fds(const struct adapter_process *adapter)
{
	unsigned count = 0;
	char path[64];
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", adapter->pid);
	directory = opendir(path);
	if (!directory)
		fail("%s: %s", path, strerror(errno));
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

unsigned long adapter_sleeps(const struct adapter_process *adapter)
{
	unsigned long count = 0;
	char path[64], line[200];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", adapter->pid, adapter->pid);
	file = fopen(path, "r");
	if (!file)
		fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
			break;
	fclose(file);
	return count;
}

/* ---- Drivers ----------------------------------------------------------- */

static bool line_read(struct driver *driver, char *out, size_t out_bytes)
{
	uint64_t until = deadline();

	for (;;) {
		struct pollfd readable = {.fd = driver->from, .events = POLLIN};
		char *end = memchr(driver->buffer, '\n', driver->buffered);
		ssize_t bytes;

		if (end) {
			size_t length = (size_t)(end - driver->buffer);

			snprintf(out, out_bytes, "%.*s", (int)length, driver->buffer);
			driver->buffered -= length + 1;
			memmove(driver->buffer, end + 1, driver->buffered);
			return true;
		}
		if (clock_now_ns() > until || poll(&readable, 1, PATIENCE_MS) <= 0)
			fail("a driver does not answer");
		bytes = read(driver->from, driver->buffer + driver->buffered,
			     sizeof(driver->buffer) - driver->buffered);
		if (bytes <= 0)
			return false;
		driver->buffered += (size_t)bytes;
	}
}

static void ask(struct driver *driver, const char *command, const char *wanted, unsigned *number)
{
	char line[200], format[32];

	if (write(driver->to, command, strlen(command)) != (ssize_t)strlen(command))
		fail("a driver is gone");
	snprintf(format, sizeof(format), "%s %%u", wanted);
	if (!line_read(driver, line, sizeof(line)))
		fail("a driver has ended instead of: %s", command);
	if (strncmp(line, wanted, strlen(wanted)) ||
	    sscanf(line + strlen(wanted), " %u", number) != 1)
		fail("a driver answers: %s", line);
}

bool driver_try(struct driver *driver, struct adapter_process *adapter, int vf, bool sealed)
{
	char program[300], path[128], mac[20], line[200];
	int in[2], out[2];

	memset(driver, 0, sizeof(*driver));
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	build_path(program, sizeof(program), "tests/e2e/soft_adapter_driver");
	snprintf(path, sizeof(path), "%s/vf/vf%d", adapter->directory, vf);
	snprintf(mac, sizeof(mac), "02:00:00:00:00:%02x", vf + 1);
	driver->pid = spawn(
		(char *const[]){program, path, mac, sealed ? NULL : (char[]){"unsealed"}, NULL},
		in[0], out[1], -1);
	close(in[0]);
	close(out[1]);
	driver->to = in[1];
	driver->from = out[0];
	/* DPDK may say things first. */
	while (line_read(driver, line, sizeof(line)))
		if (!strcmp(line, "ready"))
			return true;
	driver_kill(driver);
	return false;
}

void driver_open(struct driver *driver, struct adapter_process *adapter, int vf)
{
	if (!driver_try(driver, adapter, vf, true))
		fail("the driver of vf %d does not come up", vf);
	adapter_await(adapter, vf, "connected", 1);
}

void driver_kill(struct driver *driver)
{
	if (!driver->pid)
		return;
	kill(driver->pid, SIGKILL);
	waitpid(driver->pid, NULL, 0);
	close(driver->to);
	close(driver->from);
	driver->pid = 0;
}

unsigned driver_send(struct driver *driver, uint64_t to, uint64_t from, unsigned count,
		     unsigned length, unsigned proto, unsigned tci)
{
	char command[120];
	unsigned sent;

	snprintf(command, sizeof(command), "send %012llx %012llx %u %u %x %x\n",
		 (unsigned long long)to, (unsigned long long)from, count, length, proto, tci);
	ask(driver, command, "sent", &sent);
	return sent;
}

void driver_take(struct driver *driver, unsigned count, unsigned ms, struct frames *out)
{
	char command[60], line[200], bad[8];

	snprintf(command, sizeof(command), "take %u %u\n", count, ms);
	ask(driver, command, "took", &out->count);
	for (unsigned i = 0; i < out->count; i++) {
		if (!line_read(driver, line, sizeof(line)) ||
		    sscanf(line, "%u %39s %7s", &out->frames[i].length, out->frames[i].header,
			   bad) < 2)
			fail("a driver answers: %s", line);
		out->frames[i].bad = strstr(line, "bad") != NULL;
	}
}

void driver_jam(struct driver *driver)
{
	unsigned jammed;

	ask(driver, "jam\n", "jammed", &jammed);
}

int socket_open(struct adapter_process *adapter, int vf)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/vf/vf%d", adapter->directory, vf);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		fail("%s: %s", address.sun_path, strerror(errno));
	return fd;
}
