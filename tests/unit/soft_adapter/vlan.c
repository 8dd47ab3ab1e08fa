/* SPDX-License-Identifier: BSD-2-Clause */
/* VLANs: port VLANs (VST), a function's own tags (VGT), filters, priorities. */
#include <criterion/criterion.h>
#include <string.h>

#include "net_layout.h"
#include "support.h"

static struct switch_table table;

static void in_vlan(unsigned port, uint16_t vlan, uint8_t qos, uint16_t proto)
{
	table.ports[port].vlan = vlan;
	table.ports[port].qos = qos;
	table.ports[port].proto = proto;
}

static void filter(unsigned port, unsigned vid)
{
	table.ports[port].vlan_filtered = true;
	table.ports[port].vlan_filter[vid / 64] |= UINT64_C(1) << vid % 64;
}

static struct frame_spec tagged(uint64_t to, uint64_t from, uint16_t tci)
{
	return (struct frame_spec){to, from, SWITCH_PROTO_8021Q, tci};
}

Test(vlan, a_port_vlan_is_closed)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021Q);
	in_vlan(2, 11, 0, SWITCH_PROTO_8021Q);
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_ALL, MAC_A});

	cr_assert_eq(d.ports, PORT_B);
	/* Untagged in, untagged out: nothing to do to the frame. */
	cr_assert_eq(d.altered, 0);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_C, MAC_A}).verdict, SWITCH_UPLINK);
}

Test(vlan, an_untagged_frame_does_not_enter_a_port_vlan)
{
	table_make(&table);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021Q);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_ALL, MAC_A}).ports, PORT_C);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).verdict, SWITCH_UPLINK);
}

Test(vlan, a_function_with_tags_sees_the_tag_and_priority_of_a_port_vlan)
{
	table_make(&table);
	in_vlan(0, 10, 5, SWITCH_PROTO_8021Q);
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_B, MAC_A});

	cr_assert_eq(d.ports, PORT_B);
	cr_assert_eq(d.altered, PORT_B);
	cr_assert(d.insert);
	cr_assert_eq(d.proto, SWITCH_PROTO_8021Q);
	cr_assert_eq(d.tci, 5 << 13 | 10);
}

Test(vlan, a_broadcast_goes_tagged_to_some_and_untagged_to_others)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021Q);
	struct switch_decision d = decide(&table, 0, (struct frame_spec){MAC_ALL, MAC_A});

	cr_assert_eq(d.ports, PORT_B | PORT_C);
	cr_assert_eq(d.altered, PORT_C);
	cr_assert(d.insert);
	/* The other way round: C tags by itself, B must not see the tag. */
	d = decide(&table, 2, tagged(MAC_ALL, MAC_C, 10));
	cr_assert_eq(d.ports, PORT_A | PORT_B);
	cr_assert_eq(d.altered, PORT_A | PORT_B);
	cr_assert_not(d.insert);
}

Test(vlan, a_function_in_a_port_vlan_may_not_tag)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 10)).verdict, SWITCH_BAD_VLAN);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 11)).verdict, SWITCH_BAD_VLAN);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 0)).verdict, SWITCH_BAD_VLAN);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A, SWITCH_PROTO_8021AD, 10})
			     .verdict,
		     SWITCH_BAD_VLAN);
}

Test(vlan, a_service_vlan_carries_customer_tags)
{
	table_make(&table);
	in_vlan(0, 10, 1, SWITCH_PROTO_8021AD);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021AD);
	struct switch_decision d = decide(&table, 0, tagged(MAC_ALL, MAC_A, 77));

	cr_assert_eq(d.ports, PORT_B | PORT_C);
	cr_assert_eq(d.altered, PORT_C); /* B gets it with the customer's tag only */
	cr_assert_eq(d.proto, SWITCH_PROTO_8021AD);
	cr_assert_eq(d.tci, 1 << 13 | 10);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A, SWITCH_PROTO_8021AD, 10})
			     .verdict,
		     SWITCH_BAD_VLAN);
}

