#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An adjunct gets a processor of its own and loses it again (`cpu:` of the document), while
# a program that has its device open goes on: sequence numbers of frames and of requests
# are checked over CHANGES=20 changes under load. No program opens anything anew, no
# request fails.
. "$(dirname "$0")/lib.sh"

changes=${CHANGES:-20}
export OUTRIGGER_STATE_DIR=$state

document() { # CPU
	cat <<END
version: 1
adapters: [{name: echo0, kind: echo, vfs: 1}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: native, vf: {adapter: echo0, index: 0}, adjunct: {image: echo, cpu: $1}}
END
}
need "the daemon starts" daemon_start
need "up" up < <(document donated)

touch "$work/go"
spawn "$work/load.log" "$helpers/hearer" red net0 load "$work/go"
load=$last
check "a program opens the device" within 10 log_says "opened by program $load"
modes=(shared donated dedicated donated)
check "the plan says what is changed, and no more" up --dry-run < <(document shared)
said "the processor, in place" 'cpu donated -> shared'
for ((i = 0; i < changes; i++)); do
	check "change $i: ${modes[i % 4]}" up < <(document "${modes[i % 4]}")
	alive "$load" || break
done
rm "$work/go"
check "the load ends" within 60 gone "$load"
check "each frame and each request came once, in order" \
	grep -E '^frames [1-9][0-9]{2,} requests [1-9][0-9]{2,} modes [1-9]' "$work/load.log"
show "$work/load.log"
check "nobody was told that the device was closed" not log_says 'device-closed'
check "another adjunct took over each time" test "$(grep -c 'net0: adjunct-restarted' "$daemon_log")" = "$changes"
finish
