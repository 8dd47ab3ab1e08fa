/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions given as adapters of kind dpdk that the IOMMU stops, because what drives them
 * hands them memory that they were not given. No process is behind such an adapter, so the
 * shim itself reads the kernel's log for them, as vf-manager/adapter/faults.c does for the
 * functions of a card. What it reads is no more than a fault's place, by its whole sentence
 * (vf-manager/fault.c). Nothing is read as long as there is no such adapter. Event-loop thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "shim.h"

#define TELL_AGAIN_US 1000000

void adapter_faults_open(struct shim *shim)
{
	shim->kmsg_fd = shim->rootless ? -EPERM : vf_fault_log_open();
}

void adapter_faults_close(struct shim *shim)
{
	shim->fault_source = sd_event_source_disable_unref(shim->fault_source);
	shim->fault_timer = sd_event_source_disable_unref(shim->fault_timer);
	if (shim->kmsg_fd >= 0)
		close(shim->kmsg_fd);
	shim->kmsg_fd = -EBADF;
}

/* It is a function of this machine's, by its address. */
static bool has_function(const struct adapter *adapter, struct vf_address *out)
{
	return adapter->spec.kind == DOC_ADAPTER_DPDK && !vf_address_parse(adapter->spec.device, out);
}

/* ---- Told -------------------------------------------------------------------------- */

/* True: there are more to tell, later. */
static bool tell(struct adapter *adapter)
{
	char message[VF_FAULT_MESSAGE_BYTES];
	struct vf_address address;

	if (!adapter->owners[0] || !has_function(adapter, &address))
		return false;
	if (vf_fault_tell(&adapter->faults, &address, clock_now_ns(), message))
		device_event(adapter->owners[0], "dma-fault", message);
	return adapter->faults.told != adapter->faults.count;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct shim *shim = data;
	bool more = false;

	(void)usec;
	for (struct adapter *adapter = shim->adapters; adapter; adapter = adapter->next)
		more = tell(adapter) || more;
	if (more)
		sd_event_source_set_time_relative(source, TELL_AGAIN_US);
	sd_event_source_set_enabled(source, more ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	return 0;
}

/* ---- Heard of ------------------------------------------------------------------------ */

static void take(void *data, const struct vf_fault *fault)
{
	struct shim *shim = data;
	struct vf_address address;

	for (struct adapter *adapter = shim->adapters; adapter; adapter = adapter->next) {
		if (!adapter->owners[0] || !has_function(adapter, &address) ||
		    !vf_fault_is_of(fault, &address))
			continue;
		vf_fault_count(&adapter->faults, fault);
		json_decref(adapter->vf_list);
		adapter->vf_list = json_pack("[{s:{s:I}}]", "counters", "dma_faults",
					     (json_int_t)adapter->faults.count);
		/* Once all that is there now has been counted. */
		sd_event_source_set_enabled(shim->fault_timer, SD_EVENT_ONESHOT);
		return;
	}
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct shim *shim = data;

	(void)events;
	int error = vf_fault_log_read(fd, take, shim);
	if (error) {
		log_warning("the kernel's log cannot be read any more (%s): DMA faults of functions "
			    "of kind dpdk will not be told", strerror(-error));
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

static int watch(struct shim *shim)
{
	int error = shim->kmsg_fd < 0 ? shim->kmsg_fd : vf_fault_log_skip(shim->kmsg_fd);

	if (!error)
		error = sd_event_add_time_relative(shim->event, &shim->fault_timer, CLOCK_MONOTONIC, 0,
						   0, on_timer, shim);
	if (error >= 0)
		error = sd_event_source_set_enabled(shim->fault_timer, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_io(shim->event, &shim->fault_source, shim->kmsg_fd, EPOLLIN, on_log,
					shim);
	return error < 0 ? error : 0;
}

void adapter_faults_watch(struct adapter *adapter)
{
	struct shim *shim = adapter->shim;
	struct vf_address address;

	if (!has_function(adapter, &address) || shim->fault_source)
		return;
	int error = watch(shim);
	if (!error)
		return;
	shim->fault_timer = sd_event_source_disable_unref(shim->fault_timer);
	log_warning("adapter %s: DMA faults of its function will not be told as events (/dev/kmsg: "
		    "%s): look for them in the kernel's log with dmesg, or give outriggerd CAP_SYSLOG",
		    adapter->spec.name, strerror(-error));
}

void adapter_faults_forget(struct adapter *adapter)
{
	if (!adapter->faults.count)
		return;
	adapter->faults = (struct vf_faults){0};
	json_decref(adapter->vf_list);
	adapter->vf_list = NULL;
}
