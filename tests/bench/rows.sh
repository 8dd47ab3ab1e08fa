# SPDX-License-Identifier: BSD-2-Clause
#
# The rows: how ours and the peer of each are measured once. in_turn (lib.sh)
# repeats them; every function here leaves one number in $figure.
#
# shellcheck shell=bash

# ---- Outrigger under test ------------------------------------------------

daemon_pid=''
# A command that runs the daemon: the restart rows give it and all it starts one CPU.
daemon_prefix=()
daemon_options=()

otr() { "$bin/outrigger" --state-dir "$work/state" "$@"; }

daemon_start() {
	[[ -z $daemon_pid ]] || return 0
	mkdir -p "$work/state"
	start "$work/daemon.log" "${daemon_prefix[@]}" "$bin/outriggerd" --state-dir "$work/state" "${daemon_options[@]}"
	daemon_pid=$started
	wait_for 10 test -S "$work/state/control.sock" && return 0
	show_log "$work/daemon.log"
	daemon_stop
	fail 'outriggerd does not start'
}

daemon_stop() {
	[[ -n $daemon_pid ]] || return 0
	otr down >/dev/null 2>&1 || true
	stop "$daemon_pid"
	daemon_pid=''
}

# up FILE: brings up a document; on failure says what the command line said.
up() {
	daemon_start || return 1
	if ! otr up -f "$1" >"$work/up.log" 2>&1; then
		show_log "$work/up.log"
		fail 'outrigger up failed'
		return 1
	fi
}

down() {
	otr down >"$work/up.log" 2>&1 && return 0
	show_log "$work/up.log"
	fail 'outrigger down failed'
}

# adjunct_pid NAME
adjunct_pid() { otr -j adjunct list | jq -e --arg name "$1" '.adjuncts[] | select(.name == $name) | .pid'; }

# A port whose frames come back at once: what leaves the adjunct enters it again.
# KIND [STANDBY: yes or no]
loopback_document() {
	cat <<-END
	version: 1
	adapters:
	  - {name: loop0, kind: dpdk, device: net_ring0}
	partitions:
	  - name: bench
	    devices:
	      - name: net0
	        kind: $1
	        vf: {adapter: loop0, index: 0}
	        adjunct: {image: ethdev, cpu: dedicated, memory: 32M, standby: ${2:-no}}
	END
}

# loopback_up KIND: the document, and its adjunct on the second CPU.
loopback_up() {
	local pid
	loopback_document "$1" >"$work/loop.yaml"
	up "$work/loop.yaml" || return 1
	pid=$(adjunct_pid bench.net0) || { fail 'the adjunct has no pid'; return 1; }
	taskset -acp "$cpu_b" "$pid" >/dev/null || fail "the adjunct cannot be put on CPU $cpu_b"
}

# ---- Ethernet ------------------------------------------------------------

# native_client PARTITION ARGUMENTS...: $figure is the rate it prints.
native_client() {
	local partition=$1
	shift
	if ! figure=$(timeout 60 "$programs/native_client" "$work/state/partition/$partition.sock" \
		"$@" 2>"$work/client.log"); then
		show_log "$work/client.log"
		fail 'the native client failed'
		return 1
	fi
}

eth_native_ours() {
	loopback_up native || return 1
	native_client bench net0 echo --size "$size" --seconds "$SECONDS_PER_RUN" --cpu "$cpu_a" ||
		{ down; return 1; }
	down
}
eth_native_peer() {
	testpmd_pair "net_memif0,role=server,socket=$work/memif.sock,socket-abstract=no" \
		"net_memif0,role=client,socket=$work/memif.sock,socket-abstract=no" \
		"$work/memif.sock" "$size"
}
eth_native() {
	size=$1
	in_turn eth_native_ours eth_native_peer
}

eth_vhost_ours() {
	local ret
	loopback_up vhost-user || return 1
	client_run "net_virtio_user0,path=$work/state/vhost/bench.net0.sock" "$size"
	ret=$?
	down && return $ret
}
eth_vhost_peer() {
	testpmd_pair "net_vhost0,iface=$work/vhost.sock" "net_virtio_user0,path=$work/vhost.sock" \
		"$work/vhost.sock" "$size"
}
eth_vhost() {
	size=$1
	in_turn eth_vhost_ours eth_vhost_peer
}

