#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench-figure`: latency against load of one and the same request, served by an
# adjunct that is lent the program's processor, by one with a processor of its own, and by
# a conventional server process on another CPU. Writes build/bench/latency_load.tsv, .svg
# and .md (a table); hv-shim/README.md has the last two.
#
#   FIGURE_WORK_NS=5000      what serving one request takes
#   FIGURE_LOADS="5 10 ..."  in per cent of what one processor could do
#   FIGURE_SECONDS=1         for each point
#   BENCH_CPUS=a,b           the two CPUs to use
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
here=tests/bench
out=build/bench
programs=$PWD/$out
bin=$PWD/build/bin
# shellcheck source=tests/bench/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/bench/rows.sh
. "$here/rows.sh"
# shellcheck source=tests/bench/services.sh
. "$here/services.sh"

work_ns=${FIGURE_WORK_NS:-5000}
loads=${FIGURE_LOADS:-2 5 10 20 30 40 50 60 70 80 90}
seconds=${FIGURE_SECONDS:-1}
cpus=${BENCH_CPUS:-0,1}
cpu_a=${cpus%,*} cpu_b=${cpus#*,}
points=$out/latency_load.tsv

# points WAY COMMAND...: a line for each load.
points() {
	local way=$1 load rate line
	shift
	for load in $loads; do
		rate=$((load * 10000000 / work_ns))
		line=$(timeout 60 "$@" "$seconds" "$work_ns" "$rate") || { fail "$way at $load %"; return 1; }
		# shellcheck disable=SC2086
		printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$way" "$rate" $line | tee -a "$points" >&2
	done
}
by_service() { # CPU-MODE
	local pid
	services_up "$1" 1 && pid=$(adjunct_pid bench0.net0) || return 1
	points "$1" "${in_group[@]}" "$programs/load_client" service "$work/state/partition/bench0.sock" "$pid" "$cpu_a"
	services_down
}

work=$(mktemp -d "${TMPDIR:-/tmp}/outrigger-bench.XXXXXX") || exit 1
trap 'daemon_stop; stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
printf 'way\trate\tp50_ns\tp99_ns\tdone\tsecond_cpu\n' >"$points"
spin_before=$(spin)
by_service donated && by_service dedicated &&
	points server "$programs/load_client" server "$cpu_a" "$cpu_b" || exit 1
say "spin $spin_before, then $(spin) ns"
awk -f "$here/figure_svg.awk" "$points" >"$out/latency_load.svg" &&
	awk -f "$here/figure_table.awk" "$points" >"$out/latency_load.md" || exit 1
cat "$out/latency_load.md"
echo "written: $points $out/latency_load.svg $out/latency_load.md"
