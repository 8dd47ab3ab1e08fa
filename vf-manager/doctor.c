/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is wrong with VFs on this machine, as far as it can be seen: each check is one
 * small function that names what it found, on what, and what to do. A finding's name is
 * for programs and stays. Called by `outrigger vf doctor`, on its thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

const char *const vf_severity_names[] = {"note", "warning", "error", NULL};

void doctor_find(struct doctor *doctor, enum vf_severity severity, const char *name,
		 const char *object, const char *fix, const char *message, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, message);
	vsnprintf(text, sizeof(text), message, arguments);
	va_end(arguments);
	const struct vf_finding finding = {severity, name, object, text, fix};
	doctor->each(doctor->data, &finding);
	doctor->count++;
}

#define MACHINE "machine"

/* ---- The machine -------------------------------------------------------------------------- */

static void check_iommu(struct doctor *d)
{
	char unit[64], unsafe[8];

	vf_first_entry(d->host, unit, sizeof(unit), "/sys/class/iommu");
	if (!unit[0])
		doctor_find(
			d, VF_ERROR, "iommu-missing", MACHINE,
			"switch VT-d or AMD-Vi on in the firmware's set-up, and boot with "
			"intel_iommu=on iommu=pt (AMD: iommu=pt)",
			"there is no IOMMU: no VF can be given to a program or a virtual machine");
	if (!vf_read(d->host, unsafe, sizeof(unsafe),
		     "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts") &&
	    *unsafe == 'Y')
		doctor_find(
			d, VF_WARNING, "unsafe-interrupts", MACHINE,
			"switch interrupt remapping on (boot without intremap=off), then remove "
			"allow_unsafe_interrupts=1 from the options of vfio_iommu_type1",
			"VFIO takes devices although interrupts are not remapped: who has a VF "
			"can raise any interrupt of this machine");
}

static void check_modules(struct doctor *d)
{
	char device[64];

	if (!vf_exists(d->host, "/sys/bus/pci/drivers/vfio-pci"))
		doctor_find(d, VF_WARNING, "vfio-missing", MACHINE,
			    "modprobe vfio-pci; a file in /etc/modules-load.d/ loads it at boot",
			    "the driver vfio-pci is not loaded: no VF can be bound to it");
	vf_first_entry(d->host, device, sizeof(device), "/sys/class/infiniband");
	if (!device[0] && !vf_exists(d->host, "/sys/module/rdma_rxe"))
		doctor_find(
			d, VF_NOTE, "rdma-missing", MACHINE,
			"modprobe rdma_rxe && rdma link add rxe0 type rxe netdev INTERFACE; cloud "
			"kernels lack the module, and containers cannot load it",
			"there is no RDMA device, and rdma_rxe, which needs no hardware, is not "
			"loaded");
}

static void check_hugepages(struct doctor *d)
{
	DIR *folder = vf_open_folder(d->host, "/sys/kernel/mm/hugepages");
	const char *size;
	int64_t pages = 0;

	while ((size = vf_next_entry(folder)))
		pages += vf_read_number(d->host, 0, "/sys/kernel/mm/hugepages/%s/nr_hugepages",
					size);
	if (!pages)
		doctor_find(d, VF_NOTE, "no-hugepages", MACHINE,
			    "echo 256 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
			    "no huge pages are set aside: DPDK programs that use a VF need some");
}

/* ---- PFs ------------------------------------------------------------------------------------ */

static void check_link(struct doctor *d, const struct vf_function *pf)
{
	if (!pf->ifname[0])
		return;
	if (!pf->up)
		doctor_find(d, pf->num_vfs ? VF_ERROR : VF_NOTE, "link-down", pf->name,
			    "ip link set dev INTERFACE up, before VFs are made",
			    "%s is down: its VFs pass nothing", pf->ifname);
	else if (!pf->carrier)
		doctor_find(d, pf->num_vfs ? VF_ERROR : VF_WARNING, "no-carrier", pf->name,
			    "look at the cable and at the other end; then make the VFs anew",
			    "%s is up, but has no link: VFs that are made now may never see one",
			    pf->ifname);
}

