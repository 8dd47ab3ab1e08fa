/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine made of files, see support.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fault.h"
#include "support.h"

/* Intel 82576: VF 0 of 01:00.0 is 01:10.0, and every second function from there on. */
const struct fake_pf fake_82576 = {
	.address = "0000:01:00.0", .ifname = "enp1s0f0", .driver = "igb", .vf_driver = "igbvf",
	.vendor = 0x8086, .device = 0x10c9, .vf_device = 0x10ca, .total = 7, .offset = 128,
	.stride = 2, .group = 10,
};
const struct fake_pf fake_82599 = {
	.address = "0000:04:00.1", .ifname = "enp4s0f1", .driver = "ixgbe", .vf_driver = "ixgbevf",
	.vendor = 0x8086, .device = 0x10fb, .vf_device = 0x10ed, .total = 63, .offset = 128,
	.stride = 2, .group = 100,
};
const struct fake_pf fake_x710 = {
	.address = "0000:3b:00.1", .ifname = "ens1f1", .driver = "i40e", .vf_driver = "iavf",
	.vendor = 0x8086, .device = 0x1572, .vf_device = 0x154c, .total = 64, .offset = 79,
	.stride = 1, .group = 200, .devlink = true, .firmware = "9.20",
};
const struct fake_pf fake_e810 = {
	.address = "0000:17:00.0", .ifname = "ens2f0", .driver = "ice", .vf_driver = "iavf",
	.vendor = 0x8086, .device = 0x1592, .vf_device = 0x1889, .total = 256, .offset = 8,
	.stride = 1, .group = 300, .devlink = true, .firmware = "4.40",
	.eswitch = VF_ESWITCH_LEGACY, .msix = true, .serial = "b4-96-91-ff-ff-a5-12-34",
};
const struct fake_pf fake_cx6 = {
	.address = "0000:5e:00.0", .ifname = "ens3f0np0", .driver = "mlx5_core",
	.vf_driver = "mlx5_core", .vendor = 0x15b3, .device = 0x101d, .vf_device = 0x101e,
	.total = 16, .offset = 2, .stride = 1, .group = 700, .devlink = true,
	.firmware = "22.36.1010", .eswitch = VF_ESWITCH_LEGACY, .msix = true,
};

/* ---- Files --------------------------------------------------------------------------------- */

static void make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		cr_assert(!mkdir(path, 0755) || errno == EEXIST, "%s: %s", path, strerror(errno));
		*slash = '/';
	}
}

#define PATH(fake, path, format)                                                          \
	do {                                                                              \
		char below_[PATH_MAX / 2];                                                \
		va_list arguments_;                                                       \
		va_start(arguments_, format);                                             \
		vsnprintf(below_, sizeof(below_), format, arguments_);                    \
		va_end(arguments_);                                                       \
		cr_assert(snprintf(path, sizeof(path), "%s%s", (fake)->host.root, below_) < \
			  (int)sizeof(path));                                             \
	} while (0)

