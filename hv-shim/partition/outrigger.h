/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liboutrigger: how a program becomes the inside of a partition. It attaches to
 * its partition's socket, opens a native net device, and exchanges Ethernet
 * frames with the device's adjunct through shared memory: no system call while
 * both sides are busy, none at all while both are idle.
 *
 *	struct otr *otr;
 *	struct otr_net *net;
 *	struct otr_frame frames[32];
 *
 *	otr_attach("green", &otr);
 *	otr_net_open(otr, "net0", &net);
 *	while (otr_net_wait(net, OTR_RX, otr_deadline_ms(1000)) > 0) {
 *		int count = otr_net_receive(net, frames, 32);
 *		... look at frames[0 .. count - 1] ...
 *		otr_net_release(net, count);
 *	}
 *	otr_net_close(net);
 *	otr_detach(otr);
 *
 * Whole programs: hv-shim/examples/otr-echo.c, otr-send.c and otr-yield.c.
 *
 * Errors: 0 or a count, else -errno; otr_last_error() then has a sentence for
 * the person. The library never prints, exits, makes threads or handles signals.
 *
 * Threads: a handle is used by one thread at a time. Net handles are independent
 * of each other and of the struct otr they came from.
 *
 * Trust: the adjunct is another program, and it shares the window. The library
 * checks every index and length it reads there. What a received frame *contains*
 * can still change while you read it: copy what you check before you rely on it.
 */
#ifndef OUTRIGGER_H
#define OUTRIGGER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OTR_API __attribute__((visibility("default")))

/* Longest wait for an answer of the shim, in every call that asks it something. */
#define OTR_CALL_TIMEOUT_MS 10000

/* A sentence about this thread's last failed call; "" before the first. Never NULL. */
OTR_API const char *otr_last_error(void);

/* CLOCK_MONOTONIC in nanoseconds; deadlines below are on this clock. */
OTR_API uint64_t otr_now_ns(void);
OTR_API uint64_t otr_deadline_ms(unsigned from_now_ms);
#define OTR_FOREVER UINT64_MAX

/* ---- The partition ------------------------------------------------------- */

struct otr;

struct otr_device {
	char name[64];
	char kind[16];  /* "tap", "vhost-user" or "native"; only native ones open here */
	char state[16]; /* "starting", "running", "stopping" or "failed" */
	uint8_t mac[6];
	uint16_t mtu;
	char path[108]; /* vhost-user: its socket; else "" */
	char shared[64]; /* the device of another partition, "vios/uplink", whose adjunct serves
			    this one as well; else "" */
};

/*
 * Attaches to a partition: by the path of its socket if `partition` has a '/',
 * else by name. A name is looked for in $OUTRIGGER_STATE_DIR if that is set;
 * else in the user's own state directory ($XDG_RUNTIME_DIR/outrigger, or
 * /tmp/outrigger-UID without that variable), then in /run/outrigger.
 * -ENOENT: there is no such partition; -ECONNREFUSED: outriggerd does not run;
 * -EACCES: it belongs to someone else; -EINVAL: not a name; -ETIMEDOUT.
 */
OTR_API int otr_attach(const char *partition, struct otr **out);
OTR_API void otr_detach(struct otr *otr); /* NULL is fine; net handles stay valid */

OTR_API const char *otr_name(const struct otr *otr);

/*
 * Asks for the partition's devices: writes up to `devices_max` of them and
 * returns how many there are, which may be more. If the shim was restarted it
 * connects anew. -ECONNREFUSED, -ECONNRESET: there is none just now, ask again.
 */
OTR_API int otr_devices(struct otr *otr, struct otr_device *devices, unsigned devices_max);

/* ---- A net device --------------------------------------------------------- */

struct otr_net;

struct otr_net_info {
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t frame_min, frame_max; /* bytes, Ethernet header to payload, no FCS */
	uint32_t ring_entries;         /* frames that each direction holds */
};

