/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A native partition's program that answers ARP and ping for one IPv4 address:
 * the smallest host there is, without a kernel's network stack.
 *
 *	otr-echo PARTITION DEVICE ADDRESS       until Ctrl-C
 *	otr-echo green net0 10.77.0.3
 *
 * Then ping 10.77.0.3 from any partition on the same adapter. Reading order:
 * main, then answer.
 */
#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "outrigger.h"

#define BURST 32

struct host {
	struct otr_net *net;
	uint8_t mac[6];
	uint32_t address; /* network byte order */
};

/* What we look at in a frame; both begin with the Ethernet header. */
struct arp_frame {
	struct ether_header ethernet;
	struct ether_arp arp;
} __attribute__((packed));
struct ping_frame {
	struct ether_header ethernet;
	struct iphdr ip; /* requests with IP options go unanswered */
	struct icmphdr icmp;
} __attribute__((packed));

/* Turns an ARP request for our address into its answer. */
static bool answer_arp(const struct host *host, struct arp_frame *frame)
{
	if (ntohs(frame->arp.arp_op) != ARPOP_REQUEST ||
	    memcmp(frame->arp.arp_tpa, &host->address, 4) != 0)
		return false;
	frame->arp.arp_op = htons(ARPOP_REPLY);
	memcpy(frame->arp.arp_tha, frame->arp.arp_sha, 6);
	memcpy(frame->arp.arp_tpa, frame->arp.arp_spa, 4);
	memcpy(frame->arp.arp_sha, host->mac, 6);
	memcpy(frame->arp.arp_spa, &host->address, 4);
	return true;
}

/* Turns an echo request to our address into its answer. */
static bool answer_ping(const struct host *host, struct ping_frame *frame)
{
	if (frame->ip.ihl != 5 || frame->ip.protocol != IPPROTO_ICMP ||
	    frame->ip.daddr != host->address || frame->icmp.type != ICMP_ECHO)
		return false;
	frame->ip.daddr = frame->ip.saddr; /* exchanging two words keeps the checksum */
	frame->ip.saddr = host->address;
	frame->icmp.type = ICMP_ECHOREPLY;
	/* The type was 8 and is 0: adjust the one's complement sum (RFC 1624). */
	uint32_t sum = ntohs(frame->icmp.checksum) + 0x0800u;
	frame->icmp.checksum = htons((uint16_t)(sum + (sum >> 16)));
	return true;
}

/*
 * Answers one frame, or not. It is our private copy: nobody changes it while we
 * look. -errno: the device is broken.
 */
static int answer(struct host *host, uint8_t *bytes, uint32_t length_bytes)
{
	struct ether_header *ethernet = (struct ether_header *)bytes;
	uint16_t type = ntohs(ethernet->ether_type);
	const struct otr_frame out = {bytes, length_bytes};
	bool answered = false;

	if (type == ETHERTYPE_ARP && length_bytes >= sizeof(struct arp_frame))
		answered = answer_arp(host, (struct arp_frame *)bytes);
	else if (type == ETHERTYPE_IP && length_bytes >= sizeof(struct ping_frame))
		answered = answer_ping(host, (struct ping_frame *)bytes);
	if (!answered)
		return 0;
	memcpy(ethernet->ether_dhost, ethernet->ether_shost, 6);
	memcpy(ethernet->ether_shost, host->mac, 6);
	/* 0 sent, because the transmit ring is full, drops the answer, as any network may. */
	return otr_net_send(host->net, &out, 1);
}

static void say_events(struct otr_net *net)
{
	struct otr_event event;

	while (otr_net_event(net, &event) == 1)
		printf("%s: %s\n", event.event, event.message);
	fflush(stdout);
}

/* Serves until something fails: -errno. The device closes with the program. */
static int serve(struct host *host)
{
	struct otr_frame frames[BURST];
	uint8_t copy[2048]; /* longer frames go unanswered */

	for (;;) {
		int ready = otr_net_wait(host->net, OTR_RX | OTR_EVENT, OTR_FOREVER);
		if (ready < 0)
			return ready;
		if (ready & OTR_EVENT)
			say_events(host->net);
		int count = otr_net_receive(host->net, frames, BURST);
		if (count < 0)
			return count;
		for (int i = 0; i < count; i++) {
			if (frames[i].length_bytes > sizeof(copy))
				continue;
			memcpy(copy, frames[i].data, frames[i].length_bytes);
			int error = answer(host, copy, frames[i].length_bytes);
			if (error < 0)
				return error;
		}
		otr_net_release(host->net, (unsigned)count);
	}
}

int main(int argc, char **argv)
{
	struct otr *otr = NULL;
	struct host host = {0};
	struct otr_net_info info;

	if (argc != 4 || inet_pton(AF_INET, argv[3], &host.address) != 1) {
		fprintf(stderr, "usage: otr-echo PARTITION DEVICE IPV4-ADDRESS\n");
		return 2;
	}

	int error = otr_attach(argv[1], &otr);
	if (!error)
		error = otr_net_open(otr, argv[2], &host.net);
	if (!error) {
		otr_net_info(host.net, &info);
		memcpy(host.mac, info.mac, sizeof(host.mac));
		printf("answering for %s on %s/%s\n", argv[3], argv[1], argv[2]);
		fflush(stdout);
		error = serve(&host);
	}
	if (error)
		fprintf(stderr, "otr-echo: %s\n", otr_last_error());
	otr_net_close(host.net);
	otr_detach(otr);
	return error ? 1 : 0;
}
