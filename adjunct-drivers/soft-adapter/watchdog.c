/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A timer that interrupts blocked writes; see watchdog.h. The signal's handler
 * does nothing but count: what matters is that it is installed without
 * SA_RESTART.
 */
#include "watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define FIRST_NS (5 * NS_PER_MS)
#define AGAIN_NS NS_PER_MS
#define TOUCH_NS (FIRST_NS / 2)

#ifndef sigev_notify_thread_id /* glibc has the field, but not always its name */
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t timer;
static bool open_, armed;
static uint64_t armed_ns;
static volatile sig_atomic_t fired;

static void on_timer(int number)
{
	(void)number;
	fired++;
}

static void set(uint64_t first_ns, uint64_t again_ns)
{
	struct itimerspec when = {.it_value.tv_nsec = (long)first_ns,
				  .it_interval.tv_nsec = (long)again_ns};

	/* Cannot fail: the timer is ours and the times are in range. */
	(void)timer_settime(timer, 0, &when, NULL);
}

int watchdog_open(void)
{
	struct sigaction action = {.sa_handler = on_timer};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};

	event.sigev_notify_thread_id = gettid();
	if (sigaction(SIGRTMIN, &action, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return -errno;
	open_ = true;
	return 0;
}

void watchdog_close(void)
{
	if (open_)
		timer_delete(timer);
	open_ = armed = false;
}

void watchdog_touch(uint64_t now_ns)
{
	if (armed && now_ns - armed_ns < TOUCH_NS)
		return;
	set(FIRST_NS, AGAIN_NS);
	armed = true;
	armed_ns = now_ns;
}

void watchdog_rest(void)
{
	if (armed)
		set(0, 0);
	armed = false;
}

unsigned watchdog_count(void)
{
	return (unsigned)fired;
}

bool watchdog_is_full(int fd)
{
	struct pollfd writable = {.fd = fd, .events = POLLOUT};

	return fd >= 0 && poll(&writable, 1, 0) == 0;
}
