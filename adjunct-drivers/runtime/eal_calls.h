/* SPDX-License-Identifier: BSD-2-Clause */
/* What the EAL's calls to the system meet while it starts; see eal_calls.c and
 * eal_vfio.c. */
#ifndef EAL_CALLS_H
#define EAL_CALLS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The EAL's heap shall be this memory; the descriptor stays the caller's. 0 or
 * -errno.
 */
int eal_calls_begin(int memory_fd, size_t memory_bytes);
/* Where the EAL has mapped it; NULL: it did not. */
void *eal_calls_end(void);
/* Once it runs: what it has in its heap goes into this memory, of the same size, which is
 * its heap from then on, at the same addresses. -errno: it has the heap it had. */
int eal_calls_move_heap(int memory_fd);

/* eal_vfio.c: this is a standby, for whose device there is no group yet. What DPDK
 * says of that is no error. */
bool eal_vfio_waits(void);

#endif
