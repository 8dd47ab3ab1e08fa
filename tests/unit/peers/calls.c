/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim makes of a child that answers, refuses, lies, hangs up, hangs or ends, and
 * of its own want of memory: hv-shim/processes/peer.h. The child is a real process (child.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../hv-shim/processes/cgroup.h"
#include "../../../hv-shim/shim.h"
#include "../fault.h"
#include "child.h"

static struct child child;

TestSuite(peers, .timeout = 100);

/* No child here is a partition's. */
int cgroup_open_group(const char *partition, const char *device)
{
	(void)partition;
	(void)device;
	return -1;
}

void cgroup_add(const char *partition, const char *device, pid_t pid)
{
	(void)partition;
	(void)device;
	(void)pid;
}

static void says(const char *deed, const char *wanted)
{
	const char *said = child_says(&child, deed);

	if (wanted)
		cr_assert_str_eq(said ? said : "nothing wrong", wanted, "%s", deed);
	else
		cr_assert_null(said, "%s: %s", deed, said);
}

/* Its sockets close a moment before it has ended, which on a busy machine may be a long one. */
static void ended_by(const struct heard *heard, const char *how)
{
	cr_assert(!strcmp(heard->problem, how) ||
		  !strcmp(heard->problem, "closed its control connection"), "%s", heard->problem);
}

static void until_told(const char *how)
{
	while (!child.ends)
		cr_assert(child_turn(), "nobody hears of its end");
	cr_assert_str_eq(child.how, how);
	cr_assert(peer_has_ended(child.peer));
}

Test(peers, answers)
{
	struct heard heard[3] = {0};

	child_start(&child, "Fine");
	cr_assert_eq(peer_identity(child.peer).pid, child.identity.pid);
	/* Asked at once, answered in order; a refusal is no end of the connection. */
	child_ask(&child, "Fine", 0, &heard[0]);
	child_ask(&child, "Refuse", 30000, &heard[1]);
	child_ask(&child, "Fine", 30000, &heard[2]);
	child_wait_for(&heard[2], 1);
	cr_assert(heard[0].answers == 1 && !heard[0].problems);
	cr_assert(heard[1].answers == 1 && heard[1].problems);
	cr_assert_str_eq(heard[1].problem, "not today");
	says("RefuseBare", "a.b.Failed");
	cr_assert(!peer_has_ended(child.peer) && !child.ends);
	child_end(&child);
}

/* Who breaks the protocol is not listened to any more; its heartbeat will end it. */
Test(peers, lies)
{
	static const char *const lies[][2] = {{"Garbage", "broke the control protocol"},
					      {"Malformed", "sent a malformed answer"}};

	for (size_t i = 0; i < 2; i++) {
		child_start(&child, "Fine");
		says(lies[i][0], lies[i][1]);
		says("Fine", "has no control connection");
		child_end(&child);
	}
	child_start(&child, "Fine");
	says("Twice", NULL);
	for (const char *said = NULL; !said || strcmp(said, "has no control connection");)
		said = child_says(&child, "Fine");
	child_end(&child);
}

/* Whoever lost its connection, or was given up, is taken back with the next call. */
Test(peers, hangs_up)
{
	struct heard heard = {0};

	child_start(&child, "Fine");
	child_ask(&child, "HangUp", 0, &heard);
	child_ask(&child, "Fine", 0, &heard);
	child_wait_for(&heard, 2);
	cr_assert_eq(heard.problems, 2);
	cr_assert_str_eq(heard.problem, "closed its control connection");
	says("Fine", NULL);
	child_ask(&child, "Silent", 100, &heard);
	child_ask(&child, "Silent", 30000, &heard);
	child_wait_for(&heard, 4);
	cr_assert_eq(heard.problems, 4);
	cr_assert_str_eq(heard.problem, "did not answer Silent within 0.1 s");
	says("Fine", NULL);
	/* Not if nobody is there any more at its path. */
	child_ask(&child, "HangUp", 0, &heard);
	child_wait_for(&heard, 5);
	cr_assert_eq(unlink(child.path), 0);
	says("Fine", "has no control connection");
	child_end(&child);
}

Test(peers, ends)
{
	struct heard heard = {0};

	child_start(&child, "Fine");
	child_ask(&child, "Last", 0, &heard);
	child_ask(&child, "Silent", 0, &heard);
	child_wait_for(&heard, 2);
	cr_assert_eq(heard.problems, 1, "what it said before it ended is good");
	ended_by(&heard, "exited with status 3");
	until_told("exited with status 3");
	says("Fine", "has no control connection");
	child_end(&child);

	child_start(&child, "Fine");
	child_ask(&child, "Silent", 0, &heard);
	peer_kill(child.peer);
	child_wait_for(&heard, 3);
	ended_by(&heard, "was killed by signal 9 (Killed)");
	until_told("was killed by signal 9 (Killed)");
	child_end(&child);

	/* Nobody is told what was asked before it was forgotten. */
	child_start(&child, "Fine");
	child_ask(&child, "Silent", 0, &heard);
	child_end(&child);
	cr_assert_eq(heard.answers, 3);
}

Test(peers, known_dead)
{
	struct heard heard = {0};

	child_start(&child, "Fine");
	child_ask(&child, "Silent", 0, &heard);
	cr_assert_eq(peer_monitor(child.peer, "org.test.Silent", child_hear, &heard), 0);
	peer_disconnect(child.peer);
	cr_assert_eq(heard.problems, 2);
	cr_assert_str_eq(heard.problem, "ended");
	peer_disconnect(child.peer);
	cr_assert_eq(heard.answers, 2);
	child_end(&child);
}

Test(peers, monitors)
{
	struct heard heard = {0}, other = {0};

	child_start(&child, "Fine");
	cr_assert_eq(peer_monitor(child.peer, "org.test.Events", child_hear, &heard), 0);
	child_wait_for(&heard, 3);
	cr_assert_eq(heard.problems, 0);
	cr_assert_eq(peer_monitor(child.peer, "org.test.HangUp", child_hear, &other), 0);
	child_wait_for(&other, 1);
	cr_assert_str_eq(other.problem, "closed its control connection");
	/* In the place of the one that broke; calls have a connection of their own. */
	cr_assert_eq(peer_monitor(child.peer, "org.test.Silent", child_hear, &other), 0);
	says("Fine", NULL);
	peer_kill(child.peer);
	child_wait_for(&other, 2);
	ended_by(&other, "was killed by signal 9 (Killed)");
	until_told("was killed by signal 9 (Killed)");
	cr_assert_neq(peer_monitor(child.peer, "org.test.Events", child_hear, &other), 0);
	child_end(&child);
}

static void on_nobodys_end(void *data, const char *how)
{
	(void)data;
	cr_assert_fail("%s", how);
}

Test(peers, cannot_be_adopted)
{
	struct peer *peer = NULL;

	child_start(&child, "Fine");
	struct peer_identity other = child.identity;

	other.start_time++;
	cr_assert_eq(peer_adopt(child_event, other, child.path, on_nobodys_end, NULL, &peer), -ESRCH);
	cr_assert_eq(peer_adopt(child_event, child.identity, "/tmp/otr-peers.none", on_nobodys_end,
				NULL, &peer), -ENOENT);
	cr_assert_null(peer);
	child_end(&child);
}

/* ---- Without memory -------------------------------------------------------------------- */

enum { ANSWERED = 10, ANSWERED_ALL, BLAMED };

/* A process of its own, which memory_end() may end. */
static int with_fault(unsigned n, int (*deed)(unsigned n))
{
	int status;

	fflush(NULL);
	pid_t pid = fork();
	if (!pid)
		_exit(deed(n));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "%#x", status);
	return WEXITSTATUS(status);
}

