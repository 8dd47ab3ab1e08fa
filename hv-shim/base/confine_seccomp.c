/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A list of system calls as a filter of the kernel: see confine.h. Any thread;
 * it holds for all of them.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"

/*
 * Memory is never executable. Nor is it anonymous and shared: the kernel counts
 * that for no process, so RLIMIT_DATA would not hold it.
 */
static int allow_mappings(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	/* MAP_SHARED_VALIDATE has the bit of MAP_SHARED too. */
	const struct scmp_arg_cmp file = SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0);
	const struct scmp_arg_cmp private =
		SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_SHARED, MAP_ANONYMOUS);
	int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);

	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec, file);
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec,
					  private);
	return result;
}

/* libseccomp hands its translation out through a descriptor. */
static int program_read(scmp_filter_ctx filter, struct sock_fprog *out)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat status;
	int result = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);

	if (!result && fstat(fd, &status))
		result = -errno;
	if (!result) {
		size_t bytes = (size_t)status.st_size;

		out->filter = malloc(bytes);
		out->len = (unsigned short)(bytes / sizeof(*out->filter));
		if (!out->filter)
			result = -ENOMEM;
		else if (pread(fd, out->filter, bytes, 0) != (ssize_t)bytes)
			result = -EIO;
	}
	if (fd >= 0)
		close(fd);
	return result;
}

/* A comparison with that call's number. */
static bool has_call(const struct sock_fprog *program, int number)
{
	for (unsigned i = 0; i < program->len; i++)
		if (program->filter[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
		    program->filter[i].k == (unsigned)number)
			return true;
	return false;
}

/* Short of memory libseccomp leaves calls out and says nothing: whoever is confined by
 * that cannot even exit. Negative numbers are calls that this machine does not have. */
static int check_complete(const struct sock_fprog *program, const int *allowed, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (allowed[i] >= 0 && !has_call(program, allowed[i]))
			return -ENOMEM;
	return 0;
}

static int fail(int error)
{
	log_error("cannot be confined: seccomp: %s", strerror(-error));
	return error;
}

int confine_seccomp_translate(const int *allowed, size_t count, const int *more,
			      const unsigned *ioctls, struct sock_fprog *out)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	/* Calls by the tables of other machines (i386, x32) are none of ours. */
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM))
			    : -ENOMEM;

	*out = (struct sock_fprog){0};
	for (size_t i = 0; i < count && !result; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!result)
		result = allow_mappings(filter);
#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer asks where its stacks are before whatever does not return. */
	if (!result)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sigaltstack), 0);
#endif
	for (const int *number = more; number && *number >= 0 && !result; number++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, *number, 0);
	/* The kernel looks at the lower half of a request only, and so may the filter. */
	for (; ioctls && *ioctls && !result; ioctls++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					  SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, *ioctls));
	if (!result)
		result = program_read(filter, out);
	if (!result)
		result = check_complete(out, allowed, count);
	if (filter)
		seccomp_release(filter);
	if (!result)
		return 0;
	free(out->filter);
	*out = (struct sock_fprog){0};
	return fail(result);
}

static int enforce(unsigned short length, struct sock_filter *filter)
{
	const struct sock_fprog program = {length, filter};
	/* 0, or the thread that cannot take the list, or -1. */
	long thread = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	int result = thread < 0 ? -errno : thread > 0 ? -ESRCH : 0;

	return result ? fail(result) : 0;
}

int confine_seccomp_enforce(struct sock_fprog *program)
{
	int result = enforce(program->len, program->filter);

	free(program->filter);
	*program = (struct sock_fprog){0};
	return result;
}

int confine_seccomp(const int *allowed, size_t count, const int *more)
{
	struct sock_fprog program;
	int result = confine_seccomp_translate(allowed, count, more, NULL, &program);

	return result ? result : confine_seccomp_enforce(&program);
}

#if defined(__x86_64__)
#define OWN_TABLE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_TABLE AUDIT_ARCH_AARCH64
#else
#error "how the kernel calls this processor's table of system calls is not known here"
#endif
/* A jump's distance is 8 bits wide. */
#define TREE_MAX 250

/*
 * Without libseccomp, which crashes where it finds no memory: the shim is to end with a
 * line in its log. A list without conditions is a comparison for each call. x32's numbers
 * have a bit that none on the list has.
 */
int confine_seccomp_tree(const int *allowed, size_t count)
{
	const struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	struct sock_filter filter[TREE_MAX + 6] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_TABLE, 1, 0),
		refuse,
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	unsigned short length = 4, calls = 0;

	/* Negative numbers are calls that this machine does not have. */
	for (size_t i = 0; i < count; i++)
		calls += allowed[i] >= 0;
	if (calls > TREE_MAX)
		return fail(-E2BIG);
	const unsigned short allow = length + calls + 1;
	for (size_t i = 0; i < count; i++) {
		if (allowed[i] < 0)
			continue;
		filter[length] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i],
							      (uint8_t)(allow - length - 1), 0);
		length++;
	}
	filter[length++] = refuse;
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return enforce(length, filter);
}
