#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two programs linked with liboutrigger, in two partitions, each on a native ring whose
# adjunct drives a virtual function of the card. One sends frames that count up, the other
# one sends them back; adjuncts on both sides die meanwhile. What comes back is looked at
# by tests/e2e/numbered.c: never twice, never something else, and what is lost is counted.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

KILLS=${NATIVE_VF_KILLS:-4} # more for a longer run
# What a death may take: what numbered.c lets be under way, and a burst for each second
# that it then lasts until frames come again.
LOST_MAX=256

document() {
	local i=0 name
	printf 'version: 1\nadapters:\n'
	for i in 0 1; do printf '  - {name: vf%d, kind: dpdk, device: "%s"}\n' $i "$(vf_address $i)"; done
	printf 'partitions:\n'
	i=0
	for name in red blue; do
		printf '  - name: %s\n    devices: [{name: net0, kind: native, mac: "02:00:00:00:02:0%d",' $name $i
		printf ' vf: {adapter: vf%d}, adjunct: {image: ethdev}}]\n' $i
		i=$((i + 1))
	done
}
bring_up() { document | up; }
numbered() { exec env OUTRIGGER_STATE_DIR="$state" "$helpers/numbered" "$@"; }
program='' to='' from='' received=0 lost=0
programs_start() {
	spawn "$work/back.log" numbered blue net0 back
	within 20 log_says 'blue/net0: opened by program' || return 1
	mkfifo "$work/questions" "$work/answers"
	numbered red net0 02:00:00:00:02:01 <"$work/questions" >"$work/answers" 2>"$work/numbered.log" &
	program=$!
	spawned+=("$program")
	exec {to}>"$work/questions" {from}<"$work/answers"
	frames_come
}
frames_come() {
	echo >&"$to" && read -r -t 60 received lost <&"$from" && return
	cat "$work/numbered.log" "$work/back.log"
	return 1
}
program_ends() { # with status 0: nothing came twice
	exec {to}>&-
	wait "$program"
	local status=$?
	exec {from}<&-
	cat "$work/numbered.log"
	return $status
}
kill_adjunct() { # PARTITION
	local pid
	pid=$(pid_of adjunct "$1.net0")
	kill -KILL "$pid" && within 20 replaced "$1.net0" "$pid" && frames_come
}
both_die_by_turns() { # TIMES
	local i
	for ((i = 0; i < $1; i++)); do
		kill_adjunct red || return 1
		kill_adjunct blue || return 1
	done
}
few_are_lost() { [ "$lost" -le $((LOST_MAX * $1)) ]; } # DEATHS
faults() { dmesg | grep -c 'DMAR:.*fault'; }

need "the link is up" pf_up
need "two virtual functions, with vfio-pci" functions_for_dpdk 2
need "the daemon starts" daemon_start
need "two native partitions on them" bring_up
need "frames go from program to program and come back" programs_start
check "not one is lost" [ "$lost" = 0 ]
check "an adjunct restarted on request" outrigger adjunct restart red.net0
check "the same programs go on" frames_come
before=$received
check "adjuncts of both die $KILLS times" both_die_by_turns "$KILLS"
check "frames came between" [ "$received" -gt "$before" ]
check "a death takes no more than what was under way" few_are_lost $((2 * KILLS + 1))
say "$received frames came back, $lost were lost in $((2 * KILLS)) deaths and a restart"
check "nothing came twice" program_ends
check "nobody had to leave" alive "$last"
check "the IOMMU saw no fault" [ "$(faults)" = 0 ]
check "down" outrigger down
check "the program that sent back ends" within 10 gone "$last"
check "nothing is left" nothing_left
check "none is left" vfs 0
finish
