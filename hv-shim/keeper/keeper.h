/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of outrigger-keeper: one process per partition that holds what must
 * outlive the shim and the adjunct. main.c accepts connections, methods.c
 * answers org.outrigger.Keeper, store.c keeps descriptors by name, namespace.c
 * and tap.c speak to the kernel, confine.c leaves it no more than that takes.
 *
 * Thread: the program has one. Failures: -errno, and one sentence for the
 * person in `why`.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <netlink/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "varlink.h"

#define KEEPER_WHY_BYTES 320
#define KEEPER_NAME_MAX 64      /* bytes of a name, without its NUL */
#define KEEPER_NAMES_MAX 256    /* names kept at a time */
#define KEEPER_FDS_MAX 512      /* descriptors kept at a time */
#define KEEPER_ADDRESSES_MAX 32 /* of one TAP interface */
#define KEEPER_NETLINK_TIMEOUT_S 5
#define KEEPER_TUN "/dev/net/tun" /* all that is left of its file system */

/* ---- store.c: descriptors by name ---------------------------------------- */

struct store_item {
	char name[KEEPER_NAME_MAX + 1];
	int fds[VARLINK_FDS_MAX]; /* owned */
	unsigned fd_count;
};

struct store {
	struct store_item *items[KEEPER_NAMES_MAX]; /* the first `count`; owned */
	unsigned count;
	unsigned fd_count; /* of all items */
};

/* 1 to KEEPER_NAME_MAX printable ASCII characters without spaces. */
bool store_name_valid(const char *name);
const struct store_item *store_find(const struct store *store, const char *name);
/* Room for `fd_count` descriptors under `name`, counting what they replace? */
bool store_has_room(const struct store *store, const char *name, unsigned fd_count);
/*
 * Keeps the descriptors under `name`, closing those it replaces. Takes them on
 * success only. -ENOSPC: no room; -ENOMEM.
 */
int store_put(struct store *store, const char *name, const int *fds, unsigned fd_count);
/* -ENOENT: not there. */
int store_remove(struct store *store, const char *name);

/* ---- namespace.c ---------------------------------------------------------- */

/* The partition's network namespace, which this process is in once made. */
struct namespace {
	bool entered;          /* unshared, whether or not the rest succeeded */
	int user_fd;           /* -1 unless a user namespace came with it */
	int net_fd;            /* -1 until made */
	struct nl_sock *route; /* rtnetlink socket in it; NULL until made */
};

/*
 * Moves this process to namespaces of its own: network, mount, IPC and UTS, and
 * without privileges a user namespace around them. There is no way back out, so
 * a failure after the move is final: namespace_make() says so.
 */
int namespace_enter(struct namespace *namespace, char *why);
/*
 * Enters unless that was done, and sets the loopback interface up. Nothing to do
 * the second time.
 */
int namespace_make(struct namespace *namespace, char *why);

/* ---- confine.c ------------------------------------------------------------ */

/* Gives up everything but what making TAP interfaces in `namespace` takes. 0 or -errno, logged. */
int keeper_confine(const struct namespace *namespace);

/* ---- tap.c ---------------------------------------------------------------- */

struct tap_request {
	const char *ifname, *mac;
	uint32_t mtu;
	const char *addresses[KEEPER_ADDRESSES_MAX];
	unsigned address_count;
};

/*
 * Creates the interface in the current namespace, sets it up and returns its
 * descriptor (non-blocking, close-on-exec; the caller's). Nothing remains of it
 * on failure. -EINVAL: the request is wrong; -EBUSY: the name is taken.
 */
int tap_create(const struct namespace *namespace, const struct tap_request *request, char *why);
/*
 * MTU, addresses, and up, of an interface that is in the namespace; its MAC too unless that
 * is NULL. As tap_create(); -ENOENT: there is none of that name.
 */
int interface_set_up(const struct namespace *namespace, const struct tap_request *request,
		     char *why);
/* Sets a flag-up on an interface; 0 or a negative libnl error. */
int link_set_up(struct nl_sock *route, const char *ifname);

/* ---- methods.c ------------------------------------------------------------ */

struct keeper {
	struct store store;
	struct namespace namespace;
	bool stopping;
};

/* The service to give to varlink_server_new(); context is a struct keeper. */
struct varlink_service keeper_service(struct keeper *keeper);

#endif
