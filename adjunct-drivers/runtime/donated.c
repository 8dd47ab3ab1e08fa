/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An adjunct without a processor of its own (000, FIG. 23): its partition dispatches it,
 * on the partition's processor and for a quantum, through the dispatch cell
 * (hv-shim/base/service_layout.h).
 *
 * The dispatch thread does the driver's work. It waits at the cell; is dispatched, goes
 * to the processor it was lent, serves until nothing is left (2340, 2345), and hands back
 * (2350). A timer of its own ends the quantum (2365): the handler hands back "busy" from
 * wherever the driver is, waits for the next dispatch, and returns to where it was; the
 * kernel's signal frame is the saved state. The timer stays set from one dispatch to the
 * next and is only moved when it goes off, as a dispatch seldom lasts its whole quantum.
 *
 * The control thread, the process' first, answers the shim, and watches what may
 * interrupt the driver: it then asks for a dispatch (PA_BUSY, 2370 and 2375), and leaves
 * the driver alone. What needs the driver on the control thread holds the dispatch thread
 * first: that thread then stays away from driver and window, until it is released.
 *
 * The order of each store and load that could lose a dispatch or a wake-up is in
 * tests/model/yield.pml.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "net_layout.h"
#include "registers.h"
#include "runtime.h"

#define QUANTUM_SIGNAL SIGRTMIN
#define STACK_BYTES (256u << 10)
/* Longer than a partition thinks between two yields of a burst; a switch costs 2 us. */
#define HOT_NS (20 * NS_PER_US)
/* How often the coarse timer asks for a dispatch of a driver that has no interrupt. */
#define WATCHDOG_MS 100
/* For the driver to come to where it can be left; a request may be long. */
#define HOLD_NS (500 * NS_PER_MS)
#define HOLD_LOOK_NS (1 * NS_PER_MS)
#define WAKE_EVENTS_MAX 16
/* One dispatch in so many is looked at: a look costs more than a light switch saves. */
#define DISPATCHES_PER_LOOK 64

/* The signal has no argument of ours. One adjunct, one process. */
static struct runtime *runtime;
static _Thread_local bool on_dispatch_thread;

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *timeout)
{
	/* Woken, changed, timed out or interrupted: the caller looks again. */
	(void)!syscall(SYS_futex, word, FUTEX_WAIT, value, timeout, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	(void)!syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void kick(const struct donated *lent)
{
	const uint64_t one = 1;

	/* EAGAIN: its counter is full, so it has been kicked. */
	if (write(lent->kick_fd, &one, sizeof(one)) < 0)
		return;
}

/*
 * PA_BUSY, once until the next dispatch. Either thread; but to an event queue it is the
 * control thread that posts, as the other one may be in the middle of that.
 */
static void ask_for_dispatch(struct runtime *rt)
{
	struct donated *lent = &rt->lent;

	if (!lent->cell || atomic_exchange(&lent->pending, 1))
		return;
	atomic_store_explicit(&lent->asked_ns, clock_now_ns(), memory_order_relaxed);
	atomic_store(&lent->cell->pending, 1);
	if (!events_has_guest(rt)) {
		runtime_ring_partition(rt);
	} else if (on_dispatch_thread) {
		atomic_store(&lent->post_busy, true);
		kick(lent);
	} else {
		events_busy(rt);
	}
}

/* ---- The quantum ---------------------------------------------------------------- */

static void alarm_set(struct donated *lent, uint64_t at_ns)
{
	const struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S),
						   .tv_nsec = (long)(at_ns % NS_PER_S)}};

	lent->alarm_ns = at_ns;
	/* It cannot fail with a time that is one; without the alarm the shim ends us. */
	(void)timer_settime(lent->timer, TIMER_ABSTIME, &at, NULL);
}

