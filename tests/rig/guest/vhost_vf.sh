#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two DPDK programs in partitions, each on a vhost-user socket whose adjunct drives a
# virtual function of the card: frames bounce between the two over the card's switch.
# An adjunct dies, and they go on with the next one, over the same connection.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"
. "$(dirname "$0")/../../e2e/testpmd.inc"
wanted=1000 # frames, each time

partition() { # NAME INDEX
	cat <<END
  - name: $1
    devices:
      - {name: net0, kind: vhost-user, mac: "02:00:00:00:02:0$2", vf: {adapter: vf$2},
         adjunct: {image: ethdev}}
END
}
document() {
	cat <<END
version: 1
adapters:
  - {name: vf0, kind: dpdk, device: "$(vf_address 0)"}
  - {name: vf1, kind: dpdk, device: "$(vf_address 1)"}
partitions:
$(partition one 0)
$(partition two 1)
END
}
bring_up() { document | up; }
both_start() { testpmd_start one macswap two && testpmd_start two macswap one; }
many_bounced() { [ "$(figure one RX-packets)" -ge $(($1 + wanted)) ]; } # THAN
# One burst of 32 frames, until so many have come back.
bounce() {
	local before
	before=$(figure one RX-packets)
	tell two start && tell one start tx_first && within 60 many_bounced "$before" &&
		tell one stop && tell two stop
}
counts_agree() { # what one program sent, the other has, and the adjuncts counted
	local one_tx two_rx
	one_tx=$(figure one TX-packets) two_rx=$(figure two RX-packets)
	echo "one sent $one_tx, its adjunct $(counter one/net0 tx_frames)," \
		"that of two gave $(counter two/net0 rx_frames), two took $two_rx"
	[ "$one_tx" = "$two_rx" ] && [ "$one_tx" = "$(counter one/net0 tx_frames)" ] &&
		[ "$two_rx" = "$(counter two/net0 rx_frames)" ]
}

need "the link is up" pf_up
need "two virtual functions, with vfio-pci" functions_for_dpdk 2
need "the daemon starts" daemon_start
need "two partitions on them" bring_up
check "two testpmd start" both_start
check "$wanted frames bounce between them" bounce
check "every place counted the same frames" counts_agree
say "$(head -n 1 "$work/out")"
victim=$(pid_of adjunct one.net0)
kill -KILL "$victim"
check "an adjunct is killed: another takes over" within 20 replaced one.net0 "$victim"
check "and $wanted more bounce, by programs that noticed nothing" bounce
check "down" outrigger down
check "nothing is left" nothing_left
check "none is left" vfs 0
finish
