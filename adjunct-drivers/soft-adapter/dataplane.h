/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The path of a frame through the adapter: out of one function's transmit
 * queue, through the switch, into other functions' receive queues. Data thread
 * only, lock held. Nothing here sleeps, allocates other than packet buffers
 * from the pool, or calls the kernel other than to ring a driver.
 *
 * A function is polled from its doorbell until it has been quiet for
 * DATAPLANE_SPIN_NS; then its doorbell is armed again and it costs nothing.
 */
#ifndef DATAPLANE_H
#define DATAPLANE_H

#include <stdbool.h>
#include <stdint.h>

#include "adapter.h"
#include "clock.h"

#define DATAPLANE_BURST 32                 /* what librte_vhost moves at once */
#define DATAPLANE_SPIN_NS (20 * NS_PER_US) /* about the cost of one wake-up */
/* Packet buffers: bursts in pieces of whatever shape, their altered copies,
 * and what the delay hooks hold back (at most a third). */
#define DATAPLANE_BUFFERS 3071
#define DATAPLANE_DELAYED_MAX 1024

/* The pool; after eal_start(). 0 or -ENOMEM. */
int dataplane_open(struct adapter *adapter);
/* The driver rang: poll the function. */
void dataplane_kicked(struct adapter *adapter, unsigned index);
/* One burst from each function that is polled. True if a frame moved. */
bool dataplane_pass(struct adapter *adapter, uint64_t now_ns);
/*
 * After a pass that moved nothing: arms the doorbells of functions that have
 * been quiet. Returns when the next pass is due: 0 at once, UINT64_MAX when
 * a doorbell rings.
 */
uint64_t dataplane_settle(struct adapter *adapter, uint64_t now_ns);
/*
 * Forwards what the function's driver had handed over, ahead of every limit:
 * before its rings go. At most one queue full; nothing with the stall hook.
 */
void dataplane_drain(struct adapter *adapter, struct vf *vf);
/* Frees what the function's delay hook holds back. */
void dataplane_forget(struct adapter *adapter, struct vf *vf);

#endif
