/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * T07 on the vhost-user port (port_vhost.c), on a librte_vhost that these tests play
 * (vhost_support.h) and that keeps the in-flight record: who goes on where when the port's
 * process has died, or a ring has stopped. One thread; e2e/steps.sh kills at every
 * instruction.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <rte_mbuf.h>
#include <stdatomic.h>

#include "vhost_support.h"

TestSuite(vhost_successor, .init = vhost_open_all, .fini = vhost_close_all, .timeout = 60);

/* The port's process has died: another begins, with what the device has counted. */
static void successor(uint32_t device_taken, bool counts)
{
	uint16_t used = played.guest[VHOST_QUEUE_TRANSMIT].used->idx;
	struct adj_inflight kept = *played_record();

	played.callbacks->destroy_device(PLAYED_VID); /* which a death leaves out */
	*played_record() = kept;
	played.base[VHOST_QUEUE_TRANSMIT] = used;
	port->ops->close(port);
	env.device_taken = device_taken;
	env.device_counts = counts;
	cr_assert_eq(port_vhost_open(&env, pool, &port), 0);
	guest_comes();
}

static unsigned take_and_drop(void)
{
	struct rte_mbuf *frames[BURST_FRAMES];
	int taken = port->ops->take(port, frames, BURST_FRAMES);

	cr_assert_geq(taken, 0);
	if (taken)
		rte_pktmbuf_free_bulk(frames, (unsigned)taken);
	return (unsigned)taken;
}

Test(vhost_successor, T07_a_successor_goes_on_at_the_next_frame)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	port->device_taken = UINT32_MAX - 1; /* round its end */
	guest_comes();
	for (unsigned slot = 0; slot < 6; slot++)
		guest_send(transmit, slot, 60, 1);
	cr_assert_eq(take_and_drop(), 6u);
	cr_assert_eq(port->ops->passing(port, 6), 1);
	port->device_taken += 2;
	port->ops->passed(port, 2);
	cr_expect_eq(transmit->used->idx, 2u);
	/* Three more were passed, and that was not recorded. */
	successor(3, true);
	cr_expect_eq(transmit->used->idx, 5u);
	cr_expect_eq(transmit->used->ring[4].id, 4u);
	cr_expect_eq(take_and_drop(), 1u);
	/* It recorded the last one, and died before it used the entry. */
	atomic_store(&played_record()->transmit, 6ull << 32 | 4);
	successor(4, true);
	cr_expect_eq(transmit->used->idx, 6u);
	cr_expect_eq(take_and_drop(), 0u);
	/* A device that does not count: at the record. */
	guest_send(transmit, 6, 60, 1);
	successor(0, false);
	cr_expect_eq(take_and_drop(), 1u);
	cr_expect_eq(transmit->used->idx, 6u);
	/* What was being passed may have been sent: it is not passed again. */
	cr_assert_eq(port->ops->passing(port, 1), 1);
	struct adj_inflight dying = *played_record();

	port->ops->passed(port, 0);
	cr_expect_eq(atomic_load(&played_record()->transmit) >> 32, 6u, "it had no room");
	*played_record() = dying;
	successor(0, false);
	cr_expect_eq(transmit->used->idx, 7u);
	cr_expect_eq(take_and_drop(), 0u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_successor, T07_a_record_of_another_ring_is_not_believed)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_send(transmit, slot, 60, 1);
	/* Far ahead; far behind; more passed than a burst; more than there were. */
	static const struct {
		uint32_t position, taken, device;
	} rows[] = {{33, 0, 0}, {65535, 0, 0}, {0, 0, 33}, {0, 5, 4}, {0, 0, 5}, {5, 0, 0}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		atomic_store(&played_record()->version, ADJ_INFLIGHT_VERSION);
		atomic_store(&played_record()->transmit,
			     (uint64_t)rows[i].position << 32 | rows[i].taken);
		transmit->used->idx = 0;
		successor(rows[i].device, true);
		cr_expect_eq(transmit->used->idx, 0u, "row %u", i);
		cr_expect_eq(take_and_drop(), 4u, "row %u", i);
		cr_expect_eq(atomic_load(&played_record()->transmit), rows[i].device, "row %u", i);
	}
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(atomic_load(&played_record()->version), 0u, "an orderly end needs none");
}

Test(vhost_successor, T07_a_record_waits_for_its_ring)
{
	guest_comes();
	for (unsigned slot = 0; slot < 4; slot++)
		guest_send(&played.guest[VHOST_QUEUE_TRANSMIT], slot, 60, 1);
	played.vring_result = -1;
	successor(0, true);
	cr_expect_eq(take_and_drop(), 0u);
	played.vring_result = 0;
	cr_assert_eq(played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1), 0);
	cr_expect_eq(take_and_drop(), 4u);
	played.callbacks->destroy_device(PLAYED_VID);
}

Test(vhost_successor, T07_what_was_taken_of_a_ring_that_stopped_is_the_guests_again)
{
	struct vhost_ring *transmit = &played.guest[VHOST_QUEUE_TRANSMIT];

	played.has_inflight = false; /* nobody keeps one */
	guest_comes();
	guest_send(transmit, 0, 60, 1);
	guest_send(transmit, 1, 60, 1);
	cr_assert_eq(take_and_drop(), 2u);
	/* While a message is looked at, not now; and the device may have no room. */
	played.message_ops->pre_msg_handle(PLAYED_VID, NULL);
	cr_expect_eq(port->ops->passing(port, 2), 0);
	played.message_ops->post_msg_handle(PLAYED_VID, NULL);
	cr_assert_eq(port->ops->passing(port, 2), 1);
	port->ops->passed(port, 0);
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 0);
	cr_expect_eq(port->ops->passing(port, 2), 0, "it may be enabled again");
	played.callbacks->vring_state_changed(PLAYED_VID, VHOST_QUEUE_TRANSMIT, 1);
	cr_assert_eq(port->ops->passing(port, 2), 1);
	port->device_taken++;
	port->ops->passed(port, 1);
	played.callbacks->destroy_device(PLAYED_VID);
	cr_expect_eq(played.base[VHOST_QUEUE_TRANSMIT], 1u, "the guest is told");
	cr_expect_eq(port->ops->passing(port, 2), -ECANCELED);
	guest_comes();
	cr_expect_eq(port->ops->passing(port, 2), -ECANCELED, "these are other rings");
	cr_expect_eq(take_and_drop(), 1u);
	played.callbacks->destroy_device(PLAYED_VID);
}
