#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A yield is held at one of its instructions, the program's or the adjunct's (yield/midway.c),
# and there the partition's program, its adjunct or the daemon is killed. Whoever is left goes
# on: each request completes once, and another partition's load notices nothing. What was lent
# adds up afterwards, as the program, its adjuncts and the kernel counted it.
# POINTS=20 instructions of either side for each who is killed: in `make nightly`.
. "$(dirname "$0")/../e2e/lib.sh"

[ "$(id -u)" = 0 ] || skip "only root can stop an adjunct's thread"
points=${POINTS:-20}
export OUTRIGGER_STATE_DIR=$state
# Instructions of a yield, either side; of those until a short quantum is over, and behind.
served=4400 preempted=600
# What the kernel counts and an adjunct does not, at most: its start and its answers to the
# daemon, and what it takes to be switched to and from.
start_ns=60000000 switch_ns=50000

document() {
	cat <<-END
		version: 1
		adapters: [{name: echo0, kind: echo, vfs: 4}]
		partitions:
		  - name: red
		    devices:
		      - {name: net0, kind: native, vf: {adapter: echo0}, adjunct: {image: echo, cpu: donated}}
		      - {name: net1, kind: native, vf: {adapter: echo0},
		         adjunct: {image: echo, cpu: donated, standby: yes}}
		      - {name: net2, kind: native, vf: {adapter: echo0}, adjunct: {image: echo, cpu: donated}}
		  - name: green
		    devices: [{name: net0, kind: native, vf: {adapter: echo0}, adjunct: {image: echo, cpu: donated}}]
	END
}
need "the daemon starts" daemon_start
need "up" up < <(document)
touch "$work/go"
spawn "$work/load.log" taskset -c 1 "$helpers/hearer" green net0 load "$work/go"
load=$last
check "another partition works all the time" within 20 log_says "green/net0: opened by program $load"
bystander=$(pid_of adjunct green.net0)

# ---- Accounts ------------------------------------------------------------------------------
# Of a device, as the daemon knows it: $donated and $charged ns, $yields.
look() { # DEVICE
	read -r donated charged yields < <(outrigger -j top red | jq -r ".stats[] |
		select(.device == \"$1\").usage | \"\(.donated_ns) \(.charged_ns) \(.yields)\"")
}
declare -A lent=() donated_before=() charged_before=()
# What was counted stays counted, and nobody was charged for less than was lent.
adds_up() { # DEVICE
	look "$1"
	echo "$1: lent ${lent[$1]:-?}, donated $donated after ${donated_before[$1]:=0}, charged" \
		"$charged after ${charged_before[$1]:=0}"
	((donated >= donated_before[$1] && charged >= charged_before[$1] && donated <= charged)) || return 1
	[ -z "${lent[$1]:-}" ] || ((donated <= lent[$1])) || return 1
	donated_before[$1]=$donated charged_before[$1]=$charged
}

# ---- One death -----------------------------------------------------------------------------
hold() { # DEVICE SIDE STEP DEED: a yield, at that instruction
	within 10 device_is "red/$1" running || return 1
	adjunct=$(pid_of adjunct "red.$1")
	: >"$work/midway.log" # or that of the death before would be taken for this one's
	exec {to_midway}> >(exec taskset -c 0 "$helpers/midway" red "$1" "$2" "$3" "$4" "$adjunct" >"$work/midway.log")
	midway=$!
	within 20 grep -q '^at' "$work/midway.log" || { show "$work/midway.log"; return 1; }
	program=$(sed -n 's/^at .* program //p' "$work/midway.log")
}
let_go() {
	echo >&"$to_midway"
	exec {to_midway}>&-
	within 30 gone "$midway" || return 1
	cat "$work/midway.log"
}
kill_one() { # WHO DEVICE
	case $1 in
	program) kill -KILL "$program" ;;
	adjunct) kill -KILL "$adjunct" ;;
	daemon) daemon_stop KILL ;;
	esac
}
is_well() { # WHO DEVICE: those who are left are, and whoever has died has a successor
	case $1 in
	program) grep -q '^program killed 9' "$work/midway.log" ;;
	daemon) daemon_start && ended_well && { not_replaced "$2" || was_overdue "$2"; } ;;
	adjunct) within 10 replaced "red.$2" "$adjunct" && ended_well ;;
	esac
}
not_replaced() { [ "$(pid_of adjunct "red.$1")" = "$adjunct" ]; }
# Where the machine has so much else to do that a second was over while it was stepped.
was_overdue() { log_says "$1: its adjunct kept the processor it was lent" && within 10 replaced "red.$1" "$adjunct"; }
ended_well() { grep -q '^completed 4 reset [01]' "$work/midway.log" && grep -q '^program ended 0' "$work/midway.log"; }
die_at() { # WHO DEVICE SIDE STEP DEED
	hold "$2" "$3" "$4" "$5" && kill_one "$1" "$2" && let_go && is_well "$1" "$2" || return 1
	[ "$2" = net0 ] || lent[$2]=$((${lent[$2]:-0} + $(sed -n 's/^lent //p' "$work/midway.log")))
	[ "$1" != program ] || taskset -c 0 "$helpers/yielder" red "$2" sizes || return 1
	adds_up "$2"
	# Service for so long, and the daemon forgets a death.
	[ "$1" != adjunct ] || sleep 0.3
}
deaths() { # WHO DEVICE SIDE
	local i deed last
	for ((i = 0; i < points; i++)); do
		deed=served last=$served
		((i % 2)) && deed=preempted last=$preempted
		die_at "$1" "$2" "$3" $(((2 * i + 1) * last / (2 * points))) $deed || {
			say "killed at $(((2 * i + 1) * last / (2 * points))), $deed"
			return 1
		}
	done
}
for side in program adjunct; do
	check "the program is killed, $points times on the $side's side" deaths program net0 $side
	check "the adjunct is killed, $points times on the $side's side" deaths adjunct net1 $side
	check "the daemon is killed, $points times on the $side's side" deaths daemon net1 $side
