#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Badly behaved clients of the control socket and of a partition's socket: what
# they do is theirs alone to suffer. And who may speak where, by the mode of the
# socket, by SO_PEERCRED behind it, and by the partition's owner.
. "$(dirname "$0")/lib.sh"

control=$state/control.sock
abuse() { timeout 60 "$helpers/socket_abuse" "$@"; }
# ask JSON PATH [COMMAND...]: one message, one answer; COMMAND runs the client.
ask() {
	local message=$1 path=$2
	shift 2
	echo "$message" | timeout 20 "$@" "$helpers/socket_abuse" send "$path"
}
# outcome NAME TEXT COMMAND...: it does its deed, and says TEXT of how that was taken.
outcome() {
	local name=$1 text=$2 status
	shift 2
	"$@" >"$work/out" 2>&1
	status=$?
	[ $status = 0 ] && grep -qE -- "$text" "$work/out"
	report $? "$name" && return
	say "exit status $status, wanted 0 and '$text', of: $*"
	show "$work/out"
	return 1
}
served() { timeout 5 "$bin/outrigger" --state-dir "$state" status >/dev/null </dev/null; }
descriptors() { find "/proc/$daemon/fd" -type l | wc -l; }
as_many() { [ "$(descriptors)" = "$1" ]; }

need "the daemon starts" daemon_start
need "up" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}
      - {name: ring0, kind: native, vf: {adapter: soft0}}
  - name: blue
    devices: [{name: net0, kind: tap, address: 10.77.0.2/24, vf: {adapter: soft0}}]
END
served
# What is made in the background is there, so that what is counted then is all.
spares_wait() { [ "$(grep -c 'a spare waits' "$daemon_log")" -ge 3 ]; }
check "each device has its spare" within 20 spares_wait
before=$(descriptors)
status='{"method":"org.outrigger.Shim.GetStatus"}'

