#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a partition may do to its own interface, and send: frames of every length
# and shape, other senders' addresses, tags, storms, an MTU that nobody gave it,
# an interface set down and deleted. It harms its own device at most: nothing
# dies, every frame is counted as sent or as dropped, and the neighbours go on.
. "$(dirname "$0")/lib.sh"

document() {
	cat <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, address: [10.77.0.1/24, "fd77::1/64"], vf: {adapter: soft0, index: 0}}]
  - name: blue
    devices: [{name: net0, kind: tap, address: [10.77.0.2/24, "fd77::2/64"], vf: {adapter: soft0, index: 1}}]
  - name: green
    devices: [{name: net0, kind: tap, address: [10.77.0.3/24, "fd77::3/64"], vf: {adapter: soft0, index: 2}}]
END
}
everyone() { field '[.adapters[].pid, .adjuncts[].pid, .partitions[].keeper_pid] | join(" ")'; }
neighbours() { pings blue 10.77.0.3 && pings green 10.77.0.2; }
# Frames from red that the adjunct took or dropped, or that the kernel dropped because
# the interface's queue was full.
offered() {
	local by_adjunct by_kernel
	by_adjunct=$(outrigger -j device stats red/net0 |
		jq '.stats[0].counters | .tx_frames + .tx_dropped') &&
		by_kernel=$(in_partition red ip -s -j link show dev net0 | jq '.[0].stats64.tx.dropped') &&
		echo $((by_adjunct + by_kernel))
}
seen_all() { [ "$(offered)" -ge "$1" ] || { echo "$(offered) of $1"; return 1; }; }
# storm NAME KIND COUNT [BYTES]: sent from red; each frame the kernel took is seen.
storm() {
	local name=$1 before taken
	shift
	before=$(offered)
	check "$name" in_partition red "$helpers/raw_frames" net0 "$@" || return
	taken=$(awk '{ print $1 }' "$work/out")
	check "$name: each of the $taken is sent or dropped, and counted" \
		within 5 seen_all $((before + taken))
}

need "the daemon starts" daemon_start
need "up" up < <(document)
before=$(everyone)
check "ping" pings red 10.77.0.2
check "IPv6 ping" within 5 pings red fd77::2
check "ping in fragments" pings red 10.77.0.2 -s 65000
check "IPv6 ping in fragments" pings red fd77::2 -s 60000
check "ping to everybody" in_partition red ping -n -q -b -c 3 -i 0.2 -W 1 10.77.0.2

# ---- Frames ----------------------------------------------------------------------------
storm "random bytes of any length" random 3000 1514
storm "a header and nothing else" header 500
storm "the shortest frame" broadcast 500 14
storm "a byte more" broadcast 500 15
storm "the greatest frame" broadcast 500 1514
storm "a storm to everybody" broadcast 20000 60
# Of all that red's function sent since the beginning the most went to everybody.
reached() {
	local sent got
	sent=$(vf_counter red/net0 tx_frames)
	got=$(($(vf_counter "$1" rx_frames) + $(vf_counter "$1" rx_missed)))
	echo "sent $sent, at $1 $got"
	[ $((got * 2)) -gt "$sent" ]
}
check "blue got it, or its function counts what it missed" reached blue/net0
check "green did, too" reached green/net0
spoofed=$(vf_counter red/net0 tx_spoof_dropped)
storm "from another sender" spoofed 500 100
check "the adapter's spoof check takes them out" \
	within 5 eval '[ "$(vf_counter red/net0 tx_spoof_dropped)" -ge $((spoofed + 100)) ]'
storm "with any VLAN tag" tagged 2000 100
storm "with tags from end to end" nested 500 1400
check "all processes are the same" [ "$before" = "$(everyone)" ]
check "red answers" pings red 10.77.0.2
check "the neighbours talk" neighbours

# ---- An MTU that nobody gave it ------------------------------------------------------------
dropped=$(counter red/net0 tx_dropped)
check "red sets its own MTU to 65000" in_partition red ip link set net0 mtu 65000
storm "frames far beyond the MTU" jumbo 300 60000
storm "frames one byte beyond it" jumbo 300 1519
storm "of any length up to the whole buffer" random 1000 64000
check "the adjunct drops and counts them" [ "$(counter red/net0 tx_dropped)" -ge $((dropped + 200)) ]
check "ping beyond the MTU gets no answer" not pings red 10.77.0.2 -s 4000 -M do -c 1 -W 1
check "ping within it does" pings red 10.77.0.2
check "red sets it back" in_partition red ip link set net0 mtu 1500

# ---- Its interface ------------------------------------------------------------------------------
check "red sets its interface down" in_partition red ip link set net0 down
check "its adjunct stays" device_is red/net0 running
check "the neighbours talk" neighbours
check "up again" in_partition red ip link set net0 up
check "with its address" in_partition red ip address replace 10.77.0.1/24 dev net0
check "ping" within 5 pings red 10.77.0.2
check "red takes blue's MAC address" in_partition red ip link set net0 address "$(
	outrigger -j device show blue/net0 | jq -r .device.mac)"
check "and gets no answer" not pings red 10.77.0.3 -c 1 -W 1
check "blue is not concerned" pings green 10.77.0.2
check "red takes its own again" in_partition red ip link set net0 address "$(
	outrigger -j device show red/net0 | jq -r .device.mac)"
check "ping" within 5 pings red 10.77.0.2
check "all processes are the same" [ "$before" = "$(everyone)" ]

check "red deletes its interface" in_partition red ip link delete net0
check "the device fails, and says why" within 10 device_is red/net0 failed
check "the message" outrigger device show red/net0
said "names the interface" "its interface net0 is gone"
check "nobody uses CPU time over that" eval \
	't=$(cpu_ticks $(marked)); sleep 1; [ $(($(cpu_ticks $(marked)) - t)) -le 5 ]'
check "the neighbours talk" neighbours
check "up repairs it" up < <(document)
check "ping" within 5 pings red 10.77.0.2
check "down" outrigger down
check "nothing is left" nothing_left
finish
