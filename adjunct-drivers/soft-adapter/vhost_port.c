/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * librte_vhost's sockets and callbacks; see vhost_port.h. A device comes to
 * life (new_device) when its driver has set both rings up, and goes
 * (destroy_device) when the driver stops a ring or its connection ends. After
 * destroy_device returns, librte_vhost unmaps the rings: it must not return
 * while the data thread is inside them, which the adapter's lock guarantees.
 */
#include "vhost_port.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "clock.h"
#include "events.h"
#include "log.h"
#include "runtime/vhost_notice.h"
#include "unix_socket.h"

/*
 * Virtio 1.2, sections 5.1.3 and 6, by bit. Without them a frame is complete
 * as it stands (checksums done, no segmentation left to do), there is one pair
 * of queues, and rings are split ones, whose fill level librte_vhost can tell.
 */
#define BIT(n) (UINT64_C(1) << (n))
#define FEATURES_OFF                                                                               \
	(BIT(0) /* CSUM */ | BIT(1) /* GUEST_CSUM */ | BIT(3) /* MTU */ | BIT(6) /* GSO */ |       \
	 BIT(7) | BIT(8) | BIT(9) | BIT(10) /* GUEST_TSO4, TSO6, ECN, UFO */ | BIT(11) | BIT(12) | \
	 BIT(13) | BIT(14) /* HOST_TSO4, TSO6, ECN, UFO */ | BIT(21) /* GUEST_ANNOUNCE */ |        \
	 BIT(22) /* MQ */ | BIT(26) /* LOG_ALL */ | BIT(34) /* RING_PACKED */)

/* For the data thread to come round, whatever else it is busy with. */
#define DRAIN_NS (200 * NS_PER_MS)

/* librte_vhost's callbacks carry no context of ours. */
static struct adapter *the_adapter;

static struct vf *vf_of_device(int vid)
{
	char path[ADAPTER_PATH_BYTES];

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return NULL;
	for (unsigned i = 0; i < the_adapter->vfs_count; i++)
		if (!strcmp(the_adapter->vfs[i].port.path, path))
			return &the_adapter->vfs[i];
	return NULL;
}

/* ---- Any thread, lock held --------------------------------------------- */

uint32_t vhost_port_taken(const struct vf *vf)
{
	uint32_t session = vf->session_taken;
	uint16_t available, used;

	/* Exact: what librte_vhost refused was taken too, and it counts modulo 2^16,
	 * from 0, where a driver's session begins. */
	if (vf->port.vid >= 0 && !rte_vhost_get_vring_base(vf->port.vid, VHOST_QUEUE_TRANSMIT,
							   &available, &used))
		session += (uint16_t)(available - session);
	return vf->taken + session;
}

bool vhost_port_is_free(const struct vf *vf)
{
	return vf->port.vid < 0 && vf->port.conn_vid < 0;
}

void vhost_port_detach(struct adapter *adapter, struct vf *vf)
{
	uint64_t bit = UINT64_C(1) << vf->index;

	if (vf->port.vid < 0)
		return;
	vf->taken = vhost_port_taken(vf);
	vf->session_taken = 0;
	vf->port.vid = -1;
	adapter->attached &= ~bit;
	adapter->active &= ~bit;
	adapter->leaving &= ~bit;
	/* The duplicate goes, so its registration goes with it only if no other
	 * process has the eventfd: the driver has, so remove it by hand. */
	if (epoll_ctl(adapter->epoll_fd, EPOLL_CTL_DEL, vf->port.kick_fd, NULL) < 0)
		log_warning("vf %u: forgetting its doorbell: %s", vf->index, strerror(errno));
	fd_close(&vf->port.kick_fd);
	events_post(adapter, EVENT_DISCONNECTED, (int)vf->index, "%s", "");
}

