/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may be associated with what, as 004 has it before FIG. 2, and every refusal with
 * its error: once where an adapter's own host stores it (level 1), once where a guest's
 * STORE is intercepted (level 2).
 */
#include "support.h"

static struct rig_adapter io;
static const struct eq_eq_spec spec = {.capacity = 8, .control = EQ_IMMEDIATE};

/* 3 event queues, 4 completion queues, 4 queue pairs; nothing is associated. */
static void start(void)
{
	rig_adapter_start(&io, 3, 4, 4, 8);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(eq_allocate_eq(&io.host, &spec), i);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(eq_allocate_cq(&io.host), i);
		cr_assert_eq(eq_allocate_qp(&io.host), i);
	}
}

/* ---- Allowed ------------------------------------------------------------------------- */

Test(association, a_queue_pair_has_one_or_two_completion_queues)
{
	struct eq_qp_view view;

	start();
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, 0, 1), 0, "two");
	cr_expect_eq(eq_store_qp_cqs(&io.host, 1, 2, 2), 0, "the same for both");
	cr_expect_eq(eq_store_qp_cqs(&io.host, 2, 3, EQ_NONE), 0, "one");
	cr_assert_eq(eq_load_qp(&io.host, 0, &view), 0);
	cr_expect_eq(view.send_cq, 0);
	cr_expect_eq(view.receive_cq, 1);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 2, 3, 0), 0, "the second later");
	rig_adapter_stop(&io);
}

Test(association, several_queue_pairs_share_a_completion_queue_and_an_event_queue)
{
	struct eq_queue queue;
	struct eq_consumer consumer;

	start();
	cr_assert_eq(eq_store_cq_eq(&io.host, 1, 0), 0);
	for (uint32_t qp = 0; qp < 4; qp++) {
		cr_expect_eq(eq_store_qp_cqs(&io.host, qp, 1, 1), 0);
		cr_expect_eq(eq_store_qp_eq(&io.host, qp, 0), 0);
		cr_expect_eq(eq_store_qp_token(&io.host, qp, qp), 0);
		eq_adapter_event(&io.adapter, EQ_RESOURCE_QP, qp, EQ_QP_ERROR);
		cr_expect_eq(eq_adapter_cq_of(&io.adapter, qp, qp & 1), 1);
	}
	cr_assert_eq(eq_load_eq(&io.host, 0, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
	for (uint32_t qp = 0; qp < 4; qp++)
		expect_entry(&consumer, eq_storage_slot(&io.host, EQ_RESOURCE_QP, qp), EQ_QP_ERROR,
			     qp);
	rig_adapter_stop(&io);
}

Test(association, several_completion_queues_share_an_event_queue)
{
	struct eq_queue queue;
	struct eq_consumer consumer;

	start();
	for (uint32_t cq = 0; cq < 4; cq++) {
		cr_expect_eq(eq_store_cq_eq(&io.host, cq, 2), 0);
		eq_adapter_complete(&io.adapter, cq);
	}
	cr_assert_eq(eq_load_eq(&io.host, 2, &queue), 0);
	cr_assert_eq(eq_consumer_open(&consumer, &queue), 0);
	for (uint32_t cq = 0; cq < 4; cq++)
		expect_entry(&consumer, 1 + cq, EQ_COMPLETION, 0);
	rig_adapter_stop(&io);
}

Test(association, several_event_queues_share_an_asb_and_a_psb)
{
	start();
	int asb = eq_allocate_summary(&io.host);
	for (uint32_t eq = 0; eq < 3; eq++)
		cr_expect_eq(eq_store_eq_asb(&io.host, eq, (uint32_t)asb), 0);
	int psb = eq_allocate_summary(&io.host);
	cr_expect_neq(psb, asb);
	for (uint32_t eq = 0; eq < 3; eq++) {
		cr_expect_eq(eq_store_eq_psb(&io.host, eq, (uint32_t)psb), 0);
		cr_assert_eq(eq_store_cq_eq(&io.host, eq, eq), 0);
	}
	for (uint32_t cq = 0; cq < 3; cq++) {
		*eq_summary_at(&io.host, (uint32_t)asb) = 0;
		*eq_summary_at(&io.host, (uint32_t)psb) = 0;
		eq_adapter_complete(&io.adapter, cq);
		eq_adapter_signal(&io.adapter, 0);
		cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)asb), 1, "event queue %u", cq);
		cr_expect_eq(*eq_summary_at(&io.host, (uint32_t)psb), 1, "event queue %u", cq);
	}
	rig_adapter_stop(&io);
}

