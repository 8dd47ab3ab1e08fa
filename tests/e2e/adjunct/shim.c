/* SPDX-License-Identifier: BSD-2-Clause */
/* See shim.h. */
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "unix_socket.h"

#define CALL_DEADLINE_NS (10 * NS_PER_S)

/* Adjuncts that run: none may survive this program. */
#define RUNNING_MAX 4
static pid_t running[RUNNING_MAX];

static void running_replace(pid_t from, pid_t to)
{
	for (unsigned i = 0; i < RUNNING_MAX; i++)
		if (running[i] == from) {
			running[i] = to;
			return;
		}
}

static void end_running(void)
{
	for (unsigned i = 0; i < RUNNING_MAX; i++)
		if (running[i])
			kill(running[i], SIGKILL);
}

static void on_signal(int number)
{
	end_running();
	_exit(128 + number);
}

void adjuncts_end_with_us(void)
{
	atexit(end_running);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
}

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("Bail out! ");
	vprintf(format, arguments);
	putchar('\n');
	va_end(arguments);
	exit(1);
}

void sleep_ms(unsigned ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

int memory_make(size_t bytes, unsigned seals)
{
	int fd = memfd_create("donated", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) || (seals && fcntl(fd, F_ADD_SEALS, seals)))
		die("cannot make a memfd: %s", strerror(errno));
	return fd;
}

/* ---- The process --------------------------------------------------------- */

void adjunct_spawn(struct adjunct *adjunct)
{
	const char *build = getenv("OTR_BUILD");
	char program[512];
	char *arguments[] = {program, "--log-level",
			     getenv("TEST_LOG_LEVEL") ? getenv("TEST_LOG_LEVEL") : "warning", NULL};
	posix_spawn_file_actions_t actions;
	extern char **environ;

	*adjunct = (struct adjunct){0};
	snprintf(program, sizeof(program), "%s/libexec/outrigger/outrigger-adjunct-ethdev",
		 build ? build : "build");
	snprintf(adjunct->directory, sizeof(adjunct->directory), "/tmp/otr-adjunct.XXXXXX");
	if (!mkdtemp(adjunct->directory))
		die("mkdtemp: %s", strerror(errno));
	snprintf(adjunct->path, sizeof(adjunct->path), "%s/control.sock", adjunct->directory);
	int listening = unix_listen(adjunct->path, 0600);

	if (listening < 0)
		die("%s: %s", adjunct->path, strerror(-listening));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, listening, 3);
	int result = posix_spawn(&adjunct->pid, program, &actions, NULL, arguments, environ);

	posix_spawn_file_actions_destroy(&actions);
	close(listening);
	if (result)
		die("%s: %s", program, strerror(result));
	running_replace(0, adjunct->pid);
	result = varlink_connect(adjunct->path, &adjunct->conn);
	if (result)
		die("cannot connect to the adjunct: %s", strerror(-result));
}

int adjunct_wait(struct adjunct *adjunct)
{
	int status;

	for (unsigned i = 0; adjunct->pid && i < 500; i++, sleep_ms(10)) {
		if (waitpid(adjunct->pid, &status, WNOHANG) != adjunct->pid)
			continue;
		running_replace(adjunct->pid, 0);
		adjunct->pid = 0;
		return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	}
	return -1000;
}

int adjunct_end(struct adjunct *adjunct)
{
	int status = 0;

	if (adjunct->pid) {
		kill(adjunct->pid, SIGKILL);
		status = adjunct_wait(adjunct);
	}
	varlink_conn_free(adjunct->conn);
	adjunct->conn = NULL;
	unlink(adjunct->path);
	rmdir(adjunct->directory);
	return status;
}

static FILE *proc_open(const struct adjunct *adjunct, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", adjunct->pid, name);
	FILE *file = fopen(path, "re");

	if (!file)
		die("%s: %s", path, strerror(errno));
	return file;
}

