#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A global adjunct: one process, in the memory that one partition donated, which devices of
# other partitions attach to. Each is served as by an adjunct of its own; a neighbour that
# asks for too much, breaks the rings' rules or dies costs nobody else a byte, or more time
# than it is entitled to; the adjunct, the daemon and the partition that owns it end and
# come back. SHARE_SECONDS=1 of two that want all of the adjunct's time, KILLS=2 adjuncts.
. "$(dirname "$0")/lib.sh"

share_seconds=${SHARE_SECONDS:-1} kills=${KILLS:-2}
export OUTRIGGER_STATE_DIR=$state
shares() { timeout 120 "$helpers/sharer" "$@"; } # PARTITION DEVICE SECONDS SPIN_US [deaths]
# share_start LOG ARGUMENT...: the same in the background; its pid in $last.
share_start() {
	spawn "$work/$1.log" "$helpers/sharer" "${@:2}"
	within 10 grep -q '^sharing' "$work/$1.log" || { show "$work/$1.log"; return 1; }
}
share_ended() { # PID LOG
	within 60 gone "$1" && tail -n 1 "$work/$2.log" && grep -q '^requests [1-9]' "$work/$2.log"
}
hostile() { # DEED NUMBER [MAC]: in the partition evil
	timeout 120 "$helpers/neighbour" "$1" "$state/partition/evil.sock" net0 "${@:2}"
}
document() { # MEMORY [MORE]: of the adjunct; more partitions
	cat <<END
version: 1
adapters: [{name: echo0, kind: echo, vfs: 2}]
partitions:
  - name: red
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: blue
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: evil
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: vios
    regions: [{name: pool, size: $1}]
    devices:
      - {name: uplink, kind: native, vf: {adapter: echo0}, adjunct: {image: echo, scope: global, donate: pool}}
      - {name: own, kind: native, vf: {adapter: echo0}, adjunct: {image: echo}}
${2:-}
END
}
one() { # SETTINGS: of the one device of a partition green
	document 4M "
  - name: green
    devices: [{name: net0, kind: native, $1}]"
}
adjuncts() { field '[.adjuncts[] | "\(.name) \(.scope)"] | sort | join(", ")'; }

need "the daemon starts" daemon_start
need "up: a service partition, and three that attach to its adjunct" up < <(document 4M)
check "one adjunct for all of them, and a local one" [ "$(adjuncts)" = "vios.own local, vios.uplink global" ]
check "it says who attaches to it" outrigger adjunct show vios.uplink
said "by name" 'red/net0, blue/net0, evil/net0'
check "and they say to whom" outrigger device show red/net0
said "by name" 'global adjunct of vios/uplink'
check "each has an address of its own" [ "$(field '[.partitions[].devices[].mac] | unique | length')" = 5 ]
check "the region is the adjunct's" log_says 'vios/uplink: running'
check "nothing to change" up < <(document 4M)
said "so" 'nothing to do'

# ---- Refused, before anything is done ---------------------------------------------------------
refused "a device that is not there" "there is no device vios/none to share" up < <(one 'shared: vios/none')
refused "an adjunct that is local" "serves that device alone" up < <(one 'shared: vios/own')
refused "a client's client" "serves that device alone" up < <(one 'shared: red/net0')
refused "a function besides" "leave vf out" up < <(one 'shared: vios/uplink, vf: {adapter: echo0}')
refused "an adjunct besides" "is vios/uplink's; leave it out" up < <(one 'shared: vios/uplink, adjunct: {cpu: dedicated}')
refused "larger frames" "mtu: 2000 is more than the 1500" up < <(one 'shared: vios/uplink, mtu: 2000')
refused "no function at all" "vf: is missing" up < <(one 'mtu: 1500')
refused "a global adjunct on somebody's processor" "cannot work on the processor of one" up \
	< <(one 'vf: {adapter: echo0}, adjunct: {scope: global, cpu: donated}')

# ---- Served ---------------------------------------------------------------------------------------
for deed in sizes order; do
	check "red: $deed" timeout 60 "$helpers/yielder" red net0 $deed
done
check "the partition whose it is uses it, too" timeout 60 "$helpers/yielder" vios uplink sizes
check "red and blue at once: blue begins" share_start blue blue net0 1 0
blue=$last
check "red: everything is its own, whole and in order" shares red net0 0.8 0
check "blue: the same" share_ended "$blue" blue
said "not one is lost" 'reset 0 .* lost 0$'
check "their requests are counted, and the time they took" [ "$(counter red/net0 used_ns)" -gt 0 ]
check "blue again" share_start blue blue net0 1 0
blue=$last
refused "one program at a time" "is open in another program" shares blue net0 1 0
check "blue ends" share_ended "$blue" blue
refused "nobody is kept waiting for long" 'completion.status == 0' shares red net0 1 1001

