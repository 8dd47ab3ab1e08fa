/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function of an igb card has a filter of station addresses, to which its physical
 * function (PF) adds what it is asked for, as the kernel's igbvf does. DPDK's driver never
 * asks, and says that promiscuous mode is on, which no PF allows: frames for a second
 * address would not come. So it is asked here, by DPDK's own functions for the mailbox
 * between the two; the words are those of Linux' drivers/net/ethernet/intel/igbvf/mbox.h.
 *
 * What these functions need is the driver's private data. It is got where the driver hands
 * it to its list of groups, which the linker (-Wl,--wrap=NAME) leads here. The serving thread.
 */
#include "igbvf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <rte_ethdev.h>

#define SET_ADDRESS UINT32_C(0x02)
#define FILTER_CLEAR (UINT32_C(1) << 16)
#define FILTER_ADD (UINT32_C(2) << 16)
#define ANSWER_YES (UINT32_C(1) << 31)
#define MESSAGE_WORDS 3 /* what is asked for, and an address */
#define MAILBOX_PF 0

struct e1000_hw;
/* 0, or a negative number of their own. */
int32_t e1000_write_posted_mbx(struct e1000_hw *hw, uint32_t *message, uint16_t words, uint16_t to);
int32_t e1000_read_posted_mbx(struct e1000_hw *hw, uint32_t *answer, uint16_t words, uint16_t by);
void __real_e1000_update_mc_addr_list(struct e1000_hw *hw, uint8_t *list, uint32_t count);
void __wrap_e1000_update_mc_addr_list(struct e1000_hw *hw, uint8_t *list, uint32_t count);

static struct {
	bool wanted;
	struct e1000_hw *hw;
} private;

void __wrap_e1000_update_mc_addr_list(struct e1000_hw *hw, uint8_t *list, uint32_t count)
{
	if (private.wanted)
		private.hw = hw;
	else
		__real_e1000_update_mc_addr_list(hw, list, count);
}

/* NULL: of another driver. */
static struct e1000_hw *find_private(uint16_t port_id)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(port_id, &info) || strcmp(info.driver_name, "net_e1000_igb_vf") != 0)
		return NULL;
	private.hw = NULL;
	private.wanted = true;
	(void)rte_eth_dev_set_mc_addr_list(port_id, NULL, 0); /* which is not done: see above */
	private.wanted = false;
	return private.hw;
}

static int ask(struct e1000_hw *hw, uint32_t what, const struct rte_ether_addr *address)
{
	uint32_t message[MESSAGE_WORDS] = {SET_ADDRESS | what};

	memcpy(message + 1, address, sizeof(*address));
	if (e1000_write_posted_mbx(hw, message, MESSAGE_WORDS, MAILBOX_PF) ||
	    e1000_read_posted_mbx(hw, message, MESSAGE_WORDS, MAILBOX_PF))
		return -EIO;
	return message[0] & ANSWER_YES ? 0 : -EACCES;
}

int igbvf_set_others(uint16_t port_id, const struct rte_ether_addr *addresses, unsigned count)
{
	struct e1000_hw *hw = find_private(port_id);
	struct rte_ether_addr own;

	if (!hw)
		return -ENOTSUP;
	int result = rte_eth_macaddr_get(port_id, &own);
	/* The PF looks whether there is an address even where it needs none. One that died
	 * before us may have left some of its own. */
	if (!result)
		result = ask(hw, FILTER_CLEAR, &own);
	for (unsigned i = 0; !result && i < count; i++)
		result = ask(hw, FILTER_ADD, &addresses[i]);
	return result;
}
