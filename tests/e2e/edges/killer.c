/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kills one of two adjuncts again and again, at one coverage edge of its serving
 * loop after the other, and sees that its partition loses nothing (THREATS.md T07).
 *
 *   killer CONTROL SAMPLE [SOCKET]
 *
 * It is the program of both partitions, `a` and `b`, whose devices net0 lie at one
 * switch, and sends numbered frames both ways all the time. It is a's adjunct that is
 * killed; SAMPLE: every so many-th edge only (1: all of them). With SOCKET, a's device
 * is a vhost-user one there, and the program its guest (guest.c); else a native one.
 *   what a sends    each frame arrives once and in order, whatever happens; never more
 *                   are under way than the receiver has room for. A guest's descriptors
 *                   are each used once and in order
 *   what it is sent in order and never twice; what was on the wire, or in the
 *                   dying adjunct, may be lost, and is counted
 * Every wait is for a doorbell, and none may end by its deadline: a wake-up that
 * got lost with an adjunct would be seen. Prints figures; exit status 1 says what
 * went wrong. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "guest.h"
#include "outrigger.h"

#define BURST 32u
#define UNDER_WAY_MAX 256u /* fewer than any ring on the way has room for */
#define FRAME_BYTES_MIN 64u
#define FRAME_BYTES_MAX 1514u
#define ETHERTYPE_EXPERIMENT 0x88b5
#define DISCOVERY_NS (1500 * NS_PER_MS)
/* Service for so long, and the shim forgets the death before (recover.c). */
#define STEADY_NS (250 * NS_PER_MS)
#define REACH_NS NS_PER_S
#define WAIT_NS (10 * NS_PER_S)
/* Frames to the victim that have not come by then are not waited for. */
#define LOST_NS (3 * NS_PER_MS)

struct end {
	struct guest *guest; /* NULL: a native one, which the others are about */
	struct otr *otr;
	struct otr_net *net;
	uint8_t mac[6];
};

/* Numbered frames one way. */
struct stream {
	struct end *from, *to;
	bool lossless;
	uint32_t next, expected; /* to send; to arrive */
	uint32_t given_up;       /* waited for no longer; they may come all the same */
	uint64_t lost, arrived_ns;
};

struct killer {
	struct edges_control *control;
	struct end ends[2];
	struct stream out, in; /* of the victim, and to it */
	uint32_t random;
	unsigned kills, missed;
	uint64_t frames;
};

#define fail killer_fail

