# SPDX-License-Identifier: BSD-2-Clause
#
# The rows about services and lent processors; sourced by run.sh. What they measure is
# the daemon, an `echo` adjunct and a program (tests/bench/service_client.c), against the
# kernel's means between two bare processes (tests/bench/handoff.c).
#
# shellcheck shell=bash disable=SC2034 # the row's variables belong to lib.sh

ADJUNCTS_MANY=256

# What a document has of each at most.
DEVICES_PER_ADAPTER=64 DEVICES_PER_PARTITION=16

# services_document CPU COUNT: so many devices, of partitions bench0, bench1 and so on.
services_document() {
	local i
	printf 'version: 1\nadapters:\n'
	for ((i = 0; i < $2; i += DEVICES_PER_ADAPTER)); do
		printf '  - {name: echo%d, kind: echo, vfs: %d}\n' $((i / DEVICES_PER_ADAPTER)) $DEVICES_PER_ADAPTER
	done
	printf 'partitions:\n'
	for ((i = 0; i < $2; i++)); do
		((i % DEVICES_PER_PARTITION)) ||
			printf '  - name: bench%d\n    devices:\n' $((i / DEVICES_PER_PARTITION))
		printf '      - {name: net%d, kind: native, vf: {adapter: echo%d, index: %d}, ' \
			$((i % DEVICES_PER_PARTITION)) $((i / DEVICES_PER_ADAPTER)) $((i % DEVICES_PER_ADAPTER))
		printf 'adjunct: {image: echo, cpu: %s}}\n' "$1"
	done
}

# services_up CPU COUNT: what it takes to serve a row; an adjunct that has a processor of
# its own is on the second CPU, the daemon on the one the program does not use.
services_up() {
	local pid
	restart_daemon_start || return 1
	services_document "$1" "$2" >"$work/services.yaml"
	up "$work/services.yaml" || return 1
	pid=$(adjunct_pid bench0.net0) || { fail 'the adjunct has no pid'; return 1; }
	find_group "$pid"
	[[ $1 != donated ]] || return 0
	taskset -acp "$cpu_b" "$pid" >/dev/null || fail "the adjunct cannot be put on CPU $cpu_b"
}
# find_group PID: what a program of that adjunct's partition is run by, to be charged where
# the adjunct is, if this machine has such groups and we may. Both sides of a row are.
in_group=()
find_group() {
	local mount procs
	mount=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	procs=$mount$(sed -n 's/^0:://p' "/proc/$1/cgroup")/cgroup.procs
	in_group=()
	[[ -z $mount || ! -w $procs ]] ||
		in_group=(bash -c 'echo $$ >"$0" && exec "$@"' "$procs")
}
services_down() {
	local ret
	down
	ret=$?
	in_group=() # it has gone
	daemon_stop
	return $ret
}

# service_client MODE [DEVICES]; of the partition bench0, or of `client_of` and 0.
client_of=bench
service_client() {
	figure=$(timeout 120 "${in_group[@]}" "$programs/service_client" "$work/state/partition/$client_of" "$1" "$cpu_a" \
		"$SECONDS_PER_RUN" "${@:2}" 2>"$work/client.log") && return 0
	show_log "$work/client.log"
	fail 'the service client failed'
}
handoff() { figure=$("${in_group[@]}" "$programs/handoff" "$@" 2>"$work/client.log") || { show_log "$work/client.log"; return 1; }; }

# An adjunct that polls is there only while it is measured: the other side has its CPU then.
dedicated() { services_up dedicated 1 && service_client "$1" && services_down; }

request_polled_ours() { dedicated polled; }
request_polled_spin() { figure=$(spin); }
request_polled() {
	peer_name='spin: a line there and a line back'
	peer_version='tests/bench/spin.c'
	peer_command="spin $cpu_a $cpu_b"
	in_turn request_polled_ours request_polled_spin
}

yield_ours() { service_client "$yield_mode"; }
yield_futex() { handoff futex "$cpu_a" "$SECONDS_PER_RUN" "$yield_pause_ns"; }
# yield parked|hot PAUSE_NS: service_client.c has the same pause.
yield() {
	local ret
	yield_mode=$1 yield_pause_ns=$2 crosses_cpus=0
	services_up donated 1 || return 1
	peer_name='futex wake and wait, two processes on one CPU'
	peer_version="Linux $(uname -r)"
	peer_command="handoff futex $cpu_a $SECONDS_PER_RUN $2"
	in_turn yield_ours yield_futex
	ret=$?
	services_down && return $ret
}

