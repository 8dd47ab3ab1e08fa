/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared-memory format of the event-queues folder, version 2: the ring, and the
 * objects of the two-level event queues by the names of seed 004.
 *
 * Two processes that do not trust each other map these structures. Fixed-width
 * types only, no pointers; every size and offset is asserted. Geometry
 * (capacity, entry size) is never read from shared memory: each side was told
 * it over its control socket and keeps it in a private handle (struct eq_ring).
 */
#ifndef EQ_LAYOUT_H
#define EQ_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define EQ_LAYOUT_VERSION 2

/* Cache line of every machine this runs on. */
#define EQ_LINE_BYTES 64

/*
 * Ring control words. Each line has one habitual writer, so that polling one
 * never steals the line another side is writing.
 */
struct eq_ring_control {
	/* CONSUMER writes: entries released so far, free-running. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t consumed;
	/* CONSUMER sets before it sleeps, PRODUCER clears when it wakes it. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t consumer_armed;
	/* PRODUCER sets before it sleeps for space, CONSUMER clears. */
	alignas(EQ_LINE_BYTES) _Atomic uint32_t producer_armed;
	alignas(EQ_LINE_BYTES) uint8_t reserved[EQ_LINE_BYTES];
};
static_assert(sizeof(struct eq_ring_control) == 256, "ring control is four lines");
static_assert(offsetof(struct eq_ring_control, consumed) == 0, "layout");
static_assert(offsetof(struct eq_ring_control, consumer_armed) == 64, "layout");
static_assert(offsetof(struct eq_ring_control, producer_armed) == 128, "layout");

/*
 * Entries follow the control block. An entry is 16, 32 or 64 bytes: this
 * sequence word, then the payload. The entry at free-running position p lives
 * in slot p % capacity and is valid when its sequence equals p + 1, so one
 * cache line carries both the request and the news that it is there.
 */
struct eq_ring_entry {
	_Atomic uint32_t sequence;
	uint8_t payload[];
};
static_assert(sizeof(struct eq_ring_entry) == 4, "sequence word leads the entry");

/* ---- Event queues (004) -------------------------------------------------- */

/*
 * An event queue's ring has the same words in one line. Nobody polls them: a consumer
 * looks at its summary byte, and a poster has just taken the line for the mark, if
 * the marks are in it. `rest` is for whoever lays out the memory. A guest with its
 * marks, summary byte and interrupt word in there hears of an event by this line and
 * that of the entry; with a line for each it would be five. A guest that polls while
 * another processor posts has its summary byte elsewhere: polling takes the line away
 * from the poster, which needs the marks first.
 */
struct eq_queue_control {
	alignas(EQ_LINE_BYTES) _Atomic uint32_t consumed;
	_Atomic uint32_t consumer_armed; /* not used: summary byte and interrupt wake */
	_Atomic uint32_t producer_armed;
	uint8_t rest[EQ_LINE_BYTES - 12];
};
static_assert(sizeof(struct eq_queue_control) == EQ_LINE_BYTES, "queue control is a line");
static_assert(offsetof(struct eq_queue_control, consumed) == 0, "layout");
static_assert(offsetof(struct eq_queue_control, consumer_armed) == 4, "layout");
static_assert(offsetof(struct eq_queue_control, producer_armed) == 8, "layout");
static_assert(offsetof(struct eq_queue_control, rest) == 12, "layout");

/*
 * Payload of an event queue's entry (EQE, 004 FIG. 2, 207); entries are 16 bytes,
 * the sequence word included. `event_slot` has the event in its top eight bits
 * and below it the slot of the resource: the index of its word in the queue's
 * marks. The token is the owner's, 64 bits, low word first.
 */
struct eq_eqe {
	uint32_t event_slot;
	uint32_t token[2];
};
#define EQ_EQE_BYTES 16
#define EQ_SLOT_BITS 24
#define EQ_SLOTS_MAX (1u << EQ_SLOT_BITS)
static_assert(sizeof(struct eq_eqe) == EQ_EQE_BYTES - 4, "12 bytes follow the sequence word");

/*
 * What happened. EQ_COMPLETION is the completion event of a CQ; the others are
 * non-completion events of the resource they name.
 */
enum eq_event {
	EQ_COMPLETION = 0,
	EQ_QP_ERROR = 1,
	EQ_CQ_ERROR = 2,       /* a CQ had no room for an entry */
	EQ_EQ_OVERRUN = 3,     /* this EQ was full: events were held back, none is lost */
	EQ_LINK_DOWN = 4,
	EQ_LINK_UP = 5,
	EQ_DEVICE_RESET = 6,
	EQ_DEVICE_FAILED = 7,
	EQ_PROTOCOL_ERROR = 8, /* the consumer broke the rules of a ring */
	EQ_PA_BUSY = 9,        /* an adjunct has work and no processor (000, FIG. 23) */
	EQ_DEVICE_LOST = 10,   /* the function behind a device is gone, alone or with its card */
	EQ_DEVICE_BACK = 11,   /* it is there again */
	EQ_DMA_FAULT = 12,     /* the IOMMU stopped it at memory that it was not given */
	EQ_EVENTS_MAX = 32,
};

