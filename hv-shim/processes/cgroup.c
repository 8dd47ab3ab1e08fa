/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control groups: see cgroup.h. The kernel's interface is files; what they hold is read
 * whole and written whole. Event-loop thread.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "log.h"

#define REMOVE_US 100000
#define REMOVE_TRIES 300

static char base[PATH_MAX];
static char problem[300] = "the daemon has not looked yet";

const char *cgroup_why_not(void)
{
	return *problem ? problem : NULL;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* ---- Where ------------------------------------------------------------------- */

/* Where a hierarchy of version 2 is mounted: the first that nothing else was mounted over. */
static bool find_mount(char *out, size_t out_bytes)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t line_bytes = 0;
	bool found = false;

	while (file && !found && getline(&line, &line_bytes, file) > 0) {
		char point[PATH_MAX];
		struct statfs there;

		/* "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS" */
		found = strstr(line, " - cgroup2 ") &&
			sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 &&
			!statfs(point, &there) && there.f_type == CGROUP2_SUPER_MAGIC &&
			snprintf(out, out_bytes, "%s", point) < (int)out_bytes;
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* The group this process is in, below the mount: "/system.slice/outriggerd.service". */
static bool find_own(char *out, size_t out_bytes)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char *line = NULL;
	size_t line_bytes = 0;
	bool found = false;

	while (file && !found && getline(&line, &line_bytes, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "0::", 3) &&
			snprintf(out, out_bytes, "%s", line + 3) < (int)out_bytes;
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* What systemd writes on a group that its owner may divide. */
static bool is_delegated(const char *path)
{
	char value[2];

	return getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 ||
	       getxattr(path, "user.delegate", value, sizeof(value)) == 1;
}

static int make_group(const char *path)
{
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

/* Of a group that no process is in: its children are charged for these. One that the
 * kernel lacks is no reason to do without the other. */
static void enable_controllers(const char *group)
{
	static const char *const controllers[] = {"+memory", "+cpu"};
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group) >= (int)sizeof(path))
		return;
	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++) {
		int error = write_text(path, controllers[i]);

		if (error)
			log_debug("%s: %s: %s", path, controllers[i], strerror(-error));
	}
}

/*
 * Below a group that systemd gave us, if it also started us in a leaf of it
 * (DelegateSubgroup=shim). We do not leave the group for a leaf ourselves: a group with
 * controllers takes no process, so systemd could not start a successor.
 */
static int use_own(const char *mount, char *own)
{
	char *last = strrchr(own, '/');

	if (!last || strcmp(last, "/shim"))
		return -EPERM;
	*last = '\0';
	if (snprintf(base, sizeof(base), "%s%s", mount, own) >= (int)sizeof(base))
		return -ENAMETOOLONG;
	return is_delegated(base) ? 0 : -EPERM;
}

/*
 * "/outrigger/run-outrigger": a group of ours at the top, in it one for each state
 * folder. The top may be closed to root without CAP_DAC_OVERRIDE; ours is not.
 */
static int use_top(const char *mount, const char *state_dir)
{
	if (snprintf(base, sizeof(base), "%s/outrigger", mount) >= (int)sizeof(base))
		return -ENAMETOOLONG;
	enable_controllers(mount);
	int error = make_group(base);
	if (error)
		return error;
	enable_controllers(base);
	size_t length = strlen(base);
	if (snprintf(base + length, sizeof(base) - length, "%s", state_dir) >=
	    (int)(sizeof(base) - length))
		return -ENAMETOOLONG;
	for (char *c = base + length + 1; *c; c++)
		if (*c == '/')
			*c = '-';
	return make_group(base);
}

void cgroup_open(const char *state_dir, bool rootless)
{
	char mount[PATH_MAX], own[PATH_MAX];
	int error;

	*problem = '\0';
	if (!find_mount(mount, sizeof(mount)) || !find_own(own, sizeof(own))) {
		snprintf(problem, sizeof(problem), "this system has no control groups of version 2");
		return;
	}
	error = use_own(mount, own);
	if (error && !rootless)
		error = use_top(mount, state_dir);
	if (error) {
		snprintf(problem, sizeof(problem), "no control group was delegated to the daemon: run "
			 "it as a unit with Delegate=yes and DelegateSubgroup=shim");
		return;
	}
	enable_controllers(base);
	log_debug("partitions are charged by control groups below %s", base);
}

void cgroup_close(void)
{
	/* EBUSY: partitions live on. */
	if (!*problem && rmdir(base) && errno != EBUSY && errno != ENOENT)
		log_debug("%s stays: %s", base, strerror(errno));
}

/* ---- Partitions ---------------------------------------------------------------- */

/* "BASE/p.NAME", or with `file` a file in it. False: there is no accounting. */
static bool group_path(const char *partition, const char *file, char out[PATH_MAX])
{
	return !*problem && snprintf(out, PATH_MAX, "%s/p.%s%s%s", base, partition, *file ? "/" : "",
				     file) < PATH_MAX;
}

int cgroup_open_group(const char *partition)
{
	char path[PATH_MAX];

	if (!group_path(partition, "", path))
		return -ENOENT;
	int error = make_group(path);
	int fd = error ? error : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 && !error ? -errno : fd;
}

void cgroup_add(const char *partition, pid_t pid)
{
	char path[PATH_MAX], text[16];
	int error;

	if (!group_path(partition, "", path))
		return;
	error = make_group(path);
	snprintf(text, sizeof(text), "%d", (int)pid);
	if (!error && group_path(partition, "cgroup.procs", path))
		error = write_text(path, text);
	/* ESRCH: it has ended meanwhile, which its owner hears of. */
	if (error && error != -ESRCH)
		log_warning("partition %s: process %d is not charged to it: %s", partition, (int)pid,
			    strerror(-error));
}

void cgroup_limit_memory(const char *partition, int64_t bytes)
{
	char path[PATH_MAX], text[24] = "max";
	const char *why = cgroup_why_not();
	int error = 0;

	if (bytes)
		snprintf(text, sizeof(text), "%lld", (long long)bytes);
	if (!why && group_path(partition, "", path))
		error = make_group(path);
	if (!why && !error && group_path(partition, "memory.max", path))
		error = write_text(path, text);
	if (!why && error)
		why = error == -ENOENT ? "the memory controller is not in this hierarchy"
				       : strerror(-error);
	if (why && bytes)
		log_warning("partition %s: the kernel does not keep its limit of %lldM of memory: %s",
			    partition, (long long)bytes >> 20, why);
}

/* A group whose last process has been killed, and is not gone yet. */
struct leaving {
	char path[PATH_MAX];
	unsigned tries;
};

static bool remove_group(struct leaving *leaving)
{
	if (!rmdir(leaving->path) || errno == ENOENT)
		return true;
	/* An empty group costs nothing, and a partition of that name takes it up. */
	if (errno == EBUSY && ++leaving->tries < REMOVE_TRIES)
		return false;
	log_debug("%s stays: %s", leaving->path, strerror(errno));
	return true;
}

static int on_try_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct leaving *leaving = data;

	(void)usec;
	if (!remove_group(leaving) && sd_event_source_set_time_relative(source, REMOVE_US) >= 0 &&
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) >= 0)
		return 0;
	free(leaving);
	sd_event_source_unref(source);
	return 0;
}

