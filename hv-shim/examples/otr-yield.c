/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A native partition's program that lends its processor to its device's adjunct when it
 * suits it: it queues requests in batches, has work of its own of a higher or lower
 * priority, and hears through its event queue that the adjunct is done, or wants more
 * time (000, FIG. 23, claims 8 and 9; the numbers are the figure's).
 *
 *	otr-yield PARTITION DEVICE BATCHES [QUANTUM_US]
 *
 * The device is of an adapter of kind echo, with `cpu: donated`.
 */
#include <stdio.h>
#include <stdlib.h>

#include "outrigger.h"

#define BATCH 16
#define OWN_WORK_NS 50000
#define OWN_PRIORITY (OTR_PRIORITIES / 2)

static struct otr_service *service;
static uint64_t quantum_ns;
static unsigned long done, failed, at_once, later, never;

/* 2305, 2310: a batch, whose last request is long. */
static int queue_batch(unsigned priority)
{
	const uint64_t spin_ns = 300000;

	for (uint32_t id = 0; id < BATCH; id++) {
		struct otr_request request = {.id = id, .priority = (uint8_t)priority};

		request.opcode = id == BATCH - 1 ? OTR_SPIN : OTR_ECHO;
		request.data = id == BATCH - 1 ? (const void *)&spin_ns : "around the world";
		request.data_bytes = id == BATCH - 1 ? sizeof(spin_ns) : 17;
		if (otr_submit(service, &request) != 1)
			return -1;
	}
	return 0;
}

/* 2320: what this program is there for. */
static void own_work(void)
{
	for (uint64_t until_ns = otr_now_ns() + OWN_WORK_NS; otr_now_ns() < until_ns;)
		continue;
}

/* 2385: PA_BUSY. Is what the adjunct was asked for more urgent than our own work? */
static int goes_on(unsigned priority)
{
	if (priority == 0)
		return never++, 0; /* it comes along with what is asked for next */
	if (priority > OWN_PRIORITY)
		return at_once++, 1;
	own_work();
	return later++, 1;
}

static unsigned take_completions(void)
{
	struct otr_completion completion;
	unsigned taken = 0;

	for (; otr_poll(service, &completion) > 0; taken++)
		failed += completion.status != 0;
	done += taken;
	return taken;
}

int main(int argc, char **argv)
{
	unsigned long batches = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, left = 0;
	struct otr_guest_event event = {0};
	struct otr_guest *guest;
	struct otr *otr;

	quantum_ns = (argc > 4 ? strtoul(argv[4], NULL, 10) : 100) * 1000;
	if (!batches || otr_attach(argv[1], &otr) || otr_service_open(otr, argv[2], &service) ||
	    otr_guest_open(otr, 1, &guest) ||
	    otr_guest_add(guest, otr_service_net(service), OTR_COMPLETION | OTR_PA_BUSY, NULL))
		return fprintf(stderr, "otr-yield: see its source; %s\n", otr_last_error()), 1;
	for (unsigned long batch = 0; batch < batches && !queue_batch(batch % OTR_PRIORITIES); batch++) {
		left += BATCH;
		for (int lends = 1; left > 0 && (lends || batch == batches - 1);) {
			otr_yield(service, quantum_ns, NULL); /* 2325; what fails, fails below */
			if (otr_guest_wait(guest, &event, 1, otr_deadline_ms(10000)) <= 0)
				return fprintf(stderr, "otr-yield: %s\n", otr_last_error()), 1;
			left -= take_completions();
			lends = !(event.what & OTR_PA_BUSY) || goes_on(batch % OTR_PRIORITIES);
		}
	}
	printf("done %lu failed %lu at once %lu later %lu never %lu\n", done, failed, at_once, later,
	       never);
	otr_service_close(service);
	otr_guest_close(guest);
	otr_detach(otr);
	return failed || left;
}
