/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deeds, one small function each: 0 or more if it was possible (and undone,
 * where that makes sense), else -1 with errno. Called by intruder.c.
 *
 * How a deed must fail: by the list of system calls, with EPERM, or with the
 * error given in the table where the call is on the list and something else stops
 * it. Without the list, with any of the errors that mean "not for you"; an EFAULT
 * or EINVAL would mean that the deed itself was not well done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "intruder.h"

#define PAGE_BYTES 4096
#define HUGE_BYTES ((size_t)64 << 30)
#define DESCRIPTORS 1024

enum kind {
	BOTH_WALLS = 0,
	LIST_ONLY = 1 << 0,   /* no other wall stops it: not tried without the list */
	FREE_BEFORE = 1 << 1, /* possible before the confinement, for any user */
};

struct attempt {
	const char *name;
	long (*try)(const struct targets *targets, const char *path);
	const char *path;
	unsigned kind;
	int error; /* 0: EPERM */
};

/* ---- Files ---------------------------------------------------------------- */

static long closed(long fd)
{
	if (fd >= 0)
		close((int)fd);
	return fd;
}

static long read_file(const struct targets *targets, const char *path)
{
	(void)targets;
	return closed(open(path, O_RDONLY | O_CLOEXEC));
}

static long write_file(const struct targets *targets, const char *path)
{
	(void)targets;
	return closed(open(path, O_RDWR | O_CLOEXEC));
}

static long read_state(const struct targets *targets, const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", targets->state_dir, path);
	return closed(open(full, O_RDONLY | O_CLOEXEC));
}

static long sibling_file(const struct targets *targets, const char *path)
{
	char full[64];

	snprintf(full, sizeof(full), "/proc/%d/%s", targets->sibling_pid, path);
	return closed(open(full, O_RDWR | O_CLOEXEC));
}

static long sibling_look(const struct targets *targets, const char *path)
{
	char full[64];

	snprintf(full, sizeof(full), "/proc/%d/%s", targets->sibling_pid, path);
	return closed(open(full, O_RDONLY | O_CLOEXEC));
}

static long sibling_by_held_folder(const struct targets *targets, const char *path)
{
	char full[64];

	snprintf(full, sizeof(full), "proc/%d/%s", targets->sibling_pid, path);
	return closed(openat(targets->root_fd, full, O_RDWR | O_CLOEXEC));
}

/* A folder of the old root, held open from before. */
static long read_by_held_folder(const struct targets *targets, const char *path)
{
	return closed(openat(targets->root_fd, path, O_RDONLY | O_CLOEXEC));
}

static long make_folder(const struct targets *targets, const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", targets->state_dir, path);
	long result = mkdir(full, 0700);

	if (!result)
		rmdir(full);
	return result;
}

static long make_folder_at_root(const struct targets *targets, const char *path)
{
	(void)targets;
	return mkdir(path, 0700);
}

static long make_link(const struct targets *targets, const char *path)
{
	(void)targets;
	return symlink("/etc", path);
}

/* ---- Networks --------------------------------------------------------------- */

