/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions that the IOMMU stops, because what drives them hands them memory that they
 * were not given: heard of by the kernel's log (fault.c), and told to whoever monitors, once
 * at first and then once a second with how many there were, however many there are. Called
 * by main.c's loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adapter.h"
#include "clock.h"
#include "log.h"

#define RECORD_BYTES 8192 /* no record is longer */
/* In one turn of the loop: whoever fills the log does not keep us from answering. */
#define RECORDS_AT_ONCE 64
#define TELL_AGAIN_NS NS_PER_S

void faults_open(struct vf_adapter *adapter)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	/* What was before this process is not its users' doing. */
	if (fd >= 0 && lseek(fd, 0, SEEK_END) >= 0) {
		adapter->kmsg_fd = fd;
		return;
	}
	log_warning("DMA faults of its functions will not be told as events (/dev/kmsg: %m): look "
		    "for them in the kernel's log with dmesg, or give outriggerd CAP_SYSLOG");
	if (fd >= 0)
		close(fd);
}

/* Intel's log has no domain: the numbers have to do. */
static struct card_vf *vf_at(struct vf_adapter *adapter, const struct vf_fault *fault)
{
	for (unsigned v = 0; *adapter->pf && v < adapter->wish.vf_count; v++) {
		struct vf_address address = adapter->vfs[v].address;

		if (!fault->domain_known)
			address.domain = fault->address.domain;
		if (vf_address_same(&address, &fault->address))
			return &adapter->vfs[v];
	}
	return NULL;
}

void faults_take(struct vf_adapter *adapter, const char *record, size_t bytes)
{
	struct vf_fault fault;

	if (vf_fault_parse(record, bytes, &fault))
		return;
	struct card_vf *vf = vf_at(adapter, &fault);
	if (!vf || !vf->taken)
		return;
	vf->faults++;
	vf->fault = fault;
}

void faults_read(struct vf_adapter *adapter)
{
	char record[RECORD_BYTES];

	for (int i = 0; adapter->kmsg_fd >= 0 && i < RECORDS_AT_ONCE; i++) {
		ssize_t bytes = read(adapter->kmsg_fd, record, sizeof(record));

		if (bytes >= 0)
			faults_take(adapter, record, (size_t)bytes);
		else if (errno == EAGAIN)
			return;
		/* EPIPE: some were overwritten before we came; the next is the oldest left. */
		else if (errno != EPIPE && errno != EINTR && errno != EINVAL) {
			log_warning("the kernel's log cannot be read any more (%m): DMA faults will "
				    "not be told");
			close(adapter->kmsg_fd);
			adapter->kmsg_fd = -1;
		}
	}
}

void faults_tell(struct vf_adapter *adapter, uint64_t now_ns)
{
	char message[160], name[VF_ADDRESS_BYTES];

	for (unsigned v = 0; control_has_monitor(adapter) && v < adapter->wish.vf_count; v++) {
		struct card_vf *vf = &adapter->vfs[v];

		if (vf->faults == vf->faults_told ||
		    (vf->faults_told && now_ns - vf->fault_told_ns < TELL_AGAIN_NS))
			continue;
		vf->faults_told = vf->faults;
		vf->fault_told_ns = now_ns;
		vf_address_format(&vf->address, name);
		snprintf(message, sizeof(message),
			 "%s %s outside its memory, at 0x%" PRIx64 ": stopped by the IOMMU, %" PRIu64
			 " so far; if you do not trust its driver, take the device down",
			 name, vf->fault.write ? "wrote" : "read", vf->fault.iova, vf->faults);
		control_tell(adapter, "dma-fault", (int)v, message);
	}
}