static void check_pf(struct doctor *d, const struct vf_function *pf)
{
	if (!pf->total_vfs)
		doctor_find(d, VF_WARNING, "sriov-off", pf->name,
			    "switch SR-IOV on in the adapter's configuration (mlxconfig SRIOV_EN=1 "
			    "NUM_OF_VFS=N; the firmware's set-up for others) and start anew",
			    "it has SR-IOV, but may have no VF");
	if (!pf->driver[0] && pf->total_vfs)
		doctor_find(d, VF_WARNING, "pf-without-driver", pf->name,
			    "load the adapter's driver; only it can make VFs", "no driver has it");
	if (pf->vf_count < pf->num_vfs)
		doctor_find(
			d, VF_ERROR, "vfs-missing", pf->name,
			"`dmesg` says why; pci=realloc or pci=assign-busses may help; then make "
			"the VFs anew",
			"%u VFs were made, %u are there", pf->num_vfs, pf->vf_count);
	if (!pf->autoprobe)
		doctor_find(d, VF_NOTE, "autoprobe-off", pf->name,
			    "echo 1 > sriov_drivers_autoprobe of this PF, if nobody wants it so",
			    "new VFs are given to no driver (sriov_drivers_autoprobe is 0)");
	check_link(d, pf);
}

/* ---- VFs ------------------------------------------------------------------------------------ */

struct group_others {
	char text[160];
};

/* The function itself is bound to vfio, and so not among them. */
static int group_member(void *data, const char *address, const char *driver)
{
	struct group_others *others = data;
	size_t used = strlen(others->text);

	if (*driver && !strstr(driver, "vfio") && strcmp(driver, "pci-stub"))
		snprintf(others->text + used, sizeof(others->text) - used, "%s%s (%s)",
			 used ? ", " : "", address, driver);
	return 0;
}

static void check_group(struct doctor *d, const struct vf_function *vf)
{
	struct group_others others = {.text = ""};

	if (!strstr(vf->driver, "vfio"))
		return;
	if (vf->iommu_group < 0) {
		doctor_find(d, VF_ERROR, "no-iommu-group", vf->name, "see iommu-missing",
			    "%s has it, but it is in no IOMMU group", vf->driver);
		return;
	}
	vf_group_members(d->host, vf->iommu_group, group_member, &others);
	if (others.text[0])
		doctor_find(
			d, VF_ERROR, "group-shared", vf->name,
			"bind them to vfio-pci too, or put the adapter into a slot whose bridge "
			"has ACS",
			"its IOMMU group %d still has members that the host drives: %s",
			vf->iommu_group, others.text);
}

static void check_vf(struct doctor *d, const struct vf_function *vf)
{
	static const uint8_t zero[6];
	bool held_here = vf->owner[0];

	check_group(d, vf);
	if (vf->live.given & VF_BIT(VF_MAC) && !memcmp(vf->live.mac, zero, 6) && vf->driver[0])
		doctor_find(d, VF_NOTE, "mac-unset", vf->name,
			    "set `mac` for it in the document, and run `outrigger vf apply`",
			    "its PF has no MAC for it: its user gets another one at every start");
	if (vf->driver_override[0] && !held_here)
		doctor_find(d, VF_WARNING, "foreign-override", vf->name,
			    "`driverctl unset-override ADDRESS`, or an empty line into its "
			    "driver_override, if nobody wants it so",
			    "its driver_override is \"%s\", and nobody here set it",
			    vf->driver_override);
	if (!strcmp(vf->owner, "?"))
		doctor_find(
			d, VF_ERROR, "record-damaged", vf->name,
			"remove the file of this name from the state directory, if nobody holds it",
			"the record of who holds it cannot be read");
}

/* Records of VFs that went away with their PF, or with a reboot that the folder outlived. */
static void check_records(struct doctor *d)
{
	DIR *folder = d->host->state[0] ? opendir(d->host->state) : NULL;
	const char *entry;

	while ((entry = vf_next_entry(folder))) {
		char name[VF_ADDRESS_BYTES];

		if (vf_record_names(entry, name) && !vf_find(d->host, name))
			doctor_find(d, VF_WARNING, "record-orphaned", name,
				    "`outrigger vf release ADDRESS --owner OWNER` forgets it",
				    "somebody held it, but it is not there");
	}
	d->host->reason[0] = '\0';
}

int vf_doctor(struct vf_host *host, void (*each)(void *data, const struct vf_finding *finding),
	      void *data)
{
	struct doctor doctor = {host, each, data, 0};

	check_iommu(&doctor);
	check_modules(&doctor);
	check_hugepages(&doctor);
	if (!host->pf_count)
		doctor_find(
			&doctor, VF_WARNING, "no-sriov", MACHINE,
			"look for the adapter in `lspci`; switch SR-IOV on in the firmware's set-up",
			"no PCI function has SR-IOV");
	for (unsigned i = 0; i < host->pf_count; i++) {
		check_pf(&doctor, host->pfs[i]);
		for (unsigned v = 0; v < host->pfs[i]->vf_count; v++)
			check_vf(&doctor, &host->pfs[i]->vfs[v]);
	}
	check_records(&doctor);
	doctor_owners(&doctor);
	return doctor.count;
}