# embedded_document N KIND: N partitions, each with one device on the embedded adapter.
embedded_document() {
	local i
	printf 'version: 1\nadapters:\n  - {name: soft0, kind: embedded, vfs: %d}\npartitions:\n' "$1"
	for ((i = 0; i < $1; i++)); do
		printf '  - name: p%d\n    devices:\n      - name: net0\n        kind: %s\n' "$i" "$2"
		[[ $2 != tap ]] || printf '        address: 10.77.0.%d/24\n' $((i + 1))
		printf '        mac: "02:00:00:00:00:%02x"\n' $((i + 1))
		printf '        vf: {adapter: soft0, index: %d}\n        adjunct: {image: ethdev}\n' "$i"
	done
}

# One program sends, another receives; two adjuncts and the adapter between them.
eth_embedded_ours() {
	local sender ret
	embedded_document 2 native >"$work/embedded.yaml"
	up "$work/embedded.yaml" || return 1
	start "$work/sender.log" "$programs/native_client" "$work/state/partition/p0.sock" net0 send \
		--to 02:00:00:00:00:02 --size "$size" --seconds $((SECONDS_PER_RUN + 2))
	sender=$started
	native_client p1 net0 receive --seconds "$SECONDS_PER_RUN"
	ret=$?
	stop "$sender"
	down && return $ret
}
eth_embedded() {
	size=$1
	in_turn eth_embedded_ours -
}

# ---- Restarts ------------------------------------------------------------

# A new adjunct counts as steady after 0.2 s, of which the client has looked for gaps
# through 0.1; the shim delays the next one's successor otherwise.
STEADY_SECONDS=0.15

standbys_ready() { (($(grep -c 'a \(standby\|spare\) waits' "$work/daemon.log") >= $1)); }

# The client has the first CPU to itself, as the floor's has; what dies, what
# takes over and who sees to it share the second, or the CPU that is named.
restart_daemon_start() { # [CPU]
	daemon_stop
	daemon_prefix=(taskset -c "${1:-$cpu_b}")
	daemon_start
	local ret=$?
	daemon_prefix=()
	return $ret
}

# echo_document STANDBY: the image that drives nothing.
echo_document() {
	cat <<-END
	version: 1
	adapters:
	  - {name: echo0, kind: echo}
	partitions:
	  - name: bench
	    devices:
	      - name: net0
	        kind: native
	        vf: {adapter: echo0, index: 0}
	        adjunct: {image: echo, cpu: dedicated, memory: 2M, standby: $1}
	END
}

# kills STANDBY COUNT: the adjunct of $image dies COUNT times while a client sends; the
# gaps, in ns, one a line, are in $work/gaps.
kills() {
	local standby=$1 count=$2 pid gap i before ret=0 to_client from_client
	before=$(grep -c 'a \(standby\|spare\) waits' "$work/daemon.log" 2>/dev/null)
	if [[ $image == echo ]]; then
		echo_document "$standby"
	else
		loopback_document native "$standby"
	fi >"$work/kills.yaml"
	up "$work/kills.yaml" || return 1
	coproc client { exec "$programs/native_client" "$work/state/partition/bench.sock" net0 kills \
		--size 64 --cpu "$cpu_a" 2>"$work/client.log"; }
	children+=("$client_PID")
	exec {to_client}>&"${client[1]}" {from_client}<&"${client[0]}"
	: >"$work/gaps"
	for ((i = 1; i <= count; i++)); do
		sleep "$STEADY_SECONDS"
		wait_for 10 standbys_ready $((before + i)) ||
			{ fail 'the standby is not prepared'; ret=1; break; }
		((i % 100)) || say "  $i of $count, largest so far $(human "$(sort -n "$work/gaps" | tail -n 1)") ns"
		pid=$(adjunct_pid bench.net0) && echo "$pid" >&"$to_client" &&
			read -r -t 20 gap <&"$from_client" && echo "$gap" >>"$work/gaps" ||
			{ show_log "$work/client.log"; fail "the client gives no gap for kill $i"; ret=1; break; }
	done
	exec {to_client}>&- {from_client}<&-
	stop "$client_PID"
	down && return $ret
}

# One run of a row: the median of so many kills.
KILLS_PER_RUN=10

