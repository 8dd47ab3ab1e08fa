/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of outrigger-vf-adapter: the process behind an adapter of kind sriov. It brings
 * one physical function (PF) to the number of virtual functions (VFs) that the document
 * says, hands them out and takes them back by the VF manager (vf.h), and tells of the
 * card's comings and goings. It speaks org.outrigger.Adapter, as the embedded adapter
 * does, so that the shim need be neither: it has no right to change a network, and does
 * not wait for drivers. main.c waits for what happens, control.c has the connections,
 * methods.c answers, card.c changes the machine, watch.c looks at it, faults.c listens to the
 * IOMMU, confine.c takes away what none of them needs.
 *
 * Thread: the program has one.
 */
#ifndef VF_ADAPTER_H
#define VF_ADAPTER_H

#include "varlink.h"
#include "vf.h"

#define ADAPTER_NAME_BYTES 32
#define ADAPTER_VFS_MAX 256
#define CONNECTIONS_MAX 4
#define EVENT_PHYSICAL (-1) /* the `vf` of an event about the PF */

struct connection {
	struct varlink_conn *conn; /* NULL: the slot is free */
	struct varlink_server *server;
	struct varlink_call *monitor; /* the call that waits for events; or NULL */
	uint64_t number;              /* counts up: the smallest is the oldest */
	bool broken;                  /* closed once its handlers have returned */
};

struct card_vf {
	struct vf_address address;
	int group;  /* of the IOMMU; -1: none */
	bool taken; /* somebody uses it */
	bool told_gone;
	struct vf_faults faults; /* of whoever has it now */
};

struct vf_adapter {
	char name[ADAPTER_NAME_BYTES]; /* empty: not started */
	char token[VF_TOKEN_BYTES];    /* what its records say */
	struct vf_host host;
	struct vf_pf_wish wish; /* vfs: vf_wishes */
	struct vf_wish vf_wishes[ADAPTER_VFS_MAX];
	bool stopping;

	/* As last brought about. */
	char pf[VF_ADDRESS_BYTES];
	bool has_interface; /* of a name that may change at any time */
	char product[96], serial[24], firmware[64];
	unsigned total_vfs;
	struct card_vf vfs[ADAPTER_VFS_MAX];

	/* As monitors were told. */
	bool told_gone, told_back, told_down;

	int listen_fd, uevent_fd, link_fd;
	int kmsg_fd; /* -1: the kernel's log is closed to us */
	uint64_t accepted;
	struct connection connections[CONNECTIONS_MAX];
};

/* ---- card.c: 0, or -errno with a sentence in host.reason ------------------------ */

/* The PF has its VFs, and what GetInfo tells is known. */
int card_bring(struct vf_adapter *adapter);
/* Everything as it was before: VFs are released, and as many as there were. */
int card_restore(struct vf_adapter *adapter);
int card_take(struct vf_adapter *adapter, unsigned index, const struct vf_taking *taking);
int card_set(struct vf_adapter *adapter, unsigned index, const struct vf_settings *settings);
int card_return(struct vf_adapter *adapter, unsigned index);
/* The PF's interface as it is now; nothing else of the PF is in it but its name. */
struct vf_function card_interface(const struct vf_adapter *adapter);
/* What the PF's driver counts of each VF, wish.vf_count of them; false: it does not count. */
bool card_count(struct vf_adapter *adapter, struct vf_counters *counters);

/* ---- watch.c ---------------------------------------------------------------------- */

/* Opens the sockets by which the kernel says that something changed. 0 or -errno. */
int watch_open(struct vf_adapter *adapter);
/* Empties them. */
void watch_drain(struct vf_adapter *adapter);
/* Looks at what changed since monitors were last told, and tells them. */
void watch_look(struct vf_adapter *adapter);
/* A monitor is new: what is not as it should be is to be told again. */
void watch_forget_told(struct vf_adapter *adapter);

/* ---- faults.c --------------------------------------------------------------------- */

/* Before capabilities are dropped. Without the log it logs that, and the rest works. */
void faults_open(struct vf_adapter *adapter);
/* What the log has to say, some of it if it is much; the descriptor stays readable then. */
void faults_read(struct vf_adapter *adapter);
/* One that it told of; `data`: the adapter. */
void faults_take(void *data, const struct vf_fault *fault);
/* What is new and due, to monitors. */
void faults_tell(struct vf_adapter *adapter, uint64_t now_ns);

/* ---- confine.c -------------------------------------------------------------------- */

/* What it gives up before it opens anything, and once the kernel's log is open: 0 or -errno,
 * logged. */
int confine_process_begin(void);
int confine_process_finish(void);

/* ---- control.c ---------------------------------------------------------------------- */

struct pollfd;
/* What each connection waits for; `polled` has CONNECTIONS_MAX of them. */
void control_prepare(struct vf_adapter *adapter, struct pollfd *polled);
void control_serve(struct vf_adapter *adapter, const struct pollfd *polled);
void control_accept(struct vf_adapter *adapter);
void control_close(struct vf_adapter *adapter);
void control_monitor(struct vf_adapter *adapter, struct varlink_call *call);
bool control_has_monitor(const struct vf_adapter *adapter);
/* One event for every monitor. */
void control_tell(struct vf_adapter *adapter, const char *event, int vf, const char *message);

/* ---- methods.c ---------------------------------------------------------------------- */

const struct varlink_service *methods_service(struct vf_adapter *adapter);

#endif