# The image as it is, and as it would be made without `fp: no`: both are there at a time,
# each in a partition of its own, and only the one that is measured is asked for anything.
light_document() {
	cat <<-END
	version: 1
	adapters: [{name: echo0, kind: echo, vfs: 2}]
	partitions:
	  - name: bench0
	    devices:
	      - {name: net0, kind: native, vf: {adapter: echo0, index: 0}, adjunct: {image: echo, cpu: donated}}
	  - name: heavy0
	    devices:
	      - {name: net0, kind: native, vf: {adapter: echo0, index: 1}, adjunct: {image: heavy, cpu: donated}}
	END
}
heavy_image() {
	local images=$work/libexec/images
	cp -r "$bin/../libexec/outrigger" "$work/libexec" &&
		cp "$programs/heavy_echo" "$work/libexec/outrigger-adjunct-heavy" &&
		sed 's/^name: .*/name: heavy/; s/^\(executable: .*\)-echo/\1-heavy/; s/^fp: .*/fp: yes/' \
			"$images/echo.yaml" >"$images/heavy.yaml" || fail 'no image can be made'
}
light_ours() { light_of bench; }
light_heavy() { light_of heavy; }
light_of() { # PARTITION
	local pid ret
	client_of=$1
	pid=$(adjunct_pid "${client_of}0.net0") && find_group "$pid" && service_client "$yield_mode"
	ret=$?
	client_of=bench in_group=()
	return $ret
}
yield_light() { # hot|parked
	local ret
	yield_mode=$1 crosses_cpus=0
	peer_name='the same image without fp: no, with what vector registers compiler and C library take'
	peer_version=$("$bin/outrigger" --version 2>/dev/null | head -n 1)
	peer_command="service_client heavy $1 $cpu_a $SECONDS_PER_RUN"
	[[ -d $work/libexec ]] || heavy_image || return 1
	daemon_options=(--libexec "$work/libexec")
	restart_daemon_start
	ret=$?
	daemon_options=()
	((ret == 0)) || return 1
	light_document >"$work/services.yaml"
	up "$work/services.yaml" || return 1
	in_turn light_ours light_heavy
	ret=$?
	services_down && return $ret
}

interrupt_ours() { dedicated interrupt; }
interrupt_eventfd() { handoff eventfd "$cpu_a" "$cpu_b" "$SECONDS_PER_RUN"; }
completion_interrupt() {
	in_group=()
	peer_name='eventfd: a process that polls a word writes it, another sleeps on it'
	peer_version="Linux $(uname -r)"
	peer_command="handoff eventfd $cpu_a $cpu_b $SECONDS_PER_RUN (20 us of work on either side, left out)"
	in_turn interrupt_ours interrupt_eventfd
}

bursts_ours() { dedicated bursts; }
bursts_goal() { figure=1; }
completion_burst_wakes() {
	peer_name='the goal itself' peer_version='-' peer_command='one sleep for 64 completions, in the mean'
	in_turn bursts_ours bursts_goal
}

quantum_ours() { service_client quantum; }
quantum_goal() { figure=100; }
yield_quantum_p99() {
	local ret
	crosses_cpus=0
	services_up donated 1 || return 1
	peer_name='the goal itself' peer_version='-'
	peer_command='1.2 times the quantum, or 100 us; quanta of 20 us to 5 ms at random'
	in_turn quantum_ours quantum_goal
	ret=$?
	services_down && return $ret
}

# Both with all of them up and open. `hot`: the same one, as with one adjunct; `in-turn`:
# each time the next, whose working set the others have driven out of the caches.
many_ours() { service_client "$many_mode" $ADJUNCTS_MANY; }
many_one() { service_client hot; }
yield_many() { # hot|in-turn
	local ret
	many_mode=$1 crosses_cpus=0
	peer_name='the same with one adjunct'
	peer_version=$("$bin/outrigger" --version 2>/dev/null | head -n 1)
	peer_command="service_client bench hot $cpu_a $SECONDS_PER_RUN"
	in_turn many_up_and_ours many_one_up
	ret=$?
	daemon_stop
	return $ret
}
many_up_and_ours() { services_up donated $ADJUNCTS_MANY && many_ours && services_down; }
many_one_up() { services_up donated 1 && many_one && services_down; }
