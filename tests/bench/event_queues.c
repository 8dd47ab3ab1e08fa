/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-bench-events: what an event costs on its way through both levels of the
 * event queues (event-queues/), and what it costs by the kernel's means. Run by
 * tests/bench/events.sh; prints one figure.
 *
 *	event_queues path  GUESTS READY SECONDS CPU        ns for each event, all on one CPU
 *	event_queues epoll GUESTS READY SECONDS CPU        the same by eventfd, epoll and read
 *	event_queues cross GUESTS SECONDS CPU_A CPU_B      ns from posting on A to hearing, on A,
 *	                                                   that the guest on B has consumed
 *	event_queues rate  PARTITIONS GUESTS FORWARDERS SECONDS CPU...
 *	                                                   forwards a second, adapters on the same CPUs
 *	event_queues bytes                                 host structures for one guest
 *
 * `path` is post, type-1 event queue, PSB, interrupt, forward, guest's event queue, ASB,
 * GISA, take the interrupt, consume. READY guests, chosen at random and distinct, have
 * one event each; then all of them are served, and so on.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "eq_host.h"

#define READY_MAX 64u
#define PICKS (1u << 16) /* drawn beforehand; drawing is not what is measured */
#define EQ_ENTRIES 8u

/*
 * Where things lie in a guest's memory, as eq_layout.h proposes: all but the entries in
 * one line; or, for guests that poll while another processor posts, summary byte and
 * interrupts in a line of their own behind the queue, as the shim's guests have them.
 */
struct area {
	size_t gisa, asb, bytes;
};
#define RING_OFFSET 0u
#define MARKS_OFFSET 24u
#define QUEUE_BYTES (sizeof(struct eq_queue_control) + EQ_ENTRIES * EQ_EQE_BYTES)
static const struct area area_dense = {.gisa = 16, .asb = 20, .bytes = QUEUE_BYTES};
static const struct area area_polled = {.gisa = QUEUE_BYTES, .asb = QUEUE_BYTES + 8,
					.bytes = QUEUE_BYTES + EQ_LINE_BYTES};
#define GISC 3u

/* A guest's own: a line. What it has mapped is another, and two of entries. */
struct guest {
	alignas(EQ_LINE_BYTES) struct eq_consumer consumer;
	struct eq_interrupts *gisa;
};
static_assert(sizeof(struct guest) == EQ_LINE_BYTES, "a line");

struct partition {
	struct eq_storage storage;
	struct eq_adapter adapter;
	struct eq_host *host;
	struct eq_host_adapter *host_adapter;
	struct guest *guests; /* guest i has completion queue i */
	unsigned count;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "event_queues: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot use that CPU", errno);
}

static void *memory(size_t bytes)
{
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (mapped == MAP_FAILED)
		die("no memory", errno);
	return mapped;
}

/* ---- Set-up ---------------------------------------------------------------- */

static void no_alert(void *host_data, void *guest_data)
{
	(void)host_data;
	(void)guest_data;
}

static void no_present(void *host_data)
{
	(void)host_data;
}

static void add_guest(struct partition *partition, unsigned index, const struct area *area,
		      uint8_t *memory)
{
	struct guest *guest = &partition->guests[index];
	const struct eq_guest_eq_spec spec = {.ring_offset = RING_OFFSET, .capacity = EQ_ENTRIES,
					      .marks_offset = MARKS_OFFSET, .slots = 2, .gisc = GISC};
	const struct eq_queue queue = {.ring = memory + RING_OFFSET, .capacity = EQ_ENTRIES,
				       .marks = (eq_marks *)(memory + MARKS_OFFSET), .slots = 2,
				       .asb = (eq_summary *)(memory + area->asb)};
	struct eq_guest *made;
	uint32_t id, cq, slot;
	int error;

	if ((error = eq_guest_create(partition->host, memory, area->bytes, area->gisa, guest,
				     &made)) ||
	    (error = eq_guest_allocate_eq(made, partition->host_adapter, &spec, &id)) ||
	    (error = eq_guest_store_eq_asb(made, partition->host_adapter, id, area->asb)) ||
	    (error = eq_guest_allocate_cq(made, partition->host_adapter, &cq)) ||
	    (error = eq_guest_store_cq_token(made, partition->host_adapter, cq, index)) ||
	    (error = eq_guest_store_cq_eq(made, partition->host_adapter, cq, id, &slot)) ||
	    (error = eq_consumer_open(&guest->consumer, &queue)))
		die("cannot make a guest", error);
	guest->gisa = (struct eq_interrupts *)(memory + area->gisa);
	eq_interrupt_run(guest->gisa, EQ_ISC_ALL);
}

