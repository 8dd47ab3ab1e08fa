/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vhost-user session consists of, as told by its front-end: features,
 * memory table, rings, doorbells, status. The state machine that decides which
 * message may come when (THREATS.md T03, T04, T06), and the messages that tell a
 * new back-end all of it.
 *
 * Plain data but for its descriptors, which the state owns: it can be copied to
 * a file and back (vhost_proxy.c does). No sockets, no clocks. Event-loop thread.
 */
#ifndef VHOST_STATE_H
#define VHOST_STATE_H

#include "vhost_message.h"

/* Of GET_FEATURES, beside virtio's own bits. */
#define VHOST_F_PROTOCOL_FEATURES 30

/* Of GET_PROTOCOL_FEATURES. */
#define VHOST_PROTOCOL_MQ 0
#define VHOST_PROTOCOL_REPLY_ACK 3
#define VHOST_PROTOCOL_MTU 4
#define VHOST_PROTOCOL_STATUS 16

#define VHOST_RING_ENTRIES_MAX 32768

struct vhost_ring {
	struct vhost_ring_number size, base; /* number 0 of size: not told yet */
	struct vhost_ring_address address;
	int kick, call; /* -1: none */
	/* Which of them the front-end has told; call and enabled are told anew at will. */
	bool has_base, has_address, has_call, has_enable;
	bool polled;  /* started without a kick descriptor */
	bool enabled; /* with has_enable */
	bool started; /* between SET_VRING_KICK and GET_VRING_BASE */
};

struct vhost_state {
	/* What back-ends can do and the shim can replay; set by vhost_state_offer(). */
	uint64_t offered_features, offered_protocol;
	uint64_t features, protocol; /* what the front-end took of them */
	bool has_owner, has_features, has_protocol, has_mtu, has_status;
	uint64_t mtu, status;
	struct vhost_memory memory; /* region_count 0: not told yet */
	int region_fds[VHOST_REGIONS_MAX];
	struct vhost_ring rings[VHOST_RINGS];
	/* The in-flight record (adj_inflight.h): how far back-ends served this front-end,
	 * which is never told of it; -1: there is none yet. */
	int inflight;
};

void vhost_state_init(struct vhost_state *state);
/* Closes its descriptors; what back-ends offer stays. For the next front-end. */
void vhost_state_reset(struct vhost_state *state);

/*
 * Takes what a back-end offers, less what the shim could not replay: packed
 * rings (their place cannot be read from guest memory), dirty-page logs, the
 * device IOTLB, back-end channels. NULL, or why this back-end cannot take the
 * session over: it lacks what the front-end was promised, or acknowledgements.
 */
const char *vhost_state_offer(struct vhost_state *state, uint64_t features, uint64_t protocol);

enum vhost_verdict {
	VHOST_REFUSED,  /* *problem says why; the message's descriptors are the caller's to close */
	VHOST_ANSWERED, /* the back-end need not know; its descriptors are the caller's to close */
	VHOST_TAKEN, /* the back-end is to be told; the state owns the descriptors now */
	VHOST_ASK, /* the back-end is to be asked, else *answer holds */
};

/*
 * One message of the front-end. Unless refused, *answer is what to reply if the
 * request asks (vhost_message_asks()) or wants and may have an acknowledgement
 * (vhost_state_acknowledges()).
 */
enum vhost_verdict vhost_state_take(struct vhost_state *state, const struct vhost_message *message,
				    struct vhost_message *answer, const char **problem);
bool vhost_state_acknowledges(const struct vhost_state *state, const struct vhost_message *message);
/* Makes the in-flight record, if there is none, for this front-end. 0 or -errno. */
int vhost_state_make_inflight(struct vhost_state *state);
/* Where a back-end is to go on in a ring; read from guest memory if it runs. 0 or -EFAULT. */
int vhost_state_place(const struct vhost_state *state, unsigned ring, uint32_t *out);
/* The back-end's answer to GET_VRING_BASE, which may differ from ours. */
void vhost_state_stopped(struct vhost_state *state, unsigned ring, uint32_t base);

/*
 * The messages that bring a new back-end to this state, one for each cursor
 * value from 0 on (those that have nothing to tell are passed over). False: no
 * more. Descriptors in *message stay the state's. The places of started rings
 * are read from guest memory: -> *problem, if that cannot be.
 */
bool vhost_state_replay(const struct vhost_state *state, unsigned *cursor,
			struct vhost_message *message, const char **problem);

/* ---- Descriptors ----------------------------------------------------------------- */

#define VHOST_STATE_FDS (VHOST_REGIONS_MAX + 2 * VHOST_RINGS + 1)
/* The i-th place of a descriptor, -1 in it if there is none. */
int *vhost_state_fd(struct vhost_state *state, unsigned i);

/* ---- vhost_memory.c ---------------------------------------------------------------- */

/*
 * NULL, or why the table cannot be trusted: each region must lie within its
 * descriptor's file, which must be one the kernel alone serves (memfd, tmpfs,
 * huge pages), and no two may overlap.
 */
const char *vhost_memory_problem(const struct vhost_memory *memory, const int *fds);
/* Whether all `bytes` from a front-end's address lie in one region. */
bool vhost_memory_has(const struct vhost_memory *memory, uint64_t user_address, uint64_t bytes);
/*
 * The only place that reads guest memory: `bytes` from the front-end's address,
 * copied once into `out`. Nothing is mapped, so a file cut short meanwhile cannot
 * hurt us (T05). 0 or -EFAULT.
 */
int vhost_memory_copy_in(const struct vhost_memory *memory, const int *fds, uint64_t user_address,
			 void *out, size_t bytes);

#endif
