/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile program of a partition, for tests/e2e/hostile_neighbour.sh and `make
 * bench`. It does one thing as fast as it can:
 *
 *	neighbour garbage PARTITION DEVICE SECONDS   writes anything anywhere in its window
 *	neighbour attach PARTITION DEVICE COUNT      opens and leaves, one way or another
 *	neighbour calls PARTITION DEVICE SECONDS     asks its partition's socket
 *	neighbour flood PARTITION DEVICE SECONDS MAC sends, from its own address
 *
 * PARTITION is a socket's path. A line at the end says how often it did it. One
 * thread.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "otr_internal.h"

#define BURST 32u
#define CONNECTIONS 8u
#define ROUND_NS (50 * NS_PER_MS) /* of garbage; then the device is opened anew */
#define OPEN_NS (20 * NS_PER_S)

static const char *partition, *device;
static uint64_t random_state = 0x2545f4914f6cdd1dULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "neighbour: %s: %s\n", what, otr_last_error());
	exit(1);
}

/* Who left without a word is noticed a little later: until then the device is busy. */
static struct otr_net *open_device(struct otr **otr)
{
	const struct timespec pause = {.tv_nsec = 200000};
	uint64_t until_ns = clock_now_ns() + OPEN_NS;
	struct otr_net *net;

	if (otr_attach(partition, otr))
		give_up("attach");
	for (;;) {
		int error = otr_net_open(*otr, device, &net);

		if (!error)
			return net;
		if ((error != -EBUSY && error != -EAGAIN) || clock_now_ns() > until_ns)
			give_up("open");
		nanosleep(&pause, NULL);
	}
}

/* ---- Garbage ------------------------------------------------------------------- */

static void ring_bells(struct otr_net *net)
{
	const uint64_t any = next_random() & 1 ? 1 : UINT64_MAX - 1;

	/* A full counter refuses; that is as good. */
	for (unsigned bell = 0; bell < NET_BELLS; bell++)
		(void)!write(net->bells[bell], &any, sizeof(any));
}

/* Entries that look due, with whatever lengths: they are taken, not only ignored. */
static void supply_garbage(struct otr_net *net)
{
	uint32_t from = atomic_load(eq_ring_consumed(&net->tx));

	for (uint32_t i = 0; i < eq_ring_capacity(&net->tx); i++) {
		struct eq_ring_entry *entry = eq_ring_entry_at(&net->tx, from + i);
		uint64_t words[2] = {next_random(), next_random()};

		if (words[1] & 1)
			words[0] = words[0] % 1600;
		memcpy(entry->payload, words, sizeof(struct net_entry));
		atomic_store(&entry->sequence, from + i + 1);
	}
}

static void write_anywhere(struct otr_net *net)
{
	uint64_t *window = net->window;
	size_t words = net->layout.size_bytes / sizeof(*window);

	for (unsigned i = 0; i < 20000; i++)
		window[next_random() % words] = next_random();
	/* The few words that steer anything are hit too seldom by chance. */
	atomic_store(eq_ring_consumed(&net->rx), (uint32_t)next_random());
	atomic_store(eq_ring_producer_armed(&net->tx), (uint32_t)next_random());
	atomic_store(eq_ring_consumer_armed(&net->rx), (uint32_t)next_random());
}

static uint64_t deed_garbage(uint64_t seconds)
{
	uint64_t until_ns = clock_now_ns() + seconds * NS_PER_S, rounds = 0;

	while (clock_now_ns() < until_ns) {
		struct otr *otr;
		struct otr_net *net = open_device(&otr);
		uint64_t round_ns = clock_now_ns() + ROUND_NS;

		while (clock_now_ns() < round_ns) {
			supply_garbage(net);
			ring_bells(net);
			if (next_random() & 1)
				write_anywhere(net);
			rounds++;
		}
		otr_net_close(net);
		otr_detach(otr);
	}
	return rounds;
}

/* ---- Coming and going ---------------------------------------------------------- */

