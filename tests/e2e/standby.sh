#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Adjuncts that die one after the other while a program sends: with a standby, with a
# spare, without, the standby too, the new one before it serves, and on request. What the
# program gets back is looked at by numbered.c: never twice, never something else.
. "$(dirname "$0")/lib.sh"

KILLS=${STANDBY_KILLS:-8} # more for a longer run
program='' to='' from=''

document() {
	cat <<-END
	version: 1
	adapters: [{name: echo0, kind: echo, vfs: 2}]
	partitions:
	  - name: red
	    devices: [{name: net0, kind: native, vf: {adapter: echo0, index: 0},
	      adjunct: {memory: 2M, standby: yes}}]
	  - name: white
	    devices: [{name: net0, kind: native, vf: {adapter: echo0, index: 1}}]
	END
}
program_start() { # PARTITION
	rm -f "$work/questions" "$work/answers"
	mkfifo "$work/questions" "$work/answers"
	"${as_user[@]}" env OUTRIGGER_STATE_DIR="$state" "$helpers/numbered" "$1" net0 \
		<"$work/questions" >"$work/answers" 2>"$work/numbered.log" &
	program=$!
	spawned+=("$program")
	exec {to}>"$work/questions" {from}<"$work/answers"
	frames_come
}
program_ends() { # with status 0
	exec {to}>&-
	wait "$program"
	local status=$?
	exec {from}<&-
	show "$work/numbered.log"
	return $status
}
received=0 lost=0
frames_come() {
	echo >&"$to" && read -r -t 30 received lost <&"$from" && return
	cat "$work/numbered.log"
	return 1
}
few_are_lost() { # DEATHS: what each had in its hands
	echo "$lost lost in $1"
	[ "$lost" -le $((32 * $1)) ]
}
standby_of() { # PARTITION
	local pid serving
	serving=$(pid_of adjunct "$1.net0")
	for pid in $(marked); do
		[ "$pid" != "$serving" ] &&
			tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "adjunct-echo $1.net0 $" &&
			echo "$pid" && return
	done
	return 1
}
waits=0 # standbys that the log has told of, and that were used since
standby_waits() { [ "$(grep -c "$1/net0: a standby waits" "$daemon_log")" -gt "$waits" ]; }
standby_used() { waits=$(grep -c "$1/net0: a standby waits" "$daemon_log"); }

# kill_adjunct PARTITION: and another serves, to the same program.
kill_adjunct() {
	local pid
	pid=$(pid_of adjunct "$1.net0")
	kill -KILL "$pid" && within 10 replaced "$1.net0" "$pid" && frames_come
}
kill_with_standby() {
	local i
	for ((i = 0; i < KILLS; i++)); do
		within 20 standby_waits red || return 1
		standby_used red
		kill_adjunct red || return 1
	done
}
# Each restart after the death that led to it, though the one may be over before it is
# known how the other came about.
told_in_order() {
	local told
	told=$(grep -oE 'red/net0: adjunct-(died|restarted)' "$daemon_log" | uniq)
	[ "$(head -n 1 <<<"$told")" = 'red/net0: adjunct-died' ] && [ "$(wc -l <<<"$told")" = $((2 * KILLS)) ]
}
# Whoever serves is killed as soon as it is there, so many times in a row.
kill_newcomers() { # COUNT
	local i pid last=none
	for ((i = 0; i < $1; i++)); do
		within 20 newcomer "$last" || return 1
		last=$newcomer
		kill -KILL "$last" 2>/dev/null
	done
	within 20 newcomer "$last" && within 20 device_is red/net0 running && frames_come
}
newcomer=''
newcomer() { # OLD-PID
	newcomer=$(pid_of adjunct red.net0)
	[ -n "$newcomer" ] && [ "$newcomer" != null ] && [ "$newcomer" != "$1" ]
}

