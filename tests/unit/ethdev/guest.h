/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user guest's memory and rings, in plain memory of the test's own, for tests
 * of the device's side (adjunct-drivers/ethdev/vhost_ring.c). Two regions: they lie one
 * behind the other by the guest's addresses, and apart where they are mapped.
 */
#ifndef ETHDEV_GUEST_H
#define ETHDEV_GUEST_H

#include <stdint.h>

#include "ethdev/vhost_ring.h"

#define GUEST_RING 8u
#define GUEST_BASE UINT64_C(0x100000)
#define GUEST_REGION_BYTES 0x20000u
#define GUEST_END (GUEST_BASE + 2 * GUEST_REGION_BYTES)
#define GUEST_HEADER_BYTES 12u
/* Where tests put buffers, 2 KiB each, in the first region. */
#define GUEST_BUFFER(i) (GUEST_BASE + 0x8000u + (i) * 2048u)

extern struct vhost_regions guest_regions;

/* Zeroes it all, and makes a ring of GUEST_RING entries at the region's begin or, of
 * another `number`, behind. Version 1, not mergeable, no event index. */
struct vhost_ring guest_ring(unsigned number);
/* Where a guest's address is. */
void *guest_at(uint64_t address);
void guest_describe(struct vhost_ring *ring, unsigned slot, uint64_t address, uint32_t bytes,
		    uint16_t flags, uint16_t next);
/* The next available entry names that descriptor. */
void guest_offer(struct vhost_ring *ring, unsigned slot);
/* Header and a frame of `bytes` octets, all of them `octet`, in descriptor and buffer `slot`. */
void guest_send(struct vhost_ring *ring, unsigned slot, uint32_t bytes, uint8_t octet);
/* Buffer `slot` of `bytes` octets, to be written. */
void guest_room(struct vhost_ring *ring, unsigned slot, uint32_t bytes);

#endif
