#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench`: measures the rows below, prints a table and writes
# build/bench/<suite>.json. See README.md here for the method.
#
#   tests/bench/run.sh            every row
#   ROWS=name,name                a part
#   BENCH_RUNS=n BENCH_SECONDS=n  runs per row (5), seconds per run (2)
#   BENCH_KILLS=n                 adjuncts killed for restart_max_ns (1000)
#   BENCH_CPUS=a,b                the two CPUs to use (the first two allowed)
#
# Exit status: 0 measured (a goal that was missed is printed, not an error),
# 1 a row could not be measured, 2 usage.

set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
here=tests/bench
out=build/bench
programs=$PWD/$out
ROWS=${ROWS:-}
bin=$PWD/build/bin

# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/bench/testpmd.sh
. "$here/testpmd.sh"
# shellcheck source=tests/bench/rows.sh
. "$here/rows.sh"
# shellcheck source=tests/bench/events.sh
. "$here/events.sh"
# shellcheck source=tests/bench/services.sh
. "$here/services.sh"
# shellcheck source=tests/bench/vf.sh
. "$here/vf.sh"

# name, suite, unit, goal on the ratio (ours over peer), function and arguments
rows='
eth_native_64          ethernet  frames/s  >=  1.5  eth_native 64
eth_native_1500        ethernet  frames/s  >=  1.5  eth_native 1500
eth_vhost_64           ethernet  frames/s  >=  1.0  eth_vhost 64
eth_vhost_1500         ethernet  frames/s  >=  1.0  eth_vhost 1500
eth_embedded           ethernet  frames/s  -   -    eth_embedded 64
iperf3_namespaces      ethernet  bit/s     -   -    iperf3_namespaces
up_16_over_2           shim      s         <=  1.1  up_over_2 16
up_64_over_2           shim      s         <=  1.1  up_over_2 64
restart_cold           restart   ns        <=  2    restart cold
restart_standby        restart   ns        <=  2    restart standby
restart_max_ns         restart   ns        <=  1.0  restart_max
restart_cold_echo      restart   ns        <=  2    restart cold echo
restart_standby_echo   restart   ns        <=  2    restart standby echo
restart_max_echo_ns    restart   ns        <=  1.0  restart_max echo
adjunct_private_bytes  shim      bytes     <=  1.0  adjunct_private_bytes
eq_path_4096           events    ns        <=  0.1  eq_path 4096 64
eq_flat_4096_k1        events    ns        <=  1.15 eq_flat 4096 1
eq_flat_4096           events    ns        <=  1.15 eq_flat 4096 16
eq_flat_4096_k64       events    ns        <=  1.15 eq_flat 4096 64
eq_flat_65536_k1       events    ns        <=  1.5  eq_flat 65536 1
eq_flat_65536          events    ns        <=  1.5  eq_flat 65536 16
eq_flat_65536_k64      events    ns        <=  1.5  eq_flat 65536 64
eq_cross_k1            events    ns        <=  2    eq_cross
eq_guest_bytes         events    bytes     <=  1.0  eq_guest_bytes
eq_rate_30x4096        events    events/s  -   -    eq_rate
request_polled         services  ns        <=  1.6  request_polled
yield_parked           services  ns        <=  1.0  yield parked 25000
yield_hot              services  ns        <=  0.7  yield hot 0
yield_light            services  ns        -   -    yield_light hot
yield_light_parked     services  ns        -   -    yield_light parked
completion_interrupt   services  ns        <=  1.15 completion_interrupt
completion_burst_wakes services  wakes     <=  1.0  completion_burst_wakes
yield_quantum_p99      services  %         <=  1.0  yield_quantum_p99
yield_256_adjuncts     services  ns        <=  1.1  yield_many hot
yield_256_in_turn      services  ns        -   -    yield_many in-turn
neighbour_victim_rate  shim      1/s       >=  0.9  neighbour_victim_rate
vf_list_cpu_ms         vf        ms        <=  1.0  vf_list
vf_rig_pps             vf        frames/s  >=  0.95 vf_rig
'

usage() {
	say "bench: $*"
	say "rows:$(awk 'NF { printf " %s", $1 }' <<<"$rows")"
	exit 2
}

# select_rows: the wanted lines of the table, in the table's order.
select_rows() {
	local name
	for name in ${ROWS//,/ }; do
		awk -v n="$name" '$1 == n { found = 1 } END { exit !found }' <<<"$rows" ||
			usage "there is no row '$name'"
	done
	awk -v wanted="$ROWS" 'BEGIN { n = split(wanted, w, /[, ]+/); for (i in w) want[w[i]] = 1 }
		NF && (wanted == "" || $1 in want)' <<<"$rows"
}

pick_cpus() {
	local cpus
	if [[ -n ${BENCH_CPUS:-} ]]; then
		cpus=${BENCH_CPUS//,/ }
	else
		# "0-3,8" to "0 1 2 3 8"
		cpus=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
			awk -F- '{ for (i = $1; i <= (NF > 1 ? $2 : $1); i++) print i }')
	fi
	# shellcheck disable=SC2086
	set -- $cpus
	(($# >= 2)) || { say "bench: needs two CPUs, has $#"; exit 1; }
	cpu_a=$1 cpu_b=$2
}

# measure NAME SUITE UNIT OP GOAL FUNCTION ARGUMENTS...
measure() {
	local name=$1 suite=$2 unit=$3 op=$4 goal=$5
	shift 5
	ours_runs=() peer_runs=() spins_before=() spins_after=() contentions=()
	divisor=1 crosses_cpus=1
	peer_name='' peer_version='' peer_command='' reason=''
	say "$name"
	if "$@"; then
		row_json "$name" "$unit" "$op" "$goal" >>"$work/$suite.rows" && return
		reason='the figures could not be written'
	fi
	failures=$((failures + 1))
	jq -n --arg name "$name" --arg reason "${reason:-unknown}" '{name: $name, reason: $reason}' \
		>>"$work/$suite.failed"
	# Nothing of it may disturb the next row.
	daemon_stop
	stop_all
}

# Names the row function may use as a peer's version.
find_versions() {
	dpdk_version=$(pkg-config --modversion libdpdk 2>/dev/null || echo unknown)
	testpmd=$(command -v dpdk-testpmd || true)
	# Read before anything of ours runs: a loaded machine shows in every figure.
	load_before=$(cut -d' ' -f1 /proc/loadavg)
}

main() {
	local wanted line suites=() suite failures=0
	wanted=$(select_rows) || exit 2
	pick_cpus
	find_versions
	mkdir -p "$out"
	work=$(mktemp -d "${TMPDIR:-/tmp}/outrigger-bench.XXXXXX") || exit 1
	trap 'daemon_stop; stop_all; rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	say "CPUs $cpu_a and $cpu_b, $RUNS runs a row, load $load_before, DPDK $dpdk_version"
	awk -v l="$load_before" 'BEGIN { exit !(l > 0.5) }' &&
		say "something else is running here: the figures will be noisy"

	while read -r line <&9; do
		# shellcheck disable=SC2086
		measure $line
	done 9<<<"$wanted"

	for suite in $(awk '{ print $2 }' <<<"$wanted" | sort -u); do
		touch "$work/$suite.rows" "$work/$suite.failed"
		suite_json "$suite" "$work/$suite.rows" "$work/$suite.failed" >"$out/$suite.json"
		suites+=("$out/$suite.json")
	done
	echo
	table "${suites[@]}"
	echo
	echo "written: ${suites[*]}"
	((failures == 0))
}

main
