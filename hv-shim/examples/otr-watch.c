/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watches many native devices of a partition with one wait: says what happens to each
 * device, and how many frames came to it when it ends.
 *
 *	otr-watch PARTITION SECONDS DEVICE...
 *	otr-watch green 60 net0 net1 net2
 *
 * The pattern of every program with more than one device: a guest, the devices in it,
 * otr_guest_wait(), and for each event what there is to do.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outrigger.h"

#define BURST 32

struct watched {
	const char *name;
	struct otr_net *net;
	unsigned long frames, wakes;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static int give_up(const char *what)
{
	fprintf(stderr, "otr-watch: %s: %s\n", what, otr_last_error());
	return 1;
}

/* Takes in what has come. -errno: the device is gone. */
static int receive_all(struct watched *watched)
{
	struct otr_frame frames[BURST];
	int count;

	watched->wakes++;
	while ((count = otr_net_receive(watched->net, frames, BURST)) > 0) {
		watched->frames += (unsigned)count;
		otr_net_release(watched->net, (unsigned)count);
	}
	return count;
}

static int watch(struct otr_guest *guest, uint64_t until_ns)
{
	struct otr_guest_event events[16];

	while (!interrupted) {
		int count = otr_guest_wait(guest, events, 16, until_ns);

		if (count == 0 || count == -EINTR)
			return 0;
		if (count < 0)
			return give_up("waiting");
		for (int i = 0; i < count; i++) {
			struct watched *watched = events[i].user;

			if (events[i].what & OTR_EVENT)
				printf("%s: %s\n", watched->name, events[i].event);
			if ((events[i].what & OTR_RX) && receive_all(watched) < 0) {
				printf("%s: %s\n", watched->name, otr_last_error());
				otr_guest_remove(guest, watched->net);
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct otr_guest_stats stats;
	struct otr_guest *guest;
	struct otr *otr;
	int devices = argc - 3;

	if (devices < 1) {
		fprintf(stderr, "usage: otr-watch PARTITION SECONDS DEVICE...\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct watched *watched = calloc((size_t)devices, sizeof(*watched));
	if (!watched || otr_attach(argv[1], &otr))
		return give_up(argv[1]);
	if (otr_guest_open(otr, (unsigned)devices, &guest))
		return give_up("a guest");
	for (int i = 0; i < devices; i++) {
		watched[i].name = argv[3 + i];
		if (otr_net_open(otr, watched[i].name, &watched[i].net) ||
		    otr_guest_add(guest, watched[i].net, OTR_RX, &watched[i]))
			return give_up(watched[i].name);
	}
	printf("watching %d devices\n", devices);
	int status = watch(guest, otr_deadline_ms((unsigned)atoi(argv[2]) * 1000));

	otr_guest_stats(guest, &stats);
	for (int i = 0; i < devices; i++) {
		printf("%s: %lu frames, looked at %lu times\n", watched[i].name, watched[i].frames,
		       watched[i].wakes);
		otr_net_close(watched[i].net);
	}
	printf("%llu events, %llu sleeps, %llu wakes, %llu times made anew\n",
	       (unsigned long long)stats.events, (unsigned long long)stats.sleeps,
	       (unsigned long long)stats.wakes, (unsigned long long)stats.shims);
	otr_guest_close(guest);
	otr_detach(otr);
	free(watched);
	return status;
}
