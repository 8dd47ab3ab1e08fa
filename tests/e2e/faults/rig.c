/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon, what it is asked, and the programs of a partition; see rig.h. Called
 * by main.c's phases, on the main thread.
 */
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "outrigger.h"
#include "varlink.h"

char rig_problem[2000];
extern char **environ;

bool rig_fails(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(rig_problem, sizeof(rig_problem), format, arguments);
	va_end(arguments);
	return false;
}

uint64_t rig_deadline(void)
{
	return clock_now_ns() + WAIT_MS * NS_PER_MS;
}

void rig_pause(void)
{
	const struct timespec pause = {.tv_nsec = (long)(2 * NS_PER_MS)};

	nanosleep(&pause, NULL);
}

/* ---- The daemon ------------------------------------------------------------------ */

bool daemon_start(struct rig *rig, enum fault fault, unsigned at, long from_call)
{
	static char program[300], preload[400];
	static char *argv[] = {program, "--state-dir", NULL, NULL};
	static char *environment[200];
	size_t count = 0;

	snprintf(program, sizeof(program), "%s/bin/outriggerd", rig->build);
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s/tests/e2e/failing_malloc.so", rig->build);
	argv[2] = (char *)rig->state;
	while (environ[count] && count < 190) {
		environment[count] = environ[count];
		count++;
	}
	if (rig->failing_malloc)
		environment[count++] = preload;
	environment[count] = NULL;
	pid_t pid = tracer_start(argv, environment, rig->log, fault, at, from_call);
	if (pid < 0)
		return rig_fails("the daemon cannot be traced: %s", strerror(-pid));
	rig->daemon = pid;
	return true;
}

bool daemon_has_ended(void)
{
	return tracer_report().ended;
}

bool daemon_wait(struct rig *rig)
{
	bool hung = false;

	for (uint64_t deadline = rig_deadline(); clock_now_ns() < deadline; rig_pause()) {
		if (daemon_has_ended())
			return rig_fails("the daemon ended when it was started, with status %#x",
					 (unsigned)tracer_report().status);
		if (ask(rig, "GetStatus", NULL, &hung))
			return true;
		if (hung)
			return false;
	}
	return rig_fails("the daemon does not answer");
}

bool daemon_join(struct rig *rig)
{
	if (!tracer_join(rig_deadline()))
		return rig_fails("the daemon does not end");
	rig->daemon = 0;
	return true;
}

bool daemon_kill(struct rig *rig)
{
	if (!rig->daemon)
		return true;
	kill(rig->daemon, SIGKILL);
	return daemon_join(rig);
}

/* ---- Asking --------------------------------------------------------------------------- */

/* The answer's parameters, to be released; NULL: see ask(). */
static json_t *question(struct rig *rig, const char *method, json_t *parameters, bool *hung)
{
	char path[300], name[100];
	struct varlink_answer answer;
	struct varlink_conn *conn;
	json_t *result = NULL;

	*hung = false;
	snprintf(path, sizeof(path), "%s/control.sock", rig->state);
	snprintf(name, sizeof(name), "org.outrigger.Shim.%s", method);
	int error = varlink_connect(path, &conn);
	if (error) {
		json_decref(parameters);
		rig_fails("%s: cannot connect: %s", method, strerror(-error));
		return NULL;
	}
	error = varlink_call_method(conn, name, parameters, NULL, 0, rig_deadline(), &answer);
	*hung = error == -ETIMEDOUT;
	if (error) {
		rig_fails("%s: no answer: %s", method, strerror(-error));
	} else {
		const char *text = json_string_value(json_object_get(answer.parameters, "message"));

		if (answer.error)
			rig_fails("%s: %s: %s", method, answer.error, text ? text : "");
		else
			result = json_incref(answer.parameters);
		varlink_answer_clear(&answer);
	}
	varlink_conn_free(conn);
	return result;
}

bool ask(struct rig *rig, const char *method, const char *parameters, bool *hung)
{
	json_t *answer = question(rig, method, parameters ? json_loads(parameters, 0, NULL) : NULL, hung);

	json_decref(answer);
	return answer != NULL;
}

