#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A vhost-user guest does not notice that its adjunct is replaced (THREATS.md T07,
# T08): two testpmd with DPDK's virtio-user exchange frames while adjuncts and the
# daemon are killed, one by one and together. Theirs stays the same connection
# throughout, their link never goes down, and frames arrive again by themselves.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/testpmd.inc"

command -v strace >/dev/null || skip "strace is not here (Debian: strace)"
restarts=${RESTARTS:-8} # in a row, in the last part

# A daemon that is killed as it enters SYSCALL for the WHEN-th time; $work/calls has a
# line for each.
doomed_start() { # SYSCALL WHEN
	OTR_E2E_MARK=$state strace -D -qq -o "$work/calls" -e trace=memfd_create,sendmsg -e inject="$1:signal=KILL:when=$2" \
		"$bin/outriggerd" --state-dir "$state" -v >>"$daemon_log" 2>&1 </dev/null &
	daemon=$!
	disown "$daemon"
}
both_run() { device_is one/net0 running && device_is two/net0 running; }
# Kills the daemon over the messages with which a guest begins: one by one, some of
# them several times. What it does between taking one in and having it stored begins
# with memfd_create; sendmsg is what it tells adjunct and keeper. The first one is
# killed over the guest's first message, once the connection is stored. What it does
# before there is a guest is counted first.
spares() { grep -c 'net0: a spare waits' "$daemon_log"; }
both_ready() { both_run && [ "$(spares)" -ge $(($1 + 2)) ]; } # SPARES-BEFORE: theirs, too
dies_over_messages() { # SYSCALL FIRST NUMBER
	local kills=0 deadline=$((SECONDS + 60)) from base before
	from=$(wc -l <"$daemon_log")
	before=$(spares)
	daemon_stop && doomed_start memfd_create 10000 && within 20 both_ready "$before" || return 1
	base=$(grep -c ^memfd_create "$work/calls")
	before=$(spares)
	daemon_stop && doomed_start memfd_create $((base + 2)) && within 20 both_ready "$before" || return 1
	base=$(grep -c "^$1" "$work/calls")
	testpmd_launch two rxonly one
	until more_prompts two 0; do
		[ $SECONDS -lt $deadline ] && alive "${pid[two]}" || { show "$work/two.log"; return 1; }
		if gone "$daemon"; then
			kills=$((kills + 1))
			doomed_start "$1" $((base + $2 + 7 * kills % $3))
		fi
		sleep 0.02
	done
	echo "killed $kills times"
	daemon_stop && daemon_start && [ $kills -ge 2 ] || return 1
	# It was one connection all the time.
	not grep -qE 'disconnect|reconnect' "$work/two.log" &&
		[ "$(tail -n +"$((from + 1))" "$daemon_log" | grep -c 'two.net0: a guest is connected')" = 1 ]
}
received() { figure two RX-packets; } # so far
arriving() {
	local before
	before=$(received) && [ "$(received)" -gt "$before" ]
}
# The sockets that a testpmd has open, by inode: a new connection would be a new one.
connections() { find "/proc/${pid[$1]}/fd" -lname 'socket:*' -printf '%l\n' | sort | tr '\n' ' '; }
same_guests() {
	local name
	for name in one two; do
		alive "${pid[$name]}" || { echo "testpmd $name has ended"; return 1; }
		[ "$(connections $name)" = "${connection[$name]}" ] ||
			{ echo "$name had ${connection[$name]}and has $(connections $name)"; return 1; }
		tell $name show port info 0 || return 1
		[ "$(grep -c 'Link status:' "$work/$name.log")" -gt 0 ] &&
			not grep -qE 'Link status: down|disconnect|reconnect' "$work/$name.log" ||
			{ grep -E 'Link status|disconnect|reconnect' "$work/$name.log"; return 1; }
	done
	[ "$(grep -c 'a guest is connected' "$daemon_log")" = 2 ] && not log_says 'its guest (left|is disconnected)'
}
daemon_fds() { find "/proc/$daemon/fd" -mindepth 1 2>/dev/null | wc -l; }
same_fds() { # NUMBER
	local now
	now=$(daemon_fds)
	[ "$now" = "$1" ] || { echo "$now descriptors"; ls -l "/proc/$daemon/fd"; return 1; }
}
adjunct_dies() { # NAME
	victim=$(pid_of adjunct "$1.net0")
	kill -KILL "$victim" && within 5 gone "$victim"
}
another_runs() { # NAME
	device_is "$1/net0" running && [ "$(pid_of adjunct "$1.net0")" != "$victim" ]
}
replaced() { within 10 another_runs "$1"; } # by the daemon itself
declare -A connection=()

