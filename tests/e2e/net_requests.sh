#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The ethdev adjunct on the embedded adapter, by requests: transmit and receive, address,
# VLANs, link, statistics, and what is refused; with and without a processor of its own.
# The programs that know of frames only run on a device that has none, unchanged.
. "$(dirname "$0")/lib.sh"

export OUTRIGGER_STATE_DIR=$state
asks() { timeout 60 "$helpers/asker" red net0 net1 "$@"; }
document() { # CPU
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: native, vf: {adapter: soft0, index: 0}, adjunct: {cpu: $1}}
      - {name: net1, kind: native, vf: {adapter: soft0, index: 1}, adjunct: {cpu: $1, standby: yes}}
  - name: blue
    devices: [{name: net0, kind: tap, address: 10.9.0.2/24, vf: {adapter: soft0, index: 2}}]
END
}
need "the daemon starts" daemon_start
for cpu in donated dedicated; do
	need "up, $cpu" up < <(document $cpu)
	for deed in control frames vlans; do
		check "$cpu: $deed" asks $deed
	done
	old=$(pid_of adjunct red.net1)
	touch "$work/go"
	spawn "$work/asker.log" "$helpers/asker" red net0 net1 successor "$work/go"
	asker=$last
	check "$cpu: a request waits" within 20 grep -q '^ready' "$work/asker.log"
	kill -KILL "$old"
	check "its adjunct is killed, another takes over" within 20 replaced red.net1 "$old"
	rm "$work/go"
	check "which serves it, and knows the VLANs" within 30 gone "$asker"
	check "all of it" not grep -q 'not so' "$work/asker.log"
	show "$work/asker.log"
	check "another program does not find them any more" asks vlans
done

# ---- Programs that only wait for frames --------------------------------------------------
check "without a processor of its own again" up < <(document donated)
spawn "$work/echo.log" "$build/examples/otr-echo" red net0 10.9.0.1
check "otr-echo opens a device" within 20 grep -q '^answering' "$work/echo.log"
check "and is pinged" within 20 in_partition blue ping -c 5 -i 0.05 -W 5 10.9.0.1
check "otr-send sends" timeout 30 "$build/examples/otr-send" red net1 1 02:00:00:00:00:99
said "frames" 'tx +[1-9][0-9]{3,} frames/s'
check "the echo goes on" in_partition blue ping -c 3 -i 0.05 -W 5 10.9.0.1
finish
