/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service_client: a partition's program that asks its devices' adjuncts for something and
 * times it; prints one figure. Run by tests/bench/services.sh.
 *
 *	service_client PARTITIONS MODE CPU SECONDS [DEVICES]
 *
 *	polled      an echo of 8 bytes from an adjunct with a processor of its own: ns
 *	hot         the same from one that is lent ours, one yield after the other: ns
 *	parked      the same after 25 us of work, by when it sleeps: ns
 *	in-turn     as hot, the next of DEVICES each time: ns
 *	interrupt   as polled, and we sleep until it has come: ns
 *	bursts      64 echoes, after which we sleep until the first has come: the mean
 *	            of sleeps a burst
 *	quantum     requests of 50 ms, by quanta of 20 us to 5 ms at random: the 99th
 *	            percentile of the time away, as a part of what is allowed, in per cent
 *
 * PARTITIONS0.sock is the first one's socket; each has 16 devices, net0 to net15. All but
 * `in-turn` use the first, however many are open. The time is of submit, yield and poll: what the adjunct does in between is
 * part of it. One thread.
 */
#include <stdbool.h>

#include "outrigger.h"
#include "samples.h"

#define DEVICES_MAX 256u
#define DEVICES_PER_PARTITION 16u
#define ROUNDS_PER_SAMPLE 500u /* as spin has: a clock costs as much as a round trip */
#define WARM_UP_NS (300 * NS_PER_MS)
#define PATIENCE_NS (5 * NS_PER_S)
#define PARKED_NS (25 * NS_PER_US)
/* For so long the adjunct works, by when we sleep. */
#define INTERRUPT_WORK_NS (20 * NS_PER_US)
#define QUANTUM_NS NS_PER_MS
#define QUANTUM_MIN_NS (20 * NS_PER_US)
#define QUANTUM_MAX_NS (5 * NS_PER_MS)
/* A quantum has to be kept to within this, or a fifth of it, whichever is longer. */
#define QUANTUM_FLOOR_NS (100 * NS_PER_US)
#define LONG_NS (50 * NS_PER_MS)

static struct otr_service *services[DEVICES_MAX];
static unsigned device_count = 1;
static struct samples samples;
static uint64_t number; /* of the request */
static unsigned under_way; /* by `quantum` */

static void submit(struct otr_service *service, uint32_t id, uint16_t opcode, uint64_t word)
{
	const struct otr_request request = {
		.id = id, .opcode = opcode, .data = &word, .data_bytes = sizeof(word)};
	int queued;

	/* 0: the adjunct has completed the last ones, and not yet given back their slots. */
	while (!(queued = otr_submit(service, &request)))
		continue;
	if (queued < 0)
		die("cannot submit: %s", otr_last_error());
}

/* It is ours, and has come: else nothing was measured. */
static void check(const struct otr_completion *completion)
{
	uint64_t word;

	if (completion->status || completion->data_bytes != sizeof(word))
		die("request failed: %s", strerror(-completion->status));
	memcpy(&word, completion->data, sizeof(word));
	if (word != number)
		die("a wrong answer");
}

static void take(struct otr_service *service)
{
	struct otr_completion completion;
	uint64_t polls = 0, deadline_ns = 0;
	int taken;

	while (!(taken = otr_poll(service, &completion))) {
		if (++polls % 65536)
			continue;
		if (!deadline_ns)
			deadline_ns = clock_now_ns() + PATIENCE_NS;
		if (clock_now_ns() > deadline_ns)
			die("no completion comes");
	}
	if (taken < 0)
		die("no completion: %s", otr_last_error());
	check(&completion);
}

/* True: the quantum was too short. */
static bool yield(struct otr_service *service)
{
	int yielded = otr_yield(service, QUANTUM_NS, NULL);

	if (yielded < 0)
		die("cannot yield: %s", otr_last_error());
	return yielded == OTR_BUSY;
}

static void ask(struct otr_service *service)
{
	submit(service, 0, OTR_ECHO, ++number);
	while (yield(service))
		continue;
	take(service);
}

/* ---- A sample of each mode ------------------------------------------------------- */

static void sample_polled(void)
{
	uint64_t begun_ns = clock_now_ns();

	for (unsigned i = 0; i < ROUNDS_PER_SAMPLE; i++)
		ask(services[0]);
	samples_add(&samples, (double)(clock_now_ns() - begun_ns) / ROUNDS_PER_SAMPLE);
}

static void timed_ask(struct otr_service *service)
{
	uint64_t begun_ns = clock_now_ns();

	ask(service);
	samples_add(&samples, (double)(clock_now_ns() - begun_ns));
}

static void sample_hot(void)
{
	timed_ask(services[0]);
}

static void sample_parked(void)
{
	spin_for(PARKED_NS);
	timed_ask(services[0]);
}

static void sample_in_turn(void)
{
	timed_ask(services[number % device_count]);
}

