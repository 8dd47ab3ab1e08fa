/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A native partition's program that lends its processor to its device's adjunct when it
 * suits it: it queues requests in batches, has work of its own of a higher or lower
 * priority, and yields when the requests are the more urgent (000, FIG. 23; the numbers
 * are the figure's).
 *
 *	otr-yield PARTITION DEVICE BATCHES [QUANTUM_US]
 *
 * The device is of an adapter of kind echo, with `cpu: donated`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "outrigger.h"

#define BATCH 16
#define OWN_WORK_NS 50000

static struct counts {
	unsigned long done, failed, yields, busy, put_off;
	uint64_t lent_ns;
} counts;

/* 2305, 2310: a batch, whose last request is long. */
static int queue_batch(struct otr_service *service, unsigned priority)
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
	uint64_t until_ns = otr_now_ns() + OWN_WORK_NS;

	while (otr_now_ns() < until_ns)
		continue;
}

static unsigned take_completions(struct otr_service *service)
{
	struct otr_completion completion;
	unsigned taken = 0;

	for (; otr_poll(service, &completion) > 0; taken++)
		counts.failed += completion.status != 0;
	counts.done += taken;
	return taken;
}

int main(int argc, char **argv)
{
	unsigned long batches = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	uint64_t quantum_ns = (argc > 4 ? strtoul(argv[4], NULL, 10) : 100) * 1000, used_ns;
	struct otr_service *service;
	struct otr *otr;

	if (!batches || otr_attach(argv[1], &otr) || otr_service_open(otr, argv[2], &service))
		return fprintf(stderr, "otr-yield: see its source; %s\n", otr_last_error()), 1;
	for (unsigned long batch = 0; batch < batches; batch++) {
		unsigned urgency = batch % OTR_PRIORITIES, left = BATCH;

		if (queue_batch(service, urgency))
			break;
		/* 2315: own work goes first while it is the more urgent; but it gets done, and
		 * that of the adjunct becomes more urgent as it waits. */
		for (; urgency < OTR_PRIORITIES / 2; urgency++, counts.put_off++)
			own_work();
		while (left > 0) {
			int yielded = otr_yield(service, quantum_ns, &used_ns); /* 2325 */

			if (yielded < 0 && yielded != -ETIMEDOUT)
				return fprintf(stderr, "otr-yield: %s\n", otr_last_error()), 1;
			counts.yields++;
			counts.lent_ns += used_ns;
			left -= take_completions(service);
			/* 2385: PA_BUSY. What is not urgent waits for our own work again. */
			if (otr_service_busy(service) && ++counts.busy && urgency < OTR_PRIORITIES - 1)
				own_work();
		}
	}
	printf("done %lu failed %lu yields %lu busy %lu put off %lu lent %.3f ms\n", counts.done,
	       counts.failed, counts.yields, counts.busy, counts.put_off, counts.lent_ns / 1e6);
	otr_service_close(service);
	otr_detach(otr);
	return counts.failed != 0;
}
