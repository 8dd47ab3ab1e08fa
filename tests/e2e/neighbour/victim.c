/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair of partitions that must not notice what their neighbour does, run by
 * tests/e2e/hostile_neighbour.sh and by `make bench`:
 *
 *	victim FROM TO RATE SECONDS [REGION]
 *
 * FROM and TO are partitions with a native device net0. Sends RATE frames a second
 * from the one to the other, of all lengths, for SECONDS (0: until SIGTERM). Every
 * octet of a frame follows from its number, and is looked at when it arrives. No
 * more than WINDOW frames are ever under way, which each ring between the two holds:
 * so none may be lost, whatever the machine is busy with.
 *
 * Canaries: what it wrote into REGION of both partitions, into memory of its own,
 * and behind each frame in the window's buffers must stay as it was.
 *
 * One line at the end; exit status 0 if no canary and no frame was altered, none
 * came twice, and the last ones arrived. One thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "otr_internal.h"

#define WINDOW 128u
#define BURST 16u
#define CANARY 0xc5
#define OWN_BYTES (1u << 20)
#define ETHERTYPE_EXPERIMENT 0x88b5
#define SHORTEST 64u
#define LONGEST 1514u
#define NUMBER_AT 16u /* where the frame's number lies */
#define LAST_ONES_NS (10 * NS_PER_S)
/* What could not be sent in time is not made up for beyond this. */
#define ARREARS_NS (100 * NS_PER_MS)

struct end {
	struct otr *otr;
	struct otr_net *net;
	struct otr_net_info info;
	uint8_t *region;
	size_t region_bytes;
};

static struct victim {
	struct end from, to;
	uint64_t rate, sent, next, received, lost, repeated, altered, foreign, canaries_lost;
	uint64_t start_ns;
} victim;

static volatile sig_atomic_t told;

static void on_term(int number)
{
	(void)number;
	told = 1;
}

/* ---- Frames ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 31) * UINT64_C(0x9fb21c651e98df25);
	return value ^ value >> 28;
}

static uint32_t length_of(uint64_t number)
{
	return SHORTEST + (uint32_t)(mix(number + 1) % (LONGEST - SHORTEST + 1));
}

static void frame_make(uint8_t *frame, uint64_t number)
{
	uint32_t length = length_of(number);

	memcpy(frame, victim.to.info.mac, 6);
	memcpy(frame + 6, victim.from.info.mac, 6);
	frame[12] = ETHERTYPE_EXPERIMENT >> 8;
	frame[13] = ETHERTYPE_EXPERIMENT & 0xff;
	frame[14] = frame[15] = 0;
	memcpy(frame + NUMBER_AT, &number, sizeof(number));
	for (uint32_t at = NUMBER_AT + sizeof(number); at < length; at += 8) {
		uint64_t word = mix(number * 251 + at);

		memcpy(frame + at, &word, length - at < 8 ? length - at : 8);
	}
}

static bool all_are(const uint8_t *octets, size_t bytes, uint8_t value)
{
	return !bytes || (octets[0] == value && !memcmp(octets, octets + 1, bytes - 1));
}

static void frame_check(const struct otr_frame *frame)
{
	uint8_t wanted[LONGEST];
	uint8_t *data = frame->data;
	uint64_t number;

	if (frame->length_bytes < SHORTEST || memcmp(data + 6, victim.from.info.mac, 6)) {
		victim.foreign++;
		return;
	}
	memcpy(&number, data + NUMBER_AT, sizeof(number));
	if (number >= victim.sent || frame->length_bytes != length_of(number)) {
		victim.altered++;
		return;
	}
	frame_make(wanted, number);
	if (memcmp(data, wanted, frame->length_bytes)) {
		victim.altered++;
	} else if (number < victim.next) {
		victim.repeated++;
	} else {
		victim.lost += number - victim.next;
		victim.received++;
		victim.next = number + 1;
	}
}

/* Buffer by buffer: the frame is overwritten with what must be there next time. */
static void canary_renew(const struct otr_frame *frame)
{
	uint8_t *buffer = frame->data;

	if (!all_are(buffer + frame->length_bytes, NET_BUFFER_BYTES - frame->length_bytes, CANARY))
		victim.canaries_lost++;
	memset(buffer, CANARY, frame->length_bytes);
}

static int receive_some(void)
{
	struct otr_frame frames[BURST];
	int count = otr_net_receive(victim.to.net, frames, BURST);

	for (int i = 0; i < count; i++) {
		frame_check(&frames[i]);
		canary_renew(&frames[i]);
	}
	if (count > 0) {
		int error = otr_net_release(victim.to.net, (unsigned)count);

		if (error)
			return error;
	}
	return count;
}

