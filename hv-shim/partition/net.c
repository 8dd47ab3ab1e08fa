/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving frames: where a packet crosses from the partition to its adjunct and
 * back. Slot i of a ring owns buffer i, so nothing but a length travels in an
 * entry. Runs on the thread that owns the handle; only ringing the doorbell
 * calls the kernel.
 */
#include <errno.h>
#include <string.h>

#include "net_copy.h"
#include "otr_internal.h"

int otr_break(struct otr_net *net, const char *what)
{
	net->error = -EPROTO;
	return otr_fail(-EPROTO, "device %s: the adjunct %s", net->device, what);
}

static uint8_t *tx_buffer(const struct otr_net *net, uint32_t ahead)
{
	return net->tx_buffers +
	       (size_t)((eq_ring_slot(&net->tx) + ahead) & net->tx.mask) * NET_BUFFER_BYTES;
}

/* Room for `count` frames or fewer, or -EPROTO. */
static int tx_room(struct otr_net *net, unsigned count)
{
	if (net->error)
		return otr_broken(net);
	if (count > net->layout.ring_entries)
		count = net->layout.ring_entries;
	int space = eq_ring_space(&net->tx, count);
	if (space < 0)
		return otr_break(net, "consumed frames that were never sent");
	return space < (int)count ? space : (int)count;
}

static int check_lengths(const struct otr_net *net, const struct otr_frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (frames[i].length_bytes < NET_FRAME_MIN ||
		    frames[i].length_bytes > net->frame_max)
			return otr_fail(-EMSGSIZE, "a frame of %u bytes is not within %u and %u",
					frames[i].length_bytes, NET_FRAME_MIN, net->frame_max);
	}
	return 0;
}

/* Announces the frame that lies in the next slot's buffer. */
static void tx_put(struct otr_net *net, uint32_t length_bytes)
{
	const struct net_entry entry = {.length_bytes = (uint16_t)length_bytes};

	eq_ring_put(&net->tx, &entry, sizeof(entry));
	net->stats.tx_frames++;
	net->stats.tx_bytes += length_bytes;
}

int otr_net_send(struct otr_net *net, const struct otr_frame *frames, unsigned count)
{
	int error = check_lengths(net, frames, count);

	if (error)
		return error;
	net->reserved = 0;
	int room = tx_room(net, count);
	if (room <= 0)
		return room;
	/* The buffers' first lines were last read by the adjunct: ask for all of them
	 * at once instead of waiting for one after the other. */
	for (int i = 0; i < room; i++)
		__builtin_prefetch(tx_buffer(net, (uint32_t)i), 1);
	for (int i = 0; i < room; i++) {
		net_copy_out(tx_buffer(net, 0), frames[i].data, frames[i].length_bytes);
		tx_put(net, frames[i].length_bytes);
	}
	otr_tell_adjunct(net, eq_ring_must_wake_consumer(&net->tx));
	return room;
}

int otr_net_reserve(struct otr_net *net, struct otr_frame *frames, unsigned count)
{
	int room = tx_room(net, count);

	for (int i = 0; i < room; i++)
		frames[i] = (struct otr_frame){tx_buffer(net, (uint32_t)i), net->frame_max};
	net->reserved = room < 0 ? 0 : (uint32_t)room;
	return room;
}

int otr_net_commit(struct otr_net *net, const struct otr_frame *frames, unsigned count)
{
	if (count > net->reserved)
		return otr_fail(-EINVAL, "%u frames committed where %u were reserved", count,
				net->reserved);
	int error = check_lengths(net, frames, count);
	if (error)
		return error;
	net->reserved = 0;
	for (unsigned i = 0; i < count; i++)
		tx_put(net, frames[i].length_bytes);
	if (count)
		otr_tell_adjunct(net, eq_ring_must_wake_consumer(&net->tx));
	return (int)count;
}

int otr_net_receive(struct otr_net *net, struct otr_frame *frames, unsigned frames_max)
{
	struct net_entry entry; /* our copy; the ring's may change under us */
	unsigned count = 0;
	int error = 0;

	if (net->error)
		return otr_broken(net);
	/* Never a buffer twice, even if the adjunct announces a slot we still hold. */
	uint32_t room = net->layout.ring_entries - eq_ring_held(&net->rx);
	if (frames_max > room)
		frames_max = room;
	while (count < frames_max) {
		uint32_t slot = net->rx.position & net->rx.mask;

		if (!eq_ring_take(&net->rx, &entry, sizeof(entry)))
			break;
		if (entry.length_bytes < NET_FRAME_MIN || entry.length_bytes > NET_FRAME_MAX ||
		    entry.flags || entry.reserved[0] || entry.reserved[1]) {
			/* The good frames before it are delivered; the next call fails. */
			error = otr_break(net, "delivered a frame with a wrong length or flags");
			break;
		}
		frames[count++] = (struct otr_frame){
			.data = net->rx_buffers + (size_t)slot * NET_BUFFER_BYTES,
			.length_bytes = entry.length_bytes,
		};
		net->stats.rx_bytes += entry.length_bytes;
	}
	net->stats.rx_frames += count;
	return count ? (int)count : error;
}

int otr_net_release(struct otr_net *net, unsigned count)
{
	if (count > eq_ring_held(&net->rx))
		return otr_fail(-EINVAL, "%u frames released where %u are held", count,
				eq_ring_held(&net->rx));
	if (count == 0)
		return 0;
	eq_ring_release(&net->rx, count);
	if (eq_ring_must_wake_producer(&net->rx))
		otr_tell_adjunct(net, true);
	return 0;
}

void otr_net_info(const struct otr_net *net, struct otr_net_info *out)
{
	*out = (struct otr_net_info){
		.mtu = net->mtu,
		.frame_min = NET_FRAME_MIN,
		.frame_max = net->frame_max,
		.ring_entries = net->layout.ring_entries,
	};
	memcpy(out->mac, net->mac, sizeof(out->mac));
}

void otr_net_stats(const struct otr_net *net, struct otr_net_stats *out)
{
	*out = net->stats;
}