static void follow(struct donated *lent, uint32_t cpu)
{
	cpu_set_t set;

	if (cpu == lent->cpu || cpu >= CPU_SETSIZE)
		return;
	lent->cpu = cpu;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* Where it may not run, it stays where it is. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* Dispatched: number `lent->dispatch`. */
static void begin(struct donated *lent)
{
	struct service_cell *cell = lent->cell;

	/* Ours last: whoever asks in between is served by this dispatch, or asks again. The
	 * other way round, what it had told would be gone and never be told again. */
	atomic_store_explicit(&cell->pending, 0, memory_order_relaxed);
	atomic_store_explicit(&lent->pending, 0, memory_order_release);
	follow(lent, atomic_load_explicit(&cell->cpu, memory_order_relaxed));
	lent->begun_ns = clock_now_ns();
	lent->hot = lent->begun_ns - lent->handed_back_ns < HOT_NS &&
		    !atomic_load_explicit(&cell->cool, memory_order_relaxed);
	lent->deadline_ns = atomic_load_explicit(&cell->deadline_ns, memory_order_relaxed);
	/* No time at all would stop the timer. */
	if (!lent->deadline_ns)
		lent->deadline_ns = 1;
	lent->dispatched = true;
	/* seq_cst: partner is watched_ready(); it asks, or we find what is ready. */
	atomic_store(&lent->running, 1);
	if (!lent->alarm_ns || lent->deadline_ns < lent->alarm_ns)
		alarm_set(lent, lent->deadline_ns);
}

static void hand_back(struct runtime *rt, enum service_handback how)
{
	struct donated *lent = &rt->lent;
	struct service_cell *cell = lent->cell;

	/* seq_cst: partner is watched_ready(). From here on the alarm means nothing. */
	atomic_store(&lent->running, 0);
	/* The quantum ended just before that, and it has been handed back then. */
	if (!lent->dispatched)
		return;
	lent->handed_back_ns = clock_now_ns();
	atomic_fetch_add_explicit(&lent->used_ns, lent->handed_back_ns - lent->begun_ns,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&lent->dispatches, 1, memory_order_relaxed);
	lent->dispatched = false;
	if (atomic_load(&lent->ready))
		ask_for_dispatch(rt);
	/* seq_cst, both: partner is the partition's, which says that it waits, then looks. */
	atomic_store(&cell->handback, lent->dispatch << SERVICE_HANDBACK_BITS | how);
	if (atomic_load(&cell->waiting))
		futex_wake(&cell->handback);
}

/* True: there is a new dispatch, which lent->dispatch now is. */
static bool dispatch_come(struct donated *lent)
{
	uint32_t number = atomic_load(&lent->cell->dispatch) & SERVICE_DISPATCH_MASK;

	if (number == lent->dispatch)
		return false;
	lent->dispatch = number;
	return true;
}

/* Waits for a dispatch, or until the control thread wants the driver: false. */
static bool wait_at_cell(struct donated *lent)
{
	struct service_cell *cell = lent->cell;

	for (;;) {
		uint32_t seen = atomic_load(&cell->dispatch);

		if (atomic_load(&lent->hold))
			return false;
		if (dispatch_come(lent))
			return true;
		futex_wait(&cell->dispatch, seen, NULL);
	}
}

/* The quantum's end, on the dispatch thread at any instruction of its own. */
static void on_quantum(int signal)
{
	struct runtime *rt = runtime;
	struct donated *lent = &rt->lent;
	int error = errno;

	(void)signal;
	lent->alarm_ns = 0;
	if (!atomic_load(&lent->running)) {
		errno = error;
		return;
	}
	if (clock_now_ns() < lent->deadline_ns) {
		alarm_set(lent, lent->deadline_ns);
		errno = error;
		return;
	}
	atomic_fetch_add_explicit(&lent->expired, 1, memory_order_relaxed);
	lent->preempted = true;
	/* Before it is handed back: the next dispatch must wake us. */
	atomic_store(&lent->cell->hot, 0);
	hand_back(rt, SERVICE_BUSY);
	/* Without a dispatch, the control thread wants the driver left: until it can be,
	 * on nobody's time. */
	if (wait_at_cell(lent))
		begin(lent);
	lent->preempted = false;
	errno = error;
}

/* ---- The dispatch thread ----------------------------------------------------------- */

/* Where the driver can be left. Returns once the control thread does not want it. */
static void stay_away(struct donated *lent)
{
	do {
		atomic_store(&lent->held, 1);
		futex_wake(&lent->held);
		while (atomic_load(&lent->hold))
			futex_wait(&lent->hold, 1, NULL);
		atomic_store(&lent->held, 0);
		/* Once more: it may have taken the word that was just cleared for ours. */
	} while (atomic_load(&lent->hold));
	registers_clear();
}

/* Whether the switch is a light one (registers.h), and is one again. */
static void look_at_registers(struct runtime *rt)
{
	struct donated *lent = &rt->lent;

	if (++lent->looks % DISPATCHES_PER_LOOK || !registers_in_use())
		return;
	registers_clear();
	if (lent->heavy)
		return;
	lent->heavy = true;
	rt->env.log(&rt->env, ADJ_LOG_WARNING,
		    "its image says `fp: no`, and vector registers were in use; they are cleared");
}

/* Stays on the processor for a short while, so that the next dispatch needs no wake-up. */
static bool wait_hot(struct donated *lent)
{
	bool come = false;

	atomic_store(&lent->cell->hot, 1);
	do {
		sched_yield();
		come = dispatch_come(lent);
	} while (!come && !atomic_load(&lent->hold) &&
		 clock_now_ns() - lent->handed_back_ns < HOT_NS);
	return come;
}

/* Until the next dispatch. */
static void wait_for_dispatch(struct runtime *rt)
{
	struct donated *lent = &rt->lent;

	for (;;) {
		if (atomic_load(&lent->hold))
			stay_away(lent);
		if (lent->hot && wait_hot(lent))
			return;
		lent->hot = false;
		/* relaxed: the kernel compares `dispatch` behind a barrier, and the partition,
		 * which dispatches and then looks, either was before that or wakes us. */
		atomic_store_explicit(&lent->cell->hot, 0, memory_order_relaxed);
		if (!lent->armed && rt->state == RUNTIME_SERVING) {
			int armed = rt->ops->arm(rt->driver, true);

			lent->armed = true;
			if (armed < 0 && !atomic_exchange(&lent->polled, true))
				kick(lent);
			if (armed >= 0)
				atomic_store(&lent->polled, false);
			if (armed > 0)
				ask_for_dispatch(rt);
		}
		if (wait_at_cell(lent))
			return;
	}
}

/* What the driver watches and has become ready: true if it was told of something. */
static bool interrupt(struct runtime *rt)
{
	uint32_t ready = atomic_exchange(&rt->lent.ready, 0);

	for (uint32_t left = ready; left; left &= left - 1) {
		int slot = __builtin_ctz(left), fd = rt->watched[slot];

		if (fd < 0)
			continue;
		rt->ops->interrupt(rt->driver, fd);
		/* It reports once, so that the control thread may sleep meanwhile. */
		struct epoll_event event = {.events = rt->watched_events[slot], .data.fd = fd};

		if (rt->watched[slot] == fd)
			(void)epoll_ctl(rt->epoll_all, EPOLL_CTL_MOD, fd, &event);
	}
	atomic_fetch_add_explicit(&rt->lent.interrupts, (unsigned)__builtin_popcount(ready),
				  memory_order_relaxed);
	return ready != 0;
}

static void serve_until_idle(struct runtime *rt)
{
	struct donated *lent = &rt->lent;

	while (rt->state == RUNTIME_SERVING && !atomic_load(&lent->failure)) {
		if (atomic_load_explicit(&lent->hold, memory_order_relaxed))
			stay_away(lent);
		/* It was continued only to be left, or has been left for good. */
		if (!lent->dispatched || rt->state != RUNTIME_SERVING)
			return;
		if (lent->armed)
			rt->ops->arm(rt->driver, false);
		lent->armed = false;
		int moved = serve_dispatch(rt, BUDGET_FRAMES, BUDGET_REQUESTS);

		if (moved < 0) {
			atomic_store(&lent->failure, moved);
			kick(lent);
		}
		if (moved == 0 && !interrupt(rt))
			return;
	}
}

static void *dispatch_main(void *data)
{
	struct runtime *rt = data;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = QUANTUM_SIGNAL};

	on_dispatch_thread = true;
	event._sigev_un._tid = gettid();
	if (confine_serving_reach(false, NULL, CONFINE_NONE) ||
	    timer_create(CLOCK_MONOTONIC, &event, &rt->lent.timer)) {
		atomic_store(&rt->lent.failure, errno ? -errno : -EPERM);
		stay_away(&rt->lent);
		return NULL; /* not reached: donated_begin() has failed */
	}
	stay_away(&rt->lent);
	for (;;) {
		wait_for_dispatch(rt);
		begin(&rt->lent);
		serve_until_idle(rt);
		look_at_registers(rt);
		hand_back(rt, SERVICE_IDLE);
	}
}

