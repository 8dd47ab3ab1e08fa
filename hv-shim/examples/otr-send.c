/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A native partition's program that sends bursts of frames as fast as they are
 * taken, counts what it receives, and prints both rates every second.
 *
 *	otr-send PARTITION DEVICE SECONDS [MAC [BYTES]]
 *	otr-send green net0 10                       receives only
 *	otr-send white net0 10 02:00:00:00:00:03     sends to that MAC, and receives
 *
 * Frames are built in the window itself (reserve, fill, commit): no copy.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outrigger.h"

#define BURST 32
#define ETHERTYPE_EXPERIMENT 0x88b5 /* IEEE 802: local experiments */

struct options {
	unsigned seconds;
	int sends;
	uint8_t destination[6];
	unsigned size_bytes;
};

static int parse(int argc, char **argv, struct options *options)
{
	uint8_t *mac = options->destination;

	if (argc < 4 || argc > 6)
		return -1;
	options->seconds = (unsigned)strtoul(argv[3], NULL, 10);
	options->sends = argc > 4;
	if (argc > 4 && sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
			       &mac[3], &mac[4], &mac[5]) != 6)
		return -1;
	options->size_bytes = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 60;
	return options->seconds > 0 && options->size_bytes >= 14 ? 0 : -1;
}

/* Sends one burst, or what there is room for. */
static int send_burst(struct otr_net *net, const struct options *options, const uint8_t *source)
{
	static const uint8_t type[2] = {ETHERTYPE_EXPERIMENT >> 8, ETHERTYPE_EXPERIMENT & 0xff};
	struct otr_frame frames[BURST];
	int count = otr_net_reserve(net, frames, BURST);

	for (int i = 0; i < count; i++) {
		uint8_t *bytes = frames[i].data;

		memcpy(bytes, options->destination, 6);
		memcpy(bytes + 6, source, 6);
		memcpy(bytes + 12, type, 2);
		memset(bytes + 14, 0, options->size_bytes - 14);
		frames[i].length_bytes = options->size_bytes;
	}
	return count <= 0 ? count : otr_net_commit(net, frames, (unsigned)count);
}

static int receive_burst(struct otr_net *net)
{
	struct otr_frame frames[BURST];
	int count = otr_net_receive(net, frames, BURST);

	if (count > 0) /* they are only counted, by the library */
		otr_net_release(net, (unsigned)count);
	return count;
}

/* Works until `until_ns`: 0, or -errno. */
static int work(struct otr_net *net, const struct options *options, const uint8_t *source,
		uint64_t until_ns)
{
	unsigned what = options->sends ? OTR_RX | OTR_TX : OTR_RX;

	while (otr_now_ns() < until_ns) {
		int sent = options->sends ? send_burst(net, options, source) : 0;
		int received = receive_burst(net);
		if (sent < 0 || received < 0)
			return sent < 0 ? sent : received;
		if (sent || received)
			continue;
		int ready = otr_net_wait(net, what, until_ns);
		if (ready < 0)
			return ready;
	}
	return 0;
}

static void print_rates(const struct otr_net_stats *now, const struct otr_net_stats *before,
			double seconds)
{
	double tx_bits = (double)(now->tx_bytes - before->tx_bytes) * 8;
	double rx_bits = (double)(now->rx_bytes - before->rx_bytes) * 8;

	printf("tx %10.0f frames/s %7.3f Gbit/s   rx %10.0f frames/s %7.3f Gbit/s\n",
	       (double)(now->tx_frames - before->tx_frames) / seconds, tx_bits / seconds * 1e-9,
	       (double)(now->rx_frames - before->rx_frames) / seconds, rx_bits / seconds * 1e-9);
	fflush(stdout);
}

static int run(struct otr_net *net, const struct options *options)
{
	struct otr_net_info info;
	struct otr_net_stats before, now;
	int error = 0;

	otr_net_info(net, &info);
	if (options->size_bytes > info.frame_max) {
		fprintf(stderr, "otr-send: the device takes frames of at most %u bytes\n",
			info.frame_max);
		return -EMSGSIZE;
	}
	otr_net_stats(net, &before);
	for (unsigned second = 0; !error && second < options->seconds; second++) {
		uint64_t start_ns = otr_now_ns();

		error = work(net, options, info.mac, otr_deadline_ms(1000));
		otr_net_stats(net, &now);
		print_rates(&now, &before, (double)(otr_now_ns() - start_ns) * 1e-9);
		before = now;
	}
	if (error)
		fprintf(stderr, "otr-send: %s\n", otr_last_error());
	return error;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct otr *otr = NULL;
	struct otr_net *net = NULL;

	if (parse(argc, argv, &options)) {
		fprintf(stderr, "usage: otr-send PARTITION DEVICE SECONDS [MAC [BYTES]]\n");
		return 2;
	}
	int error = otr_attach(argv[1], &otr);
	if (!error)
		error = otr_net_open(otr, argv[2], &net);
	if (error)
		fprintf(stderr, "otr-send: %s\n", otr_last_error());
	else
		error = run(net, &options);
	otr_net_close(net);
	otr_detach(otr);
	return error ? 1 : 0;
}
