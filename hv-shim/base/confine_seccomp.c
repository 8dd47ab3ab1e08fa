/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A list of system calls as a filter of the kernel: see confine.h. Any thread;
 * it holds for all of them.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

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

int confine_seccomp(const int *allowed, size_t count, const int *more)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	/* Calls by the tables of other machines (i386, x32) are none of ours. */
	if (!result)
		result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
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
	if (!result)
		result = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	if (result)
		log_error("cannot be confined: seccomp: %s", strerror(-result));
	return result;
}
