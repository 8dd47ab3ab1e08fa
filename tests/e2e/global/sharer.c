/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of a global adjunct of image `echo`, for tests/e2e/global.sh: keeps as many
 * requests and frames under way as there is room for, and looks at each that comes back:
 * it is its own, whole, and came once, in order. Exit status 0 and a line with counts, or
 * 1 and a line that says why not.
 *
 *	sharer PARTITION DEVICE SECONDS SPIN_US [deaths]
 *
 * SPIN_US: how long the adjunct is kept busy by each request; 0: data comes back instead.
 * With `deaths` its adjunct may end: requests may fail with it, frames be lost. SIGTERM: it
 * begins nothing more, and ends once all has come back. One thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outrigger.h"
#include "../want.h"

#define PATIENCE_MS 20000
#define FRAMES_MAX 64 /* under way: fewer than each ring holds */
#define FRAME_BYTES 128
#define DATA_BYTES 256

/* Nobody else's words look like these. */
struct mark {
	uint64_t number, owner, checksum;
};

static struct otr_service *service;
static uint64_t owner, spin_ns;
static bool deaths;
static bool under_way[OTR_REQUESTS_MAX];
static uint64_t numbers[OTR_REQUESTS_MAX], next_number = 1;
static unsigned long requests, done, reset, frames, came, lost;

static struct mark mark_of(uint64_t number)
{
	return (struct mark){number, owner, (number * 0x9e3779b97f4a7c15) ^ owner};
}

/* From end to end, so that a foreign octet anywhere shows. */
static void fill(uint8_t *data, size_t bytes, uint64_t number)
{
	struct mark mark = mark_of(number);

	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(mark.checksum >> (8 * (i % 8)));
	memcpy(data, &mark, sizeof(mark));
}

static bool is_mine(const uint8_t *data, size_t bytes, uint64_t number)
{
	uint8_t wanted[DATA_BYTES];

	fill(wanted, bytes, number);
	return !memcmp(data, wanted, bytes);
}

static void submit_all(void)
{
	uint8_t data[DATA_BYTES];

	for (uint32_t id = 0; id < OTR_REQUESTS_MAX; id++) {
		if (under_way[id])
			continue;
		struct otr_request request = {.id = id, .opcode = OTR_ECHO, .data = data,
					      .data_bytes = sizeof(data)};

		if (spin_ns) {
			request.opcode = OTR_SPIN;
			request.data = &spin_ns;
			request.data_bytes = sizeof(spin_ns);
		} else {
			fill(data, sizeof(data), next_number);
		}
		int sent = otr_submit(service, &request);

		WANT(sent >= 0);
		if (!sent)
			return;
		under_way[id] = true;
		numbers[id] = next_number++;
		requests++;
	}
}

static void take_completions(void)
{
	struct otr_completion completion;
	int taken;

	while ((taken = otr_poll(service, &completion)) > 0) {
		WANT(completion.id < OTR_REQUESTS_MAX && under_way[completion.id]);
		under_way[completion.id] = false;
		done++;
		if (deaths && completion.status == -ECONNRESET) {
			reset++;
			continue;
		}
		WANT(completion.status == 0);
		if (spin_ns)
			WANT(completion.used_ns >= spin_ns); /* the time is ours */
		else
			WANT(completion.data_bytes == DATA_BYTES &&
			     is_mine(completion.data, DATA_BYTES, numbers[completion.id]));
	}
	WANT(taken == 0);
}

static void send_frames(struct otr_net *net)
{
	uint8_t data[FRAME_BYTES] = {2};
	struct otr_frame frame = {data, sizeof(data)};

	while (frames - came - lost < FRAMES_MAX) {
		fill(data + 16, sizeof(data) - 16, frames + 1);
		int sent = otr_net_send(net, &frame, 1);

		WANT(sent >= 0);
		if (!sent)
			return;
		frames++;
	}
}

/* In order; what is missing was in the hands of an adjunct that died. */
static void take_frames(struct otr_net *net)
{
	struct otr_frame frame;
	struct mark mark;

	while (otr_net_receive(net, &frame, 1) == 1) {
		const uint8_t *data = frame.data;

		WANT(frame.length_bytes == FRAME_BYTES);
		memcpy(&mark, data + 16, sizeof(mark));
		WANT(mark.owner == owner && mark.number > came + lost && mark.number <= frames);
		WANT(deaths || mark.number == came + 1);
		WANT(is_mine(data + 16, FRAME_BYTES - 16, mark.number));
		lost = mark.number - 1 - came;
		came++;
		WANT(!otr_net_release(net, 1));
	}
}

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

static void run(unsigned ms)
{
	struct otr_net *net = otr_service_net(service);
	uint64_t end_ns = otr_deadline_ms(ms), moved_ns = otr_now_ns();

	printf("sharing\n");
	fflush(stdout);
	while (otr_now_ns() < end_ns || done < requests || came + lost < frames) {
		unsigned long before = came + done;

		if (told_to_end && otr_now_ns() < end_ns)
			end_ns = otr_now_ns();
		WANT(otr_now_ns() < end_ns + PATIENCE_MS * 1000000ull);
		if (otr_now_ns() < end_ns) {
			submit_all();
			send_frames(net);
		}
		take_frames(net);
		take_completions();
		WANT(otr_yield(service, 0, NULL) >= 0);
		if (came + done != before)
			moved_ns = otr_now_ns();
		/* Nothing comes any more: the last of them died with the adjunct. */
		else if (deaths && otr_now_ns() >= end_ns && otr_now_ns() - moved_ns > 2000000000)
			lost = frames - came;
		if (came + done == before)
			WANT(otr_wait(service, OTR_COMPLETION, otr_deadline_ms(2)) >= 0 || told_to_end);
	}
	WANT(done == requests);
	printf("requests %lu reset %lu frames %lu lost %lu\n", requests, reset, frames, lost);
}

int main(int argc, char **argv)
{
	struct otr *otr;

	const struct sigaction action = {.sa_handler = on_signal};

	WANT(argc > 4 && !sigaction(SIGTERM, &action, NULL));
	owner = (uint64_t)getpid() << 32 | 0x6f747267;
	spin_ns = strtoull(argv[4], NULL, 10) * 1000;
	deaths = argc > 5;
	WANT(!otr_attach(argv[1], &otr));
	WANT(!otr_service_open(otr, argv[2], &service));
	run((unsigned)(strtod(argv[3], NULL) * 1000));
	otr_service_close(service);
	otr_detach(otr);
	return 0;
}
