#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What ends unasked, and how it comes back: the daemon (killed, asked to end,
# killed in the middle of a change) while traffic goes on; an adjunct, a keeper
# and the embedded adapter, with and without a daemon that sees it; saved state
# that is damaged.
. "$(dirname "$0")/lib.sh"

example=hv-shim/examples/embedded.yaml
everyone() { # who runs, without the daemon
	field '[.adapters[].pid, .adjuncts[].pid, .partitions[].keeper_pid] | sort | join(" ")'
}
# Pings for 6 s from red, 10 a second, in the background.
pinging_start() {
	spawn_in "$work/pings" red ping -n -i 0.1 -c 60 -W 5 10.77.0.2
	pinging=$last
	within 5 grep -q 'icmp_seq=5' "$work/pings"
}
# All of them came back. A daemon that is gone forwards nothing, so none may be lost.
pinging_lost_none() {
	within 20 gone "$pinging" || return 1
	tail -n 3 "$work/pings"
	grep -q '60 packets transmitted, 60 received, 0% packet loss' "$work/pings"
}
device_failed() { # PARTITION/DEVICE TEXT
	device_is "$1" failed && outrigger device show "$1" | grep -E "$2"
}
repaired() {
	outrigger up -f "$example" || return 1
	device_is red/net0 running && device_is blue/net0 running
}
made_anew() { # adapter or keeper, NAME, OLD-PID
	local now
	now=$(pid_of "$1" "$2")
	[ -n "$now" ] && [ "$now" != null ] && [ "$now" != "$3" ] &&
		[ "$(field ".${1/keeper/partition}s[] | select(.name == \"$2\") | .state")" = running ]
}
works() { pings red 10.77.0.2 && pings blue 10.77.0.1; }

# ---- The daemon -----------------------------------------------------------------
need "the daemon starts" daemon_start
need "up" outrigger up -f "$example"
before=$(everyone)
for signal in KILL TERM; do
	check "pings begin" pinging_start
	check "the daemon ends by SIG$signal under them" daemon_stop $signal
	sleep 0.5
	check "a new one starts" daemon_start
	check "everybody else is the same process" [ "$before" = "$(everyone)" ]
	check "everything runs" [ "$(field '[.adapters[], .partitions[], .adjuncts[] | .state] | unique | join(" ")')" = running ]
	check "not one ping is lost" pinging_lost_none
	check "there is nothing to do" outrigger up -f "$example"
	said "and it says so" "nothing to do"
done
# What is left of a daemon that was killed has its lock a while longer: a thread that frees
# memory, a child that has not executed its program yet.
check "a daemon is killed" daemon_stop KILL
spawn "$work/left.log" flock --no-fork "$state/lock" sh -c 'echo locked; exec sleep 2'
check "and something of it stays" within 5 grep -q locked "$work/left.log"
check "a new one waits for that, and starts" daemon_start
check "everybody else is the same process" [ "$before" = "$(everyone)" ]
check "settings can still be changed" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0, vlan: 9},
         adjunct: {standby: yes}}
END
check "and take effect" not pings red 10.77.0.2 -c 1 -W 1
check "and back" repaired
check "ping again" works

# ---- Ends that no daemon sees -----------------------------------------------------
for victim in adjunct keeper adapter; do
	case $victim in
	adjunct) name=red.net0 ;;
	keeper) name=red ;;
	adapter) name=soft0 ;;
	esac
	pid=$(pid_of $victim $name)
	check "the daemon is killed, then $victim $name" daemon_stop KILL
	kill -KILL "$pid"
	check "$name has ended" within 5 gone "$pid"
	check "a new daemon starts" daemon_start
	check "and replaces it by itself" within 20 device_is red/net0 running
	check "blue runs as well" within 20 device_is blue/net0 running
	check "it is a new process" [ "$(pid_of $victim $name)" != "$pid" ]
	check "traffic flows" within 5 works
	check "there is nothing to do" outrigger up -f "$example"
	said "and it says so" "nothing to do"
done

# ---- Ends that it does see ----------------------------------------------------------
pid=$(pid_of adjunct red.net0)
kill -KILL "$pid"
check "an adjunct is killed: another takes over" within 5 replaced red.net0 "$pid"
check "the log says how it ended" log_says 'red/net0: adjunct-died: its adjunct (was killed by signal 9|ended)'
check "blue is not concerned" device_is blue/net0 running
check "there is nothing to repair" repaired
check "traffic flows" works

