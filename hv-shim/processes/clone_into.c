/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * To move a running process into a group the kernel first waits until every processor
 * has been through its scheduler (cgroup_threadgroup_rwsem, an RCU grace period): 5 to 13
 * ms where they are busy, and the partition waits along. A process that begins in its
 * group is not moved. clone3(2) can do that; the few instructions around it are ours
 * because the child comes out of the call on another stack than went in.
 */
#include "clone_into.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_SIGNAL_MASK 0xff /* of clone's flags */

#if defined(__x86_64__)
static long clone3_run(struct clone_args *args, int (*run)(void *data), void *data)
{
	long result;

	/* The child's stack begins at a multiple of 16, as the ABI wants it before a call. */
	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t" /* the outermost frame */
			 "movq %[data], %%rdi\n\t"
			 "callq *%[run]\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "a"((long)SYS_clone3), "D"(args), "S"(sizeof(*args)), [run] "r"(run),
			   [data] "r"(data)
			 : "rcx", "r11", "memory", "cc");
	return result;
}
#elif defined(__aarch64__)
static long clone3_run(struct clone_args *args, int (*run)(void *data), void *data)
{
	register long number __asm__("x8") = SYS_clone3;
	register long first __asm__("x0") = (long)(uintptr_t)args;
	register long second __asm__("x1") = sizeof(*args);

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t" /* the outermost frame */
			 "mov x0, %[data]\n\t"
			 "blr %[run]\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(first)
			 : "r"(number), "r"(second), [run] "r"(run), [data] "r"(data)
			 : "memory", "cc");
	return first;
}
#else
static long clone3_run(struct clone_args *args, int (*run)(void *data), void *data)
{
	(void)args;
	(void)run;
	(void)data;
	return -ENOSYS;
}
#endif

pid_t clone_into(int group_fd, int (*run)(void *data), void *stack, size_t stack_bytes, int flags,
		 void *data, int *pidfd)
{
	struct clone_args args = {
		.flags = ((uint64_t)(unsigned)flags & ~(uint64_t)EXIT_SIGNAL_MASK) | CLONE_INTO_CGROUP,
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = (unsigned)flags & EXIT_SIGNAL_MASK,
		.stack = (uintptr_t)stack,
		.stack_size = stack_bytes,
		.cgroup = (unsigned)group_fd,
	};

	return (pid_t)clone3_run(&args, run, data);
}
