/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adjuncts without a shim: this program spawns the `ethdev` image itself, gives
 * it memory, a device and a partition's port, and is the partition. TAP output.
 *
 *   native window <-> adjunct <-> net_ring0: a loopback inside the adjunct
 *   native window <-> adjunct (net_virtio_user0) <-> adjunct (vhost-user port,
 *                     net_ring0): two adjuncts back to back
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients.h"
#include "clock.h"

#define RING 512
#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static unsigned tests, failures;
const char *failed_why;

/* Sends numbers [from, to) and takes them back: in order, none missing. */
static bool echo(struct window *window, uint32_t from, uint32_t to, unsigned ms)
{
	uint64_t deadline_ns = clock_now_ns() + ms * NS_PER_MS;
	uint32_t next = from, expected = from;

	while (expected < to && clock_now_ns() < deadline_ns) {
		unsigned burst = to - next < 32 ? to - next : 32;
		int64_t number;

		next += window_send(window, next, burst, 60 + next % 1400);
		while ((number = window_receive(window, NULL)) >= 0) {
			if (number != expected) {
				printf("# got frame %jd, expected %u\n", (intmax_t)number,
				       expected);
				return false;
			}
			expected++;
		}
		if (number != -1) {
			printf("# a frame came back wrong\n");
			return false;
		}
	}
	if (expected < to)
		printf("# %u of %u frames came back in time\n", expected - from, to - from);
	return expected == to;
}

static void test_echo(void)
{
	struct adjunct adjunct;
	struct window window;

	window_open(&window, RING);
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &window, NULL);
	check(echo(&window, 0, 200000, 30000));
	check(adjunct_counter(&adjunct, "tx_frames") == 200000);
	check(adjunct_counter(&adjunct, "rx_frames") == 200000);
	check(adjunct_counter(&adjunct, "link_up") == 1);
	uint64_t private = adjunct_private_bytes(&adjunct);

	printf("# private memory of a serving adjunct: %ju KiB\n", (uintmax_t) private / 1024);
	check(private <= (24u << 20));
	kill(adjunct.pid, SIGTERM);
	check(adjunct_wait(&adjunct) == 0);
	adjunct_end(&adjunct);
	window_close(&window);
}

static void test_bad_frames(void)
{
	static const struct net_entry wrong[] = {
		{.length_bytes = 0},
		{.length_bytes = NET_FRAME_MIN - 1},
		{.length_bytes = TEST_MTU + 19},
		{.length_bytes = NET_FRAME_MAX + 1},
		{.length_bytes = 0xffff},
		{.length_bytes = 64, .flags = 1},
	};
	const unsigned count = sizeof(wrong) / sizeof(wrong[0]);
	struct adjunct adjunct;
	struct window window;

	window_open(&window, RING);
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &window, NULL);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < count; i++)
			window_put(&window, &wrong[i]);
		check(echo(&window, round * 10, round * 10 + 10, 2000));
	}
	check(adjunct_counter(&adjunct, "tx_dropped") == 20 * count);
	check(adjunct_counter(&adjunct, "tx_frames") == 200);
	adjunct_end(&adjunct);
	window_close(&window);
}

