#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Guests: one program with many native devices hears of all of them through one
# eventfd, whatever becomes of adjuncts, adapter, daemon and program.
. "$(dirname "$0")/lib.sh"

examples=$build/examples
export OUTRIGGER_STATE_DIR=$state
devices=8
names=$(seq -f net%g 0 $((devices - 1)) | tr '\n' ' ')

watch_start() { # LOG SECONDS DEVICE...
	local log=$1 seconds=$2
	shift 2
	spawn "$log" "$examples/otr-watch" green "$seconds" "$@"
	watch_pid=$last
	within 10 grep -q '^watching' "$log"
}
watch_end() { # LOG
	kill -INT "$watch_pid"
	within 5 grep -q 'times made anew' "$1"
}
# Broadcasts from red: every device of green gets each.
broadcast() { # COUNT: nobody answers, which makes ping fail
	in_partition red ping -n -q -c "$1" -i 0.05 -W 0.1 -b 10.77.0.255
	[ $? = 1 ]
}
frames_of() { sed -n "s/^$1: \([0-9]*\) frames.*/\1/p" "$2"; }
each_has() { # LOG COUNT: every device at least so many
	local name
	for name in $names; do
		echo "$name: $(frames_of "$name" "$1")"
		[ "$(frames_of "$name" "$1")" -ge "$2" ] || return 1
	done
}
events() { outrigger -j events show green; }
of_green() { events | jq -r ".partitions[0] | $1"; }
is() { # EXPRESSION VALUE
	echo "$1: $(of_green "$1"), $2 wanted"
	[ "$(of_green "$1")" = "$2" ]
}

document() { # STATE of net0's link
	echo 'version: 1'
	echo "adapters: [{name: soft0, kind: embedded, vfs: $((devices + 1))}]"
	echo 'partitions:'
	echo '  - name: red'
	echo '    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}]'
	echo '  - name: green'
	echo '    devices:'
	for name in $names; do
		local state=auto
		[ "$name" != net0 ] || state=$1
		echo "      - {name: $name, kind: native, ring_entries: 64, vf: {adapter: soft0, state: $state}}"
	done
}
link() {
	document "$1" >"$work/document.yaml"
	outrigger up -f "$work/document.yaml"
}

need "the daemon starts" daemon_start
document auto >"$work/document.yaml"
need "up: a partition with $devices native devices" outrigger up -f "$work/document.yaml"
check "no guest yet" is '.guests | length' 0

need "a program watches them all" watch_start "$work/watch.log" 120 $names
check "it is one guest" is '.guests | length' 1
check "with a queue for each device" is '.guests[0].queues | length' $devices
check "frames come to all of them" broadcast 20
check "each device had events forwarded" within 5 is '[.guests[0].queues[] | select(.forwarded > 0)] | length' $devices
check "and none waits" within 5 is '[.guests[0].queues[].depth] | add' 0
check "none was dropped" is '.stale + .invalid + .broken' 0

# ---- As people see it -------------------------------------------------------------------
check "events show" outrigger events show
said "has the partition, and its one guest" '^green +1 +[0-9]'
said "a queue for each device" "^green +$watch_pid +net7 +0 of [0-9]+ .* open$"
check "events show PARTITION" outrigger events show red
check "one that has no guests has no queues" not grep -q net0 "$work/out"
refused "events show of none" "no partition 'nobody'" outrigger events show nobody
refused "events top of none" "no partition 'nobody'" outrigger events top nobody
check "events top" outrigger events top --count 2 --interval 0.1 green
said "has rates" "^green +$watch_pid +net7 +0 of [0-9]+ +0 "
check "events top -j" outrigger -j events top --count 2 --interval 0.1 green
check "a line for each time" [ "$(jq -c '.partitions[0].guests | length' "$work/out" | tr '\n' ' ')" = "1 1 " ]

ticks=$(cpu_ticks "$watch_pid" "$daemon")
sleep 1
check "idle for 1 s: program and daemon take at most 5 ticks" \
	[ $(($(cpu_ticks "$watch_pid" "$daemon") - ticks)) -le 5 ]

# ---- Non-completion events ------------------------------------------------------------
check "a link goes down" link disable
check "the guest hears of it" within 5 grep -q '^net0: link-down$' "$work/watch.log"
check "and up" link auto
check "the guest hears of it" within 5 grep -q '^net0: link-up$' "$work/watch.log"
check "who asks later is told" within 5 is '[.events[] | select(.device == "net0") | .event] | contains(["link-down", "link-up"])' true
check "and that it counts as a device's event" [ "$(of_green .device_events)" -ge 2 ]
check "as a table, too" outrigger events show green
said "as a table, too" '^green/net0 +link-down +[0-9]+ +.* ago'

# ---- Whoever dies -----------------------------------------------------------------------
pid=$(pid_of adjunct green.net3)
kill -KILL "$pid"
check "an adjunct dies: another takes over" within 10 replaced green.net3 "$pid"
before=$(of_green '.guests[0].queues[] | select(.device == "net3") | .forwarded')
check "frames come" broadcast 5
forwarded_more() { [ "$(of_green '.guests[0].queues[] | select(.device == "net3") | .forwarded')" -gt "$before" ]; }
check "and events of that device, too" within 5 forwarded_more
check "the daemon dies" daemon_stop KILL
check "the daemon comes back" daemon_start
check "so does the guest" within 10 is '.guests[0].queues | length' $devices
check "frames come to all of them" broadcast 20
check "as events again" within 5 is '[.guests[0].queues[] | select(.forwarded > 0)] | length' $devices
check "the program ends" watch_end "$work/watch.log"
check "every device had its frames" each_has "$work/watch.log" 45
said_anew() { grep -q ' 1 times made anew' "$work/watch.log"; }
check "the guest was made anew once" said_anew
check "its guest is gone" within 5 is '.guests | length' 0

# ---- Two guests, and one that is killed ---------------------------------------------------
fds=$(ls "/proc/$daemon/fd" | wc -l)
maps=$(wc -l <"/proc/$daemon/maps")
need "a program with half of them" watch_start "$work/a.log" 60 net0 net1 net2 net3
first=$watch_pid
need "another with the rest" watch_start "$work/b.log" 60 net4 net5 net6 net7
check "two guests" is '.guests | length' 2
kill -KILL "$first"
check "the first is killed" within 5 is '.guests | length' 1
check "the other gets its frames" broadcast 10
check "and ends" watch_end "$work/b.log"
check "its last device had them" [ "$(frames_of net7 "$work/b.log")" -ge 10 ]
as_before() {
	local now_fds now_maps
	now_fds=$(ls "/proc/$daemon/fd" | wc -l)
	now_maps=$(wc -l <"/proc/$daemon/maps")
	echo "descriptors $fds, now $now_fds; mappings $maps, now $now_maps"
	# The allocator may have taken a mapping or two of its own.
	[ "$now_fds" = "$fds" ] && [ "$now_maps" -le $((maps + 2)) ]
}
check "the daemon holds nothing of them" within 5 as_before

need "a program with two devices, of which one is taken away" watch_start "$work/c.log" 60 net0 net1
sed -i "/name: net1,/d" "$work/document.yaml"
check "taken away" outrigger up --prune -f "$work/document.yaml"
check "the guest hears of it" within 5 grep -q '^net1: ' "$work/c.log"
check "and goes on with the other" watch_end "$work/c.log"
check "down" outrigger down
finish
