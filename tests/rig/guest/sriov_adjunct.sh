#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The shipped example of the embedded adapter, with the adapter's lines changed and no
# other: the same partitions on functions of a real card, through the same adjuncts. An
# adjunct dies, the card is pulled under both, and the example goes as it came.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

document() { sed "s/kind: embedded .*/kind: sriov\n    device: $pf/" hv-shim/examples/embedded.yaml; }
adapter_only() { # the two documents differ in nothing else
	diff hv-shim/examples/embedded.yaml <(document) >"$work/diff"
	cat "$work/diff"
	[ "$(grep -c '^[<>]' "$work/diff")" = 3 ]
}
devices_are() { device_is red/net0 "$1" && device_is blue/net0 "$1"; }
both_talk() { within 60 pings red 10.77.0.2 && pings blue 10.77.0.1; }
standbys_wait() { [ "$(grep -c 'a standby waits' "$daemon_log")" -ge "$1" ]; } # COUNT
faults() { dmesg | grep -c 'DMAR:.*fault'; }

ulimit -l unlimited
need "the physical function is there" [ -d "$pf_path/net" ]
check "one document for both" adapter_only
need "the daemon starts" daemon_start
document >"$work/document.yaml"
need "up" outrigger up -f "$work/document.yaml"
check "vfio-pci has both" [ "$(vf_driver 0) $(vf_driver 1)" = "vfio-pci vfio-pci" ]
check "what an adjunct drives" outrigger adjunct show red.net0
said "what an adjunct drives" "soft0 function 0, $(vf_address 0)"
check "partitions talk" both_talk
check "up again" outrigger up -f "$work/document.yaml" --detailed-exitcode
check "standbys wait" within 60 standbys_wait 2
old=$(pid_of adjunct red.net0)
kill -KILL "$old"
check "an adjunct dies, another takes over" within 60 replaced red.net0 "$old"
check "they talk after that" both_talk
daemon_stop KILL
need "the daemon is killed, and started again" daemon_start
check "it takes them up" within 60 devices_are running
check "and they talk" both_talk

# The card is pulled. VFIO lets go of a function when its adjunct does.
spawn "$work/remove" sh -c "echo 1 >$pf_path/remove"
waits() { device_is red/net0 starting && device_is blue/net0 starting; }
check "the card is pulled: its devices wait" within 60 waits
check "the partition is told" log_says 'red/net0: device-reset'
card_is_gone() { [ ! -e "$pf_path" ]; }
check "and the card can go" within 90 card_is_gone
check "the interface stays" in_partition red ip link show net0
echo 1 >/sys/bus/pci/rescan
check "the card is back, and its functions" within 90 devices_are running
check "they talk, by the interfaces that they had" both_talk
check "the IOMMU saw no fault" [ "$(faults)" = 0 ]
check "down" outrigger down
check "there are no functions, as before" [ "$(vf_count)" = 0 ]
check "nothing is remembered" [ -z "$(ls "$state/vf")" ]
daemon_stop
check "nothing is left running" no_marked
finish
