/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the process of a real adapter is asked (vf-manager/adapter/methods.c), over a
 * connection as the shim's: what is refused before the card is touched, and what is
 * handed on. The card is this test; what a real one does is the rig's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vf-manager/adapter/adapter.h"
#include "clock.h"

#define PATIENCE_NS (10 * NS_PER_S)

static struct vf_adapter adapter;
static struct varlink_conn *shim, *served;
static struct varlink_server *server;
static json_t *said; /* the last answer */

/* ---- The card ------------------------------------------------------------------- */

static unsigned touched, told;
static int card_error;
static struct vf_taking took;

static int touch(void)
{
	touched++;
	if (card_error == -EIO)
		strcpy(adapter.host.reason, "the card is on fire");
	return card_error;
}

int card_bring(struct vf_adapter *of)
{
	strcpy(of->pf, "0000:01:00.0");
	of->vfs[0].group = 7;
	return touch();
}

int card_restore(struct vf_adapter *of)
{
	cr_assert_eq(of, &adapter);
	return touch();
}

int card_take(struct vf_adapter *of, unsigned index, const struct vf_taking *taking)
{
	cr_assert(index < of->wish.vf_count);
	took = *taking;
	return touch();
}

int card_set(struct vf_adapter *of, unsigned index, const struct vf_settings *settings)
{
	cr_assert(index < of->wish.vf_count && settings->given);
	return touch();
}

int card_return(struct vf_adapter *of, unsigned index)
{
	cr_assert(index < of->wish.vf_count);
	return touch();
}

static struct vf_counters counted[2];

bool card_count(struct vf_adapter *of, struct vf_counters *counters)
{
	memcpy(counters, counted, of->wish.vf_count * sizeof(*counters));
	return counted[1].rx_frames;
}

void watch_forget_told(struct vf_adapter *of)
{
	cr_assert_eq(of, &adapter);
	told++;
}

void control_monitor(struct vf_adapter *of, struct varlink_call *call)
{
	cr_assert_eq(of, &adapter);
	varlink_reply(call, NULL);
}

/* ---- The shim -------------------------------------------------------------------- */

