/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings DPDK up inside the memory the partition donated, with the help of
 * eal_calls.c, which stands between it and the system meanwhile: once; of a spare in
 * memory of its own, out of which it is moved then. On the serving thread, from start.c.
 */
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eal_calls.h"
#include "runtime.h"

/* DPDK's drivers may say the same for every interrupt; once is enough. */
static bool said_before(const char *line, size_t bytes)
{
	static _Thread_local char last[MESSAGE_BYTES_MAX];

	if (bytes < sizeof(last) && !strncmp(last, line, bytes) && !last[bytes])
		return true;
	if (bytes >= sizeof(last))
		bytes = sizeof(last) - 1;
	memcpy(last, line, bytes);
	last[bytes] = '\0';
	return false;
}

/* DPDK writes whole lines; one write may hold several. */
static ssize_t log_write(void *cookie, const char *text, size_t bytes)
{
	const struct adj_env *env = cookie;
	int level = rte_log_cur_msg_loglevel();
	enum adj_log_level ours = eal_vfio_waits()                ? ADJ_LOG_DEBUG
				  : level <= (int)RTE_LOG_ERR     ? ADJ_LOG_ERROR
				  : level == (int)RTE_LOG_WARNING ? ADJ_LOG_WARNING
								  : ADJ_LOG_DEBUG;
	size_t begin = 0;

	for (size_t end = 0; end <= bytes; end++) {
		if (end < bytes && text[end] != '\n')
			continue;
		if (end > begin && !said_before(text + begin, end - begin))
			env->log(env, ours, "%.*s", (int)(end - begin), text + begin);
		begin = end + 1;
	}
	return (ssize_t)bytes;
}

static int log_route(struct adj_env *env)
{
	FILE *stream = fopencookie(env, "w", (cookie_io_functions_t){.write = log_write});

	if (!stream)
		return -ENOMEM;
	setvbuf(stream, NULL, _IOLBF, 0);
	rte_openlog_stream(stream);
	return 0;
}

/* "0000:01:10.0" or "01:10.0", with or without arguments after a comma. */
static bool device_is_pci(const char *device)
{
	unsigned domain, bus, slot, function;

	return sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 ||
	       sscanf(device, "%x:%x.%x", &bus, &slot, &function) == 3;
}

static int eal_init(const struct adj_env *env)
{
	char megabytes[24], lcore[24], program[] = "adjunct";
	char device[300];
	int cpu = sched_getcpu();
	char *arguments[16];
	int count = 0;

	snprintf(megabytes, sizeof(megabytes), "%zu", env->memory_bytes >> 20);
	/* Logical core 0 wherever we are, so that any CPU number will do. */
	snprintf(lcore, sizeof(lcore), "0@%d", cpu < 0 ? 0 : cpu);
	snprintf(device, sizeof(device), "--allow=%s", env->device);
	arguments[count++] = program;
	arguments[count++] = (char[]){"--no-huge"};
	arguments[count++] = (char[]){"--no-shconf"};
	arguments[count++] = (char[]){"--no-telemetry"};
	arguments[count++] = (char[]){"--iova-mode=va"};
	arguments[count++] = (char[]){"-m"};
	arguments[count++] = megabytes;
	arguments[count++] = (char[]){"--lcores"};
	arguments[count++] = lcore;
	arguments[count++] = device_is_pci(env->device) ? device : (char[]){"--no-pci"};
	arguments[count] = NULL;
	return rte_eal_init(count, arguments) < 0 ? -rte_errno : 0;
}

int eal_prepare(struct adj_env *env)
{
	/* A device of the bus is opened as the EAL starts, and has another owner now. */
	if (device_is_pci(env->device))
		return 0;
	int memory_fd = memfd_create("outrigger:spare", MFD_CLOEXEC);
	int result = memory_fd < 0 || ftruncate(memory_fd, (off_t)env->memory_bytes) ? -errno : 0;

	if (result)
		env->log(env, ADJ_LOG_ERROR, "no memory for DPDK to start in: %s", strerror(-result));
	else
		result = eal_start(env, memory_fd);
	if (memory_fd >= 0)
		close(memory_fd);
	return result;
}

static int eal_move(const struct adj_env *env, int memory_fd)
{
	int result = eal_calls_move_heap(memory_fd);

	if (result)
		env->log(env, ADJ_LOG_ERROR, "DPDK cannot be moved into the donated memory: %s",
			 strerror(-result));
	return result;
}

int eal_start(struct adj_env *env, int memory_fd)
{
	cpu_set_t before;
	bool restore = !sched_getaffinity(0, sizeof(before), &before);
	int result = env->memory ? eal_move(env, memory_fd) : log_route(env);

	if (result || env->memory)
		return result;
	result = eal_calls_begin(memory_fd, env->memory_bytes);
	if (result)
		return result;
	result = eal_init(env);
	/* The EAL has pinned this thread to its logical core. A shared adjunct floats
	 * over whatever it was given; a dedicated one was given one CPU. */
	if (restore)
		(void)sched_setaffinity(0, sizeof(before), &before);
	if (result)
		env->log(env, ADJ_LOG_ERROR, "DPDK does not start: %s", strerror(-result));
	env->memory = eal_calls_end();
	if (!result && !env->memory) {
		env->log(env, ADJ_LOG_ERROR, "DPDK did not take the donated memory");
		result = -ENOTSUP;
	}
	return result;
}
