/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network interface of a function. It is looked for by its function, and spoken of to
 * the kernel by its number, which stays: its name may change between any two steps of
 * ours, as udev renames each interface some seconds into a boot, and people do at any
 * time. Called by discover.c and by whoever waits for a link, on their thread.
 */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "vf_internal.h"

/* So many names in a row that another has taken the place of before we were done with them:
 * then it has none. */
#define NAMES_MAX 10

/* "pf0vf3", with a controller's "c1" before it or not: a representor's port name. */
static bool representor_parse(const char *text, unsigned *pf, unsigned *vf)
{
	unsigned controller;
	char end;

	return sscanf(text, "pf%uvf%u%c", pf, vf, &end) == 2 ||
	       sscanf(text, "c%upf%uvf%u%c", &controller, pf, vf, &end) == 3;
}

bool vf_is_representor(const struct vf_host *host, const char *ifname, unsigned *pf, unsigned *vf)
{
	char port[40];

	return !vf_read(host, port, sizeof(port), "/sys/class/net/%s/phys_port_name", ifname) &&
	       representor_parse(port, pf, vf);
}

/* In switchdev mode a PF's folder lists the representors, too. */
static void look_name(const struct vf_host *host, struct vf_function *f)
{
	unsigned pf, vf;
	const char *entry;

	vf_first_entry(host, f->ifname, sizeof(f->ifname), VF_DEVICE "/net", f->name);
	if (f->is_vf || !f->ifname[0] || !vf_is_representor(host, f->ifname, &pf, &vf))
		return;
	f->ifname[0] = '\0';
	DIR *folder = vf_open_folder(host, VF_DEVICE "/net", f->name);
	while ((entry = vf_next_entry(folder)))
		if (vf_word_valid(entry) && strlen(entry) < sizeof(f->ifname) &&
		    !vf_is_representor(host, entry, &pf, &vf))
			strcpy(f->ifname, entry);
}

static int64_t number(const struct vf_host *host, const struct vf_function *f, int64_t fallback,
		      const char *attribute)
{
	return vf_read_number(host, fallback, VF_DEVICE "/net/%s/%s", f->name, f->ifname,
			      attribute);
}

static void read_attributes(const struct vf_host *host, struct vf_function *f)
{
	uint8_t *m = f->mac;
	char text[32];

	if (vf_read(host, text, sizeof(text), VF_DEVICE "/net/%s/address", f->name, f->ifname) ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &m[0], &m[1], &m[2], &m[3], &m[4],
		   &m[5]) != 6)
		memset(m, 0, sizeof(f->mac));
	f->up = number(host, f, 0, "flags") & IFF_UP;
	f->carrier = f->up && number(host, f, 0, "carrier") == 1;
	f->mac_permanent = !f->is_vf && number(host, f, 1, "addr_assign_type") == 0;
	int64_t ifindex = number(host, f, 0, "ifindex");
	f->ifindex = ifindex > 0 && ifindex <= INT_MAX ? (int)ifindex : 0;
}

void vf_look_interface(const struct vf_host *host, struct vf_function *f)
{
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		look_name(host, f);
		if (!f->ifname[0])
			break;
		read_attributes(host, f);
		/* The number came last: all was read of this one. A recorded tree may lack it. */
		if (f->ifindex || vf_exists(host, VF_DEVICE "/net/%s", f->name, f->ifname))
			return;
	}
	f->ifname[0] = '\0';
	f->ifindex = 0;
	f->up = f->carrier = f->mac_permanent = false;
	memset(f->mac, 0, sizeof(f->mac));
}