/* Since the device was opened. */
struct otr_net_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t doorbells; /* times the adjunct had to be woken */
	uint64_t sleeps;    /* times otr_net_wait() slept */
};

/*
 * Maps a memory region of the partition, shared with the partition's other
 * programs. *memory and *size_bytes are the caller's, to be unmapped with
 * munmap(). If the partition donates the region to an adjunct, every later
 * access raises SIGBUS; when it is given back, map it anew: it is zeroed.
 * -EBUSY: it is donated now; -ENOENT: there is no such region; -ECONNREFUSED:
 * outriggerd is being restarted, ask again; others as otr_net_open(). Source:
 * 000, FIG. 6, steps 615 and 630.
 */
OTR_API int otr_region_map(struct otr *otr, const char *region, void **memory, size_t *size_bytes);

/*
 * Opens a native net device and maps its window. One program at a time.
 * -ENOENT: no such device; -EOPNOTSUPP: it is not of kind native; -EBUSY:
 * another program has it open; -EAGAIN: its adjunct is not serving yet;
 * -EPROTO: what the shim handed out is not a window this library may map.
 */
OTR_API int otr_net_open(struct otr *otr, const char *device, struct otr_net **out);
/*
 * Gives the device back and unmaps the window: frames received or reserved are
 * gone. Waits until the shim has taken note, OTR_CALL_TIMEOUT_MS at most.
 */
OTR_API void otr_net_close(struct otr_net *net); /* NULL is fine */

OTR_API void otr_net_info(const struct otr_net *net, struct otr_net_info *out);
OTR_API void otr_net_stats(const struct otr_net *net, struct otr_net_stats *out);

/*
 * From any call below, -EPROTO: the adjunct wrote what no honest adjunct can
 * write; -ENODEV: the device was taken down or changed, or it failed (as events
 * tell, so this is noticed when the program waits or asks for events). The
 * handle stays unusable; close it.
 */

struct otr_frame {
	void *data; /* first byte of the Ethernet header */
	uint32_t length_bytes;
};

/*
 * What was sent goes out once and in order, also if the adjunct dies meanwhile and
 * another one takes over: that shows as a pause. (On a real adapter's function a death
 * may lose what it had not sent yet; nothing is sent twice.) What is received came once
 * and in order, but what a dying adjunct held is lost, as on a wire.
 *
 * Copies frames into the transmit ring: as many of the `count` as there is room
 * for now, from the first on; returns how many (0: the ring is full; wait for
 * OTR_TX). Ends a reservation. -EMSGSIZE: a length is outside frame_min to
 * frame_max; nothing was sent.
 */
OTR_API int otr_net_send(struct otr_net *net, const struct otr_frame *frames, unsigned count);

/*
 * The same without a copy, in two steps. Reserve points up to `count` frames at
 * free buffers in the window (returns how many; length_bytes says what fits).
 * Fill some, from the first on, set their lengths, and commit them. Commit ends
 * the reservation; what was not committed was never there.
 * Commit: `count`, or -EINVAL: more than was reserved; -EMSGSIZE: as above,
 * and the reservation still stands.
 */
OTR_API int otr_net_reserve(struct otr_net *net, struct otr_frame *frames, unsigned count);
OTR_API int otr_net_commit(struct otr_net *net, const struct otr_frame *frames, unsigned count);

/*
 * Points up to `frames_max` frames at what was received, in order; returns how
 * many (0: none now; wait for OTR_RX). The buffers belong to the program, which
 * may write to them, until it releases them, the oldest first. While it holds
 * ring_entries of them nothing can be received.
 * Release: 0, or -EINVAL: more than is held.
 */
OTR_API int otr_net_receive(struct otr_net *net, struct otr_frame *frames, unsigned frames_max);
OTR_API int otr_net_release(struct otr_net *net, unsigned count);

/* ---- Waiting -------------------------------------------------------------- */

