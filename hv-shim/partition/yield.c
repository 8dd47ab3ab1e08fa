/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directed yield (000, FIG. 23, 2325 to 2360): lends the calling thread's processor to
 * the device's adjunct, through the dispatch cell of service_layout.h, and waits until it
 * is handed back. Runs on the thread that owns the handle; the program's other threads
 * go on. The order of the accesses is in tests/model/yield.pml.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "otr_internal.h"

/* To an adjunct that has just been here. More would only keep the processor from it. */
#define HOT_YIELDS 2
/*
 * In a row, and it is not to stay any more: sched_yield() passes the processor on within
 * one scheduling group only (a control group, or a session where the kernel groups
 * these), and an adjunct in another one would just take time from us.
 */
#define HOT_MISSES_MAX 8

static void futex_wake(_Atomic uint32_t *word)
{
	(void)!syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Until `word` is not `value` any more, as far as the caller is concerned. */
static void futex_wait_until(_Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
	const struct timespec at = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
				    .tv_nsec = (long)(deadline_ns % NS_PER_S)};

	(void)!syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &at, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

/* True: dispatch `number` was handed back, and how. */
static bool handed_back(const struct service_cell *cell, uint32_t number, uint32_t *word)
{
	/* seq_cst: partner is the adjunct's, which hands back, then looks at `waiting`. */
	*word = atomic_load(&cell->handback);
	return *word >> SERVICE_HANDBACK_BITS == number;
}

/*
 * It keeps what it was lent: the shim ends it, if it has been there all that time, and that
 * was long enough for what share of processors the partition has. Several dispatches in a
 * row may wait for the same one to be handed back.
 */
static int overdue(struct otr_net *net, uint32_t word, uint64_t begun_ns)
{
	if (!net->stuck_since_ns || net->stuck_after != word)
		net->stuck_since_ns = begun_ns;
	net->stuck_after = word;
	uint64_t waited_ns = clock_now_ns() - net->stuck_since_ns;
	struct varlink_conn *conn;
	struct varlink_answer answer;
	int error = otr_connect(net->path, &conn);

	if (!error) {
		error = otr_call(conn, "org.outrigger.Partition.Overdue",
				 json_pack("{s:s,s:I}", "device", net->device, "waited_ns",
					   (json_int_t)waited_ns),
				 &answer);
		if (!error)
			varlink_answer_clear(&answer);
		varlink_conn_free(conn);
	}
	return otr_fail(-ETIMEDOUT, "device %s: its adjunct did not hand the processor back%s",
			net->device, error ? ", and outriggerd could not be told" : "");
}

/* As otr_call_adjunct(); -EAGAIN: another adjunct has come, which needs no processor. */
static int yield(struct otr_net *net, uint64_t quantum_ns, uint64_t *used_ns)
{
	struct service_cell *cell = net->cell;
	uint32_t number = ++net->dispatch & SERVICE_DISPATCH_MASK, word = 0;
	uint64_t begun_ns = clock_now_ns();
	uint64_t late_ns = begun_ns + quantum_ns + OTR_YIELD_GRACE_NS;
	bool back = false;

	atomic_store_explicit(&cell->cpu, (uint32_t)sched_getcpu(), memory_order_relaxed);
	atomic_store_explicit(&cell->deadline_ns, begun_ns + quantum_ns, memory_order_relaxed);
	/* seq_cst, and the look at `hot`: partner is the adjunct's, which says that it must
	 * be woken, then looks at `dispatch`. */
	atomic_store(&cell->dispatch, number);
	/* seq_cst: partner is that of an adjunct with a processor of its own, which says so,
	 * then hands back what it finds. */
	if (!atomic_load(&cell->donated))
		return -EAGAIN;
	if (atomic_load(&cell->hot)) {
		for (unsigned i = 0; i < HOT_YIELDS && !back; i++) {
			sched_yield();
			back = handed_back(cell, number, &word);
		}
		net->hot_misses = back ? 0 : net->hot_misses + 1;
		if (net->hot_misses == HOT_MISSES_MAX)
			atomic_store_explicit(&cell->cool, 1, memory_order_relaxed);
	} else {
		futex_wake(&cell->dispatch);
	}
	if (!back) {
		/* relaxed: the kernel compares `handback` behind a barrier, or it has come. */
		atomic_store_explicit(&cell->waiting, 1, memory_order_relaxed);
		while (!(back = handed_back(cell, number, &word)) && clock_now_ns() < late_ns)
			futex_wait_until(&cell->handback, word, late_ns);
		atomic_store_explicit(&cell->waiting, 0, memory_order_relaxed);
	}
	if (used_ns)
		*used_ns = clock_now_ns() - begun_ns;
	if (!back)
		return overdue(net, word, begun_ns);
	net->stuck_since_ns = 0;
	uint32_t how = word & ((1u << SERVICE_HANDBACK_BITS) - 1);

	net->yields_busy = how != SERVICE_IDLE;
	return net->yields_busy;
}

int otr_call_adjunct(struct otr_net *net, uint64_t quantum_ns, uint64_t *used_ns)
{
	int yielded = -EAGAIN;

	net->owed = false;
	if (otr_is_donated(net)) {
		/* Nobody waits: what it does need not be told. */
		if (net->armed)
			otr_disarm_rings(net);
		yielded = yield(net, quantum_ns, used_ns);
	}
	if (yielded == -EAGAIN) {
		net->yields_busy = false;
		yielded = 0;
		if (eq_ring_must_wake_consumer(&net->requests))
			otr_ring_adjunct(net);
	}
	if (net->guest)
		otr_guest_wake(net);
	return yielded;
}
