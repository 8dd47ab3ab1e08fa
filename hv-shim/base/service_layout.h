/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory format of a device's service interface, version 1: how a program
 * asks its adjunct for something, and lends it the processor to do so (000, FIG. 10,
 * 11 and 23). It is the last part of a native window (net_layout.h):
 *
 *   [dispatch cell][request ring][completion ring][request data][completion data]
 *
 * Both rings are eq_rings of SERVICE_SLOTS entries of SERVICE_ENTRY_BYTES. Slot i of a
 * ring owns buffer i of its data: no offset is ever read from shared memory. Data of up
 * to SERVICE_INLINE_* bytes travels in the entry itself, in one line with the rest.
 *   requests:    PRODUCER partition, CONSUMER adjunct
 *   completions: PRODUCER adjunct,   CONSUMER partition
 *
 * The dispatch cell is how a processor is handed over, without a system call of the
 * shim's. Its first line is written by the partition alone, its second by the adjunct
 * alone; each side keeps what it wrote for itself and believes nothing it reads but
 * that the other side's word has changed. tests/model/yield.pml is its model.
 *
 *   partition                              adjunct's dispatch thread
 *   dispatch = n, fence, hot?              hot = 0, sleeps if dispatch is n - 1
 *     no: wakes it
 *   waiting = 1, sleeps if handback        handback = n and how, fence, waiting?
 *     is not n                               yes: wakes the partition
 *
 * `donated` is the adjunct's word for how it wants to be called: by a dispatch, or by its
 * doorbell. Another adjunct may take over that wants it the other way. It says so first,
 * then hands back the dispatch it finds; the partition dispatches, then looks whether it
 * still has to (tests/model/cpu_mode.pml).
 *
 * The words are Linux futexes, so that the kernel switches on the spot; it fences before
 * it compares, which is why who is about to sleep need not.
 */
#ifndef SERVICE_LAYOUT_H
#define SERVICE_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SERVICE_SLOTS 64 /* a bit for each in one word */
#define SERVICE_ENTRY_BYTES 64
#define SERVICE_BUFFER_BYTES 2112 /* as NET_BUFFER_BYTES: a frame fits */
#define SERVICE_PRIORITIES 8	  /* 0 is the least */

/* Payload of a ring entry: what follows the sequence word. */
#define SERVICE_INLINE_REQUEST 48
struct service_request {
	uint32_t id; /* the program's own, comes back with the completion */
	uint16_t opcode;
	uint8_t priority; /* below SERVICE_PRIORITIES */
	uint8_t flags;	  /* 0 in version 1; anything else is refused */
	uint32_t data_bytes;
	uint8_t data[SERVICE_INLINE_REQUEST];
};
#define SERVICE_INLINE_COMPLETION 44
struct service_completion {
	uint32_t id;
	int32_t status;	  /* 0 or -errno */
	uint32_t used_ns; /* that the adjunct worked on it, at most 4 s of it */
	uint32_t data_bytes;
	uint8_t data[SERVICE_INLINE_COMPLETION];
};
static_assert(sizeof(struct service_request) == 60, "60 bytes follow the sequence word");
static_assert(sizeof(struct service_completion) == 60, "60 bytes follow the sequence word");

/* Opcodes. What is below SERVICE_OPCODE_DRIVER is the runtime's. */
enum service_opcode {
	SERVICE_NOP,
	SERVICE_CANCEL, /* the request with this id, if it has not begun; is not completed itself */
	SERVICE_OPCODE_DRIVER = 16,
	/* Of the image `echo`. */
	SERVICE_ECHO = SERVICE_OPCODE_DRIVER, /* the data comes back */
	SERVICE_SPIN,			      /* works for so many ns: data, 8 bytes */
	/* Of the image `ethdev`. What goes with the request and, behind the arrow, with its
	 * completion; outrigger.h says more. */
	SERVICE_NET_TRANSMIT = 32, /* a frame -> */
	SERVICE_NET_RECEIVE,	   /* -> a frame, once there is one */
	SERVICE_NET_MAC,	   /* -> 6 bytes */
	SERVICE_NET_SET_MAC,	   /* 6 bytes -> */
	SERVICE_NET_VLAN_ADD,	   /* uint16_t -> */
	SERVICE_NET_VLAN_REMOVE,   /* uint16_t -> */
	SERVICE_NET_LINK,	   /* -> struct service_net_link */
	SERVICE_NET_STATISTICS,	   /* -> struct service_net_statistics */
};

struct service_net_link {
	uint8_t up, full_duplex, reserved[2];
	uint32_t speed_mbps; /* 0: not known */
};
static_assert(sizeof(struct service_net_link) == 8, "layout");

struct service_net_statistics {
	/* As the partition sees them: tx leaves it. */
	uint64_t tx_frames, tx_bytes, tx_dropped, rx_frames, rx_bytes, rx_dropped;
	/* The device's own: frames that it had no room for, and broken ones. */
	uint64_t device_missed, device_errors;
};
static_assert(sizeof(struct service_net_statistics) == 64, "layout");

/* How a dispatch ended: the low bits of `handback`. */
enum service_handback {
	SERVICE_IDLE,	  /* nothing is left to do */
	SERVICE_BUSY,	  /* the quantum is over, and there is more */
	SERVICE_REPLACED, /* the adjunct that was dispatched is no more */
};
#define SERVICE_HANDBACK_BITS 2
/* Numbers of dispatches: they wrap. */
#define SERVICE_DISPATCH_MASK (UINT32_MAX >> SERVICE_HANDBACK_BITS)

struct service_cell {
	/* The partition's. */
	_Atomic uint32_t dispatch; /* the number of its last dispatch; a futex */
	_Atomic uint32_t waiting;  /* it sleeps on `handback`, or is about to */
	_Atomic uint32_t cpu;	   /* where it runs */
	_Atomic uint32_t cool;	   /* to stay on the processor is of no use: sleep */
	_Atomic uint64_t deadline_ns; /* end of the quantum, CLOCK_MONOTONIC */
	uint8_t reserved_line[40];
	/* The adjunct's. */
	_Atomic uint32_t handback; /* number << SERVICE_HANDBACK_BITS | how; a futex */
	_Atomic uint32_t hot;	   /* its dispatch thread need not be woken */
	_Atomic uint32_t pending;  /* PA_BUSY: it wants to be dispatched */
	_Atomic uint32_t donated;  /* it has no processor but what it is lent */
	uint8_t adjunct_line[48];
};
static_assert(offsetof(struct service_cell, handback) == 64, "a line for each side");
static_assert(sizeof(struct service_cell) == 128, "two lines");

#endif
