#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The row vf_rig_pps, inside the rig (vf.sh boots it): two functions of the card side by
# side, in turn driven by a testpmd each and by an adjunct each, whose partitions' programs
# do what testpmd does. The work: 256 frames of 64 octets are on their way between the two
# functions; whatever comes in has its addresses swapped and goes back. Processor 0 has all
# of the first function's side, processor 1 all of the second's. $figure: frames a second
# that the first side takes in.
#
# The last line of the output is the runs, as JSON.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
here=tests/bench programs=$PWD/build/bench bin=$PWD/build/bin
. "$here/lib.sh"
. "$here/testpmd.sh"
. "$here/rows.sh"
within() { wait_for "$@"; }
. tests/rig/guest/vf.inc

cpu_a=0 cpu_b=1
crosses_cpus=0 # each side has a processor to itself; what spin says is told
bursts=8 # of 32 frames, on their way
testpmd=$(command -v dpdk-testpmd) || { fail 'dpdk-testpmd is missing'; exit 1; }
work=$(mktemp -d) || exit 1
trap 'daemon_stop; stop_all; rm -rf "$work"' EXIT

# ---- testpmd on both ---------------------------------------------------------
vf_testpmd() { # INDEX CPU PEER ARGUMENT...: into the array $command
	command=("$testpmd" --in-memory -m 64 --no-telemetry -v --file-prefix="vf$1" --lcores "0@$2,1@$2"
		-a "$(vf_address "$1")" -- --nb-cores=1 --total-num-mbufs="$pool_buffers" --rxd=1024 --txd=256
		--no-flush-rx --forward-mode=macswap "--eth-peer=0,02:00:00:00:02:0$3" -i "${@:4}")
}
vf_peer() {
	local command second ret log=$work/second.log
	vf_testpmd 1 "$cpu_b" 0 --auto-start
	start "$log" "${command[@]}"
	second=$started
	if ! wait_for 20 prompt_in "$log"; then
		show_log "$log"
		fail 'the second testpmd does not start'
		return 1
	fi
	testpmd_version "$log"
	vf_testpmd 0 "$cpu_a" 1
	peer_command="${command[0]##*/} ${command[*]:1}"
	client_measure "start tx_first $bursts" "${command[@]}"
	ret=$?
	stop "$second"
	return $ret
}

# ---- An adjunct on both ------------------------------------------------------
vf_document() {
	local i
	printf 'version: 1\nadapters:\n'
	for i in 0 1; do printf '  - {name: vf%d, kind: dpdk, device: "%s"}\n' $i "$(vf_address $i)"; done
	printf 'partitions:\n'
	for i in 0 1; do
		printf '  - name: p%d\n    devices: [{name: net0, kind: native, mac: "02:00:00:00:02:0%d",' $i $i
		printf ' vf: {adapter: vf%d}, adjunct: {image: ethdev}}]\n' $i
	done
}
on_cpu() { # ADJUNCT CPU
	local pid
	pid=$(adjunct_pid "$1") && taskset -acp "$2" "$pid" >/dev/null ||
		fail "the adjunct $1 cannot be put on processor $2"
}
vf_ours() {
	local second ret
	vf_document >"$work/vf.yaml"
	up "$work/vf.yaml" && on_cpu p0.net0 "$cpu_a" && on_cpu p1.net0 "$cpu_b" || return 1
	start "$work/second.log" "$programs/native_client" "$work/state/partition/p1.sock" net0 bounce \
		--cpu "$cpu_b" --seconds $((SECONDS_PER_RUN + 30))
	second=$started
	native_client p0 net0 bounce --to 02:00:00:00:02:01 --first $((32 * bursts)) \
		--cpu "$cpu_a" --seconds "$SECONDS_PER_RUN"
	ret=$?
	stop "$second"
	down && return $ret
}

ulimit -l unlimited
pf_up && functions_for_dpdk 2 || { fail 'no two functions with vfio-pci'; exit 1; }
in_turn vf_ours vf_peer || exit 1
jq -nc --argjson ours "$(numbers "${ours_runs[@]}")" --argjson peer "$(numbers "${peer_runs[@]}")" \
	--argjson before "$(numbers "${spins_before[@]}")" --argjson after "$(numbers "${spins_after[@]}")" \
	--argjson contention "$(numbers "${contentions[@]}")" \
	--arg version "$peer_version" --arg command "$peer_command" '$ARGS.named'