Test(association, an_association_can_be_taken_away_and_made_anew)
{
	start();
	cr_assert_eq(eq_store_cq_eq(&io.host, 0, 0), 0);
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, 0), 0, "the same again");
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, EQ_NONE), 0);
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, 1), 0);
	rig_adapter_stop(&io);
}

/* ---- Refused --------------------------------------------------------------------------- */

Test(association, refused_a_completion_queue_with_two_event_queues)
{
	struct eq_cq_view view;

	start();
	cr_assert_eq(eq_store_cq_eq(&io.host, 0, 0), 0);
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, 1), -EBUSY);
	cr_assert_eq(eq_load_cq(&io.host, 0, &view), 0);
	cr_expect_eq(view.eq, 0);
	rig_adapter_stop(&io);
}

Test(association, refused_a_queue_pair_with_two_event_queues)
{
	start();
	cr_assert_eq(eq_store_qp_eq(&io.host, 0, 0), 0);
	cr_expect_eq(eq_store_qp_eq(&io.host, 0, 1), -EBUSY);
	rig_adapter_stop(&io);
}

Test(association, refused_a_queue_pair_with_no_or_three_completion_queues)
{
	start();
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, EQ_NONE, EQ_NONE), -EINVAL);
	cr_assert_eq(eq_store_qp_cqs(&io.host, 0, 0, 1), 0);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, 2, 1), -EBUSY);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, 0, 2), -EBUSY);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, 0, EQ_NONE), -EBUSY);
	rig_adapter_stop(&io);
}

Test(association, refused_with_what_is_not_there)
{
	struct eq_queue queue;
	struct eq_cq_view cq;
	struct eq_qp_view qp;

	start();
	cr_assert_eq(eq_deallocate_eq(&io.host, 2), 0);
	cr_assert_eq(eq_deallocate_cq(&io.host, 3), 0);
	cr_assert_eq(eq_deallocate_qp(&io.host, 3), 0);
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, 2), -ENOENT);
	cr_expect_eq(eq_store_cq_eq(&io.host, 0, 3), -ENOENT, "out of range");
	cr_expect_eq(eq_store_cq_eq(&io.host, 3, 0), -ENOENT);
	cr_expect_eq(eq_store_qp_eq(&io.host, 0, 2), -ENOENT);
	cr_expect_eq(eq_store_qp_eq(&io.host, 3, 0), -ENOENT);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, 3, EQ_NONE), -ENOENT);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 0, EQ_NONE, 4), -ENOENT);
	cr_expect_eq(eq_store_qp_cqs(&io.host, 3, 0, 0), -ENOENT);
	cr_expect_eq(eq_store_cq_token(&io.host, 3, 1), -ENOENT);
	cr_expect_eq(eq_store_qp_token(&io.host, 3, 1), -ENOENT);
	cr_expect_eq(eq_store_eq_asb(&io.host, 2, 0), -ENOENT);
	cr_expect_eq(eq_store_eq_psb(&io.host, 2, 0), -ENOENT);
	cr_expect_eq(eq_load_eq(&io.host, 2, &queue), -ENOENT);
	cr_expect_eq(eq_load_cq(&io.host, 3, &cq), -ENOENT);
	cr_expect_eq(eq_load_qp(&io.host, 3, &qp), -ENOENT);
	cr_expect_eq(eq_deallocate_eq(&io.host, 2), -ENOENT, "twice");
	cr_expect_eq(eq_deallocate_cq(&io.host, 3), -ENOENT);
	cr_expect_eq(eq_deallocate_qp(&io.host, 3), -ENOENT);
	rig_adapter_stop(&io);
}