done

# Of a partition, by control groups: all, and the parts that it consists of.
partition_agrees() {
	local all programs adjuncts keeper
	all=$(outrigger -j top red)
	[ "$(jq -r '.partitions[].by' <<<"$all")" = groups ] || { echo "no control groups here"; return; }
	keeper=$(awk '{sum += $1} END {print sum}' /proc/"$(pid_of keeper red)"/task/*/schedstat)
	adjuncts=$(jq '[.stats[].usage.charged_ns] | add' <<<"$all")
	programs=$(jq '.partitions[].programs_ns' <<<"$all") all=$(jq '.partitions[].charged_ns' <<<"$all")
	echo "charged $all: programs $programs, adjuncts $adjuncts, keeper $keeper"
	((all >= programs + adjuncts && all - programs - adjuncts <= keeper + start_ns))
}

# ---- Calmly --------------------------------------------------------------------------------
lend() { # DEVICE MS
	taskset -c 0 "$helpers/yielder" red "$1" long "$2" 2000 alone >"$work/lend" || return 1
	lent[$1]=$((${lent[$1]:-0} + $(sed -n 's/.* lent_ns \([0-9]*\) .*/\1/p' "$work/lend")))
}
lends() { lend net2 100 && adds_up net2; }
lent[net2]=0
starts=1
for who in nobody adjunct daemon adjunct; do
	check "after the death of $who: 100 ms are lent" lends
	adjunct=$(pid_of adjunct red.net2)
	case $who in
	adjunct)
		kill -KILL "$adjunct"
		starts=$((starts + 1))
		check "another takes over" within 10 replaced red.net2 "$adjunct" ;;
	daemon)
		check "the daemon dies" daemon_stop KILL
		check "a new one starts" daemon_start ;;
	esac
	check "the account is what it was" adds_up net2
done
kernel_agrees() {
	echo "lent ${lent[net2]}, donated $donated, charged $charged ns, in $yields yields of $starts adjuncts"
	((charged - donated <= starts * start_ns + yields * switch_ns))
}
check "what the kernel has counted is that, and the adjuncts' starts and switches" kernel_agrees
say "$(kernel_agrees)"
check "the partition was charged for its programs, its adjuncts, and little more" partition_agrees
say "$(partition_agrees)"

rm "$work/go"
check "the other partition's load ends" within 60 gone "$load"
check "each frame and each request of it came once, in order" \
	grep -E '^frames [1-9][0-9]{2,} requests [1-9][0-9]{2,} ' "$work/load.log"
check "its adjunct was never replaced" test "$(pid_of adjunct green.net0)" = "$bystander"
check "down" outrigger down
check "nothing is left" nothing_left
finish