enum otr_ready {
	OTR_RX = 1,    /* otr_net_receive() will find a frame */
	OTR_TX = 2,    /* otr_net_send() will take a frame */
	OTR_EVENT = 4, /* otr_net_event() has one */
};

/*
 * Waits until one of `what` (a combination of enum otr_ready, and of enum
 * otr_service_ready below) is ready, or the deadline passes. It polls for a short while
 * that adapts to how often that helps, then sleeps. An adjunct without a processor of
 * its own (`cpu: donated`, see Services) it yields to instead of polling, and whenever
 * that one wants time: a program that only waits for frames need not know.
 * Returns what is ready; 0: the deadline passed; -EINTR: a signal handler ran.
 */
OTR_API int otr_net_wait(struct otr_net *net, unsigned what, uint64_t deadline_ns);

/*
 * Longest time that otr_net_wait() polls, or yields, before it sleeps; 20 us unless set.
 * 0: never polls, and yields only for what there is to do. OTR_FOREVER: never sleeps,
 * which occupies a processor.
 */
OTR_API void otr_net_set_polling(struct otr_net *net, uint64_t polling_max_ns);

/*
 * For programs with an event loop of their own. Before the loop sleeps: arm;
 * unless the result is 0 something is ready, do not sleep (nothing is armed).
 * The descriptor becomes readable when something may have become ready. Then,
 * and also when the loop woke for another reason: disarm, which returns what of
 * `what` is ready now, and quiets the descriptor.
 */
OTR_API int otr_net_fd(const struct otr_net *net); /* the library's; only poll it */
OTR_API int otr_net_arm(struct otr_net *net, unsigned what);
OTR_API int otr_net_disarm(struct otr_net *net, unsigned what);

/* ---- Services ------------------------------------------------------------- */

/*
 * A service is what a device's adjunct does besides moving frames, on request. Requests
 * are queued in the program's own memory, one or many, and are served when the program
 * calls: the most urgent first, those of one priority in order. Each has one completion,
 * also if the adjunct dies meanwhile: what it had begun then fails with -ECONNRESET, what
 * it had not is done by its successor, and so is what only asks (OTR_NET_RECEIVE, _MAC,
 * _LINK, _STATISTICS), begun or not.
 *
 * Where the document says `cpu: donated`, the adjunct has no processor of its own.
 * otr_yield() lends it the caller's, for a quantum; the adjunct gives it back when
 * nothing is left to do, or is preempted wherever it is, keeps its state, and goes on
 * there in the next yield. That it wants time, because a quantum was too short or its
 * device interrupted, is told as PA_BUSY; when to yield is the program's to decide
 * (000, FIG. 10, 11 and 23). This holds for frames, too: they move when it yields. The
 * document can be changed meanwhile: the same handle then reaches an adjunct that has a
 * processor, or has none any more, and nothing of what was asked is lost.
 *
 *	otr_service_open(otr, "net0", &service);
 *	otr_submit(service, &(struct otr_request){.id = 1, .opcode = OTR_ECHO, ...});
 *	... more of them ...
 *	if (otr_yield(service, 200000, &used_ns) == OTR_BUSY)
 *		... yield again at once, or when there is nothing better to do ...
 *	while (otr_poll(service, &completion) > 0)
 *		... completion.id, completion.status, completion.data ...
 *
 * A whole program: hv-shim/examples/otr-yield.c.
 */
struct otr_service;

#define OTR_REQUESTS_MAX 64    /* queued and not completed, of one service */
#define OTR_REQUEST_BYTES 2112 /* of data at most, either way; 44 travel fastest */
#define OTR_PRIORITIES 8
#define OTR_QUANTUM_MAX_NS UINT64_C(60000000000)

enum otr_opcode {
	OTR_NOP,
	OTR_ECHO = 16, /* echo: the data comes back */
	OTR_SPIN,      /* echo: works for so many nanoseconds (data, uint64_t) */

