# SPDX-License-Identifier: BSD-2-Clause
#
# What every row of the benchmark shares: processes that are always cleaned up,
# the spin figure, runs of ours and of the peer in turn, and the row's JSON.
# Sourced by run.sh; a row function fills the arrays below and sets the peer's
# name, version and command line.
#
# shellcheck shell=bash

RUNS=${BENCH_RUNS:-5}
SECONDS_PER_RUN=${BENCH_SECONDS:-2}
# Runs thrown away because the CPUs moved, before a row is given up.
DISCARDS_MAX=${BENCH_DISCARDS:-20}
# Spin before and after may differ by this factor.
SPIN_FACTOR=1.5

ours_runs=() peer_runs=() spins_before=() spins_after=() contentions=()
divisor=1 crosses_cpus=1
peer_name='' peer_version='' peer_command=''
children=()

say() { printf '%s\n' "$*" >&2; }

# The reason a row could not be measured; the caller returns 1 after it.
reason=''
fail() {
	reason=$*
	say "  cannot measure: $reason"
	return 1
}

# ---- Processes -----------------------------------------------------------

# start LOG COMMAND...: in the background, standard input held open (testpmd
# leaves when it closes), pid in $started.
start() {
	local log=$1 pipe=$work/stdin input
	shift
	mkfifo "$pipe"
	exec {input}<>"$pipe"
	rm "$pipe"
	"$@" <&"$input" >"$log" 2>&1 &
	started=$!
	# Not a job of the shell, which would report how it ended.
	disown "$started"
	exec {input}>&-
	children+=("$started")
}

