/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings DPDK up inside the memory the partition donated. Without huge pages
 * the EAL makes its whole heap of one memfd that it creates itself; the linker
 * (-Wl,--wrap=memfd_create) leads that call here, and it gets the donated memfd
 * instead. So every mbuf, ring and queue of the driver is donated memory, and
 * nothing had to be changed in DPDK (22.11 to 25.11 make the same call: name
 * "nohuge", then ftruncate to the size it already has, then mmap).
 *
 * Runs once, on the serving thread, from start.c.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

/* While eal_start() runs: what the EAL's heap is made of; else -1. */
static int donated_fd = -1;
/* On the thread on which it runs. */
static _Thread_local bool starting;

#define CALIBRATION_NS 5000000

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (donated_fd >= 0 && !strcmp(name, "nohuge")) {
		int fd = donated_fd;

		donated_fd = -1; /* once: the caller owns it now */
		return fd;
	}
	return __real_memfd_create(name, flags);
}

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

/*
 * The EAL makes a runtime folder that, with --no-shconf, nothing is put into,
 * and complains where it may not. While it starts it hears that it is there.
 */
int __wrap_mkdir(const char *path, mode_t mode)
{
	if (donated_fd < 0)
		return __real_mkdir(path, mode);
	errno = EEXIST;
	return -1;
}

int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

/*
 * To learn how fast the processor's clock counter runs, the EAL counts through a
 * tenth of a second, nearly all of the time it needs to start. It asks the
 * system's clock how long the nap really was, and rounds to 10 MHz, for which
 * a few milliseconds do.
 */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	const struct timespec nap = {.tv_nsec = CALIBRATION_NS};

	if (starting && !time->tv_sec && time->tv_nsec > CALIBRATION_NS)
		time = &nap;
	return __real_nanosleep(time, left);
}

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
	enum adj_log_level ours = level <= (int)RTE_LOG_ERR       ? ADJ_LOG_ERROR
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

int eal_start(struct adj_env *env, int memory_fd)
{
	cpu_set_t before;
	bool restore = !sched_getaffinity(0, sizeof(before), &before);
	int result = log_route(env);

	if (result)
		return result;
	donated_fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, CONTROL_LISTEN_FD + 1);
	if (donated_fd < 0)
		return -errno;
	starting = true;
	result = eal_init(env);
	starting = false;
	/* The EAL has pinned this thread to its logical core. A shared adjunct floats
	 * over whatever it was given; a dedicated one was given one CPU. */
	if (restore)
		(void)sched_setaffinity(0, sizeof(before), &before);
	if (result)
		env->log(env, ADJ_LOG_ERROR, "DPDK does not start: %s", strerror(-result));
	if (donated_fd >= 0) {
		close(donated_fd);
		donated_fd = -1;
		if (!result) {
			env->log(env, ADJ_LOG_ERROR, "DPDK did not take the donated memory");
			result = -ENOTSUP;
		}
	}
	return result;
}