/* As many as are due and may be under way: how many, or -errno. */
static int send_some(uint64_t now_ns)
{
	static uint8_t octets[BURST][LONGEST];
	struct otr_frame frames[BURST];
	uint64_t due = (now_ns - victim.start_ns) / 1000 * victim.rate / 1000000;
	uint64_t arrears = victim.rate * ARREARS_NS / NS_PER_S + 1;
	uint64_t room = WINDOW - (victim.sent - victim.next);
	unsigned count = 0;

	if (due > victim.sent + arrears) {
		victim.start_ns += (due - victim.sent - arrears) * NS_PER_S / victim.rate;
		due = victim.sent + arrears;
	}
	for (; count < BURST && count < room && victim.sent + count < due; count++) {
		frame_make(octets[count], victim.sent + count);
		frames[count] = (struct otr_frame){octets[count], length_of(victim.sent + count)};
	}
	int sent = count ? otr_net_send(victim.from.net, frames, count) : 0;
	if (sent > 0)
		victim.sent += (uint64_t)sent;
	return sent;
}

/* ---- All of it -------------------------------------------------------------------- */

static int exchange(uint64_t until_ns)
{
	uint64_t interval_ns = NS_PER_S / victim.rate + 1;

	while (!told) {
		uint64_t now_ns = clock_now_ns();
		int sent = now_ns < until_ns ? send_some(now_ns) : 0;
		int received = receive_some();

		if (sent < 0 || received < 0)
			return sent < 0 ? sent : received;
		if (now_ns >= until_ns)
			return 0;
		if (!sent && !received) {
			int ready = otr_net_wait(victim.to.net, OTR_RX, now_ns + interval_ns);
			if (ready < 0 && ready != -EINTR)
				return ready;
		}
	}
	return 0;
}

static int last_ones(void)
{
	uint64_t until_ns = clock_now_ns() + LAST_ONES_NS;

	while (victim.next < victim.sent && clock_now_ns() < until_ns) {
		int received = receive_some();
		if (received < 0)
			return received;
		if (!received && otr_net_wait(victim.to.net, OTR_RX, until_ns) < 0)
			return -EIO;
	}
	victim.lost += victim.sent - victim.next;
	return 0;
}

static int end_open(struct end *end, const char *partition, const char *region)
{
	int error = otr_attach(partition, &end->otr);

	if (!error)
		error = otr_net_open(end->otr, "net0", &end->net);
	if (!error && region)
		error = otr_region_map(end->otr, region, (void **)&end->region, &end->region_bytes);
	if (error)
		return error;
	otr_net_info(end->net, &end->info);
	memset(end->net->rx_buffers, CANARY, (size_t)end->info.ring_entries * NET_BUFFER_BYTES);
	if (region)
		memset(end->region, CANARY, end->region_bytes);
	return 0;
}

static void canaries_count(const uint8_t *own)
{
	const struct end *from = &victim.from;

	victim.canaries_lost += !all_are(own, OWN_BYTES, CANARY);
	victim.canaries_lost += !all_are(from->region, from->region_bytes, CANARY);
	victim.canaries_lost += !all_are(victim.to.region, victim.to.region_bytes, CANARY);
	/* Nobody ever sent anything to this one's own address. */
	for (uint32_t slot = 0; slot < from->info.ring_entries && !victim.foreign; slot++)
		victim.canaries_lost +=
			!all_are(from->net->rx_buffers + (size_t)slot * NET_BUFFER_BYTES,
				 NET_BUFFER_BYTES, CANARY);
}

int main(int argc, char **argv)
{
	const struct sigaction term = {.sa_handler = on_term};
	uint64_t seconds = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	uint8_t *own = malloc(OWN_BYTES);

	victim.rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	if (argc < 5 || argc > 6 || !victim.rate || !own) {
		fprintf(stderr, "usage: victim FROM TO RATE SECONDS [REGION]\n");
		return 2;
	}
	sigaction(SIGTERM, &term, NULL);
	memset(own, CANARY, OWN_BYTES);
	int error = end_open(&victim.from, argv[1], argc > 5 ? argv[5] : NULL);
	if (!error)
		error = end_open(&victim.to, argv[2], argc > 5 ? argv[5] : NULL);
	uint64_t began_ns = victim.start_ns = clock_now_ns(), took_ns = 1;
	if (!error) {
		printf("exchanging\n");
		fflush(stdout);
		error = exchange(seconds ? began_ns + seconds * NS_PER_S : UINT64_MAX);
		took_ns = clock_now_ns() - began_ns;
	}
	uint64_t in_time = victim.received;
	if (!error)
		error = last_ones();
	if (error) {
		fprintf(stderr, "victim: %s\n", otr_last_error());
		return 1;
	}
	canaries_count(own);
	printf("sent %llu received %llu lost %llu repeated %llu altered %llu foreign %llu "
	       "canaries_lost %llu rate %.0f\n",
	       (unsigned long long)victim.sent, (unsigned long long)victim.received,
	       (unsigned long long)victim.lost, (unsigned long long)victim.repeated,
	       (unsigned long long)victim.altered, (unsigned long long)victim.foreign,
	       (unsigned long long)victim.canaries_lost, (double)in_time * 1e9 / (double)took_ns);
	otr_net_close(victim.from.net);
	otr_net_close(victim.to.net);
	otr_detach(victim.from.otr);
	otr_detach(victim.to.otr);
	free(own);
	return victim.repeated || victim.altered || victim.canaries_lost;
}
