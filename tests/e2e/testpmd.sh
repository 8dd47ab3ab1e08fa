#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two partitions whose programs are DPDK's own testpmd, each on a vhost-user
# socket with DPDK's virtio-user driver: frames bounce between the two, and every
# one is counted at each of the places it passes. Programs leave politely and by
# SIGKILL and come back; noise on the socket harms nobody.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/testpmd.inc"

both_start() { testpmd_start one macswap two && testpmd_start two macswap one; }
# One burst of 32 frames that bounces for a second; nothing is full, so nothing may be lost.
bounce() {
	tell two start && tell one start tx_first || return 1
	sleep 1
	tell one stop && sleep 0.3 && tell two stop && sleep 0.3
}
counts_agree() { # every place a frame passes, both ways
	local one_tx one_rx two_tx two_rx
	one_tx=$(figure one TX-packets) one_rx=$(figure one RX-packets)
	two_tx=$(figure two TX-packets) two_rx=$(figure two RX-packets)
	echo "one sent $one_tx and took $one_rx, two took $two_rx and sent $two_tx"
	local names=("adjunct of one, taken" "adjunct of two, given" "adjunct of two, taken"
		"adjunct of one, given" "function of one, taken" "function of two, given"
		"function of two, taken" "function of one, given") i result=0
	local have=("$(counter one/net0 tx_frames)" "$(counter two/net0 rx_frames)"
		"$(counter two/net0 tx_frames)" "$(counter one/net0 rx_frames)"
		"$(vf_counter one/net0 tx_frames)" "$(vf_counter two/net0 rx_frames)"
		"$(vf_counter two/net0 tx_frames)" "$(vf_counter one/net0 rx_frames)")
	local want=("$one_tx" "$two_rx" "$two_tx" "" "$one_tx" "$two_rx" "$two_tx" "")
	# What came back to one after it had stopped lies in its ring, uncounted by testpmd.
	want[3]=$two_tx want[7]=$two_tx
	for i in "${!names[@]}"; do
		echo "${names[i]}: ${have[i]}, wanted ${want[i]}"
		[ "${have[i]}" = "${want[i]}" ] || result=1
	done
	[ "$one_tx" = "$two_rx" ] && [ "$one_tx" -ge 320 ] && [ "$two_tx" = "$one_tx" ] || result=1
	[ $((two_tx - one_rx)) -ge 0 ] && [ $((two_tx - one_rx)) -le 32 ] || result=1
	return $result
}

need "the daemon starts" daemon_start
need "up: two vhost-user partitions" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: one
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 0}}]
  - name: two
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 1}}]
END
check "noise on the socket of one, before anybody is there" \
	"$helpers/socket_abuse" garbage "$(socket_of one)" 65536
check "half a message" "$helpers/socket_abuse" half "$(socket_of one)"
check "a connection that says nothing" "$helpers/socket_abuse" mute "$(socket_of one)" 300
check "descriptors without a message" "$helpers/socket_abuse" fds "$(socket_of one)" 5
check "both adjuncts run" [ "$(field '[.adjuncts[].state] | unique | join(" ")')" = running ]

need "two testpmd start" both_start
check "frames bounce between them" bounce
check "every place counted the same frames" counts_agree
say "$(head -n 1 "$work/out")"

noise() {
	local i
	for i in 1 2 3 4 5 6; do "$helpers/socket_abuse" garbage "$(socket_of two)" 8192 || return 1; done
}
received() { figure two RX-packets; }
before=$(received)
check "noise on the socket of two, while testpmd is connected" noise
check "frames still bounce" bounce
check "and arrive" [ "$(received)" -gt "$before" ]

adjuncts=$(field '[.adjuncts[].pid] | join(" ")')
echo quit >"$work/two.in"
check "two leaves" within 10 gone "${pid[two]}"
stop "${pid[one]}" KILL
check "one is killed; both adjuncts run" \
	[ "$(field '[.adjuncts[].state] | unique | join(" ")')" = running ]
check "both come back" both_start
check "to the same adjuncts" [ "$(field '[.adjuncts[].pid] | join(" ")')" = "$adjuncts" ]
check "frames bounce again" bounce
check "and arrive" [ "$(received)" -gt 320 ]

kill -STOP "${pid[one]}"
check "one stands still; two sends" eval 'tell two start tx_first && sleep 0.3 && tell two stop'
kill -CONT "${pid[one]}"
check "one goes on, and frames bounce" bounce
check "down, with both connected" outrigger down
check "nothing is left" nothing_left
finish
