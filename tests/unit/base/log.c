/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines: prefixes, levels, the sink, and what a hostile text becomes. */
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int captured;

/* Standard error into a file that captured_text() reads. */
static void capture(void)
{
	captured = memfd_create("stderr", MFD_CLOEXEC);
	cr_assert_geq(captured, 0);
	cr_assert_eq(dup2(captured, STDERR_FILENO), STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
}

static const char *captured_text(void)
{
	static char text[8192];
	ssize_t length = pread(captured, text, sizeof(text) - 1, 0);

	cr_assert_geq(length, 0);
	text[length] = '\0';
	return text;
}

Test(log, lines_and_levels)
{
	capture();
	log_open("program", LOG_LEVEL_INFO);
	log_error("first %d", 1);
	log_warning("second");
	log_info("third");
	log_debug("not shown");
	cr_assert_str_eq(captured_text(),
			 "program: error: first 1\nprogram: warning: second\nprogram: third\n");
}

Test(log, journal_prefix)
{
	struct stat st;
	char stream[64];

	capture();
	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("program", LOG_LEVEL_DEBUG);
	log_error("e");
	log_warning("w");
	log_info("i");
	log_debug("d");
	cr_assert_str_eq(captured_text(), "<3>e\n<4>w\n<6>i\n<7>d\n");
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_open("program", LOG_LEVEL_DEBUG);
	log_info("not the journal");
	cr_assert_not_null(strstr(captured_text(), "\nprogram: not the journal\n"));
}

/* What a person's terminal shows: words in colour, unless NO_COLOR says otherwise. */
Test(log, colours_on_a_terminal_only)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char text[200] = "";

	cr_assert(master >= 0 && !grantpt(master) && !unlockpt(master));
	int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(terminal, 0);
	cr_assert_eq(dup2(terminal, STDERR_FILENO), STDERR_FILENO);
	setenv("JOURNAL_STREAM", "not numbers", 1);
	unsetenv("NO_COLOR");
	log_open("p", LOG_LEVEL_INFO);
	log_error("e");
	log_info("i");
	setenv("NO_COLOR", "1", 1);
	log_open("p", LOG_LEVEL_INFO);
	log_error("plain");
	setenv("NO_COLOR", "", 1);
	log_open("p", LOG_LEVEL_INFO);
	log_warning("w");
	size_t used = 0;
	while (!strstr(text, "w\033[0m\r\n")) { /* it is all written: this ends */
		ssize_t got = read(master, text + used, sizeof(text) - 1 - used);

		cr_assert_gt(got, 0);
		used += (size_t)got;
	}
	cr_expect_str_eq(text, "p: \033[31merror: e\033[0m\r\np: i\r\np: error: plain\r\n"
			       "p: \033[33mwarning: w\033[0m\r\n", "%s", text);
}

Test(log, a_text_cannot_forge_a_line)
{
	capture();
	log_open("program", LOG_LEVEL_INFO);
	log_info("name %s", "x\nprogram: error: forged\033[2J\x7f \xc3\xa4");
	cr_assert_str_eq(captured_text(), "program: name x?program: error: forged?[2J? \xc3\xa4\n");
}

Test(log, long_lines_are_cut)
{
	char *text = malloc(100001);

	capture();
	memset(text, 'x', 100000);
	text[100000] = '\0';
	log_open("program", LOG_LEVEL_INFO);
	errno = ENOENT;
	log_info("%s", text);
	cr_assert_eq(errno, ENOENT);
	const char *line = captured_text();
	size_t length = strlen(line);

	cr_assert_geq(length, 1000);
	cr_assert_leq(length, 4096);
	cr_assert_str_eq(line + length - 4, "...\n");
	free(text);
}

static unsigned sink_lines;
static enum log_level sink_level;
static char sink_line[64];

static void sink(enum log_level level, const char *line, void *data)
{
	cr_assert_eq(data, &sink_lines);
	sink_lines++;
	sink_level = level;
	snprintf(sink_line, sizeof(sink_line), "%s", line);
}

static void *log_many(void *data)
{
	(void)data;
	for (unsigned i = 0; i < 500; i++)
		log_info("from a thread");
	return NULL;
}

Test(log, sink_gets_each_line_once)
{
	pthread_t threads[4];

	capture();
	log_open("program", LOG_LEVEL_INFO);
	log_set_sink(sink, &sink_lines);
	log_warning("careful");
	log_debug("not shown");
	cr_assert_eq(sink_lines, 1);
	cr_assert_eq(sink_level, LOG_LEVEL_WARNING);
	cr_assert_str_eq(sink_line, "careful");
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, log_many, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(sink_lines, 2001);
	log_set_sink(NULL, NULL);
	log_info("nobody listens");
	cr_assert_eq(sink_lines, 2001);
}

Test(log, level_words)
{
	enum log_level level;

	cr_assert_eq(log_level_parse("error", &level), 0);
	cr_assert_eq(level, LOG_LEVEL_ERROR);
	cr_assert_eq(log_level_parse("debug", &level), 0);
	cr_assert_eq(level, LOG_LEVEL_DEBUG);
	cr_assert_eq(log_level_parse("loud", &level), -EINVAL);
	cr_assert_eq(log_level_parse("", &level), -EINVAL);
}
