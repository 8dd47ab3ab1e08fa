/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's program that hears of its adjunct in every way a test wants, for
 * tests/e2e/yield.sh and cpu_modes.sh: by its guest's event queue, by otr_net_wait() that
 * yields by itself, from adjuncts that come and go on one processor and the other. Exit
 * status 0, or 1 and a line that says why.
 *
 *	hearer PARTITION DEVICE busy|lends|muted         (image hog)
 *	hearer PARTITION DEVICE unanswered FILE          (image hog)
 *	hearer PARTITION DEVICE bursts COUNT
 *	hearer PARTITION DEVICE frames COUNT
 *	hearer PARTITION DEVICE load FILE
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hog.h"
#include "outrigger.h"
#include "../want.h"

#define QUANTUM_NS 1000000
#define PATIENCE_MS 20000
#define FRAMES_UNDER_WAY 32

static struct otr *otr;
static struct otr_service *service;
static struct otr_net *net;
static struct otr_guest *guest;

/* 1, or 0: an adjunct on another processor may have completed more than it has given slots
 * back of, so that there is none though few requests are under way. */
static int submit_if_room(uint32_t id, uint16_t opcode, const void *data, uint32_t bytes)
{
	int submitted = otr_submit(service, &(struct otr_request){.id = id,
								  .opcode = opcode,
								  .data = data,
								  .data_bytes = bytes});

	WANT(submitted >= 0);
	return submitted;
}

static void submit(uint32_t id, uint16_t opcode, const void *data, uint32_t bytes)
{
	WANT(submit_if_room(id, opcode, data, bytes) == 1);
}

static struct otr_completion next(void)
{
	struct otr_completion completion;

	WANT(otr_wait(service, OTR_COMPLETION, otr_deadline_ms(PATIENCE_MS)) > 0);
	WANT(otr_poll(service, &completion) == 1);
	return completion;
}

static uint32_t ask(uint16_t opcode)
{
	uint32_t value;

	submit(1, opcode, NULL, 0);
	struct otr_completion completion = next();

	WANT(completion.status == 0 && completion.data_bytes == sizeof(value));
	memcpy(&value, completion.data, sizeof(value));
	return value;
}

static void yield_until_idle(void)
{
	uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS);
	int yielded;

	while ((yielded = otr_yield(service, QUANTUM_NS, NULL)) == OTR_BUSY)
		WANT(otr_now_ns() < patience_ns);
	WANT(yielded == OTR_IDLE);
}

static void interrupt_in(uint64_t after_ns)
{
	submit(1, HOG_INTERRUPT, &after_ns, sizeof(after_ns));
	yield_until_idle();
	WANT(next().status == 0);
}

static void open_guest(unsigned what)
{
	WANT(!otr_guest_open(otr, 4, &guest));
	WANT(!otr_guest_add(guest, net, what, &guest));
}

/* One event, of our one device. */
static unsigned hear(void)
{
	struct otr_guest_event event;

	WANT(otr_guest_wait(guest, &event, 1, otr_deadline_ms(PATIENCE_MS)) == 1);
	WANT(event.net == net && event.user == &guest);
	return event.what;
}

static int nothing_to_hear(unsigned for_ms)
{
	struct otr_guest_event event;

	return otr_guest_wait(guest, &event, 1, otr_deadline_ms(for_ms)) == 0;
}

/* ---- PA_BUSY ------------------------------------------------------------------------- */

static void run_busy(void)
{
	const uint64_t spin_ns = 100000000;
	struct otr_guest_stats stats;
	uint32_t before = ask(HOG_INTERRUPTS);

	open_guest(OTR_COMPLETION | OTR_PA_BUSY);
	for (unsigned round = 0; round < 3; round++) {
		interrupt_in(20000000);
		WANT(hear() == OTR_PA_BUSY);
		WANT(otr_service_busy(service) == OTR_INTERRUPTED);
		/* Until it is dispatched: this program decides when that is. */
		WANT(hear() == OTR_PA_BUSY);
		yield_until_idle();
		WANT(nothing_to_hear(0));
	}
	otr_guest_stats(guest, &stats);
	WANT(stats.events >= 3);
	WANT(ask(HOG_INTERRUPTS) == before + 3);
	/* A quantum that was too short, which nobody but this program knows. */
	submit(1, HOG_SPIN, &spin_ns, sizeof(spin_ns));
	WANT(otr_yield(service, QUANTUM_NS, NULL) == OTR_BUSY);
	WANT(hear() == OTR_PA_BUSY && otr_service_busy(service) == OTR_QUANTUM_OVER);
	while (hear() == OTR_PA_BUSY)
		WANT(otr_yield(service, QUANTUM_NS, NULL) >= 0);
	struct otr_completion completion;

	WANT(otr_poll(service, &completion) == 1 && completion.status == 0);
	WANT(nothing_to_hear(0));
}

/* Who does not ask for PA_BUSY lends what is wanted while it waits. */
static void run_lends(void)
{
	uint32_t interrupts, before = ask(HOG_INTERRUPTS);

	open_guest(OTR_COMPLETION);
	interrupt_in(20000000);
	uint64_t patience_ns = otr_deadline_ms(PATIENCE_MS);

	do {
		WANT(otr_now_ns() < patience_ns);
		WANT(nothing_to_hear(50));
		submit(2, HOG_INTERRUPTS, NULL, 0);
		WANT(hear() == OTR_COMPLETION);
		interrupts = before;
		struct otr_completion completion;

		WANT(otr_poll(service, &completion) == 1);
		memcpy(&interrupts, completion.data, sizeof(interrupts));
	} while (interrupts != before + 1);
	WANT(otr_service_busy(service) == 0);
}