/* Frames of every state between the two: in the rings, in the device, unsent. */
static void test_successor(void)
{
	struct adjunct adjunct;
	struct window window;
	uint32_t next = 0, expected = 0;
	char *state = NULL;
	bool ok = true;

	window_open(&window, 64);
	for (unsigned generation = 0; generation < 4; generation++) {
		adjunct_spawn(&adjunct);
		adjunct_start_native(&adjunct, "net_ring0", &window, state);
		free(state);
		uint64_t until_ns = clock_now_ns() + 100 * NS_PER_MS;

		while (ok && clock_now_ns() < until_ns) {
			int64_t number;

			next += window_send(&window, next, 32, 64);
			while ((number = window_receive(&window, NULL)) >= 0)
				ok &= number == expected++;
			ok &= number == -1;
		}
		/* Then no more inside than the ring has room for: nobody receives while
		 * Stop is under way, and a full partition may lose frames. */
		for (unsigned i = 0; i < 2000 && expected < next; i++, sleep_ms(1))
			for (int64_t number; (number = window_receive(&window, NULL)) >= 0;)
				ok &= number == expected++;
		next += window_send(&window, next, 32, 64);
		json_t *answer = adjunct_call(&adjunct, "Stop", NULL, NULL, 0, NULL);
		const char *text = json_string_value(json_object_get(answer, "state"));

		if (!text)
			die("Stop answered without a state");
		state = strdup(text);
		json_decref(answer);
		check(adjunct_wait(&adjunct) == 0);
		adjunct_end(&adjunct);
		/* The partition goes on sending while there is no adjunct. */
		next += window_send(&window, next, 16, 64);
	}
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &window, state);
	free(state);
	for (unsigned i = 0; i < 200 && expected < next; i++, sleep_ms(5))
		for (int64_t number; (number = window_receive(&window, NULL)) >= 0;)
			ok &= number == expected++;
	check(ok);
	check(expected == next);
	check(adjunct_counter(&adjunct, "tx_frames") == next);
	printf("# %u frames through five adjuncts\n", next);
	adjunct_end(&adjunct);
	window_close(&window);
}

/* A partition that does not consume: nothing lost, and nobody spins. */
static void test_back_pressure(void)
{
	struct adjunct adjunct;
	struct window window;
	uint32_t next = 0, expected = 0;
	bool ok = true;

	window_open(&window, 64);
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &window, NULL);
	for (unsigned idle = 0; idle < 50;) {
		unsigned sent = window_send(&window, next, 32, 64);

		next += sent;
		idle = sent ? 0 : idle + 1;
		sleep_ms(sent ? 0 : 1);
	}
	uint64_t before = adjunct_cpu_ns(&adjunct);

	sleep_ms(1000);
	printf("# stuck with %u frames: %ju ms of CPU in a second\n", next,
	       (uintmax_t)((adjunct_cpu_ns(&adjunct) - before) / NS_PER_MS));
	check(adjunct_cpu_ns(&adjunct) - before <= 50 * NS_PER_MS);
	for (unsigned i = 0; i < 400 && expected < next; i++, sleep_ms(1))
		for (int64_t number; (number = window_receive(&window, NULL)) >= 0;)
			ok &= number == expected++;
	check(ok);
	check(expected == next);
	check(echo(&window, next, next + 1000, 2000));
	adjunct_end(&adjunct);
	window_close(&window);
}

static void test_protocol(void)
{
	struct adjunct adjunct;
	struct window window;
	struct varlink_conn *monitor;
	struct varlink_answer answer;
	bool seen = false;

	window_open(&window, RING);
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &window, NULL);
	if (varlink_connect(adjunct.path, &monitor) ||
	    varlink_request(monitor, "org.outrigger.Adjunct.Monitor", NULL, VARLINK_MORE, NULL, 0))
		die("Monitor");
	check(echo(&window, 0, 100, 2000));
	/* The partition claims to have consumed what it never was given; its
	 * adjunct believes nothing and looks once the ring seems full. */
	atomic_store(eq_ring_consumed(&window.rx), 0x80000000u);
	for (unsigned i = 0; i < 2 * RING / 32; i++, sleep_ms(1))
		window_send(&window, 0, 32, 64);
	while (!seen && !varlink_wait(monitor, clock_now_ns() + 2 * NS_PER_S, &answer)) {
		const char *event = json_string_value(json_object_get(answer.parameters, "event"));

		seen = event && !strcmp(event, "partition-protocol");
		varlink_answer_clear(&answer);
	}
	check(seen);
	json_t *status = adjunct_call(&adjunct, "GetStatus", NULL, NULL, 0, NULL);

	check(!strcmp(json_string_value(json_object_get(status, "state")), "serving"));
	json_decref(status);
	uint64_t before = adjunct_cpu_ns(&adjunct);

	sleep_ms(500);
	check(adjunct_cpu_ns(&adjunct) - before <= 30 * NS_PER_MS);
	varlink_conn_free(monitor);
	adjunct_end(&adjunct);
	window_close(&window);
}

