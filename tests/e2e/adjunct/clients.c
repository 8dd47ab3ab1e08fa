/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A global adjunct without a shim: the partition whose it is and two clients, each a bare
 * window of this program, on one net_ring0. Whose frames go where, who loses some, what is
 * refused, and a successor. Called by main.c, on its one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients.h"
#include "clock.h"

#define RING 64
#define FRAME_BYTES 64
#define ENDS 3
#define NOBODY 9 /* an address that no end has */

static struct adjunct adjunct;
static struct window ends[ENDS]; /* 0 is whose adjunct it is; address 02:..:01 */

static const int *window_fds(const struct window *window)
{
	static int fds[4];

	fds[0] = window->memory_fd;
	fds[1] = window->bells[NET_BELL_ADJUNCT];
	fds[2] = window->bells[NET_BELL_PARTITION];
	fds[3] = window->inflight_fd;
	return fds;
}

static json_t *client_named(const char *name, unsigned end, bool window)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "02:00:00:00:00:%02x", end + 1);
	json_t *client = json_pack("{s:s,s:s,s:i}", "name", name, "mac", mac, "mtu", TEST_MTU);

	if (window)
		json_object_set_new(client, "ring_entries", json_integer(RING));
	return client;
}

static const char *name_of(unsigned end)
{
	return end == 1 ? "red.net0" : "blue.net0";
}

/* The last one first: until an end is there, what others send to it goes to the device. */
static void attach_clients(void)
{
	for (unsigned end = ENDS - 1; end > 0; end--)
		json_decref(adjunct_call(&adjunct, "AttachClient",
					 client_named(name_of(end), end, true),
					 window_fds(&ends[end]), 4, NULL));
}

static void begin(void)
{
	for (unsigned end = 0; end < ENDS; end++)
		window_open(&ends[end], RING);
	adjunct_spawn(&adjunct);
	adjunct_start_native(&adjunct, "net_ring0", &ends[0], NULL);
	attach_clients();
}

static void end_all(void)
{
	adjunct_end(&adjunct);
	for (unsigned end = 0; end < ENDS; end++)
		window_close(&ends[end]);
}

static void address(uint8_t *octets, unsigned end)
{
	memset(octets, 0, 6);
	octets[0] = 2;
	octets[5] = (uint8_t)(end + 1);
}

/* From `end`, which may say that it is another one. False: its ring is full. */
static bool send(unsigned end, unsigned to, unsigned as, uint32_t number)
{
	struct window *window = &ends[end];
	uint8_t *frame = window->base + window->layout.tx_buffers +
			 (size_t)eq_ring_slot(&window->tx) * NET_BUFFER_BYTES;
	const struct net_entry entry = {.length_bytes = FRAME_BYTES};

	if (eq_ring_space(&window->tx, 1) <= 0)
		return false;
	memset(frame, (int)(number & 0xff), FRAME_BYTES);
	address(frame, to);
	address(frame + 6, as);
	memcpy(frame + FRAME_BYTES - sizeof(number), &number, sizeof(number));
	window_put(window, &entry);
	return true;
}

/* The number of the next frame that came to `end`; -1: none in time. */
static int64_t receive(unsigned end, uint8_t source[6])
{
	struct window *window = &ends[end];
	uint64_t deadline_ns = clock_now_ns() + 5 * NS_PER_S;
	const uint8_t *frame = window->base + window->layout.rx_buffers +
			       (size_t)eq_ring_slot(&window->rx) * NET_BUFFER_BYTES;
	struct net_entry entry;
	uint32_t number;

	while (!eq_ring_take(&window->rx, &entry, sizeof(entry)))
		if (clock_now_ns() > deadline_ns)
			return -1;
	memcpy(source, frame + 6, 6);
	memcpy(&number, frame + FRAME_BYTES - sizeof(number), sizeof(number));
	eq_ring_release(&window->rx, 1);
	return number;
}

/* That frame, from that end, and none before it. */
static bool comes(unsigned end, unsigned from, uint32_t number)
{
	uint8_t source[6], wanted[6];
	int64_t got = receive(end, source);

	address(wanted, from);
	if (got != number || memcmp(source, wanted, 6))
		printf("# end %u got %jd from ..:%02x, wanted %u from end %u\n", end, (intmax_t)got,
		       source[5], number, from);
	return got == number && !memcmp(source, wanted, 6);
}