static void make_partition(struct partition *partition, unsigned guests, const struct area *area)
{
	static const struct eq_host_ops ops = {.alert = no_alert, .present = no_present};
	uint64_t bytes = eq_storage_bytes(2, guests, 0, 65536);
	uint8_t *areas = memory(area->bytes * guests);
	int error;

	partition->count = guests;
	partition->guests = memory(guests * sizeof(*partition->guests));
	if ((error = eq_storage_format(memory(bytes), bytes, 2, guests, 0, &partition->storage)) ||
	    (error = eq_host_create(1, &ops, NULL, &partition->host)) ||
	    (error = eq_host_add_adapter(partition->host, &partition->storage, 65536,
					 &partition->host_adapter)))
		die("cannot make a partition", error);
	for (unsigned i = 0; i < guests; i++)
		add_guest(partition, i, area, areas + i * area->bytes);
	if ((error = eq_adapter_open(&partition->adapter, &partition->storage)))
		die("cannot open the adapter", error);
}

/* READY distinct guests, then the next READY, and so on round the array. */
static uint32_t *draw(unsigned guests, unsigned ready)
{
	uint32_t *picks = calloc(PICKS, sizeof(*picks));
	uint32_t state = 2463534242u;

	if (!picks)
		die("no memory", ENOMEM);
	for (unsigned i = 0; i < PICKS; i++) {
		unsigned first = i - i % ready, same = 1;

		while (same) {
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
			picks[i] = state % guests;
			same = 0;
			for (unsigned j = first; j < i; j++)
				same |= picks[j] == picks[i];
		}
	}
	return picks;
}

/* ---- All on one CPU ---------------------------------------------------------- */

static unsigned serve_guest(struct guest *guest)
{
	struct eq_entry entry;
	unsigned served = 0;

	if (!eq_interrupt_take(guest->gisa, 1u << GISC) || !eq_consumer_begin(&guest->consumer))
		return 0;
	do {
		while (eq_consume(&guest->consumer, &entry))
			served++;
	} while (eq_consumer_end(&guest->consumer));
	return served;
}

static unsigned path_burst(struct partition *partition, const uint32_t *picks, unsigned ready)
{
	unsigned served = 0;

	for (unsigned i = 0; i < ready; i++)
		eq_adapter_complete(&partition->adapter, picks[i]);
	eq_adapter_signal(&partition->adapter, 0);
	while (eq_forward(partition->host, 0, 2 * READY_MAX, 0))
		;
	for (unsigned i = 0; i < ready; i++)
		served += serve_guest(&partition->guests[picks[i]]);
	return served;
}

struct epoll_set {
	int epoll, *fds;
};

static unsigned epoll_burst(struct epoll_set *set, const uint32_t *picks, unsigned ready)
{
	struct epoll_event events[READY_MAX];
	const uint64_t one = 1;
	uint64_t count;
	unsigned served = 0;

	for (unsigned i = 0; i < ready; i++) {
		if (write(set->fds[picks[i]], &one, sizeof(one)) != sizeof(one))
			die("eventfd", errno);
	}
	while (served < ready) {
		int got = epoll_wait(set->epoll, events, READY_MAX, 1000);

		if (got <= 0)
			die("epoll", got ? errno : ETIMEDOUT);
		for (int i = 0; i < got; i++) {
			if (read(set->fds[events[i].data.u32], &count, sizeof(count)) != sizeof(count))
				die("eventfd", errno);
		}
		served += (unsigned)got;
	}
	return served;
}

