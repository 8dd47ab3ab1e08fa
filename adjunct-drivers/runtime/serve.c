/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serving loop: dispatches the driver while there is work, spins for about
 * the price of one wake-up when there is none (PERF.md's rule), then arms every
 * interrupt, looks once more and sleeps. A `dedicated` adjunct spins for ever.
 *
 * A driver that cannot be interrupted just now (arm says -errno: a device
 * without interrupts, or one whose transmit ring is full, for which no
 * interrupt exists) is polled by the clock instead: after 50 us, then ever less
 * often down to once a millisecond while nothing comes. What can interrupt
 * still does so at once.
 *
 * The control socket is looked at between dispatches, at most once in
 * CONTROL_PERIOD_NS, so that a busy adjunct still answers within milliseconds.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "runtime.h"

#define SPIN_NS (20 * NS_PER_US)
#define POLL_MIN_NS (50 * NS_PER_US)
#define POLL_MAX_NS (1 * NS_PER_MS)
#define CONTROL_PERIOD_NS (1 * NS_PER_MS)
/* The clock costs as much as moving a frame or two, so it is read only once in
 * so many busy dispatches. */
#define DISPATCHES_PER_CLOCK 64
#define LOOKS_PER_CLOCK 16 /* that found nothing */
#define QUIESCE_DEADLINE_NS (200 * NS_PER_MS)
#define WAKE_EVENTS_MAX 16

struct serving {
	uint64_t idle_since_ns; /* 0: busy */
	uint64_t control_due_ns;
	uint64_t poll_ns; /* next timed sleep of a device that cannot interrupt */
	unsigned dispatches, looks;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void serve_device_failed(struct runtime *rt, int error)
{
	char message[MESSAGE_BYTES_MAX + 1];

	if (!rt->last_error[0])
		rt->env.log(&rt->env, ADJ_LOG_ERROR, "the device has failed: %s", strerror(-error));
	memcpy(message, rt->last_error, sizeof(rt->last_error));
	message[MESSAGE_BYTES_MAX] = '\0';
	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, i);

		end->state = RUNTIME_FAILED;
		service_close(end);
		/* The driver keeps its state, for the counters; it is not scheduled any more. */
		runtime_unwatch_all(end);
	}
	control_post_event(rt, ADJ_EVENT_DEVICE_FAILED, message);
	events_post(rt, ADJ_EVENT_DEVICE_FAILED);
}

static void control_if_due(struct runtime *rt, struct serving *s, uint64_t now_ns)
{
	if (now_ns < s->control_due_ns)
		return;
	control_service(rt);
	s->control_due_ns = now_ns + CONTROL_PERIOD_NS;
}

/* As adj_ops' arm, of an end's driver and service. */
static int arm_end(struct runtime *rt)
{
	int driver = rt->ops->arm(rt->driver, true);

	if (driver > 0 || !service_arm(rt, true))
		return driver;
	if (driver == 0)
		rt->ops->arm(rt->driver, false);
	return 1;
}

static void disarm(struct runtime *rt)
{
	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, i);

		end->ops->arm(end->driver, false);
		service_arm(end, false);
	}
}

/* Of all ends. */
static int arm(struct runtime *rt)
{
	int result = arm_end(rt);

	for (unsigned i = 1; i <= rt->client_count && result <= 0; i++) {
		int one = arm_end(runtime_end(rt, i));

		result = one ? one : result;
	}
	if (result > 0 && rt->client_count)
		disarm(rt);
	return result;
}

/* Some end has events that wait for room. */
static bool tick(struct runtime *rt)
{
	bool waiting = false;

	for (unsigned i = 0; i <= rt->client_count; i++)
		waiting |= events_tick(runtime_end(rt, i));
	return waiting;
}

/* To the driver, for the end that watches it. */
static void interrupt(struct runtime *rt, int fd)
{
	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, i);

		if (runtime_watches(end, fd))
			end->ops->interrupt(end->driver, fd);
	}
}