static long socket_of_family(const struct targets *targets, const char *path)
{
	int family = !strcmp(path, "unix") ? AF_UNIX : !strcmp(path, "inet") ? AF_INET : AF_NETLINK;

	(void)targets;
	return closed(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static long connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
	int result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

static long connect_to_vf(const struct targets *targets, const char *path)
{
	(void)path;
	return connect_to(targets->vf_socket);
}

static long connect_to_shim(const struct targets *targets, const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", targets->state_dir, path);
	return connect_to(full);
}

static long connect_to_host(const struct targets *targets, const char *path)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)targets;
	if (fd < 0)
		return -1;
	inet_pton(AF_INET, path, &address.sin_addr);
	int result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

/* ---- Other processes ----------------------------------------------------------- */

static int pid_of(const struct targets *targets, const char *whom)
{
	return !strcmp(whom, "shim") ? targets->shim_pid : targets->sibling_pid;
}

static long trace(const struct targets *targets, const char *whom)
{
	return ptrace(PTRACE_SEIZE, pid_of(targets, whom), NULL, NULL);
}

static long read_memory(const struct targets *targets, const char *whom)
{
	char octet;
	struct iovec here = {&octet, 1}, there = {targets->memory, 1};

	return process_vm_readv(pid_of(targets, whom), &here, 1, &there, 1, 0);
}

static long write_memory(const struct targets *targets, const char *whom)
{
	char octet = 0;
	struct iovec here = {&octet, 1}, there = {targets->memory, 1};

	return process_vm_writev(pid_of(targets, whom), &here, 1, &there, 1, 0);
}

static long signal_it(const struct targets *targets, const char *whom)
{
	return kill(pid_of(targets, whom), 0);
}

static long signal_thread(const struct targets *targets, const char *whom)
{
	int pid = pid_of(targets, whom);

	return syscall(SYS_tgkill, pid, pid, 0);
}

static long signal_everybody(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return kill(-1, 0);
}

static long open_pidfd(const struct targets *targets, const char *whom)
{
	return closed(syscall(SYS_pidfd_open, pid_of(targets, whom), 0));
}

static long take_descriptor(const struct targets *targets, const char *whom)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid_of(targets, whom), 0);

	return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static long take_without_pidfd(const struct targets *targets, const char *path)
{
	(void)path;
	return syscall(SYS_pidfd_getfd, targets->root_fd, 0, 0);
}

/* Is one of its descriptors the same file as ours? Tells it from any other process. */
static long compare_descriptors(const struct targets *targets, const char *whom)
{
	return syscall(SYS_kcmp, getpid(), pid_of(targets, whom), KCMP_FILE, 0, 0);
}

/* Where its pages are: asks without moving any. */
static long locate_pages(const struct targets *targets, const char *whom)
{
	void *page = targets->memory;
	int node;

	return syscall(SYS_move_pages, pid_of(targets, whom), 1L, &page, NULL, &node, 0);
}

