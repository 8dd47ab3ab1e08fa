/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The census: one line for each process that descends from this one, each kind of
 * descriptor in it, each namespace they are in, and each file below the state
 * folder; sorted, equal lines counted. No numbers that differ from run to run.
 * Whoever outlives the daemon becomes our child (PR_SET_CHILD_SUBREAPER), so the
 * parent's id is enough to find everybody.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "rig.h"

#define LINES_MAX 1000
#define LINE_BYTES 240

static char lines[LINES_MAX][LINE_BYTES];
static size_t line_count;
static const char *state_folder;

__attribute__((format(printf, 1, 2)))
static void line_add(const char *format, ...)
{
	va_list arguments;

	if (line_count == LINES_MAX)
		return; /* two that are cut short differ in what was expected to be few */
	va_start(arguments, format);
	vsnprintf(lines[line_count++], LINE_BYTES, format, arguments);
	va_end(arguments);
}

/* ---- Processes ------------------------------------------------------------------ */

/* The second of an adjunct's two names is as good as the first: which it has is chance. */
static void without_slot(char *name)
{
	char *slot = strstr(name, ".1.");

	if (slot)
		memmove(slot, slot + 2, strlen(slot + 2) + 1);
}

/*
 * What an adjunct was donated, and its namespaces, the daemon keeps open if it started
 * that adjunct itself, and not if it took it up from the daemon before: both are
 * right. Once no adjunct is left they are not.
 */
static bool adjuncts_run(void)
{
	for (size_t i = 0; i < line_count; i++)
		if (!strncmp(lines[i], "process outrigger-adjunct", 25))
			return true;
	return false;
}

static bool is_held_for_adjunct(const char *line)
{
	static const char *const prefixes[] = {"fd outriggerd  /memfd:outrigger:",
					       "fd outriggerd  mnt:", "fd outriggerd  net:",
					       "fd outriggerd  anon_inode:seccomp notify"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (!strncmp(line, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

static void forget_held(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < line_count; i++)
		if (!is_held_for_adjunct(lines[i]))
			memmove(lines[kept++], lines[i], LINE_BYTES);
	line_count = kept;
}

static void descriptor_add(const char *who, const char *link)
{
	char kind[LINE_BYTES];
	size_t state_bytes = strlen(state_folder);

	/* How many doorbells and timers an adjunct has depends on how it came to serve. */
	if (!strncmp(who, "outrigger-adjunct", 17) && strncmp(link, "/memfd:", 7) &&
	    strncmp(link, "/dev/", 5))
		return;
	if (!strncmp(link, state_folder, state_bytes))
		link += state_bytes;
	snprintf(kind, sizeof(kind), "%s", link);
	/* "socket:[12]", "net:[34]": numbers of this run. Not so anon_inode:[eventfd]. */
	char *bracket = strchr(kind, '[');
	if (bracket && strncmp(kind, "anon_inode", 10))
		*bracket = '\0';
	line_add("fd %s %s", who, kind);
}

static void descriptors_add(pid_t pid, const char *who)
{
	char path[300], link[LINE_BYTES];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
		ssize_t length = readlink(path, link, sizeof(link) - 1);
		if (length <= 0)
			continue;
		link[length] = '\0';
		descriptor_add(who, link);
	}
	closedir(directory);
}

static const char *const namespace_kinds[] = {"net", "mnt", "pid", "ipc", "uts", "user"};
#define NAMESPACE_KINDS (sizeof(namespace_kinds) / sizeof(namespace_kinds[0]))
static char namespaces[200][64];
static size_t namespace_count;

/* Each namespace once, however many are in it. */
static void namespaces_add(pid_t pid)
{
	for (size_t kind = 0; kind < NAMESPACE_KINDS; kind++) {
		char path[64], link[64];

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, namespace_kinds[kind]);
		ssize_t length = readlink(path, link, sizeof(link) - 1);
		if (length <= 0)
			continue;
		link[length] = '\0';
		size_t i = 0;
		while (i < namespace_count && strcmp(namespaces[i], link))
			i++;
		if (i < namespace_count || i == sizeof(namespaces) / sizeof(namespaces[0]))
			continue;
		strcpy(namespaces[namespace_count++], link);
		line_add("namespace %s", namespace_kinds[kind]);
	}
}

/* Program and first argument, as "outrigger-keeper red". False: it is just ending. */
static bool process_name(pid_t pid, char *name, size_t name_bytes)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	FILE *file = fopen(path, "re");
	size_t bytes = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	if (!bytes)
		return false;
	text[bytes] = '\0';
	const char *slash = strrchr(text, '/'), *second = text + strlen(text) + 1;
	bool daemon = strstr(text, "outriggerd") != NULL;
	snprintf(name, name_bytes, "%.50s %.50s", slash ? slash + 1 : text,
		 second < text + bytes && !daemon ? second : "");
	return true;
}