static int call_with_fault(unsigned n)
{
	struct heard heard = {0};
	struct peer *peer;

	memory_begin();
	/* A loop belongs to the process that made it. */
	if (sd_event_new(&child_event) < 0 ||
	    peer_adopt(child_event, child.identity, child.path, on_nobodys_end, NULL, &peer))
		return 0;
	child.peer = peer;
	child_ask(&child, "HangUp", 0, &heard);
	child_wait_for(&heard, 1);
	heard = (struct heard){0};
	fault_start(n, ENOMEM);
	child_ask(&child, "Fine", 30000, &heard);
	child_wait_for(&heard, 1);
	bool hit = fault_end();

	return heard.problems ? BLAMED : hit ? ANSWERED : ANSWERED_ALL;
}

/* Whatever we lack, the child has answered, or the shim has ended: it is not to blame. */
Test(peers, without_memory)
{
	unsigned ended = 0, n = 0;
	int result;

	child_start(&child, "Fine");
	do {
		result = with_fault(++n, call_with_fault);
		cr_assert(result == 1 || result == ANSWERED || result == ANSWERED_ALL, "%u: %d", n,
			  result);
		ended += result == 1;
	} while (result != ANSWERED_ALL);
	cr_assert_gt(n, 5u);
	cr_assert_gt(ended, 2u);
	child_end(&child);
}