static void make_epoll(struct epoll_set *set, unsigned guests)
{
	struct rlimit limit = {.rlim_cur = guests + 64, .rlim_max = guests + 64};

	if (setrlimit(RLIMIT_NOFILE, &limit) && setrlimit(RLIMIT_NOFILE, &(struct rlimit){
			.rlim_cur = limit.rlim_cur, .rlim_max = limit.rlim_cur}))
		die("so many descriptors", errno);
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	set->fds = calloc(guests, sizeof(*set->fds));
	if (set->epoll < 0 || !set->fds)
		die("epoll", errno);
	for (unsigned i = 0; i < guests; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

		set->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (set->fds[i] < 0 || epoll_ctl(set->epoll, EPOLL_CTL_ADD, set->fds[i], &event))
			die("eventfd", errno);
	}
}

#define SAMPLES_MAX 4096u

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* What else the machine did falls on few of many short stretches. */
static double median(double *samples, unsigned count)
{
	qsort(samples, count, sizeof(*samples), compare);
	return samples[count / 2];
}

static double stretches(struct partition *partition, struct epoll_set *set, const uint32_t *picks,
			unsigned ready, uint64_t deadline_ns)
{
	unsigned bursts = 16384 / ready, at = 0, count = 0;
	static double samples[SAMPLES_MAX];

	while (count < SAMPLES_MAX && (clock_now_ns() < deadline_ns || count < 5)) {
		uint64_t start_ns = clock_now_ns(), served = 0;

		for (unsigned i = 0; i < bursts; i++) {
			served += partition ? path_burst(partition, picks + at, ready)
					    : epoll_burst(set, picks + at, ready);
			at = at + 2 * ready > PICKS ? 0 : at + ready;
		}
		if (served != (uint64_t)bursts * ready)
			die("events were lost", EPROTO);
		samples[count++] = (double)(clock_now_ns() - start_ns) / (double)served;
	}
	return median(samples, count);
}

static void measure_one_cpu(bool path, unsigned guests, unsigned ready, unsigned seconds)
{
	static struct partition partition;
	struct epoll_set set;
	uint32_t *picks;

	if (!ready || ready > READY_MAX || ready > guests)
		die("READY is 1 to 64, and at most GUESTS", EINVAL);
	picks = draw(guests, ready);
	if (path)
		make_partition(&partition, guests, &area_dense);
	else
		make_epoll(&set, guests);
	stretches(path ? &partition : NULL, &set, picks, ready, clock_now_ns() + NS_PER_S / 5);
	printf("%.2f\n", stretches(path ? &partition : NULL, &set, picks, ready,
				   clock_now_ns() + seconds * NS_PER_S));
}

/* ---- Across CPUs --------------------------------------------------------------- */

struct crossing {
	struct partition *partition;
	const uint32_t *picks;
	unsigned cpu;
	alignas(64) _Atomic uint32_t consumed; /* the guest's answer */
	alignas(64) _Atomic bool stop;
};

/* The guests' CPU: looks at the summary byte of the one whose turn it is. */
static void *guest_thread(void *data)
{
	struct crossing *crossing = data;
	uint32_t turn = 0;

	pin(crossing->cpu);
	while (!atomic_load_explicit(&crossing->stop, memory_order_relaxed)) {
		struct guest *guest = &crossing->partition->guests[crossing->picks[turn % PICKS]];
		struct eq_entry entry;

		if (!eq_consumer_begin(&guest->consumer))
			continue;
		/* The interrupt that comes with it is of no interest to one that polls. */
		while (eq_consume(&guest->consumer, &entry))
			/* release: partner is the load in cross_once(). */
			atomic_store_explicit(&crossing->consumed, ++turn, memory_order_release);
		eq_consumer_end(&guest->consumer);
	}
	return NULL;
}

static void cross_once(struct crossing *crossing, uint32_t turn, uint64_t deadline_ns)
{
	struct partition *partition = crossing->partition;

	eq_adapter_complete(&partition->adapter, crossing->picks[(turn - 1) % PICKS]);
	eq_adapter_signal(&partition->adapter, 0);
	eq_forward(partition->host, 0, 1, 0);
	/* acquire: partner is the store in guest_thread(). */
	for (uint64_t polls = 1; atomic_load_explicit(&crossing->consumed, memory_order_acquire) != turn;
	     polls++) {
		if (polls % (1u << 24) == 0 && clock_now_ns() > deadline_ns)
			die("an event was lost", ETIMEDOUT);
	}
}