/* What failed, of a status answer. */
static bool tell_failures(json_t *status)
{
	static const char *const lists[] = {"adapters", "partitions", "adjuncts"};

	for (size_t l = 0; l < 3; l++) {
		size_t i;
		json_t *object;

		json_array_foreach(json_object_get(status, lists[l]), i, object) {
			const char *state = json_string_value(json_object_get(object, "state"));
			const char *name = json_string_value(json_object_get(object, "name"));
			const char *message = json_string_value(json_object_get(object, "message"));

			if (!state || strcmp(state, "running"))
				return rig_fails("%s is %s: %s", name ? name : "?", state ? state : "?",
						 message ? message : "");
		}
	}
	return true;
}

bool apply(struct rig *rig, const char *document, bool prune, bool *hung)
{
	json_t *answer = question(rig, "Apply", json_pack("{s:s,s:b}", "document", document, "prune",
							  prune), hung);
	json_int_t failed = json_integer_value(json_object_get(answer, "failed_count"));
	bool complete = json_is_integer(json_object_get(answer, "failed_count"));
	bool answered = answer != NULL, ignored;

	json_decref(answer);
	if (!answered)
		return false;
	if (!complete)
		return rig_fails("Apply: an answer that says nothing");
	if (!failed)
		return true;
	rig_fails("Apply: %lld changes failed", (long long)failed);
	answer = question(rig, "GetStatus", NULL, &ignored);
	if (answer)
		tell_failures(answer);
	json_decref(answer);
	return false;
}

bool all_running(struct rig *rig, size_t adjuncts)
{
	for (uint64_t deadline = rig_deadline();; rig_pause()) {
		bool hung;
		json_t *status = question(rig, "GetStatus", NULL, &hung);
		bool well = status && tell_failures(status);
		size_t count = json_array_size(json_object_get(status, "adjuncts"));

		json_decref(status);
		if (well && count == adjuncts)
			return true;
		if (well)
			rig_fails("%zu adjuncts run instead of %zu", count, adjuncts);
		if (hung || daemon_has_ended() || clock_now_ns() >= deadline)
			return false;
	}
}

bool functions_free(struct rig *rig)
{
	bool hung;
	json_t *status = question(rig, "GetStatus", NULL, &hung);
	json_t *adapters = json_object_get(status, "adapters"), *adapter;
	bool result = status != NULL;
	size_t i;

	json_array_foreach(adapters, i, adapter) {
		json_t *used = json_object_get(adapter, "vfs_used");

		if (!json_is_integer(used) || json_integer_value(used))
			result = rig_fails("a function is still in use");
	}
	json_decref(status);
	return result;
}

pid_t adjunct_pid(struct rig *rig, const char *name)
{
	bool hung;
	json_t *status = question(rig, "GetStatus", NULL, &hung), *adjunct;
	pid_t pid = 0;
	size_t i;

	json_array_foreach(json_object_get(status, "adjuncts"), i, adjunct) {
		const char *state = json_string_value(json_object_get(adjunct, "state"));

		if (!strcmp(json_string_value(json_object_get(adjunct, "name")), name) && state &&
		    !strcmp(state, "running"))
			pid = (pid_t)json_integer_value(json_object_get(adjunct, "pid"));
	}
	json_decref(status);
	return pid;
}

/* ---- A program ---------------------------------------------------------------------------- */

#define ROUND_MS 20000
#define RESEND_MS 50

struct arp {
	struct ether_header ethernet;
	struct ether_arp arp;
} __attribute__((packed));