static void put_bytes(char *path, const void *bytes, size_t count)
{
	make_folders(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	cr_assert(fd >= 0 && write(fd, bytes, count) == (ssize_t)count, "%s: %s", path,
		  strerror(errno));
	close(fd);
}

void fake_put(struct fake *fake, const char *text, const char *format, ...)
{
	char path[PATH_MAX];

	PATH(fake, path, format);
	put_bytes(path, text, strlen(text));
}

void fake_link(struct fake *fake, const char *target, const char *format, ...)
{
	char path[PATH_MAX];

	PATH(fake, path, format);
	make_folders(path);
	unlink(path);
	cr_assert(!symlink(target, path), "%s: %s", path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
	(void)status, (void)kind, (void)ftw;
	return remove(path);
}

void fake_remove(struct fake *fake, const char *format, ...)
{
	char path[PATH_MAX];

	PATH(fake, path, format);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define DEVICE "/sys/bus/pci/devices/%s"

/* ---- What Linux does ------------------------------------------------------------------------- */

/* Config space: MSI-X with `vectors`, a serial number if there is one, SR-IOV for a PF. */
static void put_config(struct fake *fake, const char *address, const struct fake_pf *pf,
		       bool is_pf, unsigned vectors)
{
	uint8_t c[4096] = {[0x06] = 0x10, [0x34] = 0x70, [0x70] = 0x11, [0x71] = 0x80,
			   [0x80] = 0x10}; /* MSI-X, then PCI Express */
	unsigned device = is_pf ? pf->device : pf->vf_device;
	char path[PATH_MAX];

	c[0] = (uint8_t)pf->vendor, c[1] = (uint8_t)(pf->vendor >> 8);
	c[2] = (uint8_t)device, c[3] = (uint8_t)(device >> 8);
	c[0x72] = (uint8_t)(vectors - 1), c[0x73] = (uint8_t)((vectors - 1) >> 8);
	c[0x100] = 0x03, c[0x102] = 0x01;
	for (int i = 0; is_pf && pf->serial && i < 8; i++)
		c[0x104 + 7 - i] = (uint8_t)strtoul(pf->serial + 3 * i, NULL, 16);
	if (is_pf && !pf->serial)
		c[0x100] = 0x10; /* SR-IOV */
	if (!is_pf)
		memset(c + 0x100, 0, 4);
	cr_assert_eq(vf_path(&fake->host, path, DEVICE "/config", address), 0);
	put_bytes(path, c, sizeof(c));
}

static void put_group(struct fake *fake, const char *address, int group)
{
	char target[64];

	snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%d", group);
	fake_link(fake, target, DEVICE "/iommu_group", address);
	fake_put(fake, "", "/sys/kernel/iommu_groups/%d/devices/%s", group, address);
}

int fake_ifindex(const char *address)
{
	struct vf_address at;

	cr_assert_eq(vf_address_parse(address, &at), 0);
	return 1 + (int)(at.domain << 16 | at.bus << 8 | at.slot << 3 | at.function);
}

static void put_netdev(struct fake *fake, const char *address, const char *ifname,
		       const char *mac, bool up, bool carrier)
{
	char ifindex[16];

	snprintf(ifindex, sizeof(ifindex), "%d\n", fake_ifindex(address));
	for (int i = 0; i < 2; i++) {
		char base[PATH_MAX / 4];

		if (i)
			snprintf(base, sizeof(base), "/sys/class/net/%s", ifname);
		else
			snprintf(base, sizeof(base), DEVICE "/net/%s", address, ifname);
		fake_put(fake, mac, "%s/address", base);
		fake_put(fake, up ? "0x1003\n" : "0x1002\n", "%s/flags", base);
		fake_put(fake, carrier ? "1\n" : "0\n", "%s/carrier", base);
		fake_put(fake, "0\n", "%s/addr_assign_type", base);
		fake_put(fake, "10000\n", "%s/speed", base);
		fake_put(fake, ifindex, "%s/ifindex", base);
	}
}

static void bind_driver(struct fake *fake, const char *address, const char *driver)
{
	char target[64], ifname[VF_IFNAME_BYTES];
	unsigned domain, bus, slot, function;

	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", driver);
	fake_link(fake, target, DEVICE "/driver", address);
	if (!strcmp(driver, "vfio-pci"))
		return;
	cr_assert_eq(sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function), 4);
	snprintf(ifname, sizeof(ifname), "enp%us%uf%u", bus & 255, slot & 31, function & 7);
	put_netdev(fake, address, ifname, "02:00:00:00:00:99\n", false, false);
}

static bool driver_there(struct fake *fake, const char *driver)
{
	return vf_exists(&fake->host, "/sys/bus/pci/drivers/%s", driver);
}

static void vf_address_text(const struct fake_pf *pf, unsigned index, char out[VF_ADDRESS_BYTES])
{
	struct vf_address at;

	cr_assert_eq(vf_address_parse(pf->address, &at), 0);
	at = vf_address_of(&at, pf->offset, pf->stride, index);
	vf_address_format(&at, out);
}

static void make_vf(struct fake *fake, struct fake_pf *pf, unsigned index)
{
	char address[VF_ADDRESS_BYTES], target[64];

	if (index && index == pf->gap)
		return;
	vf_address_text(pf, index, address);
	fake_put(fake, "0x020000\n", DEVICE "/class", address);
	fake_put(fake, "\n", DEVICE "/driver_override", address);
	fake_put(fake, "", DEVICE "/reset", address);
	put_config(fake, address, pf, false, 3);
	if (pf->group >= 0)
		put_group(fake, address, pf->group + 1 + (int)index);
	snprintf(target, sizeof(target), "../%s", pf->address);
	fake_link(fake, target, DEVICE "/physfn", address);
	pf->settings[index] = (struct vf_settings){
		.given = VF_BIT(VF_MAC) | VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) | VF_BIT(VF_PROTO) |
			 VF_BIT(VF_SPOOFCHK) | VF_BIT(VF_TRUST) | VF_BIT(VF_STATE) |
			 VF_BIT(VF_MIN_TX_RATE) | VF_BIT(VF_MAX_TX_RATE),
		.spoofchk = true,
	};
	if (vf_read_number(&fake->host, 1, DEVICE "/sriov_drivers_autoprobe", pf->address) &&
	    driver_there(fake, pf->vf_driver))
		bind_driver(fake, address, pf->vf_driver);
	/* The link is last: it is what says that the VF is there. */
	snprintf(target, sizeof(target), "../%s", address);
	fake_link(fake, target, DEVICE "/virtfn%u", pf->address, index);
}

static void remove_vf(struct fake *fake, const struct fake_pf *pf, unsigned index)
{
	char address[VF_ADDRESS_BYTES];

	vf_address_text(pf, index, address);
	fake_remove(fake, DEVICE "/virtfn%u", pf->address, index);
	fake_remove(fake, DEVICE, address);
}

static void rename_folder(struct fake *fake, const char *folder, const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];

	cr_assert_eq(vf_path(&fake->host, old, "%s/%s", folder, from), 0);
	cr_assert_eq(vf_path(&fake->host, new, "%s/%s", folder, to), 0);
	cr_assert(!rename(old, new), "%s: %s", old, strerror(errno));
}

