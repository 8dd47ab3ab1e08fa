/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory regions and their donation (hv-shim/region.c): what a partition's program may
 * still do with what it gave away, what it does to keep it, and what is left when memory
 * or the keeper fails on the way there or back. The keeper is this test, which holds the
 * memory and answers when it likes; each test is one process.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../hv-shim/shim.h"
#include "fault.h"
#include "log.h"

#define HEAP_BYTES (64 << 10)

static struct partition partition;
static struct device device, other;
static char keeper;

/* ---- The rest of the shim --------------------------------------------------------- */

static struct {
	char method[32];
	peer_answer_fn callback;
	void *data;
} question;
static int kept = -1; /* the keeper's copy of the region */
static unsigned steps, events;
static char step_problem[200], made_problem[200];
static unsigned made;

void peer_call(struct peer *peer, const char *method, json_t *parameters, const int *fds,
	       unsigned fd_count, uint64_t timeout_ms, peer_answer_fn callback, void *data)
{
	cr_assert(peer == (void *)&keeper && timeout_ms);
	cr_assert_str_eq(json_string_value(json_object_get(parameters, "name")), "heap.region");
	json_decref(parameters);
	snprintf(question.method, sizeof(question.method), "%s", strrchr(method, '.') + 1);
	question.callback = callback;
	question.data = data;
	if (fd_count) {
		if (kept >= 0)
			close(kept);
		kept = dup(fds[0]);
	}
}

static void answer(const char *method, const char *problem, struct varlink_answer *with)
{
	struct varlink_answer none = {0};
	peer_answer_fn callback = question.callback;

	cr_assert_not_null(callback, "%s was not asked", method);
	cr_assert_str_eq(question.method, method);
	question.callback = NULL;
	callback(question.data, problem, with ? with : &none);
}

/* With what it keeps. */
static void answer_fetch(void)
{
	struct varlink_answer with = {.fds = {kept}, .fd_count = kept >= 0};

	answer("Fetch", NULL, &with);
}

/* The program that asked has gone; else the call is answered once. */
struct varlink_call {
	unsigned errors, replies;
	char error[40];
	void (*cancel)(void *data);
	void *cancel_data;
};

void varlink_errorf(struct varlink_call *call, const char *error, const char *format, ...)
{
	cr_assert_not_null(format);
	snprintf(call->error, sizeof(call->error), "%s", strrchr(error, '.') + 1);
	call->errors++;
}

void varlink_reply_fds(struct varlink_call *call, json_t *parameters, const int *fds,
		       unsigned fd_count)
{
	cr_expect_eq(json_integer_value(json_object_get(parameters, "size_bytes")), HEAP_BYTES);
	cr_expect(fd_count == 1 && fds[0] == kept);
	json_decref(parameters);
	call->replies++;
}

void varlink_call_on_cancel(struct varlink_call *call, void (*callback)(void *data), void *data)
{
	call->cancel = callback;
	call->cancel_data = data;
}

void device_step_done(struct device *of, const char *problem)
{
	cr_assert_eq(of, &device);
	steps++;
	snprintf(step_problem, sizeof(step_problem), "%s", problem ? problem : "");
}

void device_event(struct device *of, const char *event, const char *message)
{
	cr_assert_eq(of, &device);
	cr_assert_str_eq(message, "heap");
	cr_assert(!strcmp(event, "region-donated") || !strcmp(event, "region-returned"));
	events++;
}

static void on_made(struct partition *of, const char *problem)
{
	cr_assert_eq(of, &partition);
	made++;
	snprintf(made_problem, sizeof(made_problem), "%s", problem ? problem : "");
}

static void make_all(void)
{
	region_make_all(&partition, on_made);
	answer("Store", NULL, NULL);
	cr_assert_eq(made, 1u);
	cr_assert_str_eq(made_problem, "");
	partition.state = STATE_RUNNING;
}

static void set_up(void)
{
	const struct doc_region heap = {.name = "heap", .size_bytes = HEAP_BYTES};

	log_open("region", (enum log_level)0); /* what it writes would be counted */
	strcpy(partition.name, "red");
	partition.keeper = (struct peer *)&keeper;
	partition.state = STATE_STARTING;
	region_list_set(&partition, &heap, 1);
	device.partition = other.partition = &partition;
	strcpy(device.spec.name, "net0");
	strcpy(other.spec.name, "net1");
	strcpy(device.spec.adjunct.donate, "heap");
	strcpy(other.spec.adjunct.donate, "heap");
}

