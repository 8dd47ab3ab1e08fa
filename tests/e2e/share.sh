#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A partition's share of processors (`cpus: 50%`): its programs and its adjuncts together
# never have more, whatever they do, and a neighbour does not lose any of its own. Where the
# kernel has the cpu controller in control groups of version 2, as in the rig, that is
# measured, by its own figures and by the processes' clocks; elsewhere (or with v1, as the
# host may have) it is said that the share is not kept. Who is charged is the same
# everywhere. WINDOW_S=2: how long each measurement is.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "only root can make control groups"
window_s=${WINDOW_S:-2}
hierarchy=$work/cgroup
mkdir "$hierarchy"
unshare -m mount -t cgroup2 none "$hierarchy" 2>/dev/null || skip "no control groups of version 2 here"
# shellcheck disable=SC2016 # the inner shell's own
daemon_within=(unshare -m sh -c 'mount -t cgroup2 none "$0" && exec "$@"' "$hierarchy")
export OUTRIGGER_STATE_DIR=$state

in_hierarchy() { nsenter -t "$daemon" -m -- "$@"; }
group=$hierarchy/outrigger/$(tr / - <<<"${state#/}")
members() { in_hierarchy cat "$group/p.$1/$2/cgroup.procs" 2>/dev/null; } # NAME BELOW
is_in() { members "$1" "$2" | grep -qx "$3"; }			   # NAME BELOW PID
kept() { in_hierarchy test -e "$group/p.red/cpu.max"; }
max_is() { # TEXT, of red
	in_hierarchy cat "$group/p.red/cpu.max"
	[ "$(in_hierarchy cat "$group/p.red/cpu.max")" = "$1" ]
}
stat() { in_hierarchy sed -n "s/^$2 //p" "$group/p.$1/cpu.stat"; } # NAME KEY

document() { # RED'S-SHARE-LINE
	local adjunct="kind: native, vf: {adapter: echo0}, adjunct: {image: echo, cpu: donated}"
	cat <<-END
		version: 1
		adapters: [{name: echo0, kind: echo, vfs: 5}]
		partitions:
		  - name: red
		    $1
		    devices:
		      - {name: net0, $adjunct}
		      - {name: net1, $adjunct}
		      - {name: net2, $adjunct}
		      - {name: net3, $adjunct}
		  - name: green
		    devices: [{name: net0, $adjunct}]
	END
}

need "the daemon starts" daemon_start
refused "more processors than there are are refused, with the line and the figures" \
	'document.yaml:5: .*cpus: 100000% is more than the [0-9]+00% that this machine.s [0-9]+ processors are' \
	up < <(document 'cpus: 1000')
refused "so is what is no share" "document.yaml:5: .*cpus: is not a share of processors: write 50% for half" \
	up < <(document 'cpus: half')
need "up: four adjuncts, and less than a third of a processor" up < <(document 'cpus: 30%')

# Both on one processor, of which the neighbour wants all that it can get; we, on another.
pinned=(taskset -c 0)
taskset -cp 1 $$ >"$work/out" || skip "only one processor"

# ---- Who is charged ------------------------------------------------------------------------
spawn "$work/green.log" "${pinned[@]}" "$helpers/greedy" green 1 open:net0
green=$last
check "a neighbour takes what it can" within 20 grep -q 'net0 open' "$work/green.log"
check "it is in its partition's group, as a program" is_in green programs "$green"
check "its adjunct is, as net0's" is_in green adjuncts/net0 "$(pid_of adjunct green.net0)"

if kept; then
	check "the kernel has the share" max_is "30000 100000"
	check "partition show says so" outrigger partition show red
	said "in percent" 'share +30% of a processor$'
else
	check "status says that the share is not kept" outrigger status
	said "and why" '! red: its limit of processors is not kept: the kernel has no controller'
	check "partition show, too" outrigger partition show red
	said "with the figure" 'share +30% of a processor, which the kernel does not keep'
	check "so does the log" log_says "partition red: the kernel does not keep its share of processors: the cpu controller"
fi