void fake_rename(struct fake *fake, struct fake_pf *pf, const char *ifname)
{
	char folder[64];

	snprintf(folder, sizeof(folder), DEVICE "/net", pf->address);
	rename_folder(fake, folder, pf->ifname, ifname);
	rename_folder(fake, "/sys/class/net", pf->ifname, ifname);
	pf->ifname = ifname;
}

static void rename_if_due(struct fake *fake, const char *operation)
{
	if (!fake->rename_at || !strstr(operation, fake->rename_at))
		return;
	fake->rename_at = NULL;
	fake_rename(fake, fake->pfs[0], fake->rename_to);
}

struct late {
	struct fake *fake;
	struct fake_pf *pf;
	unsigned count;
};

static void *make_late(void *data)
{
	struct late *late = data;

	usleep(30000); /* the manager must wait, however long this takes */
	for (unsigned i = 0; i < late->count; i++)
		make_vf(late->fake, late->pf, i);
	usleep(300000); /* and again: the adapter's own reset is over last, as with igb */
	rename_if_due(late->fake, "link");
	fake_put(late->fake, "1\n", DEVICE "/net/%s/carrier", late->pf->address, late->pf->ifname);
	free(late);
	return NULL;
}

static int set_numvfs(struct fake *fake, struct fake_pf *pf, unsigned wanted)
{
	unsigned now =
		(unsigned)vf_read_number(&fake->host, 0, DEVICE "/sriov_numvfs", pf->address);
	char text[16];
	pthread_t thread;

	if (now && wanted)
		return -EBUSY;
	if (wanted > pf->total)
		return -ERANGE;
	snprintf(text, sizeof(text), "%u\n", wanted);
	fake_put(fake, text, DEVICE "/sriov_numvfs", pf->address);
	for (unsigned i = 0; i < now; i++)
		remove_vf(fake, pf, i);
	wanted -= wanted ? pf->come_less : 0;
	if (pf->come_late && wanted) {
		struct late *late = malloc(sizeof(*late));

		cr_assert(late);
		*late = (struct late){fake, pf, wanted};
		fake_put(fake, "0\n", DEVICE "/net/%s/carrier", pf->address, pf->ifname);
		cr_assert_eq(pthread_create(&thread, NULL, make_late, late), 0);
		pthread_detach(thread);
		return 0;
	}
	for (unsigned i = 0; i < wanted; i++)
		make_vf(fake, pf, i);
	return 0;
}

