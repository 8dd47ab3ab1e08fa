/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session hand-over for port_vhost.c. The on_* callbacks run on librte_vhost's
 * thread, all else on the serving thread.
 *
 *   vid    written by the vhost thread, read by the serving thread.
 *   busy   written by the serving thread. enter: busy = 1, fence, read vid.
 *          on_destroy: vid = -1, fence, wait while busy. The fences are totally
 *          ordered, so either enter sees -1, or on_destroy sees busy and waits.
 *   kicks  duplicates of the guest's kick descriptors, in a mailbox under a
 *          mutex. Duplicates, because the guest holds the same open files: one
 *          that librte_vhost has closed would stay in our epoll set for ever.
 *          They are made on the vhost thread, which alone knows that the
 *          originals are still open.
 */
#include "vhost_session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <rte_vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/vhost_notice.h"

/* Frames cross whole and checksummed: the device behind has no offloads to
 * finish them with; and there is one queue pair. */
#define FEATURES_REFUSED                                                     \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |       \
	 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_GUEST_UFO |   \
	 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |   \
	 1ull << VIRTIO_NET_F_HOST_ECN | 1ull << VIRTIO_NET_F_HOST_UFO | 1ull << VIRTIO_NET_F_MQ)

struct vhost_session {
	const struct adj_env *env;
	const char *path;
	_Atomic int vid;
	_Atomic bool busy;
	int wake_fd;             /* eventfd: the mailbox changed */
	pthread_mutex_t mailbox; /* of new_kicks; never held for long */
	_Atomic bool changed;    /* new_kicks has news */
	int new_kicks[VHOST_QUEUES];
	int kicks[VHOST_QUEUES]; /* the serving thread's, watched */
	_Atomic uint64_t doorbells;
};

/* The callbacks are told a number only; a process serves one device. */
static struct vhost_session *the_session;

/* ---- The vhost thread --------------------------------------------------- */

static void announce(struct vhost_session *session)
{
	const uint64_t one = 1;

	/* release: partner is the exchange in vhost_session_watch(). */
	atomic_store_explicit(&session->changed, true, memory_order_release);
	(void)!write(session->wake_fd, &one, sizeof(one)); /* EAGAIN: it is ringing already */
}

static void mail_kick(struct vhost_session *session, unsigned queue, int fd)
{
	pthread_mutex_lock(&session->mailbox);
	if (session->new_kicks[queue] >= 0)
		close(session->new_kicks[queue]);
	session->new_kicks[queue] = fd;
	pthread_mutex_unlock(&session->mailbox);
}

static void mail_kick_of(struct vhost_session *session, int vid, unsigned queue)
{
	struct rte_vhost_vring vring;
	int fd = -1;

	if (!rte_vhost_get_vhost_vring(vid, (uint16_t)queue, &vring) && vring.kickfd >= 0)
		fd = fcntl(vring.kickfd, F_DUPFD_CLOEXEC, 0);
	mail_kick(session, queue, fd);
}

static int on_new(int vid)
{
	struct vhost_session *session = the_session;

	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		mail_kick_of(session, vid, queue);
		/* A driver kicks unless told not to; arm() asks for it before a sleep, and
		 * an adjunct that never sleeps never does. */
		(void)rte_vhost_enable_guest_notification(vid, (uint16_t)queue, 0);
		/* The session may be one that a predecessor died over, between using a
		 * buffer and saying so: say it now (T08). A new guest is told in vain. */
		(void)rte_vhost_vring_call(vid, (uint16_t)queue);
	}
	/* release: partner is the acquire in vhost_session_enter(). */
	atomic_store_explicit(&session->vid, vid, memory_order_release);
	announce(session);
	session->env->log(session->env, ADJ_LOG_INFO, "a guest connected to %s", session->path);
	return 0;
}

static void on_destroy(int vid)
{
	const struct timespec pause = {.tv_nsec = 10000};
	struct vhost_session *session = the_session;

	(void)vid;
	atomic_store_explicit(&session->vid, -1, memory_order_relaxed);
	/* seq_cst: partner is the fence in vhost_session_enter(). */
	atomic_thread_fence(memory_order_seq_cst);
	/* A burst is short, and nothing may be unmapped under it: no deadline. */
	while (atomic_load_explicit(&session->busy, memory_order_acquire))
		nanosleep(&pause, NULL);
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		mail_kick(session, queue, -1);
	announce(session);
	session->env->log(session->env, ADJ_LOG_INFO, "the guest left %s", session->path);
}

/* A guest may replace its kick descriptors while it is connected. */
static int on_state_changed(int vid, uint16_t queue, int enable)
{
	struct vhost_session *session = the_session;

	if (enable && queue < VHOST_QUEUES) {
		mail_kick_of(session, vid, queue);
		announce(session);
	}
	return 0;
}