need "the daemon starts" daemon_start
need "up: two vhost-user partitions" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: one
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 0}}]
  - name: two
    regions: [{name: heap, size: 16M}]
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0, index: 1}, adjunct: {donate: heap}}]
END
check "the adjunct of two is made of two's region" \
	[ "$(field '.adjuncts[] | select(.name == "two.net0") | .memory_bytes')" = 16777216 ]
need "a testpmd that sends" testpmd_start one txonly two
need "one that receives" testpmd_start two rxonly one
for name in one two; do connection[$name]=$(connections $name); done
tell two start && tell one start
need "frames arrive" within 5 arriving

# ---- One adjunct at a time ------------------------------------------------------------
for name in two one; do
	check "the adjunct of $name is killed under traffic" adjunct_dies $name
	check "and replaced" replaced $name
	check "frames arrive again" within 5 arriving
	check "over the same connections, links up" same_guests
	check "the log says that the guest goes on" log_says "$name.net0: its guest goes on with this adjunct"
done
victim=$(pid_of adjunct two.net0)
check "the adjunct of two is restarted on request" outrigger adjunct restart two.net0
check "it is another one" another_runs two
check "frames arrive again" within 5 arriving
check "over the same connections, links up" same_guests
sed -i 's/vhost-user, vf: {adapter: soft0, index: 1}/vhost-user, mtu: 1400, vf: {adapter: soft0, index: 1}/' \
	"$work/document.yaml"
check "the adjunct of two is asked to stop, for another MTU" outrigger up -f "$work/document.yaml"
said "it is a change" "mtu"
check "frames arrive again" within 5 arriving
check "over the same connections, links up" same_guests

# ---- The daemon -----------------------------------------------------------------------
for signal in KILL TERM; do
	adjuncts=$(field '[.adjuncts[].pid] | join(" ")')
	check "the daemon ends by SIG$signal" daemon_stop $signal
	check "frames arrive without it" within 5 arriving
	check "a new one starts" daemon_start
	check "both devices run" within 10 eval 'device_is one/net0 running && device_is two/net0 running'
	check "with the same adjuncts" [ "$(field '[.adjuncts[].pid] | join(" ")')" = "$adjuncts" ]
	check "frames arrive" within 5 arriving
	check "over the same connections, links up" same_guests
done
check "the adjunct of two is killed" adjunct_dies two
check "and replaced, by a daemon that never saw the guest connect" replaced two
check "frames arrive again" within 5 arriving
check "over the same connections, links up" same_guests
check "the daemon is killed, then the adjunct of one" eval 'victim=$(pid_of adjunct one.net0) && daemon_stop KILL && kill -KILL $victim'
check "a new daemon starts" daemon_start
check "and replaces it by itself" within 20 device_is one/net0 running
check "frames arrive again" within 5 arriving
check "over the same connections, links up" same_guests

# ---- Many in a row ----------------------------------------------------------------------
many() {
	local i name
	for ((i = 0; i < restarts; i++)); do
		[ $((i % 2)) = 0 ] && name=one || name=two
		adjunct_dies $name && replaced $name && within 5 arriving || return 1
	done
}
check "a first one more" eval 'adjunct_dies one && replaced one && adjunct_dies two && replaced two'
check "the daemon has noticed that all command lines have left" settles daemon_fds
before=$(cat "$work/settled")
check "$restarts restarts in a row" many
check "over the same connections, links up" same_guests
check "the daemon has as many descriptors as before ($before)" within 5 same_fds "$before"

# ---- The end ---------------------------------------------------------------------------
# It asks for the places of its rings, of an adjunct that stands still.
victim=$(pid_of adjunct two.net0)
kill -STOP "$victim"
echo quit >"$work/two.in"
check "two wants to leave, but its adjunct hangs; that is noticed" \
	within 10 log_says 'two/net0: (adjunct-died: )?its adjunct did not answer [A-Za-z_]+ within'
check "two can leave" within 15 gone "${pid[two]}"
check "the adjunct is replaced" within 15 another_runs two
check "the log says so" within 5 log_says 'two.net0: its guest left'
check "it comes back" testpmd_start two rxonly one
tell two start
check "frames arrive" within 5 arriving

# ---- The daemon is killed over a guest's messages -------------------------------------
for call in "memfd_create 1 5" "sendmsg 0 35"; do
	check "two leaves" eval 'echo quit >"$work/two.in" && within 15 gone "${pid[two]}"'
	within 5 log_says 'two.net0: its guest left'
	# shellcheck disable=SC2086 # several words
	need "the daemon dies over its messages, before ${call%% *}; two does not notice" \
		dies_over_messages $call
	said "often" 'killed [0-9]+ times'
	say "$(grep killed "$work/out")"
	check "frames arrive" within 5 eval 'tell two start && arriving'
done
check "down, with both connected" outrigger down
check "nothing is left" nothing_left
finish