static int probe(struct fake *fake, const char *address)
{
	char driver[VF_NAME_BYTES] = "";
	struct vf_address at;

	if (vf_exists(&fake->host, DEVICE "/driver", address))
		return 0;
	vf_read(&fake->host, driver, sizeof(driver), DEVICE "/driver_override", address);
	for (unsigned i = 0; i < fake->pf_count && !driver[0]; i++)
		for (unsigned v = 0; v < fake->pfs[i]->total; v++) {
			char name[VF_ADDRESS_BYTES];

			vf_address_text(fake->pfs[i], v, name);
			if (!strcmp(name, address))
				strcpy(driver, fake->pfs[i]->vf_driver);
		}
	cr_assert_eq(vf_address_parse(address, &at), 0, "probe of '%s'", address);
	if (driver_there(fake, driver))
		bind_driver(fake, address, driver);
	return 0;
}

static int unbind(struct fake *fake, const char *driver, const char *address)
{
	char now[VF_NAME_BYTES], ifname[VF_IFNAME_BYTES];

	vf_read_link(&fake->host, now, sizeof(now), DEVICE "/driver", address);
	if (strcmp(now, driver))
		return -ENODEV;
	fake_remove(fake, DEVICE "/driver", address);
	vf_first_entry(&fake->host, ifname, sizeof(ifname), DEVICE "/net", address);
	fake_remove(fake, DEVICE "/net", address);
	if (ifname[0])
		fake_remove(fake, "/sys/class/net/%s", ifname);
	return 0;
}

static int set_msix(struct fake *fake, const char *address, const char *text)
{
	for (unsigned i = 0; i < fake->pf_count; i++)
		for (unsigned v = 0; v < fake->pfs[i]->total; v++) {
			char name[VF_ADDRESS_BYTES];

			vf_address_text(fake->pfs[i], v, name);
			if (strcmp(name, address))
				continue;
			if (vf_exists(&fake->host, DEVICE "/driver", address))
				return -EBUSY;
			put_config(fake, address, fake->pfs[i], false,
				   (unsigned)strtoul(text, NULL, 10));
			return 0;
		}
	return -ENOENT;
}

bool fake_dies(struct fake *fake)
{
	if (!fake->die_at || ++fake->points != fake->die_at)
		return false;
	fake->on_death();
	return true;
}

static int refused(struct fake *fake, const char *format, ...) PRINTF(2, 3);
static int refused(struct fake *fake, const char *format, ...)
{
	size_t used = strlen(fake->log);
	char line[160];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (fake_dies(fake))
		_exit(9);
	rename_if_due(fake, line);
	fake->operations++;
	snprintf(fake->log + used, sizeof(fake->log) - used, "%s\n", line);
	if (fake->operations == fake->refuse_at)
		return fake->refuse_error;
	if (!fake->refuse || !strstr(line, fake->refuse))
		return 0;
	if (fake->refuse_times && !--fake->refuse_times)
		fake->refuse = NULL;
	return fake->refuse_error;
}

