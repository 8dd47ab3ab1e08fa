/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for the adjunct. A waiter first polls the rings for about as long as a wake-up
 * costs, then arms them and sleeps; that no wake-up is lost in between is argued in eq.h.
 * An adjunct without a processor of its own is yielded to instead, and tells by its
 * doorbell when it wants more (PA_BUSY). Runs on the thread that owns the handle.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "otr_internal.h"

#define POLLING_START_NS (1 * NS_PER_US)
#define POLLS_PER_CLOCK_READ 32

static bool ring(int fd)
{
	const uint64_t one = 1;

	/* EAGAIN, the counter being full, means that it is rung already; no other
	 * failure is possible for an eventfd that we hold. */
	return write(fd, &one, sizeof(one)) == sizeof(one);
}

void otr_ring_adjunct(struct otr_net *net)
{
	net->stats.doorbells += ring(net->bells[NET_BELL_ADJUNCT]);
}

static void clear_bell(struct otr_net *net)
{
	uint64_t count;

	/* EAGAIN: it was not rung. The count is of no interest. */
	if (read(net->bells[NET_BELL_PARTITION], &count, sizeof(count)) < 0)
		return;
}

/* ---- Looking ------------------------------------------------------------- */

int otr_broken(const struct otr_net *net)
{
	if (net->error == -ENODEV)
		return otr_fail(-ENODEV, "device %s was taken down, changed, or failed; close it, and "
				"open it again when it runs", net->device);
	return otr_fail(net->error, "device %s broke before; close it", net->device);
}

int otr_busy(const struct otr_net *net)
{
	if (!otr_is_donated(net))
		return 0;
	return (net->yields_busy ? OTR_QUANTUM_OVER : 0) |
	       (atomic_load_explicit(&net->cell->pending, memory_order_relaxed) ? OTR_INTERRUPTED
										: 0);
}

/* What of `what` is ready, without asking the kernel; or -EPROTO. */
static int ready_now(struct otr_net *net, unsigned what)
{
	int ready = 0;

	if (net->error)
		return otr_broken(net);
	if ((what & OTR_RX) && eq_ring_ready(&net->rx))
		ready |= OTR_RX;
	if (what & OTR_TX) {
		int space = eq_ring_space(&net->tx, 1);

		if (space < 0)
			return otr_break(net, "consumed frames that were never sent");
		if (space > 0)
			ready |= OTR_TX;
	}
	if ((what & OTR_EVENT) && net->event_count)
		ready |= OTR_EVENT;
	if ((what & OTR_COMPLETION) && eq_ring_ready(&net->completions))
		ready |= OTR_COMPLETION;
	if ((what & OTR_PA_BUSY) && otr_busy(net))
		ready |= OTR_PA_BUSY;
	return ready;
}

/* ---- Calling -------------------------------------------------------------- */

/* Whoever does not want to hear that the adjunct wants time gives it. */
static bool lends(const struct otr_net *net, unsigned what)
{
	return otr_is_donated(net) && !(what & OTR_PA_BUSY);
}

/*
 * Calls the adjunct, once, if it was left something to do or wants time: 0, or -errno. If
 * it wants more we ring for ourselves, so that nobody sleeps over it.
 */
static int settle(struct otr_net *net, unsigned what)
{
	if (otr_is_donated(net) ? !lends(net, what) || !(net->owed || otr_busy(net)) : !net->owed)
		return 0;
	int called = otr_call_adjunct(net, net->quantum_ns, NULL);

	if (called > 0)
		ring(net->bells[NET_BELL_PARTITION]);
	/* It is late: the shim has been told, and a successor asks for time itself. */
	return called < 0 && called != -ETIMEDOUT ? called : 0;
}

void otr_disarm_rings(struct otr_net *net)
{
	eq_ring_disarm(&net->rx);
	eq_ring_disarm_space(&net->tx);
	eq_ring_disarm(&net->completions);
	net->armed = false;
}

int otr_net_arm(struct otr_net *net, unsigned what)
{
	int error = settle(net, what);
	bool sleep = true;

	if (error)
		return error;
	net->armed = true;
	if (what & OTR_RX)
		sleep = eq_ring_arm(&net->rx);
	if (sleep && (what & OTR_TX))
		sleep = eq_ring_arm_space(&net->tx);
	if (sleep && (what & OTR_COMPLETION))
		sleep = eq_ring_arm(&net->completions);
	/* Not sleeping covers a broken ring too: ready_now() then says so. */
	int ready = ready_now(net, what);
	if (!sleep || ready)
		otr_disarm_rings(net);
	return ready;
}

