/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only config space and the PCI database tell: serial numbers, MSI-X table sizes,
 * product names; all of libpci is here. Its error handler must not return, and by default
 * ends the program: ours jumps back to the one call that is under way. Called by
 * vf_discover() and vf_plan(), on their thread.
 */
#include <errno.h>
#include <pci/pci.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf_internal.h"

/* libpci's handler gets no pointer of ours; a thread has at most one call under way. */
static _Thread_local jmp_buf *way_out;

__attribute__((noreturn)) static void on_error(char *message, ...)
{
	(void)message;
	longjmp(*way_out, 1);
}

static void on_message(char *message, ...)
{
	(void)message; /* a card that went away answers with nothing; there is no one to tell */
}

static struct pci_access *open_access(const struct vf_host *host)
{
	struct pci_access *access = pci_alloc();
	char path[PATH_MAX];

	access->error = on_error;
	access->warning = access->debug = on_message;
	access->method = PCI_ACCESS_SYS_BUS_PCI;
	if (vf_path(host, path, "/sys/bus/pci"))
		on_error(NULL);
	pci_set_param(access, (char *)"sysfs.path", path);
	pci_init(access);
	return access;
}

static void read_serial(struct pci_dev *device, struct vf_function *function)
{
	struct pci_cap *cap = pci_find_cap(device, PCI_EXT_CAP_ID_DSN, PCI_CAP_EXTENDED);

	if (!cap)
		return;
	/* Two double words, the lower first; printed with the highest byte first, as lspci does. */
	for (int i = 0; i < 8; i++)
		snprintf(function->serial + 3 * i, sizeof(function->serial) - 3 * (size_t)i,
			 "%02x%s", pci_read_byte(device, (int)cap->addr + 4 + 7 - i),
			 i < 7 ? "-" : "");
}

static struct pci_dev *open_device(struct pci_access *access, const struct vf_function *function)
{
	const struct vf_address *a = &function->address;

	return pci_get_dev(access, (int)a->domain, a->bus, a->slot, a->function);
}

static void look_at(struct pci_access *access, struct vf_function *function)
{
	struct pci_dev *device = open_device(access, function);

	read_serial(device, function);
	pci_free_dev(device);
	if (!pci_lookup_name(access, function->product, sizeof(function->product),
			     PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, function->vendor,
			     function->device))
		function->product[0] = '\0';
}

int vf_look_pci(struct vf_host *host)
{
	/* Both live across a longjmp. */
	struct pci_access *volatile access = NULL;
	volatile unsigned at = 0;
	jmp_buf here;

	way_out = &here;
	if (setjmp(here)) {
		if (!access) /* not even the bus could be opened; discovery said so already */
			return 0;
		at++; /* that one stays without */
	} else {
		access = open_access(host);
	}
	for (; at < host->pf_count; at++)
		look_at(access, host->pfs[at]);
	pci_cleanup(access);
	return 0;
}

unsigned vf_look_msix(struct vf_host *host, const struct vf_function *function)
{
	struct pci_access *volatile access = NULL;
	volatile unsigned vectors = 0;
	jmp_buf here;

	way_out = &here;
	if (!setjmp(here)) {
		access = open_access(host);
		struct pci_dev *device = open_device(access, function);
		struct pci_cap *cap = pci_find_cap(device, PCI_CAP_ID_MSIX, PCI_CAP_NORMAL);

		if (cap) /* Message Control is the second word; a table size of 0 means 1 */
			vectors = (pci_read_word(device, (int)cap->addr + 2) &
				   PCI_MSIX_TABSIZE) + 1u;
		pci_free_dev(device);
	}
	if (access)
		pci_cleanup(access);
	return vectors;
}
