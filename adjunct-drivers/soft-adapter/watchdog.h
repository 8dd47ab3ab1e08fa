/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps a driver from stopping the data thread with its own doorbell. To tell a
 * driver of received frames, librte_vhost writes to an eventfd that the driver
 * made: it can fill it up and make it block, at any time, and the write would
 * wait for ever. While the data thread works on rings, a timer signals it every
 * millisecond or so once it has been too long in one call; a blocked write then
 * returns EINTR. Who was too long, and has a full doorbell, is reset.
 *
 * Data thread only. A busy thread pays one system call per 2.5 ms, an idle one
 * none.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

int watchdog_open(void);
void watchdog_close(void);
/* Before calls into librte_vhost's rings. */
void watchdog_touch(uint64_t now_ns);
/* The thread sleeps, and the timer woke it: no more until the next touch. */
void watchdog_rest(void);
/* Changes when the timer has fired: compare before and after a call. */
unsigned watchdog_count(void);
/* Would a write to the descriptor block now? */
bool watchdog_is_full(int fd);

#endif