Test(association, refused_to_deallocate_what_is_associated)
{
	start();
	cr_assert_eq(eq_store_cq_eq(&io.host, 0, 0), 0);
	cr_assert_eq(eq_store_qp_eq(&io.host, 0, 1), 0);
	cr_assert_eq(eq_store_qp_cqs(&io.host, 0, 0, 1), 0);
	cr_expect_eq(eq_deallocate_eq(&io.host, 0), -EBUSY, "a completion queue's");
	cr_expect_eq(eq_deallocate_eq(&io.host, 1), -EBUSY, "a queue pair's");
	cr_expect_eq(eq_deallocate_cq(&io.host, 0), -EBUSY);
	cr_expect_eq(eq_deallocate_cq(&io.host, 1), -EBUSY);
	cr_expect_eq(eq_deallocate_qp(&io.host, 0), 0);
	cr_expect_eq(eq_deallocate_cq(&io.host, 0), 0);
	cr_expect_eq(eq_deallocate_eq(&io.host, 0), 0);
	cr_expect_eq(eq_deallocate_eq(&io.host, 1), 0);
	rig_adapter_stop(&io);
}

Test(association, refused_a_summary_byte_elsewhere)
{
	start();
	uint32_t outside[] = {1, 64, (uint32_t)io.host.queues_offset - 1, (uint32_t)io.bytes,
			      UINT32_MAX};

	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		cr_expect_eq(eq_store_eq_asb(&io.host, 0, outside[i]), -EINVAL);
		cr_expect_eq(eq_store_eq_psb(&io.host, 0, outside[i]), -EINVAL);
	}
	rig_adapter_stop(&io);
}

Test(association, refused_more_than_there_are)
{
	start();
	const struct eq_eq_spec bad[] = {
		{.capacity = 0}, {.capacity = 3}, {.capacity = 8, .isc = 8},
		{.capacity = 8, .control = 4},
	};

	cr_expect_eq(eq_allocate_eq(&io.host, &spec), -ENOSPC);
	cr_expect_eq(eq_allocate_cq(&io.host), -ENOSPC);
	cr_expect_eq(eq_allocate_qp(&io.host), -ENOSPC);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(eq_allocate_eq(&io.host, &bad[i]), -EINVAL);
	/* A context is free, but not the memory for so many entries. */
	cr_assert_eq(eq_deallocate_eq(&io.host, 1), 0);
	const struct eq_eq_spec large = {.capacity = 65536};
	cr_expect_eq(eq_allocate_eq(&io.host, &large), -ENOSPC);
	cr_expect_eq(eq_allocate_eq(&io.host, &spec), 1, "what was freed is used again");
	rig_adapter_stop(&io);
}

Test(association, storage_is_what_its_header_says_or_is_refused)
{
	struct eq_storage view;

	start();
	struct eq_storage_header *header = io.memory;
	cr_expect_eq(eq_storage_open(io.memory, io.bytes, &view), 0);
	cr_expect_eq(eq_storage_open(io.memory, io.bytes - 4096, &view), -EPROTO);
	cr_expect_eq(eq_storage_open((uint8_t *)io.memory + 1, io.bytes - 1, &view), -EINVAL);
	cr_expect_eq(eq_storage_open(io.memory, 8, &view), -EINVAL);
	header->version++;
	cr_expect_eq(eq_storage_open(io.memory, io.bytes, &view), -EPROTO);
	header->version--;
	header->cqs = UINT32_MAX;
	cr_expect_eq(eq_storage_open(io.memory, io.bytes, &view), -EPROTO);
	header->cqs = 4;
	header->magic = 0;
	cr_expect_eq(eq_storage_open(io.memory, io.bytes, &view), -EPROTO);
	cr_expect_eq(eq_storage_bytes(0, 1, 1, 8), 0);
	cr_expect_eq(eq_storage_bytes(EQ_ADAPTER_EQS_MAX + 1, 1, 1, 8), 0);
	cr_expect_eq(eq_storage_bytes(1, EQ_ADAPTER_CQS_MAX + 1, 1, 8), 0);
	cr_expect_eq(eq_storage_bytes(1, 1, 1, 7), 0);
	rig_adapter_stop(&io);
}

