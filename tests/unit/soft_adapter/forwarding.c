/* SPDX-License-Identifier: BSD-2-Clause */
/* Who receives a frame: addresses, promiscuity, groups, link, form, source. */
#include <criterion/criterion.h>

#include "net_layout.h"
#include "support.h"

static struct switch_table table;

Test(forwarding, unicast_goes_to_the_owner_of_the_address)
{
	table_make(&table);
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_B, MAC_A});

	cr_assert_eq(d.verdict, SWITCH_FORWARD);
	cr_assert_eq(d.cast, SWITCH_UNICAST);
	cr_assert_eq(d.ports, PORT_B);
	cr_assert_eq(d.altered, 0);
}

Test(forwarding, unknown_unicast_leaves_by_the_physical_port)
{
	table_make(&table);
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_STRANGER, MAC_A});

	cr_assert_eq(d.verdict, SWITCH_UPLINK);
	cr_assert_eq(d.ports, 0);
}

Test(forwarding, nothing_comes_back_to_its_sender)
{
	table_make(&table);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_A, MAC_A}).verdict, SWITCH_UPLINK);
	table.ports[0].promiscuous = true;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_ALL, MAC_A}).ports, PORT_B | PORT_C);
}

Test(forwarding, broadcast_goes_to_all_others)
{
	table_make(&table);
	table.ports[1].all_multicast = false;
	struct switch_decision d = decide(&table, 2, (struct frame_spec){MAC_ALL, MAC_C});

	cr_assert_eq(d.verdict, SWITCH_FORWARD);
	cr_assert_eq(d.cast, SWITCH_BROADCAST);
	cr_assert_eq(d.ports, PORT_A | PORT_B);
}

Test(forwarding, multicast_goes_to_those_who_want_all_or_this_group)
{
	table_make(&table);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_GROUP, MAC_A}).ports,
		     PORT_B | PORT_C);
	table.ports[1].all_multicast = false;
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_GROUP, MAC_A});

	cr_assert_eq(d.cast, SWITCH_MULTICAST);
	cr_assert_eq(d.ports, PORT_C);
	table.ports[1].addresses[table.ports[1].addresses_count++] = MAC_GROUP;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_GROUP, MAC_A}).ports,
		     PORT_B | PORT_C);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_GROUP + 1, MAC_A}).ports, PORT_C);
}

Test(forwarding, further_addresses_are_served)
{
	table_make(&table);
	table.ports[2].addresses[table.ports[2].addresses_count++] = MAC_STRANGER;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_STRANGER, MAC_A}).ports, PORT_C);
	cr_assert_eq(decide(&table, 2, (struct frame_spec){MAC_A, MAC_STRANGER}).verdict,
		     SWITCH_FORWARD);
}

Test(forwarding, promiscuous_gets_unicast_of_others_and_groups)
{
	table_make(&table);
	table.ports[2].promiscuous = true;
	table.ports[2].all_multicast = false;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).ports, PORT_B | PORT_C);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_STRANGER, MAC_A}).ports, PORT_C);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_GROUP, MAC_A}).ports,
		     PORT_B | PORT_C);
}

Test(forwarding, two_functions_may_share_an_address)
{
	table_make(&table);
	table.ports[2].addresses[0] = MAC_B;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).ports, PORT_B | PORT_C);
}

Test(forwarding, spoof_check_wants_an_address_of_the_sender)
{
	table_make(&table);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_C}).verdict, SWITCH_SPOOFED);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, 0}).verdict, SWITCH_SPOOFED);
	table.ports[0].spoof_check = false;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_C}).ports, PORT_B);
}

Test(forwarding, spoof_check_never_takes_a_group_for_a_source)
{
	table_make(&table);
	table.ports[0].addresses[table.ports[0].addresses_count++] = MAC_GROUP;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_GROUP}).verdict,
		     SWITCH_SPOOFED);
}

Test(forwarding, a_link_that_is_down_neither_sends_nor_receives)
{
	table_make(&table);
	table.ports[1].link = false;
	cr_assert_eq(decide(&table, 1, (struct frame_spec){MAC_A, MAC_B}).verdict,
		     SWITCH_LINK_DOWN);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).verdict, SWITCH_UPLINK);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_ALL, MAC_A}).ports, PORT_C);
}

Test(forwarding, frames_have_a_shortest_and_a_longest_length)
{
	const struct {
		size_t length;
		enum switch_verdict verdict;
	} rows[] = {
		{1, SWITCH_MALFORMED},
		{NET_FRAME_MIN - 1, SWITCH_MALFORMED},
		{NET_FRAME_MIN, SWITCH_FORWARD},
		{NET_FRAME_MAX, SWITCH_FORWARD},
		{NET_FRAME_MAX + 1, SWITCH_MALFORMED},
	};

	table_make(&table);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(decide(&table, 0,
				    (struct frame_spec){MAC_B, MAC_A, .length = rows[i].length})
				     .verdict,
			     rows[i].verdict, "length %zu", rows[i].length);
}

Test(forwarding, an_empty_frame_is_malformed)
{
	struct switch_decision d;
	uint8_t nothing[1] = {0};

	table_make(&table);
	switch_decide(&table, 0, nothing, 0, 0, &d);
	cr_assert_eq(d.verdict, SWITCH_MALFORMED);
	/* A length is not believed when the header is not there. */
	switch_decide(&table, 0, nothing, 1, 64, &d);
	cr_assert_eq(d.verdict, SWITCH_MALFORMED);
}

Test(forwarding, a_tag_must_be_whole)
{
	table_make(&table);
	for (size_t length = NET_FRAME_MIN; length < SWITCH_HEADER_BYTES; length++)
		cr_expect_eq(decide(&table, 0,
				    (struct frame_spec){MAC_B, MAC_A, SWITCH_PROTO_8021Q, 5,
							.length = length})
				     .verdict,
			     SWITCH_MALFORMED, "length %zu", length);
}

Test(forwarding, sixty_four_functions)
{
	table_make(&table);
	table.ports_count = SWITCH_PORTS_MAX;
	for (unsigned i = 3; i < SWITCH_PORTS_MAX; i++) {
		table.ports[i] = table.ports[0];
		table.ports[i].addresses[0] = MAC_A + 0x100 + i;
	}
	cr_assert_eq(decide(&table, 63, (struct frame_spec){MAC_ALL, MAC_A + 0x100 + 63}).ports,
		     UINT64_MAX >> 1);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_A + 0x100 + 63, MAC_A}).ports,
		     UINT64_C(1) << 63);
}