/* ---- The control thread -------------------------------------------------------------- */

int donated_hold(struct runtime *rt)
{
	const struct timespec look = {.tv_nsec = HOLD_LOOK_NS};
	struct donated *lent = &rt->lent;
	uint64_t deadline_ns = clock_now_ns() + HOLD_NS;

	if (!lent->started)
		return 0;
	atomic_store(&lent->hold, 1);
	while (!atomic_load(&lent->held)) {
		/* Again and again: it may have been about to sleep. */
		if (lent->cell)
			futex_wake(&lent->cell->dispatch);
		futex_wait(&lent->held, 0, &look);
		if (atomic_load(&lent->held) || clock_now_ns() < deadline_ns)
			continue;
		atomic_store(&lent->hold, 0);
		rt->env.log(&rt->env, ADJ_LOG_WARNING,
			    "the driver is in a long request and cannot be left now");
		return -EBUSY;
	}
	return 0;
}

void donated_release(struct runtime *rt)
{
	struct donated *lent = &rt->lent;

	if (!lent->started || !lent->cell || rt->state != RUNTIME_SERVING || rt->stopping)
		return;
	atomic_store(&lent->hold, 0);
	futex_wake(&lent->hold);
}

bool donated_at_rest(const struct runtime *rt)
{
	return !atomic_load(&rt->lent.running) && !rt->lent.preempted;
}

