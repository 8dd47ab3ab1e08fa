#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A guest that cuts its own memory short under its adjunct (THREATS.md T05): a
# vhost-user guest's memory is its own file, which it may truncate at any time, and
# whoever then touches a mapping of it gets SIGBUS. That ends the guest's adjunct and
# nothing else: the log says by what, another adjunct takes over, is not shown the
# memory that has gone, and serves the next guest. Two testpmd with DPDK's virtio-user
# are the guests; one is stopped first, or the SIGBUS would be its own.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/testpmd.inc"

received() { counter one/net0 rx_frames; }
arriving() {
	local before
	before=$(received) && sleep 0.2 && [ "$(received)" -gt "$before" ]
}
# shrink NAME BYTES: as the guest itself would, by its descriptor of it.
shrink() {
	local fd
	fd=$(find "/proc/${pid[$1]}/fd" -lname '/memfd:nohuge*' | head -n 1)
	[ -n "$fd" ] || { echo "no memory found"; ls -l "/proc/${pid[$1]}/fd"; return 1; }
	truncate -s "$2" "$fd"
}
serving() { # PARTITION: its device runs, and stays the same
	device_is "$1/net0" running
}
others_work() { pings red 10.77.0.2; }

need "the daemon starts" daemon_start
need "up: two vhost-user partitions and two with a TAP" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 4}]
partitions:
  - name: one
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 0}}]
  - name: two
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 1}}]
  - name: red
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 2}}]
  - name: blue
    devices: [{name: net0, kind: tap, address: 10.77.0.2/24, vf: {adapter: soft0, index: 3}}]
END
everyone_else() { field '[.adapters[].pid, .partitions[].keeper_pid,
	(.adjuncts[] | select(.name != "one.net0") | .pid)] | join(" ")'; }
others=$(everyone_else) shim=$daemon
need "a guest that sends" testpmd_start two txonly one

for bytes in 0 4096; do
	need "a guest that receives" testpmd_start one rxonly two
	tell one start
	tell two start
	check "frames arrive" within 5 arriving
	tell two stop
	before=$(pid_of adjunct one.net0)
	kill -STOP "${pid[one]}"
	: >"$daemon_log"
	check "it cuts its memory to $bytes bytes" shrink one $bytes
	tell two start
	check "its adjunct is ended, and another takes over" within 10 replaced one.net0 "$before"
	tell two stop
	check "the log says by what" log_says 'one/net0: adjunct-died: .*signal 7'
	check "the guest is let go, with the reason" within 5 log_says "one.net0: its guest is disconnected"
	check "nobody else has ended" [ "$(everyone_else)" = "$others" ]
	check "the others' frames pass" others_work
	stop "${pid[one]}" KILL
	check "the new adjunct stays" within 5 serving one
done
need "another guest" testpmd_start one rxonly two
tell one start
tell two start
check "gets its frames" within 5 arriving
check "nobody else has ended" [ "$(everyone_else)" = "$others" ]
check "nor has the shim" [ "$daemon" = "$shim" ] && alive "$daemon"
check "down" outrigger down
check "nothing is left" nothing_left
finish
