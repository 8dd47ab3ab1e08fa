#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Native partitions: programs linked with liboutrigger (the two examples) exchange
# frames with a TAP partition and with each other, through shared rings; they die,
# come back, are turned away; the daemon is replaced under them.
. "$(dirname "$0")/lib.sh"

examples=$build/examples
export OUTRIGGER_STATE_DIR=$state
mac_of() { outrigger -j device show "$1/net0" | jq -r .device.mac; }
echo_start() { # in green
	spawn "$work/echo.log" "$examples/otr-echo" green net0 10.77.0.3
	echo_pid=$last
	within 10 grep -q answering "$work/echo.log"
}
native_refused() { # NAME TEXT PARTITION DEVICE
	refused "$1" "$2" timeout 10 "$examples/otr-send" "$3" "$4" 1
}
sum_of_rates() { # tx or rx, LOG: frames, over its seconds
	awk -v key="$1" '{ for (i = 1; i < NF; i++) if ($i == key) sum += $(i + 1) } END { printf "%d", sum }' "$2"
}
in_bounds() { # NUMBER WANTED PERCENT
	echo "$1, about $2 wanted"
	awk -v n="$1" -v w="$2" -v p="$3" 'BEGIN { exit !(w > 0 && n >= w * (1 - p / 100) && n <= w * (1 + p / 100)) }'
}

need "the daemon starts" daemon_start
need "up: two native partitions and a TAP one" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0}}]
  - name: green
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 1}}]
  - name: white
    devices: [{name: net0, kind: native, ring_entries: 64, vf: {adapter: soft0, index: 2}}]
END

# ---- With a TAP partition ----------------------------------------------------------
need "otr-echo opens its device" echo_start
check "red pings it" pings red 10.77.0.3
check "with frames of the greatest size" pings red 10.77.0.3 -s 1472 -M do
check "a hundred in a second" in_partition red ping -n -q -c 100 -i 0.01 -W 2 10.77.0.3
said "not one is lost" "100 received"
ticks=$(cpu_ticks "$echo_pid" "$(pid_of adjunct green.net0)")
sleep 2
check "idle for 2 s: program and adjunct take at most 10 ticks of CPU time" \
	[ $(($(cpu_ticks "$echo_pid" "$(pid_of adjunct green.net0)") - ticks)) -le 10 ]
native_refused "a second program is turned away" "is open in another program" green net0
native_refused "a device that is none of the native ones" "only native ones are opened here" red net0
native_refused "no such device" "has no device 'net7'" green net7
native_refused "no such partition" "partition" nobody net0
check "the first one still answers" pings red 10.77.0.3

# ---- The daemon and the program come and go ------------------------------------------
check "the daemon is killed" daemon_stop KILL
check "a new daemon starts" daemon_start
check "the program still answers" pings red 10.77.0.3
native_refused "and still has its device to itself" "is open in another program" green net0
told() { grep -qE "^$1: " "$work/echo.log"; }
check "the program is told that the shim was away" within 10 told shim-lost
check "and that it is back" within 10 told shim-back
check "and how its link is" within 10 told link-up
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "it is told of what happens from then on" within 10 told adjunct-restarted
check "and answers" within 5 pings red 10.77.0.3
stop "$echo_pid" KILL
check "it is killed; a second one opens the device" within 5 echo_start
check "and answers" pings red 10.77.0.3
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "its adjunct is killed: another takes over" within 5 replaced green.net0 "$pid"
check "the program goes on where it was" within 5 pings red 10.77.0.3
check "and is the same" kill -0 "$echo_pid"
stop "$echo_pid"

# ---- With each other --------------------------------------------------------------------
spawn "$work/receive.log" "$examples/otr-send" green net0 4
receiver=$last
sleep 0.5
check "white sends to green for 2 s" timeout 20 "$examples/otr-send" white net0 2 "$(mac_of green)"
cp "$work/out" "$work/send.log"
check "green receives for 4 s" within 10 gone "$receiver"
say "white: $(tail -n 1 "$work/send.log")"
say "green: $(sort -k 8 -n "$work/receive.log" | tail -n 1)"
sent=$(counter white/net0 tx_frames) got=$(counter green/net0 rx_frames)
check "white's program and adjunct count the same" in_bounds "$(sum_of_rates tx "$work/send.log")" "$sent" 3
check "frames arrived" [ "$(sum_of_rates rx "$work/receive.log")" -gt 1000 ]
check "what white sent, green got or its function counts as missed" in_bounds \
	$((got + $(vf_counter green/net0 rx_missed) + $(counter green/net0 rx_dropped))) "$sent" 3
check "frames that are too long are refused by the library" not timeout 10 \
	"$examples/otr-send" white net0 1 "$(mac_of green)" 9000
said "with the greatest size" "at most [0-9]+ bytes"
check "all adjuncts are well" [ "$(field '[.adjuncts[].state] | unique | join(" ")')" = running ]

# ---- Down while a program has a device open -------------------------------------------------
check "otr-echo opens its device" echo_start
check "down" outrigger down
check "the program ends" within 10 gone "$echo_pid"
check "nothing is left" nothing_left
finish
