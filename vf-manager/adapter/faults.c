/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions that the IOMMU stops, because what drives them hands them memory that they
 * were not given: heard of by the kernel's log (fault_log.c), and told to whoever monitors.
 * Called by main.c's loop.
 */
#include <string.h>
#include <unistd.h>

#include "adapter.h"
#include "log.h"

void faults_open(struct vf_adapter *adapter)
{
	int fd = vf_fault_log_open(); /* what was before this process is not its users' doing */

	if (fd >= 0)
		adapter->kmsg_fd = fd;
	else
		log_warning("DMA faults of its functions will not be told as events (/dev/kmsg: "
			    "%s): look for them in the kernel's log with dmesg, or give outriggerd "
			    "CAP_SYSLOG", strerror(-fd));
}

void faults_take(void *data, const struct vf_fault *fault)
{
	struct vf_adapter *adapter = data;

	for (unsigned v = 0; *adapter->pf && v < adapter->wish.vf_count; v++) {
		struct card_vf *vf = &adapter->vfs[v];

		if (!vf_fault_is_of(fault, &vf->address))
			continue;
		if (vf->taken)
			vf_fault_count(&vf->faults, fault);
		return;
	}
}

void faults_read(struct vf_adapter *adapter)
{
	int error = adapter->kmsg_fd < 0 ? 0
					 : vf_fault_log_read(adapter->kmsg_fd, faults_take, adapter);

	if (!error)
		return;
	log_warning("the kernel's log cannot be read any more (%s): DMA faults will not be told",
		    strerror(-error));
	close(adapter->kmsg_fd);
	adapter->kmsg_fd = -1;
}

void faults_tell(struct vf_adapter *adapter, uint64_t now_ns)
{
	char message[VF_FAULT_MESSAGE_BYTES];

	for (unsigned v = 0; control_has_monitor(adapter) && v < adapter->wish.vf_count; v++) {
		struct card_vf *vf = &adapter->vfs[v];

		if (vf_fault_tell(&vf->faults, &vf->address, now_ns, message))
			control_tell(adapter, "dma-fault", (int)v, message);
	}
}
