/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_client: requests that come at random, so many a second in the mean, whether or not
 * the last ones are done; prints "p50_ns p99_ns done_per_s second_cpu_percent". The time
 * of each begins when it came, not when there was room for it. Run by figure.sh.
 *
 *	load_client service PARTITION PID CPU SECONDS WORK_NS RATE
 *	load_client server CPU CPU_SERVER SECONDS WORK_NS RATE
 *
 * `service`: by the adjunct (process PID) of the partition's net0; one that has no
 * processor is lent ours whenever something waits. `server`: by a process on another CPU
 * that shares the same rings with us and sleeps on an eventfd, as a server of virtual I/O
 * does; what it has done is seen by polling, which spares us its interrupt. Both work
 * WORK_NS on each request. One thread, and the server's process.
 */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eq.h"
#include "outrigger.h"
#include "samples.h"

#define SLOTS OTR_REQUESTS_MAX
#define ENTRY_BYTES 64u
#define QUANTUM_NS NS_PER_MS
#define WARM_UP_NS (200 * NS_PER_MS)

struct message {
	uint32_t id;
	uint64_t work_ns;
	uint8_t data[32];
};

/* How a request is made, how who serves them hears of it, how one is found done. */
struct way {
	bool (*submit)(uint32_t id, uint64_t work_ns);
	void (*call)(void);
	bool (*done)(uint32_t *id);
};

/* ---- An adjunct --------------------------------------------------------------------- */

static struct otr_service *service;

static bool service_submit(uint32_t id, uint64_t work_ns)
{
	int queued = otr_submit(service, &(struct otr_request){.id = id,
							       .opcode = OTR_SPIN,
							       .data = &work_ns,
							       .data_bytes = sizeof(work_ns)});

	if (queued < 0)
		die("cannot submit: %s", otr_last_error());
	return queued;
}

static void service_call(void)
{
	if (otr_yield(service, QUANTUM_NS, NULL) < 0)
		die("cannot yield: %s", otr_last_error());
}

static bool service_done(uint32_t *id)
{
	struct otr_completion completion;
	int taken = otr_poll(service, &completion);

	if (taken < 0 || (taken && completion.status))
		die("a request failed: %s", otr_last_error());
	*id = completion.id;
	return taken;
}

static const struct way service_way = {service_submit, service_call, service_done};

/* ---- A server ------------------------------------------------------------------------ */

static struct eq_ring requests, completions;
static int server_bell;

static bool server_submit(uint32_t id, uint64_t work_ns)
{
	const struct message message = {.id = id, .work_ns = work_ns};

	if (eq_ring_space(&requests, 1) <= 0)
		return false;
	eq_ring_put(&requests, &message, sizeof(message));
	return true;
}

static void server_call(void)
{
	const uint64_t one = 1;

	if (eq_ring_must_wake_consumer(&requests) &&
	    write(server_bell, &one, sizeof(one)) != sizeof(one))
		die("cannot ring");
}

static bool server_done(uint32_t *id)
{
	struct message message;

	if (!eq_ring_take(&completions, &message, sizeof(message)))
		return false;
	eq_ring_release(&completions, 1);
	*id = message.id;
	return true;
}

static const struct way server_way = {server_submit, server_call, server_done};

/* The other process, until it is ended. */
static void serve(unsigned cpu)
{
	struct message message;
	uint64_t rung;

	pin_to(cpu);
	for (;;) {
		while (eq_ring_take(&requests, &message, sizeof(message))) {
			spin_for(message.work_ns);
			if (eq_ring_space(&completions, 1) <= 0)
				die("no room for a completion");
			eq_ring_put(&completions, &message, sizeof(message));
			eq_ring_release(&requests, 1);
		}
		if (eq_ring_arm(&requests) && read(server_bell, &rung, sizeof(rung)) < 0)
			die("cannot sleep");
		eq_ring_disarm(&requests);
	}
}

static pid_t server_start(unsigned cpu)
{
	size_t bytes = eq_ring_size_bytes(SLOTS, ENTRY_BYTES);
	uint8_t *memory = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	server_bell = eventfd(0, EFD_CLOEXEC);
	if (memory == MAP_FAILED || server_bell < 0 ||
	    eq_ring_open(&requests, memory, SLOTS, ENTRY_BYTES) ||
	    eq_ring_open(&completions, memory + bytes, SLOTS, ENTRY_BYTES))
		die("cannot make rings");
	pid_t pid = fork();

	if (pid < 0)
		die("cannot start the server");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	serve(cpu);
	exit(1); /* not reached */
}

