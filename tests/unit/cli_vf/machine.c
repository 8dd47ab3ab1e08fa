/* SPDX-License-Identifier: BSD-2-Clause */
/* See machine.h. */
#include "machine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../hv-shim/cli/cli.h"
#include "../../../hv-shim/cli/output.h"
#include "../fault.h"

#define WORDS_MAX 24
#define HIT 0x80 /* in a child's exit status: the allocation was there to fail */

struct fake machine;
char said[TEXT_BYTES], complained[TEXT_BYTES];
void (*before_look)(unsigned number);
static char state_dir[PATH_MAX], file[PATH_MAX];

/* The manager's look at the machine it runs on is a look at this one. */
int __real_vf_discover(struct vf_host *host, unsigned look);
int __wrap_vf_discover(struct vf_host *host, unsigned look);
int __wrap_vf_discover(struct vf_host *host, unsigned look)
{
	static unsigned number;

	if (host != &machine.host && host->kernel == &vf_kernel_running) {
		fault_hold(true);
		if (before_look)
			before_look(++number);
		fault_hold(false);
		strcpy(host->root, machine.host.root);
		host->kernel = &machine.kernel;
		host->wait_ns = 20000000;
	}
	return __real_vf_discover(host, look);
}

struct fake_pf *machine_open(unsigned vfs)
{
	fake_open(&machine);
	struct fake_pf *pf = fake_add(&machine, &fake_82576);

	if (vfs)
		fake_make_vfs(&machine, pf, vfs);
	snprintf(state_dir, sizeof(state_dir), "%s", machine.host.state);
	*strrchr(state_dir, '/') = '\0';
	/* Who asks is root, whoever runs the test. */
	fault_euid(0);
	return pf;
}

void machine_close(void)
{
	fake_close(&machine);
}

const char *machine_file(const char *text)
{
	fake_put(&machine, text, "/document.yaml");
	cr_assert_eq(vf_path(&machine.host, file, "/document.yaml"), 0);
	return file;
}

/* Not by way of the leak check, which a process forked from one with threads misleads. */
static void leave(int status, void *data)
{
	(void)data;
	fflush(NULL);
	_exit(status);
}

static void child(char **words, int count, unsigned nth, int out, int err)
{
	struct cli cli = {0};

	on_exit(leave, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	output_open(false);
	if (nth)
		fault_start(nth, ENOMEM);
	int status = cli_parse(&cli, count, words);
	if (status == CLI_DONE)
		status = cli.command->run(&cli);
	status |= nth && fault_end() ? HIT : 0;
	cli_close(&cli);
	exit(status);
}

static void fetch(int fd, char *text)
{
	ssize_t got = pread(fd, text, TEXT_BYTES - 1, 0);

	cr_assert_geq(got, 0);
	text[got] = '\0';
	close(fd);
}

static int run_child(unsigned nth, const char *text)
{
	char copy[PATH_MAX + 100], *words[WORDS_MAX] = {"outrigger", "--state-dir", state_dir, "vf"}, *save;
	int count = 4, status, out = memfd_create("out", 0), err = memfd_create("err", 0);

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		words[count++] = word;
	cr_assert(count < WORDS_MAX && out >= 0 && err >= 0);
	fflush(NULL);
	pid_t pid = fork();
	if (!pid)
		child(words, count, nth, out, err);
	cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	fetch(out, said);
	fetch(err, complained);
	cr_assert(WIFEXITED(status), "vf %s: signal %d after\n%s", text, WTERMSIG(status),
		  complained);
	return WEXITSTATUS(status);
}

int run(const char *words)
{
	return run_child(0, words);
}

int run_without(unsigned nth, const char *words, bool *hit)
{
	int status = run_child(nth, words);

	/* Where memory has run out for good, the program has ended in the middle. */
	*hit = status & HIT || strstr(complained, "out of memory");
	return status & ~HIT;
}

void runs(int status, const char *words)
{
	int result = run(words);

	cr_assert_eq(result, status, "vf %s: exit status %d\n%s%s", words, result, said,
		     complained);
}
