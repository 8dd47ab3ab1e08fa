/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control groups: see cgroup.h. The kernel's interface is files; what they hold is read
 * whole and written whole. Event-loop thread.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
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
/* Of a share of processors: so often it is given out anew, in us; the kernel's default. */
#define PERIOD_US 100000

/* Below a partition's group. */
#define ADJUNCTS "/adjuncts"
#define PROGRAMS "/programs"

static char base[PATH_MAX];
static size_t mount_bytes; /* of `base`: where the hierarchy is mounted */
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

/* Of a group that no process is in: its children are charged for it. */
static void enable_controller(const char *group, const char *controller)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group) >= (int)sizeof(path))
		return;
	int error = write_text(path, controller);

	if (error)
		log_debug("%s: %s: %s", path, controller, strerror(-error));
}

/* One that the kernel lacks is no reason to do without the other. */
static void enable_controllers(const char *group)
{
	enable_controller(group, "+memory");
	enable_controller(group, "+cpu");
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
	mount_bytes = strlen(mount);
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

/* "BASE/p.NAME", what is `below` it, and with `file` a file there. False: there is no
 * accounting. */
__attribute__((format(printf, 3, 4)))
static bool group_path(const char *partition, char out[PATH_MAX], const char *below, ...)
{
	va_list arguments;

	if (*problem)
		return false;
	int used = snprintf(out, PATH_MAX, "%s/p.%s", base, partition);
	if (used >= PATH_MAX)
		return false;
	va_start(arguments, below);
	int more = vsnprintf(out + used, (size_t)(PATH_MAX - used), below, arguments);
	va_end(arguments);
	return more < PATH_MAX - used;
}

/* The group of a device's adjuncts, or, without one, of the partition's own processes. */
static bool adjunct_path(const char *partition, const char *device, const char *file,
			 char out[PATH_MAX])
{
	return device ? group_path(partition, out, ADJUNCTS "/%s%s", device, file)
		      : group_path(partition, out, ADJUNCTS "%s", file);
}

/*
 * All groups of a partition. Its own has no process in it: its children are charged for
 * memory apart, and for processors as one.
 */
static int make_groups(const char *partition)
{
	char path[PATH_MAX];

	if (!group_path(partition, path, "%s", ""))
		return -ENOENT;
	int error = make_group(path);
	if (!error)
		enable_controller(path, "+memory");
	if (!error && group_path(partition, path, ADJUNCTS))
		error = make_group(path);
	if (!error && group_path(partition, path, PROGRAMS))
		error = make_group(path);
	return error;
}

static int make_adjunct_group(const char *partition, const char *device, char path[PATH_MAX])
{
	if (!adjunct_path(partition, device, "", path))
		return -ENOENT;
	int error = make_group(path);

	/* The first process of all. */
	if (error == -ENOENT && !(error = make_groups(partition)))
		error = make_group(path);
	return error;
}

int cgroup_open_group(const char *partition, const char *device)
{
	char path[PATH_MAX];
	int error = make_adjunct_group(partition, device, path);
	int fd = error ? error : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 && !error ? -errno : fd;
}

static int write_pid(const char *path, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return write_text(path, text);
}

void cgroup_add(const char *partition, const char *device, pid_t pid)
{
	char path[PATH_MAX];
	int error = make_adjunct_group(partition, device, path);

	if (*problem)
		return;
	if (!error && adjunct_path(partition, device, "/cgroup.procs", path))
		error = write_pid(path, pid);
	/* ESRCH: it has ended meanwhile, which its owner hears of. */
	if (error && error != -ESRCH)
		log_warning("partition %s: process %d is not charged to it: %s", partition, (int)pid,
			    strerror(-error));
}

/* ---- Programs ------------------------------------------------------------------ */

/* Whose process it is, by its effective user id. */
static int owner_of(pid_t pid, uid_t *uid)
{
	char path[40], line[128];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "Uid: %*u %u", uid) == 1;
	if (file)
		fclose(file);
	return found ? 0 : -ESRCH;
}