static struct fake_pf *pf_by(struct fake *fake, const char *address)
{
	for (unsigned i = 0; i < fake->pf_count; i++)
		if (!strcmp(fake->pfs[i]->address, address))
			return fake->pfs[i];
	return NULL;
}

static struct fake_pf *pf_by_ifindex(struct fake *fake, int ifindex)
{
	for (unsigned i = 0; i < fake->pf_count; i++)
		if (fake_ifindex(fake->pfs[i]->address) == ifindex)
			return fake->pfs[i];
	return NULL;
}

static const char *ifname_of(const struct fake_pf *pf)
{
	return pf ? pf->ifname : "none";
}

static int write_held(void *data, const char *path, const char *text)
{
	static const char devices[] = "/sys/bus/pci/devices/", drivers[] = "/sys/bus/pci/drivers/";
	struct fake *fake = data;
	const char *below = path + strlen(fake->host.root);
	char owner[64], attribute[64], word[64];
	int error;

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, "\n"), text);
	error = refused(fake, "write %s %s", below + strlen("/sys/bus/pci/"), word);
	if (error)
		return error;
	if (!strcmp(below, "/sys/bus/pci/drivers_probe"))
		return probe(fake, word);
	if (!strncmp(below, drivers, strlen(drivers)) &&
	    sscanf(below + strlen(drivers), "%63[^/]/%63s", owner, attribute) == 2 &&
	    !strcmp(attribute, "unbind"))
		return unbind(fake, owner, word);
	cr_assert(!strncmp(below, devices, strlen(devices)), "%s", below);
	cr_assert_eq(sscanf(below + strlen(devices), "%63[^/]/%63s", owner, attribute), 2);
	if (!strcmp(attribute, "sriov_numvfs"))
		return set_numvfs(fake, pf_by(fake, owner),
				  (unsigned)strtoul(word, NULL, 10));
	if (!strcmp(attribute, "sriov_vf_msix_count"))
		return set_msix(fake, owner, word);
	fake->resets += !strcmp(attribute, "reset");
	if (!vf_exists(&fake->host, DEVICE "/%s", owner, attribute))
		return -ENOENT;
	fake_put(fake, text, DEVICE "/%s", owner, attribute);
	return 0;
}

/* What the kernel itself does has its memory. */
static int kernel_write(void *data, const char *path, const char *text)
{
	fault_hold(true);
	int error = write_held(data, path, text);
	fault_hold(false);
	return error;
}

static int kernel_link_up(void *data, int ifindex)
{
	struct fake *fake = data;
	struct fake_pf *pf = pf_by_ifindex(fake, ifindex);
	int error = refused(fake, "up %s", ifname_of(pf));

	if (error || !pf)
		return error ? error : -ENODEV;
	fault_hold(true);
	put_netdev(fake, pf->address, pf->ifname, "a0:36:9f:00:00:01\n", true, !pf->no_carrier_ever);
	fault_hold(false);
	return 0;
}

static int kernel_get(void *data, int ifindex, struct vf_settings *settings, unsigned max)
{
	const struct fake_pf *pf = pf_by_ifindex(data, ifindex);

	for (unsigned i = 0; pf && i < max; i++)
		settings[i] = pf->settings[i];
	return pf ? 0 : -ENODEV;
}