static int64_t client_counter(const char *name, const char *counter)
{
	json_t *status = adjunct_call(&adjunct, "GetStatus", NULL, NULL, 0, NULL);
	int64_t result = -1;
	json_t *client;
	size_t i;

	json_array_foreach(json_object_get(status, "clients"), i, client) {
		json_t *counters = json_object_get(client, "counters");

		if (strcmp(json_string_value(json_object_get(client, "name")), name))
			continue;
		json_t *value = json_object_get(counters, counter);
		result = json_integer_value(value ? value : json_object_get(client, counter));
	}
	json_decref(status);
	return result;
}

void test_clients(void)
{
	begin();
	/* Each to each other: nobody else gets it, as what follows shows. */
	uint32_t number = 0;

	for (unsigned from = 0; from < ENDS; from++)
		for (unsigned to = 0; to < ENDS; to++) {
			if (from == to)
				continue;
			check(send(from, to, from, ++number));
			check(comes(to, from, number));
		}
	/* Under another's address; to itself; to nobody, which comes back from the ring. */
	check(send(1, 2, 0, 100) && send(1, 2, 2, 101) && send(1, 1, 1, 102) &&
	      send(1, NOBODY, 1, 103) && send(1, 2, 1, 104));
	check(comes(2, 1, 104));
	check(client_counter("red.net0", "tx_dropped") == 3);
	check(client_counter("red.net0", "used_ns") > 0);
	check(client_counter("blue.net0", "tx_dropped") == 0);
	end_all();
}

/* One that takes nothing loses what is for it; who sends to it and to others does not. */
void test_full_client(void)
{
	begin();
	for (uint32_t number = 0; number < 20 * RING; number++) {
		uint64_t deadline_ns = clock_now_ns() + 5 * NS_PER_S;

		while (!send(1, number % 2 ? 2 : 0, 1, number) && clock_now_ns() < deadline_ns)
			;
		if (number % 2 == 0)
			check(comes(0, 1, number));
	}
	check(send(1, 0, 1, 5000) && comes(0, 1, 5000));
	/* The end's own burst may be held, on top of what its ring has. */
	check(client_counter("blue.net0", "rx_dropped") == 10 * RING - RING);
	for (uint32_t i = 0; i < RING; i++)
		check(comes(2, 1, 2 * i + 1));
	check(send(1, 2, 1, 6000) && comes(2, 1, 6000));
	end_all();
}

/* The event of the client that broke its ring's rules is told with its name. */
static bool protocol_event(struct varlink_conn *monitor, const char *client)
{
	struct varlink_answer answer;
	bool seen = false;

	while (!seen && !varlink_wait(monitor, clock_now_ns() + 5 * NS_PER_S, &answer)) {
		const char *event = json_string_value(json_object_get(answer.parameters, "event"));
		const char *name = json_string_value(json_object_get(answer.parameters, "client"));

		seen = event && name && !strcmp(event, "partition-protocol") && !strcmp(name, client);
		varlink_answer_clear(&answer);
	}
	return seen;
}

/* It claims to have consumed what it never was given: its port is shut, and nobody else's. */
void test_client_protocol(void)
{
	struct varlink_conn *monitor;

	begin();
	if (varlink_connect(adjunct.path, &monitor) ||
	    varlink_request(monitor, "org.outrigger.Adjunct.Monitor", NULL, VARLINK_MORE, NULL, 0))
		die("Monitor");
	check(send(1, 2, 1, 1) && comes(2, 1, 1));
	atomic_store(eq_ring_consumed(&ends[2].rx), 0x80000000u);
	/* Nothing is believed until its ring seems full. */
	for (uint32_t number = 0; number < 2 * RING; number++)
		check(send(1, 2, 1, 7) && send(1, 0, 1, number) && comes(0, 1, number));
	check(protocol_event(monitor, "blue.net0"));
	check(send(0, 1, 0, 8) && comes(1, 0, 8));
	/* With a new window it is as any other. */
	window_close(&ends[2]);
	window_open(&ends[2], RING);
	json_decref(adjunct_call(&adjunct, "AttachPort",
				 json_pack("{s:i,s:s}", "ring_entries", RING, "client", "blue.net0"),
				 window_fds(&ends[2]), 4, NULL));
	check(send(1, 2, 1, 9) && comes(2, 1, 9));
	varlink_conn_free(monitor);
	end_all();
}