TestSuite(region, .init = set_up, .timeout = 30);

/* As region_revoke() to its end. */
static void donate(void)
{
	steps = 0;
	cr_assert_eq(region_revoke(&device), 0);
	answer_fetch();
	answer("Remove", NULL, NULL);
	cr_assert_eq(steps, 1u);
	cr_assert_str_eq(step_problem, "");
	steps = 0;
}

/* ---- With the partition --------------------------------------------------------------- */

Test(region, is_made_or_the_partition_is_told)
{
	for (unsigned n = 1; fault_round(n); n++) {
		made = 0;
		fault_start(n, ENOSPC);
		region_make_all(&partition, on_made);
		bool failed = fault_end();
		if (!failed)
			answer("Store", "does not answer", NULL);
		cr_expect_eq(made, 1u);
		cr_expect_str_eq(made_problem, failed ? strerror(ENOSPC) : "does not answer");
	}
	/* Taken down meanwhile: nobody hears. */
	made = 0;
	region_make_all(&partition, on_made);
	partition.state = STATE_STOPPING;
	answer("Store", NULL, NULL);
	cr_expect_eq(made, 0u);
}

Test(region, T05_what_was_donated_is_gone_for_whoever_mapped_it)
{
	make_all();
	uint8_t *mapped = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);
	cr_assert_neq((void *)mapped, MAP_FAILED);
	mapped[0] = 7;
	donate();
	cr_expect_eq(events, 1u);
	cr_expect_eq(lseek(kept, 0, SEEK_END), 0);
	cr_expect(ftruncate(kept, HEAP_BYTES) && errno == EPERM, "and cannot be had back");
	cr_expect(fcntl(kept, F_ADD_SEALS, F_SEAL_WRITE) && errno == EPERM);
	/* Given back, it is another, and zeroed. */
	cr_assert_eq(region_return(&device), 0);
	answer_fetch();
	answer("Store", NULL, NULL);
	cr_expect_eq(events, 2u);
	uint8_t octet = 1;
	cr_expect_eq(pread(kept, &octet, 1, 0), 1);
	cr_expect_eq(octet, 0);
	cr_expect_eq(lseek(kept, 0, SEEK_END), HEAP_BYTES);
}

/* ---- What is not donated ------------------------------------------------------------------ */

Test(region, is_donated_once_and_to_whom_it_is_named_for)
{
	make_all();
	device.spec.adjunct.donate[0] = '\0';
	cr_expect_eq(region_revoke(&device), 1, "none is asked for");
	strcpy(device.spec.adjunct.donate, "none");
	cr_expect_eq(region_revoke(&device), -EBUSY);
	cr_expect(strstr(device.message, "is not there"), "%s", device.message);
	region_adopt(&device); /* nothing to take up */
	cr_expect_eq(region_return(&device), 1, "nothing to give back");
	strcpy(device.spec.adjunct.donate, "heap");
	donate();
	cr_expect_eq(region_revoke(&other), -EBUSY);
	cr_expect(strstr(other.message, "to net0"), "%s", other.message);
	cr_expect_eq(region_return(&other), 1, "it is not its");
}

/* A program of the partition works against it: the donation fails, and nobody hangs. */
Test(region, T05_that_was_sealed_by_its_program_is_not_donated)
{
	static const int seals[] = {F_SEAL_SHRINK, F_SEAL_SEAL, F_SEAL_WRITE, F_SEAL_GROW};

	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		partition.state = STATE_STARTING;
		made = steps = 0;
		make_all();
		cr_assert_eq(fcntl(kept, F_ADD_SEALS, seals[i]), 0);
		cr_assert_eq(region_revoke(&device), 0);
		answer_fetch();
		cr_expect_eq(steps, 1u);
		cr_expect(strstr(step_problem, "has sealed"), "seal %d: %s", seals[i], step_problem);
		cr_expect_eq(events, 0u);
		/* And it is the partition's again: as it is. */
		steps = 0;
		cr_assert_eq(region_return(&device), 0);
		answer_fetch();
		cr_expect_eq(steps, 1u);
	}
}

