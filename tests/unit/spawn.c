/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child's death as the shim hears of it (hv-shim/processes/spawn.h): by a descriptor that
 * says so once nothing of the child runs any more, and not before. Isolated children are
 * real ones, in namespaces of their own, so that this needs root or user namespaces.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../hv-shim/processes/cgroup.h"
#include "../../hv-shim/processes/spawn.h"

#define DEADLINE_MS (20 * 1000)

/* No child here is a partition's. */
int cgroup_open_group(const char *partition, const char *device)
{
	(void)device;
	(void)partition;
	return -1;
}

void cgroup_add(const char *partition, const char *device, pid_t pid)
{
	(void)device;
	(void)partition;
	(void)pid;
}

struct spawned {
	pid_t pid;
	int pidfd, kept[SPAWN_KEPT];
};

/* `cat`, which waits for what nobody writes. */
static void start(struct spawned *out)
{
	const struct program program = {.executable = "/bin/cat", .name = "/proc/self/fd/3",
					.isolation = SPAWN_ISOLATED};
	int ends[2];

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(pipe(ends), 0);
	int error = spawn(&program, ends[0], &out->pid, &out->pidfd, out->kept);

	cr_assert_eq(error, 0, "%d", error);
	close(ends[0]);
}

static int hung_up(int fd, int wait_ms)
{
	struct pollfd death = {.fd = fd};

	return poll(&death, 1, wait_ms) == 1 ? death.revents & POLLHUP : 0;
}

/* Linux 6.11 gives filters up as a thread ends, earlier ones when its status is collected. */
static bool told_before_collected(void)
{
	struct utsname names;
	int major = 0, minor = 0;

	cr_assert_eq(uname(&names), 0);
	cr_assert_eq(sscanf(names.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 11);
}

Test(spawn, a_death_is_told_once_nothing_runs_any_more)
{
	struct spawned child;

	start(&child);
	cr_assert_geq(child.kept[SPAWN_DEATH], 0);
	cr_assert_not(hung_up(child.kept[SPAWN_DEATH], 0));
	cr_assert_eq(kill(child.pid, SIGSTOP), 0);
	cr_assert_not(hung_up(child.kept[SPAWN_DEATH], 100), "it is only stopped");
	cr_assert_eq(kill(child.pid, SIGKILL), 0);
	if (told_before_collected())
		cr_assert(hung_up(child.kept[SPAWN_DEATH], DEADLINE_MS));
	cr_assert_eq(waitpid(child.pid, NULL, 0), child.pid);
	cr_assert(hung_up(child.kept[SPAWN_DEATH], DEADLINE_MS));
}

Test(spawn, what_is_kept_of_an_isolated_child_is_its_own)
{
	struct spawned one, other;

	start(&one);
	start(&other);
	for (int i = 0; i < SPAWN_KEPT; i++)
		cr_assert(one.kept[i] >= 0 && other.kept[i] >= 0);
	cr_assert_eq(kill(one.pid, SIGKILL), 0);
	cr_assert_eq(waitpid(one.pid, NULL, 0), one.pid);
	cr_assert(hung_up(one.kept[SPAWN_DEATH], DEADLINE_MS));
	cr_assert_not(hung_up(other.kept[SPAWN_DEATH], 0));
	cr_assert_eq(kill(other.pid, SIGKILL), 0);
	cr_assert_eq(waitpid(other.pid, NULL, 0), other.pid);
}