static void on_guest_notified(int vid)
{
	(void)vid;
	/* relaxed: a counter. */
	atomic_fetch_add_explicit(&the_session->doorbells, 1, memory_order_relaxed);
}

static const struct rte_vhost_device_ops callbacks = {
	.new_device = on_new,
	.destroy_device = on_destroy,
	.vring_state_changed = on_state_changed,
	.guest_notified = on_guest_notified,
};

/* ---- The serving thread ------------------------------------------------- */

int vhost_session_enter(struct vhost_session *session)
{
	atomic_store_explicit(&session->busy, true, memory_order_relaxed);
	/* seq_cst: partner is the fence in on_destroy(). */
	atomic_thread_fence(memory_order_seq_cst);
	/* acquire: partner is on_new(). */
	int vid = atomic_load_explicit(&session->vid, memory_order_acquire);

	if (vid < 0)
		vhost_session_leave(session);
	return vid;
}

void vhost_session_leave(struct vhost_session *session)
{
	/* release: partner is the acquire in on_destroy(); the burst is over. */
	atomic_store_explicit(&session->busy, false, memory_order_release);
}

static void kick_replace(struct vhost_session *session, unsigned queue, int fd)
{
	const struct adj_env *env = session->env;
	int *kick = &session->kicks[queue];

	if (*kick >= 0) {
		env->watch(env, *kick, false, false);
		close(*kick);
	}
	*kick = fd;
}

int vhost_session_watch(struct vhost_session *session)
{
	const struct adj_env *env = session->env;
	int result = 0;

	/* acquire: partner is announce(). */
	if (!atomic_exchange_explicit(&session->changed, false, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&session->mailbox);
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		kick_replace(session, queue,
			     session->new_kicks[queue] < 0
				     ? -1
				     : fcntl(session->new_kicks[queue], F_DUPFD_CLOEXEC, 0));
		if (session->kicks[queue] >= 0 && !result)
			result = env->watch(env, session->kicks[queue], true, false);
	}
	pthread_mutex_unlock(&session->mailbox);
	return result;
}

void vhost_session_interrupt(struct vhost_session *session, int fd)
{
	uint64_t count;

	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		if (fd == session->kicks[queue])
			(void)!read(fd, &count, sizeof(count));
	if (fd == session->wake_fd)
		(void)!read(fd, &count, sizeof(count));
}

uint64_t vhost_session_doorbells(const struct vhost_session *session)
{
	return atomic_load_explicit(&session->doorbells, memory_order_relaxed);
}

/* ---- Opening and closing ------------------------------------------------ */

static int listen_at(const char *path)
{
	struct stat status;

	/* Only ever a socket of a predecessor that died. */
	if (!lstat(path, &status) && S_ISSOCK(status.st_mode) && unlink(path))
		return -errno;
	if (rte_vhost_driver_register(path, RTE_VHOST_USER_LINEARBUF_SUPPORT |
						    RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS))
		return -EINVAL;
	if (rte_vhost_driver_disable_features(path, FEATURES_REFUSED) ||
	    rte_vhost_driver_callback_register(path, &callbacks) || rte_vhost_driver_start(path)) {
		(void)rte_vhost_driver_unregister(path);
		return -EADDRNOTAVAIL;
	}
	return 0;
}

int vhost_session_open(const struct adj_env *env, const char *path, struct vhost_session **out)
{
	struct vhost_session *session = calloc(1, sizeof(*session));
	int result;

	if (!session)
		return -ENOMEM;
	*session = (struct vhost_session){
		.env = env,
		.path = path,
		.vid = -1,
		.new_kicks = {-1, -1},
		.kicks = {-1, -1},
	};
	pthread_mutex_init(&session->mailbox, NULL);
	session->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	result = session->wake_fd < 0 ? -errno : env->watch(env, session->wake_fd, true, false);
	if (!result) {
		the_session = session;
		result = listen_at(path);
		if (!result && vhost_notice(path))
			env->log(env, ADJ_LOG_WARNING, "%s may answer only after a second", path);
	}
	if (!result) {
		*out = session;
		return 0;
	}
	env->log(env, ADJ_LOG_ERROR, "cannot listen at %s: %s", path, strerror(-result));
	if (session->wake_fd >= 0) {
		env->watch(env, session->wake_fd, false, false);
		close(session->wake_fd);
	}
	pthread_mutex_destroy(&session->mailbox);
	the_session = NULL;
	free(session);
	return result;
}

void vhost_session_close(struct vhost_session *session)
{
	/* Ends the session and its callbacks, and removes the socket. */
	if (rte_vhost_driver_unregister(session->path))
		session->env->log(session->env, ADJ_LOG_WARNING, "%s could not be closed",
				  session->path);
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		kick_replace(session, queue, -1);
		mail_kick(session, queue, -1);
	}
	session->env->watch(session->env, session->wake_fd, false, false);
	close(session->wake_fd);
	pthread_mutex_destroy(&session->mailbox);
	the_session = NULL;
	free(session);
}