check "pings begin" pinging_start
pid=$(pid_of adjunct blue.net0)
kill -KILL "$pid"
check "one is killed under traffic: another takes over" within 5 replaced blue.net0 "$pid"
check "the pinging program never notices more than lost packets" within 20 gone "$pinging"
check "and not many" grep -qE '60 packets transmitted, (5[5-9]|60) received' "$work/pings"

pid=$(pid_of adjunct red.net0)
kill -STOP "$pid"
check "an adjunct hangs: another takes over" within 10 replaced red.net0 "$pid"
check "the log says why" log_says 'red/net0: its adjunct did not answer GetStatus within 2.0 s'
check "traffic flows" works

pid=$(pid_of adjunct red.net0)
check "an adjunct is restarted on request" outrigger adjunct restart red.net0
said "and how long nobody served" 'adjunct red.net0 restarted; nobody served for'
check "it is another process" replaced red.net0 "$pid"
check "traffic flows" works

# The device is taken away while its adjunct hangs in the middle of a restart.
kill -STOP "$(pid_of adjunct red.net0)"
begun() { grep -c 'red/net0: quiesce the old adjunct' "$daemon_log"; }
begun_again() { [ "$(begun)" -gt "$before" ]; }
before=$(begun)
spawn "$work/asked.log" "$bin/outrigger" --state-dir "$state" adjunct restart red.net0
asked=$last
check "it waits for that" within 5 begun_again
check "down in the middle of a restart" outrigger down
check "whoever asked for it is told" within 10 gone "$asked"
check "and why" grep -q 'taken down or changed meanwhile' "$work/asked.log"
check "up" outrigger up -f "$example"
check "traffic flows" works

pid=$(pid_of keeper red) adjunct=$(pid_of adjunct blue.net0)
kill -KILL "$pid"
check "a keeper is killed: its partition is made anew" within 10 made_anew keeper red "$pid"
check "the log says why" log_says 'red: its keeper (was killed by signal 9|ended).*its namespace went with it'
check "its device runs again" within 10 device_is red/net0 running
check "whoever watches the device is told" log_says 'red/net0: device-closed: its keeper'
check "blue is not concerned" [ "$(pid_of adjunct blue.net0)" = "$adjunct" ]
check "there is nothing to repair" repaired
said "and it says so" "nothing to do"
check "traffic flows" within 5 works

cat >"$work/vlan.yaml" <<-'END'
	version: 1
	adapters: [{name: soft0, kind: embedded, vfs: 2}]
	partitions:
	  - name: red
	    devices: [{name: net0, kind: tap, address: 10.77.0.1/24,
	      vf: {adapter: soft0, index: 0, vlan: 9}, adjunct: {standby: yes}}]
END
for round in 1 2; do
	pid=$(pid_of adapter soft0) before=$(namespace_of red)
	check "the adapter is killed ($round): it comes back" \
		eval 'kill -KILL "$pid" && within 10 made_anew adapter soft0 "$pid"'
	check "and so do its devices" within 10 eval 'device_is red/net0 running && device_is blue/net0 running'
	check "their partitions are told" log_says 'blue/net0: device-reset: adapter soft0: its process (was killed by signal 9|ended)'
	check "the namespace is the same one" [ "$(namespace_of red)" = "$before" ]
	if [ $round = 1 ]; then
		check "traffic flows" within 5 works
		check "red moves to another VLAN" outrigger up -f "$work/vlan.yaml"
	else
		check "red is in its VLAN again" not pings red 10.77.0.2 -c 1 -W 1
		check "red moves back" repaired
		check "traffic flows" within 5 works
	fi
done
pid=$(pid_of adapter soft0)
dies_again() { # until it has failed
	local now
	now=$(pid_of adapter soft0)
	[ "$now" = null ] || kill -KILL "$now" 2>/dev/null
	[ "$(field '.adapters[0].state')" = failed ]
}
check "an adapter that keeps dying has failed" within 30 dies_again
check "red failed, and says why" within 5 device_failed red/net0 'adapter soft0.*in a row'
check "blue failed as well" within 5 device_failed blue/net0 'adapter soft0'
check "status names the adapter" outrigger status
said "with what to do" 'soft0.*apply the document again'
check "up repairs it" repaired
check "traffic flows" works

