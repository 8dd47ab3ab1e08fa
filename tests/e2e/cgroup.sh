#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A partition's keeper and adjuncts are in its control group, and so are programs that are
# run in it: what they take is charged to it. The hierarchy is mounted for this test alone;
# where the kernel has the memory controller in it, the figures are looked at as well.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "only root can make control groups"
hierarchy=$work/cgroup
mkdir "$hierarchy"
unshare -m mount -t cgroup2 none "$hierarchy" 2>/dev/null || skip "no control groups of version 2 here"
# shellcheck disable=SC2016 # the inner shell's own
daemon_within=(unshare -m sh -c 'mount -t cgroup2 none "$0" && exec "$@"' "$hierarchy")

# The hierarchy as the daemon sees it.
in_hierarchy() { nsenter -t "$daemon" -m -- "$@"; }
group=$hierarchy/outrigger/$(tr / - <<<"${state#/}")
members() { # NAME
	in_hierarchy find "$group/p.$1/adjuncts" -name cgroup.procs -exec cat {} + | sort -n | tr '\n' ' '
}
are_in() { # NAME COUNT PID...: so many, these among them
	local name=$1 count=$2 pid
	shift 2
	echo "in the group: $(members "$name"); wanted: $count, among them $*"
	[ "$(members "$name" | wc -w)" = "$count" ] || return 1
	for pid; do
		members "$name" | grep -qw "$pid" || return 1
	done
}
no_group() { ! in_hierarchy ls "$group/p.$1"; }
charged() { outrigger -j partition show "$1" | jq -r ".partition.charged_bytes // 0"; }
charged_at_least() { # NAME BYTES: what its adjuncts have touched of it
	echo "charged: $(charged "$1"), at least $2 wanted"
	[ "$(charged "$1")" -ge "$2" ]
}

limit_is() { # BYTES, of green
	in_hierarchy cat "$group/p.green/adjuncts/memory.max"
	[ "$(in_hierarchy cat "$group/p.green/adjuncts/memory.max")" = "$1" ]
}
kills() { outrigger -j partition show green | jq -r '.partition.memory_kills // 0'; }
killed() { [ "$(kills)" -gt 0 ]; }
# Less than green takes already: the kernel ends the process in it that has most.
over_the_limit() {
	local keeper others limit
	keeper=$(pid_of keeper green) others="$(pid_of keeper red) $(pid_of adjunct red.net0)"
	limit=$(($(charged green) - (4 << 20)))
	check "it takes more than it may" in_hierarchy sh -c 'echo "$1" >"$2"' sh $limit "$group/p.green/adjuncts/memory.max"
	check "a process of green is killed" within 5 killed
	check "which is an adjunct of green" log_says 'green/net[01]: (adjunct-died|.*its standby).*killed by signal 9'
	check "not its keeper" [ "$(pid_of keeper green)" = "$keeper" ]
	check "nor anybody of red" [ "$(pid_of keeper red) $(pid_of adjunct red.net0)" = "$others" ]
	check "it is shown" outrigger partition show green
	said "how often" 'killed +[0-9]+ times'
	check "it may have it again" in_hierarchy sh -c 'echo "$1" >"$2"' sh 128M "$group/p.green/adjuncts/memory.max"
	check "everything of it comes back" within 20 up < <(document 128M)
	check "with its standby" within 20 green_is_complete
}

need "the daemon starts" daemon_start
document() { # MEMORY
	cat <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 3}]
		partitions:
		  - name: red
		    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}]
		  - name: green
		    memory: $1
		    regions: [{name: heap, size: 16M}]
		    devices:
		      - {name: net0, kind: native, vf: {adapter: soft0}, adjunct: {donate: heap}}
		      - {name: net1, kind: native, vf: {adapter: soft0},
		         adjunct: {memory: 24M, standby: yes}}
	END
}
refused "up: two partitions, one with more donated memory than it may have" \
	'green: memory: 63M is less than the 64M .*: net0 16M, net1 48M with its standby' up < <(document 63M)
need "and with enough" up < <(document 128M)
red_is_complete() { are_in red 3 "$(pid_of keeper red)" "$(pid_of adjunct red.net0)"; }
green_is_complete() {
	are_in green 5 "$(pid_of keeper green)" "$(pid_of adjunct green.net0)" "$(pid_of adjunct green.net1)"
}
check "red's keeper, adjunct and spare are in its group" within 10 red_is_complete
check "green's keeper, adjuncts, spare and standby in its" within 10 green_is_complete
spawn_in "$work/program.log" red sleep 300
program=$last
program_is_in() { in_hierarchy grep -qx "$program" "$group/p.red/programs/cgroup.procs"; }
check "a program that is run in red is red's" within 10 program_is_in
check "which is not charged for its memory" not are_in red 4 "$program"
if in_hierarchy grep -qw memory "$hierarchy/cgroup.controllers"; then
	check "the donated memory is charged to green" within 5 charged_at_least green 2000000
	check "the kernel keeps its limit" limit_is 134217728
	check "the limit is shown" outrigger partition show green
	said "with its number" 'limit +128 MiB of memory$'
	over_the_limit
else
	# The rig's kernel has it.
	check "where nothing is known of memory, nothing is said" [ "$(charged green)" = 0 ]
	check "the limit is shown" outrigger partition show green
	said "and that the kernel does not keep it" 'limit +128 MiB of memory, which the kernel does not keep'
	check "so does the log" log_says 'partition green: the kernel does not keep its limit of 128M of memory: '
fi
check "the limit is changed" up < <(document 192M)
said "that alone" 'green.*memory 128M -> 192M'
check "there is nothing left to do" up < <(document 192M)
said "and it says so" 'nothing to do'
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "an adjunct dies, another takes over" within 10 replaced green.net0 "$pid"
check "in the same group" within 10 green_is_complete
check "the daemon is killed, and comes back" daemon_stop KILL
daemon_within=(unshare -m sh -c 'mount -t cgroup2 none "$0" && exec "$@"' "$hierarchy")
need "with what it had" daemon_start
check "it is all where it was" within 10 green_is_complete
pid=$(pid_of adjunct red.net0)
kill -KILL "$pid"
check "it puts a new adjunct there, too" within 10 replaced red.net0 "$pid"
check "which is in its group" within 10 red_is_complete
check "down" outrigger down
check "green's group is gone" within 5 no_group green
check "red's stays with its program" program_is_in
stop "$program"
check "and goes when that has ended" within 5 no_group red
check "the daemon ends" daemon_stop
left() { unshare -m sh -c 'mount -t cgroup2 none "$0" && ls -d "$1"' "$hierarchy" "$group" 2>/dev/null; }
check "nor the daemon's own" not left
finish