# ---- Time, counted ---------------------------------------------------------------------------------
# Both always have requests waiting, unless their programs wait for a processor: red's take a
# fifth as long as evil's.
used() { # of red and evil, at one time
	outrigger -j device stats | jq -r '[.stats[] | select(.device == "net0")] |
		map({(.partition): .counters.used_ns}) | add | "\(.red) \(.evil)"'
}
# In one of a few intervals: in the others red's program itself may have had no processor.
red_gets_its_half() {
	local before_red before_evil red evil
	for _ in 1 2 3 4 5; do
		read -r before_red before_evil < <(used)
		sleep "$share_seconds"
		read -r red evil < <(used)
		red=$((red - before_red)) evil=$((evil - before_evil))
		echo "red was served for $((red / 1000)) us, evil for $((evil / 1000)) us"
		[ $((red + evil)) = 0 ] || [ $((100 * red / (red + evil))) -lt 45 ] || return 0
	done
	return 1
}
check "evil wants all of it" share_start evil evil net0 60 1000
evil=$last
check "so does red" share_start red red net0 60 200
red=$last
check "red gets its half, less 10 % of it" red_gets_its_half
say "$(tail -n 1 "$work/out")"
kill -TERM "$evil" "$red"
check "evil ends" share_ended "$evil" evil
check "red ends" share_ended "$red" red

# ---- A hostile neighbour ---------------------------------------------------------------------------
deed() { # NAME DEED...
	local name=$1
	check "$name: red shares" share_start red red net0 1.3 0
	red=$last
	check "$name" hostile "${@:2}"
	check "$name: red ends" share_ended "$red" red
	said "$name: nothing of red's is lost" 'reset 0 .* lost 0$'
}
deed "writes anything anywhere in its rings" garbage 1
deed "floods" flood 1 02:00:00:00:66:66
deed "comes and goes 100 times" attach 100
deed "asks without end" calls 1
check "blue shares" share_start blue blue net0 0.5 0
blue=$last
check "evil is killed over its requests" share_start evil evil net0 30 500
stop "$last" KILL
check "blue ends" share_ended "$blue" blue
said "blue lost nothing" 'reset 0 .* lost 0$'
check "evil can come back" within 10 shares evil net0 0.2 0

# ---- Ends --------------------------------------------------------------------------------------------
check "red shares" share_start red red net0 $((kills + 1)) 0 deaths
red=$last
check "blue shares" share_start blue blue net0 $((kills + 1)) 0 deaths
blue=$last
for ((i = 0; i < kills; i++)); do
	old=$(pid_of adjunct vios.uplink)
	sleep 0.3
	kill -KILL "$old"
	check "adjunct $i is killed, another takes over" within 10 replaced vios.uplink "$old"
	check "so do its clients" within 10 device_is red/net0 running
done
check "red's requests completed once each" share_ended "$red" red
check "and blue's" share_ended "$blue" blue
check "red's partition was told" log_says 'red/net0: adjunct-restarted'

check "red shares" share_start red red net0 1 0 deaths
red=$last
check "the adjunct is restarted on request" outrigger adjunct restart vios.uplink
check "within 10 s red is served" within 10 device_is red/net0 running
check "red ends" share_ended "$red" red
said "nothing was lost" 'reset 0 .* lost 0$'

check "red shares" share_start red red net0 2 0 deaths
red=$last
check "the daemon is killed" daemon_stop KILL
check "a new one takes over" daemon_start
check "its clients run" within 10 device_is red/net0 running
check "red ends" share_ended "$red" red
check "red opens it again" shares red net0 0.2 0

check "red shares" share_start red red net0 30 0
red=$last
check "the partition that owns it is destroyed" outrigger partition destroy vios
check "red's program is told that the device was closed" within 10 gone "$red"
check "red waits" within 10 device_is red/net0 starting
check "and says for whom" outrigger device show red/net0
said "by name" 'waits for vios/uplink'
check "it comes back" up < <(document 8M)
check "red is served again" within 10 device_is red/net0 running
check "red shares" shares red net0 0.2 0
check "blue's device goes" outrigger partition destroy blue
check "red shares" shares red net0 0.2 0
check "all adjuncts are well" [ "$(field '[.adjuncts[].state] | unique | join(" ")')" = running ]
check "down" outrigger down
check "nothing is left" nothing_left
finish
