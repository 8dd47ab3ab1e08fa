/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is refused: arguments out of range, tables that are full, contexts that an
 * adapter finds damaged in the storage, and everything for which there is no memory.
 * After each, what was there is there, and the same call succeeds when it may.
 */
#include "support.h"

#include <stdalign.h>

#include "../fault.h"

static struct rig rig;
static struct rig_guest guest;

/* ---- Arguments ----------------------------------------------------------------------- */

Test(refusals, a_queue_whose_place_or_size_is_wrong)
{
	static alignas(EQ_LINE_BYTES) uint8_t memory[16384];
	const struct eq_queue good = {.ring = memory, .capacity = 8,
				      .marks = (eq_marks *)(memory + 8192), .slots = 4,
				      .interrupts = (struct eq_interrupts *)(memory + 12288)};
	struct eq_queue bad[9];
	struct eq_poster poster;
	struct eq_consumer consumer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = good;
	bad[0].ring = NULL;
	bad[1].marks = NULL;
	bad[2].slots = 0;
	bad[3].slots = EQ_SLOTS_MAX + 1;
	bad[4].isc = EQ_ISCS;
	bad[5].marks = (eq_marks *)(memory + 8192 + 2);
	bad[6].interrupts = (struct eq_interrupts *)(memory + 12288 + 2);
	bad[7].ring = memory + 8;
	bad[8].capacity = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(eq_poster_open(&poster, &bad[i]), -EINVAL, "%zu", i);
		cr_expect_eq(eq_consumer_open(&consumer, &bad[i]), -EINVAL, "%zu", i);
	}
	cr_assert_eq(eq_poster_open(&poster, &good), 0);
	eq_poster_close(&poster);
}