static bool is_ours(pid_t pid, pid_t daemon)
{
	char path[64], text[600];
	char state;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	size_t bytes = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[bytes] = '\0';
	const char *rest = strrchr(text, ')');
	return rest && sscanf(rest + 1, " %c %d", &state, &parent) == 2 && state != 'Z' &&
	       state != 'X' && (parent == getpid() || (daemon && parent == daemon));
}

static void processes_add(const struct rig *rig)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		pid_t pid = atoi(entry->d_name);
		char name[LINE_BYTES / 2];

		if (pid <= 0 || !is_ours(pid, rig->daemon) || !process_name(pid, name, sizeof(name)))
			continue;
		line_add("process %s", name);
		/* A program of the partition is ours, and its descriptors are this program's. */
		if (strstr(name, "shim_faults"))
			continue;
		descriptors_add(pid, name);
		namespaces_add(pid);
	}
	if (directory)
		closedir(directory);
}

/* Until none is left: whose parent ends becomes ours, and is found the next time. */
static bool end_all(const struct rig *rig)
{
	for (uint64_t deadline = rig_deadline(); clock_now_ns() < deadline; rig_pause()) {
		DIR *directory = opendir("/proc");
		struct dirent *entry;
		bool any = false;

		census_reap();
		while (directory && (entry = readdir(directory))) {
			pid_t pid = atoi(entry->d_name);

			if (pid > 0 && is_ours(pid, rig->daemon)) {
				any = true;
				kill(pid, SIGKILL);
			}
		}
		if (directory)
			closedir(directory);
		if (!any)
			return true;
	}
	return rig_fails("some processes do not end");
}

static int on_removal(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	return where->level ? remove(path) : 0;
}

bool rig_clear(struct rig *rig)
{
	return end_all(rig) && (!nftw(rig->state, on_removal, 8, FTW_PHYS | FTW_DEPTH) ||
				rig_fails("the state folder cannot be emptied"));
}

void census_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG | __WALL | __WNOTHREAD) > 0)
		;
}

/* ---- Files ------------------------------------------------------------------------- */

static int on_file(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	char name[LINE_BYTES];

	(void)status;
	(void)kind;
	(void)where;
	snprintf(name, sizeof(name), "%s", path + strlen(state_folder));
	without_slot(name);
	line_add("file %s", name);
	return 0;
}

static void mounts_add(void)
{
	char line[1000];
	FILE *file = fopen("/proc/self/mountinfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, state_folder))
			line_add("mount %.200s", line);
	if (file)
		fclose(file);
}

/* ---- The text --------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

void census_take(const struct rig *rig, char *text, size_t text_bytes)
{
	size_t used = 0;

	line_count = namespace_count = 0;
	state_folder = rig->state;
	text[0] = '\0';
	census_reap();
	processes_add(rig);
	if (adjuncts_run())
		forget_held();
	mounts_add();
	nftw(rig->state, on_file, 8, FTW_PHYS);
	qsort(lines, line_count, LINE_BYTES, by_text);
	for (size_t i = 0, same; i < line_count && used + LINE_BYTES + 16 < text_bytes; i += same) {
		for (same = 1; i + same < line_count && !strcmp(lines[i], lines[i + same]); same++)
			;
		used += (size_t)snprintf(text + used, text_bytes - used, "%s * %zu\n", lines[i], same);
	}
}

/* The lines of `a` that `b` has not. */
static void difference(const char *a, const char *b, const char *sign, char *out, size_t out_bytes)
{
	for (const char *line = a, *end; (end = strchr(line, '\n')); line = end + 1) {
		char one[LINE_BYTES + 20];
		const char *found;

		snprintf(one, sizeof(one), "%.*s\n", (int)(end - line), line);
		found = strstr(b, one);
		if (found && (found == b || found[-1] == '\n'))
			continue;
		size_t used = strlen(out);
		snprintf(out + used, out_bytes - used, "\n#     %s %.*s", sign, (int)(end - line), line);
	}
}

bool census_equals(const struct rig *rig, const char *wanted)
{
	static char now[200000];
	char different[1800] = "";

	for (uint64_t deadline = rig_deadline();; rig_pause()) {
		census_take(rig, now, sizeof(now));
		if (!strcmp(now, wanted))
			return true;
		if (clock_now_ns() >= deadline)
			break;
	}
	difference(now, wanted, "more:", different, sizeof(different));
	difference(wanted, now, "less:", different, sizeof(different));
	return rig_fails("what there is differs:%s", different);
}
