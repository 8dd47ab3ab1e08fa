/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session hand-over for port_vhost.c. The on_* callbacks run on librte_vhost's
 * thread, all else on the serving thread.
 *
 *   open   written by the vhost thread, read by the serving thread.
 *   busy   written by the serving thread. enter: busy = 1, fence, read open.
 *          pause(): open = 0, fence, wait while busy. The fences are totally
 *          ordered, so either enter sees 0, or pause sees busy and waits. The vhost
 *          thread pauses around each message: librte_vhost moves rings, memory and
 *          doorbells of a running session without another word.
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
 * finish them with; and there is one queue pair, of split rings in plain memory. */
#define FEATURES_REFUSED                                                              \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |                \
	 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |          \
	 1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_GUEST_UFO |            \
	 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |            \
	 1ull << VIRTIO_NET_F_HOST_ECN | 1ull << VIRTIO_NET_F_HOST_UFO |              \
	 1ull << VIRTIO_NET_F_MQ | 1ull << VHOST_F_LOG_ALL | 1ull << VIRTIO_F_RING_PACKED | \
	 1ull << VIRTIO_F_ACCESS_PLATFORM)

struct vhost_session {
	const struct adj_env *env;
	const char *path;
	const struct vhost_session_ops *ops;
	void *data;
	_Atomic bool open; /* the serving thread may have the rings */
	_Atomic bool busy; /* and has */
	struct vhost_rings rings;
	/* The vhost thread's. */
	_Atomic bool running;       /* a guest is there, and its rings have begun */
	bool enabled[VHOST_QUEUES]; /* and may be served */
	int wake_fd;                /* eventfd: the mailbox changed */
	pthread_mutex_t mailbox; /* of new_kicks; never held for long */
	_Atomic bool changed;    /* new_kicks has news */
	int new_kicks[VHOST_QUEUES];
	int kicks[VHOST_QUEUES]; /* the serving thread's, watched */
};

/* The callbacks are told a number only; a process serves one device. */
static struct vhost_session *the_session;

/* ---- The vhost thread: rings ---------------------------------------------- */

static void pause_serving(struct vhost_session *session)
{
	const struct timespec pause = {.tv_nsec = 10000};

	atomic_store_explicit(&session->open, false, memory_order_relaxed);
	/* seq_cst: partner is the fence in vhost_session_enter(). */
	atomic_thread_fence(memory_order_seq_cst);
	/* A burst is short, and nothing may be unmapped under it: no deadline. */
	while (atomic_load_explicit(&session->busy, memory_order_acquire))
		nanosleep(&pause, NULL);
}

/* What the guest lets us reach. False: nothing. */
static bool memory_take(struct vhost_regions *out, int vid)
{
	struct rte_vhost_memory *memory = NULL;

	out->count = 0;
	if (rte_vhost_get_mem_table(vid, &memory))
		return false;
	for (unsigned i = 0; i < memory->nregions && i < VHOST_REGIONS_MAX; i++)
		out->region[out->count++] = (struct vhost_region){
			memory->regions[i].guest_phys_addr,
			memory->regions[i].size,
			(uint8_t *)(uintptr_t)memory->regions[i].host_user_addr,
		};
	free(memory);
	return true;
}

/* Where a ring lies, now. */
static void ring_take(struct vhost_session *session, int vid, unsigned queue, uint64_t features)
{
	struct vhost_ring *ring = &session->rings.ring[queue];
	struct rte_vhost_vring vring;

	ring->served = false;
	if (!session->enabled[queue] || rte_vhost_get_vhost_vring(vid, (uint16_t)queue, &vring))
		return;
	vhost_ring_place(ring, vring.size, vring.desc, vring.avail, vring.used);
	ring->call_fd = vring.callfd;
	ring->memory = &session->rings.memory;
	ring->event_index = features & 1ull << VIRTIO_RING_F_EVENT_IDX;
	ring->mergeable = features & 1ull << VIRTIO_NET_F_MRG_RXBUF;
	ring->header_bytes =
		ring->mergeable || features & 1ull << VIRTIO_F_VERSION_1
			? sizeof(struct virtio_net_hdr_v1)
			: sizeof(struct virtio_net_hdr);
}

/* All of it, as librte_vhost has it now. The serving thread is out. */
static void rings_take(struct vhost_session *session, int vid)
{
	uint64_t features = 0;

	if (!memory_take(&session->rings.memory, vid) ||
	    rte_vhost_get_negotiated_features(vid, &features)) {
		session->rings.ring[VHOST_QUEUE_RECEIVE].served = false;
		session->rings.ring[VHOST_QUEUE_TRANSMIT].served = false;
		return;
	}
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++)
		ring_take(session, vid, queue, features);
}

static void wake(struct vhost_session *session)
{
	const uint64_t one = 1;

	(void)!write(session->wake_fd, &one, sizeof(one)); /* EAGAIN: it is ringing already */
}

static void resume_serving(struct vhost_session *session, int vid)
{
	if (!session->running)
		return;
	rings_take(session, vid);
	/* release: partner is the acquire in vhost_session_enter(). */
	atomic_store_explicit(&session->open, true, memory_order_release);
	/* It may be asleep, and could not ask the guest for kicks before (T08). */
	wake(session);
}

/*
 * The shim tells a new back-end of the in-flight record before anything else, as a
 * region of one descriptor for each ring (hv-shim/vhost/vhost_replay.c). What is
 * kept there instead is adj_inflight.h's; librte_vhost, which was not told that the
 * feature is in use, leaves it alone.
 */
static struct adj_inflight *inflight_of(int vid)
{
	struct rte_vhost_ring_inflight inflight;