/* A device that cannot interrupt: the coarse timer asks for a dispatch, again and again. */
static void run_muted(void)
{
	submit(1, HOG_MUTE, NULL, 0);
	WANT(next().status == 0);
	for (unsigned round = 0; round < 3; round++) {
		yield_until_idle();
		WANT(otr_wait(service, OTR_PA_BUSY, otr_deadline_ms(PATIENCE_MS)) == OTR_PA_BUSY);
		WANT(otr_service_busy(service) == OTR_INTERRUPTED);
	}
}

static void run_unanswered(const char *file)
{
	interrupt_in(1000000);
	WANT(otr_wait(service, OTR_PA_BUSY, otr_deadline_ms(PATIENCE_MS)) == OTR_PA_BUSY);
	puts("unanswered");
	fflush(stdout);
	while (!access(file, F_OK))
		usleep(10000);
	yield_until_idle();
	puts("answered");
	fflush(stdout);
	while (access(file, F_OK))
		usleep(10000);
}

/* ---- Completions ------------------------------------------------------------------------ */

/* Bursts of requests, and one event for as many completions as there are. */
static void run_bursts(unsigned long count)
{
	struct otr_completion completion;
	struct otr_guest_stats stats;
	unsigned long events = 0;

	open_guest(OTR_COMPLETION);
	for (unsigned long burst = 0; burst < count; burst++) {
		uint32_t taken = 0;

		for (uint32_t id = 0; id < OTR_REQUESTS_MAX; id++)
			submit(id, OTR_ECHO, &id, sizeof(id));
		for (; taken < OTR_REQUESTS_MAX; events++) {
			WANT(hear() == OTR_COMPLETION);
			for (; otr_poll(service, &completion) == 1; taken++)
				WANT(completion.id == taken && completion.status == 0);
		}
		WANT(nothing_to_hear(0));
	}
	otr_guest_stats(guest, &stats);
	printf("bursts %lu heard %lu wakes %lu\n", count, events, (unsigned long)stats.wakes);
}

/* ---- Frames -------------------------------------------------------------------------------- */

static struct {
	uint64_t sent, received, asked, answered;
	unsigned modes;
	int donated;
} load;

static void send_frames(void)
{
	uint8_t bytes[64] = {2, 0, 0, 0, 0, 1};
	struct otr_frame frame = {bytes, sizeof(bytes)};
	int sent = 1;

	while (sent == 1 && load.sent - load.received < FRAMES_UNDER_WAY) {
		memcpy(bytes + 16, &load.sent, sizeof(load.sent));
		sent = otr_net_send(net, &frame, 1);
		WANT(sent >= 0);
		load.sent += (unsigned)sent;
	}
}

static void receive_frames(void)
{
	struct otr_frame frame;

	for (; otr_net_receive(net, &frame, 1) == 1; load.received++) {
		WANT(frame.length_bytes == 64 &&
		     !memcmp((uint8_t *)frame.data + 16, &load.received, sizeof(load.received)));
		WANT(!otr_net_release(net, 1));
	}
}

/* What a program does that knows of nothing but otr_net_wait(). */
static void run_frames(unsigned long count)
{
	while (load.received < count) {
		send_frames();
		WANT(otr_net_wait(net, OTR_RX, otr_deadline_ms(PATIENCE_MS)) == OTR_RX);
		receive_frames();
	}
	struct otr_net_stats stats;

	otr_net_stats(net, &stats);
	printf("frames %lu sleeps %lu\n", (unsigned long)load.received, (unsigned long)stats.sleeps);
}

static void note_mode(void)
{
	int donated = otr_service_is_donated(service);

	load.modes += donated != load.donated;
	load.donated = donated;
}

/* Frames and requests, each once and in order, whoever serves them and on whose processor. */
static void run_load(const char *file)
{
	struct otr_completion completion;

	load.donated = otr_service_is_donated(service);
	while (!access(file, F_OK) || load.received < load.sent || load.answered < load.asked) {
		if (!access(file, F_OK)) {
			send_frames();
			while (load.asked - load.answered < OTR_REQUESTS_MAX / 2 &&
			       submit_if_room((uint32_t)load.asked, OTR_ECHO, &load.asked,
					      sizeof(load.asked)))
				load.asked++;
		}
		WANT(otr_wait(service, OTR_COMPLETION | OTR_RX, otr_deadline_ms(PATIENCE_MS)) > 0);
		receive_frames();
		for (; otr_poll(service, &completion) == 1; load.answered++)
			WANT(completion.status == 0 && completion.id == (uint32_t)load.answered &&
			     !memcmp(completion.data, &load.answered, sizeof(load.answered)));
		note_mode();
	}
	printf("frames %lu requests %lu modes %u\n", (unsigned long)load.received,
	       (unsigned long)load.answered, load.modes);
}

int main(int argc, char **argv)
{
	WANT(argc > 3);
	const char *what = argv[3], *file = argc > 4 ? argv[4] : "";
	unsigned long count = strtoul(file, NULL, 10);

	WANT(!otr_attach(argv[1], &otr));
	WANT(!otr_service_open(otr, argv[2], &service));
	net = otr_service_net(service);
	if (!strcmp(what, "busy"))
		run_busy();
	else if (!strcmp(what, "lends"))
		run_lends();
	else if (!strcmp(what, "muted"))
		run_muted();
	else if (!strcmp(what, "unanswered"))
		run_unanswered(file);
	else if (!strcmp(what, "bursts") && count)
		run_bursts(count);
	else if (!strcmp(what, "frames") && count)
		run_frames(count);
	else if (!strcmp(what, "load"))
		run_load(file);
	else
		WANT(!"a known deed");
	otr_service_close(service);
	otr_guest_close(guest);
	otr_detach(otr);
	return 0;
}