static void sample_interrupt(void)
{
	uint64_t begun_ns = clock_now_ns();

	struct otr_completion completion;

	submit(services[0], 0, OTR_SPIN, INTERRUPT_WORK_NS);
	if (otr_wait(services[0], OTR_COMPLETION, begun_ns + PATIENCE_NS) <= 0 ||
	    otr_poll(services[0], &completion) != 1 || completion.status)
		die("nothing comes: %s", otr_last_error());
	samples_add(&samples, (double)(clock_now_ns() - begun_ns) - INTERRUPT_WORK_NS);
}

static uint64_t sleeps(void)
{
	struct otr_net_stats stats;

	otr_net_stats(otr_service_net(services[0]), &stats);
	return stats.sleeps;
}

static void sample_bursts(void)
{
	uint64_t before = sleeps();

	number++;
	for (unsigned i = 0; i < OTR_REQUESTS_MAX; i++)
		submit(services[0], i, OTR_ECHO, number);
	yield(services[0]);
	for (unsigned taken = 0; taken < OTR_REQUESTS_MAX; taken++) {
		if (otr_wait(services[0], OTR_COMPLETION, clock_now_ns() + PATIENCE_NS) <= 0)
			die("nothing comes: %s", otr_last_error());
		take(services[0]);
	}
	samples_add(&samples, (double)(sleeps() - before));
}

static void sample_quantum(void)
{
	static unsigned long long random = 88172645463325252u;
	struct otr_completion completion;
	uint64_t used_ns;

	/* Two: while one is left nothing ends before its quantum. */
	while (under_way < 2) {
		submit(services[0], 0, OTR_SPIN, LONG_NS);
		under_way++;
	}
	random = random * 6364136223846793005u + 1442695040888963407u;
	uint64_t quantum_ns = QUANTUM_MIN_NS + (random >> 20) % (QUANTUM_MAX_NS - QUANTUM_MIN_NS);

	/* Short ones are the hard ones: every other one is below a millisecond. */
	if (random >> 63)
		quantum_ns = QUANTUM_MIN_NS + quantum_ns % NS_PER_MS;
	if (otr_yield(services[0], quantum_ns, &used_ns) != OTR_BUSY)
		die("not preempted: %s", otr_last_error());
	uint64_t allowed_ns = quantum_ns + quantum_ns / 5;

	if (allowed_ns < QUANTUM_FLOOR_NS)
		allowed_ns = QUANTUM_FLOOR_NS;
	samples_add(&samples, (double)used_ns * 100 / (double)allowed_ns);
	while (otr_poll(services[0], &completion) > 0)
		under_way--;
}

/* Nothing is left in the middle of a request: who comes next would have to wait for it. */
static void finish_quantum(void)
{
	while (yield(services[0]))
		continue;
}

/* ---- The program ------------------------------------------------------------------- */

static const struct mode {
	const char *name;
	void (*sample)(void);
	double percentile; /* 0: the mean */
} modes[] = {
	{"polled", sample_polled, 0.5},	  {"hot", sample_hot, 0.5},
	{"parked", sample_parked, 0.5},	  {"in-turn", sample_in_turn, 0.5},
	{"interrupt", sample_interrupt, 0.5}, {"bursts", sample_bursts, 0},
	{"quantum", sample_quantum, 0.99},
};

static void measure(const struct mode *mode, unsigned seconds)
{
	uint64_t warm_ns = clock_now_ns() + WARM_UP_NS;

	samples_open(&samples);
	while (clock_now_ns() < warm_ns)
		mode->sample();
	samples.count = 0;
	for (uint64_t end_ns = clock_now_ns() + seconds * NS_PER_S; clock_now_ns() < end_ns;)
		mode->sample();
	if (mode->sample == sample_quantum)
		finish_quantum();
	printf("%.2f\n", mode->percentile > 0 ? samples_percentile(&samples, mode->percentile)
					      : samples_mean(&samples));
}

static void open_device(const char *partitions, unsigned i)
{
	static struct otr *otr;
	char text[256];

	snprintf(text, sizeof(text), "%s%u.sock", partitions, i / DEVICES_PER_PARTITION);
	if (i % DEVICES_PER_PARTITION == 0 && otr_attach(text, &otr))
		die("%s", otr_last_error());
	snprintf(text, sizeof(text), "net%u", i % DEVICES_PER_PARTITION);
	if (otr_service_open(otr, text, &services[i]))
		die("%s: %s", text, otr_last_error());
}

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;

	for (size_t i = 0; argc > 4 && i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(argv[2], modes[i].name))
			mode = &modes[i];
	if (argc > 5)
		device_count = (unsigned)strtoul(argv[5], NULL, 10);
	if (!mode || device_count < 1 || device_count > DEVICES_MAX) {
		fprintf(stderr, "usage: service_client PARTITIONS MODE CPU SECONDS [DEVICES]\n");
		return 2;
	}
	pin_to((unsigned)strtoul(argv[3], NULL, 10));
	for (unsigned i = 0; i < device_count; i++)
		open_device(argv[1], i);
	/* Who measures an interrupt sleeps at once. */
	if (mode->sample == sample_interrupt || mode->sample == sample_bursts)
		otr_net_set_polling(otr_service_net(services[0]), 0);
	measure(mode, (unsigned)strtoul(argv[4], NULL, 10));
	return 0; /* the handles go with the process */
}
