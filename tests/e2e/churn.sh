#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Guests, programs, adjuncts and devices that come, go and are killed in any order,
# with frames on the way (THREATS.md T09): nobody may use what has been unmapped.
# Run as it is and, by tests/sanitized.sh, with every process of the system under
# AddressSanitizer. Beside it two victims exchange frames and lose none, but to a
# reset of their own.
#
#   ROUNDS=25   deeds     SEED=N   the same deeds again (it is printed)
. "$(dirname "$0")/lib.sh"

testpmd=$(command -v dpdk-testpmd) || skip "dpdk-testpmd is not here (Debian: dpdk-dev)"
rounds=${ROUNDS:-25}
RANDOM=${SEED:=$((RANDOM % 10000))}
say "SEED=$SEED"

socket_of() { echo "$state/partition/$1.sock"; }
path_of() { outrigger -j device show "$1/net0" | jq -r .device.path; }
mac_of() { outrigger -j device show "$1/$2" | jq -r .device.mac; }
document() { # WITH-NET1-AND-NET2: yes or no
	cat <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 6}]
partitions:
  - name: red
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 0}}]
  - name: blue
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 1}}]
  - name: guest
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 2}}]
  - name: wild
    devices:
      - {name: net0, kind: native, ring_entries: 64, vf: {adapter: soft0, index: 3}, adjunct: {scope: global}}
END
	[ "$1" = no ] || cat <<'END'
      - {name: net1, kind: native, vf: {adapter: soft0, index: 4}}
      - {name: net2, kind: native, shared: wild/net0}
END
}
everything_runs() {
	[ "$(field '[.partitions[].devices[] | select(.state == "running")] | length')" = 6 ]
}

# ---- Deeds: each is done once it has been done, and none waits for its effect -------------
program='' guest=''
deed_program() { # one that sends to the guest, or scribbles, and is killed by the next of them
	[ -z "$program" ] || stop "$program" KILL
	if [ $((RANDOM % 2)) = 0 ]; then
		spawn "$work/program.log" "$helpers/neighbour" garbage "$(socket_of wild)" net0 60
	else
		spawn "$work/program.log" "$helpers/neighbour" flood "$(socket_of wild)" net0 60 "$guest_mac"
	fi
	program=$last
}
# To a device of its own, or to one that is a client of the global adjunct next to it.
deed_attach() { "$helpers/neighbour" attach "$(socket_of wild)" "net$((1 + RANDOM % 2))" 12; }
deed_guest() { # it sends to the program at once; the next of them kills it
	[ -z "$guest" ] || stop "$guest" KILL
	spawn "$work/guest.log" "$testpmd" --no-huge -m 64 --no-pci --no-shconf --no-telemetry \
		--file-prefix="otr-$$-$RANDOM" --lcores 0,1@0 \
		--vdev "net_virtio_user0,path=$(path_of guest),mac=$guest_mac" -- \
		--nb-cores=1 --total-num-mbufs=4096 --port-topology=loop --no-flush-rx \
		--forward-mode=flowgen --eth-peer="0,$wild_mac"
	guest=$last
	sleep "0.$((RANDOM % 6))" # anywhere between its first message and its frames
}
deed_guest_leaves() { [ -z "$guest" ] || stop "$guest" TERM; }
deed_kill() { # an adjunct
	local victim=$1 pid
	pid=$(pid_of adjunct "$victim") && [ "$pid" != null ] || return 0
	kill -KILL "$pid"
	within 10 replaced "$victim" "$pid"
}
deed_restart() { outrigger adjunct restart "$1"; }
deed_device() { up --prune < <(document no) && up < <(document yes); }
# A device that takes its time to come back may refuse the next deed.
deed() {
	case $((RANDOM % 9)) in
	0 | 1) deed_program ;;
	2) within 20 deed_attach ;;
	3 | 4) deed_guest ;;
	5) deed_guest_leaves ;;
	6) deed_kill "$([ $((RANDOM % 2)) = 0 ] && echo wild.net0 || echo guest.net0)" ;;
	7) within 20 deed_restart "$([ $((RANDOM % 2)) = 0 ] && echo wild.net0 || echo guest.net0)" ;;
	8) deed_device ;;
	esac
}
deeds() {
	local i
	for ((i = 1; i <= rounds; i++)); do
		deed || { echo "deed $i of SEED=$SEED"; return 1; }
	done
}

need "the daemon starts" daemon_start
need "up" up < <(document yes)
guest_mac=$(mac_of guest net0) wild_mac=$(mac_of wild net0)
spawn "$work/victim.log" "$helpers/victim" "$(socket_of red)" "$(socket_of blue)" 1000 0
victim=$last
need "two partitions exchange frames" within 10 grep -q exchanging "$work/victim.log"
adapter=$(pid_of adapter soft0) quiet="$(pid_of adjunct red.net0) $(pid_of adjunct blue.net0)"
check "$rounds deeds beside them" deeds
for pid in $program $guest; do ! alive "$pid" || stop "$pid" KILL; done
check "everything runs" within 20 everything_runs
kill -TERM "$victim"
check "the two end" within 15 gone "$victim"
check "not one of their frames was lost or altered" grep -qE \
	'^sent [1-9][0-9]* .* lost 0 repeated 0 altered 0 .* canaries_lost 0' "$work/victim.log"
say "$(tail -n 1 "$work/victim.log")"
check "their adjuncts and the adapter are the same processes" [ "$adapter $quiet" = \
	"$(pid_of adapter soft0) $(pid_of adjunct red.net0) $(pid_of adjunct blue.net0)" ]
check "nobody died of it" not log_says 'signal (4|6|7|8|11) |dumped'
check "down" outrigger down
check "nothing is left" nothing_left
finish
