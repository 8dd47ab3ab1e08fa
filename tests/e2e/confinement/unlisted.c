/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a daemon by tests/e2e/confinement.sh: its list of system calls, which its
 * children inherit, does not come into force, so that what stops an adjunct without a list
 * is seen to be the other walls. The daemon installs the list by syscall(), before it has
 * a second thread or a child.
 */
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED long syscall(long number, ...);

/* Not for the processes that the daemon starts. */
__attribute__((constructor)) static void begin(void)
{
	unsetenv("LD_PRELOAD");
}

long syscall(long number, ...)
{
	long (*real)(long number, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	/* libseccomp asks what the kernel can do with no filter at all; and the filter that
	 * has a listener lets everything pass (hv-shim/processes/spawn.c). */
	if (number == SYS_seccomp && arguments[0] == SECCOMP_SET_MODE_FILTER && arguments[2] &&
	    !(arguments[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return 0;
	return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		    arguments[5]);
}