static int port_attach(struct adapter *adapter, struct vf *vf, int vid)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET,
				    .data.u32 = SOURCE_KICK | vf->index};
	struct rte_vhost_vring ring;
	int fd;

	/* Only the calling thread changes the ring's descriptors, so its number
	 * cannot be reused before it is duplicated. */
	if (rte_vhost_get_vhost_vring(vid, VHOST_QUEUE_TRANSMIT, &ring) < 0 || ring.kickfd < 0)
		return -EINVAL;
	fd = fcntl(ring.kickfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Edge-triggered: each ring of the doorbell wakes us, and nobody has to
	 * read it empty. */
	if (epoll_ctl(adapter->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	vf->port.vid = vid;
	vf->port.kick_fd = fd;
	vf->quiet_since_ns = clock_now_ns();
	vf->ready_ns = 0;
	adapter->attached |= UINT64_C(1) << vf->index;
	adapter->active |= UINT64_C(1) << vf->index;
	events_post(adapter, EVENT_CONNECTED, (int)vf->index, "%s", "");
	return 0;
}

void vhost_port_drop(struct adapter *adapter, struct vf *vf)
{
	vhost_port_detach(adapter, vf);
	if (vf->port.conn_fd >= 0)
		shutdown(vf->port.conn_fd, SHUT_RDWR);
}

/* ---- librte_vhost's thread --------------------------------------------- */

static int on_new_device(int vid)
{
	int error;

	/* Nothing waits for receive buffers: a frame that finds none is missed. */
	rte_vhost_enable_guest_notification(vid, VHOST_QUEUE_RECEIVE, 0);
	rte_vhost_enable_guest_notification(vid, VHOST_QUEUE_TRANSMIT, 0);
	adapter_lock_guest(the_adapter);
	struct vf *vf = vf_of_device(vid);

	if (vf) {
		/* An older connection whose end has not been noticed yet. */
		vhost_port_detach(the_adapter, vf);
		error = port_attach(the_adapter, vf, vid);
		if (error)
			log_warning("vf %u: its driver's doorbell is of no use: %s", vf->index,
				    strerror(-error));
	} else {
		error = -ENOENT;
	}
	adapter_unlock(the_adapter);
	adapter_wake(the_adapter);
	return error ? -1 : 0;
}

/*
 * What the driver handed over before it went is forwarded yet: by the data
 * thread, which alone may be interrupted if a receiver's doorbell blocks. Lock
 * held, and given up meanwhile.
 */
static void wait_for_drain(struct adapter *adapter, const struct vf *vf, int vid)
{
	uint64_t bit = UINT64_C(1) << vf->index, until_ns = clock_now_ns() + DRAIN_NS;

	if (adapter->stopping)
		return; /* the data thread does not pass any more; it may be this one */
	adapter->leaving |= bit;
	while (vf->port.vid == vid && adapter->leaving & bit && clock_now_ns() < until_ns) {
		adapter_unlock(adapter);
		adapter_wake(adapter);
		sched_yield();
		adapter_lock_guest(adapter);
	}
}

static void on_destroy_device(int vid)
{
	adapter_lock_guest(the_adapter);
	for (unsigned i = 0; i < the_adapter->vfs_count; i++) {
		struct vf *vf = &the_adapter->vfs[i];

		if (vf->port.vid != vid)
			continue;
		wait_for_drain(the_adapter, vf, vid);
		if (vf->port.vid == vid)
			vhost_port_detach(the_adapter, vf);
	}
	adapter_unlock(the_adapter);
	adapter_wake(the_adapter);
}

static int on_new_connection(int vid)
{
	adapter_lock_guest(the_adapter);
	struct vf *vf = vf_of_device(vid);

	if (vf)
		vf->port.conn_vid = vid;
	adapter_unlock(the_adapter);
	return vf ? 0 : -1;
}

static void on_destroy_connection(int vid)
{
	adapter_lock_guest(the_adapter);
	for (unsigned i = 0; i < the_adapter->vfs_count; i++) {
		struct vhost_port *port = &the_adapter->vfs[i].port;

		if (port->conn_vid != vid)
			continue;
		port->conn_vid = -1;
		port->vhost_fd = -1;
		fd_close(&port->conn_fd);
	}
	adapter_unlock(the_adapter);
	adapter_wake(the_adapter); /* a reset may wait for it */
}

static const struct rte_vhost_device_ops device_ops = {
	.new_device = on_new_device,
	.destroy_device = on_destroy_device,
	.new_connection = on_new_connection,
	.destroy_connection = on_destroy_connection,
};

/* ---- Data thread ------------------------------------------------------- */

static int port_open(const char *path)
{
	struct stat status;

	/* A socket left behind by an adapter that died; nothing else is removed. */
	if (lstat(path, &status) == 0) {
		if (!S_ISSOCK(status.st_mode))
			return -EEXIST;
		if (unlink(path) < 0)
			return -errno;
	}
	if (rte_vhost_driver_register(path, RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS) < 0)
		return -ENOMEM;
	if (rte_vhost_driver_disable_features(path, FEATURES_OFF) < 0 ||
	    rte_vhost_driver_callback_register(path, &device_ops) < 0 ||
	    rte_vhost_driver_start(path) < 0) {
		rte_vhost_driver_unregister(path);
		return -EIO;
	}
	return 0;
}

int vhost_ports_open(struct adapter *adapter)
{
	mode_t mask = umask(0177);
	int error = 0;

	the_adapter = adapter;
	vhost_guard_set(adapter);
	/* A driver may already connect to the first while the second is made. */
	adapter_unlock(adapter);
	for (unsigned i = 0; i < adapter->vfs_count && !error; i++) {
		error = port_open(adapter->vfs[i].port.path);
		while (error && i-- > 0)
			rte_vhost_driver_unregister(adapter->vfs[i].port.path);
		if (error)
			break;
	}
	if (!error && vhost_notice(adapter->vfs[adapter->vfs_count - 1].port.path))
		log_warning("the functions may answer only after a second");
	adapter_lock(adapter);
	umask(mask);
	return error;
}

void vhost_ports_close(struct adapter *adapter)
{
	/* Unregistering ends the connections and calls back on this thread. */
	adapter_unlock(adapter);
	for (unsigned i = 0; i < adapter->vfs_count; i++)
		rte_vhost_driver_unregister(adapter->vfs[i].port.path);
	adapter_lock(adapter);
	/* That path calls destroy_device, but not always destroy_connection. */
	for (unsigned i = 0; i < adapter->vfs_count; i++) {
		fd_close(&adapter->vfs[i].port.conn_fd);
		adapter->vfs[i].port.conn_vid = -1;
	}
}