restart_ours() {
	kills "$standby" $KILLS_PER_RUN || return 1
	figure=$(sort -n "$work/gaps" | sed -n "$(((KILLS_PER_RUN + 1) / 2))p")
}
restart_floor() {
	figure=$("$programs/restart_floor" "$floor" $KILLS_PER_RUN "$cpu_a" "$cpu_b") ||
		fail 'the floor could not be measured'
}
# restart cold|standby [IMAGE]
restart() {
	local ret
	floor=$1 standby=no image=${2:-ethdev}
	[[ $1 == cold ]] || standby=yes
	restart_daemon_start || return 1
	peer_name='a bare two-process program'
	peer_version='tests/bench/restart_floor.c'
	peer_command="restart_floor $floor $KILLS_PER_RUN $cpu_a $cpu_b (median of $KILLS_PER_RUN kills, as ours)"
	in_turn restart_ours restart_floor
	ret=$?
	daemon_stop
	return $ret
}

# The largest of BENCH_KILLS gaps, in one run. [IMAGE]
restart_max_ours() {
	kills yes "$kill_count" || return 1
	figure=$(sort -n "$work/gaps" | tail -n 1)
	peer_name="the goal itself, largest of $kill_count kills; median $(human "$(sort -n "$work/gaps" |
		sed -n "$(((kill_count + 1) / 2))p")"), 99th percentile $(human "$(sort -n "$work/gaps" |
		sed -n "$(((kill_count * 99 + 99) / 100))p")") ns"
	say "  $peer_name"
}
restart_max_goal() { figure=5000000; }
restart_max() {
	local RUNS=1 ret
	image=${1:-ethdev}
	kill_count=${BENCH_KILLS:-1000}
	crosses_cpus=0
	restart_daemon_start || return 1
	peer_version='-'
	peer_command="5 ms; with a standby, the adjunct killed $kill_count times under load"
	in_turn restart_max_ours restart_max_goal
	ret=$?
	daemon_stop
	return $ret
}

# ---- A hostile neighbour ---------------------------------------------------

# Frames a second that the victims exchange: what they do alone, far from what they could.
VICTIM_RATE=5000

neighbour_document() {
	local i
	cat <<-END
	version: 1
	adapters: [{name: soft0, kind: embedded, vfs: 5}]
	partitions:
	  - name: red
	    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 0}}]
	  - name: blue
	    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 1}}]
	  - name: evil
	    devices:
	END
	for i in 0 1 2; do
		printf '      - {name: net%d, kind: native, vf: {adapter: soft0, index: %d}}\n' $i $((i + 2))
	done
}

# What both share, and the victims, on the first CPU; the neighbour has the second.
neighbour_up() {
	local i pid
	neighbour_document >"$work/neighbour.yaml"
	up "$work/neighbour.yaml" || return 1
	for i in 0 1 2; do
		pid=$(adjunct_pid evil.net$i) && taskset -acp "$cpu_b" "$pid" >/dev/null ||
			{ fail "the neighbour's adjunct cannot be put on CPU $cpu_b"; return 1; }
	done
}
# hostile DEED DEVICE ARGUMENT...: in the background, until stopped.
hostile() {
	start "$work/$1.log" taskset -c "$cpu_b" "$programs/neighbour" "$1" "$work/state/partition/evil.sock" "${@:2}"
}
victim_rate() {
	if ! taskset -c "$cpu_a" timeout 120 "$programs/victim" "$work/state/partition/red.sock" \
		"$work/state/partition/blue.sock" $VICTIM_RATE "$SECONDS_PER_RUN" >"$work/victim.log" 2>&1; then
		show_log "$work/victim.log"
		fail 'the victim was harmed'
		return 1
	fi
	figure=$(sed -n 's/^sent.* rate //p' "$work/victim.log")
}
victim_beside_neighbour() {
	local ret pid deeds=()
	hostile flood net0 100 02:00:00:00:66:66 && deeds+=("$started")
	hostile garbage net1 100 && deeds+=("$started")
	hostile attach net2 1000000 && deeds+=("$started")
	hostile calls net0 100 && deeds+=("$started")
	sleep 1 # to warm up
	victim_rate
	ret=$?
	for pid in "${deeds[@]}"; do
		kill -0 "$pid" 2>/dev/null || { fail 'the neighbour gave up'; ret=1; }
		stop "$pid"
	done
	sleep 1 # until the daemon has noticed, and the other side is alone
	return $ret
}
neighbour_victim_rate() {
	local ret
	crosses_cpus=0
	restart_daemon_start "$cpu_a" && neighbour_up || return 1
	peer_name='the same victims without their neighbour'
	peer_version=$("$bin/outrigger" --version 2>/dev/null | head -n 1)
	peer_command="victim red blue $VICTIM_RATE $SECONDS_PER_RUN"
	in_turn victim_beside_neighbour victim_rate
	ret=$?
	down || ret=1
	daemon_stop
	return $ret
}

