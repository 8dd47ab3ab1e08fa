/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a document from a file or standard input, and shows which of its lines
 * the daemon refused. Called by `up` and `partition create`, on the program's
 * one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "output.h"

/* Escaped as a JSON string inside a message, it must still fit. */
#define SOURCE_MAX (VARLINK_MESSAGE_MAX / 4 * 3)

static int read_all(int fd, struct source *out)
{
	size_t room = 0;

	for (;;) {
		ssize_t got;

		if (out->bytes + 1 >= room) {
			char *larger;

			room = room ? 2 * room : 16384;
			larger = realloc(out->text, room);
			if (!larger)
				return -ENOMEM;
			out->text = larger;
		}
		got = read(fd, out->text + out->bytes, room - out->bytes - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		out->bytes += (size_t)got;
		if (out->bytes > SOURCE_MAX)
			return -EFBIG;
	}
	out->text[out->bytes] = '\0';
	return 0;
}

/* Text that jansson takes as a string: UTF-8, without a NUL. */
static int check_text(const struct cli *cli, const struct source *source)
{
	json_t *probe;

	if (memchr(source->text, '\0', source->bytes))
		return cli_fail(cli, "%s: contains a NUL byte: this is no YAML or JSON text",
				source->name);
	probe = json_stringn(source->text, source->bytes);
	if (!probe)
		return cli_fail(cli, "%s: is not UTF-8 text", source->name);
	json_decref(probe);
	return CLI_DONE;
}

int source_read(const struct cli *cli, const char *path, struct source *out)
{
	bool standard_input = strcmp(path, "-") == 0;
	int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), error;

	*out = (struct source){.name = standard_input ? "standard input" : path};
	if (fd < 0)
		return cli_fail(cli, "%s: cannot read: %s", path, strerror(errno));
	error = read_all(fd, out);
	if (!standard_input)
		close(fd);
	if (error == -EFBIG)
		cli_fail(cli, "%s: too large: a document has at most %u bytes", out->name,
			 SOURCE_MAX);
	else if (error < 0)
		cli_fail(cli, "%s: cannot read: %s", out->name, strerror(-error));
	if (error == 0 && check_text(cli, out) == CLI_DONE)
		return CLI_DONE;
	source_free(out);
	return CLI_FAILED;
}

void source_free(struct source *source)
{
	free(source->text);
	source->text = NULL;
}

static const char *line_start(const char *text, unsigned line)
{
	while (text && line > 1) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
		line--;
	}
	return text && *text ? text : NULL;
}

/* The line, and a mark below what is on it: comments and blanks left out. */
static void show_line(const char *start, unsigned line)
{
	int length = (int)strcspn(start, "\r\n"), begin = (int)strspn(start, " \t"), end = length;
	const char *comment = memmem(start, (size_t)length, " #", 2);
	char *text = strndup(start, (size_t)length);

	output_need(text);
	if (comment && comment - start > begin)
		end = (int)(comment - start);
	while (end > begin && (start[end - 1] == ' ' || start[end - 1] == '\t'))
		end--;
	fprintf(stderr, "%s%5u |%s ", output_paint(stderr, PAINT_DIM), line,
		output_paint(stderr, PAINT_NONE));
	output_text(stderr, text);
	free(text);
	fputc('\n', stderr);
	if (!output_is_terminal(stderr) || end <= begin)
		return;
	fprintf(stderr, "%s      |%s %.*s%s", output_paint(stderr, PAINT_DIM),
		output_paint(stderr, PAINT_NONE), begin, start, output_paint(stderr, PAINT_BAD));
	for (int i = begin; i < end; i++) {
		/* One mark a character: not for UTF-8's later bytes. */
		if (((unsigned char)start[i] & 0xc0) != 0x80)
			fputc(i == begin ? '^' : '~', stderr);
	}
	fprintf(stderr, "%s\n", output_paint(stderr, PAINT_NONE));
}

int source_refused(const struct cli *cli, const struct source *source, unsigned line,
		     const char *message)
{
	const char *start = line ? line_start(source->text, line) : NULL;

	if (cli->json) {
		json_t *json = output_json_new();

		if (json_object_set_new(json, "error",
					json_pack("{s:s, s:s, s:s, s:i}", "name", "InvalidDocument",
						  "message", message, "file", source->name, "line",
						  (int)line)) < 0)
			return cli_fail(cli, "%s", message);
		output_json(stderr, json, true);
		return CLI_FAILED;
	}
	fprintf(stderr, "%soutrigger:%s %s%s:", output_paint(stderr, PAINT_BAD),
		output_paint(stderr, PAINT_NONE), output_paint(stderr, PAINT_BOLD), source->name);
	if (line)
		fprintf(stderr, "%u:", line);
	fprintf(stderr, "%s ", output_paint(stderr, PAINT_NONE));
	output_text(stderr, message);
	fputc('\n', stderr);
	if (start)
		show_line(start, line);
	return CLI_FAILED;
}