Test(region, that_cannot_be_cut_is_not_donated)
{
	make_all();
	fault_in("ftruncate", EIO);
	cr_assert_eq(region_revoke(&device), 0);
	answer_fetch();
	cr_assert(fault_end());
	cr_expect(strstr(step_problem, "cannot be taken"), "%s", step_problem);
	region_return(&device);
	answer_fetch();
	/* The first asks for its seals. */
	fault_in_nth("fcntl", 2, EIO);
	cr_assert_eq(region_revoke(&device), 0);
	answer_fetch();
	cr_assert(fault_end());
	cr_expect(strstr(step_problem, "cannot be taken"), "%s", step_problem);
}

/* ---- The keeper ------------------------------------------------------------------------------ */

Test(region, the_keeper_may_fail_at_every_step)
{
	struct varlink_answer not_found = {.error = "org.outrigger.Keeper.NotFound"},
			      other_error = {.error = "org.outrigger.Keeper.SystemError"};

	make_all();
	cr_assert_eq(region_revoke(&device), 0);
	answer("Fetch", "there is none", &other_error);
	cr_expect_str_eq(step_problem, "there is none");
	region_adopt(&device);
	cr_assert_eq(region_return(&device), 0);
	answer_fetch(); /* whole: there is nothing to make */
	cr_expect_str_eq(step_problem, "");
	/* It does not answer at all; it has none, or what is not one. */
	cr_assert_eq(region_revoke(&device), 0);
	question.callback(question.data, "has ended", NULL);
	cr_expect_str_eq(step_problem, "has ended");
	region_return(&device);
	answer_fetch();
	cr_assert_eq(region_revoke(&device), 0);
	answer("Fetch", NULL, NULL);
	cr_expect_str_eq(step_problem, "the keeper does not have the region");
	region_return(&device);
	answer_fetch();
	/* One that could not be given back the last time: there is nothing to take. */
	cr_assert_eq(region_revoke(&device), 0);
	answer("Fetch", "there is none", &not_found);
	cr_expect_str_eq(step_problem, "");
	region_return(&device);
	answer("Fetch", "there is none", &not_found);
	answer("Store", "does not answer", NULL);
	cr_expect_str_eq(step_problem, "does not answer");
	cr_expect_eq(events, 0u);
	/* It was cut, and could not be let go of: that is no reason to fail the next time. */
	donate();
	region_return(&device);
	partition.keeper = NULL; /* it goes now */
	answer_fetch();
	partition.keeper = (struct peer *)&keeper;
	cr_assert_eq(region_revoke(&device), 0);
	answer_fetch();
	answer("Remove", NULL, NULL);
	cr_expect_str_eq(step_problem, "");
	partition.keeper = NULL;
	cr_expect_eq(region_return(&device), 1, "it went with its keeper");
}

Test(region, without_memory_it_is_not_given_back_and_the_device_goes_all_the_same)
{
	make_all();
	for (unsigned n = 1; fault_round(n); n++) {
		donate();
		cr_assert_eq(region_return(&device), 0);
		fault_start(n, ENOSPC);
		answer_fetch();
		if (!fault_end())
			answer("Store", NULL, NULL);
		cr_expect_eq(steps, 1u);
		cr_expect_str_eq(step_problem, "");
		steps = 0;
	}
}

/* ---- For programs --------------------------------------------------------------------------- */

static struct varlink_call asked(const char *name)
{
	struct varlink_call call = {0};

	region_open(&partition, &call, name);
	return call;
}

Test(region, a_program_opens_it_or_is_told_why_not)
{
	make_all();
	struct varlink_call call = asked("none");
	cr_expect_str_eq(call.error, "NotFound");
	static struct varlink_call open_call;
	region_open(&partition, &open_call, "heap");
	answer_fetch();
	cr_expect(open_call.replies == 1 && !open_call.errors);
	open_call = (struct varlink_call){0};
	region_open(&partition, &open_call, "heap");
	answer("Fetch", "does not answer", NULL);
	cr_expect_str_eq(open_call.error, "NotReady");
	open_call = (struct varlink_call){0};
	region_open(&partition, &open_call, "heap");
	open_call.cancel(open_call.cancel_data);
	answer_fetch();
	cr_expect_eq(open_call.errors + open_call.replies, 0u, "it has left");
	fault_in("calloc", ENOMEM);
	call = asked("heap");
	cr_assert(fault_end());
	cr_expect_str_eq(call.error, "NotReady");
	partition.state = STATE_STOPPING;
	call = asked("heap");
	cr_expect_str_eq(call.error, "NotReady");
	partition.state = STATE_RUNNING;
	donate();
	call = asked("heap");
	cr_expect_str_eq(call.error, "Busy", "nobody is given what would be cut under him");
}
