/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim keeps of root's rights: the table below, and nothing else, for
 * itself and for all that it ever starts. SECURITY.md and the systemd unit say the
 * same, and tests/e2e/privileges.sh compares the three with what runs: who needs
 * another capability adds it in all of them. Called by main.c on the only thread,
 * before anything but the options and the manifests of images is read.
 */
#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"

/* Partitions' keepers and adapters have connections, devices sessions. */
#define DESCRIPTORS_MAX 65536

#define CAPABILITY(name) .number = name, .text = #name

/*
 * A child's capabilities are those of ours that it executes with, so what only a
 * child needs must be here too; it is not in force in the shim (`own`), and each
 * child gives up what it does not need (runtime/confine.c, keeper/confine.c,
 * soft-adapter/confine.c, vf-manager/adapter/confine.c).
 */
static const struct {
	int number;
	const char *text;
	bool own;
	const char *reason; /* what fails without it */
} kept[] = {
	/* clone() into namespaces (spawn.c); in children, the way into an empty root. */
	{CAPABILITY(CAP_SYS_ADMIN), .own = true, .reason = "no adjunct or adapter can be started"},
	/* A partition's sockets become its owner's (partition.c, vhost_proxy.c), and VFIO
	 * groups (vf-manager/adapter). */
	{CAPABILITY(CAP_CHOWN), .own = true, .reason = "no partition can have an owner but root"},
	/* In keepers: TAP interfaces and their addresses; in vf-manager/adapter: settings of VFs. */
	{CAPABILITY(CAP_NET_ADMIN), .own = false, .reason = "no device of kind tap can be made"},
	/* Here before it is dropped, and in vf-manager/adapter: until the kernel's log is open,
	 * where the IOMMU's faults are; on a system that lets everybody read that, not even there. */
	{CAPABILITY(CAP_SYSLOG), .own = false, .reason = "DMA faults of functions are not told as events"},
	/* In children, and here once: taking capabilities out of the bounding set. */
	{CAPABILITY(CAP_SETPCAP), .own = false, .reason = "bounding sets stay as they are"},
};
#define KEPT (sizeof(kept) / sizeof(kept[0]))

/* A container's root has often less than the table. */
static void tell_what_is_missing(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, sets)) {
		log_warning("its capabilities cannot be read: %m");
		return;
	}
	for (size_t i = 0; i < KEPT; i++)
		if (!(sets[kept[i].number / 32].permitted & 1u << kept[i].number % 32))
			log_warning("root without %s here: %s", kept[i].text, kept[i].reason);
}

/*
 * A function by VFIO locks the memory it may reach, which its adjunct limits to what was
 * donated to it; most systems allow anyone 8 MiB. The unit file says the same; without
 * CAP_SYS_RESOURCE what there is must do.
 */
static void allow_locked_memory(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct rlimit now;

	if (setrlimit(RLIMIT_MEMLOCK, &none) && !getrlimit(RLIMIT_MEMLOCK, &now))
		log_debug("%ju bytes of memory can be locked for functions by VFIO, no more",
			  (uintmax_t)now.rlim_max);
}

int privileges_drop(bool rootless)
{
	uint64_t permitted = CONFINE_NONE, effective = CONFINE_NONE;
	int error = confine_begin();

	if (!rootless)
		allow_locked_memory();
	if (!error)
		error = confine_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
	/* Rootless, a child could not map its user namespace: it borrows our memory, and
	 * with it whose its files in /proc are. Nor would it keep our own user out. */
	if (!error && !rootless)
		error = confine_untraceable();
	for (size_t i = 0; i < KEPT && !rootless; i++) {
		permitted |= CONFINE_BIT(kept[i].number);
		effective |= kept[i].own ? CONFINE_BIT(kept[i].number) : CONFINE_NONE;
	}
	if (!error)
		error = confine_capabilities(permitted, effective);
	if (!error && !rootless)
		tell_what_is_missing();
	return error;
}
