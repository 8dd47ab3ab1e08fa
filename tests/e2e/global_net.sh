#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A global adjunct that drives a function of the embedded adapter: its clients exchange
# frames with a TAP partition and with each other, through one function, each under an
# address of its own; a flood and a broken ring next to them, and their adjunct's death.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/victim.inc"

examples=$build/examples
# shellcheck disable=SC2034 # victim.inc
rate=2000 # frames a second: little enough for a busy machine
export OUTRIGGER_STATE_DIR=$state
mac_of() { outrigger -j device show "$1" | jq -r .device.mac; }
echo_start() { # PARTITION ADDRESS
	spawn "$work/echo-$1.log" "$examples/otr-echo" "$1" net0 "$2"
	within 10 grep -q answering "$work/echo-$1.log"
}
hostile() { # DEED NUMBER [MAC]
	timeout 60 "$helpers/neighbour" "$1" "$state/partition/evil.sock" net0 "${@:2}"
}
deed() { # NAME DEED NUMBER [MAC]
	local name=$1
	check "$name: red and blue exchange frames" victim_start
	check "$name" hostile "${@:2}"
	check "$name: they end" victim_stop
	check "$name: not one frame lost, altered or repeated, every canary lives" unharmed lost altered repeated canaries_lost
	say "$(tail -n 1 "$work/victim.log")"
}

document() { # STATE of the function's link
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: white
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 1}}]
  - name: red
    regions: [{name: canary, size: 2M}]
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: blue
    regions: [{name: canary, size: 2M}]
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: evil
    devices: [{name: net0, kind: native, shared: vios/uplink}]
  - name: vios
    regions: [{name: pool, size: 32M}]
    devices:
      - name: uplink
        kind: native
        vf: {adapter: soft0, index: 0, state: $1}
        adjunct: {scope: global, donate: pool}
END
}

need "the daemon starts" daemon_start
check "the shipped example would come up" outrigger up -n -f hv-shim/examples/shared.yaml
said "by the global adjunct" 'device red/net0: native, by the global adjunct of vios/uplink'
need "up: a service partition, three that share its function, a TAP partition" up < <(document auto)

# ---- With another function ---------------------------------------------------------------
need "red opens its device" echo_start red 10.77.0.3
red_echo=$last
need "blue opens its own" echo_start blue 10.77.0.4
blue_echo=$last
check "white pings red" pings white 10.77.0.3
check "and blue" pings white 10.77.0.4
check "with frames of the greatest size" pings white 10.77.0.4 -s 1472 -M do
check "under two addresses" [ "$(in_partition white ip neigh | grep -c -e "$(mac_of red/net0)" -e "$(mac_of blue/net0)")" = 2 ]
pid=$(pid_of adjunct vios.uplink)
kill -KILL "$pid"
check "their adjunct is killed: another takes over" within 10 replaced vios.uplink "$pid"
check "white pings red" within 5 pings white 10.77.0.3
check "and blue" within 5 pings white 10.77.0.4
pid=$(pid_of adapter soft0)
kill -KILL "$pid"
check "the adapter is killed: red is pinged again" within 15 pings white 10.77.0.3
check "and blue" within 5 pings white 10.77.0.4
stop "$blue_echo" KILL
check "blue's program is killed: red notices nothing" pings white 10.77.0.3
stop "$red_echo"

# ---- By event queues ---------------------------------------------------------------------
told() { grep -qE "^net0: $1" "$work/watch.log"; }
sends() { timeout 20 "$examples/otr-send" blue net0 1 "$(mac_of red/net0)"; }
spawn "$work/watch.log" "$examples/otr-watch" red 60 net0
watch=$last
check "red waits by event queues" within 10 grep -q '^watching' "$work/watch.log"
check "blue sends to it" sends
check "the link goes" up < <(document disable)
check "red hears of it" within 10 told link-down
check "it comes back" up < <(document auto)
check "and of that" within 10 told link-up
pid=$(pid_of adjunct vios.uplink)
kill -KILL "$pid"
check "their adjunct is killed: another takes over" within 10 replaced vios.uplink "$pid"
check "blue is served again" within 10 device_is blue/net0 running
check "blue sends to it" sends
stop "$watch" INT
check "red is told how much came" within 5 told '[0-9]{4,} frames'
check "by events" grep -E '^[0-9]{2,} events' "$work/watch.log"
show "$work/watch.log" 3

# ---- With each other -----------------------------------------------------------------------
left=$(vf_counter vios/uplink tx_frames) deaths=$(grep -c adjunct-died "$daemon_log")
deed "alone" calls 1
check "their frames did not leave the adjunct" [ $(($(vf_counter vios/uplink tx_frames) - left)) -lt 100 ]
deed "a flood to nobody" flood 1 02:00:00:00:66:66
check "which left it" [ "$(vf_counter vios/uplink tx_frames)" -gt 1000 ]
deed "a flood to the TAP partition" flood 1 "$(mac_of white/net0)"
deed "anything anywhere in its rings" garbage 1
check "red's frames are counted for red" [ "$(counter red/net0 tx_frames)" -gt 1000 ]
check "and the time" [ "$(counter red/net0 used_ns)" -gt 0 ]
check "nobody died of it" [ "$(grep -c adjunct-died "$daemon_log")" = "$deaths" ]
check "down" outrigger down
check "nothing is left" nothing_left
finish
