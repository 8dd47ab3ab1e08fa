/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends frames that no honest network stack would: for the end-to-end tests,
 * inside a partition, on its interface (AF_PACKET). Prints how many the kernel
 * took. One thread.
 *
 *	raw_frames INTERFACE KIND COUNT [BYTES]
 *
 * KIND: random    any bytes, any length from a header to BYTES, sender ours
 *       header    an Ethernet header and nothing else
 *       broadcast to everybody, of BYTES
 *       jumbo     to everybody, always of BYTES
 *       spoofed   from another sender's address
 *       tagged    with a VLAN tag, any of them
 *       nested    with as many VLAN tags as fit
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES_MAX 65000
#define WAIT_MS 5000

static uint8_t frame[FRAME_BYTES_MAX];
static uint8_t own_mac[ETH_ALEN];

static void put_type(size_t at, unsigned type)
{
	frame[at] = (uint8_t)(type >> 8);
	frame[at + 1] = (uint8_t)type;
}

/* Fills the frame: its length. */
static size_t make_frame(const char *kind, size_t bytes)
{
	uint16_t chance;

	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		abort();
	if (getrandom(frame, bytes < 256 ? bytes : 256, 0) < ETH_HLEN)
		abort();
	memcpy(frame + ETH_ALEN, own_mac, ETH_ALEN);
	if (!strcmp(kind, "random"))
		return ETH_HLEN + chance % (bytes - ETH_HLEN + 1);
	memset(frame, 0xff, ETH_ALEN);
	put_type(2 * ETH_ALEN, 0x88b5); /* IEEE 802: local experiments */
	if (!strcmp(kind, "header"))
		return ETH_HLEN;
	if (!strcmp(kind, "spoofed"))
		frame[ETH_ALEN + 5] ^= 0x55;
	if (!strcmp(kind, "tagged")) {
		put_type(2 * ETH_ALEN, ETH_P_8021Q);
		put_type(2 * ETH_ALEN + 2, chance);
	}
	if (!strcmp(kind, "nested"))
		for (size_t at = 2 * ETH_ALEN; at + 4 <= bytes; at += 4) {
			put_type(at, ETH_P_8021Q);
			put_type(at + 2, chance % 4096);
		}
	return bytes;
}

static int open_interface(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	struct ifreq request = {0};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		return -1;
	memcpy(own_mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	address.sll_ifindex = (int)if_nametoindex(name);
	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

int main(int argc, char **argv)
{
	long count = argc > 3 ? strtol(argv[3], NULL, 10) : 0, taken = 0, refused = 0;
	size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 60;
	int fd;

	if (argc < 4 || count < 1 || bytes < ETH_HLEN || bytes > sizeof(frame)) {
		fprintf(stderr, "usage: raw_frames INTERFACE KIND COUNT [BYTES]\n");
		return 2;
	}
	fd = open_interface(argv[1]);
	if (fd < 0) {
		fprintf(stderr, "raw_frames: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	while (taken + refused < count) {
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (send(fd, frame, make_frame(argv[2], bytes), MSG_DONTWAIT) >= 0)
			taken++;
		else if (errno == EAGAIN || errno == ENOBUFS)
			/* The interface's queue is full; it says so either way. */
			usleep(poll(&room, 1, WAIT_MS) == 1 ? 100 : 0);
		else
			refused++;
	}
	printf("%ld taken, %ld refused\n", taken, refused);
	return 0;
}
