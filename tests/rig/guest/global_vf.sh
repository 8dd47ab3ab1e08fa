#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A global adjunct that drives a virtual function of the card: its clients exchange frames
# with a partition on another function, by the card's own switch, and with each other, each
# under an address of its own; their adjunct dies under that traffic, and so does one of them.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

export OUTRIGGER_STATE_DIR=$state
document() {
	cat <<END
version: 1
adapters: [{name: nic0, kind: sriov, device: $pf, vfs: 2}]
partitions:
  - name: white
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: nic0, index: 1}}]
  - name: red
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: blue
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: vios
    regions: [{name: pool, size: 32M}]
    devices:
      - name: uplink
        kind: native
        vf: {adapter: nic0, index: 0}
        adjunct: {scope: global, donate: pool}
END
}
mac_of() { outrigger -j device show "$1" | jq -r .device.mac; }
echo_start() { # PARTITION ADDRESS
	spawn "$work/echo-$1.log" "$build/examples/otr-echo" "$1" net0 "$2"
	within 10 grep -q answering "$work/echo-$1.log"
}
both_addresses() { in_partition white ip neigh | grep -c -e "$(mac_of red/net0)" -e "$(mac_of blue/net0)"; }
killed() {
	local old
	old=$(pid_of adjunct vios.uplink)
	kill -KILL "$old" && within 20 replaced vios.uplink "$old"
}
no_errors() { ! grep -E '^vios\.uplink: error' "$daemon_log"; }

need "the link is up" pf_up
need "the daemon starts" daemon_start
need "up: a service partition with a function, two that share it, one with another" up < <(document)
need "red opens its device" echo_start red 10.77.0.3
red_echo=$last
need "blue opens its own" echo_start blue 10.77.0.4
check "white pings red, by the card's switch" pings white 10.77.0.3
check "and blue" pings white 10.77.0.4
check "with frames of the greatest size" pings white 10.77.0.4 -s 1472 -M do
check "under two addresses" [ "$(both_addresses)" = 2 ]

need "a ping to blue goes on" ping_starts white 10.77.0.4
check "their adjunct is killed: another takes over" killed
check "the ping goes on" goes_on
check "red answers, too" within 5 pings white 10.77.0.3
check "the adjunct is restarted on request" outrigger adjunct restart vios.uplink
check "the ping goes on" goes_on
stop "$red_echo" KILL
check "red's program is killed: nobody answers for it" not pings white 10.77.0.3
check "the ping to blue goes on" goes_on
need "red opens its device again" echo_start red 10.77.0.3
check "white pings red" pings white 10.77.0.3

starts=$(begun_anew vios/uplink)
check "the physical function is reset under traffic" ip link set "$(pf_interface)" mtu 1400
check "the function is started anew" within 30 another_start vios/uplink "$starts"
check "the ping goes on" goes_on
check "red is reached, too" within 10 pings white 10.77.0.3
starts=$(begun_anew vios/uplink)
check "and back" ip link set "$(pf_interface)" mtu 1500
check "which is another reset" within 30 another_start vios/uplink "$starts"
check "the ping goes on" goes_on

check "blue is destroyed" outrigger partition destroy blue
check "white pings red" pings white 10.77.0.3
check "nobody complained" no_errors
check "down" outrigger down
check "nothing is left" nothing_left
finish
