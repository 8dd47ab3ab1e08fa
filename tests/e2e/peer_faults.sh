#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the daemon's children are refused: in a keeper, an adjunct and the embedded adapter
# one kind of system call fails for good, from their start on or from when they serve
# (faults/refuse.c). Whatever they do about it, the daemon answers, nobody crashes, the same
# document comes up as soon as that process is gone, and nothing is left of it.
# faults/refused.sh stands in for the programs.
#
# Allocations are none of this: while a program confines itself they are libseccomp's,
# which crashes for want of memory. Those of our own are refused in unit tests.
#
#   PEER_STEP=1                    every kind of call, minutes; k takes every k-th
#   peer_faults.sh PROGRAM WHEN CALL: that alone
. "$(dirname "$0")/lib.sh"

step=${PEER_STEP:-12}
libexec=$work/libexec
export OTR_ORDERS=$work/orders
mkdir -p "$libexec/real" "$OTR_ORDERS"
cp "$helpers/refuse.so" "$OTR_ORDERS/"
chmod 777 "$OTR_ORDERS"
cp -r "$build/libexec/outrigger/images" "$libexec/"
for program in "$build"/libexec/outrigger/outrigger-*; do
	cp "$program" "$libexec/real/"
	cp tests/e2e/faults/refused.sh "$libexec/${program##*/}"
done
# The names in the table of refuse.c.
mapfile -t calls < <(grep -o '{CALL([a-z0-9_]*)' tests/e2e/faults/refuse.c | sed 's/.*(//; s/)//')

document() {
	cat <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 2}]
		partitions:
		  - name: red
		    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0},
		               adjunct: {memory: 16M}}]
	END
}
running() {
	[ "$(field '[.adapters[], .partitions[], .adjuncts[] | .state] | unique | join(" ")')" = running ]
}
comes_up() { up --prune < <(document) && running; }
holdings() { echo "$(marked | wc -l) processes, $(find "/proc/$daemon/fd" -mindepth 1 | wc -l) descriptors"; }
as_before() { [ "$(holdings)" = "$rest" ] || { holdings; ls -l "/proc/$daemon/fd"; return 1; }; }
refusals() { grep -c "refused from now on: $1\$" "$daemon_log"; } # CALL
# But for those that DPDK decided on: its interrupt thread panics if it is refused what it
# needs. Several who were waiting for that process say how it ended.
crashes() {
	awk '/refused from now on: / { panic = 0 }
		/PANIC in eal_intr_/ { panic = 1 }
		/was killed by signal (4|6|7|8|11|31) / { if (!panic) count++ }
		END { print count + 0 }' "$daemon_log"
}
wrong() { # WHAT: about what is tried
	say "$program, $place: $1"
	show "$work/out"
	return 1
}
# The fault is over once the process is gone that it is done to, and lives with it as it may.
end_refused() {
	local pid
	for pid in $(marked); do
		grep -qz '^OTR_REFUSE=' "/proc/$pid/environ" 2>/dev/null && kill -KILL "$pid"
	done
	return 0
}
try() { # PROGRAM WHEN CALL
	local program=$1 place="$2 $3" crashed refused
	crashed=$(crashes) refused=$(refusals "$3")
	rm -f "$OTR_ORDERS/$program.taken"
	echo "$place" >"$OTR_ORDERS/$program"
	up --prune < <(document) >"$work/out" 2>&1
	case $? in
	0) ;;
	1) errors=$((errors + 1)); [ -s "$work/out" ] || wrong "fails without a word" || return 1 ;;
	*) wrong "the daemon does not answer" || return 1 ;;
	esac
	[ "$(refusals "$3")" -gt "$refused" ] || wrong "it was not refused that" || return 1
	end_refused
	within 20 comes_up >"$work/out" 2>&1 || wrong "does not come up afterwards" || return 1
	[ "$(crashes)" = "$crashed" ] || { grep 'was killed by signal' "$daemon_log" | tail -n 3 >"$work/out"
		wrong "it crashed"; } || return 1
	within 10 outrigger down >"$work/out" 2>&1 || wrong "does not go" || return 1
	within 10 as_before >"$work/out" 2>&1 || wrong "something is left" || return 1
	places=$((places + 1))
}
refuse_each() { # PROGRAM WHEN
	local i
	places=0 errors=0
	for ((i = first % step; i < ${#calls[@]}; i += step)); do
		try "$1" "$2" "${calls[i]}" || return 1
	done
	first=$((first + 1))
	say "$1, $2: $places kinds of calls, $errors with an error"
	[ $places -gt 0 ]
}

need "the daemon starts" daemon_start --libexec "$libexec"
check "without any fault it comes up" comes_up
check "and goes" outrigger down
check "the daemon has noticed all that" settles holdings
rest=$(cat "$work/settled")
if [ $# -gt 0 ]; then
	places=0 errors=0
	try "$@"
	report $? "$*"
	finish
fi
first=0 # each program gets other calls
for program in outrigger-keeper outrigger-adjunct-ethdev outrigger-soft-adapter; do
	for when in start serving; do
		refuse_each "$program" "$when"
		report $? "$program, from its $when on: whatever it is refused, all comes up afterwards, and goes"
	done
done
check "down" outrigger down
check "nothing is left" nothing_left
finish
