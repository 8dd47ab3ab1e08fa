/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A partition's program that moves frames and sets its net devices up by requests alone,
 * for tests/e2e/net_requests.sh: from its first device to its second, on one adapter. It
 * knows nothing of whose processor their adjuncts have. Exit status 0, or 1 and a line that
 * says why.
 *
 *	asker PARTITION DEVICE DEVICE control|frames|vlans
 *	asker PARTITION DEVICE DEVICE successor FILE    (once FILE is gone, there is another)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outrigger.h"
#include "../want.h"

#define PATIENCE_MS 20000
#define FRAME_BYTES 100
#define FRAMES 2000
#define UNDER_WAY 16
/* In a frame, behind addresses, tag and type. */
#define OWNER_AT 20
#define NUMBER_AT 24

static struct otr_service *from, *to;
static struct otr_net_info from_info, to_info;
static pid_t own_pid;

static void submit(struct otr_service *service, uint16_t opcode, const void *data, uint32_t bytes)
{
	WANT(otr_submit(service, &(struct otr_request){.id = opcode,
						       .opcode = opcode,
						       .data = data,
						       .data_bytes = bytes}) == 1);
}

static struct otr_completion next(struct otr_service *service)
{
	struct otr_completion completion;

	WANT(otr_wait(service, OTR_COMPLETION, otr_deadline_ms(PATIENCE_MS)) == OTR_COMPLETION);
	WANT(otr_poll(service, &completion) == 1);
	return completion;
}

static struct otr_completion ask(struct otr_service *service, uint16_t opcode, const void *data,
				 uint32_t bytes)
{
	submit(service, opcode, data, bytes);
	struct otr_completion completion = next(service);

	WANT(completion.id == opcode);
	return completion;
}

static int status(struct otr_service *service, uint16_t opcode, const void *data, uint32_t bytes)
{
	return ask(service, opcode, data, bytes).status;
}

/* From the one to the other; `vlan` -1: without a tag. */
static const uint8_t *frame_of(uint32_t number, int vlan)
{
	static uint8_t frame[FRAME_BYTES];

	memcpy(frame, to_info.mac, 6);
	memcpy(frame + 6, from_info.mac, 6);
	memcpy(frame + 12, vlan < 0 ? "\x88\xb5" : "\x81\x00", 2);
	frame[14] = (uint8_t)(vlan >> 8);
	frame[15] = (uint8_t)vlan;
	memcpy(frame + NUMBER_AT, &number, sizeof(number));
	memcpy(frame + OWNER_AT, &own_pid, sizeof(own_pid));
	return frame;
}

/* Others on the same wire send, too; and what came for the program before us may wait. */
static bool is_ours(const void *data, uint32_t bytes, uint32_t *number)
{
	pid_t pid;

	if (bytes != FRAME_BYTES)
		return false;
	memcpy(&pid, (const uint8_t *)data + OWNER_AT, sizeof(pid));
	memcpy(number, (const uint8_t *)data + NUMBER_AT, sizeof(*number));
	return pid == own_pid;
}

static void transmit(uint32_t number, int vlan)
{
	WANT(status(from, OTR_NET_TRANSMIT, frame_of(number, vlan), FRAME_BYTES) == 0);
}

/* ---- Control calls ------------------------------------------------------------------ */