/* Who lent a predecessor the processor gets it back, and looks what there is. */
static void hand_back_for_predecessor(struct service_cell *cell, uint32_t number)
{
	atomic_store(&cell->handback, number << SERVICE_HANDBACK_BITS | SERVICE_REPLACED);
	futex_wake(&cell->handback);
}

void donated_attach(struct runtime *rt, bool recover)
{
	struct donated *lent = &rt->lent;
	struct net_layout layout;

	if (net_layout_compute(rt->env.port.ring_entries, &layout))
		return;
	struct service_cell *cell = (void *)((uint8_t *)rt->env.port.window + layout.cell);

	atomic_store(&cell->hot, 0);
	atomic_store(&cell->pending, 0);
	/* seq_cst: partner is the partition's dispatch, then its look at this. */
	atomic_store(&cell->donated, rt->donated);
	uint32_t number = atomic_load(&cell->dispatch) & SERVICE_DISPATCH_MASK;

	if (recover)
		hand_back_for_predecessor(cell, number);
	if (!rt->donated)
		return;
	lent->dispatch = number;
	lent->cell = cell;
	lent->hot = false;
	atomic_store(&lent->pending, 0);
	/* There may be something left of it. */
	if (recover)
		ask_for_dispatch(rt);
}

uint64_t donated_asking_ns(const struct runtime *rt)
{
	uint64_t asked_ns = atomic_load_explicit(&rt->lent.asked_ns, memory_order_relaxed);

	return atomic_load(&rt->lent.pending) ? clock_now_ns() - asked_ns : 0;
}