static int kernel_set(void *data, int ifindex, unsigned index, unsigned keys,
		      const struct vf_settings *from)
{
	struct fake *fake = data;
	struct fake_pf *pf = pf_by_ifindex(fake, ifindex);
	struct vf_settings *to = pf ? &pf->settings[index] : NULL;
	int error = refused(fake, "set %s vf %u keys %x", ifname_of(pf), index, keys);

	if (error || !to)
		return error ? error : -ENODEV;
	/* As igb refuses rates. */
	if (!vf_read_number(&fake->host, 0, DEVICE "/net/%s/carrier", pf->address, pf->ifname))
		return -EINVAL;
	if (keys & VF_BIT(VF_MAC))
		memcpy(to->mac, from->mac, 6);
	if (keys & (VF_BIT(VF_VLAN) | VF_BIT(VF_QOS) | VF_BIT(VF_PROTO))) {
		to->vlan = from->vlan;
		to->qos = from->qos;
		to->proto = from->proto;
	}
	if (keys & VF_BIT(VF_SPOOFCHK))
		to->spoofchk = from->spoofchk;
	if (keys & VF_BIT(VF_TRUST))
		to->trust = from->trust;
	if (keys & VF_BIT(VF_STATE))
		to->state = from->state;
	if (keys & (VF_BIT(VF_MIN_TX_RATE) | VF_BIT(VF_MAX_TX_RATE))) {
		to->min_tx_rate = from->min_tx_rate;
		to->max_tx_rate = from->max_tx_rate;
	}
	return 0;
}

static int kernel_devlink(void *data, const char *address, struct vf_devlink *out)
{
	const struct fake_pf *pf = pf_by(data, address);

	if (!pf || !pf->devlink)
		return -EOPNOTSUPP;
	snprintf(out->firmware, sizeof(out->firmware), "%s", pf->firmware);
	out->eswitch = pf->eswitch;
	return 0;
}

/* As ice: only while there are no VFs. */
static int kernel_eswitch(void *data, const char *address, enum vf_eswitch mode)
{
	struct fake *fake = data;
	struct fake_pf *pf = pf_by(fake, address);
	int error = refused(fake, "eswitch %s %s", address, vf_eswitch_names[mode]);

	if (error || !pf)
		return error ? error : -ENODEV;
	if (vf_read_number(&fake->host, 0, DEVICE "/sriov_numvfs", address))
		return -EBUSY;
	pf->eswitch = mode;
	return 0;
}

/* Out of sight, as in another namespace. */
static int kernel_move(void *data, int ifindex, int netns_fd, const char *name)
{
	const unsigned at = (unsigned)ifindex - 1;
	const struct vf_address function = {at >> 16, (uint8_t)(at >> 8), at >> 3 & 31, at & 7};
	char address[VF_ADDRESS_BYTES], ifname[VF_IFNAME_BYTES];
	struct fake *fake = data;

	vf_address_format(&function, address);
	vf_first_entry(&fake->host, ifname, sizeof(ifname), DEVICE "/net", address);
	int error = refused(fake, "move %s to %d as %s", ifname, netns_fd, name);
	if (error)
		return error;
	fake_remove(fake, DEVICE "/net", address);
	fake_remove(fake, "/sys/class/net/%s", ifname);
	return 0;
}

static int kernel_group_free(void *data, int group)
{
	const struct fake *fake = data;

	return group == fake->busy_group ? -EBUSY : 0;
}

static int kernel_group_give(void *data, int group, uid_t uid)
{
	return refused(data, "give group %d to %u", group, uid);
}

/* ---- The machine ------------------------------------------------------------------------- */