# ---- iperf3 --------------------------------------------------------------

# iperf3_rate JSON SERVER_LOG: bits per second that arrived.
iperf3_rate() {
	figure=$(jq -r '.end.sum_received.bits_per_second // empty | floor' "$1" 2>/dev/null)
	[[ -z $figure ]] || return 0
	jq -r '.error // empty' "$1" 2>/dev/null | sed 's/^/    | /' >&2
	show_log "$2"
	return 1
}

iperf3_ours() {
	local server ret
	embedded_document 2 tap >"$work/embedded.yaml"
	up "$work/embedded.yaml" || return 1
	start "$work/iperf3.log" "$bin/outrigger" --state-dir "$work/state" exec p1 -- \
		iperf3 -s -1 --forceflush
	server=$started
	wait_for 10 grep -q listening "$work/iperf3.log" &&
		otr exec p0 -- iperf3 -c 10.77.0.2 -t "$SECONDS_PER_RUN" -O 1 -J >"$work/iperf3.json"
	iperf3_rate "$work/iperf3.json" "$work/iperf3.log"
	ret=$?
	stop "$server"
	down || return 1
	((ret == 0)) || fail 'iperf3 between the partitions failed'
}
iperf3_peer() {
	local isolate=(unshare --mount --net)
	[[ $(id -u) == 0 ]] || isolate=(unshare --mount --net --user --map-root-user)
	"${isolate[@]}" "$here/bridge.sh" "$SECONDS_PER_RUN" >"$work/iperf3.json" 2>"$work/iperf3.log"
	iperf3_rate "$work/iperf3.json" "$work/iperf3.log" || fail 'iperf3 over a Linux bridge failed'
}
iperf3_namespaces() {
	command -v iperf3 >/dev/null || { fail 'iperf3 is missing (Debian: package iperf3)'; return 1; }
	peer_name='iperf3 between two namespaces on a Linux bridge'
	peer_version="Linux $(uname -r), $(iperf3 --version | head -n 1)"
	peer_command="ip link add name br0 type bridge; two veth pairs; iperf3 -c 10.77.0.2 -t $SECONDS_PER_RUN -O 1"
	in_turn iperf3_ours iperf3_peer
}

# ---- The shim ------------------------------------------------------------

# timed_up N: seconds of `outrigger up` for N partitions, from nothing.
timed_up() {
	local before after
	embedded_document "$1" tap >"$work/up.yaml"
	daemon_start || return 1
	before=$(date +%s%N)
	up "$work/up.yaml" || return 1
	after=$(date +%s%N)
	figure=$(awk -v ns=$((after - before)) 'BEGIN { printf "%.4f", ns / 1e9 }')
	down
}
up_many() { timed_up "$partitions"; }
up_two() { timed_up 2; }
up_over_2() {
	partitions=$1
	divisor=$((partitions / 2))
	peer_name='the same with 2 partitions (ratio divided by '$divisor')'
	peer_version=$("$bin/outrigger" --version 2>/dev/null | head -n 1)
	peer_command='outrigger up -f (2 partitions, a TAP device each, on the embedded adapter)'
	in_turn up_many up_two
}

# private_bytes PID: private memory, the donated file and the partition's window left out.
private_bytes() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { donated = /memfd:/ }
		/^Private_(Clean|Dirty):/ && !donated { sum += $2 }
		END { if (!NR) exit 1; print sum * 1024 }' "/proc/$1/smaps"
}
private_ours() {
	local pid
	embedded_document 2 tap >"$work/embedded.yaml"
	up "$work/embedded.yaml" || return 1
	otr exec p0 -- ping -q -c 20 -i 0.01 10.77.0.2 >"$work/ping.log" 2>&1 ||
		{ show_log "$work/ping.log"; fail 'ping between the partitions failed'; return 1; }
	pid=$(adjunct_pid p0.net0) && figure=$(private_bytes "$pid") ||
		{ fail "the adjunct's memory cannot be read"; return 1; }
	down
}
private_goal() { figure=$((24 * 1024 * 1024)); }
adjunct_private_bytes() {
	crosses_cpus=0
	peer_name='the goal itself'
	peer_version='-'
	peer_command='24 MiB besides donated memory'
	in_turn private_ours private_goal
}
