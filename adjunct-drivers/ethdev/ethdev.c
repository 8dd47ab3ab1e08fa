/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `ethdev` driver: moves frames between the partition's port (port.h) and
 * a DPDK ethdev port (device.h). Every call comes from the runtime's serving
 * thread.
 *
 * Back-pressure. What one side took and the other has no room for is held here,
 * at most one burst each way, and nothing more is taken on that side:
 *   device full      the partition's frames wait in its own rings;
 *   partition full   the device is not polled, so an overload is dropped, and
 *                    counted, by the adapter.
 * Nothing taken is lost, and but for a TAP not even if we die: what a frame came from
 * is given back only once the device has it (port_ops.passed). A full partition wakes
 * us when it makes room; for room in a transmit queue DPDK has no interrupt, so then
 * arm() asks to be polled.
 *
 * A partition that sleeps is woken when there is nothing more to move for now, or when
 * UNTOLD_MAX frames have moved meanwhile: one that shares our processor would otherwise
 * take it away for each burst.
 */
#include "ethdev.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "clock.h"
#include "requests.h"

/* After the partition's last frame was handed over, the device gets so long to
 * send it; devices that give buffers back late cannot be waited for. */
#define SEND_OUT_NS (2 * NS_PER_MS)
#define UNTOLD_MAX (8 * BURST_FRAMES)
/* Frames still taken from the device while quiescing: more than it can hold. */
#define DRAIN_FRAMES_MAX 2048

/* What save() writes; a successor of another version is refused. */
#define SAVED_VERSION 1
struct saved {
	uint32_t version, port_kind;
	struct port_positions positions;
	struct port_counters counters;
};
static_assert(sizeof(struct saved) == 16 + 7 * 8, "saved state, version 1");

/* ---- Serving ------------------------------------------------------------ */

static unsigned flush_to_device(struct ethdev *ethdev)
{
	struct port *port = ethdev->port;
	struct burst *tx = &ethdev->tx;
	int may = port->ops->passing ? port->ops->passing(port, tx->count) : 1;

	if (unlikely(may <= 0)) {
		if (may < 0) {
			port->counters.tx_dropped += tx->count;
			burst_free(tx);
		}
		return 0;
	}
	if (unlikely(share_is_on(ethdev)))
		return share_flush(ethdev);
	unsigned sent = rte_eth_tx_burst(ethdev->device->port_id, 0, tx->frames + tx->first,
					 (uint16_t)tx->count);

	port->device_taken += sent;
	if (port->ops->passed)
		port->ops->passed(port, sent);
	burst_advance(tx, sent);
	return sent;
}

static void tell_partition(struct ethdev *ethdev)
{
	if (ethdev->untold && ethdev->port->ops->tell)
		ethdev->port->ops->tell(ethdev->port);
	ethdev->untold = 0;
}

static unsigned flush_to_partition(struct ethdev *ethdev)
{
	struct burst *rx = &ethdev->rx;
	unsigned given = ethdev->port->ops->give(ethdev->port, rx->frames + rx->first, rx->count);

	burst_advance(rx, given);
	ethdev->untold |= given != 0;
	return given;
}

/* Partition to device: one burst. Frames that moved on. */
static inline unsigned move_tx(struct ethdev *ethdev)
{
	struct burst *tx = &ethdev->tx;
	unsigned flushed = 0;

	if (unlikely(tx->count)) {
		flushed = flush_to_device(ethdev);
		if (tx->count)
			return flushed;
	}
	int taken = ethdev->port->ops->take(ethdev->port, tx->frames, BURST_FRAMES);

	ethdev->starved = taken < 0;
	if (taken <= 0)
		return flushed;
	tx->first = 0;
	tx->count = (unsigned)taken;
	if (unlikely(share_is_on(ethdev)))
		share_copies(ethdev);
	flush_to_device(ethdev);
	return flushed + (unsigned)taken;
}