/* Asks who has red's address, until red's kernel answers. */
static bool arp_round(struct otr_net *net, const uint8_t mac[6])
{
	struct arp frame = {.ethernet.ether_type = htons(ETHERTYPE_ARP)};
	const struct otr_frame out = {&frame, sizeof(frame)};
	uint64_t deadline = otr_deadline_ms(ROUND_MS);

	memset(frame.ethernet.ether_dhost, 0xff, 6);
	memcpy(frame.ethernet.ether_shost, mac, 6);
	frame.arp.ea_hdr = (struct arphdr){htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4,
					   htons(ARPOP_REQUEST)};
	memcpy(frame.arp.arp_sha, mac, 6);
	inet_pton(AF_INET, "10.77.0.3", frame.arp.arp_spa);
	inet_pton(AF_INET, "10.77.0.1", frame.arp.arp_tpa);
	while (otr_now_ns() < deadline) {
		struct otr_frame in[8];

		if (otr_net_send(net, &out, 1) < 0 ||
		    otr_net_wait(net, OTR_RX, otr_deadline_ms(RESEND_MS)) < 0)
			return false;
		int count = otr_net_receive(net, in, 8);
		bool answered = false;

		for (int i = 0; i < count; i++) {
			const struct arp *got = in[i].data;

			answered = answered || (in[i].length_bytes >= sizeof(*got) &&
						got->ethernet.ether_type == htons(ETHERTYPE_ARP) &&
						got->arp.ea_hdr.ar_op == htons(ARPOP_REPLY));
		}
		if (count < 0 || otr_net_release(net, (unsigned)count))
			return false;
		if (answered)
			return true;
	}
	return false;
}

/* Until it is asked for another round: meanwhile it listens, as programs do, and so
 * hears of a shim that has gone or come back. False: nobody will ask any more. */
static bool program_idles(struct otr_net *net, int in)
{
	struct pollfd asked = {.fd = in, .events = POLLIN};
	struct otr_frame frames[8];
	char byte;

	while (poll(&asked, 1, 0) == 0) {
		otr_net_wait(net, OTR_RX, otr_deadline_ms(20));
		int count = otr_net_receive(net, frames, 8);
		if (count > 0)
			otr_net_release(net, (unsigned)count);
		else if (count < 0)
			poll(&asked, 1, 20); /* it has no device any more */
	}
	return read(in, &byte, 1) == 1;
}

static void program_main(const char *state, int in, int out)
{
	char path[300];
	struct otr *otr;
	struct otr_net *net;
	struct otr_net_info info;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "%s/partition/green.sock", state);
	if (otr_attach(path, &otr) || otr_net_open(otr, "net0", &net)) {
		dprintf(out, "n%s\n", otr_last_error());
		_exit(1);
	}
	otr_net_info(net, &info);
	do {
		bool well = arp_round(net, info.mac);

		if (dprintf(out, "%s\n", well ? "y" : "nno answer to its frames") < 0)
			break;
	} while (program_idles(net, in));
	otr_net_close(net);
	otr_detach(otr);
	_exit(0);
}

static bool program_said(struct program *program)
{
	struct pollfd wait = {.fd = program->from, .events = POLLIN};
	char text[400] = "";

	if (poll(&wait, 1, WAIT_MS) != 1)
		return rig_fails("the partition's program hangs");
	ssize_t got = read(program->from, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text[0] == 'y' || rig_fails("the partition's program: %s", text[0] ? text + 1 : "has ended");
}

bool program_start(struct rig *rig, struct program *program)
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return rig_fails("no pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		close(to[1]);
		close(from[0]);
		program_main(rig->state, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	*program = (struct program){pid, to[1], from[0]};
	return program_said(program);
}

bool program_round(struct program *program)
{
	return write(program->to, "r", 1) == 1 ? program_said(program)
					       : rig_fails("the partition's program has ended");
}

bool program_stop(struct program *program)
{
	int status;
	pid_t ended = 0;

	if (!program->pid)
		return true;
	close(program->to);
	for (uint64_t deadline = rig_deadline(); !ended && clock_now_ns() < deadline; rig_pause())
		ended = waitpid(program->pid, &status, WNOHANG | __WNOTHREAD);
	if (!ended)
		kill(program->pid, SIGKILL);
	close(program->from);
	program->pid = 0;
	return ended ? true : rig_fails("the partition's program does not end");
}

bool program_try(struct rig *rig)
{
	struct program program;
	char problem[sizeof(rig_problem)];
	bool well = program_start(rig, &program);

	memcpy(problem, rig_problem, sizeof(problem));
	bool ended = program_stop(&program);
	if (ended)
		memcpy(rig_problem, problem, sizeof(problem));
	return well && ended;
}