static void open_connection(void)
{
	int ends[2];

	cr_assert_not(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	cr_assert_not(varlink_conn_new(ends[0], &shim));
	cr_assert_not(varlink_conn_new(ends[1], &served));
	cr_assert_not(varlink_server_new(methods_service(&adapter), served, &server));
}

static void close_connection(void)
{
	varlink_server_free(server);
	varlink_conn_free(served);
	varlink_conn_free(shim);
	json_decref(said);
}

TestSuite(vf_adapter, .init = open_connection, .fini = close_connection, .timeout = 30);

/* The answer's error without its interface; "" for none. */
static const char *ask(const char *method, const char *parameters, int fd, unsigned flags)
{
	static char name[80], error[80];
	struct varlink_answer answer;

	snprintf(name, sizeof(name), "org.outrigger.Adapter.%s", method);
	cr_assert_not(varlink_request(shim, name, json_loads(parameters, 0, NULL), flags, &fd, fd >= 0),
		      "%s", parameters);
	cr_assert_geq(varlink_conn_read(served), 0);
	cr_assert_not(varlink_server_process(server));
	cr_assert_not(varlink_wait(shim, clock_now_ns() + PATIENCE_NS, &answer), "%s", method);
	snprintf(error, sizeof(error), "%s", answer.error ? strrchr(answer.error, '.') + 1 : "");
	if (answer.error && !strcmp(error, "InvalidParameter"))
		snprintf(error, sizeof(error), "%s",
			 json_string_value(json_object_get(answer.parameters, "parameter")));
	json_decref(said);
	said = json_incref(answer.parameters);
	varlink_answer_clear(&answer);
	return error;
}

#define START "{\"name\": \"card0\", \"directory\": \"/nowhere\", \"device\": \"0000:01:00.0\", \"vfs\": 2}"

struct row {
	const char *method, *parameters, *error;
};

static void expect_refused(const struct row *rows, size_t count)
{
	unsigned before = touched;

	for (size_t i = 0; i < count; i++) {
		const char *error = ask(rows[i].method, rows[i].parameters, -1, 0);
		cr_expect_str_eq(error, rows[i].error, "%s %s: %s", rows[i].method, rows[i].parameters,
				 error);
	}
	cr_expect_eq(touched, before, "the card was touched");
}

Test(vf_adapter, before_it_was_started_and_starts_that_cannot_be)
{
	static const struct row rows[] = {
		{"GetInfo", "{}", "WrongState"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"netdev\"}", "WrongState"},
		{"ConfigureVf", "{\"index\": 0, \"settings\": {}}", "WrongState"},
		{"ReturnVf", "{\"index\": 0}", "WrongState"},
		{"Monitor", "{}", "ExpectedMore"},
		{"SetLink", "{\"state\": \"up\"}", "MethodNotImplemented"},
		{"Start", "{}", "name"},
		{"Start", "{\"name\": \"\"}", "name"},
		{"Start", "{\"name\": \"card0\"}", "directory"},
		{"Start", "{\"name\": \"card0\", \"directory\": \"/nowhere\"}", "device"},
		{"Start", "{\"name\": \"card0\", \"directory\": \"/nowhere\", \"device\": \"0000:01:00.0\"}", "vfs"},
		{"Start", "{\"name\": \"card0\", \"directory\": \"/nowhere\", \"device\": \"0000:01:00.0\", "
			  "\"vfs\": 0}", "vfs"},
		{"Start", "{\"name\": \"card0\", \"directory\": \"/nowhere\", \"device\": \"0000:01:00.0\", "
			  "\"vfs\": 257}", "vfs"},
		{"Start", "{\"name\": \"a-name-that-is-longer-than-any-adapter-has\", \"directory\": \"/nowhere\", "
			  "\"device\": \"0000:01:00.0\", \"vfs\": 1}", "name"},
	};

	expect_refused(rows, sizeof(rows) / sizeof(rows[0]));
	cr_expect_str_eq(ask("Stop", "{}", -1, 0), "");
	cr_expect(adapter.stopping);
	cr_expect_eq(touched, 0u, "nothing to put back");
}

Test(vf_adapter, what_is_refused_before_the_card_is_touched)
{
	static const struct row rows[] = {
		{"Start", "{\"name\": \"card1\", \"directory\": \"/nowhere\", \"device\": \"0000:01:00.0\", "
			  "\"vfs\": 1}", "WrongState"},
		{"ReturnVf", "{}", "index"},
		{"ReturnVf", "{\"index\": \"0\"}", "index"},
		{"ReturnVf", "{\"index\": -1}", "NoSuchVf"},
		{"ReturnVf", "{\"index\": 2}", "NoSuchVf"},
		{"ConfigureVf", "{\"index\": 2, \"settings\": {}}", "NoSuchVf"},
		{"ConfigureVf", "{\"index\": 0}", "settings"},
		{"ConfigureVf", "{\"index\": 0, \"settings\": []}", "settings"},
		{"ConfigureVf", "{\"index\": 0, \"settings\": {\"vlan\": 4096}}", "settings"},
		{"ConfigureVf", "{\"index\": 0, \"settings\": {\"promisc\": true}}", "Refused"},
		{"TakeVf", "{\"index\": 7, \"settings\": {}, \"use\": \"netdev\"}", "NoSuchVf"},
		{"TakeVf", "{\"index\": 0, \"use\": \"netdev\"}", "settings"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}}", "use"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"loan\"}", "use"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"netdev\"}", "ifname"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"netdev\", \"ifname\": \"net0\"}", "ifname"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"netdev\", \"ifname\": "
			   "\"longer-than-any-interface\"}", "ifname"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"vfio\"}", "uid"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"vfio\", \"uid\": -1}", "uid"},
		{"TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"vfio\", \"uid\": \"0\"}", "uid"},
	};

	cr_assert_str_eq(ask("Start", START, -1, 0), "");
	cr_expect_eq(told, 1u);
	expect_refused(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(vf_adapter, what_the_card_is_asked_and_says)
{
	static const char set[] = "{\"index\": 1, \"settings\": {\"vlan\": 5, \"promisc\": false}}";
	int fd = eventfd(0, EFD_CLOEXEC);

	card_error = -EIO;
	cr_expect_str_eq(ask("Start", START, -1, 0), "Refused", "as the card says");
	card_error = -EBUSY;
	adapter.host.reason[0] = '\0';
	cr_expect_str_eq(ask("Start", START, -1, 0), "Refused", "or the kernel");
	cr_expect_eq(told, 0u);
	card_error = 0;
	cr_expect_str_eq(ask("Start", START, -1, 0), "");
	cr_expect_str_eq(adapter.token, "outrigger:card0");
	cr_expect_eq(adapter.wish.vf_count, 2u);
	cr_expect_str_eq(ask("ConfigureVf", set, -1, 0), "");
	cr_expect_str_eq(ask("TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"netdev\", \"ifname\": "
				       "\"net0\"}", fd, 0), "");
	cr_expect(took.use == VF_USE_NETDEV && took.netns_fd >= 0);
	cr_expect_str_eq(ask("TakeVf", "{\"index\": 0, \"settings\": {}, \"use\": \"vfio\", \"uid\": 12}", -1, 0),
			 "");
	cr_expect(took.use == VF_USE_VFIO && took.netns_fd < 0 && took.uid == 12);
	cr_expect_str_eq(ask("ReturnVf", "{\"index\": 0}", -1, 0), "");
	cr_expect_str_eq(ask("GetInfo", "{}", -1, 0), "");
	strcpy(adapter.product, "a card");
	adapter.told_down = true;
	cr_expect_str_eq(ask("GetInfo", "{}", -1, 0), "");
	cr_expect_str_eq(ask("Monitor", "{}", -1, VARLINK_MORE), "");
	cr_expect_eq(told, 2u, "a new monitor is told all");
	cr_expect_str_eq(ask("Stop", "{}", -1, 0), "");
	cr_expect(adapter.stopping);
	cr_expect_eq(touched, 8u);
	close(fd);
}

/* What its driver counts, if it does, and the faults that nobody but us knows of. */
Test(vf_adapter, counters)
{
	json_int_t tx_frames, rx_dropped, faults[2];

	cr_expect_str_eq(ask("GetCounters", "{}", -1, 0), "");
	cr_expect_eq(json_array_size(json_object_get(said, "vfs")), 0u, "not started");
	cr_assert_str_eq(ask("Start", START, -1, 0), "");
	adapter.vfs[1].faults.count = 3;
	cr_assert_str_eq(ask("GetCounters", "{}", -1, 0), "");
	cr_assert_eq(json_unpack(said, "{s:[{s:{s:I!}},{s:{s:I!}}]}", "vfs", "counters", "dma_faults",
				 &faults[0], "counters", "dma_faults", &faults[1]), 0,
		     "what the driver does not count is not told");
	cr_expect(faults[0] == 0 && faults[1] == 3);
	counted[1] = (struct vf_counters){.rx_frames = 1, .tx_frames = 5, .rx_dropped = 7};
	cr_assert_str_eq(ask("GetCounters", "{}", -1, 0), "");
	cr_assert_eq(json_unpack(json_array_get(json_object_get(said, "vfs"), 1), "{s:{s:I,s:I,s:I}}",
				 "counters", "tx_frames", &tx_frames, "rx_dropped", &rx_dropped,
				 "dma_faults", &faults[1]), 0);
	cr_expect(tx_frames == 5 && rx_dropped == 7 && faults[1] == 3);
}
