#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two DPDK programs, each with a virtual function of the card by vfio-pci: one
# sends, the other one receives. The driver in both is DPDK's, the way between
# them is the card's own switch.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"
testpmd=$(command -v dpdk-testpmd) || skip "dpdk-testpmd is not here (Debian: dpdk-dev)"
wanted=1000 # packets

testpmd_start() { # INDEX MODE ARGUMENT...
	local index=$1 mode=$2
	shift 2
	spawn "$work/$mode.log" stdbuf -oL "$testpmd" -l "0,1" --in-memory --file-prefix "rig$index" \
		-m 128 -a "$(vf_address "$index")" -- --forward-mode="$mode" --stats-period 1 \
		--total-num-mbufs=2048 --nb-cores=1 "$@"
}
received() { # the highest count of received packets that it told
	grep -oE 'RX-packets: [0-9]+' "$work/rxonly.log" | awk '{ if ($2 > n) n = $2 } END { print n + 0 }'
}
enough() { [ "$(received)" -ge $wanted ]; }
faults() { dmesg | grep -c 'DMAR:.*fault'; }

need "the link is up" pf_up
need "two virtual functions, with vfio-pci" functions_for_dpdk 2
check "the receiver starts" testpmd_start 1 rxonly
receiver=$last
check "it is there" within 60 grep -q 'Port statistics' "$work/rxonly.log"
testpmd_start 0 txonly --eth-peer=0,02:00:00:00:02:01
sender=$last
check "the receiver gets $wanted packets" within 60 enough
[ $failures = 0 ] || { show "$work/rxonly.log"; show "$work/txonly.log"; }
say "$(received) packets received; of its last second:"
grep -h 'Rx-pps' "$work/rxonly.log" | tail -n 1 | sed 's/^/# /'
check "both end when asked" stop "$sender" INT
check "the other one too" stop "$receiver" INT
check "the IOMMU saw no fault" [ "$(faults)" = 0 ]
check "none is left" vfs 0
finish
