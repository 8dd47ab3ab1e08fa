/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TAP interfaces: creation by ioctl (kernel: Documentation/networking/tuntap),
 * everything else by rtnetlink, through libnl-route. Called by methods.c, in the
 * partition's namespace. libnl's error numbers stay in this file and
 * namespace.c: `why` carries their text, callers see -errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "keeper.h"

#define MTU_MIN 68     /* IPv4's smallest, RFC 791 */
#define MTU_MAX 65521u /* the kernel's for TAP: 65535 less an Ethernet header */

/* The kernel's own rule (dev_valid_name), and no '%': it would be a template. */
static bool ifname_valid(const char *ifname)
{
	size_t length = strlen(ifname);

	if (length == 0 || length >= IFNAMSIZ || !strcmp(ifname, ".") || !strcmp(ifname, ".."))
		return false;
	for (const char *c = ifname; *c; c++) {
		if (*c <= ' ' || *c > '~' || *c == '/' || *c == ':' || *c == '%')
			return false;
	}
	return true;
}

/* Sends one change of the interface `index`. */
static int change_link(struct nl_sock *route, int index, struct rtnl_link *change)
{
	struct rtnl_link *original = rtnl_link_alloc();

	if (!original)
		return -NLE_NOMEM;
	rtnl_link_set_ifindex(original, index);
	int error = rtnl_link_change(route, original, change, 0);
	rtnl_link_put(original);
	return error;
}

int link_set_up(struct nl_sock *route, const char *ifname)
{
	unsigned index = if_nametoindex(ifname);
	struct rtnl_link *change = index ? rtnl_link_alloc() : NULL;

	if (!change)
		return index ? -NLE_NOMEM : -NLE_OBJ_NOTFOUND;
	rtnl_link_set_flags(change, IFF_UP);
	int error = change_link(route, (int)index, change);
	rtnl_link_put(change);
	return error;
}

static int set_mac_and_mtu(struct nl_sock *route, int index, const struct tap_request *request,
			   char *why)
{
	struct nl_addr *mac = NULL;
	struct rtnl_link *change = NULL;
	int error = -EINVAL;

	/* A function's own interface has its MAC from its adapter. */
	if (request->mac && (nl_addr_parse(request->mac, AF_LLC, &mac) || nl_addr_get_len(mac) != 6 ||
	    (*(const uint8_t *)nl_addr_get_binary_addr(mac) & 1))) {
		snprintf(why, KEEPER_WHY_BYTES, "'%.32s' is not a unicast MAC address",
			 request->mac);
		goto out;
	}
	error = -ENOMEM;
	change = rtnl_link_alloc();
	if (!change) {
		snprintf(why, KEEPER_WHY_BYTES, "out of memory");
		goto out;
	}
	if (mac)
		rtnl_link_set_addr(change, mac);
	rtnl_link_set_mtu(change, request->mtu);
	error = change_link(route, index, change);
	if (error) {
		snprintf(why, KEEPER_WHY_BYTES, "cannot give %s %s%s%sMTU %u: %s", request->ifname,
			 mac ? "the MAC " : "", mac ? request->mac : "", mac ? " and " : "",
			 request->mtu, nl_geterror(error));
		error = -EIO;
	}
out:
	if (change)
		rtnl_link_put(change);
	if (mac)
		nl_addr_put(mac);
	return error;
}

/*
 * Adds one address. IPv6 duplicate address detection is left out for it: the
 * document gives each address to one device, and the address must be usable as
 * soon as the interface is up.
 */
