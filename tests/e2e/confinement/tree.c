/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tries the list of system calls that the daemon and all that it starts have
 * (tests/e2e/privileges.sh): the daemon starts it in place of its keeper. Or, told
 * "vf-adapter", that of outrigger-vf-adapter, within the walls that it builds for itself
 * by that process's own confine.c; "outside" it tries what is wanted, and no list. The
 * names on the list are in the file $OTR_LISTED, one a line; all other numbers are tried without sense,
 * and those below with arguments that do no harm, which the script compares with what they
 * answer outside. Says everything on standard output, which is the daemon's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../../vf-manager/adapter/adapter.h"
#include "sweep.h"

#define LISTED_MAX 300
#define CALL(name) #name, SYS_##name

/* What somebody who has taken over the daemon, or a child on its way, would want most. */
static const struct {
	const char *name;
	long number;
} wanted[] = {
	{CALL(ptrace)}, {CALL(process_vm_readv)}, {CALL(process_vm_writev)}, {CALL(pidfd_getfd)},
	{CALL(kcmp)}, {CALL(move_pages)}, {CALL(migrate_pages)}, {CALL(process_madvise)},
	{CALL(setns)}, {CALL(chroot)}, {CALL(open_by_handle_at)}, {CALL(name_to_handle_at)},
	{CALL(mknodat)}, {CALL(symlinkat)}, {CALL(linkat)}, {CALL(fsopen)}, {CALL(move_mount)},
	{CALL(open_tree)}, {CALL(mount_setattr)}, {CALL(swapon)}, {CALL(acct)}, {CALL(syslog)},
	{CALL(bpf)}, {CALL(perf_event_open)}, {CALL(userfaultfd)}, {CALL(io_uring_setup)},
	{CALL(keyctl)}, {CALL(add_key)}, {CALL(request_key)}, {CALL(init_module)},
	{CALL(finit_module)}, {CALL(delete_module)}, {CALL(kexec_load)}, {CALL(fanotify_init)},
	{CALL(setresuid)}, {CALL(setgroups)}, {CALL(execveat)}, {CALL(splice)},
	{CALL(vmsplice)}, {CALL(shmget)}, {CALL(adjtimex)}, {CALL(sethostname)},
};

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("tree: ");
	vprintf(format, arguments);
	printf("\n");
	va_end(arguments);
}

/* How many, or -1. */
static int read_listed(int listed[LISTED_MAX])
{
	const char *path = getenv("OTR_LISTED");
	FILE *file = path ? fopen(path, "re") : NULL;
	char name[40];
	int count = 0;

	while (file && count < LISTED_MAX && fscanf(file, "%39s", name) == 1)
		listed[count++] = seccomp_syscall_resolve_name(name);
	if (file)
		fclose(file);
	return count ? count : -1;
}

/* What the list of outrigger-vf-adapter has room for, by way of trial. */
static void try_the_adapters_work(int socket_fd)
{
	static const unsigned long requests[] = {SIOCGIFINDEX, TIOCSTI, TUNSETIFF};
	unsigned possible = 0;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct ifreq request = {.ifr_name = "lo"};

		possible += !ioctl(socket_fd, requests[i], &request) || errno != EPERM;
	}
	say("ioctl: %u of %zu", possible, sizeof(requests) / sizeof(requests[0]));
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	say("open: %s", fd >= 0 ? "done" : strerrorname_np(errno));
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	static int listed[LISTED_MAX];
	int count = read_listed(listed), error = 0;
	bool outside = argc > 1 && !strcmp(argv[1], "outside");
	bool adapter = argc > 1 && !strcmp(argv[1], "vf-adapter");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count < 0) {
		fprintf(stderr, "tree: no list in $OTR_LISTED\n");
		return 2;
	}
	int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (adapter && !(error = confine_process_begin()))
		error = confine_process_finish();
	if (error || socket_fd < 0) {
		fprintf(stderr, "tree: no walls: %s\n", strerror(error ? -error : errno));
		return 1;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		long result = syscall(wanted[i].number, -1L, -1L, -1L, -1L, -1L, -1L);

		say("wanted: %s %s", wanted[i].name, result == -1 ? strerrorname_np(errno) : "done");
	}
	if (!outside) {
		const struct sweep sweep = {adapter ? EPERM : ENOSYS, listed, (size_t)count, say};

		sweep_run(&sweep);
	}
	if (adapter)
		try_the_adapters_work(socket_fd);
	close(socket_fd);
	say("done");
	return 0;
}