/* ---- The load ------------------------------------------------------------------------ */

/* To the next request, in ns: exponentially distributed. */
static double next_gap(double mean_ns)
{
	static unsigned long long random = 88172645463325252u;

	random = random * 6364136223846793005u + 1442695040888963407u;
	return -log((double)(random >> 11 | 1) / 9007199254740992.0) * mean_ns;
}

/* What is not done when it ends counts neither as done nor as fast. */
static void load(const struct way *way, struct samples *samples, double rate, uint64_t work_ns,
		 uint64_t until_ns)
{
	static double came_ns[SLOTS]; /* by id; below 0: free */
	double next_ns = (double)clock_now_ns() + next_gap(1e9 / rate);
	uint32_t waiting = 0, id;

	for (id = 0; id < SLOTS; id++)
		came_ns[id] = -1;
	for (uint64_t now_ns; (now_ns = clock_now_ns()) < until_ns || waiting;) {
		for (id = 0; now_ns < until_ns && (double)now_ns >= next_ns && waiting < SLOTS; id++) {
			if (id == SLOTS)
				die("more are under way than slots");
			if (came_ns[id] >= 0)
				continue;
			if (!way->submit(id, work_ns))
				break;
			came_ns[id] = next_ns;
			next_ns += next_gap(1e9 / rate);
			waiting++;
		}
		if (waiting)
			way->call();
		while (waiting && way->done(&id)) {
			if (id >= SLOTS || came_ns[id] < 0)
				die("done twice");
			samples_add(samples, (double)clock_now_ns() - came_ns[id]);
			came_ns[id] = -1;
			waiting--;
		}
	}
}

static double cpu_ns(clockid_t clock)
{
	struct timespec at;

	if (clock_gettime(clock, &at))
		die("cannot read another process's clock");
	return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

int main(int argc, char **argv)
{
	bool adjunct = argc == 8 && !strcmp(argv[1], "service");
	struct samples samples;
	clockid_t clock;
	struct otr *otr;

	if (!adjunct && (argc != 7 || strcmp(argv[1], "server"))) {
		fprintf(stderr, "usage: load_client service PARTITION PID CPU SECONDS WORK_NS RATE\n"
				"       load_client server CPU CPU_SERVER SECONDS WORK_NS RATE\n");
		return 2;
	}
	char **rest = argv + argc - 3;
	uint64_t work_ns = strtoul(rest[1], NULL, 10);
	double rate = strtod(rest[2], NULL);

	pin_to((unsigned)strtoul(argv[adjunct ? 4 : 2], NULL, 10));
	pid_t server = adjunct ? atoi(argv[3]) : server_start((unsigned)strtoul(argv[3], NULL, 10));
	if (adjunct && (otr_attach(argv[2], &otr) || otr_service_open(otr, "net0", &service)))
		die("%s", otr_last_error());
	if (clock_getcpuclockid(server, &clock))
		die("there is no process %d", (int)server);
	samples_open(&samples);
	load(adjunct ? &service_way : &server_way, &samples, rate, work_ns,
	     clock_now_ns() + WARM_UP_NS);
	samples.count = 0;
	uint64_t begun_ns = clock_now_ns();
	double used_ns = cpu_ns(clock);
	load(adjunct ? &service_way : &server_way, &samples, rate, work_ns,
	     begun_ns + strtoul(rest[0], NULL, 10) * NS_PER_S);
	double elapsed_ns = (double)(clock_now_ns() - begun_ns);
	/* What an adjunct works on our processor it does not take of another. */
	double share = adjunct && otr_service_is_donated(service) ? 0
								  : (cpu_ns(clock) - used_ns) / elapsed_ns;

	printf("%.0f %.0f %.0f %.0f\n", samples_percentile(&samples, 0.5),
	       samples_percentile(&samples, 0.99), samples.count * 1e9 / elapsed_ns, share * 100);
	if (!adjunct) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	return 0; /* the handles go with the process */
}
