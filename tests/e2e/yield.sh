#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Partitions that lend their adjuncts the processor (`cpu: donated`), through the library,
# the daemon and the adjuncts' confinement: requests of every size in the order of their
# priority, quanta that end inside of one, an adjunct that keeps what it was lent, one
# that is interrupted while nobody lends it any; program, adjunct and daemon killed in the
# middle. STORM_SECONDS=2 of random quanta, and KILLS=4 adjuncts under them.
. "$(dirname "$0")/lib.sh"

storm_seconds=${STORM_SECONDS:-2} kills=${KILLS:-4}
export OUTRIGGER_STATE_DIR=$state
libexec=$work/libexec
# One processor, that of whoever yields: so it is lent, not found elsewhere.
yields() { timeout "$((60 + storm_seconds))" taskset -c 0 "$helpers/yielder" "$@"; }
hears() { timeout 60 taskset -c 0 "$helpers/hearer" "$@"; }

cp -r "$build/libexec/outrigger" "$libexec" || exit 1
cp "$helpers/hog" "$libexec/outrigger-adjunct-hog" || exit 1
cat >"$libexec/images/hog.yaml" <<'END'
name: hog
version: 0.1.0
interface: 1
executable: outrigger-adjunct-hog
class: net
devices: [echo]
memory: {minimum: 1M, default: 1M}
ports: [native]
END
document() { # CPU
	cat <<END
version: 1
adapters: [{name: echo0, kind: echo, vfs: 4}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: native, vf: {adapter: echo0, index: 0}, adjunct: {image: echo, cpu: $1}}
  - name: green
    devices:
      - {name: net0, kind: native, vf: {adapter: echo0, index: 1}, adjunct: {image: echo, cpu: donated, standby: yes}}
      - {name: net1, kind: native, vf: {adapter: echo0, index: 2}, adjunct: {image: hog, cpu: donated}}
END
}
status_says() { outrigger status | grep -E -- "$1"; }
need "the daemon starts" daemon_start --libexec "$libexec"
need "up: adjuncts without a processor of their own" up < <(document donated)

check "a program that only waits for frames: the wait yields" hears red net0 frames 3000
for deed in sizes order cancel full "frames 3000"; do
	# shellcheck disable=SC2086
	check "donated: $deed" yields red net0 $deed
done
check "a request of 200 ms, by quanta of 2 ms, while another thread goes on" yields red net0 long 200 2000
said "it was preempted inside of it" '^busy [1-9]'
check "and by quanta of 50 us" yields red net0 long 20 50
check "random quanta, $storm_seconds s" yields red net0 storm "$storm_seconds" 1
usage() { outrigger -j top red | jq -e ".stats[] | select(.device == \"net0\").usage | $1"; }
check "top knows what was lent" usage '.cpu == "donated" and .yields > 100 and .donated_ns > 200e6'
check "and what was not enough" usage '.expired > 0 and .expired <= .yields'
check "none of it more than was charged" usage '.donated_ns <= .charged_ns and .used_ns <= .charged_ns'
check "how long requests took: more than half a moment, one 200 ms" \
	usage '.p50_ns < 50e6 and .p50_ns <= .p99_ns and .requests > 100 and (.latency | add) <= .requests'
check "top, for people" outrigger top red
said "one row for the adjunct" '^red\.net0 +donated .* us'
check "the example" timeout 60 taskset -c 0 "$build/examples/otr-yield" red net0 16
said "it was told PA_BUSY, and compared" 'done 256 failed 0 at once [1-9][0-9]* later [1-9][0-9]* never [1-9]'

# ---- Ends, in the middle -----------------------------------------------------------------
check "a device interrupts while nobody lends anything" yields green net1 interrupted
check "its guest hears of it, and of a quantum that ended" hears green net1 busy
check "a guest that does not ask for that lends what is wanted" hears green net1 lends
touch "$work/go"
spawn "$work/busy.log" "$helpers/hearer" green net1 unanswered "$work/go"
check "a program does not answer" within 10 grep -q '^unanswered' "$work/busy.log"
check "which the status shows" within 20 status_says 'hog, PA_BUSY for [0-9]'
rm "$work/go"
check "it answers" within 10 grep -q '^answered' "$work/busy.log"
check "the status shows nothing any more" within 20 status_says 'net1 .*hog, up'
touch "$work/go"
check "the program ends" within 10 gone "$last"
check "a coarse timer asks for a device that cannot interrupt" hears green net1 muted
old=$(pid_of adjunct green.net1)
check "an adjunct keeps what it was lent, and the requests still complete" yields green net1 overdue
check "that one is ended, another took over" replaced green.net1 "$old"
check "the log says why" log_says 'net1: its adjunct kept the processor it was lent for [0-9]+ ms'
check "its device fails" yields green net1 failed

spawn "$work/storm.log" taskset -c 0 "$helpers/yielder" green net0 storm $((kills + 1)) 2 deaths
storm=$last
check "a program opens the device" within 10 log_says "opened by program $last"
for ((i = 0; i < kills; i++)); do
	old=$(pid_of adjunct green.net0)
	sleep 0.3
	kill -KILL "$old"
	check "adjunct $i is killed under the storm, another takes over" within 10 replaced green.net0 "$old"
done
check "the storm ends" within 60 gone "$storm"
check "each request completed once" grep -E '^sent ([0-9]+) done \1 ' "$work/storm.log"
show "$work/storm.log"

spawn "$work/storm.log" taskset -c 0 "$helpers/yielder" green net0 storm 60 3
check "a program opens the device" within 10 log_says "opened by program $last"
check "the program is killed" stop "$last" KILL
check "the device can be opened again" within 10 yields green net0 sizes

spawn "$work/storm.log" taskset -c 0 "$helpers/yielder" green net0 storm 3 4
storm=$last
check "another one does" within 10 grep -q '^open' "$work/storm.log"
check "the daemon is killed under the storm" daemon_stop KILL
check "a new one takes over" daemon_start --libexec "$libexec"
check "the storm ends" within 60 gone "$storm"
check "nothing was lost" grep -E '^sent ([0-9]+) done \1 reset 0 ' "$work/storm.log"
show "$work/storm.log"
check "and nobody was replaced" not log_says 'green/net0: adjunct-died.*storm'

# ---- Changed, refused ----------------------------------------------------------------------
check "the adjunct gets a processor of its own" up < <(document shared)
check "shared: sizes" yields red net0 sizes
check "shared: completions come by a guest's event queue" timeout 60 "$helpers/hearer" red net0 bursts 100
said "each is heard of" '^bursts 100 heard [1-9]'
check "and all of one" up < <(document dedicated)
check "dedicated: sizes" timeout 60 taskset -c 1 "$helpers/yielder" red net0 sizes
check "and none" up < <(document donated)
check "donated again" yields red net0 sizes
refused "nobody can lend an interface's adjunct anything" "only its programs can yield" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 1}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, vf: {adapter: soft0, index: 0}, adjunct: {cpu: donated}}]
END
finish
