#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A neighbour that does its worst, in its own partition: floods its device, writes
# anything into its rings, opens and leaves it thousands of times, asks its socket without
# end, and all of it at once. The victims are two partitions that exchange numbered
# frames (neighbour/victim.c): not one is lost, altered or repeated, the canary pages
# stay as they were, and every process of the system has as many descriptors,
# mappings and as much memory afterwards as before. How much of its rate a victim
# loses is measured by `make bench ROWS=neighbour_victim_rate`.
#
#   ATTACHES=2000   times that the neighbour opens its device
#
# The path between the victims is lossless as long as nobody else's frames go to
# them: never more are under way than each ring on it holds. A flood that is sent to
# a victim may push its frames out of its function's ring, as on any adapter; then
# every frame that is missing must be counted there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/victim.inc"

attaches=${ATTACHES:-2000}
# shellcheck disable=SC2034 # victim.inc
rate=5000 # frames a second: little enough for a busy machine
memory_kb=64 # a process may grow by: less than 33 bytes for each attach, or 7 for each of 10,000

socket_of() { echo "$state/partition/$1.sock"; }
mac_of() { outrigger -j device show "$1/net0" | jq -r .device.mac; }
hostile() { # DEED DEVICE NUMBER [MAC]
	timeout 120 "$helpers/neighbour" "$1" "$(socket_of evil)" "$2" "$3" "${@:4}"
}
# deed NAME DEED DEVICE NUMBER [MAC]: while the victims exchange frames.
deed() {
	local name=$1
	shift
	check "$name: the victims exchange frames" victim_start || return
	check "$name" hostile "$@" && say "$(tail -n 1 "$work/out")"
	check "$name: the victims end" victim_stop
	check "$name: not one frame lost, altered or repeated, every canary lives" \
		unharmed lost altered repeated canaries_lost && say "$(tail -n 1 "$work/out")"
}
all_at_once() { # ATTACHES
	local pid
	local -a pids=()
	spawn "$work/flood.log" "$helpers/neighbour" flood "$(socket_of evil)" net0 3 02:00:00:00:66:66
	pids+=("$last")
	spawn "$work/garbage.log" "$helpers/neighbour" garbage "$(socket_of evil)" net1 3
	pids+=("$last")
	spawn "$work/calls.log" "$helpers/neighbour" calls "$(socket_of evil)" net0 3
	pids+=("$last")
	hostile attach net2 "$1" || return 1
	for pid in "${pids[@]}"; do within 20 gone "$pid" || return 1; done
	for log in flood garbage calls; do
		grep "^$log: [1-9]" "$work/$log.log" || { cat "$work/$log.log"; return 1; }
	done
}

# ---- What a process holds ---------------------------------------------------------------
processes() { # "NAME PID" of each that must not change
	field '(.adapters[] | "adapter:\(.name) \(.pid)"),
		(.partitions[] | "keeper:\(.name) \(.keeper_pid)"),
		(.adjuncts[] | "adjunct:\(.name) \(.pid)")'
	echo "daemon $daemon"
}
holdings() { # "NAME PID descriptors mappings KiB": memory that is nobody else's
	local name pid
	while read -r name pid; do
		echo "$name $pid $(find "/proc/$pid/fd" -mindepth 1 | wc -l) $(wc -l <"/proc/$pid/maps")" \
			"$(awk '/^RssAnon:/ { print $2 }' "/proc/$pid/status")"
	done < <(processes)
}
as_before() {
	holdings >"$work/holdings.now"
	paste -d' ' "$work/holdings" "$work/holdings.now"
	paste -d' ' "$work/holdings" "$work/holdings.now" | awk -v kb=$memory_kb '
		NF != 10 || $1 != $6 || $2 != $7 || $3 != $8 || $4 != $9 || $10 > $5 + kb { bad = 1; print "differs: " $0 }
		END { exit bad || !NR }'
}

document() {
	cat <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 5}]
partitions:
  - name: red
    regions: [{name: canary, size: 2M}]
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 0}}]
  - name: blue
    regions: [{name: canary, size: 2M}]
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 1}}]
  - name: evil
    devices:
      - {name: net0, kind: native, vf: {adapter: soft0, index: 2}}
      - {name: net1, kind: native, vf: {adapter: soft0, index: 3}}
      - {name: net2, kind: native, vf: {adapter: soft0, index: 4}}
END
}
# The daemon's place for its last lines: touched from end to end, it does not grow.
log_is_full() { [ "$(outrigger log -n 1000 | wc -l)" -ge 1000 ]; }
log_fill() {
	local i
	for ((i = 0; i < 40; i++)); do
		! log_is_full || return 0
		up < <(document) && outrigger down || return 1
	done
	return 1
}

need "the daemon starts" daemon_start
need "its log is full of other lines" log_fill
need "up: two victims and a neighbour" up < <(document)
# Once through everything: what is allocated at first use is there from then on.
check "a first round" victim_start
check "of everything at once" all_at_once 600
check "and of calls alone" hostile calls net0 2
check "alone in the end" victim_stop
# But for what of its memory is resident.
held() { holdings | cut -d' ' -f1-4; }
check "the daemon has noticed that the last of them have left" settles held
holdings >"$work/holdings"
show "$work/holdings"

deed "alone" calls net0 1
deed "floods its device with frames to nobody" flood net0 2 02:00:00:00:66:66
deed "writes anything anywhere in its rings" garbage net1 3
deed "comes and goes $attaches times" attach net2 "$attaches"
deed "asks its partition's socket without end" calls net0 3
check "all at once: the victims exchange frames" victim_start
check "all at once" all_at_once 200
check "all at once: the victims end" victim_stop
check "all at once: not one frame lost, altered or repeated, every canary lives" \
	unharmed lost altered repeated canaries_lost
say "$(tail -n 1 "$work/out")"

# ---- A flood that goes to a victim ---------------------------------------------------------
missed() { echo $(($(vf_counter blue/net0 rx_missed) + $(counter blue/net0 rx_dropped))); }
nothing_uncounted() {
	echo "$(of_victim lost) lost, $(($(missed) - before)) counted"
	[ "$(of_victim lost)" -le $(($(missed) - before)) ]
}
before=$(missed)
check "a flood to blue: the victims exchange frames" victim_start
check "a flood to blue" hostile flood net0 2 "$(mac_of blue)"
check "a flood to blue: the victims end" victim_stop
check "none is altered or repeated, every canary lives" unharmed altered repeated canaries_lost
say "$(tail -n 1 "$work/out")"
check "the flood was there" [ "$(of_victim foreign)" -gt 0 ]
check "each frame that is missing was counted" nothing_uncounted

# ---- Afterwards -------------------------------------------------------------------------------
check "the same processes, with the same descriptors, mappings and memory" within 10 as_before
show "$work/within"
check "its lines were cut short, and the log says so" log_says 'partition/evil.sock: [0-9]+ more lines'
check "nobody died" not log_says 'adjunct-died'
check "down" outrigger down
check "nothing is left" nothing_left
finish