static bool is_in(pid_t pid, const char *group)
{
	char path[40];
	char *line = NULL;
	size_t line_bytes = 0;
	bool in = false;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	FILE *file = fopen(path, "re");
	while (file && !in && getline(&line, &line_bytes, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		in = !strncmp(line, "0::", 3) && !strcmp(line + 3, group + mount_bytes);
	}
	free(line);
	if (file)
		fclose(file);
	return in;
}

int cgroup_add_program(const char *partition, pid_t pid, uid_t uid)
{
	char path[PATH_MAX];
	uid_t owner;
	int error = group_path(partition, path, PROGRAMS) ? owner_of(pid, &owner) : -ENOENT;

	/* Another's by now: the one who asked has ended. */
	if (!error && owner != uid)
		error = -ESRCH;
	if (error || is_in(pid, path))
		return error;
	error = make_groups(partition);
	if (!error && group_path(partition, path, PROGRAMS "/cgroup.procs"))
		error = write_pid(path, pid);
	return error;
}

/* ---- Limits -------------------------------------------------------------------- */

static const char *why_not_kept(int error, const char *controller)
{
	static char text[80];

	snprintf(text, sizeof(text), "the %s controller is not in this hierarchy", controller);
	return error == -ENOENT ? text : strerror(-error);
}

static void limit_memory(const char *partition, int64_t bytes)
{
	char path[PATH_MAX], text[24] = "max";
	const char *why = cgroup_why_not();
	int error = 0;

	if (bytes)
		snprintf(text, sizeof(text), "%lld", (long long)bytes);
	if (group_path(partition, path, ADJUNCTS "/memory.max"))
		error = write_text(path, text);
	if (error)
		why = why_not_kept(error, "memory");
	if (why && bytes)
		log_warning("partition %s: the kernel does not keep its limit of %lldM of memory: %s",
			    partition, (long long)bytes >> 20, why);
}

static void limit_cpus(const char *partition, int64_t cpus_milli)
{
	char path[PATH_MAX], text[48] = "max";
	const char *why = cgroup_why_not();
	int error = 0;

	if (cpus_milli)
		snprintf(text, sizeof(text), "%lld %d", (long long)cpus_milli * PERIOD_US / 1000,
			 PERIOD_US);
	if (group_path(partition, path, "/cpu.max"))
		error = write_text(path, text);
	if (error)
		why = why_not_kept(error, "cpu");
	if (why && cpus_milli)
		log_warning("partition %s: the kernel does not keep its share of processors: %s",
			    partition, why);
}

void cgroup_limit(const char *partition, int64_t memory_bytes, int64_t cpus_milli)
{
	int error = cgroup_why_not() ? 0 : make_groups(partition);

	if (error)
		log_warning("partition %s: its control group cannot be made: %s", partition,
			    strerror(-error));
	limit_memory(partition, memory_bytes);
	limit_cpus(partition, cpus_milli);
}

/* ---- The end ------------------------------------------------------------------- */

/* Groups whose last processes have been killed, and are not gone yet. */
struct leaving {
	char path[PATH_MAX];
	unsigned tries;
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
	(void)status;
	(void)ftw;
	return kind == FTW_DP && rmdir(path) && errno != ENOENT ? errno : 0;
}

/* Its files go with each group. */
static bool remove_groups(struct leaving *leaving)
{
	int error = nftw(leaving->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);

	if (!error || (error < 0 && errno == ENOENT))
		return true;
	/* An empty group costs nothing, and a partition of that name takes it up. */
	if (error == EBUSY && ++leaving->tries < REMOVE_TRIES)
		return false;
	log_debug("%s stays: %s", leaving->path, strerror(error < 0 ? errno : error));
	return true;
}

static int on_try_again(sd_event_source *source, uint64_t usec, void *data)
{
	struct leaving *leaving = data;

	(void)usec;
	if (!remove_groups(leaving) && sd_event_source_set_time_relative(source, REMOVE_US) >= 0 &&
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
	char path[PATH_MAX];

	/* Programs that outlive it are nobody's, and wait for nobody's share. */
	if (group_path(partition, path, "/cpu.max"))
		(void)write_text(path, "max");
	if (leaving && group_path(partition, leaving->path, "%s", "") && !remove_groups(leaving) &&
	    sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, REMOVE_US, 0, on_try_again,
				       leaving) >= 0)
		return;
	free(leaving);
}

/* ---- What the kernel counts ---------------------------------------------------- */

/* The number after `key` and a space, or, with an empty key, the file's first. */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
	FILE *stream = fopen(path, "re");
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
	char path[PATH_MAX];

	return group_path(partition, path, ADJUNCTS "/memory.current") && read_number(path, "", bytes);
}

bool cgroup_memory_limit(const char *partition, uint64_t *bytes)
{
	char path[PATH_MAX];

	return group_path(partition, path, ADJUNCTS "/memory.max") && read_number(path, "", bytes);
}

bool cgroup_memory_kills(const char *partition, uint64_t *count)
{
	char path[PATH_MAX];

	return group_path(partition, path, ADJUNCTS "/memory.events") &&
	       read_number(path, "oom_kill", count);
}

bool cgroup_cpu(const char *partition, uint64_t *usec)
{
	char path[PATH_MAX];

	return group_path(partition, path, "/cpu.stat") && read_number(path, "usage_usec", usec);
}

bool cgroup_cpu_of_programs(const char *partition, uint64_t *usec)
{
	char path[PATH_MAX];

	return group_path(partition, path, PROGRAMS "/cpu.stat") &&
	       read_number(path, "usage_usec", usec);
}

bool cgroup_cpu_of_device(const char *partition, const char *device, uint64_t *usec)
{
	char path[PATH_MAX];

	return adjunct_path(partition, device, "/cpu.stat", path) &&
	       read_number(path, "usage_usec", usec);
}

bool cgroup_cpu_limit(const char *partition)
{
	char path[PATH_MAX];
	uint64_t quota_us;

	return group_path(partition, path, "/cpu.max") && read_number(path, "", &quota_us);
}

bool cgroup_cpu_throttled(const char *partition, uint64_t *usec)
{
	char path[PATH_MAX];

	return group_path(partition, path, "/cpu.stat") && read_number(path, "throttled_usec", usec);
}
