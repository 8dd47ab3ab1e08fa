/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * numbered PARTITION DEVICE: sends frames that carry a number counting up, over a
 * device that sends them back (adapters of kind echo), and looks at what comes:
 * a number that came before, or a frame that was never sent, ends it with status
 * 1. Each line on standard input is answered by "RECEIVED LOST" once another
 * frame has come; at the end of input it closes the device and exits with 0.
 *
 * numbered PARTITION DEVICE MAC: the same over the program at that address, which is
 *   numbered PARTITION DEVICE back: sends back what comes, to whom it came from.
 * Some of them are under way at a time, and not more.
 *
 * One thread. For standby.sh and tests/rig/guest/native_vf.sh.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "outrigger.h"

#define BURST 32u
#define FRAME_BYTES 200u
#define HEADER_BYTES 14u
#define ANSWER_NS (20 * NS_PER_S)
/* On their way to a peer, at most; and when those are given up that do not come back. */
#define UNDER_WAY_MAX 128u
#define GIVEN_UP_NS NS_PER_S
#define LOOK_NS (10 * NS_PER_MS) /* for a line on standard input */

struct numbered {
	struct otr_net *net;
	bool has_peer;
	uint8_t peer[6];
	uint64_t came_ns; /* from a peer, the last time */
	uint64_t next;	   /* to be sent */
	uint64_t expected; /* one more than the last that came */
	uint64_t received, lost;
	uint8_t mac[6];
};

static int fail(const char *what, long detail)
{
	fprintf(stderr, "numbered: %s (%ld): %s\n", what, detail, otr_last_error());
	return 1;
}

/* Every octet follows from the number. */
static void frame_make(const uint8_t to[6], const uint8_t from[6], uint64_t number,
		       uint8_t frame[FRAME_BYTES])
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	for (unsigned at = HEADER_BYTES; at < FRAME_BYTES; at++)
		frame[at] = (uint8_t)(number >> 8 * (at % 8));
}

static uint64_t frame_number(const uint8_t *frame)
{
	uint64_t number = 0;

	for (unsigned at = HEADER_BYTES; at < HEADER_BYTES + 8; at++)
		number |= (uint64_t)frame[at] << 8 * (at % 8);
	return number;
}

static bool send_burst(struct numbered *n)
{
	uint8_t bytes[BURST][FRAME_BYTES];
	struct otr_frame frames[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		frame_make(n->peer, n->mac, n->next + i, bytes[i]);
		frames[i] = (struct otr_frame){bytes[i], FRAME_BYTES};
	}
	int sent = otr_net_send(n->net, frames, BURST);

	if (sent < 0)
		return !fail("send", sent);
	n->next += (unsigned)sent;
	return true;
}

static bool take_one(struct numbered *n, const struct otr_frame *frame)
{
	uint8_t copy[FRAME_BYTES], wanted[FRAME_BYTES];

	if (frame->length_bytes != FRAME_BYTES)
		return !fail("a frame of another length", frame->length_bytes);
	memcpy(copy, frame->data, FRAME_BYTES);
	uint64_t number = frame_number(copy);

	if (n->has_peer)
		frame_make(n->mac, n->peer, number, wanted);
	else
		frame_make(n->peer, n->mac, number, wanted);
	if (memcmp(copy, wanted, FRAME_BYTES) || number >= n->next)
		return !fail("a frame that was never sent", (long)number);
	if (number < n->expected)
		return !fail("a frame that came before", (long)number);
	n->lost += number - n->expected;
	n->expected = number + 1;
	n->received++;
	return true;
}

static bool receive_burst(struct numbered *n)
{
	struct otr_frame frames[BURST];
	int count = otr_net_receive(n->net, frames, BURST);

	if (count < 0)
		return !fail("receive", count);
	for (int i = 0; i < count; i++)
		if (!take_one(n, &frames[i]))
			return false;
	int result = count ? otr_net_release(n->net, (unsigned)count) : 0;

	return !result || !fail("release", result);
}

/* A burst each way; with a peer, no more than it is to have, and asleep until it answers. */
static bool step(struct numbered *n)
{
	uint64_t received = n->received;

	if (!n->has_peer)
		return send_burst(n) && receive_burst(n);
	bool late = clock_now_ns() - n->came_ns > GIVEN_UP_NS;
	bool may = n->next - n->expected < UNDER_WAY_MAX || late;

	if ((may && !send_burst(n)) || !receive_burst(n))
		return false;
	if (n->received != received || late)
		n->came_ns = clock_now_ns();
	if (n->received != received)
		return true;
	int ready = otr_net_wait(n->net, OTR_RX, clock_now_ns() + LOOK_NS);

	return ready >= 0 || !fail("wait", ready);
}

static bool answer(struct numbered *n)
{
	uint64_t before = n->received, deadline_ns = clock_now_ns() + ANSWER_NS;

	while (n->received == before) {
		if (!step(n))
			return false;
		if (clock_now_ns() > deadline_ns)
			return !fail("no frame comes any more", (long)n->received);
	}
	printf("%ju %ju\n", (uintmax_t)n->received, (uintmax_t)n->lost);
	return !fflush(stdout);
}

static bool run(struct numbered *n)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[16];

	for (;;) {
		for (unsigned i = 0; i < (n->has_peer ? 10 : 1000); i++)
			if (!step(n))
				return false;
		if (poll(&input, 1, 0) != 1)
			continue;
		if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return true;
		if (!answer(n))
			return false;
	}
}

/* What one burst brought goes back, all of it; without end but that of the device. */
static bool send_back(struct otr_net *net)
{
	struct otr_frame frames[BURST];
	int count = otr_net_receive(net, frames, BURST), sent = 0;

	if (count == 0)
		count = otr_net_wait(net, OTR_RX, clock_now_ns() + NS_PER_S) < 0 ? -1 : 0;
	for (int i = 0; i < count; i++) {
		uint8_t to[6], *frame = frames[i].data;

		memcpy(to, frame + 6, 6);
		memcpy(frame + 6, frame, 6);
		memcpy(frame, to, 6);
	}
	for (int now; sent < count; sent += now) {
		now = otr_net_send(net, frames + sent, (unsigned)(count - sent));
		if (now == 0 && otr_net_wait(net, OTR_TX, clock_now_ns() + ANSWER_NS) <= 0)
			now = -1;
		if (now < 0)
			return !fail("send back", now);
	}
	if (count < 0 || (count && otr_net_release(net, (unsigned)count)))
		return !fail("receive", count);
	return true;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3,
		      mac + 4, mac + 5) == 6;
}

int main(int argc, char **argv)
{
	struct numbered n = {.peer = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	bool back = argc == 4 && !strcmp(argv[3], "back");
	struct otr_net_info info;
	struct otr *otr;

	n.has_peer = argc == 4 && !back;
	if (argc < 3 || argc > 4 || (n.has_peer && !parse_mac(argv[3], n.peer)))
		return 2;
	int result = otr_attach(argv[1], &otr);

	if (result)
		return fail(argv[1], result);
	result = otr_net_open(otr, argv[2], &n.net);
	if (result)
		return fail(argv[2], result);
	otr_net_info(n.net, &info);
	memcpy(n.mac, info.mac, sizeof(n.mac));
	while (back && send_back(n.net))
		;
	bool good = !back && run(&n);

	otr_net_close(n.net);
	otr_detach(otr);
	return good ? 0 : 1;
}