static long enter_its_namespace(const struct targets *targets, const char *path)
{
	char full[64];

	snprintf(full, sizeof(full), "/proc/%d/%s", targets->sibling_pid, path);
	int fd = open(full, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	long result = setns(fd, 0);
	int error = errno;

	close(fd);
	errno = error;
	return result;
}

static long fork_child(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static long clone_child(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return pid < 0 ? -1 : waitpid((pid_t)pid, NULL, 0);
}

static long execute(const struct targets *targets, const char *path)
{
	char *const arguments[] = {(char *)path, (char *)"--help", NULL};

	(void)targets;
	return execve(path, arguments, NULL);
}

/* ---- Privileges --------------------------------------------------------------------- */

static long mount_something(const struct targets *targets, const char *path)
{
	(void)targets;
	return mount("none", path, "tmpfs", 0, NULL);
}

static long remount_writable(const struct targets *targets, const char *path)
{
	(void)targets;
	return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL);
}

static long change_root(const struct targets *targets, const char *path)
{
	(void)targets;
	return chroot(path);
}

static long unshare_mounts(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return unshare(CLONE_NEWNS);
}

/* Not tried before: whoever is in a user namespace of its own looks different. */
static long unshare_user(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return unshare(CLONE_NEWUSER);
}

static long enter_namespace(const struct targets *targets, const char *path)
{
	(void)path;
	return setns(targets->namespace_fd, CLONE_NEWNET);
}

static long name_host(const struct targets *targets, const char *path)
{
	(void)targets;
	return sethostname(path, strlen(path));
}

/* ---- Memory ------------------------------------------------------------------------- */

static long unmapped(void *memory, size_t bytes)
{
	if (memory == MAP_FAILED)
		return -1;
	munmap(memory, bytes);
	return 0;
}

static long map_executable(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return unmapped(
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		PAGE_BYTES);
}

static long make_executable(const struct targets *targets, const char *path)
{
	(void)path;
	long result = mprotect(targets->memory, PAGE_BYTES, PROT_READ | PROT_EXEC);

	if (!result)
		mprotect(targets->memory, PAGE_BYTES, PROT_READ | PROT_WRITE);
	return result;
}

static long map_much(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return unmapped(mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
			HUGE_BYTES);
}

/* Counted as a file's, by no limit of a process. */
static long map_shared(const struct targets *targets, const char *path)
{
	(void)targets;
	(void)path;
	return unmapped(
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
		PAGE_BYTES);
}

static long memory_file(const struct targets *targets, const char *path)
{
	(void)targets;
	return closed(memfd_create(path, MFD_CLOEXEC));
}

static long many_descriptors(const struct targets *targets, const char *path)
{
	static int fds[DESCRIPTORS];
	unsigned count = 0;

	(void)targets;
	(void)path;
	while (count < DESCRIPTORS && (fds[count] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
		count++;
	int error = errno;

	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	errno = error;
	return count == DESCRIPTORS ? 0 : -1;
}

/* ---- All of them -------------------------------------------------------------------- */

static const struct attempt attempts[] = {
	{"read /", read_file, "/", FREE_BEFORE},
	{"read ..", read_file, "..", FREE_BEFORE},
	{"read /etc/passwd", read_file, "/etc/passwd", FREE_BEFORE},
	{"read /proc/self/status", read_file, "/proc/self/status"},
	{"write /proc/self/mem", write_file, "/proc/self/mem"},
	{"read /proc/1/environ", read_file, "/proc/1/environ"},
	{"read /sys", read_file, "/sys", FREE_BEFORE},
	{"write /dev/null", write_file, "/dev/null", FREE_BEFORE},
	{"write /dev/net/tun", write_file, "/dev/net/tun"},
	{"write /dev/mem", write_file, "/dev/mem"},
	{"read the state folder", read_state, "", FREE_BEFORE},
	{"read the saved state", read_state, "/state.json", FREE_BEFORE},
	{"write the sibling's memory file", sibling_file, "mem"},
	{"open a descriptor of the sibling", sibling_file, "fd/3"},
	{"see the sibling", sibling_look, "", FREE_BEFORE},
	{"read the sibling's memory map", sibling_look, "maps"},
	{"read the sibling's mapped files", sibling_look, "map_files"},
	{"read the sibling's root", sibling_look, "root/"},
	{"open the sibling's memory by a folder held open", sibling_by_held_folder, "mem"},
	{"open a descriptor of the sibling by a folder held open", sibling_by_held_folder, "fd/3"},
	{"read by a folder held open", read_by_held_folder, "etc/passwd", FREE_BEFORE},
	{"make a folder in the state folder", make_folder, "/intruder", FREE_BEFORE},
	{"make a folder in /", make_folder_at_root, "/intruder"},
	{"make a symbolic link", make_link, "/intruder"},

	{"a Unix socket", socket_of_family, "unix", LIST_ONLY | FREE_BEFORE},
	{"an IP socket", socket_of_family, "inet", LIST_ONLY | FREE_BEFORE},
	{"a netlink socket", socket_of_family, "netlink", LIST_ONLY | FREE_BEFORE},
	{"connect to the sibling's function", connect_to_vf},
	{"connect to the shim", connect_to_shim, "/control.sock"},
	{"connect to the sibling", connect_to_shim, "/adjunct/red.net0.sock"},
	{"connect to the sibling's keeper", connect_to_shim, "/keeper/red.sock"},
	{"connect to the sibling's partition", connect_to_shim, "/partition/red.sock"},
	{"connect to a sibling's guest socket", connect_to_shim, "/vhost/blue.net1.sock"},
	{"connect to the adapter", connect_to_shim, "/adapter/soft0.sock"},
	{"reach the loopback", connect_to_host, "127.0.0.1"},
	{"reach a network", connect_to_host, "192.0.2.1"},

	{"trace the sibling", trace, "sibling"},
	{"trace the shim", trace, "shim"},
	{"read the sibling's memory", read_memory, "sibling"},
	{"read the shim's memory", read_memory, "shim"},
	{"write the sibling's memory", write_memory, "sibling"},
	{"signal the sibling", signal_it, "sibling"},
	{"signal the shim", signal_it, "shim"},
	{"signal a thread of the sibling", signal_thread, "sibling", BOTH_WALLS, ESRCH},
	{"signal a thread of the shim", signal_thread, "shim", BOTH_WALLS, ESRCH},
	{"signal everybody", signal_everybody},
	{"a pidfd of the sibling", open_pidfd, "sibling"},
	{"a pidfd of the shim", open_pidfd, "shim"},
	{"take a descriptor of the sibling", take_descriptor, "sibling"},
	{"take a descriptor of the shim", take_descriptor, "shim"},
	{"compare descriptors with the sibling", compare_descriptors, "sibling"},
	{"locate the sibling's pages", locate_pages, "sibling"},
	{"enter the sibling's network", enter_its_namespace, "ns/net"},
	{"take a descriptor of nobody", take_without_pidfd, NULL, LIST_ONLY},
	{"fork", fork_child, NULL, LIST_ONLY | FREE_BEFORE},
	{"clone", clone_child, NULL, LIST_ONLY | FREE_BEFORE},
	{"execute itself", execute, "/proc/self/exe"},
	{"execute a shell", execute, "/bin/sh"},

	{"mount", mount_something, "/"},
	{"make the root writable", remount_writable, "/"},
	{"chroot", change_root, "/"},
	{"a mount namespace", unshare_mounts},
	{"a user namespace", unshare_user, NULL, LIST_ONLY},
	{"enter a namespace", enter_namespace},
	{"name the host", name_host, "intruder"},

	{"map executable memory", map_executable, NULL, FREE_BEFORE},
	{"make donated memory executable", make_executable, NULL, FREE_BEFORE},
	{"map 64 GiB", map_much, NULL, BOTH_WALLS, ENOMEM},
	{"map memory that nobody counts", map_shared, NULL, FREE_BEFORE},
	{"a memory file", memory_file, "intruder", LIST_ONLY | FREE_BEFORE},
	{"a thousand descriptors", many_descriptors, NULL, BOTH_WALLS, EMFILE},
};

const int attempts_syscalls[] = {
	SYS_openat,
	SYS_mkdirat,
	SYS_symlinkat,
	SYS_socket,
	SYS_connect,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_kill,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_kcmp,
	SYS_move_pages,
	SYS_execve,
	SYS_mount,
	SYS_chroot,
	SYS_unshare,
	SYS_setns,
	SYS_sethostname,
#ifdef SYS_mkdir
	SYS_open,
	SYS_mkdir,
	SYS_symlink,
	SYS_rmdir,
#endif
	-1,
};

/* EPERM from the list; what the other walls say is theirs. */
static bool refused(const struct attempt *attempt, bool listed)
{
	static const int refusals[] = {EPERM, EACCES, ENOENT, ESRCH, EROFS, ENETUNREACH};

	if (attempt->error)
		return errno == attempt->error;
	if (listed)
		return errno == EPERM;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (errno == refusals[i])
			return true;
	return false;
}

void attempts_run(const struct adj_env *env, const struct targets *targets, bool before,
		  bool listed)
{
	const char *when = before ? "before" : "after";
	unsigned tried = 0, possible = 0, stopped = 0;

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *attempt = &attempts[i];

		if (before ? !(attempt->kind & FREE_BEFORE)
			   : !listed && (attempt->kind & LIST_ONLY))
			continue;
		errno = 0;
		long result = attempt->try(targets, attempt->path);
		bool refusal = result < 0 && refused(attempt, listed);

		tried++;
		possible += result >= 0;
		stopped += refusal;
		env->log(env, ADJ_LOG_INFO, "%s: %s: %s%s", when, attempt->name,
			 result >= 0 ? "possible"
			 : refusal   ? "refused, "
				     : "went wrong, ",
			 result >= 0 ? "" : strerrorname_np(errno));
	}
	env->log(env, ADJ_LOG_INFO, "%s: %u deeds, %u possible, %u refused", when, tried, possible,
		 stopped);
}
