/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes the small text files of sysfs, proc and dev below the host's root.
 * What a file says is a driver's or a person's word: cut to size, checked, then used.
 * Called by all of the manager, on its caller's thread.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "vf_internal.h"

#define TEXT_BYTES_MAX 65536
#define WAIT_NS_DEFAULT (UINT64_C(10) * 1000000000)

__attribute__((format(printf, 3, 0))) static int join(const struct vf_host *host,
						     char out[PATH_MAX],
						     const char *format, va_list arguments)
{
	size_t used = strlen(host->root);

	memcpy(out, host->root, used);
	int length = vsnprintf(out + used, PATH_MAX - used, format, arguments);
	return length < 0 || (size_t)length >= PATH_MAX - used ? -ENAMETOOLONG : 0;
}

/* The path of a function's own variable arguments, into `path`; `error` says how it went. */
#define JOIN(host, path, format, error)                              \
	do {                                                         \
		va_list arguments_;                                  \
		va_start(arguments_, format);                        \
		(error) = join(host, path, format, arguments_);      \
		va_end(arguments_);                                  \
	} while (0)

int vf_path(const struct vf_host *host, char out[PATH_MAX], const char *format, ...)
{
	int error;

	JOIN(host, out, format, error);
	return error;
}

/*
 * At most bytes - 1, always ended; the number, or -errno. An `attribute` comes whole in
 * one read, which is half of what there is to do; other files may come in pieces.
 */
static ssize_t read_file(const char *path, char *out, size_t bytes, bool attribute)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t used = 0;

	if (fd < 0)
		return -errno;
	while (used < bytes - 1) {
		ssize_t got = read(fd, out + used, bytes - 1 - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = -errno;

			close(fd);
			return error;
		}
		if (!got)
			break;
		used += (size_t)got;
		if (attribute)
			break;
	}
	close(fd);
	out[used] = '\0';
	return (ssize_t)used;
}

int vf_read(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
{
	char path[PATH_MAX], text[512];
	int error;

	JOIN(host, path, format, error);
	ssize_t got = error ? error : read_file(path, text, sizeof(text), true);
	if (got < 0)
		return (int)got;
	size_t length = strcspn(text, "\n");
	if (length >= bytes)
		return -EOVERFLOW;
	/* It is shown to people, and put into files of others. */
	for (size_t i = 0; i < length; i++)
		out[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	out[length] = '\0';
	return 0;
}

bool vf_number_parse(const char *text, int64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)(*text == '-' ? text[1] : *text)))
		return false;
	errno = 0;
	long long value = strtoll(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno || *end)
		return false;
	*out = value;
	return true;
}

int64_t vf_read_number(const struct vf_host *host, int64_t fallback, const char *format, ...)
{
	char path[PATH_MAX], text[32];
	int64_t value;
	int error;

	JOIN(host, path, format, error);
	if (error || read_file(path, text, sizeof(text), true) < 0)
		return fallback;
	text[strcspn(text, "\n")] = '\0';
	return vf_number_parse(text, &value) ? value : fallback;
}

void vf_read_link(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length = -1;
	int error;

	*out = '\0';
	JOIN(host, path, format, error);
	if (!error)
		length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return;
	target[length] = '\0';
	const char *name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	if (strlen(name) < bytes && vf_word_valid(name))
		strcpy(out, name);
}

bool vf_exists(const struct vf_host *host, const char *format, ...)
{
	char path[PATH_MAX];
	int error;

	JOIN(host, path, format, error);
	return !error && !access(path, F_OK);
}

DIR *vf_open_folder(const struct vf_host *host, const char *format, ...)
{
	char path[PATH_MAX];
	int error;

	JOIN(host, path, format, error);
	return error ? NULL : opendir(path);
}

const char *vf_next_entry(DIR *folder)
{
	const struct dirent *entry = folder ? readdir(folder) : NULL;

	if (folder && !entry)
		closedir(folder);
	return entry ? entry->d_name : NULL;
}

void vf_first_entry(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
{
	char path[PATH_MAX];
	const char *entry;
	int error;

	*out = '\0';
	JOIN(host, path, format, error);
	DIR *folder = error ? NULL : opendir(path);
	while ((entry = vf_next_entry(folder)))
		if (vf_word_valid(entry) && strlen(entry) < bytes &&
		    (!*out || strcmp(entry, out) < 0))
			strcpy(out, entry);
}

char *vf_read_text(const struct vf_host *host, const char *format, ...)
{
	char path[PATH_MAX];
	int error;

	JOIN(host, path, format, error);
	char *text = error ? NULL : malloc(TEXT_BYTES_MAX + 1);
	if (text && read_file(path, text, TEXT_BYTES_MAX + 1, false) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

bool vf_word_valid(const char *text)
{
	if (!*text || *text == '.')
		return false;
	for (; *text; text++)
		if (!isgraph((unsigned char)*text) || *text == '/')
			return false;
	return true;
}

int vf_refuse(struct vf_host *host, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(host->reason, sizeof(host->reason), format, arguments);
	va_end(arguments);
	return error;
}

int vf_write(struct vf_host *host, const char *text, const char *format, ...)
{
	char path[PATH_MAX];
	int error;

	JOIN(host, path, format, error);
	if (!error)
		error = host->kernel->write(host->kernel->data, path, text);
	if (error)
		vf_refuse(host, error, "writing \"%.*s\" to %s: %s", (int)strcspn(text, "\n"),
			  text, path, strerror(-error));
	return error;
}

int vf_wait(struct vf_host *host, int (*ready)(struct vf_host *host, const void *data),
	    const void *data)
{
	const struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
	uint64_t until = clock_now_ns() + (host->wait_ns ? host->wait_ns : WAIT_NS_DEFAULT);

	for (;;) {
		int result = ready(host, data);

		if (result != -EAGAIN)
			return result;
		if (clock_now_ns() >= until)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}