	/*
	 * Images for net devices (ethdev). Statuses besides those below: -EINVAL: data of
	 * another size than here. What is set lasts until the program closes the device,
	 * also if its adjunct is replaced. Of a device that several partitions share, only
	 * OTR_NET_MAC, _LINK and _STATISTICS: the others are -EOPNOTSUPP.
	 *
	 * A frame, its Ethernet header first: completed once the device has it, which may
	 * be after frames that were sent by the ring later. -EMSGSIZE: its length is
	 * outside frame_min to frame_max; -ENETDOWN: the device is lost just now.
	 */
	OTR_NET_TRANSMIT = 32,
	/*
	 * The next frame from the device, as the completion's data; until one comes the
	 * request waits, which otr_cancel() ends. While some wait with the adjunct, frames
	 * go to them, the oldest of the most urgent first, and none into the receive ring.
	 * If the adjunct dies meanwhile, it waits with the next one.
	 */
	OTR_NET_RECEIVE,
	/* The completion has the address by which frames reach the device, 6 bytes. */
	OTR_NET_MAC,
	/*
	 * Another one, 6 bytes. -EADDRNOTAVAIL: it is a group's, or all zero; -EPERM: not
	 * for this function: whoever owns the adapter has not trusted it with that.
	 */
	OTR_NET_SET_MAC,
	/*
	 * Of tagged frames, those of these VLANs only are received: an identifier from 1
	 * to 4094, uint16_t. Before the first is added, and after the last is removed, all
	 * are that the adapter passes on; untagged ones always. -ENOENT: to be removed,
	 * and not there; -EPERM: the adapter does not let the function have it.
	 */
	OTR_NET_VLAN_ADD,
	OTR_NET_VLAN_REMOVE,
	OTR_NET_LINK,	    /* the completion has a struct otr_net_link */
	OTR_NET_STATISTICS, /* the completion has a struct otr_net_statistics */
};

struct otr_net_link {
	uint8_t up, full_duplex, reserved[2];
	uint32_t speed_mbps; /* 0: not known */
};

/* Since the adjunct's first program opened the device, those before this one included. */
struct otr_net_statistics {
	uint64_t tx_frames, tx_bytes, tx_dropped; /* that left the partition, or were refused */
	uint64_t rx_frames, rx_bytes, rx_dropped; /* that came, or were not wanted */
	uint64_t device_missed, device_errors;	  /* the device had no room, or they were broken */
};

struct otr_request {
	uint32_t id; /* the program's own; comes back */
	uint16_t opcode;
	uint8_t priority;   /* 0 to 7, the most urgent */
	uint8_t invoke;	    /* not 0: call the adjunct at once, as otr_yield() does */
	const void *data;   /* copied */
	uint32_t data_bytes;
};

struct otr_completion {
	uint32_t id;
	/* 0, or -errno: -EOPNOTSUPP: the device has no such request; -ECONNRESET: its
	 * adjunct died over it; -ECANCELED; or the request's own. */
	int status;
	uint32_t used_ns; /* that it took, preemptions included; 0 unless donated or global */
	const void *data; /* until the next otr_poll() */
	uint32_t data_bytes;
};

/*
 * Opens a device for its service, and for its frames: otr_service_net() is the handle for
 * those, closed with the service. Errors as otr_net_open(): who has no service is told
 * why at once.
 */
OTR_API int otr_service_open(struct otr *otr, const char *device, struct otr_service **out);
OTR_API void otr_service_close(struct otr_service *service); /* NULL is fine */
OTR_API struct otr_net *otr_service_net(struct otr_service *service);
OTR_API int otr_service_is_donated(const struct otr_service *service);

/*
 * Queues a request: 1, or 0: all slots are in use, take completions first. With `invoke`
 * the adjunct is called as well. -EMSGSIZE, -EINVAL; -ENODEV, -EPROTO as of a net device.
 */
