/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter as a whole: start and stop, settings into the switch's table,
 * link, reset, and the lock. See adapter.h. Data thread, lock held, except
 * where the header says otherwise.
 */
#include "adapter.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "dataplane.h"
#include "events.h"
#include "log.h"
#include "methods.h"
#include "vhost_port.h"

/* ---- The lock ---------------------------------------------------------- */

void adapter_lock(struct adapter *adapter)
{
	pthread_mutex_lock(&adapter->lock);
}

void adapter_unlock(struct adapter *adapter)
{
	pthread_mutex_unlock(&adapter->lock);
}

void adapter_lock_guest(struct adapter *adapter)
{
	/* relaxed: only makes the data thread give way; the mutex orders. */
	atomic_fetch_add_explicit(&adapter->waiting, 1, memory_order_relaxed);
	pthread_mutex_lock(&adapter->lock);
	atomic_fetch_sub_explicit(&adapter->waiting, 1, memory_order_relaxed);
}

void adapter_breathe(struct adapter *adapter)
{
	if (!atomic_load_explicit(&adapter->waiting, memory_order_relaxed))
		return;
	/* A mutex is not fair: without this we would take it again before the
	 * thread that waits has woken up. */
	pthread_mutex_unlock(&adapter->lock);
	while (atomic_load_explicit(&adapter->waiting, memory_order_relaxed))
		sched_yield();
	pthread_mutex_lock(&adapter->lock);
}

void adapter_wake(struct adapter *adapter)
{
	if (eventfd_write(adapter->wake_fd, 1) < 0)
		log_warning("waking the data thread: %s", strerror(errno));
}

/* ---- Start and stop ---------------------------------------------------- */

static int directory_check(const char *directory, char message[VF_MESSAGE_BYTES])
{
	struct stat status;

	if (directory[0] != '/' || strlen(directory) + sizeof("/vf63") > ADAPTER_PATH_BYTES) {
		snprintf(message, VF_MESSAGE_BYTES,
			 "the directory must be an absolute path of at most %zu characters",
			 ADAPTER_PATH_BYTES - sizeof("/vf63"));
		return -EINVAL;
	}
	if (lstat(directory, &status) < 0) {
		snprintf(message, VF_MESSAGE_BYTES, "%.100s: %s", directory, strerror(errno));
		return -errno;
	}
	/* Who can write there could put a socket of his own in the place of ours. */
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022)) {
		snprintf(message, VF_MESSAGE_BYTES,
			 "%.100s: not a directory that only we can write to", directory);
		return -EPERM;
	}
	return 0;
}

static void vf_init(struct adapter *adapter, struct vf *vf, unsigned index, const char *directory)
{
	int length;

	vf->index = index;
	vf->port = (struct vhost_port){
		.vid = -1, .kick_fd = -1, .conn_fd = -1, .conn_vid = -1, .vhost_fd = -1};
	length = snprintf(vf->port.path, sizeof(vf->port.path), "%s/vf%u", directory, index);

	assert(length < (int)sizeof(vf->port.path)); /* directory_check() */
	(void)length;
	vf_settings_default(&vf->settings, adapter->serial, index);
	rate_set(&vf->limit, 0, clock_now_ns());
	rate_set(&vf->guarantee, 0, clock_now_ns());
}

int adapter_start(struct adapter *adapter, const char *name, const char *directory, unsigned vfs,
		  char message[VF_MESSAGE_BYTES])
{
	int error = directory_check(directory, message);

	if (error)
		return error;
	/* A model of hardware has one identity for life: made of what is the same
	 * after a restart, and differs between two daemons. */
	snprintf(adapter->serial, sizeof(adapter->serial), "OTR%016llX",
		 (unsigned long long)(vf_hash(name) ^ vf_hash(directory) * 31));
	adapter->vfs = calloc(vfs, sizeof(*adapter->vfs));
	if (!adapter->vfs)
		return -ENOMEM;
	adapter->vfs_count = vfs;
	adapter->table.ports_count = vfs;
	adapter->link = true;
	for (unsigned i = 0; i < vfs; i++) {
		vf_init(adapter, &adapter->vfs[i], i, directory);
		adapter_refresh(adapter, i);
	}
	error = eal_start(directory, vfs);
	if (!error)
		error = dataplane_open(adapter);
	if (!error)
		error = vhost_ports_open(adapter);
	if (!error) {
		error = adapter_confine_finish();
		if (error)
			vhost_ports_close(adapter);
	}
	if (error) {
		snprintf(message, VF_MESSAGE_BYTES, "the adapter does not start: %s",
			 strerror(-error));
		free(adapter->vfs);
		adapter->vfs = NULL;
		adapter->vfs_count = adapter->table.ports_count = 0;
		return error;
	}
	snprintf(adapter->name, sizeof(adapter->name), "%s", name);
	log_info("%s: %u functions in %s, serial %s", name, vfs, directory, adapter->serial);
	return 0;
}

