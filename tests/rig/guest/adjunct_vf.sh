#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two partitions on two virtual functions of the card, each through an adjunct: the
# driver is DPDK's, by VFIO, and the way between them is the card's own switch.
# Traffic goes on while adjuncts die and the physical function goes down and up.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

# document STANDBY-OF-RED
document() {
	cat <<END
version: 1
adapters:
  - {name: vf0, kind: dpdk, device: "$(vf_address 0)"}
  - {name: vf1, kind: dpdk, device: "$(vf_address 1)"}
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, mac: "02:00:00:00:02:00",
         vf: {adapter: vf0}, adjunct: {image: ethdev, standby: $1}}
  - name: blue
    devices:
      - {name: net0, kind: tap, address: 10.77.0.2/24, mac: "02:00:00:00:02:01",
         vf: {adapter: vf1}, adjunct: {image: ethdev}}
END
}
bring_up() { document "$1" | up; }
faults() { dmesg | grep -c 'DMAR:.*fault'; }
adjunct_status() { grep "^$1:" "/proc/$(pid_of adjunct red.net0)/status" | awk '{ print $2 }'; } # NAME
only_its_own() { # what is open below /dev/vfio
	find "/proc/$(pid_of adjunct red.net0)/fd" -lname '/dev/vfio/*' -printf '%l\n' | sort |
		diff - <(printf '/dev/vfio/%s\n' "$(vf_group 0)" vfio)
}

killed() {
	local old
	old=$(pid_of adjunct red.net0)
	kill -KILL "$old" && within 20 replaced red.net0 "$old"
}
standby_waits() { grep -q 'device red/net0: a standby waits' "$daemon_log"; }
no_errors() { ! grep -E '^(red|blue)\.net0: error' "$daemon_log"; }

need "the link is up" pf_up
need "two virtual functions, with vfio-pci" functions_for_dpdk 2
need "the daemon starts" daemon_start
need "two partitions on them" bring_up no
check "ping" pings red 10.77.0.2
check "and back" pings blue 10.77.0.1
check "iperf3 red to blue" iperf red blue 10.77.0.2
say "$(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$work/iperf.json") Mbit/s"
check "iperf3 -u blue to red" iperf blue red 10.77.0.1 -u -b 5M
check "what the function reaches is what was donated, no more can be" \
	[ "$(adjunct_status VmLck)" = $((16 << 10)) ]
check "its adjunct has one group, and one container" only_its_own
check "private memory is less than 24 MiB" [ "$(adjunct_status RssAnon)" -le $((24 << 10)) ]

need "a ping goes on" ping_starts red 10.77.0.2
check "the adjunct is killed: another takes over" killed
check "the ping goes on" goes_on
check "one is replaced on request" outrigger adjunct restart red.net0
show "$work/out"
said "and how long of it the function's reset took" 'reset +[0-9.]+ ms'
said "and when the first frame came" 'first frame [0-9.]+ .?s after that'
check "the ping goes on then, too" goes_on
check "red gets a standby" bring_up yes
check "it waits" within 20 standby_waits
stop "$last" && ping_starts red 10.77.0.2 # the interface is new
check "the adjunct is killed: the standby takes over" killed
check "the ping goes on behind it" goes_on
grep -o 'a new adjunct took over after.*' "$daemon_log" | sed 's/^/# /'

downs=$(events red/net0 link-down) starts=$(begun_anew red/net0)
ip link set "$(pf_interface)" down
check "the physical function goes down: the partition is told" within 20 another_event red/net0 link-down "$downs"
check "and comes up again" pf_up
check "its functions are started anew" within 30 another_start red/net0 "$starts"
check "the ping goes on after that" goes_on
starts=$(begun_anew red/net0)
check "the physical function is reset under traffic" ip link set "$(pf_interface)" mtu 1400
check "its functions are started anew" within 30 another_start red/net0 "$starts"
check "and the ping goes on" goes_on
ip link set "$(pf_interface)" mtu 1500

check "nobody complained" no_errors
check "the IOMMU saw no fault" [ "$(faults)" = 0 ]
stop "$last"
check "down" outrigger down
check "nothing is left" nothing_left
check "the functions are free" bind_vf 0 vfio-pci
check "none is left" vfs 0
finish