/* Device to partition: one burst. */
static inline unsigned move_rx(struct ethdev *ethdev)
{
	struct burst *rx = &ethdev->rx;
	unsigned flushed = 0;

	/* A request waits for a frame: those that come are its, while nobody shares them. */
	bool asked = unlikely(ethdev->requests.wanted.frame) && !share_is_on(ethdev);

	if (unlikely(rx->count)) {
		flushed = asked ? 0 : flush_to_partition(ethdev);
		if (rx->count)
			return flushed;
	}
	rx->first = 0;
	rx->count = rte_eth_rx_burst(ethdev->device->port_id, 0, rx->frames, BURST_FRAMES);
	if (unlikely(ethdev->requests.filters))
		requests_filter(ethdev);
	if (!rx->count)
		return flushed;
	flushed += rx->count;
	if (unlikely(share_is_on(ethdev)))
		share_receive(ethdev);
	else if (!asked)
		flush_to_partition(ethdev);
	return flushed;
}

static unsigned move(struct ethdev *ethdev)
{
	/* A shut port takes nothing more; the device keeps its link and no frames, but
	 * for those of others. */
	if (unlikely(ethdev->port->shut))
		return share_is_on(ethdev) && !ethdev->host ? move_rx(ethdev) : 0;
	unsigned moved = move_tx(ethdev);

	/* What the device receives is everybody's, and comes by whom it belongs to. */
	return ethdev->host ? moved : moved + move_rx(ethdev);
}

static int ethdev_dispatch(void *state, unsigned budget)
{
	struct ethdev *ethdev = state;
	unsigned moved = 0, now = 1;

	/* Whoever goes on waiting says so again. */
	ethdev->requests.wanted = ethdev->requests.asked;
	ethdev->requests.asked.frame = ethdev->requests.asked.room = false;
	/* What is left untold with the budget is told by the next dispatch, which follows. */
	for (unsigned bursts = 0; now && bursts < budget; bursts += BURST_FRAMES) {
		if (unlikely(ethdev->host ? !ethdev->device->present
					  : device_needs_attention(ethdev->device))) {
			int result = ethdev->host ? 0 : device_attend(ethdev->device);

			if (result)
				return result;
			if (!ethdev->host)
				requests_apply(ethdev); /* it may have been started anew */
		}
		now = ethdev->device->present ? move(ethdev) : 0;
		moved += now;
		ethdev->untold += ethdev->untold ? now : 0;
		if (!now || ethdev->untold >= UNTOLD_MAX)
			tell_partition(ethdev);
	}
	return (int)moved;
}

static int ethdev_arm(void *state, bool on)
{
	struct ethdev *ethdev = state;
	struct port *port = ethdev->port;
	bool full = ethdev->rx.count; /* the partition is */
	bool blocked = ethdev->tx.count || ethdev->starved || ethdev->requests.wanted.room ||
		       !ethdev->device->present;
	bool silent = false; /* the device cannot interrupt */
	bool open = !port->shut || (share_is_on(ethdev) && !ethdev->host);

	if (on && open) {
		if (ethdev->device->present && !full && !ethdev->host)
			silent = device_arm(ethdev->device, share_handed(ethdev)) != 0;
		/* Armed first, looked at afterwards: what came in between is seen. */
		if (!port->ops->arm(port, !blocked, full) &&
		    !(ethdev->device->present && move(ethdev)))
			return blocked || silent ? -EAGAIN : 0;
	}
	if (on && !open)
		return ethdev->device->present ? 0 : -EAGAIN;
	if (!ethdev->host)
		device_disarm(ethdev->device);
	port->ops->disarm(port);
	return on ? 1 : 0;
}

static void ethdev_interrupt(void *state, int fd)
{
	struct ethdev *ethdev = state;

	if (!ethdev->host)
		device_interrupt(ethdev->device, fd);
	ethdev->port->ops->interrupt(ethdev->port, fd);
}