void adapter_stop(struct adapter *adapter)
{
	if (adapter->name[0])
		vhost_ports_close(adapter);
	(void)methods_answer_resets(adapter); /* every function is free now */
	free(adapter->vfs);
	adapter->vfs = NULL;
	adapter->vfs_count = 0;
	adapter->name[0] = '\0';
}

/* ---- What the physical function's driver does --------------------------- */

void adapter_refresh(struct adapter *adapter, unsigned index)
{
	const struct vf_settings *settings = &adapter->vfs[index].settings;
	struct switch_port *port = &adapter->table.ports[index];
	bool before = port->link, started = adapter->name[0];

	vf_switch_port(settings, vf_link(settings, adapter->link), port);
	if (started && port->link != before)
		events_post(adapter, port->link ? EVENT_LINK_UP : EVENT_LINK_DOWN, (int)index, "%s",
			    "");
}

void adapter_configure(struct adapter *adapter, unsigned index, const struct vf_settings *settings)
{
	struct vf *vf = &adapter->vfs[index];
	uint64_t bit = UINT64_C(1) << index, now_ns = clock_now_ns();

	/* A bucket that is not changed keeps its level: setting the same rate
	 * again is not a way to a burst. */
	if (settings->max_tx_rate != vf->settings.max_tx_rate)
		rate_set(&vf->limit, settings->max_tx_rate, now_ns);
	if (settings->min_tx_rate != vf->settings.min_tx_rate)
		rate_set(&vf->guarantee, settings->min_tx_rate, now_ns);
	adapter->guaranteed =
		settings->min_tx_rate ? adapter->guaranteed | bit : adapter->guaranteed & ~bit;
	vf->settings = *settings;
	vf->ready_ns = 0;
	adapter_refresh(adapter, index);
	events_post(adapter, EVENT_CONFIGURED, (int)index, "%s", "");
}

void adapter_set_link(struct adapter *adapter, bool up)
{
	if (adapter->link == up)
		return;
	adapter->link = up;
	events_post(adapter, up ? EVENT_LINK_UP : EVENT_LINK_DOWN, EVENT_PHYSICAL, "%s", "");
	for (unsigned i = 0; i < adapter->vfs_count; i++)
		adapter_refresh(adapter, i);
}

void adapter_reset(struct adapter *adapter, unsigned index)
{
	struct vf *vf = &adapter->vfs[index];
	uint64_t now_ns = clock_now_ns();

	vhost_port_drop(adapter, vf);
	dataplane_forget(adapter, vf);
	vf->counters = (struct vf_counters){0};
	vf->resets++;
	vf->spoof_untold = vf->spoof_told_ns = 0;
	vf->reset_wanted = false;
	rate_set(&vf->limit, vf->settings.max_tx_rate, now_ns);
	rate_set(&vf->guarantee, vf->settings.min_tx_rate, now_ns);
	events_post(adapter, EVENT_RESET, (int)index, "%s", "");
	log_info("vf %u: function-level reset", index);
}

void adapter_set_fault(struct adapter *adapter, unsigned index, enum fault fault, uint64_t value)
{
	struct vf *vf = &adapter->vfs[index];

	if (vf->faults.value[fault] == value)
		return;
	faults_set(&vf->faults, fault, value);
	vf->ready_ns = 0; /* it may have been stalled */
	events_post(adapter, EVENT_FAULT, (int)index, "%s %llu", fault_name(fault),
		    (unsigned long long)value);
}
