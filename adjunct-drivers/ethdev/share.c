/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames between the ends of one device and the device; see share.h. What is in an mbuf
 * here has been copied out of a partition's window, or come from the device: addresses
 * that were looked at stay as they were. The serving thread.
 */
#include "share.h"

#include <rte_ethdev.h>
#include <rte_ether.h>

void burst_free(struct burst *burst)
{
	rte_pktmbuf_free_bulk(burst->frames + burst->first, burst->count);
	burst->count = 0;
}

static struct ethdev *host_of(struct ethdev *end)
{
	return end->host ? end->host : end;
}

/* End 0 is the host. */
static struct ethdev *end_at(struct ethdev *host, unsigned i)
{
	return i ? host->clients[i - 1] : host;
}

static const struct rte_ether_hdr *header_of(const struct rte_mbuf *frame)
{
	return rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
}

static bool is_of(const struct rte_ether_addr *address, const struct ethdev *end)
{
	return !memcmp(address->addr_bytes, end->env->port.mac, RTE_ETHER_ADDR_LEN);
}

/* NULL: nobody here has that address. */
static struct ethdev *find(struct ethdev *host, const struct rte_ether_addr *address)
{
	for (unsigned i = 0; i <= host->client_count; i++)
		if (is_of(address, end_at(host, i)))
			return end_at(host, i);
	return NULL;
}

/* Whoever does not take it in time loses it, and nobody else does. */
static void give(struct ethdev *end, struct rte_mbuf *frame)
{
	if (end->port->ops->give(end->port, &frame, 1)) {
		if (end->port->ops->tell)
			end->port->ops->tell(end->port);
		return;
	}
	end->port->counters.rx_dropped++;
	rte_pktmbuf_free(frame);
}

/* To all ends but that one. */
static void give_copies(struct ethdev *host, const struct ethdev *except, struct rte_mbuf *frame)
{
	for (unsigned i = 0; i <= host->client_count; i++) {
		struct ethdev *end = end_at(host, i);
		struct rte_mbuf *copy;

		if (end == except)
			continue;
		copy = rte_pktmbuf_copy(frame, host->device->rx_pool, 0, UINT32_MAX);
		if (copy)
			give(end, copy);
		else
			end->port->counters.rx_dropped++;
	}
}

/* ---- From a partition ------------------------------------------------------------ */

static bool is_spoofed(const struct ethdev *end, const struct rte_mbuf *frame)
{
	return !is_of(&header_of(frame)->src_addr, end);
}

void share_copies(struct ethdev *end)
{
	for (unsigned i = 0; i < end->tx.count; i++) {
		struct rte_mbuf *frame = end->tx.frames[end->tx.first + i];

		if (rte_is_multicast_ether_addr(&header_of(frame)->dst_addr) &&
		    !is_spoofed(end, frame))
			give_copies(host_of(end), end, frame);
	}
}

/* The oldest frame that is held stays here: it is given to an end, or dropped. */
static void settle_one(struct ethdev *end, struct ethdev *to)
{
	struct rte_mbuf *frame = end->tx.frames[end->tx.first];

	if (to && to != end) {
		give(to, frame);
	} else {
		end->port->counters.tx_dropped++;
		rte_pktmbuf_free(frame);
	}
	burst_advance(&end->tx, 1);
	end->port->ops->passed(end->port, 1);
}

unsigned share_flush(struct ethdev *end)
{
	struct ethdev *host = host_of(end);
	struct burst *tx = &end->tx;
	unsigned left = 0;

	while (tx->count) {
		unsigned run = 0;
		struct ethdev *to = NULL;
		bool stays = false;

		/* As many as the device gets in one go. */
		for (; run < tx->count && !stays; run += !stays) {
			struct rte_mbuf *frame = tx->frames[tx->first + run];

			to = find(host, &header_of(frame)->dst_addr);
			stays = to || is_spoofed(end, frame);
			if (stays && is_spoofed(end, frame))
				to = NULL;
		}
		if (run && end->port->ops->passing)
			(void)end->port->ops->passing(end->port, run); /* of these, and no more */
		unsigned sent = run ? rte_eth_tx_burst(host->device->port_id, 0,
						       tx->frames + tx->first, (uint16_t)run)
				    : 0;

		host->handed += sent;
		end->port->device_taken += sent;
		end->port->ops->passed(end->port, sent);
		burst_advance(tx, sent);
		left += sent;
		if (sent < run)
			break; /* it has no room */
		if (stays) {
			settle_one(end, to);
			left++;
		}
	}
	return left;
}

/* ---- From the device --------------------------------------------------------------- */

void share_receive(struct ethdev *host)
{
	struct burst *rx = &host->rx;

	for (; rx->count; burst_advance(rx, 1)) {
		struct rte_mbuf *frame = rx->frames[rx->first];
		struct ethdev *to = find(host, &header_of(frame)->dst_addr);

		if (rte_is_multicast_ether_addr(&header_of(frame)->dst_addr)) {
			give_copies(host, host, frame);
			to = host;
		}
		if (to) {
			give(to, frame);
			continue;
		}
		host->port->counters.rx_dropped++;
		rte_pktmbuf_free(frame);
	}
}

/* ---- Who is there ------------------------------------------------------------------- */

void share_add(struct ethdev *host, struct ethdev *client)
{
	if (!host->client_count)
		host->handed = host->port->device_taken;
	device_add_address(host->device, client->env->port.mac);
	client->host = host;
	host->clients[host->client_count++] = client;
}

void share_remove(struct ethdev *client)
{
	struct ethdev *host = client->host;
	unsigned i = 0;

	while (host->clients[i] != client)
		i++;
	host->clients[i] = host->clients[--host->client_count];
	device_remove_address(host->device, client->env->port.mac);
}