static void measure_cross(unsigned guests, unsigned seconds, unsigned cpu_a, unsigned cpu_b)
{
	static struct partition partition;
	static struct crossing crossing;
	pthread_t thread;
	uint32_t turn = 0;

	pin(cpu_a);
	make_partition(&partition, guests, &area_polled);
	crossing.partition = &partition;
	crossing.picks = draw(guests, 1);
	crossing.cpu = cpu_b;
	if (pthread_create(&thread, NULL, guest_thread, &crossing))
		die("a thread", EAGAIN);
	uint64_t until_ns = clock_now_ns() + seconds * NS_PER_S;
	static double samples[SAMPLES_MAX];
	unsigned count = 0;
	while (count < SAMPLES_MAX && clock_now_ns() < until_ns) {
		uint64_t start_ns = clock_now_ns();

		for (unsigned i = 0; i < 500; i++)
			cross_once(&crossing, ++turn, until_ns + 5 * NS_PER_S);
		samples[count++] = (double)(clock_now_ns() - start_ns) / 500;
	}
	printf("%.2f\n", median(samples, count));
	atomic_store(&crossing.stop, true);
	pthread_join(thread, NULL);
}

/* ---- Many partitions ------------------------------------------------------------- */

struct core {
	pthread_t thread;
	struct partition *partitions;
	unsigned first, count, cpu;
	const uint32_t *picks;
	uint64_t until_ns, forwarded;
};

/* Adapters, forwarder and guests of its share of the partitions. */
static void *core_thread(void *data)
{
	struct core *core = data;
	unsigned at = 0;

	pin(core->cpu);
	while (clock_now_ns() < core->until_ns) {
		for (unsigned i = 0; i < core->count; i++) {
			core->forwarded += path_burst(&core->partitions[core->first + i],
						      core->picks + at, READY_MAX);
			at = at + 2 * READY_MAX > PICKS ? 0 : at + READY_MAX;
		}
	}
	return NULL;
}

static void measure_rate(int argc, char **argv)
{
	unsigned count = (unsigned)atoi(argv[0]), guests = (unsigned)atoi(argv[1]);
	unsigned cores = (unsigned)atoi(argv[2]), seconds = (unsigned)atoi(argv[3]);
	struct partition *partitions = calloc(count ? count : 1, sizeof(*partitions));
	struct core *core = calloc(cores ? cores : 1, sizeof(*core));
	uint64_t forwarded = 0;

	if (!partitions || !core || guests < READY_MAX || !cores || count < cores ||
	    argc != 4 + (int)cores)
		die("PARTITIONS >= FORWARDERS, GUESTS >= 64, a CPU for each forwarder", EINVAL);
	for (unsigned i = 0; i < count; i++)
		make_partition(&partitions[i], guests, &area_dense);
	for (unsigned i = 0; i < cores; i++) {
		unsigned first = i * count / cores, end = (i + 1) * count / cores;

		core[i] = (struct core){.partitions = partitions, .first = first, .count = end - first,
					.cpu = (unsigned)atoi(argv[4 + i]),
					.picks = draw(guests, READY_MAX),
					.until_ns = clock_now_ns() + seconds * NS_PER_S};
	}
	for (unsigned i = 0; i < cores; i++) {
		if (pthread_create(&core[i].thread, NULL, core_thread, &core[i]))
			die("a thread", EAGAIN);
	}
	for (unsigned i = 0; i < cores; i++) {
		pthread_join(core[i].thread, NULL);
		forwarded += core[i].forwarded;
	}
	printf("%.0f\n", (double)forwarded / seconds);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (argc == 6 && (!strcmp(mode, "path") || !strcmp(mode, "epoll"))) {
		pin((unsigned)atoi(argv[5]));
		measure_one_cpu(!strcmp(mode, "path"), (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]),
				(unsigned)atoi(argv[4]));
	} else if (argc == 6 && !strcmp(mode, "cross")) {
		measure_cross((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]),
			      (unsigned)atoi(argv[5]));
	} else if (argc > 6 && !strcmp(mode, "rate")) {
		measure_rate(argc - 2, argv + 2);
	} else if (argc == 2 && !strcmp(mode, "bytes")) {
		printf("%zu\n", eq_guest_bytes(1));
	} else {
		fprintf(stderr, "usage: see the top of tests/bench/event_queues.c\n");
		return 2;
	}
	return 0;
}
