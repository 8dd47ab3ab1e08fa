/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data thread: passes of the switch while there is something to switch,
 * else asleep in one epoll_wait for doorbells, the control socket, a due time
 * or a signal. Without any of them it does not wake up at all.
 *
 * The thread holds the adapter's lock except while it sleeps (adapter.h).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "adapter.h"
#include "clock.h"
#include "control.h"
#include "dataplane.h"
#include "log.h"
#include "unix_socket.h"
#include "watchdog.h"

#define EVENTS_AT_ONCE 64
/* While busy, other doorbells and the control socket are looked at this often. */
#define LOOK_NS (50 * NS_PER_US)

static int watch(struct adapter *adapter, int fd, uint32_t source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(adapter->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void handle(struct adapter *adapter, const struct epoll_event *event)
{
	uint32_t source = event->data.u32;
	eventfd_t ignored;

	switch (source & SOURCE_MASK) {
	case SOURCE_KICK:
		dataplane_kicked(adapter, source & ~SOURCE_MASK);
		break;
	case SOURCE_CONTROL:
		control_ready(adapter, source & ~SOURCE_MASK);
		break;
	case SOURCE_LISTEN:
		control_accept(adapter);
		break;
	case SOURCE_WAKE:
		/* Non-blocking; empty means that another pass has read it. */
		(void)eventfd_read(adapter->wake_fd, &ignored);
		break;
	case SOURCE_SIGNAL:
		adapter->stopping = true;
		break;
	}
}

/* Sleeps until something happens or `until_ns` (0: looks only). Lock held. */
static int look(struct adapter *adapter, uint64_t now_ns, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	struct timespec timeout = {0}, *deadline = &timeout;
	int count, error;

	if (until_ns == UINT64_MAX) {
		deadline = NULL;
	} else if (until_ns > now_ns) {
		timeout.tv_sec = (time_t)((until_ns - now_ns) / NS_PER_S);
		timeout.tv_nsec = (long)((until_ns - now_ns) % NS_PER_S);
	}
	adapter_unlock(adapter);
	count = epoll_pwait2(adapter->epoll_fd, events, EVENTS_AT_ONCE, deadline, NULL);
	error = count < 0 ? -errno : 0;
	if (error == -EINTR)
		watchdog_rest();
	adapter_lock(adapter);
	/* A device may have gone meanwhile; the handlers look for themselves. */
	for (int i = 0; i < count; i++)
		handle(adapter, &events[i]);
	return error == -EINTR ? 0 : error;
}

static int serve(struct adapter *adapter)
{
	uint64_t look_ns = 0;
	int error = 0;

	while (!adapter->stopping && !error) {
		uint64_t now_ns = clock_now_ns();
		bool moved = dataplane_pass(adapter, now_ns);
		uint64_t due_ns = moved ? 0 : dataplane_settle(adapter, now_ns);

		control_tell(adapter);
		if (due_ns > now_ns || now_ns >= look_ns) {
			error = look(adapter, now_ns, due_ns);
			look_ns = now_ns + LOOK_NS;
		}
		adapter_breathe(adapter);
	}
	return error;
}

static int signals_open(void)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	/* Before librte_vhost's thread exists, so that it inherits the mask. */
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int adapter_run(struct adapter *adapter, int listen_fd)
{
	int signal_fd = signals_open();
	int error = signal_fd < 0 ? signal_fd : 0;

	adapter->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	adapter->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!error && (adapter->epoll_fd < 0 || adapter->wake_fd < 0))
		error = -errno;
	if (!error)
		error = watchdog_open();
	if (!error)
		error = watch(adapter, signal_fd, SOURCE_SIGNAL);
	if (!error)
		error = watch(adapter, adapter->wake_fd, SOURCE_WAKE);
	if (!error)
		error = watch(adapter, listen_fd, SOURCE_LISTEN);
	if (!error) {
		adapter_lock(adapter);
		error = serve(adapter);
		watchdog_close();
		adapter_stop(adapter);
		adapter_unlock(adapter);
	}
	fd_close(&signal_fd);
	return error;
}