void cgroup_remove(sd_event *event, const char *partition)
{
	struct leaving *leaving = calloc(1, sizeof(*leaving));
	sd_event_source *source;

	if (leaving && group_path(partition, "", leaving->path) && !remove_group(leaving) &&
	    sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, REMOVE_US, 0, on_try_again,
				       leaving) >= 0)
		return;
	free(leaving);
}

/* The number after `key` and a space, or, with an empty key, the file's only one. */
static bool read_number(const char *partition, const char *file, const char *key, uint64_t *out)
{
	char path[PATH_MAX];
	FILE *stream = group_path(partition, file, path) ? fopen(path, "re") : NULL;
	char word[64];
	unsigned long long value;
	bool found = false;

	if (!stream)
		return false;
	if (!*key)
		found = fscanf(stream, "%llu", &value) == 1;
	else
		while (!found && fscanf(stream, "%63s %llu", word, &value) == 2)
			found = !strcmp(word, key);
	fclose(stream);
	if (found)
		*out = value;
	return found;
}

bool cgroup_memory(const char *partition, uint64_t *bytes)
{
	return read_number(partition, "memory.current", "", bytes);
}

bool cgroup_cpu(const char *partition, uint64_t *usec)
{
	return read_number(partition, "cpu.stat", "usage_usec", usec);
}

bool cgroup_memory_limit(const char *partition, uint64_t *bytes)
{
	return read_number(partition, "memory.max", "", bytes);
}

bool cgroup_memory_kills(const char *partition, uint64_t *count)
{
	return read_number(partition, "memory.events", "oom_kill", count);
}