OTR_API int otr_submit(struct otr_service *service, const struct otr_request *request);
/*
 * Completes the oldest request with that id as -ECANCELED, if it has not begun when the
 * adjunct is called next; else it completes as it would have. 1, or 0 and errors as above.
 */
OTR_API int otr_cancel(struct otr_service *service, uint32_t id);

enum otr_yielded { OTR_IDLE, OTR_BUSY };

/*
 * Calls the adjunct. Donated: lends it the processor for up to `quantum_ns`, and
 * *used_ns (or NULL) is how long it was away; OTR_IDLE: all is done; OTR_BUSY: there is
 * more, and it wants to go on. Else it is woken if it sleeps, and OTR_IDLE returned.
 * -ETIMEDOUT: a second after the quantum's end it has not been handed back:
 * the shim ends that adjunct, what it had begun comes back as an error, and the next
 * yield finds its successor. -EINVAL: the quantum is over OTR_QUANTUM_MAX_NS.
 * A blocked thread of the program does not matter, others go on; to have the adjunct on
 * the very processor, bind the thread to one.
 */
OTR_API int otr_yield(struct otr_service *service, uint64_t quantum_ns, uint64_t *used_ns);
/* Of otr_submit() with `invoke`, and of all waiting: 1 ms unless set. */
OTR_API void otr_service_set_quantum(struct otr_service *service, uint64_t quantum_ns);

/* Takes one completion: 1, or 0: there is none. Never blocks. */
OTR_API int otr_poll(struct otr_service *service, struct otr_completion *out);

/* Why the adjunct wants to be dispatched; 0: it does not. Never blocks. */
enum otr_busy {
	OTR_QUANTUM_OVER = 1, /* the last yield was too short */
	OTR_INTERRUPTED = 2,  /* its device interrupted, or a timer; or it took over from another */
};
OTR_API int otr_service_busy(const struct otr_service *service);

enum otr_service_ready {
	OTR_COMPLETION = 8, /* otr_poll() will find one */
	OTR_PA_BUSY = 16,   /* otr_service_busy() is not 0 */
};

/*
 * otr_net_wait() of the service's net. Not asked for OTR_PA_BUSY, it yields by itself
 * whenever the adjunct wants time; asked for it, it never yields, and neither does
 * otr_net_arm(). For loops of the program's own: otr_net_fd() becomes readable for PA_BUSY,
 * too. Completions are told of once for a burst of requests.
 */
OTR_API int otr_wait(struct otr_service *service, unsigned what, uint64_t deadline_ns);

/* ---- Guests: many devices, one wait ----------------------------------------- */

/*
 * A guest hears of all its devices through event queues in one piece of shared memory
 * (seed 004): waiting costs no more with a thousand devices than with one, and one
 * descriptor wakes it. While it polls there is no system call.
 *
 *	otr_guest_open(otr, 64, &guest);
 *	otr_guest_add(guest, net, OTR_RX, my_net);         for each net that is open
 *	while ((count = otr_guest_wait(guest, events, 16, otr_deadline_ms(1000))) >= 0)
 *		for (int i = 0; i < count; i++)
 *			... receive from events[i].user until it has no more ...
 *
 * Level-triggered: what was reported and is still ready is reported again. A net that
 * belongs to a guest must not be waited for with otr_net_wait() or otr_net_arm().
 *
 * Completions of a service come in the same way, and that its adjunct wants the processor:
 * PA_BUSY, on an event queue of its own for each adjunct. Asked for it, as a program does
 * that has priorities of its own (examples/otr-yield.c), the guest never yields; else it
 * lends whatever is wanted while it waits.
 *
 * After a restart of the shim the guest is made anew by the next otr_guest_wait(), which
 * then looks into every device once; until that is done it looks into all of them every
 * millisecond.
 */
struct otr_guest;