uint64_t adjunct_cpu_ns(const struct adjunct *adjunct)
{
	unsigned long long user = 0, system = 0;
	FILE *file = proc_open(adjunct, "stat");

	if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
		   &user, &system) != 2)
		die("cannot read the process's times");
	fclose(file);
	return (user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t adjunct_private_bytes(const struct adjunct *adjunct)
{
	FILE *file = proc_open(adjunct, "smaps");
	unsigned long long total = 0, kib;
	bool counts = true;
	char line[512];

	/* A mapping's first line has its addresses and name; its figures follow.
	 * Donated memory and the window are memfds, and not the adjunct's own. */
	while (fgets(line, sizeof(line), file)) {
		unsigned long long from, to;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			counts = !strstr(line, "/memfd:");
		else if (counts && (sscanf(line, "Private_Clean: %llu", &kib) == 1 ||
				    sscanf(line, "Private_Dirty: %llu", &kib) == 1))
			total += kib * 1024;
	}
	fclose(file);
	return total;
}

unsigned adjunct_fd_count(const struct adjunct *adjunct)
{
	char path[64];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", adjunct->pid);
	DIR *directory = opendir(path);

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

/* ---- Calls --------------------------------------------------------------- */

json_t *adjunct_call(struct adjunct *adjunct, const char *method, json_t *parameters,
		     const int *fds, unsigned fd_count, char error[128])
{
	struct varlink_answer answer;
	char name[96];

	snprintf(name, sizeof(name), "org.outrigger.Adjunct.%s", method);
	int result = varlink_call_method(adjunct->conn, name, parameters, fds, fd_count,
					 clock_now_ns() + CALL_DEADLINE_NS, &answer);

	if (result)
		die("%s: %s", method, strerror(-result));
	json_t *out = answer.error ? NULL : json_incref(answer.parameters);

	if (error)
		snprintf(error, 128, "%s", answer.error ? answer.error : "");
	else if (answer.error)
		die("%s: %s: %s", method, answer.error,
		    json_string_value(json_object_get(answer.parameters, "message")));
	varlink_answer_clear(&answer);
	return out;
}

json_t *start_native(const char *device, const struct window *window, const char *state)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:s*, s:{s:s, s:s, s:i, s:I}}", "name", "test.net0",
			 "device", device, "memory_bytes", (json_int_t)TEST_MEMORY_BYTES, "cpu",
			 "shared", "state", state, "port", "kind", "native", "mac", TEST_MAC, "mtu",
			 TEST_MTU, "ring_entries", (json_int_t)window->layout.ring_entries);
}

json_t *start_vhost(const char *device, const char *path)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:{s:s, s:s, s:i, s:s}}", "name", "test.vhost",
			 "device", device, "memory_bytes", (json_int_t)TEST_MEMORY_BYTES, "cpu",
			 "shared", "port", "kind", "vhost-user", "mac", "02:00:00:00:00:02", "mtu",
			 TEST_MTU, "path", path);
}

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

void adjunct_start_native(struct adjunct *adjunct, const char *device, struct window *window,
			  const char *state)
{
	const int fds[] = {memory_make(TEST_MEMORY_BYTES, SEALS), window->memory_fd,
			   window->bells[NET_BELL_ADJUNCT], window->bells[NET_BELL_PARTITION],
			   window->inflight_fd};

	json_decref(
		adjunct_call(adjunct, "Start", start_native(device, window, state), fds, 5, NULL));
	close(fds[0]);
}

void adjunct_start_vhost(struct adjunct *adjunct, const char *device, const char *path)
{
	const int memory = memory_make(TEST_MEMORY_BYTES, SEALS);

	json_decref(adjunct_call(adjunct, "Start", start_vhost(device, path), &memory, 1, NULL));
	close(memory);
}

int64_t adjunct_counter(struct adjunct *adjunct, const char *name)
{
	json_t *status = adjunct_call(adjunct, "GetStatus", NULL, NULL, 0, NULL);
	json_t *value = json_object_get(json_object_get(status, "counters"), name);
	int64_t count = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);

	json_decref(status);
	return count;
}