Test(refusals, a_queue_that_is_only_polled_posts_no_interrupt)
{
	static alignas(EQ_LINE_BYTES) uint8_t memory[16384];
	const struct eq_queue queue = {.ring = memory, .capacity = 8,
				       .marks = (eq_marks *)(memory + 8192), .slots = 4};
	struct eq_poster poster;
	struct eq_consumer consumer;

	cr_assert_eq(eq_poster_open(&poster, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
	eq_poster_add(&poster, 1, EQ_COMPLETION, 5);
	cr_expect_not(eq_poster_signal(&poster, 0));
	cr_expect(eq_consumer_begin(&consumer), "it has no summary byte: always look");
	expect_entry(&consumer, 1, EQ_COMPLETION, 5);
	cr_expect_not(eq_consumer_end(&consumer));
	eq_poster_close(&poster);
}

Test(refusals, entries_that_no_poster_wrote_mark_nothing_for_its_successor)
{
	static alignas(EQ_LINE_BYTES) uint8_t memory[16384];
	const struct eq_queue queue = {.ring = memory, .capacity = 8,
				       .marks = (eq_marks *)(memory + 8192), .slots = 4};
	const struct eq_eqe lies[] = {{.event_slot = (uint32_t)EQ_EVENTS_MAX << EQ_SLOT_BITS | 1},
				      {.event_slot = (uint32_t)EQ_COMPLETION << EQ_SLOT_BITS | 4}};
	struct eq_poster poster;

	cr_assert_eq(eq_poster_open(&poster, &queue), 0);
	for (unsigned i = 0; i < 2; i++)
		eq_ring_put(&poster.ring, &lies[i], sizeof(lies[i]));
	queue.marks[1] = 1u << EQ_COMPLETION;
	eq_poster_close(&poster);
	cr_assert_eq(eq_poster_open(&poster, &queue), 0);
	cr_expect_eq(poster.held_count, 1, "its one mark without an entry");
	eq_poster_close(&poster);
}

Test(refusals, storage_of_a_wrong_size_or_place)
{
	struct eq_storage storage;
	const uint64_t bytes = eq_storage_bytes(2, 4, 4, 8);
	uint8_t *memory = map_guarded(bytes);

	cr_expect_eq(eq_storage_bytes(1, 1, EQ_ADAPTER_QPS_MAX + 1, 8), 0);
	cr_expect_eq(eq_storage_format(memory + 8, bytes - 64, 2, 4, 4, &storage), -EINVAL);
	cr_expect_eq(eq_storage_format(memory, bytes, 0, 4, 4, &storage), -EINVAL);
	cr_expect_eq(eq_storage_format(memory, 64, 2, 4, 4, &storage), -EINVAL);
	cr_expect_eq(eq_storage_format(memory, UINT32_MAX + 1ull, 2, 4, 4, &storage), -EINVAL);
	cr_expect_eq(eq_storage_open(memory + 8, bytes - 64, &storage), -EINVAL);
	cr_expect_eq(eq_storage_open(memory, 8, &storage), -EINVAL);
	cr_assert_eq(eq_storage_format(memory, bytes, 2, 4, 4, &storage), 0);
	/* The header claims more than its own size can hold. */
	struct eq_storage view;
	struct eq_storage_header *header = (struct eq_storage_header *)memory;
	header->cqs = EQ_ADAPTER_CQS_MAX;
	cr_expect_eq(eq_storage_open(memory, bytes, &view), -EPROTO);
	header->cqs = 4;
	header->qps = EQ_ADAPTER_QPS_MAX + 1;
	cr_expect_eq(eq_storage_open(memory, bytes, &view), -EPROTO);
	eq_storage_close(&storage);
	unmap_guarded(memory, bytes);
}

Test(refusals, hosts_and_guests_of_a_wrong_shape)
{
	const struct eq_host_ops ops = {0};
	struct eq_host *host;
	struct eq_guest *none;
	static alignas(EQ_LINE_BYTES) uint8_t memory[4096];

	cr_expect_eq(eq_host_create(0, &ops, NULL, &host), -EINVAL);
	cr_expect_eq(eq_host_create(EQ_FORWARDERS_MAX + 1, &ops, NULL, &host), -EINVAL);
	cr_assert_eq(eq_host_create(1, &ops, NULL, &host), 0);
	cr_expect_eq(eq_guest_create(host, memory, sizeof(memory), sizeof(memory), NULL, &none),
		     -EINVAL);
	cr_expect_eq(eq_guest_create(host, memory + 8, 2048, 0, NULL, &none), -EINVAL);
	eq_host_destroy(host);
	eq_host_destroy(NULL);
}

Test(refusals, numbers_that_are_nobodys)
{
	struct eq_guest_eq_view view;
	uint32_t slot, qp;

	rig_start(&rig, 1, 4, 4, 16);
	guest_start(&rig, &guest, 8, 4);
	cr_assert_eq(eq_guest_allocate_qp(guest.guest, rig.shared, &qp), 0);
	/* Past the table, and in it but free. */
	cr_expect_eq(eq_guest_load_eq(guest.guest, rig.shared, 2 + 1000, &view), -ENOENT);
	cr_expect_eq(eq_guest_load_eq(guest.guest, rig.shared, guest.id + 1, &view), -ENOENT);
	cr_expect_eq(eq_guest_store_cq_token(guest.guest, rig.shared, 4, 0), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_token(guest.guest, rig.shared, 4, 0), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_cqs(guest.guest, rig.shared, qp + 1, EQ_NONE, EQ_NONE), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_cqs(guest.guest, rig.shared, qp, EQ_NONE, 3), -ENOENT);
	uint32_t cq = guest_cq(&guest, 1, NULL);
	cr_expect_eq(eq_guest_store_cq_eq(guest.guest, rig.shared, cq, guest.id + 1, &slot), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_cqs(guest.guest, rig.shared, qp, EQ_NONE, cq), 0);
	cr_expect_eq(eq_adapter_cq_of(&rig.io.adapter, qp, true), cq);
	/* Another receive queue than it has. */
	cr_expect_eq(eq_guest_store_qp_cqs(guest.guest, rig.shared, qp, EQ_NONE,
					   guest_cq(&guest, 2, NULL)), -EBUSY);
	for (uint32_t i = qp + 1; i < 4; i++)
		cr_expect_eq(eq_guest_allocate_qp(guest.guest, rig.shared, &qp), 0);
	cr_expect_eq(eq_guest_allocate_qp(guest.guest, rig.shared, &qp), -ENOSPC);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- Tables that are full --------------------------------------------------------------- */

/* The host's two event queues on an adapter of this many, `taken` of which are gone. */
static int first_guest_eq(uint32_t eqs, uint32_t taken, uint32_t capacity, uint32_t summaries)
{
	struct eq_host_adapter *adapter;
	struct rig_adapter io;
	uint32_t id;

	rig_adapter_start(&io, eqs, 4, 4, 16);
	const struct eq_eq_spec spec = {.capacity = 2};
	for (uint32_t i = 0; i < taken; i++)
		cr_assert_geq(eq_allocate_eq(&io.host, &spec), 0);
	/* Two of the 63 summary bytes for each: all but `summaries` are gone. */
	for (uint32_t i = 0, used = 0; summaries < 63 && used < 63 - summaries; i++) {
		uint32_t eq = i / 2;
		int byte = eq_allocate_summary(&io.host);

		cr_assert_gt(byte, 0);
		used++;
		cr_assert_eq(i % 2 ? eq_store_eq_asb(&io.host, eq, (uint32_t)byte)
				   : eq_store_eq_psb(&io.host, eq, (uint32_t)byte), 0);
	}
	cr_assert_eq(eq_host_add_adapter(rig.host, &io.host, capacity, &adapter), 0);
	struct eq_guest_eq_spec of_guest = guest.spec;
	of_guest.ring_offset += GUEST_RING_BYTES;
	int error = eq_guest_allocate_eq(guest.guest, adapter, &of_guest, &id);
	struct eq_queue queue;
	if (!error)
		cr_assert_eq(eq_guest_deallocate_eq(guest.guest, adapter, id), 0);
	else
		cr_expect_eq(eq_load_eq(&io.host, taken, &queue), -ENOENT, "what it took is back");
	cr_assert_eq(eq_host_remove_adapter(adapter), 0);
	rig_adapter_stop(&io);
	return error;
}

Test(refusals, an_adapter_without_room_for_the_hosts_own_event_queues)
{
	rig_start(&rig, 1, 4, 4, 16);
	guest_start(&rig, &guest, 8, 4);
	cr_expect_eq(first_guest_eq(2, 0, 16, 63), 0);
	cr_expect_eq(first_guest_eq(2, 0, 7, 63), -EINVAL, "no capacity");
	cr_expect_eq(first_guest_eq(2, 2, 16, 63), -ENOSPC, "none for type 1");
	cr_expect_eq(first_guest_eq(2, 1, 16, 63), -ENOSPC, "none for type 2");
	/* It wants three summary bytes. */
	for (uint32_t left = 0; left < 3; left++)
		cr_expect_eq(first_guest_eq(40, 32, 16, left), -ENOSPC, "%u left", left);
	cr_expect_eq(first_guest_eq(40, 32, 16, 3), 0);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(refusals, more_adapters_than_a_host_has_places_for)
{
	struct eq_host_adapter *adapter;

	rig_start(&rig, 1, 4, 4, 16);
	guest_start(&rig, &guest, 8, 4);
	for (unsigned i = 1; i < EQ_HOST_ADAPTERS_MAX; i++)
		cr_assert_eq(eq_host_add_adapter(rig.host, &rig.io.host, 16, &adapter), 0);
	cr_expect_eq(eq_host_add_adapter(rig.host, &rig.io.host, 16, &adapter), -ENOSPC);
	/* Event queues alone keep an adapter as well. */
	cr_expect_eq(eq_host_remove_adapter(rig.shared), -EBUSY);
	/* Its guests go with a host. */
	eq_host_destroy(rig.host);
	unmap_guarded(guest.memory, GUEST_BYTES);
	rig_adapter_stop(&rig.io);
}

/* ---- Damaged contexts --------------------------------------------------------------------- */

Test(refusals, an_adapter_finds_a_damaged_event_queue)
{
	rig_start(&rig, 1, 4, 4, 16);
	guest_start(&rig, &guest, 8, 4);
	uint32_t slot, cq = guest_cq(&guest, 1, &slot);
	struct eq_eq_context *context = &rig.io.adapter.storage.eq[0];
	const struct eq_eq_context good = *context;
	struct eq_eq_context bad[10];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = good;
	bad[0].capacity = 7;
	bad[1].ring_offset = 0;
	bad[2].ring_offset = rig.io.bytes + 64;
	bad[3].ring_offset = rig.io.bytes - 64;
	for (size_t i = 1; i < 4; i++) /* wrong in nothing else */
		bad[i].marks_offset = bad[i].ring_offset + good.marks_offset - good.ring_offset;
	bad[4].marks_offset += 4;
	bad[5].asb_offset = 4;
	bad[6].psb_offset = (uint32_t)rig.io.bytes;
	bad[7].isc = EQ_ISCS;
	bad[8].slots = 0;
	bad[9].asb_offset = (uint32_t)rig.io.bytes;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t before = rig.io.adapter.unassociated;

		rig_adapter_restart(&rig.io);
		before = rig.io.adapter.unassociated;
		memcpy(&rig.io.adapter.storage.eq[0], &bad[i], sizeof(good));
		complete_and_forward(&rig, cq);
		cr_expect_eq(rig.io.adapter.unassociated, before + 1, "%zu", i);
		expect_none(&guest.consumer);
	}
	memcpy(&rig.io.adapter.storage.eq[0], &good, sizeof(good));
	complete_and_forward(&rig, cq);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	guest_stop(&guest);
	rig_stop(&rig);
}

/* ---- Without memory ---------------------------------------------------------------------------- */

Test(refusals, without_memory_at_level_1)
{
	static alignas(EQ_LINE_BYTES) uint8_t memory[16384];
	const struct eq_queue queue = {.ring = memory, .capacity = 8,
				       .marks = (eq_marks *)(memory + 8192), .slots = 4};
	struct eq_poster poster;
	struct rig_adapter io;
	struct eq_storage storage;

	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_poster_open(&poster, &queue);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
	}
	eq_poster_close(&poster);
	rig_adapter_start(&io, 2, 4, 4, 8);
	for (unsigned n = 1; fault_round(n); n++) {
		struct eq_adapter adapter;

		fault_start(n, ENOMEM);
		int error = eq_adapter_open(&adapter, &io.host);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
		eq_adapter_close(&adapter); /* of one that is not open nothing is closed */
	}
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_storage_format(io.memory, io.bytes, 2, 4, 4, &storage);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
	}
	eq_storage_close(&storage);
	rig_adapter_stop(&io);
}

Test(refusals, an_adapter_without_memory_for_a_poster_posts_later)
{
	rig_start(&rig, 1, 4, 4, 16);
	guest_start(&rig, &guest, 8, 4);
	uint32_t slot, cq = guest_cq(&guest, 1, &slot);

	fault_start(1, ENOMEM);
	eq_adapter_complete(&rig.io.adapter, cq);
	cr_expect(fault_end());
	cr_expect_eq(rig.io.adapter.unassociated, 1);
	complete_and_forward(&rig, cq);
	expect_entry(&guest.consumer, slot, EQ_COMPLETION, 1);
	guest_stop(&guest);
	rig_stop(&rig);
}

Test(refusals, without_memory_at_level_2)
{
	const struct eq_host_ops ops = {0};
	struct rig_adapter io;
	struct eq_host *host;
	struct eq_host_adapter *adapter;
	struct eq_guest *of;
	static alignas(EQ_LINE_BYTES) uint8_t memory[GUEST_BYTES];
	const struct eq_guest_eq_spec spec = {.ring_offset = GUEST_RING, .capacity = 8,
					      .marks_offset = GUEST_MARKS, .slots = 64};
	uint32_t id, cqs[16], slot;

	rig_adapter_start(&io, 2, 64, 4, 16);
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_host_create(1, &ops, NULL, &host);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
	}
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_host_add_adapter(host, &io.host, 16, &adapter);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0, "call %u", n);
	}
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_guest_create(host, memory, sizeof(memory), 0, NULL, &of);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0);
	}
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int error = eq_guest_allocate_eq(of, adapter, &spec, &id);

		cr_assert_eq(error, fault_end() ? -ENOMEM : 0, "call %u", n);
		cr_expect_eq(eq_guest_pins(of), error ? 0u : 1u);
	}
	/* The table has grown by now: its own slots are next. */
	uint32_t second;
	struct eq_guest_eq_spec another = spec;
	another.ring_offset += GUEST_RING_BYTES;
	fault_in("calloc", ENOMEM);
	cr_expect_eq(eq_guest_allocate_eq(of, adapter, &another, &second), -ENOMEM);
	cr_expect(fault_end());
	cr_expect_eq(eq_guest_pins(of), 1);
	/* Slots: the table of them grows with each power of two. */
	for (unsigned i = 0; i < 16; i++) {
		cr_assert_eq(eq_guest_allocate_cq(of, adapter, &cqs[i]), 0);
		for (unsigned n = 1; fault_round(n); n++) {
			fault_start(n, ENOMEM);
			int error = eq_guest_store_cq_eq(of, adapter, cqs[i], id, &slot);

			cr_assert_eq(error, fault_end() ? -ENOMEM : 0, "queue %u, call %u", i, n);
		}
		cr_expect_eq(slot, i + 1);
	}
	/* More event queues than the first table of them holds. */
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(eq_guest_allocate_eq(of, adapter, &another, &second), 0);
	cr_expect_eq(eq_guest_pins(of), 21);
	eq_host_destroy(host);
	rig_adapter_stop(&io);
}