int otr_net_disarm(struct otr_net *net, unsigned what)
{
	otr_disarm_rings(net);
	clear_bell(net);
	otr_events_read(net);
	int error = settle(net, what);
	return error ? error : ready_now(net, what);
}

int otr_net_fd(const struct otr_net *net)
{
	return net->epoll_fd;
}

/* ---- Waiting ------------------------------------------------------------- */

void otr_net_set_polling(struct otr_net *net, uint64_t polling_max_ns)
{
	net->polling_max_ns = polling_max_ns;
	net->polling_ns = polling_max_ns;
}

void otr_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

/*
 * The time to poll grows when polling met something and shrinks when it did not, so
 * that a program whose frames come slowly sleeps at once.
 */
static void polling_adapt(struct otr_net *net, bool helped)
{
	if (helped)
		net->polling_ns = 2 * net->polling_ns < net->polling_max_ns ? 2 * net->polling_ns
									    : net->polling_max_ns;
	else if (net->polling_max_ns != OTR_FOREVER && net->polling_ns > POLLING_START_NS)
		net->polling_ns /= 2;
}

static int poll_once(struct otr_net *net, unsigned what)
{
	int ready = 0;

	for (unsigned i = 0; i < POLLS_PER_CLOCK_READ && !ready; i++) {
		ready = ready_now(net, what);
		if (!ready)
			otr_pause();
	}
	return ready;
}

/* The same where it is the adjunct that looks, on our processor. */
static int yield_once(struct otr_net *net, unsigned what)
{
	int yielded = otr_call_adjunct(net, net->quantum_ns, NULL);

	return yielded < 0 && yielded != -ETIMEDOUT ? yielded : ready_now(net, what);
}

/* Polls until something is ready or the time is up; for as long as it wants that, the
 * adjunct is yielded to in any case. */
static int poll_for_a_while(struct otr_net *net, unsigned what, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	uint64_t until_ns = now_ns + (net->polling_ns < left_ns ? net->polling_ns : left_ns);
	bool lent = lends(net, what);
	int ready = 0;

	for (;;) {
		bool wanted = lent && (net->owed || otr_busy(net));

		if (now_ns >= until_ns && !(wanted && now_ns < deadline_ns))
			break;
		ready = lent ? yield_once(net, what) : poll_once(net, what);
		if (ready)
			break;
		now_ns = clock_now_ns();
		lent = lends(net, what);
	}
	polling_adapt(net, ready > 0);
	return ready;
}

/* Sleeps on the bell and the connection, or the time to make it anew: 0, or -errno. */
static int sleep_until(struct otr_net *net, uint64_t deadline_ns)
{
	struct pollfd polled[3] = {
		{.fd = net->bells[NET_BELL_PARTITION], .events = POLLIN},
		{.fd = net->conn ? varlink_conn_fd(net->conn) : -1, .events = POLLIN},
		{.fd = net->conn ? -1 : net->retry_fd, .events = POLLIN},
	};
	uint64_t now_ns = clock_now_ns();
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
				   .tv_nsec = (long)(left_ns % NS_PER_S)};

	net->stats.sleeps++;
	if (ppoll(polled, 3, deadline_ns == OTR_FOREVER ? NULL : &timeout, NULL) < 0)
		return otr_fail(-errno, "waiting was interrupted: %s", strerror(errno));
	return 0;
}

int otr_net_wait(struct otr_net *net, unsigned what, uint64_t deadline_ns)
{
	int ready = ready_now(net, what);

	if (!ready && !lends(net, what))
		ready = settle(net, what);
	if (!ready)
		ready = poll_for_a_while(net, what, deadline_ns);
	while (!ready) {
		ready = otr_net_arm(net, what);
		if (ready)
			break;
		int error = sleep_until(net, deadline_ns);
		ready = otr_net_disarm(net, what);
		if (ready)
			break;
		if (error)
			return error;
		if (deadline_ns != OTR_FOREVER && clock_now_ns() >= deadline_ns)
			return 0;
	}
	return ready;
}