# ---- The control socket ------------------------------------------------------------
for path in "$control" "$state/partition/red.sock"; do
	name=${path#"$state/"}
	outcome "$name: no JSON" '^closed' ask '{"method":' "$path"
	outcome "$name: no object" '^closed' ask '[1]' "$path"
	outcome "$name: an empty message" '^closed' ask '' "$path"
	outcome "$name: a key twice" '^closed' ask '{"method":"a.b.C","method":"a.b.D"}' "$path"
	outcome "$name: no method" '^closed|InvalidParameter|InterfaceNotFound' ask '{}' "$path"
	outcome "$name: a method that is a number" '^closed' ask '{"method":1}' "$path"
	outcome "$name: an unknown interface" 'InterfaceNotFound' ask '{"method":"org.example.Nothing.Do"}' "$path"
	outcome "$name: random bytes" '^closed' abuse garbage "$path" 65536
	outcome "$name: a message without end" '^closed' abuse endless "$path" 3000000
	outcome "$name: half a message, and away" '^silent' abuse half "$path"
	outcome "$name: a message byte by byte" '^answered' abuse drip "$path"
	for count in 1 5 16 17 100; do
		outcome "$name: $count descriptors nobody asked for" '^0 descriptors kept' abuse fds "$path" $count
	done
done
outcome "an unknown method" MethodNotFound ask '{"method":"org.outrigger.Shim.Nothing"}' "$control"
outcome "parameters that are a list" '^closed|InvalidParameter' \
	ask '{"method":"org.outrigger.Shim.GetStatus","parameters":[]}' "$control"
outcome "a parameter nobody knows" InvalidParameter \
	ask '{"method":"org.outrigger.Shim.GetStatus","parameters":{"a":1}}' "$control"
outcome "a parameter of another kind" InvalidParameter \
	ask '{"method":"org.outrigger.Shim.GetPartition","parameters":{"name":7}}' "$control"
outcome "a call that needs more, without" 'ExpectedMore' \
	ask '{"method":"org.outrigger.Shim.GetLog"}' "$control"
outcome "one who never reads" '^closed' abuse deaf "$control" 100000
spawn "$work/stall.log" "$helpers/socket_abuse" stall "$control" 30000
stalling=$last
within 5 grep -q stalling "$work/stall.log"
check "one stops in the middle of a message: others are served" served
stop "$stalling" KILL
outcome "a hundred at once: some are served, the rest is told" '^[1-9][0-9]* answered, [0-9]+ closed, 0 silent' \
	abuse many "$control" 100
say "$(cat "$work/out")"
check "afterwards everybody is served" within 5 served
spawn "$work/log-follow.log" "$bin/outrigger" --state-dir "$state" log -f
follower=$last
within 5 test -s "$work/log-follow.log"
stop "$follower" KILL
check "the daemon holds as many descriptors as before" within 5 as_many "$before"
is_calm() { local before; before=$(cpu_ticks "$daemon"); sleep 1; [ $(($(cpu_ticks "$daemon") - before)) -le 5 ]; }
check "it comes to rest: at most 5 ticks of CPU time in 1 s" within 5 is_calm
check "red and blue noticed nothing" pings red 10.77.0.2

# ---- Programs of a partition ----------------------------------------------------------
open='{"method":"org.outrigger.Partition.OpenNet","parameters":{"device":"ring0"}}'
for turn in 1 2 3; do
	outcome "a program opens a native device and is gone at once ($turn)" '"mac"' \
		ask "$open" "$state/partition/red.sock"
done
outcome "a partition's socket tells nothing of the shim" 'InterfaceNotFound' ask "$status" "$state/partition/red.sock"
check "a program of liboutrigger gets the device after that" within 5 \
	env OUTRIGGER_STATE_DIR="$state" "$build/examples/otr-send" red ring0 1
check "its adjunct is well" device_is red/ring0 running
check "the daemon still holds as many descriptors" within 5 as_many "$before"

# ---- The children's sockets, by a program of the shim's own user ---------------------------
# They take the newest connections, so that a new daemon is never turned away.
for child in keeper/red adjunct/red.net0 adapter/soft0; do
	outcome "$child: random bytes" '^closed' abuse garbage "$state/$child.sock" 65536
	outcome "$child: descriptors nobody asked for" '^0 descriptors kept' abuse fds "$state/$child.sock" 5
	outcome "$child: ten connections at once" ' 0 silent' abuse many "$state/$child.sock" 10
done
check "the daemon comes back to the keeper" in_partition red true
check "to the adjunct" eval '[ "$(counter red/net0 tx_frames)" -gt 0 ]'
check "and to the adapter" eval '[ "$(vf_counter red/net0 tx_frames)" -gt 0 ]'

# ---- Who may speak ------------------------------------------------------------------------
if [ "$(id -u)" != 0 ]; then
	skipped "other users at the sockets" "becoming another user takes root"
else
	nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)
	daemon_user=(setpriv --reuid daemon --regid daemon --clear-groups)
	# Where those users can run it.
	cp "$helpers/socket_abuse" "$work/socket_abuse"
	chmod 755 "$work/socket_abuse"
	helpers=$work
	refused "another user cannot reach the control socket" "cannot connect: Permission denied" \
		ask "$status" "$control" "${nobody[@]}"
	refused "nor a partition's that is not his" "cannot connect: Permission denied" \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${nobody[@]}"
	refused "nor the keeper's" "cannot connect: Permission denied" \
		ask '{}' "$state/keeper/red.sock" "${nobody[@]}"
	chmod 666 "$control" "$state/partition/red.sock" "$state/keeper/red.sock" "$state/adjunct/red.net0.sock"
	outcome "with the mode opened up, the daemon still asks who it is" '^closed' \
		ask "$status" "$control" "${nobody[@]}"
	check "and says whom it turned away" log_says "control.sock: user $(id -u nobody) may not use this socket"
	outcome "so does a partition's socket" '^closed' \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${nobody[@]}"
	chmod 711 "$state/keeper" "$state/adjunct"
	outcome "and a keeper" '^closed' ask '{"method":"org.outrigger.Keeper.List"}' "$state/keeper/red.sock" "${nobody[@]}"
	outcome "and an adjunct" '^closed' \
		ask '{"method":"org.outrigger.Adjunct.GetStatus"}' "$state/adjunct/red.net0.sock" "${nobody[@]}"
	chmod 700 "$state/keeper" "$state/adjunct"
	chmod 600 "$control" "$state/partition/red.sock" "$state/keeper/red.sock" "$state/adjunct/red.net0.sock"
	check "keeper and adjunct still obey the daemon" eval \
		'in_partition red true && [ "$(counter red/net0 tx_frames)" -gt 0 ]'

	give_red() { # USER
		up <<<"{\"version\": 1, \"partitions\": [{\"name\": \"red\", \"owner\": \"$1\"}]}"
	}
	check "red is given to nobody" give_red nobody
	outcome "who may ask now" '"name":"red"' \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${nobody[@]}"
	outcome "and open a device" '"mac"' ask "$open" "$state/partition/red.sock" "${nobody[@]}"
	refused "the user daemon may not" "cannot connect: Permission denied" \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${daemon_user[@]}"
	refused "nobody may not ask about blue" "cannot connect: Permission denied" \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/blue.sock" "${nobody[@]}"
	refused "nor the shim" "cannot connect: Permission denied" ask "$status" "$control" "${nobody[@]}"
	check "red is given to the user daemon" give_red daemon
	refused "nobody may not any more" "cannot connect: Permission denied" \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${nobody[@]}"
	check "the daemon is replaced" eval 'daemon_stop KILL && daemon_start'
	outcome "the owner is remembered" '"name":"red"' \
		ask '{"method":"org.outrigger.Partition.GetPartition"}' "$state/partition/red.sock" "${daemon_user[@]}"
fi
check "ping" pings red 10.77.0.2
check "down" outrigger down
check "nothing is left" nothing_left
finish
