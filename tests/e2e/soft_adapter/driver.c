/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function's driver for the soft adapter's tests: a bare DPDK port on the
 * function's socket, told what to do by lines on standard input.
 *
 *   soft_adapter_driver PATH MAC [unsealed]
 *
 *   send TO FROM COUNT LENGTH [PROTO TCI]   answers "sent N"
 *   take COUNT MS     waits for frames, asleep on the receive interrupt;
 *                     answers "took N", then for each "LENGTH HEADER [bad]"
 *   jam               makes every eventfd of this process block its writers
 *   quit
 * Addresses are 12 hex digits. Answers "ready" once the port is up. Its memory
 * is a memfd sealed against shrinking, as donated memory is; with `unsealed` it
 * is not. One thread.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "clock.h"

#define MEMORY_MB 24
#define QUEUE_SIZE 256
#define SEND_NS (5000 * NS_PER_MS)

static struct rte_mempool *pool;
static uint16_t port;
static bool sealed = true;

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

/* The EAL's heap, made and sealed before it gets it. */
int __wrap_memfd_create(const char *name, unsigned flags)
{
	int fd;

	if (strcmp(name, "nohuge") || !sealed)
		return __real_memfd_create(name, flags);
	fd = __real_memfd_create("driver", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, MEMORY_MB << 20) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -1;
	return fd;
}

static void fail(const char *what)
{
	printf("failed: %s\n", what);
	fflush(stdout);
	exit(1);
}

static void port_open(const char *path, const char *mac)
{
	struct rte_eth_conf conf = {.intr_conf = {.rxq = 1}};
	char device[300];

	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,mac=%s,queue_size=%d", path, mac,
		 QUEUE_SIZE);
	if (rte_dev_probe(device))
		fail("probe");
	pool = rte_pktmbuf_pool_create("driver", 2047, 32, 0, RTE_PKTMBUF_HEADROOM + 2048,
				       SOCKET_ID_ANY);
	if (!pool)
		fail("pool");
	if (rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL) ||
	    rte_eth_dev_start(port))
		fail("port");
}

static void put(uint8_t *out, unsigned long value, unsigned octets)
{
	while (octets-- > 0) {
		out[octets] = (uint8_t)value;
		value >>= 8;
	}
}

/* Behind the header, each octet is its own offset. */
static void fill(uint8_t *at, unsigned first, unsigned last)
{
	for (unsigned i = first; i < last; i++)
		*at++ = (uint8_t)i;
}

/* A frame of any length, in several buffers if it must be. */
static struct rte_mbuf *frame_make(const uint8_t *header, unsigned header_bytes, unsigned length)
{
	struct rte_mbuf *frame = NULL;

	for (unsigned done = 0; done < length || !frame;) {
		struct rte_mbuf *part = rte_pktmbuf_alloc(pool);
		unsigned bytes = length - done < 2048 ? length - done : 2048;
		uint8_t *at;

		if (!part)
			fail("no buffer");
		at = (uint8_t *)rte_pktmbuf_append(part, (uint16_t)bytes);
		fill(at, done, done + bytes);
		if (!frame) {
			memcpy(at, header, header_bytes < bytes ? header_bytes : bytes);
			frame = part;
		} else if (rte_pktmbuf_chain(frame, part)) {
			fail("too many buffers");
		}
		done += bytes;
	}
	return frame;
}

static void command_send(const char *arguments)
{
	unsigned long to, from;
	unsigned count, length, proto = 0, tci = 0, sent = 0, header_bytes = 12;
	uint64_t deadline = clock_now_ns() + SEND_NS;
	uint8_t header[18];

	if (sscanf(arguments, "%lx %lx %u %u %x %x", &to, &from, &count, &length, &proto, &tci) < 4)
		fail("send what?");
	put(header, to, 6);
	put(header + 6, from, 6);
	if (proto) {
		put(header + 12, proto, 2);
		put(header + 14, tci, 2);
		header_bytes = 16;
	}
	put(header + header_bytes, 0x88b5, 2); /* an experimental EtherType */
	while (sent < count && clock_now_ns() < deadline) {
		struct rte_mbuf *frame = frame_make(header, header_bytes + 2, length);

		/* A full queue is tried again: the adapter may be pacing us. */
		while (!rte_eth_tx_burst(port, 0, &frame, 1)) {
			if (clock_now_ns() > deadline) {
				rte_pktmbuf_free(frame);
				goto out;
			}
			usleep(100);
		}
		sent++;
	}
out:
	printf("sent %u\n", sent);
}

