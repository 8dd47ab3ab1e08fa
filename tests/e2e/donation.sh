#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Donated memory: a partition's region goes to an adjunct, the partition's own
# mapping of it raises SIGBUS from then on, and it comes back zeroed. What cannot
# be donated is refused, and nothing is lost on the way.
. "$(dirname "$0")/lib.sh"

document() { # DEVICES
	cat >"$work/document.yaml" <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 4}]
		partitions:
		  - name: green
		    regions: [{name: heap, size: 16M}, {name: small, size: 2M}]
		    devices: [$1]
	END
}
applied() { document "$1" && outrigger up --prune -f "$work/document.yaml"; }
heap='{name: net0, kind: native, vf: {adapter: soft0}, adjunct: {donate: heap}}'
tells() { grep -qxE "$1" "$work/keeper.log"; }
times() { [ "$(grep -cxE "$1" "$work/keeper.log")" = "$2" ]; }

need "the daemon starts" daemon_start
need "a partition with two regions and no device" applied ''
spawn "$work/keeper.log" "$build/tests/e2e/region_keeper" "$state/partition/green.sock" heap
keeper=$last
check "its program maps a region, zeroed" within 5 tells 'mapped 16777216 bytes, zeroed'
sleep 0.5
check "and it holds what was written" not tells 'SIGBUS|CHANGED'

check "a device whose adjunct is made of the region" applied "$heap"
check "the log names the steps" log_says 'revoke the donated region \(750\)'
check "the partition's mapping raises SIGBUS" within 5 tells SIGBUS
check "nothing of the adjunct's shows through it" not tells CHANGED
check "the adjunct has the region's size" [ "$(field '.adjuncts[0].memory_bytes')" = 16777216 ]
check "and serves" device_is green/net0 running
sleep 0.5
check "it cannot be mapped while it is donated" times 'mapped.*' 1

pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "the adjunct dies: another takes over" within 5 replaced green.net0 "$pid"
check "the region stays donated" times 'mapped.*' 1
check "the daemon dies" daemon_stop KILL
sleep 0.3 # the program asks ten times a second: it finds nobody
check "and comes back" daemon_start
check "the device runs" within 5 device_is green/net0 running
check "the region stays donated" times 'mapped.*' 1
check "there is nothing to do" outrigger up -f "$work/document.yaml"
said "and it says so" "nothing to do"

check "a second device cannot have it" not applied "$heap, {name: net1, kind: native, \
vf: {adapter: soft0}, adjunct: {donate: heap}}"
said "with the reason" "net0 and net1 both donate 'heap'"
check "nor what is not there" not applied '{name: net1, kind: native, vf: {adapter: soft0},
 adjunct: {donate: nothing}}'
said "with the reason" "'nothing', which is no region of this partition"
check "nor what is too small" not applied "$heap, {name: net1, kind: native, \
vf: {adapter: soft0}, adjunct: {donate: small}}"
said "with the reason" "needs at least"
check "nor another size than it has" not applied '{name: net0, kind: native,
 vf: {adapter: soft0}, adjunct: {donate: heap, memory: 32M}}'
said "with the reason" "asks for another size"
check "the device runs all the while" device_is green/net0 running

check "the device is taken away" applied ''
check "the region comes back, zeroed" within 5 times 'mapped 16777216 bytes, zeroed' 2
check "it can be donated again" applied "$heap"
check "SIGBUS again" within 5 times SIGBUS 2

# ---- A guest's device -----------------------------------------------------------------
check "it goes" applied ''
check "the region is back" within 5 times 'mapped 16777216 bytes, zeroed' 3
check "a vhost-user device is made of it" applied \
	'{name: guest0, kind: vhost-user, vf: {adapter: soft0}, adjunct: {donate: heap}}'
check "SIGBUS for the partition's program" within 5 times SIGBUS 3
check "the device waits for its guest" [ -S "$(outrigger -j device show green/guest0 | jq -r .device.path)" ]
pid=$(pid_of adjunct green.guest0)
kill -KILL "$pid"
check "its adjunct dies: another takes over" within 5 replaced green.guest0 "$pid"
check "the region stays donated" times 'mapped.*' 3
stop "$keeper"
check "its program said nothing else" not tells '.*NOT ZEROED|CHANGED'
# Another program asks for the region, and is told.
finds() { # LINE
	timeout 10 "$build/tests/e2e/region_keeper" "$state/partition/green.sock" heap once >"$work/found"
	cat "$work/found"
	grep -qx "$1" "$work/found"
}
mapped='mapped 16777216 bytes, zeroed'
pid=$(pid_of keeper green)
kill -KILL "$pid"
check "the keeper dies: the device is made anew" within 10 eval \
	'device_is green/guest0 running && [ "$(pid_of keeper green)" != "$pid" ]'
check "of the region that came with the new keeper" [ "$(field '.adjuncts[0].memory_bytes')" = 16777216 ]
check "which the partition does not have" finds busy
check "it goes" applied ''
check "the region is back" within 5 finds "$mapped"
check "it can be donated again" applied "$heap"
check "and is gone" finds busy

# ---- An adjunct that never comes: everything is given back ---------------------------
check "taken away once more" applied ''
mkdir -p "$work/libexec/images"
cp "$build"/libexec/outrigger/outrigger-* "$work/libexec/"
cp "$build"/libexec/outrigger/images/* "$work/libexec/images/"
printf '#!/bin/sh\nexit 3\n' >"$work/libexec/outrigger-adjunct-ethdev"
check "the daemon ends" daemon_stop TERM
check "and starts with an image that dies" daemon_start --libexec "$work/libexec"
check "the device fails" not applied "$heap"
check "its region can be mapped: it was given back" within 5 finds "$mapped"
check "down" outrigger down
finish