static void run_control(void)
{
	const uint8_t other[6] = {2, 0, 0, 0, 0x77, 0x77}, group[6] = {3}, zero[6] = {0};
	struct otr_net_statistics before, after;
	struct otr_net_link link;
	struct otr_completion completion = ask(from, OTR_NET_MAC, NULL, 0);

	WANT(completion.status == 0 && completion.data_bytes == 6);
	WANT(!memcmp(completion.data, from_info.mac, 6));
	WANT(status(from, OTR_NET_SET_MAC, from_info.mac, 6) == 0);
	WANT(status(from, OTR_NET_SET_MAC, other, 6) == -EPERM);
	WANT(status(from, OTR_NET_SET_MAC, group, 6) == -EADDRNOTAVAIL);
	WANT(status(from, OTR_NET_SET_MAC, zero, 6) == -EADDRNOTAVAIL);
	WANT(status(from, OTR_NET_SET_MAC, other, 5) == -EINVAL);
	WANT(status(from, OTR_NET_MAC, other, 1) == -EINVAL);
	WANT(status(from, OTR_NET_TRANSMIT, other, 6) == -EMSGSIZE);
	WANT(status(from, OTR_NET_RECEIVE, other, 6) == -EINVAL);
	WANT(status(from, OTR_ECHO, other, 6) == -EOPNOTSUPP);
	WANT(status(from, OTR_NET_STATISTICS + 1, NULL, 0) == -EOPNOTSUPP);
	completion = ask(from, OTR_NET_LINK, NULL, 0);
	WANT(completion.status == 0 && completion.data_bytes == sizeof(link));
	memcpy(&link, completion.data, sizeof(link));
	WANT(link.up == 1);
	completion = ask(from, OTR_NET_STATISTICS, NULL, 0);
	WANT(completion.status == 0 && completion.data_bytes == sizeof(before));
	memcpy(&before, completion.data, sizeof(before));
	transmit(1, -1);
	completion = ask(from, OTR_NET_STATISTICS, NULL, 0);
	memcpy(&after, completion.data, sizeof(after));
	WANT(after.tx_frames == before.tx_frames + 1 &&
	     after.tx_bytes == before.tx_bytes + FRAME_BYTES);
}

/* ---- Frames --------------------------------------------------------------------------- */

/* What comes now, with nobody asking for it, is in the ring. */
static void expect_in_ring(uint32_t number)
{
	struct otr_net *net = otr_service_net(to);
	struct otr_frame frame;
	uint32_t got;
	bool ours;

	do {
		WANT(otr_net_wait(net, OTR_RX, otr_deadline_ms(PATIENCE_MS)) == OTR_RX);
		WANT(otr_net_receive(net, &frame, 1) == 1);
		ours = is_ours(frame.data, frame.length_bytes, &got);
		WANT(!otr_net_release(net, 1));
	} while (!ours);
	WANT(got == number);
}

/*
 * The number of the next frame. By a request that waits, and as many wait afterwards; but a
 * round of requests may end with the frames, and those that come next are in the ring then.
 */
static uint32_t next_frame(void)
{
	struct otr_net *net = otr_service_net(to);
	bool ours = false;
	uint32_t got = 0;

	while (!ours) {
		struct otr_completion received;
		struct otr_frame frame;

		WANT(otr_wait(to, OTR_COMPLETION | OTR_RX, otr_deadline_ms(PATIENCE_MS)) > 0);
		if (otr_poll(to, &received) == 1) {
			WANT(received.status == 0);
			ours = is_ours(received.data, received.data_bytes, &got);
			submit(to, OTR_NET_RECEIVE, NULL, 0);
		} else if (otr_net_receive(net, &frame, 1) == 1) {
			ours = is_ours(frame.data, frame.length_bytes, &got);
			WANT(!otr_net_release(net, 1));
		}
	}
	return got;
}

/*
 * They are the adjunct's now, and wait there: it takes requests in their order, so they were
 * taken before one that is answered. A stranger's frame ends one, which is asked again.
 */
static void let_them_wait(void)
{
	bool again;

	do {
		again = false;
		submit(to, OTR_NET_LINK, NULL, 0);
		for (struct otr_completion done = next(to); done.id != OTR_NET_LINK; done = next(to)) {
			WANT(done.status == 0);
			submit(to, OTR_NET_RECEIVE, NULL, 0);
			again = true;
		}
	} while (again);
}

