# SPDX-License-Identifier: BSD-2-Clause
#
# DPDK's own test program, as the client of some rows and as the peer of others.
# Both ends run without huge pages, like the adjuncts, and with a pool small
# enough for the cache: testpmd's default of some hundred thousand buffers
# halves its figures here. A main thread that waits at the prompt shares the CPU
# with the one thread that forwards.
#
# shellcheck shell=bash

pool_buffers=4096

# testpmd_command PREFIX CPU VDEVS... -- ARGUMENTS: into the array $command.
testpmd_command() {
	local prefix=$1 cpu=$2
	shift 2
	command=("$testpmd" --no-huge -m 64 --no-pci --no-shconf --no-telemetry -v
		--file-prefix="outrigger-$prefix-$$" --lcores "0@$cpu,1@$cpu")
	while [[ $1 != -- ]]; do
		command+=(--vdev "$1")
		shift
	done
	command+=("$@" --nb-cores=1 --forward-mode=io --total-num-mbufs="$pool_buffers"
		--no-flush-rx -i)
}

prompt_in() { grep -q 'testpmd> *$' "$1"; }
# testpmd_version LOG: into $peer_version.
testpmd_version() { peer_version=$(sed -n "s/.*RTE Version: '\(.*\)'.*/\1/p" "$1" | head -n 1); }

# echo_start VDEV SOCKET: a testpmd that sends back all it gets, on the second CPU.
echo_start() {
	local command log=$work/echo.log
	[[ -n $testpmd ]] || { fail 'dpdk-testpmd is missing (Debian: package dpdk-dev)'; return 1; }
	testpmd_command echo "$cpu_b" "$1" -- --port-topology=loop --auto-start
	start "$log" "${command[@]}"
	echo_pid=$started
	# Paths of this run say nothing to a reader.
	peer_command=$(sed "s#$work#DIR#g; s#-$$ #-PID #" <<<"${command[0]##*/} ${command[*]:1}")
	if ! wait_for 10 test -S "$2" || ! wait_for 10 prompt_in "$log"; then
		show_log "$log"
		stop "$echo_pid"
		fail 'the echoing testpmd does not start'
		return 1
	fi
	peer_name='dpdk-testpmd'
	testpmd_version "$log"
}

# Types at the client's prompt: figures over SECONDS_PER_RUN, after a second to warm up.
client_script() { # LOG START-COMMAND
	wait_for 10 prompt_in "$1"
	echo "$2"
	sleep 1
	echo 'show port stats 0'
	sleep "$SECONDS_PER_RUN"
	echo 'show port stats 0'
	sleep 0.2
	echo quit
}

# client_measure START-COMMAND COMMAND...: a testpmd that waits at its prompt is told to start.
# $figure: frames a second that its port 0 took in, testpmd's own rate between two
# questions.
client_measure() {
	local log=$work/client.log start=$1
	shift
	: >"$log"
	if ! client_script "$log" "$start" | timeout 60 "$@" >"$log" 2>&1; then
		show_log "$log"
		fail 'the testpmd client failed'
		return 1
	fi
	figure=$(awk '/Rx-pps:/ { rate = $2 } END { print rate }' "$log")
	[[ ${figure:-0} -gt 0 ]] || { show_log "$log"; fail 'no frame came back to the testpmd client'; return 1; }
}

# client_run VDEV SIZE: a testpmd that sends frames made of nothing to port 0 and
# throws away what comes back, on the first CPU.
client_run() {
	local command
	[[ -n $testpmd ]] || { fail 'dpdk-testpmd is missing (Debian: package dpdk-dev)'; return 1; }
	testpmd_command client "$cpu_a" "$1" "net_null0,size=$2" --
	client_measure start "${command[@]}"
}

# testpmd_pair ECHO_VDEV CLIENT_VDEV SOCKET SIZE: the peer of a row.
testpmd_pair() {
	local ret
	echo_start "$1" "$3" || return 1
	client_run "$2" "$4"
	ret=$?
	stop "$echo_pid"
	rm -f "$3"
	return $ret
}
