/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the driver of a device does not announce: its link, where it has no interrupt
 * for that, and a reset by the physical function, which leaves a virtual one without
 * service until it asks for it. Both are looked for by the clock, when the device is
 * polled for frames anyway. Called by device.c on the serving thread.
 */
#include "clock.h"
#include "device.h"

/* A function that is polled is asked for its link, too; less often. */
#define LINK_PERIOD_NS (100 * NS_PER_MS)
/* A frame that a function has not sent after so long it will never send. */
#define UNSENT_NS NS_PER_S

static bool link_get(const struct device *device)
{
	struct rte_eth_link link = {0};

	return device->present && !rte_eth_link_get_nowait(device->port_id, &link) &&
	       link.link_status == RTE_ETH_LINK_UP;
}

void device_link_follow(struct device *device)
{
	bool up = link_get(device);

	device->link_came_up |= up;
	if (up == device->link_up)
		return;
	device->link_up = up;
	device->env->post_event(device->env, up ? ADJ_EVENT_LINK_UP : ADJ_EVENT_LINK_DOWN);
}

/*
 * For drivers that do not announce their link (DPDK's igb for virtual functions), nor,
 * where the adapter's interrupt for it is not what they expect, a reset. Such a link
 * comes up for the first time after its start, and then again after the physical
 * function was reset, which leaves its functions without service until they ask for it.
 */
static void link_poll(struct device *device)
{
	bool came_back = !device->link_up && device->link_came_up && !device->link_is_peer;

	device_link_follow(device);
	if (came_back && device->link_up)
		atomic_fetch_or_explicit(&device->pending, DEVICE_RESET, memory_order_relaxed);
}

bool device_link_up(struct device *device)
{
	if (device->present && !device->link_interrupts)
		link_poll(device);
	return device->link_up;
}

/* Whether the ring still has the frame marked as not sent: one descriptor each. */
static bool is_unsent(const struct device *device, uint32_t handed)
{
	uint32_t since = handed - device->unsent;

	return since < device->tx_descriptors &&
	       rte_eth_tx_descriptor_status(device->port_id, 0,
					    (uint16_t)(device->tx_descriptors - 1 - since)) ==
		       RTE_ETH_TX_DESC_FULL;
}

/*
 * A reset by the physical function that nobody told of, or during which it did not
 * answer ours, leaves a function that sends nothing: it is started anew until it does.
 */
static void unsent_poll(struct device *device, uint32_t handed, uint64_t now_ns)
{
	if (!device->link_up || (device->unsent_ns && !is_unsent(device, handed)))
		device->unsent_ns = 0;
	if (!device->unsent_ns) {
		device->unsent = handed;
		device->unsent_ns = device->link_up && is_unsent(device, handed) ? now_ns : 0;
	} else if (now_ns - device->unsent_ns > UNSENT_NS) {
		device->unsent_ns = 0;
		device->env->log(device->env, ADJ_LOG_WARNING, "%s does not send", device->env->device);
		atomic_fetch_or_explicit(&device->pending, DEVICE_RESET, memory_order_relaxed);
	}
}

void device_poll(struct device *device, uint32_t handed)
{
	uint64_t now_ns = device->env->now_ns();

	if (device->link_interrupts || device->link_is_peer ||
	    now_ns - device->link_polled_ns < LINK_PERIOD_NS)
		return;
	device->link_polled_ns = now_ns;
	link_poll(device);
	unsent_poll(device, handed, now_ns);
}