static void run_frames(void)
{
	static bool came[FRAMES];
	uint32_t sent = 0, received = 0;

	/* More than there are frames on their way: none finds nobody waiting. */
	for (unsigned i = 0; i < 2 * UNDER_WAY; i++)
		submit(to, OTR_NET_RECEIVE, NULL, 0);
	let_them_wait();
	while (received < FRAMES) {
		for (; sent < FRAMES && sent - received < UNDER_WAY; sent++)
			transmit(sent, -1);
		uint32_t number = next_frame();

		WANT(number < sent && !came[number]);
		came[number] = true;
		received++;
	}
	/* What waits can be taken back; then frames come by the ring again. */
	for (unsigned i = 0; i < 2 * UNDER_WAY; i++)
		WANT(otr_cancel(to, OTR_NET_RECEIVE) == 1);
	for (unsigned i = 0; i < 2 * UNDER_WAY; i++)
		WANT(next(to).status <= 0); /* -ECANCELED, or a stranger's frame has come first */
	transmit(FRAMES, -1);
	expect_in_ring(FRAMES);
}

static void run_vlans(void)
{
	const uint16_t five = 5, seven = 7, none = 0;

	transmit(1, 6);
	expect_in_ring(1);
	WANT(status(to, OTR_NET_VLAN_ADD, &none, sizeof(none)) == -EINVAL);
	WANT(status(to, OTR_NET_VLAN_ADD, &five, 1) == -EINVAL);
	WANT(status(to, OTR_NET_VLAN_REMOVE, &five, sizeof(five)) == -ENOENT);
	WANT(status(to, OTR_NET_VLAN_ADD, &five, sizeof(five)) == 0);
	WANT(status(to, OTR_NET_VLAN_ADD, &seven, sizeof(seven)) == 0);
	transmit(2, 6);
	transmit(3, 5);
	transmit(4, 8);
	transmit(5, -1);
	transmit(6, 7);
	expect_in_ring(3);
	expect_in_ring(5);
	expect_in_ring(6);
	WANT(status(to, OTR_NET_VLAN_REMOVE, &five, sizeof(five)) == 0);
	WANT(status(to, OTR_NET_VLAN_REMOVE, &seven, sizeof(seven)) == 0);
	transmit(7, 6);
	expect_in_ring(7);
}

/* What was set and what waits is known to the adjunct that comes next. */
static void run_successor(const char *file)
{
	const uint16_t five = 5;

	WANT(status(to, OTR_NET_VLAN_ADD, &five, sizeof(five)) == 0);
	submit(to, OTR_NET_RECEIVE, NULL, 0);
	let_them_wait();
	puts("ready");
	fflush(stdout);
	while (!access(file, F_OK))
		usleep(10000);
	/* A wire has no memory: what comes before the successor listens is lost. */
	uint64_t deadline = otr_deadline_ms(PATIENCE_MS);
	uint32_t got = 0;
	while (!got) {
		WANT(otr_now_ns() < deadline);
		transmit(1, 6);
		transmit(2, 5);
		if (otr_wait(to, OTR_COMPLETION, otr_deadline_ms(200)) != OTR_COMPLETION)
			continue;
		struct otr_completion received = next(to);

		WANT(received.status == 0);
		if (!is_ours(received.data, received.data_bytes, &got)) {
			got = 0;
			submit(to, OTR_NET_RECEIVE, NULL, 0);
		}
	}
	WANT(got == 2);
}

int main(int argc, char **argv)
{
	struct otr *otr;

	WANT(argc > 4);
	own_pid = getpid();
	WANT(!otr_attach(argv[1], &otr));
	WANT(!otr_service_open(otr, argv[2], &from) && !otr_service_open(otr, argv[3], &to));
	otr_net_info(otr_service_net(from), &from_info);
	otr_net_info(otr_service_net(to), &to_info);
	if (!strcmp(argv[4], "control"))
		run_control();
	else if (!strcmp(argv[4], "frames"))
		run_frames();
	else if (!strcmp(argv[4], "vlans"))
		run_vlans();
	else if (!strcmp(argv[4], "successor") && argc > 5)
		run_successor(argv[5]);
	else
		WANT(!"a known deed");
	otr_service_close(from);
	otr_service_close(to);
	otr_detach(otr);
	return 0;
}