/*
 * Marks: one word for each slot of an event queue, bit e set while the queue holds
 * an entry for event e of that resource that nobody has consumed (004, FIG. 4,
 * steps 412 and 418). The producer sets a bit, the consumer clears it.
 */
typedef _Atomic uint32_t eq_marks;
static_assert(sizeof(eq_marks) == 4, "layout");

/*
 * A summary byte: adapter summary byte (ASB) in program storage, primary summary
 * byte (PSB) in machine storage (004, FIG. 5). Not zero: one of the event queues
 * associated with it may hold entries.
 */
typedef _Atomic uint8_t eq_summary;
static_assert(sizeof(eq_summary) == 1, "a byte");

/*
 * Where interrupts wait: the guest interrupt state area of a guest (GISA, 004
 * FIG. 9, 900), and the same for the interruption zone of a partition. One word,
 * so that one atomic operation both makes an interrupt pending and learns whether
 * somebody must be woken for it. Eight interruption subclasses (ISC), 0 to 7.
 */
struct eq_interrupts {
	_Atomic uint32_t word;
};
static_assert(sizeof(struct eq_interrupts) == 4, "layout");
#define EQ_ISCS 8u
#define EQ_PENDING_SHIFT 0  /* bit per ISC: an interrupt is pending */
#define EQ_ALERT_SHIFT 8    /* bit per ISC: the alert mask; tell the host, once */
#define EQ_ENABLED_SHIFT 16 /* bit per ISC: the program takes it when it runs */
#define EQ_RUNNING (1u << 24)

/*
 * Adapter storage: the contexts of one adapter's queue pairs, completion queues
 * and event queues, in memory that the host writes (ALLOCATE, STORE) and the
 * adapter reads. Offsets are in bytes from its start.
 *
 *   [header][EQ contexts][CQ contexts][QP contexts][event queues' memory]
 */
#define EQ_STORAGE_MAGIC 0x31305145u /* "EQ01" */
#define EQ_NONE UINT32_MAX           /* no such index */

struct eq_storage_header {
	uint32_t magic;
	uint32_t version; /* EQ_LAYOUT_VERSION */
	uint32_t eqs, cqs, qps;
	uint32_t reserved;
	uint64_t bytes; /* of the whole storage */
	/* The partition's interruption zone, for the event queues in here; in a line of its
	 * own, because adapters write it with every burst. */
	alignas(EQ_LINE_BYTES) struct eq_interrupts izone;
};
static_assert(sizeof(struct eq_storage_header) == 128, "layout");
static_assert(offsetof(struct eq_storage_header, izone) == 64, "layout");

/* An EQ's slot 0 is the adapter itself; CQ i has 1 + i, QP i has 1 + cqs + i. */
#define EQ_SLOT_SELF 0u

enum eq_control {
	/* Make an interrupt pending as soon as an entry comes to an empty queue;
	 * else when the interrupt delay timer runs out (004, FIG. 6, 604). */
	EQ_IMMEDIATE = 1,
	/* ... with every entry (004, FIG. 16, 1610 and 1624). */
	EQ_EVERY_ENTRY = 2,
};

struct eq_eq_context {
	_Atomic uint32_t valid;
	uint32_t capacity;     /* entries, a power of two */
	uint64_t ring_offset;  /* eq_queue_size_bytes(capacity) */
	uint64_t marks_offset; /* eq_marks[slots] */
	uint32_t slots;
	uint32_t control;      /* enum eq_control */
	uint32_t delay_us;     /* interrupt delay timer; 0: none */
	uint32_t isc;
	_Atomic uint32_t asb_offset; /* 0: no adapter summary byte */
	_Atomic uint32_t psb_offset; /* 0: no primary summary byte */
	uint32_t generation;         /* counts allocations of this context */
	uint32_t reserved[3];
};
static_assert(sizeof(struct eq_eq_context) == 64, "layout");

struct eq_cq_context {
	_Atomic uint32_t valid;
	_Atomic uint32_t eq;    /* EQ_NONE: not associated */
	_Atomic uint64_t token; /* goes into this CQ's entries */
};
static_assert(sizeof(struct eq_cq_context) == 16, "layout");

struct eq_qp_context {
	_Atomic uint32_t valid;
	_Atomic uint32_t eq;
	_Atomic uint32_t send_cq, receive_cq; /* may be the same; EQ_NONE: none */
	_Atomic uint64_t token;               /* goes into this QP's entries */
	uint64_t reserved;
};
static_assert(sizeof(struct eq_qp_context) == 32, "layout");

#endif