# ---- Measured ------------------------------------------------------------------------------
now_us() { awk '{printf "%d\n", $1 * 1000000}' /proc/uptime; }
# By each process' own clock, in us: red's program, and its adjuncts.
clocks_us() {
	local pid
	for pid in "$red" $(for i in 0 1 2 3; do members red "adjuncts/net$i"; done); do
		cat "/proc/$pid"/task/*/schedstat
	done | awk '{sum += $1} END {printf "%d\n", sum / 1000}'
}
# Thousandths of the processor that both had: $red_milli, $green_milli, by red's processes'
# own clocks $clocks_milli.
measure() {
	local begun clock_begun red_us green_us clock_us=0
	# To read the clocks of all takes a while: that is another window.
	clock_begun=$(now_us)
	[ -z "$red" ] || clock_us=$(clocks_us)
	begun=$(now_us) red_us=$(stat red usage_usec) green_us=$(stat green usage_usec)
	sleep "$window_s"
	clock_begun=$(($(now_us) - clock_begun))
	[ -z "$red" ] || clock_us=$(($(clocks_us) - clock_us))
	red_us=$(($(stat red usage_usec) - red_us)) green_us=$(($(stat green usage_usec) - green_us))
	begun=$(($(now_us) - begun))
	red_milli=$((red_us * 1000 / begun)) green_milli=$((green_us * 1000 / begun))
	clocks_milli=$((clock_us * 1000 / clock_begun))
	echo "of 1000: red $red_milli (by its processes' clocks $clocks_milli), green $green_milli"
}
# What others do on the machine that the rig runs on is noise: so often it is looked again.
measured() { # CONDITION: an expression of the three
	for _ in 1 2 3 4 5 6; do
		measure
		(($1)) && { say "$(measure_said)"; return 0; }
	done
	return 1
}
measure_said() { echo "$window_s s: red $red_milli, by clocks $clocks_milli; green $green_milli of 1000"; }

red=''
if kept; then
	check "alone, it has nearly all of the processor" measured "green_milli > 900"
fi
spawn "$work/red.log" "${pinned[@]}" "$helpers/greedy" red 2 net0 net1 net2 net3
red=$last
for i in 0 1 2 3; do
	check "a greedy partition lends adjunct $i what it has" within 20 grep -q "net$i open" "$work/red.log"
done
check "its program is in its group" is_in red programs "$red"
if kept; then
	check "with four adjuncts and two threads it has its 30 %, and no more" \
		measured "red_milli > 250 && red_milli < 315 && clocks_milli < 315"
	check "of the 70 % that are left its neighbour loses nothing beyond 5 %" \
		measured "green_milli * 100 >= 700 * 95"
	check "it was held up for it" test "$(stat red throttled_usec)" -gt 0
	check "the share is changed while it runs" up < <(document 'cpus: 0.2')
	said "that alone" 'red: cpus 30% -> 20%'
	check "the kernel has it" max_is "20000 100000"
	check "and keeps it" measured "red_milli > 150 && red_milli < 215"
	check "the daemon is killed" daemon_stop KILL
	check "a new one takes over" daemon_start
	check "the share is what it was" max_is "20000 100000"
else
	check "the share is changed while it runs" up < <(document 'cpus: 0.2')
	said "that alone" 'red: cpus 30% -> 20%'
fi
check "there is nothing left to do" up < <(document 'cpus: 20%')
said "and it says so" 'nothing to do'
check "the share is taken away" up < <(document 'owner: root')
said "and it says so" 'red: .*cpus 20% -> all'
kept && check "in the kernel, too" max_is "max 100000"
nobody_died() { ! grep -E 'adjunct-died|kept the processor' "$daemon_log"; }
check "nobody had to be replaced" nobody_died

# ---- A program that is started in the partition, and the end -----------------------------------
check "both programs run" alive "$red"
check "still" alive "$green"
stop "$red"
stop "$green"
check "down" outrigger down
no_group() { ! in_hierarchy ls "$group/p.$1"; }
check "no group of a partition is left" within 5 no_group red
check "nor of the other" within 5 no_group green
finish