# ---- Hangs, and a slow answer ----------------------------------------------------------
pid=$(pid_of adapter soft0)
kill -STOP "$pid"
check "the adapter hangs: another one comes" within 30 made_anew adapter soft0 "$pid"
check "the log says why" log_says 'adapter soft0: its process did not answer [A-Za-z]+ within 5.0 s again, and is ended'
check "its devices are back" within 10 eval 'device_is red/net0 running && device_is blue/net0 running'
check "traffic flows" within 5 works
pid=$(pid_of keeper red)
kill -STOP "$pid"
check "a keeper does not answer in time" not in_partition red true
kill -CONT "$pid"
check "and then again: it can be asked" within 10 in_partition red true
check "it is the same one" [ "$(pid_of keeper red)" = "$pid" ]
check "everything runs" eval 'device_is red/net0 running && works'

# ---- The daemon is killed in the middle of a change -------------------------------------
namespaces=("$(namespace_of red)" "$(namespace_of blue)")
check "down" outrigger down
for delay in 0.02 0.1 0.4; do
	spawn "$work/up.log" "$bin/outrigger" --state-dir "$state" up -f "$example"
	sleep $delay
	check "the daemon is killed $delay s after up" daemon_stop KILL
	check "a new daemon starts" daemon_start
	check "up brings everything up" repaired
	check "traffic flows" within 5 works
	check "down" outrigger down
	check "nothing is left" nothing_left "${namespaces[@]}"
done

# ---- Children that the saved state does not know ---------------------------------------
check "up" outrigger up -f "$example"
namespaces=("$(namespace_of red)" "$(namespace_of blue)")
pids=$(everyone)
check "the daemon is killed" daemon_stop KILL
jq '.processes = {}' "$state/state.json" >"$work/state.json" && cp "$work/state.json" "$state/state.json"
check "a new one starts that knows no process of the old one's" daemon_start
check "it makes everything anew" within 20 eval 'device_is red/net0 running && device_is blue/net0 running'
check "traffic flows" within 5 works
none_of() { local pid; for pid; do gone "$pid" || { echo "process $pid is there"; return 1; }; done; }
# shellcheck disable=SC2086 # one word each
check "the old processes have ended" none_of $pids
check "the daemon is killed" daemon_stop KILL
rm "$state/state.json"
check "a new one starts without any saved state" daemon_start
check "down" outrigger down
check "nothing is left" nothing_left "${namespaces[@]}"

# ---- Saved state -------------------------------------------------------------------------
check "the daemon ends" daemon_stop
cp "$state/state.json" "$work/state.json"
refuses_state() { # NAME TEXT
	refused "$1" "$2" timeout 10 "$bin/outriggerd" --state-dir "$state"
	said "$1: and what to do" "remove .*/state.json, and start again"
}
echo '{"version": 1, "docu' >"$state/state.json"
refuses_state "cut short" "state.json:1: "
: >"$state/state.json"
refuses_state "empty" "state.json:1: "
head -c 100000 /dev/urandom >"$state/state.json"
refuses_state "random bytes" "state.json:"
echo '[]' >"$state/state.json"
refuses_state "not an object" "state.json"
jq '.version = 99' "$work/state.json" >"$state/state.json"
refuses_state "another version" "was written by another version"
jq '.document.adapters = [{"name": "a"}]' "$work/state.json" >"$state/state.json"
refuses_state "a document that is not one" "adapters\[0\]"
# Somebody else's process under a saved name must be left alone.
sleep 60 &
bystander=$!
jq --argjson pid $bystander '.document.adapters = [{"name": "soft0", "kind": "embedded", "vfs": 1}]
	| .processes = {"adapter:soft0": {"pid": $pid, "start_time": 1}}' "$work/state.json" >"$state/state.json"
check "a saved process that is another one by now: the daemon starts" daemon_start
check "it starts the adapter anew" within 10 \
	eval '[ "$(field ".adapters[0].state")" = running ] && [ "$(field ".adapters[0].pid")" != '$bystander' ]'
check "down" outrigger down
check "the other process still runs" alive $bystander
kill $bystander
check "nothing is left" nothing_left
finish
