/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The forwarder: machine firmware, in the seed's words (004, FIG. 16 and 17). A thread
 * that sleeps until an adjunct rings, moves events from the type-1 event queues to the
 * guests concerned, and rings a guest's eventfd only if it asked for that. It looks at
 * no more than guests' and adapters' storage, and calls the kernel only to sleep and to
 * ring.
 *
 * The event loop makes hosts, adapters and guests meanwhile: eq_host.h allows that. The
 * list of hosts is the one thing both share; a host that is taken from it is freed once
 * the thread has ended the pass it may have been seen in.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "log.h"
#include "../shim.h"

#define HOSTS_MAX 4096u
/* Of one host, before the next has its turn. */
#define BUDGET 256u
#define ALERTS_AT_ONCE 64

struct forwarder {
	pthread_t thread;
	_Atomic(struct eq_host *) *hosts; /* HOSTS_MAX; NULL: free */
	_Atomic unsigned places;          /* of these, ever used */
	_Atomic uint64_t pass;            /* odd: the thread looks at hosts */
	int epoll_fd;
	int wake_fd;    /* rings the thread: something has changed */
	int present_fd; /* rings the event loop: a type-2 interrupt */
	sd_event_source *present_source;
	_Atomic bool stopping;
};

static void ring(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN: its counter is full, so it has been rung enough. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void quiet(int fd)
{
	uint64_t count;

	/* EAGAIN: it was not rung. */
	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

static void alert_guest(void *host_data, void *guest_data)
{
	struct guest_alert *alert = guest_data;

	(void)host_data;
	atomic_fetch_add_explicit(&alert->alerts, 1, memory_order_relaxed);
	ring(alert->fd);
}

static void present(void *host_data)
{
	const struct forwarder *forwarder = host_data;

	ring(forwarder->present_fd);
}

/* ---- The thread ------------------------------------------------------------- */

/* Once round all hosts, so that none waits for another that is never done. */
static unsigned forward_all(struct forwarder *forwarder)
{
	uint64_t now_ns = clock_now_ns();
	unsigned moved = 0;

	for (unsigned i = 0; i < atomic_load_explicit(&forwarder->places, memory_order_acquire); i++) {
		struct eq_host *host = atomic_load_explicit(&forwarder->hosts[i], memory_order_acquire);

		if (host)
			moved += eq_forward(host, 0, BUDGET, now_ns);
	}
	return moved;
}

/* True: all of them may be slept for, until *due_ns. */
static bool all_sleep(struct forwarder *forwarder, uint64_t *due_ns)
{
	*due_ns = UINT64_MAX;
	for (unsigned i = 0; i < atomic_load_explicit(&forwarder->places, memory_order_acquire); i++) {
		struct eq_host *host = atomic_load_explicit(&forwarder->hosts[i], memory_order_acquire);
		uint64_t host_due_ns = host ? eq_host_next_due(host) : UINT64_MAX;

		if (host_due_ns < *due_ns)
			*due_ns = host_due_ns;
		if (host && !eq_host_sleep(host))
			return false;
	}
	return true;
}

static void sleep_until(struct forwarder *forwarder, uint64_t due_ns)
{
	struct epoll_event events[ALERTS_AT_ONCE]; /* which ones is of no interest */
	uint64_t now_ns = clock_now_ns(), left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
				   .tv_nsec = (long)(left_ns % NS_PER_S)};

	/* EINTR and a time-out mean no more than a ring: look again. */
	(void)epoll_pwait2(forwarder->epoll_fd, events, ALERTS_AT_ONCE,
			   due_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static void *forward(void *data)
{
	struct forwarder *forwarder = data;

	while (!atomic_load_explicit(&forwarder->stopping, memory_order_acquire)) {
		uint64_t due_ns;

		/* seq_cst: partner is forwarder_host_free(): it sees us inside, or we do not
		 * see the host any more. */
		atomic_fetch_add_explicit(&forwarder->pass, 1, memory_order_seq_cst);
		bool may_sleep = !forward_all(forwarder) && all_sleep(forwarder, &due_ns);
		atomic_fetch_add_explicit(&forwarder->pass, 1, memory_order_release);
		if (may_sleep)
			sleep_until(forwarder, due_ns);
	}
	return NULL;
}

/* ---- The event loop ----------------------------------------------------------- */

#define TYPE2_BUDGET 256u /* of one host, before the loop does something else */

/* The host programs: non-completion events (FIG. 16, 1624). What happened is told to
 * people elsewhere: the adjunct also says it to the shim on its socket. */
static int on_present(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct forwarder *forwarder = data;

	(void)source;
	(void)revents;
	quiet(fd);
	for (unsigned i = 0; i < forwarder->places; i++) {
		struct eq_host *host = forwarder->hosts[i];

		/* More may wait: in the loop's next round, with everything else. */
		if (host && eq_host_type2(host, TYPE2_BUDGET, clock_now_ns(), NULL) == TYPE2_BUDGET)
			ring(fd);
	}
	return 0;
}

/* By its edges: every write rings, and nobody has to read, which could meet a number
 * that has become another's. An adjunct that fills its counter rings no more: its loss. */
static int watch(struct forwarder *forwarder, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	return epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int start_thread(struct forwarder *forwarder)
{
	sigset_t all, before;

	/* Signals are the event loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&forwarder->thread, NULL, forward, forwarder);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

static void forwarder_free(struct forwarder *forwarder)
{
	int *fds[] = {&forwarder->epoll_fd, &forwarder->wake_fd, &forwarder->present_fd};

	sd_event_source_disable_unref(forwarder->present_source);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
	}
	free(forwarder->hosts);
	free(forwarder);
}

int forwarder_start(struct shim *shim)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));

	if (!forwarder)
		return -ENOMEM;
	forwarder->hosts = calloc(HOSTS_MAX, sizeof(*forwarder->hosts));
	forwarder->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	forwarder->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	forwarder->present_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = forwarder->hosts ? 0 : -ENOMEM;
	if (!error && (forwarder->epoll_fd < 0 || forwarder->wake_fd < 0 || forwarder->present_fd < 0))
		error = -errno;
	if (!error)
		error = sd_event_add_io(shim->event, &forwarder->present_source,
					forwarder->present_fd, EPOLLIN, on_present, forwarder);
	if (error >= 0)
		error = watch(forwarder, forwarder->wake_fd);
	if (!error)
		error = start_thread(forwarder);
	if (error < 0) {
		forwarder_free(forwarder);
		return error;
	}
	shim->forwarder = forwarder;
	return 0;
}

void forwarder_stop(struct forwarder *forwarder)
{
	if (!forwarder)
		return;
	atomic_store_explicit(&forwarder->stopping, true, memory_order_release);
	ring(forwarder->wake_fd);
	pthread_join(forwarder->thread, NULL);
	forwarder_free(forwarder);
}

struct eq_host *forwarder_host_new(struct shim *shim)
{
	static const struct eq_host_ops ops = {.alert = alert_guest, .present = present};
	struct forwarder *forwarder = shim->forwarder;
	struct eq_host *host;
	unsigned place = 0;

	while (forwarder && place < HOSTS_MAX && forwarder->hosts[place])
		place++;
	if (!forwarder || place == HOSTS_MAX || eq_host_create(1, &ops, forwarder, &host))
		return NULL;
	/* release: partner is the thread's load; the host is whole. */
	atomic_store_explicit(&forwarder->hosts[place], host, memory_order_release);
	if (place >= forwarder->places)
		atomic_store_explicit(&forwarder->places, place + 1, memory_order_release);
	return host;
}

void forwarder_host_free(struct shim *shim, struct eq_host *host)
{
	struct forwarder *forwarder = shim->forwarder;
	unsigned place = 0;

	if (!host)
		return;
	while (forwarder->hosts[place] != host)
		place++;
	atomic_store_explicit(&forwarder->hosts[place], NULL, memory_order_seq_cst);
	uint64_t pass = atomic_load_explicit(&forwarder->pass, memory_order_seq_cst);
	/* A pass has an end: it moves so many events, and waits for nothing. */
	while ((pass & 1) && atomic_load_explicit(&forwarder->pass, memory_order_acquire) == pass)
		sched_yield();
	eq_host_destroy(host);
}

int forwarder_watch(struct shim *shim, int alert_fd)
{
	int error = watch(shim->forwarder, alert_fd);

	/* It slept before there was this adapter: it must ask that one, too, for alerts. */
	ring(shim->forwarder->wake_fd);
	return error;
}

void forwarder_unwatch(struct shim *shim, int alert_fd)
{
	epoll_ctl(shim->forwarder->epoll_fd, EPOLL_CTL_DEL, alert_fd, NULL);
}