static void refuse(const char *method, json_t *parameters, unsigned fd_count, const char *expected)
{
	char error[128];
	json_t *answer = adjunct_call(&adjunct, method, parameters, window_fds(&ends[1]), fd_count, error);

	if (answer || !strstr(error, expected))
		printf("# %s: expected %s, got %s\n", method, expected, answer ? "success" : error);
	check(!answer && strstr(error, expected));
	json_decref(answer);
}

static void refuse_changed(const char *key, json_t *value)
{
	json_t *client = client_named("red.net0", 1, true);

	json_object_set_new(client, key, value);
	refuse("AttachClient", client, 4, "InvalidParameter");
}

void test_client_refusals(void)
{
	const char *const state = "WrongState";
	char name[16];

	begin();
	json_decref(adjunct_call(&adjunct, "GetStatus", NULL, NULL, 0, NULL));
	unsigned fds_before = adjunct_fd_count(&adjunct);

	refuse_changed("name", json_string(""));
	refuse_changed("name", json_string("a\nb"));
	refuse_changed("mac", json_string("01:00:00:00:00:01"));
	refuse_changed("mtu", json_integer(9000));
	refuse_changed("ring_entries", json_integer(100));
	refuse("AttachClient", client_named("red.net0", 1, true), 3, "InvalidParameter");
	refuse("AttachClient", client_named("red.net0", 1, false), 4, "InvalidParameter");
	/* A window of another size than it says, whose client is not half there then. */
	json_t *other = client_named("green.net0", 3, true);

	json_object_set_new(other, "ring_entries", json_integer(2 * RING));
	refuse("AttachClient", other, 4, "DriverFailed");
	check(client_counter("green.net0", "used_ns") == -1);
	refuse("AttachPort", json_pack("{s:i,s:s}", "ring_entries", RING, "client", "green.net0"), 4,
	       state);
	refuse("DetachPort", json_pack("{s:i}", "client", 7), 0, state);
	json_decref(adjunct_call(&adjunct, "DetachClient", json_pack("{s:s}", "name", "green.net0"),
				 NULL, 0, NULL));
	check(adjunct_fd_count(&adjunct) == fds_before);
	for (unsigned i = ENDS - 1; i < 16; i++) {
		snprintf(name, sizeof(name), "other%u", i);
		json_decref(adjunct_call(&adjunct, "AttachClient", client_named(name, 10 + i, false),
					 NULL, 0, NULL));
	}
	refuse("AttachClient", client_named("one.more", 40, false), 0, state);
	check(send(1, 2, 1, 1) && comes(2, 1, 1));
	/* Their programs, and they, come and go. */
	json_decref(adjunct_call(&adjunct, "DetachPort", json_pack("{s:s}", "client", "blue.net0"), NULL,
				 0, NULL));
	check(send(1, 2, 1, 2) && send(1, 0, 1, 3) && comes(0, 1, 3));
	check(client_counter("blue.net0", "rx_dropped") == 1);
	json_decref(adjunct_call(&adjunct, "DetachClient", json_pack("{s:s}", "name", "other5"), NULL, 0,
				 NULL));
	json_decref(adjunct_call(&adjunct, "AttachClient", client_named("one.more", 40, false), NULL, 0,
				 NULL));
	end_all();
}

/* The windows are handed on, and everything goes on where it was. */
void test_clients_successor(void)
{
	uint32_t number = 0;

	begin();
	for (unsigned generation = 0; generation < 4; generation++) {
		for (unsigned i = 0; i < 100; i++, number++)
			check(send(1, 2, 1, number) && comes(2, 1, number));
		adjunct_end(&adjunct); /* killed */
		/* Nobody serves, and they go on sending. */
		for (unsigned i = 0; i < 10; i++)
			check(send(1, 2, 1, number + i));
		adjunct_spawn(&adjunct);
		adjunct_start_native(&adjunct, "net_ring0", &ends[0], NULL);
		attach_clients();
		for (unsigned i = 0; i < 10; i++, number++)
			check(comes(2, 1, number));
	}
	end_all();
}
