/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function of an adapter, as an adjunct gets it by VFIO: see vfio.c. Event-loop
 * thread; nothing here waits for the device.
 */
#ifndef VFIO_H
#define VFIO_H

#define VFIO_FDS 2 /* container, group */

/*
 * The number of the IOMMU group of the function at that PCI address; -ENODEV: it is
 * no PCI address, or its driver is not vfio-pci.
 */
int vfio_group_of(const char *address);
/* A container for one adjunct. -errno. */
int vfio_open_container(void);
/* -EBUSY: a process has it open already, as an adjunct that is ending does. */
int vfio_open_group(int group);

#endif