void donated_detach(struct runtime *rt)
{
	rt->lent.cell = NULL;
	atomic_store(&rt->lent.pending, 0);
}

int donated_begin(struct runtime *rt)
{
	const struct sigaction action = {.sa_handler = on_quantum, .sa_flags = SA_RESTART};
	struct donated *lent = &rt->lent;
	struct epoll_event event = {.events = EPOLLIN};
	pthread_attr_t attributes;

	runtime = rt;
	lent->cpu = CPU_SETSIZE;
	atomic_store(&lent->hold, 1);
	event.data.fd = lent->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lent->kick_fd < 0 || epoll_ctl(rt->epoll_all, EPOLL_CTL_ADD, lent->kick_fd, &event) ||
	    sigaction(QUANTUM_SIGNAL, &action, NULL))
		return -errno;
	int error = pthread_attr_init(&attributes);

	if (!error) {
		error = pthread_attr_setstacksize(&attributes, STACK_BYTES);
		if (!error)
			error = pthread_create(&lent->thread, &attributes, dispatch_main, rt);
		pthread_attr_destroy(&attributes);
	}
	if (error)
		return -error;
	lent->started = true;
	error = donated_hold(rt);
	return error ? error : atomic_load(&lent->failure);
}

/* The dispatch thread may be on its way back: one of us sees the other. */
static void watched_ready(struct runtime *rt, int fd)
{
	struct donated *lent = &rt->lent;

	for (unsigned slot = 0; slot < ADJ_WAKE_SOURCES_MAX; slot++)
		if (rt->watched[slot] == fd)
			atomic_fetch_or(&lent->ready, 1u << slot);
	if (!atomic_load(&lent->running))
		ask_for_dispatch(rt);
}

bool donated_post(struct runtime *rt, enum adj_event event)
{
	if (!on_dispatch_thread)
		return false;
	atomic_fetch_or(&rt->lent.posted, 1u << event);
	kick(&rt->lent);
	return true;
}

static void on_kick(struct runtime *rt)
{
	struct donated *lent = &rt->lent;
	uint64_t kicks;

	(void)!read(lent->kick_fd, &kicks, sizeof(kicks));
	for (uint32_t left = atomic_exchange(&lent->posted, 0); left; left &= left - 1)
		rt->env.post_event(&rt->env, (enum adj_event)__builtin_ctz(left));
	if (atomic_exchange(&lent->post_busy, false))
		events_busy(rt);
	if (atomic_load(&lent->failure) && rt->state == RUNTIME_SERVING &&
	    !donated_hold(rt))
		serve_device_failed(rt, atomic_load(&lent->failure));
}

void donated_serve(struct runtime *rt)
{
	struct epoll_event events[WAKE_EVENTS_MAX];
	bool polled = atomic_load(&rt->lent.polled) && rt->state == RUNTIME_SERVING;
	int ready = epoll_wait(rt->epoll_all, events, WAKE_EVENTS_MAX, polled ? WATCHDOG_MS : -1);

	if (ready == 0 && !atomic_load(&rt->lent.running))
		ask_for_dispatch(rt);
	for (int i = 0; i < ready; i++) {
		int fd = events[i].data.fd;

		if (fd == rt->epoll_control) {
			control_service(rt);
			donated_release(rt);
		} else if (fd == rt->lent.kick_fd) {
			on_kick(rt);
		} else {
			watched_ready(rt, fd);
		}
	}
}

/* ---- What both threads take ------------------------------------------------------------ */

static void mask_quantum(int how)
{
	sigset_t set;

	if (!on_dispatch_thread)
		return;
	sigemptyset(&set);
	sigaddset(&set, QUANTUM_SIGNAL);
	pthread_sigmask(how, &set, NULL);
}

void donated_shield(void)
{
	mask_quantum(SIG_BLOCK);
}

void donated_unshield(void)
{
	mask_quantum(SIG_UNBLOCK);
}