static void sleep_until_ready(struct runtime *rt, struct serving *s)
{
	bool serving = rt->state == RUNTIME_SERVING;
	int armed = serving ? arm(rt) : 0;
	struct timespec timeout = {.tv_nsec = (long)s->poll_ns};
	struct epoll_event events[WAKE_EVENTS_MAX];

	if (armed > 0) {
		s->idle_since_ns = 0;
		return;
	}
	if (tick(rt))
		armed = -EAGAIN; /* events wait for room: polled by the clock */
	int ready = epoll_pwait2(rt->epoll_all, events, WAKE_EVENTS_MAX,
				 armed < 0 ? &timeout : NULL, NULL);

	if (serving)
		disarm(rt);
	if (ready == 0) {
		/* Only the clock: one look, no spinning, then a longer sleep. */
		s->poll_ns = s->poll_ns * 2 < POLL_MAX_NS ? s->poll_ns * 2 : POLL_MAX_NS;
		return;
	}
	rt->wakeups += serving;
	s->idle_since_ns = 0;
	s->poll_ns = POLL_MIN_NS;
	for (int i = 0; i < ready; i++) {
		if (events[i].data.fd == rt->epoll_control)
			control_service(rt);
		else if (rt->state == RUNTIME_SERVING)
			interrupt(rt, events[i].data.fd);
	}
}

int serve_dispatch(struct runtime *rt, unsigned frames, unsigned requests)
{
	/* Requests first: what they ask for holds for the frames that follow. */
	int served = service_dispatch(rt, requests);
	int moved = rt->ops->dispatch(rt->driver, frames);

	return moved < 0 ? moved : moved + served;
}

static int dispatch(struct runtime *rt)
{
	return rt->client_count ? clients_dispatch(rt)
				: serve_dispatch(rt, BUDGET_FRAMES, BUDGET_REQUESTS);
}

static void serve_once(struct runtime *rt, struct serving *s)
{
	bool serving = rt->state == RUNTIME_SERVING;
	int moved = serving ? dispatch(rt) : 0;

	if (moved > 0) {
		if (!rt->first_frame_ns)
			rt->first_frame_ns = clock_now_ns() - rt->serving_since_ns;
		s->idle_since_ns = 0;
		s->poll_ns = POLL_MIN_NS;
		if (++s->dispatches % DISPATCHES_PER_CLOCK == 0)
			control_if_due(rt, s, clock_now_ns());
		return;
	}
	if (moved < 0) {
		serve_device_failed(rt, moved);
		return;
	}
	/* What has just come is not to wait for a clock to be read. */
	if (serving && ++s->looks % LOOKS_PER_CLOCK) {
		cpu_relax();
		return;
	}
	if (serving) {
		uint64_t now_ns = clock_now_ns();

		if (!s->idle_since_ns)
			s->idle_since_ns = now_ns;
		if (rt->dedicated || now_ns - s->idle_since_ns < SPIN_NS) {
			control_if_due(rt, s, now_ns);
			cpu_relax();
			return;
		}
	}
	sleep_until_ready(rt, s);
}

static void quiesce(struct runtime *rt)
{
	const struct timespec pause = {.tv_nsec = 20 * NS_PER_US};
	uint64_t deadline_ns = clock_now_ns() + QUIESCE_DEADLINE_NS;
	int result;

	for (unsigned i = 0; i <= rt->client_count; i++) {
		struct runtime *end = runtime_end(rt, rt->client_count - i); /* the device last */

		while ((result = end->ops->quiesce(end->driver)) == -EAGAIN &&
		       clock_now_ns() < deadline_ns)
			nanosleep(&pause, NULL);
	}
	if (result)
		rt->env.log(&rt->env, ADJ_LOG_WARNING, "did not quiesce in time: %s",
			    strerror(-result));
}

static int finish(struct runtime *rt)
{
	static unsigned char state[STATE_BYTES_MAX];
	bool held = donated_hold(rt) == 0, failed = rt->state == RUNTIME_FAILED || !held;
	int state_bytes = 0;

	/* What it was in the middle of is in the in-flight record. */
	if (rt->state == RUNTIME_SERVING && held) {
		quiesce(rt);
		state_bytes = rt->ops->save(rt->driver, state, sizeof(state));
		if (state_bytes < 0) {
			rt->env.log(&rt->env, ADJ_LOG_ERROR, "cannot save its state: %s",
				    strerror(-state_bytes));
			failed = true;
		}
	}
	/* Device and port are let go before the answer: a successor may take them then,
	 * and an interface that is to be made anew has gone. */
	if (held) {
		clients_close(rt);
		if (rt->driver)
			rt->ops->exit(rt->driver);
		rt->driver = NULL;
		service_close(rt);
		runtime_port_close(rt);
	}
	control_answer_stop(rt, state_bytes > 0 ? state : NULL,
			    state_bytes > 0 ? (size_t)state_bytes : 0);
	return failed ? 1 : 0;
}

int serve(struct runtime *rt)
{
	struct serving s = {.poll_ns = POLL_MIN_NS};

	while (!rt->stopping) {
		if (rt->donated)
			donated_serve(rt);
		else
			serve_once(rt, &s);
	}
	return finish(rt);
}