need "the daemon starts" daemon_start
document >"$work/document.yaml"
need "up" outrigger up -f "$work/document.yaml"
check "the image that fits is found" [ "$(field '[.adjuncts[].image] | unique | join(" ")')" = echo ]
check "a program opens its device, and its frames come back" program_start red
check "$KILLS deaths, a standby each: its frames come back" kill_with_standby
check "what was lost is what dying adjuncts had in their hands" few_are_lost "$KILLS"
check "each death was told, and then the restart" within 10 told_in_order
# Linux 6.11 tells of a death before it takes back what the dead one had.
[ "$(printf '%s\n' 6.11 "$(uname -r)" | sort -V | head -n 1)" != 6.11 ] ||
	check "for that no standby waited" log_says 'red/net0: its adjunct is dead, and the next one need not wait'

before=$lost
on_request() {
	local i
	for i in 1 2 3; do
		within 20 standby_waits red && standby_used red &&
			outrigger adjunct restart red.net0 && frames_come || return 1
	done
}
check "three restarts on request" on_request
check "lose nothing" [ "$lost" = "$before" ]

check "a standby waits" within 20 standby_waits red
standby_used red
pid=$(standby_of red)
kill -KILL "$pid"
check "the standby is killed: another waits" within 20 standby_waits red
standby_used red
check "it is told apart" [ "$(standby_of red)" != "$pid" ]
pid=$(pid_of adjunct red.net0)
kill -KILL "$(standby_of red)" "$pid"
check "both are killed: another serves" within 20 replaced red.net0 "$pid"
check "frames come back" frames_come
check "a standby waits" within 20 standby_waits red
standby_used red
check "each newcomer is killed, four times: one serves in the end" kill_newcomers 4

# A standby must not know the window of a program that has left.
check "a standby waits" within 20 standby_waits red
check "the program leaves" program_ends
check "another one opens the device" program_start red
check "its adjunct is killed: frames come back" kill_adjunct red
check "they leave" program_ends

spare_waits() { [ "$(grep -c "white/net0: a spare waits" "$daemon_log")" -ge "$1" ]; }
kill_with_spare() {
	local i pid
	for i in 1 2 3; do
		within 20 spare_waits "$i" || return 1
		pid=$(standby_of white)
		kill_adjunct white || return 1
		echo "the spare was $pid, $(pid_of adjunct white.net0) serves"
		[ "$(pid_of adjunct white.net0)" = "$pid" ] || return 1
	done
}
both_die() {
	local pid
	pid=$(pid_of adjunct white.net0)
	kill -KILL "$(standby_of white)" "$pid"
	within 10 replaced white.net0 "$pid" && frames_come
}
check "without a standby: a program opens its device" program_start white
check "three deaths: each time the spare takes over" kill_with_spare
check "a spare waits" within 20 spare_waits 4
check "it dies with the adjunct: one is started" both_die
check "what was lost is what they had in their hands" few_are_lost 4
check "the program leaves" program_ends

# ---- Huge pages -----------------------------------------------------------------
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
before=$(cat $pages 2>/dev/null)
huge_bytes() { outrigger -j adjunct show red.net0 | jq -r .adjunct.huge_bytes; }
huge_pages() {
	local pid i
	# The next standby is made of one, and takes over.
	pid=$(pid_of adjunct red.net0)
	kill -KILL "$(standby_of red)" && within 20 standby_waits red || return 1
	kill -KILL "$pid"
	within 10 replaced red.net0 "$pid" || return 1
	i=$(huge_bytes)
	echo "$i bytes in huge pages"
	[ "$i" = $((2 << 20)) ]
}
# A system without free pages of this size cannot set any aside, nor can a user.
if ! echo $((before + 2)) 2>/dev/null >$pages || [ "$(cat $pages)" -lt $((before + 2)) ]; then
	skipped "donated memory in huge pages" "the system cannot set any aside for us"
else
	within 20 standby_waits red && standby_used red
	check "donated memory is made of huge pages where there are any" huge_pages
	check "adjunct show says so" outrigger adjunct show red.net0
	said "and how much" 'in huge pages +2 MiB'
	echo "$before" >$pages
fi

check "down" outrigger down
check "nothing is left" nothing_left
finish
