/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's log as a source of IOMMU faults, for who looks after functions: opened at
 * its end, read a little at a time, each record told by fault.c; and for one function what
 * its user is told of them, at once and then once a second with how many there were. Called
 * by the adapter's process and by the daemon, each on its one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "vf.h"

#define RECORD_BYTES 8192 /* no record is longer */
/* At a time: whoever fills the log does not keep its reader from all else. */
#define RECORDS_AT_ONCE 64
#define TELL_AGAIN_NS NS_PER_S

int vf_fault_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int error = vf_fault_log_skip(fd);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int vf_fault_log_skip(int fd)
{
	return lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
}

int vf_fault_log_read(int fd, vf_fault_fn take, void *data)
{
	char record[RECORD_BYTES];
	struct vf_fault fault;

	for (int i = 0; i < RECORDS_AT_ONCE; i++) {
		ssize_t bytes = read(fd, record, sizeof(record));

		if (bytes >= 0 && !vf_fault_parse(record, (size_t)bytes, &fault))
			take(data, &fault);
		if (bytes >= 0)
			continue;
		if (errno == EAGAIN)
			return 0;
		/* EPIPE: some were overwritten before we came; the next is the oldest left. */
		if (errno != EPIPE && errno != EINTR && errno != EINVAL)
			return -errno;
	}
	return 0;
}

bool vf_fault_is_of(const struct vf_fault *fault, const struct vf_address *address)
{
	struct vf_address same = *address;

	/* Intel's log has no domain: the numbers have to do. */
	if (!fault->domain_known)
		same.domain = fault->address.domain;
	return vf_address_same(&same, &fault->address);
}

void vf_fault_count(struct vf_faults *faults, const struct vf_fault *fault)
{
	faults->count++;
	faults->last = *fault;
}

bool vf_fault_tell(struct vf_faults *faults, const struct vf_address *address, uint64_t now_ns,
		   char message[VF_FAULT_MESSAGE_BYTES])
{
	char name[VF_ADDRESS_BYTES];

	if (faults->count == faults->told ||
	    (faults->told && now_ns - faults->told_ns < TELL_AGAIN_NS))
		return false;
	faults->told = faults->count;
	faults->told_ns = now_ns;
	vf_address_format(address, name);
	snprintf(message, VF_FAULT_MESSAGE_BYTES,
		 "%s %s outside its memory, at 0x%" PRIx64 ": stopped by the IOMMU, %" PRIu64
		 " so far; if you do not trust its driver, take the device down",
		 name, faults->last.write ? "wrote" : "read", faults->last.iova, faults->count);
	return true;
}