void killer_fail(const char *format, ...)
{
	va_list arguments;

	printf("failed: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	exit(1);
}

/* Its state is a number, so a run can be repeated. */
static uint32_t draw(struct killer *killer, uint32_t below)
{
	killer->random = killer->random * 1664525u + 1013904223u;
	return (killer->random >> 8) % below;
}

/* ---- Frames --------------------------------------------------------------------- */

static void frame_make(const struct stream *stream, uint8_t *frame, unsigned length, uint32_t number)
{
	memset(frame, (int)(number & 0xff), length);
	memcpy(frame, stream->to->mac, 6);
	memcpy(frame + 6, stream->from->mac, 6);
	frame[12] = ETHERTYPE_EXPERIMENT >> 8;
	frame[13] = ETHERTYPE_EXPERIMENT & 0xff;
	memcpy(frame + 14, &number, sizeof(number));
}

/* Frames sent: fewer if there is no room. */
static unsigned end_send(struct end *end, const struct otr_frame *frames, unsigned count)
{
	unsigned sent = 0;
	int result;

	if (!end->guest) {
		result = otr_net_send(end->net, frames, count);
		if (result < 0)
			fail("sending: %s", otr_last_error());
		return (unsigned)result;
	}
	while (sent < count && guest_send(end->guest, frames[sent].data, frames[sent].length_bytes))
		sent++;
	if (sent)
		guest_kick(end->guest);
	return sent;
}

static void stream_send(struct killer *killer, struct stream *stream, unsigned count)
{
	static uint8_t octets[BURST][FRAME_BYTES_MAX];
	struct otr_frame frames[BURST];
	unsigned length = draw(killer, 8) ? FRAME_BYTES_MIN : FRAME_BYTES_MAX;
	uint32_t waited_for = stream->expected;

	if ((int32_t)(stream->given_up - waited_for) > 0)
		waited_for = stream->given_up;
	if (stream->next - waited_for + count > UNDER_WAY_MAX)
		return;
	for (unsigned i = 0; i < count; i++) {
		frame_make(stream, octets[i], length, stream->next + i);
		frames[i] = (struct otr_frame){octets[i], length};
	}
	stream->next += end_send(stream->from, frames, count);
}

static void arrived(struct killer *killer, struct stream *stream, const void *frame, unsigned length)
{
	uint8_t copy[FRAME_BYTES_MAX];
	uint32_t number;

	if (length > sizeof(copy) || length < FRAME_BYTES_MIN)
		fail("a frame of %u bytes arrived", length);
	memcpy(copy, frame, length);
	memcpy(&number, copy + 14, sizeof(number));
	for (unsigned i = 18; i < length; i++)
		if (copy[i] != (number & 0xff))
			fail("frame %u arrived with octets that are another's", number);
	if ((int32_t)(number - stream->expected) < 0)
		fail("frame %u arrived twice, or late: %u was expected", number, stream->expected);
	if ((int32_t)(number - stream->next) >= 0)
		fail("frame %u arrived, which was never sent", number);
	if (number != stream->expected && stream->lossless)
		fail("frames %u to %u were lost", stream->expected, number - 1);
	stream->lost += number - stream->expected;
	stream->expected = number + 1;
	stream->arrived_ns = clock_now_ns();
	killer->frames++;
}

static void end_receive(struct killer *killer, struct stream *stream)
{
	struct end *end = stream->to;
	uint8_t copy[FRAME_BYTES_MAX];
	struct otr_frame frames[BURST];

	for (unsigned i = 0; end->guest && i < BURST; i++) {
		unsigned length = guest_receive(end->guest, copy, sizeof(copy));

		if (!length)
			return;
		arrived(killer, stream, copy, length);
	}
	if (end->guest)
		return;
	int count = otr_net_receive(end->net, frames, BURST);

	for (int i = 0; i < count; i++)
		arrived(killer, stream, frames[i].data, frames[i].length_bytes);
	if (count < 0 || (count && otr_net_release(end->net, (unsigned)count)))
		fail("receiving: %s", otr_last_error());
}

static void stream_receive(struct killer *killer, struct stream *stream)
{
	end_receive(killer, stream);
	if (stream == &killer->in && clock_now_ns() - stream->arrived_ns > LOST_NS)
		stream->given_up = stream->next;
}

/* Sleeps until something arrives: all of it will. */
static void stream_wait(struct stream *stream)
{
	int ready = otr_net_wait(stream->to->net, OTR_RX, clock_now_ns() + WAIT_NS);

	if (ready < 0)
		fail("waiting: %s", otr_last_error());
	if (!ready)
		fail("frame %u of %u never arrived, or nobody was woken", stream->expected,
		     stream->next);
}

static void events_look(struct end *end)
{
	struct otr_event event;

	while (!end->guest && otr_net_event(end->net, &event) > 0)
		if (!strcmp(event.event, "device-closed") || !strcmp(event.event, "device-failed") ||
		    !strcmp(event.event, "partition-protocol") || !strcmp(event.event, "shim-lost"))
			fail("a partition is told: %s %s", event.event, event.message);
}

/* Bursts of all sizes, some in a row and some after a rest in which adjuncts sleep. */
static void traffic(struct killer *killer)
{
	stream_send(killer, &killer->out, 1 + draw(killer, BURST));
	stream_send(killer, &killer->in, 1 + draw(killer, BURST));
	if (!draw(killer, 16))
		usleep(100 + draw(killer, 300));
	/* Long enough that an adjunct with nothing to do is asleep when it ends. */
	if (!draw(killer, 500))
		usleep(3000);
	if (killer->out.lossless && killer->out.next != killer->out.expected && !draw(killer, 4))
		stream_wait(&killer->out);
	stream_receive(killer, &killer->out);
	stream_receive(killer, &killer->in);
}

static void traffic_for(struct killer *killer, uint64_t time_ns)
{
	uint64_t until_ns = clock_now_ns() + time_ns;

	while (clock_now_ns() < until_ns)
		traffic(killer);
}

/* Nothing is under way from the victim any more: all of it arrived, or is complete. */
static void settle(struct killer *killer)
{
	struct guest *guest = killer->out.from->guest;
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (killer->out.lossless && killer->out.next != killer->out.expected) {
		stream_wait(&killer->out);
		stream_receive(killer, &killer->out);
	}
	while (guest && guest_under_way(guest)) {
		stream_receive(killer, &killer->out);
		if (clock_now_ns() > until_ns)
			fail("%u descriptors are never used", guest_under_way(guest));
	}
}

/* ---- Killing -------------------------------------------------------------------- */

static void await(struct killer *killer, _Atomic uint32_t *value, uint32_t before, const char *what)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (atomic_load(value) == before) {
		traffic(killer);
		if (clock_now_ns() > until_ns)
			fail("%s did not happen", what);
	}
}