/* ---- Level 2 ------------------------------------------------------------------------------ */

static struct rig rig;
static struct rig_guest one, other;

Test(association, a_guests_resources_associate_by_the_same_rules)
{
	uint32_t cq, qp, slot, slot_again, second;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &one, 8, 4);
	struct eq_guest_eq_spec again = one.spec;
	again.ring_offset += GUEST_RING_BYTES;
	again.marks_offset += 512;
	cr_assert_eq(eq_guest_allocate_eq(one.guest, rig.shared, &again, &second), 0);
	/* Several event queues on an ASB. */
	cr_expect_eq(eq_guest_store_eq_asb(one.guest, rig.shared, second, GUEST_ASB), 0);
	cq = guest_cq(&one, 1, &slot);
	/* The same again is the same; another is refused. */
	cr_expect_eq(eq_guest_store_cq_eq(one.guest, rig.shared, cq, one.id, &slot_again), 0);
	cr_expect_eq(slot_again, slot);
	cr_expect_eq(eq_guest_store_cq_eq(one.guest, rig.shared, cq, second, &slot), -EBUSY);
	qp = guest_qp(&one, cq, 2, &slot);
	cr_expect_eq(eq_guest_store_qp_eq(one.guest, rig.shared, qp, second, &slot), -EBUSY);
	cr_expect_eq(eq_guest_store_qp_cqs(one.guest, rig.shared, qp, EQ_NONE, EQ_NONE), -EINVAL);
	/* A second queue pair on the same completion queue; its third slot is the last. */
	guest_qp(&one, cq, 3, &slot);
	cr_assert_eq(eq_guest_allocate_cq(one.guest, rig.shared, &cq), 0);
	cr_expect_eq(eq_guest_store_cq_eq(one.guest, rig.shared, cq, one.id, &slot), -ENOSPC);
	cr_expect_eq(eq_guest_store_cq_eq(one.guest, rig.shared, cq, second, &slot), 0);
	/* What is in use stays. */
	cr_expect_eq(eq_guest_deallocate_eq(one.guest, rig.shared, one.id), -EBUSY);
	cr_expect_eq(eq_guest_deallocate_eq(one.guest, rig.shared, second), -EBUSY);
	cr_expect_eq(eq_guest_deallocate_cq(one.guest, rig.shared, 0), -EBUSY);
	cr_expect_eq(eq_host_remove_adapter(rig.shared), -EBUSY);
	guest_stop(&one);
	cr_expect_eq(eq_host_remove_adapter(rig.shared), 0);
	rig_stop(&rig);
}