# stop PID: asks, waits up to 5 s, then kills.
stop() {
	local pid=$1 i
	kill "$pid" 2>/dev/null || true
	for ((i = 0; i < 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null || true
	local rest=() child
	for child in "${children[@]}"; do
		[[ $child == "$pid" ]] || rest+=("$child")
	done
	children=("${rest[@]}")
}

stop_all() {
	local child
	for child in "${children[@]}"; do
		stop "$child"
	done
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# The end of a log, indented, when something went wrong.
show_log() { tail -n 8 "$1" | sed 's/^/    | /' >&2; }

# ---- Runs ----------------------------------------------------------------

spin() { "$programs/spin" "$cpu_a" "$cpu_b"; }

# True if two spin figures are close enough for what ran between them to count.
spin_steady() { awk -v a="$1" -v b="$2" -v f="$SPIN_FACTOR" 'BEGIN { exit !(a <= b * f && b <= a * f) }'; }

human() {
	awk -v v="$1" 'BEGIN {
		if (v >= 1e9) printf "%.2fG", v / 1e9; else if (v >= 1e6) printf "%.2fM", v / 1e6
		else if (v >= 1e4) printf "%.1fk", v / 1e3; else printf "%.4g", v }'
}

# one SIDE: runs the row's `ours` or `peer` function; its figure is in $figure.
one() {
	figure=''
	"$@" || return 1
	[[ $figure =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "no figure from $1: '$figure'"
}

# Microseconds for which some thread of this machine waited for a CPU, so far;
# empty where the kernel does not tell.
cpu_waits_us() { sed -n 's/^some.*total=//p' /proc/pressure/cpu 2>/dev/null || true; }

# contention NS_BEFORE WAITS_BEFORE: the share of the time since then.
contention() {
	local waits_us
	waits_us=$(cpu_waits_us)
	[[ -n $2 && -n $waits_us ]] || { echo null; return; }
	awk -v us=$((waits_us - $2)) -v ns=$(($(date +%s%N) - $1)) \
		'BEGIN { s = us * 1000 / ns; printf "%.2f", s < 1 ? s : 1 }'
}

# A machine that is at work on other things may not get round to it at once; what
# was measured in minutes is not to be lost for that.
spin_insist() { spin || spin || spin; }

# in_turn OURS PEER: functions that set $figure; PEER is '-' where there is none.
# They take turns at going first, so that neither profits from a warm machine;
# a pair is thrown away when the CPUs moved while it ran.
in_turn() {
	local ours=$1 peer=$2 discards=0 before after a b start_ns waits_us waited
	while ((${#ours_runs[@]} < RUNS)); do
		before=$(spin_insist) || { fail "spin does not run on CPUs $cpu_a and $cpu_b"; return 1; }
		a='' b=''
		start_ns=$(date +%s%N) waits_us=$(cpu_waits_us)
		if ((${#ours_runs[@]} % 2)) && [[ $peer != - ]]; then
			one "$peer" || return 1
			b=$figure
		fi
		one "$ours" || return 1
		a=$figure
		if [[ $peer != - && -z $b ]]; then
			one "$peer" || return 1
			b=$figure
		fi
		waited=$(contention "$start_ns" "$waits_us")
		after=$(spin_insist) || { fail "spin does not run on CPUs $cpu_a and $cpu_b"; return 1; }
		if ((crosses_cpus)) && ! spin_steady "$before" "$after"; then
			say "  thrown away: spin went from $before to $after ns"
			((++discards <= DISCARDS_MAX)) || { fail "the CPUs never stay where they are"; return 1; }
			continue
		fi
		ours_runs+=("$a") spins_before+=("$before") spins_after+=("$after")
		contentions+=("$waited")
		[[ -z $b ]] || peer_runs+=("$b")
		say "  run ${#ours_runs[@]}/$RUNS: ours $(human "$a")${b:+, peer $(human "$b")}" \
			"(spin $before, then $after ns; contention $waited)"
	done
}

# ---- JSON ----------------------------------------------------------------

numbers() { (($#)) && printf '%s\n' "$@" | jq -s . || echo '[]'; }

# row_json NAME UNIT OP GOAL: the row that was just measured. OP '-': no goal.
row_json() {
	jq -n --arg name "$1" --arg unit "$2" --arg op "$3" --arg goal "$4" \
		--arg peer_name "$peer_name" --arg version "$peer_version" \
		--arg command "$peer_command" --argjson divisor "$divisor" \
		--argjson ours "$(numbers "${ours_runs[@]}")" --argjson peer "$(numbers "${peer_runs[@]}")" \
		--argjson before "$(numbers "${spins_before[@]}")" \
		--argjson after "$(numbers "${spins_after[@]}")" \
		--argjson contention "$(numbers "${contentions[@]}")" '
		def median: sort | (length / 2 | floor) as $half
			| if length % 2 == 1 then .[$half] else (.[$half - 1] + .[$half]) / 2 end;
		def summary: {median: median, min: min, max: max, runs: .};
		(if $peer == [] then null else ($ours | median) / ($peer | median) / $divisor end) as $ratio
		| (if $op == "-" then null else {op: $op, value: ($goal | tonumber)} end) as $target
		| {name: $name, unit: $unit, ours: ($ours | summary),
		   peer: (if $peer == [] then null else
			{name: $peer_name, version: $version, command: $command} + ($peer | summary) end),
		   ratio: $ratio, goal: $target,
		   met: (if $target == null or $ratio == null then null
			elif $op == ">=" then $ratio >= $target.value else $ratio <= $target.value end),
		   spin_before_ns: ($before | median), spin_after_ns: ($after | median),
		   contention: (if $contention | any(. == null) then null else $contention | median end)}'
}

machine_json() {
	jq -n --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		--arg kernel "$(uname -r)" --arg arch "$(uname -m)" --argjson cores "$(nproc)" \
		--arg hypervisor "$(systemd-detect-virt --vm 2>/dev/null || true)" \
		--argjson memory "$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)" \
		--arg dpdk "$dpdk_version" --arg cpus "$cpu_a,$cpu_b" --argjson load "$load_before" '
		{cpu: $cpu, cores: $cores, memory_mib: $memory, arch: $arch, kernel: $kernel,
		 hypervisor: $hypervisor, dpdk: $dpdk, cpus_used: $cpus, load_before: $load}'
}

# suite_json NAME ROWS FAILED: files with one JSON value a line; prints the suite.
suite_json() {
	jq -n --arg suite "$1" --argjson machine "$(machine_json)" --slurpfile rows "$2" \
		--slurpfile failed "$3" --arg date "$(date -u +%FT%TZ)" '
		{version: 1, suite: $suite, date: $date, machine: $machine, rows: $rows, failed: $failed}'
}

# The table, from suite files.
table() {
	jq -r --slurp '
		def pad($n): tostring | . + (" " * ([$n - length, 0] | max));
		def left($n): tostring | (" " * ([$n - length, 0] | max)) + .;
		def two: (. * 100 | round) as $n
			| "\($n / 100 | floor).\($n % 100 | tostring | if length == 1 then "0" + . else . end)";
		def fixed($d): . * pow(10; $d) | round / pow(10; $d) | tostring;
		def short: if . >= 1e9 then (. / 1e9 | fixed(2)) + "G" elif . >= 1e6 then (. / 1e6 | fixed(2)) + "M"
			elif . >= 1e4 then (. / 1e3 | fixed(1)) + "k" else fixed(3) end;
		def range: "\(.median | short) (\(.min | short) to \(.max | short))";
		([.[].rows[]]) as $rows
		| "\("row" | pad(24)) \("unit" | pad(9)) \("ours: median (range)" | pad(27)) \("peer: median (range)" | pad(27)) \("ratio" | left(6))  \("goal" | pad(8)) \("met" | pad(5)) spin ns",
		  ($rows[] | "\(.name | pad(24)) \(.unit | pad(9)) \(.ours | range | pad(27)) \(if .peer then .peer | range else "-" end | pad(27)) \(if .ratio then .ratio | two else "-" end | left(6))  \(if .goal then "\(.goal.op) \(.goal.value)" else "-" end | pad(8)) \(if .met == null then "-" elif .met then "yes" else "NO" end | pad(5)) \(.spin_before_ns | fixed(0)), \(.spin_after_ns | fixed(0))"),
		  ($rows[] | select(.unit == "frames/s" and .peer and .contention and .contention > 0.2)
			| "\(.name): something else wanted the CPUs (contention \(.contention)): measure again when nothing else runs"),
		  (.[].failed[] | "\(.name | pad(24)) NOT MEASURED: \(.reason)"),
		  "",
		  ($rows[] | select(.peer) | "\(.name): against \(.peer.name), \(.peer.version)\n    \(.peer.command)")' "$@"
}
