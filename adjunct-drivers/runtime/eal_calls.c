/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Some system calls of DPDK's EAL, which the linker (-Wl,--wrap=NAME) leads here.
 * While the EAL starts they are answered so that its heap is the memory the
 * partition donated, and that it does not spend time on finding out what it will
 * not use; nothing had to be changed in DPDK. Before and after, they are what
 * they were. On the thread that starts the EAL, called by eal.c; the EAL's other
 * threads pass straight through.
 */
#include "eal_calls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <rte_cycles.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "runtime.h"

#define HEAP_ALIGNMENT ((size_t)2 << 20) /* so that huge pages fit */
#define CALIBRATION_NS (2 * NS_PER_MS)
#define HZ_ROUNDING UINT64_C(10000000) /* as the EAL does */

/* From begin to end, on that thread. */
static _Thread_local bool starting;
static int donated_fd = -1; /* until the EAL has it */
static int heap_fd = -1;    /* then this is its number, which stays the EAL's */
static size_t heap_bytes;
static void *heap;
static cpu_set_t cpus;

/* ---- The heap --------------------------------------------------------------- */

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

/*
 * Without huge pages of its own the EAL makes its whole heap of one memfd that it
 * creates itself, and gets the donated one instead. So every mbuf, ring and queue
 * of the driver is donated memory (22.11 to 25.11 make the same calls: name
 * "nohuge", then ftruncate to the size it already has, then mmap).
 */
int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (!starting || donated_fd < 0 || strcmp(name, "nohuge") != 0)
		return __real_memfd_create(name, flags);
	heap_fd = donated_fd;
	donated_fd = -1; /* once: the EAL owns it now */
	return heap_fd;
}

void *__real_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);

/* Whole pages at a multiple of the alignment; what is over on both sides goes back. */
static void *reserve_aligned(size_t bytes, int protection, int flags)
{
	uint8_t *area = __real_mmap64(NULL, bytes + HEAP_ALIGNMENT, protection, flags, -1, 0);

	if (area == MAP_FAILED)
		return area;
	size_t before = -(uintptr_t)area % HEAP_ALIGNMENT;

	if (before)
		munmap(area, before);
	munmap(area + before + bytes, HEAP_ALIGNMENT - before);
	return area + before;
}

/*
 * The EAL reserves addresses for its heap first. It asks for one right behind what
 * it has mapped before, where huge pages would not fit; told another a few times,
 * it takes what it is given.
 */
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	const size_t page = 4096;

	if (starting && fd < 0 && protection == PROT_NONE && !(flags & MAP_FIXED) &&
	    bytes >= heap_bytes && bytes <= heap_bytes + page)
		return reserve_aligned(bytes, protection, flags);
	void *area = __real_mmap64(address, bytes, protection, flags, fd, offset);

	if (starting && fd >= 0 && fd == heap_fd && area != MAP_FAILED)
		heap = area;
	return area;
}

/* Zeroes lie in no page yet: the file has holes there. */
static int copy_what_is_there(uint8_t *to)
{
	off_t begin = 0, end = 0;

	while ((begin = lseek(heap_fd, end, SEEK_DATA)) >= 0) {
		end = lseek(heap_fd, begin, SEEK_HOLE);
		if (end < 0)
			return -errno;
		memcpy(to + begin, (uint8_t *)heap + begin, (size_t)(end - begin));
	}
	return errno == ENXIO ? 0 : -errno; /* ENXIO: nothing more */
}

int eal_calls_move_heap(int memory_fd)
{
	const int rights = PROT_READ | PROT_WRITE;
	void *copy = mmap(NULL, heap_bytes, rights, MAP_SHARED, memory_fd, 0);

	if (copy == MAP_FAILED)
		return -errno;
	int result = copy_what_is_there(copy);

	munmap(copy, heap_bytes);
	/* The EAL's other threads wait for what they are told, and touch nothing meanwhile. */
	if (!result && mmap(heap, heap_bytes, rights, MAP_SHARED | MAP_FIXED, memory_fd, 0) == MAP_FAILED)
		result = -errno;
	if (!result && dup3(memory_fd, heap_fd, O_CLOEXEC) < 0)
		result = -errno;
	return result;
}