/* -1: not now. */
static int connection(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", partition);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool send_call(int fd, const char *call)
{
	size_t bytes = strlen(call) + 1;

	return send(fd, call, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes;
}

/* Asks for the device and is gone before the answer. */
static void ask_and_leave(void)
{
	char call[160];
	int fd = connection();

	if (fd < 0)
		return;
	snprintf(call, sizeof(call),
		 "{\"method\":\"org.outrigger.Partition.OpenNet\",\"parameters\":{\"device\":\"%s\"}}",
		 device);
	send_call(fd, call);
	close(fd);
}

static uint64_t deed_attach(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct otr *otr;
		struct otr_net *net;

		if (i % 3 == 2) {
			ask_and_leave();
			continue;
		}
		net = open_device(&otr);
		if (i % 3 == 1) {
			/* The connection breaks; nobody says goodbye. */
			varlink_conn_free(net->conn);
			net->conn = NULL;
		}
		otr_net_close(net);
		otr_detach(otr);
	}
	return count;
}

/* ---- Calls ----------------------------------------------------------------------- */

static uint64_t deed_calls(uint64_t seconds)
{
	static const char *const calls[] = {
		"{\"method\":\"org.outrigger.Partition.GetPartition\"}",
		"{\"method\":\"org.outrigger.Partition.OpenNet\",\"parameters\":{\"device\":\"none\"}}",
		"{\"method\":\"org.outrigger.Partition.OpenRegion\",\"parameters\":{\"region\":\"no\"}}",
		"{\"method\":\"org.varlink.service.GetInfo\"}",
		"{\"method\":\"org.outrigger.Shim.Down\"}",
		"{\"method\":\"org.outrigger.Partition.GetPartition\",\"oneway\":true}",
		"{\"method\":\"org.outrigger.Partition.Monitor\",\"more\":true}",
		"[\"no call\"]",
	};
	static char answers[65536];
	uint64_t until_ns = clock_now_ns() + seconds * NS_PER_S, done = 0;
	struct pollfd connections[CONNECTIONS];

	for (unsigned i = 0; i < CONNECTIONS; i++)
		connections[i] = (struct pollfd){.fd = -1, .events = POLLIN | POLLOUT};
	while (clock_now_ns() < until_ns) {
		for (unsigned i = 0; i < CONNECTIONS; i++) {
			if (connections[i].fd < 0)
				connections[i].fd = connection();
			connections[i].revents = 0;
		}
		if (poll(connections, CONNECTIONS, 100) <= 0)
			continue;
		for (unsigned i = 0; i < CONNECTIONS; i++) {
			struct pollfd *conn = &connections[i];
			bool closed = false;

			if (conn->revents & POLLOUT) {
				uint64_t random = next_random();
				/* The last two seldom: they are the end of the connection,
				 * and those before them are to be served. */
				unsigned which = random % 64 ? (unsigned)(random % 6)
							     : 6 + (unsigned)(random >> 32 & 1);
				done += send_call(conn->fd, calls[which]);
				closed = which == 6;
			}
			if (conn->revents & ~POLLOUT)
				closed |= recv(conn->fd, answers, sizeof(answers), MSG_DONTWAIT) == 0 ||
					  conn->revents & (POLLERR | POLLHUP);
			if (closed) {
				close(conn->fd);
				conn->fd = -1;
			}
		}
	}
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (connections[i].fd >= 0)
			close(connections[i].fd);
	return done;
}

/* ---- A flood -------------------------------------------------------------------- */

static uint64_t deed_flood(uint64_t seconds, const uint8_t mac[6])
{
	uint64_t until_ns = clock_now_ns() + seconds * NS_PER_S;
	struct otr_frame frames[BURST];
	uint8_t octets[64] = {0};
	struct otr_net_info info;
	struct otr_net_stats stats;
	struct otr *otr;
	struct otr_net *net = open_device(&otr);

	otr_net_info(net, &info);
	memcpy(octets, mac, 6);
	memcpy(octets + 6, info.mac, 6);
	octets[12] = 0x88, octets[13] = 0xb5; /* IEEE 802: local experiments */
	for (unsigned i = 0; i < BURST; i++)
		frames[i] = (struct otr_frame){octets, sizeof(octets)};
	while (clock_now_ns() < until_ns) {
		int sent = otr_net_send(net, frames, BURST);

		if (sent < 0 || (!sent && otr_net_wait(net, OTR_TX, until_ns) < 0))
			give_up("send");
	}
	otr_net_stats(net, &stats);
	otr_net_close(net);
	otr_detach(otr);
	return stats.tx_frames;
}

int main(int argc, char **argv)
{
	uint64_t amount = argc > 4 ? strtoull(argv[4], NULL, 10) : 0, done;
	uint8_t mac[6];

	signal(SIGPIPE, SIG_IGN);
	if (argc < 5 || argc > 6 || !amount || (argc == 6 && otr_parse_mac(argv[5], mac)))
		goto usage;
	partition = argv[2];
	device = argv[3];
	if (!strcmp(argv[1], "garbage"))
		done = deed_garbage(amount);
	else if (!strcmp(argv[1], "attach"))
		done = deed_attach(amount);
	else if (!strcmp(argv[1], "calls"))
		done = deed_calls(amount);
	else if (!strcmp(argv[1], "flood") && argc == 6)
		done = deed_flood(amount, mac);
	else
		goto usage;
	printf("%s: %llu\n", argv[1], (unsigned long long)done);
	return 0;
usage:
	fprintf(stderr, "usage: neighbour garbage|attach|calls|flood PARTITION DEVICE NUMBER [MAC]\n");
	return 2;
}