static void frame_print(struct rte_mbuf *frame)
{
	unsigned length = frame->pkt_len;
	const uint8_t *octets = rte_pktmbuf_mtod(frame, const uint8_t *);
	bool bad = frame->nb_segs != 1;

	printf("%u ", length);
	for (unsigned i = 0; i < 18 && i < length; i++)
		printf("%02x", octets[i]);
	/* Tags shift what follows them, so each octet is compared with the last. */
	for (unsigned i = 26; i < length && !bad; i++)
		bad = octets[i] != (uint8_t)(octets[26] + i - 26);
	printf("%s\n", bad ? " bad" : "");
}

/* Received and not yet taken. Always a whole burst is asked for: the port's
 * vectorized receive gives nothing to those who ask for fewer than eight. */
static struct rte_mbuf *stash[2048];
static unsigned stashed;

static bool stash_fill(void)
{
	unsigned count = stashed + 32 > 2048 ? 0 : rte_eth_rx_burst(port, 0, stash + stashed, 32);

	stashed += count;
	return count;
}

static void stash_wait(unsigned wanted, uint64_t deadline)
{
	struct pollfd interrupt = {.fd = rte_eth_dev_rx_intr_ctl_q_get_fd(port, 0),
				   .events = POLLIN};
	eventfd_t ignored;
	uint64_t now;

	while (stashed < wanted && (now = clock_now_ns()) < deadline) {
		if (stash_fill())
			continue;
		rte_eth_dev_rx_intr_enable(port, 0);
		if (!stash_fill() &&
		    poll(&interrupt, 1, (int)((deadline - now) / NS_PER_MS) + 1) > 0)
			(void)!read(interrupt.fd, &ignored, sizeof(ignored));
		rte_eth_dev_rx_intr_disable(port, 0);
	}
}

static void command_take(const char *arguments)
{
	unsigned most, milliseconds, count;

	if (sscanf(arguments, "%u %u", &most, &milliseconds) != 2 || most > 1024)
		fail("take what?");
	stash_wait(most, clock_now_ns() + milliseconds * NS_PER_MS);
	count = stashed < most ? stashed : most;
	printf("took %u\n", count);
	for (unsigned i = 0; i < count; i++) {
		frame_print(stash[i]);
		rte_pktmbuf_free(stash[i]);
	}
	stashed -= count;
	memmove(stash, stash + count, stashed * sizeof(stash[0]));
}

/* What a hostile driver can do to whoever rings it: fill the eventfd, and make
 * it block. It shares the file description, so it can do so at any time. */
static void command_jam(void)
{
	unsigned jammed = 0;

	for (int fd = 0; fd < 256; fd++) {
		char link[64], target[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof(target) - 1) < 0 || !strstr(target, "[eventfd]"))
			continue;
		eventfd_t ignored;
		int flags = fcntl(fd, F_GETFL);

		if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			fail("fcntl");
		(void)eventfd_read(fd, &ignored);
		if (eventfd_write(fd, UINT64_C(0xfffffffffffffffe)) < 0 ||
		    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
			fail("eventfd");
		jammed++;
	}
	rte_eth_dev_rx_intr_enable(port, 0);
	printf("jammed %u\n", jammed);
}

int main(int argc, char **argv)
{
	char megabytes[16], lcore[16];
	cpu_set_t before;
	char *arguments[] = {argv[0],
			     (char[]){"--no-huge"},
			     (char[]){"--no-shconf"},
			     (char[]){"--no-telemetry"},
			     (char[]){"--no-pci"},
			     (char[]){"--iova-mode=va"},
			     (char[]){"--log-level=error"},
			     (char[]){"-m"},
			     megabytes,
			     (char[]){"--lcores"},
			     lcore,
			     NULL};
	char line[200];

	if (argc < 3)
		return 2;
	sealed = argc < 4 || strcmp(argv[3], "unsealed");
	snprintf(megabytes, sizeof(megabytes), "%d", MEMORY_MB);
	snprintf(lcore, sizeof(lcore), "0@%d", sched_getcpu());
	/* The EAL pins us to one CPU; the scheduler knows better. */
	if (sched_getaffinity(0, sizeof(before), &before))
		fail("affinity");
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (rte_eal_init((int)(sizeof(arguments) / sizeof(arguments[0])) - 1, arguments) < 0)
		fail("EAL");
	if (sched_setaffinity(0, sizeof(before), &before))
		fail("affinity");
	port_open(argv[1], argv[2]);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (!strncmp(line, "send ", 5))
			command_send(line + 5);
		else if (!strncmp(line, "take ", 5))
			command_take(line + 5);
		else if (!strncmp(line, "jam", 3))
			command_jam();
		else
			fail("what?");
		fflush(stdout);
	}
	return 0;
}
