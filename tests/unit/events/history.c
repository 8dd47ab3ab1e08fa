/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has happened to devices, for whoever asks later: counted by its kind, with the last
 * message, and in no more room than the table has, whatever an adjunct calls its events.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "eq_layout.h"
#include "world.h"

TestSuite(history, .init = set_up, .fini = tear_down);

static json_t *row(const char *device, const char *event)
{
	json_t *list = history_json(&partition), *found = NULL, *each;
	size_t i;

	json_array_foreach(list, i, each)
		if (!strcmp(json_string_value(json_object_get(each, "device")), device) &&
		    !strcmp(json_string_value(json_object_get(each, "event")), event))
			found = json_incref(each);
	json_decref(list);
	return found;
}

static size_t rows(void)
{
	json_t *list = history_json(&partition);
	size_t count = json_array_size(list);

	json_decref(list);
	return count;
}

Test(history, counted_by_kind_with_the_last_message)
{
	cr_expect_eq(rows(), 0u);
	history_add(&devices[0], "device-lost", "its function is gone");
	history_add(&devices[0], "device-back", NULL);
	history_add(&devices[0], "device-lost", "and again");
	history_add(&devices[1], "device-lost", "another one's");
	json_t *lost = row("net0", "device-lost"), *back = row("net0", "device-back");
	cr_assert(lost && back);
	cr_expect_eq(json_integer_value(json_object_get(lost, "count")), 2);
	cr_expect_str_eq(json_string_value(json_object_get(lost, "message")), "and again");
	cr_expect_geq(json_integer_value(json_object_get(lost, "time_ns")),
		      json_integer_value(json_object_get(back, "time_ns")));
	cr_expect_null(json_object_get(back, "message"));
	cr_expect_eq(rows(), 3u);
	json_decref(lost);
	json_decref(back);
	history_free(&devices[0]);
	cr_expect_eq(rows(), 1u, "gone with its device");
	history_free(&devices[1]);
}

Test(history, an_adjunct_makes_up_words)
{
	char word[200];

	for (int i = 0; i < 1000; i++) {
		snprintf(word, sizeof(word), "%d-%0150d", i, 0);
		history_add(&devices[0], word, word);
	}
	cr_expect_eq(rows(), 24u);
	history_add(&devices[0], "0-0000000000000000000000000000000000000000", "cut alike");
	cr_expect_eq(rows(), 24u, "the same to the eye");
	/* A letter that is cut in two is no text: that entry has no message, or is not told. */
	history_free(&devices[0]);
	memset(word, 'a', sizeof(word));
	strcpy(word + 158, "\xc3\xa4");
	history_add(&devices[0], "spoof", word);
	json_t *spoof = row("net0", "spoof");
	cr_assert(spoof);
	cr_expect_null(json_object_get(spoof, "message"));
	json_decref(spoof);
	history_free(&devices[0]);
}

Test(history, without_memory)
{
	fault_in("calloc", ENOMEM);
	history_add(&devices[0], "device-lost", "x");
	fault_end();
	cr_expect_eq(rows(), 0u);
	history_free(&devices[0]);
}

/* Words for what the shim itself finds out about a function. */
Test(history, raised_to_the_guest)
{
	static const struct {
		const char *event;
		enum eq_event raised;
	} table[] = {
		{"device-lost", EQ_DEVICE_LOST},
		{"device-back", EQ_DEVICE_BACK},
		{"dma-fault", EQ_DMA_FAULT},
		{"device-reset", EQ_DEVICE_RESET},
	};
	struct eq_host_stats stats;

	devices_run();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		events_raise(&devices[0], table[i].event);
		eq_host_stats(partition.event_host, &stats);
		cr_expect_eq(stats.type2, i + 1, "%s", table[i].event);
	}
	events_raise(&devices[0], "region-donated"); /* is no event of a queue */
	eq_host_stats(partition.event_host, &stats);
	cr_expect_eq(stats.type2, sizeof(table) / sizeof(table[0]));
	devices_go();
}