	static_assert(sizeof(struct adj_inflight) == sizeof(inflight.inflight_split->desc[0]),
		      "in its place");
	return rte_vhost_get_vhost_ring_inflight(vid, VHOST_QUEUE_TRANSMIT, &inflight)
		       ? NULL
		       : (struct adj_inflight *)inflight.inflight_split->desc;
}

/* ---- The vhost thread: callbacks --------------------------------------------- */

static void announce(struct vhost_session *session)
{
	/* release: partner is the exchange in vhost_session_watch(). */
	atomic_store_explicit(&session->changed, true, memory_order_release);
	wake(session);
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

static enum rte_vhost_msg_result on_message(int vid, void *message)
{
	(void)vid;
	(void)message;
	pause_serving(the_session);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Not after a message that failed: then the session is over, or of no more use. */
static enum rte_vhost_msg_result on_message_done(int vid, void *message)
{
	(void)message;
	resume_serving(the_session, vid);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_ops = {on_message, on_message_done};

static int on_connection(int vid)
{
	return rte_vhost_extern_callback_register(vid, &message_ops, NULL);
}

static int on_new(int vid)
{
	struct vhost_session *session = the_session;
	struct vhost_rings *rings = &session->rings;

	pause_serving(session);
	/* Only rings that are enabled begin; of a change on_state_changed() hears. */
	session->enabled[VHOST_QUEUE_RECEIVE] = session->enabled[VHOST_QUEUE_TRANSMIT] = true;
	rings_take(session, vid);
	rings->inflight = inflight_of(vid);
	rings->began++;
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		struct vhost_ring *ring = &rings->ring[queue];
		uint16_t available = 0, used = 0;

		mail_kick_of(session, vid, queue);
		if (rte_vhost_get_vring_base(vid, (uint16_t)queue, &available, &used))
			ring->served = false;
		vhost_ring_begin(ring, available);
		/* A driver kicks unless told not to; arm() asks for it before a sleep, and
		 * an adjunct that never sleeps never does. */
		if (ring->served)
			vhost_ring_notify(ring, false);
	}
	session->running = true;
	session->ops->began(session->data, rings);
	resume_serving(session, vid);
	announce(session);
	session->env->log(session->env, ADJ_LOG_INFO, "a guest connected to %s", session->path);
	return 0;
}

static void on_destroy(int vid)
{
	struct vhost_session *session = the_session;
	struct vhost_rings *rings = &session->rings;

	pause_serving(session);
	session->running = false;
	session->ops->ended(session->data, rings);
	for (unsigned queue = 0; queue < VHOST_QUEUES; queue++) {
		/* Where the guest is told that the ring stands. */
		(void)rte_vhost_set_vring_base(vid, (uint16_t)queue, rings->ring[queue].done,
					       rings->ring[queue].done);
		mail_kick(session, queue, -1);
	}
	announce(session);
	session->env->log(session->env, ADJ_LOG_INFO, "the guest left %s", session->path);
}

/* A guest may replace its kick descriptors while it is connected. */
static int on_state_changed(int vid, uint16_t queue, int enable)
{
	struct vhost_session *session = the_session;

	if (queue >= VHOST_QUEUES)
		return 0;
	pause_serving(session);
	session->enabled[queue] = enable;
	if (enable) {
		mail_kick_of(session, vid, queue);
		announce(session);
	}
	resume_serving(session, vid);
	return 0;
}

static const struct rte_vhost_device_ops callbacks = {
	.new_device = on_new,
	.destroy_device = on_destroy,
	.vring_state_changed = on_state_changed,
	.new_connection = on_connection,
};

/* ---- The serving thread ------------------------------------------------- */

struct vhost_rings *vhost_session_enter(struct vhost_session *session)
{
	atomic_store_explicit(&session->busy, true, memory_order_relaxed);
	/* seq_cst: partner is the fence in pause_serving(). */
	atomic_thread_fence(memory_order_seq_cst);
	/* acquire: partner is resume_serving(). */
	if (atomic_load_explicit(&session->open, memory_order_acquire))
		return &session->rings;
	vhost_session_leave(session);
	return NULL;
}

void vhost_session_leave(struct vhost_session *session)
{
	/* release: partner is the acquire in pause_serving(); the burst is over. */
	atomic_store_explicit(&session->busy, false, memory_order_release);
}

bool vhost_session_over(const struct vhost_session *session)
{
	/* relaxed: a hint, until the answer is true. */
	return !atomic_load_explicit(&session->running, memory_order_relaxed);
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

/* ---- Opening and closing ------------------------------------------------ */

static int listen_at(const char *path)
{
	struct stat status;

	/* Only ever a socket of a predecessor that died. */
	if (!lstat(path, &status) && S_ISSOCK(status.st_mode) && unlink(path))
		return -errno;
	if (rte_vhost_driver_register(path, 0))
		return -EINVAL;
	if (rte_vhost_driver_disable_features(path, FEATURES_REFUSED) ||
	    rte_vhost_driver_callback_register(path, &callbacks) || rte_vhost_driver_start(path)) {
		(void)rte_vhost_driver_unregister(path);
		return -EADDRNOTAVAIL;
	}
	return 0;
}

int vhost_session_open(const struct adj_env *env, const char *path,
		       const struct vhost_session_ops *ops, void *data, struct vhost_session **out)
{
	struct vhost_session *session = calloc(1, sizeof(*session));
	int result;

	if (!session)
		return -ENOMEM;
	*session = (struct vhost_session){
		.env = env,
		.path = path,
		.ops = ops,
		.data = data,
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