/* ---- What it need not find out ------------------------------------------------ */

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);

/*
 * The EAL makes a runtime folder that, with --no-shconf, nothing is put into,
 * and complains where it may not. It hears that it is there.
 */
int __wrap_mkdir(const char *path, mode_t mode)
{
	if (!starting)
		return __real_mkdir(path, mode);
	errno = EEXIST;
	return -1;
}

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);

/* The number a path of sysfs ends in, or has before `tail`; -1: none. */
static int path_cpu(const char *path)
{
	const char *cpu = strstr(path, "/cpu");
	int number = 0;

	/* "/sys/devices/system/cpu/cpu7/...": the second one is the processor's. */
	while (cpu && !isdigit((unsigned char)cpu[4]))
		cpu = strstr(cpu + 4, "/cpu");
	if (!cpu)
		return -1;
	for (const char *digit = cpu + 4; isdigit((unsigned char)*digit) && number < CPU_SETSIZE; digit++)
		number = number * 10 + *digit - '0';
	return number;
}

/*
 * For each of the 128 processors it could run on, whether there are so many or
 * not, the EAL asks for each of 32 memory nodes whether the processor is there:
 * some 4,000 calls. Of those it may not run on it hears that they do not exist.
 */
int __wrap_access(const char *path, int mode)
{
	int cpu = starting ? path_cpu(path) : -1;

	if (cpu < 0 || (cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, &cpus)))
		return __real_access(path, mode);
	errno = ENOENT;
	return -1;
}

/* ---- The clock ------------------------------------------------------------------ */

struct reading {
	uint64_t ns, ticks;
};

/* The counter in the middle of two looks at the clock, the closest of a few such. */
static struct reading clock_read(void)
{
	struct reading best = {0};
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t before_ns = clock_now_ns(), ticks = rte_rdtsc();
		uint64_t took_ns = clock_now_ns() - before_ns;

		if (took_ns < best_ns) {
			best_ns = took_ns;
			best = (struct reading){before_ns + took_ns / 2, ticks};
		}
	}
	return best;
}

static struct reading first_reading;

uint64_t __wrap_get_tsc_freq(void);

/*
 * To learn how fast the processor's counter runs, the EAL would sleep for a tenth
 * of a second, nearly all of the time it needs to start, and then round to 10 MHz,
 * for which a few milliseconds do. Most of those pass while it starts.
 */
uint64_t __wrap_get_tsc_freq(void)
{
	uint64_t passed_ns = clock_now_ns() - first_reading.ns;

	if (passed_ns < CALIBRATION_NS) {
		const struct timespec rest = {.tv_nsec = (long)(CALIBRATION_NS - passed_ns)};

		(void)nanosleep(&rest, NULL);
	}
	struct reading now = clock_read();
	double hz = (double)(now.ticks - first_reading.ticks) * NS_PER_S /
		    (double)(now.ns - first_reading.ns);

	return ((uint64_t)hz + HZ_ROUNDING / 2) / HZ_ROUNDING * HZ_ROUNDING;
}

/* ---- Beginning and end ------------------------------------------------------------ */

int eal_calls_begin(int memory_fd, size_t memory_bytes)
{
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return -errno;
	donated_fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, CONTROL_LISTEN_FD + 1);
	if (donated_fd < 0)
		return -errno;
	heap_bytes = memory_bytes;
	first_reading = clock_read();
	starting = true;
	return 0;
}

void *eal_calls_end(void)
{
	starting = false;
	if (donated_fd >= 0)
		close(donated_fd);
	donated_fd = -1;
	return heap;
}