static void refuse(struct adjunct *adjunct, json_t *parameters, const int *fds, unsigned fd_count,
		   const char *expected)
{
	char error[128];
	json_t *answer = adjunct_call(adjunct, "Start", parameters, fds, fd_count, error);

	if (answer || strcmp(error, expected))
		printf("# expected %s, got %s\n", expected, answer ? "success" : error);
	check(!answer && !strcmp(error, expected));
	json_decref(answer);
}

static void refuse_changed(struct adjunct *adjunct, struct window *window, const int *fds,
			   const char *key, json_t *value)
{
	json_t *parameters = start_native("net_ring0", window, NULL);
	const char *dot = strchr(key, '.');

	json_object_set_new(dot ? json_object_get(parameters, "port") : parameters,
			    dot ? dot + 1 : key, value);
	refuse(adjunct, parameters, fds, 5, "org.varlink.service.InvalidParameter");
}

/* T04, T05, T06: whatever is wrong is refused, leaks nothing, and Start may follow. */
static void test_refusals(void)
{
	const char *const failed = "org.outrigger.Adjunct.DriverFailed";
	const char *const invalid = "org.varlink.service.InvalidParameter";
	struct adjunct adjunct;
	struct window window;

	window_open(&window, RING);
	adjunct_spawn(&adjunct);
	int good = memory_make(TEST_MEMORY_BYTES, SEALS);
	int small = memory_make(TEST_MEMORY_BYTES - 4096, SEALS);
	int loose = memory_make(TEST_MEMORY_BYTES, 0);
	int adj = window.bells[NET_BELL_ADJUNCT], part = window.bells[NET_BELL_PARTITION];
	int tube[2];

	if (pipe2(tube, O_CLOEXEC))
		die("pipe");
	json_decref(adjunct_call(&adjunct, "GetStatus", NULL, NULL, 0, NULL));
	unsigned fds_before = adjunct_fd_count(&adjunct);
	const int right[] = {good, window.memory_fd, adj, part, window.inflight_fd};

	refuse_changed(&adjunct, &window, right, "name", json_string(""));
	refuse_changed(&adjunct, &window, right, "device", json_string("net\n_ring0"));
	refuse_changed(&adjunct, &window, right, "memory_bytes", json_integer(-1));
	refuse_changed(&adjunct, &window, right, "memory_bytes", json_integer(4097));
	refuse_changed(&adjunct, &window, right, "cpu", json_string("none"));
	refuse_changed(&adjunct, &window, right, "state", json_string("=not base64="));
	refuse_changed(&adjunct, &window, right, "port", json_integer(1));
	refuse_changed(&adjunct, &window, right, "port.kind", json_string("carrier pigeon"));
	refuse_changed(&adjunct, &window, right, "port.mac", json_string("01:00:00:00:00:01"));
	refuse_changed(&adjunct, &window, right, "port.mac", json_string("00:00:00:00:00:00"));
	refuse_changed(&adjunct, &window, right, "port.mac", json_string("02:00:00:00:00"));
	refuse_changed(&adjunct, &window, right, "port.mtu", json_integer(9000));
	refuse_changed(&adjunct, &window, right, "port.ring_entries", json_integer(100));
	refuse(&adjunct, start_native("net_ring0", &window, NULL), right, 4, invalid);
	refuse_changed(&adjunct, &window, right, "taken", json_integer(-2));
	refuse_changed(&adjunct, &window, right, "taken", json_integer(1ll << 32));
	refuse_changed(&adjunct, &window, right, "vfio_group", json_integer(-1));
	refuse_changed(&adjunct, &window, right, "vfio_group", json_string("7"));
	refuse_changed(&adjunct, &window, right, "vfio_group", json_integer(7)); /* none came along */
	int window_fd = window.memory_fd, record = window.inflight_fd;
	const int wrong[][5] = {
		{small, window_fd, adj, part, record},    {loose, window_fd, adj, part, record},
		{tube[0], window_fd, adj, part, record},  {good, small, adj, part, record},
		{good, window_fd, tube[0], part, record}, {good, window_fd, adj, good, record},
		{good, window_fd, adj, part, good},       {good, window_fd, adj, part, adj},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuse(&adjunct, start_native("net_ring0", &window, NULL), wrong[i], 5, failed);
	const int no_vfio[] = {good, window_fd, adj, part, record, tube[0], tube[1]};
	json_t *by_vfio = start_native("net_ring0", &window, NULL);

	json_object_set_new(by_vfio, "vfio_group", json_integer(7));
	refuse(&adjunct, by_vfio, no_vfio, 7, failed);
	check(adjunct_fd_count(&adjunct) == fds_before);
	adjunct_start_native(&adjunct, "net_ring0", &window, NULL);
	check(echo(&window, 0, 100, 2000));
	refuse(&adjunct, start_native("net_ring0", &window, NULL), right, 5,
	       "org.outrigger.Adjunct.WrongState");
	adjunct_end(&adjunct);

	adjunct_spawn(&adjunct);
	refuse(&adjunct, start_native("net_nonsense0", &window, NULL), right, 5, failed);
	json_decref(adjunct_call(&adjunct, "Stop", NULL, NULL, 0, NULL));
	check(adjunct_wait(&adjunct) == 1);
	adjunct_end(&adjunct);
	close(good);
	close(small);
	close(loose);
	close(tube[0]);
	close(tube[1]);
	window_close(&window);
}

/* With its memory, or, a spare, without. */
static void prepare(struct adjunct *adjunct, const int *memory_fd)
{
	adjunct_spawn(adjunct);
	json_decref(adjunct_call(adjunct, "Prepare",
				 json_pack("{s:s,s:s,s:I,s:s}", "name", "test.net0", "device",
					   "net_ring0", "memory_bytes",
					   (json_int_t)TEST_MEMORY_BYTES, "cpu", "shared"),
				 memory_fd, memory_fd ? 1 : 0, NULL));
}

static void standby_prepare(struct adjunct *adjunct)
{
	int memory = memory_make(TEST_MEMORY_BYTES, SEALS);

	prepare(adjunct, &memory);
	close(memory);
}

static void standby_attach(struct adjunct *adjunct, const struct window *window)
{
	const int fds[] = {window->memory_fd, window->bells[NET_BELL_ADJUNCT],
			   window->bells[NET_BELL_PARTITION], window->inflight_fd};

	json_decref(adjunct_call(adjunct, "AttachPort",
				 json_pack("{s:I}", "ring_entries",
					   (json_int_t)window->layout.ring_entries),
				 fds, 4, NULL));
}

/* It knows the window before the one it replaces is dead, and does nothing with it. */
static void test_standby(void)
{
	const char *const invalid = "org.varlink.service.InvalidParameter";
	struct adjunct first, second, third;
	struct window window, other;

	window_open(&window, RING);
	window_open(&other, RING / 2);
	adjunct_spawn(&first);
	adjunct_start_native(&first, "net_ring0", &window, NULL);
	check(echo(&window, 0, 1000, 5000));
	standby_prepare(&second);
	refuse(&second, start_native("net_ring0", &window, NULL), NULL, 0, invalid);
	standby_attach(&second, &window);
	check(echo(&window, 1000, 2000, 5000));
	adjunct_end(&first);
	/* Its program closes the device and opens it again. */
	json_decref(adjunct_call(&second, "DetachPort", NULL, NULL, 0, NULL));
	refuse(&second, start_native("net_ring0", &window, NULL), NULL, 0, invalid);
	standby_attach(&second, &window);
	refuse(&second, start_native("net_ring0", &other, NULL), NULL, 0, invalid);
	json_decref(adjunct_call(&second, "Start", start_native("net_ring0", &window, NULL), NULL, 0,
				 NULL));
	check(echo(&window, 2000, 3000, 5000));
	check(adjunct_counter(&second, "tx_frames") == 1000);
	adjunct_end(&second);
	/* What Start brings is newer than what AttachPort brought. */
	standby_prepare(&third);
	standby_attach(&third, &other);
	const int fds[] = {window.memory_fd, window.bells[NET_BELL_ADJUNCT],
			   window.bells[NET_BELL_PARTITION], window.inflight_fd};
	json_decref(adjunct_call(&third, "Start", start_native("net_ring0", &window, NULL), fds, 4,
				 NULL));
	check(echo(&window, 3000, 4000, 5000));
	adjunct_end(&third);
	window_close(&other);
	window_close(&window);
}

static bool has_mapping(const struct adjunct *adjunct, const char *name)
{
	char path[40], line[512];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", adjunct->pid);
	FILE *maps = fopen(path, "re");
	check(maps != NULL);
	while (!found && fgets(line, sizeof(line), maps))
		found = strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

/* A spare: what is donated comes with Start, and where DPDK was until then is let go. */
static void test_spare(void)
{
	const char *const invalid = "org.varlink.service.InvalidParameter";
	struct adjunct first, second;
	struct window window;
	int memory = memory_make(TEST_MEMORY_BYTES, SEALS);
	int small = memory_make(TEST_MEMORY_BYTES / 2, SEALS);

	window_open(&window, RING);
	const int fds[] = {memory, window.memory_fd, window.bells[NET_BELL_ADJUNCT],
			   window.bells[NET_BELL_PARTITION], window.inflight_fd};
	prepare(&first, NULL);
	check(has_mapping(&first, "memfd:outrigger:spare"));
	refuse(&first, start_native("net_ring0", &window, NULL), NULL, 0, invalid);
	refuse(&first, start_native("net_ring0", &window, NULL), fds, 1, invalid);
	const int wrong[] = {small, fds[1], fds[2], fds[3], fds[4]};
	refuse(&first, start_native("net_ring0", &window, NULL), wrong, 5,
	       "org.outrigger.Adjunct.DriverFailed");
	json_decref(adjunct_call(&first, "Start", start_native("net_ring0", &window, NULL), fds, 5,
				 NULL));
	check(!has_mapping(&first, "memfd:outrigger:spare") && has_mapping(&first, "memfd:donated"));
	check(echo(&window, 0, 1000, 5000));
	adjunct_end(&first);
	/* Told the window ahead of its turn, like a standby. */
	prepare(&second, NULL);
	standby_attach(&second, &window);
	refuse(&second, start_native("net_ring0", &window, NULL), NULL, 0, invalid);
	json_decref(adjunct_call(&second, "Start", start_native("net_ring0", &window, NULL), &memory, 1,
				 NULL));
	check(echo(&window, 1000, 2000, 5000));
	adjunct_end(&second);
	close(memory);
	close(small);
	window_close(&window);
}

static bool adjunct_becomes(struct adjunct *adjunct, const char *wanted)
{
	for (unsigned i = 0; i < 200; i++, sleep_ms(10)) {
		json_t *status = adjunct_call(adjunct, "GetStatus", NULL, NULL, 0, NULL);
		bool is = !strcmp(json_string_value(json_object_get(status, "state")), wanted);

		json_decref(status);
		if (is)
			return true;
	}
	return false;
}

/* Two adjuncts over vhost-user: traffic, sleep without CPU, and the loss of the far one. */
static void test_virtio(void)
{
	struct adjunct near, far;
	struct window window;
	char path[64], device[160];

	snprintf(path, sizeof(path), "/tmp/otr-adjunct-vf.%d", getpid());
	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,mac=" TEST_MAC, path);
	window_open(&window, RING);
	adjunct_spawn(&far);
	adjunct_start_vhost(&far, "net_ring0", path);
	adjunct_spawn(&near);
	adjunct_start_native(&near, device, &window, NULL);
	check(echo(&window, 0, 100000, 30000));

	sleep_ms(100);
	int64_t wakeups = adjunct_counter(&near, "wakeups");
	uint64_t before = adjunct_cpu_ns(&near);

	sleep_ms(1500);
	check(adjunct_cpu_ns(&near) == before);
	/* One wake-up is this very question. */
	check(adjunct_counter(&near, "wakeups") <= wakeups + 1);
	check(echo(&window, 100000, 100100, 2000));

	/* A confined adjunct cannot open another device: it says so, and is replaced. */
	check(adjunct_counter(&near, "link_up") == 1);
	adjunct_end(&far);
	check(adjunct_becomes(&near, "failed"));
	adjunct_end(&near);
	unlink(path);
	window_close(&window);
}

/* T09: guests that die at any moment, with frames on the way, one after another. */
static void test_guests_die(void)
{
	struct adjunct guest, host;
	struct window window;
	char path[64], device[160];

	snprintf(path, sizeof(path), "/tmp/otr-adjunct-vf.%d", getpid());
	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,mac=" TEST_MAC, path);
	adjunct_spawn(&host);
	adjunct_start_vhost(&host, "net_ring0", path);
	json_decref(adjunct_call(&host, "GetStatus", NULL, NULL, 0, NULL));
	unsigned fds_before = adjunct_fd_count(&host);

	for (unsigned round = 0; round < 12; round++) {
		uint64_t until_ns = clock_now_ns() + (round * 7 % 40) * NS_PER_MS;

		window_open(&window, RING);
		adjunct_spawn(&guest);
		adjunct_start_native(&guest, device, &window, NULL);
		for (uint32_t next = 0; clock_now_ns() < until_ns;) {
			next += window_send(&window, next, 32, 64);
			while (window_receive(&window, NULL) >= 0)
				;
		}
		adjunct_end(&guest);
		window_close(&window);
	}
	for (unsigned i = 0; i < 200 && adjunct_fd_count(&host) != fds_before; i++)
		sleep_ms(10);
	printf("# %u descriptors before, %u after\n", fds_before, adjunct_fd_count(&host));
	check(adjunct_fd_count(&host) == fds_before);
	json_decref(adjunct_call(&host, "Stop", NULL, NULL, 0, NULL));
	check(adjunct_wait(&host) == 0);
	adjunct_end(&host);
	unlink(path); /* which a confined adjunct cannot */
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{"frames come back whole and in order; private memory is small", test_echo},
	{"wrong lengths and flags are dropped and counted, the rest goes on", test_bad_frames},
	{"a successor goes on where the rings were", test_successor},
	{"a standby is told the window ahead of its turn", test_standby},
	{"a spare is donated its memory when it starts", test_spare},
	{"a partition that does not consume loses nothing and costs nothing", test_back_pressure},
	{"a broken ring shuts the port, not the device", test_protocol},
	{"Start refuses what is wrong and leaks nothing", test_refusals},
	{"clients of a global adjunct: frames go by their address, and from nobody else's", test_clients},
	{"a client that takes nothing loses its own frames only", test_full_client},
	{"a client's broken ring shuts its port, and nobody else's", test_client_protocol},
	{"clients: what is wrong is refused and leaks nothing", test_client_refusals},
	{"a successor goes on with the clients' windows", test_clients_successor},
	{"guests may die at any moment", test_guests_die},
	{"a sleeping adjunct uses no CPU; one that loses its device says so", test_virtio},
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	adjuncts_end_with_us();
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (argc > 1 && !strstr(all[i].name, argv[1]))
			continue;
		failed_why = NULL;
		all[i].run();
		tests++;
		failures += failed_why != NULL;
		printf("%sok %u - %s\n", failed_why ? "not " : "", tests, all[i].name);
	}
	printf("1..%u\n", tests);
	return failures || !tests;
}
