/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * numbered PARTITION DEVICE: sends frames that carry a number counting up, over a
 * device that sends them back (adapters of kind echo), and looks at what comes:
 * a number that came before, or a frame that was never sent, ends it with status
 * 1. Each line on standard input is answered by "RECEIVED LOST" once another
 * frame has come; at the end of input it closes the device and exits with 0.
 * One thread. For standby.sh.
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

struct numbered {
	struct otr_net *net;
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
static void frame_make(const struct numbered *n, uint64_t number, uint8_t frame[FRAME_BYTES])
{
	memset(frame, 0xff, 6);
	memcpy(frame + 6, n->mac, 6);
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
		frame_make(n, n->next + i, bytes[i]);
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

	frame_make(n, number, wanted);
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

static bool answer(struct numbered *n)
{
	uint64_t before = n->received, deadline_ns = clock_now_ns() + ANSWER_NS;

	while (n->received == before) {
		if (!send_burst(n) || !receive_burst(n))
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
		for (unsigned i = 0; i < 1000; i++)
			if (!send_burst(n) || !receive_burst(n))
				return false;
		if (poll(&input, 1, 0) != 1)
			continue;
		if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return true;
		if (!answer(n))
			return false;
	}
}

int main(int argc, char **argv)
{
	struct numbered n = {0};
	struct otr_net_info info;
	struct otr *otr;

	if (argc != 3)
		return 2;
	int result = otr_attach(argv[1], &otr);

	if (result)
		return fail(argv[1], result);
	result = otr_net_open(otr, argv[2], &n.net);
	if (result)
		return fail(argv[2], result);
	otr_net_info(n.net, &info);
	memcpy(n.mac, info.mac, sizeof(n.mac));
	bool good = run(&n);

	otr_net_close(n.net);
	otr_detach(otr);
	return good ? 0 : 1;
}