struct otr_guest_event {
	struct otr_net *net;
	void *user;
	unsigned what; /* enum otr_ready and enum otr_service_ready */
	/* With OTR_EVENT, its name, as in struct otr_event; otr_net_event() has the sentence
	 * for people, a moment later. Else "". */
	char event[32];
};

/*
 * A guest for up to `devices_max` (1 to 1,024) nets of this partition. It is used by one
 * thread at a time, and belongs to the process: a child of fork() has none.
 * -EBUSY: the partition has too many guests; errors as otr_attach().
 */
OTR_API int otr_guest_open(struct otr *otr, unsigned devices_max, struct otr_guest **out);
/* Its nets stay open, and can be waited for one by one again. NULL is fine. */
OTR_API void otr_guest_close(struct otr_guest *guest);

/*
 * The guest takes a net that this process has open; `what` is some of OTR_RX, OTR_TX,
 * OTR_COMPLETION and OTR_PA_BUSY. A second time: changes `what` and `user`. -EBUSY: devices_max are there, or it is
 * another guest's; -EINVAL: `what`.
 */
OTR_API int otr_guest_add(struct otr_guest *guest, struct otr_net *net, unsigned what, void *user);
/* -ENOENT: it is not this guest's. To close a net takes it out, too. */
OTR_API int otr_guest_remove(struct otr_guest *guest, struct otr_net *net);

/*
 * Waits until a device has something, or the deadline passes: how many events were
 * written, up to `events_max`; 0: the deadline passed; -EINTR: a signal handler ran.
 */
OTR_API int otr_guest_wait(struct otr_guest *guest, struct otr_guest_event *events,
			   unsigned events_max, uint64_t deadline_ns);

/* As otr_net_set_polling(). */
OTR_API void otr_guest_set_polling(struct otr_guest *guest, uint64_t polling_max_ns);

/*
 * For programs with an event loop of their own. Before it sleeps: otr_guest_arm(); 1:
 * something is there already, do not sleep. When the descriptor is readable, or the loop
 * woke for another reason: otr_guest_wait() with deadline 0.
 */
OTR_API int otr_guest_fd(const struct otr_guest *guest);
OTR_API int otr_guest_arm(struct otr_guest *guest);

struct otr_guest_stats {
	uint64_t events; /* taken from event queues */
	uint64_t sleeps; /* times it slept */
	uint64_t wakes;  /* times it was rung */
	uint64_t shims;  /* times it was made anew, after a restart of the shim */
};
OTR_API void otr_guest_stats(const struct otr_guest *guest, struct otr_guest_stats *out);

/* ---- Events --------------------------------------------------------------- */

/*
 * Asynchronous events of the device: "link-down", "link-up", "device-reset",
 * "device-failed", "device-closed" (the shim took the device away: taken down,
 * changed or failed, or its keeper ended), "partition-protocol" (this program
 * broke the ring's rules), and whatever later shims add. Of a real adapter's function
 * also "device-lost" (it is gone, alone or with its card; the device waits for it),
 * "device-back", and "dma-fault" (the IOMMU stopped it at memory that it was not
 * given; at most one a second, its message says how many).
 *
 * Two come from the library. "shim-lost": the shim ended; frames keep flowing,
 * other events do not come. "shim-back": there is one again, and the device is
 * still this program's; what happened meanwhile was not told, so the link's state
 * follows as "link-up" or "link-down". If the device is no longer this program's,
 * "device-closed" comes instead. In between the library looks for the shim, less
 * often the longer it is away (50 ms to 2 s), and only from within otr_net_event(),
 * otr_net_wait() when it sleeps, and otr_net_disarm(); it never blocks for it, and
 * wakes a sleeper and otr_net_fd() when it is time.
 */
struct otr_event {
	char event[32];
	char message[160]; /* for people; may be "" */
};

/* Takes the next event: 1, or 0: none waits. Never blocks. */
OTR_API int otr_net_event(struct otr_net *net, struct otr_event *out);

#ifdef __cplusplus
}
#endif

#endif