Test(association, a_guest_reaches_nothing_of_another)
{
	uint32_t cq, qp, mine, slot;
	struct eq_cq_view cq_view;
	struct eq_qp_view qp_view;
	struct eq_guest_eq_view eq_view;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &one, 8, 4);
	guest_start(&rig, &other, 8, 4);
	cq = guest_cq(&one, 1, NULL);
	qp = guest_qp(&one, cq, 2, NULL);
	cr_assert_eq(eq_guest_allocate_qp(other.guest, rig.shared, &mine), 0);
	struct eq_guest *guest = other.guest;
	struct eq_host_adapter *shared = rig.shared;

	cr_expect_eq(eq_guest_store_cq_token(guest, shared, cq, 0), -ENOENT);
	cr_expect_eq(eq_guest_store_cq_eq(guest, shared, cq, other.id, &slot), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_token(guest, shared, qp, 0), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_eq(guest, shared, qp, other.id, &slot), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_eq(guest, shared, mine, one.id, &slot), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_cqs(guest, shared, mine, cq, EQ_NONE), -ENOENT);
	cr_expect_eq(eq_guest_store_eq_asb(guest, shared, one.id, 0), -ENOENT);
	cr_expect_eq(eq_guest_resize_eq(guest, shared, one.id, GUEST_RING, 8, 0), -ENOENT);
	cr_expect_eq(eq_guest_set_delay(guest, shared, one.id, 1), -ENOENT);
	cr_expect_eq(eq_guest_deallocate_cq(guest, shared, cq), -ENOENT);
	cr_expect_eq(eq_guest_deallocate_qp(guest, shared, qp), -ENOENT);
	cr_expect_eq(eq_guest_deallocate_eq(guest, shared, one.id), -ENOENT);
	cr_expect_eq(eq_guest_load_cq(guest, shared, cq, &cq_view), -ENOENT);
	cr_expect_eq(eq_guest_load_qp(guest, shared, qp, &qp_view), -ENOENT);
	cr_expect_eq(eq_guest_load_eq(guest, shared, one.id, &eq_view), -ENOENT);
	/* The host's own event queues are not a guest's. */
	cr_expect_eq(eq_guest_deallocate_eq(guest, shared, 0), -ENOENT);
	cr_expect_eq(eq_guest_store_qp_eq(guest, shared, mine, 1, &slot), -ENOENT);
	guest_stop(&one);
	guest_stop(&other);
	rig_stop(&rig);
}

Test(association, refused_what_lies_outside_a_guests_storage)
{
	uint32_t id;
	struct eq_guest *guest;

	rig_start(&rig, 1, 8, 8, 16);
	guest_start(&rig, &one, 8, 4);
	const struct eq_guest_eq_spec good = one.spec;
	struct eq_guest_eq_spec bad[] = {good, good, good, good, good, good, good, good, good};

	bad[0].ring_offset = GUEST_BYTES - 64;
	bad[1].ring_offset = UINT64_MAX - 63;
	bad[2].ring_offset = good.ring_offset + 8;
	bad[3].marks_offset = GUEST_BYTES - 12;
	bad[4].marks_offset = UINT64_MAX - 3;
	bad[5].marks_offset = 2;
	bad[6].slots = 0;
	bad[7].slots = 18; /* the adapter has 17 */
	bad[8].gisc = 8;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(eq_guest_allocate_eq(one.guest, rig.shared, &bad[i], &id), -EINVAL,
			     "%zu", i);
	cr_expect_eq(eq_guest_store_eq_asb(one.guest, rig.shared, one.id, GUEST_BYTES), -EINVAL);
	cr_expect_eq(eq_guest_resize_eq(one.guest, rig.shared, one.id, GUEST_BYTES - 64, 8, 0),
		     -EINVAL);
	cr_expect_eq(eq_guest_resize_eq(one.guest, rig.shared, one.id, GUEST_RING + 16384, 7, 0),
		     -EINVAL);
	cr_expect_eq(eq_guest_resize_eq(one.guest, rig.shared, one.id, GUEST_RING, 8, 0), -EINVAL,
		     "the same ring");
	cr_expect_eq(eq_guest_create(rig.host, one.memory, GUEST_BYTES, GUEST_BYTES, NULL, &guest),
		     -EINVAL);
	cr_expect_eq(eq_guest_create(rig.host, one.memory, GUEST_BYTES - 2, GUEST_BYTES - 4, NULL,
				     &guest), -EINVAL);
	cr_expect_eq(eq_guest_create(rig.host, one.memory, GUEST_BYTES, 2, NULL, &guest), -EINVAL);
	cr_expect_eq(eq_guest_create(rig.host, one.memory, 2, 0, NULL, &guest), -EINVAL);
	guest_stop(&one);
	rig_stop(&rig);
}