/* Traffic until the edge that is armed was come by, or for `time_ns`. */
static bool come_by(struct killer *killer, uint64_t time_ns)
{
	uint64_t until_ns = clock_now_ns() + time_ns;

	while (atomic_load(&killer->control->armed) && clock_now_ns() < until_ns)
		traffic(killer);
	return !atomic_load(&killer->control->armed);
}

/* False: the edge was not come by. */
static bool kill_at(struct killer *killer, uint32_t edge)
{
	struct edges_control *control = killer->control;
	uint32_t services = atomic_load(&control->services);
	bool reached;

	atomic_store(&control->visits, draw(killer, 20));
	atomic_store(&control->armed, edge);
	reached = come_by(killer, REACH_NS);
	if (!reached) {
		/* Come by the first time, or only by one that takes over: it dies twice. */
		atomic_store(&control->visits, 0);
		reached = come_by(killer, REACH_NS);
	}
	if (!reached) {
		atomic_store(&control->now, 1);
		await(killer, &control->services, services, "another adjunct");
		services++;
		reached = come_by(killer, REACH_NS);
	}
	if (!reached && atomic_exchange(&control->armed, 0)) {
		traffic_for(killer, STEADY_NS);
		return false;
	}
	await(killer, &control->services, services, "another adjunct");
	settle(killer);
	events_look(&killer->ends[0]);
	events_look(&killer->ends[1]);
	traffic_for(killer, STEADY_NS);
	return true;
}

static unsigned edges_visited(struct killer *killer, uint8_t seen[EDGES_MAX])
{
	unsigned count = 0;

	for (unsigned edge = 0; edge < EDGES_MAX; edge++)
		atomic_store(&killer->control->seen[edge], 0);
	traffic_for(killer, DISCOVERY_NS);
	for (unsigned edge = 0; edge < EDGES_MAX; edge++) {
		seen[edge] = atomic_load(&killer->control->seen[edge]);
		count += seen[edge];
	}
	return count;
}

static void run(struct killer *killer, unsigned sample)
{
	uint8_t seen[EDGES_MAX];

	await(killer, &killer->control->services, 0, "service");
	unsigned visited = edges_visited(killer, seen), at = 0;

	if (visited < 50)
		fail("only %u edges were visited: is the image instrumented?", visited);
	for (uint32_t edge = 1; edge < EDGES_MAX; edge++) {
		if (!seen[edge] || at++ % sample)
			continue;
		if (kill_at(killer, edge))
			killer->kills++;
		else
			killer->missed++;
	}
	settle(killer);
	printf("%u edges, %u of them visited while serving; killed at %u, %u not come by again; %u "
	       "deaths; "
	       "%llu frames; of the victim's %llu lost and 0 twice, of those to it %llu lost and 0 "
	       "twice\n",
	       atomic_load(&killer->control->edges), visited, killer->kills, killer->missed,
	       atomic_load(&killer->control->deaths),
	       (unsigned long long)killer->frames, (unsigned long long)killer->out.lost,
	       (unsigned long long)killer->in.lost);
	if (killer->missed > 5 + killer->kills / 10)
		fail("too many edges were not come by again");
}

/* ---- Beginning ------------------------------------------------------------------- */

static void end_open(struct end *end, const char *partition, const char *socket)
{
	struct otr_device device;

	if (otr_attach(partition, &end->otr))
		fail("%s", otr_last_error());
	if (otr_devices(end->otr, &device, 1) < 1)
		fail("%s has no device", partition);
	memcpy(end->mac, device.mac, sizeof(end->mac));
	if (socket)
		end->guest = guest_open(socket);
	else if (otr_net_open(end->otr, "net0", &end->net))
		fail("%s", otr_last_error());
}

int main(int argc, char **argv)
{
	static struct killer killer = {.random = 1};
	unsigned sample = argc >= 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	int fd = argc >= 3 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	const char *socket = argc > 3 ? argv[3] : NULL;

	if (fd < 0 || !sample) {
		fprintf(stderr, "usage: killer CONTROL SAMPLE [SOCKET]\n");
		return 2;
	}
	void *memory =
		mmap(NULL, sizeof(*killer.control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (memory == MAP_FAILED)
		fail("%s: %s", argv[1], strerror(errno));
	killer.control = memory;
	end_open(&killer.ends[0], "a", socket);
	end_open(&killer.ends[1], "b", NULL);
	killer.out = (struct stream){&killer.ends[0], &killer.ends[1], .lossless = true};
	killer.in = (struct stream){&killer.ends[1], &killer.ends[0]};
	run(&killer, sample);
	for (unsigned i = 0; i < 2; i++) {
		otr_net_close(killer.ends[i].net);
		otr_detach(killer.ends[i].otr);
	}
	return 0;
}
