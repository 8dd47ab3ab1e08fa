/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings DPDK up for the adapter: no huge pages, no devices, no shared
 * configuration, no sockets of its own; memory for the pool and the rings of
 * its functions and not more. What DPDK and librte_vhost say goes to our log
 * from warnings up. Once, on the data thread, before librte_vhost has one.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "adapter.h"
#include "log.h"
#include "log_limit.h"

/* The pool takes 8 MiB, a function with two rings of 1024 about 50 KiB; the rest
 * is what the EAL needs, and slack for its allocator's alignments. */
#define MEMORY_BASE_MB 20
#define MEMORY_MB(vfs) (MEMORY_BASE_MB + ((vfs) + 3) / 4)

/*
 * Called with the stream's own lock held, so by one thread at a time. Why DPDK ends the
 * process (rte_panic() in its interrupt thread) is told after however many lines of what led
 * there: all that is seen besides is that abort() of a namespace's first process, which no
 * SIGABRT of its own kills, ends in SIGSEGV.
 */
static ssize_t log_write(void *cookie, const char *text, size_t bytes)
{
	static struct log_limit limit;
	bool last_words = rte_log_cur_msg_loglevel() <= (int)RTE_LOG_CRIT;
	size_t begin = 0;

	(void)cookie;
	for (size_t end = 0; end <= bytes; end++) {
		if (end < bytes && text[end] != '\n')
			continue;
		if (end > begin && (last_words || log_limit_pass(&limit, "dpdk")))
			log_warning("dpdk: %.*s", (int)(end - begin), text + begin);
		begin = end + 1;
	}
	return (ssize_t)bytes;
}

static int log_route(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});

	if (!stream)
		return -ENOMEM;
	setvbuf(stream, NULL, _IOLBF, 0);
	rte_openlog_stream(stream);
	rte_log_set_global_level(RTE_LOG_WARNING);
	return 0;
}

/* All CPUs we may use, as one logical core: "0@(0,2,3)". */
static int lcores_format(char *out, size_t out_bytes)
{
	size_t length = (size_t)snprintf(out, out_bytes, "0@(");
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE && length < out_bytes; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			length += (size_t)snprintf(out + length, out_bytes - length, "%s%d",
						   out[length - 1] == '(' ? "" : ",", cpu);
	if (length + 1 >= out_bytes)
		return -E2BIG;
	strcpy(out + length, ")");
	return 0;
}

/* The EAL makes a folder for run-time files it then has none of. */
static void runtime_remove(const char *directory)
{
	char path[2 * ADAPTER_PATH_BYTES];

	snprintf(path, sizeof(path), "%s/dpdk/rte", directory);
	(void)rmdir(path); /* not there, or not empty: not ours to mind */
	snprintf(path, sizeof(path), "%s/dpdk", directory);
	(void)rmdir(path);
}

int __wrap_rte_vfio_enable(const char *module);

/*
 * Where the kernel has VFIO the EAL opens a container for devices to come, and
 * keeps it; here there will be none. The linker leads its call here.
 */
int __wrap_rte_vfio_enable(const char *module)
{
	(void)module;
	return 0;
}

int eal_start(const char *directory, unsigned vfs)
{
	char lcores[5 * CPU_SETSIZE], megabytes[16];
	char *arguments[] = {(char[]){"outrigger-soft-adapter"},
			     (char[]){"--no-huge"},
			     (char[]){"--no-shconf"},
			     (char[]){"--no-telemetry"},
			     (char[]){"--no-pci"},
			     (char[]){"--iova-mode=va"},
			     (char[]){"--log-level=warning"},
			     (char[]){"-m"},
			     megabytes,
			     (char[]){"--lcores"},
			     lcores,
			     NULL};
	int error = lcores_format(lcores, sizeof(lcores));

	if (!error)
		error = log_route();
	if (error)
		return error;
	snprintf(megabytes, sizeof(megabytes), "%u", MEMORY_MB(vfs));
	/* Where the EAL makes that folder. */
	if (setenv("RUNTIME_DIRECTORY", directory, 1) < 0)
		return -errno;
	if (rte_eal_init((int)(sizeof(arguments) / sizeof(arguments[0])) - 1, arguments) < 0)
		error = rte_errno ? -rte_errno : -EIO;
	runtime_remove(directory);
	return error;
}