static void ethdev_stats(void *state, struct adj_stats *out)
{
	struct ethdev *ethdev = state;
	const struct port_counters *counters = &ethdev->port->counters;

	*out = (struct adj_stats){
		.tx_frames = counters->tx_frames,
		.tx_bytes = counters->tx_bytes,
		.tx_dropped = counters->tx_dropped,
		.rx_frames = counters->rx_frames,
		.rx_bytes = counters->rx_bytes,
		.rx_dropped = counters->rx_dropped,
		.doorbells = counters->doorbells,
		.link_up = device_link_up(ethdev->device),
	};
}

/* ---- Programs that come and go ------------------------------------------- */

static int ethdev_attach(void *state)
{
	struct ethdev *ethdev = state;

	return port_native_attach(ethdev->port);
}

static void ethdev_detach(void *state)
{
	struct ethdev *ethdev = state;

	/* What was on its way to the program that has left is not the next one's,
	 * and what came from it is in a ring that is not the next one's. */
	ethdev->port->counters.rx_dropped += ethdev->rx.count;
	ethdev->port->counters.tx_dropped += ethdev->tx.count;
	burst_free(&ethdev->rx);
	burst_free(&ethdev->tx);
	ethdev->untold = 0;
	if (!ethdev->host)
		requests_reset(ethdev);
	port_native_detach(ethdev->port);
}

/* ---- Stopping and following --------------------------------------------- */

static unsigned quiesce_move(struct ethdev *ethdev)
{
	unsigned moved = 0;

	if (ethdev->device->present && ethdev->tx.count)
		moved += flush_to_device(ethdev);
	if (ethdev->rx.count)
		moved += flush_to_partition(ethdev);
	else if (!ethdev->host && ethdev->device->present && ethdev->drained < DRAIN_FRAMES_MAX) {
		unsigned drained = move_rx(ethdev);

		ethdev->drained += drained;
		moved += drained;
	}
	return moved;
}

static int ethdev_quiesce(void *state)
{
	struct ethdev *ethdev = state;
	struct device *device = ethdev->device;
	uint64_t now_ns = ethdev->env->now_ns();

	while (quiesce_move(ethdev))
		ethdev->progress_ns = now_ns;
	tell_partition(ethdev);
	if (!ethdev->progress_ns)
		ethdev->progress_ns = now_ns;
	if (ethdev->tx.count || ethdev->rx.count)
		return -EAGAIN;
	if (!device->present || ethdev->host)
		return 0;
	(void)rte_eth_tx_done_cleanup(device->port_id, 0, 0); /* where there is such a thing */
	if (rte_mempool_in_use_count(device->tx_pool) <= ethdev->port->spare_count)
		return 0;
	return now_ns - ethdev->progress_ns < SEND_OUT_NS ? -EAGAIN : 0;
}

static int ethdev_save(void *state, void *buffer, size_t size_bytes)
{
	struct ethdev *ethdev = state;
	struct saved saved = {
		.version = SAVED_VERSION,
		.port_kind = ethdev->env->port.kind,
		.counters = ethdev->port->counters,
	};

	if (size_bytes < sizeof(saved))
		return -ENOSPC;
	/* What could not be handed over in time goes with us, or, from a port that
	 * still has it, is taken again. */
	if (!ethdev->port->ops->passed)
		saved.counters.tx_dropped += ethdev->tx.count;
	for (unsigned i = 0; ethdev->port->ops->passed && i < ethdev->tx.count; i++) {
		saved.counters.tx_frames--;
		saved.counters.tx_bytes -= ethdev->tx.frames[ethdev->tx.first + i]->pkt_len;
	}
	saved.counters.rx_dropped += ethdev->rx.count;
	ethdev->port->ops->save(ethdev->port, &saved.positions);
	memcpy(buffer, &saved, sizeof(saved));
	return (int)sizeof(saved);
}

