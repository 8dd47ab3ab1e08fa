#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What happens to a card and its functions becomes events of the partitions concerned:
# in the event queue of a program that has a native device on one function, through its
# adjunct, and for everybody in `outrigger events show`. The card is reset and loses its
# link; one function vanishes while its card stays; the whole card is taken out of its slot.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

export OUTRIGGER_STATE_DIR=$state
document() {
	cat <<END
version: 1
adapters: [{name: nic0, kind: sriov, device: $pf, vfs: 2}]
partitions:
  - name: green
    devices: [{name: net0, kind: native, vf: {adapter: nic0, index: 0}}]
  - name: red
    devices: [{name: net0, kind: netdev, vf: {adapter: nic0, index: 1}}]
END
}
watch_log=$work/watch.log
hears() { [ "$(grep -c "^net0: $1\$" "$watch_log")" -ge "${2:-1}" ]; } # EVENT [TIMES]: green's program
happened() { # PARTITION EVENT TIMES
	outrigger -j events show "$1" | jq -e ".partitions[0].events[] | select(.event == \"$2\") | .count >= $3"
}
card_link_is() { [ "$(field '.adapters[0].link')" = "$1" ]; }
both_are() { device_is green/net0 "$1" && device_is red/net0 "$1"; }

# One function that is not there, as far as anybody can see. No other way leads there: Linux
# gives every PCI function a file `remove`, but not a virtual one (it is checked below), and
# makes and unmakes those of a card all at once (sriov_numvfs); the slot has the whole card,
# for the machine outside, too.
none_removed_alone() { [ -e "$pf_path/remove" ] && [ ! -e "$pf_path/virtfn0/remove" ]; }
hide_function() { # INDEX
	local place=/sys/bus/pci/devices
	cp -a $place "$work/functions" && rm "$work/functions/$(vf_address "$1")" &&
		mount --bind "$work/functions" $place
}
show_function() { umount /sys/bus/pci/devices && rm -r "$work/functions"; }

ulimit -l unlimited
modprobe igbvf
need "the physical function is there" [ -d "$pf_path/net" ]
echo 1 >"$pf_path/sriov_drivers_autoprobe"
need "the daemon starts" daemon_start
need "two partitions with a function each" up < <(document)
spawn "$watch_log" "$build/examples/otr-watch" green 250 net0
watch=$last
need "a program waits for green's device" within 20 grep -q '^watching' "$watch_log"

check "the card is reset" ip link set "$(pf_interface)" mtu 1400
check "the program hears of it" within 30 hears device-reset
check "so does who asks later" happened green device-reset 1
ip link set "$(pf_interface)" mtu 1500
check "its link comes back" within 30 link_is_up
check "the card's interface gets another name" ip link set "$(pf_interface)" name renamed_events
ip link set "$(pf_interface)" down
check "the link goes: the program hears of it" within 30 hears link-down
check "so does the partition that drives its function itself" within 30 happened red link-down 1
check "the card has none, as status has it" within 30 card_link_is down
check "and comes" pf_up
check "which the program hears, too" within 30 hears link-up
check "and the other partition" within 30 happened red link-up 1
check "the card has one, under its new name" within 30 card_link_is up
check "both run" within 30 both_are running

address=$(vf_address 0)
check "the kernel removes no function alone" none_removed_alone
need "one function vanishes" hide_function 0
check "the program hears of it" within 30 hears device-lost
check "its device waits" within 30 device_is green/net0 starting
check "status says for what" outrigger status
said "status says for what" "its function $address is gone; it comes back when"
check "the other one runs on" device_is red/net0 running
check "and was not told" not happened red device-lost 1
need "it is there again" show_function
check "the program hears of that" within 30 hears device-back
check "its device runs, with another adjunct" within 60 device_is green/net0 running

need "the card is taken out of its slot" card eject
check "the program hears of it" within 60 hears device-lost 2
check "so does the other partition" within 60 happened red device-lost 1
card_is_gone() { [ ! -e "$pf_path" ]; }
check "the card can go" within 90 card_is_gone
echo 1 >/sys/bus/pci/rescan
check "and is not there to be found" card_is_gone
check "its devices wait" both_are starting
need "it is put back" card plug
check "it is back" within 90 both_are running
check "the program hears of that" within 30 hears device-back 2
check "and the other partition" happened red device-back 1
check "all of it in one place" outrigger events show
show "$work/out"
said "a row for each" '^green/net0 +device-lost +2 .* ago +its card'
said "with what is known" "^red/net0 +device-back +1 "
check "the program was never disconnected" alive "$watch"
stop "$watch" INT
show "$watch_log"
check "down" outrigger down
check "there are no functions, as before" [ "$(vf_count)" = 0 ]
daemon_stop
check "nothing is left running" no_marked
finish
