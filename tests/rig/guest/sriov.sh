#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon on a real card: an adapter of kind sriov. Functions are made when the document
# comes up, given to partitions as network interfaces of the kernel's driver, set up
# before, taken back clean, and the card is in the end as it was. A card, a function or
# the adapter's process that goes away is told, and comes back.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/../../e2e/rights.inc"
. "$(dirname "$0")/vf.inc"

document() { # VLAN-OF-RED [VFS]: two partitions with a function each
	cat <<END
version: 1
adapters:
  - {name: nic0, kind: sriov, device: $pf, vfs: ${2:-2}}
partitions:
  - name: red
    devices:
      - {name: net0, kind: netdev, address: 10.77.0.1/24, vf: {adapter: nic0, index: 0, vlan: $1}}
  - name: blue
    devices:
      - {name: net0, kind: netdev, address: 10.77.0.2/24, vf: {adapter: nic0, index: 1}}
END
}
ip_shows() { ip link show "$(pf_interface)" | grep -E "vf $1 .*$2"; } # INDEX REGEX
hears() { in_partition "$1" ping -c 1 -W 2 -q "$2"; } # PARTITION ADDRESS
devices_are() { device_is red/net0 "$1" && device_is blue/net0 "$1"; }
adapter_is() { [ "$(field '.adapters[0].state')" = "$1" ]; }
both_talk() { within 60 hears red 10.77.0.2 && hears blue 10.77.0.1; }

modprobe igbvf
need "the physical function is there" [ -d "$pf_path/net" ]
echo 1 >"$pf_path/sriov_drivers_autoprobe"
ip link set "$(pf_interface)" down
need "the daemon starts" daemon_start
need "up: functions are made, and given away" up < <(document 0)
check "there are two" [ "$(vf_count)" = 2 ]
need "its process has documented rights" expect '`outrigger-vf-adapter`'
adapter_is_confined() {
	as_documented "$(pid_of adapter nic0)" '`outrigger-vf-adapter`' &&
		limits_are "$(pid_of adapter nic0)" 128 67108864
}
check "and those it has, with its limits" adapter_is_confined
need "both devices run" devices_are running
check "the card's product is told" field '.adapters[0].model'
said "by its name" '82576'
check "where a function is" outrigger device show red/net0
said "where a function is" "function +$(vf_address 0)"
check "nobody drives it but the partition" outrigger device show red/net0
said "nobody drives it but the partition" 'the partition itself'
check "there is no adjunct" [ "$(field '.adjuncts | length')" = 0 ]
check "set up before its driver saw it" ip_shows 0 "$(field '.partitions[0].devices[0].mac')"
check "its interface is in the partition, with that address" in_partition red ip addr show net0
said "its interface has its address" '10\.77\.0\.1/24'
said "its interface has its MAC" "$(field '.partitions[0].devices[0].mac')"
check "the host has no interface of it" not test -e "$pf_path/virtfn0/net/net0"
check "the adapter holds it" "$bin/outrigger" --state-dir "$state" vf list
said "the adapter holds it" "$(vf_address 0) .*outrigger:nic0"
refused "nobody else gets it" 'held by "outrigger:nic0"' \
	"$bin/outrigger" --state-dir "$state" vf bind "$(vf_address 0)" --owner other
check "names for a shell to complete" outrigger names function
said "names for a shell to complete" "^$(pf_interface)/1\$"
check "partitions talk" both_talk
check "up again" outrigger up -f "$work/document.yaml" --detailed-exitcode

check "the card's interface gets another name" ip link set "$(pf_interface)" name renamed_sriov
check "a VLAN, while it runs" up < <(document 7)
check "the VLAN is there" ip_shows 0 'vlan 7'
check "and they talk no more" within 20 not hears blue 10.77.0.1
check "and back" up < <(document 0)
check "they talk again" both_talk

# The adapter's process is not on the way of frames.
old=$(pid_of adapter nic0)
kill -KILL "$old"
new_process() { [ "$(pid_of adapter nic0)" != "$old" ] && adapter_is running; }
check "its process is killed, and replaced" within 60 new_process
check "its rights are the same" adapter_is_confined
check "the devices run on" devices_are running
check "they still talk" hears red 10.77.0.2
daemon_stop KILL
need "the daemon is killed, and started again" daemon_start
check "it takes the adapter up" within 60 adapter_is running
check "and the devices" within 30 devices_are running
check "they talk after that" hears red 10.77.0.2

# The card goes, with everybody's functions, and comes back.
echo 1 >"$pf_path/remove"
waits() { adapter_is starting && device_is red/net0 starting; }
check "the card is pulled: its devices wait" within 30 waits
check "status says why" outrigger status
said "status says why" "its card $pf is gone"
check "the partition is told" log_says 'red/net0: device-lost: its card'
check "and what becomes of its device" log_says 'red/net0: device-closed'
echo 1 >/sys/bus/pci/rescan
check "the card is back, and its functions" within 90 devices_are running
check "they talk, with new interfaces" both_talk
lost_again() { [ "$(grep -c 'devices wait for it' "$daemon_log")" = 2 ]; }
echo 0 >"$pf_path/sriov_numvfs"
check "somebody takes all functions away" within 30 lost_again
check "they are made again" within 90 devices_are running
check "they talk after that, too" both_talk

check "another number, in use" not up < <(document 0 3)
said "another number, in use" 'nic0: vfs 2 -> 3 needs it restarted, and'
check "down" outrigger down
check "there are none, as before" [ "$(vf_count)" = 0 ]
check "nothing is remembered" [ -z "$(ls "$state/vf")" ]
check "probing is as before" [ "$(cat "$pf_path/sriov_drivers_autoprobe")" = 1 ]

# Functions that were there before stay, and come back as they were.
pf_up && vfs 2 && bind_vf 0 igbvf
echo >"$pf_path/virtfn0/driver_override"
ip link set "$(pf_interface)" vf 0 vlan 33
check "up, on functions that somebody else made" up < <(document 0)
check "the VLAN went" not ip_shows 0 'vlan 33'
check "down again" outrigger down
check "there are two, as before" [ "$(vf_count)" = 2 ]
check "the VLAN is back" ip_shows 0 'vlan 33'
check "the kernel's driver is back" [ "$(vf_driver 0)" = igbvf ]
vfs 0
check "no such card" not up < <(document 0 | sed "s/$pf/0000:7f:00.0/")
said "no such card" 'nic0: .*no function with SR-IOV at this address'
outrigger down >"$work/out" 2>&1
daemon_stop
check "nothing is left running" no_marked
finish