void fake_open(struct fake *fake)
{
	static const char *const drivers[] = {"igb", "igbvf", "ixgbe", "ixgbevf", "i40e", "ice",
					      "iavf", "mlx5_core", "vfio-pci"};
	char folder[] = "/dev/shm/otr-vf.XXXXXX", on_disk[] = "/tmp/otr-vf.XXXXXX";

	*fake = (struct fake){0};
	/* In memory where that is possible: each record is synced, which a disk takes its time for. */
	if (!mkdtemp(folder)) {
		cr_assert(mkdtemp(on_disk));
		snprintf(folder, sizeof(folder), "%s", on_disk);
	}
	snprintf(fake->host.root, sizeof(fake->host.root), "%s/root", folder);
	snprintf(fake->host.state, sizeof(fake->host.state), "%s/state/vf", folder);
	fake->kernel = (struct vf_kernel){fake, kernel_write, kernel_link_up, kernel_get,
					  kernel_set, kernel_devlink, kernel_eswitch,
					  kernel_move, kernel_group_free, kernel_group_give};
	fake->host.kernel = &fake->kernel;
	fake->host.wait_ns = UINT64_C(20000000000);
	for (unsigned i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		fake_put(fake, "", "/sys/bus/pci/drivers/%s/bind", drivers[i]);
	fake_put(fake, "", "/sys/bus/pci/devices/0000:00:00.0/config");
	fake_put(fake, "0x060000\n", "/sys/bus/pci/devices/0000:00:00.0/class");
	fake_put(fake, "", "/sys/class/iommu/dmar0/x");
	fake_put(fake, "256\n", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	fake_put(fake, "", "/sys/module/rdma_rxe/x");
	fake_put(fake, "1\n", "/proc/1/comm");
}

void fake_close(struct fake *fake)
{
	vf_host_clear(&fake->host);
	char *end = strrchr(fake->host.root, '/');
	*end = '\0';
	nftw(fake->host.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	for (unsigned i = 0; i < fake->pf_count; i++)
		munmap(fake->pfs[i], sizeof(*fake->pfs[i]));
}

static void put_number(struct fake *fake, const char *address, const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u\n", value);
	fake_put(fake, text, DEVICE "/%s", address, name);
}

static void put_ids(struct fake *fake, const struct fake_pf *pf)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%04x\n", pf->vendor);
	fake_put(fake, text, DEVICE "/vendor", pf->address);
	snprintf(text, sizeof(text), "0x%04x\n", pf->device);
	fake_put(fake, text, DEVICE "/device", pf->address);
	snprintf(text, sizeof(text), "%x\n", pf->vf_device); /* this one without 0x */
	fake_put(fake, text, DEVICE "/sriov_vf_device", pf->address);
}

struct fake_pf *fake_add(struct fake *fake, const struct fake_pf *shape)
{
	/* Shared: what a child of the test does to the adapter is done. */
	struct fake_pf *pf = mmap(NULL, sizeof(*pf), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *at = shape->address;

	cr_assert(pf != MAP_FAILED && fake->pf_count < FAKE_PFS_MAX);
	*pf = *shape;
	fake->pfs[fake->pf_count++] = pf;
	put_ids(fake, pf);
	put_number(fake, at, "sriov_totalvfs", pf->total);
	put_number(fake, at, "sriov_numvfs", 0);
	put_number(fake, at, "sriov_offset", pf->offset);
	put_number(fake, at, "sriov_stride", pf->stride);
	put_number(fake, at, "sriov_drivers_autoprobe", 1);
	if (pf->msix)
		put_number(fake, at, "sriov_vf_total_msix", 1024);
	fake_put(fake, "0x020000\n", DEVICE "/class", at);
	fake_put(fake, "1\n", DEVICE "/numa_node", at);
	fake_put(fake, "(null)\n", DEVICE "/driver_override", at);
	put_config(fake, at, pf, true, 64);
	put_group(fake, at, pf->group);
	bind_driver(fake, at, pf->driver);
	fake_remove(fake, DEVICE "/net", at);
	put_netdev(fake, at, pf->ifname, "a0:36:9f:00:00:01\n", !pf->no_link, !pf->no_link);
	return pf;
}

void fake_make_vfs(struct fake *fake, struct fake_pf *pf, unsigned count)
{
	cr_assert_eq(set_numvfs(fake, pf, count), 0);
}

void fake_look(struct fake *fake, unsigned look)
{
	cr_assert_eq(vf_discover(&fake->host, look), 0, "%s", fake->host.reason);
}

unsigned fake_logged(const struct fake *fake, const char *text)
{
	unsigned count = 0;

	for (const char *at = fake->log; (at = strstr(at, text)); at++)
		count++;
	return count;
}

long fake_logged_at(const struct fake *fake, const char *text)
{
	const char *at = strstr(fake->log, text);

	return at ? at - fake->log : -1;
}