static int ethdev_restore(void *state, const void *buffer, size_t size_bytes)
{
	struct ethdev *ethdev = state;
	struct saved saved;

	if (size_bytes != sizeof(saved))
		return -EINVAL;
	memcpy(&saved, buffer, sizeof(saved));
	if (saved.version != SAVED_VERSION || saved.port_kind != ethdev->env->port.kind) {
		ethdev->env->log(ethdev->env, ADJ_LOG_ERROR,
				 "the predecessor's state is of version %u, port kind %u",
				 saved.version, saved.port_kind);
		return -EINVAL;
	}
	ethdev->port->counters = saved.counters;
	return ethdev->port->ops->restore(ethdev->port, &saved.positions);
}

/* ---- Beginning and end -------------------------------------------------- */

static int open_port(const struct adj_env *env, struct rte_mempool *pool, struct port **out)
{
	switch (env->port.kind) {
	case ADJ_PORT_TAP:
		return port_tap_open(env, pool, out);
	case ADJ_PORT_VHOST_USER:
		return port_vhost_open(env, pool, out);
	case ADJ_PORT_NATIVE:
		return port_native_open(env, pool, out);
	}
	return -EINVAL;
}

static int ethdev_prepare(const struct adj_env *env, void **state)
{
	struct ethdev *ethdev = calloc(1, sizeof(*ethdev));

	if (!ethdev)
		return -ENOMEM;
	ethdev->env = env;
	ethdev->device = &ethdev->own_device;
	int result = device_prepare(ethdev->device, env);

	if (result) {
		device_close(ethdev->device);
		free(ethdev);
		return result;
	}
	*state = ethdev;
	return 0;
}

static int ethdev_init(const struct adj_env *env, void **state)
{
	int result = *state ? 0 : ethdev_prepare(env, state);

	if (result)
		return result;
	struct ethdev *ethdev = *state;

	result = device_open(ethdev->device);

	if (!result) {
		result = open_port(env, ethdev->device->tx_pool, &ethdev->port);
		if (result)
			device_close(ethdev->device);
	}
	if (result)
		free(ethdev);
	else
		requests_apply(ethdev); /* what the program asked a predecessor for */
	return result;
}

static int ethdev_client(void *state, const struct adj_env *env, void **out)
{
	struct ethdev *host = state, *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->env = env;
	client->device = host->device;
	int result = port_native_open(env, host->device->tx_pool, &client->port);

	if (result) {
		free(client);
		return result;
	}
	share_add(host, client);
	*out = client;
	return 0;
}

static void ethdev_exit(void *state)
{
	struct ethdev *ethdev = state;

	burst_free(&ethdev->tx);
	burst_free(&ethdev->rx);
	ethdev->port->ops->close(ethdev->port);
	if (ethdev->host) {
		share_remove(ethdev);
		free(ethdev);
		return;
	}
	device_close(ethdev->device);
	free(ethdev);
}

/* Functions by VFIO: their interrupts come and go with them, which a reset by the
 * physical function takes as well; what the bus knows of them is read. */
static const int syscalls[] = {__NR_eventfd2, __NR_pread64, __NR_pwrite64, -1};
static const unsigned ioctls[] = {VFIO_DEVICE_SET_IRQS, 0};

const struct adj_ops ethdev_ops = {
	.name = "ethdev",
	.interface_version = ADJ_INTERFACE_VERSION,
	.uses_dpdk = true,
	.syscalls = syscalls,
	.ioctls = ioctls,
	.prepare = ethdev_prepare,
	.init = ethdev_init,
	.dispatch = ethdev_dispatch,
	.request = requests_serve,
	.repeatable = requests_repeatable,
	.arm = ethdev_arm,
	.interrupt = ethdev_interrupt,
	.attach = ethdev_attach,
	.detach = ethdev_detach,
	.client = ethdev_client,
	.quiesce = ethdev_quiesce,
	.save = ethdev_save,
	.restore = ethdev_restore,
	.stats = ethdev_stats,
	.exit = ethdev_exit,
};