Test(vlan, the_same_number_of_another_protocol_is_another_vlan)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021AD);
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).verdict, SWITCH_UPLINK);
	cr_assert_eq(decide(&table, 2, tagged(MAC_B, MAC_C, 10)).verdict, SWITCH_UPLINK);
	cr_assert_eq(
		decide(&table, 2, (struct frame_spec){MAC_B, MAC_C, SWITCH_PROTO_8021AD, 10}).ports,
		PORT_B);
}

Test(vlan, without_a_filter_every_vlan_passes_unchanged)
{
	table_make(&table);
	for (unsigned vid = 1; vid < 4095; vid++) {
		struct switch_decision d = decide(&table, 0, tagged(MAC_B, MAC_A, (uint16_t)vid));

		cr_assert_eq(d.ports, PORT_B);
		cr_assert_eq(d.altered, 0);
	}
}

Test(vlan, the_reserved_identifier_is_refused)
{
	table_make(&table);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 4095)).verdict, SWITCH_BAD_VLAN);
}

Test(vlan, a_filter_holds_in_both_directions)
{
	table_make(&table);
	filter(0, 10);
	filter(0, 11);
	filter(1, 10);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 10)).ports, PORT_B);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 11)).verdict, SWITCH_UPLINK);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 12)).verdict, SWITCH_BAD_VLAN);
	cr_assert_eq(decide(&table, 2, tagged(MAC_ALL, MAC_C, 11)).ports, PORT_A);
	/* Untagged frames, and those with only a priority, are in no VLAN. */
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).ports, PORT_B);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 3 << 13)).ports, PORT_B);
}

Test(vlan, a_priority_tag_does_not_enter_a_port_vlan)
{
	table_make(&table);
	in_vlan(1, 10, 0, SWITCH_PROTO_8021Q);
	cr_assert_eq(decide(&table, 0, tagged(MAC_B, MAC_A, 7 << 13)).verdict, SWITCH_UPLINK);
}

Test(vlan, promiscuous_stays_in_its_vlan)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	in_vlan(2, 11, 0, SWITCH_PROTO_8021Q);
	table.ports[2].promiscuous = true;
	cr_assert_eq(decide(&table, 0, (struct frame_spec){MAC_B, MAC_A}).ports, PORT_B);
}

Test(vlan, a_frame_must_have_room_for_its_tag)
{
	table_make(&table);
	in_vlan(0, 10, 0, SWITCH_PROTO_8021Q);
	cr_assert_eq(decide(&table, 0,
			    (struct frame_spec){MAC_B, MAC_A,
						.length = NET_FRAME_MAX - SWITCH_TAG_BYTES})
			     .verdict,
		     SWITCH_FORWARD);
	cr_assert_eq(decide(&table, 0,
			    (struct frame_spec){MAC_B, MAC_A,
						.length = NET_FRAME_MAX - SWITCH_TAG_BYTES + 1})
			     .verdict,
		     SWITCH_MALFORMED);
}

Test(vlan, inserting_and_removing_a_tag_are_inverse)
{
	uint8_t bare[2100], frame[2100], wanted[2100];

	frame_make(&(struct frame_spec){MAC_B, MAC_A}, bare);
	frame_make(&(struct frame_spec){MAC_B, MAC_A, SWITCH_PROTO_8021AD, 0xa123}, wanted);
	memset(frame, 0, sizeof(frame));
	memcpy(frame + SWITCH_TAG_BYTES, bare, 64);
	switch_tag_insert(frame, SWITCH_PROTO_8021AD, 0xa123);
	cr_assert_arr_eq(frame, wanted, 64 + SWITCH_TAG_BYTES);
	switch_tag_remove(frame);
	cr_assert_arr_eq(frame + SWITCH_TAG_BYTES, bare, 64);
}