static int add_address(struct nl_sock *route, int index, const char *text, char *why)
{
	struct nl_addr *local = NULL;
	struct rtnl_addr *address = NULL;
	int error = -EINVAL;

	if (nl_addr_parse(text, AF_UNSPEC, &local) || nl_addr_get_len(local) == 0 ||
	    (nl_addr_get_family(local) != AF_INET && nl_addr_get_family(local) != AF_INET6)) {
		snprintf(why, KEEPER_WHY_BYTES, "'%.64s' is not an address such as 10.0.0.1/24",
			 text);
		goto out;
	}
	address = rtnl_addr_alloc();
	if (!address || rtnl_addr_set_local(address, local)) {
		error = -ENOMEM;
		snprintf(why, KEEPER_WHY_BYTES, "out of memory");
		goto out;
	}
	rtnl_addr_set_ifindex(address, index);
	if (nl_addr_get_family(local) == AF_INET6)
		rtnl_addr_set_flags(address, IFA_F_NODAD);
	error = rtnl_addr_add(route, address, 0);
	if (error) {
		snprintf(why, KEEPER_WHY_BYTES, "cannot add address %s: %s", text,
			 nl_geterror(error));
		error = error == -NLE_EXIST ? -EEXIST : -EIO;
	}
out:
	if (address)
		rtnl_addr_put(address);
	if (local)
		nl_addr_put(local);
	return error;
}

/* Opens the interface: the descriptor, or -errno with `why`. */
static int open_tap(const char *ifname, char *why)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open(KEEPER_TUN, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		int error = -errno;
		snprintf(why, KEEPER_WHY_BYTES, "cannot open " KEEPER_TUN ": %s%s", strerror(-error),
			 error == -EACCES   ? "; run as root or permit the device file"
			 : error == -ENOENT ? "; load the kernel module tun (modprobe tun), and "
					      "take the partition down and up again"
					    : "");
		return error;
	}
	memcpy(request.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, TUNSETIFF, &request)) {
		int error = -errno;
		snprintf(why, KEEPER_WHY_BYTES, "cannot create TAP interface %s: %s", ifname,
			 strerror(-error));
		close(fd);
		return error;
	}
	return fd;
}

static int check_request(const struct tap_request *request, char *why)
{
	if (!ifname_valid(request->ifname)) {
		snprintf(why, KEEPER_WHY_BYTES, "'%.32s' is not an interface name",
			 request->ifname);
		return -EINVAL;
	}
	if (request->mtu < MTU_MIN || request->mtu > MTU_MAX) {
		snprintf(why, KEEPER_WHY_BYTES, "MTU %u is not within %d and %u", request->mtu,
			 MTU_MIN, MTU_MAX);
		return -EINVAL;
	}
	return 0;
}

int interface_set_up(const struct namespace *namespace, const struct tap_request *request,
		     char *why)
{
	int error = check_request(request, why);
	int index = error ? 0 : (int)if_nametoindex(request->ifname);

	if (!error && !index) {
		snprintf(why, KEEPER_WHY_BYTES, "the namespace has no interface %s", request->ifname);
		error = -ENOENT;
	}
	if (!error)
		error = set_mac_and_mtu(namespace->route, index, request, why);
	for (unsigned i = 0; !error && i < request->address_count; i++)
		error = add_address(namespace->route, index, request->addresses[i], why);
	int nl_error = error ? 0 : link_set_up(namespace->route, request->ifname);
	if (nl_error) {
		snprintf(why, KEEPER_WHY_BYTES, "cannot set %s up: %s", request->ifname,
			 nl_geterror(nl_error));
		error = -EIO;
	}
	return error;
}

int tap_create(const struct namespace *namespace, const struct tap_request *request, char *why)
{
	int error = check_request(request, why);

	if (error)
		return error;
	if (if_nametoindex(request->ifname)) {
		snprintf(why, KEEPER_WHY_BYTES, "the namespace has an interface %s already",
			 request->ifname);
		return -EBUSY;
	}
	int fd = open_tap(request->ifname, why);
	if (fd < 0)
		return fd;

	error = interface_set_up(namespace, request, why);
	if (error) {
		close(fd); /* the interface goes with its descriptor */
		return error;
	}
	return fd;
}
